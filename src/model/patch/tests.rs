use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;

const BYTES_MAX: usize = 1 << 20;

fn refused(target: &Value, patch: &Value) -> (DocumentErrorCode, String) {
    let error = apply_json_patch(target, patch, BYTES_MAX, None).expect_err("refused");
    (error.code, error.pointer)
}

/// RFC 6902 appendix A.
#[test]
fn patches_apply_as_the_rfc_says() {
    let check = |target: Value, patch: Value, expected: Value| {
        assert_eq!(apply_json_patch(&target, &patch, BYTES_MAX, None), Ok(expected), "{patch}");
    };
    let op = |op: &str, path: &str, value: Value| json!([{"op": op, "path": path, "value": value}]);
    check(json!({"foo": "bar"}), op("add", "/baz", json!("qux")), json!({"baz": "qux", "foo": "bar"}));
    check(
        json!({"foo": ["bar", "baz"]}),
        op("add", "/foo/1", json!("qux")),
        json!({"foo": ["bar", "qux", "baz"]}),
    );
    check(json!({"baz": 1, "foo": 2}), json!([{"op": "remove", "path": "/baz"}]), json!({"foo": 2}));
    check(json!({"foo": [1, 2, 3]}), json!([{"op": "remove", "path": "/foo/1"}]), json!({"foo": [1, 3]}));
    check(json!({"baz": 1}), op("replace", "/baz", json!("boo")), json!({"baz": "boo"}));
    check(
        json!({"foo": {"bar": 1, "waldo": 2}, "qux": {}}),
        json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
        json!({"foo": {"bar": 1}, "qux": {"thud": 2}}),
    );
    check(
        json!({"foo": [1, 2, 3]}),
        json!([{"op": "move", "from": "/foo/0", "path": "/foo/2"}]),
        json!({"foo": [2, 3, 1]}),
    );
    check(
        json!({"baz": "qux", "foo": ["a", 2, "c"]}),
        json!([{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}]),
        json!({"baz": "qux", "foo": ["a", 2, "c"]}),
    );
    check(json!({"foo": 1}), op("add", "/child", json!({"a": {}})), json!({"foo": 1, "child": {"a": {}}}));
    check(
        json!({"foo": 1}),
        json!([{"op": "add", "path": "/baz", "value": 2, "xyz": 3}]),
        json!({"foo": 1, "baz": 2}),
    );
    check(json!({"/": 9, "~1": 10}), op("test", "/~01", json!(10)), json!({"/": 9, "~1": 10}));
    check(json!({"foo": ["bar"]}), op("add", "/foo/-", json!(["abc"])), json!({"foo": ["bar", ["abc"]]}));
    check(json!({"a": 1}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": 1, "b": 1}));
    check(json!({"a": 1}), op("add", "/n", json!(null)), json!({"a": 1, "n": null}));
    check(json!({"a": 1}), json!([]), json!({"a": 1}));
}

#[test]
fn a_patch_that_does_not_fit_names_the_operation_and_the_place() {
    let target = json!({"baz": "qux", "list": [1]});
    let check = |operation: Value, pointer: &str| {
        let patch = json!([{"op": "add", "path": "/x", "value": 1}, operation]);
        let error = apply_json_patch(&target, &patch, BYTES_MAX, None).expect_err("does not apply");
        assert_eq!((error.code, error.pointer.as_str()), (DocumentErrorCode::PatchDoesNotApply, pointer));
        assert!(error.message.contains("operation 1"), "{error}");
    };
    check(json!({"op": "test", "path": "/baz", "value": "bar"}), "/baz");
    check(json!({"op": "test", "path": "/list/0", "value": "1"}), "/list/0");
    check(json!({"op": "add", "path": "/a/b", "value": 1}), "/a/b");
    check(json!({"op": "add", "path": "/list/2", "value": 1}), "/list/2");
    check(json!({"op": "replace", "path": "/nope", "value": 1}), "/nope");
    check(json!({"op": "remove", "path": "/nope~1"}), "/nope~1");
    check(json!({"op": "remove", "path": "/list/-"}), "/list/-");
    check(json!({"op": "copy", "from": "/nope", "path": "/a"}), "/a");
    check(json!({"op": "move", "from": "/list", "path": "/list/0"}), "/list/0");
}

#[test]
fn what_is_not_a_patch_is_malformed() {
    for (patch, pointer) in [
        (json!({"op": "add", "path": "/a", "value": 1}), ""),
        (json!([{"op": "add", "path": "/a", "value": 1}, 5]), "/1"),
        (json!([{"op": "add", "path": "/a"}]), "/0"),
        (json!([{"op": "spam", "path": "/a"}]), "/0"),
        (json!([{"op": "remove", "path": "a"}]), "/0"),
        (json!([{"path": "/a"}]), "/0"),
    ] {
        assert_eq!(
            refused(&json!({}), &patch),
            (DocumentErrorCode::MalformedDocument, pointer.to_owned()),
            "{patch}"
        );
    }
}

#[test]
fn a_patch_cannot_grow_a_document_without_bound() {
    let wide = json!({"a": "x".repeat(1000)});
    let doubling: Vec<Value> =
        (0..60).map(|at| json!({"op": "copy", "from": "/a", "path": format!("/b{at}")})).collect();
    assert!(apply_json_patch(&wide, &json!(doubling), BYTES_MAX, None).is_ok());
    let doubling = vec![json!({"op": "copy", "from": "/l", "path": "/l/-"}); 62];
    assert_eq!(refused(&json!({"l": []}), &json!(doubling)).0, DocumentErrorCode::LayerTooLarge);
    let over = vec![json!({"op": "copy", "from": "/a", "path": "/a"}); 1100];
    assert_eq!(refused(&wide, &json!(over)).0, DocumentErrorCode::LayerTooLarge);
    let shifting = vec![json!({"op": "add", "path": "/l/0", "value": 0}); 10_000];
    let long = json!({"l": vec![0; 100_000]});
    assert_eq!(refused(&long, &json!(shifting)).0, DocumentErrorCode::LayerTooLarge);
    let add = json!([{"op": "add", "path": "/b", "value": "x".repeat(20)}]);
    assert_eq!(apply_json_patch(&json!({}), &add, 28, None), Ok(json!({"b": "x".repeat(20)})));
    let error = apply_json_patch(&json!({}), &add, 27, None).expect_err("28 bytes");
    assert_eq!(error.code, DocumentErrorCode::LayerTooLarge);
}

#[test]
fn a_patch_cannot_nest_deeper_than_a_document_may() {
    let nested = (0..63).fold(json!(1), |value, _| json!({ "a": value }));
    let add = |value: &Value, path: &str| json!([{"op": "add", "path": path, "value": value}]);
    assert!(apply_json_patch(&json!({}), &add(&nested, "/a"), BYTES_MAX, None).is_ok());
    let error = refused(&json!({"a": {}}), &add(&nested, "/a/b"));
    assert_eq!(error, (DocumentErrorCode::TooDeep, "/a/b".to_owned()));
    let into_itself = vec![json!({"op": "copy", "from": "", "path": "/a"}); 100];
    assert_eq!(refused(&json!({"a": 1}), &json!(into_itself)).0, DocumentErrorCode::TooDeep);
    let moved = json!([{"op": "move", "from": "/a", "path": "/b/c"}]);
    assert_eq!(refused(&json!({"a": nested, "b": {}}), &moved).0, DocumentErrorCode::TooDeep);
}

proptest! {
    #[test]
    fn a_patch_made_from_two_documents_leads_from_one_to_the_other(a in arbitrary::object(), b in arbitrary::object()) {
        let patch = serde_json::to_value(json_patch::diff(&a, &b)).expect("a patch is JSON");
        prop_assert_eq!(apply_json_patch(&a, &patch, BYTES_MAX, None), Ok(b));
    }
}

/// Stands for a secret: `{"$": VALUE}`.
fn is_opaque(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("$"))
}

fn read(value: &Value) -> Value {
    match value {
        Value::Object(members) if is_opaque(value) => read(&members["$"]),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, member)| (name.clone(), read(member))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(read).collect()),
        other => other.clone(),
    }
}

