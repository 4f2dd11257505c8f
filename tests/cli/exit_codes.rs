//! Exit codes: one table in the help and in the page for operators, and a command for each code.

use std::collections::BTreeMap;

use super::harness::*;

/// What each code means, from lines with the code first.
fn meanings<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<u8, String> {
    let mut meanings: BTreeMap<u8, String> = BTreeMap::new();
    for line in lines.map(str::trim) {
        match line.split_once("  ").map(|(code, means)| (code.parse::<u8>(), means)) {
            Some((Ok(code), means)) => _ = meanings.insert(code, means.trim().to_owned()),
            Some(_) | None => {
                let mut last = meanings.last_entry().expect("a code comes first");
                *last.get_mut() += &format!(" {line}");
            }
        }
    }
    meanings
}

#[test]
fn the_help_and_the_page_for_operators_have_the_same_table() {
    let help = finish(confwatch(&["--help"])).stdout;
    let lines = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let of_help = meanings(lines.take_while(|line| !line.is_empty()));
    let page = include_str!("../../docs/operations.md");
    let rows = page.lines().skip_while(|line| *line != "| code | means |").skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let of_page: BTreeMap<u8, String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            (cells[0].parse().expect("a code"), cells[1].replace('`', ""))
        })
        .collect();
    let of_help: BTreeMap<u8, String> =
        of_help.into_iter().map(|(code, means)| (code, means.replace('`', ""))).collect();
    assert_eq!(of_page, of_help);
    assert_eq!(of_help.keys().copied().collect::<Vec<_>>(), (0..=8).collect::<Vec<_>>());
}

/// Code 8 takes a watcher that reads nothing: `tests/wire/converged.rs` has the call behind it.
#[test]
fn each_kind_of_end_has_its_code() {
    let server = Server::start_with(&["--auth", "on"]);
    let admin = keys_of(server.data.path()).join("admin.token");
    let run = |args: &[&str]| {
        let mut command = server.command(args);
        command.env("CONFWATCH_TOKEN_FILE", &admin);
        finish(command)
    };
    let ends = |code: i32, args: &[&str]| {
        let ran = run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran.stderr
    };
    ends(0, &["set", "shop/app", "a=1"]);
    ends(0, &["set", "shop/app", "a=2"]);
    ends(1, &["diff", "--exit-code", "shop/app"]);
    ends(2, &["set", "shop/app", "--no-such-option"]);
    ends(3, &["get", "shop/none"]);
    ends(4, &["set", "shop/App!", "a=1"]);
    ends(5, &["set", "shop/app", "a=3", "--expected-version", "1"]);
    ends(6, &["get", "shop/app", "--server", "127.0.0.1:1", "--timeout", "2s"]);
    assert_eq!(server.run(&["get", "shop/app"]).code, 7, "without a credential");
    ends(7, &["can-i", "user:nobody", "write", "shop/app"]);
    // What is typed wrong is a matter of the command line.
    for (words, expected) in [
        (&["can-i", "shop/app", "write"][..], "\"shop/app\" is no verb: one of read, write"),
        (&["can-i", "user:alice"], "A verb is missing"),
        (&["can-i", "write", "shop", "app"], "\"app\" comes after the target"),
        (&["can-i", "robot:r2", "write"], "there is no kind \"robot\""),
    ] {
        let told = ends(2, words);
        assert!(told.contains(expected) && told.contains("can-i [SUBJECT] VERB [TARGET]"), "{told}");
    }
    for words in [
        &["set", "shop/app", "--override", "--ttl", "0s", "a=1"][..],
        &["set", "shop/app", "--override", "--ttl", "3651d", "a=1"],
        &["token", "create", "ci", "--ttl", "0s"],
    ] {
        let told = ends(2, words);
        assert!(told.contains("expected more than 0s and at most 3650d"), "{told}");
    }
    // The permission that is missing is the one that is named.
    let made = run(&["token", "create", "ci", "--role", "editor", "--namespace", "shop", "-o", "json"]);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
    let as_editor = |args: &[&str]| {
        let mut command = server.command(args);
        command.env("CONFWATCH_TOKEN", made["token"].as_str().expect("a token"));
        finish(command)
    };
    let denied = as_editor(&["set", "shop/rules:app", "a=1"]);
    assert_eq!(denied.code, 7, "{denied:?}");
    let expected = "token:ci may not write shop/rules:app at /: it takes schema on shop/app at /";
    assert!(denied.stderr.contains(expected), "{denied:?}");
}

/// An override that ends by itself is what the lint asks for.
#[test]
fn debugging_in_an_override_that_ends_is_no_finding() {
    let server = Server::start();
    let debugs = |config: &str| server.ok(&["validate", config]).contains("DEBUG_IN_PRODUCTION");
    server.ok(&["set", "shop/app", "-s", "/production", "--override", "--ttl", "30m", "debug=true"]);
    assert!(!debugs("shop/app"));
    for scope in ["/", "/production", "/production/eu"] {
        let set = server.run(&["set", "shop/app", "-s", scope, &format!("at={scope}")]);
        assert!(set.code == 0 && !format!("{set:?}").contains("DEBUG_IN_PRODUCTION"), "{set:?}");
    }
    assert!(!debugs("shop/app"), "nor below and beside the override");
    server.ok(&["set", "shop/other", "-s", "/production", "--override", "debug=true"]);
    assert!(debugs("shop/other"), "it stays until somebody removes it");
}
