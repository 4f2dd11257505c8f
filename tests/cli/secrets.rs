//! Secrets and the keys that seal them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Server, confwatch, finish, text};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_secret_is_set_read_and_kept_and_its_keys_are_rotated() {
    let mut server = Server::start();
    let before = server.ok(&["secrets", "status"]);
    assert!(before.contains("there are no data keys yet") && before.contains("master.key"), "{before}");
    server.fails(3, &["secrets", "rotate-master"]);
    server.ok(&["set", "payments/checkout", r#"db.password={"$secret":"hunter2"}"#, "db.port=1"]);
    let read = json(&server.ok(&["get", "payments/checkout", "--reveal"]));
    assert_eq!(read["db"]["password"], "hunter2");
    server.ok(&["set", "payments/checkout", "db.password=\"hunter3\""]);

    let status = json(&server.ok(&["secrets", "status", "-o", "json"]));
    let of_payments = &status["namespaces"][0];
    assert_eq!((&of_payments["namespace"], &of_payments["values"]), (&"payments".into(), &1.into()));
    let rotated = server.ok(&["secrets", "rotate-data", "payments"]);
    assert!(rotated.starts_with("new data key ") && rotated.contains("configs sealed by it: 1"), "{rotated}");
    let master = server.ok(&["secrets", "rotate-master"]);
    assert!(master.starts_with("new master key "), "{master}");
    let after = json(&server.ok(&["secrets", "status", "-o", "json"]));
    assert_eq!(after["namespaces"][0]["keys"].as_array().map(Vec::len), Some(2));
    assert_ne!(after["master_key_id"], status["master_key_id"]);
    assert!(server.ok(&["secrets", "status"]).contains("payments"));

    server.restart();
    let read = json(&server.ok(&["get", "payments/checkout", "--reveal"]));
    assert_eq!(read["db"]["password"], "hunter3");
}

/// What every secret of the test begins with.
const CANARY: &str = "cAnArY";

/// Commands that print documents, or parts of them, as they are run below.
const PRINTING: [&str; 20] = [
    "apply", "blame", "changes", "delete", "diff", "drift", "edit", "explain", "export", "get", "history",
    "list", "migrate", "restore", "revert", "rollback", "search", "set", "show", "validate",
];

/// Commands that print no value of a document. `watch` is among the printing ones and has a test of its own for what it delivers.
const OTHERS: [&str; 20] = [
    "audit",
    "backup",
    "can-i",
    "certs",
    "completions",
    "fsck",
    "health",
    "help",
    "login",
    "logout",
    "schema",
    "secrets",
    "serve",
    "session",
    "status",
    "tag",
    "token",
    "top",
    "version",
    "whoami",
];
const FOLLOWING: [&str; 2] = ["watch", "watchers"];

/// The commands that the help lists.
fn commands() -> BTreeSet<String> {
    let help = finish(confwatch(&["--help"])).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
    let names =
        names.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn no_command_prints_a_secret_unless_it_is_told_to_reveal() {
    let known: BTreeSet<String> =
        PRINTING.iter().chain(&OTHERS).chain(&FOLLOWING).map(|name| (*name).to_owned()).collect();
    assert_eq!(
        commands(),
        known,
        "a new command belongs to one of the lists, and what prints documents is run here"
    );

    let server = Server::start();
    let files = TempDir::new().expect("a directory");
    let path = |name: &str| files.path().join(name);
    let secret = |name: &str| format!(r#"{{"password":{{"$secret":"{CANARY}-{name}"}},"plain":"{name}"}}"#);
    for (at, scope) in [("one", "/"), ("two", "/production"), ("three", "/")] {
        let (target, file) = (format!("shop/web@{scope}"), path("layer.json"));
        fs::write(&file, secret(at)).expect("written");
        server.ok(&["set", &target, "--file", text(&file)]);
    }
    fs::write(path("layer.json"), secret("override")).expect("written");
    server.ok(&["set", "shop/web@/production", "--override", "--file", text(&path("layer.json"))]);
    fs::write(path("schema.json"), r#"{"properties":{"password":{"maxLength":5},"key":{"x-secret":true}}}"#)
        .expect("written");
    server.ok(&["schema", "put", "shop/web", "-f", text(&path("schema.json")), "--accept-existing"]);
    // As whoever writes the directory has it: in clear text.
    let tree = path("shop");
    fs::create_dir_all(tree.join("web")).expect("made");
    for (file, name) in [("global.json", "four"), ("production.json", "five"), ("staging.json", "six")] {
        fs::write(tree.join("web").join(file), secret(name)).expect("written");
    }
    let (tree, layer) = (text(&tree), path("new.json"));
    fs::write(&layer, secret("new")).expect("written");
    let layer = text(&layer);
    let commands: [&[&str]; 35] = [
        &["apply", "-f", tree, "--dry-run"],
        &["apply", "-f", tree],
        &["blame", "shop/web@/production"],
        &["changes", "shop", "--content", "--diff"],
        &["changes", "shop", "--from", "1", "--content"],
        &["delete", "shop/web@/production", "--dry-run"],
        &["diff", "shop/web", "--from", "1"],
        &["diff", "shop/web@/production", "--format", "yaml"],
        &["diff", "shop", "--from", "revision:1"],
        &["diff", "shop@/", "shop@/production"],
        &["drift", "shop"],
        &["drift", "shop", "--dir", tree],
        &["edit", "shop/web@/production"],
        &["explain", "shop/web@/production"],
        &["export", "shop"],
        &["get", "shop/web@/production"],
        &["get", "shop/web@/production", "--format", "toml"],
        &["get", "shop/web", "--pointer", "/password", "--raw"],
        &["history", "shop/web", "--content"],
        &["history", "shop", "--content"],
        &["list", "shop"],
        &["migrate", "plan", "shop/web"],
        &["restore", "shop", "--to", "revision:1", "--dry-run"],
        &["revert", "2", "--dry-run"],
        &["revert", "1", "--dry-run"],
        &["rollback", "shop/web", "--to-version", "1", "--dry-run"],
        &["search", "--key", "password"],
        &["search", "--text", CANARY],
        &["set", "shop/web", "--file", layer, "--dry-run"],
        &["set", "shop/web@/staging", "--file", layer],
        &["set", "shop/web", "key=cAnArY-key"],
        &["show", "2"],
        &["validate", "-f", tree, "--namespace", "shop"],
        &["validate", "shop"],
        &["watch", "shop/web", "--count", "1", "--content"],
    ];
    for command in commands {
        for format in [&[][..], &["-o", "json"]] {
            let mut run = server.command(&[command, format].concat());
            run.env("VISUAL", "cat");
            let ran = finish(run);
            assert!(!ran.stdout.contains(CANARY) && !ran.stderr.contains(CANARY), "{command:?}: {ran:?}");
            assert_ne!(ran.code, 2, "the command is right: {command:?}: {ran:?}");
        }
    }
    for name in PRINTING {
        assert!(commands.iter().any(|command| command[0] == name), "{name} is not run");
    }
    assert!(server.ok(&["get", "shop/web", "--reveal"]).contains(CANARY), "there are secrets to print");
}