fn around(target: &Value, patch: &Value, may_read: bool) -> Result<Value, (DocumentErrorCode, String)> {
    let read: &dyn Fn(&Value) -> Value = &read;
    let opaque = Opaque { is_opaque, read: may_read.then_some(read) };
    let patched = apply_json_patch(target, patch, BYTES_MAX, Some(&opaque));
    patched.map_err(|error| (error.code, error.message))
}

#[test]
fn no_pointer_leads_into_an_opaque_value() {
    let target = json!({"a": {"$": {"b": ["secret"]}}, "list": [{"$": "x"}], "c": 1});
    for may_read in [true, false] {
        for within in ["/a/$", "/a/$/b", "/a/$/b/0", "/a/b", "/a/nothing", "/list/0/$", "/list/0/x"] {
            for patch in [
                json!([{"op": "copy", "from": within, "path": "/x"}]),
                json!([{"op": "move", "from": within, "path": "/x"}]),
                json!([{"op": "copy", "from": "/c", "path": within}]),
                json!([{"op": "add", "path": within, "value": 1}]),
                json!([{"op": "replace", "path": within, "value": 1}]),
                json!([{"op": "remove", "path": within}]),
                json!([{"op": "test", "path": within, "value": "secret"}]),
            ] {
                let (code, message) = around(&target, &patch, may_read).expect_err("it is refused");
                assert_eq!(code, DocumentErrorCode::PatchDoesNotApply, "{patch}");
                assert!(message.contains("is secret"), "{message}");
            }
        }
    }
}

