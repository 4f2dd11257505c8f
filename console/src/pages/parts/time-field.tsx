// A field for a time, by the clock of the reader.
import { Field } from "../../ui/field";

interface Props {
  label: string;
  /** As `datetime-local` has it: "2026-11-30T18:00:00". "": none. `toTimestamp` makes it RFC 3339. */
  value: string;
  onValue: (value: string) => void;
  required?: boolean;
  hint?: string;
}

export function TimeField({ label, value, onValue, required = false, hint }: Props) {
  return (
    <Field label={label} hint={hint}>
      {(ties) => <input {...ties} class="input" type="datetime-local" step={1} required={required} value={value} onInput={(event) => onValue(event.currentTarget.value)} />}
    </Field>
  );
}
