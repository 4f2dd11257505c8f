//! The directory form: apply, export, prune.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Server, text};

fn write(directory: &Path, files: &[(&str, &str)]) -> PathBuf {
    let namespace = directory.join("payments");
    for (path, text) in files {
        let path = namespace.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    namespace
}

/// Every file below a directory by its path.
fn files(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read_to_string(&path).expect("UTF-8"));
        }
    }
    found
}

fn relative(directory: &Path) -> BTreeMap<PathBuf, String> {
    files(directory)
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(directory).expect("below").to_owned(), text))
        .collect()
}

const TREE: &[(&str, &str)] = &[
    ("checkout/global.yaml", "limits: {max: 30}\nmode: strict # why\n"),
    ("checkout/production.json", "{\"mode\": null, \"big\": 18446744073709551615}"),
    ("checkout/production/eu.toml", "[limits]\nmax = 50\n"),
    ("basket/staging.yml", "size: 3\n"),
];

#[test]
fn apply_makes_one_commit_of_a_directory_and_prints_what_changed() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = write(directory.path(), TREE);
    let dry = server.ok(&["apply", "-f", text(&tree), "--dry-run"]);
    assert!(dry.contains("4 of 4 layers would change") && dry.contains("/mode"), "{dry}");
    server.fails(3, &["get", "payments/checkout"]);

    let applied = server.ok(&["apply", "-f", text(&tree), "--reason", "release"]);
    assert!(applied.contains("payments/checkout /production/eu"), "{applied}");
    assert!(applied.ends_with("4 of 4 layers changed, revision 1\n"), "{applied}");
    let document = server.json(&["get", "payments/checkout@/production/eu"]);
    assert_eq!(document["content"], json!({"limits": {"max": 50}, "big": 18_446_744_073_709_551_615_u64}));

    let again = server.ok(&["apply", "-f", text(&tree)]);
    assert_eq!(again, "nothing to change in 4 layers\n");
    let valid = server.ok(&["validate", "-f", text(&tree), "--namespace", "other"]);
    assert!(valid.ends_with("valid: 4 layers, and something would change\n"), "{valid}");
}

#[test]
fn what_was_exported_is_applied_without_a_change_and_exported_again_byte_for_byte() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = write(directory.path(), TREE);
    server.ok(&["apply", "-f", text(&tree)]);
    // An override is temporary: it is neither exported nor touched.
    server.ok(&["set", "payments/checkout@/production", "--override", "mode=off"]);
    for format in ["yaml", "json"] {
        let first = directory.path().join(format!("first-{format}"));
        let second = directory.path().join(format!("second-{format}"));
        server.ok(&["export", "payments", "-d", text(&first), "--format", format]);
        let applied = server.ok(&["apply", "-f", text(&first), "--namespace", "payments", "--prune"]);
        assert_eq!(applied, "nothing to change in 4 layers\n", "{format}");
        server.ok(&["apply", "-f", text(&first), "--namespace", &format!("copy-{format}")]);
        server.ok(&["export", &format!("copy-{format}"), "-d", text(&second), "--format", format]);
        assert_eq!(relative(&first), relative(&second), "{format}");
        let production = first.join(format!("checkout/production.{format}"));
        let production = fs::read_to_string(production).expect("there");
        assert!(production.contains("null") && production.ends_with('\n'), "nulls are kept: {production}");
    }
}

#[test]
fn export_gives_back_the_tree_that_was_applied_each_file_in_its_format() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let formatted = [
        ("checkout/global.yaml", "limits:\n  max: 30\nmode: strict\n"),
        ("checkout/production.json", "{\n  \"big\": 18446744073709551615,\n  \"mode\": null\n}\n"),
        ("checkout/production/eu.toml", "[limits]\nmax = 50\n"),
    ];
    let tree = write(directory.path(), &formatted);
    server.ok(&["apply", "-f", text(&tree)]);
    // Single values do not change how a layer is written.
    server.ok(&["set", "payments/checkout@/production/eu", "limits.max=51"]);
    server.ok(&["rollback", "payments/checkout", "--to-version", "1"]);
    let out = directory.path().join("out");
    server.ok(&["export", "payments", "-d", text(&out)]);
    assert_eq!(relative(&out), relative(&tree));
}

