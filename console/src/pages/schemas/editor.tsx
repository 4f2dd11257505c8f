// The text of a schema, rules or settings, with a try-out beside it. Knows the forms of the page; `governing.ts` knows the calls.
import { useEffect, useState } from "preact/hooks";
import { requestId } from "../../api/client";
import { revisionOf } from "../../api/live";
import { beforeLeaving, configHref, navigate } from "../../router";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { confirm } from "../../ui/dialog";
import { Check } from "../../ui/field";
import { useQuery } from "../../ui/query";
import { ErrorNote, Note, Skeleton } from "../../ui/states";
import { Time } from "../../ui/time";
import { ActionDialog } from "../parts/forms";
import { isSame, pretty } from "../parts/json";
import { PreviewedWrite } from "../parts/preview";
import {
  inText, KIND_NAMES, migrate, migrateOutlook, readStored, remove, store, storeOutlook, syntaxError, TEMPLATES, type Governing, type Stored,
} from "./governing";
import { CodeField } from "./code-field";
import type { Mark } from "./code_pane";
import { markOf } from "./findings";
import { TryOut } from "./try-out";

export function GoverningEditor({ namespace, of, back }: { namespace: string; of: Governing; back: string }) {
  const stored = useQuery(`governing ${namespace}/${of.name}`, (signal) => readStored(namespace, of, signal), revisionOf(namespace, of.name).value);
  return (
    <>
      <div class="row wrap between">
        <p class="row wrap"><a href={back}>All schemas and rules of {namespace}</a></p>
        <a href={configHref(namespace, of.name, "history")}>History of {of.name}</a>
      </div>
      {stored.error !== undefined && <ErrorNote error={stored.error} retry={stored.reload} />}
      {stored.data === undefined && stored.error === undefined && <Skeleton lines={8} />}
      {stored.data !== undefined && <Draft key={of.name} namespace={namespace} of={of} stored={stored.data} reload={stored.reload} back={back} />}
    </>
  );
}

interface DraftProps {
  namespace: string;
  of: Governing;
  stored: Stored;
  reload: () => void;
  back: string;
}

function Draft({ namespace, of, stored, reload, back }: DraftProps) {
  // What the draft was made from: a write expects it, so that nobody's later version is lost.
  const [base, setBase] = useState(stored);
  const original = base.text === "" ? TEMPLATES[of.kind] : pretty(base.text);
  const [text, setText] = useState(original);
  const [acceptExisting, setAcceptExisting] = useState(stored.schema?.accept_existing ?? false);
  const [marks, setMarks] = useState<readonly Mark[]>([]);
  const [dialog, setDialog] = useState<"store" | "remove" | "migrate">();
  const isNew = base.expected === 0 && base.text === "";
  const isChanged = isNew || !isSame(text, base.text);
  const broken = syntaxError(text);
  const isBehind = !isSame(stored.text, base.text);
  const isDirty = !isSame(text, original);
  const takeStored = () => {
    setBase(stored);
    setText(stored.text === "" ? TEMPLATES[of.kind] : pretty(stored.text));
  };

  // What is stored now is the base of a draft that says the same, or of one that nobody has touched.
  useEffect(() => {
    if (isSame(text, stored.text)) setBase(stored);
    else if (isBehind && !isDirty) takeStored();
  }, [stored]);
  useEffect(() => beforeLeaving({
    isDirty: () => isDirty,
    confirm: () => confirm({ title: "Leave without storing?", text: `What you have typed of ${of.name} is lost.`, action: "Leave", danger: true }),
  }), [isDirty]);

  const closed = (written: boolean) => {
    setDialog(undefined);
    if (written) reload();
  };
  const schema = stored.schema;
  const pending = schema !== undefined ? schema.numbers.filter((number) => number > schema.active_number) : [];
  return (
    <>
      {isBehind && isDirty && (
        <Note tone="warn" actions={<Button small onClick={takeStored}>Take the stored one</Button>}>
          Somebody stored another version while you were typing. Yours cannot be stored before you have looked at it.
        </Note>
      )}
      {pending.length > 0 && (
        <Note tone="warn" actions={<Button small onClick={() => setDialog("migrate")}>Migrate</Button>}>
          Version {pending.at(-1)} of the schema is stored and not active: migrate the layers of {of.config} to make it so.
        </Note>
      )}
      <div class="columns-2">
        <section class="panel" aria-label={of.name}>
          <header>
            <h2 class="grow">{KIND_NAMES[of.kind]} {of.config === "" ? `of all configs of ${namespace}` : `of ${of.config}`}</h2>
            {isNew && <Badge tone="warn">not stored yet</Badge>}
            {schema !== undefined && <Badge>version {schema.active_number}</Badge>}
            {schema?.update_time && <span class="soft small"><Time at={schema.update_time} /></span>}
          </header>
          <div class="body stack">
            <CodeField
              label={`${KIND_NAMES[of.kind]} as JSON`}
              error={broken}
              value={text}
              onValue={setText}
              marks={marks}
              onSave={() => broken === undefined && isChanged && setDialog("store")}
            />
            {of.kind === "schema" && (
              <Check label="Accept documents that violate it now: they are warned about, until they are corrected" checked={acceptExisting} onChecked={setAcceptExisting} />
            )}
            <div class="row wrap between">
              <span class="row">
                {!isNew && <Button kind="quiet" icon="trash" onClick={() => setDialog("remove")}>Delete</Button>}
              </span>
              <span class="row">
                <Button disabled={!isDirty} onClick={() => setText(original)}>Discard</Button>
                <Button kind="primary" disabled={broken !== undefined || !isChanged} onClick={() => setDialog("store")}>Review and store</Button>
              </span>
            </div>
          </div>
        </section>
        <TryOut namespace={namespace} of={of} text={text} isChanged={isChanged} onFindings={(findings) => setMarks(findings.map((finding) => markOf(inText(of, finding))))} />
      </div>
      {dialog === "store" && (
        <PreviewedWrite
          title={`Store ${of.name}`}
          verb="Store"
          preview={(signal) => storeOutlook(namespace, of, base, text, { acceptExisting }, signal)}
          write={(_, reason, id) => store(namespace, of, base, text, { acceptExisting }, reason, id)}
          onClose={closed}
        />
      )}
      {dialog === "migrate" && (
        <PreviewedWrite
          title={`Migrate ${of.config}`}
          verb="Migrate"
          preview={(signal) => migrateOutlook(namespace, of.config, 0, signal)}
          write={(_, reason, id) => migrate(namespace, of.config, 0, reason, id)}
          onClose={(written) => {
            setDialog(undefined);
            if (written) reload();
          }}
        />
      )}
      {dialog === "remove" && (
        <ActionDialog
          title={`Delete ${of.name}?`}
          verb="Delete"
          danger
          action={(reason) => remove(namespace, of, base, reason, requestId())}
          done={`${of.name} is deleted.`}
          onClose={(done) => {
            setDialog(undefined);
            if (done) void navigate(back);
          }}
        >
          <p>
            {of.config === "" ? `No config of ${namespace}` : of.config} is checked against it from then on. Documents stay as they are, and history keeps it: roll {of.name} back to have it
            again.
          </p>
        </ActionDialog>
      )}
    </>
  );
}
