// Lists that grow page by page, and what is read again at an interval. Knows hooks; never a route of the API.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { isAbort } from "../../api/problem";

/** A page of a list: `next` is the token of the page after it, "" for none. */
export interface Page<T> {
  items: T[];
  next: string;
}

/** A list that grows page by page. */
export interface Paged<T> {
  items: T[];
  error: unknown;
  loading: boolean;
  /** There are more pages. */
  more: boolean;
  loadMore: () => void;
  reload: () => void;
}

/** A page can be empty and have a successor, where the server looked at many things that do not match: so many are read in a row. */
const PAGES_IN_A_ROW_MAX = 10;

/**
 * Reads the first page when the component is shown and whenever `key` or `version` changes, and the following ones when they are asked for. With another
 * `key` the old items are dropped at once; with another `version` they stay until as many new ones have arrived.
 */
export function usePages<T>(key: string, load: (token: string, signal: AbortSignal) => Promise<Page<T>>, version: number | string = 0): Paged<T> {
  const [state, setState] = useState<State<T>>(() => empty(""));
  const [turn, setTurn] = useState(0);
  const running = useRef<AbortController | undefined>(undefined);
  const latest = useRef(load);
  latest.current = load;

  const read = (from: string, before: T[], wanted: number) => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    const walk = async () => {
      let [token, items] = [from, before];
      for (let pages = 0; pages < PAGES_IN_A_ROW_MAX; pages += 1) {
        const page = await latest.current(token, abort.signal);
        [token, items] = [page.next, [...items, ...page.items]];
        if (token === "" || (items.length > before.length && items.length >= wanted)) break;
      }
      return { items, next: token };
    };
    walk().then(
      (read) => abort.signal.aborted || setState({ key, ...read, error: undefined, loading: false }),
      (error: unknown) => abort.signal.aborted || isAbort(error) || setState({ key, items: before, next: from, error, loading: false }),
    );
  };

  useEffect(() => {
    setState((before) => (before.key === key ? { ...before, loading: true } : empty(key)));
    read("", [], state.key === key ? state.items.length : 0);
    return () => running.current?.abort();
  }, [key, version, turn]);

  const current = state.key === key ? state : empty<T>(key);
  return {
    items: current.items,
    error: current.error,
    loading: current.loading,
    more: current.next !== "",
    loadMore: () => {
      setState({ ...current, error: undefined, loading: true });
      read(current.next, current.items, 0);
    },
    reload: useCallback(() => setTurn((before) => before + 1), []),
  };
}

interface State<T> {
  key: string;
  items: T[];
  next: string;
  error: unknown;
  loading: boolean;
}

function empty<T>(key: string): State<T> {
  return { key, items: [], next: "", error: undefined, loading: true };
}

/** Calls `tick` at an interval while the page is visible, and once when it becomes visible again. */
export function useInterval(tick: () => void, milliseconds: number, on = true): void {
  const latest = useRef(tick);
  latest.current = tick;
  useEffect(() => {
    if (!on) return undefined;
    const run = () => {
      if (document.visibilityState === "visible") latest.current();
    };
    const timer = setInterval(run, milliseconds);
    document.addEventListener("visibilitychange", run);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", run);
    };
  }, [milliseconds, on]);
}
