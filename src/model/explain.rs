//! Where each value of an effective document comes from. Knows values only; which layers there are is its caller's.
//!
//! A layer *says* something about a place if, going down the layer along the pointer, it holds a value there (a null says
//! that there shall be none), or it holds something other than an object on the way, which says that there shall be
//! nothing below. A layer in which the way ends at a missing member says nothing. The last layer that says something
//! decides.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Pointer;
use super::merge::fold;

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

/// For layers in merge order: the origin of each scalar, array and empty object of `fold(layers)`, and of each value that
/// an earlier layer sets and the document does not have, unless that is told by the place above. Sorted by pointer. Only what is on
/// the way to `within`, or below it. `None` if telling it takes more than `bytes_max`, beside the values.
pub fn explain(layers: &[Value], within: &Pointer, bytes_max: usize) -> Option<Vec<Origin>> {
    let document = fold(layers);
    let said = layers.iter().enumerate().map(|(layer, value)| (layer, Some(value))).collect();
    let mut search = Search { within, bytes_left: bytes_max, origins: Vec::new() };
    search.explain_place(&mut Vec::new(), Some(&document), said)?;
    Some(search.origins)
}

/// What layers say about a place, in merge order.
type LayerValues<'a> = Vec<(usize, Option<&'a Value>)>;

struct Search<'p> {
    within: &'p Pointer,
    bytes_left: usize,
    origins: Vec<Origin>,
}

impl Search<'_> {
    /// `None` if there is no more room.
    fn explain_place<'a>(
        &mut self,
        place: &mut Vec<&'a str>,
        effective: Option<&Value>,
        said: LayerValues<'a>,
    ) -> Option<()> {
        if !self.within.tokens().zip(place.iter()).all(|(token, other)| token == *other) {
            return Some(());
        }
        let has_members = effective.and_then(Value::as_object).is_some_and(|members| !members.is_empty());
        let is_lost = effective.is_none() && said.iter().any(|(_, value)| value.is_some());
        if let Some((&(layer, _), earlier)) = said.split_last()
            && (is_lost || effective.is_some() && !has_members)
        {
            let bytes = place.iter().map(|token| token.len() + 1).sum::<usize>() + said.len() * LAYER_BYTES;
            self.bytes_left = self.bytes_left.checked_sub(bytes)?;
            let pointer = place.iter().copied().map(str::to_owned).collect();
            let shadowed = earlier.iter().rev();
            let shadowed =
                shadowed.map(|&(layer, value)| Shadowed { layer, value: value.cloned() }).collect();
            self.origins.push(Origin { pointer, layer, value: effective.cloned(), shadowed });
        }
        let Some(Value::Object(members)) = effective else { return Some(()) };
        let names: BTreeSet<&'a String> = said
            .iter()
            .filter_map(|(_, value)| value.and_then(Value::as_object))
            .flat_map(|m| m.keys())
            .collect();
        for name in names {
            place.push(name);
            self.explain_place(place, members.get(name), said_of_member(&said, name))?;
            place.pop();
        }
        Some(())
    }
}

fn said_of_member<'a>(said: &LayerValues<'a>, name: &str) -> LayerValues<'a> {
    said.iter()
        .filter_map(|&(layer, value)| match value {
            Some(Value::Object(members)) => {
                members.get(name).map(|member| (layer, Some(member).filter(|member| !member.is_null())))
            }
            Some(_) | None => Some((layer, None)),
        })
        .collect()
}

#[cfg(test)]
mod tests;
