//! What differs between two documents: as a list of values, and as text. Knows values only.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use similar::TextDiff;

use super::Pointer;

/// What happened to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeType {
    Added,
    Removed,
    Changed,
}

/// One difference between two documents. At least one of `old` and `new` is there.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueChange {
    pub pointer: Pointer,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

impl ValueChange {
    pub fn change_type(&self) -> ChangeType {
        match (&self.old, &self.new) {
            (None, _) => ChangeType::Added,
            (Some(_), None) => ChangeType::Removed,
            (Some(_), Some(_)) => ChangeType::Changed,
        }
    }
}

/// Every difference, sorted by pointer. Objects are compared member by member, everything else as a whole; a member that
/// only one side has is one entry, however much there is below it.
pub fn diff(old: &Value, new: &Value) -> Vec<ValueChange> {
    let mut changes = Vec::new();
    compare(&Pointer::root(), Some(old), Some(new), &mut changes);
    changes
}

fn compare(pointer: &Pointer, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<ValueChange>) {
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for name in names(old, new) {
                compare(&pointer.child(name), old.get(name), new.get(name), changes);
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            changes.push(ValueChange { pointer: pointer.clone(), old: old.cloned(), new: new.cloned() });
        }
    }
}

/// Sorted, which keeps the changes sorted by pointer.
fn names<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    old.keys().chain(new.keys()).collect()
}

/// A unified diff of two texts, as `diff -u` writes it; `""` if they are equal. A last line without its newline is marked.
pub fn unified(old: &str, new: &str, old_label: &str, new_label: &str, context_lines: usize) -> String {
    if old == new {
        return String::new();
    }
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(context_lines)
        .header(old_label, new_label)
        .to_string()
}

#[cfg(test)]
mod tests;
