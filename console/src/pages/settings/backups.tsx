// Backups that the server keeps: a list, a new one, and verifying and pinning. Knows BackupService.
import { useRef, useState } from "preact/hooks";
import { get, post, type Schemas } from "../../api/client";
import { CallError, isAbort } from "../../api/problem";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { SelectField, TextField } from "../../ui/field";
import { Empty, Note } from "../../ui/states";
import { Time } from "../../ui/time";
import { toast, toastError } from "../../ui/toast";
import { ListEnd, ListState } from "../parts/list";
import { usePages } from "../parts/paged";
import { Refusal } from "../parts/refusal";
import { messages } from "../parts/stream";
import { bytes, word } from "../parts/words";

type Backup = Schemas["Backup"];

export function Backups() {
  const [creating, setCreating] = useState(false);
  const [busy, setBusy] = useState<string>();
  const list = usePages("backups", async (token, signal) => {
    const answer = await get("/v1/backups", { query: { page_size: 100, page_token: token }, signal });
    return { items: answer.backups, next: answer.next_page_token };
  });
  const act = async (backup: Backup, action: () => Promise<string>) => {
    setBusy(backup.id);
    try {
      const text = await action();
      toast(text);
      list.reload();
    } catch (error) {
      toastError(error);
    }
    setBusy(undefined);
  };
  const verify = (backup: Backup) => act(backup, async () => {
    for await (const message of messages<Schemas["VerifyBackupResponse"]>("/v1/backups:verify", { id: backup.id }, new AbortController().signal)) {
      if (message.backup === undefined) continue;
      if (!message.intact) throw new Error(`The backup ${backup.id} is damaged: ${message.damage}`);
      return `The backup ${backup.id} is intact: every byte is as it was written.`;
    }
    throw new Error("The server ended before the backup was verified.");
  });
  const pin = (backup: Backup) => act(backup, async () => {
    await post("/v1/backups:pin", { body: { id: backup.id, pinned: !backup.pinned } });
    return backup.pinned ? `The backup ${backup.id} may be pruned again.` : `The backup ${backup.id} is never pruned.`;
  });
  if (list.error instanceof CallError && list.error.reason === "BACKUPS_NOT_KEPT") {
    return (
      <section class="panel" aria-label="Backups">
        <Empty icon="download" title="This server keeps no backups">
          <p>It was started without <code>--backup-dir</code>. Backups can be sent to a file all the same: <code>confwatch backup create -f FILE</code>.</p>
        </Empty>
      </section>
    );
  }
  return (
    <section class="panel" aria-label="Backups">
      <header>
        <h2 class="grow">Backups</h2>
        <Button icon="plus" onClick={() => setCreating(true)}>Make a backup</Button>
      </header>
      <div class="body stack">
        <ListState list={list} shown={list.items.length} more={list.more} icon="download" empty="No backups"><p>The server keeps no backup that you may make.</p></ListState>
        {list.items.length > 0 && (
          <div class="scroll-x" tabIndex={0} role="region" aria-label="Backups, the newest first">
            <table class="table cards">
              <thead>
                <tr>
                  <th scope="col">Made</th><th scope="col">Of</th><th scope="col">Kind</th><th scope="col">Revisions</th><th scope="col">Size</th><th scope="col">Verified</th><th scope="col">Id</th>
                  <th scope="col"><span class="visually-hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                {list.items.map((backup) => (
                  <tr key={backup.id}>
                    <td data-label="Made"><Time at={backup.create_time} /> <span class="soft small">by {backup.actor}</span>{backup.note !== "" && <p class="soft small break">{backup.note}</p>}</td>
                    <td data-label="Of" class="break">{backup.namespace === "" ? "the store" : `${backup.namespace}${backup.config === "" ? "" : `/${backup.config}`}`}</td>
                    <td data-label="Kind">
                      <Badge>{word(backup.kind, "BACKUP_KIND_")}</Badge> {backup.pinned && <Badge tone="accent">pinned</Badge>}
                      {Object.entries(backup.labels).map(([name, value]) => <Badge key={name}>{value === "" ? name : `${name}=${value}`}</Badge>)}
                    </td>
                    <td data-label="Revisions">{backup.first_revision > 0 ? `${backup.first_revision} to ${backup.last_revision}` : backup.last_revision}</td>
                    <td data-label="Size">{bytes(backup.size_bytes)}</td>
                    <td data-label="Verified">{backup.verify_time ? <Time at={backup.verify_time} /> : <span class="faint">never</span>}</td>
                    <td data-label="Id" class="break"><code class="small">{backup.id}</code></td>
                    <td>
                      <span class="row">
                        <Button small kind="quiet" busy={busy === backup.id} aria-label={`Verify the backup ${backup.id}`} onClick={() => verify(backup)}>Verify</Button>
                        <Button small kind="quiet" disabled={busy === backup.id} aria-label={`${backup.pinned ? "Unpin" : "Pin"} the backup ${backup.id}`} onClick={() => pin(backup)}>
                          {backup.pinned ? "Unpin" : "Pin"}
                        </Button>
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        <ListEnd list={list} noun="backups" />
      </div>
      {creating && (
        <CreateDialog
          onClose={() => {
            setCreating(false);
            list.reload();
          }}
        />
      )}
    </section>
  );
}

function CreateDialog({ onClose }: { onClose: () => void }) {
  const [namespace, setNamespace] = useState("");
  const [kind, setKind] = useState<Schemas["BackupKind"]>("BACKUP_KIND_FULL");
  const [note, setNote] = useState("");
  const [progress, setProgress] = useState<Schemas["CreateBackupResponse"]>();
  const [error, setError] = useState<unknown>();
  const running = useRef<AbortController | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    const abort = new AbortController();
    running.current = abort;
    try {
      const body = { namespace: namespace.trim(), kind, note: note.trim(), keep: true };
      for await (const message of messages<Schemas["CreateBackupResponse"]>("/v1/backups:create", body, abort.signal)) setProgress(message);
    } catch (failure) {
      if (!isAbort(failure)) setError(failure);
      setProgress(undefined);
    }
    setBusy(false);
  };
  const made = progress?.backup;
  const close = () => {
    running.current?.abort();
    onClose();
  };
  return (
    <Dialog
      title="Make a backup"
      onClose={close}
      footer={made !== undefined
        ? <Button kind="primary" onClick={close}>Close</Button>
        : (
          <>
            <Button onClick={close}>Cancel</Button>
            <Button type="submit" form="create-backup" kind="primary" busy={busy}>Make the backup</Button>
          </>
        )}
    >
      {made !== undefined
        ? <Note tone="good">The backup <code class="break">{made.id}</code> is made: {bytes(made.size_bytes)}, up to revision {made.last_revision}.</Note>
        : (
          <form id="create-backup" class="stack" onSubmit={submit}>
            <p class="soft">The server keeps the backup in its place for backups. Writes go on while it is made.</p>
            <TextField label="Namespace" placeholder="the whole store" value={namespace} onValue={setNamespace} />
            <SelectField
              label="What it has"
              value={kind}
              onValue={(value) => setKind(value as Schemas["BackupKind"])}
              options={[{ value: "BACKUP_KIND_FULL", label: "the history and the state" }, { value: "BACKUP_KIND_STATE", label: "the state now" }]}
            />
            <TextField label="Note" maxLength={1024} value={note} onValue={setNote} />
            {busy && <p role="status">{progress === undefined ? "Beginning…" : `${progress.done} of ${progress.total} commits and configs`}</p>}
            {error !== undefined && <Refusal error={error} />}
          </form>
        )}
    </Dialog>
  );
}
