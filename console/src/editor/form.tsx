// The form of a layer, made from its schema, what it has and what it inherits. Each entry is an edit of the text at its place.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useMemo, useState } from "preact/hooks";
import { Badge } from "../ui/badge";
import { Button, IconButton } from "../ui/button";
import { SearchField } from "../ui/field";
import { Note } from "../ui/states";
import { Control, cut, INPUT, type Kind } from "./controls";
import { removeValue, setValue } from "./document";
import type { Inherited } from "./layer";
import { type Field, fieldAt, namesAt, type SchemaSet, startValue, takesOthers } from "./schema";
import type { Format, Parsed, TextChange } from "./tree";
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
  /** The place is within a list, which is one value of the layer: nothing in it is inherited. */
  isInList?: boolean;
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
  const state = isElement ? null : props.isInList ? (
    own !== undefined && <IconButton icon="trash" small label={`Remove ${name}`} onClick={reset} />
  ) : (
    <State own={own} above={above} from={inherited.from.get(pointer)} field={field} onReset={reset} onRemove={above !== undefined && own === undefined && props.format !== "FORMAT_TOML" ? () => set(null) : undefined} />
  );
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
  const list = () => <ListControl {...props} own={own} above={above} onSet={set} id={id} label={label} />;
  if (kind === "object" || (kind === "array" && own !== null && holdsObjects(own ?? above))) {
    return (
      <div class={own !== undefined ? "entry group own" : "entry group"}>
        <Group head={head} notes={notes} begins={props.search ? true : !props.isLarge && (path.length <= OPEN_DEPTH || (own !== undefined && path.length < 4))}>
          {() => (own === null ? <p class="hint">This layer removes what the scope inherits here.</p> : kind === "array" ? list() : <Members {...props} path={path} />)}
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
        <Control id={id} describedBy={about ? `${id}-about` : undefined} kind={kind} field={field} own={own} above={above} onSet={set} onReset={isElement ? undefined : reset} isBad={found.some(({ severity }) => severity === "error")} list={list} />
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


function holdsObjects(value: Value | undefined): boolean {
  return Array.isArray(value) && value.some((item) => isObject(item) || Array.isArray(item));
}

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
        <Entry key={at} {...props} path={[...path, String(at)]} name={String(at)} isElement isInList />
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
