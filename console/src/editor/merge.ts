/** The three-way merge of a layer: what two people made of the same base, member by member. Knows values; no text. */
import { type Value, equal, isObject, isSecretMark, pointerOf, pointerPath, withValue, withoutValue } from "./value";

export interface Conflict {
  pointer: string;
  base: Value | undefined;
  mine: Value | undefined;
  theirs: Value | undefined;
}

export interface Merged {
  /** What only they changed: to be made in my text as well. */
  theirs: { pointer: string; value: Value | undefined }[];
  /** What only I changed. */
  mine: { pointer: string; value: Value | undefined }[];
  /** What both changed, to different values. */
  conflicts: Conflict[];
}

/**
 * Compares both sides with the base. Objects are compared member by member; arrays, scalars and secrets are single values. A place that one side
 * removed, and in which the other changed something, is a conflict.
 */
export function merge(base: Value, mine: Value, theirs: Value): Merged {
  const merged: Merged = { theirs: [], mine: [], conflicts: [] };
  compare(base, mine, theirs, [], merged);
  return merged;
}

const isOpen = (value: Value | undefined): boolean => isObject(value) && !isSecretMark(value);

function compare(base: Value | undefined, mine: Value | undefined, theirs: Value | undefined, path: readonly string[], merged: Merged): void {
  if (equal(mine, theirs)) return;
  const pointer = pointerOf(path);
  if (isObject(mine) && isObject(theirs) && isOpen(mine) && isOpen(theirs)) {
    const inner = isObject(base) && isOpen(base) ? base : undefined;
    for (const name of new Set([...theirs.keys(), ...mine.keys()])) compare(inner?.get(name), mine.get(name), theirs.get(name), [...path, name], merged);
    return;
  }
  if (equal(base, mine)) merged.theirs.push({ pointer, value: theirs });
  else if (equal(base, theirs)) merged.mine.push({ pointer, value: mine });
  else merged.conflicts.push({ pointer, base, mine, theirs });
}

/** Which side each conflict takes, by pointer. */
export type Choices = ReadonlyMap<string, "mine" | "theirs">;

/** The edits that make my value to the merged one. Conflicts without a choice stay mine. */
export function editsOfMine(merged: Merged, choices: Choices): { pointer: string; value: Value | undefined }[] {
  const chosen = merged.conflicts.filter(({ pointer }) => choices.get(pointer) === "theirs").map(({ pointer, theirs }) => ({ pointer, value: theirs }));
  return [...merged.theirs, ...chosen];
}

/** The merged value. */
export function mergedValue(mine: Value, merged: Merged, choices: Choices): Value {
  return editsOfMine(merged, choices).reduce<Value>((value, edit) => {
    const path = pointerPath(edit.pointer);
    return edit.value === undefined ? withoutValue(value, path) : withValue(value, path, edit.value);
  }, mine);
}

