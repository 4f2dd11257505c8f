//! Validate, and findings in the files that they are about.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Server, confwatch, finish, text};

const SCHEMA: &str = r#"{
  "properties": {
    "limits": {"properties": {"max": {"type": "integer"}, "min": {"type": "integer"}}, "additionalProperties": false},
    "mode": {"type": "string"}
  }
}"#;

fn with_schema(directory: &TempDir) -> Server {
    let server = Server::start();
    let schema = file(directory, "checkout.schema.json", SCHEMA);
    server.ok(&["set", "payments/checkout", "limits.max=30", "mode=strict"]);
    server.ok(&["set", "payments/checkout@/production", "limits.max=50"]);
    server.ok(&["schema", "put", "payments/checkout", "-f", text(&schema)]);
    server
}

fn file(directory: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(&path, content).expect("written");
    path
}

#[test]
fn a_refused_file_is_shown_with_what_is_wrong_underlined() {
    let directory = TempDir::new().expect("a directory");
    let server = with_schema(&directory);
    for (name, content, line, carets) in [
        ("a.yaml", "# why\nlimits:\n  max: many # so\n", "3 |   max: many # so", "  |        ^^^^\n"),
        (
            "a.json",
            "{\n \"limits\": {\"max\": \"many\"}}",
            "2 |  \"limits\": {\"max\": \"many\"}}",
            "  |                    ^^^^^^\n",
        ),
        ("a.toml", "[limits]\nmax = 'many'\n", "2 | max = 'many'", "  |       ^^^^^^\n"),
    ] {
        let path = file(&directory, name, content);
        let refused = server.fails(4, &["set", "payments/checkout", "--file", text(&path)]);
        assert!(refused.contains("error SCHEMA_TYPE at payments/checkout / /limits/max: "), "{refused}");
        let row = if name == "a.yaml" { 3 } else { 2 };
        assert!(refused.contains(&format!("--> {}:{row}:", path.display())), "{refused}");
        assert!(format!("{refused}\n").contains(line), "{refused}");
        assert!(format!("{refused}\n").contains(carets), "{refused}");
        let patched = server.fails(4, &["set", "payments/checkout", "--merge-patch", text(&path)]);
        assert!(patched.contains(line), "{patched}");
    }
    let piped = server.run_with_input(&["set", "payments/checkout", "-"], "{\"limits\": {\"maxx\": 1}}");
    assert_eq!(piped.code, 4, "{piped:?}");
    assert!(piped.stderr.contains("--> standard input:1:13"), "{piped:?}");
    assert!(piped.stderr.contains("|             ^^^^^^"), "the name is what is wrong: {piped:?}");
    let colored = file(&directory, "a.yaml", "limits: {max: x}\n");
    let args = ["set", "payments/checkout", "--file", text(&colored), "--color", "always"];
    assert!(server.fails_colored(&args).contains("\u{1b}[31m^\u{1b}[0m"));
    // Assignments come from no file.
    let assigned = server.fails(4, &["set", "payments/checkout", "limits.max=x"]);
    assert!(!assigned.contains("-->"), "{assigned}");
}

