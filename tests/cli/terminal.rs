//! What reaches a terminal: nothing that it would obey, ids in one piece, and questions.

use std::fs;

use tempfile::TempDir;

use crate::harness::{Server, on_terminal, text};

/// Clears the screen in two ways, deletes, and turns the direction of writing.
const HOSTILE: &str = "a\u{9b}2Jb\u{7f}c\u{202e}d\u{2066}e\u{1b}[2Jf\u{1b}]0;x\u{7}g";

#[track_caller]
fn assert_harmless(args: &[&str], printed: &str) {
    for hostile in ["\u{9b}", "\u{7f}", "\u{202e}", "\u{2066}", "\u{1b}[2J", "\u{1b}]", "\u{7}"] {
        assert!(!printed.contains(hostile), "{args:?} prints {hostile:?}: {printed:?}");
    }
}

#[test]
fn nothing_in_a_document_moves_the_cursor_of_whoever_looks_at_it() {
    let server = Server::start();
    let assignment = |path: &str| format!("{path}={HOSTILE}");
    let with_key = serde_json::json!({ HOSTILE: HOSTILE, "list": [HOSTILE] }).to_string();
    server.ok(&[
        "set",
        "a/b",
        "--string",
        &assignment("text"),
        "--reason",
        "first",
        "--annotation",
        &assignment("k"),
    ]);
    server.ok(&["set", "a/b@/p", &format!("object:={with_key}")]);
    for args in [
        &["get", "a/b"][..],
        &["get", "a/b@/p", "--format", "json"],
        &["get", "a/b@/p", "--format", "yaml"],
        &["get", "a/b", "--pointer", "/text", "--raw"],
        &["get", "a/b@/p", "-o", "json"],
        &["get", "a/b@/p", "-o", "yaml"],
        &["explain", "a/b@/p"],
        &["history", "a/b"],
        &["history", "a/b", "--content"],
        &["diff", "a/b@/p"],
        &["diff", "a/b@/p", "--format", "yaml"],
        &["export", "a"],
        &["export", "a", "--format", "json"],
        &["watch", "a/b@/p", "--count", "1", "--content"],
        &["watch", "a/b@/p", "--count", "1", "--content", "--format", "yaml"],
        &["watch", "a/b@/p", "--count", "1", "-o", "json"],
        &["changes", "a", "--from", "1", "--count", "2", "--content"],
        &["changes", "a", "--from", "1", "--count", "2", "--content", "-o", "json"],
        &["set", "a/b@/p", &assignment("other"), "--dry-run"],
        &["set", "a/b@/p", &assignment("text.x")],
        &["get", "a/b", "--pointer", &format!("/{HOSTILE}")],
    ] {
        let (_, printed) = on_terminal(server.command(args), 200, "");
        assert_harmless(args, &printed);
        let is_json = args.ends_with(&["-o", "json"]);
        let piped = server.run(args);
        // A program gets the document as it is; JSON for programs has escapes, which mean the same.
        if is_json {
            assert_harmless(args, &piped.stdout);
        }
        assert_harmless(args, &piped.stderr);
    }
    assert!(server.ok(&["get", "a/b", "--pointer", "/text", "--raw"]).contains(HOSTILE));
    let read = server.json(&["get", "a/b"]);
    assert_eq!(read["content"]["text"], HOSTILE);
}

#[test]
fn ids_are_in_one_piece_at_80_columns() {
    let server = Server::start();
    let made = server.json(&["token", "create", "deploys of the shop in production", "--group", "deployers"]);
    let id = made["info"]["id"].as_str().expect("an id");
    let (code, printed) = on_terminal(server.command(&["token", "list"]), 80, "");
    assert!(code == 0 && printed.contains(id), "{printed}");
    assert!(printed.lines().all(|line| line.trim_end().chars().count() <= 80 + 12), "{printed}");
}

#[test]
fn what_cannot_be_meant_by_chance_is_asked_for() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/b@/p", "x=2"]);
    let (code, printed) = on_terminal(server.command(&["delete", "a/b"]), 80, "n\n");
    assert!(
        code == 1 && printed.contains("delete every layer of a/b") && printed.contains("nothing was deleted"),
        "{printed}"
    );
    let refused = server.fails(5, &["delete", "a/b"]);
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(server.json(&["get", "a/b"])["content"]["x"], 1);
    let (code, printed) = on_terminal(server.command(&["delete", "a/b"]), 80, "y\n");
    assert_eq!(code, 0, "{printed}");
    server.fails(3, &["get", "a/b"]);
}

