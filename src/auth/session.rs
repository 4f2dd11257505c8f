//! Sessions of people who have logged in: made, verified and ended. Knows the form in which sessions are stored; no cookie, no file and no clock.
//!
//! A session acts as the identity behind it, and ends with it: with the API token it was opened with, or after its time. A session is a record
//! and a secret, `cs_` and then as an API token. The records are stored as
//!
//! ```json
//! {"format": 1, "epoch": "00f1...", "sessions": {"8k2m4n6p8q0r": {
//!   "hash": "SHA-256 of the secret in hex", "subject": "user:alice", "groups": ["sre"], "token": "5f7h9k0m2n4p",
//!   "created": "2026-11-21T08:46:30Z", "used": "2026-11-21T09:10:00Z", "address": "192.0.2.7", "client": "Mozilla/5.0"
//! }}}
//! ```
//!
//! where `issuer` and `name` take the place of `token` if the person has logged in by OpenID Connect. Sessions are no config: neither the history nor
//! a backup has them, so that no rollback and no restore opens a session again that has ended. `epoch` is that of the store: the sessions of
//! another store are not read.

mod record;
mod set;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::TokenError;
use super::token::TokenId;
use crate::model::Timestamp;

pub use record::SessionRecord;
pub use set::{Listed, Sessions, SessionsFull};

/// The prefix of the secret of a session.
const PREFIX: &str = "cs_";
/// What of the name of a client is kept.
const CLIENT_BYTES_MAX: usize = 256;

/// For how long sessions are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// After the last call.
    pub idle: Duration,
    /// After the login.
    pub lifetime: Duration,
}

/// How a person has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginOrigin {
    /// With this API token.
    Token(TokenId),
    /// With an account of this issuer, under the name that the issuer gives.
    Issuer { issuer: Arc<str>, name: String },
}

/// A session that was opened just now.
pub struct NewSession {
    pub id: TokenId,
    /// The secret, for the client alone.
    pub text: Zeroizing<String>,
    /// When the session ends, if nobody uses it until then.
    pub ends: Timestamp,
    /// Older sessions of the same actor that were ended to make room.
    pub ended: Vec<TokenId>,
}

/// Why a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("this is no secret of a session")]
    Malformed,
    /// The id is unknown, the secret is another one, or the session has ended.
    #[error("the session is not known here, or has ended: log in again")]
    Unknown,
    #[error("the session was ended")]
    Ended,
    #[error("the session has expired: log in again")]
    Expired,
    /// The API token with which the session was opened is no longer good.
    #[error("{0}, and the session that was opened with it has ended")]
    Token(TokenError),
    #[error("the server no longer accepts logins of the issuer of this session")]
    OtherIssuer,
}

impl LoginOrigin {
    /// What of the origin must not end before the session. `issuer` is the issuer that the server accepts now.
    fn is_of(&self, accepted: Option<&str>) -> bool {
        match self {
            LoginOrigin::Token(_) => true,
            LoginOrigin::Issuer { issuer, .. } => accepted == Some(&**issuer),
        }
    }
}

/// `token:8k2m4n6p8q0r`, `jwt:https://issuer.example#alice`.
impl fmt::Display for LoginOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginOrigin::Token(id) => write!(f, "token:{id}"),
            LoginOrigin::Issuer { issuer, name } => write!(f, "jwt:{issuer}#{name}"),
        }
    }
}

impl fmt::Debug for NewSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession").field("id", &self.id).field("ended", &self.ended).finish_non_exhaustive()
    }
}
