// The policy as a table of who may do what where, with bindings to add and to remove. Knows bindings; `policy.ts` knows how they are stored.
import { useState } from "preact/hooks";
import { revisionOf } from "../../api/live";
import { isAuthenticated } from "../../api/session";
import { configHref } from "../../router";
import { Badge, ScopeBadge } from "../../ui/badge";
import { Button, IconButton } from "../../ui/button";
import { SearchField, SelectField, TextField } from "../../ui/field";
import { Dialog } from "../../ui/dialog";
import { useQuery } from "../../ui/query";
import { ListState } from "../parts/list";
import { PreviewedWrite } from "../parts/preview";
import { count } from "../parts/words";
import { BUILT_IN, policyOutlook, readPolicy, writePolicy, type Binding, type Policy } from "./policy";

/** So many bindings are in the page at once. */
const SHOWN_MAX = 300;

type Next = { title: string; verb: string; bindings: Binding[] };

export function Bindings() {
  const answer = useQuery("policy", readPolicy, revisionOf("confwatch", "policy").value);
  const [filter, setFilter] = useState("");
  const [adding, setAdding] = useState(false);
  const [next, setNext] = useState<Next>();
  const policy = answer.data;
  const bindings = policy?.bindings ?? [];
  const shown = bindings.map((binding, index) => ({ binding, index })).filter(({ binding }) => JSON.stringify(binding).includes(filter.trim()));
  const rows = shown.slice(0, SHOWN_MAX);
  return (
    <section class="panel" aria-label="Policy">
      <header>
        <h2 class="grow">Who may do what where</h2>
        {policy !== undefined && <Button icon="plus" onClick={() => setAdding(true)}>Grant a role</Button>}
        {policy !== undefined && <a href={configHref("confwatch", "policy")}>Edit as text</a>}
      </header>
      <div class="body stack">
        <p class="soft">Rights only add up: no row forbids anything. A scope includes all scopes below it, and * stands for any characters.</p>
        {bindings.length > 5 && <SearchField label="Find a subject, a role or a place" value={filter} onValue={setFilter} />}
        <ListState list={answer} shown={shown.length} icon="key" empty={filter === "" ? "No bindings" : "No binding has this in it"}>
          <p>{filter === "" && (isAuthenticated() ? "Without a binding, nobody may do anything." : "Bindings hold once the server asks who calls: --auth on.")}</p>
        </ListState>
        {shown.length > 0 && (
          <div class="scroll-x" tabIndex={0} role="region" aria-label="Bindings of the policy">
            <table class="table cards">
              <thead>
                <tr>
                  <th scope="col">Who</th><th scope="col">Role</th><th scope="col">Namespace</th><th scope="col">Config</th><th scope="col">Scope</th>
                  <th scope="col"><span class="visually-hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                {rows.map(({ binding, index }) => (
                  <tr key={index}>
                    <td data-label="Who" class="break">{binding.subjects.map((subject) => <p key={subject}>{subject === "*" ? "everybody with a credential" : subject}</p>)}</td>
                    <td data-label="Role"><Badge tone={binding.role === "admin" ? "warn" : "accent"} title={verbsOf(policy, binding.role)}>{binding.role}</Badge></td>
                    <td data-label="Namespace" class="break">{binding.namespace}</td>
                    <td data-label="Config" class="break">{binding.config}</td>
                    <td data-label="Scope"><ScopeBadge scope={binding.scope} /></td>
                    <td>
                      <IconButton
                        small
                        icon="trash"
                        label={`Remove ${binding.role} of ${binding.subjects.join(", ")}`}
                        onClick={() => setNext({ title: `Remove ${binding.role} of ${binding.subjects.join(", ")}`, verb: "Remove", bindings: bindings.filter((_, at) => at !== index) })}
                      />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {shown.length > rows.length && <p class="soft">{count(shown.length - rows.length, "more binding")} not shown: find them by a part of them.</p>}
        {policy !== undefined && <Roles policy={policy} />}
      </div>
      {adding && policy !== undefined && (
        <GrantDialog
          policy={policy}
          onClose={() => setAdding(false)}
          onGrant={(binding) => {
            setAdding(false);
            setNext({ title: `Grant ${binding.role} to ${binding.subjects.join(", ")}`, verb: "Grant", bindings: [...bindings, binding] });
          }}
        />
      )}
      {next !== undefined && policy !== undefined && (
        <PreviewedWrite
          title={next.title}
          verb={next.verb}
          preview={(signal) => policyOutlook(policy, next.bindings, signal)}
          write={(_, reason, id) => writePolicy(policy, next.bindings, reason, id)}
          onClose={(written) => {
            setNext(undefined);
            if (written) answer.reload();
          }}
        />
      )}
    </section>
  );
}

function verbsOf(policy: Policy | undefined, role: string): string {
  return (policy?.roles[role] ?? BUILT_IN[role] ?? ["not defined"]).join(", ");
}

function Roles({ policy }: { policy: Policy }) {
  return (
    <details>
      <summary>What each role may do</summary>
      <dl class="facts">
        {Object.entries({ ...BUILT_IN, ...policy.roles }).map(([role, verbs]) => <div key={role}><dt>{role}</dt><dd class="soft">{verbs.join(", ")}</dd></div>)}
      </dl>
    </details>
  );
}

function GrantDialog({ policy, onClose, onGrant }: { policy: Policy; onClose: () => void; onGrant: (binding: Binding) => void }) {
  const [subjects, setSubjects] = useState("");
  const [role, setRole] = useState("viewer");
  const [namespace, setNamespace] = useState("");
  const [config, setConfig] = useState("*");
  const [scope, setScope] = useState("/");
  const submit = (event: Event) => {
    event.preventDefault();
    const list = subjects.split(",").map((subject) => subject.trim()).filter((subject) => subject !== "");
    onGrant({ subjects: list, role, namespace: namespace.trim(), config: config.trim(), scope: scope.trim() });
  };
  const footer = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button type="submit" form="grant" kind="primary">Preview</Button>
    </>
  );
  return (
    <Dialog title="Grant a role" onClose={onClose} footer={footer}>
      <form id="grant" class="stack" onSubmit={submit}>
        <TextField label="Who" required placeholder="user:alice, group:sre, token:ci-*" hint="Several are separated by commas. * is everybody with a credential." value={subjects} onValue={setSubjects} />
        <SelectField label="Role" hint={verbsOf(policy, role)} value={role} onValue={setRole} options={Object.keys({ ...BUILT_IN, ...policy.roles }).map((name) => ({ value: name, label: name }))} />
        <TextField label="Namespace" required hint="A name, or a pattern such as shop*" value={namespace} onValue={setNamespace} />
        <TextField label="Config" required hint="A name, or a pattern; * is all" value={config} onValue={setConfig} />
        <TextField label="Scope" required hint="The scope and all below it; / is all" value={scope} onValue={setScope} />
      </form>
    </Dialog>
  );
}
