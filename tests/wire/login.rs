//! People who log in with an API token: the cookie, what it is good for, how a session ends, and what outlasts it.

use confwatch::proto::v1::*;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use super::auth::*;
use super::events::{self, Protocol};
use super::http::*;
use super::support::*;

/// A page of the server itself has sent the request.
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// The cookie of a session, as a browser sends it.
#[derive(Clone, Debug)]
pub struct Cookie(pub String);

impl Cookie {
    /// The cookie that a response gives.
    #[track_caller]
    pub fn of(answer: &Answer) -> Cookie {
        let set = answer.header("set-cookie").expect("a cookie");
        Cookie(set.split(';').next().expect("a first part").to_owned())
    }

    /// The id of its session, which is no secret.
    pub fn id(&self) -> String {
        let secret = self.0.split_once("=cs_").expect("the secret of a session").1;
        secret[..12].to_owned()
    }
}

/// Logs in with a token.
pub async fn log_in_with(server: &TestServer, token: &str) -> Answer {
    let request = request(server, Method::POST, "/login").header("content-type", "application/json");
    send(server, request, json!({ "token": token }).to_string()).await
}

pub async fn log_in(server: &TestServer, token: &str) -> Cookie {
    let answer = log_in_with(server, token).await;
    answer.ok();
    Cookie::of(&answer)
}

/// A request of a page of the server in a browser with this cookie.
pub fn by(server: &TestServer, cookie: &Cookie, method: Method, path: &str) -> http::request::Builder {
    let request = request(server, method, path).header("cookie", &cookie.0);
    request.header(OWN.0, OWN.1).header("content-type", "application/json")
}

pub async fn whoami(server: &TestServer, cookie: &Cookie) -> Answer {
    send(server, by(server, cookie, Method::GET, "/v1/whoami"), "").await
}

async fn log_out(server: &TestServer, cookie: &Cookie) -> Answer {
    send(server, by(server, cookie, Method::POST, "/logout"), "").await
}

/// The entries of the audit log about logins, oldest first: kind, actor, outcome, credential.
pub async fn logins(guarded: &Guarded) -> Vec<(String, String, String, String)> {
    let kinds = vec![AuditKind::Session.into(), AuditKind::Refused.into()];
    let filter = Some(AuditFilter { kinds, ..Default::default() });
    let request = AuditServiceListRequest { filter, ..Default::default() };
    let entries = guarded.admin.audit().list(request).await.expect("entries").into_inner().entries;
    let of = |entry: AuditEntry| {
        let kind = entry.kind().as_str_name().trim_start_matches("AUDIT_KIND_").to_lowercase();
        (kind, entry.actor, entry.outcome, entry.credential)
    };
    entries.into_iter().rev().map(of).collect()
}

#[tokio::test]
async fn a_login_gives_a_cookie_that_acts_as_the_token_behind_it() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let offer = send(server, request(server, Method::GET, "/login"), "").await;
    offer.check_headers();
    assert_eq!(offer.ok(), json!({"authentication": true, "token": true, "oidc": null}));
    let (token, id) = guarded.token("write").await;
    let answer = log_in_with(server, &token).await;
    answer.check_headers();
    let (said, cookie) = (answer.ok(), Cookie::of(&answer));
    let credential = format!("session:{}", cookie.id());
    assert_eq!((&said["actor"], &said["credential"]), (&json!("token:write"), &json!(credential)));
    assert!(!answer.text().contains("cs_"), "the secret is for the cookie alone: {}", answer.text());
    let set = answer.header("set-cookie").expect("a cookie");
    let attributes: Vec<&str> = set.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Max-Age=86400", "HttpOnly", "SameSite=Strict"], "on this machine");

    let who = whoami(server, &cookie).await.ok();
    assert_eq!(who["actor"], "token:write");
    assert_eq!(who["credential_kind"], "CREDENTIAL_KIND_SESSION");
    assert_eq!((&who["credential"], &who["expire_time"]), (&said["credential"], &said["expire_time"]));
    // Permissions are those of the token, and history names the session.
    let set = json!({"change": {"namespace": "test", "config": "app", "scope": "/", "assign": {"values": {"b": "1"}}}});
    let path = "/confwatch.v1.ConfigService/Set";
    send(server, by(server, &cookie, Method::POST, path), set.to_string()).await.ok();
    let commit = guarded.admin.api().list_versions(versions()).await.expect("history").into_inner();
    let commit = commit.versions[0].commit.clone().expect("a commit");
    assert_eq!((commit.actor.as_str(), commit.credential.as_str()), ("token:write", credential.as_str()));
    let read = by(server, &cookie, Method::GET, "/v1/namespaces/test/configs/app");
    send(server, read, "").await.problem(403, "PERMISSION_DENIED");

    log_out(server, &cookie).await;
    let id = format!("token:{id}");
    let entries = logins(&guarded).await;
    let expected: Vec<_> = ["LOGGED_IN", "LOGGED_OUT"]
        .map(|outcome| {
            ("session".to_owned(), "token:write".to_owned(), outcome.to_owned(), credential.clone())
        })
        .into();
    assert_eq!(entries, expected, "{id}");
}

