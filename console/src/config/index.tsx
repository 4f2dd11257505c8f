// The page of a config at a scope: its values, the editor of a layer, history, comparison and watchers.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { entryOf } from "../api/catalog";
import { configHref, namespaceHref, route, scope, type Tab } from "../router";
import { Badge, ScopeBadge } from "../ui/badge";
import { ErrorNote, Skeleton } from "../ui/states";
import { Compare } from "./compare";
import { EditTab } from "./edit_tab";

export interface TabProps {
  namespace: string;
  config: string;
  scope: string;
}

const NAMES: Record<Tab, string> = { edit: "Values", history: "History", compare: "Compare", watchers: "Watchers" };

/** Tabs whose code is read when they are opened first. */
const LATER: Partial<Record<Tab, () => Promise<ComponentType<TabProps>>>> = {
  history: () => import("../pages/history").then((module) => module.HistoryTab),
  watchers: () => import("../pages/watchers").then((module) => module.WatchersTab),
};

export function ConfigPage() {
  const at = route.value;
  if (at.page !== "config") return null;
  const { namespace, config, tab } = at;
  const props = { namespace, config, scope: scope.value };
  const info = entryOf(namespace, config);
  return (
    <div class="page config">
      <header class="row wrap between">
        <div class="row wrap">
          <h1>
            <a href={namespaceHref(namespace)}>{namespace}</a>/{config}
          </h1>
          <ScopeBadge scope={scope.value} />
          {info && <Badge title={`Revision ${info.revision}`}>version {info.version}</Badge>}
        </div>
      </header>
      <nav class="tabs" aria-label="Parts of the config">
        {(Object.keys(NAMES) as Tab[]).map((name) => (
          <a key={name} href={configHref(namespace, config, name)} aria-current={name === tab ? "page" : undefined}>
            {NAMES[name]}
          </a>
        ))}
      </nav>
      {tab === "edit" ? <EditTab key={`${namespace}/${config}`} {...props} /> : tab === "compare" ? <Compare {...props} /> : <Later key={tab} tab={tab} {...props} />}
    </div>
  );
}

const loaded = new Map<Tab, ComponentType<TabProps>>();

function Later({ tab, ...props }: TabProps & { tab: Tab }) {
  const [, setTurn] = useState(0);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    if (loaded.has(tab)) return;
    LATER[tab]?.().then(
      (component) => {
        loaded.set(tab, component);
        setTurn((turn) => turn + 1);
      },
      () => setError(new Error("This part could not be read: the server is away, or has another version since. Reload the page.")),
    );
  }, [tab]);
  if (error) return <ErrorNote error={error} retry={() => location.reload()} />;
  const Component = loaded.get(tab);
  return Component ? <Component {...props} /> : <Skeleton lines={6} />;
}
