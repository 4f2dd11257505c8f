use std::cell::Cell;

use proptest::prelude::*;
use serde_json::json;

use super::super::tests::step;
use super::*;
use crate::model::arbitrary;
use crate::model::merge::fold;

fn never(_: &Value) -> bool {
    false
}

fn is_secret(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("$secret"))
}

fn key(text: &str) -> LayerKey {
    match text.strip_prefix("override ") {
        Some(scope) => LayerKey::overriding(Scope::parse(scope).expect("a scope")),
        None => LayerKey::base(Scope::parse(text).expect("a scope")),
    }
}

fn migrated(steps: Value, layers: &[(&str, Value)], is_opaque: IsOpaque) -> Result<Vec<Value>, NotMigrated> {
    let migration = Migration::parse(&steps).expect("steps");
    let layers: Vec<_> = layers.iter().map(|(text, layer)| (key(text), layer.clone())).collect();
    migrate_layers(&[migration], &layers, is_opaque, &|_| true)
}

/// The scope of a refusal, and its place.
fn refused_at(error: &NotMigrated) -> (&str, &str) {
    match error {
        NotMigrated::Refused(scope, found) => (scope.as_str(), found.pointer.as_str()),
        NotMigrated::Stopped => panic!("nobody stops it"),
    }
}

fn check(steps: Value, layers: &[(&str, Value)], expected: &[Value]) {
    assert_eq!(migrated(steps, layers, never).as_deref(), Ok(expected));
}

#[test]
fn what_replaces_or_removes_an_object_around_the_old_place_leaves_nothing_at_the_new() {
    let steps = || json!([{"move": {"from": "/a/c", "to": "/c/a"}}]);
    for value in [json!(2), json!(null), json!([1])] {
        check(
            steps(),
            &[("/", json!({"a": {"c": 1}})), ("/production", json!({"a": value}))],
            &[json!({"a": {}, "c": {"a": 1}}), json!({"a": value, "c": null})],
        );
    }
    check(
        steps(),
        &[("/", json!({"a": {"c": 1}, "c": {"b": 1}})), ("/production", json!({"a": 2}))],
        &[json!({"a": {}, "c": {"a": 1, "b": 1}}), json!({"a": 2, "c": {"a": null}})],
    );
    // With nothing to inherit, nothing is written.
    check(steps(), &[("/production", json!({"a": 2}))], &[json!({"a": 2})]);
    check(
        steps(),
        &[("/", json!({"b": 1})), ("/production", json!({"a": 2}))],
        &[json!({"b": 1}), json!({"a": 2})],
    );
}

#[test]
fn a_default_is_set_in_every_document_that_has_nothing_there() {
    let steps = || json!([{"set_default": {"at": "/a/b", "value": 5}}]);
    // There is no layer at /.
    check(
        steps(),
        &[
            ("/production", json!({"x": 1})),
            ("/production/shop", json!({"x": 2})),
            ("/staging", json!({"a": {"b": 6}})),
        ],
        &[json!({"x": 1, "a": {"b": 5}}), json!({"x": 2}), json!({"a": {"b": 6}})],
    );
    // One that removes it.
    check(
        steps(),
        &[("/", json!({"a": {"b": 1}})), ("/production", json!({"a": null}))],
        &[json!({"a": {"b": 1}}), json!({"a": {"b": 5}})],
    );
    let refused =
        migrated(steps(), &[("/", json!({})), ("/staging", json!({"a": "x"}))], never).expect_err("a text");
    assert_eq!(refused_at(&refused), ("/staging", "/a"));
}

#[test]
fn an_override_that_cannot_be_right_for_all_scopes_is_refused() {
    let steps = || json!([{"move": {"from": "/a", "to": "/b/a"}}]);
    check(
        steps(),
        &[("/", json!({"a": 1})), ("override /", json!({"a": 2})), ("/production", json!({"a": 3}))],
        &[json!({"b": {"a": 1}}), json!({"b": {"a": 2}}), json!({"b": {"a": 3}})],
    );
    // The override hides an object at one scope and nothing at the other.
    let layers = [
        ("/", json!({})),
        ("/production", json!({"a": {"c": 1}})),
        ("override /", json!({"a": 2})),
        ("/staging", json!({"c": {"x": 1}})),
    ];
    let refused =
        migrated(json!([{"move": {"from": "/a/c", "to": "/c/a"}}]), &layers, never).expect_err("an override");
    assert_eq!(refused_at(&refused), ("/production", "/c"), "{refused:?}");
}

#[test]
fn a_secret_is_one_value_and_does_not_get_into_another_layer() {
    let secret = |text: &str| json!({"$secret": text});
    let steps = json!([{"move": {"from": "/a", "to": "/b"}}]);
    assert_eq!(
        migrated(
            steps,
            &[("/", json!({"a": secret("1")})), ("/production", json!({"a": secret("2")}))],
            is_secret
        ),
        Ok(vec![json!({"b": secret("1")}), json!({"b": secret("2")})])
    );
}

