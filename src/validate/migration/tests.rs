use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;
use crate::validate::Found;

fn migration(steps: &Value) -> Migration {
    Migration::parse(steps).unwrap_or_else(|found| panic!("{steps}: {found:?}"))
}

fn applied(role: Role, steps: &Value, layer: &Value) -> Result<Value, Found> {
    let mut migrated = layer.clone();
    let migration = migration(steps);
    match migration.apply(role, &mut migrated, |_| false, &mut EXPRESSION_STEPS_MAX.clone()) {
        Ok(applied) => {
            assert_eq!(applied.steps.is_empty(), migrated == *layer, "{steps} {layer}");
            Ok(migrated)
        }
        Err(found) => {
            assert_eq!(migrated, *layer, "a refusal changes nothing");
            Err(found)
        }
    }
}

fn check(steps: Value, layer: Value, expected: Value) {
    assert_eq!(applied(Role::Above, &steps, &layer), Ok(expected), "{steps} {layer}");
}

fn refused(steps: Value, layer: Value, pointer: &str, message: &str) {
    let found = applied(Role::Above, &steps, &layer).expect_err("refused");
    assert_eq!((found.code.as_ref(), found.pointer.as_str()), (MIGRATION_FAILED, pointer), "{found:?}");
    assert_eq!(found.message, message);
}

#[test]
fn a_move_takes_along_whatever_the_layer_has() {
    let steps = || json!([{"move": {"from": "/db/url", "to": "/database/address"}}]);
    check(
        steps(),
        json!({"db": {"url": 1, "pool": 2}}),
        json!({"db": {"pool": 2}, "database": {"address": 1}}),
    );
    check(
        steps(),
        json!({"db": {"url": {"a": null}}}),
        json!({"db": {}, "database": {"address": {"a": null}}}),
    );
    check(steps(), json!({"db": {"pool": 2}}), json!({"db": {"pool": 2}}));
    check(steps(), json!({"other": 1}), json!({"other": 1}));
    check(steps(), json!({"db": {"url": null}}), json!({"db": {}, "database": {"address": null}}));
    check(steps(), json!({"db": null}), json!({"db": null, "database": {"address": null}}));
    check(steps(), json!({"db": "none"}), json!({"db": "none", "database": {"address": null}}));
    check(
        steps(),
        json!({"db": {"url": 1}, "database": {"b": 2}}),
        json!({"db": {}, "database": {"b": 2, "address": 1}}),
    );
    check(
        steps(),
        json!({"db": {"url": 1}, "database": {"address": null}}),
        json!({"db": {}, "database": {"address": 1}}),
    );
    check(steps(), json!({"db": null, "database": null}), json!({"db": null, "database": null}));
    let foundation = |layer: Value| applied(Role::Foundation, &steps(), &layer);
    assert_eq!(foundation(json!({"db": null})), Ok(json!({"db": null})));
    assert_eq!(foundation(json!({"db": {"url": null}})), Ok(json!({"db": {}})));
}

#[test]
fn a_move_that_needs_to_know_other_layers_is_refused() {
    let steps = || json!([{"remove": {"at": "/x"}}, {"move": {"from": "/a", "to": "/b/c"}}]);
    let taken =
        "step 1, move /a to /b/c: there is a value at /b/c already, so that of /a cannot be moved there";
    refused(steps(), json!({"a": 1, "b": {"c": 2}}), "/b/c", taken);
    refused(steps(), json!({"b": {"c": 2}}), "/b/c", taken);
    let cut = "step 1, move /a to /b/c: the layer removes or replaces all of /b, so /a cannot be moved into it, to /b/c";
    refused(steps(), json!({"a": 1, "b": null}), "/b", cut);
    refused(steps(), json!({"b": 5}), "/b", cut);
    refused(steps(), json!({"a": null, "b": 5}), "/b", cut);
    refused(
        json!([{"move": {"from": "/a/0", "to": "/b"}}]),
        json!({"a": [1]}),
        "/a",
        "step 0, move /a/0 to /b: /a/0 is in the array at /a, into which steps do not reach",
    );
}

