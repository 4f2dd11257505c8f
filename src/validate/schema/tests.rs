use serde_json::json;

use super::*;

mod hostile;
mod property;

pub(super) fn name(text: &str) -> ConfigName {
    ConfigName::parse(text).expect("a name")
}

pub(super) fn compile(source: &Value) -> Schema {
    compile_with(source, &[]).unwrap_or_else(|found| panic!("{source} compiles: {found:?}"))
}

pub(super) fn compile_with(source: &Value, others: &[(&str, Value)]) -> Result<Schema, Vec<Found>> {
    let others = others.iter().map(|(other, source)| (name(other), source.clone())).collect();
    Schema::compile(&name("main"), source, &others)
}

pub(super) fn check(schema: &Schema, document: &Value) -> Vec<Found> {
    let mut found = FoundList::default();
    schema.check(document, &mut found);
    found.into_kept()
}

/// What one violation is told as: code, pointer, message, suggestion.
fn one(source: Value, document: Value) -> [String; 4] {
    let found = check(&compile(&source), &document);
    let [found] = &found[..] else { panic!("one violation of {source} in {document}: {found:?}") };
    assert!(CODES.iter().any(|(code, _)| *code == found.code), "{} is documented", found.code);
    assert_eq!(found.severity, Severity::Error);
    [found.code.to_string(), found.pointer.clone(), found.message.clone(), found.suggestion.clone()]
}

fn refused(source: &Value) -> Vec<(String, String, String)> {
    let found = compile_with(source, &[]).err().unwrap_or_else(|| panic!("{source} is refused"));
    found
        .into_iter()
        .map(|found| {
            assert!(CODES.iter().any(|(code, _)| *code == found.code), "{} is documented", found.code);
            (found.code.to_string(), found.pointer, found.message)
        })
        .collect()
}

#[test]
fn schemas_are_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Schema>();
}

#[test]
fn a_violation_says_what_was_expected_and_found_and_what_to_do() {
    let tell = |source, document, expected: [&str; 4]| assert_eq!(one(source, document), expected);
    tell(
        json!({"properties": {"port": {"type": "integer"}}}),
        json!({"port": "8080"}),
        ["SCHEMA_TYPE", "/port", "integer expected, \"8080\" found", "write 8080 without quotes"],
    );
    tell(
        json!({"properties": {"port": {"type": ["string", "null"]}}}),
        json!({"port": 80}),
        ["SCHEMA_TYPE", "/port", "null or string expected, 80 found", "write \"80\" in quotes"],
    );
    tell(
        json!({"properties": {"db": {"properties": {"port": {}}, "required": ["port"]}}}),
        json!({"db": {"prot": 1}}),
        ["SCHEMA_REQUIRED", "/db", "the property \"port\" is missing", "rename \"prot\" to \"port\""],
    );
    tell(
        json!({"required": ["port"]}),
        json!({}),
        ["SCHEMA_REQUIRED", "", "the property \"port\" is missing", "add \"port\""],
    );
    tell(
        json!({"properties": {"host": {}, "port": {}}, "additionalProperties": false}),
        json!({"por/t": 1, "host": ""}),
        [
            "SCHEMA_ADDITIONAL_PROPERTY",
            "/por~1t",
            "the property \"por/t\" is not allowed, allowed are \"host\", \"port\"",
            "did you mean \"port\"?",
        ],
    );
    tell(
        json!({"properties": {"level": {"enum": ["debug", "info"]}}}),
        json!({"level": "inof"}),
        [
            "SCHEMA_ENUM",
            "/level",
            "one of \"debug\", \"info\" expected, \"inof\" found",
            "did you mean \"info\"?",
        ],
    );
    tell(
        json!({"properties": {"n": {"minimum": 1}}}),
        json!({"n": 0}),
        ["SCHEMA_RANGE", "/n", "at least 1 expected, 0 found", ""],
    );
    tell(
        json!({"properties": {"n": {"exclusiveMaximum": 1}}}),
        json!({"n": 1}),
        ["SCHEMA_RANGE", "/n", "less than 1 expected, 1 found", ""],
    );
    tell(
        json!({"properties": {"n": {"maxLength": 2}}}),
        json!({"n": "äöü"}),
        ["SCHEMA_LENGTH", "/n", "a string of at most 2 characters expected, 3 found", ""],
    );
    tell(
        json!({"properties": {"n": {"pattern": "^a+$"}}}),
        json!({"n": "b"}),
        ["SCHEMA_PATTERN", "/n", "a string that matches ^a+$ expected, \"b\" found", ""],
    );
    tell(
        json!({"properties": {"n": {"format": "ipv4"}}}),
        json!({"n": "1.2.3"}),
        ["SCHEMA_FORMAT", "/n", "a string of the format ipv4 expected, \"1.2.3\" found", ""],
    );
    tell(
        json!({"properties": {"n": {"uniqueItems": true}}}),
        json!({"n": [1, 2, 1]}),
        ["SCHEMA_UNIQUE_ITEMS", "/n", "elements that all differ expected, 0 and 2 are equal", ""],
    );
    tell(
        json!({"propertyNames": {"pattern": "^[a-z]+$"}}),
        json!({"A": 1}),
        [
            "SCHEMA_PROPERTY_NAME",
            "/A",
            "the name of this property is not allowed: a string that matches ^[a-z]+$ expected, \"A\" found",
            "",
        ],
    );
    tell(
        json!({"properties": {"n": false}}),
        json!({"n": 1}),
        ["SCHEMA_FALSE", "/n", "no value is allowed here", "remove it"],
    );
}

