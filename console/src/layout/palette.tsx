// The palette: one field from which everything is reached. Configs and pages at once, values and people by Search of the server.
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { configs, namespaces, scopesOf } from "../api/catalog";
import { post, type Schemas } from "../api/client";
import { isAbort, textOf } from "../api/problem";
import { configHref, namespace, namespaceHref, navigate, scope, setScope } from "../router";
import { isProduction } from "../ui/badge";
import { pathOf } from "../ui/changes";
import { Icon, type IconName } from "../ui/icons";
import { matcher } from "./match";
import { NAVIGATION, navigationHref } from "./pages";
import { showShortcuts } from "./shortcuts";
import { setTheme } from "./theme";

const isOpen = signal(false);

export function openPalette(): void {
  isOpen.value = true;
}

interface Item {
  id: string;
  group: string;
  icon: IconName;
  text: string;
  detail?: string | undefined;
  isProduction?: boolean;
  run: () => void;
}

const CONFIGS_MAX = 12;
const SEARCH_AFTER_MS = 180;
const SEARCH_FROM = 2;

/** Actions that pages add while they are shown. */
const actions = signal<readonly Omit<Item, "group">[]>([]);

/** Adds an action of a page to the palette, while the component is shown. */
export function usePaletteAction(id: string, text: string, icon: IconName, run: () => void): void {
  useEffect(() => {
    const action = { id, text, icon, run };
    actions.value = [...actions.value, action];
    return () => {
      actions.value = actions.value.filter((other) => other !== action);
    };
  });
}

export function Palette() {
  return isOpen.value ? <OpenPalette /> : null;
}

function OpenPalette() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const found = useSearch(text);
  const close = () => (isOpen.value = false);

  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => {
      dialog.current?.close();
      if (before?.isConnected) before.focus();
    };
  }, []);

  const here = useMemo(() => itemsFor(text), [text, configs.value, namespaces.value, actions.value]);
  const items = [...here, ...found.items];
  const chosen = Math.min(active, items.length - 1);
  const run = (item: Item | undefined) => {
    if (!item) return;
    close();
    item.run();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) {
      event.preventDefault();
      setActive((chosen + step + items.length) % items.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(items[chosen]);
    }
  };
  useEffect(() => {
    dialog.current?.querySelector(`#palette-${chosen}`)?.scrollIntoView({ block: "nearest" });
  }, [chosen]);

  return (
    <dialog
      ref={dialog}
      class="palette"
      aria-label="Search"
      onKeyDown={onKeyDown}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onMouseDown={(event) => event.target === dialog.current && close()}
    >
      <div class="field">
        <Icon name="search" />
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-items"
          aria-activedescendant={items.length ? `palette-${chosen}` : undefined}
          aria-label="Search configs, pages, keys, values and people"
          placeholder="A config, a page, a scope, a key, a value, a person"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setActive(0);
          }}
        />
        {found.isRunning && <span class="spinner" />}
      </div>
      <div id="palette-items" role="listbox" aria-label="Results" class="items">
        {items.map((item, at) => (
          <div key={item.id} role="presentation">
            {item.group !== items[at - 1]?.group && (
              <p class="group" role="presentation">
                {item.group}
              </p>
            )}
            <div id={`palette-${at}`} role="option" aria-selected={at === chosen} class="item" onMouseMove={() => active !== at && setActive(at)} onClick={() => run(item)}>
              <Icon name={item.icon} />
              <span class="truncate">{item.text}</span>
              {item.detail && <span class="detail truncate">{item.detail}</span>}
              {item.isProduction && <span class="badge production">production</span>}
            </div>
          </div>
        ))}
        {!items.length && !found.isRunning && (
          <p class="group" role="presentation">
            Nothing found
          </p>
        )}
      </div>
      <footer>
        {found.error ? (
          <span class="bad" role="status">
            {found.error}
          </span>
        ) : (
          <>
            <kbd>↑</kbd> <kbd>↓</kbd> choose · <kbd>Enter</kbd> open · <kbd>Esc</kbd> close · <code>@name</code> finds what a person changed
          </>
        )}
      </footer>
    </dialog>
  );
}

