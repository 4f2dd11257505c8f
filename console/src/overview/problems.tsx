// Problems that the server knows of, for callers who may read its state.
import { get } from "../api/client";
import { useQuery } from "../ui/query";
import { Note } from "../ui/states";
import { useEffect } from "preact/hooks";

const AGAIN_MS = 30_000;

export function Problems() {
  const { data, reload } = useQuery("status", (signal) => get("/v1/status", { signal }));
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  const problems = data?.server?.problems ?? [];
  if (!problems.length) return null;
  return (
    <section class="stack" aria-label="Problems of the server">
      {problems.map(({ reason, message }) => (
        <Note key={reason} tone="warn">
          <strong>{words(reason)}.</strong> {message}
        </Note>
      ))}
    </section>
  );
}

/** `DISK_ALMOST_FULL` as "Disk almost full". */
function words(reason: string): string {
  const text = reason.toLowerCase().replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
