//! What a server's refusal means for the one who typed the command: exit code, message, hints, findings. Knows the
//! client's errors; never a command.

use tonic::{Code, Status};

use super::exit::{Exit, Failure};
use super::output::{Output, printable};
use crate::client::ClientError;
use crate::proto::v1;

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        ClientError::from(status).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let mut failure = Failure::new(exit_of(&error), printable(error.message()));
        for violation in error.violations() {
            // The message often is the description of the one violation there is.
            if !error.message().contains(&violation.description) {
                failure = failure.with(format!("{}: {}", violation.field, printable(&violation.description)));
            }
        }
        for finding in error.report().map(|report| report.findings.as_slice()).unwrap_or_default() {
            failure = failure.with(finding_line(finding));
        }
        if let Some(hint) = hint(&error) {
            failure = failure.with(hint);
        }
        failure
    }
}

fn exit_of(error: &ClientError) -> Exit {
    match error.code() {
        Code::Ok => Exit::Done,
        Code::NotFound | Code::OutOfRange => Exit::NotFound,
        Code::InvalidArgument | Code::FailedPrecondition => Exit::Refused,
        Code::Aborted | Code::AlreadyExists => Exit::Conflict,
        Code::Unavailable | Code::DeadlineExceeded => Exit::Unavailable,
        Code::PermissionDenied | Code::Unauthenticated => Exit::NotAllowed,
        Code::ResourceExhausted if error.is_retryable() => Exit::Unavailable,
        Code::ResourceExhausted => Exit::Refused,
        Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            Exit::Failed
        }
    }
}

/// What to do about it, where that is known.
fn hint(error: &ClientError) -> Option<String> {
    let named = |key: &str| error.metadata().get(key).cloned();
    match error.reason() {
        "VERSION_MISMATCH" => {
            let version = named("current_version")?;
            Some(format!("the current version is {version}: read again, and decide again"))
        }
        "REQUEST_ID_REUSED" => Some("choose another --request-id for another write".into()),
        "COMPACTED" => Some(format!("the oldest revision that is kept is {}", named("oldest_revision")?)),
        "REVISION_IN_FUTURE" => Some(format!("the newest revision is {}", named("store_revision")?)),
        "FORMAT_CANNOT_EXPRESS" => Some("use --format json or yaml".into()),
        "" if error.code() == Code::Unavailable => {
            Some("is a server running there? --server or CONFWATCH_SERVER says where".into())
        }
        _ => None,
    }
}

/// One line: `error NOT_AN_OBJECT at payments/checkout /production /port: message (suggestion)`.
pub fn finding_line(finding: &v1::Finding) -> String {
    let place = match (finding.namespace.as_str(), finding.pointer.as_str()) {
        ("", "") => String::new(),
        ("", pointer) => format!(" at {pointer}"),
        (namespace, pointer) => {
            format!(" at {namespace}/{} {} {pointer}", finding.config, finding.scope).trim_end().to_owned()
        }
    };
    let suggestion = match finding.suggestion.as_str() {
        "" => String::new(),
        suggestion => format!(" ({suggestion})"),
    };
    let text = format!(
        "{} {}{place}: {}{suggestion}",
        severity_name(finding.severity()),
        finding.code,
        finding.message
    );
    printable(&text)
}

pub fn severity_name(severity: v1::Severity) -> &'static str {
    match severity {
        v1::Severity::Error | v1::Severity::Unspecified => "error",
        v1::Severity::Warning => "warning",
        v1::Severity::Suggestion => "suggestion",
    }
}

/// What validation had to say of a write that was accepted, on standard error.
pub fn show_findings(output: &Output, report: Option<&v1::ValidationReport>) {
    for finding in report.map(|report| report.findings.as_slice()).unwrap_or_default() {
        output.note(&finding_line(finding));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_refusal_has_its_exit_code() {
        for (code, exit) in [
            (Code::NotFound, Exit::NotFound),
            (Code::OutOfRange, Exit::NotFound),
            (Code::InvalidArgument, Exit::Refused),
            (Code::FailedPrecondition, Exit::Refused),
            (Code::ResourceExhausted, Exit::Refused),
            (Code::Aborted, Exit::Conflict),
            (Code::AlreadyExists, Exit::Conflict),
            (Code::Unavailable, Exit::Unavailable),
            (Code::DeadlineExceeded, Exit::Unavailable),
            (Code::PermissionDenied, Exit::NotAllowed),
            (Code::Internal, Exit::Failed),
        ] {
            assert_eq!(Failure::from(Status::new(code, "no")).exit, exit, "{code:?}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_comes_with_a_hint() {
        let failure = Failure::from(Status::unavailable("tcp connect error"));
        assert_eq!(failure.details.len(), 1);
        assert!(failure.details[0].contains("CONFWATCH_SERVER"));
    }

    #[test]
    fn findings_are_one_line_with_place_and_advice() {
        let finding = v1::Finding {
            severity: v1::Severity::Error.into(),
            code: "NOT_AN_OBJECT".into(),
            namespace: "a".into(),
            config: "b".into(),
            scope: "/".into(),
            pointer: "/port".into(),
            message: "no\nobject".into(),
            suggestion: "make it one".into(),
        };
        assert_eq!(finding_line(&finding), "error NOT_AN_OBJECT at a/b / /port: no\\nobject (make it one)");
        let bare = v1::Finding { namespace: String::new(), pointer: String::new(), ..finding };
        assert_eq!(finding_line(&bare), "error NOT_AN_OBJECT: no\\nobject (make it one)");
    }
}
