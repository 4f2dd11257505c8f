//! The secrets that layers have now: a write that repeats a fingerprint keeps the secret that has it. Knows layers and keys; no write.

use serde_json::Value;

use super::MARK;
use super::layer::{PathStep, each_sealed, pointer_of, sealed_in};
use super::ring::{Ring, SecretPlace};
use super::sealed::SealedText;
use crate::model::{ConfigId, LayerKey, Pointer};

/// A secret of a layer.
#[derive(Clone)]
pub struct KnownSecret<'a> {
    pub(super) pointer: Pointer,
    pub(super) sealed: SealedText,
    pub(super) value: Value,
    pub(super) holder: Holder<'a>,
    /// For each token, the name of a member; none for an element, of which any is meant.
    names: Vec<Option<String>>,
}

/// Which layer holds a secret, as the caller of a write stands to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<'a> {
    pub layer: &'a LayerKey,
    /// It is the layer that is written, rather than one that it is merged with.
    pub is_own: bool,
    /// The caller may reveal secrets there.
    pub is_revealed: bool,
}

/// The secrets of a layer.
pub fn known_in<'a>(
    id: &ConfigId,
    mut layer: Value,
    ring: &Ring,
    holder: Holder<'a>,
) -> Vec<KnownSecret<'a>> {
    let mut known = vec![];
    each_sealed(&mut layer, &mut vec![], &mut |place, sealed| {
        let pointer = pointer_of(place);
        if let Some(value) = ring.open(SecretPlace { id, pointer: &pointer }, &sealed) {
            let name = |token: &PathStep<'_>| match token {
                PathStep::Member(name) => Some((*name).to_owned()),
                PathStep::Element(_) => None,
            };
            let names = place.iter().map(name).collect();
            known.push(KnownSecret { pointer, sealed, value, holder, names });
        }
        None
    });
    known
}

/// A value without marks, and with the sealed values in it as they are: those that are known.
pub fn readable(value: &Value, known: &[KnownSecret<'_>]) -> Value {
    if let Some(sealed) = sealed_in(value) {
        let same = known.iter().find(|known| known.sealed == sealed);
        return same.map_or_else(|| value.clone(), |known| known.value.clone());
    }
    match value {
        Value::Object(members) => match members.get(MARK).filter(|_| members.len() == 1) {
            Some(marked) => readable(marked, known),
            None => {
                let members = members.iter().map(|(name, member)| (name.clone(), readable(member, known)));
                Value::Object(members.collect())
            }
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| readable(item, known)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

impl KnownSecret<'_> {
    /// Whether it is at this place, or at the same one of another element of a list.
    pub(super) fn is_alike(&self, place: &[PathStep<'_>]) -> bool {
        let is_same = |(name, token): (&Option<String>, &PathStep<'_>)| match (name, token) {
            (Some(name), PathStep::Member(member)) => name == member,
            (None, PathStep::Element(_)) => true,
            (Some(_), PathStep::Element(_)) | (None, PathStep::Member(_)) => false,
        };
        self.names.len() == place.len() && self.names.iter().zip(place).rev().all(is_same)
    }
}
