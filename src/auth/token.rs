//! Makes, stores and verifies API tokens. Knows neither the source of the document nor that of the randomness.
//!
//! Tokens are stored as
//!
//! ```json
//! {"tokens": {"8k2m4n6p8q0r": {
//!   "name": "deploys of the shop", "hash": "SHA-256 of the secret in hex", "subject": "token:ci", "groups": ["deployers"],
//!   "created": "2026-11-21T08:46:30Z", "expires": "2027-11-21T08:46:30Z", "revoked": "2027-01-02T03:04:05Z"
//! }}}
//! ```
//!
//! where `groups`, `expires` and `revoked` may be missing. The id is part of the token, see `text`.

mod record;
mod set;
#[cfg(test)]
mod tests;
pub(super) mod text;

use std::fmt;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Principal;
use crate::model::Timestamp;

pub use record::{NAME_CHARS_MAX, TokenRecord};
pub use set::{Listed, TOKENS_MAX, TokenSet};
pub use text::{PREFIX, RANDOM_BYTES, TokenId};

/// A token that was made just now.
pub struct NewToken {
    pub id: TokenId,
    /// To be shown once, to the caller who made the token.
    pub text: Zeroizing<String>,
    pub record: TokenRecord,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is no token: mistyped, cut off, or something else.
    #[error("this is no API token: it {0}")]
    Malformed(&'static str),
    /// The id is unknown, or the secret is another one.
    #[error("the API token is not known here")]
    Unknown,
    #[error("the API token was revoked")]
    Revoked,
    #[error("the API token has expired")]
    Expired,
}

/// Why no token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotMade(&'static str);

/// Randomness for one token, from the operating system.
pub fn random() -> Result<Zeroizing<[u8; RANDOM_BYTES]>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(bytes)
}

/// Makes a token. The token is valid once its record is stored.
pub fn make(
    random: &Zeroizing<[u8; RANDOM_BYTES]>,
    name: &str,
    principal: Principal,
    created: Timestamp,
    expires: Option<Timestamp>,
) -> Result<NewToken, NotMade> {
    record::check_name(name).map_err(NotMade)?;
    record::check_subject(principal.subject()).map_err(NotMade)?;
    if expires.is_some_and(|expires| expires <= created) {
        return Err(NotMade("it would have expired already"));
    }
    let (presented, text) = text::make(PREFIX, random);
    let hash = presented.secret.hash();
    let record = TokenRecord { name: name.to_owned(), hash, principal, created, expires, revoked: None };
    Ok(NewToken { id: presented.id, text, record })
}

/// The merge patch that stores a new token.
pub fn patch_to_add(new: &NewToken) -> Value {
    json!({"tokens": {new.id.to_string(): new.record.to_value()}})
}

/// The merge patch that revokes a token.
pub fn patch_to_revoke(id: TokenId, now: Timestamp) -> Value {
    json!({"tokens": {id.to_string(): {"revoked": now.to_string()}}})
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("id", &self.id).field("record", &self.record).finish_non_exhaustive()
    }
}
