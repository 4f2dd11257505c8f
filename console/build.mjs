// Bundles src/ into dist/: hashed names, a brotli copy of each file, and the budget of sizes. With `--check` it writes nothing and fails if the
// committed dist/ is not what it would write.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const KB = 1024;
/** What a first visit of any page of the shell loads, compressed. */
const FIRST_LOAD_MAX = 60 * KB;
/** What the editor adds when it is opened first. */
const EDITOR_MAX = 135 * KB;
const EDITOR = "src/editor/index.tsx";

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox115", "safari16.4"],
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  metafile: true,
  write: false,
});

/** The files of dist/, by name. */
const files = new Map(result.outputFiles.map((file) => [file.path.slice(dist.length + 1), Buffer.from(file.contents)]));
const outputs = new Map(Object.entries(result.metafile.outputs).map(([path, output]) => [path.slice("dist/".length), output]));
const entry = [...outputs].find(([, output]) => output.entryPoint === "src/main.tsx");
const [script, { cssBundle }] = entry;
const style = cssBundle.slice("dist/".length);
const icon = readFileSync(join(here, "src/icon.svg"));
const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
files.set(iconName, icon);
/** What the first script imports is asked for at once, and not when the script has been read. */
const preloads = [...closure(script)].filter((name) => name.endsWith(".js") && name !== script).sort();
const places = { icon: iconName, style, script };
const page = readFileSync(join(here, "src/index.html"), "utf8")
  .replace(/\{\{(\w+)\}\}/g, (_, name) => `/assets/${places[name]}`)
  .replace("</head>", `${preloads.map((name) => `<link rel="modulepreload" href="/assets/${name}">\n`).join("")}</head>`);
files.set("index.html", Buffer.from(page));

const packed = new Map([...files].map(([name, content]) => [name, pack(content)]));

function pack(content) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
  return brotliCompressSync(content, { params });
}

/** A file and all that it imports statically, with its style sheet. */
function closure(name, seen = new Set()) {
  if (seen.has(name) || !outputs.has(name)) return seen;
  seen.add(name);
  const { imports, cssBundle: css } = outputs.get(name);
  if (css) seen.add(css.slice("dist/".length));
  for (const { path, kind } of imports) if (kind === "import-statement") closure(path.slice("dist/".length), seen);
  return seen;
}

const sizeOf = (names) => [...names].reduce((sum, name) => sum + packed.get(name).length, 0);
const first = closure(script).add("index.html");
const problems = [];
for (const [name, { cssBundle: css }] of outputs) {
  if (css && name !== script) problems.push(`${name} has a style sheet of its own, which no page would load: import it in src/styles/index.css`);
}
const report = (what, size, max) => {
  console.log(`${what}: ${(size / KB).toFixed(1)} KB brotli${max ? `, at most ${max / KB}` : ""}`);
  if (max && size > max) problems.push(`${what} has ${size} bytes, ${size - max} too many`);
};
report("first load", sizeOf(first), FIRST_LOAD_MAX);
for (const [name, { entryPoint }] of outputs) {
  if (!entryPoint || name === script) continue;
  const added = [...closure(name)].filter((part) => !first.has(part));
  report(`  + ${entryPoint}`, sizeOf(added), entryPoint === EDITOR ? EDITOR_MAX : undefined);
}

if (process.argv.includes("--check")) {
  const committed = new Set(readdirSync(dist));
  for (const [name, content] of files) {
    const is = (held, of) => committed.has(held) && of(readFileSync(join(dist, held))).equals(content);
    if (!is(name, (bytes) => bytes)) problems.push(`dist/${name} is not what the sources make`);
    // Another version of Node may compress otherwise.
    if (!is(`${name}.br`, brotliDecompressSync)) problems.push(`dist/${name}.br is not dist/${name}`);
    committed.delete(name);
    committed.delete(`${name}.br`);
  }
  for (const name of committed) problems.push(`dist/${name} is not of the sources`);
  if (problems.length) problems.push("run `npm ci --ignore-scripts && node build.mjs` in console/, and commit dist/");
} else {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  for (const [name, content] of files) writeFileSync(join(dist, name), content);
  for (const [name, content] of packed) writeFileSync(join(dist, `${name}.br`), content);
}
if (problems.length) {
  console.error(problems.join("\n"));
  process.exit(1);
}
