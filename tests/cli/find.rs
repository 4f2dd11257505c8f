//! Finding changes and values: `blame`, `history` of a namespace, `changes` with filters, `diff` of namespaces, `search` and `drift`.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Server, finish, on_terminal, text};

#[test]
fn blame_says_who_made_each_value_what_it_is() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1", "y=1", "--actor", "ada", "-m", "first"]);
    server.ok(&["set", "a/b@/p", "y=2", "--actor", "bob", "-m", "for production"]);
    server.ok(&["set", "a/b", "x=1", "z=1", "--actor", "eve"]);
    let blamed = server.json(&["blame", "a/b@/p"]);
    let told: Vec<(&str, u64, &str, &str)> = blamed["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|value| {
            let text = |name: &str| value[name].as_str().expect("a text");
            (text("pointer"), value["revision"].as_u64().expect("a number"), text("actor"), text("reason"))
        })
        .collect();
    assert_eq!(told, [("/x", 1, "ada", "first"), ("/y", 2, "bob", "for production"), ("/z", 3, "eve", "")]);
    let table = server.ok(&["blame", "a/b@/p", "--pointer", "/y"]);
    assert!(table.contains("for production") && !table.contains("/x"), "{table}");
    server.fails(3, &["blame", "a/other"]);
}

#[test]
fn the_history_of_a_namespace_has_the_commits_of_all_its_configs() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1", "-m", "why"]);
    server.ok(&["set", "a/c@/p", "x=1"]);
    server.ok(&["set", "other/c", "x=1"]);
    let table = server.ok(&["history", "a"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("REVISION  TIME"), "{table}");
    assert!(lines[1].starts_with("2 ") && lines[1].contains("c /p"), "{table}");
    assert!(lines[2].starts_with("1 ") && lines[2].ends_with("why"), "{table}");
    assert_eq!(lines.len(), 3);
    assert_eq!(server.json(&["history", "a@/p"])["commits"].as_array().expect("commits").len(), 1);
    assert_eq!(server.json(&["history", "a", "--limit", "1"])["commits"][0]["revision"], json!(2));
    assert!(server.ok(&["history", "a", "--content"]).contains(r#"{"x":1}"#));
}

#[test]
fn followed_changes_are_those_of_an_author_and_a_scope() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=0"]);
    let of_ada = server
        .follow(&["changes", "a", "--from", "1", "--follow", "--by", "ada", "-o", "json", "--count", "1"]);
    let below =
        server.follow(&["changes", "--from", "1", "--follow", "--scope", "/p", "-o", "json", "--count", "1"]);
    server.ok(&["set", "a/b", "x=1", "--actor", "bob"]);
    server.ok(&["set", "a/b", "x=2", "--actor", "ada"]);
    server.ok(&["set", "a/b@/p/q", "x=3", "--actor", "bob"]);
    let revision = |line: String| serde_json::from_str::<Value>(&line).expect("JSON")["revision"].clone();
    assert_eq!(revision(of_ada.line()), json!(3));
    assert_eq!(revision(below.line()), json!(4));
    assert_eq!((of_ada.end(), below.end()), (0, 0));
    assert_eq!(server.run(&["changes", "--follow", "--scope", "p"]).code, 2);
}

#[test]
fn commits_since_a_tag_of_the_namespace_are_listed() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["tag", "set", "a", "release"]);
    server.ok(&["set", "a/b", "x=2"]);
    let listed = server.ok(&["changes", "a", "--since", "tag:release"]);
    assert!(listed.lines().count() == 2 && listed.starts_with("3 "), "{listed}");
    server.fails(3, &["changes", "a", "--since", "tag:other"]);
    server.fails(2, &["changes", "--since", "tag:release"]);
    server.fails(2, &["changes", "--since", "yesterday"]);
}

#[test]
fn namespaces_are_compared_in_time_and_between_environments() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/c@/staging", "y=1"]);
    server.ok(&["tag", "set", "a", "release"]);
    server.ok(&["set", "a/b", "x=2"]);
    server.ok(&["set", "a/b@/production", "z=1"]);
    let diff = server.ok(&["diff", "a", "--from", "tag:release"]);
    assert!(diff.contains("a/b /\n  ~ /x: 1 -> 2\n"), "{diff}");
    assert!(diff.contains("a/b /production is only in the newer\n  + /z: 1\n"), "{diff}");
    assert!(diff.ends_with("2 differences between revisions 2 and 5\n"), "{diff}");
    assert_eq!(server.ok(&["diff", "a", "--from", "revision:5"]), "no differences at revision 5\n");
    let between = server.json_of(1, &["diff", "a@/staging", "a@/production", "--exit-code"]);
    let configs: Vec<&Value> = between["differences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|difference| &difference["config"])
        .collect();
    assert_eq!(configs, ["b", "c"]);
    for wrong in [
        &["diff", "a"][..],
        &["diff", "a", "a/b"],
        &["diff", "a", "--from", "3"],
        &["diff", "a", "--from", "time:1h", "--view", "base"],
    ] {
        server.fails(2, wrong);
    }
    server.fails(3, &["diff", "a", "--from", "tag:other"]);
}

