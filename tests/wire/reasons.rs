//! A namespace that demands a reason for every change.

use std::time::Duration;

use confwatch::proto::v1::schema_service_client::SchemaServiceClient;
use confwatch::proto::v1::*;
use tonic::{Code, Status};

use super::support::*;

fn settings_of(namespace: &str, content: &str) -> Change {
    Change { namespace: namespace.into(), config: "namespace:settings".into(), ..replace("/", content) }
}

fn because(reason: &str) -> Option<WriteOptions> {
    Some(WriteOptions { reason: reason.into(), ..Default::default() })
}

/// A server on which the namespace `test` demands reasons, and has a config.
async fn demanding() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    client.set(set(settings_of("test", r#"{"require_reason": true}"#))).await.expect("settings");
    (server, client)
}

#[track_caller]
fn lacks_reason<T: std::fmt::Debug>(result: Result<T, Status>) {
    let status = refused(result, Code::FailedPrecondition, "REASON_REQUIRED");
    assert_eq!(fields(&status), ["options.reason"]);
    assert_eq!(told(&status).2["namespace"], "test");
}

#[tokio::test]
async fn every_kind_of_write_must_say_why() {
    let (server, mut client) = demanding().await;
    let write = || set(replace("/", r#"{"a":3}"#));
    for options in [None, because(""), because(" \t\n")] {
        lacks_reason(client.set(SetRequest { options, ..write() }).await);
    }
    let try_it = Some(WriteOptions { validate_only: true, ..Default::default() });
    lacks_reason(client.set(SetRequest { options: try_it, ..write() }).await);
    lacks_reason(client.delete(delete(None)).await);
    lacks_reason(client.rollback(rollback(rollback_request::To::Version(1))).await);
    lacks_reason(client.set_tag(set_tag("stable", 1)).await);
    let mut schemas = SchemaServiceClient::new(server.channel().await);
    let schema = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(r#"{"type":"object"}"#)),
        ..Default::default()
    };
    lacks_reason(schemas.put(schema.clone()).await);

    client.set(SetRequest { options: because("a new limit"), ..write() }).await.expect("set");
    let tag = SetTagRequest { options: because("verified"), ..set_tag("stable", 2) };
    client.set_tag(tag).await.expect("a tag");
    let back = rollback(rollback_request::To::Tag("stable".into()));
    client.rollback(RollbackRequest { options: because("incident 7"), ..back }).await.expect("rolled back");
    schemas.put(SchemaServicePutRequest { options: because("a form"), ..schema }).await.expect("a schema");
    client.delete(DeleteRequest { options: because("gone"), ..delete(None) }).await.expect("deleted");
}

#[tokio::test]
async fn a_commit_over_several_namespaces_needs_a_reason_if_one_of_them_demands_it() {
    let (_server, mut client) = demanding().await;
    let elsewhere = || Change { namespace: "other".into(), ..replace("/", r#"{"a":1}"#) };
    client.set(set(elsewhere())).await.expect("nobody demands it there");
    let both = ApplyRequest { changes: vec![elsewhere(), replace("/", r#"{"a":5}"#)], options: None };
    lacks_reason(client.apply(both.clone()).await);
    client.apply(ApplyRequest { options: because("both"), ..both }).await.expect("applied");
    // What is demanded can be taken back: with a reason.
    lacks_reason(client.set(set(settings_of("test", "{}"))).await);
    let taken_back = SetRequest { options: because("too strict"), ..set(settings_of("test", "{}")) };
    client.set(taken_back).await.expect("settings");
    put(&mut client, "/", r#"{"a":6}"#).await;
}

#[tokio::test]
async fn settings_say_it_with_true_or_false_and_for_a_whole_namespace() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let wrong = set(settings_of("test", r#"{"require_reason": "yes"}"#));
    refused(client.set(wrong).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let of_config = Change { config: "settings:app".into(), ..replace("/", r#"{"require_reason": true}"#) };
    refused(client.set(set(of_config)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
}

#[tokio::test]
async fn validate_says_that_a_reason_will_be_needed() {
    let (_server, mut client) = demanding().await;
    let changes = vec![replace("/", r#"{"a":3}"#), replace("/production", r#"{"a":4}"#)];
    let validated = client.validate(ValidateRequest { changes, ..Default::default() }).await;
    let report = validated.expect("validated").into_inner().report.expect("a report");
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!((report.valid, codes), (true, vec!["REASON_REQUIRED"]));
}

#[tokio::test]
async fn an_override_ends_without_a_reason() {
    let (_server, mut client) = demanding().await;
    let ends = Change {
        kind: LayerKind::Override.into(),
        ttl: Some(Duration::from_millis(20).try_into().expect("short")),
        ..replace("/", r#"{"a":9}"#)
    };
    let options = because("for a moment");
    client.set(SetRequest { options, ..set(ends) }).await.expect("set");
    while content(&mut client, get("/")).await != r#"{"a":2}"# {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
