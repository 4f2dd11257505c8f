//! What went wrong with a call, in a form that programs can act on and people can read. Knows the wire only.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use prost::Message;
use serde::de::DeserializeOwned;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{StatusExt, pb};

use super::TlsFailure;
use crate::proto::v1::{Document, RevertConflicts, Severity, ValidationReport};

/// The domain of the reasons that the contract lists.
const DOMAIN: &str = "confwatch";
const REPORT_TYPE: &str = "confwatch.v1.ValidationReport";
/// The same of conflicts.
const CONFLICTS_TYPE: &str = "confwatch.v1.RevertConflicts";

/// The failure of a call: what the server said, or why it could not be asked.
#[derive(Clone)]
pub struct ClientError(Box<Failure>);

#[derive(Clone)]
struct Failure {
    code: Code,
    reason: String,
    metadata: HashMap<String, String>,
    /// Who failed the call.
    origin: ErrorOrigin,
    message: String,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
    report: Option<ValidationReport>,
    conflicts: Option<RevertConflicts>,
}

/// Who failed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorOrigin {
    /// The server: its error has a reason of the contract.
    Server,
    /// Somebody between this client and the server, such as a proxy, or gRPC itself.
    Network,
    /// This side of the wire.
    Client,
}

/// A field of the request that is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field in the request.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl ClientError {
    /// A failure on this side of the wire.
    pub(super) fn local(code: Code, reason: &str, message: String) -> ClientError {
        ClientError(Box::new(Failure {
            code,
            reason: reason.into(),
            metadata: HashMap::new(),
            origin: ErrorOrigin::Client,
            message,
            violations: Vec::new(),
            retry_after: None,
            report: None,
            conflicts: None,
        }))
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The reason by its name in the contract, such as `VERSION_MISMATCH`. Empty if the server gave none, for instance
    /// because it was not reached.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// What belongs to the reason, such as `current_version`.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The fields of the request that are at fault.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// How long the server asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What validation had to say of a write that was refused.
    pub fn report(&self) -> Option<&ValidationReport> {
        self.0.report.as_ref()
    }

    /// The values that keep commits from being taken back.
    pub fn conflicts(&self) -> Option<&RevertConflicts> {
        self.0.conflicts.as_ref()
    }

    /// The server itself failed the call, and `reason` says why. Any other error is to be treated as UNAVAILABLE, whatever its code: a
    /// proxy without a backend answers 404, 401 or 403.
    pub fn is_from_server(&self) -> bool {
        self.0.origin == ErrorOrigin::Server
    }

    /// The server knows the caller, who may not. That lasts until somebody changes the policy: ask again slowly.
    pub fn is_denied(&self) -> bool {
        self.is_from_server() && self.code() == Code::PermissionDenied
    }

    /// The same request may succeed later. A write may have happened nevertheless: repeat it with its request id.
    pub fn is_retryable(&self) -> bool {
        match self.code() {
            // What gRPC makes of the HTTP status of a proxy.
            Code::Unknown
            | Code::Internal
            | Code::Unimplemented
            | Code::Unauthenticated
            | Code::PermissionDenied
                if self.0.origin == ErrorOrigin::Network =>
            {
                true
            }
            Code::Unavailable | Code::DeadlineExceeded => true,
            // A rate or a quota may have room again, and the server says when; a message stays as large as it is.
            Code::ResourceExhausted => {
                self.retry_after().is_some()
                    || matches!(self.reason(), "TOO_MANY_WATCHERS" | "TOO_MANY_WRITES")
            }
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => false,
        }
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> ClientError {
        if let Some(failure) = source::<TlsFailure>(&status) {
            // The other end may be set right while this one keeps trying.
            return ClientError::local(Code::Unavailable, failure.reason(), failure.to_string());
        }
        let timed_out = source::<TimeoutExpired>(&status).is_some()
            || (status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string());
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let violations = details.bad_request().map(|request| request.field_violations.as_slice());
        let violations = violations.unwrap_or_default().iter().map(|violation| FieldViolation {
            field: violation.field.clone(),
            description: violation.description.clone(),
        });
        ClientError(Box::new(Failure {
            code: if timed_out { Code::DeadlineExceeded } else { code(&status) },
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            message: if timed_out { "no answer within the timeout".into() } else { message(&status) },
            origin: info.as_ref().map_or(ErrorOrigin::Network, |_| ErrorOrigin::Server),
            violations: violations.collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            report: detail(&status, REPORT_TYPE),
            conflicts: detail(&status, CONFLICTS_TYPE),
        }))
    }
}

/// For people: the message, then each field and each finding on a line of its own.
impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message())?;
        for FieldViolation { field, description } in self.violations() {
            // The message often is the description of the one violation there is.
            if !self.message().contains(description.as_str()) || !self.message().contains(field.as_str()) {
                write!(f, "\n  {field}: {description}")?;
            }
        }
        for finding in self.report().map(|report| report.findings.as_slice()).unwrap_or_default() {
            let severity = match finding.severity() {
                Severity::Error | Severity::Unspecified => "error",
                Severity::Warning => "warning",
                Severity::Suggestion => "suggestion",
            };
            let place = [&finding.namespace, "/", &finding.config, " ", &finding.scope].concat();
            write!(f, "\n  {severity}: {place} {}: {}", finding.pointer, finding.message)?;
            if !finding.suggestion.is_empty() {
                write!(f, " ({})", finding.suggestion)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {}", self.0.code, self.0.reason, self)
    }
}

