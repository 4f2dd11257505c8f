/** Reads what the table shows. Secrets are asked for as masks: `secret` reveals single ones. */
import { get, type Schemas } from "../api/client";
import { CallError } from "../api/problem";

export type Explain = Schemas["ExplainResponse"];

interface Place {
  namespace: string;
  config: string;
  scope: string;
}

const EMPTY: Explain = { values: [], withheld: [], store_revision: 0 };

/** What Explain says. Without any layer down to the scope: nothing. */
export async function explain({ namespace, config, scope }: Place, signal: AbortSignal): Promise<Explain> {
  const read = (pointer?: string) =>
    get("/v1/namespaces/{namespace}/configs/{config}/explanation", { path: { namespace, config }, query: { scope, ...(pointer ? { pointer } : {}) }, signal, maskSecrets: true });
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    if (error.reason === "CONFIG_NOT_FOUND") return EMPTY;
    if (error.reason !== "MESSAGE_TOO_LARGE") throw error;
    return inParts({ namespace, config, scope }, read, signal);
  }
}

/** A document whose origins do not fit one message, member by member. */
async function inParts({ namespace, config, scope }: Place, read: (pointer: string) => Promise<Explain>, signal: AbortSignal): Promise<Explain> {
  const { document } = await get("/v1/namespaces/{namespace}/configs/{config}/document", { path: { namespace, config }, query: { scope }, signal, maskSecrets: true });
  const names = Object.keys(JSON.parse(document?.content || "{}") as object).sort();
  const all: Explain = { ...EMPTY, ...(document ? { document: { ...document, content: "" } } : {}) };
  for (const name of names) {
    const part = await read(`/${name.replace(/~/g, "~0").replace(/\//g, "~1")}`);
    all.values.push(...part.values);
    all.withheld = part.withheld;
    all.store_revision = part.store_revision;
  }
  return all;
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
