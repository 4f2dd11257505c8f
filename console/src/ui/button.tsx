// Buttons and links that look like buttons.
import type { ComponentChildren, JSX } from "preact";
import { Icon, type IconName } from "./icons";

interface Look {
  kind?: "primary" | "danger" | "quiet";
  icon?: IconName | undefined;
  small?: boolean;
  /** Shows that the action runs, and takes no further click. */
  busy?: boolean;
}
type Props = Look & Omit<JSX.IntrinsicElements["button"], "icon"> & { children?: ComponentChildren };

function classes({ kind, small }: Look, more = ""): string {
  return ["button", kind, small && "small", more].filter(Boolean).join(" ");
}

export function Button({ kind, icon, small, busy, children, class: more, disabled, ...rest }: Props) {
  return (
    <button type="button" {...rest} class={classes({ kind, small }, String(more ?? ""))} disabled={disabled || busy} aria-busy={busy || undefined}>
      {busy ? <span class="spinner" /> : icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** A button with an icon alone. `label` is read by screen readers, and shown as a tooltip. */
export function IconButton({ label, icon, kind = "quiet", small, class: more, ...rest }: Omit<Props, "children"> & { label: string; icon: IconName }) {
  return (
    <button type="button" {...rest} class={classes({ kind, small }, `icon ${String(more ?? "")}`)} aria-label={label} title={label}>
      <Icon name={icon} />
    </button>
  );
}

export function LinkButton({ href, kind, icon, small, children, ...rest }: Look & { href: string; title?: string; target?: string; rel?: string; download?: string; children: ComponentChildren }) {
  return (
    <a {...rest} href={href} class={classes({ kind, small })}>
      {icon && <Icon name={icon} />}
      {children}
    </a>
  );
}