#[test]
fn every_keyword_has_a_code() {
    let code = |schema: Value, value: Value, expected: &str| {
        let [code, pointer, ..] = one(json!({"properties": {"v": schema}}), json!({ "v": value }));
        assert_eq!((code.as_str(), pointer.as_str()), (expected, "/v"));
    };
    code(json!({"const": 1}), json!(2), "SCHEMA_CONST");
    code(json!({"multipleOf": 2}), json!(3), "SCHEMA_MULTIPLE_OF");
    code(json!({"minProperties": 1}), json!({}), "SCHEMA_PROPERTY_COUNT");
    code(json!({"maxProperties": 0}), json!({"a": 1}), "SCHEMA_PROPERTY_COUNT");
    code(json!({"minItems": 1}), json!([]), "SCHEMA_ITEM_COUNT");
    code(json!({"maxItems": 0}), json!([1]), "SCHEMA_ITEM_COUNT");
    code(json!({"contains": {"const": 1}}), json!([2]), "SCHEMA_CONTAINS");
    code(json!({"unevaluatedItems": false}), json!([2]), "SCHEMA_ADDITIONAL_ITEM");
    code(json!({"not": {"type": "integer"}}), json!(1), "SCHEMA_NOT");
    code(json!({"oneOf": [{"type": "integer"}, {"minimum": 1}]}), json!(2), "SCHEMA_ONE_OF");
    code(json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), json!("x"), "SCHEMA_ANY_OF");
    code(json!({"dependentRequired": {"a": ["b"]}}), json!({"a": 1}), "SCHEMA_REQUIRED");
    let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {
        "v": {"items": [{}], "additionalItems": false}
    }});
    assert_eq!(one(old, json!({"v": [1, 2]}))[0], "SCHEMA_ADDITIONAL_ITEM");
    let encoded = json!({"$schema": "http://json-schema.org/draft-07/schema#", "contentEncoding": "base64"});
    assert_eq!(one(encoded, json!("?"))[0], "SCHEMA_CONTENT");
}

