//! Errors of documents in a request, with their fields, and content that is too large.

use crate::engine::error::Error;
use crate::model::paths::{PATHS_FACTOR, path_bytes};
use crate::model::text::{DocumentError, DocumentErrorCode};
use crate::model::{Content, Pointer};

/// Refuses content whose canonical text is too long, as that of YAML with aliases can be though its text was not, or whose paths are: each
/// of its values is named by its path when it is compared, explained or kept secret.
pub(in crate::engine) fn bounded(content: Content, bytes_max: usize) -> Result<Content, DocumentError> {
    let bytes = content.as_str().len();
    if bytes > bytes_max {
        return Err(too_large(format!("the layer has {bytes} bytes, at most {bytes_max} are allowed")));
    }
    check_paths(content.as_str(), bytes_max)?;
    Ok(content)
}

/// The refusal of a patch that makes something else of a layer than an object.
pub(in crate::engine) fn not_an_object() -> DocumentError {
    DocumentError {
        code: DocumentErrorCode::NotAnObject,
        pointer: String::new(),
        line: None,
        column: None,
        message: "a layer must be a JSON object, the patch makes it something else".into(),
    }
}

/// Refuses a canonical text whose paths are too long together, where a text may have so many bytes.
pub(in crate::engine) fn check_paths(canonical: &str, bytes_max: usize) -> Result<(), DocumentError> {
    let (found, max) = (path_bytes(canonical), bytes_max.saturating_mul(PATHS_FACTOR));
    match found <= max {
        true => Ok(()),
        false => Err(too_large(format!(
            "the paths of the values take {found} bytes together, at most {max} are allowed: shorten the names above many values"
        ))),
    }
}

fn too_large(message: String) -> DocumentError {
    DocumentError::new(DocumentErrorCode::LayerTooLarge, &Pointer::root(), message)
}

/// The error for a document that was refused in a field of the request.
pub(in crate::engine) fn document_error(field: String, error: DocumentError) -> Error {
    match error.code {
        DocumentErrorCode::PatchDoesNotApply | DocumentErrorCode::SecretNotRevealed => {
            Error::PatchDoesNotApply { field, error }
        }
        DocumentErrorCode::MalformedDocument
        | DocumentErrorCode::DuplicateKey
        | DocumentErrorCode::TooDeep
        | DocumentErrorCode::LayerTooLarge
        | DocumentErrorCode::NotAnObject
        | DocumentErrorCode::NumberOutOfRange
        | DocumentErrorCode::FormatCannotExpress
        | DocumentErrorCode::InvalidAssignment => Error::Document { field, error },
    }
}
