// The keys that seal secrets, and what they have sealed. Knows SecretService; no key is ever shown, only its name.
import { useState } from "preact/hooks";
import { get, post } from "../../api/client";
import { revisionOf } from "../../api/live";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { useQuery } from "../../ui/query";
import { Note } from "../../ui/states";
import { Time } from "../../ui/time";
import { toast } from "../../ui/toast";
import { ActionDialog } from "../parts/forms";
import { ListState } from "../parts/list";
import { count } from "../parts/words";

export function Keys() {
  const answer = useQuery("keys", (signal) => get("/v1/keys", { signal }), revisionOf("confwatch", "keys").value);
  const [rotating, setRotating] = useState<string>();
  const keys = answer.data;
  return (
    <section class="panel" aria-label="Keys">
      <header><h2 class="grow">Keys of secrets</h2></header>
      <div class="body stack">
        <ListState list={answer} shown={keys?.namespaces.length ?? 0} icon="key" empty="No keys yet">
          <p>The data key of a namespace is made when its first secret is written.</p>
        </ListState>
        {keys !== undefined && keys.master_key_id !== "" && (
          <p>Master key <code>{keys.master_key_id}</code> <span class="soft break">from {keys.master_key_source}</span></p>
        )}
        {keys !== undefined && keys.next_master_key_id !== "" && (
          <Note>Another master key, {keys.next_master_key_id}, is ready: <code>confwatch secrets rotate-master</code> wraps all data keys by it.</Note>
        )}
        {keys !== undefined && keys.namespaces.length > 0 && (
          <div class="scroll-x" tabIndex={0} role="region" aria-label="Data keys of namespaces">
            <table class="table cards">
              <thead>
                <tr>
                  <th scope="col">Namespace</th><th scope="col">Key that seals</th><th scope="col">Secrets</th><th scope="col">State</th><th scope="col"><span class="visually-hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                {keys.namespaces.map((one) => {
                  const newest = one.keys.at(-1);
                  return (
                    <tr key={one.namespace}>
                      <td data-label="Namespace">{one.namespace}</td>
                      <td data-label="Key that seals"><code>{newest?.id}</code> <span class="soft small"><Time at={newest?.create_time} />{one.keys.length > 1 && `, and ${count(one.keys.length - 1, "older key")}`}</span></td>
                      <td data-label="Secrets">{Number(one.values).toLocaleString("en")}</td>
                      <td data-label="State">
                        {one.values_broken > 0
                          ? <Badge tone="bad" icon="alert">{count(one.values_broken, "secret")} cannot be opened</Badge>
                          : one.values_behind > 0
                            ? <Badge tone="warn">{count(one.values_behind, "secret")} under an older key</Badge>
                            : <Badge tone="good" icon="check">all under this key</Badge>}
                      </td>
                      <td><Button small kind="quiet" icon="refresh" aria-label={`Rotate the key of ${one.namespace}`} onClick={() => setRotating(one.namespace)}>Rotate</Button></td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {rotating !== undefined && (
        <ActionDialog
          title={`Rotate the data key of ${rotating}?`}
          verb="Rotate the key"
          withReason={false}
          action={() => rotate(rotating)}
          onClose={(done) => {
            setRotating(undefined);
            if (done) answer.reload();
          }}
        >
          <p>
            The server makes a new data key and seals all current secrets of {rotating} by it: one commit for each config. No document changes, so nothing is sent to watchers. Old keys stay,
            for history.
          </p>
        </ActionDialog>
      )}
    </section>
  );
}

/** Rotates to the end: one call may seal a part only. */
async function rotate(namespace: string): Promise<void> {
  let sealed = 0;
  for (;;) {
    const answer = await post("/v1/namespaces/{namespace}/keys:rotate", { path: { namespace }, body: {} });
    sealed += answer.configs_resealed;
    if (answer.configs_left === 0) break;
  }
  toast(`The data key of ${namespace} is new: ${count(sealed, "config")} sealed by it.`);
}
