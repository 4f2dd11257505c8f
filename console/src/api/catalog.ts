// All configs that the caller may read, without content: read once, page by page, and kept up to date by the stream of commits. Knows List.
import { batch, computed, effect, signal } from "@preact/signals";
import { everyPage, get, type Commit, type ConfigInfo } from "./client";
import { onCommit, resets } from "./live";
import { isAbort } from "./problem";

/** By `namespace/config`, without deleted ones. System configs such as `schema:checkout` are in it, if the caller asked for them. */
const entries = signal<ReadonlyMap<string, ConfigInfo>>(new Map());
/** `ready`: the first read is complete. */
export const catalogState = signal<"idle" | "loading" | "ready" | "failed">("idle");
export const catalogError = signal<unknown>(undefined);

/** All configs but system configs, sorted by namespace and name. */
export const configs = computed<readonly ConfigInfo[]>(() => [...entries.value.values()].sort(byName));

/** The namespaces of the configs, sorted, with the number of configs in each. */
export const namespaces = computed<readonly { name: string; count: number }[]>(() => {
  const counts = new Map<string, number>();
  for (const { namespace } of entries.value.values()) counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
  return [...counts].map(([name, count]) => ({ name, count })).sort((one, other) => (one.name < other.name ? -1 : 1));
});

/** The scopes that configs have layers at, of a namespace, or of all with "": sorted, "/" first. */
export function scopesOf(namespace: string): readonly string[] {
  const found = new Set<string>(["/"]);
  for (const info of entries.value.values()) {
    if (namespace && info.namespace !== namespace) continue;
    for (const { scope } of info.layers) found.add(scope);
  }
  return [...found].sort();
}

/** A config of the catalog. */
export function entryOf(namespace: string, config: string): ConfigInfo | undefined {
  return entries.value.get(`${namespace}/${config}`);
}

const byName = (one: ConfigInfo, other: ConfigInfo) =>
  one.namespace < other.namespace ? -1 : one.namespace > other.namespace ? 1 : one.config < other.config ? -1 : one.config > other.config ? 1 : 0;

let controller: AbortController | undefined;
let ends: (() => void)[] = [];

/** Reads the catalog, and follows it until `stopCatalog`. The stream of commits must have been started before. */
export function startCatalog(): void {
  if (ends.length) return;
  ends = [
    onCommit(take),
    effect(() => {
      void resets.value;
      void load();
    }),
  ];
}

export function stopCatalog(): void {
  controller?.abort();
  ends.forEach((end) => end());
  ends = [];
  batch(() => {
    entries.value = new Map();
    catalogState.value = "idle";
  });
}

/** Reads everything again. */
export function reloadCatalog(): Promise<void> {
  return load();
}

async function load(): Promise<void> {
  controller?.abort();
  const own = new AbortController();
  controller = own;
  catalogState.value = catalogState.peek() === "ready" ? "ready" : "loading";
  const read = new Map<string, ConfigInfo>();
  missed = [];
  try {
    await everyPage(
      (page_token) => get("/v1/configs", { query: { page_size: 1000, page_token }, signal: own.signal }),
      (page) => {
        for (const info of page.configs) {
          const key = `${info.namespace}/${info.config}`;
          const before = read.get(key);
          // A config with very many layers comes in parts.
          read.set(key, before ? { ...info, layers: [...before.layers, ...info.layers] } : info);
        }
        if (catalogState.peek() === "loading") entries.value = new Map(read);
      },
    );
    // Commits that came meanwhile may be newer than their page.
    for (const commit of missed) merge(read, commit);
    batch(() => {
      entries.value = read;
      catalogState.value = "ready";
      catalogError.value = undefined;
    });
  } catch (error) {
    if (own.signal.aborted || isAbort(error)) return;
    batch(() => {
      catalogState.value = "failed";
      catalogError.value = error;
    });
  } finally {
    if (controller === own) controller = undefined;
  }
}

let missed: Commit[] = [];

function take(commit: Commit): void {
  if (controller) missed.push(commit);
  const next = new Map(entries.peek());
  if (merge(next, commit)) entries.value = next;
}

/** Puts what a commit changed into a map of configs. */
function merge(into: Map<string, ConfigInfo>, commit: Commit): boolean {
  let changed = false;
  for (const { namespace, config, version, layers, tags } of commit.changes) {
    // System configs are not listed.
    if (config.includes(":")) continue;
    const key = `${namespace}/${config}`;
    const before = into.get(key);
    if (before && before.revision > commit.revision) continue;
    const held = new Map((before?.layers ?? []).map((layer) => [`${layer.kind} ${layer.scope}`, layer]));
    for (const { scope, kind, action, digest, expire_time } of layers) {
      if (action === "LAYER_ACTION_DELETE") held.delete(`${kind} ${scope}`);
      else held.set(`${kind} ${scope}`, { scope, kind, version, digest, expire_time, format: "FORMAT_UNSPECIFIED" });
    }
    changed = true;
    if (!held.size) {
      into.delete(key);
      continue;
    }
    const named = { ...before?.tags };
    for (const { tag, version: of } of tags) {
      if (of) named[tag] = of;
      else delete named[tag];
    }
    const kinds = (layer: { kind: string; scope: string }) => `${layer.kind} ${layer.scope}`;
    into.set(key, {
      namespace,
      config,
      version,
      revision: commit.revision,
      update_time: commit.time,
      layers: [...held.values()].sort((one, other) => (kinds(one) < kinds(other) ? -1 : 1)),
      tags: named,
      layer_count: held.size,
      tag_count: Object.keys(named).length,
    });
  }
  return changed;
}