#[test]
fn a_rename_stays_in_its_object() {
    let steps = || json!([{"rename": {"at": "/db/time~1out", "to": "timeout/s"}}]);
    check(steps(), json!({"db": {"time/out": 5, "x": 1}}), json!({"db": {"timeout/s": 5, "x": 1}}));
    check(steps(), json!({"db": {"time/out": null}}), json!({"db": {"timeout/s": null}}));
    check(steps(), json!({"db": null}), json!({"db": null}));
    check(steps(), json!({"db": 5}), json!({"db": 5}));
}

#[test]
fn a_removal_takes_values_and_nulls() {
    let steps = || json!([{"remove": {"at": "/a/b"}}]);
    check(steps(), json!({"a": {"b": {"c": 1}}}), json!({"a": {}}));
    check(steps(), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}}));
    check(steps(), json!({"a": null}), json!({"a": null}));
    check(steps(), json!({"b": 1}), json!({"b": 1}));
}

#[test]
fn a_default_is_set_where_all_layers_build_upon() {
    let steps = json!([{"set_default": {"at": "/a/b", "value": 5}}]);
    let foundation = |layer: Value| applied(Role::Foundation, &steps, &layer);
    assert_eq!(foundation(json!({})), Ok(json!({"a": {"b": 5}})));
    assert_eq!(foundation(json!({"a": {"b": 6}})), Ok(json!({"a": {"b": 6}})));
    assert_eq!(foundation(json!({"a": {"b": null}})), Ok(json!({"a": {"b": 5}})));
    assert_eq!(foundation(json!({"a": null})), Ok(json!({"a": {"b": 5}})));
    assert_eq!(foundation(json!({"a": "x"})).expect_err("no object").pointer, "/a");
    check(steps.clone(), json!({"a": {}}), json!({"a": {}}));
    // Of layers above, `layers.rs` decides by the documents.
    let everywhere = || json!([{"set_default": {"at": "/a/b", "value": 5, "everywhere": true}}]);
    for layer in [json!({"a": {}}), json!({"a": {"b": null}}), json!({"a": null})] {
        check(everywhere(), layer.clone(), layer);
    }
}

#[test]
fn a_conversion_is_of_values_that_replace_as_a_whole() {
    let steps = |expression: &str| json!([{"convert": {"at": "/t", "expression": expression}}]);
    check(steps("value * 1000"), json!({"t": 5}), json!({"t": 5000}));
    check(steps("value / 2.0"), json!({"t": 5.5}), json!({"t": 2.75}));
    check(steps("double(value)"), json!({"t": 5}), json!({"t": 5}));
    check(steps("value.split(',')"), json!({"t": "a,b"}), json!({"t": ["a", "b"]}));
    check(steps("value.map(x, {'name': x})"), json!({"t": ["a"]}), json!({"t": [{"name": "a"}]}));
    check(
        steps("config.unit == 's' ? value * 1000 : value"),
        json!({"t": 5, "unit": "s"}),
        json!({"t": 5000, "unit": "s"}),
    );
    check(steps("value * 1000"), json!({"t": null}), json!({"t": null}));
    check(steps("value * 1000"), json!({"x": 1}), json!({"x": 1}));
    refused(
        steps("value * 1000"),
        json!({"t": "5s"}),
        "/t",
        "step 0, convert /t: the expression failed: `*` cannot be applied to string and int",
    );
    refused(
        steps("value.a"),
        json!({"t": {"a": 1}}),
        "/t",
        "step 0, convert /t: an object is there, of which a layer may have a part only",
    );
    refused(
        steps("{'a': value}"),
        json!({"t": 1}),
        "/t",
        "step 0, convert /t: the expression gave an object, which merges, expected is a value that replaces what is inherited",
    );
    refused(
        steps("[1, 2, 3].map(a, [1, 2].map(b, null))[0][0]"),
        json!({"t": 1}),
        "/t",
        "step 0, convert /t: the expression gave null, which removes, expected is a value that replaces what is inherited",
    );
}

