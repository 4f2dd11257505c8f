//! Verifies JSON web tokens with keys. Knows neither the source of the keys nor a clock.

use std::sync::Arc;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::claims::{Claims, Validity};
use super::token::{Parts, TOKEN_BYTES_MAX};
use super::{JwtError, JwtSettings, KeySet};
use crate::auth::{Caller, Credential, Principal};
use crate::model::Timestamp;

/// The most verified tokens that are remembered: beyond the limit, tokens that are not used are forgotten and verified again.
const VERIFIED_MAX: usize = 10_000;

/// Checks the tokens of one issuer.
#[derive(Debug)]
pub struct Verifier {
    settings: JwtSettings,
    state: ArcSwap<State>,
    /// How often the keys were replaced by others.
    generation: watch::Sender<u64>,
}

/// Verified tokens, which are forgotten with the keys that verified them.
#[derive(Debug)]
struct State {
    keys: KeySet,
    /// By SHA-256 of the token, so that no token is kept: a signature costs a hundred times as much as a look-up.
    verified: Cache<[u8; 32], Verified>,
}

#[derive(Clone, Debug)]
struct Verified {
    caller: Arc<Caller>,
    validity: Validity,
}

impl Verifier {
    pub fn new(settings: JwtSettings, keys: KeySet) -> Verifier {
        Verifier {
            settings,
            state: ArcSwap::from_pointee(State::new(keys)),
            generation: watch::Sender::new(0),
        }
    }

    /// The issuer whose tokens are verified.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The caller of a token, if the token is valid now.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, JwtError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::Malformed("it is too long"));
        }
        let state = self.state.load();
        let digest = Sha256::digest(text).into();
        if let Some(known) = state.known(&digest, now) {
            return known;
        }
        let (verified, _) = self.check(text, &state.keys, &self.settings.audiences)?;
        verified.validity.check(now)?;
        // If the keys were replaced meanwhile, this is forgotten with the old ones.
        state.verified.insert(digest, verified.clone());
        Ok(verified.caller)
    }

    /// The same for a token that was verified before. `None`: the token was not, and no work is done for it.
    pub fn verified(&self, text: &str, now: Timestamp) -> Option<Result<Arc<Caller>, JwtError>> {
        let short = Some(text).filter(|text| text.len() <= TOKEN_BYTES_MAX)?;
        self.state.load().known(&Sha256::digest(short).into(), now)
    }

    /// The person of an ID token (OpenID Connect Core, 3.1.3.7), with which the issuer answers a login at this client. It is not remembered.
    pub fn verify_id_token(
        &self,
        text: &str,
        client_id: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<Arc<Caller>, JwtError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::Malformed("it is too long"));
        }
        let (verified, claims) = self.check(text, &self.state.load().keys, &[client_id.to_owned()])?;
        verified.validity.check(now)?;
        let text_of = |name: &str| claims.get(name).and_then(Value::as_str);
        if text_of("nonce") != Some(nonce) {
            return Err(JwtError::Claim("nonce".to_owned()));
        }
        // Of several audiences, the authorized party says for which of them the token was made.
        let is_of_several = matches!(claims.get("aud"), Some(Value::Array(audiences)) if audiences.len() > 1);
        match claims.get("azp") {
            None if is_of_several => Err(JwtError::Claim("azp".to_owned())),
            None => Ok(verified.caller),
            Some(party) if party.as_str() == Some(client_id) => Ok(verified.caller),
            Some(_) => Err(JwtError::Audience),
        }
    }

    /// Whether what was found for a token still holds, for streams that were opened with one: it has not expired, and the issuer still has
    /// the key.
    pub fn recheck(&self, caller: &Caller, now: Timestamp) -> Result<(), JwtError> {
        let Credential::Jwt { key, thumbprint, .. } = caller.credential() else {
            return Err(JwtError::Malformed("the caller came with another credential"));
        };
        if caller.is_expired(now) {
            return Err(JwtError::Expired);
        }
        match self.state.load().keys.has(thumbprint) {
            true => Ok(()),
            false => Err(JwtError::UnknownKey(key.clone())),
        }
    }

    /// Whether the keys of the issuer were ever read.
    pub fn has_read_keys(&self) -> bool {
        self.state.load().keys.is_read()
    }

    /// Notifies of changed keys: callers that the old keys verified are to be verified again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Replaces the keys. Whether the keys differ from those before.
    pub fn replace_keys(&self, keys: KeySet) -> bool {
        let is_same = self.state.load().keys.is_same(&keys);
        if !is_same {
            self.state.store(Arc::new(State::new(keys)));
            self.generation.send_modify(|count| *count += 1);
        }
        !is_same
    }

    /// The name of a bearer as the issuer gives it.
    fn own_name<'p>(&self, bearer: &'p Principal) -> &'p str {
        let name = bearer.subject().name();
        name.strip_prefix(&*self.settings.prefix).unwrap_or(name)
    }

    fn check(&self, text: &str, keys: &KeySet, audiences: &[String]) -> Result<(Verified, Value), JwtError> {
        let parts = Parts::of(text)?;
        if !keys.is_read() {
            return Err(JwtError::NoKeys);
        }
        let key = keys.find(parts.key_id.as_deref(), parts.algorithm)?;
        key.verify(parts.message.as_bytes(), parts.signature, parts.algorithm)?;
        // No claim of a token is read before its signature is verified.
        let claims = parts.claims()?;
        let Claims { principal, validity } = Claims::read(&claims, audiences, &self.settings)?;
        let credential = Credential::Jwt {
            issuer: self.settings.issuer.clone(),
            subject: self.own_name(&principal).to_owned(),
            key: key.id.clone(),
            thumbprint: key.thumbprint,
        };
        let caller = Caller::new(principal, credential, Some(validity.until));
        Ok((Verified { caller, validity }, claims))
    }
}

impl State {
    fn new(keys: KeySet) -> State {
        State { keys, verified: Cache::new(VERIFIED_MAX) }
    }

    fn known(&self, digest: &[u8; 32], now: Timestamp) -> Option<Result<Arc<Caller>, JwtError>> {
        let known = self.verified.get(digest)?;
        Some(known.validity.check(now).map(|()| known.caller))
    }
}