#[test]
fn apply_names_what_others_changed_since_the_last_apply_and_asks() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let tree = directory.path().join("payments");
    fs::create_dir_all(tree.join("checkout")).expect("made");
    let write = |file: &str, text: &str| fs::write(tree.join("checkout").join(file), text).expect("written");
    write("global.yaml", "max: 1\n");
    write("production.yaml", "max: 2\n");
    let apply = ["apply", "-f", text(&tree)];
    let first = server.run(&apply);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(
        first.stderr.contains("payments is a new namespace") && first.stderr.contains("new config: checkout"),
        "{first:?}"
    );
    write("global.yaml", "max: 3\n");
    server.ok(&apply);
    // By hand, at night.
    server.ok(&["set", "payments/checkout@/production", "max=9", "--reason", "the bank is slow"]);
    write("prd.yaml", "max: 4\n");
    let ran = server.run(&apply);
    let (code, refused) = (ran.code, ran.stderr);
    assert_eq!(code, 5, "{refused}");
    let expected = "payments/checkout /production: set by ada@test, ";
    assert!(refused.contains(expected) && refused.contains("\"the bank is slow\""), "{refused}");
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(server.json(&["get", "payments/checkout@/production"])["content"]["max"], 9);
    let (code, printed) = on_terminal(server.command(&apply), 120, "no\n");
    assert!(code == 1 && printed.contains("new scope: /prd (like /production)"), "{printed}");
    assert!(server.run(&[&apply[..], &["--dry-run"]].concat()).stderr.contains("the bank is slow"));
    server.ok(&[&apply[..], &["--yes"]].concat());
    assert_eq!(server.json(&["get", "payments/checkout@/production"])["content"]["max"], 2);
    // Which is an apply of its own, so that nothing is left to say.
    write("production.yaml", "max: 5\n");
    server.ok(&apply);
    // A layer that somebody else made, and that goes since it has no file.
    server.ok(&["set", "payments/checkout@/staging", "max=7", "--reason", "a test of load"]);
    let refused = server.fails(5, &[&apply[..], &["--prune"]].concat());
    assert!(
        refused.contains("payments/checkout /staging: set by ada@test") && refused.contains("a test of load"),
        "{refused}"
    );
    assert_eq!(server.json(&["get", "payments/checkout@/staging"])["content"]["max"], 7);
}

#[test]
fn apply_does_not_take_anything_for_a_namespace() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let write = |path: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, "{}").expect("written");
    };
    write("node_modules/left-pad/package.json");
    write("both/payments/checkout/global.yaml");
    write("both/shop/web/global.yaml");
    for (name, reason) in [("node_modules", "package.json"), ("both", "several namespaces")] {
        let ran = server.run(&["apply", "-f", text(&directory.path().join(name)), "--namespace", "x"]);
        let refused = ran.stderr;
        assert_eq!(ran.code, 5, "{refused}");
        assert!(refused.contains(reason) && refused.contains("--yes"), "{refused}");
    }
    assert_eq!(server.json(&["list"])["configs"], serde_json::json!([]));
    // Of a link, the namespace is the name of the link.
    let link = directory.path().join("live");
    std::os::unix::fs::symlink("both/shop", &link).expect("made");
    server.ok(&["apply", "-f", text(&link)]);
    assert_eq!(server.json(&["list"])["configs"][0]["namespace"], "live");
}

#[test]
fn a_name_that_is_probably_mistyped_is_told() {
    let server = Server::start();
    server.ok(&["set", "shop/checkout", "max=1"]);
    server.ok(&["set", "shop/checkout@/production", "max=2"]);
    let warned = server.run(&["set", "shop/checkout@/prd", "max=3"]);
    assert_eq!(warned.code, 0, "{warned:?}");
    let expected = "/prd is a new scope in shop, watched by 0; is /production meant, which exists?";
    assert!(warned.stderr.contains(expected), "{warned:?}");
    let warned = server.run(&["set", "shop/chekout", "max=3", "--dry-run"]);
    assert!(warned.stderr.contains("is shop/checkout meant"), "{warned:?}");
    for (target, meant) in
        [("shop/checkot", "did you mean shop/checkout?"), ("shpo/checkout", "did you mean shop?")]
    {
        for command in [
            &["get"][..],
            &["explain"],
            &["blame"],
            &["history"],
            &["history", "--wide"],
            &["diff"],
            &["diff", "--from", "1"],
            &["delete", "--yes"],
            &["rollback"],
        ] {
            let refused = server.fails(3, &[command, &[target]].concat());
            assert!(refused.contains(meant), "{command:?}: {refused}");
        }
    }
    let mut watch = server.command(&["watch", "shop/checkot", "--count", "1"]);
    watch.stderr(std::process::Stdio::piped());
    let watched = crate::harness::finish(watch);
    assert!(watched.stderr.contains("shop/checkot has no document yet: did you mean"), "{watched:?}");
    let mut edit = server.command(&["edit", "shop/checkout@/prd2"]);
    edit.env("VISUAL", "true");
    let edited = crate::harness::finish(edit);
    assert!(edited.stderr.contains("/prd2 is a new scope in shop, watched by 0"), "{edited:?}");
    let directory = TempDir::new().expect("a directory");
    let schema = directory.path().join("schema.json");
    fs::write(&schema, "{}").expect("written");
    let put = server.run(&["schema", "put", "shop/chekout", "-f", text(&schema)]);
    let expected = "there is no config shop/chekout; is shop/checkout meant, which exists?";
    assert!(put.code == 0 && put.stderr.contains(expected), "{put:?}");
    // What is there, or is like nothing, is not warned of.
    for args in
        [&["set", "shop/checkout@/production", "max=4"][..], &["set", "shop/checkout@/staging", "max=5"]]
    {
        assert!(!server.run(args).stderr.contains("warning"), "{args:?}");
    }
}

