// One value: what every layer says of it, who changed it last and why, and what can be done.
import { useState } from "preact/hooks";
import type { Plan } from "../editor/review";
import { configHref, setQuery } from "../router";
import { Badge, ScopeBadge } from "../ui/badge";
import { Button, IconButton } from "../ui/button";
import { Actor, sourceName } from "../ui/changes";
import { CopyButton } from "../ui/copy";
import { Time } from "../ui/time";
import { useQuery } from "../ui/query";
import { toastError } from "../ui/toast";
import { blameAt } from "./read";
import { type LayerKind, type Row, type Said, isSameLayer, shown } from "./rows";
import { Secret } from "./secret";
import { resetOf } from "./writes";

interface Props {
  row: Row;
  at: { namespace: string; config: string; scope: string; kind: LayerKind };
  onClose: () => void;
  /** Opens the review of a write. */
  onWrite: (plan: Plan) => void;
}

export function Details({ row, at, onClose, onWrite }: Props) {
  const [busy, setBusy] = useState(false);
  const reset = async () => {
    setBusy(true);
    try {
      onWrite(await resetOf(at, row.pointer));
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  const { namespace, config, scope } = at;
  // The table has no blame where that of the whole document does not fit a message.
  const one = useQuery(row.blame ? undefined : JSON.stringify([namespace, config, scope, row.pointer]), (signal) => blameAt({ namespace, config, scope }, row.pointer, signal));
  const blame = row.blame ?? one.data;
  return (
    <aside class="panel details" aria-label={`Details of ${row.name}`}>
      <header>
        <h2 class="mono grow break">{row.name}</h2>
        <CopyButton text={row.pointer} label="Copy the pointer" />
        <IconButton icon="close" label="Close details" small onClick={onClose} />
      </header>
      <div class="body stack">
        <section class="stack" aria-label="Effective value">
          <h3>Effective value</h3>
          {row.isSecret ? (
            <Secret namespace={namespace} config={config} scope={scope} pointer={row.pointer} />
          ) : row.effective === undefined ? (
            <p>
              <Badge tone="warn">removed</Badge> Clients do not get this value.
            </p>
          ) : (
            <pre class="value">{pretty(row.effective)}</pre>
          )}
        </section>
        <div class="row wrap">
          <Button small icon="edit" onClick={() => setQuery({ view: "text", pointer: row.pointer })}>
            {row.own ? "Edit" : "Set in this layer"}
          </Button>
          {row.own && (
            <Button small icon="undo" busy={busy} onClick={() => void reset()}>
              Reset to inherited
            </Button>
          )}
        </div>
        <section class="stack" aria-label="Layers">
          <h3>Layers that set it</h3>
          <ol class="chain">
            {row.chain.map((said, index) => (
              <Layer key={`${said.layer.kind}${said.layer.scope}`} said={said} row={row} isDeciding={index === 0} isThis={isSameLayer(said.layer, at)} at={at} />
            ))}
          </ol>
        </section>
        <section class="stack" aria-label="Last change">
          <h3>Last change</h3>
          {blame?.time ? (
            <p>
              <Actor name={blame.actor} /> {sourceName(blame.source)} it <Time at={blame.time} />, version {blame.version}, <a href={configHref(namespace, config, "history")}>revision {blame.revision}</a>
              {blame.reason && <q class="reason">{blame.reason}</q>}
            </p>
          ) : (
            <p class="soft">{one.loading ? "…" : "Not known: you may not read the layer, or its commit is no longer retained."}</p>
          )}
        </section>
      </div>
    </aside>
  );
}

function Layer({ said, row, isDeciding, isThis, at }: { said: Said; row: Row; isDeciding: boolean; isThis: boolean; at: { namespace: string; config: string } }) {
  const isOverride = said.layer.kind === "LAYER_KIND_OVERRIDE";
  const text = shown(said.text, row.isSecret);
  return (
    <li class={isDeciding ? "deciding" : ""}>
      <div class="row wrap">
        <a href={configHref(at.namespace, at.config, "edit", { scope: said.layer.scope, kind: isOverride ? "override" : undefined, pointer: row.pointer })}>
          <ScopeBadge scope={said.layer.scope} override={isOverride} />
        </a>
        <span class="soft small">version {said.layer.version}</span>
        {isDeciding && <Badge tone="good">decides</Badge>}
        {isThis && <Badge tone="accent">this layer</Badge>}
      </div>
      <code class={`break ${said.text === undefined ? "removed" : isDeciding ? "" : "shadowed"}`}>{text}</code>
    </li>
  );
}

const PRETTY_MAX = 100_000;

/** Canonical JSON with line breaks. Numbers keep their digits: the text is never read as numbers. */
function pretty(text: string): string {
  if (!/^[[{]/.test(text) || text.length > PRETTY_MAX) return text;
  let out = "";
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^"[\]{},:]+/g)) {
    if (token === "[" || token === "{") {
      depth++;
      out += `${token}\n${"  ".repeat(depth)}`;
    } else if (token === "]" || token === "}") {
      depth--;
      out = out.trimEnd();
      out += /[[{]$/.test(out) ? token : `\n${"  ".repeat(depth)}${token}`;
    } else if (token === ",") out += `,\n${"  ".repeat(depth)}`;
    else out += token === ":" ? ": " : token;
  }
  return out;
}
