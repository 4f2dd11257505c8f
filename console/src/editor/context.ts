/** Where the cursor is in a text that may be half written: the path, and whether a name or a value is expected. For completion alone. */
import type { Format } from "./tree";

export interface Context {
  /** Of the object in which a name is expected, or of the value. */
  path: string[];
  kind: "name" | "value";
  /** The start of what is typed already. */
  from: number;
  /** What is typed already begins with a quote. */
  isQuoted: boolean;
}

export function contextAt(format: Format, text: string, at: number): Context | undefined {
  if (format === "FORMAT_YAML") return inYaml(text, at);
  return format === "FORMAT_TOML" ? inToml(text, at) : inJson(text, at);
}

interface Level {
  kind: "object" | "array";
  name: string | undefined;
  index: number;
}

function inJson(text: string, at: number): Context | undefined {
  const levels: Level[] = [];
  let expects: "name" | "value" = "value";
  let i = 0;
  const pathOf = () => levels.map((level) => (level.kind === "array" ? String(level.index) : (level.name ?? "")));
  while (i < at) {
    const char = text[i] as string;
    const level = levels.at(-1);
    if (char === '"') {
      let end = i + 1;
      while (end < text.length && text[end] !== '"' && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
      if (at <= end) return at > i ? place(i, true) : undefined;
      if (expects === "name" && level) level.name = unquoted(text.slice(i, end + 1));
      i = end + 1;
    } else if (char === "{" || char === "[") {
      levels.push({ kind: char === "{" ? "object" : "array", name: undefined, index: 0 });
      expects = char === "{" ? "name" : "value";
      i++;
    } else if (char === "}" || char === "]") {
      levels.pop();
      expects = "value";
      i++;
    } else if (char === ":") {
      expects = "value";
      i++;
    } else if (char === ",") {
      if (level?.kind === "array") level.index++;
      else if (level) {
        level.name = undefined;
        expects = "name";
      }
      i++;
    } else if (/[\w.+-]/.test(char)) {
      const start = i;
      while (i < text.length && /[\w.+-]/.test(text[i] as string)) i++;
      if (at <= i) return place(start, false);
    } else i++;
  }
  return place(at, false);

  function place(from: number, isQuoted: boolean): Context | undefined {
    if (!levels.length) return undefined;
    if (expects === "name") return { path: pathOf().slice(0, -1), kind: "name", from, isQuoted };
    return { path: pathOf(), kind: "value", from, isQuoted };
  }
}

function unquoted(token: string): string {
  try {
    return JSON.parse(token) as string;
  } catch {
    return token.replace(/^"|"$/g, "");
  }
}

const YAML_KEY = /^(\s*(?:- +)*)(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'|([^\s#"'\-[\]{},][^#]*?|-[^\s#][^#]*?))\s*:(?=\s|$)/;

/** Longer lines have no name that somebody types. */
const LINE_MAX = 1_000;

/** The name of a line of block YAML, and the column in which it begins. */
function yamlKey(line: string): { name: string; column: number; length: number } | undefined {
  const found = line.length > LINE_MAX ? null : YAML_KEY.exec(line);
  if (!found) return undefined;
  return { name: found[2] ?? found[3] ?? (found[4] as string), column: (found[1] as string).length, length: found[0].length };
}

function inYaml(text: string, at: number): Context | undefined {
  const lines = text.slice(0, at).split("\n");
  const current = lines.pop() as string;
  if (/(^|\s)#/.test(current)) return undefined;
  const key = yamlKey(current);
  let column: number;
  const path: string[] = [];
  let own: Context;
  if (key && current.length > key.length) {
    column = key.column;
    path.push(key.name);
    const typed = /\S*$/.exec(current.slice(key.length))?.[0] ?? "";
    if (/[[{]/.test(current.slice(key.length))) return undefined;
    own = { path, kind: "value", from: at - typed.length, isQuoted: /^["']/.test(typed) };
  } else {
    const lead = /^\s*(?:- +)*/.exec(current)?.[0] ?? "";
    column = lead.length;
    own = { path, kind: "name", from: at - (current.length - lead.length), isQuoted: /^["']/.test(current.slice(lead.length)) };
  }
  let dash = dashOf(current, column);
  let index = 0;
  if (dash !== undefined) column = dash;
  let isElement = dash !== undefined;
  for (let i = lines.length - 1; i >= 0 && column >= 0; i--) {
    const line = lines[i] as string;
    if (!line.trim() || /^\s*#/.test(line)) continue;
    const other = yamlKey(line);
    const indent = /^\s*/.exec(line)?.[0].length ?? 0;
    if (isElement && indent === column && /^\s*-(\s|$)/.test(line)) {
      index++;
      continue;
    }
    if (!isElement && indent < column && /^\s*-(\s|$)/.test(line) && (dash = dashOf(line, column)) !== undefined && (other?.column ?? column) === column) {
      column = dash;
      isElement = true;
      index = 0;
      continue;
    }
    if (other && (isElement ? other.column <= column : other.column < column)) {
      if (isElement) path.unshift(String(index));
      path.unshift(other.name);
      column = other.column;
      dash = dashOf(line, column);
      isElement = dash !== undefined;
      index = 0;
      if (dash !== undefined) column = dash;
    }
  }
  return own;
}

/** The column of the last "-" before a column of a line. */
function dashOf(line: string, column: number): number | undefined {
  const found = /^(\s*)(- +)+$/.exec(line.slice(0, column));
  return found ? line.slice(0, column).lastIndexOf("-") : undefined;
}

function inToml(text: string, at: number): Context | undefined {
  const lines = text.slice(0, at).split("\n");
  const current = lines.pop() as string;
  if (/^\s*(#|\[)/.test(current)) return undefined;
  const counts = new Map<string, number>();
  let header: string[] = [];
  for (const line of lines) {
    const found = /^\s*(\[\[?)\s*([^\]]+?)\s*\]/.exec(line);
    if (!found) continue;
    header = tomlPath(found[2] as string);
    if (found[1] === "[[") {
      const name = header.join("\0");
      counts.set(name, (counts.get(name) ?? -1) + 1);
    }
    const whole: string[] = [];
    const plain: string[] = [];
    for (const segment of header) {
      whole.push(segment);
      plain.push(segment);
      const count = counts.get(plain.join("\0"));
      if (count !== undefined) whole.push(String(count));
    }
    header = whole;
  }
  const equals = /^\s*([^=#]+?)\s*=\s*/.exec(current);
  if (equals) {
    const typed = current.slice(equals[0].length);
    if (/[[{]/.test(typed)) return undefined;
    return { path: [...header, ...tomlPath(equals[1] as string)], kind: "value", from: at - typed.length, isQuoted: /^["']/.test(typed) };
  }
  const typed = current.trimStart();
  const path = tomlPath(typed);
  const last = /[^.]*$/.exec(typed)?.[0] ?? "";
  return { path: [...header, ...path.slice(0, typed.includes(".") ? (typed.endsWith(".") ? undefined : -1) : 0)], kind: "name", from: at - last.length, isQuoted: last.startsWith('"') };
}

function tomlPath(text: string): string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+)/g)].map((each) => each[1] ?? each[2] ?? (each[3] as string));
}