#[tokio::test]
async fn behind_a_proxy_that_ends_tls_the_cookie_is_for_that_host_alone() {
    let guarded = Guarded::start().await;
    let server = &guarded.server;
    let login = http::Request::post("/login").header("host", "config.example");
    let login = login.header("content-type", "application/json");
    let body = json!({"token": admin_token(&server.directory)}).to_string();
    let answer = send(server, login, body).await;
    answer.ok();
    let set = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.starts_with("__Host-confwatch=cs_"), "{set}");
    let attributes: Vec<&str> = set.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Max-Age=86400", "HttpOnly", "SameSite=Strict", "Secure"]);
    let cookie = Cookie::of(&answer);
    let by_host = |cookie: &str| {
        http::Request::get("/v1/whoami").header("host", "config.example").header("cookie", cookie)
    };
    send(server, by_host(&cookie.0), "").await.ok();
    // A page beside this host can set cookies without the prefix.
    let planted = cookie.0.replace("__Host-", "");
    send(server, by_host(&planted), "").await.problem(401, "NO_CREDENTIAL");
}

#[tokio::test]
async fn a_login_that_fails_says_why_and_is_recorded() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let admin = admin_token(&server.directory);
    let forged = format!("{}{}", &admin[..admin.len() - 1], if admin.ends_with('0') { '1' } else { '0' });
    log_in_with(server, &forged).await.problem(401, "CREDENTIAL_MALFORMED");
    log_in_with(server, "eyJhbGciOiJub25lIn0.e30.").await.problem(401, "CREDENTIAL_MALFORMED");
    log_in_with(server, &guarded.expired().await).await.problem(401, "CREDENTIAL_EXPIRED");
    let (token, id) = guarded.token("read").await;
    let revoke = RevokeTokenRequest { id: id.clone(), ..Default::default() };
    guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    log_in_with(server, &token).await.problem(401, "CREDENTIAL_REVOKED");

    let login = || request(server, Method::POST, "/login").header("content-type", "application/json");
    for wrong in ["", "{", "[]", r#"{"token": 1}"#, r#"{"token": "a", "more": 1}"#, "{}"] {
        let problem = send(server, login(), wrong).await.problem(400, "MALFORMED_REQUEST");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("API token")), "{problem}");
    }
    send(server, login(), "x".repeat(20 << 10)).await.problem(400, "INVALID_FIELD");
    let form = request(server, Method::POST, "/login").header("content-type", "text/plain");
    send(server, form, "{}").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let page = login().header("sec-fetch-site", "cross-site");
    send(server, page, json!({ "token": admin }).to_string()).await.problem(403, "CROSS_SITE_REQUEST");
    let put = request(server, Method::PUT, "/login").header("authorization", format!("Bearer {admin}"));
    send(server, put, "").await.problem(405, "METHOD_NOT_ALLOWED");

    let entries = logins(&guarded).await;
    let found: Vec<_> = entries.iter().map(|(kind, _, outcome, of)| (&**kind, &**outcome, &**of)).collect();
    let revoked = format!("token:{id}");
    assert_eq!(found[0], ("refused", "CREDENTIAL_MALFORMED", ""), "{found:?}");
    assert!(found.contains(&("refused", "CREDENTIAL_REVOKED", &revoked)), "{found:?}");
}

