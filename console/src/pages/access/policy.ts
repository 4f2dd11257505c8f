// The policy, which is the config `policy` of the namespace `confwatch`: who may do what where. Knows its form, and how it is read and written.
import { post, type Schemas } from "../../api/client";
import { parseJson } from "../../editor/json_text";
import { readDocument } from "../parts/document";
import { changesOf, pretty } from "../parts/json";
import type { Outlook } from "../parts/preview";

export interface Binding {
  subjects: string[];
  role: string;
  namespace: string;
  config: string;
  scope: string;
}

export interface Policy {
  roles: Record<string, string[]>;
  bindings: Binding[];
  /** The version of the layer, which a write expects. 0: there is no policy. */
  version: number;
  content: string;
}

export const VERBS = ["read", "validate", "write", "override", "rollback", "tag", "schema", "reveal-secret", "backup", "audit", "admin"] as const;

/** The roles that are there without being defined. */
export const BUILT_IN: Record<string, readonly string[]> = {
  viewer: ["read", "validate"],
  editor: ["read", "validate", "write", "override", "rollback", "tag"],
  approver: ["read", "validate", "write", "override", "rollback", "tag", "schema"],
  auditor: ["read", "audit"],
  admin: ["everything"],
};

const PLACE = { namespace: "confwatch", config: "policy" };

export async function readPolicy(signal: AbortSignal): Promise<Policy> {
  const document = await readDocument(PLACE, signal);
  const content = document?.content ?? "{}";
  const { roles = {}, bindings = [] } = JSON.parse(content) as Partial<Policy>;
  return { roles, bindings, version: document?.layers[0]?.version ?? 0, content };
}

function change(policy: Policy, bindings: Binding[]): Schemas["Change"] {
  const content = pretty(JSON.stringify({ roles: policy.roles, bindings }));
  return { ...PLACE, scope: "/", replace: { content, format: "FORMAT_JSON" }, expected_version: policy.version };
}

export async function policyOutlook(policy: Policy, bindings: Binding[], signal: AbortSignal): Promise<Outlook> {
  const body = { changes: [change(policy, bindings)], options: { reason: "preview", validate_only: true } };
  const answer = await post("/v1/layers:apply", { body, signal });
  return {
    changed: answer.changed,
    summary: "The new policy holds for calls at once, and for open streams within a second.",
    differences: [{ place: "confwatch/policy", changes: changesOf(parseJson(policy.content), parseJson(JSON.stringify({ roles: policy.roles, bindings }))) }],
    effective: false,
    scopesOmitted: 0,
    report: answer.report,
    affected: [],
    affectedOmitted: 0,
    reach: undefined,
  };
}

export async function writePolicy(policy: Policy, bindings: Binding[], reason: string, requestId: string): Promise<number> {
  const answer = await post("/v1/layers:apply", { body: { changes: [change(policy, bindings)], options: { reason, request_id: requestId } } });
  return answer.store_revision;
}
