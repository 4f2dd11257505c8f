//! The required claims of JSON web tokens, and the claims that name users and groups. Knows no token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::model::{Pointer, PointerError};

/// The issuer and the audiences of accepted tokens, and the claims that are read.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// The required value of `iss`.
    pub issuer: Arc<str>,
    /// Audiences, one of which must be in `aud`. Empty: no token is accepted.
    pub audiences: Vec<String>,
    /// The prefix of every name of users and groups from the issuer: a prefix ends in `#`, and has no other `#`. Names that the server gives
    /// itself have no `#`, so the issuer cannot name the built-in administrator.
    pub prefix: Arc<str>,
    /// The longest lifetime of a token, from its issue (`iat`, or now if the token has none).
    pub lifetime_max: Duration,
    /// The claim with the name: `user:PREFIX#NAME`.
    pub subject_claim: Claim,
    /// The claims with groups. A claim of roles is a claim of groups, too: the policy grants permissions to both.
    pub group_claims: Vec<Claim>,
    /// The largest difference of clocks that is accepted.
    pub leeway: Duration,
}

/// A place in the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A member of the claims, which may have any name: `groups`, `https://example.com/roles`.
    Member(String),
    /// A place within: `/realm_access/roles`.
    Place(Pointer),
}

impl Claim {
    /// Reads the name of a claim, or a JSON pointer (RFC 6901), which begins with `/`.
    pub fn parse(text: &str) -> Result<Claim, PointerError> {
        match text.starts_with('/') {
            true => Pointer::parse(text).map(Claim::Place),
            false => Ok(Claim::Member(text.to_owned())),
        }
    }

    pub(super) fn find<'v>(&self, claims: &'v Value) -> Option<&'v Value> {
        match self {
            Claim::Member(name) => claims.get(name),
            Claim::Place(pointer) => pointer.find(claims),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claim::Member(name) => f.write_str(name),
            Claim::Place(pointer) => pointer.fmt(f),
        }
    }
}
