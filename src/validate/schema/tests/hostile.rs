//! Schemas and documents made to do harm.

use serde_json::{Map, json};

use super::*;

fn code(source: &Value) -> String {
    refused(source)[0].0.clone()
}

/// `count` definitions, each made from the name of the next.
fn chain(count: usize, link: impl Fn(Value) -> Value, end: Value) -> Value {
    let next = |at: usize| json!({"$ref": format!("#/$defs/d{at}")});
    let mut defs: Map<String, Value> = (0..count).map(|at| (format!("d{at}"), link(next(at + 1)))).collect();
    defs.insert(format!("d{count}"), end);
    json!({"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": defs})
}

#[test]
fn references_that_never_go_down_are_refused() {
    let own = json!({"$ref": "#"});
    for source in [
        own.clone(),
        json!({"allOf": [own]}),
        json!({"not": own}),
        json!({"if": own}),
        json!({"dependentSchemas": {"a": own}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"oneOf": [{"$ref": "#/$defs/a"}]}}}),
        json!({"$dynamicAnchor": "x", "allOf": [{"$dynamicRef": "#x"}]}),
        json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "anyOf": [{"$recursiveRef": "#"}]}),
        json!({"$ref": "schema:main"}),
    ] {
        assert_eq!(code(&source), "SCHEMA_LOOP", "{source}");
    }
    let found = compile_with(
        &json!({"$ref": "schema:a"}),
        &[("a", json!({"$ref": "schema:b"})), ("b", json!({"$ref": "schema:a"}))],
    );
    assert_eq!(found.expect_err("it is refused")[0].code, "SCHEMA_LOOP");
}

#[test]
fn a_recursive_schema_is_fine_for_the_deepest_document() {
    let recursive =
        json!({"type": "object", "properties": {"n": {"$ref": "#"}}, "additionalProperties": false});
    let schema = compile(&recursive);
    let nest = |end: Value| (0..63).fold(end, |inner, _| json!({ "n": inner }));
    assert!(check(&schema, &nest(json!({}))).is_empty());
    let found = check(&schema, &nest(json!({"m": 1})));
    assert_eq!(found[0].pointer, format!("{}/m", "/n".repeat(63)));
}

#[test]
fn deep_chains_of_references_do_not_overflow_the_stack() {
    for link in [
        |next| json!({"allOf": [next, {"minProperties": 0}]}),
        |next| json!({"anyOf": [next, {"type": "null"}]}),
        |next| json!({"not": {"not": next}}),
    ] {
        let schema = compile(&chain(1000, link, json!({"type": "string"})));
        assert!(check(&schema, &json!({"x": "s"})).is_empty());
        assert_eq!(check(&schema, &json!({"x": true})).len(), 1);
    }
    assert_eq!(code(&chain(20_000, |next| next, json!({}))), "SCHEMA_TOO_LARGE");
    let deep = (0..100).fold(json!({}), |inner, _| json!({ "not": inner }));
    assert_eq!(code(&deep), "SCHEMA_TOO_LARGE");
    let evaluated = |next| json!({"unevaluatedProperties": {}, "oneOf": [next]});
    assert_eq!(check(&compile(&chain(20, evaluated, json!(false))), &json!({"x": 1})).len(), 1);
    assert_eq!(code(&chain(1000, evaluated, json!({}))), "SCHEMA_TOO_COMPLEX");
    // Recursion multiplies the chain with the depth of the document.
    let links = |end: Value| chain(1000, |next| json!({"allOf": [next]}), json!({ "properties": end }));
    assert_eq!(code(&links(json!({"n": {"$ref": "#/$defs/d0"}}))), "SCHEMA_TOO_COMPLEX");
}

