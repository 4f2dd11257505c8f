//! StatusService: the version for everybody, figures and problems for auditors and administrators.

use std::time::Duration;

use confwatch::client::Client as LibraryClient;
use confwatch::proto::v1::*;

use super::auth::{Guarded, client};
use super::support::*;
use super::watching::*;

async fn status(client: &LibraryClient) -> StatusServiceGetResponse {
    client.status().get(StatusServiceGetRequest {}).await.expect("a status").into_inner()
}

fn problems(status: &StatusServiceGetResponse) -> Vec<&str> {
    let server = status.server.as_ref().expect("figures");
    server.problems.iter().map(|problem| problem.reason.as_str()).collect()
}

#[tokio::test]
async fn status_counts_what_the_server_does() {
    let server = TestServer::start_believing().await;
    let library = client(&server, None);
    let before = status(&library).await;
    assert_eq!(before.version, env!("CARGO_PKG_VERSION"));
    let mut wire = server.client().await;
    let written = put(&mut wire, "/", r#"{"a":1}"#).await.store_revision;
    let (_watcher, _) = Watcher::open(&wire, watch([target("app", "/p"), target("app", "/q")])).await;
    let after = status(&library).await;
    assert_eq!((after.revision, &after.epoch), (written, &before.epoch));
    let [before, after] = [before, after].map(|status| status.server.expect("figures"));
    assert_eq!((after.configs, after.commits - before.commits, after.oldest_revision), (1, 1, 1));
    assert_eq!((after.watchers, after.watched_targets, after.watch_lag_revisions), (1, 2, 0));
    assert!(after.connections >= 2 && after.connections < after.connections_max, "{after:?}");
    assert!(after.calls > before.calls, "{after:?}");
    assert_eq!((after.calls_failed, after.problems.as_slice()), (0, [].as_slice()));
    let disk = after.disk.expect("the disk");
    assert!(disk.journal_bytes + disk.write_ahead_log_bytes > 0 && disk.free_bytes.is_some(), "{disk:?}");
    assert!(after.memory_bytes > 1 << 20, "{after:?}");
}

#[tokio::test]
async fn a_panic_is_a_problem_that_has_a_name() {
    let server = TestServer::start_believing().await;
    let library = client(&server, None);
    server.running.supervisor().inject_panic("health");
    let found = loop {
        let found = status(&library).await;
        if problems(&found).contains(&"TASK_PANICKED") {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let problem = found.server.expect("figures").problems.pop().expect("the last one");
    assert!(problem.message.contains("\"health\" has panicked 1 times"), "{problem:?}");
}

#[tokio::test]
async fn damage_that_a_read_of_the_history_meets_is_a_problem() {
    let server = TestServer::start_believing().await;
    let mut wire = server.client().await;
    for number in 0..60 {
        put(&mut wire, "/", &format!(r#"{{"a":{number},"b":"{}"}}"#, "x".repeat(4000))).await;
    }
    drop(wire);
    let directory = server.stop().await;
    let journal = directory.path().join("data/journal");
    let segment =
        std::fs::read_dir(journal).expect("a journal").next().expect("a file").expect("a file").path();
    let mut bytes = std::fs::read(&segment).expect("it can be read");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("it can be written");
    let server = TestServer::start_in(directory, believing).await;
    let library = client(&server, None);
    let read = server.client().await.list_changes(ListChangesRequest::default()).await;
    assert!(read.is_err(), "the history cannot be read");
    let found = status(&library).await;
    assert_eq!(problems(&found), ["STORE_DAMAGED"]);
}

#[tokio::test]
async fn figures_are_for_auditors_and_administrators_of_the_store() {
    let guarded = Guarded::start_with_policy().await;
    for (name, sees) in [("audit", true), ("read", false), ("staging", false)] {
        let found = status(&guarded.bearer(name).await).await;
        assert_eq!(found.server.is_some(), sees, "{name}");
        assert!(found.revision > 0 && found.epoch.len() == 16, "{found:?}");
    }
    assert!(status(&guarded.admin).await.server.is_some());
}
