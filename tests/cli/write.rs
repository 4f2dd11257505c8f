//! Writes: set, delete, rollback, tag, validate, edit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Ran, Server, finish, text};

fn content(server: &Server, target: &str) -> serde_json::Value {
    server.json(&["get", target])["content"].clone()
}

#[test]
fn set_takes_assignments_files_patches_and_standard_input() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let line = server.ok(&["set", "a/b", "x.y=5", "name=eu", "none=", "s=\"5\"", "list:=[1,2]"]);
    assert!(line.starts_with("a/b /: version 1, revision 1\n"), "{line}");
    assert_eq!(
        content(&server, "a/b"),
        json!({"x": {"y": 5}, "name": "eu", "none": "", "s": "5", "list": [1, 2]})
    );

    server.ok(&["set", "a/b", "--file", text(&file("b.yaml", "port: 80\nold: 1\n"))]);
    assert_eq!(content(&server, "a/b"), json!({"port": 80, "old": 1}));
    server.ok(&["set", "a/b", "--merge-patch", text(&file("m.json", r#"{"old": null, "new": 2}"#))]);
    assert_eq!(content(&server, "a/b"), json!({"port": 80, "new": 2}));
    let patch = r#"[{"op": "replace", "path": "/port", "value": 81}]"#;
    server.ok(&["set", "a/b", "--json-patch", text(&file("p.json", patch))]);
    server.ok(&["set", "a/b", "--unset", "new"]);
    assert_eq!(content(&server, "a/b"), json!({"port": 81}));

    let piped = server.run_with_input(&["set", "a/b", "-", "--format", "toml"], "port = 82\n");
    assert_eq!(piped.code, 0, "{piped:?}");
    assert_eq!(content(&server, "a/b"), json!({"port": 82}));
    assert_eq!(server.ok(&["set", "a/b", "port=82"]), "a/b /: unchanged, version 6\n");
}

#[test]
fn set_of_what_is_wrong_is_refused_with_its_exit_code() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.fails(2, &["set", "a/b"]);
    server.fails(2, &["set", "a/b", "x"]);
    server.fails(2, &["set", "a/b", "x:=one"]);
    let number = server.fails(2, &["set", "a/b", "version=1.10"]);
    assert!(number.contains("is the number 1.1") && number.contains("--string version=1.10"), "{number}");
    server.fails(2, &["set", "a/b", "x=1", "x=2"]);
    server.fails(4, &["set", "a/b", "--unset", "nothing"]);
    server.fails(4, &["set", "a/b", "x=1", "x.y=2"]);
    server.fails(5, &["set", "a/b", "x=2", "--expected-version", "7"]);
    server.fails(5, &["set", "a/b", "x=2", "--expected-version", "0"]);
    let no_override = server.run(&["set", "a/b", "x=2", "--ttl", "5m"]);
    assert_eq!(no_override.code, 2, "{no_override:?}");
    for (document, reason) in [("{\"a\":1,\"a\":2}", "more than once"), ("[1]", "object"), ("{", "JSON")] {
        let ran = server.run_with_input(&["set", "a/b", "-"], document);
        assert_eq!(ran.code, 4, "{document}: {ran:?}");
        assert!(ran.stderr.starts_with("error: standard input: ") && ran.stderr.contains(reason), "{ran:?}");
    }
    let guessed = server.run_with_input(&["set", "a/b", "-"], "x: 1");
    assert!(guessed.stderr.contains("--format"), "{guessed:?}");
    let missing = server.fails(1, &["set", "a/b", "--file", "/nowhere/b.yaml"]);
    assert!(missing.contains("/nowhere/b.yaml"), "{missing}");
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would() {
    let server = Server::start();
    let line = server.ok(&["set", "a/b", "x=1", "--dry-run"]);
    assert!(line.contains("would become version 1"), "{line}");
    server.fails(3, &["get", "a/b"]);
}

#[test]
fn a_request_id_makes_a_write_safe_to_repeat() {
    let server = Server::start();
    let first = server.json(&["set", "a/b", "x=1", "--request-id", "one"]);
    assert_eq!(server.json(&["set", "a/b", "x=1", "--request-id", "one"]), first);
    let reused = server.fails(5, &["set", "a/b", "x=2", "--request-id", "one"]);
    assert!(reused.contains("--request-id"), "{reused}");
}

#[test]
fn an_override_wins_until_it_is_deleted() {
    let server = Server::start();
    server.ok(&["set", "a/b@/p", "x=1"]);
    let line = server.ok(&["set", "a/b@/p", "--override", "--ttl", "30m", "x=2", "--reason", "incident"]);
    assert!(line.contains("/p override until "), "{line}");
    assert_eq!(content(&server, "a/b@/p"), json!({"x": 2}));
    server.fails(2, &["delete", "a/b", "--override"]);
    server.ok(&["delete", "a/b@/p", "--override"]);
    assert_eq!(content(&server, "a/b@/p"), json!({"x": 1}));
}

#[test]
fn delete_takes_a_layer_or_the_whole_config_and_rollback_brings_it_back() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/b@/p", "x=2"]);
    server.fails(5, &["delete", "a/b@/p", "--expected-version", "1"]);
    assert!(server.ok(&["delete", "a/b@/p", "--dry-run"]).contains("dry run"));
    let line = server.ok(&["delete", "a/b", "-s", "/p"]);
    assert!(line.contains("version 3, revision 3") && line.contains("- /p"), "{line}");
    assert_eq!(content(&server, "a/b@/p"), json!({"x": 1}));
    assert!(server.ok(&["delete", "a/b@/p"]).contains("nothing to delete"));
    server.ok(&["delete", "a/b", "--yes"]);
    server.fails(3, &["get", "a/b"]);

    let rolled = server.ok(&["rollback", "a/b", "--to-version", "2", "--reason", "mistake"]);
    assert!(rolled.contains("+ /x: 1") && rolled.contains("version 5 restores version 2"), "{rolled}");
    assert_eq!(content(&server, "a/b@/p"), json!({"x": 2}));
}

#[test]
fn rollback_goes_to_a_version_or_a_tag_of_all_or_one_scope() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/b@/p", "y=1"]);
    server.ok(&["tag", "set", "a/b", "good"]);
    server.ok(&["set", "a/b", "x=2"]);
    server.ok(&["set", "a/b@/p", "y=2"]);
    let dry = server.ok(&["rollback", "a/b", "--to-tag", "good", "--dry-run"]);
    assert!(dry.contains("~ /x: 2 -> 1") && dry.contains("~ /y: 2 -> 1") && dry.contains("dry run"), "{dry}");
    let scoped = server.json(&["rollback", "a/b@/p", "--to-tag", "good"]);
    assert_eq!(scoped["layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(content(&server, "a/b@/p"), json!({"x": 2, "y": 1}));
    server.fails(3, &["rollback", "a/b", "--to-version", "99"]);
    server.fails(3, &["rollback", "a/b", "--to-tag", "nothing"]);
    server.fails(5, &["rollback", "a/b", "--to-version", "1", "--expected-version", "1"]);
    let before = server.ok(&["rollback", "a/b", "--reason", "the last one"]);
    assert!(before.contains("version 6 restores version 4, the one before, revision"), "{before}");
    assert_eq!(content(&server, "a/b@/p"), json!({"x": 2, "y": 2}));
    server.ok(&["rollback", "a/b"]);
    assert_eq!(content(&server, "a/b@/p"), json!({"x": 2, "y": 1}));
}

#[test]
fn revert_takes_commits_back_across_configs_and_shows_what_is_in_the_way() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1", "y=1"]);
    server.ok(&["set", "a/c@/p", "z=1"]);
    server.ok(&["set", "a/b", "x=2"]);
    server.ok(&["set", "a/c@/p", "z=2"]);
    server.ok(&["set", "a/b", "y=3"]);
    let dry = server.ok(&["revert", "3", "4", "--dry-run"]);
    assert!(dry.contains("~ /x: 2 -> 1") && dry.contains("~ /z: 2 -> 1") && dry.contains("dry run"), "{dry}");
    assert!(dry.contains("WOULD CHANGE"), "{dry}");
    let line = server.ok(&["revert", "3", "4", "--reason", "incident 7"]);
    assert!(line.contains("revision 6 takes back revisions 4, 3: 2 layers changed"), "{line}");
    assert_eq!(content(&server, "a/b"), json!({"x": 1, "y": 3}));
    assert_eq!(content(&server, "a/c@/p"), json!({"z": 1}));
    assert!(server.ok(&["history", "a/b"]).contains("revert 4,3"));
    assert!(server.ok(&["revert", "4"]).contains("nothing to take back"));
    server.ok(&["set", "a/b", "y=4"]);
    let refused = server.fails(5, &["revert", "5"]);
    assert!(refused.contains("a/b /: /y is 4 now, and was 1 before revision 5"), "{refused}");
    assert_eq!(server.json(&["revert", "7"])["changed"], json!(true));
    assert_eq!(content(&server, "a/b"), json!({"x": 1, "y": 3}));
    server.fails(3, &["revert", "99"]);
    assert_eq!(server.run(&["revert"]).code, 2);
}

#[test]
fn restore_makes_a_namespace_what_it_was() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/c@/p", "z=1"]);
    server.ok(&["tag", "set", "a/b", "good"]);
    server.ok(&["set", "a/b", "x=2"]);
    server.ok(&["set", "a/new", "n=1"]);
    server.ok(&["delete", "a/c", "--yes"]);
    let dry = server.ok(&["restore", "a", "--to", "revision:2", "--dry-run"]);
    assert!(dry.contains("~ /x: 2 -> 1") && dry.contains("WOULD CHANGE"), "{dry}");
    assert!(dry.contains("3 layers would change back to revision 2 (dry run"), "{dry}");
    assert!(dry.contains("--expected-revision 6 "), "{dry}");
    let stale = server.fails(5, &["restore", "a", "--to", "revision:2", "--expected-revision", "5"]);
    assert!(stale.contains("a/c was changed by revision 6, after revision 5"), "{stale}");
    let asked = server.fails(5, &["restore", "a", "--to", "revision:2", "--ask-above", "configs=1"]);
    assert!(asked.contains("it reaches 3 configs, more than 1") && asked.contains("--yes"), "{asked}");
    let line =
        server.ok(&["restore", "a", "--to", "revision:2", "--expected-revision", "6", "-m", "incident 7"]);
    assert!(line.contains("revision 7 restores a to revision 2: 3 layers changed"), "{line}");
    assert_eq!(content(&server, "a/b"), json!({"x": 1}));
    assert_eq!(content(&server, "a/c@/p"), json!({"z": 1}));
    server.fails(3, &["get", "a/new"]);
    assert!(server.ok(&["history", "a/b"]).contains("restore 2"));
    assert!(
        server.ok(&["restore", "a", "--to", "revision:2"]).contains("nothing to restore: a is as it was")
    );
    server.ok(&["set", "a/b", "x=3"]);
    server.ok(&["set", "a/b@/p", "x=4"]);
    assert!(server.ok(&["restore", "a/b", "--to", "tag:good", "--scope", "/p"]).contains("1 layer changed"));
    assert_eq!(content(&server, "a/b"), json!({"x": 3}));
    assert_eq!(server.json(&["restore", "a/b", "--to", "tag:good"])["changed"], json!(true));
    assert_eq!(content(&server, "a/b"), json!({"x": 1}));
    server.fails(3, &["restore", "a", "--to", "revision:99"]);
    server.fails(2, &["restore", "a", "--to", "3"]);
    server.fails(4, &["restore", "a", "--to", "time:2d"]);
}

#[test]
fn tags_are_set_moved_listed_and_deleted() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/b", "x=2"]);
    assert_eq!(server.ok(&["tag", "set", "a/b", "stable", "--version", "1"]), "stable names version 1\n");
    server.fails(5, &["tag", "set", "a/b", "stable", "--expected-version", "0"]);
    let moved = server.ok(&["tag", "set", "a/b", "stable"]);
    assert_eq!(moved, "stable names version 2 (it named version 1)\n");
    assert_eq!(server.json(&["tag", "list", "a/b"]), json!({"stable": 2}));
    server.ok(&["tag", "delete", "a/b", "stable"]);
    assert!(server.ok(&["tag", "delete", "a/b", "stable"]).contains("did not exist"));
    assert_eq!(server.json(&["tag", "list", "a/b"]), json!({}));
    server.fails(3, &["tag", "list", "a/nothing"]);
    server.fails(3, &["tag", "set", "a/b", "stable", "--version", "99"]);
}

