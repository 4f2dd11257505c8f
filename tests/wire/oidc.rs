//! People who log in by an issuer of OpenID Connect: the way there and back, and every way in which it fails.

#[path = "../support/oidc_provider.rs"]
mod oidc_provider;

use std::time::Duration;

use confwatch::server::Settings;
use confwatch::server::settings::{JwtIssuer, OidcClient};
use http::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use self::oidc_provider::{Provider, parameters};
use super::auth::*;
use super::http::*;
use super::jwt::issuer;
use super::login::{Cookie, by, logins, whoami};
use super::support::*;

const POLICY: &str = r#"{"bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["group:corp#people"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"}
]}"#;

/// What the settings of the command line decide for this issuer.
fn with_logins(provider: &Provider) -> impl FnOnce(&mut Settings) + use<> {
    let issuer = provider.url.clone();
    move |settings| {
        settings.jwt = Some(JwtIssuer {
            keys: format!("{issuer}/.well-known/openid-configuration"),
            keys_interval: Some(Duration::from_millis(50)),
            issuer: issuer.clone(),
            audiences: vec!["cli".into()],
            groups_claims: vec!["groups".into()],
            prefix: "corp#".into(),
            lifetime_max: Duration::from_secs(86400),
        });
        settings.oidc = Some(OidcClient {
            issuer,
            client_id: "web".into(),
            client_secret: Some("hidden".to_owned().into()),
            cli_client_id: Some("cli".into()),
            scopes: "openid profile".into(),
            public_url: None,
        });
    }
}

async fn start(provider: &Provider) -> Guarded {
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), with_logins(provider)).await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    guarded.admin.api().set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    guarded
}

/// A browser on its way: the cookie that it keeps, and the path to which the issuer sends it.
#[derive(Clone, Debug)]
struct Way {
    cookie: String,
    back: String,
}

impl Way {
    /// The person goes to the issuer, logs in there, and is sent back.
    async fn begin(server: &TestServer, return_to: &str) -> Way {
        let path = format!("/login/oidc?return_to={return_to}");
        let answer = send(server, request(server, Method::GET, &path), "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        answer.check_headers();
        let set = answer.header("set-cookie").expect("a cookie").to_owned();
        assert!(set.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"), "{set}");
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.build().expect("a client");
        let to = answer.header("location").expect("a location");
        let answer = client.get(to).send().await.expect("the issuer answers");
        let back = answer.headers()["location"].to_str().expect("a URL");
        let back = back.strip_prefix("http://localhost").expect("the host of the request").to_owned();
        assert!(back.starts_with("/login/oidc/callback?"), "{back}");
        Way { cookie: set.split(';').next().expect("a value").to_owned(), back }
    }

    async fn end(&self, server: &TestServer) -> Answer {
        let request = request(server, Method::GET, &self.back);
        // The page of the issuer sends the browser.
        let request = request.header("cookie", &self.cookie).header("sec-fetch-site", "cross-site");
        send(server, request, "").await
    }

    /// The code of the issuer.
    fn code(&self) -> String {
        parameters(self.back.split_once('?').expect("a query").1)["code"].clone()
    }

    fn with(&self, name: &str, value: &str) -> Way {
        let (path, query) = self.back.split_once('?').expect("a query");
        let mut parameters = parameters(query);
        parameters.insert(name.to_owned(), value.to_owned());
        let encoded = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let query: Vec<String> = pairs.collect();
        Way { back: format!("{path}?{}", query.join("&")), ..self.clone() }
    }
}

/// The cookie of the session that a login has opened.
fn session_of(answer: &Answer) -> Cookie {
    let cookies = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("ASCII"));
    let set = cookies.filter(|set| set.contains("=cs_")).collect::<Vec<_>>();
    assert_eq!(set.len(), 1, "{answer:?}");
    assert!(set[0].ends_with("HttpOnly; SameSite=Strict"), "{set:?}");
    Cookie(set[0].split(';').next().expect("a value").to_owned())
}

#[tokio::test]
async fn a_person_logs_in_by_the_issuer_and_acts_as_the_claims_say() {
    let provider = Provider::start();
    let guarded = start(&provider).await;
    let server = &guarded.server;
    let offer = send(server, request(server, Method::GET, "/login"), "").await.ok();
    assert_eq!(
        (&offer["oidc"]["issuer"], &offer["oidc"]["path"]),
        (&json!(provider.url), &json!("/login/oidc"))
    );
    assert_eq!(offer["oidc"]["name"], provider.url.trim_start_matches("http://"));
    let answer = Way::begin(server, "/console%3Fa%3Db").await.end(server).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, Some("/console?a=b")));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let over = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .any(|set| set.to_str().expect("ASCII").starts_with("confwatch-login=; Path=/; Max-Age=0"));
    assert!(over, "the attempt is over: {answer:?}");
    let cookie = session_of(&answer);
    let who = whoami(server, &cookie).await.ok();
    assert_eq!((&who["actor"], &who["groups"]), (&json!("user:corp#alice"), &json!(["corp#people"])));
    assert_eq!(who["credential_kind"], "CREDENTIAL_KIND_SESSION");
    let read = by(server, &cookie, Method::GET, "/v1/namespaces/test/configs/app");
    send(server, read, "").await.ok();
    let write = by(server, &cookie, Method::DELETE, "/v1/namespaces/test/configs/app/layers/");
    send(server, write, "").await.problem(403, "PERMISSION_DENIED");
    let listed = send(server, by(server, &cookie, Method::GET, "/v1/sessions"), "").await.ok();
    assert_eq!(listed["sessions"][0]["origin"], format!("jwt:{}#alice", provider.url));
    let entries = logins(&guarded).await;
    let credential = format!("session:{}", cookie.id());
    let expected = ("session".into(), "user:corp#alice".into(), "LOGGED_IN".into(), credential);
    assert_eq!(entries, [expected]);
    // The session outlasts the ID token and a restart, and ends with the issuer in the settings.
    let directory = guarded.server.stop().await;
    let guarded = Guarded::start_as(directory, with_logins(&provider)).await;
    whoami(&guarded.server, &cookie).await.ok();
    let directory = guarded.server.stop().await;
    let guarded = Guarded::start_in(directory).await;
    whoami(&guarded.server, &cookie).await.problem(401, "CREDENTIAL_UNKNOWN");
    let path = "/login/oidc";
    send(&guarded.server, request(&guarded.server, Method::GET, path), "")
        .await
        .problem(404, "LOGIN_NOT_OFFERED");
}

