//! `ApiError`, the one value from which every transport makes its error response, and the one table from the errors of all layers to
//! it: code, reason, metadata, details and when to retry. Knows no transport.

use std::time::Duration;

use http::StatusCode;
use prost::Message;

use crate::auth::jwt::JwtError;
use crate::auth::token::TokenId;
use crate::auth::{Denied, Resource, TokenError};
use crate::engine::{Error, Limit, Missing, SourceError, Withheld};
use crate::model::quota::Quota;
use crate::proto::v1;
use crate::validate::Report;

use super::convert::bounded::shortened;
use super::convert::response::{conflicts_message, report_message};
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

/// The largest report in an error. Errors travel in the header fields of HTTP/2, and many clients take no
/// more than 8 KiB of them: a larger error would not arrive at all.
const REPORT_BYTES_MAX: usize = 2560;

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

/// A request that the transport could not even read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Malformed,
    TooLarge { limit: usize },
    TooManyFields { limit: usize },
    NotGrpc,
    UnknownMethod,
    Encoding,
}

impl Code {
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
        ApiError(Box::new(Facts { code, reason, message, metadata: vec![], details: vec![], retry: None }))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> ApiError {
        self.0.metadata.push((name, shortened(&value.to_string())));
        self
    }

    fn about_field(mut self, field: &str, description: &str) -> ApiError {
        let (field, description) = (shortened(field), shortened(description));
        self.0.details.push(Detail::Field { field, description });
        self
    }

    fn with_detail(mut self, detail: Detail) -> ApiError {
        self.0.details.push(detail);
        self
    }

    pub(super) fn retry_after(self, delay: Duration) -> ApiError {
        // Jittered, so that the clients of a server that goes away do not all retry at once.
        self.retry_in(delay.mul_f64(0.5 + fastrand::f64()))
    }

    /// A retry before the delay is refused again. Clients that were refused at once retry spread over a while.
    fn retry_no_sooner_than(self, delay: Duration) -> ApiError {
        let spread = (delay / 2).max(RETRIES_SPREAD);
        self.retry_in(delay + spread.mul_f64(fastrand::f64()))
    }

    fn retry_in(mut self, delay: Duration) -> ApiError {
        self.0.retry = Some(delay);
        self
    }

    /// The HTTP status of a response that has nothing but this error.
    pub fn http(&self) -> StatusCode {
        self.code.http()
    }

