//! Tokens from the making to the end of their days.

use proptest::prelude::*;

use super::*;
use crate::auth::{Caller, Credential, Group, Policy, Subject};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

fn seconds(count: i64) -> Timestamp {
    Timestamp(NOW.0 + count * 1_000_000)
}

fn new(seed: u8, expires: Option<Timestamp>) -> NewToken {
    let groups = vec![Group::parse("deployers").expect("a group")];
    let principal =
        Principal::new(Subject::parse("token:ci").expect("a subject"), groups).expect("a principal");
    make(&Zeroizing::new([seed; RANDOM_BYTES]), "deploys", principal, NOW, expires).expect("a token")
}

fn stored(tokens: &[&NewToken]) -> Value {
    let mut document = json!({});
    tokens.iter().for_each(|token| json_patch::merge(&mut document, &patch_to_add(token)));
    document
}

fn set(tokens: &[&NewToken]) -> TokenSet {
    TokenSet::parse(&stored(tokens)).expect("a set of tokens")
}

#[test]
fn a_token_that_was_made_is_recognised() {
    let token = new(1, Some(seconds(60)));
    let caller = set(&[&token, &new(2, None)]).authenticate(&token.text, NOW).expect("it is good");
    assert_eq!(caller.actor(), "token:ci");
    assert_eq!(caller.principal().groups()[0].as_str(), "deployers");
    assert_eq!(caller.credential(), &Credential::Token { id: token.id.to_string() });
    assert_eq!(caller.expires(), Some(seconds(60)));
}

#[test]
fn random_tokens_differ() {
    let (a, b) = (random().expect("randomness"), random().expect("randomness"));
    assert_ne!(*a, *b);
}

#[test]
fn what_is_wrong_with_a_token_is_told_to_its_bearer_only() {
    let (token, other) = (new(1, Some(seconds(60))), new(2, None));
    let tokens = set(&[&token]);
    assert_eq!(tokens.authenticate(&other.text, NOW).err(), Some(TokenError::Unknown));
    assert_eq!(tokens.authenticate(&token.text, seconds(60)).err(), Some(TokenError::Expired));
    let mut document = stored(&[&token]);
    json_patch::merge(&mut document, &patch_to_revoke(token.id, NOW));
    let tokens = TokenSet::parse(&document).expect("tokens");
    assert_eq!(tokens.authenticate(&token.text, NOW).err(), Some(TokenError::Revoked));

    // The id of a good token with the secret of another one: it is no more than unknown.
    let mut forged = [2; RANDOM_BYTES];
    forged[RANDOM_BYTES - 8..].copy_from_slice(&[1; 8]);
    let (presented, text) = text::make(PREFIX, &Zeroizing::new(forged));
    assert_eq!(presented.id, token.id);
    assert_eq!(tokens.authenticate(&text, NOW).err(), Some(TokenError::Unknown));
    for text in ["", "cw_", "eyJhbGciOiJub25lIn0.e30.", &token.text.to_uppercase()] {
        assert!(matches!(tokens.authenticate(text, NOW), Err(TokenError::Malformed(_))), "{text}");
    }
}

#[test]
fn the_secret_is_neither_stored_nor_shown() {
    let token = new(1, None);
    let secret = &token.text[16..];
    let shown = format!("{token:?} {:?} {} {:?}", set(&[&token]), stored(&[&token]), token.record);
    assert!(!shown.contains(secret) && !shown.contains(&secret[..20]));
    let shown = format!("{token:?} {:?} {:?}", set(&[&token]), token.record);
    assert!(!shown.contains(&hex::encode(token.record.hash)));
}

#[test]
fn the_last_use_is_noted_and_outlives_a_change_of_the_tokens() {
    let (token, other) = (new(1, None), new(2, None));
    let tokens = set(&[&token]);
    let last_use = |tokens: &TokenSet| tokens.get(token.id).expect("it is there").last_use;
    assert_eq!(last_use(&tokens), None);
    let caller = tokens.authenticate(&token.text, NOW).expect("it is good");
    assert_eq!(last_use(&tokens), Some(NOW));
    let _ = tokens.authenticate(&other.text, seconds(5));
    assert_eq!(last_use(&tokens), Some(NOW));

    let tokens = set(&[&token, &other]).succeeding(&tokens);
    assert_eq!(last_use(&tokens), Some(NOW));
    // What is known of the caller goes on, too.
    let again = tokens.authenticate(&token.text, seconds(5)).expect("it is good");
    assert!(std::sync::Arc::ptr_eq(&caller, &again));
    assert_eq!(last_use(&tokens), Some(seconds(5)));
}

#[test]
fn an_open_stream_learns_of_the_end_of_its_token() {
    let token = new(1, Some(seconds(60)));
    let caller = set(&[&token]).authenticate(&token.text, NOW).expect("it is good");
    let recheck = |tokens: &TokenSet, now| tokens.recheck(&caller, now).err();
    assert_eq!(recheck(&set(&[&token]), NOW), None);
    assert_eq!(recheck(&set(&[&token]), seconds(60)), Some(TokenError::Expired));
    assert_eq!(recheck(&set(&[]), NOW), Some(TokenError::Unknown));
    let mut document = stored(&[&token]);
    json_patch::merge(&mut document, &patch_to_revoke(token.id, NOW));
    assert_eq!(recheck(&TokenSet::parse(&document).expect("tokens"), NOW), Some(TokenError::Revoked));
    let unverified = Caller::unverified("alice").expect("a caller");
    assert_eq!(set(&[&token]).recheck(&unverified, NOW).err(), Some(TokenError::Unknown));
}

