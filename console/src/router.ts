// Places of the console: paths to pages and back. Knows the address bar; no page.
import { computed, signal } from "@preact/signals";

export type Tab = "edit" | "history" | "compare" | "watchers";
export const TABS: readonly Tab[] = ["edit", "history", "compare", "watchers"];

/** What the address names. `scope` is "/" where the address has none. */
export type Route =
  | { page: "overview" }
  | { page: "namespace"; namespace: string }
  | { page: "config"; namespace: string; config: string; tab: Tab }
  | { page: "changes" | "watchers" | "access" | "audit" | "schemas" | "settings" | "login" }
  | { page: "unknown"; path: string };

const SINGLE = ["changes", "watchers", "access", "audit", "schemas", "settings", "login"] as const;

interface Place {
  path: string;
  query: URLSearchParams;
}

const here = (): Place => ({ path: location.pathname, query: new URLSearchParams(location.search) });

/** The address, as it is now. */
export const place = signal<Place>(here());

export const route = computed<Route>(() => parse(place.value.path));

/** The scope that the whole console looks at: `?scope=` of the address. */
export const scope = computed<string>(() => normalScope(place.value.query.get("scope") ?? "/"));

/** The namespace of the address. "": the page is not of one. */
export const namespace = computed<string>(() => {
  const at = route.value;
  if (at.page === "namespace" || at.page === "config") return at.namespace;
  return place.value.query.get("ns") ?? "";
});

/** A scope in its normal form. */
export function normalScope(text: string): string {
  const whole = `/${text}`.replace(/\/+/g, "/").replace(/\/$/, "");
  return whole || "/";
}

function parse(path: string): Route {
  const segments = path.split("/").filter(Boolean).map(decoded);
  const [first = "", second, third, fourth] = segments;
  if (!segments.length) return { page: "overview" };
  if (first === "ns" && second && segments.length <= 4) {
    if (!third) return { page: "namespace", namespace: second };
    const tab = (fourth ?? "edit") as Tab;
    if (TABS.includes(tab)) return { page: "config", namespace: second, config: third, tab };
  }
  const single = SINGLE.find((page) => page === first);
  if (single && segments.length === 1) return { page: single };
  return { page: "unknown", path };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Parameters of a query: an empty one, and the scope "/", are left out. */
export type Query = Record<string, string | undefined>;

/** An address of the console. The scope of the current address is kept, unless `query` has another. */
export function href(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries({ scope: scope.value, ...query })) {
    if (value && !(name === "scope" && value === "/")) parameters.set(name, value);
  }
  // Slashes and "@" are allowed in a query, and scopes are easier to read with them.
  const text = parameters.toString().replace(/%2F/g, "/").replace(/%40/g, "@").replace(/%3A/g, ":");
  return text ? `${path}?${text}` : path;
}

export function namespaceHref(of: string, query?: Query): string {
  return href(`/ns/${encodeURIComponent(of)}`, query);
}

/** The address of a config, of one of its tabs. Further parameters, such as `pointer`, go into `query`. */
export function configHref(of: string, config: string, tab: Tab = "edit", query?: Query): string {
  const path = `/ns/${encodeURIComponent(of)}/${encodeURIComponent(config).replace(/%3A/g, ":")}`;
  return href(tab === "edit" ? path : `${path}/${tab}`, query);
}

/** What keeps a page from being left by mistake. */
export interface Guard {
  /** Whether there are changes that would be lost. */
  isDirty(): boolean;
  /** Asks the user, in a dialog of the page. `true`: leave. */
  confirm(): Promise<boolean>;
}
const guards = new Set<Guard>();

/** Asks the user before a page with unsaved changes is left, or looks at another scope. Returns what ends it. */
export function beforeLeaving(guard: Guard): () => void {
  guards.add(guard);
  return () => guards.delete(guard);
}

async function mayLeave(): Promise<boolean> {
  for (const guard of [...guards]) if (guard.isDirty() && !(await guard.confirm())) return false;
  return true;
}

/** Parameters that say what a page is of: with another value it is another page. The others are filters and the like. */
const WHAT_A_PAGE_IS_OF = ["scope", "ns", "of"];

/** Goes to an address of the console. `replace`: without a new entry in the history of the browser. */
export async function navigate(to: string, replace = false): Promise<void> {
  const url = new URL(to, location.href);
  const isOtherPage = url.pathname !== place.value.path || WHAT_A_PAGE_IS_OF.some((name) => url.searchParams.get(name) !== place.value.query.get(name));
  if (isOtherPage && !(await mayLeave())) return;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  place.value = here();
  if (isOtherPage && !replace) scrollTo(0, 0);
}

/** Changes parameters of the query of this page. `undefined` removes one. */
export function setQuery(query: Query, replace = true): void {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(query)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  void navigate(url.pathname + url.search.replace(/%2F/g, "/"), replace);
}

/** Looks at another scope, on this page. */
export function setScope(of: string): void {
  setQuery({ scope: of === "/" ? undefined : of }, false);
}

/** Follows links within the console and the buttons of the browser. */
export function startRouter(): void {
  addEventListener("popstate", async () => {
    if (await mayLeave()) place.value = here();
    else history.pushState(null, "", place.value.path + (place.value.query.size ? `?${place.value.query}` : ""));
  });
  addEventListener("beforeunload", (event) => {
    for (const guard of guards) if (guard.isDirty()) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (link.pathname.startsWith("/v1/") || link.pathname === "/openapi.json" || link.pathname === "/login/oidc") return;
    event.preventDefault();
    void navigate(link.pathname + link.search);
  });
}
