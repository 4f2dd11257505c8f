// Rollback, revert and restore: what each would do, and the write. Knows routes of the API; never how an outlook is shown. Secrets are masked in all
// answers, so that nothing is revealed to a page that does not show it; the write is made as the preview was.
import { get, post, type Schemas } from "../../api/client";
import { CallError } from "../../api/problem";
import type { Difference, Outlook } from "../parts/preview";
import type { ConfigPlace } from "./commit";
import { effectiveDifferences } from "./effective";

/** So many scopes are compared for a preview. */
const SCOPES_COMPARED_MAX = 12;

/** An outlook with the position that the write expects. */
export interface Positioned extends Outlook {
  position: number;
}

/** What a rollback to a version would do. Its position is the version of the config that it was computed from. */
export async function rollbackOutlook(at: ConfigPlace, to: number, signal: AbortSignal): Promise<Positioned> {
  const newest = await newestVersion(at, signal);
  const rehearse = (expected_version: number) => post("/v1/namespaces/{namespace}/configs/{config}/layers:rollback", {
    path: at,
    body: { version: to, expected_version, options: { reason: "preview", validate_only: true } },
    signal,
    maskSecrets: true,
  });
  let current = newest;
  const answer = await rehearse(newest).catch((error: unknown) => {
    // Versions that changed only what the caller may not read are in no list: the refusal names the current one.
    const told = error instanceof CallError && error.reason === "VERSION_MISMATCH" ? Number(error.problem?.metadata.current_version) : 0;
    if (!(told > newest)) throw error;
    current = told;
    return rehearse(told);
  });
  // All layers become those of the version, so the documents afterwards are those of the version.
  const scopes = [...new Set(answer.layers.map((layer) => layer.scope))];
  const differences = await Promise.all(scopes.slice(0, SCOPES_COMPARED_MAX).map((scope) => compared(at, scope, { version: current }, { version: to }, signal)));
  return {
    position: current,
    changed: answer.changed,
    summary: `All layers of ${at.namespace}/${at.config} become those of version ${to}, as a new version. History stays.`,
    differences,
    effective: true,
    report: answer.report,
    affected: [],
    affectedOmitted: 0,
    reach: answer.reach,
    scopesOmitted: Math.max(0, scopes.length - SCOPES_COMPARED_MAX) + answer.layers_omitted,
  };
}

export async function rollBack(at: ConfigPlace, to: number, outlook: Positioned, reason: string, requestId: string): Promise<number> {
  const answer = await post("/v1/namespaces/{namespace}/configs/{config}/layers:rollback", {
    path: at,
    body: { version: to, expected_version: outlook.position, options: { reason, request_id: requestId } },
    maskSecrets: true,
  });
  return answer.store_revision;
}

type Point = { version: number } | { revision: number };

async function compared(at: ConfigPlace, scope: string, older: Point, newer: Point, signal: AbortSignal): Promise<Difference> {
  const answer = await post("/v1/documents:diff", { body: { older: { ...at, scope, ...older }, newer: { ...at, scope, ...newer } }, signal, maskSecrets: true });
  return { place: `${at.namespace}/${at.config} ${scope}`, changes: answer.changes };
}

/** What taking commits back would do. Fails with REVERT_CONFLICT where later commits changed the same values. */
export async function revertOutlook(revisions: number[], signal: AbortSignal): Promise<Outlook> {
  const answer = await post("/v1/commits:revert", { body: { revisions, options: { reason: "preview", validate_only: true } }, signal, maskSecrets: true });
  const affected = answer.affected;
  const computed = await effectiveDifferences(answer.results, affected.slice(0, SCOPES_COMPARED_MAX), signal);
  const what = revisions.length === 1 ? `revision ${revisions[0]}` : `revisions ${revisions.join(", ")}`;
  return {
    changed: answer.changed,
    summary: `One new commit takes back what ${what} changed. What other commits changed since then is kept.`,
    differences: computed ?? layerDifferences(answer.results),
    effective: computed !== undefined,
    report: answer.report,
    affected,
    affectedOmitted: answer.affected_omitted,
    reach: answer.reach,
    scopesOmitted: computed === undefined ? answer.results_omitted : Math.max(0, affected.length - SCOPES_COMPARED_MAX),
  };
}

export async function revert(revisions: number[], reason: string, requestId: string): Promise<number> {
  const answer = await post("/v1/commits:revert", { body: { revisions, options: { reason, request_id: requestId } }, maskSecrets: true });
  return answer.store_revision;
}

/** What is restored. Config "": all configs of the namespace. */
export interface RestorePlace extends ConfigPlace {
  /** Only layers at or below this scope. */
  scope: string | undefined;
}

/** A point in the past that a restore goes back to. */
export type Past = { revision: number } | { tag: string } | { time: string };

/** What a restore would do, of a config or, with config "", of a namespace. Its position is the revision that it was compared with. */
export async function restoreOutlook(at: RestorePlace, to: Past, signal: AbortSignal): Promise<Positioned> {
  const answer = await post("/v1/namespaces/{namespace}/configs:restore", {
    path: { namespace: at.namespace },
    body: { config: at.config, scope: at.scope, ...to, options: { reason: "preview", validate_only: true } },
    signal,
    maskSecrets: true,
  });
  const computed = await effectiveDifferences(answer.results, answer.affected.slice(0, SCOPES_COMPARED_MAX), signal);
  const what = at.config === "" ? `all configs of ${at.namespace}` : `${at.namespace}/${at.config}`;
  const layers = at.scope === undefined ? "All layers" : `The layers at ${at.scope} and below it`;
  return {
    position: answer.base_revision,
    changed: answer.changed,
    summary: `${layers} of ${what} become what they were at ${pointText(to)}, by one new commit. Layers that were made since then are removed, and deleted ones return. Tags and history stay.`,
    differences: computed ?? layerDifferences(answer.results),
    effective: computed !== undefined,
    report: answer.report,
    affected: answer.affected,
    affectedOmitted: answer.affected_omitted,
    reach: answer.reach,
    scopesOmitted: computed === undefined ? answer.results_omitted : Math.max(0, answer.affected.length - SCOPES_COMPARED_MAX),
  };
}

export async function restore(at: RestorePlace, to: Past, outlook: Positioned, reason: string, requestId: string): Promise<number> {
  const answer = await post("/v1/namespaces/{namespace}/configs:restore", {
    path: { namespace: at.namespace },
    body: { config: at.config, scope: at.scope, ...to, expected_revision: outlook.position, options: { reason, request_id: requestId } },
    maskSecrets: true,
  });
  return answer.store_revision;
}

function pointText(to: Past): string {
  if ("revision" in to) return `revision ${to.revision}`;
  return "tag" in to ? `the tag ${to.tag}` : to.time;
}

function layerDifferences(results: readonly Schemas["AppliedChange"][]): Difference[] {
  return results
    .filter((result) => result.changed)
    .slice(0, SCOPES_COMPARED_MAX)
    .map(({ document, diff }) => ({
      place: `${document?.namespace}/${document?.config} ${document?.scope}${document?.view === "VIEW_OVERRIDE_LAYER" ? " (override)" : ""}`,
      changes: diff,
    }));
}

/** The newest version of a config in the list of versions. */
async function newestVersion(at: ConfigPlace, signal: AbortSignal): Promise<number> {
  const answer = await get("/v1/namespaces/{namespace}/configs/{config}/versions", { path: at, query: { page_size: 1 }, signal });
  return answer.versions[0]?.version ?? 0;
}
