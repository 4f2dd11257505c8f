//! The public keys of an issuer (RFC 7517). Knows the key that verifies a token, and how; never the claims of the token.
//!
//! What a key is good for is said by the key, never by the token: an RSA key checks RSA signatures, and a token that asks to be checked
//! with a public key as if it were a shared secret finds no such algorithm. Shared secrets are not taken at all: who can check with one
//! can also sign.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::JwtError;

/// The most keys of one issuer.
pub const KEYS_MAX: usize = 100;

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The keys as one document has them.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// The digest of the document of the keys, to detect changes.
    source: Value,
    /// Members of the document that are no keys for signatures that are understood here.
    pub ignored: usize,
}

#[derive(Debug)]
pub(super) struct Key {
    pub id: Option<String>,
    /// The algorithms of the key.
    algorithms: Vec<Algorithm>,
    /// SHA-256 of the parameters of the key, without its name.
    pub thumbprint: [u8; 32],
    key: DecodingKey,
}

/// Why a document is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("it is not JSON with a list \"keys\"")]
    Form,
    #[error("it has {0} keys, at most {KEYS_MAX} are allowed")]
    TooMany(usize),
    /// Of a file at the start only: later, an issuer without keys is one that has revoked them all.
    #[error("it has no key for signatures that are understood here (RSA, P-256, P-384, Ed25519)")]
    Nothing,
}

impl KeySet {
    /// Reads `{"keys": [...]}`. Keys of kinds that are not known here, and those for encryption, are left out, as RFC 7517 says. The set may be
    /// empty.
    pub fn parse(text: &[u8]) -> Result<KeySet, KeySetError> {
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let document: Value = serde_json::from_slice(text).map_err(|_| KeySetError::Form)?;
        let members = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::Form)?;
        if members.len() > KEYS_MAX {
            return Err(KeySetError::TooMany(members.len()));
        }
        let keys: Vec<Key> = members.iter().filter_map(Key::read).collect();
        let ignored = members.len() - keys.len();
        Ok(KeySet { keys, source: document, ignored })
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the set was read from a document: an issuer whose keys were never read may have some.
    pub fn is_read(&self) -> bool {
        !self.source.is_null()
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_same(&self, other: &KeySet) -> bool {
        self.source == other.source
    }

    /// Whether a key is still there, whatever its name is by now.
    pub(super) fn has(&self, thumbprint: &[u8; 32]) -> bool {
        self.keys.iter().any(|key| key.thumbprint == *thumbprint)
    }

    /// The key that a token names, if the algorithm is one of it; of a token that names none, the only key that has the algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, JwtError> {
        let Some(id) = id else {
            let mut able = self.keys.iter().filter(|key| key.algorithms.contains(&algorithm));
            return match (able.next(), able.next()) {
                (Some(key), None) => Ok(key),
                (Some(_), Some(_)) | (None, _) => Err(JwtError::UnknownKey(None)),
            };
        };
        let mut named = self.keys.iter().filter(|key| key.id.as_deref() == Some(id)).peekable();
        if named.peek().is_none() {
            return Err(JwtError::UnknownKey(Some(id.chars().take(64).collect())));
        }
        named.find(|key| key.algorithms.contains(&algorithm)).ok_or(JwtError::Algorithm)
    }
}

impl Key {
    fn read(member: &Value) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(member.clone()).ok()?;
        let common = &jwk.common;
        let is_for_signatures = match &common.public_key_use {
            Some(PublicKeyUse::Signature) | None => true,
            Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
        };
        let operations = common.key_operations.as_ref();
        if !is_for_signatures || operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
            return None;
        }
        let of_kind: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &RSA,
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            // Shared secrets, other curves, and what there may be one day.
            _ => return None,
        };
        let algorithms = match common.key_algorithm {
            Some(only) => {
                of_kind.iter().copied().filter(|of_kind| Algorithm::try_from(only) == Ok(*of_kind)).collect()
            }
            None => of_kind.to_vec(),
        };
        if algorithms.is_empty() {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let thumbprint = Sha256::digest(serde_json::to_vec(&jwk.algorithm).ok()?).into();
        Some(Key { id: common.key_id.clone(), algorithms, thumbprint, key })
    }

    /// Whether the key signed the message.
    pub fn verify(&self, message: &[u8], signature: &str, algorithm: Algorithm) -> Result<(), JwtError> {
        match jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(JwtError::Signature),
        }
    }
}
