use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;

fn merged(target: &Value, patch: &Value) -> Value {
    let mut target = target.clone();
    merge_patch(&mut target, patch);
    target
}

/// RFC 7396 appendix A.
#[test]
fn patches_merge_as_the_rfc_says() {
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ];
    for (target, patch, expected) in cases {
        assert_eq!(merged(&target, &patch), expected, "{target} {patch}");
    }
}

/// The pseudocode of RFC 7396 section 2, word by word.
fn as_written(target: Option<Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Some(Value::Object(target)) => target,
        Some(_) | None => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            if target.contains_key(name) {
                target.remove(name);
            }
        } else {
            let member = target.get(name).cloned();
            target.insert(name.clone(), as_written(member, value));
        }
    }
    Value::Object(target)
}

fn objects_have_no_null(value: &Value) -> bool {
    value.as_object().is_none_or(|m| m.values().all(|v| !v.is_null() && objects_have_no_null(v)))
}

proptest! {
    #[test]
    fn merging_is_what_the_rfc_writes(a in arbitrary::similar_object(), b in arbitrary::similar_object()) {
        prop_assert_eq!(merged(&a, &b), as_written(Some(a), &b));
    }

    #[test]
    fn any_values_merge_as_the_rfc_writes(a in arbitrary::value(), b in arbitrary::value()) {
        prop_assert_eq!(merged(&a, &b), as_written(Some(a), &b));
    }

    #[test]
    fn merging_the_same_patch_again_changes_nothing(a in arbitrary::similar_object(), b in arbitrary::similar_object()) {
        let once = merged(&a, &b);
        prop_assert_eq!(merged(&once, &b), once);
    }

    #[test]
    fn a_folded_document_has_nulls_in_arrays_only(layers in prop::collection::vec(arbitrary::similar_object(), 0..5)) {
        let document = fold(&layers);
        prop_assert!(objects_have_no_null(&document));
        prop_assert_eq!(fold([&document]), document);
    }
}