#[tokio::test]
async fn a_return_that_is_not_that_of_the_login_opens_no_session() {
    let provider = Provider::start();
    let guarded = start(&provider).await;
    let server = &guarded.server;
    let (one, other) = (Way::begin(server, "/").await, Way::begin(server, "/").await);
    let check = async |way: Way, said: &str| {
        let problem = way.end(server).await.problem(401, "LOGIN_FAILED");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{said}: {problem}");
    };
    check(one.with("state", "x"), "the state").await;
    check(Way { cookie: other.cookie.clone(), ..one.clone() }, "the state").await;
    check(Way { cookie: String::new(), ..one.clone() }, "another browser").await;
    check(Way { cookie: format!("{}x", one.cookie), ..one.clone() }, "another browser").await;
    check(one.with("iss", "https://evil.example"), "another issuer").await;
    assert_eq!(provider.redeemed(), 0, "nothing was asked of the issuer");
    check(one.with("code", "made-up"), "invalid_grant").await;
    // The verifier is that of another attempt.
    check(other.with("code", &one.code()), "invalid_grant").await;

    let way = Way::begin(server, "/").await;
    session_of(&way.end(server).await);
    check(way.clone(), "finished before").await;
    check(Way::begin(server, "/").await.with("code", &way.code()), "invalid_grant").await;
    let entries = logins(&guarded).await;
    assert!(
        entries.iter().any(|(kind, _, outcome, _)| kind == "refused" && outcome == "LOGIN_FAILED"),
        "{entries:?}"
    );
}

#[tokio::test]
async fn a_person_who_refuses_and_an_issuer_that_fails_open_no_session() {
    let provider = Provider::start();
    let guarded = start(&provider).await;
    let server = &guarded.server;
    provider.deny(true);
    let problem = Way::begin(server, "/").await.end(server).await.problem(401, "LOGIN_FAILED");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("access_denied")), "{problem}");
    provider.deny(false);
    let way = Way::begin(server, "/").await;
    provider.fail(true);
    way.end(server).await.problem(503, "ISSUER_UNAVAILABLE");
    // The metadata are known.
    let begin = || request(server, Method::GET, "/login/oidc");
    assert_eq!(send(server, begin(), "").await.status, StatusCode::SEE_OTHER);
    provider.fail(false);
    session_of(&Way::begin(server, "/").await.end(server).await);
    // HEAD opens nothing.
    let way = Way::begin(server, "/").await;
    let head = request(server, Method::HEAD, &way.back).header("cookie", &way.cookie);
    assert_eq!(send(server, head, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn an_id_token_that_is_not_for_this_login_opens_no_session() {
    let provider = Provider::start();
    let guarded = start(&provider).await;
    let server = &guarded.server;
    let check = async |claims: serde_json::Value, reason: &str| {
        provider.claims(claims.clone());
        Way::begin(server, "/").await.end(server).await.problem(401, reason);
    };
    check(json!({"nonce": "x"}), "CREDENTIAL_MALFORMED").await;
    check(json!({"nonce": null}), "CREDENTIAL_MALFORMED").await;
    check(json!({"aud": "cli"}), "CREDENTIAL_UNKNOWN").await;
    check(json!({"aud": ["web", "other"]}), "CREDENTIAL_MALFORMED").await;
    check(json!({"aud": ["web", "other"], "azp": "other"}), "CREDENTIAL_UNKNOWN").await;
    check(json!({"iss": "https://evil.example"}), "CREDENTIAL_UNKNOWN").await;
    check(json!({"exp": 1}), "CREDENTIAL_EXPIRED").await;
    check(json!({"exp": null}), "CREDENTIAL_MALFORMED").await;
    check(json!({"sub": "a\nb"}), "CREDENTIAL_MALFORMED").await;
    provider.claims(json!({"aud": ["web", "other"], "azp": "web"}));
    session_of(&Way::begin(server, "/").await.end(server).await);
}

#[tokio::test]
async fn a_person_returns_to_this_server_alone() {
    let provider = Provider::start();
    let guarded = start(&provider).await;
    let server = &guarded.server;
    for wrong in ["https://evil.example", "//evil.example", "/%5Cevil.example", "console", "/a%0D%0Ab"] {
        let path = format!("/login/oidc?return_to={wrong}");
        send(server, request(server, Method::GET, &path), "").await.problem(400, "INVALID_FIELD");
    }
    send(server, request(server, Method::GET, "/login/oidc?to=/"), "").await.problem(400, "INVALID_FIELD");
}
