//! The reasons for which a credential is refused. Knows credentials; `status` has the answers for clients.

use crate::auth::jwt::JwtError;
use crate::auth::{SubjectError, TokenError};

/// The call is not let in: who makes it is not known.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "the call has no credential: metadata `authorization: Bearer TOKEN`, or a client certificate, is expected"
    )]
    NoCredential,
    #[error("the credential cannot be read: {0}")]
    Malformed(&'static str),
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    Jwt(#[from] JwtError),
    /// It looks like one, and there is no issuer whose tokens would be good.
    #[error("this is no API token, and JSON web tokens are not accepted here")]
    NoIssuer,
    #[error("the client certificate names nobody: {0}")]
    Certificate(SubjectError),
    #[error("the client certificate has expired")]
    CertificateExpired,
    /// Too many were refused from its address, and this one is not known.
    #[error("the credential was not looked at")]
    NotLookedAt,
}

impl Refused {
    /// It may be good: the server cannot tell.
    pub fn is_ours(&self) -> bool {
        matches!(self, Refused::Jwt(JwtError::NoKeys))
    }
}
