// Watchers: who follows a config or a namespace, what each holds, and how far each is behind. Knows FleetService.ListClients.
//
// There can be 100 000 watchers: the page shows 100 of them at a time, and reads these again every few seconds.
import { useState } from "preact/hooks";
import { post, type Schemas } from "../api/client";
import { revisionWithin } from "../api/live";
import { place, setQuery } from "../router";
import { Badge, ScopeBadge } from "../ui/badge";
import { Button } from "../ui/button";
import { useQuery } from "../ui/query";
import { Time } from "../ui/time";
import { Filters } from "./parts/forms";
import { ListState } from "./parts/list";
import { ChooseNamespace } from "./parts/namespace";
import { useInterval } from "./parts/paged";
import { count, short } from "./parts/words";

const PAGE_SIZE = 100;
const REFRESH_MS = 5_000;

interface Props {
  namespace: string;
  /** "": all configs of the namespace, with a filter for one. */
  config: string;
  scope: string;
}

export function WatchersTab({ namespace, config, scope }: Props) {
  const { query } = place.value;
  const [client, actor, label] = ["client", "actor", "label"].map((name) => query.get(name) ?? "") as [string, string, string];
  const isBehind = query.get("state") === "behind";
  const body = { config: config || (query.get("config") ?? ""), scope, client_id: client, actor, labels: labelsOf(label), only_behind: isBehind };
  const key = JSON.stringify([namespace, body]);
  // The tokens of the pages before this one, so that there is a way back.
  const [tokens, setTokens] = useState<{ key: string; list: readonly string[] }>({ key, list: [] });
  const before = tokens.key === key ? tokens.list : [];
  const token = before.at(-1) ?? "";
  const page = useQuery(
    `${key} ${token}`,
    (signal) => post("/v1/namespaces/{namespace}/clients:list", { path: { namespace }, body: { ...body, page_size: PAGE_SIZE, page_token: token }, signal }),
    revisionWithin(namespace).value,
  );
  useInterval(page.reload, REFRESH_MS);
  const clients = page.data?.clients ?? [];
  const next = page.data?.next_page_token ?? "";
  const isFiltered = client !== "" || actor !== "" || label !== "" || isBehind;
  const where = body.config === "" ? namespace : `${namespace}/${body.config}`;
  return (
    <div class="stack">
      <Filters
        fields={[
          { name: "config", label: "Config", value: body.config, hidden: config !== "" },
          { name: "client", label: "Client id", value: client },
          { name: "actor", label: "Actor", value: actor, placeholder: "token:checkout" },
          { name: "label", label: "Labels", value: label, placeholder: "zone=eu, version=2" },
          { name: "state", label: "State", value: isBehind ? "behind" : "", options: [["behind", "behind"]] },
        ]}
      />
      <ListState list={page} shown={clients.length} more={next !== ""} icon="watch" empty={isFiltered ? "No such watcher" : "Nobody watches"}>
        <p>{isFiltered ? "No watcher that you may see matches these filters." : `No client follows ${where} at ${scope} or below it now.`}</p>
      </ListState>
      {clients.length > 0 && (
        <>
          <p class="soft small">
            {before.length === 0 && next === "" ? count(clients.length, "watcher") : `Watchers from number ${before.length * PAGE_SIZE + 1} on`} of {where} at <ScopeBadge scope={scope} /> or
            below it. The newest revision is {page.data?.store_revision}. Read again every 5 seconds.
          </p>
          <div class="panel scroll-x" tabIndex={0} role="region" aria-label="Watchers">
            <table class="table cards">
              <thead>
                <tr><th scope="col">Client</th><th scope="col">Actor</th><th scope="col">Follows</th><th scope="col">State</th><th scope="col">Since</th></tr>
              </thead>
              <tbody>{clients.map((one) => <ClientRow key={one.watch_id} client={one} />)}</tbody>
            </table>
          </div>
        </>
      )}
      {(before.length > 0 || next !== "") && (
        <nav class="row" aria-label="Pages of watchers">
          <Button disabled={before.length === 0} onClick={() => setTokens({ key, list: before.slice(0, -1) })}>Previous page</Button>
          <span>Page {before.length + 1}</span>
          <Button disabled={next === ""} onClick={() => setTokens({ key, list: [...before, next] })}>Next page</Button>
        </nav>
      )}
    </div>
  );
}

