//! Sealing a layer that is to be stored: which of its values are secret, and what a client meant by those that it marked. Knows one
//! layer at a time; not where it is stored.
//!
//! A value is secret where the client says so by `{"$secret": VALUE}`, where the schema says so, and where the layer, or one that it is
//! merged with, has a secret now, in any element of the same list: who writes back what was read, without the marks, must not
//! store it in plain text.
//!
//! What is sealed already is opaque to the client: it stays where it is, or is carried to another place by a caller who may reveal it, and
//! is sealed anew there. A fingerprint stands for the secret at its own place in its own layer, and for no other; a mask stands for nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::MARK;
use super::known::KnownSecret;
use super::layer::{MASK, PathStep, pointer_of};
use super::ring::{Ring, SecretPlace, is_hidden};
use super::sealed::SealedText;
use crate::model::{ConfigId, Pointer};

/// How to seal a layer.
pub struct Sealing<'a> {
    pub id: &'a ConfigId,
    pub ring: &'a Ring,
    /// The places in the layer that its schema marks. All that is below one is secret as well.
    pub marked: &'a BTreeSet<String>,
    /// The secrets of the layer as it is, and of those that it is merged with.
    pub known: &'a [KnownSecret<'a>],
    /// The layer as it is, opened.
    pub before: &'a Value,
    pub origin: Origin,
}

/// Where a layer that is to be stored comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was stored before, as it is: no fingerprint or mask in it stands for a secret. Clear text that is sealed now counts as written, since
    /// the fingerprint of the new secret would show whether the text equals an earlier secret of the layer.
    Stored,
    /// It was stored before, and a client has chosen it: what it has in clear text in the place of a secret counts as written.
    Restored,
    /// A client has written it, or a part of it.
    Written,
}

/// Something that cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealRefusal {
    /// Stable.
    pub code: &'static str,
    pub pointer: Pointer,
    /// Never shows a value.
    pub message: &'static str,
    pub suggestion: &'static str,
}

impl Sealing<'_> {
    /// Seals what is secret in a layer. Gives the places of secrets whose value was in clear text, rather than kept or carried along; an
    /// element of a list that a caller who may not reveal it has moved counts as written. On an error the layer is partly sealed, and must not
    /// be stored.
    pub fn seal(&self, layer: &mut Value) -> Result<Vec<Pointer>, Vec<SealRefusal>> {
        let mut pass = Pass::new(self);
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
                    pass.value(member, &mut vec![PathStep::Member(name)], all);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
        if pass.refused.is_empty() { Ok(pass.proposed) } else { Err(pass.refused) }
    }
}

