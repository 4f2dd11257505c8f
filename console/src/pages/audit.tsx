// Audit: changes, denied and refused calls, and reveals of secrets, with filters; and the state of the chains of hashes.
import { useEffect, useState } from "preact/hooks";
import { post, type Schemas } from "../api/client";
import { textOf } from "../api/problem";
import { configHref, place } from "../router";
import { Badge, ScopeBadge } from "../ui/badge";
import { Button, IconButton } from "../ui/button";
import { CopyButton } from "../ui/copy";
import { ErrorNote, Note } from "../ui/states";
import { exactTime } from "../ui/time";
import { AUDIT_KINDS, followAudit, listAudit, type AuditQuery } from "./audit/calls";
import { Facts } from "./history/commit";
import { Filters } from "./parts/forms";
import { changesHref } from "./parts/links";
import { ListEnd, ListState } from "./parts/list";
import { usePages } from "./parts/paged";
import { count, short, toTimestamp, word } from "./parts/words";

type Entry = Schemas["AuditEntry"];

const VERBS = ["read", "write", "rollback", "override", "validate", "tag", "schema", "reveal-secret", "backup", "audit", "admin"];
/** So many entries that came while the page was open are shown above those that it read. */
const ARRIVED_MAX = 500;

export function AuditPage() {
  const { query } = place.value;
  const text = (name: string) => query.get(name) ?? "";
  const filter: AuditQuery = {
    kinds: text("kind") === "" ? [] : [text("kind") as Schemas["AuditKind"]],
    actor: text("actor"),
    address: text("address"),
    verb: text("verb"),
    namespace: text("ns"),
    config: text("ns") === "" ? "" : text("config"),
    outcome: text("outcome"),
    from_time: toTimestamp(text("from")),
    to_time: toTimestamp(text("to")),
  };
  const key = JSON.stringify(filter);
  const isFiltered = Object.values(filter).some((value) => value.length > 0);
  const [arrived, setArrived] = useState<readonly Entry[]>([]);
  const [streamError, setStreamError] = useState<unknown>();
  const list = usePages(key, (token, signal) => listAudit(filter, token, signal));
  useEffect(() => {
    setArrived([]);
    setStreamError(undefined);
    // Nothing new can be before a time in the past.
    if (filter.to_time !== "") return undefined;
    const abort = new AbortController();
    void followAudit(filter, (entry) => setArrived((before) => [entry, ...before].slice(0, ARRIVED_MAX)), setStreamError, abort.signal);
    return () => abort.abort();
  }, [key]);
  const known = new Set(list.items.map(idOf));
  const fresh = arrived.filter((entry) => !known.has(idOf(entry)));
  const entries = [...fresh, ...list.items];
  return (
    <div class="page stack">
      <Heading title={filter.namespace === "" ? "Audit" : `Audit of ${filter.namespace}`} />
      <Filters
        fields={[
          { name: "kind", label: "Kind", value: text("kind"), options: AUDIT_KINDS.map((kind) => [kind, word(kind, "AUDIT_KIND_")] as const) },
          { name: "actor", label: "Actor", value: filter.actor, placeholder: "user:alice or token:*" },
          { name: "verb", label: "Action", value: filter.verb, options: VERBS.map((verb) => [verb, verb] as const) },
          { name: "ns", label: "Namespace", value: filter.namespace },
          { name: "config", label: "Config", value: filter.config, hidden: filter.namespace === "" },
          { name: "outcome", label: "Outcome", value: filter.outcome, placeholder: "PERMISSION_DENIED" },
          { name: "address", label: "Address", value: filter.address },
          { name: "from", label: "From", value: text("from"), type: "datetime-local" },
          { name: "to", label: "To", value: text("to"), type: "datetime-local" },
        ]}
      />
      {streamError !== undefined && list.error === undefined && <Note tone="warn" icon="unplug">New entries do not appear by themselves now: {textOf(streamError)}</Note>}
      <p class="visually-hidden" role="status">{fresh.length > 0 && (fresh.length === 1 ? "1 new entry" : `${fresh.length} new entries`)}</p>
      <ListState list={list} shown={entries.length} more={list.more} icon="shield" empty={isFiltered ? "No such entry" : "No entries"}>
        <p>{isFiltered ? "No entry that you may see matches these filters." : "There is no entry that you may see."}</p>
      </ListState>
      {entries.length > 0 && (
        <div class="panel scroll-x" tabIndex={0} role="region" aria-label="Audit entries, the newest first">
          <table class="table cards">
            <thead>
              <tr>
                <th scope="col">Time</th><th scope="col">Kind</th><th scope="col">Actor</th><th scope="col">Action</th><th scope="col">Target</th><th scope="col">Outcome</th>
                <th scope="col"><span class="visually-hidden">Details</span></th>
              </tr>
            </thead>
            <tbody>{entries.map((entry) => <EntryRows key={idOf(entry)} entry={entry} isFresh={fresh.includes(entry)} />)}</tbody>
          </table>
        </div>
      )}
      <ListEnd list={list} noun="entries" />
    </div>
  );
}

function idOf(entry: Entry): string {
  return entry.sequence > 0 ? `record ${entry.sequence}` : `revision ${entry.revision}`;
}

const BAD: readonly Schemas["AuditKind"][] = ["AUDIT_KIND_DENIED", "AUDIT_KIND_REFUSED", "AUDIT_KIND_LOST"];

