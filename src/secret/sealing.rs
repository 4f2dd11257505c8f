//! Sealing a layer that is to be stored: which of its values are secret, and what a client meant by those that it marked. Knows one
//! layer at a time; not where it is stored.
//!
//! A value is secret where the client says so by `{"$secret": VALUE}`, where the schema says so, and where the layer, or one that it is
//! merged with, has a secret now, in any element of the same list: who writes back what was read, without the marks, must not
//! store it in plain text.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::MARK;
use super::known::Known;
use super::layer::{Token, pointer_of};
use super::ring::{Place, Ring, is_hidden};
use super::sealed::SealedText;
use crate::model::{ConfigId, Pointer};

/// How to seal a layer.
pub struct Sealing<'a> {
    pub id: &'a ConfigId,
    pub ring: &'a Ring,
    /// The places in the layer that its schema marks. All that is below one is secret as well.
    pub marked: &'a BTreeSet<String>,
    /// The secrets of the layer as it is, and of those that it is merged with.
    pub known: &'a [Known],
    /// The layer as it is, opened.
    pub before: &'a Value,
}

/// Something that cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable.
    pub code: &'static str,
    pub pointer: Pointer,
    /// Never shows a value.
    pub message: &'static str,
    pub suggestion: &'static str,
}

impl Sealing<'_> {
    /// Seals what is secret in a layer. On an error the layer is partly sealed, and must not be stored.
    pub fn seal(&self, layer: &mut Value) -> Result<(), Vec<Refusal>> {
        let mut pass = Pass { sealing: self, refused: vec![] };
        match layer {
            Value::Object(members) if members.contains_key(MARK) => pass.refuse(
                &[],
                "SECRET_MALFORMED",
                "a layer cannot be secret as a whole",
                "mark each of its members",
            ),
            Value::Object(members) => {
                let all = self.marked.contains("");
                for (name, member) in members {
                    pass.value(member, &mut vec![Token::Member(name)], all);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
        if pass.refused.is_empty() { Ok(()) } else { Err(pass.refused) }
    }
}

struct Pass<'a> {
    sealing: &'a Sealing<'a>,
    refused: Vec<Refusal>,
}

impl Pass<'_> {
    /// Seals a value, or what is below it.
    fn value<'v>(&mut self, value: &'v mut Value, place: &mut Vec<Token<'v>>, is_secret: bool) {
        let is_marked = value.as_object().is_some_and(|members| members.contains_key(MARK));
        if is_marked || ((is_secret || self.is_secret(value, place)) && !value.is_null()) {
            if let Some(sealed) = self.sealed(value, place) {
                *value =
                    Value::Object(Map::from_iter([(MARK.to_owned(), Value::String(sealed.to_string()))]));
            }
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    place.push(Token::Member(name));
                    self.value(member, place, false);
                    place.pop();
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    place.push(Token::Element(at));
                    self.value(item, place, false);
                    place.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn is_secret(&self, value: &Value, place: &[Token<'_>]) -> bool {
        let Sealing { marked, known, before, .. } = self.sealing;
        let is_alike = known.iter().any(|known| known.is_alike(place));
        if marked.is_empty() && !is_alike {
            return false;
        }
        let pointer = pointer_of(place);
        if marked.contains(&pointer.to_string()) || known.iter().any(|known| known.pointer == pointer) {
            return true;
        }
        // What stands beside a secret element, and was none before, is none as long as it stays as it is.
        let was = || {
            let meant = Pass { sealing: self.sealing, refused: vec![] }.plain(value, place);
            pointer.find(before).is_some_and(|before| meant.as_ref() == Some(before))
        };
        is_alike && !was()
    }

    /// What is stored in the place of a secret. `None`: it was refused.
    fn sealed(&mut self, value: &Value, place: &[Token<'_>]) -> Option<SealedText> {
        let plain = self.plain(value, place)?;
        if plain.is_null() {
            self.refuse(
                place,
                "SECRET_MALFORMED",
                "null cannot be secret",
                "write null without a mark, to remove",
            );
            return None;
        }
        let pointer = pointer_of(place);
        let same = self.sealing.known.iter().find(|known| {
            // Sealed anew, by a key that is newer, it would seem to have changed.
            known.is_own && known.pointer == pointer && known.value == plain
        });
        let seal = || self.sealing.ring.seal(Place { id: self.sealing.id, pointer: &pointer }, &plain);
        Some(same.map_or_else(seal, |same| same.sealed.clone()))
    }

    /// What the client means by a secret: without marks, and with what is sealed or hidden in it as it is. `None`: it was refused.
    fn plain(&mut self, value: &Value, place: &[Token<'_>]) -> Option<Value> {
        match value {
            Value::Object(members) => match members.get(MARK) {
                Some(marked) if members.len() == 1 => self.plain(marked, place),
                Some(_) => {
                    let message = "an object with $secret has other members";
                    self.refuse(
                        place,
                        "SECRET_MALFORMED",
                        message,
                        "put the value in $secret, and nothing beside it",
                    );
                    None
                }
                None => {
                    let mut plain = Some(Map::new());
                    for (name, member) in members {
                        let member = self.plain(member, &[place, &[Token::Member(name)]].concat());
                        plain = plain.zip(member).map(|(mut members, member)| {
                            members.insert(name.clone(), member);
                            members
                        });
                    }
                    plain.map(Value::Object)
                }
            },
            Value::Array(items) => {
                let items: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.plain(item, &[place, &[Token::Element(at)]].concat()))
                    .collect();
                items.into_iter().collect::<Option<_>>().map(Value::Array)
            }
            Value::String(text) if SealedText::is_begun_by(text) => self.unsealed(text, place),
            Value::String(text) if is_hidden(text) => self.unhidden(text, place),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
        }
    }

    /// The value of a text that is sealed: for this place, or for another of the layer from which a patch has moved it.
    fn unsealed(&mut self, text: &str, place: &[Token<'_>]) -> Option<Value> {
        let Sealing { id, ring, known, .. } = self.sealing;
        let sealed = SealedText::parse(text);
        let here = |sealed| ring.open(Place { id, pointer: &pointer_of(place) }, sealed);
        let moved = |sealed: &SealedText| {
            known.iter().find(|known| known.sealed == *sealed).map(|known| known.value.clone())
        };
        let found = sealed.as_ref().and_then(|sealed| here(sealed).or_else(|| moved(sealed)));
        if found.is_none() {
            let message = "the sealed value was not sealed for this place by this server";
            self.refuse(place, "SECRET_NOT_OPENED", message, "write the value itself: {\"$secret\": VALUE}");
        }
        found
    }

    /// The value that a client without the right to see it has read, and writes back.
    fn unhidden(&mut self, text: &str, place: &[Token<'_>]) -> Option<Value> {
        let Sealing { id, ring, known, .. } = self.sealing;
        let pointer = pointer_of(place);
        let is_meant =
            |known: &&Known| ring.hidden(Place { id, pointer: &known.pointer }, &known.value) == text;
        let here = known.iter().filter(|known| known.pointer == pointer).find(is_meant);
        let found = here.or_else(|| known.iter().find(is_meant)).map(|known| known.value.clone());
        if found.is_none() {
            let message = "stands for a hidden value that is not here";
            self.refuse(place, "SECRET_HIDDEN", message, "write the value itself: {\"$secret\": VALUE}");
        }
        found
    }

    fn refuse(
        &mut self,
        place: &[Token<'_>],
        code: &'static str,
        message: &'static str,
        suggestion: &'static str,
    ) {
        self.refused.push(Refusal { code, pointer: pointer_of(place), message, suggestion });
    }
}

#[cfg(test)]
mod tests;