/// Refuses fingerprints in a layer that has no secret, and had none. `before` is the layer as it is.
pub fn refuse_hidden(layer: &Value, before: &Value) -> Result<(), Vec<SealRefusal>> {
    let mut refused = vec![];
    each_text(layer, &mut vec![], &mut |text, place| {
        let is_unchanged = || pointer_of(place).find(before).and_then(Value::as_str) == Some(text);
        if is_hidden(text) && !is_unchanged() {
            refused.push(hidden_elsewhere(place));
        }
    });
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

fn each_text<'v>(
    value: &'v Value,
    place: &mut Vec<PathStep<'v>>,
    told: &mut dyn FnMut(&str, &[PathStep<'_>]),
) {
    match value {
        Value::String(text) => told(text, place),
        Value::Object(members) => {
            for (name, member) in members {
                place.push(PathStep::Member(name));
                each_text(member, place, told);
                place.pop();
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                place.push(PathStep::Element(at));
                each_text(item, place, told);
                place.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hidden_elsewhere(place: &[PathStep<'_>]) -> SealRefusal {
    SealRefusal {
        code: "SECRET_HIDDEN",
        pointer: pointer_of(place),
        message: "is the fingerprint or the mask of a hidden value, and that value is not the secret of this place",
        suggestion: "write the value itself: {\"$secret\": VALUE}",
    }
}

struct Pass<'a> {
    sealing: &'a Sealing<'a>,
    refused: Vec<SealRefusal>,
    /// Secrets whose value was in clear text.
    proposed: Vec<Pointer>,
}

/// A secret that is being put together.
struct Whole {
    /// How many tokens lead to it.
    depth: usize,
    /// It was in clear text, or a part of it was.
    is_written: bool,
}

impl<'a> Pass<'a> {
    fn new(sealing: &'a Sealing<'a>) -> Pass<'a> {
        Pass { sealing, refused: vec![], proposed: vec![] }
    }

    /// Seals a value, or what is below it.
    fn value<'v>(&mut self, value: &'v mut Value, place: &mut Vec<PathStep<'v>>, is_secret: bool) {
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
                    place.push(PathStep::Member(name));
                    self.value(member, place, false);
                    place.pop();
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    place.push(PathStep::Element(at));
                    self.value(item, place, false);
                    place.pop();
                }
            }
            Value::String(text) if self.sealing.origin == Origin::Written && is_hidden(text) => {
                // Such a text may have been stored before it was refused.
                if pointer_of(place).find(self.sealing.before).and_then(Value::as_str) != Some(text.as_str())
                {
                    self.refused.push(hidden_elsewhere(place));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn is_secret(&self, value: &Value, place: &[PathStep<'_>]) -> bool {
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
            let mut whole = Whole { depth: place.len(), is_written: false };
            let meant = Pass::new(self.sealing).plain(value, place, &mut whole);
            pointer.find(before).is_some_and(|before| meant.as_ref() == Some(before))
        };
        is_alike && !was()
    }

    /// What is stored in the place of a secret. `None`: it was refused.
    fn sealed(&mut self, value: &Value, place: &[PathStep<'_>]) -> Option<SealedText> {
        let mut whole = Whole { depth: place.len(), is_written: false };
        let plain = self.plain(value, place, &mut whole)?;
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
        if whole.is_written {
            self.proposed.push(pointer.clone());
        }
        let same = self.sealing.known.iter().find(|known| {
            // Sealed anew, by a key that is newer, it would seem to have changed.
            known.holder.is_own && known.pointer == pointer && known.value == plain
        });
        let seal = || self.sealing.ring.seal(SecretPlace { id: self.sealing.id, pointer: &pointer }, &plain);
        Some(same.map_or_else(seal, |same| same.sealed.clone()))
    }

    /// What the client means by a secret: without marks, and with what is sealed or hidden in it as it is. `None`: it was refused.
    fn plain(&mut self, value: &Value, place: &[PathStep<'_>], whole: &mut Whole) -> Option<Value> {
        match value {
            Value::Object(members) => match members.get(MARK) {
                Some(marked) if members.len() == 1 => self.plain(marked, place, whole),
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
                    whole.is_written = true;
                    let mut plain = Some(Map::new());
                    for (name, member) in members {
                        let member = self.plain(member, &[place, &[PathStep::Member(name)]].concat(), whole);
                        plain = plain.zip(member).map(|(mut members, member)| {
                            members.insert(name.clone(), member);
                            members
                        });
                    }
                    plain.map(Value::Object)
                }
            },
            Value::Array(items) => {
                whole.is_written = true;
                let items: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.plain(item, &[place, &[PathStep::Element(at)]].concat(), whole))
                    .collect();
                items.into_iter().collect::<Option<_>>().map(Value::Array)
            }
            Value::String(text) if SealedText::is_begun_by(text) => self.unsealed(text, place, whole),
            Value::String(text)
                if self.sealing.origin == Origin::Written && (is_hidden(text) || text == MASK) =>
            {
                self.unhidden(text, place, place.len() > whole.depth)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                whole.is_written = true;
                Some(value.clone())
            }
        }
    }

    /// The value of a text that is sealed: for this place, or for another of the layer from which it was carried here, within `whole`.
    fn unsealed(&mut self, text: &str, place: &[PathStep<'_>], whole: &mut Whole) -> Option<Value> {
        let is_within = place.len() > whole.depth;
        let Sealing { id, ring, known, origin, .. } = *self.sealing;
        let pointer = pointer_of(place);
        let sealed = SealedText::parse(text);
        let here = |sealed: &SealedText| match origin {
            Origin::Stored | Origin::Restored => ring.open(SecretPlace { id, pointer: &pointer }, sealed),
            Origin::Written => None,
        };
        // Elements of its list may have been added and removed before it.
        let stays = |known: &KnownSecret<'_>| {
            known.holder.is_own && !is_within && (known.pointer == pointer || known.is_alike(place))
        };
        let may_carry =
            |known: &KnownSecret<'_>| origin != Origin::Written || known.holder.is_revealed || stays(known);
        let mut same = known.iter().filter(|known| Some(&known.sealed) == sealed.as_ref()).peekable();
        let is_known = same.peek().is_some();
        let carried = same.find(|known| may_carry(known));
        // In its new place an element that was moved on has another fingerprint, which compares with others there: it counts as written.
        whole.is_written |=
            carried.is_some_and(|known| known.pointer != pointer && !known.holder.is_revealed);
        let found = carried.map(|known| known.value.clone()).or_else(|| sealed.as_ref().and_then(here));
        // A client who writes a sealed value learns nothing of the keys; a state from before, or from a backup, names its own.
        let is_of_other_key =
            origin == Origin::Restored && sealed.as_ref().is_some_and(|sealed| !ring.has_key_of(sealed));
        if found.is_none() {
            match is_known {
                true => self.refuse(
                    place,
                    "SECRET_NOT_REVEALED",
                    "a secret can only be carried to another place by a caller who may reveal it",
                    "leave the secret where it is, or write its value: {\"$secret\": VALUE}",
                ),
                false if is_of_other_key => self.refuse(
                    place,
                    "SECRET_KEY_UNKNOWN",
                    "is sealed by a data key that this server does not have: it is of another store, or the key is gone",
                    "restore it into a store that has the key, or write the value: {\"$secret\": VALUE}",
                ),
                false => self.refuse(
                    place,
                    "SECRET_NOT_OPENED",
                    "the sealed value is not a secret of this layer",
                    "write the value itself: {\"$secret\": VALUE}",
                ),
            }
        }
        found
    }

    /// The value that a client without the right to see it has read, and writes back. `is_within`: as a part of another secret.
    fn unhidden(&mut self, text: &str, place: &[PathStep<'_>], is_within: bool) -> Option<Value> {
        let Sealing { id, ring, known, .. } = *self.sealing;
        let pointer = pointer_of(place);
        let is_meant = |known: &&KnownSecret<'_>| {
            let place = SecretPlace { id, pointer: &pointer };
            known.pointer == pointer && ring.hidden(place, known.holder.layer, &known.value) == text
        };
        let may_stand =
            |known: &&KnownSecret<'_>| known.holder.is_revealed || (known.holder.is_own && !is_within);
        let meant: Vec<&KnownSecret<'_>> = known.iter().filter(is_meant).collect();
        let found = meant.iter().copied().find(may_stand).map(|known| known.value.clone());
        if found.is_none() {
            match (meant.is_empty(), meant.iter().any(|known| known.holder.is_own)) {
                (true, _) => self.refused.push(hidden_elsewhere(place)),
                (false, true) => self.refuse(
                    place,
                    "SECRET_NOT_REVEALED",
                    "a secret can only become a part of another one by a caller who may reveal it",
                    "write the value itself: {\"$secret\": VALUE}",
                ),
                (false, false) => self.refuse(
                    place,
                    "SECRET_INHERITED",
                    "stands for a secret that is inherited, and can only be stored here by a caller who may reveal it where it comes from",
                    "leave it out: it is inherited",
                ),
            }
        }
        found
    }

    fn refuse(
        &mut self,
        place: &[PathStep<'_>],
        code: &'static str,
        message: &'static str,
        suggestion: &'static str,
    ) {
        self.refused.push(SealRefusal { code, pointer: pointer_of(place), message, suggestion });
    }
}

#[cfg(test)]
mod tests;