#[test]
fn export_writes_yaml_where_toml_cannot_say_it() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = write(directory.path(), TREE);
    server.ok(&["apply", "-f", text(&tree)]);
    let out = directory.path().join("toml");
    let ran = server.run(&["export", "payments", "-d", text(&out), "--format", "toml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("checkout /production is written as YAML"), "{ran:?}");
    let names: Vec<_> = relative(&out).into_keys().collect();
    let expected = [
        "basket/staging.toml",
        "checkout/global.toml",
        "checkout/production/eu.toml",
        "checkout/production.yaml",
    ];
    assert_eq!(names, expected.map(PathBuf::from));
    assert_eq!(
        server.ok(&["apply", "-f", text(&out), "--namespace", "payments"]),
        "nothing to change in 4 layers\n"
    );
}

#[test]
fn export_overwrites_only_by_force_and_prints_without_a_directory() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = write(directory.path(), TREE);
    fs::write(tree.join("README.md"), "mine").expect("written");
    server.ok(&["apply", "-f", text(&tree)]);
    let refused = server.fails(5, &["export", "payments", "-d", text(&tree)]);
    assert!(refused.contains("--force"), "{refused}");
    server.ok(&["export", "payments", "-d", text(&tree), "--force"]);
    let names: Vec<_> = relative(&tree).into_keys().collect();
    let expected = [
        "README.md",
        "basket/staging.yml",
        "checkout/global.yaml",
        "checkout/production/eu.toml",
        "checkout/production.json",
    ];
    assert_eq!(names, expected.map(PathBuf::from));
    // What is equal keeps its comments.
    let kept = fs::read_to_string(tree.join("checkout/global.yaml")).expect("there");
    assert_eq!(kept, TREE[0].1);

    let printed = server.ok(&["export", "payments"]);
    assert!(printed.contains("# checkout/global.yaml\nlimits:\n  max: 30\nmode: strict\n"), "{printed}");
    let view = server.json(&["export", "payments", "--format", "json"]);
    assert_eq!(view["files"]["basket/staging.json"], "{\n  \"size\": 3\n}\n");
}

