//! Documents stay below their size limit, at every scope that a change reaches. How large a document is for those who go through it.

use serde_json::Value;

use crate::model::content::Content;
use crate::model::merge::fold_opaque;
use crate::model::{ConfigId, Layer, LayerKey, LayerKind, Scope};

use super::{Finding, Place, Severity};

/// Checks the documents of a scope of a config, given the layers that make its effective one, in the order of merging: that one,
/// those that it becomes as overrides end, which nothing can refuse any more, and the one without overrides, which clients can
/// ask for. Opaque values are merged as one value each: secrets.
///
/// The sizes of the layers bound that of their merge, so the merge is only made where the bound is not enough.
pub fn check_size(
    id: &ConfigId,
    scope: &Scope,
    merged: &[(&LayerKey, &Layer)],
    is_opaque: fn(&Value) -> bool,
    document_bytes_max: usize,
) -> Option<Finding> {
    let bytes_bound: usize = merged.iter().map(|(_, layer)| layer.content.as_str().len()).sum();
    if bytes_bound <= document_bytes_max {
        return None;
    }
    let values: Vec<Value> = merged.iter().map(|(_, layer)| layer.content.to_value()).collect();
    let too_large = |which: &str, is_in: &dyn Fn(&LayerKey) -> bool| {
        let values = merged.iter().zip(&values).filter(|((key, _), _)| is_in(key)).map(|(_, value)| value);
        let bytes = Content::of(&fold_opaque(values, is_opaque)).as_str().len();
        (bytes > document_bytes_max).then(|| Finding {
            severity: Severity::Error,
            code: "DOCUMENT_TOO_LARGE".into(),
            place: Place { id: id.clone(), scope: scope.clone(), pointer: String::new() },
            message: format!("{which} has {bytes} bytes, at most {document_bytes_max} are allowed"),
            suggestion: "split the config in two".into(),
            is_secret: false,
        })
    };
    let mut ending: Vec<_> =
        merged.iter().filter_map(|(key, layer)| Some((layer.expires?, (*key).clone()))).collect();
    // The order in which they end.
    ending.sort_unstable();
    too_large("the effective document", &|_| true)
        .or_else(|| too_large("the document without overrides", &|key| key.kind == LayerKind::Base))
        .or_else(|| {
            (1..=ending.len()).find_map(|count| {
                let is_in = |key: &LayerKey| !ending[..count].iter().any(|(_, ended)| ended == key);
                too_large("the effective document, when overrides have ended,", &is_in)
            })
        })
}

/// Values, names of members, and each 16 bytes of a text.
pub(super) fn parts(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => text_parts(text),
        Value::Array(items) => items.iter().fold(1, |sum, item| sum + parts(item)),
        Value::Object(members) => {
            members.iter().fold(1, |sum, (name, value)| sum + text_parts(name) + parts(value))
        }
    }
}

pub(super) fn text_parts(text: &str) -> u64 {
    1 + (text.len() / 16) as u64
}
