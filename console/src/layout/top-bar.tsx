// The bar at the top: namespace, scope, search, user, and the links to the pages.
import { useSignal } from "@preact/signals";
import { namespaces } from "../api/catalog";
import { request } from "../api/client";
import { liveState } from "../api/live";
import { hasSession, isAuthenticated, me } from "../api/session";
import { href, namespace, namespaceHref, navigate, route } from "../router";
import { Icon } from "../ui/icons";
import { Menu } from "../ui/menu";
import { Segmented } from "../ui/field";
import { toastError } from "../ui/toast";
import { NAVIGATION, navigationHref } from "./pages";
import { openPalette } from "./palette";
import { ScopeSwitcher } from "./scope-switcher";
import { showShortcuts } from "./shortcuts";
import { setTheme, theme, type Theme } from "./theme";

const LIVE: Record<string, { text: string; tone: string }> = {
  live: { text: "Live: changes appear by themselves", tone: "good" },
  connecting: { text: "Connecting", tone: "warn" },
  paused: { text: "Paused while the tab is hidden", tone: "warn" },
  lost: { text: "Connection lost", tone: "bad" },
  refused: { text: "No live changes", tone: "bad" },
  off: { text: "Not connected", tone: "warn" },
};

export function TopBar() {
  const live = LIVE[liveState.value] ?? LIVE.off!;
  const { page } = route.value;
  return (
    <header class="top">
      <div class="bar">
        <a class="brand" href={href("/")} aria-label="confwatch: all configs">
          <Icon name="layers" size={20} />
          <span>confwatch</span>
        </a>
        <NamespacePicker />
        <ScopeSwitcher />
        <button type="button" class="palette-opener" onClick={() => openPalette()} aria-keyshortcuts="Control+K" aria-label="Search configs, values and people">
          <Icon name="search" />
          <span class="grow">Search configs, values, people</span>
          <kbd>Ctrl K</kbd>
        </button>
        <span class={`live ${live.tone}`} title={live.text}>
          <span class="visually-hidden">{live.text}</span>
        </span>
        <UserMenu />
      </div>
      <nav class="nav" aria-label="Pages">
        {NAVIGATION.map((item) => {
          const isHere = page === item.page || (item.page === "overview" && (page === "namespace" || page === "config"));
          return (
            <a key={item.page} href={navigationHref(item.page, item.path)} aria-current={isHere ? "page" : undefined}>
              <Icon name={item.icon} />
              {item.label}
            </a>
          );
        })}
      </nav>
    </header>
  );
}

function NamespacePicker() {
  const filter = useSignal("");
  const current = namespace.value;
  const all = namespaces.value;
  return (
    <Menu
      side="left"
      class="picker"
      label={`Namespace: ${current || "all"}`}
      button={
        <>
          <span class="caption">Namespace</span>
          <span class="truncate">{current || "All"}</span>
          <Icon name="chevron" size={12} />
        </>
      }
    >
      {(close) => {
        const choose = (to: string) => {
          close();
          filter.value = "";
          void navigate(to);
        };
        const { page } = route.value;
        const isWide = page !== "overview" && page !== "namespace" && page !== "config";
        const found = all.filter(({ name }) => name.includes(filter.value.trim().toLowerCase()));
        return (
          <>
            {all.length > 8 && (
              <input class="input" aria-label="Find a namespace" placeholder="Find a namespace" autocomplete="off" value={filter.value} onInput={(event) => (filter.value = event.currentTarget.value)} />
            )}
            <button type="button" class="item" aria-current={!current} onClick={() => choose(isWide ? href(location.pathname) : href("/"))}>
              All namespaces
            </button>
            {found.slice(0, 200).map(({ name, count }) => (
              <button key={name} type="button" class="item" aria-current={name === current} onClick={() => choose(isWide ? href(location.pathname, { ns: name }) : namespaceHref(name))}>
                <span class="grow truncate">{name}</span>
                <span class="faint small">{count}</span>
              </button>
            ))}
            {found.length > 200 && <p class="caption">{found.length - 200} more: type a part of the name</p>}
            {!found.length && <p class="caption">No namespace has this in its name</p>}
          </>
        );
      }}
    </Menu>
  );
}

function UserMenu() {
  const caller = me.value;
  const signOut = async () => {
    try {
      await request("POST", "/logout", { body: {} });
    } catch (error) {
      toastError(error);
      return;
    }
    location.assign("/login");
  };
  return (
    <Menu label={`User: ${caller?.actor ?? "unknown"}`} class="button quiet user" button={<Icon name="user" />}>
      {() => (
        <>
          <p class="caption break">
            <strong>{caller?.actor ?? "Unknown"}</strong>
            {!isAuthenticated() && (
              <>
                <br />
                This server does not ask who you are.
              </>
            )}
            {!!caller?.groups.length && (
              <>
                <br />
                {caller.groups.join(", ")}
              </>
            )}
          </p>
          <hr />
          <div class="theme">
            <span class="small soft">Theme</span>
            <Segmented<Theme>
              label="Theme"
              value={theme.value}
              onValue={setTheme}
              options={[
                { value: "system", label: "System" },
                { value: "light", label: "Light" },
                { value: "dark", label: "Dark" },
              ]}
            />
          </div>
          <hr />
          <button type="button" class="item" onClick={() => showShortcuts()}>
            <Icon name="list" />
            <span class="grow">Keyboard shortcuts</span>
            <kbd>?</kbd>
          </button>
          <a class="item" href="/openapi.json" target="_blank" rel="noopener">
            <Icon name="external" />
            API description
          </a>
          {hasSession() && (
            <button type="button" class="item" onClick={signOut}>
              <Icon name="arrow" />
              Sign out
            </button>
          )}
        </>
      )}
    </Menu>
  );
}
