/** What a JSON Schema says of each place of a document, for the form, completion and hover. The server alone decides what is valid. */
import { type Members, type TypeName, type Value, Num, equal, isObject, pointerPath, toJson, typeOf, valueAt } from "./value";

/** A schema and the schemas that it refers to by `schema:NAME`. */
export interface SchemaSet {
  root: Value;
  others: ReadonlyMap<string, Value>;
}

/** What is known of one place. */
export interface Field {
  types: readonly TypeName[];
  choices: readonly Value[] | undefined;
  title: string | undefined;
  description: string | undefined;
  fallback: Value | undefined;
  examples: readonly Value[];
  isRequired: boolean;
  isSecret: boolean;
  /** "": not deprecated. */
  deprecated: string;
  needsRestart: boolean;
  owner: string | undefined;
  /** `at least 1`, `at most 100`, `format uri`, as texts for people. */
  limits: readonly string[];
  minimum: string | undefined;
  maximum: string | undefined;
  pattern: string | undefined;
}

const DEPTH_MAX = 32;
/** So many subschemas of one place are looked at: references can double at each step. */
const PLACES_MAX = 500;

/** The names of the schemas that a schema refers to. */
export function referencesOf(schema: Value): string[] {
  const names = new Set<string>();
  const visit = (value: Value): void => {
    if (Array.isArray(value)) value.forEach(visit);
    if (!isObject(value)) return;
    const reference = value.get("$ref");
    const name = typeof reference === "string" ? /^schema:([^#]+)/.exec(reference)?.[1] : undefined;
    if (name) names.add(name);
    for (const inner of value.values()) visit(inner);
  };
  visit(schema);
  return [...names];
}

/** A subschema, and the document in which its `#/...` references are resolved. */
interface Place {
  schema: Members;
  base: Value;
}

function resolve(set: SchemaSet, at: Place, reference: string): Place | undefined {
  const [document = "", fragment = ""] = reference.split("#", 2);
  const name = /^schema:(.+)$/.exec(document)?.[1];
  const base = name ? set.others.get(name) : document === "" ? at.base : undefined;
  if (base === undefined) return undefined;
  if (fragment && !fragment.startsWith("/")) {
    const anchored = byAnchor(base, fragment);
    return anchored && { schema: anchored, base };
  }
  let decoded = fragment;
  try {
    decoded = decodeURIComponent(fragment);
  } catch {
    // The fragment has a "%" of its own.
  }
  const schema = valueAt(base, pointerPath(decoded));
  return isObject(schema) ? { schema, base } : undefined;
}

function byAnchor(value: Value, anchor: string): Members | undefined {
  if (Array.isArray(value)) {
    for (const item of value) {
      const found = byAnchor(item, anchor);
      if (found) return found;
    }
  }
  if (!isObject(value)) return undefined;
  if (value.get("$anchor") === anchor) return value;
  for (const inner of value.values()) {
    const found = byAnchor(inner, anchor);
    if (found) return found;
  }
  return undefined;
}

/** The subschemas that hold for one place together: references followed, `allOf` opened. `choices` has what `anyOf` and `oneOf` offer. */
interface Flat {
  all: Place[];
  choices: Place[];
}

function flatten(set: SchemaSet, start: Place, depth = 0, left = { places: PLACES_MAX }): Flat {
  const flat: Flat = { all: [start], choices: [] };
  if (depth > DEPTH_MAX || left.places-- <= 0) return flat;
  const add = (inner: Value | undefined, as: "all" | "choices") => {
    if (!isObject(inner)) return;
    const deeper = flatten(set, { schema: inner, base: start.base }, depth + 1, left);
    flat[as].push(...deeper.all);
    flat.choices.push(...deeper.choices);
  };
  const reference = start.schema.get("$ref");
  if (typeof reference === "string") {
    const target = resolve(set, start, reference);
    if (target) {
      const deeper = flatten(set, target, depth + 1, left);
      flat.all.push(...deeper.all);
      flat.choices.push(...deeper.choices);
    }
  }
  for (const inner of list(start.schema.get("allOf"))) add(inner, "all");
  for (const keyword of ["anyOf", "oneOf"]) for (const inner of list(start.schema.get(keyword))) add(inner, "choices");
  for (const keyword of ["then", "else"]) add(start.schema.get(keyword), "choices");
  return flat;
}

const list = (value: Value | undefined): Value[] => (Array.isArray(value) ? value : []);
const text = (value: Value | undefined): string | undefined => (typeof value === "string" ? value : undefined);
const numberText = (value: Value | undefined): string | undefined => (value instanceof Num ? value.text : undefined);

/** The subschemas of a member or element of what `flat` describes. */
function step(set: SchemaSet, flat: Flat, segment: string): Flat | undefined {
  const below: Flat = { all: [], choices: [] };
  const visit = (place: Place, as: "all" | "choices") => {
    for (const inner of innerSchemas(place.schema, segment)) {
      const deeper = flatten(set, { schema: inner, base: place.base });
      below[as].push(...deeper.all);
      below.choices.push(...deeper.choices);
    }
  };
  for (const place of flat.all) visit(place, "all");
  for (const place of flat.choices) visit(place, "choices");
  if (!below.all.length && !below.choices.length) return undefined;
  if (!below.all.length) return { all: [below.choices[0] as Place], choices: below.choices.slice(1) };
  return below;
}

function innerSchemas(schema: Members, segment: string): Members[] {
  const found: Value[] = [];
  const named = isObject(schema.get("properties")) ? (schema.get("properties") as Members).get(segment) : undefined;
  if (named !== undefined) found.push(named);
  const patterns = schema.get("patternProperties");
  if (isObject(patterns)) for (const [pattern, inner] of patterns) if (matches(pattern, segment)) found.push(inner);
  if (!found.length && isObject(schema.get("additionalProperties"))) found.push(schema.get("additionalProperties") as Members);
  if (/^\d+$/.test(segment)) {
    const items = schema.get("items");
    const first = list(schema.get("prefixItems") ?? (Array.isArray(items) ? items : undefined))[Number(segment)];
    if (first !== undefined) found.push(first);
    else if (isObject(items)) found.push(items);
    else if (isObject(schema.get("additionalItems"))) found.push(schema.get("additionalItems") as Members);
  }
  return found.filter(isObject);
}

/**
 * Whether a name fits a pattern. The server matches in linear time, and a browser does not: a pattern that could take long here, as somebody else may
 * have written it, fits nothing. The form then knows less of the place.
 */
function matches(pattern: string, name: string): boolean {
  const loops = pattern.match(/[*+]|\{\d+,\d*\}/g)?.length ?? 0;
  if (pattern.length > 256 || name.length > 256 || loops > 3 || /\)\s*[*+?{]/.test(pattern)) return false;
  try {
    return new RegExp(pattern, "u").test(name);
  } catch {
    return false;
  }
}

function flatAt(set: SchemaSet, path: readonly string[]): Flat | undefined {
  if (!isObject(set.root)) return undefined;
  let flat: Flat | undefined = flatten(set, { schema: set.root, base: set.root });
  for (const segment of path) flat = flat && step(set, flat, segment);
  return flat;
}

/** What the schema says of a path. `undefined`: nothing. */
export function fieldAt(set: SchemaSet | undefined, path: readonly string[]): Field | undefined {
  if (!set) return undefined;
  const flat = flatAt(set, path);
  if (!flat) return undefined;
  const last = path.at(-1);
  const parent = last === undefined ? undefined : flatAt(set, path.slice(0, -1));
  const isRequired = parent?.all.some(({ schema }) => list(schema.get("required")).includes(last as string)) ?? false;
  return describe(flat, isRequired);
}

/** The first of the subschemas that has a keyword says it. */
function first<T>(flat: Flat, read: (schema: Members) => T | undefined): T | undefined {
  for (const { schema } of flat.all) {
    const value = read(schema);
    if (value !== undefined) return value;
  }
  return undefined;
}

function typesOf(schema: Members): TypeName[] | undefined {
  const type = schema.get("type");
  if (typeof type === "string") return [type as TypeName];
  if (Array.isArray(type)) return type.filter((each): each is TypeName => typeof each === "string");
  if (schema.has("const")) return [typeOf(schema.get("const") as Value)];
  if (Array.isArray(schema.get("enum"))) return [...new Set(list(schema.get("enum")).map(typeOf))];
  if (isObject(schema.get("properties"))) return ["object"];
  return undefined;
}

function choicesOf(schema: Members): readonly Value[] | undefined {
  if (schema.has("const")) return [schema.get("const") as Value];
  return Array.isArray(schema.get("enum")) ? list(schema.get("enum")) : undefined;
}

function describe(flat: Flat, isRequired: boolean): Field {
  const types = first(flat, typesOf) ?? [...new Set(flat.choices.flatMap(({ schema }) => typesOf(schema) ?? []))];
  const offered = flat.choices.length && flat.choices.every(({ schema }) => choicesOf(schema)) ? flat.choices.flatMap(({ schema }) => choicesOf(schema) ?? []) : undefined;
  const flag = (keyword: string) => flat.all.some(({ schema }) => schema.get(keyword) === true);
  const deprecated = first(flat, (schema) => schema.get("x-deprecated") ?? (schema.get("deprecated") === true ? true : undefined));
  const minimum = first(flat, (schema) => numberText(schema.get("minimum")));
  const maximum = first(flat, (schema) => numberText(schema.get("maximum")));
  const pattern = first(flat, (schema) => text(schema.get("pattern")));
  const limits: string[] = [];
  const limit = (keyword: string, write: (value: string) => string) => {
    const value = first(flat, (schema) => {
      const of = schema.get(keyword);
      return of instanceof Num ? of.text : typeof of === "string" ? of : undefined;
    });
    if (value !== undefined) limits.push(write(value));
  };
  limit("minimum", (value) => `at least ${value}`);
  limit("exclusiveMinimum", (value) => `more than ${value}`);
  limit("maximum", (value) => `at most ${value}`);
  limit("exclusiveMaximum", (value) => `less than ${value}`);
  limit("multipleOf", (value) => `a multiple of ${value}`);
  limit("minLength", (value) => `at least ${value} characters`);
  limit("maxLength", (value) => `at most ${value} characters`);
  limit("minItems", (value) => `at least ${value} elements`);
  limit("maxItems", (value) => `at most ${value} elements`);
  limit("format", (value) => `format ${value}`);
  limit("pattern", (value) => `matches ${value}`);
  return {
    types,
    choices: first(flat, choicesOf) ?? offered,
    title: first(flat, (schema) => text(schema.get("title"))),
    description: first(flat, (schema) => text(schema.get("description"))),
    fallback: first(flat, (schema) => schema.get("default")),
    examples: first(flat, (schema) => (Array.isArray(schema.get("examples")) ? list(schema.get("examples")) : undefined)) ?? [],
    isRequired,
    isSecret: flag("x-secret") || flag("secret"),
    deprecated: deprecated === true ? "deprecated" : (text(deprecated) ?? ""),
    needsRestart: flag("x-restart-required"),
    owner: first(flat, (schema) => text(schema.get("x-owner"))),
    limits,
    minimum,
    maximum,
    pattern,
  };
}

/** The members that the schema names at a path, in its order. */
export function namesAt(set: SchemaSet | undefined, path: readonly string[]): string[] {
  const flat = set && flatAt(set, path);
  if (!flat) return [];
  const names = new Set<string>();
  for (const { schema } of [...flat.all, ...flat.choices]) {
    const properties = schema.get("properties");
    if (isObject(properties)) for (const name of properties.keys()) names.add(name);
  }
  return [...names];
}

/** Whether an object at a path may have members that the schema does not name. */
export function takesOthers(set: SchemaSet | undefined, path: readonly string[]): boolean {
  const flat = set && flatAt(set, path);
  if (!flat) return true;
  return !flat.all.some(({ schema }) => schema.get("additionalProperties") === false || schema.get("unevaluatedProperties") === false);
}

/** What a new value at a place begins as. */
export function startValue(field: Field | undefined): Value {
  if (field?.fallback !== undefined) return field.fallback;
  if (field?.choices?.length) return field.choices[0] as Value;
  switch (field?.types[0]) {
    case "object":
      return new Map();
    case "array":
      return [];
    case "boolean":
      return false;
    case "integer":
    case "number":
      return new Num(field.minimum ?? "0");
    case "null":
      return null;
    case "string":
    case undefined:
      return "";
  }
}

/** Why a value cannot be what the form was given, before the server is asked. "": nothing to say. */
export function quickProblem(field: Field | undefined, value: Value): string {
  if (!field) return "";
  if (field.choices && !field.choices.some((choice) => equal(choice, value))) return `one of ${field.choices.map((each) => toJson(each)).join(", ")}`;
  if (value instanceof Num) {
    const double = Number(value.text);
    if (field.types.length && !field.types.includes("number") && field.types.includes("integer") && typeOf(value) !== "integer") return "an integer is expected";
    if (field.minimum !== undefined && double < Number(field.minimum)) return `at least ${field.minimum} is expected`;
    if (field.maximum !== undefined && double > Number(field.maximum)) return `at most ${field.maximum} is expected`;
  }
  return "";
}
