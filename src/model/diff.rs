//! What differs between two documents: as a list of values, and as text. Knows values only.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

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
    first_differences(old, new, usize::MAX, usize::MAX).0
}

/// The first differences, and whether these are all: at most `count_max`, with at most `bytes_max` bytes of pointers. Those can be
/// many times as long as the documents, where many members differ below one long name.
pub fn first_differences(
    old: &Value,
    new: &Value,
    count_max: usize,
    bytes_max: usize,
) -> (Vec<ValueChange>, bool) {
    let mut found = DiffCollector { changes: Vec::new(), count_max, bytes_left: bytes_max };
    let is_all = compare(&mut Vec::new(), Some(old), Some(new), &mut found).is_continue();
    (found.changes, is_all)
}

struct DiffCollector {
    changes: Vec<ValueChange>,
    count_max: usize,
    bytes_left: usize,
}

impl DiffCollector {
    fn add(&mut self, place: &[&str], old: Option<&Value>, new: Option<&Value>) -> ControlFlow<()> {
        let bytes: usize = place.iter().map(|token| token.len() + 1).sum();
        let Some(left) = self.bytes_left.checked_sub(bytes).filter(|_| self.changes.len() < self.count_max)
        else {
            return ControlFlow::Break(());
        };
        self.bytes_left = left;
        let pointer = place.iter().copied().map(str::to_owned).collect();
        self.changes.push(ValueChange { pointer, old: old.cloned(), new: new.cloned() });
        ControlFlow::Continue(())
    }
}

/// Stops where there is no more room.
fn compare<'a>(
    place: &mut Vec<&'a str>,
    old: Option<&'a Value>,
    new: Option<&'a Value>,
    found: &mut DiffCollector,
) -> ControlFlow<()> {
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for name in names(old, new) {
                place.push(name);
                compare(place, old.get(name), new.get(name), found)?;
                place.pop();
            }
            ControlFlow::Continue(())
        }
        (old, new) if old == new => ControlFlow::Continue(()),
        (old, new) => found.add(place, old, new),
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
