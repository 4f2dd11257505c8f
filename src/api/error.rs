//! `ApiError`, the one value from which every transport makes its error response: code, reason, metadata, details and when to retry; and the errors of
//! authentication and authorization. Those of the engine, of backups and of calls as such are in files beside this one. Knows no transport.

use std::time::Duration;

use http::StatusCode;

use crate::auth::jwt::JwtError;
use crate::auth::token::TokenId;
use crate::auth::{Denied, Resource, SessionError, TokenError};
use crate::proto::v1;

use super::code_name::code_name;
use super::convert::bounded::shortened;
use super::guard::rates::RateLimited;
use super::guard::refused::Refused;

/// The domain of every reason.
pub const DOMAIN: &str = "confwatch";

/// The reason of a refusal, and the outcome in the audit log: the actor was shown too many secrets.
pub const SECRET_REVEALS_LIMITED: &str = "SECRET_REVEALS_LIMITED";
/// The same of documents that the caller may not read.
pub const HIDDEN_FINDINGS_LIMITED: &str = "HIDDEN_FINDINGS_LIMITED";

/// The audit log cannot be read, or not be written.
pub const AUDIT_LOG_UNAVAILABLE: &str = "AUDIT_LOG_UNAVAILABLE";

/// In the metadata of a denial: the reason that the caller gave for the change.
pub const STATED_REASON: &str = "stated_reason";

/// Clients that were refused because of too many calls retry spread over at least this time.
const RETRIES_SPREAD: Duration = Duration::from_millis(500);

/// Why an operation failed, as its client learns it.
#[derive(Debug)]
pub struct ApiError(Box<Facts>);

/// The content of an error.
#[derive(Debug)]
pub struct Facts {
    pub code: Code,
    /// Stable, in UPPER_SNAKE. Clients branch on the reason.
    pub reason: &'static str,
    pub message: String,
    pub metadata: Vec<(&'static str, String)>,
    pub details: Vec<Detail>,
    /// The client should not retry before this time has passed.
    pub retry: Option<Duration>,
    /// The HTTP status where the one of the code says less.
    pub status: Option<StatusCode>,
    /// What failed within the server, with its paths and the errors of its system: for the log of the server, never for a client.
    pub cause: Option<String>,
}

/// More about an error, for programs.
#[derive(Debug)]
pub enum Detail {
    /// The field of the request that is wrong.
    Field { field: String, description: String },
    /// The findings that refused a change.
    Findings(v1::ValidationReport),
    /// The values that keep commits from being taken back.
    Conflicts(v1::RevertConflicts),
}

/// The kinds of errors, numbered as in `google.rpc.Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Cancelled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// The name in `google.rpc.Code`.
    pub fn name(self) -> &'static str {
        code_name(self as i32)
    }

    /// The HTTP status of the same kind, as `google.rpc.Code` has it.
    pub fn http(self) -> StatusCode {
        match self {
            // Of a client that has closed the request. The status has no name.
            Code::Cancelled => StatusCode::from_u16(499).expect("three digits"),
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        }
    }
}

