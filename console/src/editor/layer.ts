/** Reads what the editor needs: the layer as text, its schema, and what the layer inherits. Secrets are read as masks. */
import { get, type LayerRef, post, type Schemas } from "../api/client";
import { CallError } from "../api/problem";
import { loadFormat, parse, render, valueOf } from "./document";
import { parseJson } from "./json_text";
import { referencesOf, type SchemaSet } from "./schema";
import type { Format } from "./tree";
import { equal, isObject, mergeLayers, pointerPath, type Value, withValue } from "./value";

export type LayerKind = "LAYER_KIND_BASE" | "LAYER_KIND_OVERRIDE";

/** Which layer. */
export interface Target {
  namespace: string;
  config: string;
  scope: string;
  kind: LayerKind;
}

/** A layer as it is stored. */
export interface Stored {
  text: string;
  format: Format;
  value: Value;
  /** `expected_version` of a write that follows. 0: there is no such layer. */
  version: number;
  expires: string | undefined;
}

export function viewOf(kind: LayerKind): "VIEW_LAYER" | "VIEW_OVERRIDE_LAYER" {
  return kind === "LAYER_KIND_OVERRIDE" ? "VIEW_OVERRIDE_LAYER" : "VIEW_LAYER";
}

function isMissing(error: unknown): boolean {
  return error instanceof CallError && (error.reason === "CONFIG_NOT_FOUND" || error.reason === "VERSION_NOT_FOUND" || error.reason === "SCHEMA_NOT_FOUND");
}

const path = ({ namespace, config }: Target) => ({ namespace, config });

function formatOf(format: Schemas["Format"] | undefined): Format {
  return format === "FORMAT_YAML" || format === "FORMAT_TOML" ? format : "FORMAT_JSON";
}

/** A document of a batch, which answers that there is none without failing. */
async function readOne(request: Schemas["GetRequest"], signal: AbortSignal | undefined): Promise<Schemas["Document"] | undefined> {
  const { results } = await post("/v1/documents:batchGet", { body: { requests: [request] }, signal, maskSecrets: true });
  return results[0]?.document;
}

/** Reads the layer in the format in which it was written last. */
export async function readLayer(target: Target, signal?: AbortSignal): Promise<Stored> {
  const request = { ...path(target), scope: target.scope, view: viewOf(target.kind) };
  const document = await readOne(request, signal);
  if (!document) return { text: "", format: "FORMAT_YAML", value: new Map(), version: 0, expires: undefined };
  const layer = document.layers[0];
  const value = parseJson(document.content || "{}");
  const format = formatOf(layer?.format);
  await loadFormat(format);
  const written = format === "FORMAT_JSON" ? undefined : await inFormat(format);
  const text = written ?? render("FORMAT_JSON", value) ?? "{}\n";
  return { text, format: written === undefined ? "FORMAT_JSON" : format, value, version: Number(layer?.version ?? 0), expires: layer?.expire_time };

  /** The text of the server. `undefined`: the format cannot express it, or it is not read alike. */
  async function inFormat(format: Format): Promise<string | undefined> {
    try {
      const text = (await readOne({ ...request, version: document?.version, format }, signal))?.content ?? "";
      const read = valueOf(parse(format, text));
      return read !== undefined && equal(read, value) ? text : undefined;
    } catch (error) {
      if (error instanceof CallError && (error.reason === "FORMAT_CANNOT_EXPRESS" || error.reason === "INVALID_FIELD")) return undefined;
      throw error;
    }
  }
}

/** The format of a layer that does not exist yet: that of the other layers of the config. */
export function usualFormat(layers: readonly LayerRef[]): Format {
  return formatOf(layers.findLast((layer) => layer.format !== "FORMAT_UNSPECIFIED")?.format ?? (layers.length ? "FORMAT_JSON" : "FORMAT_YAML"));
}

const REFERENCES_MAX = 20;

/** The schema of the config, and those that it refers to. `undefined`: there is none, or the caller may not read it. */
export async function readSchema(target: Target, signal?: AbortSignal): Promise<SchemaSet | undefined> {
  const read = async (config: string): Promise<Value | undefined> => {
    try {
      // Whether there is one is asked first, so that a config without a schema is no failed call.
      if (!(await readOne({ namespace: target.namespace, config: `schema:${config}`, pointer: "/active" }, signal))) return undefined;
      const { schema } = await get("/v1/namespaces/{namespace}/configs/{config}/schema", { path: { namespace: target.namespace, config }, signal });
      return schema?.content ? parseJson(schema.content) : undefined;
    } catch (error) {
      if (error instanceof CallError && (error.status === 404 || error.isDenied)) return undefined;
      throw error;
    }
  };
  if (target.config.includes(":")) return undefined;
  const root = await read(target.config);
  if (root === undefined) return undefined;
  const others = new Map<string, Value>();
  const wanted = referencesOf(root);
  for (let name = wanted.shift(); name !== undefined && others.size < REFERENCES_MAX; name = wanted.shift()) {
    if (others.has(name)) continue;
    const schema = await read(name);
    if (schema === undefined) continue;
    others.set(name, schema);
    wanted.push(...referencesOf(schema));
  }
  return { root, others };
}

