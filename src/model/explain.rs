//! Finds the layer of each value of an effective document. Knows values only; the caller has the layers.
//!
//! A layer *says* something about a place if, going down the layer along the pointer, it holds a value there (a null says
//! that there shall be none), or it holds something other than an object on the way, which says that there shall be
//! nothing below. A layer in which the way ends at a missing member says nothing. The last layer that says something
//! decides.
//!
//! Some objects count as one value each, which are secrets. Such an object says of all places below it what there shall be. To a layer
//! after it, which replaces it as a whole, it is no object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Pointer;

/// Which layer decides about one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    pub pointer: Pointer,
    /// Index of the deciding layer.
    pub layer: usize,
    /// The effective value; `None`: the layer removes what earlier ones set.
    pub value: Option<Value>,
    /// What earlier layers say about the place, nearest first.
    pub shadowed: Vec<Shadowed>,
}

/// What a layer says about a place, to no effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadowed {
    /// Index of the layer.
    pub layer: usize,
    /// As the layer has it; `None`: it says that there shall be no such value.
    pub value: Option<Value>,
}

/// About what there is of a layer that an origin names, when it is told.
const LAYER_BYTES: usize = 128;

/// A layer that is to be explained.
#[derive(Clone, Copy)]
pub struct Explained<'a> {
    pub value: &'a Value,
    /// Where it has objects that count as one value, in the order of pointers. It may have others: of scalars it does not matter.
    pub opaque: &'a [Pointer],
}

/// For layers in merge order: the origin of each scalar, array and empty object of the document that they make, and of each value that
/// an earlier layer sets and the document does not have, unless that is told by the place above. Sorted by pointer. Only what is on
/// the way to `within`, or below it. `None` if telling it takes more than `bytes_max`, beside the values.
pub fn explain(
    document: &Value,
    layers: &[Explained<'_>],
    within: &Pointer,
    bytes_max: usize,
) -> Option<Vec<Origin>> {
    let said = layers.iter().enumerate();
    let said = said.map(|(layer, of)| Said { layer, value: Some(of.value), is_all: false }).collect();
    let has_opaque = layers.iter().any(|layer| !layer.opaque.is_empty());
    let mut search = Search { layers, has_opaque, within, bytes_left: bytes_max, origins: Vec::new() };
    search.explain_place(&mut Vec::new(), Some(document), said)?;
    Some(search.origins)
}

/// What a layer says about a place.
#[derive(Clone, Copy)]
struct Said<'a> {
    layer: usize,
    value: Option<&'a Value>,
    /// It is a part of an object that counts as one value: there is nothing beside it.
    is_all: bool,
}

struct Search<'s> {
    layers: &'s [Explained<'s>],
    has_opaque: bool,
    within: &'s Pointer,
    bytes_left: usize,
    origins: Vec<Origin>,
}

impl Search<'_> {
    /// `None` if there is no more room.
    fn explain_place<'a>(
        &mut self,
        place: &mut Vec<&'a str>,
        effective: Option<&Value>,
        mut said: Vec<Said<'a>>,
    ) -> Option<()> {
        if !self.within.tokens().zip(place.iter()).all(|(token, other)| token == *other) {
            return Some(());
        }
        let has_members = effective.and_then(Value::as_object).is_some_and(|members| !members.is_empty());
        let is_lost = effective.is_none() && said.iter().any(|said| said.value.is_some());
        if let Some((&Said { layer, .. }, earlier)) = said.split_last()
            && (is_lost || effective.is_some() && !has_members)
        {
            let bytes = place.iter().map(|token| token.len() + 1).sum::<usize>() + said.len() * LAYER_BYTES;
            self.bytes_left = self.bytes_left.checked_sub(bytes)?;
            let pointer = place.iter().copied().map(str::to_owned).collect();
            let shadowed = earlier.iter().rev();
            let shadowed =
                shadowed.map(|said| Shadowed { layer: said.layer, value: said.value.cloned() }).collect();
            self.origins.push(Origin { pointer, layer, value: effective.cloned(), shadowed });
        }
        let Some(Value::Object(members)) = effective else { return Some(()) };
        self.settle_opaque(place, &mut said);
        let names: BTreeSet<&'a String> = said
            .iter()
            .filter_map(|said| said.value.and_then(Value::as_object))
            .flat_map(|m| m.keys())
            .collect();
        for name in names {
            place.push(name);
            self.explain_place(place, members.get(name), said_of_member(&said, name))?;
            place.pop();
        }
        Some(())
    }

    /// What of the values that count as one matters to the places below.
    fn settle_opaque(&self, place: &[&str], said: &mut [Said<'_>]) {
        if !self.has_opaque {
            return;
        }
        let pointer: Pointer = place.iter().copied().map(str::to_owned).collect();
        let is_opaque = |said: &Said<'_>| self.layers[said.layer].opaque.binary_search(&pointer).is_ok();
        if let Some((last, earlier)) = said.split_last_mut() {
            last.is_all |= is_opaque(last);
            earlier.iter_mut().filter(|said| is_opaque(said)).for_each(|said| said.value = None);
        }
    }
}

fn said_of_member<'a>(said: &[Said<'a>], name: &str) -> Vec<Said<'a>> {
    let member = |said: &Said<'a>| match said.value {
        Some(Value::Object(members)) => match members.get(name) {
            Some(member) => Some(Said { value: Some(member).filter(|member| !member.is_null()), ..*said }),
            None => said.is_all.then_some(Said { value: None, ..*said }),
        },
        Some(_) | None => Some(Said { value: None, ..*said }),
    };
    said.iter().filter_map(member).collect()
}

#[cfg(test)]
mod tests;
