/** Completion and hover from the schema. */
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { contextAt } from "./context";
import { type Field, type SchemaSet, fieldAt, namesAt, startValue } from "./schema";
import { type Format, type Parsed, nearest, pathAt } from "./tree";
import { inlineText } from "./toml_text";
import { type Value, Num, isObject, toJson } from "./value";

/** What completion knows: the schema, and the document that the layer inherits. */
export interface Known {
  schema: SchemaSet | undefined;
  inherited: Value | undefined;
  parsed: Parsed | undefined;
  format: Format;
}

function at(value: Value | undefined, path: readonly string[]): Value | undefined {
  return path.reduce<Value | undefined>((inner, segment) => (isObject(inner) ? inner.get(segment) : Array.isArray(inner) ? inner[Number(segment)] : undefined), value);
}

export function complete(context: CompletionContext, known: Known): CompletionResult | null {
  const text = context.state.doc.toString();
  const found = contextAt(known.format, text, context.pos);
  if (!found || (!context.explicit && found.from === context.pos)) return null;
  const rest = text.slice(context.pos, context.pos + 200);
  const to = found.isQuoted && rest.startsWith('"') ? context.pos + 1 : context.pos;
  const options = found.kind === "name" ? names(found.path, known, text, found.from, rest) : values(found.path, known);
  if (!options.length) return null;
  return { from: found.from, to, options, validFor: /^["']?[\w.-]*$/ };
}

function names(path: readonly string[], known: Known, text: string, from: number, rest: string): Completion[] {
  const present = known.parsed?.root && nearest(known.parsed.root, path);
  const taken = new Set(present && present.depth === path.length ? present.node.members?.filter((each) => each.key.from !== from).map((each) => each.name) : []);
  const inherited = at(known.inherited, path);
  const all = new Set([...namesAt(known.schema, path), ...(isObject(inherited) ? inherited.keys() : [])]);
  const hasValue = /^["']?\s*[:=]/.test(rest);
  return [...all]
    .filter((name) => !taken.has(name))
    .map((name, order): Completion => {
      const field = fieldAt(known.schema, [...path, name]);
      const value = at(inherited, [name]);
      return {
        label: name,
        apply: hasValue ? writtenName(name, known.format) : member(name, field, known.format, indentOf(text, from)),
        detail: field?.types.join(" or ") ?? "",
        ...(field?.description || value !== undefined ? { info: [field?.description, value !== undefined ? `inherited: ${cut(value)}` : ""].filter(Boolean).join("\n") } : {}),
        boost: (field?.isRequired ? 10 : 0) - order / 1000 - (field?.deprecated ? 20 : 0),
      };
    });
}

const cut = (value: Value): string => {
  const text = toJson(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};

const indentOf = (text: string, from: number): string => /^[ \t]*/.exec(text.slice(text.lastIndexOf("\n", from - 1) + 1, from))?.[0] ?? "";

function writtenName(name: string, format: Format): string {
  if (format === "FORMAT_JSON") return JSON.stringify(name);
  if (format === "FORMAT_TOML") return /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
  return /^[A-Za-z_][\w.-]*$/.test(name) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(name) ? name : JSON.stringify(name);
}

function member(name: string, field: Field | undefined, format: Format, indent: string): string {
  const isObjectField = field?.types[0] === "object";
  const key = writtenName(name, format);
  if (format === "FORMAT_YAML") return isObjectField ? `${key}:\n${indent}  ` : `${key}: `;
  if (format === "FORMAT_TOML") return `${key} = `;
  return `${key}: ${isObjectField ? "{}" : ""}`;
}

function values(path: readonly string[], known: Known): Completion[] {
  const field = fieldAt(known.schema, path);
  if (!field) return [];
  const offered: Value[] = [...(field.choices ?? [])];
  if (!offered.length && field.types.includes("boolean")) offered.push(true, false);
  if (field.fallback !== undefined) offered.push(field.fallback);
  offered.push(...field.examples);
  if (!offered.length && field.types.length && !field.types.includes("string")) offered.push(startValue(field));
  const seen = new Set<string>();
  return offered.flatMap((value): Completion[] => {
    const written = valueText(value, known.format);
    if (written === undefined || seen.has(written)) return [];
    seen.add(written);
    return [{ label: written, detail: value === field.fallback ? "default" : "" }];
  });
}

/** A value as it is written on one line of a format. */
function valueText(value: Value, format: Format): string | undefined {
  if (format === "FORMAT_TOML") return inlineText(value);
  if (format === "FORMAT_YAML" && typeof value === "string") return /^[A-Za-z_/][\w./-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value) ? value : JSON.stringify(value);
  return toJson(value);
}

/** What the schema says of a position, and what the layer inherits there. */
export function hover(position: number, known: Known): { from: number; to: number; element: HTMLElement } | undefined {
  if (!known.parsed?.root) return undefined;
  const path = pathAt(known.parsed.root, position);
  if (!path.length) return undefined;
  const { node, member: found } = nearest(known.parsed.root, path);
  const field = fieldAt(known.schema, path);
  const inherited = at(known.inherited, path);
  if (!field && inherited === undefined) return undefined;
  const element = document.createElement("div");
  element.className = "hover";
  const line = (tag: "strong" | "p", className: string, text: string) => {
    const part = document.createElement(tag);
    part.className = className;
    part.textContent = text;
    element.append(part);
  };
  line("strong", "", path.join("."));
  if (field) {
    const types = field.types.join(" or ");
    line("p", "soft", [types, field.isRequired ? "required" : "", ...field.limits].filter(Boolean).join(", "));
    if (field.description) line("p", "", field.description);
    if (field.choices) line("p", "soft", `one of ${field.choices.map((each) => toJson(each)).join(", ")}`);
    if (field.fallback !== undefined) line("p", "soft", `default ${cut(field.fallback)}`);
    if (field.deprecated) line("p", "", `deprecated: ${field.deprecated}`);
    if (field.isSecret) line("p", "soft", "a secret");
    if (field.needsRestart) line("p", "soft", "a change takes a restart of the service");
    if (field.owner) line("p", "soft", `owned by ${field.owner}`);
  }
  if (inherited !== undefined) line("p", "soft", `inherited: ${inherited instanceof Num ? inherited.text : cut(inherited)}`);
  return { from: found?.key.from ?? node.from, to: node.scalar !== undefined ? node.to : (found?.key.to ?? node.from), element };
}
