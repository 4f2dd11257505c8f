// API tokens: who has which, a new one, and the end of one. Knows the calls of AuthService for tokens. A new token is in memory alone, until its dialog
// is closed.
import { useState } from "preact/hooks";
import { get, post, type Schemas } from "../../api/client";
import { revisionOf } from "../../api/live";
import { place, setQuery } from "../../router";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { CopyButton } from "../../ui/copy";
import { Dialog } from "../../ui/dialog";
import { Check, TextField } from "../../ui/field";
import { Note } from "../../ui/states";
import { Time } from "../../ui/time";
import { ActionDialog, ReasonField } from "../parts/forms";
import { ListEnd, ListState } from "../parts/list";
import { usePages } from "../parts/paged";
import { Refusal } from "../parts/refusal";
import { TimeField } from "../parts/time-field";
import { toTimestamp } from "../parts/words";

type Token = Schemas["ApiToken"];

export function Tokens() {
  const isAll = place.value.query.get("ended") === "yes";
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Token>();
  const list = usePages(
    `tokens ${isAll}`,
    async (token, signal) => {
      const answer = await get("/v1/tokens", { query: { page_size: 100, page_token: token, include_ended: isAll }, signal });
      return { items: answer.tokens, next: answer.next_page_token };
    },
    revisionOf("confwatch", "tokens").value,
  );
  return (
    <section class="panel" aria-label="API tokens">
      <header>
        <h2 class="grow">API tokens</h2>
        <Check label="With revoked and expired ones" checked={isAll} onChecked={(checked) => setQuery({ ended: checked ? "yes" : undefined })} />
        <Button icon="plus" onClick={() => setCreating(true)}>Create a token</Button>
      </header>
      <div class="body stack">
        <ListState list={list} shown={list.items.length} more={list.more} icon="key" empty="No tokens"><p>Create one for each service and each person that calls.</p></ListState>
        {list.items.length > 0 && (
          <div class="scroll-x" tabIndex={0} role="region" aria-label="Tokens, the newest first">
            <table class="table cards">
              <thead>
                <tr>
                  <th scope="col">Name</th><th scope="col">Acts as</th><th scope="col">State</th><th scope="col">Created</th><th scope="col">Last use</th><th scope="col">Id</th>
                  <th scope="col"><span class="visually-hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                {list.items.map((token) => (
                  <tr key={token.id}>
                    <td data-label="Name" class="break"><strong>{token.name}</strong></td>
                    <td data-label="Acts as" class="break">
                      {token.subject}
                      {token.groups.length > 0 && <p class="soft small">in {token.groups.join(", ")}</p>}
                    </td>
                    <td data-label="State"><TokenState token={token} /></td>
                    <td data-label="Created"><Time at={token.create_time} /></td>
                    <td data-label="Last use">{token.last_use_time ? <Time at={token.last_use_time} /> : <span class="faint">no call seen</span>}</td>
                    <td data-label="Id"><code>{token.id}</code></td>
                    <td>
                      {!token.revoke_time && !isOver(token.expire_time) && (
                        <Button small kind="quiet" icon="trash" aria-label={`Revoke the token ${token.name} (${token.id})`} onClick={() => setRevoking(token)}>Revoke</Button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        <ListEnd list={list} noun="tokens" />
      </div>
      {creating && <CreateDialog onClose={() => { setCreating(false); list.reload(); }} />}
      {revoking !== undefined && (
        <ActionDialog
          title={`Revoke the token ${revoking.name}?`}
          verb="Revoke the token"
          danger
          action={(reason) => post("/v1/tokens:revoke", { body: { id: revoking.id, reason } })}
          done={`The token ${revoking.name} is revoked.`}
          onClose={(done) => {
            setRevoking(undefined);
            if (done) list.reload();
          }}
        >
          <p>
            Calls with this token (<code>{revoking.id}</code>, acting as <strong>{revoking.subject}</strong>) fail at once, and its open streams end within a second. This is final: a
            revoked token never becomes good again.
          </p>
          <p class="soft">{revoking.last_use_time ? <>Its last call was <Time at={revoking.last_use_time} />.</> : "This server has seen no call with it."}</p>
        </ActionDialog>
      )}
    </section>
  );
}

function isOver(time: string | undefined): boolean {
  return time !== undefined && time !== null && Date.parse(time) < Date.now();
}

function TokenState({ token }: { token: Token }) {
  if (token.revoke_time) return <><Badge tone="bad">revoked</Badge> <span class="soft small"><Time at={token.revoke_time} /></span></>;
  if (isOver(token.expire_time)) return <><Badge>expired</Badge> <span class="soft small"><Time at={token.expire_time} /></span></>;
  return <><Badge tone="good">good</Badge> <span class="soft small">{token.expire_time ? <>until <Time at={token.expire_time} /></> : "without an end"}</span></>;
}

function CreateDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [subject, setSubject] = useState("");
  const [groups, setGroups] = useState("");
  const [expiry, setExpiry] = useState("");
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [made, setMade] = useState<Schemas["CreateTokenResponse"]>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      const expire_time = toTimestamp(expiry);
      const list = groups.split(",").map((group) => group.trim()).filter((group) => group !== "");
      setMade(await post("/v1/tokens:create", {
        body: { name: name.trim(), subject: subject.trim(), groups: list, ...(expire_time === "" ? {} : { expire_time }), reason: reason.trim() },
      }));
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  if (made !== undefined) {
    return (
      <Dialog title={`The token ${made.info?.name}`} sticky onClose={onClose} footer={<Button kind="primary" onClick={onClose}>I have kept it</Button>}>
        <div class="stack">
          <Note tone="warn"><strong>Copy the token now.</strong> It is shown this once: the server keeps only a hash of it.</Note>
          <div class="token-shown"><code class="grow break">{made.token}</code><CopyButton text={made.token} label="Copy the token" /></div>
          <p class="soft">It acts as {made.info?.subject}.</p>
          {made.has_no_permission && <Note tone="warn">The policy grants nothing to {made.info?.subject}: grant a role, or every call with this token will be denied.</Note>}
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog
      title="Create a token"
      sticky={busy}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose} disabled={busy}>Cancel</Button>
          <Button type="submit" form="create-token" kind="primary" busy={busy}>Create</Button>
        </>
      }
    >
      <form id="create-token" class="stack" onSubmit={submit}>
        <TextField label="Name" required maxLength={100} hint="What the token is for: checkout-production" value={name} onValue={setName} />
        <TextField label="Acts as" placeholder={name === "" ? "token:NAME" : `token:${name}`} hint="user:alice acts for a person. Empty: as a token with this name." value={subject} onValue={setSubject} />
        <TextField label="Groups" hint="Separated by commas, without group:" value={groups} onValue={setGroups} />
        <TimeField label="Ends at, by your clock" hint="Empty: it does not end." value={expiry} onValue={setExpiry} />
        <ReasonField value={reason} onValue={setReason} />
        {error !== undefined && <Refusal error={error} />}
      </form>
    </Dialog>
  );
}
