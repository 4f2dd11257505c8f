// Access: the policy, a question about a permission, tokens and sessions. Knows the address of the page; `access/` has the parts.
import { isAuthenticated } from "../api/session";
import { place, setQuery } from "../router";
import { Segmented } from "../ui/field";
import { Note } from "../ui/states";
import { Bindings } from "./access/bindings";
import { CanI } from "./access/can-i";
import { hasSession, Sessions } from "./access/sessions";
import { Tokens } from "./access/tokens";

const VIEWS = [{ value: "policy", label: "Policy" }, { value: "can-i", label: "May somebody?" }, { value: "tokens", label: "Tokens" }, { value: "sessions", label: "Sessions" }] as const;
type View = (typeof VIEWS)[number]["value"];

export function AccessPage() {
  const view: View = VIEWS.find(({ value }) => value === place.value.query.get("view"))?.value ?? "policy";
  // A caller with another credential than a session finds the sessions by the address alone.
  const shown = VIEWS.filter(({ value }) => value !== "sessions" || value === view || hasSession());
  return (
    <div class="page">
      <div class="row wrap between">
        <h1>Access</h1>
        <Segmented<View> label="Part of the page" value={view} options={shown} onValue={(value) => setQuery({ view: value === "policy" ? undefined : value })} />
      </div>
      {!isAuthenticated() && <Note tone="warn" icon="lock">This server does not ask who calls (<code>--auth off</code>), so that everybody who reaches it may do everything.</Note>}
      {view === "policy" && <Bindings />}
      {view === "can-i" && <CanI />}
      {view === "tokens" && <Tokens />}
      {view === "sessions" && <Sessions />}
    </div>
  );
}
