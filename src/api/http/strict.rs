//! Checks JSON against the descriptor of a message before it is decoded: unknown fields, fields and keys that are given twice, integers that a
//! floating-point number cannot hold, and how many values there are. Knows descriptors; no call.
//!
//! The decoder takes the last of several values of a field, and the nearest integer of a large floating-point number: what a client wrote
//! would be lost without a word.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::model::similar::similar;

/// Integers beyond are not all floating-point numbers.
pub const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// Checks one value.
pub struct Strict<'a> {
    place: Place,
    /// How many values there may still be.
    values_left: &'a Cell<usize>,
}

/// What a value belongs to.
#[derive(Clone)]
enum Place {
    Message(MessageDescriptor),
    /// One value of a field, or an item of its list.
    One(Kind),
    List(Kind),
    /// The values of a map have this kind.
    Map(Kind),
    /// Whatever the decoder makes of it.
    Any,
}

impl<'a> Strict<'a> {
    /// `values_left`: how many values the message may have, with those within others. The check fails with 0 left.
    pub fn new(message: MessageDescriptor, values_left: &'a Cell<usize>) -> Strict<'a> {
        Strict { place: Place::of_message(message), values_left }
    }

    /// The same for the value of one field.
    pub fn of_field(field: &FieldDescriptor, values_left: &'a Cell<usize>) -> Strict<'a> {
        Strict { place: Place::of_field(field), values_left }
    }

    fn at(&self, place: Place) -> Strict<'a> {
        Strict { place, values_left: self.values_left }
    }
}

impl Place {
    fn of_message(message: MessageDescriptor) -> Place {
        // These have a form of their own in JSON.
        match message.full_name().starts_with("google.protobuf.") {
            true => Place::Any,
            false => Place::Message(message),
        }
    }

    fn of_kind(kind: Kind) -> Place {
        match kind {
            Kind::Message(message) => Place::of_message(message),
            kind => Place::One(kind),
        }
    }

    fn of_field(field: &FieldDescriptor) -> Place {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => Place::Map(entry.map_entry_value_field().kind()),
            kind if field.is_list() => Place::List(kind),
            kind => Place::of_kind(kind),
        }
    }

    fn is_integer(&self) -> bool {
        let Place::One(kind) = self else { return false };
        match kind {
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 => true,
            Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => true,
            Kind::Double | Kind::Float | Kind::Bool | Kind::String | Kind::Bytes => false,
            Kind::Message(_) | Kind::Enum(_) => false,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.values_left.get().checked_sub(1) {
            Some(left) => self.values_left.set(left),
            None => return Err(D::Error::custom("there are too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // 2^53 itself is what 2^53 + 1 becomes.
        let is_exact = value.fract() == 0.0 && value.abs() < EXACT_INTEGER_MAX as f64;
        match self.place.is_integer() && !is_exact {
            true => Err(E::custom("an integer is expected, without a fraction and an exponent")),
            false => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let place = match &self.place {
            Place::List(kind) => Place::of_kind(kind.clone()),
            Place::Message(_) | Place::One(_) | Place::Map(_) | Place::Any => Place::Any,
        };
        while items.next_element_seed(self.at(place.clone()))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        let mut fields = HashSet::new();
        while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
            let place = match &self.place {
                Place::Message(message) => {
                    let field = field(message, &key).ok_or_else(|| unknown(message, &key))?;
                    if !fields.insert(field.number()) {
                        return Err(A::Error::custom(format!("the field `{key}` is given twice")));
                    }
                    Place::of_field(&field)
                }
                Place::Map(kind) => Place::of_kind(kind.clone()),
                Place::One(_) | Place::List(_) | Place::Any => Place::Any,
            };
            if !matches!(self.place, Place::Message(_)) && !keys.insert(key.clone().into_owned()) {
                return Err(A::Error::custom(format!("the key `{key}` is given twice")));
            }
            entries.next_value_seed(self.at(place))?;
        }
        Ok(())
    }
}

/// The field with this name, as the proto file or as JSON writes it.
pub fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

fn unknown<E: Error>(message: &MessageDescriptor, name: &str) -> E {
    E::custom(unknown_field(message, name))
}

/// What to say of a field that a message does not have.
pub fn unknown_field(message: &MessageDescriptor, name: &str) -> String {
    let fields: Vec<FieldDescriptor> = message.fields().collect();
    match similar(name, fields.iter().map(FieldDescriptor::name)) {
        Some(near) => format!("there is no field `{name}`: did you mean `{near}`?"),
        None => format!("there is no field `{name}` in {}", message.name()),
    }
}
