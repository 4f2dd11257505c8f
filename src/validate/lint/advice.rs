//! The texts of lints.

/// What is found, in words.
pub(super) struct Advice {
    pub(super) message: String,
    pub(super) suggestion: String,
}
