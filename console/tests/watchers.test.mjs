// Who watches: what each client holds, whether it is behind, and how the page finds its way through many.
import { equal, until } from "./harness.mjs";

/** Opens a watch stream that is read to the end of the test, or, with `isDeaf`, not at all. */
async function watch(t, targets, client_id, labels = {}, { isDeaf = false, token, url = t.url } = {}) {
  const abort = new AbortController();
  const body = JSON.stringify({ targets, client_id, labels });
  const headers = { "content-type": "application/json", "user-agent": "checkout-service/2.1", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(`${url}/v1/watch`, { method: "POST", body, headers, signal: abort.signal });
  if (!response.ok) throw new Error(await response.text());
  if (!isDeaf) response.text().catch(() => {});
  return () => abort.abort();
}

const row = (page, text) => page.getByRole("row").filter({ hasText: text });

export default {
  "watchers appear by themselves, with what they hold": async (t) => {
    await t.set("checkout", { a: 1 });
    const page = await t.open(`/ns/${t.namespace}/checkout/watchers`);
    await page.getByText("Nobody watches").waitFor();
    const end = await watch(t, [{ namespace: t.namespace, config: "checkout", scope: "/production" }], "pod-17", { zone: "eu-1", version: "2.1" });
    await row(page, "pod-17").getByText("up to date").waitFor();
    await row(page, "pod-17").getByText("checkout-service/2.1").waitFor();
    await row(page, "pod-17").getByText("/production").waitFor();
    const before = await row(page, "pod-17").getByTitle(/^Digest/).textContent();
    await t.set("checkout", { a: 2 });
    await until(async () => (await row(page, "pod-17").getByTitle(/^Digest/).textContent()) !== before, "the digest of the new document");
    await t.axeInBothThemes(page);
    await t.shot(page, "watchers");
    end();
    await page.getByText("Nobody watches").waitFor();
  },

  "watchers of a namespace are found by label, config and client": async (t) => {
    await t.set("one", { a: 1 });
    await t.set("two", { a: 1 });
    const target = (config) => [{ namespace: t.namespace, config, scope: "/" }];
    const ends = [
      await watch(t, target("one"), "pod-a", { zone: "eu" }),
      await watch(t, target("two"), "pod-b", { zone: "us" }),
      await watch(t, target("*"), "pod-c", { zone: "us" }),
    ];
    const page = await t.open(`/watchers?ns=${t.namespace}&config=two`);
    await row(page, "pod-b").waitFor();
    await row(page, "pod-c").waitFor();
    equal(await row(page, "pod-a").count(), 0);
    await row(page, "pod-c").getByRole("button", { name: "Show only zone=us" }).click();
    await page.waitForURL(/label=zone/);
    await page.getByRole("button", { name: "Clear filters" }).click();
    await row(page, "pod-a").waitFor();
    await page.getByLabel("Client id").fill("pod-a");
    await page.keyboard.press("Enter");
    await row(page, "pod-b").waitFor({ state: "detached" });
    await t.axeInBothThemes(page);
    for (const end of ends) end();
    const phone = await t.open(`/watchers?ns=${t.namespace}`, { width: 390, height: 844 });
    await phone.getByRole("heading", { name: "Watchers of" }).waitFor();
    await t.fits(phone);
    await t.axe(phone);
    await t.shot(phone, "phone-watchers");
  },

  "many watchers are read page by page": async (t) => {
    await t.set("many", { a: 1 });
    const targets = [{ namespace: t.namespace, config: "many", scope: "/" }];
    const ends = await Promise.all(Array.from({ length: 130 }, (_, at) => watch(t, targets, `pod-${at}`)));
    const page = await t.open(`/ns/${t.namespace}/many/watchers`);
    await page.getByText("Watchers from number 1 on").waitFor();
    await page.getByRole("button", { name: "Next page" }).click();
    await page.getByText("Watchers from number 101 on").waitFor();
    await until(async () => (await page.locator("tbody tr").count()) === 30, "the second page");
    await page.getByRole("button", { name: "Previous page" }).click();
    await until(async () => (await page.locator("tbody tr").count()) === 100, "the first page");
    for (const end of ends) end();
  },
};
