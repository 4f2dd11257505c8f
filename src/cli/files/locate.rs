//! Locates the values of a document in its text. Knows the formats; not what is wrong with a value.
//!
//! An underline in the wrong place is worse than none. So nothing is taken on trust: what stands at a place must read as the key or
//! the value that was asked for, or the place is not told.

mod json;
#[cfg(test)]
mod tests;
mod toml;
mod yaml;

use std::ops::Range;

use serde_json::Value;

use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::pointer::{Pointer, index};
use crate::model::text::{Format, parse};

/// So many brackets of a line are tried as the end of a value.
const CLOSINGS_MAX: usize = 100;

/// Bytes of a text.
type Span = Range<usize>;

/// A text, and where in it each value stands.
pub struct Places<'t> {
    text: &'t str,
    format: Format,
    document: Value,
    root: Node,
}

/// Where a value stands, as far as that is sure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueSpans {
    /// The name of the member. Elements of lists have none.
    pub key: Option<Span>,
    /// The value, if it stands on one line.
    pub value: Option<Span>,
}

/// A value as a reader of its format found it: where it may stand, in the order of likeliness, and what is in it.
#[derive(Debug)]
struct Node {
    spans: Vec<Span>,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Scalar,
    Items(Vec<Node>),
    /// In the order of the text.
    Members(Vec<Member>),
}

#[derive(Debug)]
struct Member {
    name: String,
    /// Where the name may stand.
    spans: Vec<Span>,
    node: Node,
}

impl<'t> Places<'t> {
    /// `None` if the text is none of the format.
    pub fn of(text: &'t str, format: Format) -> Option<Places<'t>> {
        let document = parse(text, format, TEXT_BYTES_MAX).ok()?;
        let root = match format {
            Format::Json => json::read(text),
            Format::Yaml => yaml::read(text),
            Format::Toml => toml::read(text),
        }?;
        Some(Places { text, format, document, root })
    }

    /// Whether the document has a value here.
    pub fn has(&self, pointer: &Pointer) -> bool {
        pointer.find(&self.document).is_some()
    }

    /// Whether the document says nothing here, nor anything that keeps others from saying it: on the way there are objects only, as
    /// far as there is anything.
    pub fn leaves_open(&self, pointer: &Pointer) -> bool {
        let mut value = &self.document;
        for token in pointer.tokens() {
            match value {
                Value::Object(members) => match members.get(token) {
                    Some(member) => value = member,
                    None => return true,
                },
                Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    return false;
                }
            }
        }
        false
    }

    /// Where a value stands. `None` if there is none, or the place is not sure.
    pub fn find(&self, pointer: &Pointer) -> Option<ValueSpans> {
        let value = pointer.find(&self.document)?;
        let (mut node, mut member) = (&self.root, None);
        for token in pointer.tokens() {
            (node, member) = match &node.inner {
                Inner::Scalar => return None,
                Inner::Items(items) => (items.get(index(token)?)?, None),
                Inner::Members(members) => {
                    // A later one of the same name would be refused, but those of merge keys come after others.
                    let found = members.iter().find(|member| member.name == token)?;
                    (&found.node, Some(found))
                }
            };
        }
        let key = member.and_then(|member| self.key(member));
        let value = node.spans.iter().find_map(|span| self.whole(span, value));
        let place = ValueSpans { key, value };
        if place != ValueSpans::default() {
            return Some(place);
        }
        // An element that takes several lines: it begins with its first member.
        match &node.inner {
            Inner::Members(members) => {
                let key = members.first().and_then(|first| self.key(first))?;
                Some(ValueSpans { key: Some(key), value: None })
            }
            Inner::Scalar | Inner::Items(_) => None,
        }
    }

    /// The names of members, wherever their places are sure.
    pub fn names(&self) -> Vec<Span> {
        let mut found = Vec::new();
        self.gather_names(&self.root, &mut found);
        found
    }

    fn gather_names(&self, node: &Node, found: &mut Vec<Span>) {
        match &node.inner {
            Inner::Scalar => {}
            Inner::Items(items) => items.iter().for_each(|item| self.gather_names(item, found)),
            Inner::Members(members) => {
                for member in members {
                    found.extend(self.key(member));
                    self.gather_names(&member.node, found);
                }
            }
        }
    }

    fn key(&self, member: &Member) -> Option<Span> {
        let is_name = |span: &&Span| {
            let Some(text) = self.line_of(span) else { return false };
            text == member.name || self.read(text, true).is_some_and(|read| read == member.name.as_str())
        };
        member.spans.iter().find(is_name).cloned()
    }

    /// The span of a value, which is known to begin there: of what stands in brackets some parsers tell no end.
    fn whole(&self, span: &Span, value: &Value) -> Option<Span> {
        if self.reads_as(span, value) {
            return Some(span.clone());
        }
        let line = self.text.get(span.start..)?.lines().next()?;
        let closing = match line.as_bytes().first()? {
            b'[' => ']',
            b'{' => '}',
            _ => return None,
        };
        let ends = line.match_indices(closing).take(CLOSINGS_MAX);
        let mut spans = ends.map(|(at, _)| span.start..span.start + at + 1);
        spans.find(|span| self.reads_as(span, value))
    }

    fn reads_as(&self, span: &Span, value: &Value) -> bool {
        self.line_of(span).and_then(|text| self.read(text, false)).is_some_and(|read| read == *value)
    }

    /// The text there, if there is any, and it is within one line.
    fn line_of(&self, span: &Span) -> Option<&'t str> {
        let text = self.text.get(span.clone())?;
        (!text.is_empty() && text.trim() == text && !text.contains('\n')).then_some(text)
    }

    /// A piece of the text, by itself.
    fn read(&self, text: &str, is_key: bool) -> Option<Value> {
        match self.format {
            Format::Json | Format::Yaml => parse(text, self.format, TEXT_BYTES_MAX).ok(),
            Format::Toml if is_key => {
                let table = parse(&format!("{text} = 1"), Format::Toml, TEXT_BYTES_MAX).ok()?;
                let name = table.as_object()?.keys().next()?.clone();
                (table[&name] == 1).then(|| Value::from(name))
            }
            Format::Toml => {
                let mut table = parse(&format!("x = {text}"), Format::Toml, TEXT_BYTES_MAX).ok()?;
                (table.as_object()?.len() == 1).then(|| table["x"].take())
            }
        }
    }
}
