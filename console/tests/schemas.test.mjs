// Schemas and rules: listed, tried out before they are stored, and stored.
import { equal, holds } from "./harness.mjs";

const schema = (maximum) => ({ type: "object", properties: { timeout_ms: { type: "integer", maximum } } });
/** Replaces a text of the page as a person does: by selecting all, and typing. */
async function type(page, label, text) {
  await page.getByRole("textbox", { name: label }).and(page.locator(".cm-content")).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(text);
}
const textOf = (page, label) => page.getByRole("textbox", { name: label }).locator(".cm-line").allTextContents();
const path = (t, of) => `/schemas?ns=${t.namespace}${of ? `&of=${of}` : ""}`;

export default {
  "a schema is tried out with a document before it is stored": async (t) => {
    await t.set("checkout", { timeout_ms: 900 });
    const page = await t.open(path(t));
    await page.getByText("No schemas and no rules").waitFor();
    await page.getByLabel("Of the config").fill("checkout");
    await page.getByRole("button", { name: "Open" }).click();
    await type(page, "Schema as JSON", JSON.stringify(schema(1000)));
    const outcome = page.getByRole("status", { name: "Outcome" });
    await type(page, "Document", '{"timeout_ms": 5000}');
    await outcome.getByText("Not valid").waitFor();
    await outcome.getByText("at most 1000 expected, 5000 found").waitFor();
    await outcome.getByText("About this document").waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "try-out");
    await type(page, "Document", '{"timeout_ms": 700}');
    await outcome.getByText("Valid").waitFor();
    await type(page, "Document", '{"timeout_ms": ');
    await page.getByText("Unexpected end of JSON input").waitFor();
    await page.getByRole("button", { name: "Load the stored layer" }).click();
    await outcome.getByText("Valid").waitFor();
    equal(await textOf(page, "Document"), ["{", '  "timeout_ms": 900', "}"]);
    // What is stored would violate a stricter schema.
    await type(page, "Schema as JSON", JSON.stringify(schema(800)));
    await outcome.getByText("at most 800 expected, 900 found").waitFor();
    equal((await t.call("GET", `/v1/namespaces/${t.namespace}/schemas`)).schemas.length, 0);
    await type(page, "Schema as JSON", JSON.stringify(schema(1000)));
    await page.getByRole("button", { name: "Review and store" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Stores a new version of the schema of checkout", { exact: false }).waitFor();
    await t.shot(page, "store-schema");
    await dialog.getByRole("button", { name: "Store" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await page.getByText("version 1", { exact: true }).waitFor();
    await page.getByRole("link", { name: /^All schemas/ }).click();
    await page.getByRole("link", { name: "checkout" }).waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "schemas");
    await page.goto(`${t.url}/ns/${t.namespace}/schema:checkout/history`);
    await page.getByText("Version 1", { exact: true }).waitFor();
    await t.shot(page, "schema-history");
  },

  "rules are edited, and a refused one says why": async (t) => {
    await t.set("pool", { pool: { min: 5, max: 10 } });
    t.expect(/status of 400|status of 412|status of 4\d\d/);
    const page = await t.open(path(t, "rules:pool"));
    await type(page, "Rules as JSON", '{"rules": {"fits": {"expression": "config.pool.min >= config.pool.max", "message": "must not fit"}}}');
    await page.getByRole("button", { name: "Load the stored layer" }).click();
    await page.getByRole("status", { name: "Outcome" }).getByText("must not fit").first().waitFor();
    await page.getByRole("button", { name: "Review and store" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("must not fit").first().waitFor();
    await t.axe(page);
    await t.shot(page, "refused-rules");
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await type(page, "Rules as JSON", '{"rules": {"fits": {"expression": "config.pool.min <= config.pool.max", "message": "the pool is smaller than its minimum"}}}');
    await page.getByRole("button", { name: "Review and store" }).click();
    await dialog.getByRole("button", { name: "Store" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await page.getByRole("button", { name: "Delete" }).click();
    await dialog.getByText("pool is checked against it", { exact: false }).waitFor();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await page.getByText("No schemas and no rules").waitFor();
  },

  "a draft is not lost by a click on a link": async (t) => {
    await t.set("draft", {});
    const page = await t.open(path(t, "schema:draft"));
    await type(page, "Schema as JSON", '{"type": "object", "title": "mine"}');
    await page.getByRole("link", { name: /^All schemas/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    holds((await textOf(page, "Schema as JSON")).join("").includes("mine"), "the draft is lost");
    await t.set("rules:draft", { rules: {} });
    holds((await textOf(page, "Schema as JSON")).join("").includes("mine"), "the draft is lost");
  },

  "the pages of schemas fit a phone": async (t) => {
    await t.set("schema:phone", { active: 1, versions: [{ number: 1, schema: schema(10) }] });
    for (const [of, name] of [["", "schemas"], ["schema:phone", "schema"]]) {
      const page = await t.open(path(t, of), { width: 390, height: 844 });
      await page.locator("form, .cm-content").first().waitFor();
      await t.fits(page);
      await t.axe(page);
      await t.shot(page, `phone-${name}`);
    }
  },
};