    /// The value in the metadata with this name; empty if there is none.
    pub fn value(&self, name: &str) -> &str {
        self.metadata.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// The first findings of a report, as many as fit an error: Validate has them all.
fn short_report(report: &Report) -> v1::ValidationReport {
    let mut message = report_message(report);
    let (mut bytes, told) = (0, message.findings.len());
    let findings = std::mem::take(&mut message.findings).into_iter().map(|finding| v1::Finding {
        pointer: shortened(&finding.pointer),
        message: shortened(&finding.message),
        suggestion: shortened(&finding.suggestion),
        ..finding
    });
    let fitting = findings.take_while(|finding| {
        let is_first = bytes == 0;
        bytes += finding.encoded_len() + 3;
        is_first || bytes <= REPORT_BYTES_MAX
    });
    message.findings = fitting.collect();
    message.omitted += (told - message.findings.len()) as u64;
    message
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        let message = error.to_string();
        match &error {
            Error::Invalid { field, message } => {
                ApiError::new(Code::InvalidArgument, reason_of_field(field), message)
                    .about_field(field, message)
            }
            Error::Document { field, error } => {
                let refused = ApiError::new(Code::InvalidArgument, error.code.as_str(), message);
                refused.with("pointer", &error.pointer).about_field(field, &error.to_string())
            }
            Error::PatchDoesNotApply { field, error } => {
                let refused = ApiError::new(Code::FailedPrecondition, error.code.as_str(), message);
                refused.with("pointer", &error.pointer).about_field(field, &error.to_string())
            }
            Error::NotFound(missing) => ApiError::new(Code::NotFound, reason_of_missing(missing), message),
            Error::RequestIdReused { revision, .. } => {
                ApiError::new(Code::AlreadyExists, "REQUEST_ID_REUSED", message).with("revision", revision)
            }
            Error::VersionMismatch { expected, current, .. } => {
                ApiError::new(Code::Aborted, "VERSION_MISMATCH", message)
                    .with("expected_version", expected)
                    .with("current_version", current)
            }
            Error::RevisionMismatch { id, expected, current } => {
                ApiError::new(Code::Aborted, "REVISION_MISMATCH", message)
                    .with("config", id)
                    .with("expected_revision", expected)
                    .with("current_revision", current)
            }
            Error::TagMismatch { expected, current, .. } => {
                ApiError::new(Code::Aborted, "REVISION_MISMATCH", message)
                    .with("expected_revision", expected)
                    .with("current_revision", current)
            }
            Error::Refused(report) => ApiError::new(Code::FailedPrecondition, "VALIDATION_FAILED", message)
                .with_detail(Detail::Findings(short_report(report))),
            Error::RevertConflict { conflicts, omitted } => {
                ApiError::new(Code::FailedPrecondition, "REVERT_CONFLICT", message)
                    .with_detail(Detail::Conflicts(conflicts_message(conflicts, *omitted, REPORT_BYTES_MAX)))
            }
            // Only if the engine forgot to look again.
            Error::TargetMoved | Error::KeyMissing(_) => ApiError::new(Code::Internal, "INTERNAL", message),
            Error::MasterKey(SourceError::NotOurs { .. }) => {
                ApiError::new(Code::FailedPrecondition, "MASTER_KEY_NOT_WRITABLE", message)
            }
            Error::MasterKey(_) | Error::DataKeys(_) => {
                tracing::error!(%error, "secrets cannot be sealed");
                ApiError::new(Code::Unavailable, "MASTER_KEY_UNAVAILABLE", message)
                    .retry_after(Duration::from_secs(5))
            }
            Error::Compacted { oldest, .. } => {
                ApiError::new(Code::OutOfRange, "COMPACTED", message).with("oldest_revision", oldest)
            }
            Error::RevisionInFuture { store, .. } => {
                ApiError::new(Code::OutOfRange, "REVISION_IN_FUTURE", message).with("store_revision", store)
            }
            Error::OtherEpoch { store, .. } => {
                ApiError::new(Code::OutOfRange, "EPOCH_MISMATCH", message).with("epoch", store)
            }
            Error::RevisionNotReached { reached, .. } => {
                ApiError::new(Code::DeadlineExceeded, "REVISION_NOT_REACHED", message)
                    .with("store_revision", reached)
            }
            Error::LimitReached { limit_name, limit, .. } => {
                let reason = reason_of_limit(*limit_name);
                let refused = ApiError::new(Code::ResourceExhausted, reason, message).with("limit", limit);
                match reason {
                    "TOO_MANY_WATCHERS" => refused.retry_no_sooner_than(Duration::from_secs(5)),
                    _ => refused,
                }
            }
            Error::QuotaExceeded { namespace, quota, found, limit } => {
                let refused = ApiError::new(Code::ResourceExhausted, "QUOTA_EXCEEDED", message)
                    .with("namespace", namespace)
                    .with("quota", quota.as_str())
                    .with("would_be", found)
                    .with("limit", limit);
                match quota {
                    // Watchers come and go; what is stored stays until somebody deletes it.
                    Quota::Watchers => refused.retry_no_sooner_than(Duration::from_secs(5)),
                    Quota::Configs | Quota::Bytes | Quota::JournalBytes | Quota::JournalBytesPerMinute => {
                        refused
                    }
                }
            }
            Error::WritesTooFast { namespace, per_minute, burst, wait } => {
                ApiError::new(Code::ResourceExhausted, "QUOTA_EXCEEDED", message)
                    .with("namespace", namespace)
                    .with("quota", Quota::JournalBytesPerMinute.as_str())
                    .with("limit", per_minute)
                    .with("burst", burst)
                    .retry_no_sooner_than(*wait)
            }
            Error::ReasonRequired(namespace) => {
                ApiError::new(Code::FailedPrecondition, "REASON_REQUIRED", message)
                    .with("namespace", namespace)
                    .about_field("options.reason", "must say why the change is made")
            }
            Error::TooCostly { steps_max } => {
                ApiError::new(Code::ResourceExhausted, "CHECKS_TOO_COSTLY", message).with("limit", steps_max)
            }
            // No client sees it: whoever has cancelled a call does not read the answer.
            Error::Cancelled => ApiError::new(Code::Cancelled, "CANCELLED", message),
            Error::SecretGuesses { id, scope, pointer, at_once: _, wait } => {
                let refused = ApiError::new(Code::ResourceExhausted, "SECRET_WRITES_LIMITED", message)
                    .with("namespace", &id.namespace)
                    .with("config", &id.config)
                    .with("scope", scope)
                    .with("pointer", pointer);
                match wait {
                    Some(wait) => refused.retry_no_sooner_than(*wait),
                    None => refused,
                }
            }
            Error::HiddenFindings { namespace, wait, .. } => {
                ApiError::new(Code::ResourceExhausted, HIDDEN_FINDINGS_LIMITED, message)
                    .with("namespace", namespace)
                    .retry_no_sooner_than(*wait)
            }
            Error::SecretsWithheld(Withheld::Limited { per_second, burst, wait }) => {
                ApiError::new(Code::ResourceExhausted, SECRET_REVEALS_LIMITED, message)
                    .with("per_second", per_second)
                    .with("burst", burst)
                    .retry_no_sooner_than(*wait)
            }
            Error::SecretsWithheld(Withheld::Unrecorded) => {
                ApiError::new(Code::Unavailable, AUDIT_LOG_UNAVAILABLE, message)
                    .retry_after(Duration::from_secs(5))
            }
            Error::Draining { retry_after } => {
                ApiError::new(Code::Unavailable, "DRAINING", message).retry_after(*retry_after)
            }
            Error::NotWritten(_) => ApiError::new(Code::Unavailable, "STORE_WRITE_REFUSED", message)
                .retry_after(Duration::from_secs(1)),
            Error::Unwritable(_) | Error::OfReplica => {
                ApiError::new(Code::Unavailable, "STORE_UNAVAILABLE", message)
                    .retry_after(Duration::from_secs(5))
            }
            Error::HistoryUnavailable(_) => ApiError::new(Code::Unavailable, "HISTORY_UNAVAILABLE", message)
                .retry_after(Duration::from_secs(1)),
            Error::Panicked => ApiError::new(Code::Internal, "INTERNAL", message),
            Error::Store(source) => {
                tracing::error!(error = %source, "the store cannot be read");
                ApiError::new(Code::Internal, "STORE_CORRUPT", message)
            }
        }
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
            Refused::NoIssuer => unauthenticated("CREDENTIAL_UNKNOWN"),
            Refused::CertificateExpired => unauthenticated("CREDENTIAL_EXPIRED"),
            Refused::NotLookedAt => unauthenticated("CREDENTIAL_UNKNOWN"),
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
            Resource::Store => error,
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

impl From<Unreadable> for ApiError {
    fn from(unreadable: Unreadable) -> ApiError {
        match unreadable {
            Unreadable::Malformed => ApiError::new(
                Code::InvalidArgument,
                "MALFORMED_REQUEST",
                "the request is not the message it should be, or has text that is not UTF-8",
            ),
            Unreadable::TooLarge { limit } => message_too_large(limit, "bytes"),
            Unreadable::TooManyFields { limit } => {
                message_too_large(limit, "fields, with each item of a list,")
            }
            Unreadable::NotGrpc => ApiError::new(
                Code::InvalidArgument,
                "MALFORMED_REQUEST",
                "this is no call of gRPC: POST and a content-type of application/grpc are expected",
            ),
            Unreadable::UnknownMethod => {
                ApiError::new(Code::Unimplemented, "UNKNOWN_METHOD", "the server has no such RPC")
            }
            Unreadable::Encoding => ApiError::new(
                Code::Unimplemented,
                "UNSUPPORTED_ENCODING",
                "the message is compressed in another way than gzip",
            ),
        }
    }
}

fn message_too_large(limit: usize, of: &str) -> ApiError {
    let message = format!("the message is larger than the {limit} {of} that the server takes");
    ApiError::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).with("limit", limit)
}

/// The files of the audit log cannot be read now.
pub fn audit_log_unreadable(error: &std::io::Error) -> ApiError {
    tracing::error!(%error, "the audit log cannot be read");
    ApiError::new(Code::Unavailable, AUDIT_LOG_UNAVAILABLE, "the audit log cannot be read now")
        .retry_after(Duration::from_secs(5))
}

/// The operating system gives no randomness.
pub fn no_randomness(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "there is no randomness for a token");
    ApiError::new(Code::Internal, "INTERNAL", "the server has no randomness")
}

/// There never was a token with this id.
pub fn token_not_found(id: TokenId) -> ApiError {
    ApiError::new(Code::NotFound, "TOKEN_NOT_FOUND", format!("there is no token {id}")).with("id", id)
}

/// The client has stopped waiting.
pub fn too_late() -> ApiError {
    ApiError::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline of the call has passed")
}

/// The client has sent the head of a call, and its message did not arrive in time.
pub fn request_too_slow(patience: Duration) -> ApiError {
    let message = format!("the request did not arrive completely within {patience:?}");
    ApiError::new(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", message)
}

/// The limit on the number or the bytes of requests that have not arrived completely is reached.
pub fn too_many_unfinished() -> ApiError {
    let message = "there are too many incomplete requests";
    ApiError::new(Code::ResourceExhausted, "TOO_MANY_UNFINISHED_REQUESTS", message)
        .retry_after(Duration::from_secs(1))
}

/// There is no room for the message beside those of other requests of the client, its address or all clients together.
pub fn too_many_in_progress() -> ApiError {
    let message = "too many large requests are being processed";
    ApiError::new(Code::ResourceExhausted, "TOO_MANY_REQUESTS_IN_PROGRESS", message)
        .retry_after(Duration::from_secs(1))
}

/// The client, its address or all clients together hold as much of unread responses as they may.
pub fn too_much_unread() -> ApiError {
    let message = "too much of earlier responses is unread: read them, or cancel their calls";
    ApiError::new(Code::ResourceExhausted, "TOO_MUCH_UNREAD", message).retry_after(Duration::from_secs(1))
}

/// The client has taken nothing of a response for too long.
pub fn response_not_taken(patience: Duration) -> ApiError {
    let message = format!("the client has taken nothing of the response for {patience:?}");
    ApiError::new(Code::ResourceExhausted, "RESPONSE_NOT_TAKEN", message).retry_after(Duration::from_secs(1))
}

/// A connection has as many open calls without a credential as it may have.
pub fn too_many_open_calls() -> ApiError {
    let message = "too many calls of health and reflection on one connection";
    ApiError::new(Code::ResourceExhausted, "TOO_MANY_OPEN_CALLS", message)
}

/// The work on a call was given up, since the process ends.
pub fn unanswered() -> ApiError {
    ApiError::new(Code::Internal, "INTERNAL", "the server has failed to answer")
}

/// A response that would be larger than clients take.
pub fn response_too_large(limit: usize) -> ApiError {
    let message = format!(
        "the answer would be larger than the {limit} bytes that fit a message: ask for less at a time"
    );
    ApiError::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).with("limit", limit)
}

/// A call with more metadata than the server takes.
pub fn headers_too_large(limit: u32) -> ApiError {
    let message = format!("the metadata of the call are more than the {limit} bytes that the server takes");
    ApiError::new(Code::ResourceExhausted, "HEADERS_TOO_LARGE", message).with("limit", limit)
}

/// The store is not open yet, or not any more.
pub fn store_not_open(retry: Duration) -> ApiError {
    ApiError::new(Code::Unavailable, "STORE_UNAVAILABLE", "the server is starting or stopping")
        .retry_in(retry)
}

/// The connection has reached its age: the stream can be opened again at once, on a new connection.
pub fn connection_too_old(retry: Duration) -> ApiError {
    let message = "the connection is as old as it may be: come back on another";
    ApiError::new(Code::Unavailable, "DRAINING", message).retry_in(retry)
}

/// The reason of an error about something missing.
pub fn reason_of_missing(missing: &Missing) -> &'static str {
    match missing {
        Missing::Config(_) | Missing::DeletedConfig(..) | Missing::Layers(..) | Missing::Layer(..) => {
            "CONFIG_NOT_FOUND"
        }
        Missing::Version(..) | Missing::VersionAtRevision(..) | Missing::VersionAtTime(..) => {
            "VERSION_NOT_FOUND"
        }
        Missing::Tag(..) | Missing::NamespaceTag(..) => "TAG_NOT_FOUND",
        Missing::Value(..) => "VALUE_NOT_FOUND",
        Missing::Watch(_) => "WATCH_NOT_FOUND",
    }
}

