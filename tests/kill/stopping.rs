//! A server that is told to stop while it compacts a long history: it ends in the middle, and the next one goes on.

use confwatch::proto::v1::*;
use confwatch::store::{History, Journal, SledOptions, SledStore};
use tempfile::TempDir;
use tokio::process::Child;

use super::server::Server;

/// Several slices of a compaction.
const CONFIGS: usize = 1000;
const COMMITS: u64 = 5;
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

/// Stops it by SIGTERM, which it must obey.
async fn stopped(mut server: Child) {
    let id = libc::pid_t::try_from(server.id().expect("it runs")).expect("an id");
    // SAFETY: a signal to a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
    assert_eq!(server.wait().await.expect("ended").code(), Some(0), "the directory is free");
}