#[test]
fn steps_are_done_in_their_order_all_or_none() {
    let steps = json!([
        {"rename": {"at": "/a", "to": "b"}}, {"convert": {"at": "/b", "expression": "value + 1"}},
        {"move": {"from": "/b", "to": "/c/d"}}, {"remove": {"at": "/z"}}
    ]);
    let mut layer = json!({"a": 1});
    let done = migration(&steps)
        .apply(Role::Above, &mut layer, |_| false, &mut EXPRESSION_STEPS_MAX.clone())
        .expect("applies");
    assert_eq!((layer, done.steps), (json!({"c": {"d": 2}}), vec![0, 1, 2]));
    let words: Vec<_> = migration(&steps).describe().collect();
    assert_eq!(words, ["move /a to /b", "convert /b", "move /b to /c/d", "remove /z"]);
    assert!(applied(Role::Above, &steps, &json!({"a": 1, "c": 5})).is_err());
}

#[test]
fn a_layer_cannot_become_too_deep() {
    let deep = (0..62).fold(json!(1), |value, _| json!({ "a": value }));
    let steps = |to: &str| json!([{"move": {"from": "/x", "to": to}}]);
    check(steps("/b/c"), json!({"x": deep}), json!({"b": {"c": deep}}));
    let found = applied(Role::Above, &steps("/b/c/d"), &json!({"x": deep})).expect_err("65 levels");
    assert_eq!(found.pointer, "/b/c/d");
}

#[test]
fn every_mistake_in_stored_steps_is_told_with_its_place() {
    let steps = json!([
        {"move": {"from": "/a", "to": "/a/b"}}, {"move": {"from": "a"}}, {"rename": {"at": "/a", "to": "a"}}, {"copy": {}},
        {"set_default": {"at": "", "value": 1, "everywhere": 1}}, {"set_default": {"at": "/a", "value": null}}, 5, {"remove": 5},
        {"convert": {"at": "/a", "expression": "valeu"}}, {"remove": {"at": "/a", "to": 1}}, {"remove": {"at": "/a"}, "convert": {}}
    ]);
    let found = Migration::parse(&steps).expect_err("mistakes");
    let pointers: Vec<_> = found.iter().map(|found| found.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/0/move",
            "/1/move/from",
            "/1/move",
            "/2/rename",
            "/3",
            "/4/set_default/at",
            "/4/set_default/everywhere",
            "/5/set_default/value",
            "/6",
            "/7/remove",
            "/8/convert/expression",
            "/9/remove/to",
            "/10",
        ]
    );
    assert!(found.iter().all(|found| found.code == MIGRATION_MALFORMED));
    assert!(Migration::parse(&json!({})).is_err() && migration(&json!([])).is_empty());
    assert_eq!(Migration::parse(&json!(vec![json!({}); 101])).expect_err("too many").len(), 1);
}

/// Steps at few places, so that they meet what layers have.
pub fn step() -> impl Strategy<Value = Value> {
    let place = || {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "~0~1", "x"]), 1..4)
            .prop_map(|t| format!("/{}", t.join("/")))
    };
    let target = || {
        prop_oneof![
            1 => place(),
            3 => prop::collection::vec(prop::sample::select(vec!["x", "y", "a"]), 1..3).prop_map(|t| format!("/{}/z", t.join("/"))),
            3 => prop::sample::select(vec!["/u", "/v", "/x/y"]).prop_map(str::to_owned),
        ]
    };
    prop_oneof![
        4 => (place(), target()).prop_map(|(from, to)| json!({"move": {"from": from, "to": to}})),
        2 => (place(), prop::sample::select(vec!["b", "new"])).prop_map(|(at, to)| json!({"rename": {"at": at, "to": to}})),
        2 => place().prop_map(|at| json!({"remove": {"at": at}})),
        1 => (place(), 0..9).prop_map(|(at, value)| json!({"set_default": {"at": at, "value": value}})),
        1 => (place(), prop::sample::select(vec!["[value]", "type(value) == int ? value + 1 : value", "type(value) == list ? size(value) : 'y'", "has(config.b) ? 'b' : value"]))
            .prop_map(|(at, expression)| json!({"convert": {"at": at, "expression": expression}})),
    ]
}

proptest! {
    #[test]
    fn any_json_is_a_migration_or_is_refused(document in arbitrary::value(), layer in arbitrary::object()) {
        let _ = Migration::parse(&document);
        let _ = Migration::parse(&json!([document]));
        let _ = Migration::parse(&json!([{"set_default": document}, {"convert": layer}]));
    }
}
