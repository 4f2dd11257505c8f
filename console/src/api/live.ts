// The stream of commits: one for each tab, from which all pages learn what changed. Knows StreamChanges; no page.
//
// The stream is read with fetch, as lines of JSON: an EventSource hides why the server refused it, and does not notice a connection that died
// in silence. A stream that ends is opened again where it ended, so that no commit is missed. A tab that nobody looks at closes its stream: a
// browser has six connections to a server over HTTP/1.1. The call is a POST: a browser says of that from which page it comes, also without TLS.
import { batch, computed, signal, type ReadonlySignal } from "@preact/signals";
import { CallError, errorOf } from "./problem";
import type { components } from "./schema";
import { epoch, signedOut } from "./session";

type Commit = components["schemas"]["Commit"];
type Message = components["schemas"]["StreamChangesResponse"];

/** `connecting`: for the first time. `lost`: the server is away. `refused`: the server says why, and the stream is tried again seldom. */
export type LiveState = "off" | "connecting" | "live" | "paused" | "lost" | "refused";

const STREAM = "/confwatch.v1.ConfigService/StreamChanges";
/** So many commits are kept, the newest first. */
const RECENT_MAX = 200;
/** A stream has progress every 10 s. One that has nothing for so long is dead. */
const SILENCE_MAX_MS = 25_000;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5_000;
const REFUSED_RETRY_MS = 60_000;
/** A hidden tab keeps its stream for so long. */
const HIDDEN_GRACE_MS = 30_000;

export const liveState = signal<LiveState>("off");
/** Why there is no stream. */
export const liveError = signal<CallError | undefined>(undefined);
/** Commits that came while the page is open, the newest first. */
export const recent = signal<readonly Commit[]>([]);
/** The newest revision that the page knows of. */
export const storeRevision = signal(0);
/** Grows when what the page knows can be of another history of the store, or commits were missed: read all again. */
export const resets = signal(0);

type Listener = (commit: Commit) => void;
const listeners = new Set<Listener>();
const revisions = signal<ReadonlyMap<string, number>>(new Map());

/** Calls `listener` for each commit, in order. A very large commit comes in parts, each with some of its changes. Returns what ends it. */
export function onCommit(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The revision of the last commit seen that changed a config. 0: none since the page was opened. Use it as a dependency of `useQuery`. */
export function revisionOf(namespace: string, config: string): ReadonlySignal<number> {
  const key = `${namespace}/${config}`;
  return computed(() => (revisions.value.get(key) ?? 0) + resets.value / 1e6);
}

/** The revision of the last commit seen that changed anything of a namespace, or of any with "". */
export function revisionWithin(namespace: string): ReadonlySignal<number> {
  return computed(() => (revisions.value.get(namespace ? `${namespace}/` : "") ?? 0) + resets.value / 1e6);
}

/** After which message the stream goes on. */
let token = "";
/** Without a token: the revision after which the stream begins. Whatever is read after the revision was, is followed without a gap. */
let base: number | undefined;
/** What the pages have is of another history, or has gaps. */
let isStale = false;
let running: AbortController | undefined;
let failures = 0;
let wake: (() => void) | undefined;

/** Opens the stream, if there is none. What is read after the promise is kept is followed by the stream without a gap, also if the server is away now. */
export async function start(): Promise<void> {
  if (running) return;
  const controller = new AbortController();
  running = controller;
  failures = 0;
  liveState.value = "connecting";
  await begin(controller.signal).catch(() => {
    isStale = true;
  });
  void run(controller.signal);
}

/** Reads the revision from which a stream without a token begins. */
async function begin(ended: AbortSignal): Promise<void> {
  if (token || base !== undefined) return;
  const response = await fetch("/v1/status", { signal: ended, cache: "no-store", credentials: "same-origin", redirect: "error" });
  if (!response.ok) throw await errorOf(response);
  const status = (await response.json()) as components["schemas"]["StatusServiceGetResponse"];
  base = status.revision;
  epoch.value = status.epoch;
  if (isStale) resets.value += 1;
  isStale = false;
}

/** Ends the stream, as at a sign out. */
export function stop(): void {
  running?.abort();
  running = undefined;
  token = "";
  base = undefined;
  batch(() => {
    liveState.value = "off";
    liveError.value = undefined;
    recent.value = [];
    revisions.value = new Map();
  });
}

/** Tries again now, without waiting for the next turn. */
export function retryNow(): void {
  wake?.();
}

async function run(ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    await untilVisible(ended);
    if (ended.aborted) return;
    let wait = 0;
    try {
      await follow(ended);
      // The server ended the stream because it stops, or the tab was hidden.
      if (liveState.value !== "paused") wait = lost(new CallError(0, "ENDED", "The server ended the stream."));
    } catch (error) {
      if (ended.aborted) return;
      const failure = error instanceof CallError ? error : new CallError(0, "OFFLINE", "The connection to the server was lost.");
      if (failure.status === 401) {
        running = undefined;
        liveState.value = "off";
        signedOut(failure);
        return;
      }
      if (failure.reason === "EPOCH_MISMATCH" || failure.reason === "COMPACTED" || failure.reason === "REVISION_IN_FUTURE") {
        token = "";
        base = undefined;
        isStale = true;
        wait = failures++ ? RETRY_FIRST_MS : 0;
      } else if (failure.status === 403 || failure.status === 400) {
        batch(() => {
          liveState.value = "refused";
          liveError.value = failure;
        });
        wait = REFUSED_RETRY_MS;
      } else {
        wait = lost(failure);
      }
    }
    if (wait) await pause(wait, ended);
  }
}

