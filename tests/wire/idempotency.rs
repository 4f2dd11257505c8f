//! A write repeated with its request id has the first outcome and commits nothing.

use confwatch::proto::v1::*;
use confwatch::server::Settings;
use tonic::Code;

use super::support::*;

fn identified(id: &str, change: Change) -> SetRequest {
    SetRequest { options: request_id(id), ..set(change) }
}

#[tokio::test]
async fn a_repeated_set_has_the_first_outcome_also_after_other_writes_and_a_restart() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let request = identified("one", merge_patch("/", r#"{"a":1}"#));
    let first = client.set(request.clone()).await.expect("set").into_inner();
    assert_eq!((first.changed, first.store_revision), (true, 1));
    assert_eq!(client.set(request.clone()).await.expect("set").into_inner(), first);
    put(&mut client, "/", r#"{"b":2}"#).await;
    put(&mut client, "/production", r#"{"b":3}"#).await;
    assert_eq!(client.set(request.clone()).await.expect("set").into_inner(), first);

    let directory = server.stop().await;
    let server = TestServer::start_in(directory, believing).await;
    let mut client = server.client().await;
    assert_eq!(client.set(request).await.expect("set").into_inner(), first);
    assert_eq!(content(&mut client, get("/")).await, r#"{"b":2}"#);
    assert_eq!(store_revision(&mut client).await, 3);
}

#[tokio::test]
async fn every_kind_of_write_can_be_repeated_also_after_a_restart() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    client.set_tag(set_tag("moved", 1)).await.expect("a tag");
    client.set_tag(set_tag("back", 1)).await.expect("a tag");
    put(&mut client, "/production", r#"{"a":2}"#).await;

    let apply = ApplyRequest {
        changes: vec![
            replace("/staging", r#"{"a":3}"#),
            replace("/production", r#"{"a":2}"#),
            Change { config: "other".into(), ..replace("/", r#"{"c":1}"#) },
        ],
        options: request_id("apply"),
    };
    let back = RollbackRequest {
        options: request_id("rollback"),
        ..rollback(rollback_request::To::Tag("back".into()))
    };
    let moved = SetTagRequest { options: request_id("set-tag"), ..set_tag("moved", 2) };
    let gone = DeleteTagRequest { options: request_id("delete-tag"), ..delete_tag("back") };
    let deleted = DeleteRequest { options: request_id("delete"), ..delete(None) };

    let applied = client.apply(apply.clone()).await.expect("apply").into_inner();
    let rolled = client.rollback(back.clone()).await.expect("rollback").into_inner();
    let moved_first = client.set_tag(moved.clone()).await.expect("tag").into_inner();
    assert_eq!((moved_first.version, moved_first.previous_version), (2, 1));
    let gone_first = client.delete_tag(gone.clone()).await.expect("tag").into_inner();
    assert_eq!(gone_first.previous_version, 1);
    let deleted_first = client.delete(deleted.clone()).await.expect("delete").into_inner();
    assert_eq!(deleted_first.deleted.len(), 1);
    assert!([applied.changed, rolled.changed, moved_first.changed, gone_first.changed].iter().all(|it| *it));
    let revision = store_revision(&mut client).await;
    assert_eq!(revision, 9);

    let mut server = server;
    for _ in 0..2 {
        let mut client = server.client().await;
        assert_eq!(client.apply(apply.clone()).await.expect("apply").into_inner(), applied);
        // Though its tag is gone by now.
        assert_eq!(client.rollback(back.clone()).await.expect("rollback").into_inner(), rolled);
        assert_eq!(client.set_tag(moved.clone()).await.expect("tag").into_inner(), moved_first);
        assert_eq!(client.delete_tag(gone.clone()).await.expect("tag").into_inner(), gone_first);
        assert_eq!(client.delete(deleted.clone()).await.expect("delete").into_inner(), deleted_first);
        assert_eq!(store_revision(&mut client).await, revision);
        server = TestServer::start_in(server.stop().await, believing).await;
    }
}

#[tokio::test]
async fn the_same_request_fifty_times_at_once_is_one_commit() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let request = identified("one", replace("/", r#"{"a":1}"#));
    let calls = (0..50).map(|_| {
        let (mut client, request) = (client.clone(), request.clone());
        tokio::spawn(async move { client.set(request).await.expect("set").into_inner() })
    });
    let mut responses = vec![];
    for call in calls.collect::<Vec<_>>() {
        responses.push(call.await.expect("a response"));
    }
    assert!(responses[0].changed);
    assert!(responses.iter().all(|response| *response == responses[0]), "{responses:?}");
    assert_eq!(store_revision(&mut client).await, 1);
    assert_eq!(history(&mut client).await.len(), 1);
}

#[tokio::test]
async fn an_id_that_was_used_for_another_request_is_refused_also_after_a_restart() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    client.set(identified("one", replace("/", r#"{"a":1}"#))).await.expect("set");
    let server = {
        others_are_refused(&mut client).await;
        TestServer::start_in(server.stop().await, believing).await
    };
    let mut client = server.client().await;
    others_are_refused(&mut client).await;
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
}

async fn others_are_refused(client: &mut Client) {
    let reused = |result: Result<(), tonic::Status>| {
        let status = refused(result, Code::AlreadyExists, "REQUEST_ID_REUSED");
        assert_eq!(told(&status).2["revision"], "1");
    };
    reused(client.set(identified("one", replace("/", r#"{"a":2}"#))).await.map(|_| ()));
    reused(client.set(identified("one", replace("/production", r#"{"a":1}"#))).await.map(|_| ()));
    // What changes nothing is another request as well.
    reused(client.set(identified("one", merge_patch("/", "{}"))).await.map(|_| ()));
    // And so is the same change by another call, or for another reason.
    let apply = ApplyRequest { changes: vec![replace("/", r#"{"a":1}"#)], options: request_id("one") };
    reused(client.apply(apply).await.map(|_| ()));
    let mut options = request_id("one").expect("options");
    options.reason = "another".into();
    let other = SetRequest { options: Some(options), ..set(replace("/", r#"{"a":1}"#)) };
    reused(client.set(other).await.map(|_| ()));
    // Though the call would fail for other reasons, too.
    let back = rollback(rollback_request::To::Version(99));
    reused(client.rollback(RollbackRequest { options: request_id("one"), ..back }).await.map(|_| ()));
}

#[tokio::test]
async fn two_requests_that_race_for_one_id_are_one_commit_and_one_refusal() {
    let server = TestServer::start_believing().await;
    let client = server.client().await;
    for round in 0..20 {
        let write = |value: u64| {
            let mut client = client.clone();
            let content = format!(r#"{{"a":{value}}}"#);
            let request = identified(&format!("round-{round}"), replace("/", &content));
            tokio::spawn(async move { client.set(request).await })
        };
        let (one, other) = (write(2 * round + 1), write(2 * round + 2));
        let (one, other) = (one.await.expect("a call"), other.await.expect("a call"));
        let loser = match (one, other) {
            (Ok(_), Err(status)) | (Err(status), Ok(_)) => status,
            (one, other) => panic!("one of two is expected: {one:?}, {other:?}"),
        };
        assert_eq!(told(&loser).1, "REQUEST_ID_REUSED");
    }
    assert_eq!(store_revision(&mut client.clone()).await, 20);
}

#[tokio::test]
async fn a_failed_write_does_not_use_its_id_up() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let stale = Change { expected_version: Some(5), ..replace("/", "{}") };
    refused(client.set(identified("one", stale)).await, Code::Aborted, "VERSION_MISMATCH");
    let malformed = identified("one", replace("/", "{"));
    refused(client.set(malformed).await, Code::InvalidArgument, "MALFORMED_DOCUMENT");
    let patch = identified("one", json_patch("/", r#"[{"op":"remove","path":"/a"}]"#));
    refused(client.set(patch).await, Code::FailedPrecondition, "PATCH_DOES_NOT_APPLY");
    let response = client.set(identified("one", replace("/", "{}"))).await.expect("set").into_inner();
    assert_eq!((response.changed, response.store_revision), (true, 1));
}

#[tokio::test]
async fn a_write_that_changed_nothing_is_repeated_as_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let request = identified("one", replace("/", r#"{"a":1}"#));
    let first = client.set(request.clone()).await.expect("set").into_inner();
    assert!(!first.changed);
    put(&mut client, "/", r#"{"a":2}"#).await;
    assert_eq!(client.set(request).await.expect("set").into_inner(), first);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":2}"#);
}

#[tokio::test]
async fn a_repeated_apply_tells_also_of_a_config_that_never_was() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let nothing = Change { config: "other".into(), ..change("/", change::Action::Delete(())) };
    let apply =
        ApplyRequest { changes: vec![replace("/", r#"{"a":1}"#), nothing], options: request_id("apply") };
    let first = client.apply(apply.clone()).await.expect("apply").into_inner();
    assert_eq!(first.results.iter().map(|result| result.changed).collect::<Vec<_>>(), [true, false]);
    assert_eq!(client.apply(apply).await.expect("apply").into_inner(), first);
}

fn claimed<T>(actor: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("confwatch-actor", actor.parse().expect("ASCII"));
    request
}

#[tokio::test]
async fn the_same_id_of_another_caller_or_for_another_namespace_is_another_request_also_after_a_restart() {
    let mut server = TestServer::start_believing().await;
    let of = |namespace: &str, value: u64| {
        let change = replace("/", &format!(r#"{{"a":{value}}}"#));
        identified("one", Change { namespace: namespace.into(), ..change })
    };
    let requests = [("alice", of("shop", 1)), ("bob", of("shop", 2)), ("alice", of("pay", 3))];
    let mut first = vec![];
    for (actor, request) in &requests {
        let mut client = server.client().await;
        first.push(client.set(claimed(actor, request.clone())).await.expect("set").into_inner());
    }
    assert!(first.iter().all(|response| response.changed));
    for _ in 0..2 {
        let mut client = server.client().await;
        for ((actor, request), first) in requests.iter().zip(&first) {
            let again = client.set(claimed(actor, request.clone())).await.expect("set").into_inner();
            assert_eq!(again, *first);
        }
        // Whoever writes two namespaces at once has used the id in both.
        let both = ApplyRequest {
            changes: ["pay", "shop"].map(|namespace| of(namespace, 4).change.expect("one")).into(),
            options: request_id("one"),
        };
        let reused = client.apply(claimed("alice", both)).await;
        refused(reused, Code::AlreadyExists, "REQUEST_ID_REUSED");
        assert_eq!(store_revision(&mut client).await, 3);
        server = TestServer::start_in(server.stop().await, believing).await;
    }
}

#[tokio::test]
async fn a_caller_that_floods_ids_is_refused_new_ones_and_no_write_happens_twice() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let limited = |settings: &mut Settings| {
        believing(settings);
        settings.limits.request_ids_max = 20;
    };
    let server = TestServer::start_in(directory, limited).await;
    let mut client = server.client().await;
    let of_alice = || claimed("alice", identified("alice", merge_patch("/", r#"{"alice":1}"#)));
    let first = client.set(of_alice()).await.expect("set").into_inner();
    put(&mut client, "/", r#"{"bob":0}"#).await;
    let mut refusals = 0;
    for number in 0..40 {
        // Without an effect, each was kept with the whole document.
        let flood = claimed("bob", identified(&number.to_string(), replace("/", r#"{"bob":0}"#)));
        if let Err(status) = client.set(flood).await {
            let status = refused(Err::<(), _>(status), Code::ResourceExhausted, "TOO_MANY_REQUEST_IDS");
            assert_eq!(told(&status).2["limit"], "20");
            refusals += 1;
        }
    }
    assert_eq!(refusals, 20);
    // Those that were taken are known, and so is that of everybody else.
    let known = claimed("bob", identified("0", replace("/", r#"{"bob":0}"#)));
    assert!(!client.set(known).await.expect("a repeated write").into_inner().changed);
    assert_eq!(client.set(of_alice()).await.expect("set").into_inner(), first);
    assert_eq!(store_revision(&mut client).await, 2);
    client.set(claimed("bob", set(replace("/", r#"{"bob":1}"#)))).await.expect("without an id");
    client.set(claimed("carol", identified("0", replace("/", r#"{"c":1}"#)))).await.expect("another caller");
}

#[tokio::test]
async fn a_write_that_changed_nothing_is_told_again_as_of_then_by_every_kind_of_write() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    client.set_tag(set_tag("stable", 1)).await.expect("a tag");
    let apply = ApplyRequest {
        changes: vec![
            replace("/", r#"{"a":1}"#),
            Change { config: "other".into(), ..change("/", change::Action::Delete(())) },
        ],
        options: request_id("apply"),
    };
    let back = RollbackRequest {
        options: request_id("rollback"),
        ..rollback(rollback_request::To::Tag("stable".into()))
    };
    let tag = SetTagRequest { options: request_id("set-tag"), ..set_tag("stable", 1) };
    let applied = client.apply(apply.clone()).await.expect("apply").into_inner();
    let rolled = client.rollback(back.clone()).await.expect("rollback").into_inner();
    let tagged = client.set_tag(tag.clone()).await.expect("tag").into_inner();
    assert!(!applied.changed && !rolled.changed && !tagged.changed);
    put(&mut client, "/", r#"{"a":2}"#).await;
    client.set_tag(set_tag("stable", 2)).await.expect("a tag");
    assert_eq!(client.apply(apply).await.expect("apply").into_inner(), applied);
    assert_eq!(client.rollback(back).await.expect("rollback").into_inner(), rolled);
    assert_eq!(client.set_tag(tag).await.expect("tag").into_inner(), tagged);
}

#[tokio::test]
async fn a_repeated_write_whose_commit_was_compacted_is_not_made_again_and_does_not_fail() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.retain_revisions = Some(3)).await;
    let mut client = server.client().await;
    let request = identified("one", merge_patch("/", r#"{"a":1}"#));
    let first = client.set(request.clone()).await.expect("set").into_inner();
    let mut number = 0;
    let oldest = || server.running.engine().oldest().expect("the store is open").0;
    while oldest() <= first.store_revision {
        number += 1;
        put(&mut client, "/", &format!(r#"{{"b":{number}}}"#)).await;
    }
    let content_now = content(&mut client, get("/")).await;
    assert_eq!(content_now, format!(r#"{{"b":{number}}}"#));
    let check = async |client: &mut Client| {
        let again = client.set(request.clone()).await.expect("it was made").into_inner();
        assert!(again.changed && again.document.is_none(), "{again:?}");
        assert_eq!(again.store_revision, first.store_revision);
        let report = again.report.expect("a report");
        let [found] = report.findings.as_slice() else { panic!("{report:?}") };
        assert_eq!((found.code.as_str(), found.severity()), ("OUTCOME_COMPACTED", Severity::Warning));
        let reused = identified("one", merge_patch("/", r#"{"a":2}"#));
        refused(client.set(reused).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
        assert_eq!(content(client, get("/")).await, content_now);
    };
    check(&mut client).await;
    drop(client);
    let server =
        TestServer::start_in(server.stop().await, |settings| settings.retain_revisions = Some(3)).await;
    check(&mut server.client().await).await;
}
