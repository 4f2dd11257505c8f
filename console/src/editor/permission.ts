/** Whether the caller may write a layer, asked before somebody writes in vain. Knows CanI. */
import { get } from "../api/client";
import { isAuthenticated } from "../api/session";
import { useQuery } from "../ui/query";
import type { Target } from "./layer";

/** Why the caller may not write the layer. "": they may, or it is not known. */
export function useDenial({ namespace, config, scope, kind }: Target): string {
  const verb = kind === "LAYER_KIND_OVERRIDE" ? "override" : "write";
  const key = isAuthenticated() ? JSON.stringify([verb, namespace, config, scope]) : undefined;
  const { data } = useQuery(key, (signal) => get("/v1/can-i", { query: { verb, namespace, config, scope }, signal }));
  return data && !data.allowed ? `You may read this layer, and not write it: that takes ${data.needs}.` : "";
}
