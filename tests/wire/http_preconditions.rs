//! Preconditions of writes over HTTP, namespaces that require them, and the deletion of a config as a whole.

use confwatch::proto::v1::*;
use http::{Method, StatusCode};
use serde_json::json;
use tonic::Code;

use super::http::{Answer, request, send};
use super::support::*;

const APP: &str = "/v1/namespaces/test/configs/app";

async fn sent(
    server: &TestServer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    content: &str,
) -> Answer {
    let request = headers
        .iter()
        .fold(request(server, method, path), |request, (name, value)| request.header(*name, *value));
    send(server, request, content).await
}

/// A write of the layer by each of the methods.
async fn written(server: &TestServer, method: Method, layer: &str, condition: &[(&str, &str)]) -> Answer {
    let path = format!("{APP}/layers/{layer}");
    let content_type = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let (headers, content) = match method {
        Method::DELETE => (condition.to_vec(), ""),
        _ => ([&[("content-type", content_type)], condition].concat(), r#"{"a":9}"#),
    };
    sent(server, method, &path, &headers, content).await
}

const WRITES: [Method; 3] = [Method::PUT, Method::PATCH, Method::DELETE];

#[tokio::test]
async fn a_star_means_that_there_is_something_or_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/other", r#"{"a":1}"#).await;
    for method in WRITES {
        let absent = written(&server, method.clone(), "nothing", &[("if-match", "*")]).await;
        let problem = absent.problem(412, "VERSION_MISMATCH");
        assert_eq!(problem["metadata"]["current_version"], "0", "{method}");
        let present = written(&server, method.clone(), "", &[("if-none-match", "*")]).await;
        present.problem(412, "VERSION_MISMATCH");
        let other_tag = written(&server, method.clone(), "", &[("if-match", "\"sha256:ab-json\"")]).await;
        other_tag.problem(400, "INVALID_FIELD");
        let weak = written(&server, method.clone(), "", &[("if-match", "W/\"v1\"")]).await;
        weak.problem(412, "PRECONDITION_FAILED");
        let both = [("if-match", "\"v1\""), ("if-none-match", "*")];
        written(&server, method, "", &both).await.problem(400, "INVALID_FIELD");
    }
    assert_eq!(history(&mut client).await.len(), 2, "nothing was written");
    assert_eq!(written(&server, Method::PUT, "", &[("if-match", "*")]).await.status, StatusCode::OK);
    assert_eq!(written(&server, Method::PATCH, "", &[("if-match", "*")]).await.status, StatusCode::OK);
    let made = written(&server, Method::PATCH, "new", &[("if-none-match", "*")]).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let deleted = written(&server, Method::DELETE, "new", &[("if-match", "*")]).await;
    assert_eq!(deleted.ok()["changed"], true);
    written(&server, Method::DELETE, "new", &[("if-match", "*")]).await.problem(412, "VERSION_MISMATCH");
    // An absent layer is 404 for a read, whatever the condition.
    for condition in [("if-match", "*"), ("if-none-match", "*")] {
        let path = format!("{APP}/layers/new");
        sent(&server, Method::GET, &path, &[condition], "").await.problem(404, "CONFIG_NOT_FOUND");
    }
}

