//! Schemas, rules and settings, and migrations.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Server, text};

fn file(directory: &TempDir, name: &str, content: &Value) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content.to_string()).expect("written");
    path
}

fn ports() -> Value {
    json!({
        "type": "object",
        "properties": {"port": {"type": "integer", "default": 80}, "host": {"type": "string"}},
        "additionalProperties": false
    })
}

fn put(server: &Server, schema: &Path, more: &[&str]) -> String {
    server.ok(&[&["schema", "put", "payments/checkout", "-f", text(schema)], more].concat())
}

#[test]
fn a_schema_is_put_read_listed_and_deleted() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let schema = file(&directory, "checkout.json", &ports());
    let dry = put(&server, &schema, &["--dry-run"]);
    assert!(dry.contains("would become version 1 of the schema (dry run"), "{dry}");
    server.fails(3, &["schema", "get", "payments/checkout"]);

    let line = put(&server, &schema, &["-m", "ports are numbers"]);
    assert_eq!(line, "payments/checkout: version 1 of the schema, revision 1\n");
    let again = put(&server, &schema, &[]);
    assert_eq!(again, "payments/checkout: unchanged, version 1 of the schema\n");
    server.fails(5, &["schema", "put", "payments/checkout", "-f", text(&schema), "--expect", "7"]);
    server.fails(5, &["schema", "put", "payments/checkout", "-f", text(&schema), "--expect", "0"]);

    let read: Value =
        serde_json::from_str(&server.ok(&["schema", "get", "payments/checkout"])).expect("JSON");
    assert_eq!(read, ports());
    let yaml = server.ok(&["schema", "get", "payments/checkout", "--number", "1", "--format", "yaml"]);
    assert!(yaml.starts_with("additionalProperties: false\n"), "{yaml}");
    let view = server.json(&["schema", "get", "payments/checkout"]);
    assert_eq!((&view["content"], &view["active_number"]), (&ports(), &json!(1)));
    server.fails(3, &["schema", "get", "payments/checkout", "--number", "9"]);
    server.fails(2, &["schema", "get", "payments/checkout@/production"]);

    let table = server.ok(&["schema", "list", "payments"]);
    assert!(table.contains("payments/checkout  1       1"), "{table}");
    assert_eq!(server.json(&["schema", "list", "payments"])["schemas"][0]["config"], "checkout");
    let history = server.ok(&["schema", "history", "payments/checkout"]);
    assert!(history.contains("schema") && history.contains("ports are numbers"), "{history}");

    assert!(server.ok(&["schema", "delete", "payments/checkout", "--dry-run"]).contains("dry run"));
    server.fails(5, &["schema", "delete", "payments/checkout", "--expect", "7"]);
    let deleted = server.ok(&["schema", "delete", "payments/checkout"]);
    assert_eq!(deleted, "payments/checkout: the schema is deleted, revision 2\n");
    server.fails(3, &["schema", "get", "payments/checkout"]);
    assert_eq!(server.json(&["schema", "list", "payments"])["schemas"], json!([]));
    let history = server.json(&["schema", "history", "payments/checkout"]);
    assert_eq!(history["versions"].as_array().map(Vec::len), Some(2), "history keeps it");
}

#[test]
fn a_schema_that_documents_violate_is_refused_unless_that_is_accepted() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    server.ok(&["set", "payments/checkout", "port=80"]);
    server.ok(&["set", "payments/checkout@/production", "port=\"eighty\""]);
    let schema = file(&directory, "checkout.json", &ports());
    let refused = server.fails(4, &["schema", "put", "payments/checkout", "-f", text(&schema)]);
    assert!(refused.contains("error SCHEMA_TYPE at payments/checkout /production /port"), "{refused}");
    assert!(!refused.contains("-->"), "no file holds the document: {refused}");
    server.fails(3, &["schema", "get", "payments/checkout"]);

    let put = ["schema", "put", "payments/checkout", "-f", text(&schema), "--accept-existing"];
    let accepted = server.run(&put);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert!(accepted.stderr.contains("warning SCHEMA_TYPE"), "{accepted:?}");
    server.fails(4, &["set", "payments/checkout", "port=x"]);
    server.ok(&["set", "payments/checkout@/production", "port=8080"]);
    server.fails(4, &["set", "payments/checkout@/production", "port=\"eighty\""]);
}

