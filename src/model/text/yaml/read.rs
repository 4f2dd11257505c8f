//! YAML in: the events of the parser become a value. Keys are strings, tags are those of the core schema, aliases and merge keys
//! are resolved. Knows nothing of how scalars are read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::super::{DUPLICATE_KEY, DocumentError, DocumentErrorCode};
use super::scalar::{ScalarTag, resolve, resolve_as, tag_of};
use crate::model::canonical::to_canonical;
use crate::model::limits::DEPTH_MAX;
use crate::model::{Pointer, depth};

/// Reads the one document of a text. `None`: the text has no value, only comments or nothing.
pub fn parse(text: &str, bytes_max: usize) -> Result<Option<Value>, DocumentError> {
    let options = granit_parser::options! {
        emit_comments: false,
        // A key may be as long as any other string.
        simple_key_max_lookahead: text.len().max(1024),
    };
    let mut reader = YamlReader {
        parser: Parser::new_from_str_with_options(text, options),
        bytes_max,
        bytes: 0,
        merged: 0,
        anchors: HashMap::new(),
        place: Vec::new(),
    };
    reader.document().map_err(|problem| DocumentError {
        code: problem.code,
        pointer: reader.place.into_iter().collect::<Pointer>().to_string(),
        line: Some(problem.line),
        column: Some(problem.column),
        message: problem.message,
    })
}

struct YamlReader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    bytes_max: usize,
    /// At least as many bytes as the canonical text of what was read will have, but for escapes.
    bytes: usize,
    /// Bytes of what merge keys looked at: bounds the work of merging what is there already.
    merged: usize,
    /// What is anchored, by the parser's numbers. What is still being read is not there.
    anchors: HashMap<usize, Rc<Anchored>>,
    /// The tokens to the value that is being read; on an error, those that lead to it.
    place: Vec<String>,
}

/// A value that aliases can repeat.
struct Anchored {
    value: Value,
    /// As a key.
    key: Option<String>,
    /// Bytes of canonical text.
    bytes: usize,
}

/// What is wrong, and where, both counted from 1.
struct Problem {
    code: DocumentErrorCode,
    message: String,
    line: usize,
    column: usize,
}

/// How often merge keys may look at as much as a document may have.
const MERGES_MAX: usize = 8;

