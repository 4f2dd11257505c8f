// The history of a config and of all namespaces: what is shown, and the ways back, which reach watchers.
import { equal, holds, until } from "./harness.mjs";

const historyOf = (t, config, query = "") => `/ns/${t.namespace}/${config}/history${query}`;

/** Follows a config over HTTP, as a service would. `documents` has what it was sent. */
async function watch(t, config, scope = "/") {
  const abort = new AbortController();
  const documents = [];
  const body = { targets: [{ namespace: t.namespace, config, scope }], client_id: "watcher-of-a-test", labels: { zone: "eu" } };
  const response = await fetch(`${t.url}/v1/watch`, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal: abort.signal });
  const read = async () => {
    let rest = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines.filter(Boolean)) {
        const { snapshot, update } = JSON.parse(line);
        for (const { document } of (snapshot ?? update)?.states ?? []) documents.push(document ? JSON.parse(document.content) : null);
      }
    }
  };
  read().catch(() => {});
  await until(() => documents.length > 0, "the first document of the watcher");
  return { documents, end: () => abort.abort() };
}

export default {
  "a rollback shows what changes first, and reaches a watcher": async (t) => {
    await t.set("checkout", { timeout_ms: 500, retries: 1 }, "/", { reason: "the first version" });
    await t.set("checkout", { timeout_ms: 900, retries: 1 }, "/", { reason: "the bank is slow" });
    await t.set("checkout", { region: "eu" }, "/production");
    const watcher = await watch(t, "checkout", "/production");
    const page = await t.open(historyOf(t, "checkout"));
    await page.getByText("Version 3", { exact: true }).waitFor();
    await page.getByText("the bank is slow").waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "history");
    await page.getByRole("button", { name: "Roll back to version 1" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("What changes in the effective documents").waitFor();
    await dialog.getByText("1 watcher", { exact: true }).waitFor();
    await dialog.locator("del", { hasText: "900" }).first().waitFor();
    await dialog.locator("ins", { hasText: "500" }).first().waitFor();
    equal(watcher.documents.length, 1, "a preview reaches nobody:");
    await t.axeInBothThemes(page);
    await t.shot(page, "rollback");
    await dialog.getByLabel("Reason").fill("the bank is fast again");
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await dialog.getByText("The one watcher has received it.").waitFor();
    await t.shot(page, "rolled-back");
    await until(() => watcher.documents.length === 2, "the document of the rollback");
    equal(watcher.documents[1], { retries: 1, timeout_ms: 500 });
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await page.getByText("Version 4", { exact: true }).waitFor();
    await page.getByText("the bank is fast again").waitFor();
    await page.getByText("as in version 1").waitFor();
    watcher.end();
  },

  "a version made by another client appears in an open history": async (t) => {
    await t.set("live", { a: 1 });
    const page = await t.open(historyOf(t, "live"));
    await page.getByText("Version 1", { exact: true }).waitFor();
    await t.set("live", { a: 2 }, "/", { reason: "from elsewhere" });
    await page.getByText("from elsewhere").waitFor();
    await page.getByRole("button", { name: /^What changed in revision/ }).first().click();
    await page.locator(".commit-details ins", { hasText: "2" }).waitFor();
  },

  "a rollback that somebody overtakes is not made": async (t) => {
    await t.set("race", { a: 1 });
    await t.set("race", { a: 2 });
    t.expect(/status of 409/);
    const page = await t.open(historyOf(t, "race"));
    await page.getByRole("button", { name: "Roll back to version 1" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("What changes in the effective documents").waitFor();
    await t.set("race", { a: 3 });
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await dialog.getByText("Somebody else wrote after this preview was made.", { exact: false }).waitFor();
    equal((await t.call("GET", `/v1/namespaces/${t.namespace}/configs/race?scope=/`)), { a: 3 });
    await dialog.getByRole("button", { name: "Preview again" }).click();
    await dialog.locator("del", { hasText: "3" }).waitFor();
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    equal((await t.call("GET", `/v1/namespaces/${t.namespace}/configs/race?scope=/`)), { a: 1 });
  },

  "a revert shows effective differences, affected scopes and watchers": async (t) => {
    const write = (max) => t.call("PUT", `/v1/namespaces/${t.namespace}/configs/revert/layers/`, `{"pool":{"max":${max},"min":1},"big":9007199254740993}`);
    await write(10);
    await write(50);
    const { store_revision } = await t.call("GET", `/v1/namespaces/${t.namespace}/configs?page_size=1`);
    await t.set("revert", { pool: { max: 99 } }, "/production");
    await t.set("revert", { other: true }, "/staging");
    const page = await t.open(`/changes?ns=${t.namespace}`);
    await page.getByRole("button", { name: `Revert revision ${store_revision}` }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("What changes in the effective documents").waitFor();
    const differences = dialog.getByRole("region", { name: "Scopes whose documents change" });
    await differences.getByText("/staging").waitFor();
    equal(await differences.getByText("/production").count(), 0, "what another layer hides:");
    equal(await dialog.locator("del", { hasText: "50" }).count(), 2);
    await t.axeInBothThemes(page);
    await t.shot(page, "revert");
    await dialog.getByRole("button", { name: "Revert" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    const { document } = await t.call("GET", `/v1/namespaces/${t.namespace}/configs/revert/document`);
    equal(document.content, '{"big":9007199254740993,"pool":{"max":10,"min":1}}');
  },

  "a revert that later commits stand against shows both values": async (t) => {
    await t.set("conflict", { timeout_ms: 500 });
    const { store_revision } = await t.set("conflict", { timeout_ms: 900 });
    await t.set("conflict", { timeout_ms: 1200 });
    t.expect(/status of 4\d\d/);
    const page = await t.open(`/changes?ns=${t.namespace}`);
    await page.getByRole("button", { name: `Revert revision ${store_revision}` }).click();
    const conflicts = page.getByRole("dialog").getByRole("region", { name: "Conflicts" });
    await conflicts.getByText("1200").waitFor();
    await conflicts.getByText("500", { exact: true }).waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "conflict");
  },

  "blame names the commit of each value": async (t) => {
    await t.set("blamed", { a: 1, b: 1 }, "/", { reason: "both" });
    await t.set("blamed", { a: 1, b: 2 }, "/", { reason: "only the second" });
    const page = await t.open(historyOf(t, "blamed", "?view=blame"));
    const row = (place) => page.getByRole("row").filter({ has: page.locator("code", { hasText: new RegExp(`^${place}$`) }) });
    await row("b").getByText("only the second").waitFor();
    await row("a").getByText("both").waitFor();
    const link = await row("b").getByRole("link", { name: "version 2" }).getAttribute("href");
    await t.axeInBothThemes(page);
    await t.shot(page, "blame");
    const commit = await t.open(link);
    await commit.locator(".commit-details ins", { hasText: "2" }).waitFor();
    equal(await commit.locator(".commit").count(), 1, "commits at the address of one:");
  },

  "tags are set and removed, and a namespace is restored to one": async (t) => {
    await t.set("tagged", { a: 1 });
    await t.set("second", { b: 1 });
    const page = await t.open(historyOf(t, "tagged"));
    await page.getByRole("button", { name: "Tag version 1" }).click();
    await page.getByRole("dialog").getByLabel("Tag").fill("stable");
    await page.getByRole("dialog").getByRole("button", { name: "Set the tag" }).click();
    await page.locator(".commit").getByText("stable").waitFor();
    await page.getByRole("button", { name: "Remove the tag stable" }).click();
    await page.getByRole("dialog").getByText("The tag is removed from tagged.", { exact: false }).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Remove the tag" }).click();
    await page.locator(".commit .tag").waitFor({ state: "detached" });

    const whole = await t.open(`/changes?ns=${t.namespace}&view=restore`);
    await whole.getByRole("button", { name: "Tag the state now" }).click();
    await whole.getByRole("dialog").getByLabel("Tag").fill("release-1");
    await whole.getByRole("dialog").getByRole("button", { name: "Set the tag" }).click();
    await whole.getByRole("button", { name: "Restore to the tag release-1" }).waitFor();
    await t.axeInBothThemes(whole);
    await t.set("tagged", { a: 2 });
    await t.set("third", { c: 1 });
    await whole.getByRole("button", { name: "Restore to the tag release-1" }).click();
    const dialog = whole.getByRole("dialog");
    await dialog.getByText(`${t.namespace}/third /`, { exact: true }).waitFor();
    await t.shot(whole, "restore");
    await dialog.getByRole("button", { name: "Restore", exact: true }).click();
    await dialog.getByText("Done, as revision").waitFor();
    equal(await t.call("GET", `/v1/namespaces/${t.namespace}/configs/tagged?scope=/`), { a: 1 });
    const gone = await fetch(`${t.url}/v1/namespaces/${t.namespace}/configs/third`);
    equal(gone.status, 404);
  },

  "a restore can be limited to a scope": async (t) => {
    await t.set("limited", { a: 1 });
    const { store_revision } = await t.set("limited", { a: 1 }, "/production");
    await t.set("limited", { a: 2 });
    await t.set("limited", { a: 2 }, "/production");
    const page = await t.open(historyOf(t, "limited", "?view=restore&scope=/production"));
    await page.getByLabel("Go back to").selectOption("revision");
    await page.getByLabel("Revision", { exact: true }).fill(String(store_revision));
    await page.getByLabel("Only the layers at /production and below it").check();
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("dialog").getByText("What changes in the effective documents").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Restore", exact: true }).click();
    await page.getByText("Done, as revision").waitFor();
    const at = (scope) => t.call("GET", `/v1/namespaces/${t.namespace}/configs/limited?scope=${scope}`);
    equal([await at("/"), await at("/production")], [{ a: 2 }, { a: 1 }]);
  },

  "what compaction removed is named": async (t) => {
    const server = await t.server(["--auth", "off", "--retain-revisions", "5"]);
    for (let a = 1; a <= 30; a++) await t.set("compacted", { a }, "/", { url: server.url });
    await until(async () => (await t.call("GET", "/v1/status", undefined, { url: server.url })).server.oldest_revision > 1, "the compaction");
    const history = await t.open(historyOf(t, "compacted"), { url: server.url });
    await history.getByText("was removed by retention", { exact: false }).waitFor();
    const changes = await t.open("/changes", { url: server.url });
    await changes.getByText("was removed by retention", { exact: false }).waitFor();
    await changes.getByRole("button", { name: /^What changed in revision/ }).last().click();
    await changes.locator(".commit-details").waitFor();
  },

  "a commit of very many configs is cut until it is opened": async (t) => {
    const changes = Array.from({ length: 300 }, (_, at) => ({ namespace: t.namespace, config: `service-${at}`, scope: "/", replace: { content: '{"a":1}' } }));
    await t.call("POST", "/v1/layers:apply", { changes, options: { reason: "all at once" } });
    const page = await t.open(`/changes?ns=${t.namespace}`);
    await page.getByText("and 290 more configs").waitFor();
    await page.getByRole("button", { name: /^What changed in revision/ }).click();
    await page.getByText("200 more scopes not shown.").waitFor();
    await until(async () => (await page.locator(".commit-changes > li").count()) === 300, "all configs of the commit");
  },

  "changes appear by themselves, and filters are in the address": async (t) => {
    await t.set("one", { a: 1 }, "/", { headers: { "confwatch-actor": "alice" }, reason: "by alice" });
    await t.set("one", { a: 2 }, "/production", { headers: { "confwatch-actor": "bob" }, reason: "by bob" });
    const page = await t.open(`/changes?ns=${t.namespace}&actor=bob`);
    await page.getByText("by bob").waitFor();
    equal(await page.getByText("by alice").count(), 0);
    await t.set("one", { a: 3 }, "/", { headers: { "confwatch-actor": "alice" }, reason: "later by alice" });
    await t.set("one", { a: 4 }, "/", { headers: { "confwatch-actor": "bob" }, reason: "later by bob" });
    await page.getByText("later by bob").waitFor();
    equal(await page.getByText("later by alice").count(), 0);
    await page.getByLabel("Actor").fill("");
    await page.getByLabel("At or below scope").fill("/production");
    await page.keyboard.press("Enter");
    await page.waitForURL(/within=/);
    await page.getByText("later by bob").waitFor({ state: "detached" });
    await page.getByText("by bob").waitFor();
    holds(!page.url().includes("actor="), page.url());
    await page.getByRole("button", { name: "Clear filters" }).click();
    await page.getByText("later by alice").waitFor();
    await page.getByLabel("From", { exact: true }).fill("2999-01-01T00:00:00");
    await page.getByText("No such change").waitFor();
    holds(/from=29\d\d-\d\d-\d\dT[\d:.]+Z/.test(decodeURIComponent(page.url())), `the address has a time without its zone: ${page.url()}`);
    equal(await page.getByLabel("From", { exact: true }).inputValue(), "2999-01-01T00:00");
    await page.getByRole("button", { name: "Clear filters" }).click();
    await page.getByText("later by alice").waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "changes");
  },

  "a way back is taken, and left, by the keyboard": async (t) => {
    await t.set("keys", { a: 1 });
    await t.set("keys", { a: 2 });
    const page = await t.open(historyOf(t, "keys"));
    const button = page.getByRole("button", { name: "Roll back to version 1" });
    await button.focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Reason").waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    equal(await button.evaluate((element) => element === document.activeElement), true, "the focus returns:");
    await page.keyboard.press("Enter");
    await dialog.getByLabel("Reason").fill("by the keyboard");
    await page.keyboard.press("Enter");
    await dialog.getByText("Done, as revision").waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("by the keyboard").waitFor();
    const changes = await t.open(`/changes?ns=${t.namespace}`);
    await changes.locator(".commit").first().waitFor();
    await changes.keyboard.press("/");
    await until(() => changes.evaluate(() => document.activeElement?.tagName === "INPUT"), "the focus of the first filter");
  },

  "the pages of history fit a phone": async (t) => {
    await t.set("phone", { a: 1 }, "/", { reason: "a reason that is long enough to need more than one line of a small screen" });
    await t.set("phone", { a: { rather: { deep: { and: { long: "a value with many words that nobody breaks" } } } } }, "/production/checkout");
    for (const [path, name] of [[historyOf(t, "phone"), "history"], [historyOf(t, "phone", "?view=blame"), "blame"], [`/changes?ns=${t.namespace}`, "changes"], [`/changes?ns=${t.namespace}&view=restore`, "tags"]]) {
      const page = await t.open(path, { width: 390, height: 844 });
      await page.locator(".commit, .table, .restore-form").first().waitFor();
      await t.fits(page);
      await t.axe(page);
      await t.shot(page, `phone-${name}`);
    }
  },
};
