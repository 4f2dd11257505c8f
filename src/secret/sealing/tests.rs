use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;
use crate::secret::example::{base, id, ring, sealed};
use crate::secret::{Holder, known_in, open};

fn marked(places: &[&str]) -> BTreeSet<String> {
    places.iter().map(|&place| place.to_owned()).collect()
}

/// A write of a layer: what the layer and the one above it were before, and what the caller may reveal.
struct Write {
    own: Value,
    inherited: Value,
    reveals_own: bool,
    reveals_inherited: bool,
    origin: Origin,
}

impl Write {
    /// Of a caller who may reveal nothing.
    fn blind(own: Value, inherited: Value) -> Write {
        Write { own, inherited, reveals_own: false, reveals_inherited: false, origin: Origin::Written }
    }

    /// The layer as it is stored, and where the caller has written secrets.
    fn seal(
        self,
        keys: &[u8],
        marks: &[&str],
        mut layer: Value,
    ) -> Result<(Value, Vec<String>), Vec<SealRefusal>> {
        let (ring, id, marked) = (ring(keys), id("payments/checkout"), marked(marks));
        let (own, above) = (base("/production"), base("/"));
        let own = Holder { layer: &own, is_own: true, is_revealed: self.reveals_own };
        let above = Holder { layer: &above, is_own: false, is_revealed: self.reveals_inherited };
        let mut known = known_in(&id, self.own.clone(), &ring, own);
        known.extend(known_in(&id, self.inherited, &ring, above));
        let (before, origin) = (open(&id, self.own, &ring).value, self.origin);
        let sealing =
            Sealing { id: &id, ring: &ring, marked: &marked, known: &known, before: &before, origin };
        let proposed = sealing.seal(&mut layer)?;
        Ok((layer, proposed.iter().map(ToString::to_string).collect()))
    }

    #[track_caller]
    fn refused(self, layer: Value, code: &str, at: &str) {
        let refused = self.seal(&[1], &[], layer).expect_err("it is refused");
        let told: Vec<_> =
            refused.iter().map(|refused| (refused.code, refused.pointer.to_string())).collect();
        assert_eq!(told, [(code, at.to_owned())]);
    }
}

/// Seals a layer by the newest of these keys, where the layer was this before, for a caller who may reveal everything.
fn seal(keys: &[u8], marks: &[&str], before: Value, layer: Value) -> Result<Value, Vec<SealRefusal>> {
    let write = Write { reveals_own: true, reveals_inherited: true, ..Write::blind(before, json!({})) };
    write.seal(keys, marks, layer).map(|(layer, _)| layer)
}

/// The layer as who may not reveal secrets reads it at a scope.
fn hidden_at(scope: &str, layer: &Value) -> Value {
    let (ring, id) = (ring(&[1]), id("payments/checkout"));
    let mut opened = open(&id, layer.clone(), &ring);
    let layer = base(scope);
    crate::secret::hide(
        &id,
        &mut opened.value,
        opened.secrets.iter().map(|at| (at, Some(&layer))),
        Some(&ring),
    );
    opened.value
}

