// The first page: all configs, or those of a namespace, with what is going on.
import { useComputed, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { catalogError, catalogState, configs, reloadCatalog } from "../api/catalog";
import type { ConfigInfo } from "../api/client";
import { matcher } from "../layout/match";
import { useShortcut } from "../layout/shortcuts";
import { usePaletteAction } from "../layout/palette";
import { configHref, href, namespace, navigate, place, setQuery } from "../router";
import { isProduction } from "../ui/badge";
import { Button, LinkButton } from "../ui/button";
import { SearchField } from "../ui/field";
import { Empty, ErrorNote, Skeleton } from "../ui/states";
import { Time } from "../ui/time";
import { VirtualList } from "../ui/virtual";
import { NewConfig, openNewConfig } from "./new-config";
import { Problems } from "./problems";
import { RecentChanges } from "./recent-changes";

const ROW = 40;
const SHOWN_ENVIRONMENTS_MAX = 4;
type Order = "name" | "time";

export function OverviewPage() {
  const within = namespace.value;
  const text = useSignal(place.value.query.get("q") ?? "");
  const active = useSignal(-1);
  const all = useComputed(() => configs.value);
  const order: Order = place.value.query.get("sort") === "time" ? "time" : "name";
  const shown = useMemo(() => filtered(all.value, within, text.value, order), [all.value, within, text.value, order]);
  useShortcut("/", "Find a config on this page", () => document.querySelector<HTMLInputElement>("#config-search")?.focus());
  useShortcut("n", "New config", openNewConfig);
  usePaletteAction("new config", "New config", "plus", openNewConfig);

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
        <div class="row">
          {within && (
            <LinkButton kind="quiet" href={href("/")}>
              All namespaces
            </LinkButton>
          )}
          <Button icon="plus" onClick={openNewConfig}>
            New config
          </Button>
        </div>
      </div>
      <NewConfig />
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
          {count > 0 && <Headings order={order} />}
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

const newestFirst = (one: ConfigInfo, other: ConfigInfo) => other.revision - one.revision;

function filtered(all: readonly ConfigInfo[], within: string, text: string, order: Order): readonly ConfigInfo[] {
  const of = within ? all.filter((info) => info.namespace === within) : all;
  if (!text.trim()) return order === "time" ? [...of].sort(newestFirst) : of;
  const matches = matcher(text);
  return of
    .map((info) => ({ info, score: matches(`${info.namespace}/${info.config}`) }))
    .filter(({ score }) => score >= 1)
    .sort((one, other) => (order === "time" ? newestFirst(one.info, other.info) : other.score - one.score))
    .map(({ info }) => info);
}

/** The names of the columns. Two of them sort. */
function Headings({ order }: { order: Order }) {
  const sort = (by: Order) => setQuery({ sort: by === "name" ? undefined : by });
  return (
    <div class="config-row headings">
      <button type="button" aria-pressed={order === "name"} title="Sort by name" onClick={() => sort("name")}>
        Name
      </button>
      <span class="environments">Layers</span>
      <span class="version">Version</span>
      <button type="button" class="time" aria-pressed={order === "time"} title="Sort by the last change, newest first" onClick={() => sort("time")}>
        Last change
      </button>
    </div>
  );
}

function Row({ info, within, isActive }: { info: ConfigInfo; within: string; isActive: boolean }) {
  const { environments, overrides, scopes } = layersOf(info);
  return (
    <a class={isActive ? "config-row active" : "config-row"} href={configHref(info.namespace, info.config)}>
      <span class="name truncate" title={`${info.namespace}/${info.config}`}>
        {!within && <span class="faint">{info.namespace}/</span>}
        <strong>{info.config}</strong>
      </span>
      <span class="environments" title={scopes}>
        {environments.slice(0, SHOWN_ENVIRONMENTS_MAX).map(([name, count]) => (
          <span key={name} class={isProduction(`/${name}`) ? "chip production" : "chip"}>
            {name || "/"}
            {count > 1 && <span class="count">{count}</span>}
          </span>
        ))}
        {environments.length > SHOWN_ENVIRONMENTS_MAX && <span class="chip">+{environments.length - SHOWN_ENVIRONMENTS_MAX}</span>}
        {overrides > 0 && <span class="badge override">{overrides === 1 ? "override" : `${overrides} overrides`}</span>}
      </span>
      <span class="version faint">v{info.version}</span>
      <span class="time faint">
        <Time at={info.update_time} />
      </span>
    </a>
  );
}

/** The first segments of the scopes that have layers, with how many layers are there: `/production/eu` is of `production`. */
function layersOf(info: ConfigInfo): { environments: [string, number][]; overrides: number; scopes: string } {
  const base = info.layers.filter(({ kind }) => kind !== "LAYER_KIND_OVERRIDE").map(({ scope }) => scope);
  const counts = new Map<string, number>();
  for (const scope of base) {
    const name = scope.split("/")[1] ?? "";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return { environments: [...counts], overrides: info.layers.length - base.length, scopes: base.join("\n") };
}

function FirstSteps({ namespace: within }: { namespace: string }) {
  const at = within || "shop";
  return (
    <Empty title={within ? `${within} has no config yet` : "No configs yet"}>
      <p>A config comes into being when its first layer is written: here, or from a shell.</p>
      <Button kind="primary" icon="plus" onClick={openNewConfig}>
        New config
      </Button>
      <pre class="mono" tabIndex={0}>
        confwatch set {at}/checkout timeout_ms=800 --reason "first config"
      </pre>
      <p>What others write appears here by itself.</p>
    </Empty>
  );
}
