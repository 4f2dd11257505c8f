//! Keys that change, and issuers that do not answer.

use std::sync::Arc;
use std::time::Duration;

use super::issuer::{KeyServer, SigningKey, key_set};
use super::*;
use crate::supervise::Supervisor;

const NEVER: Duration = Duration::from_secs(86_400);
const NO_TIME: Duration = Duration::ZERO;

fn source(text: &str) -> KeySource {
    KeySource::parse(text, Duration::from_secs(20)).expect("a source")
}

async fn keep(source: KeySource, every: Duration, unknown_key_every: Duration) -> Keeper {
    let verifier = Arc::new(Verifier::new(settings(), KeySet::default()));
    let timing = Timing { every, after_failure: every, unknown_key_every };
    Keeper::start(verifier, source, timing, &Supervisor::default()).await.expect("it starts")
}

/// Waits for what the keeper does by itself.
async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it comes to pass");
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let (old, new, other) = (SigningKey::ec("old"), SigningKey::ec("new"), SigningKey::ec("other"));
    let server = KeyServer::start(&[&old]).await;
    let keeper = keep(source(&server.url), NEVER, NEVER).await;
    assert!(keeper.verify(&old.token(&claims()), NOW).await.is_ok());
    assert_eq!(server.requests(), 1);

    server.answer_keys(&[&old, &new]);
    assert!(keeper.verify(&new.token(&claims()), NOW).await.is_ok());
    assert!(keeper.verify(&old.token(&claims()), NOW).await.is_ok());
    assert_eq!(server.requests(), 2);

    // Names of keys are easily made up: soon after, nothing is fetched.
    server.answer_keys(&[&old, &new, &other]);
    for _ in 0..10 {
        let refused = keeper.verify(&other.token(&claims()), NOW).await.err();
        assert_eq!(refused, Some(JwtError::UnknownKey(Some("other".to_owned()))));
    }
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn all_who_wait_for_a_key_share_one_look() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let server = KeyServer::start(&[&old]).await;
    let keeper = Arc::new(keep(source(&server.url), NEVER, NEVER).await);
    server.answer_keys(&[&new]);
    let token: Arc<str> = new.token(&claims()).into();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (keeper, token) = (keeper.clone(), token.clone());
            tokio::spawn(async move { keeper.verify(&token, NOW).await.is_ok() })
        })
        .collect();
    for call in calls {
        assert!(call.await.expect("no panic"));
    }
    assert_eq!(server.requests(), 2);
    assert!(keeper.verify(&old.token(&claims()), NOW).await.is_err());
}

