// Badges: short facts beside a name.
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icons";

export type Tone = "accent" | "good" | "warn" | "bad" | "override" | "production";

export function Badge({ tone, icon, title, children }: { tone?: Tone | undefined; icon?: IconName; title?: string | undefined; children: ComponentChildren }) {
  return (
    <span class={tone ? `badge ${tone}` : "badge"} title={title}>
      {icon && <Icon name={icon} size={12} />}
      <span class="truncate">{children}</span>
    </span>
  );
}

/** Whether a scope is production, by its first segment: `/production`, `/prod-eu`, `/live/checkout`. */
export function isProduction(scope: string): boolean {
  return /^\/(prod|production|prd|live)(?![a-z])/i.test(scope);
}

/** "/" in words, and other scopes as they are. */
export function scopeName(scope: string): string {
  return scope === "/" ? "/ (all)" : scope;
}

/** A scope. Production is red. */
export function ScopeBadge({ scope, override }: { scope: string; override?: boolean }) {
  const tone = override ? "override" : isProduction(scope) ? "production" : undefined;
  return (
    <Badge tone={tone} title={override ? `Override at ${scope}` : `Layer at ${scope}`}>
      {override ? `${scope} override` : scope}
    </Badge>
  );
}
