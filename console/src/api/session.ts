// Who uses the console. Knows the identity of the caller and the end of a session; no page.
import { signal } from "@preact/signals";
import type { CallError } from "./problem";
import type { components } from "./schema";

export type WhoAmI = components["schemas"]["WhoAmIResponse"];

/** The caller. `undefined`: not known yet, or signed out. */
export const me = signal<WhoAmI | undefined>(undefined);

/** The history of the store that the page has read: revisions and versions are of it. "": not known yet. */
export const epoch = signal("");

/** The server refused the credential of the page, or the page had none. The shell shows the login page. */
export const refusal = signal<CallError | undefined>(undefined);

export function signedOut(error: CallError): void {
  me.value = undefined;
  refusal.value = error;
}

/** Whether the caller has logged in here, and can log out: tokens and certificates of a proxy or a browser cannot be taken back. */
export function hasSession(): boolean {
  return (me.value?.credential_kind as string | undefined) === "CREDENTIAL_KIND_SESSION";
}

/** Whether the server knows callers: without authentication there is nothing to sign out of. */
export function isAuthenticated(): boolean {
  return me.value !== undefined && me.value.credential_kind !== "CREDENTIAL_KIND_NONE";
}
