// Reads a stream of the API to its end, message by message. Knows lines of JSON; never what a message means.
import { request } from "../../api/client";
import { CallError, type Problem } from "../../api/problem";

/** The messages of a stream that a POST with `body`, or a GET without, opens. Fails as the stream does. */
export async function* messages<T>(url: string, body: unknown, signal: AbortSignal): AsyncGenerator<T> {
  const headers = { accept: "application/x-ndjson" };
  const response = await request(body === undefined ? "GET" : "POST", url, { body, headers, signal });
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.trim() === "") continue;
        const message: unknown = JSON.parse(line);
        const { error } = message as { error?: Problem };
        if (error !== undefined) throw new CallError(error.status, error.reason, error.detail, error);
        yield message as Awaited<T>;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
