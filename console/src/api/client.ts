// Calls of the API, typed by its OpenAPI document. Knows paths and JSON; no page.
import { CallError, errorOf, isAbort } from "./problem";
import type { components, paths } from "./schema";
import { epoch, signedOut } from "./session";

export type Schemas = components["schemas"];
export type ConfigInfo = Schemas["ConfigInfo"];
export type Commit = Schemas["Commit"];
export type LayerRef = Schemas["LayerRef"];
export type Document = Schemas["Document"];
export type Finding = Schemas["Finding"];
export type ValueChange = Schemas["ValueChange"];

type Method = "get" | "post" | "put" | "patch" | "delete";
type Operation<P extends keyof paths, M extends Method> = paths[P] extends { [K in M]: infer O } ? O : never;
/** The paths that take a method. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends { [K in M]: { responses: unknown } } ? P : never;
}[keyof paths];
type PathParameters<O> = O extends { parameters: { path: infer T } } ? { path: T } : { path?: undefined };
type QueryParameters<O> = O extends { parameters: { query?: infer T } } ? { query?: T } : { query?: undefined };
type BodyOf<O> = O extends { requestBody: { content: { "application/json": infer T } } } ? { body: T } : { body?: undefined };
type AnswerOf<O> = O extends { responses: { 200: { content: { "application/json": infer T } } } } ? T : unknown;

interface Common {
  /** Ends the call: pages pass the signal of `useQuery`. */
  signal?: AbortSignal | undefined;
  /** Show every secret masked, whatever the caller may reveal. */
  maskSecrets?: boolean;
}
type OptionsOf<O> = Common & PathParameters<O> & QueryParameters<O> & BodyOf<O>;
/** Options may be left out where nothing in them is required. */
type Rest<O> = object extends OptionsOf<O> ? [options?: OptionsOf<O>] : [options: OptionsOf<O>];

/** `get("/v1/namespaces/{namespace}/configs", { path: { namespace }, query: { page_size: 100 } })` */
export function get<P extends PathOf<"get">>(path: P, ...[options]: Rest<Operation<P, "get">>): Promise<AnswerOf<Operation<P, "get">>> {
  return call("GET", path, options) as Promise<AnswerOf<Operation<P, "get">>>;
}

/** `post("/v1/configs:search", { body: { text: "redis" } })` */
export function post<P extends PathOf<"post">>(path: P, ...[options]: Rest<Operation<P, "post">>): Promise<AnswerOf<Operation<P, "post">>> {
  return call("POST", path, options) as Promise<AnswerOf<Operation<P, "post">>>;
}

/** A call by a path that the OpenAPI document does not have. Prefer `get` and `post`. */
export async function request(method: string, url: string, init: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal | undefined } = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", ...init.headers };
  let body: string | undefined;
  if (init.body !== undefined) {
    headers["content-type"] ??= "application/json";
    body = typeof init.body === "string" ? init.body : JSON.stringify(init.body);
  }
  let response: Response;
  try {
    response = await fetch(url, { method, headers, body: body ?? null, signal: init.signal ?? null, credentials: "same-origin", cache: "no-store", redirect: "error" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new CallError(0, "OFFLINE", "The server does not answer. Check the connection, and try again.");
  }
  if (response.ok) return response;
  const error = await errorOf(response);
  if (response.status === 401 && !url.startsWith("/login")) signedOut(error);
  throw error;
}

interface AnyOptions extends Common {
  path?: Record<string, unknown> | undefined;
  query?: Record<string, unknown> | undefined;
  body?: unknown;
}

async function call(method: string, template: string, options: unknown): Promise<unknown> {
  const { path, query, body, signal, maskSecrets } = (options ?? {}) as AnyOptions;
  const headers: Record<string, string> = {};
  // The versions that a write expects are of the history that the page has read: in another one they are of other commits.
  if (method !== "GET" && epoch.value) headers["confwatch-epoch"] = epoch.value;
  if (maskSecrets) headers["confwatch-mask-secrets"] = "true";
  const response = await request(method, urlOf(template, path, query), { body, headers, signal });
  return response.json();
}

/** A path with its parameters in their places, and the query. */
export function urlOf(template: string, path: Record<string, unknown> = {}, query: Record<string, unknown> = {}): string {
  const url = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(path[name] ?? "")));
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== null) parameters.append(name, String(one));
  }
  const text = parameters.toString();
  return text ? `${url}?${text}` : url;
}

/** All items of a list that comes page by page. `next` reads a page; `take` is called with each, as it arrives. */
export async function everyPage<T extends { next_page_token: string }>(next: (token: string) => Promise<T>, take: (page: T) => void): Promise<void> {
  let token = "";
  do {
    const page = await next(token);
    take(page);
    token = page.next_page_token;
  } while (token);
}

/** The id of a write that may be repeated: the first outcome counts. */
export function requestId(): string {
  return crypto.randomUUID();
}
