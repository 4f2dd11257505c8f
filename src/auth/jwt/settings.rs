//! The required claims of JSON web tokens, and the claims that name users and groups. Knows no token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::model::{Pointer, PointerError};

/// Whose tokens are taken, and what is read in them.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// What `iss` must be.
    pub issuer: Arc<str>,
    /// Of these one must be in `aud`. None: no token is taken.
    pub audiences: Vec<String>,
    /// What goes before every name that the issuer gives, of users and groups: it ends in `#`, and has no other. Names that the server gives
    /// itself have no `#`, so the issuer cannot name the built-in administrator.
    pub prefix: Arc<str>,
    /// How long a token may hold at most, from when it was issued (`iat`, or now if it does not say).
    pub lifetime_max: Duration,
    /// Where the name is: `user:PREFIX#NAME`.
    pub subject_claim: Claim,
    /// Where groups are. A claim of roles is one of groups, too: what they may do, and where, is for the policy to say.
    pub group_claims: Vec<Claim>,
    /// How far clocks may differ.
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
