// The controls of the form: one for each kind of value. Each takes over what is typed after a pause.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "../ui/button";
import { parseJson } from "./json_text";
import { type Field, quickProblem } from "./schema";
import { equal, isMask, Num, toJson, type Value } from "./value";

export type Kind = "object" | "array" | "boolean" | "choice" | "number" | "text" | "json" | "secret";

export const cut = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

interface ControlProps {
  id: string;
  describedBy: string | undefined;
  kind: Kind;
  field: Field | undefined;
  own: Value | undefined;
  above: Value | undefined;
  isBad: boolean;
  onSet: (value: Value) => void;
  onReset: (() => void) | undefined;
  /** The control of a list, whose elements are entries of the form. */
  list: () => ComponentChildren;
}

export function Control(control: ControlProps): ComponentChildren {
  const { id, describedBy, kind, field, own, above, onSet, onReset, isBad, list } = control;
  const ties = { id, ...(describedBy ? { "aria-describedby": describedBy } : {}), ...(isBad ? { "aria-invalid": true as const } : {}) };
  if (own === null && kind !== "choice") return <span class="soft">This layer removes the inherited value.</span>;
  switch (kind) {
    case "secret":
      return <SecretControl ties={ties} own={own} above={above} onSet={onSet} />;
    case "boolean":
    case "choice": {
      const choices = kind === "boolean" ? [true, false] : (field?.choices ?? []);
      const index = own === undefined ? -1 : choices.findIndex((each) => equal(each, own));
      const unset = above !== undefined ? `inherited: ${cut(toJson(above))}` : field?.fallback !== undefined ? `default: ${cut(toJson(field.fallback))}` : "not set";
      return (
        <select {...ties} class="select" value={String(index)} onChange={(event) => (event.currentTarget.value === "-1" ? onReset?.() : onSet(choices[Number(event.currentTarget.value)] as Value))}>
          {(onReset || index < 0) && <option value="-1">{unset}</option>}
          {choices.map((each, at) => (
            <option key={at} value={String(at)}>
              {typeof each === "string" ? each : toJson(each)}
            </option>
          ))}
        </select>
      );
    }
    case "number":
      return <NumberControl ties={ties} field={field} own={own} above={above} onSet={onSet} />;
    case "text":
      return <TextControl ties={ties} own={own} placeholder={typeof above === "string" ? above : typeof field?.fallback === "string" ? field.fallback : ""} onSet={onSet} />;
    case "array":
      return list();
    case "object":
    case "json":
      return <JsonControl ties={ties} own={own} above={above} onSet={onSet} />;
  }
}

interface Ties {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
}

const PAUSE_MS = 400;

/** A text that is taken over after a pause, by Enter, and when the field is left; an edit from elsewhere shows at once. */
function useTyped(outside: string, take: (text: string) => void) {
  const [text, setText] = useState(outside);
  const pending = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const last = useRef(outside);
  useEffect(() => {
    if (outside === last.current) return;
    last.current = outside;
    setText(outside);
  }, [outside]);
  useEffect(() => () => clearTimeout(pending.current), []);
  const commit = (now: string) => {
    clearTimeout(pending.current);
    pending.current = undefined;
    if (now === last.current) return;
    last.current = now;
    take(now);
  };
  return {
    value: text,
    onInput: (event: { currentTarget: { value: string } }) => {
      const now = event.currentTarget.value;
      setText(now);
      clearTimeout(pending.current);
      pending.current = setTimeout(() => commit(now), PAUSE_MS);
    },
    onBlur: () => commit(text),
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key === "Enter" && !(event.target instanceof HTMLTextAreaElement)) commit(text);
    },
  };
}

export const INPUT = { autocomplete: "off", autocapitalize: "off", spellcheck: false } as const;

function TextControl({ ties, own, placeholder, onSet }: { ties: Ties; own: Value | undefined; placeholder: string; onSet: (value: Value) => void }) {
  const text = typeof own === "string" ? own : "";
  const typed = useTyped(text, onSet);
  if (text.includes("\n")) return <textarea {...INPUT} {...ties} {...typed} class="textarea mono" rows={Math.min(12, text.split("\n").length + 1)} />;
  return <input {...INPUT} {...ties} {...typed} type="text" class="input mono" placeholder={placeholder} />;
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

function NumberControl({ ties, field, own, above, onSet }: { ties: Ties; field: Field | undefined; own: Value | undefined; above: Value | undefined; onSet: (value: Value) => void }) {
  const [why, setWhy] = useState("");
  const typed = useTyped(own instanceof Num ? own.text : own === undefined ? "" : toJson(own), (text) => {
    const trimmed = text.trim();
    if (!NUMBER.test(trimmed)) {
      setWhy(trimmed ? "a number is expected" : "");
      return;
    }
    const number = new Num(trimmed);
    setWhy(quickProblem(field, number));
    onSet(number);
  });
  const placeholder = above instanceof Num ? above.text : field?.fallback instanceof Num ? field.fallback.text : "";
  return (
    <span class="grow">
      <input {...INPUT} {...ties} {...typed} {...(why ? { "aria-invalid": true } : {})} type="text" inputMode="decimal" class="input mono number" placeholder={placeholder} />
      {why && <span class="error small">{why}</span>}
    </span>
  );
}

/** A secret that is there is never read here: it is kept as its mask, or replaced. */
function SecretControl({ ties, own, above, onSet }: { ties: Ties; own: Value | undefined; above: Value | undefined; onSet: (value: Value) => void }) {
  const [isReplacing, setReplacing] = useState(false);
  const [text, setText] = useState("");
  const isKept = isMask(own);
  if (!isReplacing) {
    return (
      <span class="row grow">
        <span class="soft" id={ties.id}>
          {isKept ? "•••••• kept as it is" : own !== undefined ? "•••••• a new value, not saved" : above !== undefined ? "•••••• inherited" : "not set"}
        </span>
        <Button small icon="edit" onClick={() => setReplacing(true)}>
          {own !== undefined ? "Replace" : "Set"}
        </Button>
      </span>
    );
  }
  const take = () => {
    if (text) onSet(text);
    setText("");
    setReplacing(false);
  };
  return (
    <span class="row grow">
      <input {...INPUT} {...ties} autocomplete="new-password" data-1p-ignore="" data-lpignore="true" type="password" class="input" value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={(event) => event.key === "Enter" && take()} />
      <Button small kind="primary" onClick={take} disabled={!text}>
        Use it
      </Button>
      <Button
        small
        onClick={() => {
          setText("");
          setReplacing(false);
        }}
      >
        Cancel
      </Button>
    </span>
  );
}

function JsonControl({ ties, own, above, onSet }: { ties: Ties; own: Value | undefined; above: Value | undefined; onSet: (value: Value) => void }) {
  const [why, setWhy] = useState("");
  const typed = useTyped(own === undefined ? "" : toJson(own, 2), (text) => {
    if (!text.trim()) return;
    try {
      onSet(parseJson(text));
      setWhy("");
    } catch (error) {
      setWhy((error as Error).message);
    }
  });
  return (
    <span class="grow">
      <textarea {...INPUT} {...ties} {...typed} class="textarea mono" rows={Math.min(10, typed.value.split("\n").length + 1)} placeholder={above === undefined ? "a value as JSON" : toJson(above)} />
      {why && <span class="error small">{why}</span>}
    </span>
  );
}