/** The scopes from "/" down to a scope. */
export function scopesDownTo(scope: string): string[] {
  const segments = scope.split("/").filter(Boolean);
  return ["/", ...segments.map((_, i) => `/${segments.slice(0, i + 1).join("/")}`)];
}

/** Contents of layers, by `KIND SCOPE`; `null`: there is no such layer. */
export type Layers = Map<string, Value | null>;

const layerKey = (scope: string, kind: LayerKind) => `${kind} ${scope}`;

/** The layers that are merged for a scope, in their order. */
function chainOf(scope: string): { scope: string; kind: LayerKind }[] {
  const scopes = scopesDownTo(scope);
  return [...scopes.map((each) => ({ scope: each, kind: "LAYER_KIND_BASE" as const })), ...scopes.map((each) => ({ scope: each, kind: "LAYER_KIND_OVERRIDE" as const }))];
}

/** Reads the layers of a scope that `known` does not have yet. */
export async function readChain(target: Target, scope: string, known: Layers, signal?: AbortSignal): Promise<void> {
  const wanted = chainOf(scope).filter((each) => !known.has(layerKey(each.scope, each.kind)));
  if (!wanted.length) return;
  const requests = wanted.map((each) => ({ ...path(target), scope: each.scope, view: viewOf(each.kind) }));
  const documents = await readAll(requests, signal);
  wanted.forEach((each, i) => {
    const content = documents[i]?.content;
    known.set(layerKey(each.scope, each.kind), content ? parseJson(content) : null);
  });
}

/** Reads documents by one call, or one by one where they do not fit one message. */
async function readAll(requests: readonly Schemas["GetRequest"][], signal: AbortSignal | undefined): Promise<(Schemas["Document"] | undefined)[]> {
  try {
    const { results } = await post("/v1/documents:batchGet", { body: { requests: [...requests] }, signal, maskSecrets: true });
    return results.map(({ document }) => document);
  } catch (error) {
    if (!(error instanceof CallError) || error.reason !== "MESSAGE_TOO_LARGE") throw error;
    const documents: (Schemas["Document"] | undefined)[] = [];
    for (const request of requests) documents.push(await readOne(request, signal));
    return documents;
  }
}

/** The document of a scope, with one layer replaced (`null`: removed) where `instead` is given. */
export function mergedAt(scope: string, known: Layers, instead?: { target: Target; value: Value | null }): Value {
  return chainOf(scope).reduce<Value>((document, each) => {
    const isInstead = instead && each.scope === instead.target.scope && each.kind === instead.target.kind;
    const layer = isInstead ? instead.value : known.get(layerKey(each.scope, each.kind));
    return layer === null || layer === undefined ? document : mergeLayers(document, layer);
  }, new Map());
}

/** What the scope has without this layer, and where each value is from. */
export interface Inherited {
  value: Value;
  /** By pointer: the scope of the layer, with `override` if it is one. */
  from: ReadonlyMap<string, string>;
  layers: readonly LayerRef[];
}

export async function readInherited(target: Target, signal?: AbortSignal): Promise<Inherited> {
  const nothing = { value: new Map(), from: new Map(), layers: [] };
  try {
    if (!(await readOne({ ...path(target), scope: target.scope }, signal))) return nothing;
    const explain = await get("/v1/namespaces/{namespace}/configs/{config}/explanation", { path: path(target), query: { scope: target.scope }, signal, maskSecrets: true });
    let value: Value = new Map();
    const from = new Map<string, string>();
    for (const origin of explain.values) {
      const said = [{ layer: origin.layer, text: origin.removed ? undefined : origin.value }, ...origin.shadowed.map((each) => ({ layer: each.layer, text: each.removed ? undefined : each.value }))];
      const found = said.find(({ layer }) => layer && !(layer.scope === target.scope && layer.kind === target.kind) && (target.kind === "LAYER_KIND_OVERRIDE" || layer.kind === "LAYER_KIND_BASE"));
      if (!found?.text) continue;
      value = setDeep(value, pointerPath(origin.pointer), parseJson(found.text));
      from.set(origin.pointer, `${found.layer?.scope}${found.layer?.kind === "LAYER_KIND_OVERRIDE" ? " override" : ""}`);
    }
    return { value, from, layers: explain.document?.layers ?? [] };
  } catch (error) {
    if (!isMissing(error) && !(error instanceof CallError && (error.isDenied || error.reason === "MESSAGE_TOO_LARGE"))) throw error;
    return nothing;
  }
}

/** Sets a value in a tree that nobody else holds. */
function setDeep(root: Value, segments: readonly string[], value: Value): Value {
  if (!segments.length) return value;
  if (!isObject(root)) return withValue(root, segments, value);
  let at = root;
  for (const segment of segments.slice(0, -1)) {
    const inner = at.get(segment);
    if (isObject(inner)) at = inner;
    else {
      const made = new Map<string, Value>();
      at.set(segment, made);
      at = made;
    }
  }
  at.set(segments.at(-1) as string, value);
  return root;
}

