// Addresses of the pages here, with their filters.
import { href, type Query } from "../../router";

/** Parameters: `ns`, `config`, `within`, `actor`, `source`, `from`, `to`, `revision`, `view`. */
export function changesHref(query: Query): string {
  return href("/changes", query);
}
