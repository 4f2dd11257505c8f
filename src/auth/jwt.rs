//! Verifies JSON web tokens (RFC 7519) of one issuer. Knows the keys and the required claims; never a request.
//!
//! `Verifier` checks tokens, `Keeper` keeps its keys up to date. A token is good if a key of the issuer signed it, with an algorithm that
//! is one of that key (RS, PS, ES and EdDSA: none with a shared secret), if `iss` and `aud` are as set, and the time is after `nbf` and
//! before `exp`, which must be there. What it says before its signature is verified matters for choosing the key only; `jwk`, `jku` and
//! `x5u` of its header are never looked at.

mod claims;
mod keeper;
mod keys;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod verifier;

pub use keeper::{Keeper, Timing};
pub use keys::{KEYS_MAX, KeySet, KeySetError};
pub use settings::{Claim, JwtSettings};
pub use source::{KEYS_BYTES_MAX, KeySource, KeysError};
pub use token::TOKEN_BYTES_MAX;
pub use verifier::Verifier;

/// Why a token is refused. Quotes nothing of the token but names of claims and keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("this is no JSON web token that can be read here: {0}")]
    Malformed(&'static str),
    /// The algorithm is not accepted, or the key has another one.
    #[error("the JSON web token is signed with an algorithm that is not accepted for its key")]
    Algorithm,
    /// The issuer may have added the key since its keys were last read.
    #[error("the JSON web token is signed with a key that is not known here{}", named(.0))]
    UnknownKey(Option<String>),
    /// Try again later: the keys of the issuer could not be read yet.
    #[error("the keys of the issuer are not known yet")]
    NoKeys,
    #[error("the signature of the JSON web token is wrong")]
    Signature,
    #[error("the JSON web token has expired")]
    Expired,
    #[error("the JSON web token holds for longer than is accepted here")]
    LifetimeTooLong,
    #[error("the JSON web token does not hold yet")]
    NotYet,
    #[error("the JSON web token is for another audience")]
    Audience,
    #[error("the JSON web token is of another issuer")]
    Issuer,
    /// The claim is missing, or not what it must be.
    #[error("the claim {0} of the JSON web token cannot be used")]
    Claim(String),
    #[error("the JSON web token names more than {} groups", super::GROUPS_MAX)]
    TooManyGroups,
}

fn named(key: &Option<String>) -> String {
    key.as_ref().map(|key| format!(": {key:?}")).unwrap_or_default()
}
