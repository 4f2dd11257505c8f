//! Takes a change back out of a document that has changed since: a three-way merge. Knows values only.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Pointer;

/// The document `current` without the change that made `after` of `before`; or the places where `current` has neither the value of `before`
/// nor that of `after`, sorted.
///
/// Objects are compared member by member, everything else as one value, and so is an object that `is_opaque` names. Of an object that the
/// change added, only the members that the change added are removed: members that were added later stay.
pub fn take_back(
    before: &Value,
    after: &Value,
    current: &Value,
    is_opaque: fn(&Value) -> bool,
) -> Result<Value, Vec<Pointer>> {
    let mut merge = Merge { is_opaque, conflicts: vec![] };
    let merged = merge.value(&mut vec![], Some(before), Some(after), Some(current));
    match merge.conflicts.is_empty() {
        true => Ok(merged.unwrap_or_default()),
        false => Err(merge.conflicts),
    }
}

struct Merge {
    is_opaque: fn(&Value) -> bool,
    conflicts: Vec<Pointer>,
}

impl Merge {
    fn value<'a>(
        &mut self,
        place: &mut Vec<&'a str>,
        before: Option<&'a Value>,
        after: Option<&'a Value>,
        current: Option<&'a Value>,
    ) -> Option<Value> {
        if before == after || before == current {
            return current.cloned();
        }
        if after == current {
            return before.cloned();
        }
        let is_added = before.is_none();
        let members = |value: Option<&'a Value>| {
            let value = value.filter(|value| !(self.is_opaque)(value));
            value.and_then(Value::as_object)
        };
        match (members(before), members(after), members(current)) {
            (None, Some(after), Some(current)) if is_added => {
                let merged = self.members(place, None, after, current);
                (!merged.is_empty()).then_some(Value::Object(merged))
            }
            (Some(before), Some(after), Some(current)) => {
                Some(Value::Object(self.members(place, Some(before), after, current)))
            }
            (Some(_) | None, Some(_) | None, Some(_) | None) => {
                self.conflicts.push(place.iter().copied().map(str::to_owned).collect());
                current.cloned()
            }
        }
    }

    fn members<'a>(
        &mut self,
        place: &mut Vec<&'a str>,
        before: Option<&'a Map<String, Value>>,
        after: &'a Map<String, Value>,
        current: &'a Map<String, Value>,
    ) -> Map<String, Value> {
        let before_names = before.into_iter().flat_map(Map::keys);
        let names: BTreeSet<&String> = before_names.chain(after.keys()).chain(current.keys()).collect();
        let mut merged = Map::new();
        for name in names {
            place.push(name);
            let before = before.and_then(|before| before.get(name));
            if let Some(value) = self.value(place, before, after.get(name), current.get(name)) {
                merged.insert(name.clone(), value);
            }
            place.pop();
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::arbitrary::similar_object;

    fn is_mark(value: &Value) -> bool {
        value.get("$mark").is_some()
    }

    #[track_caller]
    fn check(before: Value, after: Value, current: Value, expected: Value) {
        assert_eq!(take_back(&before, &after, &current, is_mark), Ok(expected));
    }

    #[track_caller]
    fn conflicts(before: Value, after: Value, current: Value, expected: &[&str]) {
        let found = take_back(&before, &after, &current, is_mark).expect_err("a conflict");
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn later_changes_of_other_values_are_kept() {
        check(json!({"a": 1}), json!({"a": 2}), json!({"a": 2, "b": 3}), json!({"a": 1, "b": 3}));
        check(json!({}), json!({"a": 2}), json!({"a": 2, "b": 3}), json!({"b": 3}));
        check(json!({"a": 1}), json!({}), json!({"b": 3}), json!({"a": 1, "b": 3}));
        check(
            json!({"a": {"x": 1, "y": 1}}),
            json!({"a": {"x": 2, "y": 1}}),
            json!({"a": {"x": 2, "y": 5}}),
            json!({"a": {"x": 1, "y": 5}}),
        );
    }

    #[test]
    fn an_object_that_was_added_loses_the_members_that_were_added_with_it() {
        let (before, after) = (json!({}), json!({"a": {"x": 1, "y": {"z": 2}}}));
        check(before.clone(), after.clone(), after.clone(), json!({}));
        check(
            before.clone(),
            after.clone(),
            json!({"a": {"x": 1, "y": {"z": 2}, "later": 3}}),
            json!({"a": {"later": 3}}),
        );
        check(before.clone(), after.clone(), json!({"a": {"x": 1}}), json!({}));
        conflicts(before, after, json!({"a": {"x": 7, "y": {"z": 2}}}), &["/a/x"]);
    }

    #[test]
    fn a_value_that_was_changed_since_is_a_conflict_at_its_place() {
        conflicts(json!({"a": 1}), json!({"a": 2}), json!({"a": 3}), &["/a"]);
        conflicts(json!({"a": 1}), json!({"a": 2}), json!({}), &["/a"]);
        conflicts(json!({"a": 1}), json!({}), json!({"a": 3}), &["/a"]);
        conflicts(json!({}), json!({"a": 2}), json!({"a": 3}), &["/a"]);
        conflicts(json!({"a": {"x": 1}}), json!({}), json!({"a": {"y": 1}}), &["/a"]);
        conflicts(json!({"a": 1}), json!({"a": {"x": 1}}), json!({"a": {"x": 1, "y": 1}}), &["/a"]);
        conflicts(json!({"a": [1]}), json!({"a": [1, 2]}), json!({"a": [1, 2, 3]}), &["/a"]);
        conflicts(json!({"b": 1, "a": 1}), json!({"b": 2, "a": 2}), json!({"b": 3, "a": 3}), &["/a", "/b"]);
    }

    #[test]
    fn what_was_taken_back_already_stays() {
        check(json!({"a": 1}), json!({"a": 2}), json!({"a": 1}), json!({"a": 1}));
        check(json!({}), json!({"a": 2}), json!({}), json!({}));
        check(json!({"a": 1}), json!({}), json!({"a": 1}), json!({"a": 1}));
    }

    #[test]
    fn an_opaque_object_is_one_value() {
        let mark = |text: &str| json!({"a": {"$mark": text}});
        check(mark("old"), mark("new"), mark("new"), mark("old"));
        conflicts(mark("old"), mark("new"), mark("newer"), &["/a"]);
        conflicts(json!({}), mark("new"), mark("newer"), &["/a"]);
        conflicts(json!({"a": {}}), json!({"a": {"x": 1}}), mark("newer"), &["/a"]);
    }

    proptest! {
        #[test]
        fn taking_back_the_last_change_gives_the_document_before_it(
            before in similar_object(),
            after in similar_object(),
        ) {
            prop_assert_eq!(take_back(&before, &after, &after, |_| false), Ok(before.clone()));
            prop_assert_eq!(take_back(&before, &after, &before, |_| false), Ok(before));
        }

        #[test]
        fn a_change_of_nothing_leaves_everything_as_it_is(
            document in similar_object(),
            current in similar_object(),
        ) {
            prop_assert_eq!(take_back(&document, &document, &current, |_| false), Ok(current));
        }
    }
}
