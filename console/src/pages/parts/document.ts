// Reads a document that may not exist: BatchGet answers without an error then, which a browser would show in its console.
import { post, type Document, type Schemas } from "../../api/client";
import { CallError } from "../../api/problem";

/** A document. `undefined`: there is none. Fails with NOT_FOUND only where a version or a tag is asked for. */
export async function readDocument(request: Schemas["GetRequest"], signal?: AbortSignal): Promise<Document | undefined> {
  const { results } = await post("/v1/documents:batchGet", { body: { requests: [request] }, signal, maskSecrets: true });
  const [result] = results;
  if (result?.document) return result.document;
  if (result === undefined || result.error_reason === "CONFIG_NOT_FOUND") return undefined;
  throw new CallError(404, result.error_reason, result.error_message);
}