#[tokio::test]
async fn a_page_of_another_site_does_nothing_with_a_cookie() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let cookie = log_in(server, &admin_token(&server.directory)).await;
    let set = json!({"change": {"namespace": "test", "config": "app", "scope": "/", "assign": {"values": {"b": "1"}}}});
    let of = |method: Method, path: &str, headers: &[(&str, &str)]| {
        let request = request(server, method, path).header("cookie", &cookie.0);
        let request = request.header("content-type", "application/json");
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let path = "/confwatch.v1.ConfigService/Set";
    let others: [&[(&str, &str)]; 4] = [
        &[],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
    ];
    for headers in others {
        send(server, of(Method::POST, path, headers), set.to_string())
            .await
            .problem(403, "CROSS_SITE_REQUEST");
        let watch = of(Method::GET, "/v1/watch?target=test/app", headers);
        send(server, watch, "").await.problem(403, "CROSS_SITE_REQUEST");
        send(server, of(Method::POST, "/logout", headers), "").await.problem(403, "CROSS_SITE_REQUEST");
    }
    send(server, of(Method::GET, "/v1/whoami", &[]), "").await.ok();
    let own = of(Method::POST, path, &[("origin", "http://localhost")]);
    send(server, own, set.to_string()).await.ok();
}

#[tokio::test]
async fn a_header_with_a_credential_goes_before_the_cookie_and_grpc_takes_no_cookie() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let cookie = log_in(server, &admin_token(&server.directory)).await;
    let (token, _) = guarded.token("read").await;
    let both =
        by(server, &cookie, Method::GET, "/v1/whoami").header("authorization", format!("Bearer {token}"));
    assert_eq!(send(server, both, "").await.ok()["actor"], "token:read");
    let wrong = by(server, &cookie, Method::GET, "/v1/whoami").header("authorization", "Bearer x");
    send(server, wrong, "").await.problem(401, "CREDENTIAL_UNKNOWN");

    let mut request = tonic::Request::new(WhoAmIRequest {});
    request.metadata_mut().insert("cookie", cookie.0.parse().expect("ASCII"));
    let nobody = client(server, None).access().who_am_i(request).await;
    refused(nobody, Code::Unauthenticated, "NO_CREDENTIAL");
    // The secret is no bearer token.
    let secret = cookie.0.split_once('=').expect("a value").1;
    let bearer = client(server, Some(secret)).access().who_am_i(WhoAmIRequest {}).await;
    refused(bearer, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
}

/// A stream of server-sent events by this cookie, after its snapshot.
pub async fn watching(server: &TestServer, cookie: &Cookie) -> events::Stream {
    let watch = events::get(server, Protocol::Http1, "/v1/watch?target=test/app&progress_interval=3600s");
    let mut stream = watch.with("cookie", &cookie.0).with(OWN.0, OWN.1).open().await;
    assert_eq!(stream.event().await.expect("a snapshot").name, "snapshot");
    stream
}

pub async fn ends_with(mut stream: events::Stream, reason: &str) {
    let last = stream.event().await.expect("the end is told");
    assert_eq!((last.name.as_str(), &last.data["reason"]), ("error", &json!(reason)));
    assert_eq!(stream.event().await, None);
}

#[tokio::test]
async fn a_session_and_its_streams_end_with_a_logout_a_revocation_and_the_token() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let (token, id) = guarded.token("read").await;
    let cookies = [log_in(server, &token).await, log_in(server, &token).await, log_in(server, &token).await];
    let [first, second, third] = &cookies;
    let [of_first, of_second, of_third] =
        [watching(server, first).await, watching(server, second).await, watching(server, third).await];

    let answer = log_out(server, first).await;
    assert_eq!(answer.status.as_u16(), 204);
    assert!(
        answer.header("set-cookie").is_some_and(|set| set.contains("=; Path=/; Max-Age=0")),
        "{answer:?}"
    );
    ends_with(of_first, "CREDENTIAL_REVOKED").await;
    whoami(server, first).await.problem(401, "CREDENTIAL_UNKNOWN");
    assert_eq!(log_out(server, first).await.status.as_u16(), 204, "a logout can be repeated");

    let revoke = RevokeSessionRequest { id: second.id(), reason: "left open".into() };
    let ended = guarded.admin.access().revoke_session(revoke.clone()).await.expect("ended").into_inner();
    assert_eq!(ended.session.expect("a session").actor, "token:read");
    ends_with(of_second, "CREDENTIAL_REVOKED").await;
    whoami(server, second).await.problem(401, "CREDENTIAL_UNKNOWN");
    let again = guarded.admin.access().revoke_session(revoke).await;
    refused(again, Code::NotFound, "SESSION_NOT_FOUND");

    whoami(server, third).await.ok();
    let revoke = RevokeTokenRequest { id, ..Default::default() };
    guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    whoami(server, third).await.problem(401, "CREDENTIAL_REVOKED");
    ends_with(of_third, "CREDENTIAL_REVOKED").await;
    let outcomes: Vec<String> =
        logins(&guarded).await.into_iter().map(|(_, _, outcome, _)| outcome).collect();
    assert!(outcomes.contains(&"REVOKED".to_owned()), "{outcomes:?}");
}

