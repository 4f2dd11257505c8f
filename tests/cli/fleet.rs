//! Who watches: `watchers`, and `--wait` after a write.

use serde_json::json;

use crate::harness::Server;

#[test]
fn watchers_are_listed_with_what_they_were_sent() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let watch = server.follow(&["watch", "a/b@/p", "--client-id", "pod-1"]);
    watch.line();
    let table = server.ok(&["watchers", "a"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CLIENT  TARGET  STATE"), "{table}");
    assert!(lines[1].starts_with("pod-1   a/b@/p  current  sha256:"), "{table}");
    assert_eq!(lines[2], "1 watcher, 0 behind, store revision 1");
    let listed = server.json(&["watchers", "a/b@/p"]);
    let client = &listed["clients"][0];
    assert_eq!((&client["client_id"], &client["behind"]), (&json!("pod-1"), &json!(false)));
    assert_eq!(client["targets"][0]["digest"], server.json(&["get", "a/b@/p"])["digest"]);
    for args in [&["watchers", "a/b@/q"][..], &["watchers", "a", "--label", "zone=a"], &["watchers", "other"]]
    {
        assert_eq!(server.json(args)["clients"], json!([]), "{args:?}");
    }
    server.fails(2, &["watchers", "a/b/c"]);
}

#[test]
fn wait_says_that_every_watcher_has_what_was_written() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let watch = server.follow(&["watch", "a/b@/p", "a/c"]);
    watch.line();
    let set = server.ok(&["set", "a/b", "x=2", "--wait"]);
    assert!(set.ends_with("1 of 1 watchers have it\n"), "{set}");
    let set = server.ok(&["set", "a/other", "x=2", "--wait=5s"]);
    assert!(set.ends_with("0 of 0 watchers have it\n"), "{set}");
    let rollback = server.ok(&["rollback", "a/b", "--to-version", "1", "--wait"]);
    assert!(rollback.ends_with("1 of 1 watchers have it\n"), "{rollback}");
    let unchanged = server.ok(&["set", "a/b", "x=1", "--wait"]);
    assert!(!unchanged.contains("watchers have it"), "{unchanged}");
    let deleted = server.run(&["delete", "a/b", "--yes", "--wait", "-o", "json"]);
    assert_eq!((deleted.code, deleted.stderr.as_str()), (0, "1 of 1 watchers have it\n"), "{deleted:?}");
    drop(watch);
}

#[test]
fn wait_waits_after_apply_edit_revert_and_restore() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let watch = server.follow(&["watch", "a/b"]);
    watch.line();
    let has_it = |said: String| assert!(said.ends_with("1 of 1 watchers have it\n"), "{said}");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a");
    std::fs::create_dir_all(path.join("b")).expect("made");
    std::fs::write(path.join("b/global.json"), r#"{"x":2}"#).expect("written");
    has_it(server.ok(&["apply", "-f", path.to_str().expect("a path"), "--yes", "--wait"]));
    has_it(server.ok(&["revert", "2", "--wait"]));
    has_it(server.ok(&["restore", "a", "--to", "revision:2", "--wait"]));
    let mut edit = server.command(&["edit", "a/b", "--wait"]);
    edit.env_remove("VISUAL").env("EDITOR", "sed -i s/2/7/");
    let edited = crate::harness::finish(edit);
    assert_eq!(edited.code, 0, "{edited:?}");
    has_it(edited.stdout);
    assert_eq!(server.json(&["get", "a/b"])["content"], json!({"x": 7}));
}

#[test]
fn a_watcher_that_hangs_is_named_and_the_change_is_stored() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let watch = server.follow(&["watch", "a/b", "--client-id", "pod-1"]);
    watch.line();
    watch.pause();
    let file = server.data.path().join("large.json");
    // What the connection holds for a client that reads nothing is full after some of them.
    let set = |letter: char| {
        let content = json!({ "x": letter.to_string().repeat(900_000) });
        std::fs::write(&file, content.to_string()).expect("written");
        server.run(&["set", "a/b", "--file", file.to_str().expect("a path"), "--wait=1s"])
    };
    let waited = ('a'..='z').map(set).find(|ran| ran.code != 0).expect("the connection takes no more");
    assert_eq!(waited.code, 8, "{waited:?}");
    assert!(waited.stderr.contains("1 of 1 watchers were not sent it in time"), "{waited:?}");
    assert!(waited.stderr.contains("pod-1 (127.0.0.1): a/b /: "), "{waited:?}");
    let versions = server.json(&["get", "a/b"])["version"].as_u64().expect("a number");
    assert!(versions > 1, "it is stored");
}

#[test]
fn a_wait_that_is_too_long_is_refused_before_the_change() {
    let server = Server::start();
    let refused = server.run(&["set", "a/b", "x=1", "--wait=11m"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("expected at most 10m"), "{refused:?}");
    server.fails(3, &["get", "a/b"]);
}
