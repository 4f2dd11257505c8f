// The editor of a layer: what is wrong is shown at its place, nothing is written without a review, nobody's change is overwritten, no secret is lost.
import { equal, holds, until } from "./harness.mjs";

const SCHEMA = {
  type: "object",
  properties: {
    timeout_ms: { type: "integer", minimum: 1, maximum: 60000, description: "How long a payment may take." },
    mode: { enum: ["fast", "safe"] },
    enabled: { type: "boolean", default: true },
    pool: { type: "object", properties: { min: { type: "integer" }, max: { type: "integer", maximum: 100 } }, additionalProperties: false },
    hosts: { type: "array", items: { type: "string" } },
    db: { type: "object", properties: { user: { type: "string" }, password: { type: "string", "x-secret": true } } },
    id: { type: "integer" },
  },
};

const schema = (t, config, content = SCHEMA) =>
  t.call("POST", `/v1/namespaces/${t.namespace}/configs/${config}/schema:put`, { schema: { content: JSON.stringify(content) }, options: { reason: "a test" } });

/** Writes a layer as a text of a format, as a person would. */
const write = (t, config, content, format = "FORMAT_YAML", scope = "/", more = {}) =>
  t.call("POST", "/v1/layers:apply", { changes: [{ namespace: t.namespace, config, scope, replace: { content, format }, ...more }], options: { reason: "a test" } });

const layer = async (t, config, scope = "/") =>
  (await t.call("GET", `/v1/namespaces/${t.namespace}/configs/${config}/document?scope=${scope}&view=VIEW_LAYER`)).document.content;

const content = (page) => page.locator(".cm-content");
const textOf = (page) => page.evaluate(() => document.querySelector(".editor .code")?.shadowRoot?.querySelector(".cm-content")?.cmTile.view.state.doc.toString() ?? "");

/** Replaces the text of the editor as a person does: by selecting all, and typing. */
async function type(page, text) {
  await content(page).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(text);
}

const save = async (page, reason = "the test wants it") => {
  await page.getByLabel(/^Reason/).fill(reason);
  await page.getByRole("dialog").getByRole("button", { name: /^(Save|Create the layer|Reset|End it)$/ }).click();
  await page.getByText(/^Saved as version/).waitFor();
};

/** Follows a document as a service does, and gives what it was sent. */
function watch(t, config, scope) {
  const seen = [];
  const controller = new AbortController();
  const done = (async () => {
    const response = await fetch(`${t.url}/v1/watch?target=${t.namespace}/${config}@${scope}&client_id=checkout-7`, { headers: { accept: "application/x-ndjson" }, signal: controller.signal });
    let rest = "";
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + part).split("\n");
      rest = lines.pop();
      for (const line of lines.filter(Boolean)) {
        const { snapshot, update } = JSON.parse(line);
        for (const state of (snapshot ?? update)?.states ?? []) seen.push(state.document?.content);
      }
    }
  })().catch(() => {});
  return { seen, end: () => (controller.abort(), done) };
}