#[tokio::test]
async fn everybody_lists_and_ends_their_own_sessions_and_administrators_all() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let admin = log_in(server, &admin_token(&server.directory)).await;
    let (token, id) = guarded.token("read").await;
    let (one, other) = (log_in(server, &token).await, log_in(server, &token).await);
    let list =
        |cookie: &Cookie, query: &str| by(server, cookie, Method::GET, &format!("/v1/sessions{query}"));
    let ids = |answer: &Answer| -> Vec<String> {
        let sessions = answer.ok()["sessions"].as_array().expect("sessions").clone();
        sessions.iter().map(|session| session["id"].as_str().expect("an id").to_owned()).collect()
    };
    let own = send(server, list(&one, ""), "").await;
    assert_eq!(ids(&own), [other.id(), one.id()], "the newest first");
    let session = &own.json()["sessions"][1];
    assert_eq!((&session["origin"], &session["is_current"]), (&json!(format!("token:{id}")), &json!(true)));
    assert_eq!(session["address"], "127.0.0.1");
    assert!(!own.text().contains("cs_") && !own.text().contains("hash"), "{}", own.text());
    send(server, list(&one, "?all=true"), "").await.problem(403, "PERMISSION_DENIED");
    send(server, list(&one, "?actor=user:admin"), "").await.problem(403, "PERMISSION_DENIED");
    assert_eq!(ids(&send(server, list(&admin, "?all=true"), "").await).len(), 3);
    assert_eq!(ids(&send(server, list(&admin, "?actor=token:read"), "").await).len(), 2);
    send(server, list(&admin, "?actor=read"), "").await.problem(400, "INVALID_FIELD");
    // Page by page.
    let page = send(server, list(&admin, "?all=true&page_size=2"), "").await;
    let next = page.json()["next_page_token"].as_str().expect("a token").to_owned();
    let rest = send(server, list(&admin, &format!("?all=true&page_size=2&page_token={next}")), "").await;
    assert_eq!([ids(&page), ids(&rest)].concat(), [other.id(), one.id(), admin.id()]);
    // The list of another store has no such place.
    let elsewhere = Guarded::start_with_policy().await;
    let there = &elsewhere.server;
    let cookie = log_in(there, &admin_token(&there.directory)).await;
    let path = format!("/v1/sessions?all=true&page_size=2&page_token={next}");
    let answer = send(there, by(there, &cookie, Method::GET, &path), "").await;
    answer.problem(400, "EPOCH_MISMATCH");

    let revoke = |cookie: &Cookie, id: &str| {
        let request = by(server, cookie, Method::POST, "/v1/sessions:revoke");
        (request, json!({ "id": id }).to_string())
    };
    for id in [admin.id().as_str(), "000000000000"] {
        let (request, body) = revoke(&one, id);
        send(server, request, body).await.problem(403, "PERMISSION_DENIED");
    }
    let (request, body) = revoke(&one, &other.id());
    send(server, request, body).await.ok();
    whoami(server, &other).await.problem(401, "CREDENTIAL_UNKNOWN");
    let secret = admin.0.split_once('=').expect("a value").1;
    let (request, body) = revoke(&admin, secret);
    let refused = send(server, request, body).await;
    refused.problem(400, "INVALID_FIELD");
    assert!(!refused.text().contains(secret));
}

