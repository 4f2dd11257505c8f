//! Tokens that are good, and all the ways in which one is not.

mod issuer;
mod keeping;

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;
use crate::auth::{Credential, Group};
use crate::model::Timestamp;
use issuer::{SigningKey, encoded, key_set, message};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

fn settings() -> JwtSettings {
    JwtSettings {
        issuer: "https://issuer.example".into(),
        audiences: vec!["confwatch".to_owned(), "config".to_owned()],
        subject_claim: Claim::parse("sub").expect("a claim"),
        group_claims: ["groups", "/realm/roles"].map(|claim| Claim::parse(claim).expect("a claim")).to_vec(),
        leeway: Duration::from_secs(30),
        prefix: "corp#".into(),
        lifetime_max: Duration::from_secs(24 * 60 * 60),
    }
}

fn verifier(keys: &[&SigningKey]) -> Verifier {
    Verifier::new(settings(), KeySet::parse(key_set(keys).as_bytes()).expect("keys"))
}

fn seconds(count: i64) -> Timestamp {
    Timestamp(NOW.0 + count * 1_000_000)
}

/// Good ones, for an hour.
fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "confwatch", "sub": "alice", "exp": NOW.0 / 1_000_000 + 3600,
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

#[test]
fn a_token_of_every_kind_of_key_names_its_caller() {
    let keys = [SigningKey::ec("ec"), SigningKey::rsa("rsa"), SigningKey::ed("ed")];
    let verifier = verifier(&keys.each_ref());
    let claims = with(claims(), "groups", json!(["sre", "dev", "sre"]));
    let claims = with(claims, "realm", json!({"roles": "editor"}));
    for key in &keys {
        let caller = verifier.verify(&key.token(&claims), NOW).expect(key.id);
        assert_eq!(caller.actor(), "user:corp#alice");
        let groups: Vec<&str> = caller.principal().groups().iter().map(Group::as_str).collect();
        assert_eq!(groups, ["corp#dev", "corp#editor", "corp#sre"]);
        assert_eq!(caller.credential().to_string(), "jwt:https://issuer.example#alice");
        assert_eq!(caller.expires(), Some(seconds(3630)));
        let Credential::Jwt { key: id, .. } = caller.credential() else { panic!("{caller:?}") };
        assert_eq!(id.as_deref(), Some(key.id));
    }
}

#[test]
fn a_name_of_the_issuer_is_never_one_that_the_server_gives() {
    let key = SigningKey::ec("a");
    let verifier = verifier(&[&key]);
    for name in ["admin", "other#admin", "#admin", "user:admin"] {
        let caller = verifier.verify(&key.token(&with(claims(), "sub", json!(name))), NOW).expect(name);
        assert_eq!(caller.actor(), format!("user:corp#{name}"));
        assert_eq!(caller.principal().name_of_issuer(), Some(format!("corp#{name}").as_str()));
    }
    for name in ["", " admin", "admin\n", "adm\u{200b}in"] {
        let refused = verifier.verify(&key.token(&with(claims(), "sub", json!(name))), NOW).err();
        assert_eq!(refused, Some(JwtError::Claim("sub".to_owned())), "{name:?}");
        let refused = verifier.verify(&key.token(&with(claims(), "groups", json!([name]))), NOW).err();
        assert_eq!(refused, Some(JwtError::Claim("groups".to_owned())), "{name:?}");
    }
}

#[test]
fn a_token_that_holds_for_longer_than_is_accepted_is_refused() {
    let key = SigningKey::ec("a");
    let verifier = verifier(&[&key]);
    let now = NOW.0 / 1_000_000;
    let (day, year) = (24 * 3600, 365 * 24 * 3600);
    let verify = |issued: Option<i64>, expires: i64| {
        let claims = with(claims(), "exp", json!(now + expires));
        let claims = issued.map_or(claims.clone(), |issued| with(claims, "iat", json!(now + issued)));
        verifier.verify(&key.token(&claims), NOW).err()
    };
    assert_eq!(verify(None, day), None);
    assert_eq!(verify(Some(0), day), None);
    assert_eq!(
        verify(Some(-day), 3600),
        Some(JwtError::LifetimeTooLong),
        "its lifetime counts, not what is left of it"
    );
    assert_eq!(verify(None, year), Some(JwtError::LifetimeTooLong));
    assert_eq!(verify(Some(year), year + 60), Some(JwtError::LifetimeTooLong), "it is issued in the future");
    assert_eq!(verify(None, i64::MAX / 2_000_000), Some(JwtError::LifetimeTooLong));
}

