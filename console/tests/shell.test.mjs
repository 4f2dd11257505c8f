// The frame of the console and its first page: what is found, what appears by itself, and what happens without a server.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { equal, holds, until } from "./harness.mjs";

const rows = (page) => page.locator(".config-list .config-row .name");
const openPalette = async (page) => {
  await page.getByRole("button", { name: /^Search configs/ }).waitFor();
  await page.keyboard.press("Control+k");
  return page.getByRole("combobox", { name: /^Search configs/ });
};

/** Some thousand configs of a namespace, by few commits. */
async function fill(t, count, more = {}) {
  for (let from = 0; from < count; from += 500) {
    const changes = Array.from({ length: Math.min(500, count - from) }, (_, at) => ({
      namespace: t.namespace,
      config: `service-${String(from + at).padStart(5, "0")}`,
      scope: "/",
      replace: { content: "{}" },
    }));
    await t.call("POST", "/v1/layers:apply", { changes, options: { reason: "many configs" } }, more);
  }
}

export default {
  "a config is found among thousands": async (t) => {
    await fill(t, 3000);
    await t.set("needle.in-haystack", { a: 1 });
    const page = await t.open(`/ns/${t.namespace}`);
    await page.getByText("3,001 configs").waitFor();
    const shown = await rows(page).count();
    holds(shown > 5 && shown < 100, `${shown} rows are in the page: only those in view should be`);
    await page.getByRole("searchbox").fill("needle");
    await until(async () => (await rows(page).count()) === 1, "one row");
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`/ns/${t.namespace}/needle.in-haystack$`));
  },

  "the list scrolls to its end": async (t) => {
    await fill(t, 500);
    const page = await t.open(`/ns/${t.namespace}`);
    await page.getByText("500 configs").waitFor();
    await page.locator(".config-list").evaluate((list) => (list.scrollTop = list.scrollHeight));
    await page.getByText("service-00499").waitFor();
  },

  "a change of another client appears without a reload": async (t) => {
    await t.set("checkout", { timeout_ms: 500 });
    const page = await t.open(`/ns/${t.namespace}`);
    await page.locator(".config-list").getByText("checkout").waitFor();
    await page.evaluate(() => (window.sameDocument = true));
    await t.set("checkout", { timeout_ms: 800 }, "/production", { reason: "the bank is slow" });
    await page.locator(".config-row .version").getByText("v2").waitFor();
    await page.locator(".recent").getByText("the bank is slow").waitFor();
    await page.locator(".config-row").getByText("production").waitFor();
    await t.set("brand-new", {});
    await page.locator(".config-list").getByText("brand-new").waitFor();
    await t.call("POST", `/v1/namespaces/${t.namespace}/configs/brand-new/layers:delete`, { scope: "/" });
    await page.locator(".config-list").getByText("brand-new").waitFor({ state: "detached" });
    equal(await page.evaluate(() => window.sameDocument), true, "the page was loaded again:");
  },

  "the palette finds configs, keys, values, people and pages": async (t) => {
    await t.set("checkout", { gateway: { endpoint_url: "https://bank.example/v2", retries: 4711 } }, "/production");
    const page = await t.open(`/ns/${t.namespace}`);
    const field = await openPalette(page);
    const option = (text) => page.getByRole("option").filter({ hasText: text }).first();
    await field.fill("checko");
    await option(`${t.namespace}/checkout`).waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "palette");
    await field.fill("bank.example");
    await option("gateway.endpoint_url").waitFor();
    await field.fill("4711");
    await option("gateway.retries = 4711").waitFor();
    await field.fill("gateway.retries");
    await option("gateway.retries = 4711").waitFor();
    await field.fill("@anonymous");
    await option("checkout").waitFor();
    await field.fill("go to audit");
    await option("Go to Audit").waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/audit/);
    await (await openPalette(page)).fill("4711");
    await option("gateway.retries = 4711").click();
    await page.waitForURL(`**/ns/${t.namespace}/checkout?scope=/production&pointer=/gateway/retries`);
  },

  "every address of the console opens its page": async (t) => {
    await t.set("checkout", {}, "/production");
    const at = `/ns/${t.namespace}/checkout`;
    for (const path of ["/", `/ns/${t.namespace}`, `${at}?scope=/production`, `${at}/history`, `${at}/compare`, `${at}/watchers`, "/changes", "/watchers", "/access", "/audit", "/schemas", "/settings"]) {
      const page = await t.open(path);
      await page.locator("main h1").first().waitFor();
      const heading = await page.locator("main h1").first().textContent();
      holds(!/no such page/i.test(heading), `${path} has the heading ${heading}`);
      await page.context().close();
    }
    const lost = await t.open("/ns/a/b/c/d").catch(() => undefined);
    t.expect(/404/);
    if (lost) holds(!(await lost.locator("#app").count()), "a path that is no address of the console has its page");
  },

  "the scope is kept from page to page, and production cannot be missed": async (t) => {
    await t.set("checkout", {}, "/production/eu");
    const page = await t.open(`/ns/${t.namespace}`);
    await page.getByRole("button", { name: "Scope: /" }).click();
    await page.locator(".menu .item").getByText("/production/eu").click();
    await page.waitForURL("**?scope=/production/eu");
    await page.locator(".banner.production").waitFor();
    await page.getByRole("link", { name: "Changes", exact: true }).click();
    await page.waitForURL("**/changes?*scope=/production/eu*");
    await page.locator(".banner.production").waitFor();
    await page.goBack();
    await page.waitForURL(`**/ns/${t.namespace}?scope=/production/eu`);
  },

  "the page says that the server is away, and goes on by itself when it is back": async (t) => {
    t.expect(/ERR_|Failed to load resource/);
    const server = await t.server();
    await t.set("checkout", {}, "/", { url: server.url });
    const page = await t.open(`/ns/${t.namespace}`, { url: server.url });
    await page.locator(".config-list").getByText("checkout").waitFor();
    await page.locator(".live.good").waitFor();
    await server.stop();
    await page.getByText("Connection lost").first().waitFor();
    await t.shot(page, "lost");
    await server.start();
    await t.set("while-away", {}, "/", { url: server.url });
    await page.locator(".banner").waitFor({ state: "detached" });
    await page.locator(".config-list").getByText("while-away").waitFor();
  },

  "a store with another history is read anew": async (t) => {
    t.expect(/ERR_|Failed to load resource/);
    const server = await t.server();
    await t.set("of-the-old-store", {}, "/", { url: server.url });
    const page = await t.open(`/ns/${t.namespace}`, { url: server.url });
    await page.locator(".config-list").getByText("of-the-old-store").waitFor();
    await page.locator(".live.good").waitFor();
    await server.stop();
    rmSync(join(server.directory, "data"), { recursive: true });
    await server.start();
    await t.set("of-the-new-store", {}, "/", { url: server.url });
    await page.locator(".config-list").getByText("of-the-new-store").waitFor();
    equal(await page.locator(".config-list").getByText("of-the-old-store").count(), 0);
  },

  "a page of a server that was down when it was opened can be tried again": async (t) => {
    t.expect(/Failed to load resource|503/);
    const page = await t.open("/ns/nothing-here");
    await page.route("**/v1/whoami", (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: '{"status":503,"reason":"DRAINING","detail":"the server is stopping"}' }));
    await page.reload();
    await page.getByText("The server is stopping.").waitFor();
    await page.unroute("**/v1/whoami");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("nothing-here has no config yet").waitFor();
  },

  "shortcuts go to pages, and do nothing while a text is typed": async (t) => {
    await t.set("checkout", {});
    const page = await t.open(`/ns/${t.namespace}`);
    await page.locator(".config-list").getByText("checkout").waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("/");
    await page.keyboard.type("gc?");
    equal(await page.getByRole("searchbox").inputValue(), "gc?");
    await page.getByRole("searchbox").blur();
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.waitForURL("**/changes*");
  },

  "the first page keeps the rules of accessibility, wide, narrow and large": async (t) => {
    await t.set("checkout", { a: 1 }, "/production");
    await t.set("checkout", { a: 2 }, "/production", { kind: "LAYER_KIND_OVERRIDE", ttl: "3600s" });
    for (const [name, size] of [["wide", {}], ["phone", { width: 390, height: 844 }], ["zoomed", { width: 640, height: 400 }]]) {
      const page = await t.open(`/ns/${t.namespace}?scope=/production`, size);
      await page.locator(".config-list").getByText("checkout").waitFor();
      await page.locator(".recent li").first().waitFor();
      await t.axeInBothThemes(page);
      await t.fits(page);
      await t.shot(page, `overview-${name}`);
      await page.locator(".picker.scope").click();
      await t.axeInBothThemes(page, ".menu > .items");
      await page.keyboard.press("Escape");
      await page.locator(".user").click();
      await t.axeInBothThemes(page, ".menu > .items");
      await page.context().close();
    }
  },

  "the theme is that of the system, or what was chosen": async (t) => {
    const page = await t.open("/", { theme: "dark" });
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    equal(await theme(), "dark");
    await page.locator(".user").click();
    await page.getByRole("button", { name: "Light" }).click();
    equal(await theme(), "light");
    await page.reload();
    equal(await theme(), "light");
    const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    equal(JSON.parse(kept), { "confwatch.theme": "light" });
  },
};
