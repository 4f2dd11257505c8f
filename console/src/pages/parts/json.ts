// JSON without rounding: integers beyond 2^53 keep their digits. Merge patches and differences, as the server makes them.
import type { ValueChange } from "../../api/client";

export type Json = null | boolean | number | string | Raw | Json[] | { [name: string]: Json };

/** A number that JSON.parse would round, with its digits. */
export class Raw {
  constructor(readonly text: string) {}
}

/** RFC 7396. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: { [name: string]: Json } = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

/** The differences as the server tells them: objects member by member, everything else as one value. */
export function compare(pointer: string, older: Json | undefined, newer: Json | undefined): ValueChange[] {
  if (isObject(older) && isObject(newer)) {
    const names = [...new Set([...Object.keys(older), ...Object.keys(newer)])].sort();
    return names.flatMap((name) => compare(`${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`, older[name], newer[name]));
  }
  const [old_value, new_value] = [older === undefined ? "" : write(older), newer === undefined ? "" : write(newer)];
  if (old_value === new_value) return [];
  const type = older === undefined ? "CHANGE_TYPE_ADDED" : newer === undefined ? "CHANGE_TYPE_REMOVED" : "CHANGE_TYPE_CHANGED";
  return [{ pointer, type, old_value, new_value }];
}

export function isObject(value: Json | undefined): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Raw);
}

/** Reads canonical JSON and keeps all digits of large integers. */
export function parse(text: string): Json {
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|(?<![\d.])-?\d{16,}(?![\d.eE])/g, (token) => (token.startsWith('"') ? token : `{"\\u0000":"${token}"}`));
  return JSON.parse(marked, (_, value: unknown) => {
    if (typeof value === "object" && value !== null && "\u0000" in value) return new Raw(String(value["\u0000"]));
    return value;
  }) as Json;
}

/** The inverse of `parse`. */
export function write(value: Json): string {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  if (isObject(value)) {
    return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${write(value[name] as Json)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** A text of JSON with line breaks, for people. A text that is no JSON stays as it is. */
export function pretty(text: string): string {
  try {
    return indented(parse(text), "");
  } catch {
    return text;
  }
}

function indented(value: Json, margin: string): string {
  const inner = `${margin}  `;
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `[\n${value.map((item) => inner + indented(item, inner)).join(",\n")}\n${margin}]`;
  if (!isObject(value)) return write(value);
  const members = Object.entries(value).map(([name, member]) => `${inner}${JSON.stringify(name)}: ${indented(member, inner)}`);
  return members.length === 0 ? "{}" : `{\n${members.join(",\n")}\n${margin}}`;
}
