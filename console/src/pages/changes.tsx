// Changes: the commits of all namespaces, or of one, live, with filters. Knows the address of the page; `history/` shows a commit.
import { useEffect, useState } from "preact/hooks";
import { get, type Commit, type Schemas } from "../api/client";
import { onCommit, resets } from "../api/live";
import { place, scope, setQuery } from "../router";
import { Button } from "../ui/button";
import { sourceName } from "../ui/changes";
import { Segmented } from "../ui/field";
import { CommitEntry } from "./history/commit";
import { Compacted, RevertDialog } from "./history/list";
import { RestorePanel } from "./history/restore";
import { Filters } from "./parts/forms";
import { ListEnd, ListState } from "./parts/list";
import { usePages } from "./parts/paged";
import { count, toTimestamp } from "./parts/words";

const SOURCES: readonly Schemas["CommitSource"][] = [
  "COMMIT_SOURCE_SET", "COMMIT_SOURCE_APPLY", "COMMIT_SOURCE_DELETE", "COMMIT_SOURCE_ROLLBACK", "COMMIT_SOURCE_REVERT", "COMMIT_SOURCE_RESTORE",
  "COMMIT_SOURCE_EXPIRY", "COMMIT_SOURCE_TAG", "COMMIT_SOURCE_SCHEMA", "COMMIT_SOURCE_MIGRATION",
];
/** So many commits that came while the page was open are shown above those that it read. */
const ARRIVED_MAX = 500;

const FILTERS = ["ns", "config", "within", "actor", "source", "from", "to", "revision"] as const;
type Filter = Record<(typeof FILTERS)[number], string>;

export function ChangesPage() {
  const { query } = place.value;
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""])) as Filter;
  const view = query.get("view") === "restore" && filter.ns !== "" ? "restore" : "commits";
  return (
    <div class="page stack">
      <div class="row wrap between">
        <h1>{filter.ns === "" ? "Changes" : `Changes of ${filter.ns}`}</h1>
        {filter.ns !== "" && (
          <Segmented
            label="View of the namespace"
            value={view}
            options={[{ value: "commits", label: "Commits" }, { value: "restore", label: "Tags and restore" }]}
            onValue={(value) => setQuery({ view: value === "restore" ? value : undefined })}
          />
        )}
      </div>
      {view === "commits" ? <Commits filter={filter} /> : <RestorePanel namespace={filter.ns} config="" scope={scope.value} />}
    </div>
  );
}

