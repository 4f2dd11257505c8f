//! StreamChanges: every commit, in order, exactly once.

use std::time::Duration;

use confwatch::proto::v1::*;
use confwatch::server::Settings;
use prost::Message;
use stream_changes_response::Event;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::support::*;
use super::watching::*;

/// A stream, of which every message is checked to follow the one before.
struct Reader {
    stream: Streaming<StreamChangesResponse>,
    revision: u64,
    /// The commit before has parts to come.
    more: bool,
}

/// A commit with the changes of all its parts.
struct Told {
    commit: Commit,
    parts: usize,
}

impl Reader {
    async fn open(client: &Client, request: StreamChangesRequest) -> Reader {
        let revision = request.from_revision.saturating_sub(1);
        let stream = client.clone().stream_changes(request).await.expect("it opens").into_inner();
        Reader { stream, revision, more: false }
    }

    /// The next commit. Progress is not told of, but must be of commits that came before it.
    async fn next(&mut self) -> Result<Told, Status> {
        let mut told: Option<Told> = None;
        loop {
            let message = self.message().await?;
            let Some(Event::Commit(commit)) = message.event else { continue };
            match &mut told {
                None => told = Some(Told { commit, parts: 1 }),
                Some(told) => {
                    told.parts += 1;
                    told.commit.changes.extend(commit.changes);
                }
            }
            if let (Some(told), false) = (told.take_if(|_| !message.more), message.more) {
                return Ok(told);
            }
        }
    }

    async fn until_progress(&mut self, revision: u64) {
        loop {
            let message = self.message().await.expect("progress");
            assert!(matches!(message.event, Some(Event::Progress(_))), "{message:?}");
            if message.revision == revision {
                return;
            }
        }
    }

    async fn message(&mut self) -> Result<StreamChangesResponse, Status> {
        let message = tokio::time::timeout(Duration::from_secs(60), self.stream.message());
        let message = message.await.expect("a message in time")?.expect("a stream ends with a status");
        assert!(message.encoded_len() <= 4 << 20);
        match message.event.as_ref().expect("an event") {
            Event::Commit(commit) => {
                assert_eq!(commit.revision, message.revision);
                match self.more {
                    true => assert_eq!(self.revision, commit.revision, "a part of the same commit"),
                    false => {
                        assert!(self.revision < commit.revision, "each commit once, and none after progress")
                    }
                }
                assert!(!commit.changes.is_empty());
            }
            Event::Progress(_) => assert!(!self.more && self.revision <= message.revision),
        }
        (self.revision, self.more) = (message.revision, message.more);
        Ok(message)
    }

