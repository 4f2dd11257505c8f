/** Writes that the table offers: a value back to what is inherited, and the end of an override. Each is reviewed before it is made. */
import { readLayer, type Target } from "../editor/layer";
import type { Plan } from "../editor/review";
import { isObject, pointerOf, pointerPath, valueAt, type Value, withoutValue } from "../editor/value";

/** The path to remove: with a value, objects of the layer that would be empty without it. */
export function removedPath(layer: Value, pointer: string): string[] {
  let path = pointerPath(pointer);
  for (;;) {
    const parent = path.slice(0, -1);
    const around = valueAt(layer, parent);
    if (!parent.length || !isObject(around) || around.size !== 1) return path;
    path = parent;
  }
}

/** The plan that resets one value of a layer. Reads the layer, so that nothing but what is there now is changed. */
export async function resetOf(target: Target, pointer: string): Promise<Plan> {
  const stored = await readLayer(target);
  const path = removedPath(stored.value, pointer);
  if (valueAt(stored.value, path) === undefined) throw new Error("The layer does not have this value any more.");
  return {
    target,
    title: "Reset to what is inherited at",
    verb: "Reset",
    action: { json_patch: { content: JSON.stringify([{ op: "remove", path: pointerOf(path) }]), format: "FORMAT_JSON" } },
    after: withoutValue(stored.value, path),
    expectedVersion: stored.version,
    keepsEnd: true,
  };
}

export function endOf({ namespace, config }: { namespace: string; config: string }, layer: { scope: string; version: number }): Plan {
  return {
    target: { namespace, config, scope: layer.scope, kind: "LAYER_KIND_OVERRIDE" },
    title: "End the override at",
    verb: "End it",
    action: { delete: {} },
    after: null,
    expectedVersion: layer.version,
  };
}
