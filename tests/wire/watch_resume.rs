//! Watch: coming back with a token and digests.

use std::path::Path;

use confwatch::proto::v1::*;
use tempfile::TempDir;

use super::support::*;
use super::watching::*;

#[tokio::test]
async fn who_comes_back_is_sent_nothing_that_it_holds() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", r#"{"x":1}"#), put_in("b", "/", "{}")]).await;
    let targets = || [target("a", "/p"), target("b", "/"), target("none", "/"), target("*", "/q")];
    let (watcher, _) = Watcher::open(&client, watch(targets())).await;
    let held = watcher.held.clone();

    let (watcher, told) = watcher.resume(&client).await;
    let current = [
        ("a", "/p", State::Current),
        ("b", "/", State::Current),
        ("none", "/", State::Absent),
        ("a", "/q", State::Current),
        ("b", "/q", State::Current),
    ];
    assert_eq!((told.summary().as_slice(), told.reset), (current.as_slice(), false));

    let directory = server.stop().await;
    let server = TestServer::start_in(directory, |_| {}).await;
    let client = server.client().await;
    let (mut watcher, told) = watcher.resume(&client).await;
    assert_eq!((told.summary().as_slice(), told.reset), (current.as_slice(), false));
    assert_eq!(watcher.held, held);
    apply(&client, [put_in("b", "/", r#"{"y":1}"#)]).await;
    let told = watcher.next().await.expect("told");
    assert_eq!(told.summary(), [("b", "/", State::Present), ("b", "/q", State::Present)]);
}

#[tokio::test]
async fn who_comes_back_is_told_what_changed_came_and_went_meanwhile() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, ["same", "changed", "gone", "moved"].map(|config| put_in(config, "/", "{}"))).await;
    let (watcher, _) = Watcher::open(&client, watch([target("*", "/p"), target("gone", "/")])).await;
    let (token, revision) = (watcher.token.clone(), watcher.revision);
    let last = apply(
        &client,
        [
            put_in("changed", "/p", r#"{"x":1}"#),
            remove("gone", "/"),
            remove("moved", "/"),
            put_in("moved", "/q", "{}"),
            put_in("new", "/", "{}"),
        ],
    )
    .await;
    let (watcher, told) = watcher.resume(&client).await;
    let expected = [
        ("changed", "/p", State::Present),
        ("gone", "/p", State::Absent),
        ("moved", "/p", State::Absent),
        ("new", "/p", State::Present),
        ("same", "/p", State::Current),
        ("gone", "/", State::Absent),
    ];
    assert_eq!((told.summary().as_slice(), told.reset), (expected.as_slice(), false));
    assert!(revision < told.revision && told.revision == last && watcher.token != token);
}

#[tokio::test]
async fn a_token_of_another_history_is_answered_with_a_snapshot_that_says_so() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", "{}"), put_in("gone", "/", "{}")]).await;
    let (watcher, _) = Watcher::open(&client, watch([target("*", "/"), target("a", "/p")])).await;
    let other = quick_server().await;
    let client = other.client().await;
    apply(&client, [put_in("a", "/", "{}")]).await;
    let (watcher, told) = watcher.resume(&client).await;
    assert!(told.reset);
    // Everything is sent, whatever digests the client named.
    assert_eq!(told.summary(), [("a", "/", State::Present), ("a", "/p", State::Present)]);
    assert_eq!(watcher.held.len(), 2);
    // The token of this snapshot is one of this history.
    assert!(!watcher.resume(&client).await.1.reset);
}

#[tokio::test]
async fn a_token_from_the_future_or_of_nobody_is_answered_with_a_snapshot_that_says_so() {
    let server = quick_believing_server().await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", r#"{"x":1}"#)]).await;
    let backup = TempDir::new().expect("a directory");
    let directory = server.stop().await;
    copy(directory.path(), backup.path());
    let server = TestServer::start_in(directory, believing).await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", r#"{"x":2}"#)]).await;
    let (watcher, _) = Watcher::open(&client, watch([target("a", "/")])).await;
    let past = TestServer::start_in(backup, believing).await;
    let client = past.client().await;
    let mut request = watcher.resumption();
    let (watcher, told) = watcher.resume(&client).await;
    assert!(told.reset && told.revision == 1);
    assert_eq!(watcher.content("a", "/"), Some(r#"{"x":1}"#));

    request.targets[0].if_none_match = watcher.held.values().next().expect("one").digest.clone();
    for token in ["garbage", "1..", "\u{1f600}", &"x".repeat(10_000), &format!("{}0", watcher.token)] {
        request.resume_token = token.into();
        let (_, told) = Watcher::open(&client, request.clone()).await;
        assert!(told.reset, "{token}");
        assert_eq!(told.summary(), [("a", "/", State::Present)]);
    }
}

/// A data directory as it is, as a backup would have it.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => {
                std::fs::create_dir(&to).expect("a directory");
                copy(&entry.path(), &to);
            }
            false => drop(std::fs::copy(entry.path(), to).expect("it is copied")),
        }
    }
}
