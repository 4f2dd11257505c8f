// The tab History of a config: its versions, blame, and the ways back. Knows the address of the tab; `history/` has the parts.
import { place, setQuery } from "../router";
import { Check, Segmented } from "../ui/field";
import { Blame } from "./history/blame";
import { ConfigHistory } from "./history/list";
import { RestorePanel } from "./history/restore";

const VIEWS = [{ value: "versions", label: "Versions" }, { value: "blame", label: "Blame" }, { value: "restore", label: "Restore" }] as const;
type View = (typeof VIEWS)[number]["value"];

export function HistoryTab({ namespace, config, scope }: { namespace: string; config: string; scope: string }) {
  const { query } = place.value;
  const view: View = VIEWS.find(({ value }) => value === query.get("view"))?.value ?? "versions";
  const isWithin = query.get("within") === "scope" && scope !== "/";
  return (
    <div class="stack">
      <div class="row wrap">
        <Segmented<View> label="View of the history" value={view} options={VIEWS} onValue={(value) => setQuery({ view: value === "versions" ? undefined : value })} />
        {view === "versions" && scope !== "/" && (
          <Check label={`Only versions that changed the layer at ${scope}`} checked={isWithin} onChecked={(checked) => setQuery({ within: checked ? "scope" : undefined })} />
        )}
      </div>
      {view === "versions" && <ConfigHistory namespace={namespace} config={config} scope={isWithin ? scope : ""} />}
      {view === "blame" && <Blame namespace={namespace} config={config} scope={scope} />}
      {view === "restore" && <RestorePanel namespace={namespace} config={config} scope={scope} />}
    </div>
  );
}
