use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;
use crate::model::canonical::to_canonical;

fn assigned(target: &Value, values: &[(&str, &str)]) -> Result<Value, DocumentError> {
    let values = values.iter().map(|(path, json)| (path.to_string(), json.to_string())).collect();
    apply_assignments(target, &values, is_opaque)
}

#[test]
fn values_are_set_by_path() {
    let check = |target: Value, values: &[(&str, &str)], expected: Value| {
        assert_eq!(assigned(&target, values), Ok(expected), "{values:?}");
    };
    check(json!({"a": 1}), &[], json!({"a": 1}));
    check(
        json!({"schedule": {"day": "monday", "hour": 1}}),
        &[("schedule.day", "\"thursday\""), ("content.max", "30")],
        json!({"schedule": {"day": "thursday", "hour": 1}, "content": {"max": 30}}),
    );
    check(json!({}), &[(r"a\.b.c\\d", "1"), ("/x~1y/~0", "2")], json!({"a.b": {"c\\d": 1}, "x/y": {"~": 2}}));
    check(json!({"a": {"b": 1}}), &[("a", "null")], json!({"a": null}));
    check(json!({"a": {"b": 1}}), &[("a", "{\"c\": 1.0}")], json!({"a": {"c": 1}}));
    check(json!({"l": [1, {"a": 2}]}), &[("l.0", "0"), ("/l/1/a", "3")], json!({"l": [0, {"a": 3}]}));
    check(json!({"l": [1, 2]}), &[("/l/-", "3"), ("/l/0", "0")], json!({"l": [0, 2, 3]}));
    check(json!({}), &[("/", "1"), ("0", "2"), ("-", "3")], json!({"": 1, "0": 2, "-": 3}));
}

#[test]
fn what_cannot_be_assigned_is_refused_with_the_place() {
    use DocumentErrorCode::*;
    let check = |target: Value, values: &[(&str, &str)], code, pointer: &str| {
        let error = assigned(&target, values).expect_err("refused");
        assert_eq!((error.code, error.pointer.as_str()), (code, pointer), "{values:?}: {error}");
    };
    for path in ["", ".", "a.", ".a", "a..b", "a\\", "a\\b", "/~"] {
        check(json!({}), &[(path, "1")], InvalidAssignment, "");
    }
    check(json!({}), &[("a.b", "1"), ("a", "1")], InvalidAssignment, "/a/b");
    check(json!({}), &[("a.b", "1"), ("a.b.c", "1"), ("a-b", "1")], InvalidAssignment, "/a/b/c");
    check(json!({}), &[("a.b", "1"), ("/a/b", "1")], InvalidAssignment, "/a/b");
    check(json!({"a": {"b": 1}}), &[("a.b.c", "1")], InvalidAssignment, "/a/b");
    check(json!({"a": null}), &[("a.b", "1")], InvalidAssignment, "/a");
    check(json!({"l": [1]}), &[("l.1", "1")], InvalidAssignment, "/l");
    check(json!({"l": [1]}), &[("l.1", "1"), ("l.-", "1")], InvalidAssignment, "/l");
    check(json!({"l": [1]}), &[("l.00", "1")], InvalidAssignment, "/l");
    check(json!({"l": [1]}), &[("l.x", "1")], InvalidAssignment, "/l");
    check(json!({"l": [1]}), &[("l.-.x", "1")], InvalidAssignment, "/l");
    check(json!({}), &[("a.b", "thursday")], MalformedDocument, "/a/b");
    check(json!({}), &[("a", "")], MalformedDocument, "/a");
    check(json!({}), &[("a", "{\"b\": 1, \"b\": 2}")], DuplicateKey, "/a/b");
    check(json!({}), &[("a", "[1e999]")], NumberOutOfRange, "/a/0");
    let nested = |count| format!("{}{}", "[".repeat(count), "]".repeat(count));
    assert!(assigned(&json!({}), &[("a", &nested(63))]).is_ok());
    check(json!({}), &[("a", &nested(64))], TooDeep, "/a");
    assert!(assigned(&json!({}), &[(&vec!["a"; 64].join("."), "1")]).is_ok());
    check(json!({}), &[(&"a.".repeat(100_000), "1")], InvalidAssignment, "");
    check(json!({}), &[(&"/a".repeat(100_000), "1")], TooDeep, "");
}

