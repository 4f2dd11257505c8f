//! Writes, and what is read after them.

use confwatch::proto::v1::*;
use tonic::Code;

use super::support::*;

#[tokio::test]
async fn what_was_set_is_read_and_survives_a_restart() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let response =
        client.set(set(replace("/", r#"{"b":1,"a":{"x":true}}"#))).await.expect("set").into_inner();
    assert!(response.changed);
    assert_eq!(response.store_revision, 1);
    let document = response.document.expect("the layer");
    assert_eq!((document.version, document.revision), (1, 1));
    assert_eq!(document.content, r#"{"a":{"x":true},"b":1}"#);
    client.set(set(replace("/production", r#"{"a":{"x":null,"y":2}}"#))).await.expect("set");
    assert_eq!(content(&mut client, get("/production/checkout")).await, r#"{"a":{"y":2},"b":1}"#);

    let directory = server.stop().await;
    let server = TestServer::start_in(directory, |_| {}).await;
    let mut client = server.client().await;
    assert_eq!(content(&mut client, get("/production")).await, r#"{"a":{"y":2},"b":1}"#);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":{"x":true},"b":1}"#);
}

#[tokio::test]
async fn a_stale_expected_version_is_told_the_current_one() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let first = |expected| set(Change { expected_version: Some(expected), ..replace("/", "{}") });
    client.set(first(0)).await.expect("it did not exist");
    let status = refused(client.set(first(0)).await, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(told(&status).2["current_version"], "1");
}
