//! The errors of the engine as clients receive them: code, reason, metadata, details and when to retry. What failed within the server goes to its
//! log, not to clients. Knows no transport.

use std::time::Duration;

use http::StatusCode;
use prost::Message;

use crate::engine::{Error, Limit, Missing, SourceError, Withheld};
use crate::model::quota::Quota;
use crate::proto::v1;
use crate::validate::Report;

use super::backup_errors;
use super::convert::bounded::shortened;
use super::convert::response::{conflicts_message, report_message};
use super::error::{
    AUDIT_LOG_UNAVAILABLE, ApiError, Code, Detail, HIDDEN_FINDINGS_LIMITED, SECRET_REVEALS_LIMITED,
};

/// The largest report in an error. Errors travel in the header fields of HTTP/2, and many clients take no
/// more than 8 KiB of them: a larger error would not arrive at all.
const REPORT_BYTES_MAX: usize = 2560;

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
        let error = match error {
            Error::Backup(error) => return backup_errors::unreadable(error),
            Error::StateNotKept(error) => return backup_errors::state_not_kept(&error),
            error => error,
        };
        let message = error.to_string();
        match &error {
            Error::Invalid { field, message } => {
                ApiError::of_field(Code::InvalidArgument, reason_of_field(field), field, message)
            }
            Error::Document { field, error } => {
                ApiError::of_field(Code::InvalidArgument, error.code.as_str(), field, &error.to_string())
                    .with("pointer", &error.pointer)
            }
            Error::PatchDoesNotApply { field, error } => {
                ApiError::of_field(Code::FailedPrecondition, error.code.as_str(), field, &error.to_string())
                    .with("pointer", &error.pointer)
            }
            Error::NotFound(Missing::Backup(id)) => backup_errors::not_found(id),
            Error::NotFound(missing) => ApiError::new(Code::NotFound, reason_of_missing(missing), message),
            Error::RequestIdReused { revision, .. } => {
                ApiError::new(Code::AlreadyExists, "REQUEST_ID_REUSED", message).with("revision", revision)
            }
            Error::VersionMismatch { expected, current, .. } => {
                ApiError::new(Code::Aborted, "VERSION_MISMATCH", message)
                    .with("expected_version", expected)
                    .with("current_version", current)
            }
            Error::NotExisting { .. } => {
                ApiError::new(Code::Aborted, "VERSION_MISMATCH", message).with("current_version", 0)
            }
            Error::MatchRequired(namespace) => {
                ApiError::new(Code::FailedPrecondition, "MATCH_REQUIRED", message)
                    .with("namespace", namespace)
                    .answered_with(StatusCode::PRECONDITION_REQUIRED)
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
                let message = "the server does not write the source of its master key: write the new key there, in a line before the old one";
                ApiError::new(Code::FailedPrecondition, "MASTER_KEY_NOT_WRITABLE", message).caused_by(&error)
            }
            Error::MasterKey(_) | Error::DataKeys(_) => {
                failed(Code::Unavailable, "MASTER_KEY_UNAVAILABLE", "secrets cannot be sealed now", &error)
                    .retry_after(Duration::from_secs(5))
            }
            Error::Compacted { oldest, .. } | Error::VersionCompacted { oldest, .. } => {
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
                    "TOO_MANY_WATCHERS" | "TOO_MANY_BACKUPS" => {
                        refused.retry_no_sooner_than(Duration::from_secs(5))
                    }
                    _ => refused,
                }
            }
            Error::PlaceGivenUp => ApiError::new(Code::ResourceExhausted, "TOO_MANY_BACKUPS", message)
                .retry_no_sooner_than(Duration::from_secs(5)),
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
            Error::NotWritten(_) => {
                let what = "nothing was written, since the store takes no writes now";
                failed(Code::Unavailable, "STORE_WRITE_REFUSED", what, &error)
                    .retry_after(Duration::from_secs(1))
            }
            Error::Unwritable(_) => {
                let what = "the store takes no writes, and this one may have been made";
                failed(Code::Unavailable, "STORE_UNAVAILABLE", what, &error)
                    .retry_after(Duration::from_secs(5))
            }
            Error::OfReplica => ApiError::new(Code::Unavailable, "STORE_UNAVAILABLE", message)
                .retry_after(Duration::from_secs(5)),
            Error::HistoryUnavailable(_) => {
                failed(Code::Unavailable, "HISTORY_UNAVAILABLE", "history cannot be read now", &error)
                    .retry_after(Duration::from_secs(1))
            }
            Error::Panicked | Error::Backup(_) | Error::StateNotKept(_) => {
                ApiError::new(Code::Internal, "INTERNAL", message)
            }
            Error::Store(source) => failed(Code::Internal, "STORE_CORRUPT", "history cannot be read", source),
        }
    }
}