function EntryRows({ entry, isFresh }: { entry: Entry; isFresh: boolean }) {
  const [open, setOpen] = useState(false);
  const target = entry.namespace === "" ? changed(entry) : `${entry.namespace}${entry.config === "" ? "" : `/${entry.config}`}`;
  return (
    <>
      <tr class={isFresh ? "fresh" : undefined}>
        <td data-label="Time" class="nowrap">{entry.time && <time dateTime={entry.time} title={entry.time}>{exactTime(entry.time)}</time>}</td>
        <td data-label="Kind">
          <Badge tone={BAD.includes(entry.kind) ? "bad" : undefined}>{word(entry.kind, "AUDIT_KIND_")}</Badge>
          {entry.count > 1 && <span class="soft small"> {entry.count} times</span>}
        </td>
        <td data-label="Actor" class="break">{entry.actor === "" ? <span class="faint">unknown</span> : entry.actor}</td>
        <td data-label="Action">{entry.verb || word(entry.source, "COMMIT_SOURCE_").replace("unspecified", "")}</td>
        <td data-label="Target" class="break">
          {entry.namespace !== "" && entry.config !== ""
            ? <a href={configHref(entry.namespace, entry.config, "history", { scope: entry.scope || "/" })}>{target}</a>
            : target || <span class="faint">the store</span>}{" "}
          {entry.scope !== "" && <ScopeBadge scope={entry.scope} />}
        </td>
        <td data-label="Outcome">{entry.outcome !== "" && <code class="small break">{entry.outcome}</code>}</td>
        <td><Button small kind="quiet" aria-expanded={open} aria-label={`${open ? "Less" : "More"} about ${idOf(entry)}`} onClick={() => setOpen(!open)}>{open ? "Less" : "More"}</Button></td>
      </tr>
      {open && <tr class="details"><td colSpan={7}><Details entry={entry} /></td></tr>}
    </>
  );
}

function changed(entry: Entry): string {
  const names = entry.changes.map((change) => `${change.namespace}/${change.config}`);
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${count(names.length - 3, "more config")}` : names.join(", ");
}

function Details({ entry }: { entry: Entry }) {
  const layers = entry.changes.flatMap((change) => change.layers.map(({ scope }) => `${change.namespace}/${change.config} ${scope}`));
  return (
    <Facts
      facts={[
        ["Reason", entry.reason],
        ["Detail", entry.detail],
        ["Events", entry.count > 1 ? `${entry.count}, from ${entry.first_time ?? "?"} to ${entry.last_time ?? "?"}` : ""],
        ["First target", entry.first_resource],
        ["Last target", entry.last_resource],
        ["Layers", layers.length > 50 ? `${layers.slice(0, 50).join(", ")} and ${layers.length - 50} more` : layers.join(", ")],
        ["Address", entry.address],
        ["Credential", entry.credential],
        ["Call", entry.rpc_method],
        ["Request id", entry.request_id],
        ["Commit", entry.revision > 0 ? <a href={changesHref({ revision: String(entry.revision) })}>revision {entry.revision}</a> : ""],
        ["Record", entry.sequence > 0 ? String(entry.sequence) : ""],
        ["Hash", entry.chain_hash],
      ]}
    />
  );
}

/** The title, and the proof of the chains of hashes on demand, for which the server reads all their files. */
function Heading({ title }: { title: string }) {
  const [busy, setBusy] = useState(false);
  const [proof, setProof] = useState<Schemas["AuditServiceVerifyResponse"]>();
  const [error, setError] = useState<unknown>();
  const verify = async () => {
    setBusy(true);
    setError(undefined);
    setProof(undefined);
    try {
      setProof(await post("/v1/audit:verify", { body: {} }));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const chains: [string, Schemas["ChainProof"] | undefined][] = proof === undefined ? [] : [
    ["Commits", proof.commits],
    ["Audit log", proof.records],
    ...proof.parts.map((part): [string, Schemas["ChainProof"]] => [`Audit log, ${part.name}`, part]),
  ];
  return (
    <>
      <div class="row wrap between">
        <h1>{title}</h1>
        <Button icon="shield" onClick={verify} busy={busy}>Verify the chains</Button>
      </div>
      {error !== undefined && <ErrorNote error={error} />}
      {proof !== undefined && (
        <section class="panel" aria-label="Chains of hashes">
          <header>
            <h2 class="grow">Chains of hashes</h2>
            <IconButton icon="close" label="Close the chains" small onClick={() => setProof(undefined)} />
          </header>
          <div class="body stack">
            <div role="status">
              {proof.intact ? <Note tone="good">Every link is intact.</Note> : <Note tone="bad">A chain is broken: something was altered, or is missing.</Note>}
            </div>
            <div class="scroll-x" tabIndex={0} role="region" aria-label="Chains">
              <table class="table cards">
                <thead><tr><th scope="col">Chain</th><th scope="col">State</th><th scope="col">Verified</th><th scope="col">Newest hash</th></tr></thead>
                <tbody>
                  {chains.map(([name, chain]) => chain !== undefined && (
                    <tr key={name}>
                      <td data-label="Chain">{name}</td>
                      <td data-label="State">
                        {chain.broken === undefined || chain.broken === null
                          ? <Badge tone="good" icon="check">intact</Badge>
                          : <span class="break"><Badge tone="bad" icon="alert">broken</Badge> at {chain.broken.number || "an unknown place"}: {chain.broken.message}</span>}
                      </td>
                      <td data-label="Verified">{chain.count === 0 ? "no links" : `${count(chain.count, "link")}, ${chain.first} to ${chain.newest}`}</td>
                      <td data-label="Newest hash">
                        {chain.count > 0 && <span class="row"><code title={chain.newest_hash}>{short(chain.newest_hash)}</code><CopyButton text={chain.newest_hash} label={`Copy the newest hash of ${name}`} /></span>}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            <p class="soft small">
              Each commit and each record has a hash over itself and the one before, so that nobody alters the past unseen. No chain shows by itself that its end was cut off: keep the newest
              hashes elsewhere, and compare them later.
            </p>
          </div>
        </section>
      )}
    </>
  );
}
