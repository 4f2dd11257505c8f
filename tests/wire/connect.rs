//! The Connect protocol for calls with one response, as <https://connectrpc.com/docs/protocol> has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use confwatch::proto::v1::*;
use http::{Method, StatusCode};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic_types::pb;

use super::auth::Guarded;
use super::http::{Answer, call, request, send, send_by_http2};
use super::support::*;

const GET: &str = "ConfigService/Get";
const GET_APP: &str = r#"{"namespace":"test","config":"app"}"#;
const GET_NOTHING: &str = r#"{"namespace":"test","config":"nothing"}"#;

fn connect(server: &TestServer, name: &str) -> http::request::Builder {
    call(server, name).header("connect-protocol-version", "1")
}

/// An error in the form of the protocol: its details, by their types.
#[track_caller]
fn error(answer: &Answer, status: u16, code: &str) -> Vec<(String, Vec<u8>, Value)> {
    let error = answer.json();
    assert_eq!((answer.status.as_u16(), error["code"].as_str()), (status, Some(code)), "{error}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.check_headers();
    let mut members: Vec<&String> = error.as_object().expect("an object").keys().collect();
    members.sort();
    assert_eq!(members, ["code", "details", "message"]);
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    let details = error["details"].as_array().expect("a list").iter().map(|detail| {
        let text = |name: &str| detail[name].as_str().expect("a text").to_owned();
        let value = STANDARD_NO_PAD.decode(text("value")).expect("base64 without padding");
        (text("type"), value, detail["debug"].clone())
    });
    details.collect()
}

#[track_caller]
fn reason(details: &[(String, Vec<u8>, Value)]) -> String {
    let (name, value, debug) = &details[0];
    assert_eq!(name, "google.rpc.ErrorInfo", "a full name, without the host of a type URL");
    let info = pb::ErrorInfo::decode(&**value).expect("the message of that name");
    assert_eq!((info.domain.as_str(), &debug["reason"]), ("confwatch", &json!(info.reason)));
    info.reason
}

#[tokio::test]
async fn a_call_and_its_error_have_the_form_of_the_protocol() {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    for by_http2 in [false, true] {
        let ask = async |request: http::request::Builder, content: &str| match by_http2 {
            true => send_by_http2(&server, request, content).await,
            false => send(&server, request, content).await,
        };
        let got = ask(connect(&server, GET), GET_APP).await;
        assert_eq!(got.ok()["document"]["content"], r#"{"a":1}"#);
        assert_eq!(got.header("content-type"), Some("application/json"));
        let not_found = ask(connect(&server, GET).header("x-request-id", "call-7"), GET_NOTHING).await;
        assert_eq!(reason(&error(&not_found, 404, "not_found")), "CONFIG_NOT_FOUND");
        assert_eq!(not_found.header("x-request-id"), Some("call-7"));
        assert_eq!(not_found.header("confwatch-epoch").map(str::len), Some(16));
        // Who does not say so has the errors of all others.
        ask(call(&server, GET), GET_NOTHING).await.problem(404, "CONFIG_NOT_FOUND");
    }
    let malformed = send(&server, connect(&server, GET), "{\"config\": 7}").await;
    assert_eq!(reason(&error(&malformed, 400, "invalid_argument")), "MALFORMED_REQUEST");
    let wrong = send(&server, connect(&server, GET), r#"{"namespace":"Test","config":"app"}"#).await;
    let details = error(&wrong, 400, "invalid_argument");
    assert_eq!((details[1].0.as_str(), reason(&details).as_str()), ("google.rpc.BadRequest", "INVALID_NAME"));
    let bad = pb::BadRequest::decode(&*details[1].1).expect("the message of that name");
    assert_eq!(bad.field_violations[0].field, "namespace");

    let late = connect(&server, GET).header("connect-timeout-ms", "0");
    error(&send(&server, late, GET_APP).await, 504, "deadline_exceeded");
    let unknown = connect(&server, "ConfigService/Got");
    assert_eq!(reason(&error(&send(&server, unknown, "{}").await, 501, "unimplemented")), "UNKNOWN_METHOD");
    let other = call(&server, GET).header("connect-protocol-version", "2");
    error(&send(&server, other, GET_APP).await, 400, "invalid_argument");
    let by_get = request(&server, Method::GET, "/confwatch.v1.ConfigService/Get");
    let by_get = send(&server, by_get.header("connect-protocol-version", "1"), "").await;
    error(&by_get, 405, "unimplemented");
    assert_eq!(by_get.header("allow"), Some("POST"));
    let text = request(&server, Method::POST, "/confwatch.v1.ConfigService/Get");
    let text = text.header("connect-protocol-version", "1").header("content-type", "text/plain");
    error(&send(&server, text, GET_APP).await, 415, "invalid_argument");
    let packed = connect(&server, GET).header("content-encoding", "br");
    let packed = send(&server, packed, GET_APP).await;
    error(&packed, 415, "unimplemented");
    assert_eq!(packed.header("accept-encoding"), Some("gzip"));

    let stale = json!({"change": {"namespace": "test", "config": "app", "replace": {"content": "{}"}, "expected_version": 9}});
    let stale = send(&server, connect(&server, "ConfigService/Set"), stale.to_string()).await;
    assert_eq!(reason(&error(&stale, 409, "aborted")), "VERSION_MISMATCH");
}

#[tokio::test]
async fn findings_are_a_detail_that_people_can_read() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let rules = r#"{"rules": {"small": {"expression": "config.a < 5", "message": "a is small"}}}"#;
    let change = Change { config: "rules:app".into(), ..replace("/", rules) };
    client.set(set(change)).await.expect("rules");
    let large =
        json!({"change": {"namespace": "test", "config": "app", "replace": {"content": "{\"a\":9}"}}});
    let refused = send(&server, connect(&server, "ConfigService/Set"), large.to_string()).await;
    let details = error(&refused, 400, "failed_precondition");
    assert_eq!(reason(&details), "VALIDATION_FAILED");
    let (name, value, debug) = &details[1];
    assert_eq!(name, "confwatch.v1.ValidationReport");
    let report = ValidationReport::decode(&**value).expect("the message of that name");
    assert_eq!(debug["findings"][0]["message"], json!(report.findings[0].message));
}

#[tokio::test]
async fn messages_may_be_those_of_protobuf() {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        settings.limits.request_bytes_max = 64 << 10;
    })
    .await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let ask = async |name: &str, headers: &[(&str, &str)], message: Vec<u8>| {
        let url = format!("http://{}/confwatch.v1.{name}", server.running.address());
        let mut request = client.post(url).header("content-type", "application/proto").body(message);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(bearer) = server.bearer.header() {
            request = request.header("authorization", bearer);
        }
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("a body").into() }
    };
    let version = [("connect-protocol-version", "1")];
    let got = ask(GET, &version, get("/").encode_to_vec()).await;
    assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, Some("application/proto")));
    got.check_headers();
    let message = GetResponse::decode(&*got.body).expect("the message");
    assert_eq!(message.document.expect("a document").content, r#"{"a":1}"#);
    let empty = ask("StatusService/Get", &[], vec![]).await;
    assert_eq!(empty.status, StatusCode::OK, "a message that sets nothing has no bytes");

    // Errors are JSON, also for a client that does not name the version.
    let absent = GetRequest { config: "nothing".into(), ..get("/") }.encode_to_vec();
    for headers in [&version[..], &[]] {
        assert_eq!(
            reason(&error(&ask(GET, headers, absent.clone()).await, 404, "not_found")),
            "CONFIG_NOT_FOUND"
        );
    }
    error(&ask(GET, &version, vec![0xff; 9]).await, 400, "invalid_argument");
    let large = GetRequest { pointer: "x".repeat(64 << 10), ..get("/") };
    error(&ask(GET, &version, large.encode_to_vec()).await, 429, "resource_exhausted");
    error(&ask(GET, &[("idempotency-key", "x")], vec![]).await, 400, "invalid_argument");
    // Streams have no form of Connect, and documents are no messages.
    error(&ask("ConfigService/Watch", &version, vec![8; 4]).await, 415, "invalid_argument");
}

#[tokio::test]
async fn who_has_no_credential_or_no_permission_is_told_in_the_same_form() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let ask = async |token: Option<&str>, name: &str, content: &str| {
        let request = http::Request::post(format!("/confwatch.v1.{name}")).header("host", "localhost");
        let request = request.header("content-type", "application/json");
        let request = request.header("connect-protocol-version", "1");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        send(server, request, content).await
    };
    let nobody = ask(None, GET, GET_APP).await;
    assert_eq!(reason(&error(&nobody, 401, "unauthenticated")), "NO_CREDENTIAL");
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"confwatch\""));
    let (audit, _) = guarded.token("audit").await;
    let denied = ask(Some(&audit), GET, GET_APP).await;
    assert_eq!(reason(&error(&denied, 403, "permission_denied")), "PERMISSION_DENIED");
    // Before a call has a context, too.
    let large = http::Request::post("/confwatch.v1.ConfigService/Get").header("host", "localhost");
    let large = large.header("connect-protocol-version", "1").header("x-large", "x".repeat(20 << 10));
    error(&send(server, large, "").await, 429, "resource_exhausted");
}
