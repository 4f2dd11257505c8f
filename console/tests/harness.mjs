// What tests of the console share: a browser, servers, pages that fail on errors of their own, and checks of every page.
//
// A test file exports claims: `export default { "a claim": async (t) => { … } }`. `t` is a Test, below. `node tests/run.mjs URL [PART OF A NAME]` runs all.
// A page fails its test on an error in its console, an exception, or a violation of the content security policy; `t.expect(/pattern/)` allows one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../..", import.meta.url));
const program = process.env.CONFWATCH_BIN ?? join(root, "target/debug/confwatch");
const BROWSER = process.env.CONFWATCH_BROWSER ?? "/usr/bin/chromium";
const FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
/** How long a test waits for what must come. Nothing is asserted of time: a slow machine needs longer. */
export const PATIENCE_MS = 30_000;

export async function launch() {
  return chromium.launch({ executablePath: BROWSER, args: FLAGS.split(" ") });
}

let last = 0;

/** What one test has. */
export class Test {
  /** Of the server that all tests share, without authentication. Use a namespace of your own there: `t.namespace`. */
  url;
  namespace;
  #browser;
  #ends = [];
  #allowed = [];
  #problems = [];

  constructor(browser, url) {
    this.#browser = browser;
    this.url = url;
    this.namespace = `test-${process.pid}-${++last}`;
  }

  /**
   * Opens a page of the console at a path such as "/changes", in a browser of its own. `theme`: "light" or "dark". `width`, `height`: pixels.
   * `url`: of another server. `context`: options of the browser's context.
   */
  async open(path, { theme = "light", width = 1440, height = 900, url = this.url, context: more = {} } = {}) {
    const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce", ...more });
    this.#ends.push(() => context.close());
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`CSP: ${event.violatedDirective} refused ${event.blockedURI} ${event.sample}`);
      });
    });
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && this.#problems.push(`${message.text()} ${message.location().url ?? ""}`));
    page.on("pageerror", (error) => this.#problems.push(`exception: ${error.stack ?? error}`));
    page.on("request", (request) => {
      if (!request.url().startsWith(url) && !/^(data|blob|about):/.test(request.url())) this.#problems.push(`a request to another site: ${request.url()}`);
    });
    await page.goto(url + path);
    return page;
  }

  /** Allows errors in the console whose text fits. */
  expect(pattern) {
    this.#allowed.push(pattern);
  }

  /** Calls the API, as another client. The JSON of the answer, or an error with its text. */
  async call(method, path, body, { token, url = this.url, headers = {} } = {}) {
    const response = await fetch(url + path, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** Writes a layer: `t.set("checkout", { retries: 3 }, "/production")`. */
  async set(config, document, scope = "/", { reason = "a test", kind = "LAYER_KIND_BASE", ttl, namespace = this.namespace, ...more } = {}) {
    const change = { namespace, config, scope, kind, ttl, replace: { content: JSON.stringify(document) } };
    return this.call("POST", "/v1/layers:apply", { changes: [change], options: { reason } }, more);
  }

  /** Another server, with a data directory of its own: `{ url, token, stop(), start(), directory }`. `flags`: of `confwatch serve`, such as ["--auth", "on"]. */
  async server(flags = []) {
    const directory = mkdtempSync(join(tmpdir(), "confwatch-console-"));
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    let child;
    const start = async () => {
      child = spawn(program, ["serve", "--data-dir", join(directory, "data"), "--listen", `127.0.0.1:${port}`, "--log", "error", ...flags], { stdio: ["ignore", "ignore", "inherit"], env: clean(process.env) });
      const failed = once(child, "exit").then(([code]) => Promise.reject(new Error(`the server ended with ${code}`)));
      failed.catch(() => {});
      await Promise.race([until(() => fetch(`${url}/openapi.json`).then((response) => response.ok, () => false)), failed]);
    };
    const stop = async () => {
      if (!child || child.exitCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    };
    await start();
    this.#ends.push(async () => {
      await stop();
      rmSync(directory, { recursive: true, force: true });
    });
    const token = flags.includes("on") ? readFileSync(join(directory, "data.keys/admin.token"), "utf8").trim() : undefined;
    return { url, token, start, stop, directory };
  }

  /** Fails if the page, or what is `within` a selector of it, breaks a rule of WCAG 2.2 AA. `theme`: the theme that the user chose. */
  async axe(page, theme, within) {
    if (theme) await page.evaluate((of) => (document.documentElement.dataset.theme = of), theme);
    const builder = within ? new AxeBuilder({ page }).include(within) : new AxeBuilder({ page });
    const { violations } = await builder.withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).analyze();
    const texts = violations.map(({ id, help, nodes }) => `${id}: ${help}\n    ${nodes.slice(0, 5).map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary?.split("\n").slice(1, 3).join(" ")}`).join("\n    ")}`);
    if (texts.length) throw new Error(`${JSON.stringify(page.viewportSize())} ${new URL(page.url()).pathname}${theme ? ` in ${theme}` : ""}:\n  ${texts.join("\n  ")}`);
  }

  /** `axe` in both themes. */
  async axeInBothThemes(page, within) {
    for (const theme of ["light", "dark"]) await this.axe(page, theme, within);
  }

  /** A picture of what the page shows, in the folder CONFWATCH_SHOTS, if that is set. */
  async shot(page, name) {
    const folder = process.env.CONFWATCH_SHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: join(folder, `${name}.png`) });
  }

  /** Fails if the page is wider than the window. */
  async fits(page) {
    const [width, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    if (width > window) throw new Error(`${page.url()} is ${width} px wide in a window of ${window}`);
  }

  /** Ends everything, and gives what went wrong in the pages. */
  async end() {
    for (const end of this.#ends.reverse()) await end();
    return this.#problems.filter((problem) => !this.#allowed.some((pattern) => pattern.test(problem)));
  }
}

/** Waits until `is` gives true. */
export async function until(is, what = "what must come") {
  const end = Date.now() + PATIENCE_MS;
  while (!(await is())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function equal(found, expected, what = "") {
  const [one, other] = [found, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`${what} ${one} found, ${other} expected`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

/** The environment without settings of a server. */
function clean(environment) {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("CONFWATCH_")));
}

async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
