/** YAML as text: its tree, and edits at their place. The only user of the package `yaml`, which is loaded when a document in YAML is opened. */
import { type Document, type ParsedNode, Scalar, isAlias, isMap, isScalar, isSeq, parseDocument, stringify } from "yaml";
import { type Node, type Parsed, type SyntaxProblem, type TextChange, lineEnd, lineStart, nearest, smallestChange } from "./tree";
import { removeFromList } from "./json_text";
import { type Value, Num, isObject, toJson } from "./value";

const OPTIONS = { intAsBigInt: true, keepSourceTokens: false, merge: true, prettyErrors: false, uniqueKeys: true, version: "1.2", strict: true } as const;
const WRITE = { intAsBigInt: true, version: "1.2" } as const;

function numberText(value: number | bigint, source: string | undefined): string {
  if (typeof value === "bigint") return value.toString();
  if (source && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(source)) return source;
  return Number.isFinite(value) ? String(value) : "null";
}

/** Makes the tree. `aliases` counts the values that aliases add, so that a few lines cannot become millions of values. */
class Builder {
  copies = 0;
  readonly problems: SyntaxProblem[] = [];
  constructor(readonly document: Document.Parsed) {}

  node(source: unknown, at: { from: number; to: number }, depth: number): Node {
    if (depth > 128 || this.copies > 100_000) return { ...at, scalar: null };
    if (isAlias(source)) {
      const range = source.range ?? [at.from, at.to];
      const target = source.resolve(this.document);
      this.copies++;
      const copy = this.node(target, { from: range[0], to: range[1] }, depth + 1);
      return this.elsewhere(copy, { from: range[0], to: range[1] });
    }
    if (isMap(source)) {
      const [from, to] = source.range ?? [at.from, at.to];
      const members: NonNullable<Node["members"]> = [];
      const merged: NonNullable<Node["members"]> = [];
      for (const pair of source.items) {
        const key = pair.key as ParsedNode;
        const keyRange = { from: key?.range?.[0] ?? from, to: key?.range?.[1] ?? from };
        const inner = this.node(pair.value, { from: keyRange.to, to: keyRange.to }, depth + 1);
        if (isScalar(key) && key.value === Symbol.for("<<")) {
          for (const part of inner.items ?? [inner]) merged.push(...(part.members ?? []).map((each) => ({ ...each, key: keyRange })));
          continue;
        }
        if (isScalar(key) && key.source === "<<" && key.type === "PLAIN") {
          for (const part of inner.items ?? [inner]) merged.push(...(part.members ?? []).map((each) => ({ ...each, key: keyRange })));
          continue;
        }
        const name = isScalar(key) ? (typeof key.value === "string" ? key.value : (key.source ?? String(key.value))) : String(key);
        members.push({ name, key: keyRange, node: inner });
      }
      for (const member of merged) {
        if (!members.some((each) => each.name === member.name)) {
          members.push({ ...member, node: this.elsewhere(member.node, member.key) });
        }
      }
      return { from, to, members, form: source.flow ? "inline" : "table" };
    }
    if (isSeq(source)) {
      const [from, to] = source.range ?? [at.from, at.to];
      return { from, to, items: source.items.map((item) => this.node(item, { from, to: from }, depth + 1)), form: source.flow ? "inline" : "table" };
    }
    if (isScalar(source)) {
      const range = source.range ?? [at.from, at.to];
      const value = source.value;
      const scalar =
        typeof value === "number" || typeof value === "bigint"
          ? new Num(numberText(value, source.source))
          : typeof value === "string" || typeof value === "boolean" || value === null
            ? value
            : String(value ?? "");
      return { from: range[0], to: range[1], scalar };
    }
    return { ...at, scalar: null };
  }

  /** The copy of a value whose text is at another place. */
  elsewhere(node: Node, at: { from: number; to: number }): Node {
    return {
      ...node,
      ...at,
      elsewhere: true,
      ...(node.members ? { members: node.members.map((each) => ({ ...each, key: at, node: this.elsewhere(each.node, at) })) } : {}),
      ...(node.items ? { items: node.items.map((each) => this.elsewhere(each, at)) } : {}),
    };
  }
}