/// Layers at scopes that inherit from each other and such that do not, with overrides.
fn layers() -> impl Strategy<Value = Vec<(LayerKey, Value)>> {
    const KEYS: [&str; 8] = ["/", "/p", "/p-x", "/p/q", "/s", "override /", "override /p", "override /p/q"];
    let layer = prop_oneof![1 => Just(None), 2 => arbitrary::similar_object().prop_map(Some)];
    let bases_only = prop_oneof![2 => Just(5), 1 => Just(8)];
    (prop::collection::vec(layer, KEYS.len()), bases_only).prop_map(|(layers, count)| {
        let layers = KEYS.iter().zip(layers).take(count);
        layers.filter_map(|(text, layer)| Some((key(text), layer?))).collect()
    })
}

fn document(
    layers: &[(LayerKey, Value)],
    migrated: &[Value],
    scope: &Scope,
    bases_only: bool,
) -> Option<Value> {
    let of = |kind: LayerKind| {
        let all = layers.iter().zip(migrated);
        let mut along: Vec<_> =
            all.filter(|((key, _), _)| key.kind == kind && key.scope.contains(scope)).collect();
        along.sort_by_key(|((key, _), _)| key.scope.segments().count());
        along.into_iter().map(|(_, value)| value)
    };
    let overrides = of(LayerKind::Override).filter(|_| !bases_only);
    let along: Vec<&Value> = of(LayerKind::Base).chain(overrides).collect();
    (!along.is_empty()).then(|| fold(along))
}

#[test]
fn every_document_becomes_its_migration_or_the_migration_is_refused() {
    let config = ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() };
    let checked = Cell::new(0);
    let steps = prop::collection::vec(step(), 1..4);
    proptest::test_runner::TestRunner::new(config)
        .run(&(steps, layers()), |(steps, layers)| {
            let Ok(migration) = Migration::parse(&json!(steps)) else { return Ok(()) };
            let before: Vec<Value> = layers.iter().map(|(_, layer)| layer.clone()).collect();
            let migrations = [migration];
            let Ok(after) = migrate_layers(&migrations, &layers, never, &|_| true) else { return Ok(()) };
            for scope in ["/", "/p", "/p-x", "/p/q", "/p/q/r", "/s", "/t"] {
                let scope = Scope::parse(scope).expect("a scope");
                for bases_only in [true, false] {
                    let Some(mut expected) = document(&layers, &before, &scope, bases_only) else { continue };
                    let result = migrations[0].apply(
                        Role::Foundation,
                        &mut expected,
                        |_| false,
                        &mut EXPRESSION_STEPS_MAX.clone(),
                    );
                    prop_assert!(result.is_ok(), "{:?} of {:?} at {}: {:?}", steps, layers, scope, result);
                    let found = document(&layers, &after, &scope, bases_only);
                    prop_assert_eq!(found, Some(expected), "{:?} of {:?} at {}", &steps, &layers, scope);
                }
            }
            checked.set(checked.get() + 1);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert!(checked.get() > 2000, "only {} cases were more than refusals", checked.get());
}

/// The steps that a migration is told to pay for, until they are more than `max`; and whether it was stopped.
fn paid(steps: &Value, layers: &[(LayerKey, Value)], max: u64) -> (u64, bool) {
    let (migration, paid) = (Migration::parse(steps).expect("steps"), Cell::new(0));
    let pay = |steps| {
        paid.set(paid.get() + steps);
        paid.get() <= max
    };
    let migrated = migrate_layers(&[migration], layers, never, &pay);
    (paid.get(), migrated == Err(NotMigrated::Stopped))
}

#[test]
fn expressions_of_all_layers_are_paid_for_also_where_they_fail_and_the_migration_ends_where_nobody_pays() {
    // A million steps each, and nothing comes of it.
    let costly = "config.l.map(x, config.l.map(y, config.l.map(z, x + y + z)))";
    let convert = |at: usize| json!({"convert": {"at": format!("/a{at}"), "expression": costly}});
    let steps = Value::Array((0..100).map(convert).collect());
    let document = || {
        let values = (0..100).map(|at| (format!("a{at}"), json!(1)));
        let list = ("l".to_owned(), json!((0..200).collect::<Vec<_>>()));
        Value::Object(values.chain([list]).collect())
    };
    let layers: Vec<_> = (0..1000).map(|at| (key(&format!("/s{at}")), document())).collect();
    let (paid, is_stopped) = paid(&steps, &layers, 1000);
    assert!(!is_stopped, "the first document is refused, because an expression takes too much");
    assert_eq!(paid, 0);
    let cheap =
        json!([{"convert": {"at": "/a1", "expression": "config.l.map(x, config.l.exists(y, y == x))"}}]);
    let (all, is_stopped) = self::paid(&cheap, &layers[..10], u64::MAX);
    assert!(!is_stopped && all > 10 * 200 * 100, "{all}");
    let (some, is_stopped) = self::paid(&cheap, &layers, all / 5);
    assert!(is_stopped && some < all, "{some} of {all}");
}
