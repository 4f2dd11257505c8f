// Settings: the state of the server, keys, backups, quotas and retention.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { equal } from "./harness.mjs";

export default {
  "the server, its keys and its backups are shown and looked after": async (t) => {
    const backups = mkdtempSync(join(tmpdir(), "confwatch-backups-"));
    try {
      const server = await t.server(["--auth", "on", "--backup-dir", join(backups, "kept")]);
      const context = { extraHTTPHeaders: { authorization: `Bearer ${server.token}` } };
      const call = (method, path, body) => t.call(method, path, body, { url: server.url, token: server.token });
      await call("PUT", "/v1/namespaces/shop/configs/checkout/layers/", { password: { $secret: "4711" } });
      const page = await t.open("/settings", { url: server.url, context });
      await page.getByText("The server knows of no problem.").waitFor();
      await page.getByText("Watched targets").waitFor();
      await t.axeInBothThemes(page);
      await t.shot(page, "settings");

      await page.getByRole("button", { name: "Keys" }).click();
      await page.getByText("all under this key").waitFor();
      await page.getByRole("button", { name: "Rotate the key of shop" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Rotate the key" }).click();
      await page.getByText("and 1 older key", { exact: false }).waitFor();
      await t.axeInBothThemes(page);
      await t.shot(page, "keys");

      await page.getByRole("button", { name: "Backups" }).click();
      await page.getByText("The server keeps no backup", { exact: false }).waitFor();
      await page.getByRole("button", { name: "Make a backup" }).click();
      await page.getByRole("dialog").getByLabel("Note").fill("before the release");
      await page.getByRole("dialog").getByRole("button", { name: "Make the backup" }).click();
      await page.getByRole("dialog").getByText("is made:", { exact: false }).waitFor();
      await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
      await page.getByRole("row").filter({ hasText: "before the release" }).waitFor();
      await page.getByRole("button", { name: /^Verify the backup/ }).click();
      await page.getByText("is intact: every byte", { exact: false }).waitFor();
      await page.getByRole("button", { name: /^Pin the backup/ }).click();
      await page.getByRole("row").getByText("pinned").waitFor();
      await t.axeInBothThemes(page);
      await t.shot(page, "backups");
      equal((await call("GET", "/v1/backups")).backups[0].pinned, true);
    } finally {
      rmSync(backups, { recursive: true, force: true });
    }
  },

  "quotas and retention are forms, and what would be removed is said first": async (t) => {
    const server = await t.server(["--auth", "on"]);
    const context = { extraHTTPHeaders: { authorization: `Bearer ${server.token}` } };
    const call = (method, path, body) => t.call(method, path, body, { url: server.url, token: server.token });
    for (const a of [1, 2, 3]) await call("PUT", "/v1/namespaces/shop/configs/checkout/layers/", { a });
    const page = await t.open("/settings?view=limits", { url: server.url, context });
    const quotas = page.getByRole("region", { name: "Quotas" });
    await quotas.getByLabel("Namespace").fill("shop");
    await quotas.getByLabel("Configs", { exact: true }).fill("1");
    await quotas.getByRole("button", { name: "Review and store" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("namespaces", { exact: false }).first().waitFor();
    await dialog.getByRole("button", { name: "Store" }).click();
    await dialog.getByText("Done, as revision").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await quotas.getByText("With limits of their own: shop").waitFor();
    const refused = await fetch(`${server.url}/v1/namespaces/shop/configs/second/layers/`, {
      method: "PUT", body: "{}", headers: { "content-type": "application/json", authorization: `Bearer ${server.token}` },
    });
    equal((await refused.json()).reason, "QUOTA_EXCEEDED");
    const retention = page.getByRole("region", { name: "Retention" });
    await retention.getByLabel("Namespace").fill("shop");
    await retention.getByLabel("Bytes").fill("many");
    await retention.getByText("A whole number, or nothing").waitFor();
    await retention.getByLabel("Bytes").fill("10");
    await retention.getByRole("button", { name: "Review and store" }).click();
    await dialog.getByText("HISTORY_CUT").waitFor();
    await t.axeInBothThemes(page);
    await t.shot(page, "retention");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await t.shot(page, "limits");
    // The server has no place for backups.
    t.expect(/status of 400.*backups/);
    for (const view of ["server", "keys", "backups", "limits"]) {
      const phone = await t.open(`/settings?view=${view}`, { url: server.url, context, width: 390, height: 844 });
      await phone.locator(".panel").first().waitFor();
      await t.fits(phone);
      await t.axe(phone);
      await t.shot(phone, `phone-settings-${view}`);
    }
  },
};
