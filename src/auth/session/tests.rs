use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::record::SessionRecord;
use super::*;
use crate::auth::token::{RANDOM_BYTES, TokenSet, make, patch_to_add};
use crate::auth::{Caller, Group, Principal, Subject};
use crate::model::{Epoch, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);
const TIMES: SessionTimes =
    SessionTimes { idle: Duration::from_secs(12 * 3600), lifetime: Duration::from_secs(24 * 3600) };
const START: Timestamp = Timestamp(1_790_000_000_000_000);
const EPOCH: Epoch = Epoch(7);
const ISSUER: &str = "https://issuer.example";

fn after(hours: u32) -> Timestamp {
    START.plus(HOUR * hours)
}

fn principal(subject: &str) -> Principal {
    Principal::new(Subject::parse(subject).expect("a name"), vec![]).expect("no groups")
}

fn issued(name: &str) -> LoginOrigin {
    LoginOrigin::Issuer { issuer: ISSUER.into(), name: name.into() }
}

fn open(sessions: &Sessions, subject: &str, seed: u16, now: Timestamp) -> NewSession {
    let mut random = [0; RANDOM_BYTES];
    random[RANDOM_BYTES - 8..RANDOM_BYTES - 6].copy_from_slice(&seed.to_be_bytes());
    let from = ("192.0.2.7".to_owned(), "Mozilla/5.0\u{7}");
    let (principal, tokens) = (principal(subject), TokenSet::default());
    sessions.open(&Zeroizing::new(random), principal, issued("a"), from, &tokens, now).expect("there is room")
}

fn call(sessions: &Sessions, text: &str, now: Timestamp) -> Result<std::sync::Arc<Caller>, SessionError> {
    sessions.authenticate(text, &TokenSet::default(), Some(ISSUER), now)
}

#[test]
fn a_session_ends_after_its_idle_time_and_in_any_case_after_its_lifetime() {
    let sessions = Sessions::new(TIMES);
    let new = open(&sessions, "user:corp#alice", 1, START);
    assert!(new.text.starts_with("cs_") && new.ends == after(12));
    let caller = call(&sessions, &new.text, after(11)).expect("it is good");
    assert_eq!((caller.actor(), caller.expires()), ("user:corp#alice", Some(after(23))));
    assert_eq!(caller.credential().to_string(), format!("session:{}", new.id));
    // The same caller, whose permissions are known, until the end is put off.
    let again = call(&sessions, &new.text, after(11)).expect("it is good");
    assert!(std::sync::Arc::ptr_eq(&caller, &again));
    let caller = call(&sessions, &new.text, after(20)).expect("it was used");
    assert_eq!(caller.expires(), Some(after(24)));
    assert_eq!(call(&sessions, &new.text, after(24)).err(), Some(SessionError::Expired));

    let idle = open(&sessions, "user:corp#alice", 2, START);
    assert_eq!(call(&sessions, &idle.text, after(12)).err(), Some(SessionError::Expired));
    assert_eq!(sessions.list(None, after(25)).len(), 0);
}

#[test]
fn only_the_secret_opens_a_session_and_only_its_hash_is_kept() {
    let sessions = Sessions::new(TIMES);
    let (one, other) = (open(&sessions, "user:a", 1, START), open(&sessions, "user:b", 2, START));
    let forged = format!("{}{}", &one.text[..16], &other.text[16..]);
    assert_eq!(call(&sessions, &forged, START).err(), Some(SessionError::Malformed), "the checksum is wrong");
    let unknown = open(&Sessions::new(TIMES), "user:a", 9, START);
    assert_eq!(call(&sessions, &unknown.text, START).err(), Some(SessionError::Unknown));
    for wrong in ["", "cs_", "cw_x", &one.text[..20]] {
        assert_eq!(call(&sessions, wrong, START).err(), Some(SessionError::Malformed), "{wrong}");
    }
    let (_, bytes) = sessions.to_bytes(EPOCH);
    let stored = String::from_utf8(bytes).expect("JSON");
    assert!(!stored.contains(&one.text[16..40]) && stored.contains(&one.id.to_string()), "{stored}");
    assert!(!format!("{sessions:?} {one:?}").contains(&one.text[16..40]));
}

#[test]
fn sessions_survive_a_restart_and_those_of_another_store_or_another_time_do_not() {
    let sessions = Sessions::new(TIMES);
    let new = open(&sessions, "user:corp#alice", 1, START);
    let ended = open(&sessions, "user:corp#alice", 2, START);
    assert!(sessions.end(ended.id).is_some() && sessions.end(ended.id).is_none());
    let (changes, bytes) = sessions.to_bytes(EPOCH);
    assert_eq!(changes, sessions.changes());
    let read = |epoch, now| Sessions::read(&bytes, epoch, TIMES, now).expect("sessions");
    let found = read(EPOCH, after(1));
    call(&found, &new.text, after(1)).expect("it is good");
    assert_eq!(call(&found, &ended.text, after(1)).err(), Some(SessionError::Unknown));
    let listed = &found.list(Some("user:corp#alice"), after(1))[0];
    assert_eq!((listed.record.address.as_str(), listed.record.client.as_str()), ("192.0.2.7", "Mozilla/5.0"));
    assert_eq!(listed.record.origin.to_string(), "jwt:https://issuer.example#a");
    assert_eq!(read(Epoch(8), after(1)).list(None, after(1)).len(), 0);
    assert_eq!(read(EPOCH, after(12)).list(None, after(1)).len(), 0);
    for damaged in [
        "",
        "{",
        r#"{"format": 2, "epoch": "7", "sessions": {}}"#,
        r#"{"format":1,"epoch":"0000000000000007","sessions":{"x":{}}}"#,
    ] {
        assert!(Sessions::read(damaged.as_bytes(), EPOCH, TIMES, START).is_none(), "{damaged}");
    }
}

