//! Merges layers with secrets: the document, and the places of secrets in it. Knows merging; no keys.
//!
//! A secret is one value, also if it is an object: it replaces all that earlier layers have at its place, and a later layer that has
//! anything there replaces all of it. Else a layer would show by the fingerprint what one member of a secret is, and put another member
//! beside those that its author may not see.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::layer::Opened;
use crate::model::Pointer;
use crate::model::merge::merge_patch;

/// The document of the layers that were added, in order of merging. A clone shares it until one of both is added to.
#[derive(Clone, Debug)]
pub struct Merged {
    document: Arc<Value>,
    secrets: Arc<BTreeSet<Pointer>>,
}

impl Default for Merged {
    fn default() -> Merged {
        Merged { document: Arc::new(Value::Object(Map::new())), secrets: Arc::default() }
    }
}

impl Merged {
    /// Merges a layer, as `merge_patch` does where there is no secret.
    pub fn add(&mut self, layer: &Opened) {
        let document = Arc::make_mut(&mut self.document);
        if self.secrets.is_empty() && layer.secrets.is_empty() {
            merge_patch(document, &layer.value);
            return;
        }
        let secrets = Arc::make_mut(&mut self.secrets);
        secrets.retain(|secret| {
            let is_replaced = mentions(&layer.value, secret);
            if is_replaced {
                remove(document, secret);
            }
            !is_replaced
        });
        layer.secrets.iter().for_each(|secret| remove(document, secret));
        merge_patch(document, &layer.value);
        // Others may have been within what is replaced.
        secrets.retain(|secret| secret.find(document).is_some());
        secrets.extend(layer.secrets.iter().cloned());
    }

    pub fn document(&self) -> &Arc<Value> {
        &self.document
    }

    /// Where the document has secrets, in the order of pointers.
    pub fn secrets(&self) -> &BTreeSet<Pointer> {
        &self.secrets
    }
}

/// Whether a layer has something at a place, or something else than an object on the way to it.
fn mentions(layer: &Value, place: &Pointer) -> bool {
    let mut here = layer;
    for token in place.tokens() {
        match here.as_object().map(|members| members.get(token)) {
            Some(Some(member)) => here = member,
            Some(None) => return false,
            None => return true,
        }
    }
    true
}

