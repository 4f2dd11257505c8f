//! The one table from errors to what a client is told: code, reason, metadata and details.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb::{self, BadRequest, ErrorInfo, RetryInfo};

use crate::auth::jwt::JwtError;
use crate::auth::token::TokenId;
use crate::auth::{Denied, Resource, TokenError};
use crate::engine::{Error, Limit, Missing, SourceError, Withheld};
use crate::model::quota::Quota;
use crate::proto::v1;
use crate::validate::Report;

use super::convert::response::report_message;
use super::guard::Refused;
use super::guard::rates::RateLimited;

/// The domain of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "confwatch";

/// The reason of a refusal, and the outcome in the audit log: the actor was shown too many secrets.
pub const SECRET_REVEALS_LIMITED: &str = "SECRET_REVEALS_LIMITED";

/// The same of documents that the caller may not read.
pub const HIDDEN_FINDINGS_LIMITED: &str = "HIDDEN_FINDINGS_LIMITED";

/// The audit log cannot be read, or not be written.
pub const AUDIT_LOG_UNAVAILABLE: &str = "AUDIT_LOG_UNAVAILABLE";

/// In the metadata of a denial: why its caller wanted it, as they said.
pub const STATED_REASON: &str = "stated_reason";

/// The longest text in an error, and the largest report. Errors travel in the header fields of HTTP/2, and many clients take no
/// more than 8 KiB of them: what is longer would not arrive at all.
const TEXT_BYTES_MAX: usize = 512;
const REPORT_BYTES_MAX: usize = 2560;

/// Over so long the calls come that were refused since there were too many.
const RETRIES_SPREAD: Duration = Duration::from_millis(500);

/// A request that the transport could not even read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Malformed,
    TooLarge { limit: usize },
    NotGrpc,
}