#[tokio::test]
async fn sessions_survive_a_restart_and_those_that_have_ended_stay_ended() {
    let guarded = Guarded::start().await;
    let token = admin_token(&guarded.server.directory);
    let (kept, ended) = (log_in(&guarded.server, &token).await, log_in(&guarded.server, &token).await);
    log_out(&guarded.server, &ended).await;
    let stored = guarded.server.directory.path().join("data/sessions.json");
    let text = std::fs::read_to_string(&stored).expect("the sessions are stored");
    let secret = kept.0.split_once('=').expect("a value").1;
    assert!(text.contains(&kept.id()) && !text.contains(&secret[16..40]), "only a hash is stored: {text}");
    let before = whoami(&guarded.server, &kept).await.ok();
    let directory = guarded.server.stop().await;
    let guarded = Guarded::start_in(directory).await;
    let who = whoami(&guarded.server, &kept).await.ok();
    assert_eq!(who["credential"], before["credential"]);
    whoami(&guarded.server, &ended).await.problem(401, "CREDENTIAL_UNKNOWN");
    // What cannot be read ends all sessions, and keeps nobody from logging in.
    let directory = guarded.server.stop().await;
    std::fs::write(directory.path().join("data/sessions.json"), "{").expect("written");
    let guarded = Guarded::start_in(directory).await;
    whoami(&guarded.server, &kept).await.problem(401, "CREDENTIAL_UNKNOWN");
    log_in(&guarded.server, &token).await;
}

#[tokio::test]
async fn no_restore_and_no_backup_has_a_session() {
    let guarded = Guarded::start().await;
    let token = admin_token(&guarded.server.directory);
    let cookie = log_in(&guarded.server, &token).await;
    let revision =
        guarded.admin.api().list(ListRequest::default()).await.expect("a list").into_inner().store_revision;
    let more = CreateTokenRequest { name: "later".into(), ..Default::default() };
    guarded.admin.access().create_token(more).await.expect("made");
    log_out(&guarded.server, &cookie).await;
    let restore = RestoreRequest {
        namespace: "confwatch".into(),
        to: Some(restore_request::To::Revision(revision)),
        ..Default::default()
    };
    // The tokens of before would be fewer, which is refused; the policy is as it was.
    _ = guarded.admin.api().restore(restore).await;
    whoami(&guarded.server, &cookie).await.problem(401, "CREDENTIAL_UNKNOWN");
    // The sessions of one store are none of another.
    let cookie = log_in(&guarded.server, &token).await;
    let directory = guarded.server.stop().await;
    let sessions = std::fs::read(directory.path().join("data/sessions.json")).expect("they are stored");
    let other = TempDir::new().expect("a directory");
    Guarded::start_in(TempDir::new().expect("a directory")).await.server.stop().await;
    let fresh = Guarded::start_in(other).await;
    let other = fresh.server.stop().await;
    std::fs::write(other.path().join("data/sessions.json"), sessions).expect("written");
    let fresh = Guarded::start_in(other).await;
    whoami(&fresh.server, &cookie).await.problem(401, "CREDENTIAL_UNKNOWN");
}

#[tokio::test]
async fn an_actor_has_so_many_sessions_and_floods_of_logins_are_bounded() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let (token, _) = guarded.token("read").await;
    let first = log_in(server, &token).await;
    let mut refused: Option<Value> = None;
    for _ in 0..200 {
        let answer = log_in_with(server, &token).await;
        if answer.status.as_u16() == 429 {
            refused = Some(answer.problem(429, "RATE_LIMITED"));
            break;
        }
    }
    assert_eq!(refused.expect("it is too much")["metadata"]["limit"], "logins_per_actor");
    whoami(server, &first).await.problem(401, "CREDENTIAL_UNKNOWN");
    let request = ListSessionsRequest { actor: "token:read".into(), ..Default::default() };
    let listed = guarded.admin.access().list_sessions(request).await.expect("sessions").into_inner();
    assert_eq!(listed.sessions.len(), 50);
    log_in(server, &admin_token(&server.directory)).await;
    let outcomes: Vec<String> =
        logins(&guarded).await.into_iter().map(|(_, _, outcome, _)| outcome).collect();
    assert!(outcomes.contains(&"REPLACED".to_owned()), "{outcomes:?}");
}

#[tokio::test]
async fn a_server_that_authenticates_nobody_needs_no_login() {
    let server = TestServer::start_believing().await;
    let offer = send(&server, request(&server, Method::GET, "/login"), "").await.ok();
    assert_eq!(offer, json!({"authentication": false, "token": false, "oidc": null}));
    log_in_with(&server, "cw_x").await.problem(400, "AUTHENTICATION_OFF");
    let cookie = Cookie("confwatch=cs_x".into());
    whoami(&server, &cookie).await.ok();
    let listed = send(&server, request(&server, Method::GET, "/v1/sessions?all=true"), "").await.ok();
    assert_eq!(listed["sessions"], json!([]));
}
