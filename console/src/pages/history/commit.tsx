// One commit of a list: who, when, why and what; its effective differences on demand. Knows commits; never which list shows them.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { get, type Commit, type Schemas } from "../../api/client";
import { configHref } from "../../router";
import { Badge, ScopeBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Actor, sourceName, ValueChanges } from "../../ui/changes";
import { useQuery } from "../../ui/query";
import { ErrorNote, Skeleton } from "../../ui/states";
import { Time } from "../../ui/time";
import { count } from "../parts/words";

/** So many configs and layers of a commit are shown before it is opened. */
const CHANGES_SHOWN_MAX = 10;
const LAYERS_SHOWN_MAX = 10;

/** A config of which alone a list shows the history. */
export interface ConfigPlace {
  namespace: string;
  config: string;
}

interface Props {
  commit: Commit;
  /** The list is of this config. */
  only?: ConfigPlace;
  /** The list is of this namespace, so that its name is left out. */
  within?: string;
  /** The version and its tags, in lists of one config. */
  lead?: ComponentChildren;
  actions?: ComponentChildren;
  /** The commit came while the page was open. */
  fresh?: boolean;
  /** Shows what changed from the beginning. */
  isOpen?: boolean;
}

export function CommitEntry({ commit, only, within, lead, actions, fresh = false, isOpen = false }: Props) {
  const [open, setOpen] = useState(isOpen);
  return (
    <li class={fresh ? "commit fresh" : "commit"} data-revision={commit.revision}>
      <div class="commit-head">
        <div class="grow">
          <p class="row wrap">
            {lead}
            <span><strong><Actor name={commit.actor} /></strong> {sourceName(commit.source)}</span>
            <span class="soft"><Time at={commit.time} /></span>
            <span class="faint small">revision {commit.revision}</span>
          </p>
          {commit.reason !== "" && <p class="reason break">{commit.reason}</p>}
          <ul class="commit-changes">
            {commit.changes.slice(0, open ? undefined : CHANGES_SHOWN_MAX).map((change) => (
              <li key={`${change.namespace}/${change.config}`} class="row wrap"><ChangeLine change={change} isOnly={only !== undefined} within={within} isWhole={open} /></li>
            ))}
            {!open && commit.changes.length > CHANGES_SHOWN_MAX && <li class="soft">and {count(commit.changes.length - CHANGES_SHOWN_MAX, "more config")}</li>}
            {commit.compacted_namespaces.map((namespace) => (
              <li key={namespace} class="soft">What this commit changed in {namespace} was removed by the retention of the namespace.</li>
            ))}
          </ul>
        </div>
        <div class="row wrap commit-actions">
          <Button small kind="quiet" icon="compare" aria-expanded={open} aria-label={`${open ? "Hide what changed" : "What changed"} in revision ${commit.revision}`} onClick={() => setOpen(!open)}>
            {open ? "Hide" : "What changed"}
          </Button>
          {actions}
        </div>
      </div>
      {open && <CommitDetails commit={commit} {...(only === undefined ? {} : { only })} />}
    </li>
  );
}

function ChangeLine({ change, isOnly, within, isWhole }: { change: Schemas["ConfigChange"]; isOnly: boolean; within: string | undefined; isWhole: boolean }) {
  const layers = isWhole ? change.layers : change.layers.slice(0, LAYERS_SHOWN_MAX);
  const layersLeft = change.layers.length - layers.length + change.layers_omitted;
  const name = change.namespace === within ? change.config : `${change.namespace}/${change.config}`;
  return (
    <>
      {!isOnly && <a href={configHref(change.namespace, change.config, "history")}>{name}</a>}
      {!isOnly && change.version > 0 && <span class="faint small">version {change.version}</span>}
      {change.restored_version > 0 && <span class="soft">as in version {change.restored_version}</span>}
      {layers.map((layer) => (
        <span key={`${layer.kind}${layer.scope}`} class="row">
          <ScopeBadge scope={layer.scope} override={layer.kind === "LAYER_KIND_OVERRIDE"} />
          {layer.action === "LAYER_ACTION_DELETE" && <span class="soft small">deleted</span>}
        </span>
      ))}
      {layersLeft > 0 && <span class="soft">and {count(layersLeft, "more layer")}</span>}
      {change.tags.map((tag) => (
        <span key={tag.tag} class="soft">
          <Badge icon="tag">{tag.tag}</Badge> {tag.version > 0 ? `names version ${tag.version}` : "removed"}
        </span>
      ))}
    </>
  );
}

function CommitDetails({ commit, only }: { commit: Commit; only?: ConfigPlace }) {
  const answer = useQuery(`commit ${commit.revision}`, (signal) => get("/v1/commits/{revision}", { path: { revision: commit.revision }, signal }));
  if (answer.error !== undefined) return <ErrorNote error={answer.error} retry={answer.reload} />;
  const listed = answer.data?.commit;
  if (listed === undefined) return <Skeleton lines={2} />;
  const isHere = (difference: Schemas["ScopeDifference"]) =>
    only === undefined || (difference.namespace === only.namespace && difference.config === only.config);
  const differences = listed.differences.filter(isHere);
  return (
    <div class="commit-details stack">
      {differences.length === 0 && <p class="soft">This commit changed no effective document that you may read.</p>}
      {differences.map((difference) => (
        <div key={`${difference.namespace}/${difference.config}${difference.scope}`} class="difference">
          <p class="row">{only === undefined && `${difference.namespace}/${difference.config}`} <ScopeBadge scope={difference.scope} /></p>
          {difference.unknown
            ? <p class="soft">Not known: the document before this commit was removed by retention.</p>
            : difference.changes.length === 0
              ? <p class="soft">No effective difference: other layers hide the change, or only an expiry changed.</p>
              : <ValueChanges changes={difference.changes} more={difference.more} />}
        </div>
      ))}
      {listed.scopes_omitted > 0 && <p class="soft">{count(listed.scopes_omitted, "more scope")} not shown.</p>}
      <Facts
        facts={[
          ["Scopes reached", String(listed.scopes_reached)],
          ["Credential", commit.credential],
          ["Address", commit.address],
          ["Call", commit.call_id],
          ...Object.entries(commit.annotations),
          ["Hash", commit.chain_hash],
        ]}
      />
    </div>
  );
}

/** Names and values, of which empty ones are left out. */
export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts small">
      {facts.filter(([, value]) => value !== "" && value !== undefined).map(([name, value]) => (
        <div key={name}><dt class="soft">{name}</dt><dd class="break">{value}</dd></div>
      ))}
    </dl>
  );
}
