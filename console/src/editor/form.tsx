// The form of a layer, made from its schema, what it has and what it inherits. Each entry is an edit of the text at its place.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { Badge } from "../ui/badge";
import { Button, IconButton } from "../ui/button";
import { SearchField } from "../ui/field";
import { Note } from "../ui/states";
import { removeValue, setValue } from "./document";
import type { Inherited } from "./layer";
import { type Field, fieldAt, namesAt, quickProblem, type SchemaSet, startValue, takesOthers } from "./schema";
import type { Format, Parsed, TextChange } from "./tree";
import { parseJson } from "./json_text";
import type { Problem } from "./validation";
import { equal, isMask, isObject, isSecretMark, Num, pointerOf, toJson, type TypeName, typeOf, type Value, valueAt } from "./value";

export interface FormProps {
  value: Value;
  schema: SchemaSet | undefined;
  inherited: Inherited;
  problems: readonly Problem[];
  format: Format;
  change: (make: (parsed: Parsed) => TextChange[]) => void;
  isEmpty: boolean;
}

/** So many values make a document large. */
const LARGE = 400;

function sizeOf(value: Value): number {
  if (isObject(value)) return [...value.values()].reduce<number>((sum, inner) => sum + 1 + sizeOf(inner), 0);
  return Array.isArray(value) ? value.reduce<number>((sum, inner) => sum + 1 + sizeOf(inner), 0) : 0;
}

/** Members of one object that are shown before somebody asks for more. */
const SHOWN_MAX = 60;
/** Objects down to this depth begin open. */
const OPEN_DEPTH = 2;

export function Form(props: FormProps) {
  const [text, setText] = useState("");
  const total = isObject(props.value) ? props.value.size : 0;
  const names = memberNames(props, []);
  const isLarge = useMemo(() => sizeOf(props.value) + sizeOf(props.inherited.value) > LARGE, [props.value, props.inherited]);
  return (
    <div class="form">
      {!props.schema && <Note>This config has no schema: the form knows only the keys that there are.</Note>}
      {(names.length > 12 || total > 12) && <SearchField label="Search the keys of the form" value={text} onValue={setText} />}
      <Members {...props} path={[]} search={text.trim().toLowerCase()} isLarge={isLarge} />
    </div>
  );
}

interface At extends FormProps {
  path: readonly string[];
  /** The document is so large that its objects begin closed. */
  isLarge: boolean;
  search?: string;
}

/** The names of the schema first, in its order, then those of the layer and those that are inherited. */
function memberNames({ value, schema, inherited }: FormProps, path: readonly string[]): string[] {
  const own = valueAt(value, path);
  const above = valueAt(inherited.value, path);
  return [...new Set([...namesAt(schema, path), ...(isObject(own) ? own.keys() : []), ...(isObject(above) ? [...above.keys()].sort() : [])])];
}

function Members({ search = "", ...props }: At) {
  const { path } = props;
  const [shown, setShown] = useState(SHOWN_MAX);
  const names = memberNames(props, path).filter((name) => !search || name.toLowerCase().includes(search) || contains(valueAt(props.value, [...path, name]) ?? valueAt(props.inherited.value, [...path, name]), search));
  return (
    <div class="members">
      {names.slice(0, shown).map((name) => (
        <Entry key={name} {...props} path={[...path, name]} name={name} search={search && !name.toLowerCase().includes(search) ? search : ""} />
      ))}
      {names.length > shown && (
        <Button small onClick={() => setShown(shown + SHOWN_MAX * 4)}>
          Show more ({(names.length - shown).toLocaleString("en")})
        </Button>
      )}
      {takesOthers(props.schema, path) && <AddMember {...props} taken={names} />}
    </div>
  );
}

function contains(value: Value | undefined, search: string): boolean {
  if (isObject(value)) return [...value].some(([name, inner]) => name.toLowerCase().includes(search) || contains(inner, search));
  return false;
}