#[test]
fn what_is_wrong_in_a_schema_is_shown_in_its_file() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let schema = directory.path().join("checkout.yaml");
    fs::write(&schema, "type: object\nproperties:\n  port:\n    type: 7 # why\n").expect("written");
    let refused = server.fails(4, &["schema", "put", "payments/checkout", "-f", text(&schema)]);
    let place = format!("--> {}:4:11", schema.display());
    assert!(refused.contains(&place) && refused.contains("4 |     type: 7 # why"), "{refused}");
    assert!(refused.contains("  |           ^\n"), "{refused}");

    fs::write(&schema, "type: object\nproperties: {\n").expect("written");
    let unreadable = server.fails(4, &["schema", "put", "payments/checkout", "-f", text(&schema)]);
    assert!(unreadable.contains("checkout.yaml: not YAML") && unreadable.contains("-->"), "{unreadable}");
    let good = file(&directory, "good.json", &ports());
    let args = ["schema", "put", "payments/checkout", "-f", text(&good), "--down", text(&good)];
    assert_eq!(server.run(&args).code, 2, "--down needs --up");
}

#[test]
fn steps_that_are_wrong_are_shown_in_their_file() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let schema = file(&directory, "checkout.json", &ports());
    put(&server, &schema, &[]);
    let second = file(&directory, "second.json", &json!({"type": "object"}));
    let up = directory.path().join("up.json");
    fs::write(&up, "[\n  {\"remove\": {\"at\": \"/host\"}},\n  {\"destroy\": {\"at\": \"/port\"}}\n]\n")
        .expect("written");
    let args = ["schema", "put", "payments/checkout", "-f", text(&second), "--up", text(&up)];
    let refused = server.fails(4, &args);
    assert!(refused.contains(&format!("--> {}:3:", up.display())), "{refused}");
}

#[test]
fn every_command_takes_the_configs_that_govern_others() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let schema = file(&directory, "checkout.json", &ports());
    put(&server, &schema, &[]);
    put(&server, &file(&directory, "second.json", &json!({"type": "object"})), &[]);
    let rules =
        file(&directory, "rules.json", &json!({"rules": {"port": {"expression": "true", "message": "m"}}}));
    for name in ["payments/rules:checkout", "payments/namespace:rules"] {
        server.ok(&["set", name, "--file", text(&rules)]);
        assert_eq!(server.json(&["get", name])["content"]["rules"]["port"]["message"], "m");
        server.ok(&["set", name, "rules.port.message=n"]);
        assert_eq!(server.json(&["history", name])["versions"].as_array().map(Vec::len), Some(2));
        assert!(server.ok(&["diff", name]).contains("\"message\": \"n\""), "{name}");
        server.ok(&["tag", "set", name, "stable"]);
        assert_eq!(server.json(&["tag", "list", name]), json!({"stable": 2}));
        server.ok(&["rollback", name, "--to-version", "1"]);
        let explained = server.ok(&["explain", name]);
        assert!(explained.contains("/rules/port/message"), "{explained}");
        let watched = server.ok(&["watch", name, "--count", "1", "--content"]);
        assert!(watched.contains("\"message\": \"m\""), "{watched}");
        server.ok(&["delete", name, "--yes"]);
        server.fails(3, &["get", name]);
    }
    server.ok(&["set", "payments/settings:checkout", "strict=true"]);
    server.ok(&["set", "payments/namespace:settings", "strict=false"]);
    server.fails(4, &["set", "payments/settings:checkout@/production", "strict=true"]);
    server.ok(&["rollback", "payments/schema:checkout", "--to-version", "1"]);
    assert_eq!(server.json(&["schema", "get", "payments/checkout"])["content"], ports());
    let changes = server.ok(&["changes", "payments/schema:checkout", "--from", "1", "--count", "3"]);
    assert_eq!(changes.matches("payments/schema:checkout").count(), 3, "{changes}");

    server.ok(&["set", "payments/checkout", "port=80"]);
    assert_eq!(server.json(&["list", "payments"])["configs"].as_array().map(Vec::len), Some(1));
    let governing = server.json(&["list", "payments", "--governing"]);
    assert_eq!(governing["configs"].as_array().map(Vec::len), Some(4));
}