const MESSAGES: Record<string, string> = {
  DUPLICATE_KEY: "the name is here twice",
  BAD_INDENT: "the indentation does not fit the lines above",
  TAB_AS_INDENT: "tabs cannot indent in YAML",
  MULTIPLE_DOCS: "one document is expected, and there are several",
};

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/implicit map keys? need to be followed by map values/i, 'a ":" and a value are expected after the name'],
  [/all collection items must start at the same column/i, "the lines of one object or list must begin at the same column"],
  [/implicit keys need to be on a single line/i, "a name must be on one line"],
  [/nested mappings are not allowed in compact mappings/i, 'a ":" within a value needs quotes around the value'],
  [/missing closing "?quote/i, "this text has no closing quote"],
  [/unresolved (tag|alias)/i, "this tag or alias is not known"],
  [/flow map .*must end with a }|expected flow map to end with }/i, 'a "}" is missing'],
  [/flow sequence .*must end with a ]|expected flow sequence to end with ]/i, 'a "]" is missing'],
];

/** What is wrong, in the words of the console; those of the package where it has none of its own. */
function told(code: string, message: string): string {
  return MESSAGES[code] ?? WORDS.find(([pattern]) => pattern.test(message))?.[1] ?? message.charAt(0).toLowerCase() + message.slice(1);
}

export function parse(text: string): Parsed {
  const skipped = text.startsWith("\ufeff") ? ` ${text.slice(1)}` : text;
  const document = parseDocument(skipped, OPTIONS);
  const problems = document.errors.map((error) => ({
    from: error.pos[0],
    to: Math.max(error.pos[1], Math.min(error.pos[0] + 1, text.length)),
    message: told(error.code, error.message),
  }));
  const isReadable = document.errors.every((error) => error.code === "DUPLICATE_KEY");
  if (!isReadable) return { format: "FORMAT_YAML", text, root: undefined, problems };
  try {
    const builder = new Builder(document as Document.Parsed);
    const contents = document.contents;
    const isEmpty = contents === null || (isScalar(contents) && contents.value === null && !contents.source);
    const root: Node = isEmpty ? { from: text.length, to: text.length, members: [] } : builder.node(contents, { from: 0, to: text.length }, 0);
    return { format: "FORMAT_YAML", text, root, problems };
  } catch (error) {
    return { format: "FORMAT_YAML", text, root: undefined, problems: [{ from: 0, to: lineEnd(text, 0), message: (error as Error).message }] };
  }
}

/** A value of the package's own kind: numbers keep their text, and texts that look like something else for readers of YAML 1.1 get quotes. */
function plain(value: Value): unknown {
  if (value instanceof Num) return /^-?\d+$/.test(value.text) ? BigInt(value.text) : Number(value.text);
  if (Array.isArray(value)) return value.map(plain);
  if (isObject(value)) return new Map([...value].map(([name, item]) => [keyOf(name), plain(item)]));
  return value;
}

/** A name as key: `<<` without quotes would merge. */
function keyOf(name: string): string | Scalar {
  if (name !== "<<") return name;
  const key = new Scalar(name);
  key.type = Scalar.QUOTE_DOUBLE;
  return key;
}

export function render(value: Value): string {
  if (isObject(value) && value.size === 0) return "{}\n";
  return stringify(plain(value), { ...WRITE, lineWidth: 0, compat: "yaml-1.1", aliasDuplicateObjects: false });
}