#[test]
fn tags_of_a_namespace_name_a_revision_of_all_its_configs() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/c", "y=1"]);
    assert_eq!(server.json(&["tag", "list", "a"]), json!({}));
    assert_eq!(server.ok(&["tag", "set", "a", "release"]), "release names revision 2\n");
    server.ok(&["set", "a/b", "x=2"]);
    let dry = server.ok(&["tag", "set", "a", "release", "--dry-run"]);
    assert_eq!(dry, "release would name revision 4 (it named revision 2)\n");
    server.fails(5, &["tag", "set", "a", "release", "--expected-revision", "7"]);
    assert_eq!(server.json(&["tag", "list", "a"]), json!({"release": 2}));
    assert_eq!(server.json(&["tag", "list", "a/b"]), json!({"release": 1}));
    let line = server.ok(&["restore", "a", "--to", "tag:release"]);
    assert!(line.contains("restores a to revision 2: 1 layer changed"), "{line}");
    assert_eq!(content(&server, "a/b"), json!({"x": 1}));
    assert_eq!(server.ok(&["tag", "set", "a", "first", "--at", "1"]), "first names revision 1\n");
    assert_eq!(server.json(&["tag", "list", "a/c"]), json!({"release": 1}));
    let refused = server.fails(4, &["tag", "set", "a/b", "first"]);
    assert!(refused.contains("is a tag of the namespace a"), "{refused}");
    // The tags are none of what a directory holds.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a");
    let path = path.to_str().expect("a path");
    server.ok(&["export", "a", "-d", path]);
    assert!(server.ok(&["apply", "-f", path, "--prune"]).contains("nothing to change in 2 layers"));
    assert_eq!(server.ok(&["tag", "delete", "a", "first"]), "first deleted (it named revision 1)\n");
    server.fails(3, &["restore", "a", "--to", "tag:first"]);
    server.fails(2, &["tag", "set", "a@/x", "release"]);
}