#[test]
fn a_line_that_is_not_the_cause_is_not_shown() {
    let directory = TempDir::new().expect("a directory");
    let server = with_schema(&directory);
    let lenient = file(&directory, "lenient.json", r#"{"properties": {"mode": {"type": "string"}}}"#);
    server.ok(&["schema", "put", "payments/checkout", "-f", text(&lenient)]);
    server.ok(&["set", "payments/checkout@/production", "limits.max=many"]);
    let schema = file(&directory, "checkout.schema.json", SCHEMA);
    server.ok(&["schema", "put", "payments/checkout", "-f", text(&schema), "--accept-existing"]);
    // What is wrong at /production is not what this file says for /, though it says something for the same place.
    let global = file(&directory, "global.yaml", "limits: {max: 31}\nmode: [x]\n");
    let refused = server.fails(4, &["set", "payments/checkout", "--file", text(&global)]);
    assert!(refused.contains("/production /limits/max"), "{refused}");
    assert!(!refused.contains("global.yaml:1"), "{refused}");
    assert!(refused.contains("global.yaml:2:7"), "{refused}");
    // A mode that /production inherits is what this file says.
    assert_eq!(refused.matches("global.yaml:2:7").count(), 2, "{refused}");
    assert_eq!(refused.matches("mode: [***]").count(), 1, "a line is shown once: {refused}");

    // An override wins over whatever the file says.
    server.ok(&["set", "payments/checkout@/production", "limits.max=50"]);
    let schema = file(&directory, "lenient.json", r#"{"properties": {"mode": {"maxLength": 3}}}"#);
    server.ok(&["schema", "put", "payments/checkout", "-f", text(&schema), "--accept-existing"]);
    server.ok(&["set", "payments/checkout", "mode=abc"]);
    server.ok(&["set", "payments/checkout@/production", "--override", "mode=off"]);
    let global = file(&directory, "global.yaml", "mode: abcdef\n");
    let refused = server.fails(4, &["set", "payments/checkout", "--file", text(&global)]);
    assert!(refused.contains("payments/checkout / /mode"), "{refused}");
    assert!(refused.contains("global.yaml:1:7"), "{refused}");
}

#[test]
fn a_text_that_cannot_be_read_is_shown_where_its_parser_gave_up() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    for (name, content, place) in [
        ("a.json", "{\n  \"ä\": 1,\n  \"b\" 2\n}", ":3:7"),
        ("a.yaml", "a: 1\nb: [1, 2\n", ":"),
        ("a.toml", "a = 1\nb = \n", ":2:"),
    ] {
        let path = file(&directory, name, content);
        let refused = server.fails(4, &["set", "payments/checkout", "--file", text(&path)]);
        assert!(refused.contains(&format!("--> {}{place}", path.display())), "{refused}");
        assert!(refused.contains('^'), "{refused}");
    }
    let tree = file(&directory, "payments/checkout/global.json", "{\"a\": }");
    let tree = tree.parent().and_then(Path::parent).expect("a directory");
    let refused = server.fails(4, &["apply", "-f", text(tree)]);
    assert!(refused.contains("global.json:1:7") && refused.contains("1 | {\"a\": }"), "{refused}");
}

#[test]
fn validate_tells_findings_and_whom_a_change_would_reach() {
    let directory = TempDir::new().expect("a directory");
    let server = with_schema(&directory);
    let watched = server.follow(&["watch", "payments/checkout@/production/eu", "payments/checkout@/staging"]);
    watched.line();
    watched.line();
    let good = server.ok(&["validate", "payments/checkout", "limits.max=31"]);
    let lines: Vec<&str> = good.lines().collect();
    assert!(lines[0].starts_with("WOULD CHANGE"), "{good}");
    assert!(lines[1].ends_with("/         0") || lines[1].contains("payments/checkout  /"), "{good}");
    assert!(lines.iter().any(|line| line.contains("/staging") && line.ends_with('1')), "{good}");
    assert!(!good.contains("/production"), "it overrides: {good}");
    assert!(good.ends_with("valid: 1 layer, and something would change\n"), "{good}");

    let bad = server.run(&["validate", "payments/checkout", "limits.max=x", "mode:=[1]"]);
    assert_eq!(bad.code, 4, "{bad:?}");
    assert!(bad.stdout.contains("/limits/max") && bad.stdout.ends_with("invalid\n"), "{bad:?}");
    let part = server
        .json_of(4, &["validate", "payments/checkout", "limits.max=x", "mode:=[1]", "--pointer", "/mode"]);
    let findings = part["report"]["findings"].as_array().expect("a list");
    assert!(!findings.is_empty(), "{part}");
    assert!(findings.iter().all(|finding| finding["pointer"] == "/mode"), "{part}");
    assert_eq!(part["report"]["omitted"], 0);
    let elsewhere = server.run(&["validate", "payments/checkout", "mode:=[1]", "--pointer", "/limits"]);
    assert_eq!(elsewhere.code, 0, "{elsewhere:?}");
    let view = server.json(&["validate", "payments/checkout", "limits.max=31"]);
    assert_eq!(view["affected"][1]["watchers"], 1, "{view}");
}

#[test]
fn warnings_do_not_fail_unless_the_settings_are_strict() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let rules = json!({"rules": {"named": {"expression": "has(config.host)", "message": "a host is missing", "severity": "warning", "suggestion": "name one"}}});
    let rules = file(&directory, "rules.json", &rules.to_string());
    server.ok(&["set", "payments/rules:checkout", "--file", text(&rules)]);
    let warned = server.run(&["validate", "payments/checkout", "port=80"]);
    assert_eq!(warned.code, 0, "{warned:?}");
    assert!(
        warned.stdout.contains("warning ") && warned.stdout.contains("a host is missing (name one)"),
        "{warned:?}"
    );
    assert!(
        warned.stdout.ends_with("valid: 1 layer, and something would change (1 finding)\n"),
        "{warned:?}"
    );
    let set = server.run(&["set", "payments/checkout", "port=80"]);
    assert!(set.code == 0 && set.stderr.contains("warning "), "{set:?}");
    // What is stored would not be valid then.
    server.fails(4, &["set", "payments/namespace:settings", "strict=true"]);
    server.ok(&["set", "payments/checkout", "host=a"]);
    server.ok(&["set", "payments/namespace:settings", "strict=true"]);
    let refused = server.run(&["validate", "payments/checkout", "host:=null"]);
    assert!(refused.code == 4 && refused.stdout.contains("error "), "{refused:?}");
}