#[test]
fn a_caller_knows_its_grants_under_the_policy_that_is_asked() {
    let token = new(1, None);
    let caller = set(&[&token]).authenticate(&token.text, NOW).expect("it is good");
    let (all, nothing) = (Policy::unrestricted(), Policy::nothing());
    let first = caller.grants(&all);
    assert!(std::sync::Arc::ptr_eq(&first, &caller.grants(&all)));
    assert!(!caller.grants(&nothing).are_of(&all) && caller.grants(&all).are_of(&all));
}

#[test]
fn what_is_wrong_with_tokens_is_told_with_its_place() {
    let check = |document: Value, expected: &[(&str, &str)]| {
        let problems = TokenSet::parse(&document).expect_err("no tokens");
        let told: Vec<_> = problems.iter().map(|p| (p.pointer.as_str(), p.message.as_str())).collect();
        assert_eq!(told, expected);
    };
    check(json!({"tokens": []}), &[("/tokens", "an object expected")]);
    check(
        json!({"tokens": {"lost": {}}}),
        &[("/tokens/lost", "12 characters of 0-9 and a-z without i, l, o and u expected")],
    );
    check(
        json!({"tokens": {"000000000000": {
            "name": "", "hash": "12", "subject": "group:a", "groups": [""], "created": "today", "expries": 1,
        }}}),
        &[
            ("/tokens/000000000000/expries", "there is no field \"expries\""),
            ("/tokens/000000000000/name", "the name must not be empty"),
            ("/tokens/000000000000/hash", "SHA-256 in 64 hexadecimal digits expected"),
            ("/tokens/000000000000/subject", "a token is for a user: or a token:"),
            ("/tokens/000000000000/groups/0", "the name must not be empty"),
            ("/tokens/000000000000/created", "a time such as 2026-11-21T08:46:30Z expected"),
        ],
    );
    let mut document = stored(&[&new(1, None)]);
    let id = new(1, None).id.to_string();
    document["tokens"][&id]["revoked"] = json!("no");
    assert_eq!(TokenSet::parse(&document).expect_err("no time")[0].pointer, format!("/tokens/{id}/revoked"));
    assert!(TokenSet::parse(&json!({})).expect("no tokens").is_empty());
}

#[test]
fn no_token_is_made_that_could_not_be_used() {
    let principal =
        |text: &str| Principal::new(Subject::parse(text).expect("a subject"), vec![]).expect("a principal");
    let make = |name: &str, subject: &str, expires| {
        make(&Zeroizing::new([0; RANDOM_BYTES]), name, principal(subject), NOW, expires).is_ok()
    };
    assert!(make("a", "user:a", None) && make("ä", "token:a", Some(seconds(1))));
    assert!(
        !make("", "user:a", None) && !make("a\n", "user:a", None) && !make(&"x".repeat(101), "user:a", None)
    );
    assert!(!make("a", "group:a", None) && !make("a", "certificate:a", None));
    assert!(!make("a", "user:a", Some(NOW)));
}

proptest! {
    #[test]
    fn a_record_survives_its_document(
        seed: u8,
        name in "\\PC{1,50}",
        expires in prop::option::of(1..1_000_000_i64),
    ) {
        prop_assume!(record::check_name(&name).is_ok());
        let mut token = new(seed, expires.map(seconds));
        token.record.name = name;
        let set = set(&[&token]);
        prop_assert!(set.get(token.id).expect("it is there").record == &token.record);
        prop_assert_eq!(set.list().len(), 1);
    }
}

#[test]
fn a_revoked_token_stays_revoked_whatever_replaces_the_set() {
    let (lost, kept, short) = (new(1, None), new(2, None), new(3, Some(seconds(60))));
    let with_revoked = |ids: &[TokenId]| {
        let mut document = stored(&[&lost, &kept, &short]);
        ids.iter().for_each(|id| json_patch::merge(&mut document, &patch_to_revoke(*id, NOW)));
        TokenSet::parse(&document).expect("tokens")
    };
    let before = with_revoked(&[lost.id]);
    assert_eq!(with_revoked(&[lost.id, kept.id]).problems_after(&before, NOW), []);
    let revived = with_revoked(&[]).problems_after(&before, NOW);
    assert_eq!(revived.len(), 1);
    assert_eq!(revived[0].pointer, format!("/tokens/{}", lost.id));
    // What is removed could be brought back as it once was.
    let removed = set(&[&kept]).problems_after(&before, NOW);
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert_eq!(set(&[&kept]).problems_after(&before, seconds(60)).len(), 1, "what has expired may go");
    assert_eq!(TokenSet::default().problems_after(&before, NOW).len(), 3);
}

#[test]
fn no_token_acts_under_a_name_of_an_issuer() {
    for (subject, group) in [("user:corp#alice", "sre"), ("token:ci", "corp#sre")] {
        let subject = Subject::parse(subject).expect("a subject");
        let principal =
            Principal::new(subject, vec![Group::parse(group).expect("a group")]).expect("a principal");
        let token = make(&Zeroizing::new([7; RANDOM_BYTES]), "x", principal, NOW, None).expect("a token");
        let problems = set(&[&token]).problems_after(&TokenSet::default(), NOW);
        assert!(problems.len() == 1 && problems[0].message.contains('#'), "{problems:?}");
        // One that was stored before this was asked of tokens does not keep others from being written.
        assert_eq!(set(&[&token]).problems_after(&set(&[&token]), NOW), []);
    }
}