#[test]
fn a_restore_to_a_time_ago_has_no_request_id() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let refused = server.fails(2, &["restore", "a", "--to", "time:1h", "--request-id", "one"]);
    assert!(refused.contains("--request-id") && refused.contains("RFC 3339"), "{refused}");
    // A time that stays the same, and a revision, can be repeated.
    let restore = |to: &str| server.ok(&["restore", "a", "--to", to, "--request-id", "one"]);
    assert_eq!(restore("revision:1"), restore("revision:1"));
    let at = server.run(&["restore", "a", "--to", "time:2020-01-01T00:00:00Z", "--request-id", "two"]);
    assert_ne!(at.code, 2, "{at:?}");
}

#[test]
fn validate_says_what_is_wrong_and_stores_nothing() {
    let server = Server::start();
    let good = server.ok(&["validate", "a/b", "x=1"]);
    assert!(good.ends_with("valid: 1 layer, and something would change\n"), "{good}");
    let bad = server.run_with_input(&["validate", "a/b", "-"], "[1]");
    assert_eq!(bad.code, 4, "{bad:?}");
    assert!(bad.stdout.contains("NOT_AN_OBJECT") && bad.stdout.ends_with("invalid\n"), "{bad:?}");
    server.fails(3, &["get", "a/b"]);
    assert_eq!(server.run(&["validate"]).code, 2);
}

