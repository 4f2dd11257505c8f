//! What a server's refusal means for the one who typed the command: exit code, message, hints, findings. Knows the
//! client's errors; never a command.

use std::collections::BTreeSet;

use anstyle::Style;
use tonic::{Code, Status};

use super::excerpt::Excerpt;
use super::exit::{Exit, Failure};
use super::layers::layer_name;
use super::streams::{CHANGED, Output, PLACE, REMOVED, counted, printable};
use crate::cli::Session;
use crate::cli::files::source::Sources;
use crate::client::ClientError;
use crate::proto::v1;

/// Code of the finding about a scope that the settings of its namespace do not list.
const SCOPE_NOT_ALLOWED: &str = "SCOPE_NOT_ALLOWED";

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        ClientError::from(status).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        failure(&error, &[], None)
    }
}

/// What a refusal means, told with the texts that were refused: by their names, and with the lines that are at fault.
pub async fn refused(error: ClientError, sources: &Sources, session: Option<&Session>) -> Failure {
    let findings = error.report().map(|report| report.findings.as_slice()).unwrap_or_default();
    let excerpts = sources.excerpts(findings, session).await;
    sources.naming(&error, failure(&error, &excerpts, sources.unreadable(&error)))
}

fn failure(error: &ClientError, excerpts: &[Option<Excerpt>], unreadable: Option<Excerpt>) -> Failure {
    let mut failure = Failure::new(exit_of(error), printable(error.message()));
    for violation in error.violations() {
        // The message often is the description of the one violation there is.
        if !error.message().contains(&violation.description) {
            failure = failure.with(format!("{}: {}", violation.field, printable(&violation.description)));
        }
    }
    if let Some(excerpt) = unreadable {
        failure.details.extend(excerpt.lines(style_of(v1::Severity::Error)));
    }
    if let Some(report) = error.report() {
        failure.details.extend(finding_lines(report, excerpts));
        let of_scope = report.findings.iter().find(|found| found.code == SCOPE_NOT_ALLOWED);
        if let Some(found) = of_scope.filter(|found| is_plain_word(&found.namespace)) {
            let settings = format!("{}/namespace:settings", found.namespace);
            failure = failure.with(format!("`confwatch get {settings}` lists the scopes that are allowed"));
        }
        if report.omitted > 0 {
            failure = failure.with("`confwatch validate` has more of them");
        }
    }
    if let Some(conflicts) = error.conflicts() {
        failure.exit = Exit::Conflict;
        failure.details.extend(conflict_lines(conflicts));
    }
    if let Some(hint) = hint(error) {
        failure = failure.with(hint);
    }
    for text in std::iter::once(&mut failure.message).chain(&mut failure.details) {
        *text = as_options(text);
    }
    failure
}

/// A message that names options of the command line, where the server names fields of the request.
fn as_options(text: &str) -> String {
    let fields = [
        ("set options.without_backup", "give --without-backup"),
        ("options.without_backup", "--without-backup"),
        ("options.reason", "--reason"),
        ("options.request_id", "--request-id"),
        ("options.annotations", "--annotation"),
    ];
    fields.iter().fold(text.to_owned(), |text, (field, option)| text.replace(field, option))
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
        "NO_CREDENTIAL" => Some("--token-file or CONFWATCH_TOKEN_FILE names the file with a token".into()),
        "PERMISSION_DENIED" => {
            let word = |key: &str| named(key).filter(|word| is_plain_word(word));
            let target = match (word("namespace"), word("config"), word("scope")) {
                (Some(namespace), Some(config), Some(scope)) => format!(" {namespace}/{config}@{scope}"),
                (Some(namespace), _, _) => format!(" {namespace}"),
                (None, _, _) if named("revision").is_some() => " NAMESPACE/CONFIG@SCOPE".to_owned(),
                (None, _, _) => String::new(),
            };
            Some(format!("`confwatch can-i {}{target}` says why", word("verb")?))
        }
        "MATCH_REQUIRED" => Some("--expected-version says which version is to be changed; 0: the layer is new".into()),
        "REASON_REQUIRED" => Some("--reason says why".into()),
        "TOO_MANY_BACKUPS" => Some("try again when one of them has ended".into()),
        "TOO_MANY_KEPT_BACKUPS" => Some("`confwatch backup pin ID --remove` unpins one, and `confwatch backup prune` removes those that are not pinned".into()),
        "REVERT_CONFLICT" => {
            Some("name the later commits as well to take them back, too (`confwatch blame` shows which commit made a value); or write these values".into())
        }
        "TLS_UNKNOWN_CA" => Some("--tls-ca or CONFWATCH_TLS_CA names the file of its CA".into()),
        "TLS_WRONG_NAME" => Some("--tls-server-name says which name it has".into()),
        "TLS_CERTIFICATE_REQUIRED" => Some("--tls-cert and --tls-key name the files of yours".into()),
        "TLS_EXPECTED" => Some("give its address as https://...".into()),
        "TLS_NOT_SPOKEN" => Some("give its address as http://..., and no options of TLS".into()),
        "" if error.code() == Code::Unavailable => {
            Some("is a server running there? --server or CONFWATCH_SERVER says where".into())
        }
        _ => None,
    }
}

