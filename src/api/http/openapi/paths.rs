//! Puts operations in their places in the description: by path, then by method. Knows no operation.

use http::Method;
use serde_json::{Map, Value, json};

/// Adds an operation to the paths.
pub fn add(paths: &mut Map<String, Value>, path: String, method: &Method, operation: Value) {
    let item = paths.entry(path).or_insert_with(|| json!({}));
    item[method.as_str().to_ascii_lowercase()] = operation;
}
