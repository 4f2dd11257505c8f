//! Why a text is not a document, or a document not what it should be: one error for all of it, because its readers do the
//! same with each: show the place and the message to whoever wrote the document. Knows no format.

use std::fmt;

use super::Pointer;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", self.place())]
pub struct DocumentError {
    pub code: DocumentErrorCode,
    /// RFC 6901 pointer, as far as the place is known; `""` is the whole document.
    pub pointer: String,
    /// Counted from 1, if the error is one of a text.
    pub line: Option<usize>,
    /// Counted from 1, if the error is one of a text.
    pub column: Option<usize>,
    /// Without the place, and without values, which may be secret.
    pub message: String,
}

/// The kinds of error. Their names are part of the contract: `Finding.code`, and the reason of a refused call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentErrorCode {
    MalformedDocument,
    DuplicateKey,
    TooDeep,
    LayerTooLarge,
    NotAnObject,
    NumberOutOfRange,
    FormatCannotExpress,
    PatchDoesNotApply,
    InvalidAssignment,
    SecretNotRevealed,
}

impl DocumentError {
    /// An error whose place in a text is not known.
    pub fn new(code: DocumentErrorCode, pointer: &Pointer, message: impl Into<String>) -> DocumentError {
        DocumentError {
            code,
            pointer: pointer.to_string(),
            line: None,
            column: None,
            message: message.into(),
        }
    }

    fn place(&self) -> impl fmt::Display {
        let pointer = if self.pointer.is_empty() { String::new() } else { format!(" at {}", self.pointer) };
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{pointer} (line {line}, column {column})"),
            (Some(line), None) => format!("{pointer} (line {line})"),
            (None, Some(_) | None) => pointer,
        }
    }
}

impl DocumentErrorCode {
    pub fn as_str(self) -> &'static str {
        match self {
            DocumentErrorCode::MalformedDocument => "MALFORMED_DOCUMENT",
            DocumentErrorCode::DuplicateKey => "DUPLICATE_KEY",
            DocumentErrorCode::TooDeep => "TOO_DEEP",
            DocumentErrorCode::LayerTooLarge => "LAYER_TOO_LARGE",
            DocumentErrorCode::NotAnObject => "NOT_AN_OBJECT",
            DocumentErrorCode::NumberOutOfRange => "NUMBER_OUT_OF_RANGE",
            DocumentErrorCode::FormatCannotExpress => "FORMAT_CANNOT_EXPRESS",
            DocumentErrorCode::PatchDoesNotApply => "PATCH_DOES_NOT_APPLY",
            DocumentErrorCode::InvalidAssignment => "INVALID_ASSIGNMENT",
            DocumentErrorCode::SecretNotRevealed => "SECRET_NOT_REVEALED",
        }
    }
}

impl fmt::Display for DocumentErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_sentence_with_its_place() {
        let mut error = DocumentError::new(
            DocumentErrorCode::DuplicateKey,
            &Pointer::root().child("a").child("b"),
            "the key occurs twice",
        );
        assert_eq!(error.to_string(), "the key occurs twice at /a/b");
        (error.line, error.column) = (Some(3), Some(4));
        assert_eq!(error.to_string(), "the key occurs twice at /a/b (line 3, column 4)");
        error.pointer.clear();
        assert_eq!(error.to_string(), "the key occurs twice (line 3, column 4)");
    }
}