/** One member or element: its name, what is known of it, and how it is changed. */
function Entry({ name, isElement, ...props }: At & { name: string; isElement?: boolean }) {
  const { path, value, schema, inherited, problems, change } = props;
  const id = useId();
  const pointer = pointerOf(path);
  const field = fieldAt(schema, path);
  const own = valueAt(value, path);
  const above = valueAt(inherited.value, path);
  const found = problems.filter((problem) => problem.pointer === pointer && problem.code !== "SYNTAX");
  const isSecret = (field?.isSecret ?? false) || isMask(own) || isMask(above) || isSecretMark(own);
  const kind = isSecret ? "secret" : kindOf(field, own, above);
  const about = [field?.description, field?.limits.join(", ")].filter(Boolean).join(" – ");
  const set = (next: Value) => change((parsed) => setValue(parsed, path, next));
  const reset = () => change((parsed) => removeValue(parsed, path));
  const label = field?.title ? `${field.title} (${name})` : name;
  const head = (
    <>
      <span class="name mono break">{isElement ? `${Number(name) + 1}.` : label}</span>
      {field?.isRequired && <Badge>required</Badge>}
      {field?.deprecated && (
        <Badge tone="warn" title={field.deprecated}>
          deprecated
        </Badge>
      )}
      {isSecret && <Badge icon="lock">secret</Badge>}
      {field?.needsRestart && <Badge title="A change takes a restart of the service">restart</Badge>}
    </>
  );
  const state = isElement ? null : <State own={own} above={above} from={inherited.from.get(pointer)} field={field} onReset={reset} onRemove={above !== undefined && own === undefined && props.format !== "FORMAT_TOML" ? () => set(null) : undefined} />;
  const notes = (
    <>
      {about && (
        <p class="hint" id={`${id}-about`}>
          {about}
        </p>
      )}
      {found.map((problem, at) => (
        <p key={at} class={problem.severity === "error" ? "error" : "warning"} role={problem.severity === "error" ? "alert" : undefined}>
          {problem.message}
          {problem.suggestion && !problem.fix && ` (${problem.suggestion})`}{" "}
          {problem.fix && (
            <Button small onClick={() => problem.fix && change(problem.fix.changes)}>
              {problem.fix.label}
            </Button>
          )}
        </p>
      ))}
    </>
  );
  if (kind === "object") {
    return (
      <div class={own !== undefined ? "entry group own" : "entry group"}>
        <Group head={head} notes={notes} begins={props.search ? true : !props.isLarge && (path.length <= OPEN_DEPTH || (own !== undefined && path.length < 4))}>
          {() => (own === null ? <p class="hint">This layer removes what the scope inherits here.</p> : <Members {...props} path={path} />)}
        </Group>
        <div class="group-state">
          {state}
          {isElement && <IconButton icon="trash" small label={`Remove element ${Number(name) + 1}`} onClick={reset} />}
        </div>
      </div>
    );
  }
  return (
    <div class={own !== undefined ? "entry own" : "entry"}>
      <label class="head" for={id}>
        {head}
      </label>
      <div class="control">
        <Control id={id} describedBy={about ? `${id}-about` : undefined} kind={kind} field={field} own={own} above={above} onSet={set} onReset={isElement ? undefined : reset} props={props} isBad={found.some(({ severity }) => severity === "error")} label={label} />
        {isElement && <IconButton icon="trash" small label={`Remove element ${Number(name) + 1}`} onClick={reset} />}
      </div>
      {state}
      {notes}
    </div>
  );
}

/** An object that can be closed. What is closed is not made: a large document has many. */
function Group({ head, notes, begins, children }: { head: ComponentChildren; notes: ComponentChildren; begins: boolean; children: () => ComponentChildren }) {
  const [isOpen, setOpen] = useState(begins);
  useEffect(() => {
    if (begins) setOpen(true);
  }, [begins]);
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{head}</summary>
      {notes}
      {isOpen && children()}
    </details>
  );
}

type Kind = "object" | "array" | "boolean" | "choice" | "number" | "text" | "json" | "secret";

function kindOf(field: Field | undefined, own: Value | undefined, above: Value | undefined): Kind {
  const value = own ?? above;
  if (field?.choices?.length && (own === undefined || own === null || field.choices.some((each) => equal(each, own)))) return "choice";
  const type: TypeName | undefined = value !== undefined && value !== null ? typeOf(value) : field?.types.find((each) => each !== "null");
  const fits = !field?.types.length || (type !== undefined && (field.types.includes(type) || (type === "integer" && field.types.includes("number"))));
  switch (type) {
    case "object":
      return "object";
    case "array":
      return "array";
    case "boolean":
      return "boolean";
    case "integer":
    case "number":
      return "number";
    case "string":
      return fits ? "text" : "json";
    case "null":
      return "json";
    case undefined:
      return field?.fallback !== undefined ? kindOf(undefined, field.fallback, undefined) : "json";
  }
}

