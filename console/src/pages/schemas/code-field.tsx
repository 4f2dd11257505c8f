// A field for JSON: a plain text area at first, and an editor with line numbers and marks once its code is there.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Mark, Pane } from "./code_pane";

interface Props {
  label: string;
  value: string;
  onValue: (value: string) => void;
  /** What is wrong with the text as JSON. */
  error?: string | undefined;
  marks?: readonly Mark[];
  onSave?: () => void;
}

export function CodeField({ label, value, onValue, error, marks = [], onSave }: Props) {
  const id = useId();
  const host = useRef<HTMLDivElement>(null);
  const pane = useRef<Pane | undefined>(undefined);
  const latest = useRef({ value, onValue, onSave });
  latest.current = { value, onValue, onSave };
  const [isRich, setRich] = useState(false);

  useEffect(() => {
    let isGone = false;
    import("./code_pane").then(
      ({ createPane }) => {
        if (isGone || host.current === null) return;
        pane.current = createPane(host.current, label, latest.current.value, (text) => latest.current.onValue(text), () => latest.current.onSave?.());
        setRich(true);
      },
      // The text area goes on without the code of the editor.
      () => undefined,
    );
    return () => {
      isGone = true;
      pane.current?.destroy();
      pane.current = undefined;
    };
  }, []);
  useEffect(() => {
    if (pane.current !== undefined && pane.current.text() !== value) pane.current.replace(value);
  }, [value, isRich]);
  useEffect(() => pane.current?.mark(marks), [marks, value, isRich]);

  return (
    <div class="field">
      {isRich ? <span class="label">{label}</span> : <label for={id}>{label}</label>}
      <div ref={host} class="code-host" hidden={!isRich} />
      {!isRich && (
        <textarea id={id} class="code-area" spellcheck={false} autocomplete="off" value={value} onInput={(event) => onValue(event.currentTarget.value)} />
      )}
      {error !== undefined && <span class="error" role="alert">{error}</span>}
    </div>
  );
}
