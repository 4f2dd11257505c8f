//! Documents and layers as such, over HTTP: formats, entity tags, conditions, headers, and what of a path and a query is refused.

use confwatch::proto::v1::*;
use http::{Method, StatusCode};

use super::auth::{Guarded, admin_token};
use super::http::{Answer, request, send, send_by_http2};
use super::support::*;

const APP: &str = "/v1/namespaces/test/configs/app";

/// A layer of `test/app`. The scope is without its first `/`.
fn layer(scope: &str) -> String {
    format!("{APP}/layers/{scope}")
}

async fn get(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Answer {
    with_content(server, Method::GET, path, headers, "").await
}

async fn with_content(
    server: &TestServer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    content: &str,
) -> Answer {
    let request = headers
        .iter()
        .fold(request(server, method, path), |request, (name, value)| request.header(*name, *value));
    let answer = send(server, request, content).await;
    answer.check_headers();
    answer
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_document_is_the_content_of_a_response() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"list":[1,2],"max":18446744073709551615}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;

    let answer = get(&server, APP, &[]).await;
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, r#"{"a":1,"list":[1,2],"max":18446744073709551615}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    for (headers, expected) in [
        (&[("accept", "application/yaml")][..], "a: 1\nlist:\n- 1\n- 2\nmax: 18446744073709551615\n"),
        (
            &[("accept", "text/html, text/yaml;q=0.9, */*;q=0.1")],
            "a: 1\nlist:\n- 1\n- 2\nmax: 18446744073709551615\n",
        ),
    ] {
        let answer = get(&server, APP, headers).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, expected));
        assert!(answer.header("content-type").is_some_and(|kind| kind.ends_with("yaml")), "{answer:?}");
    }
    // TOML has no such integer.
    get(&server, APP, &[("accept", "application/toml")]).await.problem(400, "FORMAT_CANNOT_EXPRESS");
    let list = get(&server, &format!("{APP}?pointer=/list"), &[]).await;
    assert_eq!(list.text(), "[1,2]");
    get(&server, APP, &[("accept", "image/png")]).await.problem(406, "NOT_ACCEPTABLE");

    // A gateway gives the scope in a header.
    for (path, headers) in [
        (format!("{APP}?scope=/production/checkout"), &[][..]),
        (format!("{APP}?scope=%2Fproduction%2fcheckout"), &[]),
        (APP.to_owned(), &[("confwatch-scope", "/production/checkout")]),
        (format!("{APP}?scope=/production/checkout"), &[("confwatch-scope", "/production/checkout")]),
    ] {
        let answer = get(&server, &path, headers).await;
        assert_eq!(answer.text(), r#"{"a":2,"list":[1,2],"max":18446744073709551615}"#, "{path}");
        assert_eq!(answer.header("confwatch-scope"), Some("/production/checkout"));
    }
    let both = get(&server, &format!("{APP}?scope=/"), &[("confwatch-scope", "/production")]).await;
    both.problem(400, "INVALID_FIELD");

    let answer = get(&server, APP, &[]).await;
    let document =
        client.get(super::support::get("/")).await.expect("got").into_inner().document.expect("one");
    assert_eq!(answer.header("confwatch-digest"), Some(document.digest.as_str()));
    assert_eq!(answer.header("confwatch-version"), Some("2"));
    let revision = document.revision.to_string();
    assert_eq!(answer.header("confwatch-revision"), Some(revision.as_str()));
    assert_eq!(answer.header("confwatch-store-revision"), Some(revision.as_str()));
    assert_eq!(
        get(&server, &format!("{APP}?version=1&scope=/production"), &[]).await.text(),
        document.content
    );

    let head = send(&server, request(&server, Method::HEAD, APP), "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), Some(document.content.len().to_string().as_str()));
    let head = send_by_http2(&server, request(&server, Method::HEAD, APP), "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    let by_http2 = send_by_http2(&server, request(&server, Method::GET, APP), "").await;
    assert_eq!(by_http2.text(), document.content);
}

#[tokio::test]
async fn a_document_that_the_client_has_is_not_sent_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let answer = get(&server, APP, &[]).await;
    let tag = answer.header("etag").expect("a tag").to_owned();
    let yaml = get(&server, APP, &[("accept", "application/yaml")]).await;
    let of_yaml = yaml.header("etag").expect("a tag").to_owned();
    assert_ne!(tag, of_yaml, "another text has another tag");
    for tags in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let answer = get(&server, APP, &[("if-none-match", &tags)]).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0), "{tags}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.header("confwatch-version"), Some("1"));
    }
    let other = get(&server, APP, &[("if-none-match", &of_yaml)]).await;
    assert_eq!(other.text(), r#"{"a":1}"#, "the client has YAML, and wants JSON");
    get(&server, APP, &[("if-match", "\"other\"")]).await.problem(412, "PRECONDITION_FAILED");
    assert_eq!(get(&server, APP, &[("if-match", &tag)]).await.status, StatusCode::OK);
    get(&server, APP, &[("if-none-match", "v1")]).await.problem(400, "INVALID_FIELD");

    // Another scope changes nothing here.
    put(&mut client, "/staging", r#"{"a":2}"#).await;
    assert_eq!(get(&server, APP, &[("if-none-match", &tag)]).await.status, StatusCode::NOT_MODIFIED);
    put(&mut client, "/", r#"{"a":3}"#).await;
    let changed = get(&server, APP, &[("if-none-match", &tag)]).await;
    assert_eq!((changed.status, changed.text()), (StatusCode::OK, r#"{"a":3}"#));
}

#[tokio::test]
async fn a_layer_is_written_in_any_format_under_conditions() {
    let server = TestServer::start().await;
    let production = layer("production");
    let put_layer = |headers: &'static [(&str, &str)], content: &'static str| {
        let (server, path) = (&server, production.clone());
        async move { with_content(server, Method::PUT, &path, headers, content).await }
    };
    let made = put_layer(&[JSON, ("if-none-match", "*")], r#"{"a":1}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!((made.header("etag"), made.header("confwatch-version")), (Some("\"v1\""), Some("1")));
    assert_eq!(made.json()["changed"], true);
    put_layer(&[JSON, ("if-none-match", "*")], r#"{"a":2}"#).await.problem(412, "VERSION_MISMATCH");
    let yaml = ("content-type", "application/yaml");
    let changed =
        put_layer(&[("content-type", "application/yaml"), ("if-match", "\"v1\"")], "a: 2\nb: {c: true}\n")
            .await;
    assert_eq!(
        (changed.status, changed.header("etag")),
        (StatusCode::OK, Some("\"v2\"")),
        "{}",
        changed.text()
    );
    let stale = put_layer(&[JSON, ("if-match", "\"v1\"")], "{}").await.problem(412, "VERSION_MISMATCH");
    assert_eq!(stale["metadata"]["current_version"], "2");
    let toml = put_layer(&[("content-type", "application/toml")], "a = 3\n[b]\nc = true\n").await;
    assert_eq!(toml.status, StatusCode::OK, "{}", toml.text());

    let got = get(&server, &production, &[("accept", "application/toml")]).await;
    assert_eq!((got.text(), got.header("etag")), ("a = 3\n\n[b]\nc = true\n", Some("\"v3\"")));
    let held = get(&server, &production, &[("if-none-match", "\"v3\"")]).await;
    assert_eq!(held.status, StatusCode::NOT_MODIFIED);

    let merge = ("content-type", "application/merge-patch+json");
    let patched = with_content(&server, Method::PATCH, &production, &[merge], r#"{"b":null,"d":4}"#).await;
    assert_eq!(patched.ok()["document"]["content"], r#"{"a":3,"d":4}"#);
    let steps = ("content-type", "application/json-patch+json");
    let patch = r#"[{"op":"test","path":"/a","value":3},{"op":"remove","path":"/d"}]"#;
    let patched = with_content(&server, Method::PATCH, &production, &[steps], patch).await;
    assert_eq!(patched.ok()["document"]["content"], r#"{"a":3}"#);
    with_content(&server, Method::PATCH, &production, &[steps], patch)
        .await
        .problem(400, "PATCH_DOES_NOT_APPLY");

    for (method, headers) in
        [(Method::PUT, &[][..]), (Method::PUT, &[merge]), (Method::PATCH, &[JSON]), (Method::PATCH, &[yaml])]
    {
        let answer = with_content(&server, method, &production, headers, "{}").await;
        answer.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    put_layer(&[JSON], r#"{"a":1,"a":2}"#).await.problem(400, "DUPLICATE_KEY");
    put_layer(&[JSON, ("if-none-match", "\"v1\"")], "{}").await.problem(400, "INVALID_FIELD");
    let posted = with_content(&server, Method::POST, &production, &[JSON], "{}").await;
    posted.problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(posted.header("allow"), Some("DELETE, GET, HEAD, PATCH, PUT"));

    let deleted = with_content(&server, Method::DELETE, &production, &[("if-match", "\"v1\"")], "").await;
    deleted.problem(412, "VERSION_MISMATCH");
    let tag = get(&server, &production, &[]).await.header("etag").expect("a tag").to_owned();
    let deleted = with_content(&server, Method::DELETE, &production, &[("if-match", &tag)], "").await;
    assert_eq!(deleted.ok()["changed"], true);
    assert_eq!(get(&server, &production, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_override_is_written_with_its_time_to_live() {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    let path = format!("{}?kind=override&ttl=3600s&reason=incident", layer("production"));
    let set = with_content(&server, Method::PUT, &path, &[JSON], r#"{"a":9}"#).await;
    assert!(set.ok()["document"]["layers"][0]["expire_time"].is_string());
    assert_eq!(get(&server, &format!("{APP}?scope=/production"), &[]).await.text(), r#"{"a":9}"#);
    assert_eq!(get(&server, &format!("{APP}?scope=/production&view=base"), &[]).await.text(), r#"{"a":1}"#);
    let of_kind = get(&server, &format!("{}?kind=override", layer("production")), &[]).await;
    assert_eq!(of_kind.text(), r#"{"a":9}"#);
    assert_eq!(get(&server, &layer("production"), &[]).await.status, StatusCode::NOT_FOUND);
    let history = history(&mut server.client().await).await;
    assert_eq!(history[0].commit.as_ref().expect("a commit").reason, "incident");
    // Nothing is stored of it.
    let path = format!("{}?validate_only=true", layer(""));
    assert_eq!(with_content(&server, Method::PUT, &path, &[JSON], r#"{"a":5}"#).await.ok()["changed"], true);
    assert_eq!(get(&server, &layer(""), &[]).await.text(), r#"{"a":1}"#);
    let path = format!("{}?kind=override", layer("production"));
    assert_eq!(with_content(&server, Method::DELETE, &path, &[], "").await.ok()["changed"], true);
}

#[tokio::test]
async fn a_repeated_put_with_an_idempotency_key_is_made_once() {
    let server = TestServer::start().await;
    let headers = [JSON, ("idempotency-key", "put-1")];
    for _ in 0..2 {
        let put = with_content(&server, Method::PUT, &layer(""), &headers, r#"{"a":1}"#).await;
        assert_eq!(put.ok()["document"]["version"], 1);
    }
    let other = with_content(&server, Method::PUT, &layer(""), &headers, r#"{"a":2}"#).await;
    other.problem(409, "REQUEST_ID_REUSED");
    get(&server, APP, &[("idempotency-key", "x")]).await.problem(400, "INVALID_FIELD");
}

#[tokio::test]
async fn what_a_path_or_a_query_cannot_be_is_refused() {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    for (path, status) in [
        ("/v1/namespaces/test/configs/app?scpe=/", 400),
        ("/v1/namespaces/test/configs/app?scope=%zz", 400),
        ("/v1/namespaces/test/configs/app?scope=/a&scope=/b", 400),
        ("/v1/namespaces/test/configs/app?version=1&tag=x", 400),
        ("/v1/namespaces/test/configs/app?version=18446744073709551616", 400),
        ("/v1/namespaces/test/configs/app?format=yaml", 400),
        ("/v1/namespaces/test/configs/app?view=all", 400),
        ("/v1/namespaces/te%ffst/configs/app", 400),
        ("/v1/namespaces/te%2fst/configs/app", 400),
        ("/v1/namespaces/test/configs/%2e%2e", 400),
        ("/v1/namespaces/test/configs/..%2f..%2fetc", 400),
        ("/v1/namespaces/test/configs/app/layers/../../../x", 400),
        ("/v1/namespaces/test/configs/app/layers/%00", 400),
        ("/v1/namespaces/test/configs/app/layers/a//b", 400),
        ("/v1/namespaces//configs/app", 404),
        ("/v1/namespaces/test/configs/app/layers", 404),
        ("/v1/namespaces/test/configs/nothing", 404),
    ] {
        assert_eq!(get(&server, path, &[]).await.status.as_u16(), status, "{path}");
    }
    let bytes = with_content(&server, Method::GET, APP, &[], "content").await;
    bytes.problem(400, "INVALID_FIELD");
}

#[tokio::test]
async fn secrets_are_masked_or_revealed_on_record() {
    let guarded = Guarded::start().await;
    let server = &guarded.server;
    guarded
        .set_policy(
            r#"{"bindings": [
                {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
                {"subjects": ["token:viewer"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"}
            ]}"#,
        )
        .await
        .expect("a policy");
    let secret = r#"{"token":{"$secret":"open-sesame"},"a":1}"#;
    guarded.admin.api().set(set(replace("/", secret))).await.expect("set");
    let (viewer, _) = guarded.token("viewer").await;
    let admin = admin_token(&server.directory);
    let read = async |token: &str, headers: &[(&str, &str)]| {
        let request = http::Request::get(APP).header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        send(server, request, "").await
    };
    let revealed = |server: &TestServer| {
        server.running.audit_counts().reveals.load(std::sync::atomic::Ordering::Relaxed)
    };
    let before = revealed(server);
    let revealed = |server: &TestServer| revealed(server) - before;
    let masked = read(&viewer, &[]).await;
    assert!(masked.status.is_success() && !masked.text().contains("open-sesame"), "{}", masked.text());
    assert_eq!(masked.header("confwatch-hidden-secrets"), Some("1"));
    assert_eq!((masked.header("confwatch-revealed-secrets"), revealed(server)), (None, 0));
    let shown = read(&admin, &[]).await;
    assert_eq!(shown.text(), r#"{"a":1,"token":"open-sesame"}"#);
    assert_eq!(
        (shown.header("confwatch-revealed-secrets"), shown.header("confwatch-hidden-secrets")),
        (Some("1"), None)
    );
    assert_eq!(revealed(server), 1, "who was shown a secret is on record");
    let (of_masked, of_shown) = (masked.header("etag").expect("one"), shown.header("etag").expect("one"));
    assert_ne!(of_masked, of_shown, "what is masked is another text");
    // A document that the client has shows nothing.
    assert_eq!(read(&admin, &[("if-none-match", of_shown)]).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(revealed(server), 1);
    assert_eq!(read(&viewer, &[("if-none-match", of_masked)]).await.status, StatusCode::NOT_MODIFIED);
    let again = read(&viewer, &[("if-none-match", of_shown)]).await;
    assert_eq!(again.text(), masked.text(), "the client has the secret, and may not see it any more");
    let asked = read(&admin, &[("confwatch-mask-secrets", "1")]).await;
    assert!(!asked.text().contains("open-sesame"));
    assert_eq!(revealed(server), 1);

    // A write by a caller without permission is denied, and on record.
    let request = http::Request::put(layer("")).header("host", "localhost").header(JSON.0, JSON.1);
    let request = request.header("authorization", format!("Bearer {viewer}"));
    let denied = send(server, request, "{}").await.problem(403, "PERMISSION_DENIED");
    assert_eq!(denied["metadata"]["verb"], "write");
    let unknown = http::Request::get(APP).header("host", "localhost").header("authorization", "Bearer a.b.c");
    let refused = send(server, unknown, "").await;
    refused.problem(401, "CREDENTIAL_UNKNOWN");
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"confwatch\", error=\"invalid_token\"")
    );
    let nobody = send(server, http::Request::get("/v1/nothing").header("host", "localhost"), "").await;
    nobody.problem(401, "NO_CREDENTIAL");
    let listed = AuditServiceListRequest::default();
    let listed = guarded.admin.audit().list(listed).await.expect("listed").into_inner();
    let text = format!("{listed:?}");
    for method in ["/confwatch.v1.ConfigService/Set", "/confwatch.v1.ConfigService/Get", "/v1/nothing"] {
        assert!(text.contains(method), "{method} is not in {text}");
    }
}
