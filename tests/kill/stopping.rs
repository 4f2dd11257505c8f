//! A server that is told to stop while it compacts a long history, or restores very many configs: it ends in the middle, and the next one goes on.

use std::collections::BTreeMap;
use std::path::Path;

use confwatch::model::{
    self, Author, ConfigChange, Content, LayerChange, LayerKey, Revision, Timestamp, Version,
};
use confwatch::proto::v1::*;
use confwatch::store::{History, Journal, SledOptions, SledStore};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Child;

use super::server::Server;

/// Several slices of a compaction.
const CONFIGS: usize = 1000;
const COMMITS: u64 = 5;
/// So many that a restore of them takes much longer than a server may take to stop.
const RESTORED: usize = 40_000;
/// In commits of so many: a commit is read as a whole, which nothing stops.
const OF_COMMIT: usize = 1000;
/// Commits that give each of them a version.
const COMMITS_OF_ALL: u64 = (RESTORED / OF_COMMIT) as u64;
/// Keeps the last commit alone.
const COMPACTING: [&str; 2] = ["--retain-revisions", "1"];

#[tokio::test]
async fn a_server_that_is_stopped_while_it_compacts_exits_with_0_and_the_next_one_starts_at_once() {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let data = directory.path().join("data");
    let server = Server::spawn(&data, &[]).ready().await;
    let mut client = server.client().await;
    for number in 1..=COMMITS {
        let change = |at: usize| Change {
            namespace: "test".into(),
            config: format!("c{at}"),
            scope: "/".into(),
            action: Some(change::Action::Replace(Text {
                content: format!(r#"{{"a":{number}}}"#),
                format: Format::Json.into(),
            })),
            ..Default::default()
        };
        let request = ApplyRequest { changes: (0..CONFIGS).map(change).collect(), options: None };
        client.apply(request).await.expect("applied");
    }
    drop(client);
    stopped(server.process).await;
    // Each is stopped as soon as it serves, which is when it begins to compact.
    for _ in 0..3 {
        stopped(Server::spawn(&data, &COMPACTING).ready().await.process).await;
    }
    let server = Server::spawn(&data, &COMPACTING).ready().await;
    let mut client = server.client().await;
    let request = StreamChangesRequest { from_revision: 1, ..Default::default() };
    while client.stream_changes(request.clone()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let get = GetRequest { namespace: "test".into(), config: "c7".into(), ..Default::default() };
    let document = client.get(get).await.expect("it is there").into_inner().document.expect("a document");
    assert_eq!(document.content, format!(r#"{{"a":{COMMITS}}}"#));
    drop(client);
    stopped(server.process).await;
    let store = SledStore::open(&data, SledOptions::default()).expect("the directory is free");
    let mut problems = vec![];
    store.verify(&mut |problem| problems.push(problem)).expect("read");
    assert_eq!((problems, store.oldest().0), (vec![], COMMITS));
}

#[tokio::test]
async fn a_server_that_is_stopped_while_it_restores_very_many_configs_exits_with_0_and_has_all_of_them_or_none()
 {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let (data, backups) = (directory.path().join("data"), directory.path().join("backups"));
    fill(&data);
    // Calls have no time to end by themselves.
    let arguments = ["--drain-timeout", "1ms", "--backup-dir", backups.to_str().expect("UTF-8")];
    let server = Server::spawn(&data, &arguments).ready().await;
    let mut client = server.client().await;
    let request = RestoreRequest {
        namespace: "test".into(),
        to: Some(restore_request::To::Revision(COMMITS_OF_ALL)),
        ..Default::default()
    };
    let restoring = tokio::spawn(async move { client.restore(request).await });
    // The server keeps the state before it restores: then it has read what all of them were, and nothing is written yet.
    while std::fs::read_dir(&backups).expect("the server has made it").next().is_none() {
        assert!(!restoring.is_finished(), "the restore was not refused");
        tokio::task::yield_now().await;
    }
    stopped(server.process).await;
    let answer = restoring.await.expect("no panic");
    let store = SledStore::open(&data, SledOptions::default()).expect("the directory is free");
    let mut problems = vec![];
    store.verify(&mut |problem| problems.push(problem)).expect("read");
    assert_eq!(problems, []);
    match answer {
        Ok(_) => assert_eq!(store.head().revision.0, 2 * COMMITS_OF_ALL + 1),
        Err(_) => assert!([0, 1].contains(&(store.head().revision.0 - 2 * COMMITS_OF_ALL))),
    }
}

/// Makes a store with two versions of each of the configs.
fn fill(data: &Path) {
    let store = SledStore::open(data, SledOptions::default()).expect("a store");
    for revision in 1..=2 * COMMITS_OF_ALL {
        let version = Version(1 + (revision - 1) / COMMITS_OF_ALL);
        let first = (revision - 1) as usize % COMMITS_OF_ALL as usize * OF_COMMIT;
        let change = |number: usize| {
            let layer = LayerChange {
                key: LayerKey::base(model::Scope::global()),
                content: Some(Content::of(&json!({ "a": version.0 }))),
                expires: None,
                format: None,
            };
            let id = model::ConfigId {
                namespace: model::Namespace::parse("test").expect("a name"),
                config: model::ConfigName::parse(&format!("c{number:05}")).expect("a name"),
            };
            ConfigChange { id, version, layers: vec![layer], tags: vec![], restored: None }
        };
        let commit = model::Commit {
            revision: Revision(revision),
            time: Timestamp(1_800_000_000_000_000 + revision as i64),
            author: Author::named("test"),
            source: model::Source::Apply,
            reason: String::new(),
            request: None,
            annotations: BTreeMap::new(),
            changes: (first..first + OF_COMMIT).map(change).collect(),
            forgotten: vec![],
        };
        store.append(&[commit]).expect("appended");
    }
}

/// Stops it by SIGTERM, which it must obey.
async fn stopped(mut server: Child) {
    let id = libc::pid_t::try_from(server.id().expect("it runs")).expect("an id");
    // SAFETY: a signal to a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
    assert_eq!(server.wait().await.expect("ended").code(), Some(0), "the directory is free");
}
