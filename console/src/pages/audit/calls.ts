// Calls of AuditService. Knows how a filter is written in a query; never a page.
import { request, urlOf, type Schemas } from "../../api/client";
import type { Page } from "../parts/paged";
import { messages } from "../parts/stream";

export const AUDIT_KINDS: Schemas["AuditKind"][] = [
  "AUDIT_KIND_CHANGE", "AUDIT_KIND_DENIED", "AUDIT_KIND_REFUSED", "AUDIT_KIND_REVEALED", "AUDIT_KIND_OVERWRITTEN", "AUDIT_KIND_ACCESS_CHANGED", "AUDIT_KIND_BACKUP",
  "AUDIT_KIND_STARTED", "AUDIT_KIND_STOPPED", "AUDIT_KIND_LOST", "AUDIT_KIND_REPAIRED", "AUDIT_KIND_REMOVED",
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

/** New entries as they are written. */
export function streamAudit(filter: AuditQuery, signal: AbortSignal): AsyncGenerator<Schemas["AuditServiceStreamResponse"]> {
  const { from_time: _, to_time: __, ...rest } = filter;
  return messages(urlOf("/v1/audit/stream", {}, parameters({ ...rest, from_time: "", to_time: "" })), undefined, signal);
}

function parameters(filter: AuditQuery): Record<string, unknown> {
  const set = Object.entries(filter).filter(([, value]) => value.length > 0);
  return Object.fromEntries(set.map(([name, value]) => [`filter.${name}`, value]));
}
