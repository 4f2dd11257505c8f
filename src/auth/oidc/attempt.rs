//! An attempt to log in by an issuer, which the browser of the person keeps until the issuer sends the person back. Knows no cookie and no URL.
//!
//! The server keeps nothing of an attempt, so that nobody can fill its memory with attempts: what it needs is sealed into a text for the browser,
//! with a key that lives as long as the process.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::model::Timestamp;

/// An attempt that takes longer has failed.
pub const ATTEMPT_LIFETIME: Duration = Duration::from_secs(600);
/// Bytes of randomness of state, nonce and verifier.
const RANDOM_BYTES: usize = 32;

/// The values of one attempt.
#[derive(Deserialize, Serialize)]
pub struct Attempt {
    /// Returns with the person, so that a login of somebody else is not taken for this one.
    state: String,
    /// Is in the ID token, so that a token of another login is not taken for the one of this.
    nonce: String,
    /// Proves to the issuer that the code is redeemed by whoever began the attempt.
    verifier: String,
    /// The path of this server to which the person returns.
    return_to: String,
    /// In microseconds.
    ends: i64,
}

/// Authenticates attempts.
pub struct AttemptKey(Zeroizing<[u8; 32]>);

impl AttemptKey {
    pub fn random() -> Result<AttemptKey, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice())?;
        Ok(AttemptKey(key))
    }

    /// The attempt as the browser keeps it.
    pub fn seal(&self, attempt: &Attempt) -> String {
        let content = URL_SAFE_NO_PAD.encode(serde_json::to_vec(attempt).expect("texts and numbers"));
        let tag = URL_SAFE_NO_PAD.encode(self.mac(&content).finalize().into_bytes());
        format!("{content}.{tag}")
    }

    /// The attempt that a browser kept. `None`: it is none of this server, or took too long.
    pub fn open(&self, text: &str, now: Timestamp) -> Option<Attempt> {
        let (content, tag) = text.split_once('.')?;
        self.mac(content).verify_slice(&URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
        let attempt: Attempt = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).ok()?).ok()?;
        (now < Timestamp(attempt.ends)).then_some(attempt)
    }

    fn mac(&self, content: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("a key of any length");
        mac.update(content.as_bytes());
        mac
    }
}

impl Attempt {
    pub fn begin(return_to: String, now: Timestamp) -> Result<Attempt, getrandom::Error> {
        let random = || {
            let mut bytes = [0; RANDOM_BYTES];
            getrandom::fill(&mut bytes).map(|()| URL_SAFE_NO_PAD.encode(bytes))
        };
        let ends = now.plus(ATTEMPT_LIFETIME).0;
        Ok(Attempt { state: random()?, nonce: random()?, verifier: random()?, return_to, ends })
    }

    pub fn state(&self) -> &str {
        &self.state
    }

    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    pub fn verifier(&self) -> &str {
        &self.verifier
    }

    pub fn return_to(&self) -> &str {
        &self.return_to
    }

    /// The hash of the verifier, for the beginning.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_opened_by_its_server_in_time_and_unchanged() {
        let (key, other) =
            (AttemptKey::random().expect("randomness"), AttemptKey::random().expect("randomness"));
        let now = Timestamp(1_790_000_000_000_000);
        let attempt = Attempt::begin("/console".to_owned(), now).expect("randomness");
        let text = key.seal(&attempt);
        let opened = key.open(&text, now).expect("its own");
        assert_eq!((opened.state(), opened.return_to()), (attempt.state(), "/console"));
        assert!(key.open(&text, now.plus(ATTEMPT_LIFETIME)).is_none());
        assert!(other.open(&text, now).is_none());
        let (content, tag) = text.split_once('.').expect("two parts");
        for wrong in [
            "",
            ".",
            content,
            &format!("{content}."),
            &format!("x{content}.{tag}"),
            &format!("{content}.x{tag}"),
        ] {
            assert!(key.open(wrong, now).is_none(), "{wrong}");
        }
        let again = Attempt::begin("/".to_owned(), now).expect("randomness");
        assert!(again.state() != attempt.state() && again.nonce() != attempt.nonce());
    }

    /// The example of RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_the_hash_of_the_verifier() {
        let attempt = Attempt {
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
            ..Attempt::begin("/".to_owned(), Timestamp(0)).expect("randomness")
        };
        assert_eq!(attempt.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
