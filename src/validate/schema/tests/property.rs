//! What holds for all schemas and documents.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::model::arbitrary;

/// The places and codes that a plain reading of six keywords finds.
fn naive(schema: &Value, value: &Value, pointer: &str, found: &mut BTreeSet<(String, String)>) {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        _ => value.is_i64() || value.is_u64(),
    };
    if schema["type"].as_str().is_some_and(|name| !is(name)) {
        found.insert(("SCHEMA_TYPE".to_owned(), pointer.to_owned()));
    }
    if schema["enum"].as_array().is_some_and(|options| !options.contains(value)) {
        found.insert(("SCHEMA_ENUM".to_owned(), pointer.to_owned()));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        found.insert(("SCHEMA_RANGE".to_owned(), pointer.to_owned()));
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            found.insert(("SCHEMA_REQUIRED".to_owned(), pointer.to_owned()));
        }
    }
    for (name, member) in members {
        let place = format!("{pointer}{}", crate::model::Pointer::root().child(name));
        match &schema["properties"][name] {
            Value::Null if schema["additionalProperties"] == false => {
                found.insert(("SCHEMA_ADDITIONAL_PROPERTY".to_owned(), place));
            }
            Value::Null => {}
            property => naive(property, member, &place, found),
        }
    }
}

/// A schema of those six keywords, over the names of `arbitrary::similar_object`.
fn simple_schema() -> BoxedStrategy<Value> {
    let names = || prop::sample::select(vec!["a", "b", "c", "~/"]).prop_map(str::to_owned);
    let kinds = ["object", "array", "string", "number", "integer", "boolean", "null"];
    let leaf = prop_oneof![
        Just(json!({})),
        prop::sample::select(kinds.to_vec()).prop_map(|kind| json!({ "type": kind })),
        prop::collection::vec(prop_oneof![Just(json!("x")), (0..3).prop_map(Value::from)], 1..3).prop_map(
            |mut options| {
                options.dedup();
                json!({ "enum": options })
            }
        ),
        (0..3).prop_map(|least| json!({ "minimum": least })),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        (
            prop::collection::btree_map(names(), inner, 0..4),
            prop::collection::btree_set(names(), 0..3),
            any::<bool>(),
            prop::option::weighted(0.3, prop::sample::select(kinds.to_vec())),
        )
            .prop_map(|(properties, required, is_closed, kind)| {
                let properties: Map<String, Value> = properties.into_iter().collect();
                let mut schema = json!({ "properties": properties, "required": required });
                if is_closed {
                    schema["additionalProperties"] = json!(false);
                }
                if let Some(kind) = kind {
                    schema["type"] = json!(kind);
                }
                schema
            })
    })
    .boxed()
}

/// A schema all of whose defaults satisfy it, with documents that do.
fn schema_with_defaults() -> BoxedStrategy<Value> {
    let names = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        (0..5).prop_map(|number| json!({"type": "integer", "default": number})),
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "minLength": 1, "default": "x"})),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        (prop::collection::btree_map(names(), inner, 0..4), any::<bool>(), any::<bool>()).prop_map(
            |(properties, is_closed, has_default)| {
                let properties: Map<String, Value> = properties.into_iter().collect();
                let mut schema = json!({"type": "object", "properties": properties});
                if is_closed {
                    schema["additionalProperties"] = json!(false);
                }
                if has_default {
                    schema["default"] = json!({});
                }
                schema
            },
        )
    })
    .boxed()
}

