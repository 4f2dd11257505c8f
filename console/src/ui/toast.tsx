// Toasts: what was done, or went wrong, in a corner for some seconds.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { textOf } from "../api/problem";
import { IconButton } from "./button";
import { Icon } from "./icons";

type Tone = "good" | "bad" | "warn";
interface Toast {
  id: number;
  tone: Tone;
  text: ComponentChildren;
}

const SHOWN_MS = 6_000;
const toasts = signal<readonly Toast[]>([]);
let last = 0;

/** Shows a text. Errors stay until they are closed. */
export function toast(text: ComponentChildren, tone: Tone = "good"): void {
  const id = ++last;
  toasts.value = [...toasts.value, { id, tone, text }].slice(-4);
  if (tone !== "bad") setTimeout(() => close(id), SHOWN_MS);
}

export function toastError(error: unknown): void {
  toast(textOf(error), "bad");
}

function close(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, tone, text }) => (
        <div key={id} class={`toast ${tone}`}>
          <Icon name={tone === "good" ? "check" : "alert"} />
          <div class="grow break">{text}</div>
          <IconButton icon="close" label="Close message" small onClick={() => close(id)} />
        </div>
      ))}
    </div>
  );
}