/// One line for each value: where it is, the value now, and what would have come back.
fn conflict_lines(conflicts: &v1::RevertConflicts) -> Vec<String> {
    let value = |text: &str| match text {
        "" => "nothing".to_owned(),
        text => printable(text),
    };
    let line = |conflict: &v1::RevertConflict| {
        let layer = layer_name(&conflict.scope, conflict.kind(), None);
        let place = match (conflict.pointer.as_str(), conflict.expiry) {
            (_, true) => "the end of the override".to_owned(),
            ("", false) => "the layer".to_owned(),
            (pointer, false) => printable(pointer),
        };
        format!(
            "{}/{} {layer}: {place} is {} now, and was {} before revision {}",
            conflict.namespace,
            conflict.config,
            value(&conflict.current_value),
            value(&conflict.restored_value),
            conflict.revision
        )
    };
    let mut lines: Vec<String> = conflicts.conflicts.iter().map(line).collect();
    if conflicts.omitted > 0 {
        lines.push(format!("and {} more", conflicts.omitted));
    }
    lines
}

/// Whether a shell takes a word of the server as it is.
fn is_plain_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte))
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

fn style_of(severity: v1::Severity) -> Style {
    match severity {
        v1::Severity::Error | v1::Severity::Unspecified => REMOVED,
        v1::Severity::Warning => CHANGED,
        v1::Severity::Suggestion => PLACE,
    }
}

/// Each finding, and below it the line that it is about, where that is known. `excerpts` belong to the findings in their order.
pub fn finding_lines(report: &v1::ValidationReport, excerpts: &[Option<Excerpt>]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut shown = BTreeSet::new();
    for (at, finding) in report.findings.iter().enumerate() {
        lines.push(finding_line(finding));
        let Some(excerpt) = excerpts.get(at).and_then(Option::as_ref) else { continue };
        // What is wrong in one line can be so for many scopes.
        let of_excerpt = match shown.insert(excerpt) {
            true => excerpt.lines(style_of(finding.severity())),
            false => vec![excerpt.place()],
        };
        lines.extend(of_excerpt.into_iter().map(|line| format!("  {line}")));
    }
    if report.omitted > 0 {
        let count = usize::try_from(report.omitted).unwrap_or(usize::MAX);
        lines.push(format!("and {} more", counted(count, "finding")));
    }
    lines
}

/// What there is to say of a write that was accepted. A write looks for lints only where something governs, and a dry run of it everywhere.
pub fn found<'a>(
    written: Option<&'a v1::ValidationReport>,
    tried: Option<&'a v1::ValidationReport>,
) -> Option<&'a v1::ValidationReport> {
    written.filter(|report| !report.findings.is_empty()).or(tried).or(written)
}

/// What validation had to say of a write that was accepted, on standard error.
pub fn show_findings(output: &Output, report: Option<&v1::ValidationReport>) {
    let lines = report.map(|report| finding_lines(report, &[])).unwrap_or_default();
    lines.iter().for_each(|line| output.note(line));
}

/// The same, with the lines that it is about.
pub async fn show_findings_in(sources: &Sources, report: Option<&v1::ValidationReport>, session: &Session) {
    let Some(report) = report else { return };
    let excerpts = sources.excerpts(&report.findings, Some(session)).await;
    finding_lines(report, &excerpts).iter().for_each(|line| session.output.note(line));
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
    fn fields_of_the_request_are_called_what_the_command_calls_them() {
        assert_eq!(
            as_options(
                "nothing was written; mend that, or set options.without_backup to write without a backup"
            ),
            "nothing was written; mend that, or give --without-backup to write without a backup"
        );
        assert_eq!(as_options("options.reason: must say why"), "--reason: must say why");
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
            secret: false,
        };
        assert_eq!(finding_line(&finding), "error NOT_AN_OBJECT at a/b / /port: no\\nobject (make it one)");
        let bare = v1::Finding { namespace: String::new(), pointer: String::new(), ..finding };
        assert_eq!(finding_line(&bare), "error NOT_AN_OBJECT: no\\nobject (make it one)");
    }

    #[test]
    fn a_line_that_several_findings_are_about_is_shown_once() {
        let finding = v1::Finding { code: "SCHEMA_TYPE".into(), message: "no".into(), ..Default::default() };
        let report =
            v1::ValidationReport { valid: false, findings: vec![finding.clone(), finding], omitted: 3 };
        let excerpt = Excerpt::of("a.yaml", "port: x", &(6..7), &[]);
        let lines = finding_lines(&report, &[excerpt.clone(), excerpt]);
        let plain: Vec<String> =
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        let expected = [
            "error SCHEMA_TYPE: no",
            "  --> a.yaml:1:7",
            "  1 | port: x",
            "    |       ^",
            "error SCHEMA_TYPE: no",
            "  --> a.yaml:1:7",
            "and 3 findings more",
        ];
        assert_eq!(plain, expected);
    }
}