#[test]
fn what_is_stored_is_checked_by_config_and_by_namespace() {
    let directory = TempDir::new().expect("a directory");
    let server = with_schema(&directory);
    assert_eq!(server.ok(&["validate", "payments/checkout"]), "valid: what is stored\n");
    server.ok(&["schema", "delete", "payments/checkout"]);
    server.ok(&["set", "payments/checkout@/production", "limits.max=many"]);
    let schema = file(&directory, "checkout.schema.json", SCHEMA);
    server.run(&["schema", "put", "payments/checkout", "-f", text(&schema), "--accept-existing"]);
    let stored = server.run(&["validate", "payments"]);
    assert!(stored.stdout.contains("SCHEMA_TYPE at payments/checkout /production /limits/max"), "{stored:?}");
    server.fails(3, &["validate", "payments/nothing"]);
    server.fails(2, &["validate", "payments/checkout", "-s", "/production"]);
    server.fails(2, &["validate", "payments/checkout", "--offline"]);
}

/// `validate` without any server: an address at which none is.
fn offline(args: &[&str]) -> (i32, String) {
    let mut command = confwatch(&[&["validate"], args, &["--offline"]].concat());
    command.env("CONFWATCH_SERVER", "127.0.0.1:1");
    let ran = finish(command);
    (ran.code, format!("{}{}", ran.stdout, ran.stderr))
}

#[test]
fn a_directory_is_checked_without_any_server() {
    let directory = TempDir::new().expect("a directory");
    let global = file(&directory, "payments/checkout/global.yaml", "limits: {max: 30}\n");
    let tree = global.parent().and_then(Path::parent).expect("a directory").to_owned();
    file(&directory, "payments/checkout/_schema.json", SCHEMA);
    file(
        &directory,
        "payments/_rules.yaml",
        "rules: {max: {expression: 'config.limits.max < 40', message: too many}}\n",
    );
    file(&directory, "payments/checkout/production.yaml", "mode: strict\n");
    let (code, said) = offline(&["-f", text(&tree)]);
    assert_eq!((code, said.as_str()), (0, "valid: 4 layers, and something would change\n"));

    let eu = file(&directory, "payments/checkout/production/eu.yaml", "limits:\n  max: 50\n  mox: 1\n");
    let (code, said) = offline(&["-f", text(&tree)]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("too many") && said.contains("/production/eu"), "{said}");
    assert!(said.contains(&format!("--> {}:3:3", eu.display())) && said.ends_with("invalid\n"), "{said}");
    let (code, said) = offline(&["-f", text(&tree), "--pointer", "/mode"]);
    assert_eq!(code, 0, "{said}");

    file(&directory, "payments/checkout/production/eu.yaml", "limits: [\n");
    let (code, said) = offline(&["-f", text(&tree)]);
    assert!(code == 4 && said.contains("-->") && said.contains("eu.yaml"), "{said}");
    file(&directory, "payments/checkout/_schema.json", "{\"type\": }");
    let (code, said) = offline(&["-f", text(&tree)]);
    assert!(code == 4 && said.contains("_schema.json:1:10"), "{said}");
}

