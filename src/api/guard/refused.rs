//! The reasons for which a credential is refused. Knows credentials; `status` has the answers for clients.

use crate::auth::jwt::JwtError;
use crate::auth::{SessionError, SubjectError, TokenError};

/// The call is refused, since its caller is not authenticated.
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
    /// The credential has the form of a JSON web token, and the server has no issuer.
    #[error("this is no API token, and JSON web tokens are not accepted here")]
    NoIssuer,
    #[error("the client certificate names nobody: {0}")]
    Certificate(SubjectError),
    #[error("the client certificate has expired")]
    CertificateExpired,
    /// A login by the issuer was begun by somebody else, took too long, or the issuer refuses it.
    #[error("the login failed: {0}")]
    Login(String),
    /// The text is for the operator.
    #[error("the issuer cannot be reached now")]
    IssuerUnavailable(String),
    #[error("{0}")]
    Session(#[from] SessionError),
    /// Too many credentials from the address were refused, and this one was not verified before.
    #[error("the credential was not looked at")]
    NotLookedAt,
}

impl Refused {
    /// The credential may be valid: the server cannot verify it now.
    pub fn is_ours(&self) -> bool {
        matches!(self, Refused::Jwt(JwtError::NoKeys) | Refused::IssuerUnavailable(_))
    }
}
