// Menus: a button, and what it opens. Closed by Escape, by a click beside, and by a choice; walked by the arrow keys.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  /** What is read of the button. */
  label: string;
  button: ComponentChildren;
  class?: string;
  side?: "left" | "right";
  /** Called with what closes the menu. Items have the class `item`. */
  children: (close: () => void) => ComponentChildren;
}

export function Menu({ label, button, class: more = "button", side = "right", children }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const away = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("focusin", away);
    const first = root.current?.querySelector<HTMLElement>(".items input, .items [aria-current='true'], .items .item");
    first?.focus();
    return () => {
      document.removeEventListener("pointerdown", away);
      document.removeEventListener("focusin", away);
    };
  }, [open]);
  const close = () => {
    setOpen(false);
    opener.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const items = [...(root.current?.querySelectorAll<HTMLElement>(".items input, .items .item") ?? [])];
      const at = items.indexOf(document.activeElement as HTMLElement);
      items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length]?.focus();
      event.preventDefault();
    }
  };
  return (
    <div ref={root} class={`menu ${side}`} onKeyDown={onKeyDown}>
      <button ref={opener} type="button" class={more} aria-expanded={open} aria-haspopup="true" aria-label={label} title={label} onClick={() => setOpen(!open)}>
        {button}
      </button>
      {open && <div class="items">{children(close)}</div>}
    </div>
  );
}
