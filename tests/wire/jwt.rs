//! Callers with JSON web tokens: who gets in, what the others are told, and keys that change under open streams.

#[path = "../../src/auth/jwt/tests/issuer.rs"]
#[allow(dead_code, reason = "of the issuer of the tests of the module, not all is needed here")]
pub mod issuer;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::hmac;
use confwatch::api::guard::rates::{Rate, RateLimits};
use confwatch::proto::v1::*;
use confwatch::server::Settings;
use confwatch::server::settings::{AuthMode, JwtIssuer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, Status, Streaming};

use self::issuer::{KeyServer, SigningKey, encoded, key_set, message};
use super::auth::*;
use super::supervision::{panic_in, restarted};
use super::support::*;

/// Groups have rights here, and one user has more.
const GROUPS: &str = r#"{
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["group:corp#readers"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["group:corp#editors", "user:corp#alice"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// A server that takes the tokens of an issuer whose keys are there.
async fn start(keys: &str) -> Guarded {
    start_with(keys, Settings::default().rates).await
}

/// The same, where calls are limited.
async fn start_with(keys: &str, rates: RateLimits) -> Guarded {
    let jwt = JwtIssuer {
        keys: keys.to_owned(),
        keys_interval: Some(Duration::from_millis(50)),
        issuer: "https://issuer.example".into(),
        audiences: vec!["confwatch".into(), "config".into()],
        groups_claims: vec!["groups".into(), "/realm_access/roles".into()],
        prefix: "corp#".into(),
        lifetime_max: Duration::from_secs(86400),
    };
    let change = |settings: &mut Settings| {
        settings.auth = Some(AuthMode::On);
        settings.jwt = Some(jwt);
        settings.rates = rates;
    };
    let server = TestServer::start_in(TempDir::new().expect("a directory"), change).await;
    let admin = client(&server, Some(&admin_token(&server.directory)));
    let guarded = Guarded { server, admin };
    guarded.set_policy(GROUPS).await.expect("the policy is good");
    guarded.admin.api().set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    guarded
}

/// A file of keys, which is replaced as a whole.
struct KeyFile {
    directory: TempDir,
}

impl KeyFile {
    fn new(keys: &[&SigningKey]) -> KeyFile {
        let file = KeyFile { directory: TempDir::new().expect("a directory") };
        file.write(keys);
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("keys.json")
    }

    fn text(&self) -> String {
        self.path().to_str().expect("a path").to_owned()
    }

    fn write(&self, keys: &[&SigningKey]) {
        let unfinished = self.directory.path().join("keys.new");
        std::fs::write(&unfinished, key_set(keys)).expect("written");
        std::fs::rename(unfinished, self.path()).expect("renamed");
    }
}

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    i64::try_from(now).expect("before the end of time") + seconds
}

/// Good ones, for an hour, of this member of a group.
fn claims(name: &str, group: &str) -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "confwatch", "sub": name,
        "exp": seconds_from_now(3600), "groups": [group],
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

async fn reads(guarded: &Guarded, token: &str) -> Result<(), Status> {
    client(&guarded.server, Some(token)).api().get(get("/")).await.map(drop)
}

#[tokio::test]
async fn groups_of_a_claim_and_names_give_rights() {
    let key = SigningKey::ec("a");
    let file = KeyFile::new(&[&key]);
    let guarded = start(&file.text()).await;
    let bob = client(&guarded.server, Some(&key.token(&claims("bob", "readers"))));
    let who = bob.access().who_am_i(WhoAmIRequest {}).await.expect("an answer").into_inner();
    assert_eq!((who.actor.as_str(), who.credential_kind()), ("user:corp#bob", CredentialKind::Jwt));
    assert_eq!(
        (who.groups, who.credential.as_str()),
        (vec!["corp#readers".to_owned()], "jwt:https://issuer.example#bob")
    );
    bob.api().get(get("/")).await.expect("a reader reads");
    let denied = bob.api().set(set(replace("/", "{}"))).await;
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    // The same by the other claim, as one text.
    let nested = with(claims("eve", "nobody"), "realm_access", json!({"roles": "editors"}));
    let eve = client(&guarded.server, Some(&key.token(&nested)));
    eve.api().set(set(replace("/", r#"{"a":2}"#))).await.expect("an editor writes");
    let alice = client(&guarded.server, Some(&key.token(&claims("alice", "nobody"))));
    alice.api().set(set(replace("/", r#"{"a":3}"#))).await.expect("by name");
    // The name and the groups that the server gives itself are not for the issuer to give.
    for (name, group) in [("admin", "admins"), ("user:admin", "admin")] {
        let namesake = client(&guarded.server, Some(&key.token(&claims(name, group))));
        let denied = namesake.access().list_tokens(ListTokensRequest::default()).await;
        refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let nobody = reads(&guarded, &key.token(&claims("mallory", "nobody"))).await;
    refused(nobody, Code::PermissionDenied, "PERMISSION_DENIED");
    let versions =
        guarded.admin.api().list_versions(versions()).await.expect("history").into_inner().versions;
    let actors: Vec<String> =
        versions.into_iter().map(|version| version.commit.expect("a commit").actor).collect();
    assert_eq!(actors, ["user:corp#alice", "user:corp#eve", "user:admin"]);
}

#[tokio::test]
async fn every_token_that_is_not_good_is_refused_with_its_reason() {
    let (ec, rsa, stranger) = (SigningKey::ec("ec"), SigningKey::rsa("rsa"), SigningKey::ec("ec"));
    let file = KeyFile::new(&[&ec, &rsa]);
    let guarded = start(&file.text()).await;
    let good = || claims("bob", "readers");
    for token in [
        ec.token(&good()),
        rsa.token(&good()),
        ec.token(&with(good(), "aud", json!(["other", "config"]))),
        // Clocks may differ by half a minute.
        ec.token(&with(good(), "exp", json!(seconds_from_now(-20)))),
        ec.token(&with(good(), "nbf", json!(seconds_from_now(20)))),
    ] {
        reads(&guarded, &token).await.expect("it is good");
    }
    let check = async |token: String, reason: &str, said: &str| {
        let status = refused(reads(&guarded, &token).await, Code::Unauthenticated, reason);
        assert!(status.message().contains(said), "{said:?} is not in {status:?}");
    };
    check(stranger.token(&good()), "CREDENTIAL_UNKNOWN", "signature").await;
    check(SigningKey::ec("new").token(&good()), "CREDENTIAL_UNKNOWN", "\"new\"").await;
    check(ec.token(&with(good(), "aud", json!("other"))), "CREDENTIAL_UNKNOWN", "another audience").await;
    check(ec.token(&with(good(), "aud", Value::Null)), "CREDENTIAL_UNKNOWN", "another audience").await;
    check(
        ec.token(&with(good(), "iss", json!("https://evil.example"))),
        "CREDENTIAL_UNKNOWN",
        "another issuer",
    )
    .await;
    check(ec.token(&with(good(), "exp", json!(seconds_from_now(-60)))), "CREDENTIAL_EXPIRED", "expired")
        .await;
    check(ec.token(&with(good(), "exp", Value::Null)), "CREDENTIAL_MALFORMED", "claim exp").await;
    check(ec.token(&with(good(), "nbf", json!(seconds_from_now(60)))), "CREDENTIAL_UNKNOWN", "not hold yet")
        .await;
    check(ec.token(&with(good(), "sub", json!("a\nb"))), "CREDENTIAL_MALFORMED", "claim sub").await;

    // Whoever says that nothing need be signed, or takes a public key for a shared secret.
    for algorithm in ["none", "None", "NONE", ""] {
        let unsigned = format!("{}.", message(&json!({"alg": algorithm, "kid": "ec"}), &good()));
        check(unsigned, "CREDENTIAL_UNKNOWN", "algorithm").await;
    }
    for key in [&ec, &rsa] {
        for secret in key.taken_for_secrets() {
            let signed = message(&json!({"alg": "HS256", "kid": key.id}), &good());
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
            check(format!("{signed}.{}", encoded(tag.as_ref())), "CREDENTIAL_UNKNOWN", "algorithm").await;
        }
    }
    // A key of the token's own choice is none.
    let own = json!({"alg": "ES256", "jwk": stranger.public(), "kid": "ec"});
    check(stranger.token_with(&own, &good()), "CREDENTIAL_UNKNOWN", "signature").await;
}

/// A stream that has told its first state, and what it tells next.
async fn watching(guarded: &Guarded, token: &str) -> Streaming<WatchResponse> {
    opened(&client(&guarded.server, Some(token)), "app", "/").await
}

async fn revision(stream: &mut Streaming<WatchResponse>) -> u64 {
    loop {
        let message = stream.message().await.expect("it goes on").expect("a message");
        if let Some(watch_response::Event::Update(_)) = message.event {
            return message.revision;
        }
    }
}

/// Every commit reaches this stream, and it never ended.
async fn goes_on_without_a_gap(guarded: &Guarded, stream: &mut Streaming<WatchResponse>, content: u64) {
    let set = set(replace("/", &format!(r#"{{"a":{content}}}"#)));
    let written = guarded.admin.api().set(set).await.expect("set").into_inner().store_revision;
    assert_eq!(revision(stream).await, written);
}

/// Streams by a key that is removed end; those by the others, and by other credentials, have not noticed.
async fn rotation(guarded: &Guarded, keys: [&SigningKey; 2], replace_keys: impl Fn(&[&SigningKey])) {
    let [old, new] = keys;
    let of_old = watching(guarded, &old.token(&claims("bob", "readers"))).await;
    let of_admin = &mut opened(&guarded.admin, "app", "/").await;
    replace_keys(&[old, new]);
    // Asked for by name as soon as a token has it.
    let token = new.token(&claims("eve", "readers"));
    let mut of_new = loop {
        match reads(guarded, &token).await {
            Ok(()) => break watching(guarded, &token).await,
            // Another name was looked for just now.
            Err(status) => drop(refused(Err::<(), _>(status), Code::Unauthenticated, "CREDENTIAL_UNKNOWN")),
        }
    };
    goes_on_without_a_gap(guarded, &mut of_new, 100).await;
    let began = Instant::now();
    replace_keys(&[new]);
    let (code, reason, _) = told(&ending(of_old).await);
    println!("the stream by a removed key ended {:?} after the key was taken out", began.elapsed());
    assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_UNKNOWN"));
    let again = reads(guarded, &old.token(&claims("bob", "readers"))).await;
    refused(again, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    goes_on_without_a_gap(guarded, &mut of_new, 101).await;
    assert!(revision(of_admin).await < revision(of_admin).await, "the administrator has seen both");
}

#[tokio::test]
async fn keys_of_a_file_are_rotated_without_dropping_the_streams_of_others() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let file = KeyFile::new(&[&old]);
    let guarded = start(&file.text()).await;
    rotation(&guarded, [&old, &new], |keys| file.write(keys)).await;
    // A file without keys has revoked all of them.
    let revoked = watching(&guarded, &new.token(&claims("eve", "readers"))).await;
    file.write(&[]);
    assert_eq!(ending(revoked).await.code(), Code::Unauthenticated);
    file.write(&[&new]);
    while reads(&guarded, &new.token(&claims("eve", "readers"))).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A file that is broken, or gone, changes nothing.
    let token = new.token(&claims("eve", "readers"));
    let mut stream = watching(&guarded, &token).await;
    std::fs::write(file.path(), "{").expect("written");
    let unknown = SigningKey::ec("unknown").token(&claims("x", "readers"));
    refused(reads(&guarded, &unknown).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    std::fs::remove_file(file.path()).expect("removed");
    refused(reads(&guarded, &unknown).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    reads(&guarded, &token).await.expect("its key is known");
    goes_on_without_a_gap(&guarded, &mut stream, 200).await;
}

#[tokio::test]
async fn keys_are_read_again_after_a_panic_of_the_task_that_reads_them() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let file = KeyFile::new(&[&old]);
    let guarded = start(&file.text()).await;
    let stream = watching(&guarded, &old.token(&claims("bob", "readers"))).await;
    panic_in(&guarded.server, "jwt-keys").await;
    restarted(&guarded.server, "jwt-keys").await;
    file.write(&[&new]);
    assert_eq!(ending(stream).await.code(), Code::Unauthenticated, "its key is revoked");
    reads(&guarded, &new.token(&claims("eve", "readers"))).await.expect("its key is known");
}

#[tokio::test]
async fn keys_that_share_one_name_are_told_apart() {
    let (old, new) = (SigningKey::ec("same"), SigningKey::ec("same"));
    let file = KeyFile::new(&[&old]);
    let guarded = start(&file.text()).await;
    let stream = watching(&guarded, &old.token(&claims("bob", "readers"))).await;
    file.write(&[&new]);
    let (code, reason, _) = told(&ending(stream).await);
    assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_UNKNOWN"));
    reads(&guarded, &new.token(&claims("bob", "readers"))).await.expect("the new one is good");
}

#[tokio::test]
async fn keys_of_a_url_are_rotated_and_those_known_stay_good_while_it_is_down() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let issuer = KeyServer::start(&[&old]).await;
    let guarded = start(&issuer.url).await;
    rotation(&guarded, [&old, &new], |keys| issuer.answer_keys(keys)).await;
    let token = new.token(&claims("eve", "readers"));
    let mut stream = watching(&guarded, &token).await;
    let unknown = SigningKey::ec("unknown").token(&claims("x", "readers"));
    issuer.answer("500 Oh No", "", "");
    refused(reads(&guarded, &unknown).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    reads(&guarded, &token).await.expect("its key is known");
    drop(issuer);
    refused(reads(&guarded, &unknown).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    reads(&guarded, &token).await.expect("its key is known");
    reads(&guarded, &new.token(&claims("new", "readers")))
        .await
        .expect("also in a token that was not seen before");
    goes_on_without_a_gap(&guarded, &mut stream, 300).await;
}

#[tokio::test]
async fn an_issuer_that_was_down_at_the_start_is_asked_again() {
    let key = SigningKey::ec("a");
    let issuer = KeyServer::start(&[&key]).await;
    issuer.answer("503 Not Yet", "", "");
    let guarded = start(&issuer.url).await;
    let token = key.token(&claims("bob", "readers"));
    refused(reads(&guarded, &token).await, Code::Unavailable, "ISSUER_UNAVAILABLE");
    guarded.admin.api().get(get("/")).await.expect("API tokens need no issuer");
    issuer.answer_keys(&[&key]);
    while let Err(status) = reads(&guarded, &token).await {
        refused(Err::<(), _>(status), Code::Unavailable, "ISSUER_UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_token_that_expires_ends_its_streams() {
    let key = SigningKey::ec("a");
    let file = KeyFile::new(&[&key]);
    let guarded = start(&file.text()).await;
    // With the leeway, it ends in a second or two.
    let token = key.token(&with(claims("bob", "readers"), "exp", json!(seconds_from_now(-28))));
    let (code, reason, _) = told(&ending(watching(&guarded, &token).await).await);
    assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
}

#[tokio::test]
async fn keys_that_cannot_be_trusted_on_their_way_are_not_asked_for() {
    let start = async |keys: &str| {
        let jwt = JwtIssuer {
            keys: keys.into(),
            keys_interval: None,
            issuer: "https://issuer.example".into(),
            audiences: vec!["confwatch".into()],
            groups_claims: vec![],
            prefix: "corp#".into(),
            lifetime_max: Duration::from_secs(86400),
        };
        let directory = TempDir::new().expect("a directory");
        let settings = Settings { auth: Some(AuthMode::On), jwt: Some(jwt), ..settings(directory.path()) };
        confwatch::server::Server::start(settings).await.err().map(|error| format!("{error:#}"))
    };
    let error = start("http://issuer.example/keys").await.expect("it does not start");
    assert!(error.contains("https://"), "{error}");
    let missing = Path::new("/nowhere/keys.json");
    let error = start(missing.to_str().expect("a path")).await.expect("it does not start");
    assert!(error.contains("/nowhere/keys.json"), "{error}");
}

#[tokio::test]
async fn after_too_many_refused_tokens_of_an_address_good_ones_from_there_are_still_let_in() {
    let (key, stranger) = (SigningKey::ec("a"), SigningKey::ec("a"));
    let file = KeyFile::new(&[&key]);
    let refusals_per_address = Rate::parse("1:3").expect("a rate");
    let guarded =
        start_with(&file.text(), RateLimits { refusals_per_address, ..RateLimits::UNLIMITED }).await;
    let known = key.token(&claims("alice", "nobody"));
    reads(&guarded, &known).await.expect("it is good");
    let mut limited = 0;
    for number in 0..100 {
        // Each of these is another token.
        let bad = stranger.token(&claims(&format!("mallory-{number}"), "editors"));
        let good = key.token(&claims(&format!("bob-{number}"), "readers"));
        let bad = reads(&guarded, &bad).await.expect_err("it is bad");
        reads(&guarded, &known).await.expect("it was good before");
        reads(&guarded, &good).await.expect("it is good, whatever others behind the same address bring");
        if bad.code() != Code::Unauthenticated {
            let status = refused(Err::<(), _>(bad), Code::ResourceExhausted, "RATE_LIMITED");
            assert_eq!(told(&status).2["limit"], "refusals_per_address");
            limited += 1;
        }
    }
    assert!(limited > 50, "{limited} of 100 bad tokens were too many");
}