/// Tokens with one that expires after 6 hours, which may be revoked.
fn tokens(subject: &str, revoked: Option<Timestamp>) -> (TokenSet, TokenId) {
    let random = Zeroizing::new([7; RANDOM_BYTES]);
    let new = make(&random, "a", principal(subject), START, Some(after(6))).expect("a token");
    let mut document: Value = patch_to_add(&new);
    if let Some(time) = revoked {
        document["tokens"][new.id.to_string()]["revoked"] = json!(time.to_string());
    }
    (TokenSet::parse(&document).expect("tokens"), new.id)
}

#[test]
fn a_session_ends_with_the_token_that_opened_it_and_acts_as_the_token_does_now() {
    let sessions = Sessions::new(TIMES);
    let (good, id) = tokens("user:alice", None);
    let random = Zeroizing::new([1; RANDOM_BYTES]);
    let from = (String::new(), "");
    let new = sessions.open(&random, principal("user:alice"), LoginOrigin::Token(id), from, &good, START);
    let new = new.expect("there is room");
    let call = |tokens: &TokenSet, now| sessions.authenticate(&new.text, tokens, None, now);
    let caller = call(&good, START).expect("it is good");
    assert_eq!(caller.expires(), Some(after(6)));
    let (renamed, _) = tokens("user:bob", None);
    assert_eq!(call(&renamed, START).expect("it is good").actor(), "user:bob");
    let recheck = |tokens: &TokenSet, now| sessions.recheck(&caller, tokens, None, now).err();
    assert_eq!(recheck(&good, START), None);
    let (revoked, _) = tokens("user:alice", Some(START));
    for tokens in [&revoked, &TokenSet::default()] {
        let error = if tokens.is_empty() { TokenError::Unknown } else { TokenError::Revoked };
        assert_eq!(call(tokens, START).err(), Some(SessionError::Token(error)));
        assert_eq!(recheck(tokens, START), Some(SessionError::Token(error)));
    }
    assert_eq!(call(&good, after(6)).err(), Some(SessionError::Token(TokenError::Expired)));
    sessions.end_by_secret(&new.text).expect("it was there");
    assert_eq!(recheck(&good, START), Some(SessionError::Ended));
}

#[test]
fn sessions_of_an_issuer_end_when_the_server_accepts_it_no_longer() {
    let sessions = Sessions::new(TIMES);
    let new = open(&sessions, "user:corp#alice", 1, START);
    for issuer in [None, Some("https://other.example")] {
        let refused = sessions.authenticate(&new.text, &TokenSet::default(), issuer, START);
        assert_eq!(refused.err(), Some(SessionError::OtherIssuer));
    }
}

#[test]
fn an_actor_has_so_many_sessions_and_a_further_login_ends_the_one_used_least_recently() {
    let sessions = Sessions::new(TIMES);
    let made: Vec<NewSession> = (0..50).map(|n| open(&sessions, "user:a", n, START)).collect();
    open(&sessions, "user:b", 100, START);
    for session in made.iter().skip(1) {
        call(&sessions, &session.text, after(1)).expect("it is good");
    }
    assert_eq!(open(&sessions, "user:a", 101, after(1)).ended, [made[0].id]);
    assert_eq!(call(&sessions, &made[0].text, after(1)).err(), Some(SessionError::Unknown));
    assert_eq!(sessions.list(Some("user:a"), after(1)).len(), 50);
    assert_eq!(sessions.list(Some("user:b"), after(1)).len(), 1);
}

#[test]
fn all_sessions_together_are_bounded_and_those_that_have_ended_make_room() {
    let sessions = Sessions::new(TIMES);
    // Each takes more room than a session without groups.
    let groups: Vec<Group> =
        (0..1000).map(|n| Group::parse(&format!("{n:0>250}")).expect("a group")).collect();
    let many = |subject: &str| {
        Principal::new(Subject::parse(subject).expect("a name"), groups.clone()).expect("so many")
    };
    let open = |n: u8, now| {
        let mut random = [0; RANDOM_BYTES];
        random[RANDOM_BYTES - 8] = n;
        let from = (String::new(), "");
        let subject = format!("user:{n}");
        sessions.open(&Zeroizing::new(random), many(&subject), issued("a"), from, &TokenSet::default(), now)
    };
    let opened = (0..=u8::MAX).take_while(|n| open(*n, START).is_ok()).count();
    assert_eq!(opened, 40, "10 000 units of 245 each");
    assert_eq!(open(200, after(11)).err(), Some(SessionsFull));
    open(200, after(12)).expect("the others have expired");
    assert_eq!(sessions.list(None, after(12)).len(), 1);
}

#[test]
fn a_record_says_nothing_of_its_hash() {
    let sessions = Sessions::new(TIMES);
    open(&sessions, "user:a", 1, START);
    let record: SessionRecord = sessions.list(None, START).remove(0).record;
    assert!(!format!("{record:?}").contains("hash"));
}