impl<'t> YamlReader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(malformed(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Option<Value>, Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(..), _) => break,
                _ => {}
            }
        }
        let (event, span) = self.next()?;
        // Of a document without a value the parser tells a null that takes no room.
        let is_nothing =
            matches!(&event, Event::Scalar(_, ScalarStyle::Plain, 0, None)) && span.start == span.end;
        let value = self.node(event, span, 0)?;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok((!is_nothing).then_some(value)),
                (Event::DocumentStart(..), span) => {
                    let message = "the text has more than one YAML document";
                    return Err(problem(DocumentErrorCode::MalformedDocument, message, span));
                }
                _ => {}
            }
        }
    }

    /// The value that starts with an event, within `depth` collections.
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Value, Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref())
                    .map_err(|(code, message)| problem(code, message, span))?;
                let bytes = match &value {
                    Value::String(string) => string.len() + 2,
                    _ => 4,
                };
                self.count(bytes, span)?;
                if anchor != 0 {
                    let key = (!value.is_null()).then(|| text.into_owned());
                    self.anchors.insert(anchor, Rc::new(Anchored { value: value.clone(), key, bytes }));
                }
                Ok(value)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", span)?;
                check_depth(depth, span)?;
                let items = self.sequence(span, depth + 1)?;
                Ok(self.anchored(anchor, Value::Array(items)))
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map", span)?;
                check_depth(depth, span)?;
                let members = self.mapping(span, depth + 1)?;
                Ok(self.anchored(anchor, Value::Object(members)))
            }
            Event::Alias(id) => {
                let anchored = self.anchor(id, span)?;
                if depth + depth::depth(&anchored.value) > DEPTH_MAX {
                    return Err(problem(DocumentErrorCode::TooDeep, depth::message(), span));
                }
                self.count(anchored.bytes, span)?;
                Ok(anchored.value.clone())
            }
            _ => Err(problem(DocumentErrorCode::MalformedDocument, "not YAML: a value is expected", span)),
        }
    }

    fn anchored(&mut self, anchor: usize, value: Value) -> Value {
        if anchor != 0 {
            let bytes = to_canonical(&value).len();
            self.anchors.insert(anchor, Rc::new(Anchored { value: value.clone(), key: None, bytes }));
        }
        value
    }

    fn anchor(&self, id: usize, span: Span) -> Result<Rc<Anchored>, Problem> {
        self.anchors.get(&id).cloned().ok_or_else(|| {
            problem(DocumentErrorCode::MalformedDocument, "the alias is within what it stands for", span)
        })
    }

    fn sequence(&mut self, span: Span, depth: usize) -> Result<Vec<Value>, Problem> {
        self.count(2, span)?;
        let mut items = Vec::new();
        loop {
            self.place.push(items.len().to_string());
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                self.place.pop();
                return Ok(items);
            }
            items.push(self.node(event, span, depth)?);
            self.count(1, span)?;
            self.place.pop();
        }
    }

    fn mapping(&mut self, span: Span, depth: usize) -> Result<Map<String, Value>, Problem> {
        self.count(2, span)?;
        let mut members = Map::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            if is_merge_key(&event) {
                self.place.push("<<".to_owned());
                let (event, span) = self.next()?;
                self.merge_sources(event, span, depth, &mut merges)?;
                self.place.pop();
                continue;
            }
            let key = self.key(event, span)?;
            self.count(key.len() + 4, span)?;
            self.place.push(key.clone());
            if members.contains_key(&key) {
                return Err(problem(DocumentErrorCode::DuplicateKey, DUPLICATE_KEY, span));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth)?;
            self.place.pop();
            members.insert(key, value);
        }
        // What the mapping says itself wins, then what was merged first.
        for (source, span) in merges {
            self.merge(&source, span, depth, &mut members)?;
        }
        Ok(members)
    }

    fn key(&mut self, event: Event<'t>, span: Span) -> Result<String, Problem> {
        let refuse = |message: &str| Err(problem(DocumentErrorCode::MalformedDocument, message, span));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref());
                if let Err((DocumentErrorCode::MalformedDocument, message)) = &value {
                    return refuse(message);
                }
                if value.as_ref().is_ok_and(Value::is_null) {
                    return refuse("null is used as a key");
                }
                if anchor != 0 {
                    // A number that cannot be a value can be a key.
                    let value = value.unwrap_or_else(|_| Value::from(text.as_ref()));
                    let (key, bytes) = (Some(text.to_string()), text.len() + 2);
                    self.anchors.insert(anchor, Rc::new(Anchored { value, key, bytes }));
                }
                Ok(text.into_owned())
            }
            Event::Alias(id) => match &self.anchor(id, span)?.key {
                Some(key) => Ok(key.clone()),
                None => refuse("the alias is used as a key, but stands for null or a collection"),
            },
            _ => refuse("a sequence or mapping is used as a key"),
        }
    }

    /// What a merge key names: a mapping, or a sequence of mappings.
    fn merge_sources(
        &mut self,
        event: Event<'t>,
        span: Span,
        depth: usize,
        sources: &mut Vec<(Rc<Anchored>, Span)>,
    ) -> Result<(), Problem> {
        if matches!(event, Event::SequenceStart(..)) {
            loop {
                let (event, span) = self.next()?;
                if event == Event::SequenceEnd {
                    return Ok(());
                }
                sources.push((self.merge_source(event, span, depth)?, span));
            }
        }
        sources.push((self.merge_source(event, span, depth)?, span));
        Ok(())
    }

    fn merge_source(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Rc<Anchored>, Problem> {
        let source = match event {
            Event::Alias(id) => self.anchor(id, span)?,
            event => {
                let value = self.node(event, span, depth)?;
                Rc::new(Anchored { bytes: to_canonical(&value).len(), key: None, value })
            }
        };
        if !source.value.is_object() {
            let message = "\"<<\" merges a mapping or a sequence of mappings, something else was found";
            return Err(problem(DocumentErrorCode::MalformedDocument, message, span));
        }
        Ok(source)
    }

    fn merge(
        &mut self,
        source: &Anchored,
        span: Span,
        depth: usize,
        members: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        self.merged += source.bytes;
        if self.merged > self.bytes_max.saturating_mul(MERGES_MAX) {
            return Err(self.too_large(span));
        }
        // The source has a level of its own, that of the mapping.
        if depth - 1 + depth::depth(&source.value) > DEPTH_MAX {
            return Err(problem(DocumentErrorCode::TooDeep, depth::message(), span));
        }
        for (name, value) in source.value.as_object().into_iter().flatten() {
            if !members.contains_key(name) {
                self.count(name.len() + 4 + to_canonical(value).len(), span)?;
                members.insert(name.clone(), value.clone());
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize, span: Span) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max { Err(self.too_large(span)) } else { Ok(()) }
    }

    fn too_large(&self, span: Span) -> Problem {
        let message = format!(
            "the document stands for more than the {} bytes that are allowed: look at its aliases and merge keys",
            self.bytes_max
        );
        problem(DocumentErrorCode::LayerTooLarge, message, span)
    }
}

/// Only as a plain scalar: `"<<"` is a key like any other.
fn is_merge_key(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<")
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<Value, (DocumentErrorCode, Cow<'static, str>)> {
    let refused = |code, message: &'static str| (code, Cow::Borrowed(message));
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => {
                resolve(text).map_err(|message| refused(DocumentErrorCode::NumberOutOfRange, message))
            }
            _ => Ok(Value::from(text)),
        };
    };
    let scalar_tag = match tag.core_suffix() {
        Some("null") => ScalarTag::Null,
        Some("bool") => ScalarTag::Bool,
        Some("int") => ScalarTag::Int,
        Some("float") => ScalarTag::Float,
        Some("str") => ScalarTag::Text,
        None if tag.original() == "!" => ScalarTag::Text,
        Some(_) | None => return Err((DocumentErrorCode::MalformedDocument, unknown_tag(tag).into())),
    };
    let is_number = matches!(tag_of(text), ScalarTag::Int | ScalarTag::Float);
    let code = match scalar_tag {
        ScalarTag::Int if tag_of(text) == ScalarTag::Int => DocumentErrorCode::NumberOutOfRange,
        ScalarTag::Float if is_number => DocumentErrorCode::NumberOutOfRange,
        _ => DocumentErrorCode::MalformedDocument,
    };
    resolve_as(scalar_tag, text).map_err(|message| refused(code, message))
}

fn check_tag(tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), Problem> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) && tag.original() != "!" => {
            Err(problem(DocumentErrorCode::MalformedDocument, unknown_tag(tag), span))
        }
        Some(_) | None => Ok(()),
    }
}

fn unknown_tag(tag: &Tag) -> String {
    let tag = tag.original();
    // It may be as long as the text.
    let shown: String = tag.chars().take(40).collect();
    format!("the tag {shown} is not one of the core schema of YAML that fits the value")
}

fn check_depth(depth: usize, span: Span) -> Result<(), Problem> {
    match depth == DEPTH_MAX {
        true => Err(problem(DocumentErrorCode::TooDeep, depth::message(), span)),
        false => Ok(()),
    }
}

fn problem(code: DocumentErrorCode, message: impl Into<String>, span: Span) -> Problem {
    Problem { code, message: message.into(), line: span.start.line(), column: span.start.col() + 1 }
}

fn malformed(error: &ScanError) -> Problem {
    let place = error.marker();
    let (code, message) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => (DocumentErrorCode::TooDeep, depth::message()),
        kind => (DocumentErrorCode::MalformedDocument, format!("not YAML: {kind}")),
    };
    Problem { code, message, line: place.line(), column: place.col() + 1 }
}
