// Fields of forms. A field that takes a secret is `secret`: browsers must neither keep nor fill it.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icons";

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string | undefined;
}

/** A label, what is beneath it, and the hint or error. `children` gets the attributes that tie them together. */
export function Field({ label, hint, error, children }: FieldProps & { children: (ties: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ComponentChildren }) {
  const id = useId();
  const ties = { id, ...(hint || error ? { "aria-describedby": `${id}-about` } : {}), ...(error ? { "aria-invalid": true as const } : {}) };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(ties)}
      {(hint || error) && (
        <span id={`${id}-about`} class={error ? "error" : "hint"} role={error ? "alert" : undefined}>
          {error ?? hint}
        </span>
      )}
    </div>
  );
}

interface InputProps {
  value: string;
  onValue: (value: string) => void;
  /** The value is a secret: it is not shown, and the browser does not keep it. */
  secret?: boolean;
  mono?: boolean;
  id?: string;
  placeholder?: string;
  disabled?: boolean;
  required?: boolean;
  readOnly?: boolean;
  autofocus?: boolean;
  maxLength?: number;
  inputMode?: "text" | "numeric" | "decimal" | "url";
  /** The id of a <datalist> with values to choose from. */
  list?: string;
  class?: string;
  onKeyDown?: (event: KeyboardEvent) => void;
  onBlur?: (event: FocusEvent) => void;
}

export function TextField({ label, hint, error, value, onValue, secret, mono, list, class: more, ...rest }: FieldProps & InputProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(ties) => (
        <input
          {...(secret ? { type: "password" as const } : { list })}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          {...(secret ? { "data-1p-ignore": "", "data-lpignore": "true" } : {})}
          {...rest}
          {...ties}
          class={`input ${mono ? "mono" : ""} ${String(more ?? "")}`}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function TextArea({ label, hint, error, value, onValue, rows = 3 }: FieldProps & { value: string; onValue: (value: string) => void; rows?: number }) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(ties) => <textarea {...ties} class="textarea" rows={rows} autocomplete="off" value={value} onInput={(event) => onValue(event.currentTarget.value)} />}
    </Field>
  );
}

export function SelectField({ label, hint, error, value, onValue, options }: FieldProps & { value: string; onValue: (value: string) => void; options: readonly { value: string; label: string }[] }) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(ties) => (
        <select {...ties} class="select" value={value} onChange={(event) => onValue(event.currentTarget.value)}>
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function Check({ label, checked, onChecked }: { label: ComponentChildren; checked: boolean; onChecked: (checked: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChecked(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** A search field without a visible label. */
export function SearchField({ label, value, onValue, ...rest }: Omit<InputProps, "secret" | "mono"> & { label: string }) {
  return (
    <div class="search grow">
      <Icon name="search" />
      <input type="search" autocomplete="off" spellcheck={false} placeholder={label} {...rest} aria-label={label} class="input" value={value} onInput={(event) => onValue(event.currentTarget.value)} />
    </div>
  );
}

/** One of a few choices, all of them visible. */
export function Segmented<T extends string>({ label, value, options, onValue }: { label: string; value: T; options: readonly { value: T; label: string }[]; onValue: (value: T) => void }) {
  return (
    <div class="segmented" role="group" aria-label={label}>
      {options.map((option) => (
        <button key={option.value} type="button" aria-pressed={option.value === value} onClick={() => onValue(option.value)}>
          {option.label}
        </button>
      ))}
    </div>
  );
}
