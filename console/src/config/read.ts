/** Reads what the table shows. Secrets are asked for as masks: `secret` reveals single ones. */
import { get, type Schemas } from "../api/client";
import { CallError } from "../api/problem";
import { parseJson } from "../editor/json_text";
import { viewOf } from "../editor/layer";
import { originsOf } from "./origins";

export type Explain = Schemas["ExplainResponse"];

interface Place {
  namespace: string;
  config: string;
  scope: string;
}

const EMPTY: Explain = { values: [], withheld: [], store_revision: 0 };

/** What Explain says. Without any layer down to the scope: nothing. */
export async function explain({ namespace, config, scope }: Place, signal: AbortSignal): Promise<Explain> {
  try {
    return await get("/v1/namespaces/{namespace}/configs/{config}/explanation", { path: { namespace, config }, query: { scope }, signal, maskSecrets: true });
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    if (error.reason === "CONFIG_NOT_FOUND") return EMPTY;
    if (error.reason !== "MESSAGE_TOO_LARGE") throw error;
    return fromLayers({ namespace, config, scope }, signal);
  }
}

/** The same of a document whose origins do not fit one message, from its layers. */
async function fromLayers({ namespace, config, scope }: Place, signal: AbortSignal): Promise<Explain> {
  const { document, store_revision } = await get("/v1/namespaces/{namespace}/configs/{config}/document", { path: { namespace, config }, query: { scope }, signal, maskSecrets: true });
  if (!document) return EMPTY;
  const layers = [];
  for (const layer of document.layers) {
    const query = { scope: layer.scope, view: viewOf(layer.kind === "LAYER_KIND_OVERRIDE" ? layer.kind : "LAYER_KIND_BASE"), version: document.version };
    const read = await get("/v1/namespaces/{namespace}/configs/{config}/document", { path: { namespace, config }, query, signal, maskSecrets: true });
    layers.push({ layer, value: parseJson(read.document?.content || "{}") });
  }
  return { document: { ...document, content: "" }, values: originsOf(layers), withheld: [], store_revision };
}

/** Who changed each value last. It follows history back, and can take longer than the values themselves. */
export async function blame({ namespace, config, scope }: Place, signal: AbortSignal): Promise<readonly Schemas["BlamedValue"][]> {
  try {
    const { values } = await get("/v1/namespaces/{namespace}/configs/{config}/blame", { path: { namespace, config }, query: { scope }, signal, maskSecrets: true });
    return values;
  } catch (error) {
    if (error instanceof CallError && (error.reason === "CONFIG_NOT_FOUND" || error.reason === "MESSAGE_TOO_LARGE")) return [];
    throw error;
  }
}

/** Who changed the values at or below one place last. */
export async function blameAt({ namespace, config, scope }: Place, pointer: string, signal: AbortSignal): Promise<Schemas["BlamedValue"] | undefined> {
  const { values } = await get("/v1/namespaces/{namespace}/configs/{config}/blame", { path: { namespace, config }, query: { scope, pointer }, signal, maskSecrets: true });
  return values.find((value) => value.pointer === pointer);
}