impl Error for ClientError {}

/// Reads a JSON document into a type of the application.
pub(super) fn read_json<T: DeserializeOwned>(document: &Document) -> Result<T, ClientError> {
    serde_json::from_str(&document.content).map_err(|error| {
        let Document { namespace, config, scope, version, .. } = document;
        let message = format!("{namespace}/{config} {scope} version {version} is not as expected: {error}");
        ClientError::local(Code::FailedPrecondition, "UNEXPECTED_DOCUMENT", message)
    })
}

/// The code that says what to do. What the server sends has no source, so that one beneath these codes is the transport's: a
/// connection that broke in the middle of an answer, or went away before it took the request, after which trying again is right.
fn code(status: &Status) -> Code {
    match status.code() {
        Code::Unknown | Code::Internal | Code::Cancelled if status.source().is_some() => Code::Unavailable,
        code => code,
    }
}

/// The message, and what lies beneath where the transport failed: "transport error" alone helps nobody.
fn message(status: &Status) -> String {
    let mut message = match status.message() {
        "" => status.code().description().to_owned(),
        said => said.to_owned(),
    };
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = error.source();
    }
    message
}

/// The error of this kind that lies beneath.
fn source<E: Error + 'static>(status: &Status) -> Option<&E> {
    std::iter::successors(status.source(), |error| (*error).source()).find_map(|error| error.downcast_ref())
}

