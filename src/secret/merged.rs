//! Layers with their secrets, merged: the document, and where in it a secret has come to stand. Knows merging; no keys.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::layer::Opened;
use crate::model::Pointer;
use crate::model::merge::merge_patch;

/// The document of the layers that were added, in order of merging.
#[derive(Debug)]
pub struct Merged {
    document: Value,
    secrets: BTreeSet<Pointer>,
}

impl Default for Merged {
    fn default() -> Merged {
        Merged { document: Value::Object(Map::new()), secrets: BTreeSet::new() }
    }
}

impl Merged {
    /// Merges a layer, as `merge_patch` does. A secret that it replaces is one no more; what it merges into a secret belongs to it.
    pub fn add(&mut self, layer: &Opened) {
        let document = &self.document;
        self.secrets.retain(|secret| match said_of(secret, &layer.value) {
            LayerContribution::Nothing => true,
            // Members are merged into a secret object, and make an object of anything else.
            LayerContribution::Members => secret.find(document).is_some_and(Value::is_object),
            LayerContribution::Otherwise => false,
        });
        merge_patch(&mut self.document, &layer.value);
        self.secrets.extend(layer.secrets.iter().cloned());
    }

    /// The document, and where its secrets are, in the order of pointers.
    pub fn into_parts(self) -> (Value, Vec<Pointer>) {
        (self.document, self.secrets.into_iter().collect())
    }
}

/// What a layer says of a place.
enum LayerContribution {
    Nothing,
    Members,
    Otherwise,
}

fn said_of(place: &Pointer, layer: &Value) -> LayerContribution {
    let mut here = layer;
    for token in place.tokens() {
        match here.as_object().map(|members| members.get(token)) {
            Some(Some(member)) => here = member,
            Some(None) => return LayerContribution::Nothing,
            None => return LayerContribution::Otherwise,
        }
    }
    if here.is_object() { LayerContribution::Members } else { LayerContribution::Otherwise }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::arbitrary;
    use crate::model::merge::fold;
    use crate::secret::example::pointer;

    fn check(layers: &[(Value, &[&str])], document: Value, secrets: &[&str]) {
        let mut merged = Merged::default();
        for (value, secrets) in layers {
            let secrets = secrets.iter().map(|at| pointer(at)).collect();
            merged.add(&Opened { value: value.clone(), secrets });
        }
        let expected: Vec<Pointer> = secrets.iter().map(|at| pointer(at)).collect();
        assert_eq!(merged.into_parts(), (document, expected));
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
    fn what_is_merged_into_a_secret_belongs_to_it() {
        let base = (json!({"db": {"user": "u", "password": "p"}}), &["/db"][..]);
        let over = (json!({"db": {"user": "x"}}), &[][..]);
        check(&[base, over], json!({"db": {"user": "x", "password": "p"}}), &["/db"]);
    }

    proptest! {
        #[test]
        fn the_document_is_that_of_the_layers(layers in prop::collection::vec(arbitrary::similar_object(), 0..4)) {
            let mut merged = Merged::default();
            layers.iter().for_each(|layer| merged.add(&Opened { value: layer.clone(), secrets: vec![] }));
            prop_assert_eq!(merged.into_parts(), (fold(&layers), vec![]));
        }
    }
}