#[test]
fn a_token_is_verified_once_and_remembered_until_the_keys_change() {
    let (key, other) = (SigningKey::ec("a"), SigningKey::ec("b"));
    let verifier = verifier(&[&key]);
    let token = key.token(&claims());
    assert!(verifier.verified(&token, NOW).is_none(), "no work is done on what is new");
    let first = verifier.verify(&token, NOW).expect("it is good");
    assert!(verifier.verified(&token, NOW).is_some_and(|known| known.is_ok()));
    assert_eq!(verifier.verified(&token, seconds(3630)).and_then(Result::err), Some(JwtError::Expired));
    let again = verifier.verify(&token, NOW).expect("it is good");
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    // Time goes on for what is remembered, too.
    assert_eq!(verifier.verify(&token, seconds(3630)).err(), Some(JwtError::Expired));

    let keys = |keys: &[&SigningKey]| KeySet::parse(key_set(keys).as_bytes()).expect("keys");
    assert!(!verifier.replace_keys(keys(&[&key])));
    assert!(verifier.replace_keys(keys(&[&key, &other])));
    assert!(verifier.verify(&token, NOW).is_ok() && verifier.recheck(&first, NOW).is_ok());
    assert_eq!(verifier.recheck(&first, seconds(3630)).err(), Some(JwtError::Expired));
    assert!(verifier.replace_keys(keys(&[&other])));
    assert_eq!(verifier.verify(&token, NOW).err(), Some(JwtError::UnknownKey(Some("a".to_owned()))));
    assert_eq!(verifier.recheck(&first, NOW).err(), Some(JwtError::UnknownKey(Some("a".to_owned()))));
    // Another key by the same name is another key; the same one by another name is the same.
    assert!(verifier.replace_keys(keys(&[&SigningKey::ec("a")])));
    assert_eq!(verifier.recheck(&first, NOW).err(), Some(JwtError::UnknownKey(Some("a".to_owned()))));
    let mut renamed = key.public();
    renamed["kid"] = json!("renamed");
    let renamed = json!({"keys": [renamed]}).to_string();
    assert!(verifier.replace_keys(KeySet::parse(renamed.as_bytes()).expect("keys")));
    assert!(verifier.recheck(&first, NOW).is_ok());
}

#[test]
fn a_token_without_a_signature_is_refused_however_it_says_so() {
    let key = SigningKey::rsa("rsa");
    let verifier = verifier(&[&key]);
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let message = message(&json!({"alg": name, "kid": "rsa"}), &claims());
        assert_eq!(verifier.verify(&format!("{message}."), NOW).err(), Some(JwtError::Algorithm), "{name}");
    }
    let message = message(&json!({"alg": "RS256", "kid": "rsa"}), &claims());
    assert_eq!(verifier.verify(&format!("{message}."), NOW).err(), Some(JwtError::Signature));
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    for key in [SigningKey::rsa("k"), SigningKey::ec("k"), SigningKey::ed("k")] {
        let verifier = verifier(&[&key]);
        for (name, algorithm) in
            [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
        {
            for secret in key.taken_for_secrets() {
                for header in [json!({"alg": name, "kid": "k"}), json!({"alg": name})] {
                    let message = message(&header, &claims());
                    let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), message.as_bytes());
                    let token = format!("{message}.{}", encoded(tag.as_ref()));
                    assert_eq!(verifier.verify(&token, NOW).err(), Some(JwtError::Algorithm));
                }
            }
        }
    }
}

#[test]
fn a_key_is_used_for_what_it_is_only() {
    let (rsa, ec) = (SigningKey::rsa("rsa"), SigningKey::ec("ec"));
    let verifier = verifier(&[&rsa, &ec]);
    let token =
        |key: &SigningKey, alg: &str, kid: &str| key.token_with(&json!({"alg": alg, "kid": kid}), &claims());
    assert_eq!(verifier.verify(&token(&ec, "ES256", "rsa"), NOW).err(), Some(JwtError::Algorithm));
    assert_eq!(verifier.verify(&token(&ec, "ES384", "ec"), NOW).err(), Some(JwtError::Algorithm));
    assert_eq!(verifier.verify(&token(&rsa, "PS256", "rsa"), NOW).err(), Some(JwtError::Signature));

    // A key that says what it is for.
    let set = |member: &str, value: Value| {
        let keys = json!({"keys": [with(rsa.public(), member, value), ec.public()]});
        KeySet::parse(keys.to_string().as_bytes()).expect("keys")
    };
    let verify = |set: KeySet| Verifier::new(settings(), set).verify(&token(&rsa, "RS256", "rsa"), NOW).err();
    assert_eq!(verify(set("alg", json!("RS256"))), None);
    assert_eq!(verify(set("alg", json!("RS512"))), Some(JwtError::Algorithm));
    let gone = Some(JwtError::UnknownKey(Some("rsa".to_owned())));
    for (member, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("RSA-OAEP")),
        ("kty", json!("X")),
    ] {
        let set = set(member, value.clone());
        assert_eq!((set.len(), set.ignored), (1, 1), "{member} {value}");
        assert_eq!(verify(set), gone, "{member} {value}");
    }
}