#[test]
fn the_alternative_that_was_meant_is_told_of() {
    let nullable = json!({"properties": {"db": {"anyOf": [
        {"type": "null"},
        {"type": "object", "properties": {"port": {"type": "integer"}}, "additionalProperties": false}
    ]}}});
    let [code, pointer, message, _] = one(nullable, json!({"db": {"prot": 1}}));
    assert_eq!((code.as_str(), pointer.as_str()), ("SCHEMA_ADDITIONAL_PROPERTY", "/db/prot"));
    assert_eq!(message, "the property \"prot\" is not allowed, allowed are \"port\"");

    let by_kind = json!({"oneOf": [
        {"properties": {"kind": {"const": "file"}, "path": {"type": "string"}}, "required": ["kind"]},
        {"properties": {"kind": {"const": "url"}, "path": {"type": "integer"}}, "required": ["kind"]}
    ]});
    let [code, pointer, ..] = one(by_kind, json!({"kind": "file", "path": 1}));
    assert_eq!((code.as_str(), pointer.as_str()), ("SCHEMA_TYPE", "/path"));

    let scalars = json!({"properties": {"n": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}});
    let [_, _, message, suggestion] = one(scalars, json!({"n": "12"}));
    assert_eq!(
        message,
        "none of 2 alternatives matches: integer expected, \"12\" found; null expected, \"12\" found"
    );
    assert_eq!(suggestion, "write 12 without quotes");
}

#[test]
fn no_message_shows_what_may_be_secret() {
    let secret = "correct-horse";
    let key = format!("ghp_{}", "Ab1".repeat(14));
    let number = json!({"type": "integer"});
    let cases = [
        (json!({"properties": {"x": {"type": "integer", "x-secret": true}}}), json!({"x": secret})),
        (json!({"properties": {"x": {"type": "integer", "secret": true}}}), json!({"x": secret})),
        (
            json!({"properties": {"x": {"secret": true, "properties": {"y": number}}}}),
            json!({"x": {"y": secret}}),
        ),
        (json!({"properties": {"db_password": number}}), json!({"db_password": secret})),
        (json!({"properties": {"credentials": {"items": number}}}), json!({"credentials": [secret]})),
        (
            json!({"properties": {"x": {"anyOf": [number, {"type": "null", "secret": true}]}}}),
            json!({"x": secret}),
        ),
        (
            json!({"$defs": {"s": {"secret": true}}, "properties": {"x": {"$ref": "#/$defs/s", "enum": [1]}}}),
            json!({"x": secret}),
        ),
        (json!({"properties": {"x": number}}), json!({"x": key})),
        (json!({"properties": {"x": number}}), json!({"x": "two\nlines correct-horse"})),
        (json!({"properties": {"x": {"not": {"type": "string"}, "secret": true}}}), json!({"x": secret})),
        (json!({"properties": {"secret": {"const": 1}}}), json!({"secret": secret})),
        (json!({"properties": {"x": {"pattern": "^a", "secret": true}}}), json!({"x": secret})),
        (json!({"properties": {"x": {"format": "ipv4", "secret": true}}}), json!({"x": secret})),
    ];
    for (source, document) in cases {
        for found in check(&compile(&source), &document) {
            let text = format!("{} {}", found.message, found.suggestion);
            assert!(!text.contains(secret) && !text.contains(&key), "{source}: {text}");
        }
    }
    // The names of properties are no values.
    let [_, pointer, message, suggestion] =
        one(json!({"properties": {"pin": {"type": "string", "secret": true}}}), json!({"pin": 4711}));
    assert_eq!(
        (pointer.as_str(), message.as_str(), suggestion.as_str()),
        ("/pin", "string expected, a number found", "")
    );
}