#[test]
fn a_path_into_an_inherited_array_or_scalar_is_refused() {
    let inherited = json!({"h": ["a", {"b": 1}], "o": {"l": [1]}, "s": "x"});
    let look = |layer: Value, path: &str| {
        let values = BTreeMap::from([(path.to_owned(), "1".to_owned())]);
        check_inherited(&layer, &values, || inherited.clone(), |_| false).map_err(|error| error.pointer)
    };
    for (path, place) in
        [("h.-", "/h"), ("h.0", "/h"), ("h.1.b", "/h"), ("o.l.0", "/o/l"), ("s.a", "/s"), ("/h/x", "/h")]
    {
        assert_eq!(look(json!({}), path), Err(place.to_owned()), "{path}");
    }
    for path in ["h", "o.l", "o.new.x", "new.0", "s", "o.m"] {
        assert_eq!(look(json!({}), path), Ok(()), "{path}");
    }
    // What the layer has itself replaces what is inherited already.
    for (layer, path) in
        [(json!({"h": [1]}), "h.-"), (json!({"h": {}}), "h.0.x"), (json!({"s": {}}), "s.a.b")]
    {
        assert_eq!(look(layer, path), Ok(()), "{path}");
    }
    let unread = || -> Value { panic!("the layer has it all") };
    let values = BTreeMap::from([("a.b".to_owned(), "1".to_owned())]);
    assert_eq!(check_inherited(&json!({"a": {}}), &values, unread, |_| false), Ok(()));
}

proptest! {
    /// Unless the target itself is opaque, as `{"$": VALUE}` is in these tests: then the assignment is refused.
    #[test]
    fn an_assigned_value_is_found_at_its_pointer(
        target in arbitrary::object(), value in arbitrary::value(), name in any::<String>(),
    ) {
        let pointer = Pointer::root().child(&name);
        let values = BTreeMap::from([(pointer.to_string(), to_canonical(&value))]);
        match apply_assignments(&target, &values, is_opaque) {
            Ok(document) => {
                prop_assert!(!is_opaque(&target));
                prop_assert_eq!(pointer.find(&document), Some(&value));
            }
            Err(error) => {
                prop_assert!(is_opaque(&target), "{error}");
                prop_assert_eq!((error.code, error.pointer.as_str()), (DocumentErrorCode::InvalidAssignment, ""));
            }
        }
    }

    #[test]
    fn a_dotted_path_means_its_members(tokens in prop::collection::vec("[a.\\\\/é]{1,4}", 1..5)) {
        let path: Vec<String> = tokens.iter().map(|t| t.replace('\\', "\\\\").replace('.', "\\.")).collect();
        prop_assume!(!path[0].starts_with('/'));
        prop_assert_eq!(parse_path(&path.join(".")), Ok(tokens.into_iter().collect()));
    }
}

/// Stands for a secret: `{"$": VALUE}`.
fn is_opaque(value: &Value) -> bool {
    value.get("$").is_some()
}

#[test]
fn an_opaque_value_is_assigned_as_a_whole() {
    let target = json!({"db": {"$": {"user": "u"}}, "list": [{"$": 1}]});
    for path in ["db.user", "db.$", "/db/$/user", "list.0.$", "list.0.x"] {
        let values = BTreeMap::from([(path.to_owned(), "1".to_owned())]);
        let error = apply_assignments(&target, &values, is_opaque).expect_err("it is refused");
        assert_eq!(error.code, DocumentErrorCode::InvalidAssignment, "{path}");
        assert!(error.message.contains("is secret"), "{error}");
    }
    // The root is a place like any other: no path leads into an opaque root, and an empty name is a name.
    for path in ["/", "/$", "x"] {
        let error = assigned(&json!({"$": null}), &[(path, "1")]).expect_err("it is refused");
        assert_eq!(
            (error.code, error.pointer.as_str()),
            (DocumentErrorCode::InvalidAssignment, ""),
            "{path}"
        );
    }
    let values = BTreeMap::from([("db".to_owned(), "1".to_owned()), ("list.0".to_owned(), "2".to_owned())]);
    assert_eq!(apply_assignments(&target, &values, is_opaque), Ok(json!({"db": 1, "list": [2]})));
}
