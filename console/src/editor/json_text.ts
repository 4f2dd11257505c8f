/** JSON as text: its tree, and edits at their place. */
import { type Node, type Parsed, type TextChange, type SyntaxProblem, lineStart, nearest, toValue } from "./tree";
import { type Value, Num, toJson } from "./value";

class Malformed extends Error {
  constructor(message: string, readonly from: number, readonly to: number) {
    super(message);
  }
}

const NUMBER = /-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /[A-Za-z_$][\w$]*/y;
const DEPTH_MAX = 128;

class Reader {
  at = 0;
  readonly duplicates: SyntaxProblem[] = [];
  constructor(readonly text: string) {
    if (text.startsWith("\ufeff")) this.at = 1;
  }

  space(): void {
    SPACE.lastIndex = this.at;
    SPACE.exec(this.text);
    this.at = SPACE.lastIndex;
  }

  fail(message: string): never {
    throw new Malformed(message, this.at, Math.min(this.at + 1, this.text.length));
  }

  string(): string {
    STRING.lastIndex = this.at;
    const found = STRING.exec(this.text);
    if (!found) {
      const end = this.text.indexOf("\n", this.at);
      throw new Malformed("this text has no closing quote, or a character that must be escaped", this.at, end < 0 ? this.text.length : end);
    }
    this.at = STRING.lastIndex;
    const token = found[0];
    return token.includes("\\") ? (JSON.parse(token) as string) : token.slice(1, -1);
  }

  value(depth: number): Node {
    const from = this.at;
    const first = this.text[from];
    if (depth > DEPTH_MAX) this.fail("the document is nested too deeply");
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (first === '"') {
      const scalar = this.string();
      return { from, to: this.at, scalar };
    }
    NUMBER.lastIndex = from;
    const number = NUMBER.exec(this.text);
    if (number) {
      this.at = NUMBER.lastIndex;
      return { from, to: this.at, scalar: new Num(number[0]) };
    }
    for (const [word, scalar] of [["true", true], ["false", false], ["null", null]] as const) {
      if (this.text.startsWith(word, from)) {
        this.at = from + word.length;
        return { from, to: this.at, scalar };
      }
    }
    if (first === undefined) this.fail("a value is missing at the end");
    WORD.lastIndex = from;
    const word = WORD.exec(this.text);
    if (word) throw new Malformed(`texts are written in quotes: "${word[0]}"`, from, WORD.lastIndex);
    return this.fail("a value is expected here");
  }

  object(depth: number): Node {
    const from = this.at++;
    const members: NonNullable<Node["members"]> = [];
    const names = new Set<string>();
    for (;;) {
      this.space();
      if (this.text[this.at] === "}") {
        if (members.length) this.fail("a member is expected after the comma");
        break;
      }
      if (this.text[this.at] !== '"') this.fail(this.at >= this.text.length ? 'a "}" is missing at the end' : "a name in quotes is expected here");
      const key = { from: this.at, to: this.at };
      const name = this.string();
      key.to = this.at;
      if (names.has(name)) this.duplicates.push({ ...key, message: `the name ${JSON.stringify(name)} is here twice` });
      names.add(name);
      this.space();
      if (this.text[this.at] !== ":") this.fail('a ":" is expected after the name');
      this.at++;
      this.space();
      members.push({ name, key, node: this.value(depth + 1) });
      this.space();
      if (this.text[this.at] === ",") this.at++;
      else if (this.text[this.at] === "}") break;
      else this.fail(this.at >= this.text.length ? 'a "}" is missing at the end' : 'a "," or "}" is expected here');
    }
    this.at++;
    return { from, to: this.at, members };
  }

  array(depth: number): Node {
    const from = this.at++;
    const items: Node[] = [];
    for (;;) {
      this.space();
      if (this.text[this.at] === "]") {
        if (items.length) this.fail("a value is expected after the comma");
        break;
      }
      items.push(this.value(depth + 1));
      this.space();
      if (this.text[this.at] === ",") this.at++;
      else if (this.text[this.at] === "]") break;
      else this.fail(this.at >= this.text.length ? 'a "]" is missing at the end' : 'a "," or "]" is expected here');
    }
    this.at++;
    return { from, to: this.at, items };
  }
}

export function parse(text: string): Parsed {
  const reader = new Reader(text);
  try {
    reader.space();
    if (reader.at >= text.length) return { format: "FORMAT_JSON", text, root: undefined, problems: [{ from: 0, to: 0, message: "the text is empty: an object is expected, {}" }] };
    const root = reader.value(0);
    reader.space();
    if (reader.at < text.length) reader.fail("nothing more is expected after the document");
    return { format: "FORMAT_JSON", text, root, problems: reader.duplicates };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { format: "FORMAT_JSON", text, root: undefined, problems: [{ from: error.from, to: error.to, message: error.message }] };
  }
}

