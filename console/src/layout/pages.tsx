// The pages, each read when it is opened first. To add one: its route in router.ts, its import here, its place in NAVIGATION.
import type { ComponentType } from "preact";
import type { IconName } from "../ui/icons";
import { href, namespace, namespaceHref, type Route } from "../router";

type Page = Exclude<Route["page"], "unknown">;
type Load = () => Promise<ComponentType>;

/** The component of each page. */
export const PAGES: Record<Page, Load> = {
  overview: () => import("../overview/index").then((module) => module.OverviewPage),
  namespace: () => import("../overview/index").then((module) => module.OverviewPage),
  config: () => import("../config/index").then((module) => module.ConfigPage),
  changes: () => import("../pages/changes").then((module) => module.ChangesPage),
  watchers: () => import("../pages/watchers").then((module) => module.WatchersPage),
  access: () => import("../pages/access").then((module) => module.AccessPage),
  audit: () => import("../pages/audit").then((module) => module.AuditPage),
  schemas: () => import("../pages/schemas").then((module) => module.SchemasPage),
  settings: () => import("../pages/settings").then((module) => module.SettingsPage),
  login: () => import("../login/index").then((module) => module.LoginPage),
};

/** The address of a page of the bar, within the namespace of the address. */
export function navigationHref(page: Page, path: string): string {
  const within = namespace.value;
  if (page === "overview") return within ? namespaceHref(within) : href("/");
  return href(path, { ns: within || undefined });
}

/** What the bar at the top links to. */
export const NAVIGATION: readonly { page: Page; path: string; label: string; icon: IconName; key: string }[] = [
  { page: "overview", path: "/", label: "Configs", icon: "layers", key: "o" },
  { page: "changes", path: "/changes", label: "Changes", icon: "history", key: "c" },
  { page: "watchers", path: "/watchers", label: "Watchers", icon: "watch", key: "w" },
  { page: "schemas", path: "/schemas", label: "Schemas", icon: "schema", key: "s" },
  { page: "access", path: "/access", label: "Access", icon: "key", key: "a" },
  { page: "audit", path: "/audit", label: "Audit", icon: "shield", key: "u" },
  { page: "settings", path: "/settings", label: "Settings", icon: "settings", key: "t" },
];