#[test]
fn values_are_searched_for() {
    let server = Server::start();
    server.ok(&["set", "a/b", "db.port=5432", "db.host=old.example.com", "-m", "incident 7"]);
    server.ok(&["set", "a/b@/p", "db.port=5433"]);
    server.ok(&["set", "other/c", "port=80"]);
    let found = server.ok(&["search", "--key", "port"]);
    assert_eq!(found.lines().count(), 3, "{found}");
    assert!(found.starts_with("a/b / /db/port = 5432  (revision 1, "), "{found}");
    assert!(server.ok(&["search", "a@/p", "-k", "/**/port"]).starts_with("a/b /p /db/port = 5433"));
    assert_eq!(server.json(&["search", "--text", "OLD.example"])["pointer"], "/db/host");
    assert_eq!(server.json(&["search", "--value", "80"])["namespace"], "other");
    assert_eq!(server.json(&["search", "--value", "old.example.com", "--at", "revision:1"])["revision"], 1);
    assert!(server.ok(&["search", "a", "-m", "INCIDENT"]).starts_with("a/b / "));
    let none = server.run(&["search", "--value", "81"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.as_str()), (0, "", "nothing was found\n"));
    server.fails(4, &["search", "a"]);
}

#[test]
fn drift_is_overrides_and_differences_from_a_tag_a_directory_or_an_environment() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a");
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["tag", "set", "a", "release"]);
    server.ok(&["export", "a", "-d", text(&path)]);
    assert_eq!(server.ok(&["drift", "a"]), "no drift\n");
    for same in [&["--baseline", "release"][..], &["--dir", text(&path)]] {
        assert_eq!(server.ok(&[&["drift", "a"], same].concat()), "no drift\n", "{same:?}");
    }
    server.ok(&["set", "a/b@/p", "--override", "x=2", "-m", "incident 7"]);
    let drift = server.run(&["drift", "a"]);
    assert_eq!(drift.code, 3, "{drift:?}");
    assert!(drift.stdout.starts_with("a/b@/p override without an end, since "), "{drift:?}");
    assert!(drift.stdout.contains("incident 7\n  ~ /x: 1 -> 2\n1 place with drift\n"), "{drift:?}");
    assert_eq!(server.ok(&["drift", "a", "--older-than", "1d"]), "no drift\n");
    let baseline = server.json_of(3, &["drift", "a", "--baseline", "release"]);
    assert_eq!(baseline["baseline"]["differences"][0]["kind"], "LAYER_KIND_OVERRIDE");
    assert_eq!(baseline["overrides"], Value::Null);
    server.ok(&["set", "a/b", "x=3"]);
    server.ok(&["set", "a/new", "n=1"]);
    let from_directory = server.run(&["drift", "a", "--dir", text(&path)]);
    assert_eq!(from_directory.code, 3, "{from_directory:?}");
    assert!(
        from_directory.stdout.contains("~ /x: 3 -> 1") && from_directory.stdout.contains("a/new"),
        "{from_directory:?}"
    );
    let environments = server.run(&["drift", "a@/p", "--against", "/q"]);
    assert_eq!(environments.code, 3, "{environments:?}");
    assert!(environments.stdout.contains("~ /x: 3 -> 2"), "{environments:?}");
    assert_eq!(server.json(&["get", "a/b"])["content"], json!({"x": 3}), "nothing is written");
    server.fails(2, &["drift", "a", "--against", "/q"]);
    server.fails(2, &["drift", "a/b", "--baseline", "release"]);
}