/// The error of a fault within the server. Clients receive what cannot be done; the cause, which can have paths of the server, is for its log.
fn failed(code: Code, reason: &'static str, what: &str, cause: &dyn std::error::Error) -> ApiError {
    ApiError::new(code, reason, format!("{what}: the log of the server has the cause")).caused_by(cause)
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
        Missing::Backup(_) => "BACKUP_NOT_FOUND",
        Missing::Upload(_) => "UPLOAD_NOT_FOUND",
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
    use std::io;

    use http::StatusCode;

    use super::*;
    use crate::store::StoreError;

    #[test]
    fn a_call_that_has_panicked_is_reported_as_a_fault_of_the_server() {
        let error = ApiError::from(Error::Panicked);
        assert_eq!((error.code, error.reason), (Code::Internal, "INTERNAL"));
        assert_eq!(error.http(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn the_message_of_an_error_names_the_field_that_it_is_about() {
        let of_field = |error: Error| {
            let error = ApiError::from(error);
            let [Detail::Field { field, description }] = error.details.as_slice() else {
                panic!("{error:?}")
            };
            assert_eq!(error.message, format!("{field}: {description}"));
            error.message.clone()
        };
        let (field, message) = ("keep_count".to_owned(), "must be set".to_owned());
        assert_eq!(of_field(Error::Invalid { field, message }), "keep_count: must be set");
        let error =
            crate::model::text::parse("{", crate::model::text::Format::Json, 10).expect_err("no JSON");
        let field = || "change.replace".to_owned();
        assert!(
            of_field(Error::Document { field: field(), error: error.clone() })
                .starts_with("change.replace: ")
        );
        assert!(of_field(Error::PatchDoesNotApply { field: field(), error }).starts_with("change.replace: "));
    }

    #[test]
    fn clients_receive_no_path_and_no_error_of_the_system_of_the_server() {
        let system = || io::Error::from_raw_os_error(5);
        let path = || "/var/lib/confwatch/db".to_owned();
        let of_disk = || StoreError::Io { what: path(), source: system() };
        let why = || of_disk().to_string();
        let key = |error: SourceError| Error::MasterKey(error);
        for error in [
            Error::NotWritten(why()),
            Error::Unwritable(why()),
            Error::HistoryUnavailable(why()),
            Error::Store(of_disk()),
            Error::Store(StoreError::Corrupt { place: path(), what: "torn".into() }),
            Error::Store(StoreError::Locked { path: path() }),
            key(SourceError::Unreadable { path: path(), source: system() }),
            key(SourceError::Unwritable { path: path(), source: system() }),
            key(SourceError::Malformed { place: path(), expected: "64 hex digits" }),
            key(SourceError::NotOurs { place: path() }),
        ] {
            let cause = match &error {
                Error::Store(source) => source.to_string(),
                error => error.to_string(),
            };
            let error = ApiError::from(error);
            assert_eq!(error.cause.as_deref(), Some(cause.as_str()), "the log has it");
            let shown = format!("{} {:?} {:?}", error.message, error.metadata, error.details);
            assert!(!shown.contains("/var") && !shown.contains("os error"), "{shown}");
        }
    }
}
