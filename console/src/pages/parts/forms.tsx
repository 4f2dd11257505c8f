// Filters that live in the address, and dialogs that ask for a reason. Knows fields; never what they are for.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useShortcut } from "../../layout/shortcuts";
import { setQuery } from "../../router";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { SelectField, TextField } from "../../ui/field";
import { Icon } from "../../ui/icons";
import { toast } from "../../ui/toast";
import { Refusal } from "./refusal";
import { TimeField } from "./time-field";
import { toLocal, toTimestamp } from "./words";

export interface FilterField {
  /** The name of the parameter of the address. */
  name: string;
  label: string;
  value: string;
  placeholder?: string;
  type?: "text" | "datetime-local" | "number";
  /** Values and their words. The empty value, "any", is added. */
  options?: readonly (readonly [string, string])[];
  hidden?: boolean;
}

/** Filters of a list: they are in the address, so that a link shows the same list. Texts hold when the field is left or Enter is pressed. */
export function Filters({ fields, children }: { fields: readonly FilterField[]; children?: ComponentChildren }) {
  const set = fields.filter((field) => field.value !== "" && field.hidden !== true);
  const [open, setOpen] = useState(set.length > 0);
  const form = useRef<HTMLFormElement>(null);
  useShortcut("/", "Filter the list", () => {
    setOpen(true);
    requestAnimationFrame(() => form.current?.querySelector<HTMLElement>("input, select")?.focus());
  });
  return (
    <div class="filters-box">
      <button type="button" class="button filters-toggle" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="filter" /> Filters{set.length > 0 && ` (${set.length})`}
      </button>
      <form ref={form} class={open ? "filters open" : "filters"} role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
        {fields.filter((field) => field.hidden !== true).map((field) => field.options === undefined
          ? <TextFilter key={field.name} field={field} />
          : (
            <SelectField
              key={field.name}
              label={field.label}
              value={field.value}
              onValue={(value) => setQuery({ [field.name]: value || undefined })}
              options={[{ value: "", label: "any" }, ...field.options.map(([value, label]) => ({ value, label }))]}
            />
          ))}
        {children}
        {set.length > 0 && <Button kind="quiet" icon="close" onClick={() => setQuery(Object.fromEntries(fields.map((field) => [field.name, undefined])))}>Clear filters</Button>}
      </form>
    </div>
  );
}

function TextFilter({ field }: { field: FilterField }) {
  const [text, setText] = useState(field.value);
  useEffect(() => setText(field.value), [field.value]);
  const apply = (value: string) => {
    if (value.trim() !== field.value) setQuery({ [field.name]: value.trim() || undefined });
  };
  // The address has the time of RFC 3339, which is the same for readers in other time zones.
  if (field.type === "datetime-local") return <TimeField label={field.label} value={toLocal(field.value)} onValue={(value) => apply(toTimestamp(value))} />;
  return (
    <TextField
      label={field.label}
      placeholder={field.placeholder ?? ""}
      inputMode={field.type === "number" ? "numeric" : "text"}
      value={text}
      onValue={setText}
      onBlur={() => apply(text)}
      onKeyDown={(event) => event.key === "Enter" && apply(text)}
    />
  );
}

interface ActionProps {
  title: string;
  /** The words of the button: "Revoke the token", never "OK". */
  verb: string;
  danger?: boolean;
  /** Asks for a reason, which the history keeps. */
  withReason?: boolean;
  action: (reason: string) => Promise<unknown>;
  /** What a message says afterwards. */
  done?: string;
  onClose: (done: boolean) => void;
  children: ComponentChildren;
}

/** A dialog with a form and one action. An error stays in the dialog, so that nothing that was typed is lost. */
export function ActionDialog({ title, verb, danger = false, withReason = true, action, done, onClose, children }: ActionProps) {
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await action(reason.trim());
      if (done !== undefined) toast(done);
      onClose(true);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={title}
      sticky={busy}
      onClose={() => onClose(false)}
      footer={
        <>
          <Button onClick={() => onClose(false)} disabled={busy}>Cancel</Button>
          <Button type="submit" form="action-form" kind={danger ? "danger" : "primary"} busy={busy}>{verb}</Button>
        </>
      }
    >
      <form id="action-form" class="stack" onSubmit={submit}>
        {children}
        {withReason && <ReasonField value={reason} onValue={setReason} />}
        {error !== undefined && <Refusal error={error} />}
      </form>
    </Dialog>
  );
}

export function ReasonField({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  return <TextField label="Reason" maxLength={1024} hint="Kept in the history." value={value} onValue={onValue} />;
}
