/** TOML as text: its tree, and edits at their place. Reads TOML 1.1 as far as positions and values need it; the server has the last word. */
import { type Member, type Node, type Parsed, type Range, type TextChange, lineEnd, lineStart, nearest } from "./tree";
import { removeFromList } from "./json_text";
import { type Value, Num, isObject } from "./value";

class Malformed extends Error {
  constructor(message: string, readonly from: number, readonly to: number) {
    super(message);
  }
}

const BARE = /[A-Za-z0-9_-]+/y;
const DATE = /\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:\d{2})?)?|\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?/y;
const NUMBER = /[+-]?(?:0x[0-9A-Fa-f_]+|0o[0-7_]+|0b[01_]+|inf|nan|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d[\d_]*)?)/y;
const ESCAPES: Record<string, string> = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\u001b", '"': '"', "\\": "\\" };

interface Key extends Range {
  name: string;
}

class Reader {
  at = 0;
  root: Node = { from: 0, to: 0, members: [], form: "table", statements: [] };
  constructor(readonly text: string) {
    if (text.startsWith("\ufeff")) this.at = 1;
    this.root.from = this.at;
  }

  fail(message: string, from = this.at): never {
    throw new Malformed(message, from, Math.min(Math.max(this.at, from + 1), this.text.length));
  }

  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  blanks(): void {
    this.match(/[ \t]*/y);
  }