/// Members and values that mean something in a schema, so that random ones get past its first line.
fn schema_like() -> BoxedStrategy<Value> {
    let keywords = [
        "$ref",
        "$dynamicRef",
        "$recursiveRef",
        "$id",
        "$anchor",
        "$dynamicAnchor",
        "$schema",
        "$defs",
        "definitions",
        "allOf",
        "anyOf",
        "not",
        "if",
        "then",
        "else",
        "properties",
        "patternProperties",
        "additionalProperties",
        "unevaluatedProperties",
        "items",
        "prefixItems",
        "contains",
        "dependentSchemas",
        "dependencies",
        "propertyNames",
        "type",
        "enum",
        "const",
        "pattern",
        "format",
        "minimum",
        "required",
        "default",
        "secret",
        "x-deprecated",
        "a",
    ];
    let texts = [
        "#",
        "#/$defs/a",
        "#/definitions/a",
        "#a",
        "schema:main",
        "schema:main#/$defs/a",
        "https://example.com/x",
        "a",
        "object",
        "",
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "^a+$",
        "(",
        "%",
        "date",
    ];
    let leaf = prop_oneof![
        4 => prop::sample::select(texts.to_vec()).prop_map(Value::from),
        2 => any::<bool>().prop_map(Value::from),
        1 => (-1..3).prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(5, 48, 5, move |inner| {
        let name = prop::sample::select(keywords.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            4 => prop::collection::btree_map(name, inner.clone(), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    })
    .boxed()
}

proptest! {
    #[test]
    fn findings_are_those_of_a_naive_validator(source in simple_schema(), document in arbitrary::similar_object()) {
        let schema = compile(&source);
        let mut expected = BTreeSet::new();
        naive(&source, &document, "", &mut expected);
        let found = check(&schema, &document);
        let places: BTreeSet<_> = found.iter().map(|found| (found.code.to_string(), found.pointer.clone())).collect();
        prop_assert_eq!(&places, &expected);
        prop_assert_eq!(schema.is_valid(&document), expected.is_empty());
        for found in found {
            prop_assert!(crate::model::Pointer::parse(&found.pointer).is_ok());
            prop_assert!(!found.message.is_empty());
        }
    }

    #[test]
    fn what_is_found_piece_by_piece_is_what_is_found_at_once(source in simple_schema(), document in arbitrary::similar_object()) {
        let schema = compile(&source);
        let places = |found: &FoundList| -> BTreeSet<(String, String)> {
            found.kept().iter().map(|found| (found.code.to_string(), found.pointer.clone())).collect()
        };
        let teller = Teller { is_secret: &|_| false, names: &|_| Vec::new(), may_quote: &|_| true, code: None };
        let (mut at_once, mut by_piece) = (FoundList::default(), FoundList::default());
        schema.validator.iter_errors(&document).for_each(|error| teller.tell(&error, &mut at_once));
        if !schema.is_valid(&document) {
            search::Search::new(&schema, &teller, &mut by_piece).run(&document);
        }
        prop_assert_eq!(places(&at_once), places(&by_piece));
    }

    #[test]
    fn compiling_any_json_gives_a_schema_or_findings(source in prop_oneof![arbitrary::value(), schema_like()], document in arbitrary::value()) {
        match compile_with(&source, &[("a", json!({"$defs": {"a": {"type": "object"}}}))]) {
            Ok(schema) => {
                let is_valid = schema.is_valid(&document);
                let errors = check(&schema, &document).iter().filter(|found| found.severity == Severity::Error).count();
                prop_assert_eq!(is_valid, errors == 0);
                schema.secret_pointers(&document);
                schema.annotations(&document);
                schema.permits_field(&["a", "b"]);
                // It may be too much, and never panics.
                let _ = schema.fill_defaults(&mut document.clone());
            }
            Err(found) => {
                prop_assert!(!found.is_empty());
                for found in found {
                    let place = crate::model::Pointer::parse(&found.pointer).expect("a pointer");
                    // A property that is missing is told at its object; all else is there.
                    prop_assert!(place.find(&source).is_some(), "{} in {source}", found.pointer);
                    prop_assert!(CODES.iter().any(|(code, _)| *code == found.code), "{}", found.code);
                }
            }
        }
    }

    #[test]
    fn defaults_are_put_once_and_keep_a_valid_document_valid(source in schema_with_defaults(), document in arbitrary::similar_object()) {
        let schema = compile(&source);
        let mut filled = document.clone();
        prop_assert_eq!(schema.fill_defaults(&mut filled), Ok(()));
        let mut again = filled.clone();
        prop_assert_eq!(schema.fill_defaults(&mut again), Ok(()));
        prop_assert_eq!(&again, &filled);
        prop_assert!(!schema.is_valid(&document) || schema.is_valid(&filled), "{source} {document} {filled}");
    }

    #[test]
    fn a_field_of_a_valid_document_is_never_forbidden(source in simple_schema(), document in arbitrary::similar_object()) {
        let schema = compile(&source);
        if schema.is_valid(&document) {
            let mut rest: Vec<(Vec<&str>, &Value)> = vec![(vec![], &document)];
            while let Some((path, value)) = rest.pop() {
                prop_assert_ne!(schema.permits_field(&path), Permission::No, "{} in {}: {}", path.join("."), source, document);
                for (name, member) in value.as_object().into_iter().flatten() {
                    rest.push((path.iter().copied().chain([name.as_str()]).collect(), member));
                }
            }
        }
    }
}
