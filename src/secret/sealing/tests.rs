use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;
use crate::secret::example::{id, ring, sealed};
use crate::secret::{known_in, open};

fn marked(places: &[&str]) -> BTreeSet<String> {
    places.iter().map(|&place| place.to_owned()).collect()
}

/// Seals a layer by the newest of these keys, where the layer was this before.
fn seal(keys: &[u8], marks: &[&str], before: Value, mut layer: Value) -> Result<Value, Vec<Refusal>> {
    let (ring, id, marked) = (ring(keys), id("payments/checkout"), marked(marks));
    let known = known_in(&id, before.clone(), &ring, true);
    let before = open(&id, before, &ring).value;
    let sealing = Sealing { id: &id, ring: &ring, marked: &marked, known: &known, before: &before };
    sealing.seal(&mut layer).map(|()| layer)
}

fn sealed_at(at: &str, value: Value) -> Value {
    sealed(&ring(&[1]), &id("payments/checkout"), at, &value)
}

fn check(marks: &[&str], before: Value, layer: Value, expected: Value) {
    assert_eq!(seal(&[1], marks, before, layer.clone()), Ok(expected), "{layer}");
}

fn check_refused(before: Value, layer: Value, code: &str, at: &str) {
    let refused = seal(&[1], &[], before, layer.clone()).expect_err("it is refused");
    let told: Vec<_> = refused.iter().map(|refused| (refused.code, refused.pointer.to_string())).collect();
    assert_eq!(told, [(code, at.to_owned())], "{layer}");
}

#[test]
fn what_client_or_schema_mark_is_sealed_and_nothing_else() {
    let none = || json!({});
    check(
        &[],
        none(),
        json!({"a": {"$secret": "x"}, "b": 1}),
        json!({"a": sealed_at("/a", json!("x")), "b": 1}),
    );
    check(&["/a/b"], none(), json!({"a": {"b": 5}}), json!({"a": {"b": sealed_at("/a/b", json!(5))}}));
    // Whole, and without marks within.
    let db = json!({"user": "u", "password": {"$secret": "p"}});
    let plain = json!({"user": "u", "password": "p"});
    check(&["/db"], none(), json!({"db": db}), json!({"db": sealed_at("/db", plain.clone())}));
    check(&[], none(), json!({"db": {"$secret": db}}), json!({"db": sealed_at("/db", plain)}));
    check(&[""], none(), json!({"a": 1, "b": null}), json!({"a": sealed_at("/a", json!(1)), "b": null}));
    check(&["/a"], none(), json!({"a": null}), json!({"a": null}));
    let in_list = json!([{"p": sealed_at("/l/0/p", json!("x"))}, 2]);
    check(&["/l/0/p"], none(), json!({"l": [{"p": "x"}, 2]}), json!({"l": in_list}));
}

#[test]
fn a_place_that_has_a_secret_keeps_it_secret_without_a_mark() {
    let before = json!({"a": sealed_at("/a", json!("x")), "l": [{"p": sealed_at("/l/0/p", json!("y"))}]});
    check(&[], before.clone(), json!({"a": "new"}), json!({"a": sealed_at("/a", json!("new"))}));
    let longer = json!({"l": [{"p": "z"}, {"p": "y", "q": 1}]});
    let expected = json!({"l": [
        {"p": sealed_at("/l/0/p", json!("z"))}, {"p": sealed_at("/l/1/p", json!("y")), "q": 1}
    ]});
    check(&[], before.clone(), longer, expected);
    check(&[], before, json!({"b": "plain", "a": null}), json!({"b": "plain", "a": null}));
}

#[test]
fn what_is_sealed_is_kept_where_it_opens_and_refused_where_it_does_not() {
    let here = json!({"a": sealed_at("/a", json!("x"))});
    check(&[], json!({}), here.clone(), here.clone());
    check_refused(json!({}), json!({"b": sealed_at("/a", json!("x"))}), "SECRET_NOT_OPENED", "/b");
    // A patch has moved it.
    check(&[], here, json!({"b": sealed_at("/a", json!("x"))}), json!({"b": sealed_at("/b", json!("x"))}));
    for text in ["v1:01010101:", "v1:01010101:AAAA", "v1:ffffffff:x"] {
        check_refused(json!({}), json!({"a": {"$secret": text}}), "SECRET_NOT_OPENED", "/a");
    }
    // Only begins like it.
    check(&[], json!({}), json!({"a": {"$secret": "v1:x"}}), json!({"a": sealed_at("/a", json!("v1:x"))}));
}