  /** White space, line breaks and comments. */
  filler(): void {
    this.match(/(?:[ \t\r\n]+|#[^\n]*)*/y);
  }

  endOfLine(): void {
    this.blanks();
    this.match(/#[^\n]*/y);
    this.match(/\r/y);
    if (this.at < this.text.length && this.text[this.at] !== "\n") this.fail("nothing more is expected on this line");
  }

  key(): Key[] {
    const keys: Key[] = [];
    for (;;) {
      this.blanks();
      const from = this.at;
      const first = this.text[from];
      const name = first === '"' ? this.basic() : first === "'" ? this.literal() : this.match(BARE);
      if (name === undefined) this.fail("a name is expected here");
      keys.push({ name, from, to: this.at });
      this.blanks();
      if (this.text[this.at] !== ".") return keys;
      this.at++;
    }
  }

  literal(): string {
    const from = this.at;
    const text = this.match(/'[^'\n]*'/y);
    if (text === undefined) {
      this.at = lineEnd(this.text, from);
      this.fail("this text has no closing quote", from);
    }
    return text.slice(1, -1);
  }

  basic(): string {
    const from = this.at;
    const text = this.match(/"(?:[^"\\\n]|\\[^\n])*"/y);
    if (text === undefined) {
      this.at = lineEnd(this.text, from);
      this.fail("this text has no closing quote", from);
    }
    return this.unescape(text.slice(1, -1), from);
  }

  unescape(text: string, from: number): string {
    return text.replace(/\\(?:(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2})|([ \t]*\r?\n[ \t\r\n]*)|([^]))/g, (all, code, fold, one) => {
      if (code) return String.fromCodePoint(Number.parseInt((code as string).slice(1), 16));
      if (fold) return "";
      return ESCAPES[one as string] ?? this.fail(`${all} is no escape of TOML`, from);
    });
  }

  multiline(quote: '"""' | "'''"): string {
    const from = this.at;
    let end = this.text.indexOf(quote, from + 3);
    while (quote === '"""' && end > 0) {
      let slashes = 0;
      while (this.text[end - 1 - slashes] === "\\") slashes++;
      if (slashes % 2 === 0) break;
      end = this.text.indexOf(quote, end + 1);
    }
    if (end < 0) {
      this.at = lineEnd(this.text, from);
      this.fail(`the closing ${quote} is missing`, from);
    }
    while (this.text[end + 3] === quote[0] && end - from < this.text.length && this.text.slice(end + 1, end + 4) === quote) end++;
    this.at = end + 3;
    const text = this.text.slice(from + 3, end).replace(/^\r?\n/, "").replace(/\r\n/g, "\n");
    return quote === '"""' ? this.unescape(text, from) : text;
  }

  value(depth: number): Node {
    const from = this.at;
    const first = this.text[from];
    if (depth > 128) this.fail("the document is nested too deeply");
    if (first === "[") return this.array(depth);
    if (first === "{") return this.inline(depth);
    const scalar = this.scalar(first);
    return { from, to: this.at, scalar, form: "inline" };
  }

  scalar(first: string | undefined): string | boolean | Num {
    const from = this.at;
    if (this.text.startsWith('"""', from)) return this.multiline('"""');
    if (this.text.startsWith("'''", from)) return this.multiline("'''");
    if (first === '"') return this.basic();
    if (first === "'") return this.literal();
    if (this.match(/true\b/y)) return true;
    if (this.match(/false\b/y)) return false;
    const date = this.match(DATE);
    if (date !== undefined) return date.replace(/[t ]/, "T").replace("z", "Z");
    const number = this.match(NUMBER);
    if (number === undefined) {
      const word = this.match(/[^\s,\]}#]+/y);
      this.fail(word ? `texts are written in quotes: "${word}"` : "a value is expected here", from);
    }
    const digits = number.replace(/_/g, "").replace(/^\+/, "");
    if (/^-?0[xob]/.test(digits)) return new Num(BigInt(digits.replace("-", "")).toString());
    return new Num(digits.replace(/^(-?)0+(?=\d)/, "$1"));
  }

  array(depth: number): Node {
    const from = this.at++;
    const items: Node[] = [];
    for (;;) {
      this.filler();
      if (this.text[this.at] === "]") break;
      items.push(this.value(depth + 1));
      this.filler();
      if (this.text[this.at] === ",") this.at++;
      else if (this.text[this.at] !== "]") this.fail('a "," or "]" is expected here');
    }
    this.at++;
    return { from, to: this.at, items, form: "inline" };
  }

  inline(depth: number): Node {
    const from = this.at++;
    const node: Node = { from, to: from, members: [], form: "inline" };
    for (;;) {
      this.filler();
      if (this.text[this.at] === "}") break;
      const keys = this.key();
      this.equals();
      this.assign(node, keys, this.value(depth + 1), undefined);
      this.filler();
      if (this.text[this.at] === ",") this.at++;
      else if (this.text[this.at] !== "}") this.fail('a "," or "}" is expected here');
    }
    this.at++;
    node.to = this.at;
    return node;
  }

  equals(): void {
    this.blanks();
    if (this.text[this.at] !== "=") this.fail('a "=" is expected after the name');
    this.at++;
    this.blanks();
  }

  assign(table: Node, keys: Key[], value: Node, statement: Range | undefined): void {
    let at = table;
    for (const key of keys.slice(0, -1)) at = this.step(at, key, "dotted", statement);
    const last = keys.at(-1) as Key;
    if (at.members?.some((each) => each.name === last.name)) throw new Malformed(`the name ${last.name} is here twice`, last.from, last.to);
    if (statement) value.statements = [statement];
    at.members?.push({ name: last.name, key: last, node: value });
  }

  /** The table below `node` that `key` names; made if there is none. */
  step(node: Node, key: Key, form: "dotted" | "implied" | "table", statement: Range | undefined): Node {
    const found = node.members?.find((each) => each.name === key.name)?.node;
    if (!found) {
      const made: Node = { from: key.from, to: key.to, members: [], form, statements: statement ? [statement] : [] };
      node.members?.push({ name: key.name, key, node: made });
      return made;
    }
    const inner = found.items && found.form === "table" ? found.items.at(-1) : found;
    if (!inner?.members || inner.form === "inline") this.fail(`${key.name} is no table`, key.from);
    if (statement) inner.statements?.push(statement);
    return inner;
  }

  document(): Node {
    let table = this.root;
    let headers: Node[] = [];
    for (;;) {
      this.filler();
      if (this.at >= this.text.length) break;
      const from = this.at;
      if (this.text[from] === "[") {
        const isList = this.text[from + 1] === "[";
        this.at += isList ? 2 : 1;
        const keys = this.key();
        if (!this.text.startsWith(isList ? "]]" : "]", this.at)) this.fail(`a "${isList ? "]]" : "]"}" is expected here`);
        this.at += isList ? 2 : 1;
        const statement = { from, to: this.at };
        let at = this.root;
        headers = [];
        for (const key of keys.slice(0, -1)) headers.push((at = this.step(at, key, "implied", undefined)));
        const last = keys.at(-1) as Key;
        if (isList) table = this.element(at, last, statement);
        else {
          table = this.step(at, last, "table", undefined);
          if (table.form === "table" && table.statements?.length) this.fail(`the table ${last.name} is here twice`, from);
          table.form = "table";
          table.from = from;
          table.statements?.push(statement);
        }
        table.to = this.at;
        this.endOfLine();
      } else {
        const keys = this.key();
        this.equals();
        const value = this.value(1);
        this.assign(table, keys, value, { from, to: this.at });
        table.to = this.at;
        this.endOfLine();
      }
    }
    this.root.to = this.text.length;
    return this.root;
  }

  element(at: Node, key: Key, statement: Range): Node {
    let list = at.members?.find((each) => each.name === key.name)?.node;
    if (!list) {
      list = { from: statement.from, to: statement.to, items: [], form: "table", statements: [] };
      at.members?.push({ name: key.name, key, node: list });
    }
    if (!list.items || list.form !== "table") this.fail(`${key.name} is no list of tables`, key.from);
    const table: Node = { ...statement, members: [], form: "table", statements: [statement] };
    list.items.push(table);
    return table;
  }
}

export function parse(text: string): Parsed {
  try {
    return { format: "FORMAT_TOML", text, root: new Reader(text).document(), problems: [] };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { format: "FORMAT_TOML", text, root: undefined, problems: [{ from: error.from, to: error.to, message: error.message }] };
  }
}

const keyText = (name: string): string => (/^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name));