function State({ own, above, from, field, onReset, onRemove }: { own: Value | undefined; above: Value | undefined; from: string | undefined; field: Field | undefined; onReset: () => void; onRemove: (() => void) | undefined }) {
  if (own !== undefined) {
    const back = above !== undefined ? `inherit ${cut(isMask(above) ? "the secret" : toJson(above))}` : field?.fallback !== undefined ? "leave it to the default" : "unset";
    return (
      <span class="state">
        <Badge tone={own === null ? "warn" : "accent"}>{own === null ? "removed here" : "set here"}</Badge>
        <Button small kind="quiet" icon="undo" title={`Reset: ${back}`} onClick={onReset}>
          Reset
        </Button>
      </span>
    );
  }
  return (
    <span class="state">
      {above !== undefined ? (
        <span class="soft small">inherited{from && ` from ${from}`}</span>
      ) : field?.fallback !== undefined ? (
        <span class="soft small">default {cut(toJson(field.fallback))}</span>
      ) : (
        <span class="soft small">not set</span>
      )}
      {onRemove && (
        <Button small kind="quiet" icon="trash" title="Remove the inherited value for this scope" onClick={onRemove}>
          Remove
        </Button>
      )}
    </span>
  );
}

const cut = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

interface ControlProps {
  id: string;
  label: string;
  describedBy: string | undefined;
  kind: Kind;
  field: Field | undefined;
  own: Value | undefined;
  above: Value | undefined;
  isBad: boolean;
  onSet: (value: Value) => void;
  onReset: (() => void) | undefined;
  props: At;
}

function Control(control: ControlProps): ComponentChildren {
  const { id, describedBy, kind, field, own, above, onSet, onReset, props, isBad } = control;
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
      return <ListControl {...props} own={own} above={above} onSet={onSet} id={id} label={control.label} />;
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

const INPUT = { autocomplete: "off", autocapitalize: "off", spellcheck: false } as const;

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

const ITEMS_MAX = 50;

/** A list replaces what is inherited as a whole. */
function ListControl({ own, above, onSet, id, label, ...props }: At & { own: Value | undefined; above: Value | undefined; onSet: (value: Value) => void; id: string; label: string }) {
  const { path, schema, change } = props;
  const [shown, setShown] = useState(ITEMS_MAX);
  if (!Array.isArray(own)) {
    return (
      <span class="row grow wrap" id={id}>
        {above !== undefined && <code class="soft break">{cut(toJson(above))}</code>}
        <Button small icon="edit" onClick={() => onSet(Array.isArray(above) ? above : [])}>
          Set here
        </Button>
      </span>
    );
  }
  const item = fieldAt(schema, [...path, String(own.length)]);
  const sample = own.at(-1);
  const start = item?.types.length || item?.choices ? startValue(item) : sample === undefined ? "" : isObject(sample) ? new Map() : Array.isArray(sample) ? [] : sample instanceof Num ? new Num("0") : typeof sample === "boolean" ? false : "";
  return (
    <div class="list grow" id={id} role="group" aria-label={label}>
      {own.slice(0, shown).map((_, at) => (
        <Entry key={at} {...props} path={[...path, String(at)]} name={String(at)} isElement />
      ))}
      {own.length > shown && (
        <Button small onClick={() => setShown(shown + ITEMS_MAX * 4)}>
          Show more ({own.length - shown})
        </Button>
      )}
      {!own.length && <span class="soft small">an empty list</span>}
      <Button small icon="plus" onClick={() => change((parsed) => setValue(parsed, [...path, String(own.length)], start))}>
        Add an element
      </Button>
    </div>
  );
}

const NEW: { label: string; value: Value }[] = [
  { label: "text", value: "" },
  { label: "number", value: new Num("0") },
  { label: "true or false", value: false },
  { label: "list", value: [] },
  { label: "object", value: new Map() },
];

/** Adds a key that the schema does not name. */
function AddMember({ path, taken, change }: At & { taken: readonly string[] }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState(0);
  const [isOpen, setOpen] = useState(false);
  if (!isOpen) {
    return (
      <div>
        <Button small kind="quiet" icon="plus" onClick={() => setOpen(true)}>
          Add a key
        </Button>
      </div>
    );
  }
  const isTaken = taken.includes(name);
  return (
    <form
      class="row wrap add"
      onSubmit={(event) => {
        event.preventDefault();
        if (!name || isTaken) return;
        change((parsed) => setValue(parsed, [...path, name], (NEW[kind] as (typeof NEW)[number]).value));
        setName("");
        setOpen(false);
      }}
    >
      <input {...INPUT} class="input mono" aria-label="Name of the new key" placeholder="name" value={name} onInput={(event) => setName(event.currentTarget.value)} />
      <select class="select" aria-label="Type of the new key" value={String(kind)} onChange={(event) => setKind(Number(event.currentTarget.value))}>
        {NEW.map(({ label }, at) => (
          <option key={label} value={String(at)}>
            {label}
          </option>
        ))}
      </select>
      <Button small type="submit" kind="primary" disabled={!name || isTaken}>
        Add
      </Button>
      <Button small onClick={() => setOpen(false)}>
        Cancel
      </Button>
      {isTaken && <span class="error small">This key is there already.</span>}
    </form>
  );
}