#[test]
fn work_that_doubles_with_every_reference_is_refused_with_the_document() {
    let twice = |next: Value| json!({"allOf": [next.clone(), next]});
    for link in [twice, |next: Value| json!({"anyOf": [next.clone(), next]})] {
        let schema = compile(&chain(40, link, json!({"type": "integer"})));
        let found = check(&schema, &json!({"x": "s"}));
        assert_eq!((found.len(), found[0].code.as_ref()), (1, "SCHEMA_TOO_COSTLY"));
        assert!(
            check(&schema, &json!({"y": "s"})).is_empty(),
            "what the schema says nothing of costs nothing"
        );
    }
    // With every level of the document.
    let node = json!({"$ref": "#/$defs/n"});
    let source = json!({"$defs": {"n": {"allOf": [{"properties": {"a": node}}, {"properties": {"a": node}}]}}, "$ref": "#/$defs/n"});
    let schema = compile(&source);
    let nest = |depth| (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
    assert!(check(&schema, &nest(8)).is_empty());
    assert_eq!(check(&schema, &nest(60))[0].code, "SCHEMA_TOO_COSTLY");
    assert!(!schema.is_valid(&nest(60)));
    // A meta-schema is as recursive as a schema can be, and costs little.
    let meta = compile(&json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}));
    assert!(check(&meta, &source).is_empty());
    assert_eq!(check(&meta, &json!({"properties": {"a": {"type": 1}}}))[0].pointer, "/properties/a/type");
}

#[test]
fn schemas_that_all_refer_to_each_other_are_refused_or_compiled_soon() {
    let all = |count: usize| -> Vec<(String, Value)> {
        let properties: Map<String, Value> =
            (0..count).map(|at| (format!("p{at}"), json!({"$ref": format!("schema:s{at}")}))).collect();
        (0..count).map(|at| (format!("s{at}"), json!({ "properties": properties }))).collect()
    };
    let compile = |count: usize| {
        let others = all(count);
        let others: Vec<_> = others.iter().map(|(name, source)| (name.as_str(), source.clone())).collect();
        compile_with(&json!({"$ref": "schema:s0"}), &others)
    };
    assert!(compile(5).is_ok());
    assert_eq!(compile(30).expect_err("it is refused")[0].code, "SCHEMA_TOO_COMPLEX");
}

#[test]
fn expressions_are_matched_in_linear_time_or_refused_with_their_place() {
    let refused = |pattern: &str| {
        let found = refused(&json!({"properties": {"a": {"pattern": pattern}}}));
        assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("SCHEMA_REGEX", "/properties/a/pattern"));
        found[0].2.clone()
    };
    assert!(refused("(?=a)b").contains("looks around"));
    assert!(refused("(a)\\1").contains("refers back"));
    assert!(refused("(\\w{1,1000}){1,1000}").contains("too large"));
    assert_eq!(code(&json!({"patternProperties": {"(?!a)": {}}})), "SCHEMA_REGEX");
    assert_eq!(code(&json!({"$defs": {"unused": {"pattern": "(?!a)"}}})), "SCHEMA_REGEX");
    let schema = compile(&json!({"properties": {"a": {"pattern": "^(a+)+$"}}}));
    assert_eq!(check(&schema, &json!({"a": format!("{}!", "a".repeat(100_000))})).len(), 1);
    // An expression whose automaton is huge, on a huge text.
    let schema = compile(&json!({"properties": {"a": {"pattern": "[01]*1[01]{5000}2"}}}));
    let found = check(&schema, &json!({"a": "01".repeat(500_000)}));
    assert_eq!(found[0].code, "SCHEMA_TOO_COSTLY");
}

#[test]
fn many_large_expressions_are_refused_before_all_are_compiled() {
    let patterns = |count: usize| -> Value {
        // Each has hundreds of KiB when it is compiled, and 10 bytes before.
        let pattern = |at: usize| (format!("p{at}"), json!({"pattern": format!("{}{at}", r"\p{L}{8}")}));
        json!({"properties": (0..count).map(pattern).collect::<Map<String, Value>>()})
    };
    assert_eq!(check(&compile(&patterns(10)), &json!({"p3": "-"})).len(), 1);
    let source = patterns(900);
    assert!(source.to_string().len() < 34 << 10);
    let found = compile_with(&source, &[]).expect_err("it is refused");
    assert!(found.len() > 400, "of one that is not compiled, it is told");
    assert!(found.iter().all(|found| found.code == "SCHEMA_REGEX" && found.message.contains("one too many")));
}

