/** Values of documents. Numbers keep their text, so that integers of 64 bits survive. Knows neither formats nor positions. */

/** A number as JSON text. It never becomes a double, except to be compared with another double. */
export class Num {
  constructor(readonly text: string) {}
}

export type Value = null | boolean | string | Num | Value[] | Members;
export type Members = Map<string, Value>;

/** The name of the type of a value, in the words of JSON Schema. */
export type TypeName = "null" | "boolean" | "string" | "integer" | "number" | "array" | "object";

export function typeOf(value: Value): TypeName {
  if (value === null) return "null";
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "string") return "string";
  if (value instanceof Num) return isInteger(value) ? "integer" : "number";
  return Array.isArray(value) ? "array" : "object";
}

export function isObject(value: Value | undefined): value is Members {
  return value instanceof Map;
}

const INTEGER = /^-?\d+$/;

/** One text for equal numbers: `1.0`, `1e0` and `1` are one number for the server. */
export function canonicalNumber(text: string): string {
  if (INTEGER.test(text)) return BigInt(text).toString();
  const double = Number(text);
  if (Number.isInteger(double) && Math.abs(double) < 2 ** 64) return BigInt(double).toString();
  return Object.is(double, -0) ? "0" : String(double);
}

export function isInteger(number: Num): boolean {
  return INTEGER.test(canonicalNumber(number.text));
}

export function equal(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a === null || b === null) return false;
  if (a instanceof Num) return b instanceof Num && canonicalNumber(a.text) === canonicalNumber(b.text);
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (a instanceof Map) {
    if (!(b instanceof Map) || a.size !== b.size) return false;
    for (const [name, value] of a) if (!b.has(name) || !equal(value, b.get(name))) return false;
    return true;
  }
  return false;
}

/** The value as JSON. `indent` 0: on one line. */
export function toJson(value: Value, indent = 0, depth = 0): string {
  if (value instanceof Num) return value.text;
  const [open, between, close] = indent
    ? [`\n${" ".repeat(indent * (depth + 1))}`, `,\n${" ".repeat(indent * (depth + 1))}`, `\n${" ".repeat(indent * depth)}`]
    : ["", ",", ""];
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[${open}${value.map((item) => toJson(item, indent, depth + 1)).join(between)}${close}]`;
  }
  if (value instanceof Map) {
    if (value.size === 0) return "{}";
    const members = [...value].map(([name, item]) => `${JSON.stringify(name)}:${indent ? " " : ""}${toJson(item, indent, depth + 1)}`);
    return `{${open}${members.join(between)}${close}}`;
  }
  return JSON.stringify(value);
}

/** The segments of an RFC 6901 pointer. */
export function pointerPath(pointer: string): string[] {
  if (pointer === "") return [];
  return pointer.slice(1).split("/").map((segment) => segment.replace(/~1/g, "/").replace(/~0/g, "~"));
}

/** The RFC 6901 pointer of a path. */
export function pointerOf(path: readonly string[]): string {
  return path.map((segment) => `/${segment.replace(/~/g, "~0").replace(/\//g, "~1")}`).join("");
}

/** How people read a path: `pool.max`, with names that have other characters as pointer. */
export function dotted(pointer: string): string {
  const path = pointerPath(pointer);
  return path.every((segment) => /^[\w-]+$/.test(segment)) ? path.join(".") : pointer;
}

/** The value at a path, `undefined` where there is none. */
export function valueAt(root: Value | undefined, path: readonly string[]): Value | undefined {
  let value = root;
  for (const segment of path) {
    if (value instanceof Map) value = value.get(segment);
    else if (Array.isArray(value) && /^(0|[1-9]\d*)$/.test(segment)) value = value[Number(segment)];
    else return undefined;
  }
  return value;
}

/** A copy in which `path` has `value`. Objects on the way are made, also in the place of a value that is neither object nor array. */
export function withValue(root: Value | undefined, path: readonly string[], value: Value): Value {
  const [segment, ...rest] = path;
  if (segment === undefined) return value;
  if (Array.isArray(root) && /^(0|[1-9]\d*)$/.test(segment) && Number(segment) <= root.length) {
    const items = [...root];
    items[Number(segment)] = withValue(root[Number(segment)], rest, value);
    return items;
  }
  const members = new Map(root instanceof Map ? root : []);
  members.set(segment, withValue(members.get(segment), rest, value));
  return members;
}

/** A copy without the value at `path`. Objects that become empty stay. */
export function withoutValue(root: Value, path: readonly string[]): Value {
  const [segment, ...rest] = path;
  if (segment === undefined) return new Map();
  const inner = valueAt(root, [segment]);
  if (inner === undefined) return root;
  if (Array.isArray(root)) {
    return rest.length
      ? root.map((item, i) => (i === Number(segment) ? withoutValue(item, rest) : item))
      : root.filter((_, i) => i !== Number(segment));
  }
  const members = new Map(root as Members);
  if (rest.length) members.set(segment, withoutValue(inner, rest));
  else members.delete(segment);
  return members;
}

/** A value of the mark `{"$secret": VALUE}`. */
export function isSecretMark(value: Value | undefined): boolean {
  return value instanceof Map && value.size === 1 && value.has("$secret");
}

/** A text that the server shows in the place of a secret: `***`, or `***:` and eight hex digits. */
export function isMask(value: Value | undefined): value is string {
  return typeof value === "string" && /^\*\*\*(:[0-9a-f]{8})?$/.test(value);
}

/** The value with `***` in the place of each new secret, for people to look at. */
export function redacted(value: Value): Value {
  if (isSecretMark(value)) return "***";
  if (Array.isArray(value)) return value.map(redacted);
  return isObject(value) ? new Map([...value].map(([name, inner]) => [name, redacted(inner)])) : value;
}

/** RFC 7396, with secrets as single values: what a later layer makes of an earlier one. Nulls of the later layer remove. */
export function mergeLayers(earlier: Value | undefined, later: Value): Value {
  if (!(later instanceof Map) || isSecretMark(later)) return later;
  const members: Members = new Map(earlier instanceof Map && !isSecretMark(earlier) ? earlier : []);
  for (const [name, value] of later) {
    if (value === null) members.delete(name);
    else members.set(name, mergeLayers(members.get(name), value));
  }
  return members;
}

/** One difference of two values; `undefined`: that side has none. */
export interface Difference {
  pointer: string;
  older: Value | undefined;
  newer: Value | undefined;
}

/** The differences of two values, member by member; arrays are compared as one value. Sorted by pointer. */
export function differences(older: Value | undefined, newer: Value | undefined, path: readonly string[] = []): Difference[] {
  const leaf = (value: Value | undefined) => !(value instanceof Map) || value.size === 0 || isSecretMark(value);
  if (older !== undefined && newer !== undefined && (leaf(older) || leaf(newer)) && !(isObject(older) && isObject(newer))) {
    return equal(older, newer) ? [] : [{ pointer: pointerOf(path), older, newer }];
  }
  if (leaf(older) && leaf(newer)) return equal(older, newer) ? [] : [{ pointer: pointerOf(path), older, newer }];
  if ((older === undefined || newer === undefined) && (isSecretMark(older) || isSecretMark(newer))) return [{ pointer: pointerOf(path), older, newer }];
  const left = isObject(older) ? older : undefined;
  const right = isObject(newer) ? newer : undefined;
  const names = new Set([...(left?.keys() ?? []), ...(right?.keys() ?? [])]);
  return [...names].sort().flatMap((name) => differences(left?.get(name), right?.get(name), [...path, name]));
}