function lost(error: CallError): number {
  batch(() => {
    liveState.value = "lost";
    liveError.value = error;
  });
  const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures++);
  return wait * (0.75 + Math.random() / 2);
}

/** Reads one stream to its end. */
async function follow(ended: AbortSignal): Promise<void> {
  const controller = new AbortController();
  const end = () => controller.abort();
  ended.addEventListener("abort", end);
  let watchdog = setTimeout(end, SILENCE_MAX_MS);
  let hidden: ReturnType<typeof setTimeout> | undefined;
  const visibility = () => {
    clearTimeout(hidden);
    if (document.hidden) {
      hidden = setTimeout(() => {
        liveState.value = "paused";
        end();
      }, HIDDEN_GRACE_MS);
    }
  };
  document.addEventListener("visibilitychange", visibility);
  visibility();
  try {
    await begin(controller.signal);
    const response = await fetch(STREAM, {
      method: "POST",
      headers: { accept: "application/x-ndjson", "content-type": "application/json", "confwatch-epoch": epoch.value },
      body: JSON.stringify(token ? { resume_token: token } : { from_revision: (base ?? 0) + 1 }),
      signal: controller.signal,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
    });
    if (!response.ok || !response.body) throw await errorOf(response);
    failures = 0;
    batch(() => {
      liveState.value = "live";
      liveError.value = undefined;
    });
    for await (const line of lines(response.body)) {
      clearTimeout(watchdog);
      watchdog = setTimeout(end, SILENCE_MAX_MS);
      take(JSON.parse(line) as Message & { error?: components["schemas"]["Problem"] });
    }
  } catch (error) {
    if (liveState.value !== "paused" || ended.aborted) throw error;
  } finally {
    clearTimeout(watchdog);
    clearTimeout(hidden);
    controller.abort();
    ended.removeEventListener("abort", end);
    document.removeEventListener("visibilitychange", visibility);
  }
}

function take(message: Message & { error?: components["schemas"]["Problem"] }): void {
  if (message.error) throw new CallError(message.error.status, message.error.reason, message.error.detail, message.error);
  if (message.resume_token) token = message.resume_token;
  const { commit } = message;
  batch(() => {
    if (message.revision > storeRevision.value) storeRevision.value = message.revision;
    if (!commit) return;
    const known = new Map(revisions.value);
    known.set("", commit.revision);
    for (const { namespace, config } of commit.changes) {
      known.set(`${namespace}/`, commit.revision);
      known.set(`${namespace}/${config}`, commit.revision);
    }
    revisions.value = known;
    const others = recent.value.filter(({ revision }) => revision !== commit.revision);
    recent.value = [joined(commit), ...others].slice(0, RECENT_MAX);
    for (const listener of [...listeners]) listener(commit);
  });
}

/** A part of a commit, with the parts before it. */
function joined(part: Commit): Commit {
  const before = recent.value.find(({ revision }) => revision === part.revision);
  return before ? { ...part, changes: [...before.changes, ...part.changes] } : part;
}

async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) if (part.trim()) yield part;
    }
  } finally {
    reader.releaseLock();
  }
}

function pause(ms: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      ended.removeEventListener("abort", done);
      removeEventListener("online", done);
      wake = undefined;
      resolve();
    };
    const timer = setTimeout(done, ms);
    ended.addEventListener("abort", done);
    addEventListener("online", done);
    wake = done;
  });
}

function untilVisible(ended: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      if (document.hidden && !ended.aborted) return;
      document.removeEventListener("visibilitychange", done);
      ended.removeEventListener("abort", done);
      resolve();
    };
    document.addEventListener("visibilitychange", done);
    ended.addEventListener("abort", done);
  });
}