/// Runs `edit` with a script as the editor: `$1` is the file.
fn edit(server: &Server, directory: &Path, script: &str, args: &[&str]) -> Ran {
    let editor = directory.join("editor.sh");
    fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).expect("set");
    let mut command = server.command(&[&["edit"], args].concat());
    command.env_remove("VISUAL").env("EDITOR", &editor).env("TMPDIR", directory);
    finish(command)
}

#[test]
fn edit_stores_what_the_editor_made() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let run = |script: &str, args: &[&str]| edit(&server, directory.path(), script, args);

    let made = run("echo 'port: 80' >> \"$1\"", &["a/b@/p", "--reason", "new"]);
    assert!(made.code == 0 && made.stdout.contains("version 1"), "{made:?}");
    let changed = run("sed -i 's/80/81/' \"$1\"", &["a/b@/p"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    assert_eq!(content(&server, "a/b@/p"), json!({"port": 81}));
    let json = run("sed -i 's/81/82/' \"$1\"", &["a/b@/p", "--format", "json"]);
    assert_eq!(json.code, 0, "{json:?}");
    let unchanged = run("true", &["a/b@/p"]);
    assert!(unchanged.code == 0 && unchanged.stderr.contains("unchanged"), "{unchanged:?}");
    assert_eq!(server.json(&["history", "a/b"])["versions"].as_array().map(Vec::len), Some(3));
    let failed = run("exit 3", &["a/b@/p"]);
    assert!(failed.code == 1 && failed.stderr.contains("nothing is stored"), "{failed:?}");
}

#[test]
fn edit_opens_a_refused_document_again_with_the_reason_at_the_top() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    server.ok(&["set", "a/b", "port=80"]);
    let fix = "if grep -q '^# It was refused' \"$1\"; then sed -i 's/^- 1$/port: 90/' \"$1\"; \
               else sed -i 's/^port: 80$/- 1/' \"$1\"; fi";
    let fixed = edit(&server, directory.path(), fix, &["a/b"]);
    assert_eq!(fixed.code, 0, "{fixed:?}");
    assert_eq!(content(&server, "a/b"), json!({"port": 90}));

    // A line that does not satisfy the schema is shown in the editor, without colours.
    let schema = directory.path().join("schema.json");
    fs::write(&schema, r#"{"properties": {"port": {"type": "integer"}}}"#).expect("written");
    server.ok(&["schema", "put", "a/b", "-f", text(&schema)]);
    let copy = directory.path().join("copy");
    let script = format!(
        "if grep -q '^# It was refused' \"$1\"; then cp \"$1\" '{}'; else sed -i 's/90/many/' \"$1\"; fi",
        copy.display()
    );
    let refused = edit(&server, directory.path(), &script, &["a/b", "--color", "always"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let header = fs::read_to_string(&copy).expect("there");
    assert!(header.contains("#   1 | port: many\n") || header.contains("1 | port: many\n"), "{header}");
    assert!(header.contains("^^^^") && !header.contains('\u{1b}'), "{header}");
    server.ok(&["schema", "delete", "a/b"]);

    let stubborn = edit(&server, directory.path(), "sed -i 's/^port: 90$/- 1/' \"$1\"", &["a/b"]);
    assert_eq!(stubborn.code, 4, "{stubborn:?}");
    assert!(stubborn.stderr.starts_with("error: the document: "), "{stubborn:?}");
    let (_, path) = stubborn.stderr.trim_end().rsplit_once("what you wrote is in ").expect("a path");
    assert_eq!(fs::read_to_string(path).expect("kept"), "- 1\n");
}

#[test]
fn edit_notices_that_someone_else_was_faster() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    server.ok(&["set", "a/b", "port=80"]);
    let script = format!(
        "'{}' set a/b port=99 --server {} >&2; sed -i 's/80/81/' \"$1\"",
        env!("CARGO_BIN_EXE_confwatch"),
        server.address
    );
    let late = edit(&server, directory.path(), &script, &["a/b"]);
    assert_eq!(late.code, 5, "{late:?}");
    assert!(late.stderr.contains("what you wrote is in "), "{late:?}");
    assert_eq!(content(&server, "a/b"), json!({"port": 99}));
}

#[test]
fn where_a_reason_is_demanded_a_refusal_says_how_to_give_one() {
    let server = Server::start();
    server.ok(&["set", "a/namespace:settings", "require_reason=true"]);
    let refused = server.fails(4, &["set", "a/b", "x=1"]);
    assert!(refused.contains("--reason"), "{refused}");
    server.ok(&["set", "a/b", "x=1", "--reason", "a try"]);
}

#[test]
fn a_scope_that_the_namespace_does_not_allow_is_refused_with_the_one_that_was_probably_meant() {
    let server = Server::start();
    server.ok(&["set", "shop/namespace:settings", r#"scopes=["/", "/production/**"]"#]);
    let refused = server.fails(4, &["set", "shop/web@/prd", "x=1"]);
    assert!(refused.contains("SCOPE_NOT_ALLOWED") && refused.contains("use /production"), "{refused}");
    assert!(refused.contains("`confwatch get shop/namespace:settings` lists"), "{refused}");
    server.ok(&["set", "shop/web", "x=1"]);
    server.ok(&["set", "shop/web@/production/eu", "x=2"]);
    server.ok(&["get", "shop/web@/prd"]);
    let invalid = server.run(&["validate", "shop/web@/prd", "x=1"]);
    assert!(invalid.code == 4 && invalid.stdout.contains("SCOPE_NOT_ALLOWED"), "{invalid:?}");
}

/// The traps of YAML: a key with nothing below it, the mode of files that is no octal number, a word that is no boolean.
const TRAPS: &str = "db:\nmode: 0644\nenabled: yes\n";

#[test]
fn silent_traps_are_told_by_every_command_that_writes_governed_or_not() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("traps.yaml");
    fs::write(&path, TRAPS).expect("written");
    let schema = directory.path().join("schema.json");
    fs::write(&schema, r#"{"properties": {"port": {"type": "integer"}}}"#).expect("written");
    let mut number = 0;
    for governed in [false, true] {
        let namespace = if governed { "governed" } else { "free" };
        let name = |number: u32| format!("{namespace}/app{number}");
        let mut inherits = || {
            number += 1;
            server.ok(&["set", &name(number), "db.host=a", "--yes"]);
            if governed {
                server.ok(&["schema", "put", &name(number), "-f", text(&schema)]);
            }
            format!("{}@/p", name(number))
        };
        let told = |ran: &Ran, command: &str| {
            assert_eq!(ran.code, 0, "{namespace} {command}: {ran:?}");
            for code in ["REMOVES_OBJECT", "OCTAL_MODE", "TEXT_FOR_BOOLEAN"] {
                let count = ran.stderr.lines().filter(|line| line.contains(code)).count();
                assert_eq!(count, 1, "{namespace} {command}: {code}: {ran:?}");
            }
        };
        for more in [&[][..], &["--yes"], &["--dry-run"], &["-o", "json"]] {
            let set = ["set", &inherits(), "--file", text(&path)].map(str::to_owned);
            let args: Vec<&str> = set.iter().map(String::as_str).chain(more.iter().copied()).collect();
            told(&server.run(&args), &format!("set {more:?}"));
        }
        let target = inherits();
        let script = format!("cp '{}' \"$1\"", path.display());
        for more in [&["--dry-run"][..], &["--yes"]] {
            let edited = edit(&server, directory.path(), &script, &[&[target.as_str()], more].concat());
            told(&edited, &format!("edit {more:?}"));
        }
        let target = inherits();
        let tree = directory.path().join(target.replace("@/p", ""));
        fs::create_dir_all(&tree).expect("made");
        fs::write(tree.join("p.yaml"), TRAPS).expect("written");
        let tree = tree.parent().expect("a directory");
        for more in [&["--dry-run"][..], &["--yes"]] {
            told(&server.run(&[&["apply", "-f", text(tree)], more].concat()), &format!("apply {more:?}"));
        }
        let validated = server.run(&["validate", &inherits(), "--file", text(&path)]);
        let findings = Ran { stderr: validated.stdout.clone(), ..validated };
        told(&findings, "validate");
    }
}
