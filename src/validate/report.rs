//! Findings, and the report they make.

use crate::model::text::DocumentError;
use crate::model::{ConfigId, Scope};

/// Everything that validation has to say about a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the changes they belong to.
    pub findings: Vec<Finding>,
}

/// One thing that validation has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// A stable UPPER_SNAKE name.
    pub code: &'static str,
    pub place: Place,
    pub message: String,
    pub suggestion: String,
}

/// Where: a document, and a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: ConfigId,
    pub scope: Scope,
    /// RFC 6901; `""` is the whole document.
    pub pointer: String,
}

/// How much a finding matters. Only errors refuse a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
    Suggestion,
}

impl Report {
    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

impl Finding {
    /// A document that cannot be read or a patch that does not apply.
    pub fn of_document(id: &ConfigId, scope: &Scope, error: &DocumentError) -> Finding {
        Finding {
            severity: Severity::Error,
            code: error.code.as_str(),
            place: Place { id: id.clone(), scope: scope.clone(), pointer: error.pointer.clone() },
            message: error.to_string(),
            suggestion: String::new(),
        }
    }
}
