// The three-way merge of a layer that somebody else changed meanwhile: by key, with both texts to fall back on. It never writes.
import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Note } from "../ui/states";
import type { Stored } from "./layer";
import { type Choices, type Conflict, merge, type Merged } from "./merge";
import { dotted, isMask, isSecretMark, pointerPath, redacted, toJson, type Value } from "./value";

interface Props {
  base: Value;
  mine: Value;
  theirs: Stored;
  isSecret: (path: readonly string[]) => boolean;
  onMerge: (merged: Merged, choices: Choices) => void;
  onTakeTheirs: () => void;
  onKeepMine: () => void;
  onClose: () => void;
}

type Side = "mine" | "theirs";

export function MergeDialog({ base, mine, theirs, isSecret, onMerge, onTakeTheirs, onKeepMine, onClose }: Props) {
  const merged = useMemo(() => merge(base, mine, theirs.value), [base, mine, theirs]);
  const [choices, setChoices] = useState<ReadonlyMap<string, Side>>(new Map());
  const [showsText, setShowsText] = useState(false);
  const open = merged.conflicts.filter(({ pointer }) => !choices.has(pointer)).length;
  const show = (value: Value | undefined, pointer: string) => {
    if (value === undefined) return <span class="faint">not there</span>;
    if (isSecret(pointerPath(pointer)) || isMask(value) || isSecretMark(value)) return <code>••••••</code>;
    return <code class="break">{cut(toJson(redacted(value)))}</code>;
  };
  const choose = (conflict: Conflict, side: Side) => setChoices(new Map(choices).set(conflict.pointer, side));
  const footer = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" disabled={open > 0} onClick={() => onMerge(merged, choices)}>
        {open ? `Decide ${open === 1 ? "1 conflict" : `${open} conflicts`}` : "Merge into my text"}
      </Button>
    </>
  );
  return (
    <Dialog title="Merge with what is stored now" size="wide" onClose={onClose} footer={footer}>
      <div class="stack merge">
        <p>
          Somebody else saved this layer{theirs.version ? `, as version ${theirs.version},` : " (it is deleted now)"} after you began. Nothing of theirs is overwritten: the merged text comes back to the editor, and is reviewed again.
        </p>
        {merged.conflicts.length > 0 ? (
          <section class="stack" aria-label="Conflicts">
            <h3>Both changed</h3>
            <div class="scroll-x" tabIndex={0} role="region" aria-label="Values that both changed">
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">Key</th>
                    <th scope="col">Before</th>
                    <th scope="col">Mine</th>
                    <th scope="col">Theirs</th>
                  </tr>
                </thead>
                <tbody>
                  {merged.conflicts.map((conflict) => (
                    <tr key={conflict.pointer}>
                      <td class="mono break">{dotted(conflict.pointer) || "(all)"}</td>
                      <td class="soft">{show(conflict.base, conflict.pointer)}</td>
                      {(["mine", "theirs"] as const).map((side) => (
                        <td key={side} class={choices.get(conflict.pointer) === side ? "chosen" : ""}>
                          <label class="check">
                            <input type="radio" name={`conflict-${conflict.pointer}`} checked={choices.get(conflict.pointer) === side} onChange={() => choose(conflict, side)} aria-label={`${dotted(conflict.pointer)}: take ${side}`} />
                            {show(conflict[side], conflict.pointer)}
                          </label>
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </section>
        ) : (
          <Note tone="good">No value was changed by both: both changes fit together.</Note>
        )}
        <One title="Only theirs: taken over" edits={merged.theirs} show={show} />
        <One title="Only mine: kept" edits={merged.mine} show={show} />
        <details open={showsText} onToggle={(event) => setShowsText(event.currentTarget.open)}>
          <summary>Merge by hand</summary>
          <div class="stack">
            <p class="soft">Copy what you need from their text. If you keep yours as it is, the review shows that their changes are taken back.</p>
            {showsText && (
              <pre class="their-text" tabIndex={0} aria-label="Their text">
                {theirs.text || "(deleted)"}
              </pre>
            )}
            <div class="row wrap">
              <Button onClick={onKeepMine}>Go on with my text</Button>
              <Button onClick={onTakeTheirs}>Take their text, and lose mine</Button>
            </div>
          </div>
        </details>
      </div>
    </Dialog>
  );
}

const cut = (text: string): string => (text.length > 300 ? `${text.slice(0, 300)}…` : text);
const SHOWN_MAX = 50;

function One({ title, edits, show }: { title: string; edits: Merged["theirs"]; show: (value: Value | undefined, pointer: string) => ComponentChildren }) {
  if (!edits.length) return null;
  return (
    <section class="stack" aria-label={title}>
      <h3>{title}</h3>
      <ul class="changes">
        {edits.slice(0, SHOWN_MAX).map((edit) => (
          <li key={edit.pointer}>
            <span>{dotted(edit.pointer)}</span>
            <span>{edit.value === undefined ? <span class="soft">removed</span> : show(edit.value, edit.pointer)}</span>
          </li>
        ))}
        {edits.length > SHOWN_MAX && <li class="soft">{edits.length - SHOWN_MAX} more</li>}
      </ul>
    </section>
  );
}
