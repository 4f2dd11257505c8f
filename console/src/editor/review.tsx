// The review of a write to one layer: what it changes, at which scopes, who receives it, and why. Nothing is written without it.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { post, requestId, type Schemas, type ValueChange } from "../api/client";
import { CallError, isAbort, textOf } from "../api/problem";
import { Badge, isProduction, ScopeBadge } from "../ui/badge";
import { Button } from "../ui/button";
import { ValueChanges } from "../ui/changes";
import { Dialog } from "../ui/dialog";
import { Check, SelectField, TextArea } from "../ui/field";
import { Delivery } from "../pages/parts/delivery";
import { Findings } from "../pages/parts/differences";
import { useQuery } from "../ui/query";
import { ErrorNote, Note, Skeleton } from "../ui/states";
import { exactTime } from "../ui/time";
import { type Layers, mergedAt, readChain, type Target } from "./layer";
import { useDenial } from "./permission";
import { differences, isMask, isSecretMark, pointerPath, redacted, toJson, type Value } from "./value";

/** A write, before it is made. */
export interface Plan {
  target: Target;
  /** What the dialog is about: "Review the change". */
  title: string;
  /** The words of the button: "Save". */
  verb: string;
  action: Pick<Schemas["Change"], "replace" | "json_patch" | "delete">;
  /** The layer after the write; `null`: it is deleted. */
  after: Value | null;
  expectedVersion: number;
  /** The action keeps the end of an override as it is. */
  keepsEnd?: boolean;
  /** When the override ends now. */
  expires?: string | undefined;
  /** Whether the schema makes a place a secret. */
  isSecret?: (path: readonly string[]) => boolean;
  /** The text has comments, which the server does not keep. */
  hasComments?: boolean;
}

export interface Saved {
  revision: number;
  version: number;
}

interface Props {
  plan: Plan;
  onClose: () => void;
  /** Called when the write is made; the dialog stays, to show who has it. */
  onSaved: (saved: Saved) => void;
  /** The layer was changed since it was read: nothing is written. */
  onConflict: () => void;
}

/** Limits above which a write asks, as those of the command line. */
const ASK_ABOVE = { scopes: 1000, watchers: 1000 };
const SCOPES_SHOWN = 50;
const CLIENTS_SHOWN = 100;