#[test]
fn a_hundred_thousand_violations_are_counted_and_not_all_told() {
    let schema = compile(&json!({"properties": {"l": {"items": {"type": "string"}}}}));
    let mut found = FoundList::default();
    schema.check(&json!({"l": vec![1; 100_000]}), &mut found);
    assert_eq!((found.kept().len(), found.dropped(Severity::Error)), (1000, 99_000));
    assert_eq!(found.kept()[999].pointer, "/l/999");
    // Of a document that could have millions, the first are found without holding all.
    let alternatives = json!({"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "boolean"}]});
    let schema = compile(&json!({"properties": {"l": {"items": {"items": alternatives}}}}));
    let mut found = FoundList::default();
    schema.check(&json!({"l": vec![vec![1; 1000]; 300]}), &mut found);
    assert_eq!(found.kept().len(), 1000);
    assert_eq!(found.kept()[999].pointer, "/l/0/999");
    let mut found = FoundList::default();
    let mut rows = vec![vec![Value::Null; 1000]; 300];
    rows[299][7] = json!(1);
    schema.check(&json!({ "l": rows }), &mut found);
    let places: Vec<_> = found.kept().iter().map(|found| found.pointer.as_str()).collect();
    assert_eq!(places, ["/l/299/7"]);
}

#[test]
fn large_schemas_are_refused_and_large_ones_that_are_allowed_work() {
    let properties = |count: usize| -> Value {
        let member = |at: usize| (format!("property_number_{at}"), json!({"type": "integer", "minimum": 1}));
        json!({"properties": (0..count).map(member).collect::<Map<_, _>>()})
    };
    assert_eq!(code(&properties(100_000)), "SCHEMA_TOO_LARGE");
    assert_eq!(code(&json!({"description": "x".repeat(600_000)})), "SCHEMA_TOO_LARGE");
    let schema = compile(&properties(5000));
    assert_eq!(check(&schema, &json!({"property_number_4999": 0}))[0].pointer, "/property_number_4999");
}

#[test]
fn defaults_that_contain_themselves_are_an_error() {
    let endless = json!({"properties": {"a": {"$ref": "#", "default": {}}}});
    let own = json!({"$ref": "#", "default": {}});
    let wide = json!({"properties": {"a": own, "b": own, "c": own}});
    for source in [endless, wide] {
        assert_eq!(code(&source), "SCHEMA_DEFAULT");
    }
    let many =
        compile(&json!({"properties": {"l": {"items": {"properties": {"a": {"default": [1, 2, 3, 4]}}}}}}));
    let mut document = json!({"l": vec![json!({}); 30_000]});
    assert_eq!(many.with_defaults(&document).expect_err("too many").code, "SCHEMA_DEFAULT");
    assert_eq!(many.fill_defaults(&mut document), Err(DefaultsTooLarge));
}

#[test]
fn keywords_that_look_at_many_names_or_into_arrays_are_counted_for_all_that_they_look_at() {
    let allowed = |schema: &Value, document: &Value| {
        let (schema, mut found) = (compile(schema), FoundList::default());
        schema.check(document, &mut found);
        !found.kept().iter().any(|found| found.code == "SCHEMA_TOO_COSTLY")
    };
    let list: Vec<Value> = (0..20_000).map(|at| json!({"a": at})).collect();
    let document = json!({ "l": list });
    let unique =
        |count: usize| json!({"properties": {"l": {"allOf": vec![json!({"uniqueItems": true}); count]}}});
    assert!(allowed(&unique(50), &document));
    // 34 KB, each of which hashes the list.
    assert!(!allowed(&unique(1500), &document));
    // The same value is looked at by each array around it.
    let nested =
        json!({"$defs": {"n": {"uniqueItems": true, "items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"});
    let schema = compile(&nested);
    let nest = |depth| (0..depth).fold(json!(vec![1; 100]), |inner, _| json!([inner]));
    assert!(schema.steps(&nest(60), 0) > 10 * schema.steps(&nest(1), 0));
    let names: Vec<String> = (0..2000).map(|at| format!("n{at}")).collect();
    let objects = json!({"a": vec![json!({}); 100]});
    for keyword in [json!({"required": names}), json!({"dependentRequired": {"a": names}})] {
        let all = vec![json!({"$ref": "#/$defs/names"}); 1000];
        let schema = json!({"$defs": {"names": keyword}, "properties": {"a": {"items": {"allOf": all}}}});
        assert!(!allowed(&schema, &objects), "{}", schema.to_string().len());
    }
}