impl std::ops::Deref for ApiError {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl ApiError {
    pub(super) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> ApiError {
        let message = shortened(&message.into());
        let (metadata, details) = (vec![], vec![]);
        let (retry, status, cause) = (None, None, None);
        ApiError(Box::new(Facts { code, reason, message, metadata, details, retry, status, cause }))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> ApiError {
        self.0.metadata.push((name, shortened(&value.to_string())));
        self
    }

    /// The error of one field of the request. The message names the field, for clients that show no details.
    pub(super) fn of_field(code: Code, reason: &'static str, field: &str, description: &str) -> ApiError {
        ApiError::new(code, reason, format!("{field}: {description}")).about_field(field, description)
    }

    pub(super) fn about_field(mut self, field: &str, description: &str) -> ApiError {
        let (field, description) = (shortened(field), shortened(description));
        self.0.details.push(Detail::Field { field, description });
        self
    }

    /// The same error with what failed within the server, which `ApiError::log_cause` writes to the log.
    pub(super) fn caused_by(mut self, cause: impl std::fmt::Display) -> ApiError {
        self.0.cause = Some(cause.to_string());
        self
    }

    pub(super) fn with_detail(mut self, detail: Detail) -> ApiError {
        self.0.details.push(detail);
        self
    }

    pub(super) fn retry_after(self, delay: Duration) -> ApiError {
        // Jittered, so that the clients of a server that goes away do not all retry at once.
        self.retry_in(delay.mul_f64(0.5 + fastrand::f64()))
    }

    /// A retry before the delay is refused again. Clients that were refused at once retry spread over a while.
    pub(super) fn retry_no_sooner_than(self, delay: Duration) -> ApiError {
        let spread = (delay / 2).max(RETRIES_SPREAD);
        self.retry_in(delay + spread.mul_f64(fastrand::f64()))
    }

    pub(super) fn retry_in(mut self, delay: Duration) -> ApiError {
        self.0.retry = Some(delay);
        self
    }

    /// The same error with an HTTP status that says more than the one of its code.
    pub(super) fn answered_with(mut self, status: StatusCode) -> ApiError {
        self.0.status = Some(status);
        self
    }

    /// The HTTP status of a response that has nothing but this error.
    pub fn http(&self) -> StatusCode {
        self.status.unwrap_or_else(|| self.code.http())
    }

    /// The value in the metadata with this name; empty if there is none.
    pub fn value(&self, name: &str) -> &str {
        self.metadata.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> ApiError {
        let message = refused.to_string();
        let unauthenticated = |reason| ApiError::new(Code::Unauthenticated, reason, message.clone());
        match &refused {
            Refused::NoCredential => unauthenticated("NO_CREDENTIAL"),
            Refused::Malformed(_) | Refused::Certificate(_) => unauthenticated("CREDENTIAL_MALFORMED"),
            Refused::Token(error) => unauthenticated(reason_of_token(*error)),
            Refused::Jwt(JwtError::NoKeys) => ApiError::new(Code::Unavailable, "ISSUER_UNAVAILABLE", message)
                .retry_after(Duration::from_secs(1)),
            Refused::Jwt(error) => unauthenticated(reason_of_jwt(error)),
            Refused::Login(_) => unauthenticated("LOGIN_FAILED"),
            Refused::IssuerUnavailable(cause) => {
                ApiError::new(Code::Unavailable, "ISSUER_UNAVAILABLE", message)
                    .caused_by(format_args!("a login by the issuer failed: {cause}"))
                    .retry_after(Duration::from_secs(1))
            }
            Refused::NoIssuer => unauthenticated("CREDENTIAL_UNKNOWN"),
            Refused::CertificateExpired => unauthenticated("CREDENTIAL_EXPIRED"),
            Refused::NotLookedAt => unauthenticated("CREDENTIAL_UNKNOWN"),
            Refused::Session(error) => unauthenticated(reason_of_session(*error)),
        }
    }
}

impl From<RateLimited> for ApiError {
    fn from(limited: RateLimited) -> ApiError {
        ApiError::new(Code::ResourceExhausted, "RATE_LIMITED", limited.to_string())
            .with("limit", limited.limit.as_str())
            .with("per_second", limited.rate.per_second)
            .with("burst", limited.rate.burst)
            .retry_no_sooner_than(limited.wait)
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> ApiError {
        let error = ApiError::new(Code::PermissionDenied, "PERMISSION_DENIED", denied.to_string())
            .with("actor", &denied.actor)
            .with("verb", denied.verb)
            .with("resource", &denied.resource);
        let error = match &denied.resource {
            Resource::Store | Resource::Any => error,
            Resource::Commit(revision) => error.with("revision", revision),
            Resource::Namespace(namespace) => error.with("namespace", namespace),
            Resource::Configs { namespace, scope } => error.with("namespace", namespace).with("scope", scope),
            Resource::Config { id, scope } => {
                error.with("namespace", &id.namespace).with("config", &id.config).with("scope", scope)
            }
        };
        match denied.reason.as_str() {
            "" => error,
            reason => error.with(STATED_REASON, reason),
        }
    }
}

fn reason_of_token(error: TokenError) -> &'static str {
    match error {
        TokenError::Malformed(_) => "CREDENTIAL_MALFORMED",
        TokenError::Unknown => "CREDENTIAL_UNKNOWN",
        TokenError::Revoked => "CREDENTIAL_REVOKED",
        TokenError::Expired => "CREDENTIAL_EXPIRED",
    }
}

fn reason_of_session(error: SessionError) -> &'static str {
    match error {
        SessionError::Malformed => "CREDENTIAL_MALFORMED",
        SessionError::Unknown | SessionError::OtherIssuer => "CREDENTIAL_UNKNOWN",
        SessionError::Ended => "CREDENTIAL_REVOKED",
        SessionError::Expired => "CREDENTIAL_EXPIRED",
        SessionError::Token(error) => reason_of_token(error),
    }
}

fn reason_of_jwt(error: &JwtError) -> &'static str {
    match error {
        JwtError::Malformed(_) | JwtError::Claim(_) | JwtError::TooManyGroups => "CREDENTIAL_MALFORMED",
        JwtError::Expired => "CREDENTIAL_EXPIRED",
        JwtError::NoKeys => "ISSUER_UNAVAILABLE",
        JwtError::Algorithm
        | JwtError::UnknownKey(_)
        | JwtError::Signature
        | JwtError::NotYet
        | JwtError::LifetimeTooLong
        | JwtError::Audience
        | JwtError::Issuer => "CREDENTIAL_UNKNOWN",
    }
}

/// The files of the audit log cannot be read now.
pub fn audit_log_unreadable(error: &std::io::Error) -> ApiError {
    let message = "the audit log cannot be read now: the log of the server has the cause";
    ApiError::new(Code::Unavailable, AUDIT_LOG_UNAVAILABLE, message)
        .caused_by(format_args!("the audit log cannot be read: {error}"))
        .retry_after(Duration::from_secs(5))
}

/// The operating system gives no randomness.
pub fn no_randomness(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(Code::Internal, "INTERNAL", "the server has no randomness for a token")
        .caused_by(format_args!("there is no randomness for a token: {error}"))
}

/// There never was a token with this id.
pub fn token_not_found(id: TokenId) -> ApiError {
    ApiError::new(Code::NotFound, "TOKEN_NOT_FOUND", format!("there is no token {id}")).with("id", id)
}

/// There is no session with this id.
pub fn session_not_found(id: TokenId) -> ApiError {
    let message = format!("there is no session {id}, or it has ended");
    ApiError::new(Code::NotFound, "SESSION_NOT_FOUND", message).with("id", id)
}

/// No session is opened: there are too many.
pub fn too_many_sessions() -> ApiError {
    let message = "there are too many sessions on this server: end some, or wait until some have expired";
    ApiError::new(Code::ResourceExhausted, "TOO_MANY_SESSIONS", message)
}

/// The disk does not take the sessions. A session that was ended has ended all the same, until the server is started again.
pub fn session_not_stored(error: &std::io::Error) -> ApiError {
    let message = "the sessions cannot be stored now: the log of the server has the cause";
    ApiError::new(Code::Unavailable, "SESSION_NOT_STORED", message)
        .caused_by(format_args!("the sessions cannot be stored: {error}"))
        .retry_after(Duration::from_secs(5))
}

/// The server has no issuer for logins.
pub fn login_not_offered() -> ApiError {
    let message = "the server has no issuer for logins (--oidc-issuer): log in with an API token";
    ApiError::new(Code::NotFound, "LOGIN_NOT_OFFERED", message)
}

/// The server authenticates nobody.
pub fn authentication_off() -> ApiError {
    let message = "the server does not authenticate callers (--auth off): nobody needs to log in";
    ApiError::new(Code::FailedPrecondition, "AUTHENTICATION_OFF", message)
}
