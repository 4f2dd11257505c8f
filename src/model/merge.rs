//! JSON Merge Patch (RFC 7396): how a layer acts on what it inherits. Knows values only.

use serde_json::{Map, Value};

/// Applies a merge patch, as RFC 7396 section 2 says: objects merge, `null` removes, anything else replaces.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let members = target.as_object_mut().expect("it was made an object above");
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            // An absent member is merged into as well, because the nulls within the patch must not get into the result.
            merge_patch(members.entry(name).or_insert(Value::Null), change);
        }
    }
}

/// The effective document of layers in merge order: each is a merge patch on what came before, the first one on `{}`.
/// No object of it has a null; arrays may.
pub fn fold<'a>(layers: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut document = Value::Object(Map::new());
    for layer in layers {
        merge_patch(&mut document, layer);
    }
    document
}

#[cfg(test)]
mod tests;
