// Makes the pictures of docs/console.md: `node tests/pictures.mjs`. Starts a server, fills it with configs of a shop, and writes docs/console/*.png.
import { fileURLToPath } from "node:url";
import { launch, Test } from "./harness.mjs";

process.env.CONFWATCH_SHOTS = fileURLToPath(new URL("../../docs/console", import.meta.url));

const SCOPES = ["/", "/production", "/staging", "/production/eu", "/production/us"];
const NAMES = {
  shop: ["checkout", "catalog", "cart", "search", "recommendations", "shipping.rates", "discounts"],
  payments: ["gateway", "fraud-rules", "settlement", "currencies"],
  platform: ["rate-limits", "feature-flags", "log-levels", "mail", "queues"],
};
const WRITES = [
  ["ada", "shop", "checkout", "/production", { timeout_ms: 1200 }, "the bank is slow"],
  ["ci-deploy", "platform", "feature-flags", "/staging", { express: true, one_page: true }, "release 42"],
  ["grace", "payments", "gateway", "/production/eu", { endpoint: "https://eu.bank.example/v2", pool: 40 }, "PAY-318: the new endpoint of the bank"],
  ["ada", "shop", "recommendations", "/", { model: "v7", candidates: 200 }, "the model that won the comparison"],
  ["linus", "platform", "rate-limits", "/production", { per_second: 800, burst: 1600 }, "twice the traffic since Friday"],
  ["grace", "shop", "shipping.rates", "/production/us", { express: 14.9, standard: 4.9 }, "prices from December on"],
];

const browser = await launch();
const test = new Test(browser, "");
const server = await test.server();
const as = (actor) => ({ url: server.url, headers: { "confwatch-actor": actor } });
for (const [namespace, names] of Object.entries(NAMES)) {
  const changes = names.flatMap((config, at) =>
    SCOPES.slice(0, 1 + ((at * 3) % SCOPES.length)).map((scope) => ({
      namespace,
      config,
      scope,
      replace: { content: JSON.stringify({ timeout_ms: 800, retries: 3, features: { express: scope === "/" }, owner: `team-${namespace}` }) },
    })),
  );
  await test.call("POST", "/v1/layers:apply", { changes, options: { reason: `the configs of ${namespace}` } }, as("ci-deploy"));
}
for (const [actor, namespace, config, scope, patch, reason] of WRITES) {
  await test.call("POST", "/v1/layers:apply", { changes: [{ namespace, config, scope, merge_patch: { content: JSON.stringify(patch) } }], options: { reason } }, as(actor));
}
const override = { namespace: "shop", config: "checkout", scope: "/production", kind: "LAYER_KIND_OVERRIDE", ttl: "7200s", replace: { content: '{"log":{"level":"debug"}}' } };
await test.call("POST", "/v1/layers:apply", { changes: [override], options: { reason: "looking for #4711" } }, as("ada"));

const PICTURES = [
  ["overview", "/", {}],
  ["config", "/ns/shop/checkout?scope=/production", { theme: "dark" }],
  ["phone", "/ns/shop?scope=/production", { width: 390, height: 700 }],
];
for (const [name, path, options] of PICTURES) {
  const page = await test.open(path, { height: 700, url: server.url, ...options });
  await page.locator("main h1").first().waitFor();
  await page.waitForLoadState("networkidle", { timeout: 3000 }).catch(() => {});
  await test.shot(page, name);
}
const problems = await test.end();
await browser.close();
if (problems.length) {
  console.error(problems.join("\n"));
  process.exit(1);
}
