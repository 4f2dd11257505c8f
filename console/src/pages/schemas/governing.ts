// Configs that govern others: schemas, rules and settings. Knows their names, their stored form, and the calls that read and write them.
import { get, post, type Schemas } from "../../api/client";
import { parseJson } from "../../editor/json_text";
import { readDocument } from "../parts/document";
import { changesOf } from "../parts/json";
import type { Outlook } from "../parts/preview";

export type Kind = "schema" | "rules" | "settings";

/** What a system config governs: `config` is "" for `namespace:rules` and `namespace:settings`. */
export interface Governing {
  /** The name of the system config: "rules:checkout". */
  name: string;
  kind: Kind;
  config: string;
}

/** Reads the name of a system config that people write. `undefined`: another config. */
export function governing(name: string): Governing | undefined {
  const at = name.indexOf(":");
  const [first, second] = [name.slice(0, at), name.slice(at + 1)];
  if (at < 1 || second === "") return undefined;
  if (first === "namespace") return second === "rules" || second === "settings" ? { name, kind: second, config: "" } : undefined;
  return first === "schema" || first === "rules" || first === "settings" ? { name, kind: first, config: second } : undefined;
}

export const KIND_NAMES: Record<Kind, string> = { schema: "Schema", rules: "Rules", settings: "Settings" };

/** What a new one begins with. */
export const TEMPLATES: Record<Kind, string> = {
  schema: `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "timeout_ms": { "type": "integer", "minimum": 1 }
  }
}
`,
  rules: `{
  "rules": {
    "pool-fits": {
      "expression": "!has(config.pool) || config.pool.min <= config.pool.max",
      "message": "the pool is smaller than its minimum"
    }
  }
}
`,
  settings: `{
  "strict": false,
  "lints": {}
}
`,
};

/** A system config as it is stored now. */
export interface Stored {
  /** Its text, for people. "": there is none. */
  text: string;
  /** Of a schema the number of the newest version, of others the version of the layer: what a write expects. 0: there is none. */
  expected: number;
  /** Of a schema that is stored. */
  schema: Schemas["Schema"] | undefined;
}

export async function readStored(namespace: string, of: Governing, signal: AbortSignal): Promise<Stored> {
  const document = await readDocument({ namespace, config: of.name }, signal);
  if (document === undefined) return { text: "", expected: 0, schema: undefined };
  if (of.kind !== "schema") return { text: document.content, expected: document.layers[0]?.version ?? 0, schema: undefined };
  const { schema } = await get("/v1/namespaces/{namespace}/configs/{config}/schema", { path: { namespace, config: of.config }, signal });
  return { text: schema?.content ?? "", expected: Math.max(schema?.active_number ?? 0, ...(schema?.numbers ?? [])), schema };
}

/** The change that stores a text, for Validate and Apply. A schema is stored with its versions: as the only one of them it decides alike. */
export function proposal(namespace: string, of: Governing, text: string): Schemas["Change"] {
  const content = of.kind === "schema" ? `{"active":1,"versions":[{"number":1,"schema":${text}}]}` : text;
  return { namespace, config: of.name, scope: "/", replace: { content, format: "FORMAT_JSON" } };
}

/** A finding about the stored form of a proposal, with its place in the text. */
export function inText(of: Governing, finding: Schemas["Finding"]): Schemas["Finding"] {
  return of.kind === "schema" ? { ...finding, pointer: finding.pointer.replace("/versions/0/schema", "") } : finding;
}

/** What is wrong with a text as JSON. `undefined`: nothing. */
export function syntaxError(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

interface Options {
  acceptExisting: boolean;
}

/** What storing a text would do. */
export async function storeOutlook(namespace: string, of: Governing, stored: Stored, text: string, options: Options, signal: AbortSignal): Promise<Outlook> {
  const answer = await send(namespace, of, stored, text, options, { reason: "preview", validate_only: true }, signal);
  return {
    changed: answer.changed,
    summary: of.kind === "schema"
      ? `Stores a new version of the schema of ${of.config}, which documents must satisfy at once.`
      : `Stores ${of.name}, which decides about writes from then on.`,
    differences: [{ place: of.name, changes: changesOf(stored.text === "" ? undefined : parseJson(stored.text), parseJson(text)) }],
    effective: false,
    scopesOmitted: 0,
    report: answer.report,
    affected: [],
    affectedOmitted: 0,
    reach: undefined,
  };
}

export async function store(namespace: string, of: Governing, stored: Stored, text: string, options: Options, reason: string, requestId: string): Promise<number> {
  return (await send(namespace, of, stored, text, options, { reason, request_id: requestId })).store_revision;
}

function send(namespace: string, of: Governing, stored: Stored, text: string, { acceptExisting }: Options, options: Schemas["WriteOptions"], signal?: AbortSignal) {
  if (of.kind === "schema") {
    return post("/v1/namespaces/{namespace}/configs/{config}/schema:put", {
      path: { namespace, config: of.config },
      body: { schema: { content: text, format: "FORMAT_JSON" }, accept_existing: acceptExisting, expected_number: stored.expected, options },
      signal,
      maskSecrets: true,
    });
  }
  return post("/v1/layers:apply", { body: { changes: [{ ...proposal(namespace, of, text), expected_version: stored.expected }], options }, signal, maskSecrets: true });
}

export function remove(namespace: string, of: Governing, stored: Stored, reason: string, requestId: string): Promise<unknown> {
  const options = { reason, request_id: requestId };
  if (of.kind === "schema") return post("/v1/namespaces/{namespace}/configs/{config}/schema:delete", { path: { namespace, config: of.config }, body: { options } });
  return post("/v1/namespaces/{namespace}/configs/{config}/layers:delete", {
    path: { namespace, config: of.name },
    body: { scope: "/", expected_version: stored.expected, options },
  });
}

/** What a migration to another version of a schema would do. 0: to the newest. */
export async function migrateOutlook(namespace: string, config: string, to: number, signal: AbortSignal): Promise<Outlook> {
  const answer = await post("/v1/namespaces/{namespace}/configs/{config}/schema:migrate", {
    path: { namespace, config },
    body: { to_number: to, options: { reason: "preview", validate_only: true } },
    signal,
    maskSecrets: true,
  });
  return {
    changed: answer.changed,
    summary: `Brings all layers of ${config} from version ${answer.from_number} of the schema to version ${answer.to_number}, in one commit: ${answer.layers.length} of ${answer.layer_count} layers change.`,
    differences: answer.layers.map((layer) => ({ place: `${namespace}/${config} ${layer.scope}${layer.kind === "LAYER_KIND_OVERRIDE" ? " (override)" : ""}`, changes: layer.diff })),
    effective: false,
    scopesOmitted: answer.layers_omitted,
    report: answer.report,
    affected: [],
    affectedOmitted: 0,
    reach: undefined,
  };
}

export async function migrate(namespace: string, config: string, to: number, reason: string, requestId: string): Promise<number> {
  const answer = await post("/v1/namespaces/{namespace}/configs/{config}/schema:migrate", {
    path: { namespace, config },
    body: { to_number: to, options: { reason, request_id: requestId } },
    maskSecrets: true,
  });
  return answer.store_revision;
}