/// Removes a member of objects. What is in an array is merged with nothing.
fn remove(document: &mut Value, place: &Pointer) {
    let mut tokens: Vec<&str> = place.tokens().collect();
    let Some(name) = tokens.pop() else { return };
    let parent = tokens.into_iter().try_fold(document, |value, token| value.as_object_mut()?.get_mut(token));
    if let Some(members) = parent.and_then(Value::as_object_mut) {
        members.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::arbitrary;
    use crate::model::merge::{fold, fold_opaque};
    use crate::secret::example::pointer;
    use crate::secret::layer::mask;

    fn check(layers: &[(Value, &[&str])], document: Value, secrets: &[&str]) {
        let mut merged = Merged::default();
        for (value, secrets) in layers {
            let secrets = secrets.iter().map(|at| pointer(at)).collect();
            merged.add(&Opened { value: value.clone(), secrets });
        }
        let expected: BTreeSet<Pointer> = secrets.iter().map(|at| pointer(at)).collect();
        assert_eq!((Value::clone(merged.document()), merged.secrets), (document, expected.into()));
    }

    #[test]
    fn a_secret_stays_one_until_it_is_replaced() {
        let base = (json!({"a": {"b": "secret"}, "c": 1}), &["/a/b"][..]);
        check(&[base.clone(), (json!({"c": 2}), &[])], json!({"a": {"b": "secret"}, "c": 2}), &["/a/b"]);
        check(
            &[base.clone(), (json!({"a": {"b": "plain"}}), &[])],
            json!({"a": {"b": "plain"}, "c": 1}),
            &[],
        );
        check(&[base.clone(), (json!({"a": {"b": null}}), &[])], json!({"a": {}, "c": 1}), &[]);
        check(&[base.clone(), (json!({"a": 5}), &[])], json!({"a": 5, "c": 1}), &[]);
        check(
            &[base.clone(), (json!({"a": {"b": {"x": 1}}}), &[])],
            json!({"a": {"b": {"x": 1}}, "c": 1}),
            &[],
        );
        check(
            &[base, (json!({"a": {"b": "new"}}), &["/a/b"])],
            json!({"a": {"b": "new"}, "c": 1}),
            &["/a/b"],
        );
    }

    #[test]
    fn a_secret_object_is_replaced_as_a_whole_and_replaces_as_a_whole() {
        let secret = (json!({"db": {"user": "u", "password": "p"}}), &["/db"][..]);
        for over in [json!({"user": "x"}), json!({"user": {"y": 1}}), json!({})] {
            let over = (json!({"db": over}), &[][..]);
            check(&[secret.clone(), over.clone()], over.0, &[]);
        }
        check(&[secret.clone(), (json!({"db": {"user": null, "none": null}}), &[])], json!({"db": {}}), &[]);
        let other = (json!({"db": {"user": "x"}}), &["/db"][..]);
        check(&[secret.clone(), other.clone()], other.0.clone(), &["/db"]);
        // What comes after the layer that replaces it, is merged with that one.
        let members = [(json!({"db": {"a": 1}}), &[][..]), (json!({"db": {"b": 2}}), &[])];
        check(
            &[secret.clone(), members[0].clone(), members[1].clone()],
            json!({"db": {"a": 1, "b": 2}}),
            &[],
        );
        check(&[members[0].clone(), secret.clone()], secret.0.clone(), &["/db"]);
        check(&[members[0].clone(), secret.clone(), members[1].clone()], json!({"db": {"b": 2}}), &[]);
        // One within another.
        let within = (json!({"db": {"password": "q", "port": 1}}), &["/db/password"][..]);
        check(&[within.clone(), secret.clone()], secret.0.clone(), &["/db"]);
        check(&[secret, within.clone()], within.0, &["/db/password"]);
    }

    #[test]
    fn what_is_in_an_array_goes_with_the_array() {
        let list = (json!({"a": [{"b": 1}]}), &["/a/0"][..]);
        check(&[list.clone(), (json!({"a": {"0": {"c": 1}}}), &[])], json!({"a": {"0": {"c": 1}}}), &[]);
        check(&[list.clone(), (json!({"a": {}}), &[])], json!({"a": {}}), &[]);
        check(&[(json!({"a": {"0": {"c": 1}}}), &[]), list.clone()], list.0, &["/a/0"]);
    }

    /// A layer of which some objects and scalars are secret.
    fn layer() -> impl Strategy<Value = (Opened, Value)> {
        (arbitrary::similar_object(), prop::collection::vec(any::<bool>(), 64)).prop_map(
            |(mut stored, chosen)| {
                let mut chosen = chosen.into_iter();
                let mut secrets = BTreeSet::new();
                let Value::Object(members) = &mut stored else { unreachable!("it is an object") };
                for (name, member) in members {
                    seal_some(member, &Pointer::root().child(name), &mut chosen, &mut secrets);
                }
                (Opened { value: opened(&stored), secrets: secrets.into_iter().collect() }, stored)
            },
        )
    }

    /// Marks some values as the store does, with the value itself in the place of what is sealed.
    fn seal_some(
        value: &mut Value,
        place: &Pointer,
        chosen: &mut impl Iterator<Item = bool>,
        secrets: &mut BTreeSet<Pointer>,
    ) {
        if !value.is_null() && chosen.next() == Some(true) && chosen.next() == Some(true) {
            *value = json!({"sealed": value.to_string()});
            secrets.insert(place.clone());
            return;
        }
        match value {
            Value::Object(members) => {
                members
                    .iter_mut()
                    .for_each(|(name, member)| seal_some(member, &place.child(name), chosen, secrets));
            }
            Value::Array(items) => {
                let items = items.iter_mut().enumerate();
                items.for_each(|(at, item)| seal_some(item, &place.child(&at.to_string()), chosen, secrets));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn is_sealed(value: &Value) -> bool {
        value.get("sealed").is_some()
    }

    fn opened(value: &Value) -> Value {
        match value {
            Value::Object(members) => match members.get("sealed") {
                Some(text) => serde_json::from_str(text.as_str().expect("a text")).expect("JSON"),
                None => {
                    Value::Object(members.iter().map(|(name, value)| (name.clone(), opened(value))).collect())
                }
            },
            Value::Array(items) => Value::Array(items.iter().map(opened).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    proptest! {
        #[test]
        fn the_document_is_that_of_the_layers(layers in prop::collection::vec(arbitrary::similar_object(), 0..4)) {
            let mut merged = Merged::default();
            layers.iter().for_each(|layer| merged.add(&Opened { value: layer.clone(), secrets: vec![] }));
            prop_assert_eq!(&**merged.document(), &fold(&layers));
            prop_assert!(merged.secrets().is_empty());
        }

        #[test]
        fn the_document_is_the_merge_of_what_is_stored_opened(layers in prop::collection::vec(layer(), 0..5)) {
            let mut merged = Merged::default();
            layers.iter().for_each(|(opened, _)| merged.add(opened));
            let stored = fold_opaque(layers.iter().map(|(_, stored)| stored), is_sealed);
            // No object of a document has a null, also within a secret.
            prop_assert_eq!(fold([&**merged.document()]), fold([&opened(&stored)]));
            for place in merged.secrets() {
                prop_assert!(place.find(&stored).is_some_and(is_sealed), "{} in {}", place, stored);
            }
            // And none is forgotten.
            let mut hidden = Value::clone(merged.document());
            mask(&mut hidden, merged.secrets(), &"hidden".into());
            let as_stored = layers.iter().map(|(opened, _)| {
                let mut hidden = opened.value.clone();
                mask(&mut hidden, &opened.secrets, &"hidden".into());
                hidden
            });
            prop_assert_eq!(hidden, fold(&as_stored.collect::<Vec<_>>()));
        }
    }
}
