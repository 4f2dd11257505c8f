//! JSON Merge Patch (RFC 7396): how a layer acts on what it inherits. Knows values only; the caller says which
//! objects count as one value.

use serde_json::{Map, Value};

/// Applies a merge patch, as RFC 7396 section 2 says: objects merge, `null` removes, anything else replaces.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    merge_opaque(target, patch, |_| false);
}

/// Applies a merge patch as `merge_patch` does, but never merges into an opaque object, nor merges an opaque object into another: the patch replaces the
/// value as a whole.
pub fn merge_opaque(target: &mut Value, patch: &Value, is_opaque: fn(&Value) -> bool) {
    let Some(changes) = members_of(patch, is_opaque) else {
        *target = patch.clone();
        return;
    };
    if members_of(target, is_opaque).is_none() {
        *target = Value::Object(Map::new());
    }
    let members = target.as_object_mut().expect("it was made an object above");
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            // An absent member is merged into as well, because the nulls within the patch must not get into the result.
            merge_opaque(members.entry(name).or_insert(Value::Null), change, is_opaque);
        }
    }
}

/// The members of an object that is not opaque.
pub fn members_of(value: &Value, is_opaque: fn(&Value) -> bool) -> Option<&Map<String, Value>> {
    value.as_object().filter(|_| !is_opaque(value))
}

/// The effective document of layers in merge order: each is a merge patch on what came before, the first one on `{}`.
/// No object of it has a null; arrays may.
pub fn fold<'a>(layers: impl IntoIterator<Item = &'a Value>) -> Value {
    fold_opaque(layers, |_| false)
}

/// The same for layers with opaque values.
pub fn fold_opaque<'a>(layers: impl IntoIterator<Item = &'a Value>, is_opaque: fn(&Value) -> bool) -> Value {
    let mut document = Value::Object(Map::new());
    for layer in layers {
        merge_opaque(&mut document, layer, is_opaque);
    }
    document
}

#[cfg(test)]
mod tests;