/// What is told besides the message.
struct Told {
    code: Code,
    reason: &'static str,
    metadata: Vec<(&'static str, String)>,
    details: Vec<Any>,
}

impl Told {
    fn new(code: Code, reason: &'static str) -> Told {
        Told { code, reason, metadata: vec![], details: vec![] }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Told {
        self.metadata.push((name, shortened(&value.to_string())));
        self
    }

    fn about_field(mut self, field: &str, description: &str) -> Told {
        let violation = pb::bad_request::FieldViolation {
            field: shortened(field),
            description: shortened(description),
            ..Default::default()
        };
        let violations = BadRequest { field_violations: vec![violation] };
        self.details.push(any("google.rpc.BadRequest", &violations));
        self
    }

    fn retry_after(self, delay: Duration) -> Told {
        // Jittered, so that the clients of a server that goes away do not all come at once.
        self.retry_in(delay.mul_f64(0.5 + fastrand::f64()))
    }

    /// Before this there is no point in coming. Those who are told so at once come spread over a while.
    fn retry_no_sooner_than(self, delay: Duration) -> Told {
        let spread = (delay / 2).max(RETRIES_SPREAD);
        self.retry_in(delay + spread.mul_f64(fastrand::f64()))
    }

    fn retry_in(mut self, delay: Duration) -> Told {
        let delay = prost_types::Duration::try_from(delay).expect("a delay of seconds");
        self.details.push(any("google.rpc.RetryInfo", &RetryInfo { retry_delay: Some(delay) }));
        self
    }

    fn status(self, message: String) -> Status {
        let message = shortened(&message);
        let metadata: HashMap<String, String> =
            self.metadata.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let info = ErrorInfo { reason: self.reason.into(), domain: DOMAIN.into(), metadata };
        let mut details = vec![any("google.rpc.ErrorInfo", &info)];
        details.extend(self.details);
        let status = pb::Status { code: self.code as i32, message: message.clone(), details };
        Status::with_details(self.code, message, status.encode_to_vec().into())
    }
}

/// Without the middle of what is too long: its end often says where.
fn shortened(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let starts = || text.char_indices().map(|(at, _)| at);
    let head = starts().take_while(|at| *at <= TEXT_BYTES_MAX * 3 / 4).last().unwrap_or(0);
    let tail = starts().find(|at| text.len() - at < TEXT_BYTES_MAX / 4).unwrap_or(text.len());
    format!("{}...{}", &text[..head], &text[tail..])
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

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let message = error.to_string();
        let told = match &error {
            Error::Invalid { field, message } => {
                Told::new(Code::InvalidArgument, reason_of_field(field)).about_field(field, message)
            }
            Error::Document { field, error } => {
                let told = Told::new(Code::InvalidArgument, error.code.as_str());
                told.with("pointer", &error.pointer).about_field(field, &error.to_string())
            }
            Error::PatchDoesNotApply { field, error } => {
                let told = Told::new(Code::FailedPrecondition, error.code.as_str());
                told.with("pointer", &error.pointer).about_field(field, &error.to_string())
            }
            Error::NotFound(missing) => Told::new(Code::NotFound, reason_of_missing(missing)),
            Error::RequestIdReused { revision, .. } => {
                Told::new(Code::AlreadyExists, "REQUEST_ID_REUSED").with("revision", revision)
            }
            Error::VersionMismatch { expected, current, .. } => Told::new(Code::Aborted, "VERSION_MISMATCH")
                .with("expected_version", expected)
                .with("current_version", current),
            Error::Refused(report) => {
                let mut told = Told::new(Code::FailedPrecondition, "VALIDATION_FAILED");
                told.details.push(any("confwatch.v1.ValidationReport", &short_report(report)));
                told
            }
            // Only if the engine forgot to look again.
            Error::TagMoved | Error::KeyMissing(_) => Told::new(Code::Internal, "INTERNAL"),
            Error::MasterKey(SourceError::NotOurs { .. } | SourceError::Unwritable { .. }) => {
                Told::new(Code::FailedPrecondition, "MASTER_KEY_NOT_WRITABLE")
            }
            Error::MasterKey(_) | Error::DataKeys(_) => {
                tracing::error!(%error, "secrets cannot be sealed");
                Told::new(Code::Unavailable, "MASTER_KEY_UNAVAILABLE").retry_after(Duration::from_secs(5))
            }
            Error::Compacted { oldest, .. } => {
                Told::new(Code::OutOfRange, "COMPACTED").with("oldest_revision", oldest)
            }
            Error::RevisionInFuture { store, .. } => {
                Told::new(Code::OutOfRange, "REVISION_IN_FUTURE").with("store_revision", store)
            }
            Error::OtherEpoch { store, .. } => {
                Told::new(Code::OutOfRange, "EPOCH_MISMATCH").with("epoch", store)
            }
            Error::RevisionNotReached { reached, .. } => {
                Told::new(Code::DeadlineExceeded, "REVISION_NOT_REACHED").with("store_revision", reached)
            }
            Error::LimitReached { limit_name, limit, .. } => {
                Told::new(Code::ResourceExhausted, reason_of_limit(*limit_name)).with("limit", limit)
            }
            Error::QuotaExceeded { namespace, quota, found, limit } => {
                let told = Told::new(Code::ResourceExhausted, "QUOTA_EXCEEDED")
                    .with("namespace", namespace)
                    .with("quota", quota.as_str())
                    .with("would_be", found)
                    .with("limit", limit);
                match quota {
                    // Watchers come and go; what is stored stays until somebody deletes it.
                    Quota::Watchers => told.retry_no_sooner_than(Duration::from_secs(5)),
                    Quota::Configs | Quota::Bytes | Quota::JournalBytes | Quota::JournalBytesPerMinute => {
                        told
                    }
                }
            }
            Error::WritesTooFast { namespace, per_minute, burst, wait } => {
                Told::new(Code::ResourceExhausted, "QUOTA_EXCEEDED")
                    .with("namespace", namespace)
                    .with("quota", Quota::JournalBytesPerMinute.as_str())
                    .with("limit", per_minute)
                    .with("burst", burst)
                    .retry_no_sooner_than(*wait)
            }
            Error::ReasonRequired(namespace) => Told::new(Code::FailedPrecondition, "REASON_REQUIRED")
                .with("namespace", namespace)
                .about_field("options.reason", "must say why the change is made"),
            Error::TooCostly { steps_max } => {
                Told::new(Code::ResourceExhausted, "CHECKS_TOO_COSTLY").with("limit", steps_max)
            }
            // No client sees it: whoever has cancelled a call does not read the answer.
            Error::Cancelled => Told::new(Code::Cancelled, "CANCELLED"),
            Error::SecretGuesses { id, scope, pointer, wait } => {
                let told = Told::new(Code::ResourceExhausted, "SECRET_WRITES_LIMITED")
                    .with("namespace", &id.namespace)
                    .with("config", &id.config)
                    .with("scope", scope)
                    .with("pointer", pointer);
                match wait {
                    Some(wait) => told.retry_no_sooner_than(*wait),
                    None => told,
                }
            }
            Error::HiddenFindings { resource, wait, .. } => {
                let (namespace, config) = resource.split_once('/').unwrap_or((resource, ""));
                Told::new(Code::ResourceExhausted, HIDDEN_FINDINGS_LIMITED)
                    .with("namespace", namespace)
                    .with("config", config)
                    .retry_no_sooner_than(*wait)
            }
            Error::SecretsWithheld(Withheld::Limited { per_second, burst, wait }) => {
                Told::new(Code::ResourceExhausted, SECRET_REVEALS_LIMITED)
                    .with("per_second", per_second)
                    .with("burst", burst)
                    .retry_no_sooner_than(*wait)
            }
            Error::SecretsWithheld(Withheld::Unrecorded) => {
                Told::new(Code::Unavailable, AUDIT_LOG_UNAVAILABLE).retry_after(Duration::from_secs(5))
            }
            Error::Draining { retry_after } => {
                Told::new(Code::Unavailable, "DRAINING").retry_after(*retry_after)
            }
            Error::NotWritten(_) => {
                Told::new(Code::Unavailable, "STORE_WRITE_REFUSED").retry_after(Duration::from_secs(1))
            }
            Error::Unwritable(_) => {
                Told::new(Code::Unavailable, "STORE_UNAVAILABLE").retry_after(Duration::from_secs(5))
            }
            Error::HistoryUnavailable(_) => {
                Told::new(Code::Unavailable, "HISTORY_UNAVAILABLE").retry_after(Duration::from_secs(1))
            }
            Error::Panicked => Told::new(Code::Internal, "INTERNAL"),
            Error::Store(source) => {
                tracing::error!(error = %source, "the store cannot be read");
                Told::new(Code::Internal, "STORE_CORRUPT")
            }
        };
        told.status(message)
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let message = refused.to_string();
        let told = match &refused {
            Refused::NoCredential => Told::new(Code::Unauthenticated, "NO_CREDENTIAL"),
            Refused::Malformed(_) | Refused::Certificate(_) => {
                Told::new(Code::Unauthenticated, "CREDENTIAL_MALFORMED")
            }
            Refused::Token(error) => Told::new(Code::Unauthenticated, reason_of_token(*error)),
            Refused::Jwt(JwtError::NoKeys) => {
                Told::new(Code::Unavailable, "ISSUER_UNAVAILABLE").retry_after(Duration::from_secs(1))
            }
            Refused::Jwt(error) => Told::new(Code::Unauthenticated, reason_of_jwt(error)),
            Refused::NoIssuer => Told::new(Code::Unauthenticated, "CREDENTIAL_UNKNOWN"),
            Refused::CertificateExpired => Told::new(Code::Unauthenticated, "CREDENTIAL_EXPIRED"),
            Refused::NotLookedAt => Told::new(Code::Unauthenticated, "CREDENTIAL_UNKNOWN"),
        };
        told.status(message)
    }
}

impl From<RateLimited> for Status {
    fn from(limited: RateLimited) -> Status {
        Told::new(Code::ResourceExhausted, "RATE_LIMITED")
            .with("limit", limited.limit.as_str())
            .with("per_second", limited.rate.per_second)
            .with("burst", limited.rate.burst)
            .retry_no_sooner_than(limited.wait)
            .status(limited.to_string())
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Status {
        let told = Told::new(Code::PermissionDenied, "PERMISSION_DENIED")
            .with("actor", &denied.actor)
            .with("verb", denied.verb)
            .with("resource", &denied.resource);
        let told = match &denied.resource {
            Resource::Store => told,
            Resource::Namespace(namespace) => told.with("namespace", namespace),
            Resource::Config { id, scope } => {
                told.with("namespace", &id.namespace).with("config", &id.config).with("scope", scope)
            }
        };
        let told = match denied.reason.as_str() {
            "" => told,
            reason => told.with(STATED_REASON, reason),
        };
        told.status(denied.to_string())
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

impl From<Unreadable> for Status {
    fn from(unreadable: Unreadable) -> Status {
        match unreadable {
            Unreadable::Malformed => Told::new(Code::InvalidArgument, "MALFORMED_REQUEST")
                .status("the request is not the message it should be, or has text that is not UTF-8".into()),
            Unreadable::TooLarge { limit } => Told::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
                .with("limit", limit)
                .status(format!("the message is larger than the {limit} bytes that the server takes")),
            Unreadable::NotGrpc => Told::new(Code::InvalidArgument, "MALFORMED_REQUEST").status(
                "this is no call of gRPC: POST and a content-type of application/grpc are expected".into(),
            ),
        }
    }
}

/// The files of the audit log cannot be read now.
pub fn audit_log_unreadable(error: &std::io::Error) -> Status {
    tracing::error!(%error, "the audit log cannot be read");
    Told::new(Code::Unavailable, AUDIT_LOG_UNAVAILABLE)
        .retry_after(Duration::from_secs(5))
        .status("the audit log cannot be read now".into())
}

/// The operating system gives none.
pub fn no_randomness(error: &dyn std::fmt::Display) -> Status {
    tracing::error!(%error, "there is no randomness for a token");
    Told::new(Code::Internal, "INTERNAL").status("the server has no randomness".into())
}

/// There never was a token with this id.
pub fn token_not_found(id: TokenId) -> Status {
    Told::new(Code::NotFound, "TOKEN_NOT_FOUND").with("id", id).status(format!("there is no token {id}"))
}

/// The client has stopped waiting.
pub fn too_late() -> Status {
    Told::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
        .status("the deadline of the call has passed".into())
}

/// The client has sent the head of a call, and its message did not come.
pub fn request_too_slow(patience: Duration) -> Status {
    Told::new(Code::DeadlineExceeded, "REQUEST_TOO_SLOW")
        .status(format!("the request did not arrive completely within {patience:?}"))
}

/// There are as many requests that have not come whole, or as much of them, as there may be.
pub fn too_many_unfinished() -> Status {
    Told::new(Code::ResourceExhausted, "TOO_MANY_UNFINISHED_REQUESTS")
        .retry_after(Duration::from_secs(1))
        .status("there are too many incomplete requests".into())
}

/// The client, its address or all clients together hold as much of unread responses as they may.
pub fn too_much_unread() -> Status {
    Told::new(Code::ResourceExhausted, "TOO_MUCH_UNREAD")
        .retry_after(Duration::from_secs(1))
        .status("too much of earlier responses is unread: read them, or cancel their calls".into())
}

/// The client has taken nothing of a response for too long.
pub fn response_not_taken(patience: Duration) -> Status {
    Told::new(Code::ResourceExhausted, "RESPONSE_NOT_TAKEN")
        .retry_after(Duration::from_secs(1))
        .status(format!("the client has taken nothing of the response for {patience:?}"))
}

/// Of calls that everybody may make a connection has as many as it may have.
pub fn too_many_open_calls() -> Status {
    Told::new(Code::ResourceExhausted, "TOO_MANY_OPEN_CALLS")
        .status("too many calls of health and reflection on one connection".into())
}

/// The work on a call ended without an answer: by a panic, which is reported where it happens.
pub fn broken(error: &tokio::task::JoinError) -> Status {
    tracing::error!(%error, "a call has no answer");
    Told::new(Code::Internal, "INTERNAL").status("the server has failed to answer".into())
}

/// A response that would be larger than clients take.
pub fn response_too_large(limit: usize) -> Status {
    Told::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE").with("limit", limit).status(format!(
        "the answer would be larger than the {limit} bytes that fit a message: ask for less at a time"
    ))
}

/// A call with more metadata than the server takes.
pub fn headers_too_large(limit: u32) -> Status {
    Told::new(Code::ResourceExhausted, "HEADERS_TOO_LARGE")
        .with("limit", limit)
        .status(format!("the metadata of the call are more than the {limit} bytes that the server takes"))
}

/// The reason that `Status::from` gives for something missing.
pub fn reason_of_missing(missing: &Missing) -> &'static str {
    match missing {
        Missing::Config(_) | Missing::DeletedConfig(..) | Missing::Layers(..) | Missing::Layer(..) => {
            "CONFIG_NOT_FOUND"
        }
        Missing::Version(..) | Missing::VersionAtRevision(..) | Missing::VersionAtTime(..) => {
            "VERSION_NOT_FOUND"
        }
        Missing::Tag(..) => "TAG_NOT_FOUND",
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
        Limit::Watchers | Limit::WatchersOfActor => "TOO_MANY_WATCHERS",
        Limit::WatchedConfigs => "TOO_MANY_WATCHED_CONFIGS",
        Limit::DataKeys => "TOO_MANY_DATA_KEYS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_has_panicked_is_told_to_be_our_fault() {
        use tonic_types::StatusExt;
        let status = Status::from(Error::Panicked);
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.get_details_error_info().map(|info| info.reason).as_deref(), Some("INTERNAL"));
    }

    #[test]
    fn what_is_too_long_for_an_error_keeps_its_start_and_its_end() {
        assert_eq!(shortened(&"x".repeat(TEXT_BYTES_MAX)), "x".repeat(TEXT_BYTES_MAX));
        for middle in ["x", "ä", "😀"] {
            let short = shortened(&format!("start{}end", middle.repeat(10_000)));
            assert!(short.starts_with("start") && short.ends_with("end") && short.contains("..."));
            assert!(short.len() <= TEXT_BYTES_MAX + 3, "{}", short.len());
        }
    }
}