/** What the page knows without the server. */
function itemsFor(text: string): Item[] {
  const items: Item[] = [];
  const matches = matcher(text);
  const within = namespace.value;
  if (!text.startsWith("@")) {
    const hits = configs.value
      .map((info) => ({ info, score: matches(`${info.namespace}/${info.config}`) + (within === info.namespace ? 0.5 : 0) }))
      .filter(({ score }) => score >= 1)
      .sort((one, other) => other.score - one.score)
      .slice(0, text ? CONFIGS_MAX : 6);
    for (const { info } of hits) {
      items.push({ id: `config ${info.namespace}/${info.config}`, group: "Configs", icon: "layers", text: `${info.namespace}/${info.config}`, run: () => void navigate(configHref(info.namespace, info.config)) });
    }
    for (const { name, count } of text ? namespaces.value : []) {
      if (matches(name) < 1 || items.length > CONFIGS_MAX + 4) continue;
      items.push({ id: `namespace ${name}`, group: "Namespaces", icon: "list", text: name, detail: `${count} configs`, run: () => void navigate(namespaceHref(name)) });
    }
    if (text) {
      for (const one of scopesOf(within).filter((one) => one !== scope.value && matches(one) >= 1).slice(0, 5)) {
        items.push({ id: `scope ${one}`, group: "Look at a scope", icon: "eye", text: one === "/" ? "/ (all)" : one, isProduction: isProduction(one), run: () => setScope(one) });
      }
    }
    const commands: Omit<Item, "group">[] = [
      ...actions.value,
      ...NAVIGATION.map(({ page, path, label, icon }): Omit<Item, "group"> => ({ id: `page ${page}`, icon, text: `Go to ${label}`, run: () => void navigate(navigationHref(page, path)) })),
      { id: "theme dark", icon: "moon", text: "Use the dark theme", run: () => setTheme("dark") },
      { id: "theme light", icon: "sun", text: "Use the light theme", run: () => setTheme("light") },
      { id: "theme system", icon: "settings", text: "Use the theme of the system", run: () => setTheme("system") },
      { id: "shortcuts", icon: "list", text: "Show the keyboard shortcuts", run: () => showShortcuts() },
    ];
    for (const command of commands) if (!text || matches(command.text) >= 1) items.push({ ...command, group: "Pages and actions" });
  }
  return items;
}

interface Found {
  items: Item[];
  isRunning: boolean;
  error: string | undefined;
}

/** Keys, values and people, by the server. */
function useSearch(text: string): Found {
  const [state, setState] = useState<Found>({ items: [], isRunning: false, error: undefined });
  useEffect(() => {
    const typed = text.trim();
    if (typed.replace("@", "").length < SEARCH_FROM) {
      setState({ items: [], isRunning: false, error: undefined });
      return;
    }
    const controller = new AbortController();
    setState((before) => ({ ...before, isRunning: true }));
    const timer = setTimeout(() => {
      const within = namespace.peek();
      const ask = (group: string, icon: IconName, body: Schemas["SearchRequest"]) =>
        post("/v1/configs:search", { body: { ...body, namespace: within, page_size: 8 }, signal: controller.signal, maskSecrets: true }).then(({ matches }) => matches.map((match) => itemOf(group, icon, match)));
      const searches = typed.startsWith("@")
        ? [`user:${typed.slice(1)}`, typed.slice(1)].map((actor) => ask("Changed by this person", "user", { actor }))
        : [ask("Keys", "key", { key: keyPattern(typed) }), typed.length <= 1024 ? ask("Values", "search", { text: typed }) : Promise.resolve([]), ...(isScalar(typed) ? [ask("Values", "search", { value: typed })] : [])];
      Promise.allSettled(searches).then((outcomes) => {
        if (controller.signal.aborted) return;
        const failed = outcomes.find((outcome) => outcome.status === "rejected" && !isAbort(outcome.reason));
        const all = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : []));
        const once = [...new Map(all.map((item) => [item.id, item])).values()];
        setState({ items: once, isRunning: false, error: failed?.status === "rejected" ? textOf(failed.reason) : undefined });
      });
    }, SEARCH_AFTER_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [text]);
  return state;
}

/** A number, a boolean or null is looked for as such, too. */
const isScalar = (text: string) => /^(-?\d+(\.\d+)?|true|false|null)$/.test(text);

/** `db.port` is a place; a word is a part of a name. */
function keyPattern(text: string): string {
  if (text.startsWith("/")) return text;
  const names = text.split(".");
  return names.length > 1 && names.every(Boolean) ? `/**/${names.join("/")}` : `*${text}*`;
}

function itemOf(group: string, icon: IconName, match: Schemas["SearchMatch"]): Item {
  const where = `${match.namespace}/${match.config}`;
  const value = match.secret ? "secret" : match.value;
  return {
    id: `match ${where} ${match.kind} ${match.scope} ${match.pointer}`,
    group,
    icon,
    text: match.pointer ? `${pathOf(match.pointer)}${value ? ` = ${value}` : ""}` : where,
    detail: match.pointer ? `${where} at ${match.scope}` : `at ${match.scope}`,
    isProduction: isProduction(match.scope),
    run: () => void navigate(configHref(match.namespace, match.config, "edit", { scope: match.scope, pointer: match.pointer || undefined })),
  };
}
