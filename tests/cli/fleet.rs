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
