//! What is written, read back by other people's readers.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::render;
use crate::model::arbitrary;
use crate::model::canonical::to_canonical;

#[path = "../../../../tests/support/tools.rs"]
#[allow(dead_code)]
mod tools;

/// Strings that one reader or another takes for something else, or cannot read.
const TRAPS: &[&str] = &[
    "\tx\ny\n",
    "x\n\ty\n",
    "x\n  y\n",
    "x \ny",
    "x\n\n",
    "\nx",
    "\n",
    "x\ny",
    "x\n\ny\n",
    "x\n  ",
    "x\n#y",
    "x\n---\ny",
    "x\r\ny",
    "00:00",
    "1,000",
    "1:20",
    "12:30:45",
    "190:20:30.15",
    "2026-1-1",
    "2026-11-05 10:00:00",
    "1_000",
    "0b11",
    "0o17",
    "0x1F",
    "017",
    "1e3",
    "1E5",
    "1.e+3",
    ".5",
    "+.inf",
    "1d",
    "1f",
    "10s",
    "250ms",
    "10GiB",
    "5B",
    "0xg",
    "1e",
    "08",
    "09:30",
    "1__0",
    "685_230.15",
    "yes",
    "No",
    "ON",
    "y",
    "N",
    "T",
    "~",
    "Null",
    "TRUE",
    "=",
    "<<",
    "!a",
    "&a",
    "*a",
    "a: b",
    "a:",
    "a :b",
    "http://a:80/b",
    "a #b",
    "a#b",
    "- a",
    "-a",
    "? a",
    "%a",
    "@a",
    "`a",
    "{a}",
    "[a]",
    "a, b",
    "'a'",
    "\"a\"",
    "a'b",
    " a",
    "a ",
    "",
    "\u{85}",
    "a\u{2028}b",
    "\u{feff}a",
    "\u{7f}",
    "\u{0}",
    "\u{9b}",
    "é",
    "日本",
    "🦀",
    "\u{fffe}",
    "\u{1fffe}",
    "a\u{301}",
    "...",
    "--- a",
    "| a",
    "> a",
    "x\ty",
];

fn documents() -> Vec<Value> {
    let mut documents: Vec<Value> =
        TRAPS.iter().map(|trap| json!({"a": trap, *trap: [trap, {*trap: trap}]})).collect();
    documents.push(json!({"k".repeat(2000): {"\n".repeat(1100): ["x".repeat(2000)]}}));
    documents.push(json!({"a": [u64::MAX, i64::MIN, 1e20, -1e-7, 5e-324, f64::MAX, 0.1, 1.5, 0]}));
    let mut runner = TestRunner::deterministic();
    let objects = arbitrary::object();
    documents.extend((0..500).map(|_| objects.new_tree(&mut runner).expect("a document").current()));
    documents
}

/// Runs a reader of `[[yaml, json], …]` that fails at the first YAML that it does not read as the JSON.
fn read_back(command: &mut Command) {
    let pairs: Vec<_> =
        documents().iter().map(|document| json!([render(document), to_canonical(document)])).collect();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(to_canonical(&pairs.into()).as_bytes()).expect("written");
    let output = command.arg(file.path()).output().expect("the tool was just found");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

#[test]
fn python_reads_what_is_written_with_libyaml_and_without() {
    let Some(python) = tools::python("yaml, yaml.cyaml") else { return };
    const READ: &str = r#"
import json, sys, yaml

def same(a, b):
    if type(a) is not type(b): return False
    if isinstance(a, dict): return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list): return len(a) == len(b) and all(map(same, a, b))
    return a == b

for written, expected in json.load(open(sys.argv[1])):
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        try: found = yaml.load(written, Loader=loader)
        except Exception as error: sys.exit(f"{loader.__name__}: {written!r}: {error}")
        if not same(found, json.loads(expected)): sys.exit(f"{loader.__name__}: {written!r} is {found!r}")
"#;
    read_back(Command::new(python).args(["-c", READ]));
}

#[test]
fn node_reads_what_is_written_with_js_yaml_and_with_yaml() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
    let Some(node) = tools::node(&tools, "js-yaml") else { return };
    const READ: &str = r"
const assert = require('node:assert'), jsYaml = require('js-yaml'), yaml = require('yaml');
const readers = {
  'js-yaml': jsYaml.load, 'yaml 1.2': (text) => yaml.parse(text), 'yaml 1.1': (text) => yaml.parse(text, { version: '1.1' }),
};
for (const [written, expected] of JSON.parse(require('node:fs').readFileSync(process.argv[1], 'utf8'))) {
  for (const [name, read] of Object.entries(readers)) {
    try { assert.deepStrictEqual(JSON.stringify(read(written)), JSON.stringify(JSON.parse(expected))); }
    catch (error) { console.error(name, JSON.stringify(written), error.message); process.exit(1); }
  }
}
";
    read_back(Command::new(node).current_dir(tools).args(["-e", READ]));
}