#[tokio::test]
async fn must_exist_is_a_condition_of_every_write_by_grpc() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let must = |change: Change| Change { must_exist: true, ..change };
    let absent = client.set(set(must(replace("/", "{}")))).await;
    let status = refused(absent, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(told(&status).2["current_version"], "0");
    put(&mut client, "/", r#"{"a":1}"#).await;
    client.set(set(must(replace("/", r#"{"a":2}"#)))).await.expect("it exists");
    let apply = |changes| ApplyRequest { changes, options: None };
    let one_absent = client.apply(apply(vec![must(replace("/", "{}")), must(replace("/x", "{}"))])).await;
    refused(one_absent, Code::Aborted, "VERSION_MISMATCH");
    let both = Change { expected_version: Some(1), ..must(replace("/", "{}")) };
    let status = refused(client.set(set(both)).await, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(fields(&status), ["change.must_exist"]);
    let delete_at = |scope| DeleteRequest { must_exist: true, ..delete(scope) };
    refused(client.delete(delete_at(Some("/x"))).await, Code::Aborted, "VERSION_MISMATCH");
    client.delete(delete_at(None)).await.expect("it exists");
    refused(client.delete(delete_at(None)).await, Code::Aborted, "VERSION_MISMATCH");
}

/// A server on which changes in the namespace `test` must say which version they expect.
async fn requiring() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    require(&mut client, true).await;
    (server, client)
}

async fn require(client: &mut Client, match_: bool) {
    let settings = json!({ "require_match": match_ }).to_string();
    let change = Change { config: "namespace:settings".into(), ..replace("/", &settings) };
    client.set(set(change)).await.expect("settings");
}

#[tokio::test]
async fn a_namespace_can_require_that_a_change_says_which_version_it_expects() {
    let (server, mut client) = requiring().await;
    for method in WRITES {
        let problem = written(&server, method, "", &[]).await.problem(428, "MATCH_REQUIRED");
        assert_eq!(problem["metadata"]["namespace"], "test");
    }
    let reason = "MATCH_REQUIRED";
    refused(client.set(set(replace("/", "{}"))).await, Code::FailedPrecondition, reason);
    refused(client.delete(delete(None)).await, Code::FailedPrecondition, reason);
    let back = rollback(rollback_request::To::Version(1));
    refused(client.rollback(back.clone()).await, Code::FailedPrecondition, reason);
    let elsewhere = || Change { namespace: "other".into(), ..replace("/", r#"{"a":1}"#) };
    let with_match = Change { expected_version: Some(1), ..replace("/", r#"{"a":2}"#) };
    let one_without = ApplyRequest { changes: vec![elsewhere(), replace("/x", "{}")], options: None };
    refused(client.apply(one_without).await, Code::FailedPrecondition, reason);
    // Nobody requires it elsewhere.
    let both = ApplyRequest { changes: vec![elsewhere(), with_match], options: None };
    client.apply(both).await.expect("applied");
    // A dry run finds out which version there is.
    let tried = Some(WriteOptions { validate_only: true, ..Default::default() });
    client.set(SetRequest { options: tried, ..set(replace("/", "{}")) }).await.expect("nothing is written");
    client.rollback(RollbackRequest { expected_version: Some(2), ..back }).await.expect("rolled back");
    for condition in [("if-match", "\"v3\""), ("if-match", "*")] {
        let answer = written(&server, Method::PUT, "", &[condition]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let answer = written(&server, Method::PUT, "new", &[("if-none-match", "*")]).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    // What requires it can be taken back without.
    require(&mut client, false).await;
    put(&mut client, "/", r#"{"a":6}"#).await;
}

#[tokio::test]
async fn the_settings_say_it_with_true_or_false_and_for_a_whole_namespace() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (config, content) in
        [("namespace:settings", r#"{"require_match": 1}"#), ("settings:app", r#"{"require_match": true}"#)]
    {
        let wrong = Change { config: config.into(), ..replace("/", content) };
        refused(client.set(set(wrong)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    }
}

#[tokio::test]
async fn a_config_as_a_whole_is_deleted_by_who_says_which_version() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    let delete = async |query: &str, headers: &[(&str, &str)]| {
        sent(&server, Method::DELETE, &format!("{APP}{query}"), headers, "").await
    };
    let unconfirmed = delete("", &[]).await.problem(428, "MATCH_REQUIRED");
    assert!(unconfirmed["detail"].as_str().is_some_and(|text| text.contains("validate_only=true")));
    let tried = delete("?validate_only=true", &[]).await.ok();
    assert_eq!((&tried["changed"], tried["deleted"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    assert_eq!(tried["reach"]["configs"], 1, "{tried}");
    delete("", &[("if-match", "\"v1\"")]).await.problem(412, "VERSION_MISMATCH");
    delete("", &[("if-match", "\"sha256:ab-json\"")]).await.problem(400, "INVALID_FIELD");
    delete("", &[("if-match", "W/\"v2\"")]).await.problem(412, "PRECONDITION_FAILED");
    delete("", &[("if-none-match", "*")]).await.problem(400, "INVALID_FIELD");
    delete("?scope=/", &[("if-match", "*")]).await.problem(400, "INVALID_FIELD");
    delete("?kind=base", &[("if-match", "*")]).await.problem(400, "INVALID_FIELD");
    let with_content = sent(&server, Method::DELETE, APP, &[("if-match", "*")], "{}").await;
    with_content.problem(400, "INVALID_FIELD");
    assert_eq!(content(&mut client, get("/production")).await, r#"{"a":2}"#);

    let version = sent(&server, Method::GET, APP, &[], "").await;
    let tag = format!("\"v{}\"", version.header("confwatch-version").expect("a version"));
    let headers = [("if-match", tag.as_str()), ("idempotency-key", "once")];
    for _ in 0..2 {
        let deleted = delete("?reason=retired", &headers).await;
        assert_eq!(deleted.header("confwatch-version"), Some("3"));
        assert_eq!(deleted.ok()["changed"], true);
    }
    let newest = history(&mut client).await;
    assert_eq!(newest[0].commit.as_ref().expect("a commit").reason, "retired");
    delete("", &[("if-match", "*")]).await.problem(412, "VERSION_MISMATCH");
    let unknown =
        sent(&server, Method::DELETE, "/v1/namespaces/test/configs/nothing", &[("if-match", "*")], "");
    unknown.await.problem(404, "CONFIG_NOT_FOUND");
    put(&mut client, "/", r#"{"a":4}"#).await;
    assert_eq!(delete("", &[("if-match", "*")]).await.ok()["changed"], true);
}