    async fn ended(mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}

fn from(revision: u64) -> StreamChangesRequest {
    StreamChangesRequest {
        from_revision: revision,
        include_content: true,
        progress_interval: Some(seconds(3600)),
        ..Default::default()
    }
}

/// `{"fill":"xx…"}`
fn filled(bytes: usize) -> String {
    format!(r#"{{"fill":"{}"}}"#, "x".repeat(bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_comes_once_and_in_order_while_writers_write() {
    let server = quick_believing_server().await;
    let client = server.client().await;
    let mut early = Reader::open(&client, from(1)).await;
    let mut from_now = Reader::open(&client, from(0)).await;
    let writers = (0..4).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut made = vec![];
            for round in 0..50 {
                let content = format!(r#"{{"round":{round},"writer":{writer}}}"#);
                made.push((apply(&client, [put_in("app", "/", &content)]).await, content));
            }
            made
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut read = vec![];
    for revision in 1..=200 {
        let commit = early.next().await.expect("a commit").commit;
        assert_eq!(commit.revision, revision);
        assert_eq!(from_now.next().await.expect("a commit").commit, commit);
        read.push((revision, commit.changes[0].layers[0].content.clone()));
    }
    let mut made = vec![];
    for writer in writers {
        made.extend(writer.await.expect("it wrote"));
    }
    made.sort();
    assert_eq!(read, made);
    // Without content, and from where another left off.
    let mut late = Reader::open(&client, StreamChangesRequest { include_content: false, ..from(151) }).await;
    for revision in 151..=200 {
        let commit = late.next().await.expect("a commit").commit;
        let layer = &commit.changes[0].layers[0];
        assert_eq!((commit.revision, layer.content.as_str()), (revision, ""));
        assert!(layer.digest.starts_with("sha256:") && commit.chain_hash.starts_with("sha256:"));
    }
}

#[tokio::test]
async fn a_reader_that_lags_misses_nothing() {
    let server = quick_believing_server().await;
    let writer = server.client().await;
    let mut reader = Reader::open(&narrow_client(&server).await, from(1)).await;
    for at in 0..300 {
        apply(&writer, [put_in("app", "/", &filled(50_000 + at))]).await;
    }
    for revision in 1..=300 {
        let commit = reader.next().await.expect("a commit").commit;
        assert_eq!(commit.revision, revision);
        assert_eq!(commit.changes[0].layers[0].content.len(), filled(50_000 + revision as usize - 1).len());
    }
}

#[tokio::test]
async fn a_reader_resumes_after_the_last_revision_also_when_the_server_was_restarted() {
    let server = quick_believing_server().await;
    let client = server.client().await;
    for config in ["a", "b", "c"] {
        apply(&client, [put_in(config, "/", "{}")]).await;
    }
    let mut reader = Reader::open(&client, from(1)).await;
    reader.next().await.expect("a commit");
    let last = reader.next().await.expect("a commit").commit;
    let directory = server.stop().await;
    let server = TestServer::start_in(directory, believing).await;
    let client = server.client().await;
    let mut reader = Reader::open(&client, from(last.revision + 1)).await;
    assert_eq!(reader.next().await.expect("a commit").commit.revision, 3);
    let mut reader = Reader::open(&client, from(4)).await;
    apply(&client, [put_in("d", "/", "{}")]).await;
    assert_eq!(reader.next().await.expect("a commit").commit.changes[0].config, "d");
}

#[tokio::test]
async fn a_filter_lets_through_what_it_names_and_progress_goes_on_without() {
    let server = quick_server().await;
    let client = server.client().await;
    let request = |namespace: &str, config: &str| StreamChangesRequest {
        namespace: namespace.into(),
        config: config.into(),
        progress_interval: Some(millis(100)),
        ..from(1)
    };
    let mut of_config = Reader::open(&client, request("test", "a")).await;
    let mut of_namespace = Reader::open(&client, request("test", "")).await;
    let mut of_nothing = Reader::open(&client, request("nothing", "")).await;
    let elsewhere = |config: &str| Change { namespace: "other".into(), ..put_in(config, "/", "{}") };
    apply(&client, [elsewhere("a")]).await;
    apply(&client, [put_in("a", "/", "{}"), put_in("b", "/", "{}"), elsewhere("b")]).await;
    apply(&client, [put_in("b", "/", r#"{"x":1}"#)]).await;
    let last = apply(&client, [elsewhere("c")]).await;

    let configs = |told: Told| -> Vec<String> {
        told.commit
            .changes
            .into_iter()
            .map(|change| format!("{}/{}", change.namespace, change.config))
            .collect()
    };
    assert_eq!(configs(of_config.next().await.expect("a commit")), ["test/a"]);
    of_config.until_progress(last).await;
    assert_eq!(configs(of_namespace.next().await.expect("a commit")), ["test/a", "test/b"]);
    assert_eq!(configs(of_namespace.next().await.expect("a commit")), ["test/b"]);
    of_namespace.until_progress(last).await;
    of_nothing.until_progress(last).await;
    let last = apply(&client, [elsewhere("d")]).await;
    of_nothing.until_progress(last).await;

    let mut client = client;
    let orphan = StreamChangesRequest { namespace: String::new(), ..request("", "a") };
    refused(client.stream_changes(orphan).await, Code::InvalidArgument, "INVALID_NAME");
}

/// Waits until no commit before a revision is retained, and returns the oldest that is. Compaction runs beside the calls.
async fn until_compacted(client: &mut Client, before: u64) -> u64 {
    loop {
        if let Err(status) = client.stream_changes(from(1)).await {
            let (code, reason, metadata) = told(&status);
            assert_eq!((code, reason.as_str()), (Code::OutOfRange, "COMPACTED"));
            let oldest: u64 = metadata["oldest_revision"].parse().expect("a revision");
            if oldest >= before {
                return oldest;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_revision_that_was_compacted_is_refused_and_the_oldest_is_named() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let retaining = |settings: &mut Settings| {
        believing(settings);
        settings.retain_revisions = Some(10);
    };
    let server = TestServer::start_in(directory, retaining).await;
    let mut client = server.client().await;
    for number in 0..50 {
        apply(&client, [put_in("app", "/", &format!(r#"{{"number":{number}}}"#))]).await;
    }
    let oldest = until_compacted(&mut client, 39).await;
    assert!((39..=41).contains(&oldest), "{oldest}");
    refused(client.stream_changes(from(oldest - 1)).await, Code::OutOfRange, "COMPACTED");
    let mut reader = Reader::open(&client, from(oldest)).await;
    for revision in oldest..=50 {
        assert_eq!(reader.next().await.expect("a commit").commit.revision, revision);
    }
}

#[tokio::test]
async fn a_reader_that_compaction_overtakes_is_told_and_has_no_gap() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.retain_revisions = Some(10)).await;
    let writer = server.client().await;
    let mut reader = Reader::open(&narrow_client(&server).await, from(1)).await;
    for at in 0..60 {
        apply(&writer, [put_in("app", "/", &filled(300_000 + at))]).await;
    }
    let mut expected = 1;
    let status = loop {
        match reader.next().await {
            Ok(told) => assert_eq!(told.commit.revision, expected),
            Err(status) => break status,
        }
        expected += 1;
    };
    let (code, reason, metadata) = told(&status);
    assert_eq!((code, reason.as_str()), (Code::OutOfRange, "COMPACTED"));
    assert!(expected < metadata["oldest_revision"].parse().expect("a revision"));
}

#[tokio::test]
async fn a_revision_in_the_future_is_refused_but_the_next_one_is_waited_for() {
    let server = quick_believing_server().await;
    let mut client = server.client().await;
    apply(&client, [put_in("app", "/", "{}")]).await;
    for revision in [3, u64::MAX] {
        let status =
            refused(client.stream_changes(from(revision)).await, Code::OutOfRange, "REVISION_IN_FUTURE");
        assert_eq!(told(&status).2["store_revision"], "1");
    }
    let mut reader = Reader::open(&client, from(2)).await;
    apply(&client, [put_in("app", "/", r#"{"a":1}"#)]).await;
    assert_eq!(reader.next().await.expect("a commit").commit.revision, 2);
}

/// Only a rollback writes so much at once: what a client sends fits a message.
#[tokio::test]
async fn a_commit_too_large_for_a_message_comes_in_parts() {
    let server = quick_believing_server().await;
    let mut client = server.client().await;
    for at in 0..10 {
        apply(&client, [put_in("app", &format!("/s{at}"), &filled(900_000 + at))]).await;
    }
    let delete = DeleteRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    client.delete(delete).await.expect("it is deleted");
    let rollback = RollbackRequest {
        namespace: "test".into(),
        config: "app".into(),
        to: Some(rollback_request::To::Version(10)),
        ..Default::default()
    };
    client.rollback(rollback).await.expect("it is rolled back");
    apply(&client, [put_in("app", "/", "{}")]).await;

    let mut reader = Reader::open(&client, from(12)).await;
    let told = reader.next().await.expect("a commit");
    assert_eq!((told.commit.revision, told.commit.source()), (12, CommitSource::Rollback));
    assert!(told.parts > 2);
    assert!(told.commit.changes.iter().all(|change| (change.version, change.restored_version) == (12, 10)));
    let layers: Vec<_> = told.commit.changes.iter().flat_map(|change| &change.layers).collect();
    let found: Vec<_> = layers.iter().map(|layer| (layer.scope.clone(), layer.content.len())).collect();
    let expected: Vec<_> = (0..10).map(|at| (format!("/s{at}"), filled(900_000 + at).len())).collect();
    assert_eq!(found, expected);
    assert_eq!(reader.next().await.expect("a commit").commit.revision, 13);

    let request = StreamChangesRequest { include_content: false, ..from(12) };
    let told = Reader::open(&client, request).await.next().await.expect("a commit");
    assert_eq!((told.parts, told.commit.changes.len(), told.commit.changes[0].layers.len()), (1, 1, 10));
}

#[tokio::test]
async fn tags_and_the_ends_of_overrides_are_commits_like_any_other() {
    let server = quick_believing_server().await;
    let mut client = server.client().await;
    let mut reader = Reader::open(&client, from(1)).await;
    apply(&client, [put_in("app", "/", "{}")]).await;
    let (namespace, config, tag) = ("test".to_owned(), "app".to_owned(), "stable".to_owned());
    let set = SetTagRequest {
        namespace: namespace.clone(),
        config: config.clone(),
        tag: tag.clone(),
        ..Default::default()
    };
    client.set_tag(set).await.expect("it is tagged");
    client
        .delete_tag(DeleteTagRequest { namespace, config, tag, ..Default::default() })
        .await
        .expect("it is gone");
    apply(&client, [Change { ttl: Some(millis(200)), ..put_override("app", "/p", "{}") }]).await;

    let mut commits = vec![];
    for _ in 0..5 {
        commits.push(reader.next().await.expect("a commit").commit);
    }
    let sources: Vec<_> = commits.iter().map(Commit::source).collect();
    let (apply, tag, expiry) = (CommitSource::Apply, CommitSource::Tag, CommitSource::Expiry);
    assert_eq!(sources, [apply, tag, tag, apply, expiry]);
    let tags =
        |at: usize| (commits[at].changes[0].tags[0].tag.as_str(), commits[at].changes[0].tags[0].version);
    assert_eq!((tags(1), tags(2)), (("stable", 1), ("stable", 0)));
    let ended = &commits[4].changes[0].layers[0];
    assert_eq!(
        (ended.scope.as_str(), ended.kind(), ended.action()),
        ("/p", LayerKind::Override, LayerAction::Delete)
    );
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_when_to_come_back() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("app", "/", "{}")]).await;
    let idle = tokio::spawn(Reader::open(&client, from(2)).await.ended());
    let filtered = StreamChangesRequest { namespace: "nothing".into(), ..from(1) };
    let filtered = tokio::spawn(Reader::open(&client, filtered).await.ended());
    server.stop().await;
    for end in [idle, filtered] {
        let status = end.await.expect("it ended");
        assert_eq!((status.code(), told(&status).1.as_str()), (Code::Unavailable, "DRAINING"));
        assert!(status.get_details_retry_info().expect("RetryInfo").retry_delay.is_some());
    }
}