#[test]
fn writes_that_reach_far_are_asked_for() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/b@/p", "y=1"]);
    let few = ["--ask-above", "scopes=1"];
    for write in [
        &["set", "a/b", "x=2"][..],
        &["revert", "1"],
        &["rollback", "a/b", "--to-version", "1"],
        &["delete", "a/b", "-s", "/"],
    ] {
        let args = [write, &few].concat();
        if write[0] == "rollback" {
            // The layer at /p goes alone.
            server.ok(&[&args[..], &["--dry-run"]].concat());
            continue;
        }
        let refused = server.fails(5, &args);
        assert!(
            refused.contains("it reaches 2 scopes, more than 1") && refused.contains("--yes"),
            "{refused}"
        );
        assert_eq!(server.json(&[&args[..], &["--dry-run"]].concat())["reach"]["scopes"], 2, "{args:?}");
    }
    assert_eq!(server.json(&["get", "a/b"])["content"], json!({"x": 1}), "nothing is written");
    server.ok(&["set", "a/b", "x=2", "--ask-above", "scopes=1", "--yes"]);
    server.ok(&["set", "a/b", "x=3", "--ask-above", "off"]);
    let mut by_variable = server.command(&["set", "a/b", "x=4"]);
    by_variable.env("CONFWATCH_ASK_ABOVE", "scopes=1");
    let (code, said) = on_terminal(by_variable, 100, "n\n");
    assert!(code == 1 && said.contains("write it all the same? [y/N]"), "{said}");
    let mut by_variable = server.command(&["set", "a/b", "x=4"]);
    by_variable.env("CONFWATCH_ASK_ABOVE", "scopes=1");
    assert_eq!(on_terminal(by_variable, 100, "y\n").0, 0);
    assert_eq!(server.json(&["get", "a/b"])["content"], json!({"x": 4}));
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a");
    server.ok(&["export", "a", "-d", text(&path)]);
    std::fs::write(path.join("b/global.json"), r#"{"x":5}"#).expect("written");
    for old in ["yaml", "toml"] {
        // Whatever format was exported.
        let _ = std::fs::remove_file(path.join(format!("b/global.{old}")));
    }
    let refused = server.fails(5, &["apply", "-f", text(&path), "--ask-above", "scopes=1"]);
    assert!(refused.contains("it reaches 2 scopes, more than 1"), "{refused}");
    server.ok(&["apply", "-f", text(&path), "--ask-above", "scopes=1", "--yes"]);
    server.fails(2, &["set", "a/b", "x=6", "--ask-above", "many"]);

    // An editor asks as well, and keeps what was written.
    let edit = |more: &[&str]| {
        let mut edit = server.command(&[&["edit", "a/b", "--ask-above", "scopes=1"], more].concat());
        edit.env_remove("VISUAL").env("EDITOR", "sed -i s/5/6/").env("TMPDIR", directory.path());
        edit
    };
    let refused = finish(edit(&[]));
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("it reaches 2 scopes, more than 1"), "{refused:?}");
    let (_, kept) = refused.stderr.trim_end().rsplit_once("what you wrote is in ").expect("it is kept");
    let kept = std::fs::read_to_string(kept).expect("read");
    assert!(kept.contains('6'), "{kept}");
    let (code, said) = on_terminal(edit(&[]), 100, "n\n");
    assert!(code == 1 && said.contains("write it all the same? [y/N]"), "{said}");
    assert_eq!(server.json(&["get", "a/b"])["content"], json!({"x": 5}), "nothing is written");
    assert_eq!(on_terminal(edit(&[]), 100, "y\n").0, 0);
    assert_eq!(server.json(&["get", "a/b"])["content"], json!({"x": 6}));
    server.ok(&["set", "a/b", "x=5", "--yes"]);
    assert_eq!(finish(edit(&["--yes"])).code, 0);
    assert_eq!(server.json(&["get", "a/b"])["content"], json!({"x": 6}));
}

#[test]
fn an_unknown_namespace_is_not_found_rather_than_without_changes() {
    let server = Server::start();
    server.ok(&["set", "shop/web", "x=1"]);
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("shpo.backup");
    for command in [
        &["drift", "shpo"][..],
        &["restore", "shpo", "--to", "revision:1"],
        &["backup", "create", "shpo", "--file", text(&file)],
        &["diff", "shpo", "--from", "revision:1"],
        &["changes", "shpo"],
        &["history", "shpo"],
        &["search", "shpo", "--text", "x"],
    ] {
        let failed = server.fails(3, command);
        assert!(failed.contains("namespace shpo has no configs that you may see"), "{failed}");
        assert!(failed.contains("did you mean shop?"), "{failed}");
    }
    // A namespace whose configs are deleted is known.
    server.ok(&["delete", "shop/web@/"]);
    assert_eq!(server.ok(&["drift", "shop"]), "no drift\n");
}

#[test]
fn the_actor_of_changes_is_not_taken_for_a_filter() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1", "--actor", "ada"]);
    for (command, filter) in
        [("changes", "--by"), ("search", "--by"), ("audit", "--by"), ("watchers", "--of")]
    {
        let arguments: &[&str] = match command {
            "audit" => &["audit", "list", "--actor", "eve"],
            "search" => &["search", "a", "--text", "x", "--actor", "eve"],
            command => &[command, "a", "--actor", "eve"],
        };
        let failed = server.fails(2, arguments);
        assert!(failed.contains(filter), "{failed}");
    }
}