/// A message among the details, which are a `google.rpc.Status`.
fn detail<M: Message + Default>(status: &Status, name: &str) -> Option<M> {
    let details = pb::Status::decode(status.details()).ok()?.details;
    let any = details.into_iter().find(|any| any.type_url.rsplit('/').next() == Some(name))?;
    M::decode(any.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::proto::v1::Finding;

    #[test]
    fn everything_that_the_server_says_is_there() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("INVALID_NAME", DOMAIN, [("name".to_owned(), "A".to_owned())])
            .add_bad_request_violation("change.namespace", "must be lower case")
            .set_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::InvalidArgument, "a name is not valid", details);
        let error = ClientError::from(status);
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "INVALID_NAME"));
        assert_eq!(error.metadata()["name"], "A");
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
        assert_eq!(error.to_string(), "a name is not valid\n  change.namespace: must be lower case");
        assert!(!error.is_retryable());
    }

    #[test]
    fn the_report_of_a_refused_write_is_read_and_shown() {
        let finding = Finding {
            severity: Severity::Error.into(),
            namespace: "n".into(),
            config: "c".into(),
            scope: "/".into(),
            pointer: "/port".into(),
            message: "expected a number".into(),
            suggestion: "remove the quotes".into(),
            ..Default::default()
        };
        let report = ValidationReport { valid: false, findings: vec![finding], omitted: 0 };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/confwatch.v1.ValidationReport".into(),
            value: report.encode_to_vec(),
        };
        let code = Code::FailedPrecondition;
        let details = pb::Status { code: code as i32, message: String::new(), details: vec![any] };
        let error = ClientError::from(Status::with_details(code, "refused", details.encode_to_vec().into()));
        assert_eq!(error.report(), Some(&report));
        let expected = "refused\n  error: n/c / /port: expected a number (remove the quotes)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn reasons_of_others_are_not_taken_for_ours() {
        let mut details = ErrorDetails::new();
        details.set_error_info("DRAINING", "proxy.example.com", HashMap::new());
        let error = ClientError::from(Status::with_error_details(Code::Unavailable, "", details));
        assert_eq!(error.reason(), "");
        assert!(error.is_retryable());
        assert_eq!(error.message(), Code::Unavailable.description());
    }

    #[test]
    fn a_connection_that_broke_may_be_tried_again_and_a_bug_of_the_server_may_not() {
        for code in [Code::Unknown, Code::Internal, Code::Cancelled] {
            let mut broken = Status::new(code, "h2 protocol error");
            broken.set_source(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
            let error = ClientError::from(broken);
            assert!(error.code() == Code::Unavailable && error.is_retryable(), "{error:?}");
            let mut details = ErrorDetails::new();
            details.set_error_info("INTERNAL", DOMAIN, HashMap::new());
            let bug = ClientError::from(Status::with_error_details(code, "a bug", details));
            assert!(bug.is_from_server() && !bug.is_retryable());
        }
    }

    #[test]
    fn what_a_proxy_says_may_be_tried_again_and_what_the_server_says_may_not() {
        // As gRPC maps 404, 401, 403, 400 and other statuses of HTTP.
        for code in [
            Code::Unimplemented,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Internal,
            Code::Unknown,
        ] {
            let error = ClientError::from(Status::new(code, "from a proxy"));
            assert!(error.is_retryable() && !error.is_from_server() && !error.is_denied(), "{error:?}");
            let mut details = ErrorDetails::new();
            details.set_error_info("SOME_REASON", DOMAIN, HashMap::new());
            let error = ClientError::from(Status::with_error_details(code, "from the server", details));
            assert!(!error.is_retryable() && error.is_from_server(), "{error:?}");
            assert_eq!(error.is_denied(), code == Code::PermissionDenied);
        }
    }

    #[test]
    fn what_is_exhausted_may_be_tried_again_if_the_server_says_when() {
        let exhausted = |details| {
            ClientError::from(Status::with_error_details(Code::ResourceExhausted, "too much", details))
        };
        let mut limited = ErrorDetails::new();
        limited.set_error_info("RATE_LIMITED", DOMAIN, HashMap::new());
        limited.set_retry_info(Some(Duration::from_millis(70)));
        let error = exhausted(limited);
        assert!(error.is_retryable());
        assert_eq!(error.retry_after(), Some(Duration::from_millis(70)));
        let mut large = ErrorDetails::new();
        large.set_error_info("MESSAGE_TOO_LARGE", DOMAIN, HashMap::new());
        assert!(!exhausted(large).is_retryable());
    }

    #[test]
    fn details_that_are_not_a_status_are_no_trouble() {
        let error = ClientError::from(Status::with_details(Code::Internal, "broken", vec![0xff; 9].into()));
        assert_eq!((error.message(), error.report()), ("broken", None));
    }
}
