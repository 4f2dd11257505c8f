// A small confwatch client: get, set, validate, rollback, and a watch that survives restarts of the server.
// Everything here follows from the comments in proto/.

import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const PROTO = fileURLToPath(new URL("../../proto", import.meta.url));

// 64-bit integers (versions, revisions) as strings: a JavaScript number keeps 53 bits of them.
const definition = protoLoader.loadSync("confwatch/v1/config_service.proto", {
  includeDirs: [PROTO],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { ConfigService } = grpc.loadPackageDefinition(definition).confwatch.v1;

/** What the service has, for servers of tests. */
export const { service } = ConfigService;

const CHANNEL_OPTIONS = {
  // Finds a dead connection within 30 s. The server takes pings every 10 s or slower.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // The watch has a backoff of its own; the channel must not wait longer than it.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 10_000,
};

const DEADLINE_MS = 10_000;
const PROGRESS_MS = 10_000;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 10_000;

// If the server itself says so, somebody has to do something first: the watch asks again, but slowly.
const SLOW_CODES = new Set([
  grpc.status.INVALID_ARGUMENT,
  grpc.status.PERMISSION_DENIED,
  grpc.status.UNAUTHENTICATED,
  grpc.status.UNIMPLEMENTED,
]);
const SLOW_MS = 10_000;

const DOMAIN = "confwatch";

/**
 * A call that failed: a code, and if the server itself said so, a reason to act on, and what belongs to it. Without a reason the error is of a
 * proxy, or of the connection: treat it as UNAVAILABLE, whatever its code.
 */
export class ConfwatchError extends Error {
  constructor(error) {
    super(`${grpc.status[error.code]}: ${error.details}`);
    this.code = error.code;
    this.reason = "";
    this.metadata = {};
    const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
    for (const { type, value } of bytes ? details(bytes) : []) {
      if (type === "google.rpc.ErrorInfo" && value.domain === DOMAIN) {
        this.reason = value.reason;
        this.metadata = value.metadata;
      } else if (type === "google.rpc.RetryInfo") {
        const { seconds, nanos } = value.retryDelay;
        this.retryMs = Number(seconds) * 1000 + nanos / 1e6;
      } else if (type === "confwatch.v1.ValidationReport") {
        this.report = value;
      }
    }
  }
}

export class ConfwatchClient {
  #service;
  #metadata = new grpc.Metadata();
  #clientId;

  constructor(address, { actor = "", clientId = "" } = {}) {
    this.#service = new ConfigService(address, grpc.credentials.createInsecure(), CHANNEL_OPTIONS);
    this.#clientId = clientId;
    if (actor) this.#metadata.set("confwatch-actor", encodeURIComponent(actor));
  }

  close() {
    this.#service.close();
  }

  /** The document of a target, { namespace, config, scope }: { value, version, revision, digest, layerVersions }. */
  async get(target) {
    const { document } = await this.#call("Get", target);
    return read(document);
  }

  /** Sets single values by path, such as { "schedule.day": "thursday" }. */
  set(target, values, { expectedVersion, reason = "" } = {}) {
    const texts = Object.fromEntries(
      Object.entries(values).map(([path, value]) => [path, JSON.stringify(value)]),
    );
    return this.#set({ ...target, assign: { values: texts }, expectedVersion }, reason);
  }

  /** Replaces the whole layer of the target's scope. */
  replace(target, document, { expectedVersion, reason = "" } = {}) {
    return this.#set({ ...target, replace: { content: JSON.stringify(document) }, expectedVersion }, reason);
  }

  /** What replacing the layer by this text would meet with. Nothing is written. */
  async validate(target, content, format = "FORMAT_JSON") {
    const { report } = await this.#call("Validate", { changes: [{ ...target, replace: { content, format } }] });
    return report;
  }

  /** Makes a new version whose layers equal those of an older one. */
  rollback(namespace, config, version, { reason = "" } = {}) {
    return this.#call("Rollback", { namespace, config, version, options: { reason } });
  }

  /**
   * Follows targets through restarts of the server, for ever, or until the signal aborts. Yields for each thing that happens
   * { revision, documents, changed, snapshot, reset }: `documents` maps keys (see `keyOf`) to all that is held now, `changed`
   * is the set of keys whose documents came or went. All of it belongs together. No error ends it: it keeps the last documents, calls
   * `onError` with each ConfwatchError, and asks again. Only a request that the server finds malformed, before it ever answered it, is
   * thrown: that is a mistake of the program.
   */
  async *watch(targets, { signal, onError = () => {}, slowMs = SLOW_MS } = {}) {
    let held = new Map();
    let resumeToken = "";
    let failures = 0;
    let answered = false;
    while (!signal?.aborted) {
      const stream = this.#service.Watch(watchRequest(targets, held, resumeToken, this.#clientId), this.#metadata);
      const cancel = () => stream.cancel();
      signal?.addEventListener("abort", cancel);
      // A stream that says nothing for three intervals is dead. The time that the caller takes does not count.
      let patience;
      const listen = () => {
        clearTimeout(patience);
        patience = setTimeout(cancel, 3 * PROGRESS_MS);
      };
      let waitMs;
      try {
        let states = [];
        listen();
        for await (const response of stream) {
          listen();
          failures = 0;
          answered = true;
          const part = response.snapshot ?? response.update;
          if (part) {
            states.push(...part.states);
            if (part.more) continue;
            const snapshot = response.event === "snapshot";
            const { documents, changed } = fold(held, snapshot, states);
            states = [];
            // The resume token counts only once what it stands for is held.
            held = documents;
            resumeToken = response.resumeToken;
            const reset = snapshot && part.isReset;
            clearTimeout(patience);
            yield { revision: response.revision, documents: new Map(held), changed, snapshot, reset };
            listen();
          } else if (response.resumeToken) {
            resumeToken = response.resumeToken;
          }
        }
        waitMs = backoffMs(++failures);
      } catch (cause) {
        if (cause.code === undefined) throw cause;
        const error = new ConfwatchError(cause);
        const isOfServer = error.reason !== "";
        if (isOfServer && error.code === grpc.status.INVALID_ARGUMENT && !answered) throw error;
        if (!signal?.aborted) onError(error);
        waitMs = isOfServer && SLOW_CODES.has(error.code)
          ? slowMs * (1 + Math.random())
          : (error.retryMs ?? backoffMs(++failures));
      } finally {
        clearTimeout(patience);
        signal?.removeEventListener("abort", cancel);
        stream.cancel();
      }
      await sleep(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  #set(change, reason) {
    return this.#call("Set", { change, options: { reason } });
  }

  #call(method, request) {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + DEADLINE_MS;
      this.#service[method](request, this.#metadata, { deadline }, (error, response) => {
        if (error) reject(new ConfwatchError(error));
        else resolve(response);
      });
    });
  }
}

