// The state of the server: version, figures and problems. Knows StatusService; the figures are of administrators and auditors alone.
import type { ComponentChildren } from "preact";
import { get, type Schemas } from "../../api/client";
import { Badge } from "../../ui/badge";
import { useQuery } from "../../ui/query";
import { ErrorNote, Note, Skeleton } from "../../ui/states";
import { Time } from "../../ui/time";
import { useInterval } from "../parts/paged";
import { bytes } from "../parts/words";

const REFRESH_MS = 10_000;

export function ServerState() {
  const answer = useQuery("status", (signal) => get("/v1/status", { signal }));
  useInterval(answer.reload, REFRESH_MS);
  const status = answer.data;
  if (status === undefined) return answer.error === undefined ? <Skeleton lines={5} /> : <ErrorNote error={answer.error} retry={answer.reload} />;
  const server = status.server;
  return (
    <>
      {answer.error !== undefined && <ErrorNote error={answer.error} retry={answer.reload} />}
      {server?.problems.map((problem) => (
        <Note key={problem.reason} tone="bad"><p>{problem.message}</p><p class="soft small"><code>{problem.reason}</code></p></Note>
      ))}
      {server !== undefined && server.problems.length === 0 && <Note tone="good">The server knows of no problem.</Note>}
      <section class="panel" aria-label="Server">
        <header><h2 class="grow">Server</h2><Badge>version {status.version}</Badge></header>
        <div class="body">
          <dl class="figures">
            <Figure name="Revision" value={status.revision.toLocaleString("en")} />
            <Figure name="Epoch of the store" value={<code>{status.epoch}</code>} />
            {server !== undefined && <Figures server={server} />}
          </dl>
        </div>
      </section>
      {server === undefined && (
        <Note icon="lock">Figures and problems of the server take the permission audit or admin on the whole store, which you do not have.</Note>
      )}
      {server !== undefined && server.compacted_namespaces.length > 0 && (
        <section class="panel" aria-label="History that was cut">
          <header><h2>Namespaces whose history begins later</h2></header>
          <ul class="body">
            {server.compacted_namespaces.map(({ namespace, oldest_revision }) => <li key={namespace} class="line row between"><span>{namespace}</span><span class="soft">from revision {oldest_revision}</span></li>)}
          </ul>
        </section>
      )}
    </>
  );
}

function Figure({ name, value }: { name: string; value: ComponentChildren }) {
  return <div><dt>{name}</dt><dd>{value}</dd></div>;
}

function Figures({ server }: { server: Schemas["ServerStatus"] }) {
  const number = (value: number) => Number(value).toLocaleString("en");
  const { disk } = server;
  return (
    <>
      <Figure name="Started" value={<Time at={server.start_time} />} />
      <Figure name="Configs" value={number(server.configs)} />
      <Figure name="Commits" value={number(server.commits)} />
      <Figure name="Oldest revision" value={number(server.oldest_revision)} />
      <Figure name="Watchers" value={number(server.watchers)} />
      <Figure name="Watched targets" value={number(server.watched_targets)} />
      <Figure name="Deliveries behind" value={`${number(server.watch_lag_revisions)} revisions`} />
      <Figure name="Calls" value={number(server.calls)} />
      <Figure name="Failed calls" value={number(server.calls_failed)} />
      <Figure name="Connections" value={`${number(server.connections)} of ${number(server.connections_max)}`} />
      {server.memory_bytes > 0 && <Figure name="Memory" value={bytes(server.memory_bytes)} />}
      {disk && <Figure name="Indexes" value={bytes(disk.database_bytes)} />}
      {disk && <Figure name="Journal" value={bytes(Number(disk.journal_bytes) + Number(disk.write_ahead_log_bytes))} />}
      {disk && <Figure name="Audit log" value={bytes(disk.audit_bytes)} />}
      {disk?.free_bytes !== undefined && <Figure name="Free disk" value={bytes(disk.free_bytes)} />}
    </>
  );
}
