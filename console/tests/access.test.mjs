// Access: the policy, a question about a permission, and tokens; for an administrator, and for somebody with few rights.
import { equal, holds, until } from "./harness.mjs";

/** A server that asks for credentials, with a page opener for each token. */
async function guarded(t) {
  const server = await t.server(["--auth", "on"]);
  const call = (method, path, body, token = server.token) => t.call(method, path, body, { url: server.url, token });
  const open = (path, token = server.token, more = {}) =>
    t.open(path, { url: server.url, ...more, context: { extraHTTPHeaders: { authorization: `Bearer ${token}` }, permissions: ["clipboard-read", "clipboard-write"] } });
  const grant = async (subject, role, namespace, scope = "/") => {
    const binding = { subjects: [subject], role, namespace, config: "*", scope };
    const change = { namespace: "confwatch", config: "policy", scope: "/", json_patch: { content: JSON.stringify([{ op: "add", path: "/bindings/-", value: binding }]) } };
    await call("POST", "/v1/layers:apply", { changes: [change], options: { reason: "a test" } });
  };
  /** A token for a subject. */
  const tokenOf = async (subject) => (await call("POST", "/v1/tokens:create", { name: "a test", subject })).token;
  return { ...server, call, open, grant, tokenOf };
}

export default {
  "a token is created, shown once, used and revoked": async (t) => {
    const server = await guarded(t);
    await server.grant("token:checkout", "viewer", "shop");
    const page = await server.open("/access?view=tokens");
    await page.getByRole("button", { name: "Create a token" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("checkout");
    await dialog.getByRole("button", { name: "Create" }).click();
    await dialog.getByText("Copy the token now.").waitFor();
    const token = await dialog.locator(".token-shown code").textContent();
    holds(/^cw_/.test(token), token);
    await dialog.getByRole("button", { name: "Copy the token" }).click();
    equal(await page.evaluate(() => navigator.clipboard.readText()), token);
    await t.axeInBothThemes(page);
    await t.shot(page, "token-shown");
    await dialog.getByRole("button", { name: "I have kept it" }).click();
    await page.getByRole("row").filter({ hasText: "checkout" }).waitFor();
    equal((await page.content()).includes(token), false, "the token is in the page after its dialog:");
    equal(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])).then((text) => text.includes("cw_")), false, "a token is in the storage of the browser:");
    equal((await server.call("GET", "/v1/whoami", undefined, token)).actor, "token:checkout");
    await t.axeInBothThemes(page);
    await t.shot(page, "tokens");
    await page.getByRole("button", { name: /^Revoke the token checkout/ }).click();
    await dialog.getByText("its open streams end within a second", { exact: false }).waitFor();
    await dialog.getByLabel("Reason").fill("it was in a log");
    await dialog.getByRole("button", { name: "Revoke the token" }).click();
    await page.getByText("The token checkout is revoked.").waitFor();
    const refused = await fetch(`${server.url}/v1/whoami`, { headers: { authorization: `Bearer ${token}` } });
    equal((await refused.json()).reason, "CREDENTIAL_REVOKED");
    await page.getByLabel("With revoked and expired ones").check();
    await page.getByRole("row").filter({ hasText: "revoked" }).waitFor();
  },

  "the policy is a table, in which a role is granted and taken away": async (t) => {
    const server = await guarded(t);
    const page = await server.open("/access");
    await page.getByRole("row").filter({ hasText: "admin" }).waitFor();
    await page.getByRole("button", { name: "Grant a role" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Who").fill("user:alice, group:sre");
    await dialog.getByLabel("Role").selectOption("editor");
    await dialog.getByLabel("Namespace").fill("shop*");
    await dialog.getByLabel("Scope").fill("/staging");
    await dialog.getByRole("button", { name: "Preview" }).click();
    await dialog.locator("ins", { hasText: "user:alice" }).waitFor();
    await dialog.getByRole("button", { name: "Grant" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    const row = page.getByRole("row").filter({ hasText: "user:alice" });
    await row.getByText("/staging").waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "policy");

    await page.getByRole("button", { name: "May somebody?" }).click();
    const ask = async (who, verb, scope) => {
      const form = page.getByRole("region", { name: "Ask about a permission" });
      await form.getByLabel("Who").fill(who);
      await form.getByLabel("do", { exact: true }).selectOption(verb);
      await form.getByLabel("Namespace").fill("shop");
      await form.getByLabel("Config").fill("checkout");
      await form.getByLabel("at the scope").fill(scope);
      await form.getByRole("button", { name: "Ask" }).click();
    };
    const answer = page.getByRole("status", { name: "Answer" });
    await ask("user:alice", "write", "/staging/eu");
    await answer.getByText("Yes").waitFor();
    await answer.getByText("editor on shop*/* at /staging").waitFor();
    await ask("user:alice", "write", "/production");
    await answer.getByText("No", { exact: false }).first().waitFor();
    await answer.getByText("It is for another scope.").waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "can-i");
    const again = await server.open(new URL(page.url()).pathname + new URL(page.url()).search);
    await again.getByText("It is for another scope.").waitFor();

    await page.getByRole("button", { name: "Policy" }).click();
    await page.getByRole("button", { name: "Remove editor of user:alice, group:sre" }).click();
    await dialog.getByRole("button", { name: "Remove" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await row.waitFor({ state: "detached" });
  },

  "somebody with few rights is told what is missing, on every page": async (t) => {
    const server = await guarded(t);
    await server.call("PUT", "/v1/namespaces/shop/configs/checkout/layers/", { timeout_ms: 500 });
    await server.call("PUT", "/v1/namespaces/shop/configs/checkout/layers/", { timeout_ms: 900 });
    await server.call("PUT", "/v1/namespaces/bank/configs/vault/layers/", { a: 1 });
    await server.grant("user:eve", "viewer", "shop");
    const token = await server.tokenOf("user:eve");
    t.expect(/status of 403/);
    const denied = async (path, name) => {
      const page = await server.open(path, token);
      await page.locator(".note.warn", { hasText: /may not|not allowed|permission|needs|takes/i }).first().waitFor();
      await t.axe(page);
      await t.shot(page, `denied-${name}`);
      return page;
    };
    await denied("/access", "policy");
    await denied("/access?view=tokens", "tokens");
    await denied("/audit", "audit");
    await denied("/settings?view=keys", "keys");
    await denied("/settings?view=limits", "limits");
    const settings = await server.open("/settings", token);
    await settings.getByText("Figures and problems of the server take the permission", { exact: false }).waitFor();

    const changes = await server.open("/changes", token);
    await changes.locator(".commit").first().waitFor();
    equal(await changes.getByText("vault").count(), 0, "what may not be read is in the page:");
    const history = await server.open("/ns/shop/checkout/history", token);
    await history.getByRole("button", { name: "Roll back to version 1" }).click();
    const dialog = history.getByRole("dialog");
    await dialog.locator(".note.warn").waitFor();
    holds((await dialog.locator(".note.warn").textContent()).includes("rollback"), "the denial does not name the permission");
    equal(await dialog.getByRole("button", { name: "Roll back" }).count(), 0);
    await t.shot(history, "denied-rollback");

    const asked = await server.open("/access?view=can-i&verb=write&in=shop&config=checkout", token);
    await asked.getByText("The nearest grants, and why they do not help").waitFor();
    await until(async () => (await asked.getByText("has a role without the permission", { exact: false }).count()) === 1, "the lack of the grant");
  },

  "ways back reveal no secret to the page, nor to the audit log": async (t) => {
    const server = await guarded(t);
    const write = (password) => server.call("PUT", "/v1/namespaces/shop/configs/vault/layers/", { user: "shop", password: { $secret: password } });
    await write("hunter-4711");
    await write("hunter-4712");
    const page = await server.open("/ns/shop/vault/history");
    await page.getByRole("button", { name: "Revert version 2" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("What changes in the effective documents").waitFor();
    await dialog.locator("del", { hasText: "***" }).waitFor();
    equal((await page.content()).includes("hunter-"), false, "a secret is in the page:");
    await dialog.getByRole("button", { name: "Revert" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    const { document } = await server.call("GET", "/v1/namespaces/shop/configs/vault/document");
    equal(JSON.parse(document.content).password, "hunter-4711");
    // The writes and the read of this test showed the secret, and nothing of the page did.
    const calls = async () => (await server.call("GET", "/v1/audit?filter.kinds=AUDIT_KIND_REVEALED")).entries.map((entry) => entry.rpc_method.split("/").at(-1));
    await until(async () => (await calls()).includes("Get"), "the record of the read");
    equal(await calls(), ["Get", "Set", "Set"]);
  },

  "the sessions of browsers are listed, and one is ended": async (t) => {
    const server = await guarded(t);
    const offer = await fetch(`${server.url}/login`, { headers: { accept: "application/json" } });
    if (offer.headers.get("content-type") !== "application/json") {
      console.log("skipped: the server has no sessions");
      return;
    }
    t.expect(/status of 401/);
    await server.grant("user:alice", "viewer", "shop");
    const logIn = async (token, more = {}) => {
      const page = await t.open("/", { url: server.url, ...more });
      await page.getByLabel("Token").fill(token);
      await page.getByRole("button", { name: "Sign in", exact: true }).click();
      await page.locator(".live.good").waitFor();
      return page;
    };
    const other = await logIn(await server.tokenOf("user:alice"));
    await other.goto(`${server.url}/access?view=sessions`);
    await other.getByRole("row").filter({ hasText: "this one" }).waitFor();
    await other.getByRole("button", { name: "Everybody's" }).click();
    await other.locator(".note.warn", { hasText: "admin" }).waitFor();
    t.expect(/status of 403/);
    const page = await logIn(server.token);
    await page.goto(`${server.url}/access`);
    await page.getByRole("button", { name: "Sessions" }).click();
    await page.getByRole("button", { name: "Everybody's" }).click();
    const row = page.getByRole("row").filter({ hasText: "user:alice" });
    await row.waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "sessions");
    await row.getByRole("button", { name: /^End the session/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "End the session" }).click();
    await row.waitFor({ state: "detached" });
    await other.waitForURL("**/login*");
  },

  "the pages of access fit a phone": async (t) => {
    const server = await guarded(t);
    for (const view of ["policy", "can-i", "tokens"]) {
      const page = await server.open(`/access?view=${view}`, server.token, { width: 390, height: 844 });
      await page.locator(".panel").first().waitFor();
      await t.fits(page);
      await t.axe(page);
      await t.shot(page, `phone-access-${view}`);
    }
  },
};