export function Review({ plan, onClose, onSaved, onConflict }: Props) {
  const { target } = plan;
  const isOverride = target.kind === "LAYER_KIND_OVERRIDE";
  const [reason, setReason] = useState("");
  const [ttl, setTtl] = useState(plan.expires ? "keep" : isOverride && plan.expectedVersion === 0 && !plan.keepsEnd ? "3600s" : "");
  const [isChecked, setChecked] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const [saved, setSaved] = useState<Saved>();
  // One id for one intention: a click after a lost answer does not write twice.
  const id = useRef(requestId());
  const change = useMemo(() => changeOf(plan, ttl), [plan, ttl]);
  const check = useQuery(JSON.stringify([target, ttl]), (signal) => post("/v1/layers:validate", { body: { changes: [change] }, signal, maskSecrets: true }));
  const denial = useDenial(target);
  const isStale = check.error instanceof CallError && check.error.isConflict;
  useEffect(() => {
    if (isStale) onConflict();
  }, [isStale]);

  const found = check.data;
  const affected = found?.affected ?? [];
  const scopes = affected.length + (found?.affected_omitted ?? 0);
  const watchers = affected.reduce((sum, each) => sum + each.watchers, 0);
  const isFar = scopes > ASK_ABOVE.scopes || watchers > ASK_ABOVE.watchers;
  const needsReason = found?.report?.findings.some(({ code }) => code === "REASON_REQUIRED") ?? false;
  const findings = (found?.report?.findings ?? []).filter(({ code }) => code !== "REASON_REQUIRED");
  const maySave = !denial && found !== undefined && found.report?.valid === true && found.changed && (!isFar || isChecked) && (!needsReason || reason.trim() !== "");

  const save = async (event: Event) => {
    event.preventDefault();
    if (!maySave || busy) return;
    setBusy(true);
    setFailure(undefined);
    try {
      const response = await post("/v1/namespaces/{namespace}/configs/{config}/layers:set", {
        path: { namespace: target.namespace, config: target.config },
        body: { change: changeOf(plan, ttl), options: { reason: reason.trim(), request_id: id.current } },
        maskSecrets: true,
      });
      const outcome = { revision: response.store_revision, version: response.document?.version ?? 0 };
      setSaved(outcome);
      onSaved(outcome);
    } catch (error) {
      if (error instanceof CallError && error.isConflict) onConflict();
      else setFailure(error);
    } finally {
      setBusy(false);
    }
  };

  if (saved) {
    return (
      <Dialog title={plan.title} onClose={onClose} footer={<Button kind="primary" onClick={onClose}>Close</Button>}>
        <div class="stack">
          <Note tone="good">
            Saved as version {saved.version}, revision {saved.revision}.
          </Note>
          <Delivery revision={saved.revision} />
        </div>
      </Dialog>
    );
  }
  const footer = (
    <>
      <Button onClick={onClose} disabled={busy}>
        {found && !found.changed && found.report?.valid ? "Close" : "Cancel"}
      </Button>
      <Button type="submit" form="review" kind={isProduction(target.scope) ? "danger" : "primary"} busy={busy} disabled={!maySave}>
        {plan.verb}
      </Button>
    </>
  );
  const title = (
    <>
      {plan.title} <ScopeBadge scope={target.scope} override={isOverride} />
    </>
  );
  return (
    <Dialog title={title} size="wide" sticky={busy} onClose={onClose} footer={footer}>
      <form id="review" class="stack review" onSubmit={save} onKeyDown={(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && void save(event)}>
        {denial && <Note tone="warn" icon="lock">{denial}</Note>}
        {check.error !== undefined && !isStale && <Refused error={check.error} retry={check.reload} />}
        {check.loading && !found && <Skeleton lines={6} />}
        {found && (
          <>
            {findings.length > 0 && <Findings findings={findings} omitted={found.report?.omitted ?? 0} />}
            {found.report?.valid === false && <Note tone="bad">The server refuses this change. Correct it, and review it again.</Note>}
            {found.report?.valid && !found.changed && <Note>Nothing would change: the layer is as this one already.</Note>}
            {found.changed && (
              <>
                <LayerDifferences changes={found.results[0]?.diff ?? []} isDelete={plan.after === null} />
                <Affected plan={plan} affected={affected} omitted={found.affected_omitted} watchers={watchers} />
                {watchers > 0 && <Clients target={target} affected={affected} />}
              </>
            )}
          </>
        )}
        {plan.hasComments && <Note>The server keeps values. Comments of the text, and the order of its keys, are not stored.</Note>}
        {isOverride && plan.after !== null && !plan.keepsEnd && (
          <SelectField label="The override ends" value={ttl} onValue={setTtl} options={endings(plan.expires)} hint="The server removes it then, with a commit. Watchers receive what holds without it." />
        )}
        <TextArea
          label={needsReason ? "Reason (required in this namespace)" : "Reason"}
          value={reason}
          onValue={setReason}
          rows={2}
          hint="Why the change is made. It stays in the history. Ctrl Enter saves."
          error={reason.length > 1024 ? "At most 1024 bytes." : undefined}
        />
        {isFar && (
          <Note tone="warn">
            <p>
              This write reaches far: {scopes.toLocaleString("en")} scopes and {watchers.toLocaleString("en")} watchers.
            </p>
            <Check label="I have checked what it reaches, and want to write it." checked={isChecked} onChecked={setChecked} />
          </Note>
        )}
        {failure !== undefined && <Refused error={failure} />}
      </form>
    </Dialog>
  );
}

function changeOf(plan: Plan, ttl: string): Schemas["Change"] {
  const { namespace, config, scope, kind } = plan.target;
  const seconds = ttl === "keep" && plan.expires ? `${Math.max(1, Math.ceil((Date.parse(plan.expires) - Date.now()) / 1000))}s` : ttl;
  return { namespace, config, scope, kind, ...plan.action, expected_version: plan.expectedVersion, ...(seconds && plan.after !== null ? { ttl: seconds } : {}) };
}

function endings(expires: string | undefined): { value: string; label: string }[] {
  return [
    ...(expires ? [{ value: "keep", label: `as now, ${exactTime(expires)}` }] : []),
    { value: "900s", label: "in 15 minutes" },
    { value: "3600s", label: "in an hour" },
    { value: "14400s", label: "in 4 hours" },
    { value: "86400s", label: "in a day" },
    { value: "604800s", label: "in a week" },
    { value: "", label: "never, until somebody deletes it" },
  ];
}

/** An error with the fields and findings that the server names. */
export function Refused({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof CallError ? error.problem : undefined;
  const violations = problem?.violations ?? [];
  const findings = problem?.findings ?? [];
  if (!violations.length && !findings.length) return <ErrorNote error={error} retry={retry} />;
  return (
    <Note tone="bad">
      <p>{textOf(error)}</p>
      <ul>
        {violations.map((violation, at) => (
          <li key={at}>
            <code>{violation.field}</code>: {violation.description}
          </li>
        ))}
      </ul>
      {findings.length > 0 && <Findings findings={findings} omitted={0} />}
    </Note>
  );
}

function LayerDifferences({ changes, isDelete }: { changes: readonly ValueChange[]; isDelete: boolean }) {
  return (
    <section class="stack" aria-label="What changes in the layer">
      <h3>In this layer</h3>
      {isDelete && <p class="soft">The layer is deleted. What the scope inherits is back.</p>}
      {changes.length === 0 ? !isDelete && <p class="soft">Only the time at which the override ends, or more than can be listed.</p> : <ValueChanges changes={changes} more={changes.length >= 100} />}
    </section>
  );
}

/** The scopes whose documents change, each with its differences when it is opened. */
function Affected({ plan, affected, omitted, watchers }: { plan: Plan; affected: readonly Schemas["AffectedTarget"][]; omitted: number; watchers: number }) {
  const known = useRef<Layers>(new Map());
  if (!affected.length) return <Note>No document that you may read changes: other layers decide all these values.</Note>;
  const count = affected.length + omitted;
  return (
    <section class="stack" aria-label="Documents that change">
      <h3>
        {count === 1 ? "One document changes" : `${count.toLocaleString("en")} documents change`}, {watchers === 1 ? "one watcher receives it" : `${watchers.toLocaleString("en")} watchers receive it`}
      </h3>
      <div class="scopes">
        {affected.slice(0, SCOPES_SHOWN).map((each, at) => (
          <ScopeDifferences key={`${each.config}${each.scope}`} plan={plan} affected={each} known={known.current} isOpen={at === 0} />
        ))}
      </div>
      {count > SCOPES_SHOWN && <p class="soft">{(count - SCOPES_SHOWN).toLocaleString("en")} more scopes are not shown.</p>}
    </section>
  );
}

function ScopeDifferences({ plan, affected, known, isOpen }: { plan: Plan; affected: Schemas["AffectedTarget"]; known: Layers; isOpen: boolean }) {
  const [opened, setOpened] = useState(isOpen);
  const isSame = affected.namespace === plan.target.namespace && affected.config === plan.target.config;
  return (
    <details open={isOpen} onToggle={(event) => event.currentTarget.open && setOpened(true)}>
      <summary>
        <ScopeBadge scope={affected.scope} />
        {!isSame && <code>{affected.config}</code>}
        <span class="soft small">{affected.watchers === 1 ? "1 watcher" : `${affected.watchers} watchers`}</span>
      </summary>
      {opened && isSame && <EffectiveDifferences plan={plan} scope={affected.scope} known={known} />}
    </details>
  );
}

function EffectiveDifferences({ plan, scope, known }: { plan: Plan; scope: string; known: Layers }) {
  const [changes, setChanges] = useState<ValueChange[]>();
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const controller = new AbortController();
    readChain(plan.target, scope, known, controller.signal).then(
      () => setChanges(effectiveChanges(plan, scope, known)),
      (failure: unknown) => isAbort(failure) || setError(failure),
    );
    return () => controller.abort();
  }, [plan, scope]);
  if (error !== undefined) return <p class="soft">The differences here are not known: {textOf(error)}</p>;
  if (!changes) return <Skeleton lines={2} />;
  return changes.length ? <ValueChanges changes={changes.slice(0, 100)} more={changes.length > 100} /> : <p class="soft">The differences here are those of defaults, or are hidden from you.</p>;
}