/** The value on one line. `undefined`: TOML has no null. */
export function inlineText(value: Value): string | undefined {
  if (value === null) return undefined;
  if (value instanceof Num) return value.text;
  if (Array.isArray(value)) {
    const items = value.map(inlineText);
    return items.includes(undefined) ? undefined : `[${items.join(", ")}]`;
  }
  if (isObject(value)) {
    const members = [...value].map(([name, item]) => [keyText(name), inlineText(item)] as const);
    if (members.some(([, item]) => item === undefined)) return undefined;
    return members.length ? `{ ${members.map(([name, item]) => `${name} = ${item}`).join(", ")} }` : "{}";
  }
  return JSON.stringify(value).replace(/\u007f/g, "\\u007F");
}

/** The document with a section for each object. `undefined`: TOML cannot express it. */
export function render(value: Value): string | undefined {
  if (!isObject(value)) return undefined;
  const out: string[] = [];
  const table = (members: Map<string, Value>, path: string[]): boolean => {
    const inner: [string, Map<string, Value>][] = [];
    for (const [name, item] of members) {
      if (isObject(item) && item.size > 0) {
        inner.push([name, item]);
        continue;
      }
      const text = inlineText(item);
      if (text === undefined) return false;
      out.push(`${keyText(name)} = ${text}`);
    }
    return inner.every(([name, item]) => {
      const header = [...path, name];
      const hasValues = [...item.values()].some((each) => !isObject(each) || each.size === 0);
      if (hasValues) out.push(...(out.length ? [""] : []), `[${header.map(keyText).join(".")}]`);
      return table(item, header);
    });
  };
  return table(value, []) ? `${out.join("\n")}${out.length ? "\n" : ""}` : undefined;
}

const nested = (rest: readonly string[], value: Value): Value => rest.reduceRight<Value>((inner, segment) => new Map([[segment, inner]]), value);

/** The last statement of a table's own section. */
function lastStatement(table: Node): Range | undefined {
  const own = (table.members ?? []).flatMap((each) => (each.node.form === "inline" ? (each.node.statements ?? []) : each.node.form === "dotted" ? [lastStatement(each.node)] : []));
  const all = [...(table.statements ?? []), ...own].filter((each) => each !== undefined);
  return all.sort((a, b) => a.from - b.from).at(-1);
}

