//! Positions belong to one history of the store: tokens, and revisions that come with the epoch they are of.

use std::time::Duration;

use confwatch::proto::v1::audit_service_client::AuditServiceClient;
use confwatch::proto::v1::schema_service_client::SchemaServiceClient;
use confwatch::proto::v1::*;
use tonic::{Code, Request};

use super::support::*;

const EPOCH: &str = "confwatch-epoch";

/// A server with three versions of a config, and another config.
async fn filled() -> (TestServer, Client) {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    for number in 1..4 {
        put(&mut client, "/", &format!(r#"{{"a":{number}}}"#)).await;
    }
    let other = Change { config: "other".into(), ..replace("/", "{}") };
    client.set(set(other)).await.expect("set");
    (server, client)
}

fn in_epoch<T>(message: T, epoch: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(EPOCH, epoch.parse().expect("a header value"));
    request
}

/// Commits up to a revision, and the token after them.
async fn read_until(client: &mut Client, request: StreamChangesRequest, last: u64) -> (Vec<u64>, String) {
    let mut stream = client.stream_changes(request).await.expect("it opens").into_inner();
    let mut revisions = vec![];
    loop {
        let message = stream.message().await.expect("it goes on").expect("a message");
        if let Some(stream_changes_response::Event::Commit(commit)) = message.event {
            revisions.push(commit.revision);
        }
        if message.revision >= last {
            return (revisions, message.resume_token);
        }
    }
}

#[tokio::test]
async fn a_stream_of_changes_resumes_in_its_own_history_and_is_refused_in_another() {
    let (_server, mut client) = filled().await;
    let from_1 = StreamChangesRequest { from_revision: 1, ..Default::default() };
    let (revisions, resume_token) = read_until(&mut client, from_1, 2).await;
    assert_eq!(revisions, [1, 2]);
    let resumed = StreamChangesRequest { resume_token, ..Default::default() };
    let (revisions, _) = read_until(&mut client, resumed.clone(), 4).await;
    assert_eq!(revisions, [3, 4], "nothing twice, and nothing left out");

    let both = StreamChangesRequest { from_revision: 3, ..resumed.clone() };
    refused_for(client.stream_changes(both).await, "INVALID_FIELD", "resume_token");
    let damaged = StreamChangesRequest { resume_token: "garbage".into(), ..Default::default() };
    refused_for(client.stream_changes(damaged).await, "INVALID_FIELD", "resume_token");

    // As after a restore: the same revisions are other commits.
    let (_other, mut other) = filled().await;
    refused(other.stream_changes(resumed).await, Code::OutOfRange, "EPOCH_MISMATCH");
    // Progress carries a token, too.
    let quick = Some(Duration::from_millis(100).try_into().expect("short"));
    let now = StreamChangesRequest { progress_interval: quick, ..Default::default() };
    let mut stream = client.stream_changes(now).await.expect("it opens").into_inner();
    let progress = stream.message().await.expect("it goes on").expect("progress");
    let resumed = StreamChangesRequest { resume_token: progress.resume_token, ..Default::default() };
    refused(other.stream_changes(resumed).await, Code::OutOfRange, "EPOCH_MISMATCH");
}

#[tokio::test]
async fn a_stream_of_the_audit_trail_resumes_in_its_own_history_and_is_refused_in_another() {
    let connect = async |server: &TestServer| {
        let address = format!("http://{}", server.running.address());
        AuditServiceClient::connect(address).await.expect("the server listens")
    };
    let ((server, _client), (other, _)) = (filled().await, filled().await);
    let mut audit = connect(&server).await;
    let from_1 = AuditServiceStreamRequest { from_revision: 1, ..Default::default() };
    let mut stream = audit.stream(from_1).await.expect("it opens").into_inner();
    let first = stream.message().await.expect("it goes on").expect("an entry");
    assert_eq!(first.revision, 1);
    let resumed = AuditServiceStreamRequest { resume_token: first.resume_token, ..Default::default() };
    let mut stream = audit.stream(resumed.clone()).await.expect("it opens").into_inner();
    assert_eq!(stream.message().await.expect("it goes on").expect("an entry").revision, 2);
    let both = AuditServiceStreamRequest { from_sequence: 3, ..resumed.clone() };
    refused_for(audit.stream(both).await, "INVALID_FIELD", "resume_token");
    for token in ["garbage", "1.1.1", "1..1.1"] {
        let damaged = AuditServiceStreamRequest { resume_token: token.into(), ..Default::default() };
        refused_for(audit.stream(damaged).await, "INVALID_FIELD", "resume_token");
    }
    refused(connect(&other).await.stream(resumed).await, Code::OutOfRange, "EPOCH_MISMATCH");
}

#[tokio::test]
async fn page_tokens_are_of_one_history() {
    let ((server, mut client), (other_server, mut other)) = (filled().await, filled().await);
    let list = ListRequest { namespace: "test".into(), page_size: 1, ..Default::default() };
    let page_token = client.list(list.clone()).await.expect("listed").into_inner().next_page_token;
    assert!(!page_token.is_empty());
    let next = ListRequest { page_token, ..list };
    client.list(next.clone()).await.expect("the next page");
    refused(other.list(next).await, Code::OutOfRange, "EPOCH_MISMATCH");

    let versions = ListVersionsRequest {
        namespace: "test".into(),
        config: "app".into(),
        page_size: 1,
        ..Default::default()
    };
    let page_token =
        client.list_versions(versions.clone()).await.expect("listed").into_inner().next_page_token;
    let next = ListVersionsRequest { page_token, ..versions };
    client.list_versions(next.clone()).await.expect("the next page");
    refused(other.list_versions(next).await, Code::OutOfRange, "EPOCH_MISMATCH");

    let address = |server: &TestServer| format!("http://{}", server.running.address());
    let mut audit = AuditServiceClient::connect(address(&server)).await.expect("the server listens");
    let list = AuditServiceListRequest { page_size: 1, ..Default::default() };
    let page_token = audit.list(list.clone()).await.expect("listed").into_inner().next_page_token;
    let next = AuditServiceListRequest { page_token, ..list };
    audit.list(next.clone()).await.expect("the next page");
    let mut other_audit =
        AuditServiceClient::connect(address(&other_server)).await.expect("the server listens");
    refused(other_audit.list(next).await, Code::OutOfRange, "EPOCH_MISMATCH");

    let (mut schemas, mut other_schemas) = (
        SchemaServiceClient::connect(address(&server)).await.expect("the server listens"),
        SchemaServiceClient::connect(address(&other_server)).await.expect("the server listens"),
    );
    for config in ["app", "other"] {
        let put = SchemaServicePutRequest {
            namespace: "test".into(),
            config: config.into(),
            schema: Some(json(r#"{"type":"object"}"#)),
            ..Default::default()
        };
        schemas.put(put).await.expect("a schema");
    }
    let list = SchemaServiceListRequest { namespace: "test".into(), page_size: 1, ..Default::default() };
    let page_token = schemas.list(list.clone()).await.expect("listed").into_inner().next_page_token;
    let next = SchemaServiceListRequest { page_token, ..list };
    schemas.list(next.clone()).await.expect("the next page");
    refused(other_schemas.list(next).await, Code::OutOfRange, "EPOCH_MISMATCH");
}

/// Reads by revision, `min_revision` and `expected_version` say nothing of the history that they are of: the metadata does.
#[tokio::test]
async fn a_request_with_the_epoch_of_another_history_is_refused_and_does_nothing() {
    let ((_server, mut client), (_other, mut other)) = (filled().await, filled().await);
    let response = client.get(get("/")).await.expect("got");
    let epoch = response.metadata().get(EPOCH).expect("the epoch").to_str().expect("text").to_owned();
    assert_eq!(epoch.len(), 16);
    let response = client.set(set(replace("/", r#"{"a":4}"#))).await.expect("set");
    assert_eq!(response.metadata().get(EPOCH).expect("the epoch"), epoch.as_str());
    let refusal =
        client.get(GetRequest { config: "none".into(), ..get("/") }).await.expect_err("there is none");
    assert_eq!(refusal.metadata().get(EPOCH).expect("the epoch"), epoch.as_str());

    let min_revision = GetRequest { min_revision: 1, ..get("/") };
    let at = GetRequest { at: Some(get_request::At::Revision(1)), ..get("/") };
    for request in [min_revision, at] {
        client.get(in_epoch(request.clone(), &epoch)).await.expect("it is of this history");
        refused(other.get(in_epoch(request.clone(), &epoch)).await, Code::OutOfRange, "EPOCH_MISMATCH");
        other.get(request).await.expect("bare revisions are not checked");
    }
    let before = content(&mut other, get("/")).await;
    let change = Change { expected_version: Some(3), ..replace("/", r#"{"a":5}"#) };
    let status = refused(other.set(in_epoch(set(change), &epoch)).await, Code::OutOfRange, "EPOCH_MISMATCH");
    assert_ne!(told(&status).2["epoch"], epoch);
    assert_eq!(content(&mut other, get("/")).await, before);
    for damaged in ["", "x", &"0".repeat(17), "+000000000000001"] {
        refused_for(client.get(in_epoch(get("/"), damaged)).await, "INVALID_FIELD", EPOCH);
    }
}