#[test]
fn a_directory_of_thousands_of_layers_is_checked_offline() {
    let directory = TempDir::new().expect("a directory");
    let schema = file(&directory, "payments/checkout/_schema.json", SCHEMA);
    let tree = schema.parent().and_then(Path::parent).expect("a directory");
    file(&directory, "payments/checkout/global.yaml", "mode: strict\n");
    for number in 0..1500 {
        let content = if number == 1200 {
            "limits: {max: x}\n".to_owned()
        } else {
            format!("limits: {{max: {number}}}\n")
        };
        file(&directory, &format!("payments/checkout/production/s{number}.yaml"), &content);
    }
    let (code, said) = offline(&["-f", text(tree)]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("s1200.yaml:1:15") && said.contains("/production/s1200 /limits/max"), "{said}");
}

#[test]
fn a_document_is_checked_against_a_schema_with_and_without_a_server() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let schema = file(&directory, "schema.json", SCHEMA);
    let good = file(&directory, "good.yaml", "limits: {max: 1}\n");
    let bad = file(&directory, "bad.yaml", "mode: x\nlimits:\n  max: one\n");
    assert_eq!(server.ok(&["validate", "--schema", text(&schema), text(&good)]), "valid\n");
    assert_eq!(offline(&["--schema", text(&schema), text(&good)]), (0, "valid\n".into()));
    let online = server.run(&["validate", "--schema", text(&schema), text(&bad)]);
    let (code, said) = offline(&["--schema", text(&schema), text(&bad)]);
    assert_eq!((online.code, online.stdout), (code, said.clone()));
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains(&format!("--> {}:3:8", bad.display())) && said.contains("3 |   max: one"),
        "{said}"
    );
    let nonsense = file(&directory, "nonsense.json", "{\"type\": 7}");
    let (code, said) = offline(&["--schema", text(&nonsense), text(&good)]);
    assert_eq!(code, 4, "{said}");
    server.fails(2, &["validate", "--schema", text(&schema), text(&good), "--unset", "x"]);
}

#[test]
fn reports_for_programs_have_every_finding() {
    let directory = TempDir::new().expect("a directory");
    let server = with_schema(&directory);
    let mut many = String::from("limits:\n");
    (0..30).for_each(|number| writeln!(many, "  wrong{number}: 1").expect("a string takes all"));
    let many = file(&directory, "many.yaml", &many);
    let view = server.json_of(4, &["validate", "payments/checkout", "--file", text(&many)]);
    let findings = view["report"]["findings"].as_array().expect("a list");
    let at = |scope: &str| findings.iter().filter(|finding: &&Value| finding["scope"] == scope).count();
    assert_eq!((at("/"), at("/production")), (30, 30), "{view}");
}

#[test]
fn a_secret_that_only_the_schema_marks_is_not_shown_in_the_file_that_has_it() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start();
    let schema =
        r#"{"properties": {"pin": {"type": "integer", "x-secret": true}, "port": {"type": "integer"}}}"#;
    let schema = file(&directory, "payments/checkout/_schema.json", schema);
    server.ok(&["schema", "put", "payments/checkout", "-f", text(&schema)]);
    for (name, content) in [
        ("global.yaml", "pin: hunter2 # hunter2\nport: 1\n"),
        ("global.json", "{\"pin\": \"hunter2\", \"port\": \"x\"}\n"),
        ("global.toml", "pin = \"hunter2\"\nport = 1\n"),
        // Cannot be read at all: it is not known what is in the line.
        ("global.yaml", "port: 1\npin: hunter2: hunter2\n"),
        ("global.json", "{\"pin\": \"hunter2\" \"port\": 1}\n"),
        ("global.toml", "pin = hunter2\n"),
    ] {
        let path = file(&directory, &format!("payments/checkout/{name}"), content);
        let tree = directory.path().join("payments");
        let (path_text, tree) = (text(&path), text(&tree));
        for args in [
            &["set", "payments/checkout", "-F", path_text][..],
            &["set", "payments/checkout", "--merge-patch", path_text],
            &["apply", "-f", tree, "--yes"],
            &["validate", "-f", tree],
            &["validate", "-f", tree, "--offline"],
            &["validate", "--schema", text(&schema), path_text],
            &["validate", "payments/checkout", "-F", path_text],
        ] {
            let ran = server.run(args);
            assert_eq!(ran.code, 4, "{args:?}: {ran:?}");
            let said = ran.stdout + &ran.stderr;
            assert!(!said.contains("hunter2"), "{args:?} of {content:?}: {said}");
            assert!(said.contains("-->"), "{args:?} of {content:?}: {said}");
        }
        fs::remove_file(&path).expect("removed");
    }
}
