// The first page: all configs, or those of a namespace, with what is going on.
import { useComputed, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { catalogError, catalogState, configs, reloadCatalog } from "../api/catalog";
import type { ConfigInfo } from "../api/client";
import { matcher } from "../layout/match";
import { useShortcut } from "../layout/shortcuts";
import { configHref, namespace, namespaceHref, navigate, place, setQuery } from "../router";
import { isProduction } from "../ui/badge";
import { SearchField } from "../ui/field";
import { Empty, ErrorNote, Skeleton } from "../ui/states";
import { Time } from "../ui/time";
import { VirtualList } from "../ui/virtual";
import { Problems } from "./problems";
import { RecentChanges } from "./recent-changes";

const ROW = 40;
const SHOWN_SCOPES_MAX = 5;

export function OverviewPage() {
  const within = namespace.value;
  const text = useSignal(place.value.query.get("q") ?? "");
  const active = useSignal(-1);
  const all = useComputed(() => configs.value);
  const shown = useMemo(() => filtered(all.value, within, text.value), [all.value, within, text.value]);
  useShortcut("/", "Find a config on this page", () => document.querySelector<HTMLInputElement>("#config-search")?.focus());

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      active.value = Math.max(0, Math.min(shown.length - 1, active.value + step));
    } else if (event.key === "Enter") {
      const info = shown[Math.max(0, active.value)];
      if (info) void navigate(configHref(info.namespace, info.config));
    }
  };
  const isLoading = catalogState.value === "loading" || catalogState.value === "idle";
  const count = shown.length;
  return (
    <div class="page overview">
      <div class="row between wrap">
        <h1>{within || "Configs"}</h1>
        {within && <a href={namespaceHref("", {}).replace("/ns/", "/")}>All namespaces</a>}
      </div>
      <Problems />
      <div class="columns">
        <section class="panel configs" aria-label="Configs">
          <header>
            <SearchField
              id="config-search"
              label={within ? `Find a config of ${within}` : "Find a config"}
              value={text.value}
              onValue={(value) => {
                text.value = value;
                active.value = -1;
                setQuery({ q: value || undefined });
              }}
              onKeyDown={onKeyDown}
            />
            <span class="soft small nowrap" role="status">
              {isLoading ? "Reading…" : `${count.toLocaleString("en")} ${count === 1 ? "config" : "configs"}`}
            </span>
          </header>
          {catalogState.value === "failed" ? (
            <div class="body">
              <ErrorNote error={catalogError.value} retry={() => void reloadCatalog()} />
            </div>
          ) : isLoading && !all.value.length ? (
            <div class="body">
              <Skeleton lines={8} />
            </div>
          ) : count ? (
            <VirtualList
              class="config-list"
              label="Configs"
              items={shown}
              rowHeight={ROW}
              keyOf={(info) => `${info.namespace}/${info.config}`}
              active={active.value}
              row={(info, at) => <Row info={info} within={within} isActive={at === active.value} />}
            />
          ) : text.value ? (
            <Empty icon="search" title="No config has this name">
              <p>
                The field looks at names. To look for keys and values, press <kbd>Ctrl K</kbd>.
              </p>
            </Empty>
          ) : (
            <FirstSteps namespace={within} />
          )}
        </section>
        <RecentChanges namespace={within} />
      </div>
    </div>
  );
}

function filtered(all: readonly ConfigInfo[], within: string, text: string): readonly ConfigInfo[] {
  const of = within ? all.filter((info) => info.namespace === within) : all;
  if (!text.trim()) return of;
  const matches = matcher(text);
  return of
    .map((info) => ({ info, score: matches(`${info.namespace}/${info.config}`) }))
    .filter(({ score }) => score >= 1)
    .sort((one, other) => other.score - one.score)
    .map(({ info }) => info);
}

function Row({ info, within, isActive }: { info: ConfigInfo; within: string; isActive: boolean }) {
  const { base, overrides } = scopesOf(info);
  return (
    <a class={isActive ? "config-row active" : "config-row"} href={configHref(info.namespace, info.config)}>
      <span class="name truncate" title={`${info.namespace}/${info.config}`}>
        {!within && <span class="faint">{info.namespace}/</span>}
        <strong>{info.config}</strong>
      </span>
      <span class="scopes" title={base.join("\n")}>
        {overrides > 0 && <span class="badge override">{overrides === 1 ? "override" : `${overrides} overrides`}</span>}
        {base.slice(0, SHOWN_SCOPES_MAX).map((scope) => (
          <span key={scope} class={isProduction(scope) ? "chip production" : "chip"}>
            {scope === "/" ? "/" : scope.slice(1)}
          </span>
        ))}
        {base.length > SHOWN_SCOPES_MAX && <span class="chip">+{base.length - SHOWN_SCOPES_MAX}</span>}
      </span>
      <span class="version faint">v{info.version}</span>
      <span class="time faint">
        <Time at={info.update_time} />
      </span>
    </a>
  );
}

function scopesOf(info: ConfigInfo): { base: string[]; overrides: number } {
  const base = info.layers.filter(({ kind }) => kind !== "LAYER_KIND_OVERRIDE").map(({ scope }) => scope);
  return { base, overrides: info.layers.length - base.length };
}

function FirstSteps({ namespace: within }: { namespace: string }) {
  const at = within || "shop";
  return (
    <Empty title={within ? `${within} has no config yet` : "No configs yet"}>
      <p>A config comes into being when its first layer is written. From a shell:</p>
      <pre class="mono">confwatch set {at}/checkout timeout_ms=800 --reason "first config"</pre>
      <p>Then it appears here by itself.</p>
    </Empty>
  );
}
