use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::model::arbitrary;
use crate::model::merge::fold;

fn explain_all(layers: &[Value]) -> Vec<Origin> {
    explain(&fold(layers), &plain(layers), &Pointer::root(), usize::MAX).expect("there is room")
}

fn plain(layers: &[Value]) -> Vec<Explained<'_>> {
    layers.iter().map(|value| Explained { value, opaque: &[] }).collect()
}

/// Each origin as `pointer value layer | shadowed value and layer ...`, with `-` for what is removed.
fn check(layers: &[Value], expected: &[&str]) {
    let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    let lines: Vec<String> = explain_all(layers)
        .iter()
        .map(|origin| {
            let mut line = format!("{} {} {}", origin.pointer, text(&origin.value), origin.layer);
            for shadowed in &origin.shadowed {
                line += &format!(" | {} {}", text(&shadowed.value), shadowed.layer);
            }
            line
        })
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn each_value_comes_from_the_last_layer_that_says_something() {
    check(
        &[
            json!({"a": 1, "b": {"c": [1, null], "d": "x"}, "e": {}}),
            json!({"b": {"c": [2]}}),
            json!({"a": 2, "b": {"d": null}}),
        ],
        &["/a 2 2 | 1 0", "/b/c [2] 1 | [1,null] 0", "/b/d - 2 | \"x\" 0", "/e {} 0"],
    );
}

#[test]
fn what_is_removed_is_told_where_it_was_removed() {
    check(
        &[json!({"a": {"b": 1, "c": 2}, "d": 1}), json!({"a": null})],
        &["/a - 1 | {\"b\":1,\"c\":2} 0", "/d 1 0"],
    );
    check(&[json!({"a": {"b": 1}}), json!({"a": {"b": null}})], &["/a {} 1 | {\"b\":1} 0", "/a/b - 1 | 1 0"]);
    check(&[json!({"a": 1}), json!({"a": null}), json!({"a": 2})], &["/a 2 2 | - 1 | 1 0"]);
    check(&[json!({"a": null, "b": 1})], &["/b 1 0"]);
    check(&[json!({"a": 1}), json!({"a": null})], &[" {} 1 | {\"a\":1} 0", "/a - 1 | 1 0"]);
}

#[test]
fn a_scalar_hides_an_object_and_an_object_a_scalar() {
    check(&[json!({"a": {"b": 1}}), json!({"a": 5})], &["/a 5 1 | {\"b\":1} 0"]);
    check(
        &[json!({"a": {"b": 1, "c": 1}}), json!({"a": 5}), json!({"a": {"b": 2}})],
        &["/a/b 2 2 | - 1 | 1 0", "/a/c - 1 | 1 0"],
    );
}

#[test]
fn no_layer_explains_nothing() {
    check(&[], &[]);
    check(&[json!({})], &[" {} 0"]);
}

/// What one layer says about a place, found from the place instead of from the layer.
fn says(layer: &Value, pointer: &Pointer) -> Option<Option<Value>> {
    let mut place = layer;
    for token in pointer.tokens() {
        let Value::Object(members) = place else { return Some(None) };
        place = members.get(token)?;
    }
    Some(Some(place.clone()).filter(|value| !value.is_null()))
}

proptest! {
    #[test]
    fn the_document_can_be_rebuilt_from_the_origins(layers in prop::collection::vec(arbitrary::similar_object(), 0..5)) {
        let mut rebuilt = Value::Object(Map::new());
        for origin in explain_all(&layers) {
            let Some(value) = origin.value else { continue };
            let mut place = &mut rebuilt;
            for token in origin.pointer.tokens() {
                if !place.is_object() {
                    *place = json!({});
                }
                place = place.as_object_mut().expect("made above").entry(token).or_insert(Value::Null);
            }
            prop_assert!(place.is_null() || origin.pointer.is_root(), "told twice");
            *place = value;
        }
        prop_assert_eq!(rebuilt, fold(&layers));
    }

    #[test]
    fn origins_tell_what_each_layer_says(layers in prop::collection::vec(arbitrary::similar_object(), 0..5)) {
        let document = fold(&layers);
        let origins = explain_all(&layers);
        prop_assert!(origins.is_sorted_by(|a, b| a.pointer < b.pointer));
        for origin in origins {
            prop_assert_eq!(origin.pointer.find(&document), origin.value.as_ref());
            let mut said: Vec<(usize, Option<Value>)> = layers
                .iter()
                .enumerate()
                .filter_map(|(at, layer)| says(layer, &origin.pointer).map(|value| (at, value)))
                .collect();
            let (decides, _) = said.pop().expect("a layer says something about it");
            prop_assert_eq!(decides, origin.layer);
            said.reverse();
            let shadowed: Vec<_> = origin.shadowed.into_iter().map(|s| (s.layer, s.value)).collect();
            prop_assert!(origin.value.is_some() || said.iter().any(|(_, value)| value.is_some()));
            prop_assert_eq!(shadowed, said);
        }
    }
}

#[test]
fn what_cannot_be_told_within_the_room_there_is_takes_no_memory() {
    let members: Map<String, Value> = (0..50_000).map(|at| (format!("{at}"), json!(at))).collect();
    let layers = [json!({ "x".repeat(500_000): members, "a": 1 })];
    assert_eq!(explain(&fold(&layers), &plain(&layers), &Pointer::root(), 4 << 20), None);
    let within = Pointer::root().child("a");
    assert_eq!(
        explain(&fold(&layers), &plain(&layers), &within, 4 << 20).map(|origins| origins.len()),
        Some(1)
    );
}