#[test]
fn a_key_in_the_token_is_not_looked_at() {
    let (known, own) = (SigningKey::ec("known"), SigningKey::ec("own"));
    let verifier = verifier(&[&known]);
    for kid in ["known", "own"] {
        let header = json!({"alg": "ES256", "kid": kid, "jwk": own.public(), "jku": "http://127.0.0.1:1/"});
        let expected = match kid {
            "known" => JwtError::Signature,
            _ => JwtError::UnknownKey(Some("own".to_owned())),
        };
        assert_eq!(verifier.verify(&own.token_with(&header, &claims()), NOW).err(), Some(expected));
    }
}

#[test]
fn a_token_that_names_no_key_is_of_the_only_one() {
    let (a, b) = (SigningKey::ec("a"), SigningKey::ec("b"));
    let rsa = SigningKey::rsa("rsa");
    let token = a.token_with(&json!({"alg": "ES256"}), &claims());
    assert!(verifier(&[&a, &rsa]).verify(&token, NOW).is_ok());
    assert_eq!(verifier(&[&a, &b]).verify(&token, NOW).err(), Some(JwtError::UnknownKey(None)));
    assert_eq!(verifier(&[&rsa]).verify(&token, NOW).err(), Some(JwtError::UnknownKey(None)));
    let none = Verifier::new(settings(), KeySet::default());
    assert_eq!(none.verify(&token, NOW).err(), Some(JwtError::NoKeys));
}

#[test]
fn a_changed_token_has_a_wrong_signature() {
    let (key, other) = (SigningKey::ec("a"), SigningKey::ec("a"));
    let verifier = verifier(&[&key]);
    assert_eq!(verifier.verify(&other.token(&claims()), NOW).err(), Some(JwtError::Signature));
    let good = key.token(&claims());
    let signature = good.rsplit('.').next().expect("a part");
    let changed =
        message(&json!({"alg": "ES256", "typ": "JWT", "kid": "a"}), &with(claims(), "sub", json!("root")));
    assert_eq!(verifier.verify(&format!("{changed}.{signature}"), NOW).err(), Some(JwtError::Signature));
    // A signature of zeros is valid where it is not looked for.
    let zeros = encoded(&[0; 64]);
    assert_eq!(verifier.verify(&format!("{changed}.{zeros}"), NOW).err(), Some(JwtError::Signature));
}

#[test]
fn a_token_holds_from_its_beginning_to_its_end_and_clocks_may_differ_a_little() {
    let key = SigningKey::ec("a");
    let verifier = verifier(&[&key]);
    let at = NOW.0 / 1_000_000;
    let check = |claims: Value, now: i64, expected: Option<JwtError>| {
        assert_eq!(verifier.verify(&key.token(&claims), seconds(now)).err(), expected, "{claims} {now}");
    };
    let ending = with(claims(), "exp", json!(at + 10));
    check(ending.clone(), 10, None);
    check(ending.clone(), 39, None);
    check(ending, 40, Some(JwtError::Expired));
    let beginning = with(claims(), "nbf", json!(at + 40));
    check(beginning.clone(), 9, Some(JwtError::NotYet));
    check(beginning, 10, None);
    check(with(claims(), "exp", json!(at as f64 - 29.5)), 0, None);
    check(with(claims(), "exp", json!(at as f64 - 30.5)), 0, Some(JwtError::Expired));
    check(with(claims(), "exp", json!(u64::MAX)), 0, Some(JwtError::LifetimeTooLong));
    check(with(claims(), "exp", json!(1e300)), 0, Some(JwtError::LifetimeTooLong));
    check(with(claims(), "exp", json!(-1e300)), 0, Some(JwtError::Expired));
    check(without(claims(), "exp"), 0, Some(JwtError::Claim("exp".to_owned())));
    check(with(claims(), "exp", json!("tomorrow")), 0, Some(JwtError::Claim("exp".to_owned())));
    check(with(claims(), "nbf", json!(null)), 0, Some(JwtError::Claim("nbf".to_owned())));
}

