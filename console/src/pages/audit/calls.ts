// Calls of AuditService. Knows how a filter is written in a query; never a page.
import { request, urlOf, type Schemas } from "../../api/client";
import { CallError, isAbort } from "../../api/problem";
import type { Page } from "../parts/paged";
import { messages } from "../parts/stream";

export const AUDIT_KINDS: Schemas["AuditKind"][] = [
  "AUDIT_KIND_CHANGE", "AUDIT_KIND_DENIED", "AUDIT_KIND_REFUSED", "AUDIT_KIND_REVEALED", "AUDIT_KIND_OVERWRITTEN", "AUDIT_KIND_ACCESS_CHANGED", "AUDIT_KIND_BACKUP",
  "AUDIT_KIND_SESSION", "AUDIT_KIND_STARTED", "AUDIT_KIND_STOPPED", "AUDIT_KIND_LOST", "AUDIT_KIND_REPAIRED", "AUDIT_KIND_REMOVED",
];

/** A filter in which "" and an empty list match every entry. */
export interface AuditQuery {
  kinds: Schemas["AuditKind"][];
  actor: string;
  address: string;
  verb: string;
  namespace: string;
  config: string;
  outcome: string;
  from_time: string;
  to_time: string;
}

export async function listAudit(filter: AuditQuery, token: string, signal: AbortSignal): Promise<Page<Schemas["AuditEntry"]>> {
  const response = await request("GET", urlOf("/v1/audit", {}, { ...parameters(filter), page_size: 100, page_token: token }), { signal });
  const answer = (await response.json()) as Schemas["AuditServiceListResponse"];
  return { items: answer.entries, next: answer.next_page_token };
}

/** After a stream has ended, it is opened again so much later. */
const RETRY_MS = 3_000;

/**
 * Calls `take` with new entries as they are written, until `signal` ends it. A tab that nobody looks at has no stream, since a browser has six connections
 * to a server over HTTP/1.1: the stream goes on where it ended when the tab is looked at again. `failed` is told why there is no stream, and `undefined` once
 * there is one again.
 */
export async function followAudit(filter: AuditQuery, take: (entry: Schemas["AuditEntry"]) => void, failed: (error: unknown) => void, signal: AbortSignal): Promise<void> {
  let token = "";
  while (!signal.aborted) {
    await untilVisible(signal);
    const turn = new AbortController();
    const end = () => (signal.aborted || document.hidden) && turn.abort();
    signal.addEventListener("abort", end);
    document.addEventListener("visibilitychange", end);
    try {
      const position = token === "" ? {} : { resume_token: token };
      const url = urlOf("/v1/audit/stream", {}, { ...parameters({ ...filter, from_time: "", to_time: "" }), ...position });
      for await (const { entry, resume_token } of messages<Schemas["AuditServiceStreamResponse"]>(url, undefined, turn.signal)) {
        failed(undefined);
        token = resume_token;
        if (entry !== undefined) take(entry);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isAbort(error)) failed(error);
      if (error instanceof CallError && (error.status === 401 || error.isDenied)) return;
      // The store has another history: what is new is all there is.
      if (error instanceof CallError && error.reason === "EPOCH_MISMATCH") token = "";
    } finally {
      signal.removeEventListener("abort", end);
      document.removeEventListener("visibilitychange", end);
    }
    if (!document.hidden) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function untilVisible(signal: AbortSignal): Promise<void> {
  if (!document.hidden || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      signal.removeEventListener("abort", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
  });
}

function parameters(filter: AuditQuery): Record<string, unknown> {
  const set = Object.entries(filter).filter(([, value]) => value.length > 0);
  return Object.fromEntries(set.map(([name, value]) => [`filter.${name}`, value]));
}