#[test]
fn schemas_of_a_namespace_refer_to_each_other() {
    let source = json!({"properties": {
        "port": {"$ref": "schema:port"},
        "host": {"$ref": "schema:net.types#/$defs/host"},
        "self": {"$ref": "schema:main#/properties/port"}
    }});
    assert_eq!(Schema::references(&source), BTreeSet::from([name("main"), name("net.types"), name("port")]));
    let others = [
        (
            "port",
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "integer", "maximum": 65535}),
        ),
        ("net.types", json!({"$defs": {"host": {"$ref": "schema:name"}, "port": {"$ref": "schema:port"}}})),
        ("name", json!({"type": "string"})),
        ("broken", json!({"type": "no such type"})),
    ];
    let schema = compile_with(&source, &others).unwrap_or_else(|found| panic!("compiles: {found:?}"));
    let found = check(&schema, &json!({"port": 70000, "host": 1, "self": "x"}));
    let places: Vec<_> = found.iter().map(|found| (found.code.as_ref(), found.pointer.as_str())).collect();
    assert_eq!(places, [("SCHEMA_TYPE", "/host"), ("SCHEMA_RANGE", "/port"), ("SCHEMA_TYPE", "/self")]);

    let refused = |source: Value| {
        let found = compile_with(&source, &others).expect_err("it is refused");
        (
            found[0].code.to_string(),
            found[0].pointer.clone(),
            found[0].message.clone(),
            found[0].suggestion.clone(),
        )
    };
    let (code, pointer, message, suggestion) = refused(json!({"items": {"$ref": "schema:prot"}}));
    assert_eq!((code.as_str(), pointer.as_str()), ("SCHEMA_REFERENCE", "/items/$ref"));
    assert_eq!(message, "refers to \"schema:prot\", and the namespace has no schema \"prot\"");
    assert_eq!(suggestion, "did you mean \"schema:port\"?");
    let (_, _, _, suggestion) = refused(json!({"$ref": "port"}));
    assert_eq!(suggestion, "write \"schema:port\"");
    let (_, pointer, message, _) = refused(json!({"$ref": "schema:port#/$defs/none"}));
    assert_eq!(pointer, "/$ref");
    assert!(message.contains("no such place"), "{message}");
    let (code, _, message, _) = refused(json!({"$ref": "schema:broken"}));
    assert_eq!(code, "SCHEMA_INVALID");
    assert!(message.starts_with("in schema:broken#/type: "), "{message}");
}

#[test]
fn every_reference_that_leads_nowhere_is_told_with_its_place() {
    let source = json!({
        "properties": {
            "a": {"$ref": "https://example.com/a.json"},
            "b": {"$ref": "file:///etc/passwd"},
            "c": {"$ref": "#/$defs/none"},
            "d": {"$ref": "#none"},
            "e": {"$ref": "https://json-schema.org/draft/2020-12/schema"}
        },
        "$defs": {"unused": {"$ref": "https://example.com/a.json#/x"}}
    });
    let places: Vec<_> = refused(&source).into_iter().map(|(code, pointer, _)| (code, pointer)).collect();
    let at = |pointer: &str| ("SCHEMA_REFERENCE".to_owned(), pointer.to_owned());
    let expected = [
        "/$defs/unused/$ref",
        "/properties/a/$ref",
        "/properties/b/$ref",
        "/properties/c/$ref",
        "/properties/d/$ref",
    ];
    assert_eq!(places, expected.map(at));
}

#[test]
fn a_schema_that_is_wrong_is_told_with_every_place() {
    let source = json!({
        "properties": {"a": {"type": "integr"}, "b": {"minimum": "1"}, "c": true},
        "required": "a"
    });
    let mut places: Vec<_> = refused(&source).into_iter().map(|(code, pointer, _)| (code, pointer)).collect();
    places.sort();
    let at = |pointer: &str| ("SCHEMA_INVALID".to_owned(), pointer.to_owned());
    assert_eq!(places, ["/properties/a/type", "/properties/b/minimum", "/required"].map(at));

    let draft = |uri: Value| refused(&json!({ "$schema": uri }))[0].0.clone();
    assert_eq!(draft(json!("https://example.com/meta")), "SCHEMA_DRAFT");
    assert_eq!(draft(json!("http://json-schema.org/draft-03/schema#")), "SCHEMA_DRAFT");
    assert_eq!(draft(json!(7)), "SCHEMA_DRAFT");
    for not_a_schema in [json!(1), json!("x"), json!([]), json!(null)] {
        assert_eq!(refused(&not_a_schema)[0].0, "SCHEMA_INVALID");
    }
    assert!(check(&compile(&json!(true)), &json!({})).is_empty());
    assert_eq!(check(&compile(&json!(false)), &json!({}))[0].code, "SCHEMA_FALSE");
}

#[test]
fn our_keywords_have_types() {
    for (keyword, value) in [
        ("secret", json!("yes")),
        ("x-secret", json!(1)),
        ("x-deprecated", json!(1)),
        ("x-owner", json!(true)),
        ("x-restart-required", json!("no")),
    ] {
        let found = refused(&json!({"properties": {"secret": {(keyword): value}}}));
        assert_eq!(
            (found[0].0.as_str(), found[0].1.as_str()),
            ("SCHEMA_KEYWORD", &*format!("/properties/secret/{keyword}"))
        );
    }
}

