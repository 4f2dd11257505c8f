//! A problem of a document that governs access. Knows no particular document.

/// One flaw of a document, and where it is. Quotes names; never a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", place(.pointer))]
pub struct Problem {
    /// RFC 6901; `""` is the whole document.
    pub pointer: String,
    /// What was expected, and what was found.
    pub message: String,
    /// What to do about it; may be empty.
    pub suggestion: String,
}

/// The most problems that are reported of one document: a hostile document could have a hundred thousand.
pub(super) const PROBLEMS_MAX: usize = 100;

fn place(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at {pointer}") }
}