/** A scalar on one line. */
function scalarText(value: Value): string {
  if (typeof value !== "string") return toJson(value);
  const text = stringify(value, { lineWidth: 0, compat: "yaml-1.1", version: "1.2", defaultStringType: "PLAIN" }).trimEnd();
  return text.includes("\n") || text.startsWith("|") || text.startsWith(">") || /[,[\]{}#&*!%@`]/.test(text) ? JSON.stringify(value) : text;
}

const isScalarValue = (value: Value): boolean => !Array.isArray(value) && !isObject(value);

/** A member as lines of a block, indented by `pad`. */
function blockMember(name: string, value: Value, pad: string): string {
  const text = isScalarValue(value)
    ? `${name === "<<" ? '"<<"' : scalarText(name)}: ${scalarText(value)}\n`
    : stringify(new Map([[keyOf(name), plain(value)]]), { ...WRITE, lineWidth: 0, compat: "yaml-1.1", aliasDuplicateObjects: false });
  return text.replace(/^(?=.)/gm, pad);
}

const nested = (rest: readonly string[], value: Value): Value => rest.reduceRight<Value>((inner, segment) => new Map([[segment, inner]]), value);

/** Where the line after a value begins. */
function afterLine(text: string, at: number): number {
  if (at > 0 && text[at - 1] === "\n") return at;
  return Math.min(lineEnd(text, at) + 1, text.length);
}

/** The end of the last scalar of a value: ranges of blocks go on over blank lines and comments. */
function lastOf(node: Node): number {
  const last = node.members?.at(-1);
  if (node.form === "inline") return node.to;
  if (last) return last.node.elsewhere ? last.node.to : Math.max(last.key.to, lastOf(last.node));
  const item = node.items?.at(-1);
  return item ? lastOf(item) : node.to;
}

/** Changes that set the value at a path, each a candidate: the caller takes the first of which the text then says what it should. */
export function* setCandidates(parsed: Parsed, path: readonly string[], value: Value): Generator<TextChange[]> {
  const { root, text } = parsed;
  if (!root) return;
  const found = nearest(root, path);
  const [segment, ...rest] = path.slice(found.depth);
  if (segment === undefined) {
    if (isScalarValue(value) && found.node.scalar !== undefined && !found.node.elsewhere) {
      const isBlock = text.slice(found.node.from, found.node.to).endsWith("\n");
      const space = found.node.from > 0 && text[found.node.from - 1] === ":" ? " " : "";
      yield [{ from: found.node.from, to: found.node.to, insert: space + scalarText(value) + (isBlock ? "\n" : "") }];
    }
  } else if (found.node.members && found.node.form !== "inline" && !found.node.elsewhere) {
    const first = found.node.members.find((each) => !each.node.elsewhere);
    const last = found.node.members.findLast((each) => !each.node.elsewhere);
    if (first && last) {
      const start = lineStart(text, first.key.from);
      const pad = text.slice(start, first.key.from).replace(/[^ ]/g, " ");
      const at = afterLine(text, last.node.elsewhere ? last.node.to : Math.max(last.key.to, lastOf(last.node)));
      const lead = at > 0 && text[at - 1] !== "\n" ? "\n" : "";
      yield [{ from: at, to: at, insert: lead + blockMember(segment, nested(rest, value), pad) }];
    } else if (found.depth === 0) {
      const lead = text && !text.endsWith("\n") ? "\n" : "";
      yield [{ from: text.length, to: text.length, insert: lead + blockMember(segment, nested(rest, value), "") }];
    }
  } else if (found.node.items && found.node.form !== "inline" && found.node.items.length && isScalarValue(value) && !rest.length) {
    const last = found.node.items.at(-1) as Node;
    const first = found.node.items[0] as Node;
    const pad = /^\s*-\s+/.exec(text.slice(lineStart(text, first.from), first.from))?.[0];
    const at = afterLine(text, lastOf(last));
    const lead = at > 0 && text[at - 1] !== "\n" ? "\n" : "";
    if (pad !== undefined) yield [{ from: at, to: at, insert: `${lead}${pad}${scalarText(value)}\n` }];
  }
  yield* byDocument(parsed, (document) => {
    const parents = path.slice(0, -1);
    const node = document.createNode(plain(value), { aliasDuplicateObjects: false });
    for (let depth = 0; depth <= parents.length; depth++) {
      const at = document.getIn(path.slice(0, depth), true);
      if (depth < path.length && !isMap(at) && !isSeq(at)) document.setIn(path.slice(0, depth), document.createNode({}));
    }
    if (path.length === 0) document.contents = node as never;
    else document.setIn(path.map((each, i) => (isSeq(document.getIn(path.slice(0, i), true)) ? Number(each) : each)), node);
  });
}

export function* removeCandidates(parsed: Parsed, path: readonly string[]): Generator<TextChange[]> {
  const { root, text } = parsed;
  if (!root) return;
  const { node, member, parent, depth } = nearest(root, path);
  if (depth === path.length && parent && !node.elsewhere && !parent.elsewhere) {
    if (parent.form === "inline") yield removeFromList(parent, member ? { from: member.key.from, to: node.to } : node);
    else if (member) {
      const start = lineStart(text, member.key.from);
      if (/^\s*$/.test(text.slice(start, member.key.from))) yield [{ from: start, to: afterLine(text, Math.max(member.key.to, lastOf(node))), insert: "" }];
    } else {
      const start = lineStart(text, node.from);
      if (/^\s*-\s+$/.test(text.slice(start, node.from))) yield [{ from: start, to: afterLine(text, lastOf(node)), insert: "" }];
    }
  }
  yield* byDocument(parsed, (document) => {
    document.deleteIn(path.map((each, i) => (isSeq(document.getIn(path.slice(0, i), true)) ? Number(each) : each)));
  });
}

/** The edit by the document of the package: comments stay, white space may change. */
function* byDocument(parsed: Parsed, edit: (document: Document) => void): Generator<TextChange[]> {
  const document = parseDocument(parsed.text, OPTIONS) as Document;
  try {
    edit(document);
    yield smallestChange(parsed.text, document.toString({ lineWidth: 0 }));
  } catch {
    // The path leads through an alias, or into a scalar: there is no such edit.
  }
}