export default {
  "an error is underlined at its place, corrected by its suggestion, reviewed, saved, and received by a watcher": async (t) => {
    await schema(t, "checkout");
    await write(t, "checkout", "pool:\n  max: 10\ntimeout_ms: 3000\n");
    const watcher = watch(t, "checkout", "/production");
    await until(() => watcher.seen.length === 1, "the snapshot");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, "# why\npool:\n  mx: 10\ntimeout_ms: 3000\n");
    await page.locator(".cm-lintRange-error").waitFor();
    equal(await page.locator(".cm-lintRange-error").allInnerTexts(), ["mx"], "underlined:");
    await page.locator(".problems").getByText("additional").or(page.locator(".problems").getByText("not allowed")).first().waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "editor-error");
    await page.getByRole("button", { name: "Rename to max" }).click();
    await until(async () => (await page.locator(".cm-lintRange-error").count()) === 0, "the error to go");
    equal(await textOf(page), "# why\npool:\n  max: 10\ntimeout_ms: 3000\n");
    await page.getByRole("button", { name: /^Review/ }).waitFor();
    await type(page, "# why\npool:\n  max: 20\ntimeout_ms: 3000\n");
    await page.keyboard.press("Control+s");
    const dialog = page.getByRole("dialog");
    await dialog.getByText("1 watcher", { exact: true }).waitFor();
    await dialog.getByText("checkout-7").waitFor();
    await dialog.locator(".scopes").getByText("pool.max").first().waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "editor-review");
    await save(page);
    await page.getByText("The one watcher has received it.").waitFor();
    await until(() => watcher.seen.at(-1) === '{"pool":{"max":20},"timeout_ms":3000}', `the watcher to receive it, ${watcher.seen}`);
    await watcher.end();
    const { versions } = await t.call("GET", `/v1/namespaces/${t.namespace}/configs/checkout/versions`);
    equal(versions[0].commit.reason, "the test wants it");
  },

  "a text that cannot be read is underlined where it breaks, and is not reviewed": async (t) => {
    await write(t, "checkout", '{"a": 1}', "FORMAT_JSON");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, '{\n  "a": 1,\n  "b": yes\n}\n');
    await page.locator(".cm-lintRange-error").waitFor();
    equal(await page.locator(".cm-lintRange-error").allInnerTexts(), ["yes"]);
    await page.keyboard.press("Control+s");
    await page.locator(".toast").getByText("cannot be read").waitFor();
    equal(await page.getByRole("dialog").count(), 0);
  },

  "two people edit one layer: the second merges, and nothing is overwritten": async (t) => {
    await write(t, "checkout", "a: 1\nb: 1\nc: 1\n");
    const one = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    const other = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(one, "a: 10\nb: 10\nc: 1\n");
    await type(other, "# mine\na: 1\nb: 20\nc: 30\n");
    await one.keyboard.press("Control+s");
    await save(one);
    // The other page hears of it; also without, the expected version would refuse the write.
    await other.getByText("changed this layer while you were editing").waitFor();
    await other.keyboard.press("Control+s");
    const dialog = other.getByRole("dialog");
    await dialog.getByRole("heading", { name: "Both changed" }).waitFor();
    equal(await dialog.getByRole("button", { name: "Decide 1 conflict" }).isDisabled(), true);
    await t.axeInBothThemes(other);
    await t.shot(other, "editor-merge");
    await dialog.getByLabel("b: take mine").check();
    await dialog.getByRole("button", { name: "Merge into my text" }).click();
    await until(async () => (await textOf(other)) === "# mine\na: 10\nb: 20\nc: 30\n", "the merged text");
    equal(JSON.parse(await layer(t, "checkout")), { a: 10, b: 10, c: 1 }, "nothing is written by the merge itself:");
    await other.keyboard.press("Control+s");
    await save(other);
    equal(JSON.parse(await layer(t, "checkout")), { a: 10, b: 20, c: 30 });
  },

  "a write that loses a race is refused by its expected version, and leads to the merge": async (t) => {
    await write(t, "checkout", "a: 1\nb: 1\n");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, "a: 2\nb: 1\n");
    await page.keyboard.press("Control+s");
    await page.getByRole("dialog").getByRole("heading", { name: "In this layer" }).waitFor();
    t.expect(/40[0-9]|412/);
    await write(t, "checkout", "a: 1\nb: 5\n");
    await page.getByLabel(/^Reason/).fill("late");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByText("No value was changed by both").waitFor();
    equal(JSON.parse(await layer(t, "checkout")), { a: 1, b: 5 });
    await page.getByRole("button", { name: "Merge into my text" }).click();
    await until(async () => (await textOf(page)) === "a: 2\nb: 5\n", "the merged text");
  },

  "a secret is a mask in the text, and saving keeps it": async (t) => {
    await schema(t, "checkout");
    await write(t, "checkout", "db:\n  password: hunter2\n  user: shop\n");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await until(async () => /password: "?\*\*\*:[0-9a-f]{8}/.test(await textOf(page)), "the mask");
    holds(!(await page.content()).includes("hunter2"), "the secret is in the page");
    await type(page, (await textOf(page)).replace("user: shop", "user: shop2"));
    await page.keyboard.press("Control+s");
    await save(page);
    equal(JSON.parse(await layer(t, "checkout")), { db: { password: "hunter2", user: "shop2" } });
  },

  "the form edits the text at its place, keeps comments, and integers keep all digits": async (t) => {
    await schema(t, "checkout");
    await write(t, "checkout", "id: 9223372036854775807\ntimeout_ms: 3000\n");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, "# the id of the shop\nid: 9223372036854775807 # do not touch\ntimeout_ms: 3000\nextra: kept\n");
    await page.getByRole("button", { name: "Form", exact: true }).click();
    await page.getByLabel("timeout_ms").fill("4000");
    await page.getByLabel("timeout_ms").press("Enter");
    await page.getByLabel("mode").selectOption("safe");
    await page.getByRole("button", { name: "Add an element" }).or(page.getByRole("button", { name: "Set here" })).first().click();
    await t.axeInBothThemes(page);
    await t.shot(page, "editor-form");
    await page.getByRole("button", { name: "Text", exact: true }).click();
    equal(await textOf(page), "# the id of the shop\nid: 9223372036854775807 # do not touch\ntimeout_ms: 4000\nextra: kept\nmode: safe\nhosts: []\n");
    await page.getByRole("button", { name: "Form", exact: true }).click();
    await page.getByLabel("id", { exact: true }).fill("9223372036854775806");
    await page.getByLabel("id", { exact: true }).press("Enter");
    await page.keyboard.press("Control+s");
    await save(page);
    holds((await layer(t, "checkout")).includes('"id":9223372036854775806'), await layer(t, "checkout"));
  },

  "the form shows a finding at its field, with its correction": async (t) => {
    await schema(t, "checkout");
    await write(t, "checkout", "mode: safe\n");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, "mode: saef\ntimeout_ms: 70000\n");
    await page.getByRole("button", { name: "Form", exact: true }).click();
    await page.locator(".form").getByText("at most 60000 expected").waitFor();
    await page.locator(".form").getByRole("button", { name: 'Write "safe"' }).click();
    await page.getByRole("button", { name: "Text", exact: true }).click();
    equal(await textOf(page), "mode: safe\ntimeout_ms: 70000\n");
  },

  "leaving with unsaved text asks, and nothing typed is stored in the browser": async (t) => {
    await write(t, "checkout", "a: 1\n");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, "a: a-typed-value\n");
    await page.getByRole("button", { name: /^Review/ }).waitFor();
    await page.getByRole("link", { name: "Changes" }).first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("not saved").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    equal(await textOf(page), "a: a-typed-value\n");
    const stored = await page.evaluate(async () => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, (await indexedDB.databases()).length, history.state, location.href]));
    holds(!stored.includes("a-typed-value"), stored);
    await page.getByRole("link", { name: "Changes" }).first().click();
    await dialog.getByRole("button", { name: "Leave and lose them" }).click();
    await page.waitForURL(/\/changes/);
  },

  "names and values are completed from the schema, and a hover explains them": async (t) => {
    await schema(t, "checkout");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await content(page).click();
    await page.keyboard.press("Control+a");
    await page.keyboard.type("tim");
    await page.locator(".cm-tooltip-autocomplete").getByText("timeout_ms").waitFor();
    await page.waitForTimeout(200);
    await page.keyboard.press("Enter");
    await until(async () => (await textOf(page)).startsWith("timeout_ms: "), "the completed name");
    await page.keyboard.type("5\nmode: s");
    await page.locator(".cm-tooltip-autocomplete").getByText("safe").waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("timeout_ms", { exact: true }).first().hover();
    await page.locator(".hover").getByText("How long a payment may take.").waitFor();
  },

  "unsaved text survives a look at the table and at another layer, and a deleted layer is written anew": async (t) => {
    await write(t, "checkout", "a: 1\n");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, "a: 2\n");
    await page.getByRole("button", { name: "Table", exact: true }).click();
    await page.getByText("The editor has changes of the base layer at /").waitFor();
    await page.getByRole("button", { name: "Override", exact: true }).click();
    await page.getByRole("button", { name: "Text", exact: true }).click();
    await page.getByRole("button", { name: "Back to the editor" }).click();
    equal(await textOf(page), "a: 2\n");
    await page.getByRole("button", { name: "Discard" }).click();
    await page.getByRole("button", { name: "Discard changes" }).click();
    equal(await textOf(page), "a: 1\n");
    await page.getByRole("button", { name: "Delete this layer" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(/^Reason/).fill("not needed");
    await dialog.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText(/^Saved as version/).waitFor();
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    await page.getByText("This scope has no layer yet").waitFor();
    await type(page, "a: 3\n");
    await page.keyboard.press("Control+s");
    await save(page);
    equal(JSON.parse(await layer(t, "checkout")), { a: 3 });
  },

  "an override is made with an end, and a new secret is masked in its review": async (t) => {
    await schema(t, "checkout");
    await write(t, "checkout", "db:\n  user: shop\ntimeout_ms: 1\n");
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text&kind=override`);
    await page.getByText("This scope has no override yet").waitFor();
    await type(page, "timeout_ms: 5\ndb:\n  password: hunter2\n  token: {$secret: hunter3}\n");
    await page.keyboard.press("Control+s");
    const dialog = page.getByRole("dialog");
    await dialog.locator(".scopes").getByText("db.password").waitFor();
    const shown = await dialog.innerText();
    holds(!/hunter/.test(shown), shown);
    await dialog.getByLabel("The override ends").selectOption({ label: "in 4 hours" });
    await t.shot(page, "editor-override");
    await save(page);
    const { document } = await t.call("GET", `/v1/namespaces/${t.namespace}/configs/checkout/document?scope=/&view=VIEW_OVERRIDE_LAYER`);
    holds(Date.parse(document.layers[0].expire_time) > Date.now() + 3.9 * 3_600_000, document.layers[0].expire_time);
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    await page.goto(`${t.url}/ns/${t.namespace}/checkout`);
    await page.locator(".countdown", { hasText: /ends in (3 h 59|4 h)/ }).waitFor();
  },

  "a write that reaches far asks once more, and a reason is demanded where the namespace does": async (t) => {
    const changes = (from, count) => Array.from({ length: count }, (_, at) => ({ namespace: t.namespace, config: "checkout", scope: `/s-${from + at}`, replace: { content: `{"own": ${at}}` } }));
    await write(t, "checkout", "a: 1\n");
    for (const from of [0, 600]) await t.call("POST", "/v1/layers:apply", { changes: changes(from, 600), options: { reason: "many scopes" } });
    await t.set("namespace:settings", { require_reason: true });
    const page = await t.open(`/ns/${t.namespace}/checkout?view=text`);
    await type(page, "a: 2\n");
    await page.keyboard.press("Control+s");
    const dialog = page.getByRole("dialog");
    await dialog.getByText("This write reaches far: 1,201 scopes").waitFor();
    const button = dialog.getByRole("button", { name: "Save" });
    equal(await button.isDisabled(), true, "without a reason and a check:");
    await dialog.getByLabel("Reason (required in this namespace)").fill("everywhere");
    equal(await button.isDisabled(), true, "without a check:");
    await dialog.getByLabel(/I have checked what it reaches/).check();
    await button.click();
    await page.getByText(/^Saved as version/).waitFor();
    equal(JSON.parse(await layer(t, "checkout")), { a: 2 });
  },
};
