// The frame around every page: the bar at the top, banners, the page, and what lies above it.
import { useComputed, useSignalEffect } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { startCatalog, stopCatalog } from "../api/catalog";
import { get } from "../api/client";
import { start, stop } from "../api/live";
import { CallError } from "../api/problem";
import { me, refusal } from "../api/session";
import { href, navigate, place, route, scope, type Route } from "../router";
import { isProduction } from "../ui/badge";
import { Empty, ErrorNote, Skeleton } from "../ui/states";
import { Toasts } from "../ui/toast";
import { Banners } from "./banners";
import { NAVIGATION, PAGES } from "./pages";
import { Palette } from "./palette";
import { Shortcuts } from "./shortcuts";
import { TopBar } from "./top-bar";

const PREFETCH_AFTER_MS = 1_500;

export function Shell() {
  const [failure, setFailure] = useState<unknown>();
  const [turn, setTurn] = useState(0);
  const isLogin = useComputed(() => route.value.page === "login");

  // Who is it? Without an answer, nothing else is read.
  useEffect(() => {
    if (isLogin.value) return;
    setFailure(undefined);
    get("/v1/whoami").then(
      async (caller) => {
        await start();
        me.value = caller;
        startCatalog();
        // The page that is opened next, most of the time.
        setTimeout(() => void PAGES.config().catch(() => {}), PREFETCH_AFTER_MS);
      },
      (error: unknown) => {
        if (!(error instanceof CallError && error.status === 401)) setFailure(error);
      },
    );
  }, [turn, isLogin.value]);

  useSignalEffect(() => {
    if (!refusal.value) return;
    stop();
    stopCatalog();
    if (route.peek().page === "login") return;
    const { path, query } = place.peek();
    const back = path + (query.size ? `?${query}` : "");
    void navigate(`/login${back === "/" ? "" : `?return_to=${encodeURIComponent(back)}`}`, true);
  });

  // The name of the page is in the tab of the browser, and is read after each change of the page.
  const title = titleOf(route.value, scope.value);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = title;
  }, [title]);
  const named = nameOf(route.value);
  useEffect(() => {
    if (!isFirst.current) document.getElementById("main")?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [named]);

  if (isLogin.value) {
    return (
      <>
        <Page of={route.value} />
        <Toasts />
      </>
    );
  }
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <TopBar />
      <Banners />
      <main id="main" tabIndex={-1}>
        {failure !== undefined ? (
          <div class="page">
            <h1>confwatch</h1>
            <ErrorNote error={failure} retry={() => setTurn(turn + 1)} />
          </div>
        ) : me.value ? (
          <Page of={route.value} />
        ) : (
          <div class="page">
            <Skeleton lines={6} />
          </div>
        )}
      </main>
      <Palette />
      <Shortcuts />
      <Toasts />
    </>
  );
}

/** What a page is about: the tabs of a config are one. */
function nameOf(of: Route): string {
  if (of.page === "config") return `${of.config} · ${of.namespace}`;
  if (of.page === "namespace") return of.namespace;
  if (of.page === "unknown") return "No such page";
  return NAVIGATION.find(({ page }) => page === of.page)?.label ?? "Sign in";
}

function titleOf(of: Route, scope: string): string {
  return `${isProduction(scope) ? "PRODUCTION · " : ""}${nameOf(of)} · confwatch`;
}

const loaded = new Map<string, ComponentType>();

/** The page of a route, once its code is there. */
function Page({ of }: { of: Route }) {
  const [, setTurn] = useState(0);
  const [error, setError] = useState<unknown>();
  const name = of.page;
  useEffect(() => {
    if (name === "unknown" || loaded.has(name)) return;
    setError(undefined);
    PAGES[name]().then(
      (component) => {
        loaded.set(name, component);
        setTurn((turn) => turn + 1);
      },
      () => setError(new Error("This page could not be read: the server is away, or has another version since. Reload the page.")),
    );
  }, [name]);
  if (of.page === "unknown") {
    return (
      <div class="page">
        <h1 class="visually-hidden">No such page</h1>
        <Empty icon="search" title="There is no such page">
          <p>
            The console has nothing at <code>{of.path}</code>. <a href={href("/")}>See all configs</a>
          </p>
        </Empty>
      </div>
    );
  }
  if (error) {
    return (
      <div class="page">
        <ErrorNote error={error} retry={() => location.reload()} />
      </div>
    );
  }
  const Component = loaded.get(name);
  if (!Component) {
    return (
      <div class="page">
        <Skeleton lines={6} />
      </div>
    );
  }
  return <Component />;
}
