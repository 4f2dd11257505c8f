//! Pages of other origins: none may call unless an administrator has named it, and then with a credential of its own.

use http::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use super::auth::*;
use super::http::*;
use super::login::{by, log_in};
use super::support::*;

const APP: &str = "https://app.example";

async fn start(origins: &[&str]) -> Guarded {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let change = |settings: &mut confwatch::server::Settings| settings.cors_origin = origins;
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), change).await;
    guarded.admin.api().set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    guarded
}

fn of_page(server: &TestServer, method: Method, path: &str, origin: &str) -> http::request::Builder {
    request(server, method, path).header("origin", origin).header("sec-fetch-site", "cross-site")
}

fn cors_headers(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn a_page_of_a_named_origin_calls_with_its_own_credential() {
    let guarded = start(&["http://localhost:5173", APP]).await;
    let server = &guarded.server;
    let bearer = format!("Bearer {}", admin_token(&server.directory));
    let preflight = of_page(server, Method::OPTIONS, "/v1/layers:apply", APP)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = send(server, preflight, "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "without any credential");
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    let has = |name: &str, value: &str| answer.header(name).is_some_and(|found| found.contains(value));
    assert!(
        has("access-control-allow-methods", "POST") && has("access-control-allow-headers", "authorization")
    );
    assert!(has("vary", "origin") && answer.header("access-control-allow-credentials").is_none());

    let body = json!({"changes": [{"namespace": "test", "config": "app", "scope": "/", "assign": {"values": {"b": "1"}}}]});
    let apply = || {
        let request = of_page(server, Method::POST, "/v1/layers:apply", APP);
        request.header("content-type", "application/json")
    };
    let answer = send(server, apply().header("authorization", &bearer), body.to_string()).await;
    answer.ok();
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert!(answer.header("access-control-expose-headers").is_some_and(|names| names.contains("etag")));
    // Errors can be read, too.
    let answer = send(server, of_page(server, Method::GET, "/v1/whoami", APP), "").await;
    answer.problem(401, "NO_CREDENTIAL");
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    send(server, apply(), body.to_string()).await.problem(401, "NO_CREDENTIAL");
    let answer = send(server, of_page(server, Method::GET, "/openapi.json", APP), "").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    // Caches learn that the response depends on the origin, whoever asks.
    let answer = send(server, request(server, Method::GET, "/openapi.json"), "").await;
    let vary = answer.header("vary").unwrap_or_default();
    assert_eq!((vary, cors_headers(&answer)), ("accept-encoding, origin", vec![]));
}

#[tokio::test]
async fn the_cookie_of_a_person_is_never_that_of_a_page_of_another_origin() {
    let guarded = start(&[APP]).await;
    let server = &guarded.server;
    let cookie = log_in(server, &admin_token(&server.directory)).await;
    for path in ["/v1/whoami", "/v1/watch?target=test/app"] {
        let request = of_page(server, Method::GET, path, APP).header("cookie", &cookie.0);
        let answer = send(server, request, "").await;
        answer.problem(401, "NO_CREDENTIAL");
        assert!(answer.header("access-control-allow-credentials").is_none());
    }
    let login = of_page(server, Method::POST, "/login", APP).header("content-type", "application/json");
    let body = json!({"token": admin_token(&server.directory)}).to_string();
    let answer = send(server, login, body).await;
    answer.problem(403, "CROSS_SITE_REQUEST");
    assert_eq!(cors_headers(&answer), Vec::<&str>::new());
    send(server, by(server, &cookie, Method::GET, "/v1/whoami"), "").await.ok();
}

#[tokio::test]
async fn other_origins_other_paths_and_servers_without_the_setting_have_no_header_for_pages() {
    let (named, without) = (start(&[APP]).await, start(&[]).await);
    for (guarded, path, origin) in [
        (&named, "/v1/layers:apply", "https://evil.example"),
        (&named, "/v1/layers:apply", "http://app.example"),
        (&named, "/confwatch.v1.ConfigService/Apply", APP),
        (&without, "/v1/layers:apply", APP),
    ] {
        let server = &guarded.server;
        let bearer = format!("Bearer {}", admin_token(&server.directory));
        let preflight = of_page(server, Method::OPTIONS, path, origin)
            .header("authorization", &bearer)
            .header("access-control-request-method", "POST");
        let answer = send(server, preflight, "").await;
        assert_eq!(cors_headers(&answer), Vec::<&str>::new(), "{path} {origin}");
        let post = of_page(server, Method::POST, path, origin).header("authorization", &bearer);
        let answer = send(server, post.header("content-type", "application/json"), "{}").await;
        answer.problem(403, "CROSS_SITE_REQUEST");
        assert_eq!(cors_headers(&answer), Vec::<&str>::new(), "{path} {origin}");
    }
}
