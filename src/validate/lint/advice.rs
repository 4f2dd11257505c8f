//! What a lint says of a value, in words.

/// What is found, in words.
pub(super) struct Advice {
    pub(super) message: String,
    pub(super) suggestion: String,
}
