/** Findings of the server: where they are shown, and what their suggestions would change. */
import { type Parsed, type Range, type TextChange, nearest, placeOf } from "./tree";
import { EditRefused, removeValue, renameMember, setValue, valueOf } from "./document";
import { type SchemaSet, fieldAt, startValue } from "./schema";
import { Num, pointerPath, valueAt } from "./value";

/** A finding, as the server tells it. */
export interface Finding {
  severity: string;
  code: string;
  scope: string;
  pointer: string;
  message: string;
  suggestion: string;
}

export interface Fix {
  label: string;
  changes: (parsed: Parsed) => TextChange[];
}

const LARGE = 20_000;
const QUOTED = /"((?:[^"\\]|\\.)*)"/;

function quotedIn(text: string, pattern: RegExp): string | undefined {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) return undefined;
  try {
    return JSON.parse(`"${found}"`) as string;
  } catch {
    return found;
  }
}

/** The change that a suggestion names. `undefined`: it needs a decision that only people can make. */
export function fixOf(finding: Finding, parsed: Parsed, schema: SchemaSet | undefined): Fix | undefined {
  const fix = planned(finding, parsed, schema);
  // In a large text a correction is tried when it is asked for: each trial reads all of the text.
  if (!fix || parsed.text.length > LARGE) return fix;
  try {
    return fix.changes(parsed).length ? fix : undefined;
  } catch (error) {
    if (error instanceof EditRefused) return undefined;
    throw error;
  }
}

function planned({ code, pointer, suggestion }: Finding, parsed: Parsed, schema: SchemaSet | undefined): Fix | undefined {
  const path = pointerPath(pointer);
  const value = valueOf(parsed);
  const here = valueAt(value, path);
  if (value === undefined) return undefined;
  const meant = quotedIn(suggestion, /^did you mean "((?:[^"\\]|\\.)*)"\?$/);
  if (meant !== undefined) {
    if (here === undefined || !path.length) return undefined;
    if (code === "SCHEMA_ENUM") return { label: `Write ${JSON.stringify(meant)}`, changes: (now) => setValue(now, path, meant) };
    if (valueAt(value, [...path.slice(0, -1), meant]) !== undefined) return undefined;
    return { label: `Rename to ${meant}`, changes: (now) => renameMember(now, path, meant) };
  }
  const renamed = /^rename "((?:[^"\\]|\\.)*)" to "((?:[^"\\]|\\.)*)"$/.exec(suggestion);
  if (renamed) {
    const [from, to] = [renamed[1] as string, renamed[2] as string];
    if (valueAt(value, [...path, from]) === undefined) return undefined;
    return { label: `Rename ${from} to ${to}`, changes: (now) => renameMember(now, [...path, from], to) };
  }
  const missing = quotedIn(suggestion, /^add "((?:[^"\\]|\\.)*)"$/);
  if (missing !== undefined) {
    const start = startValue(fieldAt(schema, [...path, missing]));
    return { label: `Add ${missing}`, changes: (now) => setValue(now, [...path, missing], start) };
  }
  if (here === undefined || !path.length) return undefined;
  if (/^remove it(?: from this layer)?(?:,|$)/.test(suggestion)) return { label: "Remove it", changes: (now) => removeValue(now, path) };
  if (/^write \{\} /.test(suggestion)) return { label: "Write {}", changes: (now) => setValue(now, path, new Map()) };
  const bare = /^write (-?\d[\d.eE+-]*|true|false) without quotes$/.exec(suggestion)?.[1];
  if (bare !== undefined) return { label: `Write ${bare}`, changes: (now) => setValue(now, path, bare === "true" || bare === "false" ? bare === "true" : new Num(bare)) };
  if (/^write true or false, without quotes/.test(suggestion) && typeof here === "string") {
    const truth = /^(true|yes|on|y|1|enabled?)$/i.test(here);
    return { label: `Write ${truth}`, changes: (now) => setValue(now, path, truth) };
  }
  const text = /^write "/.test(suggestion) ? quotedIn(suggestion, QUOTED) : undefined;
  if (text !== undefined && typeof here === "string") return { label: `Write ${JSON.stringify(text)}`, changes: (now) => setValue(now, path, text) };
  return undefined;
}

/** Findings about a name, not about its value. */
const ABOUT_NAMES = new Set(["SCHEMA_ADDITIONAL_PROPERTY", "SCHEMA_PROPERTY_NAME", "SCHEMA_FALSE", "SHADOWS_NOTHING", "SIMILAR_KEYS", "DEPRECATED"]);

/** The place of a finding in the text of a layer. `undefined`: the layer has nothing there, the value is inherited. */
export function rangeOf(finding: Finding, parsed: Parsed): Range | undefined {
  if (!parsed.root) {
    const place = /line (\d+),? column (\d+)/.exec(finding.message);
    if (!place) return undefined;
    return lineRange(parsed.text, Number(place[1]), Number(place[2]));
  }
  const path = pointerPath(finding.pointer);
  const found = nearest(parsed.root, path);
  if (found.member && found.depth === path.length && (found.node.elsewhere || ABOUT_NAMES.has(finding.code))) return found.member.key;
  return placeOf(parsed, finding.pointer);
}

function lineRange(text: string, line: number, column: number): Range {
  let from = 0;
  for (let i = 1; i < line; i++) {
    const next = text.indexOf("\n", from);
    if (next < 0) break;
    from = next + 1;
  }
  const end = text.indexOf("\n", from);
  const to = end < 0 ? text.length : end;
  return { from: Math.min(from + Math.max(0, column - 1), to), to };
}