#[test]
fn a_token_of_others_or_for_others_is_refused() {
    let key = SigningKey::ec("a");
    let verifier = verifier(&[&key]);
    let check = |claims: Value, expected: Option<JwtError>| {
        assert_eq!(verifier.verify(&key.token(&claims), NOW).err(), expected, "{claims}");
    };
    check(with(claims(), "iss", json!("https://issuer.example/")), Some(JwtError::Issuer));
    check(with(claims(), "iss", json!(["https://issuer.example"])), Some(JwtError::Issuer));
    check(without(claims(), "iss"), Some(JwtError::Issuer));
    check(with(claims(), "aud", json!(["other", "config"])), None);
    for audience in [json!("other"), json!([]), json!(["confwatc"]), json!({"confwatch": 1}), json!(null)] {
        check(with(claims(), "aud", audience), Some(JwtError::Audience));
    }
    check(without(claims(), "aud"), Some(JwtError::Audience));
}

#[test]
fn a_claim_that_cannot_be_used_is_named() {
    let key = SigningKey::ec("a");
    let verifier = verifier(&[&key]);
    let check = |claims: Value, expected: JwtError| {
        assert_eq!(verifier.verify(&key.token(&claims), NOW).err(), Some(expected), "{claims}");
    };
    let wrong = |claim: &str| JwtError::Claim(claim.to_owned());
    check(without(claims(), "sub"), wrong("sub"));
    for subject in [json!(""), json!(7), json!("a\nb"), json!(" a"), json!("x".repeat(257))] {
        check(with(claims(), "sub", subject), wrong("sub"));
    }
    check(with(claims(), "groups", json!([1])), wrong("groups"));
    check(with(claims(), "groups", json!({"a": 1})), wrong("groups"));
    check(with(claims(), "realm", json!({"roles": [""]})), wrong("/realm/roles"));
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    check(with(claims(), "groups", json!(many)), JwtError::TooManyGroups);
}

#[test]
fn what_is_no_token_is_malformed() {
    let key = SigningKey::ec("a");
    let verifier = verifier(&[&key]);
    let good = key.token(&claims());
    let (header, rest) = good.split_once('.').expect("parts");
    let body = |header: &str| encoded(header.as_bytes());
    for text in [
        "".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}.x"),
        format!("{}.{rest}", body("[]")),
        format!("{}.{rest}", body("{\"alg\":\"ES256\",\"alg\":\"ES256\"}")),
        format!("{}.{rest}", body("{\"alg\":\"ES256\",\"kid\":1}")),
        format!("{}.{rest}", body("{\"alg\":\"ES256\",\"kid\":\"a\",\"crit\":[\"b64\"],\"b64\":false}")),
        format!("{header}==.{rest}"),
        format!("{header} .{rest}"),
        "x".repeat(TOKEN_BYTES_MAX + 1),
    ] {
        let refused = verifier.verify(&text, NOW).err();
        assert!(matches!(refused, Some(JwtError::Malformed(_))), "{text} {refused:?}");
    }
    let no_claims = key.token_with(&json!({"alg": "ES256", "kid": "a"}), &json!([1]));
    assert!(matches!(verifier.verify(&no_claims, NOW), Err(JwtError::Malformed(_))));
}

#[test]
fn a_set_without_usable_keys_is_empty_and_refuses_every_token() {
    let token = SigningKey::ec("a").token(&claims());
    for text in [r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}"#] {
        let keys = KeySet::parse(text.as_bytes()).expect("a set");
        assert!(keys.is_empty() && keys.is_read(), "{text}");
        let refused = Verifier::new(settings(), keys).verify(&token, NOW).err();
        assert_eq!(refused, Some(JwtError::UnknownKey(Some("a".to_owned()))), "{text}");
    }
}

#[test]
fn a_mark_of_the_byte_order_before_a_set_of_keys_is_skipped() {
    let key = SigningKey::ec("a");
    let set = format!("\u{feff}{}", key_set(&[&key]));
    let keys = KeySet::parse(set.as_bytes()).expect("a set");
    assert!(Verifier::new(settings(), keys).verify(&key.token(&claims()), NOW).is_ok());
}

#[test]
fn what_is_no_set_of_keys_is_told() {
    let check = |text: &str, expected: KeySetError| {
        assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(expected), "{text}");
    };
    check("", KeySetError::Form);
    check("<html>", KeySetError::Form);
    check("{\"keys\": {}}", KeySetError::Form);
    check(&json!({"keys": vec![json!({}); KEYS_MAX + 1]}).to_string(), KeySetError::TooMany(KEYS_MAX + 1));
}