function Commits({ filter }: { filter: Filter }) {
  const [arrived, setArrived] = useState<readonly Commit[]>([]);
  const [reverting, setReverting] = useState<number>();
  const [last, setLast] = useState<Schemas["ListChangesResponse"]>();
  const key = JSON.stringify(filter);
  const exact = /^\d{1,15}$/.test(filter.revision) ? Number(filter.revision) : undefined;
  const list = usePages(
    key,
    async (token, signal) => {
      if (token === "") setArrived([]);
      if (exact !== undefined) {
        const { commit } = await get("/v1/commits/{revision}", { path: { revision: exact }, signal });
        return { items: commit?.commit === undefined ? [] : [commit.commit], next: "" };
      }
      const answer = await get("/v1/commits", { query: { ...queryOf(filter), page_size: 50, page_token: token }, signal });
      setLast(answer);
      return { items: answer.commits.flatMap(({ commit }) => commit ?? []), next: answer.next_page_token };
    },
    resets.value,
  );
  useEffect(
    () => onCommit((commit) => {
      const matching = matched(commit, filter);
      if (matching !== undefined) setArrived((before) => withPart(before, matching));
    }),
    [key],
  );
  const known = new Set(list.items.map(({ revision }) => revision));
  const fresh = arrived.filter(({ revision }) => !known.has(revision));
  const shown = [...fresh, ...list.items];
  const isFiltered = FILTERS.some((name) => filter[name] !== "");
  return (
    <>
      <Filters
        fields={[
          { name: "config", label: "Config", value: filter.config, hidden: filter.ns === "" },
          { name: "within", label: "At or below scope", value: filter.within, placeholder: "/production" },
          { name: "actor", label: "Actor", value: filter.actor, placeholder: "user:alice" },
          { name: "source", label: "Kind of write", value: filter.source, options: SOURCES.map((source) => [source, sourceName(source)] as const) },
          { name: "from", label: "From", value: filter.from, type: "datetime-local" },
          { name: "to", label: "To", value: filter.to, type: "datetime-local" },
          { name: "revision", label: "Revision", value: filter.revision, type: "number" },
        ]}
      />
      <p class="visually-hidden" role="status">{fresh.length > 0 && `${count(fresh.length, "new commit")} since the page was opened`}</p>
      <ListState list={list} shown={shown.length} more={list.more} icon="history" empty={isFiltered ? "No such change" : "Nothing was changed yet"}>
        <p>{isFiltered ? "No commit that you may read matches these filters." : "Commits appear here as they are made."}</p>
      </ListState>
      {shown.length > 0 && (
        <ol class="panel commits" aria-label="Commits, the newest first">
          {shown.map((commit) => (
            <CommitEntry
              key={commit.revision}
              commit={commit}
              {...(filter.ns === "" ? {} : { within: filter.ns })}
              fresh={fresh.includes(commit)}
              isOpen={exact !== undefined}
              actions={commit.source !== "COMMIT_SOURCE_TAG" && (
                <Button small kind="quiet" icon="undo" aria-label={`Revert revision ${commit.revision}`} onClick={() => setReverting(commit.revision)}>Revert</Button>
              )}
            />
          ))}
        </ol>
      )}
      <ListEnd list={list} noun="commits" />
      {!list.more && !list.loading && exact === undefined && last !== undefined && last.oldest_revision > 1 && <Compacted revision={last.oldest_revision} />}
      {reverting !== undefined && <RevertDialog revision={reverting} onClose={() => setReverting(undefined)} />}
    </>
  );
}

function queryOf(filter: Filter) {
  return {
    namespace: filter.ns,
    ...(filter.ns === "" ? {} : { config: filter.config }),
    ...(filter.within === "" ? {} : { scope: filter.within }),
    actor: filter.actor,
    ...(filter.source === "" ? {} : { sources: [filter.source as Schemas["CommitSource"]] }),
    ...(filter.from === "" ? {} : { from_time: toTimestamp(filter.from) }),
    ...(filter.to === "" ? {} : { to_time: toTimestamp(filter.to) }),
  };
}

/** The list with another commit, or with another part of a commit that comes in parts. */
function withPart(before: readonly Commit[], part: Commit): readonly Commit[] {
  const earlier = before.find(({ revision }) => revision === part.revision);
  const whole = earlier === undefined ? part : { ...part, changes: [...earlier.changes, ...part.changes] };
  return [whole, ...before.filter((commit) => commit !== earlier)].slice(0, ARRIVED_MAX);
}

/** A commit of the stream with those of its changes that match. `undefined`: none of them does. */
function matched(commit: Commit, filter: Filter): Commit | undefined {
  if (filter.revision !== "") return undefined;
  if (filter.actor !== "" && commit.actor !== filter.actor) return undefined;
  if (filter.source !== "" && commit.source !== filter.source) return undefined;
  const time = Date.parse(commit.time ?? "");
  if ((filter.from !== "" && time < Date.parse(filter.from)) || (filter.to !== "" && time > Date.parse(filter.to))) return undefined;
  const isBelow = (scope: string) => filter.within === "" || filter.within === "/" || scope === filter.within || scope.startsWith(`${filter.within}/`);
  const changes = commit.changes
    .filter(({ namespace, config }) => (filter.ns === "" || namespace === filter.ns) && (filter.config === "" || config === filter.config))
    .map((change) => (filter.within === "" ? change : { ...change, layers: change.layers.filter(({ scope }) => isBelow(scope)), tags: [] }))
    .filter(({ layers }) => filter.within === "" || layers.length > 0);
  return changes.length === 0 ? undefined : { ...commit, changes };
}
