// The newest commits, from history and then from the stream.
import { get, type Commit } from "../api/client";
import { recent, resets } from "../api/live";
import { configHref, href } from "../router";
import { Actor, sourceName } from "../ui/changes";
import { isProduction } from "../ui/badge";
import { useQuery } from "../ui/query";
import { ErrorNote, Skeleton } from "../ui/states";
import { Time } from "../ui/time";

const SHOWN_MAX = 30;
const CONFIGS_MAX = 3;

export function RecentChanges({ namespace }: { namespace: string }) {
  const past = useQuery(
    `recent ${namespace}`,
    (signal) =>
      namespace
        ? get("/v1/namespaces/{namespace}/commits", { path: { namespace }, query: { page_size: SHOWN_MAX }, signal })
        : get("/v1/commits", { query: { page_size: SHOWN_MAX }, signal }),
    resets.value,
  );
  const isOfPage = (commit: Commit) => !namespace || commit.changes.some((change) => change.namespace === namespace);
  const read = past.data?.commits.flatMap(({ commit }) => (commit ? [commit] : [])) ?? [];
  const newest = read[0]?.revision ?? 0;
  const commits = [...recent.value.filter((commit) => commit.revision > newest && isOfPage(commit)), ...read].slice(0, SHOWN_MAX);
  return (
    <section class="panel recent" aria-label="Recent changes">
      <header class="row between">
        <h2>Recent changes</h2>
        <a href={href("/changes", { ns: namespace || undefined })}>All changes</a>
      </header>
      {past.error ? (
        <div class="body">
          <ErrorNote error={past.error} retry={past.reload} />
        </div>
      ) : past.data ? (
        <ol tabIndex={0} aria-label="Recent changes">
          {commits.map((commit) => (
            <Entry key={commit.revision} commit={commit} isNew={recent.value.includes(commit)} />
          ))}
          {!commits.length && <li class="soft">Nothing has been changed yet.</li>}
        </ol>
      ) : (
        <div class="body">
          <Skeleton lines={8} />
        </div>
      )}
    </section>
  );
}

function Entry({ commit, isNew }: { commit: Commit; isNew: boolean }) {
  const shown = commit.changes.slice(0, CONFIGS_MAX);
  const production = commit.changes.some(({ layers }) => layers.some(({ scope }) => isProduction(scope)));
  return (
    <li class={isNew ? "new" : undefined}>
      <div class="row between">
        <span class="truncate">
          <strong>
            <Actor name={commit.actor} />
          </strong>{" "}
          <span class="soft">{sourceName(commit.source)}</span>
        </span>
        <span class="faint small">
          <Time at={commit.time} />
        </span>
      </div>
      <div class="what">
        {shown.map((change) => (
          <a key={`${change.namespace}/${change.config}`} class="break" href={configHref(change.namespace, change.config, "history", scopeOf(change.layers))}>
            {change.namespace}/{change.config}
          </a>
        ))}
        {commit.changes.length > shown.length && <span class="faint">and {commit.changes.length - shown.length} more</span>}
        {production && <span class="badge production">production</span>}
      </div>
      {commit.reason && <p class="soft small break">{commit.reason}</p>}
    </li>
  );
}

function scopeOf(layers: readonly { scope: string }[]): { scope: string } | undefined {
  const only = layers.length === 1 ? layers[0] : undefined;
  return only ? { scope: only.scope } : undefined;
}
