// Signing in and out, and the end of a session.
import { equal, holds, until } from "./harness.mjs";

async function signIn(page, token) {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

export default {
  "a server without sessions says that it signs nobody in": async (t) => {
    const page = await t.open("/");
    await page.route(/\/login$/, (route) => (route.request().resourceType() === "document" ? route.continue() : route.fulfill({ contentType: "text/html", body: "<p>no JSON</p>" })));
    await page.goto(`${t.url}/login`);
    await page.getByText("This server signs nobody in here.").waitFor();
    equal(await page.getByLabel("Token").count(), 0);
  },

  "a person signs in with a token, comes to the page that was asked for, and signs out": async (t) => {
    t.expect(/401/);
    const server = await t.server(["--auth", "on"]);
    await t.set("checkout", { a: 1 }, "/production", server);
    const page = await t.open(`/ns/${t.namespace}?scope=/production`, { url: server.url });
    await page.waitForURL("**/login?return_to=*");
    await page.getByRole("heading", { name: "Sign in to confwatch" }).waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "login");
    equal(await page.getByLabel("Token").getAttribute("autocomplete"), "off");

    await signIn(page, "cw_not_a_token");
    await page.getByRole("alert").waitFor();
    await signIn(page, server.token);
    await page.waitForURL((url) => url.pathname === `/ns/${t.namespace}` && url.searchParams.get("scope") === "/production");
    await page.locator(".config-list").getByText("checkout").waitFor();
    await page.locator(".live.good").waitFor();
    await t.set("made-later", {}, "/", server);
    await page.locator(".config-list").getByText("made-later").waitFor();

    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
    holds(!kept.includes("cw_"), `the page keeps a token: ${kept}`);
    await page.reload();
    await page.locator(".config-list").getByText("checkout").waitFor();

    await page.locator(".user").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL("**/login");
    await page.goto(`${server.url}/ns/${t.namespace}`);
    await page.waitForURL("**/login?return_to=*");
  },

  "a session that is revoked leads to the login page": async (t) => {
    t.expect(/401/);
    const server = await t.server(["--auth", "on"]);
    const page = await t.open("/", { url: server.url });
    await signIn(page, server.token);
    await page.waitForURL(`${server.url}/`);
    const { sessions } = await t.call("GET", "/v1/sessions?all=true", undefined, server);
    await t.call("POST", "/v1/sessions:revoke", { id: sessions[0].id, reason: "a test" }, server);
    await page.waitForURL("**/login*");
  },

  "an address of another site is not where a login leads": async (t) => {
    t.expect(/401/);
    const server = await t.server(["--auth", "on"]);
    for (const to of ["//evil.example/", "https://evil.example/", "/\\evil.example"]) {
      const page = await t.open(`/login?return_to=${encodeURIComponent(to)}`, { url: server.url });
      await signIn(page, server.token);
      await until(async () => !page.url().includes("/login"), "the page after the login");
      equal(page.url(), `${server.url}/`);
      await page.context().close();
    }
  },

  "a server without authentication has no login": async (t) => {
    const page = await t.open("/login");
    await page.getByText("This server does not ask who you are.").waitFor();
    await page.getByRole("link", { name: "Open the console" }).click();
    await page.waitForURL(`${t.url}/`);
    await page.locator(".user").click();
    await page.getByText("This server does not ask who you are.").waitFor();
    equal(await page.getByRole("button", { name: "Sign out" }).count(), 0);
  },
};