function effectiveChanges(plan: Plan, scope: string, known: Layers): ValueChange[] {
  const before = mergedAt(scope, known);
  const after = mergedAt(scope, known, { target: plan.target, value: plan.after });
  return differences(before, after).map(({ pointer, older, newer }) => {
    const isSecret = plan.isSecret?.(pointerPath(pointer)) || isMask(older) || isSecretMark(newer);
    const text = (value: Value | undefined) => (value === undefined ? "" : isSecret ? '"***"' : toJson(redacted(value)));
    const type = older === undefined ? "CHANGE_TYPE_ADDED" : newer === undefined ? "CHANGE_TYPE_REMOVED" : "CHANGE_TYPE_CHANGED";
    return { pointer, type, old_value: text(older), new_value: text(newer) };
  });
}

/** The watchers by name, as far as the caller may see them. */
function Clients({ target, affected }: { target: Target; affected: readonly Schemas["AffectedTarget"][] }) {
  const scopes = new Set(affected.map(({ scope }) => scope));
  const list = useQuery(`${target.namespace}/${target.config}${target.scope}`, (signal) =>
    post("/v1/namespaces/{namespace}/clients:list", { path: { namespace: target.namespace }, body: { config: target.config, scope: target.scope, page_size: CLIENTS_SHOWN }, signal }),
  );
  const clients = (list.data?.clients ?? []).filter((client) => client.targets.some((each) => scopes.has(each.scope)));
  if (list.error !== undefined) return <p class="soft">The watchers are not shown: {textOf(list.error)}</p>;
  if (!clients.length) return null;
  return (
    <section class="stack" aria-label="Watchers">
      <h3>Watchers that receive it</h3>
      <ul class="clients">
        {clients.map((client) => (
          <li key={client.watch_id} title={[client.actor, client.address, client.library].filter(Boolean).join(", ")}>
            <Badge icon="watch">{client.client_id || client.actor || client.watch_id}</Badge> <span class="soft small">{client.targets.map(({ scope }) => scope).filter((scope) => scopes.has(scope)).join(", ")}</span>
          </li>
        ))}
      </ul>
      {list.data?.next_page_token && <p class="soft">There are more watchers than these.</p>}
    </section>
  );
}

