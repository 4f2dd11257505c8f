//! Bundles: all documents of a namespace for a scope, over HTTP and by BatchGet.

use confwatch::proto::v1::*;
use http::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;

use super::auth::{Guarded, admin_token};
use super::http::{Answer, request, send, send_by_http2};
use super::support::*;

const BUNDLE: &str = "/v1/bundles/test";

async fn bundle(server: &TestServer, query: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("{BUNDLE}{query}");
    let of = headers
        .iter()
        .fold(request(server, Method::GET, &path), |request, (name, value)| request.header(*name, *value));
    send(server, of, "").await
}

async fn put_in(client: &mut Client, config: &str, scope: &str, content: &str) {
    let change = Change { config: config.into(), ..replace(scope, content) };
    client.set(set(change)).await.expect("set");
}

/// `a` at the top and in production, `b` in staging alone, `c` in production, `d` deleted; and what governs them.
async fn filled(client: &mut Client) {
    put_in(client, "a", "/", r#"{"x":1,"y":[1,2]}"#).await;
    put_in(client, "a", "/production", r#"{"x":2}"#).await;
    put_in(client, "b", "/staging", r#"{"b":true}"#).await;
    put_in(client, "c", "/production", r#"{"c":18446744073709551615}"#).await;
    put_in(client, "d", "/", "{}").await;
    put_in(client, "namespace:settings", "/", "{}").await;
    client.delete(DeleteRequest { config: "d".into(), ..delete(None) }).await.expect("deleted");
    put_in(client, "other", "/", r#"{"o":1}"#).await;
    client.delete(DeleteRequest { config: "other".into(), ..delete(None) }).await.expect("deleted");
    let elsewhere = Change { namespace: "test-2".into(), ..replace("/", "{}") };
    client.set(set(elsewhere)).await.expect("set");
}

#[tokio::test]
async fn a_bundle_has_every_document_of_a_scope() {
    let server = TestServer::start().await;
    filled(&mut server.client().await).await;
    let production = r#"{"a":{"x":2,"y":[1,2]},"c":{"c":18446744073709551615}}"#;
    for (query, headers, expected) in [
        ("?scope=/production", &[][..], production),
        ("", &[("confwatch-scope", "/production")], production),
        ("?scope=%2Fproduction", &[("confwatch-scope", "/production")], production),
        ("", &[], r#"{"a":{"x":1,"y":[1,2]}}"#),
        ("?scope=/staging&view=layer", &[], r#"{"b":{"b":true}}"#),
        ("?scope=/production&min_revision=1", &[], production),
    ] {
        let answer = bundle(&server, query, headers).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, expected), "{query}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.check_headers();
    }
    let empty = send(&server, request(&server, Method::GET, "/v1/bundles/nothing"), "").await;
    assert_eq!((empty.status, empty.text()), (StatusCode::OK, "{}"), "as a list of it is empty");

    let lines = bundle(&server, "?scope=/production", &[("accept", "application/x-ndjson")]).await;
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<serde_json::Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!((&lines[0]["config"], &lines[0]["document"]), (&json!("a"), &json!({"x": 2, "y": [1, 2]})));
    assert_eq!((&lines[1]["config"], &lines[1]["version"]), (&json!("c"), &json!(1)));
    assert!(lines[1]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));

    for (query, headers, status) in [
        ("?scope=production", &[][..], 400),
        ("?scope=/a&scope=/b", &[], 400),
        ("?scope=/a", &[("confwatch-scope", "/b")], 400),
        ("?version=1", &[], 400),
        ("?view=none", &[], 400),
        ("?view=base&apply_defaults=true", &[], 400),
        ("", &[("accept", "application/yaml")], 406),
        ("", &[("idempotency-key", "x")], 400),
    ] {
        assert_eq!(bundle(&server, query, headers).await.status, status, "{query} {headers:?}");
    }
    let posted = send(&server, request(&server, Method::POST, BUNDLE), "").await;
    posted.problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(posted.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn a_bundle_that_the_client_has_is_not_sent_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    filled(&mut client).await;
    let lines = ("accept", "application/x-ndjson");
    let query = "?scope=/production";
    let first = bundle(&server, query, &[]).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    let of_lines = bundle(&server, query, &[lines]).await.header("etag").expect("a tag").to_owned();
    assert_ne!(tag, of_lines, "another text has another tag");
    for held in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let answer = bundle(&server, query, &[("if-none-match", &held)]).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0), "{held}");
    }
    for held in [of_lines.as_str(), "\"other\"", "\"sha256:ab-json\"", "\"v1\""] {
        assert_eq!(bundle(&server, query, &[("if-none-match", held)]).await.status, StatusCode::OK, "{held}");
    }
    assert_eq!(bundle(&server, query, &[("if-match", &tag)]).await.status, StatusCode::OK);
    bundle(&server, query, &[("if-match", &of_lines)]).await.problem(412, "PRECONDITION_FAILED");
    let head = request(&server, Method::HEAD, &format!("{BUNDLE}{query}"));
    let head = send_by_http2(&server, head, "").await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (StatusCode::OK, 0, Some(tag.as_str())));

    // What does not concern the scope changes nothing, what concerns it does, and what is undone is as it was.
    put_in(&mut client, "b", "/staging", r#"{"b":false}"#).await;
    let held = [("if-none-match", tag.as_str())];
    assert_eq!(bundle(&server, query, &held).await.status, StatusCode::NOT_MODIFIED);
    put_in(&mut client, "e", "/production", "{}").await;
    assert_eq!(bundle(&server, query, &held).await.status, StatusCode::OK);
    client.delete(DeleteRequest { config: "e".into(), ..delete(None) }).await.expect("deleted");
    assert_eq!(bundle(&server, query, &held).await.status, StatusCode::NOT_MODIFIED);
    put_in(&mut client, "a", "/", r#"{"x":1,"y":[1,2],"z":0}"#).await;
    assert_eq!(bundle(&server, query, &held).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_batch_names_all_configs_of_a_namespace() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    filled(&mut client).await;
    let every = |scope: &str| GetRequest { config: "*".into(), ..get(scope) };
    let missing = GetRequest { config: "nothing".into(), ..get("/") };
    let batch = |requests: Vec<GetRequest>| BatchGetRequest { requests, ..Default::default() };
    let requests = vec![every("/production"), missing, every("/")];
    let got = client.batch_get(batch(requests.clone())).await.expect("got").into_inner();
    let names: Vec<String> = got
        .results
        .iter()
        .map(|result| match &result.document {
            Some(document) => format!("{}@{}", document.config, document.scope),
            None => result.error_reason.clone(),
        })
        .collect();
    assert_eq!(names, ["a@/production", "c@/production", "CONFIG_NOT_FOUND", "a@/"]);
    assert!(!got.not_modified && got.digest.starts_with("sha256:"));
    let held = BatchGetRequest { requests, if_none_match: got.digest.clone() };
    let again = client.batch_get(held.clone()).await.expect("got").into_inner();
    assert_eq!((again.results.len(), again.not_modified, again.digest), (0, true, got.digest));
    put_in(&mut client, "a", "/production", r#"{"x":3}"#).await;
    let changed = client.batch_get(held).await.expect("got").into_inner();
    assert_eq!((changed.results.len(), changed.not_modified), (4, false));

    for (wrong, reason, field) in [
        (GetRequest { pointer: "/x".into(), ..every("/") }, "INVALID_POINTER", "requests[0].pointer"),
        (
            GetRequest { at: Some(get_request::At::Version(1)), ..every("/") },
            "INVALID_FIELD",
            "requests[0].at",
        ),
        (
            GetRequest { if_none_match: "x".into(), ..every("/") },
            "INVALID_FIELD",
            "requests[0].if_none_match",
        ),
    ] {
        refused_for(client.batch_get(batch(vec![wrong])).await, reason, field);
    }
    let wrong = BatchGetRequest { if_none_match: "x".into(), ..batch(vec![every("/")]) };
    refused_for(client.batch_get(wrong).await, "INVALID_FIELD", "if_none_match");
}

#[tokio::test]
async fn a_bundle_is_bounded_as_a_batch_is() {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        settings.limits.targets_max = 3;
    })
    .await;
    let mut client = server.client().await;
    for config in ["a", "b", "c"] {
        put_in(&mut client, config, "/", r#"{"x":1}"#).await;
    }
    assert_eq!(bundle(&server, "", &[]).await.json().as_object().map(|all| all.len()), Some(3));
    put_in(&mut client, "d", "/", r#"{"x":1}"#).await;
    let many = bundle(&server, "", &[]).await.problem(400, "MESSAGE_TOO_LARGE");
    assert_eq!(many["metadata"]["limit"], "3");
    for config in ["a", "b"] {
        client.delete(DeleteRequest { config: config.into(), ..delete(None) }).await.expect("deleted");
    }
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(900 << 10));
    for scope in ["/", "/p", "/p/q"] {
        put_in(&mut client, "c", scope, &large).await;
        put_in(&mut client, "d", scope, &large).await;
    }
    assert_eq!(bundle(&server, "", &[]).await.status, StatusCode::OK);
    let every = |scope: &str| GetRequest { config: "*".into(), ..get(scope) };
    let batch =
        BatchGetRequest { requests: vec![every("/"), every("/p"), every("/p/q")], ..Default::default() };
    refused(client.batch_get(batch).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn a_bundle_has_what_its_caller_may_read_and_tells_nothing_of_the_rest() {
    let guarded = Guarded::start().await;
    let server = &guarded.server;
    let policy = r#"{"bindings": [
        {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
        {"subjects": ["token:some"], "role": "viewer", "namespace": "test", "config": "a*", "scope": "/"},
        {"subjects": ["token:some"], "role": "viewer", "namespace": "test", "config": "c", "scope": "/production"},
        {"subjects": ["token:none"], "role": "viewer", "namespace": "other", "config": "*", "scope": "/"}
    ]}"#;
    guarded.set_policy(policy).await.expect("a policy");
    let mut client = guarded.admin.api();
    let secret = r#"{"x":1,"token":{"$secret":"hunter2"}}"#;
    for (config, scope, content) in [
        ("a", "/", secret),
        ("b", "/", r#"{"x":2}"#),
        ("c", "/", r#"{"x":3}"#),
        ("c", "/production", r#"{"x":4}"#),
    ] {
        let change = Change { config: config.into(), ..replace(scope, content) };
        client.set(set(change)).await.expect("set");
    }
    let (some, none) = (guarded.token("some").await.0, guarded.token("none").await.0);
    let admin = admin_token(&server.directory);
    let read = async |token: &str, query: &str, held: &str| {
        let request = http::Request::get(format!("{BUNDLE}{query}")).header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = if held.is_empty() { request } else { request.header("if-none-match", held) };
        send(server, request, "").await
    };
    let names = |answer: &Answer| -> Vec<String> {
        answer.ok().as_object().expect("an object").keys().cloned().collect()
    };
    let top = read(&some, "", "").await;
    assert_eq!(names(&top), ["a"]);
    assert!(!top.text().contains("hunter2"));
    assert_eq!(top.header("confwatch-hidden-secrets"), Some("1"));
    assert_eq!(names(&read(&some, "?scope=/production", "").await), ["a", "c"]);
    read(&none, "", "").await.problem(403, "PERMISSION_DENIED");
    let denied = http::Request::get(BUNDLE).header("host", "localhost");
    send(server, denied, "").await.problem(401, "NO_CREDENTIAL");

    // What the caller may not read changes neither the content nor the tag.
    let tag = top.header("etag").expect("a tag").to_owned();
    let hidden = Change { config: "b".into(), ..replace("/", r#"{"x":5}"#) };
    client.set(set(hidden)).await.expect("set");
    assert_eq!(read(&some, "", &tag).await.status, StatusCode::NOT_MODIFIED);

    // Who is shown a secret is on record, and not who has it.
    let reveals = || server.running.audit_counts().reveals.load(std::sync::atomic::Ordering::Relaxed);
    let before = reveals();
    let shown = read(&admin, "", "").await;
    assert!(shown.text().contains("hunter2"));
    assert_eq!((names(&shown), reveals() - before), (vec!["a".into(), "b".into(), "c".into()], 1));
    let held = shown.header("etag").expect("a tag");
    assert_ne!(held, tag);
    assert_eq!(read(&admin, "", held).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(reveals() - before, 1);
    assert_eq!(
        read(&some, "", held).await.status,
        StatusCode::OK,
        "the client may not see the secret any more"
    );
}
