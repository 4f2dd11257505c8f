// The documents of the editor: what is read of a text, edited in it and merged, in three formats, over many random documents. Takes no browser.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { equal, holds } from "./harness.mjs";

const FORMATS = ["FORMAT_JSON", "FORMAT_YAML", "FORMAT_TOML"];
let modules;

/** The modules of src/editor and src/config that take no browser. */
async function load() {
  if (modules) return modules;
  const folder = mkdtempSync(join(tmpdir(), "confwatch-editor-"));
  try {
    const source = (name) => fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
    const names = ["editor/document", "editor/value", "editor/tree", "editor/schema", "editor/context", "editor/merge", "editor/fixes", "config/rows", "config/point", "config/origins"];
    await build({ entryPoints: names.map(source), outdir: folder, bundle: true, splitting: true, format: "esm", platform: "browser", outExtension: { ".js": ".mjs" }, logLevel: "error" });
    const parts = await Promise.all(names.map((name) => import(pathToFileURL(join(folder, `${name}.mjs`)))));
    modules = Object.assign({}, ...parts);
    for (const format of FORMATS) await modules.loadFormat(format);
    return modules;
  } finally {
    // Loaded modules need their files no more, but for chunks that are read later: all formats are loaded.
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Random documents, the same ones each time. */
function generator(seed, { Num, isObject }) {
  let state = seed;
  const below = (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
  const NAMES = ["a", "b", "pool", "max_size", "x.y", "with space", "ünï", "~t/ild", "1", "true", "", "no", "- x", "#c", "k:"];
  const TEXTS = ["", "x", "yes", "no", "null", "1", "1.5", "0x1", "line\nline2\n", "  lead", "tail ", "#c", "a: b", "a #b", "- x", "'q'", '"dq"', "\\back", "***:0a1b2c3d", "2026-01-01", "ü€😀", "{a}", "[b]", "*a", "&a", "!t", "|", ">", "@x", "%x", "\t", "~", "a\u0000b", "tab\tin", "\r\n"];
  const NUMBERS = ["0", "1", "-5", "9223372036854775807", "18446744073709551615", "-9223372036854775808", "1.5", "1e-7", "123.456", "1e+30", "0.1"];
  const value = (depth, withNull) => {
    const kind = below(depth > 0 ? 9 : 6);
    if (kind === 0) return withNull ? null : true;
    if (kind === 1) return below(2) === 0;
    if (kind < 4) return TEXTS[below(TEXTS.length)];
    if (kind < 6) return new Num(NUMBERS[below(NUMBERS.length)]);
    if (kind === 6) return Array.from({ length: below(4) }, () => value(depth - 1, withNull));
    return new Map(Array.from({ length: below(4) + 1 }, () => [NAMES[below(NAMES.length)], value(depth - 1, withNull)]));
  };
  const document = (withNull) => {
    for (;;) {
      const made = value(3, withNull);
      if (isObject(made)) return made;
    }
  };
  return { below, value, document, name: () => NAMES[below(NAMES.length)] };
}

export default {
  "a document that is written and read in any format is the same, to the last digit": async () => {
    const m = await load();
    const random = generator(7, m);
    for (let round = 0; round < 1500; round++) {
      for (const format of FORMATS) {
        const value = random.document(format !== "FORMAT_TOML");
        const text = m.render(format, value);
        const parsed = m.parse(format, text);
        holds(parsed.problems.length === 0 && m.equal(m.valueOf(parsed), value), `${format}: ${m.toJson(value)} was written as\n${text}\nand read as ${parsed.root && m.toJson(m.valueOf(parsed))} ${JSON.stringify(parsed.problems)}`);
      }
    }
  },

  "an edit of the form changes one value of the text, and keeps every comment": async () => {
    const m = await load();
    const random = generator(11, m);
    let made = 0;
    const refused = [];
    for (let round = 0; round < 1500; round++) {
      for (const format of FORMATS) {
        const value = random.document(format !== "FORMAT_TOML");
        const plain = m.render(format, value);
        const commented = format === "FORMAT_JSON" ? plain : `# the head\n${plain.replace(/\n(?=[a-z])/, "\n# in the middle\n")}`;
        const tried = m.parse(format, commented);
        const parsed = tried.root && m.equal(m.valueOf(tried), value) ? tried : m.parse(format, plain);
        const path = [];
        let at = value;
        while (random.below(4)) {
          const names = m.isObject(at) ? [...at.keys()] : Array.isArray(at) ? at.map((_, i) => String(i)) : [];
          if (!names.length) break;
          path.push(names[random.below(names.length)]);
          at = m.valueAt(at, [path.at(-1)]);
        }
        const next = random.value(1, format !== "FORMAT_TOML");
        if (m.isObject(at) && random.below(2)) path.push(random.name());
        if (!path.length) continue;
        const isRemoval = random.below(3) === 0 && m.valueAt(value, path) !== undefined;
        const wanted = isRemoval ? m.withoutValue(value, path) : m.withValue(value, path, next);
        try {
          const after = m.applyChanges(parsed.text, isRemoval ? m.removeValue(parsed, path) : m.setValue(parsed, path, next));
          made++;
          const read = m.valueOf(m.parse(format, after));
          holds(m.equal(read, wanted), `${format} ${m.pointerOf(path)}: ${m.toJson(wanted)} expected\n${parsed.text}\n=>\n${after}`);
          if (parsed === tried && format !== "FORMAT_JSON") holds(after.includes("# the head"), `${format} ${m.pointerOf(path)} lost a comment:\n${parsed.text}\n=>\n${after}`);
        } catch (error) {
          if (!(error instanceof m.EditRefused)) throw error;
          refused.push(`${format} ${m.pointerOf(path)}\n${parsed.text}`);
        }
      }
    }
    holds(refused.length < made / 50, `${refused.length} of ${made} edits were refused, such as ${refused.slice(0, 3).join("\n")}`);
  },

  "an edit at its place touches nothing else": async () => {
    const m = await load();
    const cases = [
      ["FORMAT_YAML", "# top\npool:   # the bank\n    max: 10   # ten\n    min: 1\n\n# end\n", ["pool", "max"], new m.Num("20"), "# top\npool:   # the bank\n    max: 20   # ten\n    min: 1\n\n# end\n"],
      ["FORMAT_YAML", "pool:\n    max: 10\nb: [1, 2]\n", ["pool", "min"], new m.Num("1"), "pool:\n    max: 10\n    min: 1\nb: [1, 2]\n"],
      ["FORMAT_YAML", "hosts:\n- a\n- b # two\nc: 1\n", ["hosts", "2"], "d", "hosts:\n- a\n- b # two\n- d\nc: 1\n"],
      ["FORMAT_YAML", "", ["a", "b"], true, "a:\n  b: true\n"],
      ["FORMAT_TOML", "# top\na = 1 # one\n\n[pool] # the bank\nmax = 10\n", ["pool", "max"], new m.Num("20"), "# top\na = 1 # one\n\n[pool] # the bank\nmax = 20\n"],
      ["FORMAT_TOML", "a = 1\n\n[pool]\nmax = 10\n\n[z]\nb = 1\n", ["pool", "min"], new m.Num("1"), "a = 1\n\n[pool]\nmax = 10\nmin = 1\n\n[z]\nb = 1\n"],
      ["FORMAT_JSON", '{\n    "a": {"b": 1},\n    "c": 2\n}', ["d"], "x", '{\n    "a": {"b": 1},\n    "c": 2,\n    "d": "x"\n}'],
      ["FORMAT_JSON", '{"a":{"b":1},"c":2}', ["a", "b"], "x", '{"a":{"b":"x"},"c":2}'],
      ["FORMAT_JSON", "{}", ["a"], new m.Num("9007199254740993"), '{\n  "a": 9007199254740993\n}'],
    ];
    for (const [format, text, path, value, expected] of cases) equal(m.applyChanges(text, m.setValue(m.parse(format, text), path, value)), expected, `${format} ${path}:`);
    const removals = [
      ["FORMAT_YAML", "a: 1 # one\nb: 2 # two\nc: 3\n", ["b"], "a: 1 # one\nc: 3\n"],
      ["FORMAT_TOML", "a = 1\n[b]\nc = 1\n[b.d]\ne = 1\n[f]\n", ["b"], "a = 1\n[f]\n"],
      ["FORMAT_JSON", '{\n  "a": 1,\n  "b": 2\n}', ["a"], '{\n  "b": 2\n}'],
    ];
    for (const [format, text, path, expected] of removals) equal(m.applyChanges(text, m.removeValue(m.parse(format, text), path)), expected, `${format} without ${path}:`);
  },

  "numbers of YAML and TOML are those of the server, and keep all digits": async () => {
    const m = await load();
    const read = (format, text) => m.toJson(m.valueOf(m.parse(format, text)));
    equal(read("FORMAT_YAML", "a: 010\nb: 0o10\nc: 0x1F\nd: yes\ne: 18446744073709551615\nf: 1e3\ng: .5\nh: 2026-01-01\ni: ~\n"), '{"a":10,"b":8,"c":31,"d":"yes","e":18446744073709551615,"f":1e3,"g":0.5,"h":"2026-01-01","i":null}');
    equal(read("FORMAT_TOML", 'a = 1_000\nb = 0xff\nc = 9223372036854775807\nd = 1979-05-27 07:32:00Z\n[[e]]\nf = 1\n[[e]]\nf = 2\n[e.g]\nh = """\nx"""\n'), '{"a":1000,"b":255,"c":9223372036854775807,"d":"1979-05-27T07:32:00Z","e":[{"f":1},{"f":2,"g":{"h":"x"}}]}');
    equal(m.canonicalNumber("1.0"), m.canonicalNumber("1e0"));
    holds(!m.equal(new m.Num("9007199254740993"), new m.Num("9007199254740992")), "two integers became one double");
  },

  "aliases and merge keys of YAML are read, and an edit does not go astray through them": async () => {
    const m = await load();
    const text = "base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\ntwo: *b\n";
    const parsed = m.parse("FORMAT_YAML", text);
    equal(m.toJson(m.valueOf(parsed)), '{"base":{"x":1,"y":2},"one":{"y":3,"x":1},"two":{"x":1,"y":2}}');
    for (const [path, value] of [[["one", "x"], 5], [["two", "x"], 5], [["one", "y"], 5]]) {
      const wanted = m.withValue(m.valueOf(parsed), path, new m.Num(String(value)));
      try {
        const after = m.parse("FORMAT_YAML", m.applyChanges(text, m.setValue(parsed, path, new m.Num(String(value)))));
        holds(m.equal(m.valueOf(after), wanted), after.text);
      } catch (error) {
        if (!(error instanceof m.EditRefused)) throw error;
      }
    }
  },

  "a place that a finding names is found in the text": async () => {
    const m = await load();
    const at = (format, text, pointer) => {
      const place = m.placeOf(m.parse(format, text), pointer);
      return place && text.slice(place.from, place.to);
    };
    for (const [format, text] of [
      ["FORMAT_JSON", '{"pool": {"max": 500}, "hosts": ["a", "bad"]}'],
      ["FORMAT_YAML", "pool:\n  max: 500\nhosts:\n- a\n- bad\n"],
      ["FORMAT_TOML", 'hosts = ["a", "bad"]\n[pool]\nmax = 500\n'],
    ]) {
      equal(at(format, text, "/pool/max"), "500", format);
      holds(at(format, text, "/hosts/1").includes("bad"), format);
      holds(at(format, text, "/pool").includes("pool"), format);
      equal(at(format, text, "/pool/min")?.includes("pool"), true, `${format}, a missing member is shown at its object:`);
      equal(at(format, text, "/elsewhere"), undefined, `${format}, what the layer does not have is nowhere:`);
    }
  },

  "texts that cannot be read say where": async () => {
    const m = await load();
    const where = (format, text) => {
      const { root, problems } = m.parse(format, text);
      holds(problems.length > 0, `${format} ${text} has no problem`);
      return [root === undefined, text.slice(problems[0].from, problems[0].to)];
    };
    equal(where("FORMAT_JSON", '{"a": yes}'), [true, "yes"]);
    equal(where("FORMAT_JSON", '{"a": 1, "a": 2}'), [false, '"a"']);
    equal(where("FORMAT_JSON", '{"a": 01}')[0], true);
    equal(where("FORMAT_YAML", "a: 1\n b: 2\n")[0], true);
    equal(where("FORMAT_YAML", "a: 1\na: 2\n")[0], false);
    equal(where("FORMAT_TOML", "a = yes\n"), [true, "yes"]);
    equal(where("FORMAT_TOML", "a = 1\na = 2\n"), [true, "a"]);
    for (const bad of ["{", "[", '"', "{]", '{"a"', '{"a":', '{"a":1,', "nul", "-", "1e", "\u0000", "[".repeat(1000)]) for (const format of FORMATS) m.parse(format, bad);
  },

  "the three-way merge takes both sides, and leaves to people what both changed": async () => {
    const m = await load();
    const random = generator(23, m);
    const of = (json) => m.valueOf(m.parse("FORMAT_JSON", json));
    const merged = m.merge(of('{"a":1,"b":1,"c":{"d":1,"e":1},"g":[1]}'), of('{"a":2,"b":2,"c":{"d":2,"e":1},"g":[1]}'), of('{"a":1,"b":3,"c":{"d":1,"e":2,"f":1},"g":[1,2]}'));
    equal(merged.conflicts.map(({ pointer }) => pointer), ["/b"]);
    equal(merged.theirs.map(({ pointer }) => pointer).sort(), ["/c/e", "/c/f", "/g"]);
    equal(merged.mine.map(({ pointer }) => pointer).sort(), ["/a", "/c/d"]);
    for (let round = 0; round < 500; round++) {
      const [base, mine, theirs] = [random.document(true), random.document(true), random.document(true)];
      // One side that changed nothing takes the other; equal sides have nothing to decide.
      for (const [b, one, other, expected] of [[base, base, theirs, theirs], [base, mine, base, mine], [base, mine, mine, mine]]) {
        const out = m.merge(b, one, other);
        equal(out.conflicts.length, 0);
        holds(m.equal(m.mergedValue(one, out, new Map()), expected), `${m.toJson(b)} ${m.toJson(one)} ${m.toJson(other)}`);
      }
      const out = m.merge(base, mine, theirs);
      const all = (side) => new Map(out.conflicts.map(({ pointer }) => [pointer, side]));
      const keeps = m.mergedValue(mine, out, all("mine"));
      for (const { pointer, mine: value } of out.conflicts) if (value !== undefined && pointer) holds(m.equal(m.valueAt(keeps, m.pointerPath(pointer)), value), `mine is lost at ${pointer}`);
      const takes = m.mergedValue(mine, out, all("theirs"));
      for (const { pointer, theirs: value } of out.conflicts) if (pointer) holds(m.equal(m.valueAt(takes, m.pointerPath(pointer)), value), `theirs is lost at ${pointer}`);
    }
  },

  "layers merge as the server merges them, and differences name what changed": async () => {
    const m = await load();
    const of = (json) => m.valueOf(m.parse("FORMAT_JSON", json));
    const merged = ['{"limits":{"max":10,"burst":2},"hosts":["a"],"debug":true}', '{"limits":{"max":100},"hosts":["p1"],"debug":null}', '{"limits":{"burst":50}}'].reduce((value, layer) => m.mergeLayers(value, of(layer)), new Map());
    holds(m.equal(merged, of('{"limits":{"max":100,"burst":50},"hosts":["p1"]}')), m.toJson(merged));
    const secret = m.mergeLayers(of('{"s":{"$secret":{"a":1}}}'), of('{"s":{"b":1}}'));
    holds(m.equal(secret, of('{"s":{"b":1}}')), "a secret is replaced as one value");
    equal(m.differences(of('{"a":{"b":1},"c":1}'), of('{"a":{"b":2,"d":[]},"e":{}}')).map(({ pointer }) => pointer), ["/a/b", "/a/d", "/c", "/e"]);
  },

  "the schema says of each place what the form needs": async () => {
    const m = await load();
    const root = m.valueOf(m.parse("FORMAT_JSON", JSON.stringify({
      type: "object",
      required: ["pool"],
      $defs: { port: { type: "integer", minimum: 1, maximum: 65535 } },
      properties: {
        pool: { allOf: [{ $ref: "#/$defs/pool" }], description: "the pool" },
        port: { $ref: "#/$defs/port" },
        mode: { anyOf: [{ const: "a" }, { enum: ["b", "c"] }] },
        other: { $ref: "schema:common#/$defs/url" },
        loop: { $ref: "#/properties/loop" },
        tags: { type: "array", items: { type: "string" } },
        big: { type: "integer", maximum: "MAX" },
      },
      patternProperties: { "^x-": { type: "boolean" } },
      additionalProperties: { type: "number" },
    }).replace('"MAX"', "9223372036854775807")));
    const withDefs = m.withValue(root, ["$defs", "pool"], m.valueOf(m.parse("FORMAT_JSON", '{"type":"object","properties":{"max":{"type":"integer","default":5}},"additionalProperties":false}')));
    equal(m.referencesOf(withDefs), ["common"]);
    const set = { root: withDefs, others: new Map([["common", m.valueOf(m.parse("FORMAT_JSON", '{"$defs":{"url":{"type":"string","format":"uri","x-secret":true}}}'))]]) };
    const at = (...path) => m.fieldAt(set, path);
    equal([at("pool").isRequired, at("pool").description, at("pool").types], [true, "the pool", ["object"]]);
    equal(m.toJson(at("pool", "max").fallback), "5");
    equal(at("port").limits, ["at least 1", "at most 65535"]);
    equal(at("mode").choices, ["a", "b", "c"]);
    equal([at("other").types, at("other").isSecret], [["string"], true]);
    equal(at("tags", "7").types, ["string"]);
    equal(at("x-on").types, ["boolean"]);
    equal(at("else").types, ["number"]);
    equal(at("big").maximum, "9223372036854775807");
    equal(at("pool", "nothing"), undefined);
    at("loop", "a", "b");
    equal([m.takesOthers(set, []), m.takesOthers(set, ["pool"])], [true, false]);
    equal(m.namesAt(set, ["pool"]), ["max"]);
  },

  "a hostile schema or text does not hold the page": async () => {
    const m = await load();
    const of = (value) => m.valueOf(m.parse("FORMAT_JSON", JSON.stringify(value)));
    const doubling = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`d${at}`, { allOf: [{ $ref: `#/$defs/d${at + 1}` }, { $ref: `#/$defs/d${at + 1}` }] }]));
    m.fieldAt({ root: of({ $ref: "#/$defs/d0", $defs: doubling }), others: new Map() }, ["a"]);
    const slow = { patternProperties: { "^(a+)+$": { type: "string" }, "^(a|a)*$": { type: "string" }, "^a*a*a*a*a*$": { type: "string" }, "^x-[a-z]+$": { type: "boolean" } } };
    equal(m.fieldAt({ root: of(slow), others: new Map() }, [`${"a".repeat(200)}!`]), undefined);
    equal(m.fieldAt({ root: of(slow), others: new Map() }, ["x-on"]).types, ["boolean"]);
    const long = JSON.stringify({ a: "x".repeat(1 << 20), b: "\\\"".repeat(1 << 18) });
    equal(m.parse("FORMAT_JSON", long).problems, []);
    equal(m.parse("FORMAT_JSON", long.slice(0, -3)).root, undefined);
    m.contextAt("FORMAT_YAML", `${"a ".repeat(100_000)}\nb`, 200_001);
    const bomb = `a: &a [x, x, x, x, x, x, x, x, x, x]\n${"bcdefghij".split("").map((name, at) => `${name}: &${name} [${Array(10).fill(`*${"abcdefghi"[at]}`).join(", ")}]`).join("\n")}\n`;
    m.parse("FORMAT_YAML", bomb);
  },

  "completion knows where the cursor is, in texts that are half written": async () => {
    const m = await load();
    const at = (format, text) => {
      const position = text.indexOf("|");
      const found = m.contextAt(format, text.replace("|", ""), position);
      return found && `${found.kind} ${m.pointerOf(found.path)} ${text.slice(found.from, position)}`;
    };
    equal(at("FORMAT_YAML", "pool:\n  ma|"), "name /pool ma");
    equal(at("FORMAT_YAML", "pool:\n  max: 1\nmode: s|"), "value /mode s");
    equal(at("FORMAT_YAML", "a:\n- x: 1\n  y|"), "name /a/0 y");
    equal(at("FORMAT_YAML", "a:\n- x: 1\n- z: 1\n  y: |"), "value /a/1/y ");
    equal(at("FORMAT_YAML", "a:\n  b:\n    c: 1\n  |"), "name /a ");
    equal(at("FORMAT_YAML", "# a|"), undefined);
    equal(at("FORMAT_JSON", '{"pool": {"ma|'), 'name /pool "ma');
    equal(at("FORMAT_JSON", '{"a": [{"b": 1}, {"c": |'), "value /a/1/c ");
    equal(at("FORMAT_JSON", '{"a": 1, |}'), "name  ");
    equal(at("FORMAT_TOML", "[a.b]\nc|"), "name /a/b c");
    equal(at("FORMAT_TOML", "[[a]]\nx = 1\n[[a]]\ny = |"), "value /a/1/y ");
    equal(at("FORMAT_TOML", "a.b|"), "name /a b");
  },

  "a suggestion of the server becomes a change of the text, or none": async () => {
    const m = await load();
    const fixed = (format, text, code, pointer, suggestion) => {
      const parsed = m.parse(format, text);
      const fix = m.fixOf({ severity: "SEVERITY_ERROR", code, scope: "/", pointer, message: "", suggestion }, parsed, undefined);
      return fix && m.applyChanges(text, fix.changes(parsed));
    };
    equal(fixed("FORMAT_YAML", "# c\npol:\n  a: 1\n", "SCHEMA_ADDITIONAL_PROPERTY", "/pol", 'did you mean "pool"?'), "# c\npool:\n  a: 1\n");
    equal(fixed("FORMAT_YAML", "pol: 1\npool: 2\n", "SCHEMA_ADDITIONAL_PROPERTY", "/pol", 'did you mean "pool"?'), undefined, "a name that is taken:");
    equal(fixed("FORMAT_JSON", '{"mode": "saef"}', "SCHEMA_ENUM", "/mode", 'did you mean "safe"?'), '{"mode": "safe"}');
    equal(fixed("FORMAT_TOML", 'port = "80" # http\n', "SCHEMA_TYPE", "/port", "write 80 without quotes"), "port = 80 # http\n");
    equal(fixed("FORMAT_YAML", "enabled: \"yes\"\n", "TEXT_FOR_BOOLEAN", "/enabled", "write true or false, without quotes"), "enabled: true\n");
    equal(fixed("FORMAT_YAML", "a: 1\nb: 2\n", "REDUNDANT_VALUE", "/b", "remove it from this layer, unless it is to stay when the inherited value changes"), "a: 1\n");
    equal(fixed("FORMAT_YAML", "a: 1\n", "MIN_ABOVE_MAX", "/a", 'raise "max", or lower "min"'), undefined);
    equal(fixed("FORMAT_YAML", "a: 1\n", "SCHEMA_REQUIRED", "", 'add "b"'), "a: 1\nb: \"\"\n");
    equal(fixed("FORMAT_YAML", "bb: 1\n", "SCHEMA_REQUIRED", "", 'rename "bb" to "b"'), "b: 1\n");
  },

  "rows have the inherited, own and effective value, for base layers and overrides": async () => {
    const m = await load();
    const layer = (scope, kind = "LAYER_KIND_BASE") => ({ scope, kind, version: 1, digest: "", format: "FORMAT_JSON" });
    const explain = {
      document: { hidden_pointers: ["/s"], revealed_pointers: [], layers: [] },
      withheld: [],
      store_revision: 1,
      values: [
        { pointer: "/a", value: "3", removed: false, layer: layer("/p", "LAYER_KIND_OVERRIDE"), shadowed: [{ layer: layer("/p"), value: "2", removed: false }, { layer: layer("/"), value: "1", removed: false }] },
        { pointer: "/b", value: "", removed: true, layer: layer("/p"), shadowed: [{ layer: layer("/"), value: "1", removed: false }] },
        { pointer: "/s", value: '"***:01234567"', removed: false, layer: layer("/"), shadowed: [] },
      ],
    };
    const show = (rows) => rows.map((row) => [row.pointer, row.inherited?.text, row.own && (row.own.text ?? "removed"), row.effective, row.isOutvoted, row.isSecret]);
    equal(show(m.rowsOf(explain, { scope: "/p", kind: "LAYER_KIND_BASE" })), [["/a", "1", "2", "3", true, false], ["/b", "1", "removed", undefined, false, false], ["/s", '"***:01234567"', undefined, '"***:01234567"', false, true]]);
    equal(show(m.rowsOf(explain, { scope: "/p", kind: "LAYER_KIND_OVERRIDE" }))[0], ["/a", "2", "3", "3", false, false]);
    equal(show(m.rowsOf(explain, { scope: "/p/c", kind: "LAYER_KIND_BASE" }))[0], ["/a", "2", undefined, "3", false, false]);
    const rows = m.rowsOf(explain, { scope: "/p", kind: "LAYER_KIND_BASE" });
    equal(m.filtered(rows, { text: "", onlyModified: true }).map(({ pointer }) => pointer), ["/a", "/b"]);
    equal([...m.changedSince(rows, rows.map((row) => (row.pointer === "/a" ? { ...row, effective: "4" } : row)))], ["/a"]);
    equal([m.remaining("2026-01-01T00:01:05Z", Date.parse("2026-01-01T00:00:00Z")), m.remaining("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:00Z"))], ["1:05 min", ""]);
    for (const text of ["", "v7", "r42", "tag:stable", "2026-01-01T10:00:00"]) equal(m.pointText(m.pointOf(text)), text);
    equal(m.pointFields(m.pointOf("stable")), { tag: "stable" });
    equal(m.instantOf(m.localTime("2026-01-01T10:00:00.000Z")), "2026-01-01T10:00:00.000Z");
  },

  "origins that are found in the layers are those of Explain": async () => {
    const m = await load();
    const layers = [["/", '{"limits":{"max":10,"burst":2},"hosts":["a"],"debug":true}'], ["/p", '{"limits":{"max":100},"hosts":["p"],"debug":null,"no":null}'], ["/p/c", '{"limits":{"burst":50},"empty":{}}']];
    const refs = layers.map(([scope, json]) => ({ layer: { scope, kind: "LAYER_KIND_BASE" }, value: m.valueOf(m.parse("FORMAT_JSON", json)) }));
    equal(
      m.originsOf(refs).map(({ pointer, value, removed, layer, shadowed }) => [pointer, removed ? "removed" : value, layer.scope, ...shadowed.map((each) => `${each.value} ${each.layer.scope}`)]),
      [["/debug", "removed", "/p", "true /"], ["/empty", "{}", "/p/c"], ["/hosts", '["p"]', "/p", '["a"] /'], ["/limits/burst", "50", "/p/c", "2 /"], ["/limits/max", "100", "/p", "10 /"]],
    );
  },
};