#[test]
fn annotations_are_found_where_they_apply() {
    let schema = compile(&json!({
        "$defs": {"key": {"secret": true, "x-owner": "security"}},
        "properties": {
            "old": {"x-deprecated": "use new"},
            "older": {"deprecated": true},
            "key": {"$ref": "#/$defs/key"},
            "keys": {"items": {"$ref": "#/$defs/key"}},
            "pool": {"x-restart-required": true, "x-owner": "data"},
            "store": {"oneOf": [
                {"properties": {"kind": {"const": "disk"}, "path": {"x-owner": "disk"}}},
                {"properties": {"kind": {"const": "net"}, "path": {"x-owner": "net", "x-secret": true}}}
            ]}
        },
        "patternProperties": {"_pin$": {"x-secret": true}},
        "additionalProperties": {"x-owner": "nobody"}
    }));
    let document = json!({
        "old": 1, "older": null, "key": "k", "keys": ["a", "b"], "pool": {"max": 1},
        "store": {"kind": "disk", "path": "/x"}, "sim_pin": "1", "else": 1
    });
    let warnings: Vec<_> = check(&schema, &document)
        .into_iter()
        .map(|found| (found.severity, found.code.to_string(), found.pointer, found.message))
        .collect();
    let warning = |pointer: &str, message: &str| {
        (Severity::Warning, "DEPRECATED".to_owned(), pointer.to_owned(), message.to_owned())
    };
    assert_eq!(warnings, [warning("/old", "is deprecated: use new"), warning("/older", "is deprecated")]);
    // A branch that does not apply still makes a secret, and is no owner.
    let secrets: Vec<_> = schema.secret_pointers(&document).into_iter().collect();
    assert_eq!(secrets, ["/key", "/keys/0", "/keys/1", "/sim_pin", "/store/path"]);
    let annotations = schema.annotations(&document);
    let owner = |pointer: &str| annotations.get(pointer).and_then(|said| said.owner.as_deref());
    assert_eq!(
        [
            owner("/key"),
            owner("/keys/1"),
            owner("/pool"),
            owner("/store/path"),
            owner("/else"),
            owner("/sim_pin")
        ],
        [Some("security"), Some("security"), Some("data"), Some("disk"), Some("nobody"), None]
    );
    assert!(annotations["/pool"].restart_required && !annotations["/key"].restart_required);
    // Deprecation is told of an invalid document as well.
    let found = check(&schema, &json!({"old": 1, "store": {"kind": "x"}}));
    assert!(found.iter().any(|found| found.code == "DEPRECATED") && found.len() > 1, "{found:?}");
}

#[test]
fn defaults_fill_what_is_missing_and_nothing_else() {
    let schema = compile(&json!({
        "$defs": {
            "pool": {"properties": {"min": {"default": 1}, "max": {"default": 10}}},
            "named": {"default": "n"}
        },
        "properties": {
            "host": {"default": "localhost"},
            "name": {"$ref": "#/$defs/named"},
            "own": {"$ref": "#/$defs/named", "default": "o"},
            "pool": {"$ref": "#/$defs/pool", "default": {"min": 2}},
            "absent": {"$ref": "#/$defs/pool"},
            "list": {"items": {"$ref": "#/$defs/pool"}},
            "null": {"default": null}
        },
        "allOf": [{"properties": {"port": {"default": 80}}}],
        "anyOf": [{"properties": {"any": {"default": 1}}}, true],
        "additionalProperties": {"$ref": "#/$defs/pool"}
    }));
    let fill = |mut document: Value| {
        assert_eq!(schema.fill_defaults(&mut document), Ok(()));
        document
    };
    assert_eq!(
        fill(json!({})),
        json!({
            "host": "localhost", "name": "n", "own": "o", "pool": {"min": 2, "max": 10}, "null": null, "port": 80
        })
    );
    let full = json!({
        "host": "h", "name": 1, "own": null, "pool": [], "list": [{}, {"min": 5}, 1], "null": 0, "port": 1, "other": {"max": 3}
    });
    let filled = json!({
        "host": "h", "name": 1, "own": null, "pool": [], "list": [{"min": 1, "max": 10}, {"min": 5, "max": 10}, 1], "null": 0,
        "port": 1, "other": {"min": 1, "max": 3}
    });
    assert_eq!(fill(full), filled);
}

