// The audit trail: denied calls and changes as they happen, filters, details, and the proof of the chains.
import { equal, holds } from "./harness.mjs";

async function guarded(t) {
  const server = await t.server(["--auth", "on"]);
  const call = (method, path, body, token = server.token) => t.call(method, path, body, { url: server.url, token });
  const open = (path, more = {}) => t.open(path, { url: server.url, ...more, context: { extraHTTPHeaders: { authorization: `Bearer ${server.token}` } } });
  return { ...server, call, open };
}

export default {
  "a denied call appears by itself, and is found by its outcome": async (t) => {
    const server = await guarded(t);
    const { token } = await server.call("POST", "/v1/tokens:create", { name: "ci" });
    await server.call("PUT", "/v1/namespaces/shop/configs/checkout/layers/?reason=the+first", { a: 1 });
    const page = await server.open("/audit");
    await page.getByRole("row").filter({ hasText: "shop/checkout" }).waitFor();
    const denied = await fetch(`${server.url}/v1/namespaces/shop/configs/checkout?scope=/`, { headers: { authorization: `Bearer ${token}` } });
    equal(denied.status, 403);
    const row = page.getByRole("row").filter({ hasText: "PERMISSION_DENIED" });
    await row.getByText("token:ci").waitFor();
    await row.getByText("denied", { exact: true }).waitFor();
    await row.getByRole("button", { name: /^More about/ }).click();
    await page.getByText("ConfigService/Get", { exact: false }).first().waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "audit");
    await page.getByLabel("Kind").selectOption("AUDIT_KIND_CHANGE");
    await page.waitForURL(/kind=AUDIT_KIND_CHANGE/);
    await row.waitFor({ state: "detached" });
    await page.getByRole("row").filter({ hasText: "shop/checkout" }).waitFor();
    await page.getByLabel("Actor").fill("user:nobody");
    await page.keyboard.press("Enter");
    await page.getByText("No such entry").waitFor();
    await page.getByRole("button", { name: "Clear filters" }).click();
    await row.first().waitFor();
    const filtered = await server.open("/audit?outcome=PERMISSION_DENIED&actor=token:*");
    await filtered.getByRole("row").filter({ hasText: "PERMISSION_DENIED" }).first().waitFor();
    equal(await filtered.getByText("COMMITTED").count(), 0);
  },

  "the chains are verified on demand": async (t) => {
    const server = await guarded(t);
    const page = await server.open("/audit");
    await page.getByRole("button", { name: "Verify the chains" }).click();
    await page.getByText("Every link is intact.").waitFor();
    const chains = page.getByRole("region", { name: "Chains", exact: true });
    holds((await chains.getByText("intact", { exact: true }).count()) >= 2, "too few chains are shown");
    await t.axeInBothThemes(page);
    await t.shot(page, "chains");
    const phone = await server.open("/audit", { width: 390, height: 844 });
    await phone.locator(".table").first().waitFor();
    await t.fits(phone);
    await t.axe(phone);
    await t.shot(phone, "phone-audit");
  },
};
