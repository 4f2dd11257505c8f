//! The secrets that layers have now: by them it is told what a write means where it repeats what it has read. Knows layers and keys; no
//! write.

use serde_json::Value;

use super::layer::{Token, each_sealed, pointer_of};
use super::ring::{Place, Ring};
use super::sealed::SealedText;
use crate::model::{ConfigId, Pointer};

/// A secret of a layer.
#[derive(Clone)]
pub struct Known {
    pub(super) pointer: Pointer,
    pub(super) sealed: SealedText,
    pub(super) value: Value,
    /// Of the layer that is written, rather than of one that it is merged with.
    pub(super) is_own: bool,
    /// For each token, the name of a member; none for an element, of which any is meant.
    names: Vec<Option<String>>,
}

/// The secrets of a layer.
pub fn known_in(id: &ConfigId, mut layer: Value, ring: &Ring, is_own: bool) -> Vec<Known> {
    let mut known = vec![];
    each_sealed(&mut layer, &mut vec![], &mut |place, sealed| {
        let pointer = pointer_of(place);
        if let Some(value) = ring.open(Place { id, pointer: &pointer }, &sealed) {
            let name = |token: &Token<'_>| match token {
                Token::Member(name) => Some((*name).to_owned()),
                Token::Element(_) => None,
            };
            let names = place.iter().map(name).collect();
            known.push(Known { pointer, sealed, value, is_own, names });
        }
        None
    });
    known
}

impl Known {
    /// Whether it is at this place, or at the same one of another element of a list.
    pub(super) fn is_alike(&self, place: &[Token<'_>]) -> bool {
        let is_same = |(name, token): (&Option<String>, &Token<'_>)| match (name, token) {
            (Some(name), Token::Member(member)) => name == member,
            (None, Token::Element(_)) => true,
            (Some(_), Token::Element(_)) | (None, Token::Member(_)) => false,
        };
        self.names.len() == place.len() && self.names.iter().zip(place).rev().all(is_same)
    }
}
