// Runs the tests of the console: `node tests/run.mjs URL [PART OF A FILE OR CLAIM]`. URL: a server without authentication.
import { readdirSync } from "node:fs";
import { launch, Test } from "./harness.mjs";

const [url, filter = ""] = process.argv.slice(2);
if (!url) {
  console.error("node tests/run.mjs URL [PART OF A FILE OR CLAIM]");
  process.exit(2);
}
const here = new URL(".", import.meta.url);
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs")).sort();
const claims = [];
for (const file of files) {
  const { default: found } = await import(new URL(file, here));
  for (const [claim, body] of Object.entries(found)) {
    if (`${file} ${claim}`.includes(filter)) claims.push({ file, claim, body });
  }
}
const browser = await launch();
let failures = 0;

async function run({ file, claim, body }) {
  const test = new Test(browser, url.replace(/\/$/, ""));
  let failure;
  try {
    await body(test);
  } catch (error) {
    failure = error.stack ?? String(error);
  }
  const problems = await test.end().catch((error) => [String(error.stack ?? error)]);
  if (failure || problems.length) {
    failures++;
    console.log(`FAILED ${file}: ${claim}\n${[failure, ...problems].filter(Boolean).join("\n").replace(/^/gm, "    ")}`);
  } else {
    console.log(`ok ${file}: ${claim}`);
  }
}

// A browser waits for much: two claims are tried at once, each with pages and a namespace of its own.
const left = claims.values();
await Promise.all(
  [1, 2].map(async () => {
    for (const claim of left) await run(claim);
  }),
);
await browser.close();
console.log(`${claims.length - failures} of ${claims.length} hold`);
if (!claims.length) console.error(`no test has ${JSON.stringify(filter)} in its name`);
process.exit(failures || !claims.length ? 1 : 0);
