// The page of a config: where each value is from, what others change meanwhile, secrets, overrides and comparison.
import { equal, holds, until } from "./harness.mjs";

const row = (page, name) => page.locator(".line", { has: page.locator(".key", { hasText: new RegExp(`^(new)?${name.replace(/[.]/g, "\\.")}$`) }) });
const cells = async (page, name) => (await row(page, name).locator(":scope > span").allInnerTexts()).slice(0, 5);

const layerOf = async (t, config, scope, view = "VIEW_LAYER") =>
  JSON.parse((await t.call("GET", `/v1/namespaces/${t.namespace}/configs/${config}/document?scope=${scope}&view=${view}`)).document.content);

export default {
  "inherited, own and effective values stand side by side, with their origin": async (t) => {
    await t.set("checkout", { timeout_ms: 800, retries: 3, debug: true, id: 1 });
    await t.set("checkout", { timeout_ms: 900, debug: null }, "/production", { reason: "the bank is slow" });
    await t.set("checkout", { timeout_ms: 1000 }, "/production", { kind: "LAYER_KIND_OVERRIDE", ttl: "3600s", reason: "incident 42" });
    const page = await t.open(`/ns/${t.namespace}/checkout?scope=/production`);
    await row(page, "timeout_ms").waitFor();
    equal(await cells(page, "timeout_ms"), ["timeout_ms", "800", "900", "1000", "/production override"]);
    equal(await cells(page, "retries"), ["retries", "3", "–", "3", "/"]);
    equal(await cells(page, "debug"), ["debug", "true", "removed", "removed", "/production"]);
    await page.locator(".countdown", { hasText: /ends in (59:|1 h)/ }).waitFor();
    await t.axeInBothThemes(page);
    await t.fits(page);
    await t.shot(page, "config-table");
    await row(page, "debug").click();
    await page.getByText("the bank is slow").first().waitFor();
    await t.axeInBothThemes(page);
    await page.getByLabel("Set in this layer only").check();
    await until(async () => (await page.locator(".line").count()) === 2, "two rows");
    await page.getByRole("searchbox").fill("1000");
    await until(async () => (await page.locator(".line").count()) === 1, "one row");
    await page.reload();
    await until(async () => (await page.locator(".line").count()) === 2, "two rows by the address, which has no value");
  },

  "a value is reset to what is inherited, after a review": async (t) => {
    await t.set("checkout", { pool: { max: 10 }, a: 1 });
    await t.set("checkout", { pool: { max: 50 }, a: 2 }, "/staging");
    const page = await t.open(`/ns/${t.namespace}/checkout?scope=/staging&pointer=/pool/max`);
    await page.getByRole("button", { name: "Reset to inherited" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator(".scopes").getByText("pool.max").waitFor();
    await dialog.getByLabel(/^Reason/).fill("back to normal");
    await dialog.getByRole("button", { name: "Reset" }).click();
    await page.getByText(/^Saved as version/).waitFor();
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    equal(await layerOf(t, "checkout", "/staging"), { a: 2 });
    await until(async () => (await cells(page, "pool.max"))[3] === "10", "the inherited value");
  },

  "a change of somebody else appears without a reload, and is marked": async (t) => {
    await t.set("checkout", { a: 1, b: 1 });
    const page = await t.open(`/ns/${t.namespace}/checkout`);
    await row(page, "b").waitFor();
    await page.evaluate(() => (window.sameDocument = true));
    await t.set("checkout", { a: 1, b: 2 }, "/", { reason: "b is better" });
    await page.getByText("One value was changed just now").waitFor();
    await page.getByText("b is better").first().waitFor();
    holds(await row(page, "b").evaluate((line) => line.classList.contains("fresh")), "the row is not marked");
    holds(!(await row(page, "a").evaluate((line) => line.classList.contains("fresh"))), "another row is marked");
    await page.getByRole("button", { name: "Mark as seen" }).click();
    await until(async () => (await page.locator(".line.fresh").count()) === 0, "no mark");
    equal(await page.evaluate(() => window.sameDocument), true);
  },

  "an override is ended from the page": async (t) => {
    await t.set("checkout", { a: 1 });
    await t.set("checkout", { a: 5 }, "/", { kind: "LAYER_KIND_OVERRIDE", ttl: "3600s" });
    const page = await t.open(`/ns/${t.namespace}/checkout`);
    await page.locator(".override summary").click();
    await page.getByRole("button", { name: "End it now" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(/^Reason/).fill("the incident is over");
    await dialog.getByRole("button", { name: "End it" }).click();
    await page.getByText(/^Saved as version/).waitFor();
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    await until(async () => (await page.locator(".override").count()) === 0, "no override");
    await until(async () => (await cells(page, "a"))[3] === "1", "the value without it");
  },

  "a secret is shown on demand alone, and hidden when the tab is": async (t) => {
    await t.set("checkout", { db: { password: { $secret: "hunter2" } } });
    const page = await t.open(`/ns/${t.namespace}/checkout?pointer=/db/password`);
    await page.getByRole("button", { name: "Reveal" }).waitFor();
    holds(!(await page.content()).includes("hunter2"), "the secret is in the page before it is asked for");
    await t.axe(page);
    await page.getByRole("button", { name: "Reveal" }).click();
    await page.locator("[data-secret]").getByText("hunter2").waitFor();
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await until(async () => !(await page.content()).includes("hunter2"), "the secret to be hidden");
    await page.evaluate(() => Object.defineProperty(document, "hidden", { value: false, configurable: true }));
    await page.clock.install();
    await page.getByRole("button", { name: "Reveal" }).click();
    await page.locator("[data-secret]").getByText("hunter2").waitFor();
    await page.clock.runFor(29_000);
    await page.locator("[data-secret]").getByText("hunter2").waitFor();
    await page.clock.runFor(2_000);
    await until(async () => !(await page.content()).includes("hunter2"), "the secret to be hidden after 30 seconds");
  },

  "two scopes, and two versions, are compared": async (t) => {
    await t.set("checkout", { a: 1, b: 1 });
    await t.set("checkout", { a: 2, b: 1 });
    await t.set("checkout", { b: 5 }, "/staging");
    const page = await t.open(`/ns/${t.namespace}/checkout/compare?scope=/staging&with=/`);
    await page.getByText("1 difference").waitFor();
    await t.axeInBothThemes(page);
    await t.fits(page);
    await page.goto(`${t.url}/ns/${t.namespace}/checkout/compare?from=v1&to=v2`);
    await page.locator(".line .key").getByText("a", { exact: true }).waitFor();
    equal(await page.locator(".line > span").allInnerTexts(), ["1", "2"]);
    await page.getByRole("button", { name: "Text", exact: true }).click();
    await page.locator(".unified .added").getByText('"a": 2').waitFor();
  },

  "a config of 1 MiB stays interactive": async (t) => {
    const document = Object.fromEntries(Array.from({ length: 200 }, (_, group) => [`group-${String(group).padStart(3, "0")}`, Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`key-${String(at).padStart(3, "0")}`, `a value of some length ${group} ${at}`]))]));
    await t.set("large", document);
    const page = await t.open(`/ns/${t.namespace}/large`);
    await page.getByText("20,000 values").waitFor();
    holds((await page.locator(".line").count()) < 100, "all rows are in the page");
    await page.getByRole("searchbox").fill("group-150.key-05");
    await until(async () => (await page.locator(".line").count()) === 10, "ten rows");
    await row(page, "group-150.key-055").click();
    await page.locator(".details pre").getByText("a value of some length 150 55").waitFor();
  },

  "a config whose origins do not fit one message is shown from its layers": async (t) => {
    const half = (name) => Object.fromEntries(Array.from({ length: 200 }, (_, group) => [`${name}-${group}`, Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`key-${at}`, `a value of some length ${group} ${at}`]))]));
    await t.set("large", half("a"));
    await t.set("large", half("b"), "/staging");
    t.expect(/400/);
    const page = await t.open(`/ns/${t.namespace}/large?scope=/staging`);
    await page.getByText("40,000 values").waitFor();
    await page.getByRole("searchbox").fill("b-7.key-7");
    await row(page, "b-7.key-7").waitFor();
    equal(await cells(page, "b-7.key-7"), ["b-7.key-7", "–", '"a value of some length 7 7"', '"a value of some length 7 7"', "/staging"]);
  },

  "all of it works by the keyboard": async (t) => {
    await t.set("checkout", { a: 1, b: 1, c: 1 });
    const page = await t.open(`/ns/${t.namespace}/checkout`);
    await row(page, "a").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("b");
    await until(async () => (await page.locator(".line").count()) === 1, "one row");
    await page.keyboard.press("ArrowDown");
    await page.getByRole("complementary", { name: "Details of b" }).waitFor();
    await page.keyboard.press("Escape");
    await until(async () => (await page.locator(".details").count()) === 0, "the details to close");
    await page.getByRole("list", { name: "Values" }).focus();
    await page.keyboard.press("ArrowDown");
    await page.locator(".details").waitFor();
    await page.getByRole("button", { name: "Edit" }).focus();
    await page.keyboard.press("Enter");
    await page.locator(".cm-content").waitFor();
    await until(() => page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.classList.contains("cm-content") ?? false), "the focus in the text");
    await page.keyboard.press("Control+a");
    await page.keyboard.type('{"a": 2}');
    await page.keyboard.press("Escape");
    await page.keyboard.press("Tab");
    await until(() => page.evaluate(() => !document.activeElement?.shadowRoot?.activeElement), "the focus to leave the text");
    await page.keyboard.press("Control+s");
    await page.getByRole("dialog").getByRole("heading", { name: "In this layer" }).waitFor();
    await page.getByLabel(/^Reason/).focus();
    await page.keyboard.type("by keyboard");
    await page.keyboard.press("Control+Enter");
    await page.getByText(/^Saved as version/).waitFor();
    equal(await layerOf(t, "checkout", "/"), { a: 2 });
  },

  "the page fits a phone": async (t) => {
    await t.set("checkout", { "a-long-name": { "of-a-key": "and a value that is longer than the window of a phone is wide, by far" } });
    for (const path of ["", "?view=form", "?view=text", "/compare"]) {
      const page = await t.open(`/ns/${t.namespace}/checkout${path}`, { width: 390, height: 844 });
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForLoadState("networkidle").catch(() => {});
      await t.fits(page);
      await t.axe(page);
    }
  },

  "a secret stays hidden from who may not reveal it, and each reveal is on record": async (t) => {
    const server = await t.server(["--auth", "on"]);
    const call = (method, path, body) => t.call(method, path, body, { url: server.url, token: server.token });
    const apply = (change) => call("POST", "/v1/layers:apply", { changes: [change], options: { reason: "a test" } });
    await apply({ namespace: "shop", config: "checkout", scope: "/", replace: { content: '{"db": {"password": {"$secret": "hunter2"}, "user": "shop"}}' } });
    const binding = { subjects: ["token:editor"], role: "editor", namespace: "shop", config: "*", scope: "/" };
    await apply({ namespace: "confwatch", config: "policy", scope: "/", json_patch: { content: JSON.stringify([{ op: "add", path: "/bindings/-", value: binding }]) } });
    const { token } = await call("POST", "/v1/tokens:create", { name: "a test", subject: "token:editor" });
    const open = (path, of) => t.open(path, { url: server.url, context: { extraHTTPHeaders: { authorization: `Bearer ${of}` } } });
    // The overview asks for what only administrators may see.
    t.expect(/403/);
    const page = await open("/ns/shop/checkout?pointer=/db/password", token);
    await page.getByRole("button", { name: "Reveal" }).click();
    await page.getByText("You need the permission reveal-secret").waitFor();
    await page.goto(`${server.url}/ns/shop/checkout?view=form`);
    await page.getByLabel("user", { exact: true }).fill("shop2");
    await page.getByLabel("user", { exact: true }).press("Enter");
    await page.getByText("kept as it is").waitFor();
    await page.keyboard.press("Control+s");
    await page.getByLabel(/^Reason/).fill("another user");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByText(/^Saved as version/).waitFor();
    holds(!(await page.content()).includes("hunter2"), "the secret is in the page");
    const stored = await call("GET", "/v1/namespaces/shop/configs/checkout/document?scope=/");
    equal(JSON.parse(stored.document.content), { db: { password: "hunter2", user: "shop2" } });
    const reveals = async () => (await call("GET", "/v1/audit?filter.kinds=AUDIT_KIND_REVEALED")).entries.length;
    const before = await reveals();
    const admin = await open("/ns/shop/checkout?pointer=/db/password", server.token);
    await admin.getByRole("button", { name: "Reveal" }).waitFor();
    equal(await reveals(), before, "the page itself reveals nothing:");
    await admin.getByRole("button", { name: "Reveal" }).click();
    await admin.locator("[data-secret]").getByText("hunter2").waitFor();
    await until(async () => (await reveals()) === before + 1, "a record of the reveal");
  },

  "who may only read is told which permission a write takes": async (t) => {
    const server = await t.server(["--auth", "on"]);
    const call = (method, path, body) => t.call(method, path, body, { url: server.url, token: server.token });
    const apply = (change) => call("POST", "/v1/layers:apply", { changes: [change], options: { reason: "a test" } });
    await apply({ namespace: "shop", config: "checkout", scope: "/", replace: { content: '{"a": 1}' } });
    const binding = { subjects: ["token:reader"], role: "viewer", namespace: "shop", config: "*", scope: "/" };
    await apply({ namespace: "confwatch", config: "policy", scope: "/", json_patch: { content: JSON.stringify([{ op: "add", path: "/bindings/-", value: binding }]) } });
    const { token } = await call("POST", "/v1/tokens:create", { name: "a test", subject: "token:reader" });
    t.expect(/403/);
    const page = await t.open("/ns/shop/checkout?view=text", { url: server.url, context: { extraHTTPHeaders: { authorization: `Bearer ${token}` } } });
    await page.locator(".cm-content").click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText('{"a": 2}');
    await page.getByText("You may read this layer, and not write it: that takes write on shop/checkout at /.").waitFor();
    await page.keyboard.press("Control+s");
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/not write it/).waitFor();
    await dialog.getByRole("heading", { name: "In this layer" }).waitFor();
    equal(await dialog.getByRole("button", { name: "Save" }).isDisabled(), true);
  },
};
