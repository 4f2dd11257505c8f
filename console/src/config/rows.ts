/** The table of a config: for each value the inherited one, the one of this layer, and the effective one. Pure: from the answers of Explain and Blame. */
import type { LayerRef, Schemas } from "../api/client";
import { dotted } from "../editor/value";

export type LayerKind = "LAYER_KIND_BASE" | "LAYER_KIND_OVERRIDE";
type Explain = Schemas["ExplainResponse"];
type Blamed = Schemas["BlamedValue"];

/** What one layer says of a value. `text`: canonical JSON; `undefined`: the layer removes it. */
export interface Said {
  layer: LayerRef;
  text: string | undefined;
}

export interface Row {
  pointer: string;
  /** The pointer as people read it. */
  name: string;
  /** What clients get. `undefined`: a layer removes it. */
  effective: string | undefined;
  /** The layer that decides. */
  origin: LayerRef;
  /** What this layer says. `undefined`: nothing. */
  own: Said | undefined;
  /** What the scope has without this layer, as far as layers before it decide. */
  inherited: Said | undefined;
  /** All layers that say something, the deciding one first. */
  chain: Said[];
  /** Later layers that win over this one. */
  isOutvoted: boolean;
  isSecret: boolean;
  blame: Blamed | undefined;
}

export interface LayerPlace {
  scope: string;
  kind: LayerKind;
}

const NO_LAYER: LayerRef = { scope: "/", kind: "LAYER_KIND_BASE", version: 0, digest: "", format: "FORMAT_UNSPECIFIED" };

export function isSameLayer(layer: LayerRef | undefined, place: LayerPlace): boolean {
  return layer !== undefined && layer.scope === place.scope && layer.kind === place.kind;
}

/** Layers that are merged before the one at `place`: all are at its scope or above, and overrides come after base layers. */
function isBefore(layer: LayerRef, place: LayerPlace): boolean {
  if (isSameLayer(layer, place)) return false;
  return place.kind === "LAYER_KIND_OVERRIDE" || layer.kind === "LAYER_KIND_BASE";
}

export function rowsOf(explain: Explain, place: LayerPlace): Row[] {
  const hidden = secretTest([...(explain.document?.hidden_pointers ?? []), ...(explain.document?.revealed_pointers ?? [])]);
  return explain.values.map((value) => {
    const origin = value.layer ?? NO_LAYER;
    const chain: Said[] = [{ layer: origin, text: value.removed ? undefined : value.value }];
    for (const each of value.shadowed) chain.push({ layer: each.layer ?? NO_LAYER, text: each.removed ? undefined : each.value });
    const own = chain.find(({ layer }) => isSameLayer(layer, place));
    return {
      pointer: value.pointer,
      name: value.pointer === "" ? "(empty)" : dotted(value.pointer),
      effective: chain[0]?.text,
      origin,
      own,
      inherited: chain.find(({ layer }) => isBefore(layer, place)),
      chain,
      isOutvoted: own !== undefined && chain[0] !== own,
      isSecret: hidden(value.pointer, value.value),
      blame: undefined,
    };
  });
}

const MASK = /^"\*\*\*(:[0-9a-f]{8})?"$/;

/** Whether a value is a secret, or has one within. */
function secretTest(pointers: readonly string[]): (pointer: string, text: string) => boolean {
  const exact = new Set(pointers);
  const above = new Set<string>();
  for (const pointer of pointers) for (let at = pointer.lastIndexOf("/"); at > 0; at = pointer.lastIndexOf("/", at - 1)) above.add(pointer.slice(0, at));
  return (pointer, text) => exact.has(pointer) || above.has(pointer) || MASK.test(text);
}

/** The rows with who changed each value last. */
export function withBlame(rows: readonly Row[], values: readonly Blamed[]): Row[] {
  const byPointer = new Map(values.map((value) => [value.pointer, value]));
  return rows.map((row) => {
    const blame = byPointer.get(row.pointer);
    return blame ? { ...row, blame } : row;
  });
}

export interface Filter {
  text: string;
  onlyModified: boolean;
}

export function filtered(rows: readonly Row[], { text, onlyModified }: Filter): readonly Row[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted && !onlyModified) return rows;
  return rows.filter((row) => {
    if (onlyModified && !row.own) return false;
    if (!wanted) return true;
    return row.name.toLowerCase().includes(wanted) || row.pointer.toLowerCase().includes(wanted) || (row.effective?.toLowerCase().includes(wanted) ?? false) || (row.own?.text?.toLowerCase().includes(wanted) ?? false);
  });
}

/** The pointers whose effective value differs between two readings. */
export function changedSince(before: readonly Row[], after: readonly Row[]): Set<string> {
  const known = new Map(before.map((row) => [row.pointer, row.effective]));
  const changed = new Set<string>();
  for (const row of after) if (!known.has(row.pointer) || known.get(row.pointer) !== row.effective) changed.add(row.pointer);
  return changed;
}

/** A value as it stands in a cell: secrets as dots, long ones cut. */
export function shown(text: string | undefined, isSecret: boolean): string {
  if (text === undefined) return "removed";
  if (isSecret && MASK.test(text)) return "••••••";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** The layers of the document, and the one at `place` although it may not exist. */
export function layerAt(explain: Explain | undefined, place: LayerPlace): LayerRef | undefined {
  return explain?.document?.layers.find((layer) => isSameLayer(layer, place));
}

/** The time until an override ends, in words that are exact when it matters. "": it is over. */
export function remaining(expires: string, now: number): string {
  const seconds = Math.ceil((Date.parse(expires) - now) / 1000);
  if (seconds <= 0) return "";
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** The scope above. `undefined` for "/". */
export function parentOf(scope: string): string | undefined {
  if (scope === "/") return undefined;
  return scope.slice(0, scope.lastIndexOf("/")) || "/";
}
