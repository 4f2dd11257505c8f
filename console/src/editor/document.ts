/** A document as text in one of three formats: read, edited at a place, written anew. The text is the truth. Knows no view. */
import * as json from "./json_text";
import * as toml from "./toml_text";
import { type Format, type Parsed, type TextChange, applyChanges, nearest, toValue } from "./tree";
import { type Value, equal, valueAt, withValue, withoutValue } from "./value";

type Yaml = typeof import("./yaml_text");
let yaml: Yaml | undefined;

/** Loads what a format needs. Every other function takes for granted that the format is loaded. */
export async function loadFormat(format: Format): Promise<void> {
  if (format === "FORMAT_YAML") yaml ??= await import("./yaml_text");
}

function loaded(): Yaml {
  if (!yaml) throw new Error("the YAML reader is not loaded");
  return yaml;
}

/** The text that was read last: views of one text ask for it in turn, and a large one takes long. */
let latest: Parsed | undefined;

export function parse(format: Format, text: string): Parsed {
  if (latest?.format !== format || latest.text !== text) latest = parsedAnew(format, text);
  return latest;
}

function parsedAnew(format: Format, text: string): Parsed {
  if (format === "FORMAT_YAML") return loaded().parse(text);
  return format === "FORMAT_TOML" ? toml.parse(text) : json.parse(text);
}

/** The value as a text in a format. `undefined`: the format cannot express it. */
export function render(format: Format, value: Value): string | undefined {
  if (format === "FORMAT_YAML") return loaded().render(value);
  return format === "FORMAT_TOML" ? toml.render(value) : json.render(value);
}

const values = new WeakMap<Parsed, Value>();

/** The value of a text. Nobody changes it. */
export function valueOf(parsed: Parsed): Value | undefined {
  if (!parsed.root) return undefined;
  const known = values.get(parsed);
  if (known !== undefined) return known;
  const value = toValue(parsed.root);
  values.set(parsed, value);
  return value;
}

/** Why an edit of the form cannot be made in the text. */
export class EditRefused extends Error {}

function* one(changes: TextChange[] | undefined): Generator<TextChange[]> {
  if (changes) yield changes;
}

/** The first candidate after which the text says what it should, and nothing else. */
function verified(parsed: Parsed, candidates: Generator<TextChange[]>, wanted: Value): TextChange[] {
  for (const changes of candidates) {
    const after = parsedAnew(parsed.format, applyChanges(parsed.text, changes));
    if (after.root && after.problems.length === 0 && equal(toValue(after.root), wanted)) {
      latest = after;
      return changes;
    }
  }
  throw new EditRefused("this change has no place in the text as it is written: change the text");
}

function readable(parsed: Parsed): Value {
  const value = valueOf(parsed);
  if (value === undefined) throw new EditRefused("the text cannot be read: correct it first");
  return value;
}

/** The changes of the text that set the value at a path. Everything else, comments included, stays as it is. */
export function setValue(parsed: Parsed, path: readonly string[], value: Value): TextChange[] {
  const wanted = withValue(readable(parsed), path, value);
  if (parsed.format === "FORMAT_YAML") return verified(parsed, loaded().setCandidates(parsed, path, value), wanted);
  if (parsed.format === "FORMAT_TOML") return verified(parsed, toml.setCandidates(parsed, path, value), wanted);
  return verified(parsed, one(json.setChanges(parsed, path, value)), wanted);
}

/** The changes of the text that remove the value at a path. */
export function removeValue(parsed: Parsed, path: readonly string[]): TextChange[] {
  const wanted = withoutValue(readable(parsed), path);
  if (parsed.format === "FORMAT_YAML") return verified(parsed, loaded().removeCandidates(parsed, path), wanted);
  if (parsed.format === "FORMAT_TOML") return verified(parsed, toml.removeCandidates(parsed, path), wanted);
  return verified(parsed, one(json.removeChanges(parsed, path)), wanted);
}

/** The changes of the text that give a member another name. Its value, and what is written around it, stay. */
export function renameMember(parsed: Parsed, path: readonly string[], name: string): TextChange[] {
  const value = readable(parsed);
  const inner = valueAt(value, path);
  const member = parsed.root && nearest(parsed.root, path).member;
  const target = [...path.slice(0, -1), name];
  if (inner === undefined || !member || valueAt(value, target) !== undefined) throw new EditRefused("there is nothing to rename");
  const isPlain = /^[A-Za-z_][\w-]*$/.test(name) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(name);
  const written = isPlain && parsed.format !== "FORMAT_JSON" ? name : JSON.stringify(name);
  return verified(parsed, one([{ ...member.key, insert: written }]), withValue(withoutValue(value, path), target, inner));
}