#[test]
fn defaults_of_the_schema_are_filled_in_where_they_are_asked_for() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    server.ok(&["set", "payments/checkout", "host=db"]);
    put(&server, &file(&directory, "checkout.json", &ports()), &[]);
    assert_eq!(server.json(&["get", "payments/checkout"])["content"], json!({"host": "db"}));
    let filled = server.json(&["get", "payments/checkout", "--defaults"]);
    assert_eq!(filled["content"], json!({"host": "db", "port": 80}));
    let past = server.run(&["get", "payments/checkout", "--defaults", "--version", "1"]);
    assert_eq!(past.code, 2, "{past:?}");
    let view = server.run(&["get", "payments/checkout", "--defaults", "--view", "layer"]);
    assert_eq!(view.code, 2, "{view:?}");

    let watched = server.follow(&["watch", "payments/checkout", "--defaults", "-o", "json"]);
    let content = |line: &str| {
        let state: Value = serde_json::from_str(line).expect("JSON");
        state["document"]["content"].clone()
    };
    assert_eq!(content(&watched.line()), json!({"host": "db", "port": 80}));
    let mut other = ports();
    other["properties"]["port"]["default"] = 81.into();
    put(&server, &file(&directory, "checkout.json", &other), &[]);
    assert_eq!(content(&watched.line()), json!({"host": "db", "port": 81}));
}

/// A config with layers, and a schema of which the second version calls `host` `hostname`.
fn with_two_versions() -> (Server, TempDir) {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    server.ok(&["set", "payments/checkout", "port=80", "host=a"]);
    server.ok(&["set", "payments/checkout@/production", "host=b"]);
    server.ok(&["set", "payments/checkout@/staging", "port=81"]);
    put(&server, &file(&directory, "first.json", &ports()), &[]);
    let mut second = ports();
    second["properties"]["hostname"] = second["properties"]["host"].take();
    second["properties"].as_object_mut().expect("an object").remove("host");
    let second = file(&directory, "second.json", &second);
    let up = file(&directory, "up.json", &json!([{"rename": {"at": "/host", "to": "hostname"}}]));
    let down = file(&directory, "down.json", &json!([{"rename": {"at": "/hostname", "to": "host"}}]));
    let line = put(&server, &second, &["--up", text(&up), "--down", text(&down)]);
    assert!(
        line.contains("version 2 of the schema") && line.contains("`confwatch migrate up payments/checkout`"),
        "{line}"
    );
    (server, directory)
}