#[test]
fn set_says_what_changed_and_whom_it_reaches() {
    let server = Server::start();
    server.ok(&["set", "shop/checkout", "max=1"]);
    let watch = server.follow(&["watch", "shop/checkout@/production", "-o", "json"]);
    watch.line();
    let said = server.ok(&["set", "shop/checkout", "max=2"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "shop/checkout /: version 2, revision 2");
    assert_eq!(lines[1], "  ~ /max: 1 -> 2");
    assert_eq!(lines[2], "  reaches / (0 watchers), /production (1 watcher)");
    assert_eq!(server.ok(&["set", "shop/checkout", "max=2"]), "shop/checkout /: unchanged, version 2\n");
}

#[test]
fn history_says_that_there_is_more() {
    let server = Server::start();
    for max in 1..=25 {
        server.ok(&["set", "a/b", &format!("max={max}"), "-o", "json"]);
    }
    let shown = server.run(&["history", "a/b"]);
    assert!(shown.stderr.contains("20 of 25 versions are shown: --limit 0 shows all"), "{shown:?}");
    assert!(server.run(&["history", "a/b", "-s", "/"]).stderr.contains("the newest 20 are shown"));
    let wide = server.run(&["history", "a/b", "--wide"]);
    assert!(wide.stderr.contains("20 of 25 versions are shown"), "{wide:?}");
    assert!(server.run(&["history", "a"]).stderr.contains("the newest 20 are shown, and there are more"));
    for all in [
        &["history", "a/b", "-n", "0"][..],
        &["history", "a/b", "-n", "25"],
        &["history", "a/b", "-n", "25", "--wide"],
        &["history", "a", "-n", "25"],
    ] {
        assert_eq!(server.run(all).stderr, "", "{all:?}");
    }
    server.ok(&["set", "a/c", "max=1"]);
    let found = server.run(&["search", "--key", "max", "--limit", "1"]);
    assert!(found.stdout.lines().count() == 1 && found.stderr.contains("the first 1 are shown"), "{found:?}");
    assert_eq!(server.run(&["search", "--key", "max", "--limit", "2"]).stderr, "");
}

/// More configs than are searched for a name: one that is not among them is not taken for a new one.
#[test]
fn a_config_beyond_those_that_are_searched_is_no_new_one() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let names = (0..3000).map(|at| format!("b{at:04}")).chain(["abcdefgh".to_owned(), "xbcdefgh".to_owned()]);
    for (at, names) in names.collect::<Vec<_>>().chunks(900).enumerate() {
        let tree = directory.path().join(at.to_string());
        for name in names {
            fs::create_dir_all(tree.join(name)).expect("made");
            fs::write(tree.join(name).join("global.json"), r#"{"a":1}"#).expect("written");
        }
        server.ok(&["apply", "-f", text(&tree), "--namespace", "many", "--yes", "-o", "json"]);
    }
    let set = server.run(&["set", "many/xbcdefgh", "b=2"]);
    assert_eq!((set.code, set.stderr.as_str()), (0, ""), "{set:?}");
    // A name that nobody has is one, and a namesake is found.
    let set = server.run(&["set", "many/ybcdefgh", "b=2"]);
    assert!(
        set.stderr.contains("many/ybcdefgh is a new config, watched by 0; is many/abcdefgh meant"),
        "{set:?}"
    );
}
