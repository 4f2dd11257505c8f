//! Locates values in YAML by the spans of its parser. Knows no value.
//!
//! What comes by an alias or a merge key has two places: where it is used, and where it is defined.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{Inner, Member, Node};

pub fn read(text: &str) -> Option<Node> {
    // The text was read before, within the limits that there are for its aliases.
    let root: Spanned<Inner> = serde_saphyr::from_str(text).ok()?;
    Some(node(root))
}

fn node(found: Spanned<Inner>) -> Node {
    Node { spans: spans(&found.referenced, &found.defined), inner: found.value }
}

fn spans(referenced: &Location, defined: &Location) -> Vec<Range<usize>> {
    [referenced, defined].into_iter().filter_map(span).collect()
}

fn span(location: &Location) -> Option<Range<usize>> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let bytes = usize::try_from(location.span().byte_len()?).ok()?;
    Some(start..start.checked_add(bytes)?)
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Inner, D::Error> {
        deserializer.deserialize_any(InnerVisitor)
    }
}

struct InnerVisitor;

impl<'de> Visitor<'de> for InnerVisitor {
    type Value = Inner;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Inner, E> {
        Ok(Inner::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Inner, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element::<Spanned<Inner>>()? {
            items.push(node(item));
        }
        Ok(Inner::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inner, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Spanned<Inner>>()?;
            let spans = spans(&name.referenced, &name.defined);
            members.push(Member { name: name.value, spans, node: node(value) });
        }
        Ok(Inner::Members(members))
    }
}
