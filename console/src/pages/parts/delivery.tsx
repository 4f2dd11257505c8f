// Who has received a commit, live. Knows FleetService.WaitConverged.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { isAbort } from "../../api/problem";
import { ErrorNote } from "../../ui/states";
import { messages } from "./stream";
import { count } from "./words";

type Progress = Schemas["WaitConvergedResponse"];

/** Waits so long for watchers. */
const TIMEOUT = "30s";

/** Counts the watchers that were sent the state of a commit, until all were. */
export function Delivery({ revision }: { revision: number }) {
  const [progress, setProgress] = useState<Progress>();
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const abort = new AbortController();
    const follow = async () => {
      for await (const message of messages<Progress>("/v1/watches:waitConverged", { revision, timeout: TIMEOUT }, abort.signal)) setProgress(message);
    };
    follow().catch((failure: unknown) => isAbort(failure) || setError(failure));
    return () => abort.abort();
  }, [revision]);
  if (error !== undefined) return <ErrorNote error={error} />;
  if (progress === undefined) return <p role="status">Waiting for the watchers…</p>;
  return (
    <div role="status" class="stack">
      <p>{sentence(progress)}</p>
      {progress.watchers > 0 && <progress max={progress.watchers} value={progress.converged} aria-label="Watchers that received it" />}
      {progress.missing.length > 0 && (
        <ul>
          {progress.missing.map((client) => <li key={client.watch_id}><code>{client.client_id || client.watch_id}</code> <span class="soft">{client.actor} {client.address}</span></li>)}
          {progress.missing_omitted > 0 && <li class="soft">and {count(progress.missing_omitted, "more watcher")}</li>}
        </ul>
      )}
    </div>
  );
}

function sentence({ state, watchers, converged }: Progress): string {
  if (state === "CONVERGENCE_TIMED_OUT") return `${converged} of ${count(watchers, "watcher")} received it within 30 seconds. These did not:`;
  if (watchers === 0) return "Nobody that you may see watches what this commit changed.";
  if (state === "CONVERGENCE_CONVERGED") return watchers === 1 ? "The one watcher has received it." : `All ${count(watchers, "watcher")} have received it.`;
  return `${converged} of ${count(watchers, "watcher")} have received it…`;
}