#[tokio::test]
async fn keys_stay_while_the_issuer_fails_whatever_it_answers() {
    let (key, new) = (SigningKey::ec("a"), SigningKey::ec("new"));
    let server = KeyServer::start(&[&key]).await;
    let keeper = keep(source(&server.url), NEVER, NO_TIME).await;
    let long = "x".repeat(KEYS_BYTES_MAX + 1);
    let elsewhere = KeyServer::start(&[&new]).await;
    let redirect = format!("location: {}\r\n", elsewhere.url);
    for (status, headers, body) in [
        ("500 Internal Server Error", "", "oops"),
        ("200 OK", "", "<html>"),
        ("200 OK", "", "{\"error\": []}"),
        ("200 OK", "", &long),
        ("404 Not Found", "", &key_set(&[&new])),
        ("302 Found", &redirect, ""),
    ] {
        server.answer(status, headers, body);
        let before = server.requests();
        assert!(keeper.verify(&new.token(&claims()), NOW).await.is_err(), "{status} {body:.20}");
        assert_eq!(server.requests(), before + 1);
        assert!(keeper.verify(&key.token(&claims()), NOW).await.is_ok(), "{status} {body:.20}");
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn an_empty_set_of_keys_revokes_all_of_them() {
    let key = SigningKey::ec("a");
    let server = KeyServer::start(&[&key]).await;
    let keeper = keep(source(&server.url), NEVER, NO_TIME).await;
    let caller = keeper.verify(&key.token(&claims()), NOW).await.expect("it is good");
    server.answer_keys(&[]);
    // A key that is not known has the keys read again.
    let other = SigningKey::ec("other").token(&claims());
    assert!(keeper.verify(&other, NOW).await.is_err());
    let unknown = || Some(JwtError::UnknownKey(Some("a".to_owned())));
    assert_eq!(keeper.verify(&key.token(&claims()), NOW).await.err(), unknown());
    assert_eq!(keeper.verifier().recheck(&caller, NOW).err(), unknown());
    server.answer_keys(&[&key]);
    assert!(keeper.verify(&key.token(&claims()), NOW).await.is_ok());
}

#[tokio::test]
async fn a_file_without_keys_is_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    std::fs::write(&path, key_set(&[])).expect("it can be written");
    let source = source(path.to_str().expect("a path"));
    let verifier = Arc::new(Verifier::new(settings(), KeySet::default()));
    let (timing, supervisor) = (Timing::of(&source, None), Supervisor::default());
    let error = Keeper::start(verifier, source, timing, &supervisor).await.expect_err("no keys").to_string();
    assert!(error.contains("it has no key for signatures"), "{error}");
}

#[tokio::test]
async fn an_issuer_that_is_silent_is_given_up() {
    let key = SigningKey::ec("a");
    let server = KeyServer::start(&[&key]).await;
    server.answer_nothing();
    let source = KeySource::parse(&server.url, Duration::from_millis(50)).expect("a source");
    let error = source.load().await.expect_err("it gives up").to_string();
    assert!(
        error.starts_with(&format!("cannot fetch {}", server.url)) && error.contains("timed out"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_starts_without_its_issuer_and_gets_the_keys_later() {
    let key = SigningKey::ec("a");
    let server = KeyServer::start(&[&key]).await;
    server.answer("503 Service Unavailable", "", "");
    let keeper = keep(source(&server.url), Duration::from_millis(1), NEVER).await;
    let token = key.token(&claims());
    assert_eq!(keeper.verifier().verify(&token, NOW).err(), Some(JwtError::NoKeys));
    server.answer_keys(&[&key]);
    until(|| keeper.verifier().verify(&token, NOW).is_ok()).await;
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    let missing = source(path.to_str().expect("a path"));
    let verifier = Arc::new(Verifier::new(settings(), KeySet::default()));
    let error = Keeper::start(verifier, missing.clone(), Timing::of(&missing, None), &Supervisor::default())
        .await
        .expect_err("no file");
    assert!(matches!(error, KeysError::File { .. }), "{error}");

    std::fs::write(&path, key_set(&[&old])).expect("it can be written");
    let keeper = keep(missing, Duration::from_millis(1), NEVER).await;
    let (old_token, new_token) = (old.token(&claims()), new.token(&claims()));
    assert!(keeper.verifier().verify(&old_token, NOW).is_ok());
    std::fs::write(&path, key_set(&[&new])).expect("it can be written");
    until(|| keeper.verifier().verify(&new_token, NOW).is_ok()).await;
    assert!(keeper.verifier().verify(&old_token, NOW).is_err());
}

#[tokio::test]
async fn a_file_that_is_gone_or_half_written_is_no_reason_to_forget_the_keys() {
    let (key, new) = (SigningKey::ec("a"), SigningKey::ec("new"));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    std::fs::write(&path, key_set(&[&key])).expect("it can be written");
    // Each token whose key is not known makes it look.
    let keeper = keep(source(path.to_str().expect("a path")), NEVER, NO_TIME).await;
    let (token, new_token) = (key.token(&claims()), new.token(&claims()));
    std::fs::write(&path, "{\"keys\": [").expect("it can be written");
    assert!(keeper.verify(&new_token, NOW).await.is_err() && keeper.verify(&token, NOW).await.is_ok());
    std::fs::remove_file(&path).expect("it can be removed");
    assert!(keeper.verify(&new_token, NOW).await.is_err() && keeper.verify(&token, NOW).await.is_ok());
    std::fs::write(&path, key_set(&[&new])).expect("it can be written");
    assert!(keeper.verify(&new_token, NOW).await.is_ok() && keeper.verify(&token, NOW).await.is_err());
}

#[test]
fn keys_come_from_files_and_over_ways_that_nobody_can_change() {
    let check = |text: &str, expected: Result<(), &str>| match (KeySource::parse(text, NO_TIME), expected) {
        (Ok(source), Ok(())) => assert_eq!(source.to_string(), text),
        (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{text} {error}"),
        (result, _) => panic!("{text} {result:?}"),
    };
    check("/etc/confwatch/keys.json", Ok(()));
    check("keys.json", Ok(()));
    check("https://issuer.example/keys", Ok(()));
    check("http://127.0.0.1:8080/keys", Ok(()));
    check("http://[::1]:8080/keys", Ok(()));
    check("http://localhost:8080/keys", Ok(()));
    check("http://issuer.example/keys", Err("must begin with https://, except"));
    check("http://127.0.0.1.example/keys", Err("must begin with https://, except"));
    check("file:///etc/keys", Err("must begin with https://"));
    check("https://me:pass@issuer.example/keys", Err("must not hold a password"));
    check("https://", Err("is no URL"));
}