#[test]
fn prune_deletes_base_layers_and_configs_that_are_not_there_but_no_override() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = write(directory.path(), TREE);
    server.ok(&["apply", "-f", text(&tree)]);
    server.ok(&["set", "payments/checkout@/production", "--override", "mode=off"]);
    server.ok(&["set", "payments/extra", "x=1"]);
    fs::remove_file(tree.join("checkout/production/eu.toml")).expect("removed");

    server.ok(&["apply", "-f", text(&tree)]);
    assert_eq!(server.json(&["list", "payments"])["configs"].as_array().map(Vec::len), Some(3));
    let refused = server.fails(5, &["apply", "-f", text(&tree), "--prune"]);
    assert!(refused.contains("payments/extra /: set by ada@test"), "{refused}");
    let pruned = server.ok(&["apply", "-f", text(&tree), "--prune", "--yes"]);
    assert!(pruned.contains("payments/checkout /production/eu: deleted"), "{pruned}");
    assert!(pruned.contains("payments/extra /: deleted"), "{pruned}");
    assert!(pruned.contains("2 of 5 layers changed"), "{pruned}");
    assert_eq!(server.json(&["list", "payments"])["configs"].as_array().map(Vec::len), Some(2));
    let document = server.json(&["get", "payments/checkout@/production"]);
    assert_eq!(document["content"]["mode"], "off");

    let empty = directory.path().join("empty");
    fs::create_dir(&empty).expect("made");
    server.fails(4, &["apply", "-f", text(&empty), "--namespace", "payments", "--prune"]);
    assert_eq!(server.json(&["list", "payments"])["configs"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_directory_that_is_wrong_changes_nothing() {
    let server = Server::start();
    for (file, content, reason) in [
        ("checkout/global/eu.yaml", "{}", "are @global.yaml and @global/"),
        ("checkout/production.yml", "{}", "holds the same layer"),
        ("checkout.yaml", "{}", "checkout/global.yaml"),
        ("checkout/staging.json", "{", "checkout/staging.json: not JSON"),
    ] {
        let directory = TempDir::new().expect("a directory");
        let tree = write(directory.path(), TREE);
        write(directory.path(), &[(file, content)]);
        let said = server.fails(4, &["apply", "-f", text(&tree)]);
        assert!(said.contains(reason), "{file}: {said}");
        assert_eq!(server.json(&["list"])["configs"], json!([]), "{file}");
    }
    server.fails(1, &["apply", "-f", "/nowhere/payments"]);
}

#[test]
fn a_pipe_in_a_directory_is_refused_and_not_waited_for() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = write(directory.path(), TREE);
    let pipe = tree.join("checkout/staging.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    let said = server.fails(4, &["apply", "-f", text(&tree)]);
    assert!(said.contains("staging.yaml: not a regular file"), "{said}");
}

#[test]
fn secrets_that_are_exported_stay_secrets_wherever_they_are_applied() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let secrets = r#"{"pin":{"$secret":4711},"db":{"user":"u","password":{"$secret":{"a/b":["x"]}}}}"#;
    server.run_with_input(&["set", "payments/checkout", "-"], secrets);
    server.ok(&["schema", "put", "payments/basket", "-f", text(&write_schema(&directory))]);
    server.ok(&["set", "payments/basket", "token=hunter2"]);
    for format in ["json", "yaml", "toml"] {
        let (out, copy) = (directory.path().join(format), format!("copy-{format}"));
        server.ok(&["export", "payments", "-d", text(&out), "--format", format, "--reveal"]);
        let written = fs::read_to_string(out.join(format!("checkout/global.{format}"))).expect("there");
        assert!(written.contains("$secret") && written.contains("4711"), "{format}: {written}");
        let applied = server.ok(&["apply", "-f", text(&out), "--namespace", "payments"]);
        assert!(applied.starts_with("nothing to change"), "{format}: {applied}");
        server.ok(&["apply", "-f", text(&out), "--namespace", &copy]);
        for config in ["checkout", "basket"] {
            let (original, of_copy) = (format!("payments/{config}"), format!("{copy}/{config}"));
            assert_eq!(
                server.json(&["get", &original, "--reveal"])["document"]["content"],
                server.json(&["get", &of_copy, "--reveal"])["document"]["content"],
            );
            let masked = server.ok(&["get", &of_copy]);
            assert!(masked.contains("***:"), "{masked}");
            assert!(!["4711", "hunter2", "\"x\""].iter().any(|secret| masked.contains(secret)), "{masked}");
        }
        let again = directory.path().join(format!("again-{format}"));
        server.ok(&["export", &copy, "-d", text(&again), "--format", format, "--reveal"]);
        assert_eq!(relative(&out), relative(&again), "{format}");
    }
}

fn write_schema(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("schema.json");
    fs::write(&path, r#"{"properties": {"token": {"x-secret": true}}}"#).expect("written");
    path
}

#[test]
fn export_names_the_overrides_that_have_no_place_in_a_directory() {
    let server = Server::start();
    server.ok(&["set", "payments/checkout", "a=1"]);
    assert_eq!(server.run(&["export", "payments"]).stderr, "");
    server.ok(&["set", "payments/checkout@/production", "--override", "a=2"]);
    server.ok(&["set", "payments/checkout@/staging", "--override", "a=3"]);
    let ran = server.run(&["export", "payments"]);
    let expected = "2 overrides are not exported: checkout /production, checkout /staging";
    assert!(ran.code == 0 && ran.stderr.contains(expected), "{ran:?}");
    let view = server.json(&["export", "payments"]);
    assert_eq!(view["overrides"], json!(["checkout /production", "checkout /staging"]));
}

#[test]
fn a_scope_that_is_called_global_is_exported_and_applied() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    for (scope, value) in [("/", "a=1"), ("/global", "a=2"), ("/global/global", "a=3"), ("/eu/global", "a=4")]
    {
        server.ok(&["set", "payments/checkout", "-s", scope, value]);
    }
    let out = directory.path().join("out");
    server.ok(&["export", "payments", "-d", text(&out)]);
    let expected = ["@global.yaml", "@global/global.yaml", "eu/global.yaml", "global.yaml"];
    let expected: Vec<PathBuf> = expected.iter().map(|path| PathBuf::from("checkout").join(path)).collect();
    let mut names: Vec<_> = relative(&out).into_keys().collect();
    names.sort_by_key(|path| path.display().to_string());
    assert_eq!(names, expected);
    let applied = server.ok(&["apply", "-f", text(&out), "--namespace", "payments", "--prune"]);
    assert_eq!(applied, "nothing to change in 4 layers\n");
}
