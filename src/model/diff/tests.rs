use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;
use crate::model::text::render_pretty_json;

#[test]
fn values_that_differ_are_listed_by_pointer() {
    let old = json!({"gone": {"x": {"y": 1}}, "kept": {"a": 1, "b/c": [1, 2]}, "kind": {"a": 1}, "n": null});
    let new = json!({"kept": {"a": 1, "b/c": [2, 1]}, "kind": 5, "made": {"x": {}}, "n": 0});
    let listed: Vec<_> = diff(&old, &new)
        .into_iter()
        .map(|change| (change.pointer.to_string(), change.change_type(), change.old, change.new))
        .collect();
    assert_eq!(
        listed,
        [
            ("/gone".to_owned(), ChangeType::Removed, Some(json!({"x": {"y": 1}})), None),
            ("/kept/b~1c".to_owned(), ChangeType::Changed, Some(json!([1, 2])), Some(json!([2, 1]))),
            ("/kind".to_owned(), ChangeType::Changed, Some(json!({"a": 1})), Some(json!(5))),
            ("/made".to_owned(), ChangeType::Added, None, Some(json!({"x": {}}))),
            ("/n".to_owned(), ChangeType::Changed, Some(json!(null)), Some(json!(0))),
        ]
    );
    assert_eq!(diff(&json!(1), &json!({})).len(), 1);
}

#[test]
fn texts_differ_as_diff_writes_it() {
    assert_eq!(unified("a\nb\n", "a\nb\n", "old", "new", 3), "");
    assert_eq!(unified("a\nb\nc\n", "a\nB\nc\n", "old", "new", 0), "--- old\n+++ new\n@@ -2 +2 @@\n-b\n+B\n");
    assert_eq!(
        unified("a\nb", "a\nb\n", "old", "new", 3),
        "--- old\n+++ new\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"
    );
    assert_eq!(unified("", "a\n", "old", "new", 3), "--- old\n+++ new\n@@ -0,0 +1 @@\n+a\n");
}

#[test]
fn large_texts_without_a_common_line_are_compared_all_the_same() {
    let text = |name: &str| (0..100_000).map(|at| format!("{name}{at}\n")).collect::<String>();
    assert_eq!(unified(&text("a"), &text("b"), "old", "new", 3).lines().count(), 200_003);
}

fn apply(document: &mut Value, change: &ValueChange) {
    let tokens: Vec<&str> = change.pointer.tokens().collect();
    let Some((name, way)) = tokens.split_last() else {
        *document = change.new.clone().expect("the document itself cannot be removed");
        return;
    };
    let parent = way.iter().fold(document, |place, token| &mut place[*token]);
    let members = parent.as_object_mut().expect("only objects are gone through");
    assert_eq!(members.get(*name), change.old.as_ref());
    match &change.new {
        Some(value) => members.insert((*name).to_owned(), value.clone()),
        None => members.remove(*name),
    };
}

proptest! {
    #[test]
    fn applying_the_changes_to_the_old_document_gives_the_new_one(
        old in arbitrary::similar_object(), new in arbitrary::similar_object(),
    ) {
        let changes = diff(&old, &new);
        prop_assert!(changes.is_sorted_by(|a, b| a.pointer < b.pointer));
        let mut document = old;
        changes.iter().for_each(|change| apply(&mut document, change));
        prop_assert_eq!(document, new);
    }

    #[test]
    fn a_document_does_not_differ_from_itself(value in arbitrary::value()) {
        prop_assert_eq!(diff(&value, &value), vec![]);
        let text = render_pretty_json(&value);
        prop_assert_eq!(unified(&text, &text, "a", "b", 3), "");
    }
}

#[test]
fn differences_take_no_more_room_than_there_is() {
    let name = "x".repeat(500_000);
    let members: Map<String, Value> = (0..50_000).map(|at| (format!("{at}"), json!(at))).collect();
    let (old, new) = (json!({ &name: {} }), json!({ &name: members }));
    let (changes, is_all) = first_differences(&old, &new, usize::MAX, 2_000_000);
    assert_eq!((changes.len(), is_all), (3, false));
    let (changes, is_all) = first_differences(&old, &new, 2, usize::MAX);
    assert_eq!((changes.len(), is_all), (2, false));
    assert!(first_differences(&old, &old, 0, 0).1);
}
