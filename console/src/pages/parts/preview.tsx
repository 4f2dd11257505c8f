// A write that goes back: first what it would do, then, with a reason, the write, then who has received it. Knows no route of the API.
import { useRef, useState } from "preact/hooks";
import { requestId, type Schemas } from "../../api/client";
import { CallError } from "../../api/problem";
import { Button } from "../../ui/button";
import { ValueChanges } from "../../ui/changes";
import { Dialog } from "../../ui/dialog";
import { useQuery } from "../../ui/query";
import { Note, Skeleton } from "../../ui/states";
import { Delivery } from "./delivery";
import { Affected, Findings, Reaches } from "./differences";
import { ReasonField } from "./forms";
import { Refusal } from "./refusal";
import { count } from "./words";

/** The differences of one document or layer. */
export interface Difference {
  place: string;
  changes: readonly Schemas["ValueChange"][];
  more?: boolean;
}

/** What a write would do. */
export interface Outlook {
  changed: boolean;
  /** What the write does, in a sentence. */
  summary: string;
  differences: readonly Difference[];
  /** The differences are those of effective documents. Otherwise those of layers. */
  effective: boolean;
  /** So many scopes change beside those whose differences are shown. */
  scopesOmitted: number;
  report: Schemas["ValidationReport"] | undefined;
  affected: readonly Schemas["AffectedTarget"][];
  affectedOmitted: number;
  reach: Schemas["Reach"] | undefined;
}

interface Props<T extends Outlook> {
  title: string;
  /** The words of the button: "Roll back". */
  verb: string;
  preview: (signal: AbortSignal) => Promise<T>;
  /** Makes the write that the preview showed, and returns the revision of its commit. */
  write: (outlook: T, reason: string, requestId: string) => Promise<number>;
  onClose: (written: boolean) => void;
}

/** Shows what a write would do, asks for a reason, writes, and shows who has received the outcome. */
export function PreviewedWrite<T extends Outlook>({ title, verb, preview, write, onClose }: Props<T>) {
  const outlook = useQuery(title, preview);
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [revision, setRevision] = useState<number>();
  // One id for one intention: a click after a lost answer does not write twice.
  const id = useRef(requestId());
  const value = outlook.data;
  const isStale = error instanceof CallError && error.isConflict;

  const confirm = async (event: Event) => {
    event.preventDefault();
    if (value === undefined) return;
    setBusy(true);
    setError(undefined);
    try {
      setRevision(await write(value, reason.trim(), id.current));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const previewAgain = () => {
    setError(undefined);
    outlook.reload();
  };

  if (revision !== undefined) {
    return (
      <Dialog title={title} onClose={() => onClose(true)} footer={<Button kind="primary" onClick={() => onClose(true)}>Close</Button>}>
        <div class="stack">
          <Note tone="good">Done, as revision {revision}.</Note>
          <Delivery revision={revision} />
        </div>
      </Dialog>
    );
  }
  const footer = (
    <>
      <Button onClick={() => onClose(false)} disabled={busy}>{value?.changed === true ? "Cancel" : "Close"}</Button>
      {isStale && <Button kind="primary" onClick={previewAgain}>Preview again</Button>}
      {value?.changed === true && !isStale && <Button type="submit" form="previewed-write" kind="primary" busy={busy}>{verb}</Button>}
    </>
  );
  return (
    <Dialog title={title} size="wide" sticky={busy} onClose={() => onClose(false)} footer={footer}>
      {outlook.loading && value === undefined && <Skeleton lines={5} />}
      {outlook.error !== undefined && <Refusal error={outlook.error} retry={outlook.reload} />}
      {value !== undefined && (
        <form id="previewed-write" class="stack" onSubmit={confirm}>
          <OutlookView outlook={value} />
          {value.changed && <ReasonField value={reason} onValue={setReason} />}
          {error !== undefined && <Refusal error={error} />}
          {isStale && <p>Somebody else wrote after this preview was made. Look at what would change now before you write.</p>}
        </form>
      )}
    </Dialog>
  );
}

function OutlookView({ outlook }: { outlook: Outlook }) {
  if (!outlook.changed) {
    return (
      <>
        <p>{outlook.summary}</p>
        <Note><strong>Nothing would change.</strong> Everything is already as it was then.</Note>
      </>
    );
  }
  return (
    <>
      <p>{outlook.summary}</p>
      <Reaches reach={outlook.reach} />
      {(outlook.report?.findings.length ?? 0) > 0 && (
        <section class="stack" aria-label="Findings">
          <h3>Findings</h3>
          <Findings findings={outlook.report?.findings ?? []} omitted={outlook.report?.omitted} />
        </section>
      )}
      <section class="stack" aria-label="Differences">
        <h3>{outlook.effective ? "What changes in the effective documents" : "What changes in the layers"}</h3>
        {outlook.differences.length === 0 && <p class="soft">No difference that you may see.</p>}
        {outlook.differences.map((difference) => (
          <div key={difference.place} class="difference">
            <p class="place"><code>{difference.place}</code></p>
            {difference.changes.length === 0 && difference.more !== true
              ? <p class="soft small">No difference: other layers hide the change.</p>
              : <ValueChanges changes={difference.changes} more={difference.more ?? false} />}
          </div>
        ))}
        {outlook.scopesOmitted > 0 && <p class="soft">The differences of {count(outlook.scopesOmitted, "more scope")} are not shown.</p>}
      </section>
      {outlook.affected.length > 0 && (
        <section class="stack" aria-label="Affected scopes">
          <h3>Affected scopes and their watchers</h3>
          <Affected targets={outlook.affected} omitted={outlook.affectedOmitted} />
        </section>
      )}
    </>
  );
}
