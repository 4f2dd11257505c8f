/** The tree of a text: each value with its place. Made by `json_text`, `yaml_text` and `toml_text`, read by everything that underlines or edits. */
import { type Members, type Value, Num, pointerPath } from "./value";

export type Format = "FORMAT_JSON" | "FORMAT_YAML" | "FORMAT_TOML";
export const FORMATS: readonly Format[] = ["FORMAT_JSON", "FORMAT_YAML", "FORMAT_TOML"];
export const formatName = (format: Format): string => format.slice("FORMAT_".length);

/** A range of the text, in UTF-16 units. */
export interface Range {
  from: number;
  to: number;
}

export interface Member {
  name: string;
  key: Range;
  node: Node;
}

export interface Node extends Range {
  /** Of scalars. */
  scalar?: null | boolean | string | Num;
  members?: Member[];
  items?: Node[];
  /** The place of the text is another one (an alias, a merged key): it cannot be edited here. */
  elsewhere?: boolean;
  /** TOML: the statements that make up the value, where it has no single place. */
  statements?: Range[];
  /** TOML: how the value is written. */
  form?: "inline" | "table" | "dotted" | "implied";
}

/** Something that keeps the text from being read. */
export interface SyntaxProblem extends Range {
  message: string;
}

export interface Parsed {
  format: Format;
  text: string;
  /** `undefined`: the text cannot be read. */
  root: Node | undefined;
  problems: SyntaxProblem[];
}

/** Replacements in a text, sorted, without overlap. */
export interface TextChange extends Range {
  insert: string;
}

export function applyChanges(text: string, changes: readonly TextChange[]): string {
  let out = "";
  let at = 0;
  for (const change of changes) {
    out += text.slice(at, change.from) + change.insert;
    at = change.to;
  }
  return out + text.slice(at);
}

/** The one change that makes `older` to `newer`. */
export function smallestChange(older: string, newer: string): TextChange[] {
  if (older === newer) return [];
  let from = 0;
  const shorter = Math.min(older.length, newer.length);
  while (from < shorter && older[from] === newer[from]) from++;
  let end = 0;
  while (end < shorter - from && older[older.length - 1 - end] === newer[newer.length - 1 - end]) end++;
  return [{ from, to: older.length - end, insert: newer.slice(from, newer.length - end) }];
}

export function toValue(node: Node): Value {
  if (node.members) {
    const members: Members = new Map();
    for (const member of node.members) members.set(member.name, toValue(member.node));
    return members;
  }
  if (node.items) return node.items.map(toValue);
  return node.scalar ?? null;
}

/** What is found by a path: the node, and its member where it is one of an object. */
export interface Found {
  node: Node;
  member?: Member;
  parent?: Node;
  /** How many segments of the path lead to `node`. */
  depth: number;
}

/** The value at a path, or the nearest value that contains its place. */
export function nearest(root: Node, path: readonly string[]): Found {
  let found: Found = { node: root, depth: 0 };
  for (const segment of path) {
    const member = found.node.members?.findLast((each) => each.name === segment);
    const node = member?.node ?? (/^\d+$/.test(segment) ? found.node.items?.[Number(segment)] : undefined);
    if (!node) return found;
    found = { node, parent: found.node, depth: found.depth + 1, ...(member ? { member } : {}) };
  }
  return found;
}

/**
 * Where a finding at `pointer` is shown: a scalar at its value, an object at its key. `undefined`: the text has nothing at the place, and
 * nothing around it but the root.
 */
export function placeOf(parsed: Parsed, pointer: string): Range | undefined {
  if (!parsed.root) return undefined;
  const path = pointerPath(pointer);
  const found = nearest(parsed.root, path);
  if (found.depth < path.length && found.depth === 0) return undefined;
  const { node, member } = found;
  const exact = found.depth === path.length;
  if (exact && node.scalar !== undefined && node.to > node.from) return { from: node.from, to: node.to };
  if (member) return member.key;
  if (found.depth === 0) return { from: 0, to: lineEnd(parsed.text, 0) };
  return { from: node.from, to: Math.min(node.to, lineEnd(parsed.text, node.from)) };
}

export function lineStart(text: string, at: number): number {
  return text.lastIndexOf("\n", at - 1) + 1;
}

export function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** The path of the innermost value whose key or value covers `at`. */
export function pathAt(root: Node, at: number): string[] {
  const path: string[] = [];
  let node: Node | undefined = root;
  while (node) {
    let next: Node | undefined;
    for (const member of node.members ?? []) {
      if (member.node.elsewhere) continue;
      const inKey = at >= member.key.from && at <= member.key.to;
      const inValue = at >= member.node.from && at <= member.node.to;
      const inStatement = member.node.statements?.some((range) => at >= range.from && at <= range.to) ?? false;
      if (inKey || inValue || inStatement) {
        path.push(member.name);
        next = member.node;
        break;
      }
    }
    if (!next) {
      const index: number = (node.items ?? []).findIndex(
        (item) => (at >= item.from && at <= item.to) || item.statements?.some((range) => at >= range.from && at <= range.to),
      );
      if (index >= 0) {
        path.push(String(index));
        next = node.items?.[index];
      }
    }
    node = next;
  }
  return path;
}
