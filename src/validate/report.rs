//! Findings, and the report they make.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Found, FoundList, Severity};
use crate::model::text::{DocumentError, DocumentErrorCode};
use crate::model::{ConfigId, Pointer, Scope};

/// Everything that validation has to say about a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the changes they belong to. At most `FINDINGS_MAX`.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub omitted: usize,
    /// The configs and scopes of errors that were left out, since the caller may not read them: for the audit log, never for an answer.
    pub hidden: Vec<(ConfigId, Scope)>,
    /// Nothing else is told.
    within: Option<Arc<Pointer>>,
}

/// As much as a report tells. What is left out is counted, and errors go before all else.
pub const FINDINGS_MAX: usize = 1000;
/// As many configs and scopes of hidden errors are kept.
const HIDDEN_MAX: usize = 16;

/// Codes of findings about the value of a secret begin so.
const SECRET_CODES: &str = "SECRET_";

/// One thing that validation has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// A stable UPPER_SNAKE name, or the id of a rule.
    pub code: Cow<'static, str>,
    pub place: Place,
    pub message: String,
    pub suggestion: String,
    /// The value at the place is a secret, contains one, or is a part of one: nothing may print what its author wrote there.
    pub is_secret: bool,
}

/// Where: a document, and a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: ConfigId,
    pub scope: Scope,
    /// RFC 6901; `""` is the whole document.
    pub pointer: String,
}

impl Report {
    /// Tells only what is found at a place of any document, or below it.
    pub fn within(place: Option<Arc<Pointer>>) -> Report {
        Report { within: place, ..Report::default() }
    }

    /// Takes one more.
    pub fn add(&mut self, finding: Finding) {
        if self.within.as_ref().is_some_and(|place| !place.contains_text(&finding.place.pointer)) {
            return;
        }
        if self.findings.len() < FINDINGS_MAX {
            return self.findings.push(finding);
        }
        self.omitted += 1;
        if finding.severity == Severity::Error {
            let spare = self.findings.iter().rposition(|kept| kept.severity != Severity::Error);
            if let Some(at) = spare {
                self.findings.remove(at);
                self.findings.push(finding);
            }
        }
    }

    /// Takes the findings in the document of a scope, which has secrets at these places.
    pub fn add_found(&mut self, id: &ConfigId, scope: &Scope, secrets: &BTreeSet<Pointer>, found: FoundList) {
        self.omitted += found.dropped_count();
        for found in found.into_kept() {
            let place = (!secrets.is_empty()).then(|| Pointer::parse(&found.pointer));
            let is_secret = place.and_then(Result::ok).is_some_and(|place| place.touches(secrets));
            let finding = Finding::at(id, scope, found);
            self.add(Finding { is_secret: is_secret || finding.is_secret, ..finding });
        }
    }

    /// Keeps where an error is that the caller is not told of.
    pub fn hide(&mut self, id: &ConfigId, scope: &Scope) {
        let is_kept = self.hidden.iter().any(|(kept, at)| kept == id && at == scope);
        if !is_kept && self.hidden.len() < HIDDEN_MAX {
            self.hidden.push((id.clone(), scope.clone()));
        }
    }

    /// There are as many errors as it can tell of.
    pub fn is_full_of_errors(&self) -> bool {
        self.omitted > 0 && self.findings.iter().all(|finding| finding.severity == Severity::Error)
    }

    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

impl Finding {
    pub fn at(id: &ConfigId, scope: &Scope, found: Found) -> Finding {
        let Found { severity, code, pointer, message, suggestion } = found;
        let place = Place { id: id.clone(), scope: scope.clone(), pointer };
        let is_secret = code.starts_with(SECRET_CODES);
        Finding { severity, code, place, message, suggestion, is_secret }
    }

    /// A document that cannot be read or a patch that does not apply.
    pub fn of_document(id: &ConfigId, scope: &Scope, error: &DocumentError) -> Finding {
        Finding {
            severity: Severity::Error,
            code: error.code.as_str().into(),
            place: Place { id: id.clone(), scope: scope.clone(), pointer: error.pointer.clone() },
            message: error.to_string(),
            suggestion: String::new(),
            is_secret: error.code == DocumentErrorCode::SecretNotRevealed,
        }
    }
}
