// Schemas, rules and settings of a namespace, with a try-out. Knows the address of the page: `of` names the system config that is open.
import { useState } from "preact/hooks";
import { configs } from "../api/catalog";
import { get, type Schemas } from "../api/client";
import { revisionWithin } from "../api/live";
import { href, navigate, place } from "../router";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { SelectField, TextField } from "../ui/field";
import { Time } from "../ui/time";
import { ListEnd, ListState } from "./parts/list";
import { ChooseNamespace } from "./parts/namespace";
import { usePages } from "./parts/paged";
import { GoverningEditor } from "./schemas/editor";
import { governing, KIND_NAMES, type Governing, type Kind } from "./schemas/governing";

export function SchemasPage() {
  const { query } = place.value;
  const namespace = query.get("ns") ?? "";
  const of = governing(query.get("of") ?? "");
  return (
    <div class="page">
      <h1>{of !== undefined && namespace !== "" ? `${namespace}/${of.name}` : namespace === "" ? "Schemas and rules" : `Schemas and rules of ${namespace}`}</h1>
      {namespace === ""
        ? <ChooseNamespace what="schemas and rules" />
        : of === undefined
          ? <GoverningList namespace={namespace} />
          : <GoverningEditor key={`${namespace}/${of.name}`} namespace={namespace} of={of} back={href("/schemas", { ns: namespace })} />}
    </div>
  );
}

type Row = Governing & { info: Schemas["ConfigInfo"] };

function GoverningList({ namespace }: { namespace: string }) {
  const list = usePages(
    `governing ${namespace}`,
    async (token, signal) => {
      const answer = await get("/v1/namespaces/{namespace}/configs", {
        path: { namespace },
        query: { include_governing: true, page_size: 1000, page_token: token },
        signal,
      });
      const items = answer.configs.flatMap((info): Row[] => {
        const of = governing(info.config);
        return of === undefined ? [] : [{ ...of, info }];
      });
      return { items, next: answer.next_page_token };
    },
    revisionWithin(namespace).value,
  );
  return (
    <>
      <p class="soft">
        A schema says what the documents of a config must be like, rules relate values to each other, and settings say how strict to be. Writes that would make a document invalid are
        refused.
      </p>
      <ListState list={list} shown={list.items.length} more={list.more} icon="schema" empty="No schemas and no rules">
        <p>Nothing in {namespace} that you may read governs its documents. Add a schema or rules below.</p>
      </ListState>
      {list.items.length > 0 && (
        <div class="panel scroll-x" tabIndex={0} role="region" aria-label="Schemas, rules and settings">
          <table class="table cards">
            <thead><tr><th scope="col">Governs</th><th scope="col">Kind</th><th scope="col">Version</th><th scope="col">Changed</th></tr></thead>
            <tbody>
              {list.items.map(({ name, kind, config, info }) => (
                <tr key={name}>
                  <td data-label="Governs"><a href={href("/schemas", { ns: namespace, of: name })}>{config === "" ? "all configs" : config}</a></td>
                  <td data-label="Kind"><Badge>{KIND_NAMES[kind].toLowerCase()}</Badge></td>
                  <td data-label="Version">{info.version}</td>
                  <td data-label="Changed"><Time at={info.update_time} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <ListEnd list={list} noun="schemas and rules" />
      <NewOne namespace={namespace} />
    </>
  );
}

function NewOne({ namespace }: { namespace: string }) {
  const [kind, setKind] = useState<Kind>("schema");
  const [config, setConfig] = useState("");
  const names = configs.value.filter((info) => info.namespace === namespace).map((info) => info.config);
  const submit = (event: Event) => {
    event.preventDefault();
    const name = config.trim() === "" ? `namespace:${kind}` : `${kind}:${config.trim()}`;
    void navigate(href("/schemas", { ns: namespace, of: name }));
  };
  return (
    <section class="panel" aria-label="Add a schema, rules or settings">
      <form class="body restore-form" onSubmit={submit}>
        <SelectField
          label="Add or open"
          value={kind}
          onValue={(value) => setKind(value as Kind)}
          options={[{ value: "schema", label: "a schema" }, { value: "rules", label: "rules" }, { value: "settings", label: "settings" }]}
        />
        <TextField
          label="Of the config"
          value={config}
          onValue={setConfig}
          list="configs-of-namespace"
          required={kind === "schema"}
          placeholder={kind === "schema" ? "" : "empty: all configs"}
        />
        <datalist id="configs-of-namespace">{names.slice(0, 500).map((name) => <option key={name} value={name} />)}</datalist>
        <Button type="submit" icon="plus">Open</Button>
      </form>
    </section>
  );
}