/// By the last name in the path of the field: the names of fields are part of the contract.
fn reason_of_field(field: &str) -> &'static str {
    match field.rsplit('.').next().unwrap_or(field) {
        "namespace" | "config" => "INVALID_NAME",
        "scope" => "INVALID_SCOPE",
        "ttl" => "INVALID_TTL",
        "tag" => "INVALID_TAG",
        "pointer" => "INVALID_POINTER",
        "page_token" => "INVALID_PAGE_TOKEN",
        _ => "INVALID_FIELD",
    }
}

fn reason_of_limit(limit: Limit) -> &'static str {
    match limit {
        Limit::CommitBytes => "COMMIT_TOO_LARGE",
        Limit::Layers => "TOO_MANY_LAYERS",
        Limit::RequestIds => "TOO_MANY_REQUEST_IDS",
        Limit::Tags => "TOO_MANY_TAGS",
        Limit::QueuedWrites => "TOO_MANY_WRITES",
        Limit::Watchers | Limit::WatchersOfActor | Limit::WatchedConfigsOfActor => "TOO_MANY_WATCHERS",
        Limit::WatchedConfigs => "TOO_MANY_WATCHED_CONFIGS",
        Limit::DataKeys => "TOO_MANY_DATA_KEYS",
        Limit::Backups => "TOO_MANY_BACKUPS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_has_panicked_is_reported_as_a_fault_of_the_server() {
        let error = ApiError::from(Error::Panicked);
        assert_eq!((error.code, error.reason), (Code::Internal, "INTERNAL"));
        assert_eq!(error.http(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
