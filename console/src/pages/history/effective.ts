// The effective documents after changes of layers that are not written yet, where the server tells the changes of the layers alone. Knows how layers
// are merged; the server decides what a write does.
import { post, type Schemas, type ValueChange } from "../../api/client";
import { parseJson } from "../../editor/json_text";
import { mergeLayers, pointerPath, type Value, withoutValue, withValue } from "../../editor/value";
import { changesOf } from "../parts/json";
import type { Difference } from "../parts/preview";

interface Target {
  namespace: string;
  config: string;
  scope: string;
}

/** More layers than this are not read for one preview. */
const LAYERS_READ_MAX = 300;

/**
 * The differences of effective documents that changes of layers make, at the given targets. `undefined` where they cannot be computed: a change
 * was cut or hidden, layers cannot be read, or there are too many.
 */
export async function effectiveDifferences(
  results: readonly Schemas["AppliedChange"][],
  targets: readonly Target[],
  signal: AbortSignal,
): Promise<Difference[] | undefined> {
  if (results.some((result) => result.changed && (result.document === undefined || result.diff.length === 0 || result.diff.length >= 100))) return undefined;
  const wanted = new Map<string, Schemas["GetRequest"]>();
  for (const target of targets) for (const layer of layersOf(target)) wanted.set(keyOf(layer), layer);
  if (wanted.size === 0 || wanted.size > LAYERS_READ_MAX) return undefined;
  const requests = [...wanted.values()];
  const answer = await post("/v1/documents:batchGet", { body: { requests }, signal, maskSecrets: true });
  const before = new Map<string, Value>();
  for (const [at, result] of answer.results.entries()) {
    const request = requests[at];
    if (request === undefined) return undefined;
    if (result.document !== undefined && result.document !== null) before.set(keyOf(request), parseJson(result.document.content));
    else if (result.error_reason !== "CONFIG_NOT_FOUND") return undefined;
  }
  const after = new Map(before);
  for (const { changed, document, diff } of results) {
    if (!changed || document === undefined) continue;
    const key = keyOf(document);
    let layer: Value | undefined = after.get(key);
    for (const change of diff) layer = changeAt(layer, change);
    if (layer === undefined) after.delete(key);
    else after.set(key, layer);
  }
  return targets.map((target) => ({
    place: `${target.namespace}/${target.config} ${target.scope}`,
    changes: changesOf(merged(target, before), merged(target, after)),
  }));
}

/** The layers that are merged for a target, in the order of merging. */
export function layersOf({ namespace, config, scope }: Target): (Target & { view: "VIEW_LAYER" | "VIEW_OVERRIDE_LAYER" })[] {
  const segments = scope.split("/").filter((segment) => segment !== "");
  const scopes = ["/", ...segments.map((_, at) => `/${segments.slice(0, at + 1).join("/")}`)];
  const views = ["VIEW_LAYER", "VIEW_OVERRIDE_LAYER"] as const;
  return views.flatMap((view) => scopes.map((scope) => ({ namespace, config, scope, view })));
}

function keyOf(layer: { namespace?: string; config?: string; scope?: string; view?: string }): string {
  return `${layer.namespace}/${layer.config}@${layer.scope}#${layer.view}`;
}

function merged(target: Target, layers: ReadonlyMap<string, Value>): Value | undefined {
  let document: Value | undefined;
  for (const layer of layersOf(target)) {
    const content = layers.get(keyOf(layer));
    if (content !== undefined) document = mergeLayers(document, content);
  }
  return document;
}

/** One difference, done to a layer. `undefined` is a layer that is not there. */
function changeAt(layer: Value | undefined, change: ValueChange): Value | undefined {
  const path = pointerPath(change.pointer);
  if (change.type !== "CHANGE_TYPE_REMOVED") return withValue(layer, path, parseJson(change.new_value));
  return layer === undefined || path.length === 0 ? undefined : withoutValue(layer, path);
}
