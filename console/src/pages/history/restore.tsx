// Goes back to a point in the past, which is a time, a revision or a tag: of a config, or of all configs of a namespace. Knows the form; `writes.ts`
// knows what a restore does.
import { useState } from "preact/hooks";
import { entryOf } from "../../api/catalog";
import { revisionWithin } from "../../api/live";
import { Button } from "../../ui/button";
import { Check, SelectField, TextField } from "../../ui/field";
import { useQuery } from "../../ui/query";
import { ListState } from "../parts/list";
import { PreviewedWrite } from "../parts/preview";
import { TimeField } from "../parts/time-field";
import { toTimestamp } from "../parts/words";
import { namespaceTags, TagDialog, UntagDialog } from "./tags";
import { restore, restoreOutlook, type Past } from "./writes";

type By = "time" | "revision" | "tag";

interface Props {
  namespace: string;
  /** "": all configs of the namespace. */
  config: string;
  /** The scope that the page looks at, to which the restore can be limited. */
  scope: string;
}

export function RestorePanel({ namespace, config, scope }: Props) {
  const [by, setBy] = useState<By>("time");
  const [text, setText] = useState("");
  const [past, setPast] = useState<Past>();
  const [isLimited, setLimited] = useState(false);
  const at = { namespace, config, scope: isLimited && scope !== "/" ? scope : undefined };
  const what = config === "" ? `all configs of ${namespace}` : config;
  const submit = (event: Event) => {
    event.preventDefault();
    if (by === "time") setPast({ time: toTimestamp(text) });
    else if (by === "revision") setPast({ revision: Number(text) });
    else setPast({ tag: text.trim() });
  };
  return (
    <>
      <section class="panel" aria-label="Restore">
        <div class="body stack">
          <p class="soft">
            Makes {what} what it was at a point in the past, by one new commit. Layers that were made since then are removed, and deleted ones return. Nothing is written before you have
            seen what would change.
          </p>
          <form class="restore-form" onSubmit={submit}>
            <SelectField
              label="Go back to"
              value={by}
              onValue={(value) => {
                setBy(value as By);
                setText("");
              }}
              options={[{ value: "time", label: "a time" }, { value: "revision", label: "a revision" }, { value: "tag", label: "a tag" }]}
            />
            {by === "time" && <TimeField label="Time, by your clock" required value={text} onValue={setText} />}
            {by === "revision" && <TextField label="Revision" inputMode="numeric" required value={text} onValue={setText} />}
            {by === "tag" && <TextField label="Tag" required list="tags-to-restore" value={text} onValue={setText} />}
            <datalist id="tags-to-restore">{Object.keys(entryOf(namespace, config)?.tags ?? {}).slice(0, 500).map((tag) => <option key={tag} value={tag} />)}</datalist>
            <Button type="submit" kind="primary">Preview</Button>
          </form>
          {scope !== "/" && <Check label={`Only the layers at ${scope} and below it`} checked={isLimited} onChecked={setLimited} />}
        </div>
      </section>
      {config === "" && <NamespaceTags namespace={namespace} onRestore={(tag) => setPast({ tag })} />}
      {past !== undefined && (
        <PreviewedWrite
          title={`Restore ${what}`}
          verb="Restore"
          preview={(signal) => restoreOutlook(at, past, signal)}
          write={(outlook, reason, id) => restore(at, past, outlook, reason, id)}
          onClose={() => setPast(undefined)}
        />
      )}
    </>
  );
}

function NamespaceTags({ namespace, onRestore }: { namespace: string; onRestore: (tag: string) => void }) {
  const tags = useQuery(`tags ${namespace}`, (signal) => namespaceTags(namespace, signal), revisionWithin(namespace).value);
  const [dialog, setDialog] = useState<{ remove?: string }>();
  const close = (written: boolean) => {
    setDialog(undefined);
    if (written) tags.reload();
  };
  return (
    <section class="panel" aria-label={`Tags of ${namespace}`}>
      <header>
        <h2 class="grow">Tags of {namespace}</h2>
        <Button icon="tag" onClick={() => setDialog({})}>Tag the state now</Button>
      </header>
      <div class="body">
        <ListState list={tags} shown={tags.data?.length ?? 0} icon="tag" empty="No tags"><p>A tag of a namespace names the state of all its configs at one revision.</p></ListState>
        <ul>
          {tags.data?.map(([tag, revision]) => (
            <li key={tag} class="row between wrap line">
              <span><strong>{tag}</strong> <span class="soft">revision {revision}</span></span>
              <span class="row">
                <Button small icon="history" aria-label={`Restore to the tag ${tag}`} onClick={() => onRestore(tag)}>Restore</Button>
                <Button small kind="quiet" icon="trash" aria-label={`Remove the tag ${tag}`} onClick={() => setDialog({ remove: tag })}>Remove</Button>
              </span>
            </li>
          ))}
        </ul>
      </div>
      {dialog !== undefined && dialog.remove === undefined && <TagDialog namespace={namespace} config="" at={0} onClose={close} />}
      {dialog?.remove !== undefined && <UntagDialog namespace={namespace} config="" tag={dialog.remove} onClose={close} />}
    </section>
  );
}
