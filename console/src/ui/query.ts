// Reads for components: the answer of a call, its error, and whether it is on the way.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { isAbort } from "../api/problem";

export interface Query<T> {
  /** The last answer. It stays while the next one is on the way, unless `key` changed. */
  data: T | undefined;
  error: unknown;
  loading: boolean;
  reload: () => void;
}

/**
 * Reads when the component is shown, and again when `key` or `version` changes. `key`: what is read; with another one the old answer is dropped. `version`:
 * which state of it, such as `revisionOf(namespace, config).value`. A key of `undefined` reads nothing.
 */
export function useQuery<T>(key: string | undefined, read: (signal: AbortSignal) => Promise<T>, version: number | string = 0): Query<T> {
  const [state, setState] = useState<{ key: string | undefined; data: T | undefined; error: unknown; loading: boolean }>({ key, data: undefined, error: undefined, loading: key !== undefined });
  const [turn, setTurn] = useState(0);
  const latest = useRef(read);
  latest.current = read;
  useEffect(() => {
    if (key === undefined) {
      setState({ key, data: undefined, error: undefined, loading: false });
      return;
    }
    const controller = new AbortController();
    setState((before) => ({ key, data: before.key === key ? before.data : undefined, error: before.key === key ? before.error : undefined, loading: true }));
    latest.current(controller.signal).then(
      (data) => {
        if (!controller.signal.aborted) setState({ key, data, error: undefined, loading: false });
      },
      (error: unknown) => {
        if (!controller.signal.aborted && !isAbort(error)) setState((before) => ({ ...before, error, loading: false }));
      },
    );
    return () => controller.abort();
  }, [key, version, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const isStale = state.key !== key;
  return { data: isStale ? undefined : state.data, error: isStale ? undefined : state.error, loading: isStale || state.loading, reload };
}
