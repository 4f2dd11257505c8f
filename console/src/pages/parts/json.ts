// JSON texts as differences and for people. Numbers keep all their digits: `editor/value.ts` has the values.
import type { ValueChange } from "../../api/client";
import { parseJson, render } from "../../editor/json_text";
import { differences, equal, toJson, type Value } from "../../editor/value";

/** The differences of two values, in the form of the API. */
export function changesOf(older: Value | undefined, newer: Value | undefined): ValueChange[] {
  return differences(older, newer).map(({ pointer, older: before, newer: after }) => ({
    pointer,
    type: before === undefined ? "CHANGE_TYPE_ADDED" : after === undefined ? "CHANGE_TYPE_REMOVED" : "CHANGE_TYPE_CHANGED",
    old_value: before === undefined ? "" : toJson(before),
    new_value: after === undefined ? "" : toJson(after),
  }));
}

/** A text of JSON with line breaks, for people. A text that is no JSON stays as it is. */
export function pretty(text: string): string {
  try {
    return render(parseJson(text)).trimEnd();
  } catch {
    return text;
  }
}

/** Whether two texts are the same JSON. */
export function isSame(one: string, other: string): boolean {
  try {
    return equal(parseJson(one), parseJson(other));
  } catch {
    return one === other;
  }
}