/** The key of a target's document in what `watch` yields. */
export function keyOf({ namespace, config, scope }) {
  // As the server writes it: answers are matched with targets by it.
  return `${namespace}/${config}:${(scope ?? "").replace(/\/$/, "") || "/"}`;
}

function watchRequest(targets, held, resumeToken, clientId) {
  return {
    clientId,
    resumeToken,
    progressInterval: { seconds: PROGRESS_MS / 1000, nanos: 0 },
    targets: targets.map((target) => {
      if (target.config !== "*") return { ...target, ifNoneMatch: held.get(keyOf(target))?.digest ?? "" };
      const digests = {};
      for (const [key, { config, digest }] of held) {
        if (keyOf({ ...target, config }) === key) digests[config] = digest;
      }
      return { ...target, held: digests };
    }),
  };
}

/** All parts of one snapshot or update, applied to what is held. A snapshot names every target: the rest is gone. */
function fold(before, snapshot, states) {
  const documents = new Map(snapshot ? [] : before);
  for (const { target, state, document } of states) {
    const key = keyOf(target);
    if (state === "STATE_CURRENT" && before.has(key)) {
      documents.set(key, before.get(key));
    } else if (state === "STATE_PRESENT") {
      documents.set(key, read(document));
    } else if (state === "STATE_ABSENT") {
      documents.delete(key);
    }
  }
  // After a reset everything is sent: what has the digest it had did not change.
  const keys = [...before.keys(), ...documents.keys()];
  const changed = new Set(keys.filter((key) => before.get(key)?.digest !== documents.get(key)?.digest));
  return { documents, changed };
}

/**
 * `layerVersions` has the version of each base layer by scope: what `expectedVersion` of a write to that scope means, 0 where
 * there is none.
 * Use a parser that keeps 64-bit integers here if your documents hold some beyond 2^53.
 */
function read({ config, content, version, revision, digest, layers }) {
  const base = layers.filter(({ kind }) => kind === "LAYER_KIND_BASE");
  const layerVersions = Object.fromEntries(base.map((layer) => [layer.scope, layer.version]));
  return { config, value: content ? JSON.parse(content) : undefined, version, revision, digest, layerVersions };
}

/** At once, then 100 ms to 10 s, with jitter so that a fleet does not come back as one. */
function backoffMs(failures) {
  if (failures <= 1) return 0;
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (failures - 2));
  return ceiling * (0.5 + Math.random() / 2);
}

// The error details of gRPC: google.rpc.Status in a trailer, which grpc-js leaves as bytes.
const rpc = new protobuf.Root();
rpc.resolvePath = (_, path) => (path.startsWith("google/protobuf/") ? path : `${PROTO}/${path}`);
rpc.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto", "confwatch/v1/document.proto"]);

function details(bytes) {
  return rpc
    .lookupType("google.rpc.Status")
    .decode(bytes)
    .details.flatMap(({ type_url: typeUrl, value }) => {
      const type = typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
      const known = rpc.lookup(type);
      if (!known) return [];
      const message = known.decode(value);
      return [{ type, value: known.toObject(message, { longs: String, enums: String, defaults: true }) }];
    });
}