export function* setCandidates(parsed: Parsed, path: readonly string[], value: Value): Generator<TextChange[]> {
  const { root, text } = parsed;
  if (!root) return;
  const { node, depth } = nearest(root, path);
  const [segment, ...rest] = path.slice(depth);
  if (segment === undefined) {
    const written = inlineText(value);
    if (written !== undefined && node.form === "inline") yield [{ from: node.from, to: node.to, insert: written }];
    return;
  }
  const inner = nested(rest, value);
  const written = inlineText(inner);
  if (written === undefined) return;
  const member = `${keyText(segment)} = ${written}`;
  if (node.form === "inline") {
    const entries: { from: number; to: number }[] = node.members?.map((each) => ({ from: each.key.from, to: each.node.to })) ?? node.items ?? [];
    const last = entries.at(-1);
    const insert = node.items ? written : member;
    const [open, close] = node.items ? ["[", "]"] : ["{ ", " }"];
    if (last) yield [{ from: last.to, to: last.to, insert: `, ${insert}` }];
    else yield [{ from: node.from, to: node.to, insert: open + insert + close }];
    return;
  }
  if (isObject(inner) && inner.size > 0 && depth === 0) {
    const section = render(new Map([[segment, inner]]));
    const blank = text === "" || text.endsWith("\n\n") ? "" : text.endsWith("\n") ? "\n" : "\n\n";
    if (section !== undefined) yield [{ from: text.length, to: text.length, insert: blank + section }];
  }
  const names = path.slice(0, depth).map(keyText);
  if (node.form === "table") {
    const last = lastStatement(node);
    const at = last ? lineEnd(text, last.to) : (/^(?:\s|#[^\n]*)*?(?=\[|$)/.exec(text)?.[0].length ?? 0);
    if (last) yield [{ from: at, to: at, insert: `\n${member}` }];
    else yield [{ from: at, to: at, insert: `${at > 0 && text[at - 1] !== "\n" ? "\n" : ""}${member}\n` }];
  }
  if (node.form === "dotted") {
    const last = lastStatement(node);
    const start = last && lineStart(text, last.from);
    const line = last && text.slice(start, last.to);
    const prefix = line && /^\s*[^=]*\.(?=[^.=]*=)/.exec(line)?.[0];
    if (last && prefix) yield [{ from: lineEnd(text, last.to), to: lineEnd(text, last.to), insert: `\n${prefix}${member}` }];
  }
  const blank = text === "" || text.endsWith("\n\n") ? "" : text.endsWith("\n") ? "\n" : "\n\n";
  if (names.length) yield [{ from: text.length, to: text.length, insert: `${blank}[${names.join(".")}]\n${member}\n` }];
}

/** All statements that make up a value. */
function statementsOf(node: Node): Range[] {
  if (node.form === "inline") return node.statements ?? [];
  const members = (node.members ?? []).flatMap((each: Member) => statementsOf(each.node));
  return [...(node.statements ?? []), ...members, ...(node.items ?? []).flatMap(statementsOf)];
}

/** The lines of all statements of a value. */
function linesOf(text: string, node: Node): Range[] {
  return statementsOf(node).map((range) => ({ from: lineStart(text, range.from), to: Math.min(lineEnd(text, range.to) + 1, text.length) }));
}

export function* removeCandidates(parsed: Parsed, path: readonly string[]): Generator<TextChange[]> {
  const { root, text } = parsed;
  if (!root) return;
  const { node, member, parent, depth } = nearest(root, path);
  if (depth !== path.length || !parent) return;
  if (parent.form === "inline") {
    yield removeFromList(parent, member ? { from: member.key.from, to: node.to } : node);
    return;
  }
  const ranges = linesOf(text, node).sort((a, b) => a.from - b.from);
  const merged: TextChange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last && range.from <= last.to) last.to = Math.max(last.to, range.to);
    else merged.push({ ...range, insert: "" });
  }
  if (merged.length) yield merged;
}