#[test]
fn what_is_written_back_hidden_stays_what_it_is() {
    let (ring, id) = (ring(&[1]), id("payments/checkout"));
    let before = json!({"a": sealed_at("/a", json!("x")), "l": [{"p": sealed_at("/l/0/p", json!("y"))}]});
    let opened = open(&id, before.clone(), &ring);
    let mut hidden = opened.value;
    crate::secret::hide(&id, &mut hidden, &opened.secrets, Some(&ring));
    check(&[], before.clone(), hidden.clone(), before.clone());
    // An element has moved.
    let moved = json!({"l": [{"p": "new"}, hidden["l"][0]]});
    let expected = json!({"l": [
        {"p": sealed_at("/l/0/p", json!("new"))}, {"p": sealed_at("/l/1/p", json!("y"))}
    ]});
    check(&[], before.clone(), moved, expected);
    check_refused(before.clone(), json!({"a": "***:00000000"}), "SECRET_HIDDEN", "/a");
    check_refused(json!({}), json!({"a": {"$secret": hidden["a"]}}), "SECRET_HIDDEN", "/a");
    // Where nothing is secret, it is a text as any other.
    check(&[], before, json!({"b": hidden["a"]}), json!({"b": hidden["a"]}));
}

#[test]
fn a_mark_stands_alone_and_marks_something() {
    check_refused(json!({}), json!({"a": {"$secret": "x", "b": 1}}), "SECRET_MALFORMED", "/a");
    check_refused(json!({}), json!({"a": {"$secret": null}}), "SECRET_MALFORMED", "/a");
    check_refused(json!({}), json!({"$secret": "x"}), "SECRET_MALFORMED", "");
    check_refused(
        json!({}),
        json!({"a": {"$secret": {"b": {"$secret": 1, "c": 2}}}}),
        "SECRET_MALFORMED",
        "/a/b",
    );
}

#[test]
fn a_value_that_stays_is_not_sealed_anew_by_a_newer_key() {
    let before = json!({"a": sealed_at("/a", json!("x"))});
    let layer = json!({"a": {"$secret": "x"}});
    assert_eq!(seal(&[1, 2], &[], before.clone(), layer.clone()), Ok(before.clone()));
    let (ring, id) = (ring(&[1, 2]), id("payments/checkout"));
    let changed = seal(&[1, 2], &[], before, json!({"a": "y"}));
    assert_eq!(changed, Ok(json!({"a": sealed(&ring, &id, "/a", &json!("y"))})));
}

proptest! {
    #[test]
    fn a_sealed_layer_opens_as_it_was_and_sealing_again_changes_nothing(
        layer in arbitrary::object(),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut places = vec![];
        places_of(&layer, &mut vec![], &mut places);
        prop_assume!(!places.is_empty());
        let marks: Vec<&str> = chosen.iter().map(|at| places[at.index(places.len())].as_str()).collect();
        let sealed = seal(&[1], &marks, json!({}), layer.clone()).expect("it can be sealed");
        let (ring, id) = (ring(&[1]), id("payments/checkout"));
        let opened = open(&id, sealed.clone(), &ring);
        prop_assert_eq!(&opened.value, &layer);
        prop_assert_eq!(seal(&[1], &[], sealed.clone(), layer), Ok(sealed.clone()));
        prop_assert_eq!(seal(&[1], &[], sealed.clone(), sealed.clone()), Ok(sealed));
    }
}

/// Every place of a document but the whole.
fn places_of<'v>(value: &'v Value, place: &mut Vec<Token<'v>>, places: &mut Vec<String>) {
    if !place.is_empty() {
        places.push(pointer_of(place).to_string());
    }
    let below: Vec<(Token<'v>, &'v Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(name, member)| (Token::Member(name.as_str()), member)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, item)| (Token::Element(at), item)).collect()
        }
        _ => vec![],
    };
    for (token, value) in below {
        place.push(token);
        places_of(value, place, places);
        place.pop();
    }
}