#[test]
fn a_migration_is_planned_done_and_taken_back() {
    let (server, _directory) = with_two_versions();
    let plan = server.ok(&["migrate", "plan", "payments/checkout"]);
    assert!(plan.starts_with("version 1 -> 2: steps there and back\n"), "{plan}");
    assert!(plan.contains("/production: 12 -> 16 bytes\n") && plan.contains("+ /hostname: \"b\""), "{plan}");
    assert!(plan.contains("payments/checkout: version 1 -> 2 would change 2 of 3 layers, "), "{plan}");
    let view = server.json(&["migrate", "plan", "payments/checkout", "--to", "2"]);
    assert_eq!(view["path"][0]["has_steps_back"], true);
    assert_eq!(view["layers"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.json(&["get", "payments/checkout"])["content"], json!({"host": "a", "port": 80}));

    let dry = server.ok(&["migrate", "up", "payments/checkout", "--dry-run"]);
    assert!(dry.contains("dry run"), "{dry}");
    let up = server.ok(&["migrate", "up", "payments/checkout", "-m", "one name"]);
    assert!(up.contains("version 1 -> 2 changed 2 of 3 layers"), "{up}");
    let production = server.json(&["get", "payments/checkout@/production"]);
    assert_eq!(production["content"], json!({"hostname": "b", "port": 80}));
    server.fails(4, &["set", "payments/checkout", "host=x"]);
    let history = server.ok(&["history", "payments/checkout", "-n", "1"]);
    assert!(
        history.contains("migration schema:checkout 1 -> 2") && history.contains("one name"),
        "{history}"
    );
    let again = server.ok(&["migrate", "up", "payments/checkout"]);
    assert_eq!(again, "payments/checkout: unchanged, version 2 of the schema is active\n");

    server.fails(2, &["migrate", "up", "payments/checkout", "--to", "1"]);
    let down = server.ok(&["migrate", "down", "payments/checkout"]);
    assert!(down.contains("version 2 -> 1 changed 2 of 3 layers"), "{down}");
    let production = server.json(&["get", "payments/checkout@/production"]);
    assert_eq!(production["content"], json!({"host": "b", "port": 80}));
    server.fails(4, &["migrate", "down", "payments/checkout"]);
    server.fails(2, &["migrate", "down", "payments/checkout", "--to", "2"]);
    server.fails(3, &["migrate", "up", "payments/basket"]);
}

#[test]
fn a_way_without_steps_is_told_and_not_gone() {
    let (server, directory) = with_two_versions();
    let third = file(&directory, "third.json", &json!({"type": "object"}));
    let nothing = file(&directory, "nothing.json", &json!([]));
    put(&server, &third, &["--up", text(&nothing)]);
    server.ok(&["migrate", "up", "payments/checkout"]);
    let plan = server.run(&["migrate", "plan", "payments/checkout", "--to", "1"]);
    assert_eq!(plan.code, 4, "{plan:?}");
    assert!(
        plan.stdout.starts_with("version 3 -> 2: no steps\nversion 2 -> 1: steps there and back\n"),
        "{plan:?}"
    );
    assert!(plan.stderr.contains("MIGRATION_FAILED"), "{plan:?}");
    let shown = server.json(&["schema", "get", "payments/checkout"]);
    assert_eq!(shown["active_number"], 3);
}

#[test]
fn a_tree_holds_schemas_rules_and_settings_and_is_exported_as_it_was() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = directory.path().join("payments");
    let files = [
        (
            "_rules.yaml",
            "rules:\n  named:\n    expression: has(config.host)\n    message: a host is missing\n    severity: warning\n",
        ),
        ("_settings.yaml", "lints: {}\nstrict: false\n"),
        (
            "checkout/_schema.yaml",
            "additionalProperties: false\nproperties:\n  host:\n    type: string\n  port:\n    type: integer\n",
        ),
        ("checkout/_settings.json", "{\n  \"strict\": false\n}\n"),
        ("checkout/global.yaml", "host: a\nport: 80\n"),
        ("checkout/production.yaml", "port: 81\n"),
    ];
    for (path, content) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }
    let applied = server.ok(&["apply", "-f", text(&tree)]);
    assert!(applied.ends_with("6 of 6 layers changed, revision 1\n"), "{applied}");
    assert_eq!(server.json(&["schema", "get", "payments/checkout"])["numbers"], json!([1]));
    assert_eq!(server.ok(&["apply", "-f", text(&tree), "--prune"]), "nothing to change in 6 layers\n");

    let out = directory.path().join("out");
    server.ok(&["export", "payments", "-d", text(&out)]);
    for (path, content) in files {
        assert_eq!(fs::read_to_string(out.join(path)).expect(path), content, "{path}");
    }
    server.ok(&["apply", "-f", text(&out), "--namespace", "copy"]);
    let printed = server.ok(&["export", "copy"]);
    assert!(printed.contains("# checkout/_schema.yaml") && printed.contains("# _rules.yaml"), "{printed}");

    // A layer that breaks the schema of its own tree is refused with all of it, and shown.
    fs::write(tree.join("checkout/production.yaml"), "port: many\nhots: b\n").expect("written");
    fs::write(tree.join("checkout/global.yaml"), "host: b\nport: 80\n").expect("written");
    let refused = server.fails(4, &["apply", "-f", text(&tree)]);
    let file = tree.join("checkout/production.yaml");
    assert!(refused.contains(&format!("--> {}:1:7", file.display())), "{refused}");
    assert!(refused.contains(&format!("--> {}:2:1", file.display())), "{refused}");
    assert!(refused.contains("2 | hots: ***") && refused.contains("  | ^^^^"), "{refused}");
    assert_eq!(server.json(&["get", "payments/checkout"])["content"]["host"], "a");

    // A new schema and the layers that satisfy it are one commit.
    fs::write(tree.join("checkout/_schema.yaml"), "properties: {port: {type: string}}\n").expect("written");
    fs::write(tree.join("checkout/global.yaml"), "port: one\n").expect("written");
    fs::write(tree.join("checkout/production.yaml"), "port: many\n").expect("written");
    let applied = server.run(&["apply", "-f", text(&tree)]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert!(applied.stderr.contains("a host is missing"), "{applied:?}");
    assert_eq!(server.json(&["schema", "get", "payments/checkout"])["active_number"], 2);

    fs::remove_file(tree.join("checkout/_schema.yaml")).expect("removed");
    server.ok(&["apply", "-f", text(&tree), "--prune"]);
    server.fails(3, &["schema", "get", "payments/checkout"]);
    fs::write(tree.join("checkout/_schema.yaml"), "{}\n").expect("written");
    server.ok(&["apply", "-f", text(&tree)]);
    assert_eq!(server.json(&["schema", "get", "payments/checkout"])["active_number"], 4, "numbers grow");
}

