//! The value of a layer at a place: there, removed, or within an array. Knows no step of a migration.

use serde_json::{Map, Value};

use crate::model::Pointer;
use crate::model::pointer::index;

/// The value of a layer at a place.
#[derive(Debug, PartialEq)]
pub enum LayerValue<'l> {
    /// The layer has this value at the place; `null` if the layer removes the inherited value.
    There(&'l Value),
    /// The layer has no value at the place: the inherited value stays.
    Nothing,
    /// The layer removes or replaces a value that contains the place: nothing is inherited.
    Cut { around: Pointer, with: &'l Value },
    /// The place is in this array.
    InArray(Pointer),
}

/// Finds the value of a layer at a place below the root.
pub fn layer_value<'l>(layer: &'l Value, at: &Pointer) -> LayerValue<'l> {
    let (mut value, mut here) = (layer, Pointer::root());
    for token in at.tokens() {
        value = match value {
            Value::Object(members) => match members.get(token) {
                Some(member) => member,
                None => return LayerValue::Nothing,
            },
            Value::Array(_) if index(token).is_some() || token == "-" => return LayerValue::InArray(here),
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return LayerValue::Cut { around: here, with: value };
            }
        };
        here = here.child(token);
    }
    LayerValue::There(value)
}

/// Takes the value at a place away. The objects around it stay, since they say that there are objects.
pub fn take(layer: &mut Value, at: &Pointer) -> Option<Value> {
    let (name, parent) = split(at)?;
    parent.tokens().try_fold(layer, |value, token| value.get_mut(token))?.as_object_mut()?.remove(name)
}

/// Puts a value at a place. What is around it and no object becomes one.
pub fn put(layer: &mut Value, at: &Pointer, value: Value) {
    let place = at.tokens().fold(layer, |place, token| {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place.as_object_mut().expect("it was made an object above").entry(token).or_insert(Value::Null)
    });
    *place = value;
}

/// The last token, and the place around.
fn split(at: &Pointer) -> Option<(&str, Pointer)> {
    let mut tokens = at.tokens();
    let count = tokens.len();
    let name = tokens.nth(count.checked_sub(1)?)?;
    Some((name, at.tokens().take(count - 1).map(str::to_owned).collect()))
}
