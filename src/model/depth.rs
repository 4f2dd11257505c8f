//! How deep a value is nested. A scalar has depth 0, `{}` and `[]` have depth 1, and each object or array within another
//! adds one. Knows values only.

use serde_json::Value;

use super::document_error::{DocumentError, DocumentErrorCode};
use super::limits::DEPTH_MAX;
use super::pointer::Pointer;

/// The depth of a value. Recurses, so the value must be one that was made under some limit.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// What every refusal for depth says.
pub fn too_deep(pointer: &Pointer) -> DocumentError {
    DocumentError::new(DocumentErrorCode::TooDeep, pointer, message())
}

pub(super) fn message() -> String {
    format!("nested deeper than the {DEPTH_MAX} levels that are allowed")
}