#[test]
fn several_versions_of_a_schema_are_exported_with_their_steps() {
    let (server, directory) = with_two_versions();
    let out = directory.path().join("out");
    server.ok(&["export", "payments", "-d", text(&out)]);
    let stored = fs::read_to_string(out.join("checkout/_schema.versions.json")).expect("there");
    assert!(stored.contains("\"rename\"") && !out.join("checkout/_schema.json").exists(), "{stored}");
    let args = ["apply", "-f", text(&out), "--namespace", "payments", "--prune"];
    assert_eq!(server.ok(&args), "nothing to change in 4 layers\n");
    server.ok(&["apply", "-f", text(&out), "--namespace", "copy"]);
    server.ok(&["migrate", "up", "copy/checkout"]);
    assert_eq!(server.json(&["get", "copy/checkout"])["content"], json!({"hostname": "a", "port": 80}));
}

#[test]
fn an_empty_file_is_no_migration() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start();
    let (schema, steps) =
        (file(&directory, "a.json", &json!({})), file(&directory, "steps.json", &json!([])));
    let empty = directory.path().join("up.json");
    fs::write(&empty, " \n").expect("written");
    let put = ["schema", "put", "payments/checkout", "-f", text(&schema)];
    server.ok(&put);
    for (options, wrong) in
        [(&["--up", text(&empty)][..], "--up"), (&["--up", text(&steps), "--down", text(&empty)], "--down")]
    {
        let refused = server.fails(4, &[&put[..], options].concat());
        assert!(refused.contains(&format!("{wrong}: {} is empty", empty.display())), "{refused}");
    }
}
