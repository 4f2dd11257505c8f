//! Builds a value from the events of a serde deserializer, and refuses what a document may not have. Knows no format.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{BEYOND_64_BITS, DUPLICATE_KEY, DocumentError, DocumentErrorCode, NOT_A_DOUBLE};
use crate::model::limits::DEPTH_MAX;
use crate::model::{Pointer, depth};

/// One document on its way in. It lives outside of serde's errors, which carry text only, and which each format writes
/// in its own way.
pub struct Tree {
    bytes_max: usize,
    /// Which of the numbers of the document, counted from 0, is an integer beyond 64 bits.
    integer_beyond: Option<usize>,
    /// Numbers so far.
    numbers: Cell<usize>,
    /// At least as many bytes as the canonical text will have.
    bytes: Cell<usize>,
    /// What this module refused.
    refusal: RefCell<Option<(DocumentErrorCode, String)>>,
    /// Where an error came up, innermost token first: filled while the error goes up.
    place: RefCell<Vec<String>>,
}

impl Tree {
    /// `integer_beyond` is the number, counted from 0, that is an integer beyond 64 bits, if there is one: a deserializer has made
    /// a double of it.
    pub fn new(bytes_max: usize, integer_beyond: Option<usize>) -> Tree {
        Tree {
            bytes_max,
            integer_beyond,
            numbers: Cell::new(0),
            bytes: Cell::new(0),
            refusal: RefCell::default(),
            place: RefCell::default(),
        }
    }

    pub fn build<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<Value, D::Error> {
        Node { tree: self, depth: 0 }.deserialize(deserializer)
    }

    /// The error that the deserializer gave up with: what this module refused if it did, else what the format says, which
    /// may mean a key within the place. Line and column are left to the format.
    pub fn into_error(self, code: DocumentErrorCode, message: String, key: Option<&str>) -> DocumentError {
        let (mut place, refusal) = (self.place.into_inner(), self.refusal.into_inner());
        if let (None, Some(key)) = (&refusal, key) {
            place.insert(0, key.to_owned());
        }
        let (code, message) = refusal.unwrap_or((code, message));
        DocumentError::new(code, &place.into_iter().rev().collect::<Pointer>(), message)
    }

    fn refuse<E: Error>(&self, code: DocumentErrorCode, message: impl Into<String>) -> E {
        let message = message.into();
        let error = E::custom(&message);
        self.refusal.replace(Some((code, message)));
        error
    }

    /// Notes on the way up which member or element an error is in.
    fn within<T, E>(&self, result: Result<T, E>, token: impl FnOnce() -> String) -> Result<T, E> {
        result.inspect_err(|_| self.place.borrow_mut().push(token()))
    }

    fn count_number<E: Error>(&self) -> Result<(), E> {
        let at = self.numbers.replace(self.numbers.get() + 1);
        if self.integer_beyond == Some(at) {
            return Err(self.refuse(DocumentErrorCode::NumberOutOfRange, BEYOND_64_BITS));
        }
        self.count(1)
    }

    fn count<E: Error>(&self, bytes: usize) -> Result<(), E> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() > self.bytes_max {
            let message = format!("the document has more than the {} bytes that are allowed", self.bytes_max);
            return Err(self.refuse(DocumentErrorCode::LayerTooLarge, message));
        }
        Ok(())
    }
}

/// A value at a depth.
struct Node<'t> {
    tree: &'t Tree,
    depth: usize,
}

impl<'t> Node<'t> {
    fn below<E: Error>(&self) -> Result<Node<'t>, E> {
        if self.depth == DEPTH_MAX {
            return Err(self.tree.refuse(DocumentErrorCode::TooDeep, depth::message()));
        }
        Ok(Node { tree: self.tree, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for &Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.tree.count(4)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.tree.count(4)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.tree.count_number()?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.tree.count_number()?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.tree.count_number()?;
        match Number::from_f64(value) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(self.tree.refuse(DocumentErrorCode::NumberOutOfRange, NOT_A_DOUBLE)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.tree.count(value.len() + 2)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        self.tree.count(1)?;
        let node = self.below()?;
        let mut items = Vec::new();
        while let Some(item) =
            self.tree.within(sequence.next_element_seed(&node), || items.len().to_string())?
        {
            self.tree.count(1)?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.tree.count(1)?;
        let node = self.below()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            self.tree.count(name.len() + 4)?;
            if members.contains_key(&name) {
                let refusal = self.tree.refuse(DocumentErrorCode::DuplicateKey, DUPLICATE_KEY);
                return self.tree.within(Err(refusal), || name);
            }
            let member = self.tree.within(map.next_value_seed(&node), || name.clone())?;
            members.insert(name, member);
        }
        Ok(Value::Object(members))
    }
}