/** The value of a JSON text. Throws where it is none. */
export function parseJson(text: string): Value {
  const { root, problems } = parse(text);
  if (!root) throw new SyntaxError(problems[0]?.message ?? "not JSON");
  return toValue(root);
}

export function render(value: Value): string {
  return `${toJson(value, 2)}\n`;
}

/** The unit of indentation that the text uses. */
function unitOf(text: string): number {
  return /\n( +)\S/.exec(text)?.[1]?.length ?? 2;
}

const columnsBefore = (text: string, at: number): number => /^\s*/.exec(text.slice(lineStart(text, at), at))?.[0].length ?? 0;

/** The value as JSON whose further lines are indented like the line of `at`. */
function indented(text: string, at: number, value: Value, isOnOneLine: boolean): string {
  if (isOnOneLine) return toJson(value);
  const pad = " ".repeat(columnsBefore(text, at));
  return toJson(value, unitOf(text)).replace(/\n/g, `\n${pad}`);
}

/** What follows below the nearest value that there is. */
function nested(rest: readonly string[], value: Value): Value {
  return rest.reduceRight<Value>((inner, segment) => new Map([[segment, inner]]), value);
}

/** Changes that set the value at a path. `undefined`: no edit at the place can. */
export function setChanges(parsed: Parsed, path: readonly string[], value: Value): TextChange[] | undefined {
  const { root, text } = parsed;
  if (!root) return undefined;
  const { node, depth } = nearest(root, path);
  const [segment, ...rest] = path.slice(depth);
  const isOnOneLine = !text.trim().includes("\n") && text.trim() !== "{}";
  if (segment === undefined) return [{ from: node.from, to: node.to, insert: indented(text, node.from, value, isOnOneLine) }];
  const inner = nested(rest, value);
  if (node.items) {
    if (segment !== String(node.items.length)) return undefined;
    return insertAfterLast(text, node, node.items.at(-1), (at) => indented(text, at, inner, isOnOneLine));
  }
  if (!node.members) return [{ from: node.from, to: node.to, insert: indented(text, node.from, new Map([[segment, inner]]), isOnOneLine) }];
  const name = JSON.stringify(segment);
  const last = node.members.at(-1);
  const space = isOnOneLine && !/:\s/.test(text) && node.members.length ? "" : " ";
  return insertAfterLast(text, node, last && { from: last.key.from, to: last.node.to }, (at) => `${name}:${space}${indented(text, at, inner, isOnOneLine)}`);
}

function insertAfterLast(text: string, node: Node, last: { from: number; to: number } | undefined, write: (at: number) => string): TextChange[] {
  if (last) {
    const before = text.slice(lineStart(text, last.from), last.from);
    const isOnOwnLine = /^\s*$/.test(before);
    return [{ from: last.to, to: last.to, insert: isOnOwnLine ? `,\n${before}${write(last.from)}` : `,${text.includes(", ") ? " " : ""}${write(last.from)}` }];
  }
  const [open, close] = node.items ? ["[", "]"] : ["{", "}"];
  if (!text.trim().includes("\n") && text.trim() !== "{}") return [{ from: node.from, to: node.to, insert: `${open}${write(node.from)}${close}` }];
  const outer = " ".repeat(columnsBefore(text, node.from));
  const inner = outer + " ".repeat(unitOf(text));
  const written = write(node.from).replace(/\n/g, `\n${" ".repeat(unitOf(text))}`);
  return [{ from: node.from, to: node.to, insert: `${open}\n${inner}${written}\n${outer}${close}` }];
}

/** Changes that remove the value at a path. */
export function removeChanges(parsed: Parsed, path: readonly string[]): TextChange[] | undefined {
  const { root } = parsed;
  if (!root) return undefined;
  const { node, member, parent, depth } = nearest(root, path);
  if (depth !== path.length || !parent) return undefined;
  return removeFromList(parent, member ? { from: member.key.from, to: node.to } : node);
}

/** Removes one entry, and one comma, of an object or array in braces. */
export function removeFromList(parent: Node, entry: { from: number; to: number }): TextChange[] {
  const entries = parent.members?.map((each) => ({ from: each.key.from, to: each.node.to })) ?? parent.items ?? [];
  const index = entries.findIndex((each) => each.from === entry.from);
  const [before, after] = [entries[index - 1], entries[index + 1]];
  if (before) return [{ from: before.to, to: entry.to, insert: "" }];
  if (after) return [{ from: entry.from, to: after.from, insert: "" }];
  return [{ from: parent.from, to: parent.to, insert: parent.items ? "[]" : "{}" }];
}
