// What a page shows instead of content: nothing yet, nothing at all, an error.
import type { ComponentChildren } from "preact";
import { CallError, textOf } from "../api/problem";
import { Button } from "./button";
import { Icon, type IconName } from "./icons";

/** Grey lines in the place of content that is loading. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  const widths = [92, 78, 85, 64, 88, 71];
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, at) => (
        <span key={at} class="skeleton" style={{ width: `${widths[at % widths.length]}%` }} />
      ))}
    </div>
  );
}

export function Empty({ icon = "layers", title, children }: { icon?: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} size={32} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Note({ tone, icon, actions, children }: { tone?: "warn" | "bad" | "good"; icon?: IconName; actions?: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class={tone ? `note ${tone}` : "note"} role={tone === "bad" ? "alert" : undefined}>
      <Icon name={icon ?? (tone === "good" ? "check" : tone ? "alert" : "info")} />
      <div class="grow break">{children}</div>
      {actions && <div class="actions row">{actions}</div>}
    </div>
  );
}

/** Which permission is missing, where the server says so. */
function Denial({ error }: { error: CallError }) {
  const { actor, verb, resource } = error.problem?.metadata ?? {};
  if (!verb || !resource) return <>{textOf(error)}</>;
  return (
    <>
      This takes the permission <strong>{verb}</strong> on <strong>{resource}</strong>, which {actor || "you"} {actor ? "does" : "do"} not have.
    </>
  );
}

/** Why content is missing, with a button to try again. A denial says which permission is missing. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  const isDenied = error instanceof CallError && error.isDenied;
  return (
    <Note tone={isDenied ? "warn" : "bad"} icon={isDenied ? "lock" : "alert"} actions={retry && !isDenied && <Button small onClick={retry}>Try again</Button>}>
      {isDenied ? <Denial error={error} /> : textOf(error)}
    </Note>
  );
}