#[test]
fn a_default_satisfies_its_subschema_or_the_schema_is_refused() {
    let bad = json!({
        "$defs": {"port": {"type": "integer", "maximum": 65535, "default": 80}},
        "properties": {
            "text": {"type": "integer", "default": "80a"},
            "port": {"$ref": "#/$defs/port", "default": 100_000},
            "good": {"$ref": "#/$defs/port"},
            "null": {"type": "string", "default": null},
            "pool": {"required": ["max"], "default": {}},
            "filled": {"required": ["max"], "properties": {"max": {"default": 1}}, "default": {}},
            "list": {"items": {"enum": ["a"]}, "default": ["a", "b"]}
        },
        "anyOf": [{"properties": {"any": {"type": "string", "default": 1}}}, true]
    });
    let found = refused(&bad);
    let places: std::collections::BTreeSet<_> =
        found.iter().map(|(_, pointer, _)| pointer.as_str()).collect();
    assert!(found.iter().all(|(code, ..)| code == "SCHEMA_DEFAULT"), "{found:?}");
    assert_eq!(
        places.into_iter().collect::<Vec<_>>(),
        [
            "/anyOf/0/properties/any/default",
            "/properties/list/default",
            "/properties/null/default",
            "/properties/pool/default",
            "/properties/port/default",
            "/properties/text/default",
        ]
    );
    assert!(found.iter().any(|(_, _, message)| message.contains("at /1 in it")), "{found:?}");
}

#[test]
fn a_reference_to_a_place_that_is_not_there_is_refused() {
    let schema = compile_with(
        &json!({"properties": {"rest": {"$ref": "#/$defs/open"}}, "$defs": {"closed": {}}}),
        &[],
    );
    assert!(schema.is_err());
}

#[test]
fn fields_are_permitted_forbidden_or_unknown() {
    let schema = compile(&json!({
        "$defs": {
            "closed": {"properties": {"a": {"type": "integer"}}, "additionalProperties": false},
            "open": {"properties": {"a": {}}}
        },
        "properties": {
            "closed": {"$ref": "#/$defs/closed"},
            "open": {"properties": {"a": {}}},
            "either": {"anyOf": [{"$ref": "#/$defs/closed"}, {"properties": {"b": true}, "additionalProperties": false}]},
            "both": {"allOf": [{"$ref": "#/$defs/closed"}, {"properties": {"b": true}}]},
            "matched": {"patternProperties": {"^x-": {"$ref": "#/$defs/closed"}}, "additionalProperties": false},
            "map": {"additionalProperties": {"$ref": "#/$defs/closed"}},
            "rest": {"$ref": "#/$defs/open", "unevaluatedProperties": false},
            "if": {"if": {"$ref": "#/$defs/closed"}, "then": {"properties": {"c": true}}},
            "never": false
        }
    }));
    let check = |path: &str, expected: Permission| {
        let path: Vec<&str> = path.split('.').filter(|name| !name.is_empty()).collect();
        assert_eq!(schema.permits_field(&path), expected, "{path:?}");
    };
    use Permission::{No, Unknown, Yes};
    check("", Unknown);
    check("closed", Yes);
    check("closed.a", Yes);
    check("closed.b", No);
    check("closed.a.x", No);
    check("open.a", Yes);
    check("open.b", Unknown);
    check("other", Unknown);
    check("other.deeper", Unknown);
    check("either.a", Yes);
    check("either.b", Yes);
    check("either.c", No);
    check("both.a", Yes);
    check("both.b", No);
    check("matched.x-1.a", Yes);
    check("matched.x-1.b", No);
    check("matched.y", No);
    check("map.anything.b", No);
    check("rest.a", Yes);
    check("rest.b", No);
    check("if.b", Unknown);
    check("if.c", Yes);
    check("never", No);
    check("never.x", No);
}
