// Settings: the state of the server, keys, backups, quotas and retention. Knows the address of the page; `settings/` has the parts.
import { place, setQuery } from "../router";
import { Segmented } from "../ui/field";
import { Backups } from "./settings/backups";
import { Keys } from "./settings/keys";
import { Limits, QUOTAS, RETENTION } from "./settings/limits";
import { ServerState } from "./settings/server";

const VIEWS = [
  { value: "server", label: "Server" }, { value: "keys", label: "Keys" }, { value: "backups", label: "Backups" }, { value: "limits", label: "Limits" },
] as const;
type View = (typeof VIEWS)[number]["value"];

export function SettingsPage() {
  const view: View = VIEWS.find(({ value }) => value === place.value.query.get("view"))?.value ?? "server";
  return (
    <div class="page">
      <div class="row wrap between">
        <h1>Settings</h1>
        <Segmented<View> label="Part of the page" value={view} options={VIEWS} onValue={(value) => setQuery({ view: value === "server" ? undefined : value })} />
      </div>
      {view === "server" && <ServerState />}
      {view === "keys" && <Keys />}
      {view === "backups" && <Backups />}
      {view === "limits" && <><Limits kind={QUOTAS} /><Limits kind={RETENTION} /></>}
    </div>
  );
}