/** The watchers of a whole namespace. */
export function WatchersPage() {
  const namespace = place.value.query.get("ns") ?? "";
  return (
    <div class="page stack">
      <h1>{namespace === "" ? "Watchers" : `Watchers of ${namespace}`}</h1>
      {namespace === "" ? <ChooseNamespace what="watchers" /> : <WatchersTab namespace={namespace} config="" scope={place.value.query.get("scope") ?? "/"} />}
    </div>
  );
}

function ClientRow({ client }: { client: Schemas["FleetClient"] }) {
  return (
    <tr>
      <td data-label="Client">
        <p class="break"><strong>{client.client_id || "no client id"}</strong></p>
        <p class="row wrap">
          {Object.entries(client.labels).map(([name, value]) => (
            <button key={name} type="button" class="badge label" aria-label={`Show only ${name}=${value}`} onClick={() => setQuery({ label: `${name}=${value}` })}>{name}={value}</button>
          ))}
        </p>
        <p class="faint small break">{client.library}</p>
      </td>
      <td data-label="Actor">
        <p class="break">{client.actor || <span class="faint">hidden from you</span>}</p>
        <p class="faint small break">{[client.address, client.credential].filter(Boolean).join(", ")}</p>
      </td>
      <td data-label="Follows">
        <ul>{client.targets.map((target, at) => <li key={at} class="row wrap"><TargetLine target={target} /></li>)}</ul>
        {client.targets_omitted > 0 && <p class="soft small">and {count(client.targets_omitted, "more target")}</p>}
      </td>
      <td data-label="State">
        <StateOf client={client} />
        {client.revision > 0 && <p class="faint small">has revision {client.revision}</p>}
      </td>
      <td data-label="Since"><Time at={client.open_time} /></td>
    </tr>
  );
}

function StateOf({ client }: { client: Schemas["FleetClient"] }) {
  if (client.blocked_duration) return <Badge tone="bad" icon="alert" title="The client does not read its stream">blocked for {client.blocked_duration}</Badge>;
  return client.behind ? <Badge tone="warn" icon="clock">behind</Badge> : <Badge tone="good" icon="check">up to date</Badge>;
}

function TargetLine({ target }: { target: Schemas["FleetTarget"] }) {
  const isAll = target.config === "*";
  const isOld = target.delivery === "DELIVERY_BEHIND";
  return (
    <>
      <span>{isAll ? "all configs" : target.config}</span>
      <ScopeBadge scope={target.scope} />
      {target.view === "VIEW_BASE" && <Badge>without overrides</Badge>}
      {(target.view === "VIEW_LAYER" || target.view === "VIEW_OVERRIDE_LAYER") && <Badge>one layer</Badge>}
      {isAll && target.documents > 0 && <span class="soft small">{count(target.documents, "document")}</span>}
      {target.digest !== "" && <span class="faint small mono" title={`Digest ${target.digest}`}>{short(target.digest)}</span>}
      {isOld && <span class="soft small">lacks revision {target.current_revision}</span>}
      {target.delivery === "DELIVERY_NOT_SENT" && <span class="soft small">nothing sent yet</span>}
    </>
  );
}

/** "zone=eu, version=2" as labels. A part without "=" is a label with an empty value. */
function labelsOf(text: string): Record<string, string> {
  const parts = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
  return Object.fromEntries(parts.map((part) => {
    const at = part.indexOf("=");
    return at < 0 ? [part, ""] : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
  }));
}