#[test]
fn an_opaque_value_is_carried_and_compared_only_by_who_may_read_it() {
    let target = json!({"a": {"$": "x"}, "b": {"c": [{"$": {"d": 1}}]}});
    for from in ["/a", "/b", "/b/c", "/b/c/0", ""] {
        let copy = json!([{"op": "copy", "from": from, "path": "/new"}]);
        let (code, _) = around(&target, &copy, false).expect_err("it is refused");
        assert_eq!(code, DocumentErrorCode::SecretNotRevealed);
        let copied = around(&target, &copy, true).expect("it is copied");
        assert_eq!(copied.get("new"), target.pointer(from));
        let refusals = [json!("x"), json!({"$": "x"}), json!({"c": [{"d": 1}]}), json!(0)].map(|value| {
            let test = json!([{"op": "test", "path": from, "value": value}]);
            around(&target, &test, false).expect_err("it is refused, whatever the value")
        });
        assert_eq!(refusals[0].0, DocumentErrorCode::SecretNotRevealed);
        assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    }
    let test = |path: &str, value: Value| {
        around(&target, &json!([{"op": "test", "path": path, "value": value}]), true)
    };
    for (path, value) in [("/a", json!("x")), ("/a", json!({"$": "x"})), ("/b", json!({"c": [{"d": 1}]}))] {
        assert_eq!(test(path, value), Ok(target.clone()));
    }
    let (code, message) = test("/a", json!("y")).expect_err("another value");
    assert_eq!(code, DocumentErrorCode::PatchDoesNotApply);
    assert!(message.contains("value did not match"), "{message}");
}

#[test]
fn an_opaque_value_is_replaced_and_removed_by_anybody() {
    let target = json!({"a": {"$": "x"}, "l": [1, {"$": "y"}]});
    for may_read in [true, false] {
        let patch = json!([
            {"op": "replace", "path": "/a", "value": "new"},
            {"op": "add", "path": "/b", "value": {"$": "z"}},
            {"op": "remove", "path": "/l/0"}
        ]);
        let expected = json!({"a": "new", "b": {"$": "z"}, "l": [{"$": "y"}]});
        assert_eq!(around(&target, &patch, may_read), Ok(expected));
        assert_eq!(
            around(&target, &json!([{"op": "remove", "path": "/l"}]), may_read),
            Ok(json!({"a": {"$": "x"}}))
        );
    }
}