/// The layer that is written, as who may not reveal secrets reads it.
fn hidden(layer: &Value) -> Value {
    hidden_at("/production", layer)
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
fn what_is_sealed_stays_where_it_is_and_is_carried_only_by_who_may_reveal_it() {
    let here = || json!({"a": sealed_at("/a", json!("x")), "l": [sealed_at("/l/0", json!("y"))]});
    let blind = || Write::blind(here(), json!({}));
    assert_eq!(blind().seal(&[1], &[], here()), Ok((here(), vec![])));
    let moved = json!({"b": sealed_at("/a", json!("x"))});
    blind().refused(moved.clone(), "SECRET_NOT_REVEALED", "/b");
    blind().refused(
        json!({"b": {"$secret": {"c": sealed_at("/a", json!("x"))}}}),
        "SECRET_NOT_REVEALED",
        "/b/c",
    );
    // Not even at its own place, as a part of something else.
    let db = json!({"db": {"p": sealed_at("/db/p", json!("x"))}});
    let whole = json!({"db": {"$secret": db["db"]}});
    Write::blind(db.clone(), json!({})).refused(whole.clone(), "SECRET_NOT_REVEALED", "/db/p");
    check(&[], db, whole, json!({"db": sealed_at("/db", json!({"p": "x"}))}));
    check(&[], here(), moved, json!({"b": sealed_at("/b", json!("x"))}));
    // A patch has put something before an element of a list. The element counts as written to its new place, unless the caller may reveal it.
    let shifted = || json!({"l": [1, sealed_at("/l/0", json!("y"))]});
    let expected = || json!({"l": [sealed_at("/l/0", json!(1)), sealed_at("/l/1", json!("y"))]});
    let places = vec!["/l/0".to_owned(), "/l/1".to_owned()];
    assert_eq!(blind().seal(&[1], &[], shifted()), Ok((expected(), places)));
    let seeing = Write { reveals_own: true, ..blind() };
    assert_eq!(seeing.seal(&[1], &[], shifted()), Ok((expected(), vec!["/l/0".to_owned()])));
    // Of a layer above: only by who may reveal it there, wherever it is put. The text of what is sealed is no secret of this layer.
    let below = |reveals_own, reveals_inherited| Write {
        reveals_own,
        reveals_inherited,
        ..Write::blind(json!({}), here())
    };
    let copied = || json!({"a": sealed_at("/a", json!("x"))});
    below(true, false).refused(copied(), "SECRET_NOT_REVEALED", "/a");
    assert_eq!(below(false, true).seal(&[1], &[], copied()), Ok((copied(), vec![])));
    check_refused(json!({}), copied(), "SECRET_NOT_OPENED", "/a");
    // What comes from the store is what it was.
    let stored = Write { origin: Origin::Stored, ..Write::blind(json!({}), json!({})) };
    assert_eq!(stored.seal(&[1], &[], here()), Ok((here(), vec![])));
    for text in ["v1:01010101:", "v1:01010101:AAAA", "v1:ffffffff:x"] {
        check_refused(json!({}), json!({"a": {"$secret": text}}), "SECRET_NOT_OPENED", "/a");
    }
    // Only begins like it.
    check(&[], json!({}), json!({"a": {"$secret": "v1:x"}}), json!({"a": sealed_at("/a", json!("v1:x"))}));
}

#[test]
fn a_fingerprint_stands_for_the_secret_of_its_own_place_and_layer() {
    let own = json!({"a": sealed_at("/a", json!("x")), "l": [{"p": sealed_at("/l/0/p", json!("y"))}]});
    let fingerprints = hidden(&own);
    for reveals_own in [true, false] {
        let write = || Write { reveals_own, ..Write::blind(own.clone(), json!({})) };
        assert_eq!(write().seal(&[1], &[], fingerprints.clone()), Ok((own.clone(), vec![])));
        let marked = json!({"a": {"$secret": fingerprints["a"]}, "l": own["l"]});
        assert_eq!(write().seal(&[1], &[], marked), Ok((own.clone(), vec![])));
        let elsewhere = "SECRET_HIDDEN";
        write().refused(json!({"a": "***:00000000"}), elsewhere, "/a");
        write().refused(json!({"a": hidden_at("/", &own)["a"]}), elsewhere, "/a");
        write().refused(json!({"a": MASK}), elsewhere, "/a");
        write().refused(json!({"b": fingerprints["a"]}), elsewhere, "/b");
        write().refused(json!({"b": {"$secret": fingerprints["a"]}}), elsewhere, "/b");
        write().refused(json!({"b": {"c": [fingerprints["a"]]}}), elsewhere, "/b/c/0");
        write().refused(json!({"l": [fingerprints["a"]]}), elsewhere, "/l/0");
        write().refused(json!({"l": [{"p": "new"}, fingerprints["l"][0]]}), elsewhere, "/l/1/p");
        let before = json!({"a": "***:00000000"});
        assert_eq!(refuse_hidden(&before, &before), Ok(()), "it was stored before it was refused");
        assert!(refuse_hidden(&json!({"b": "***:00000000"}), &before).is_err());
    }
    let inherited = |reveals_own, reveals_inherited| Write {
        reveals_own,
        reveals_inherited,
        ..Write::blind(json!({}), own.clone())
    };
    let stolen = || json!({"a": hidden_at("/", &own)["a"]});
    inherited(false, false).refused(stolen(), "SECRET_INHERITED", "/a");
    inherited(true, false).refused(stolen(), "SECRET_INHERITED", "/a");
    assert_eq!(
        inherited(false, true).seal(&[1], &[], stolen()),
        Ok((json!({"a": own["a"]}), vec![])),
        "who may reveal it where it comes from may copy it"
    );
}

#[test]
fn what_the_caller_has_written_is_told_from_what_was_kept() {
    let own = json!({"a": sealed_at("/a", json!("x")), "b": sealed_at("/b", json!("y")), "c": 1});
    let fingerprint = hidden(&own)["a"].clone();
    // The same value as well: that it is the same must not show.
    let written = json!({"a": fingerprint, "b": "y", "c": 2, "d": {"$secret": "z"}, "e": {"f": 3}});
    let (sealed, proposed) = Write::blind(own.clone(), json!({}))
        .seal(&[1], &["/e/f"], written.clone())
        .expect("it can be sealed");
    assert_eq!((&sealed["a"], &sealed["b"]), (&own["a"], &own["b"]));
    assert_eq!(proposed, ["/b", "/d", "/e/f"]);
    let stored = Write { origin: Origin::Stored, ..Write::blind(own, json!({})) };
    let text = json!({"a": written["a"], "b": "***:00000000"});
    let (_, proposed) = stored.seal(&[1], &[], text).expect("what is stored is no more than a text");
    assert_eq!(proposed, ["/a", "/b"]);
    // What a schema marks in a layer that nobody writes is a guess of whoever changes the schema.
    let stored = Write { origin: Origin::Stored, ..Write::blind(json!({}), json!({})) };
    let (_, proposed) = stored.seal(&[1], &["/a"], json!({"a": "x", "b": 1})).expect("it can be sealed");
    assert_eq!(proposed, ["/a"]);
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
fn places_of<'v>(value: &'v Value, place: &mut Vec<PathStep<'v>>, places: &mut Vec<String>) {
    if !place.is_empty() {
        places.push(pointer_of(place).to_string());
    }
    let below: Vec<(PathStep<'v>, &'v Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(name, member)| (PathStep::Member(name.as_str()), member)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, item)| (PathStep::Element(at), item)).collect()
        }
        _ => vec![],
    };
    for (token, value) in below {
        place.push(token);
        places_of(value, place, places);
        place.pop();
    }
}
