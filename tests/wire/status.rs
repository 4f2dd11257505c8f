//! StatusService: the version for everybody, figures and problems for auditors and administrators.

use std::time::Duration;

use confwatch::client::Client as LibraryClient;
use confwatch::proto::v1::*;

use super::auth::{Guarded, client};
use super::metrics::scrape;
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

/// Waits until the server has proved its audit log, and found what was done to it.
async fn until_altered(server: &TestServer) -> StatusServiceGetResponse {
    let library = client(server, None);
    loop {
        let found = status(&library).await;
        if problems(&found).contains(&"AUDIT_RECORDS_ALTERED") {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_audit_log_that_was_altered_behind_the_back_of_the_server_is_a_problem_that_nobody_has_to_ask_for()
{
    let settings = |settings: &mut confwatch::server::Settings| {
        believing(settings);
        settings.metrics_listen = Some("127.0.0.1:0".into());
    };
    let directory =
        TestServer::start_in(tempfile::TempDir::new().expect("a directory"), settings).await.stop().await;
    let audit = directory.path().join("data/audit");
    let log = std::fs::read_dir(&audit).expect("a directory").map(|entry| entry.expect("an entry").path());
    let log = log.into_iter().find(|path| path.is_file()).expect("a file");
    let written = std::fs::read_to_string(&log).expect("text");
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&log).expect("text");
        assert!(text.contains(from), "{text}");
        std::fs::write(&log, text.replacen(from, to, 1)).expect("written");
    };

    // Of a server that is stopped.
    change(r#""kind":"started""#, r#""kind":"stopped""#);
    let server = TestServer::start_in(directory, settings).await;
    let found = until_altered(&server).await;
    let problem = found.server.expect("figures").problems.pop().expect("one");
    assert!(problem.message.contains("confwatch audit verify"), "{problem:?}");
    let told = scrape(&server).await;
    assert_eq!(told.value("confwatch_audit_altered", &[]), Some(1.0));
    assert_eq!(told.value("confwatch_audit_incomplete", &[]), Some(0.0), "nothing is missing");
    // It is told to whoever follows the log.
    let library = client(&server, None);
    let listed = async |kind: AuditKind| {
        let filter = Some(AuditFilter { kinds: vec![kind.into()], ..Default::default() });
        let request = AuditServiceListRequest { filter, ..Default::default() };
        library.audit().list(request).await.expect("listed").into_inner().entries
    };
    let told = loop {
        let told = listed(AuditKind::Repaired).await;
        if !told.is_empty() {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].detail.contains("not as it was written: record 1"), "{told:?}");

    // What was changed is as it was: a proof that somebody asks for says so, and the problem is gone.
    let now = std::fs::read_to_string(&log).expect("text");
    std::fs::write(&log, now.replacen(r#""kind":"stopped""#, r#""kind":"started""#, 1)).expect("written");
    assert!(now.len() > written.len() && now.starts_with(&written[..10]));
    let verify = async || {
        library.audit().verify(AuditServiceVerifyRequest {}).await.expect("proved").into_inner().intact
    };
    assert!(verify().await);
    assert_eq!(problems(&status(&library).await), Vec::<&str>::new());
    // While the server runs, the next proof finds it.
    change(r#""kind":"started""#, r#""kind":"stopped""#);
    assert!(!verify().await);
    assert_eq!(problems(&status(&library).await), ["AUDIT_RECORDS_ALTERED"]);
}

#[tokio::test]
async fn an_audit_log_without_its_newest_records_is_a_problem_of_the_next_start() {
    let settings = |settings: &mut confwatch::server::Settings| {
        believing(settings);
        settings.metrics_listen = Some("127.0.0.1:0".into());
    };
    let directory =
        TestServer::start_in(tempfile::TempDir::new().expect("a directory"), settings).await.stop().await;
    std::fs::remove_dir_all(directory.path().join("data/audit")).expect("it was there");
    let server = TestServer::start_in(directory, settings).await;
    let found = until_altered(&server).await;
    assert_eq!(problems(&found), ["AUDIT_RECORDS_MISSING", "AUDIT_RECORDS_ALTERED"]);
    assert_eq!(scrape(&server).await.value("confwatch_audit_incomplete", &[]), Some(1.0));
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
