//! How much a finding matters.

/// How much a finding matters. Only errors refuse a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
    Suggestion,
}
