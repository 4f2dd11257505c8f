//! The texts of violations: the expected value, the found value, and the correction. Knows no rule of JSON Schema; never shows a value that
//! might be secret.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use crate::model::nearest::nearest;
use crate::model::pointer::Pointer;
use crate::validate::lint::credential;
use crate::validate::{Found, FoundList, Severity};

/// Longer texts of a document or a schema are not shown.
const SHOWN_BYTES_MAX: usize = 48;
/// Of a list of names or values, so many are shown.
const LISTED_MAX: usize = 8;
/// Alternatives of `anyOf` and `oneOf` of which is told what they expect.
const ALTERNATIVES_MAX: usize = 4;

/// Tells of violations.
pub(super) struct Teller<'a> {
    /// A place whose value must not be shown.
    pub(super) is_secret: &'a dyn Fn(&str) -> bool,
    /// The names that are known where a violation is: of those that are allowed, or that are meant.
    pub(super) names: &'a dyn Fn(&ValidationError) -> Vec<String>,
    /// Whether the message may quote the schema that is violated.
    pub(super) may_quote: &'a dyn Fn(&ValidationError) -> bool,
    /// Takes the place of every code, where violations are those of a schema against its meta-schema.
    pub(super) code: Option<&'static str>,
}

/// What will be told of one place.
struct PlaceMessage {
    code: &'static str,
    message: String,
    suggestion: String,
}

impl Teller<'_> {
    pub(super) fn tell(&self, error: &ValidationError, found: &mut FoundList) {
        let pointer = error.instance_path().as_str();
        if !(self.may_quote)(error) {
            return found.add(Severity::Error, || self.found(pointer, withheld()));
        }
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    found.add(Severity::Error, || {
                        let place = format!("{pointer}{}", Pointer::root().child(name));
                        self.found(&place, self.unexpected(error, name, unexpected))
                    });
                }
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                match meant(context, pointer) {
                    Some(errors) => errors.iter().for_each(|error| self.tell(error, found)),
                    None => found
                        .add(Severity::Error, || self.found(pointer, self.no_alternative(error, context))),
                }
            }
            ValidationErrorKind::PropertyNames { error: inner } => {
                let name = inner.instance().as_str().unwrap_or_default().to_owned();
                let place = format!("{pointer}{}", Pointer::root().child(&name));
                let mut what = self.what(inner, &place);
                what.code = "SCHEMA_PROPERTY_NAME";
                what.message = format!("the name of this property is not allowed: {}", what.message);
                found.add(Severity::Error, || self.found(&place, what));
            }
            // The validator says so also of a property that is there and must not be.
            ValidationErrorKind::Required { property: Value::String(name) }
                if error.instance().get(name.as_str()).is_some() => {}
            _ => found.add(Severity::Error, || self.found(pointer, self.what(error, pointer))),
        }
    }

    fn found(&self, pointer: &str, told: PlaceMessage) -> Found {
        Found {
            severity: Severity::Error,
            code: self.code.unwrap_or(told.code).into(),
            pointer: pointer.to_owned(),
            message: told.message,
            suggestion: told.suggestion,
        }
    }

    /// A property that is not allowed.
    fn unexpected(&self, error: &ValidationError, name: &str, unexpected: &[String]) -> PlaceMessage {
        let allowed = (self.names)(error);
        let mut told =
            told("SCHEMA_ADDITIONAL_PROPERTY", format!("the property {} is not allowed", quoted(name)));
        if !allowed.is_empty() {
            told.message =
                format!("{}, allowed are {}", told.message, list(allowed.iter().map(|name| quoted(name))));
        }
        let is_free = |candidate: &&String| {
            !unexpected.contains(candidate) && error.instance().get(candidate.as_str()).is_none()
        };
        // What is there already may come from another layer, and still be what was meant.
        let free = nearest(name, allowed.iter().filter(is_free).map(String::as_str));
        told.suggestion = match free.or_else(|| nearest(name, allowed.iter().map(String::as_str))) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => "remove it".to_owned(),
        };
        told
    }

    fn no_alternative(&self, error: &ValidationError, context: &[Vec<ValidationError>]) -> PlaceMessage {
        let pointer = error.instance_path().as_str();
        let code = match error.kind() {
            ValidationErrorKind::AnyOf { .. } => "SCHEMA_ANY_OF",
            _ => "SCHEMA_ONE_OF",
        };
        let mut suggestion = String::new();
        let expected: Vec<String> = context
            .iter()
            .take(ALTERNATIVES_MAX)
            .filter_map(|errors| {
                let first = errors.first()?;
                let place = first.instance_path().as_str();
                let below = place.strip_prefix(pointer).unwrap_or(place);
                let what = self.what(first, place);
                if below.is_empty() && suggestion.is_empty() {
                    suggestion.clone_from(&what.suggestion);
                }
                Some(if below.is_empty() { what.message } else { format!("at {below} {}", what.message) })
            })
            .collect();
        let more = if context.len() > ALTERNATIVES_MAX { "; and so on" } else { "" };
        let message =
            format!("none of {} alternatives matches: {}{more}", context.len(), expected.join("; "));
        PlaceMessage { code, message, suggestion }
    }

    /// One violation in words.
    fn what(&self, error: &ValidationError, pointer: &str) -> PlaceMessage {
        if !(self.may_quote)(error) {
            return withheld();
        }
        let value = error.instance();
        let found = || self.shown(value, pointer);
        match error.kind() {
            ValidationErrorKind::Type { kind } => {
                let expected = match kind {
                    TypeKind::Single(name) => type_name(*name).to_owned(),
                    TypeKind::Multiple(names) => {
                        alternatives(names.iter().map(|name| type_name(name).to_owned()))
                    }
                };
                let suggestion = self.retyped(kind, value, pointer);
                PlaceMessage {
                    code: "SCHEMA_TYPE",
                    message: format!("{expected} expected, {} found", found()),
                    suggestion,
                }
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
                let texts = options.iter().filter_map(|option| option.as_str());
                let near =
                    value.as_str().filter(|text| text.len() <= 64).and_then(|text| nearest(text, texts));
                let suggestion =
                    near.map(|near| format!("did you mean {}?", quoted(near))).unwrap_or_default();
                let expected = list(options.iter().map(|option| schema_value(option)));
                PlaceMessage {
                    code: "SCHEMA_ENUM",
                    message: format!("one of {expected} expected, {} found", found()),
                    suggestion,
                }
            }
            ValidationErrorKind::Constant { expected_value } => {
                told("SCHEMA_CONST", format!("{} expected, {} found", schema_value(expected_value), found()))
            }
            ValidationErrorKind::Required { property } => {
                self.required(error, property.as_str().unwrap_or_default())
            }
            ValidationErrorKind::Minimum { limit } => range(format!("at least {limit}"), found()),
            ValidationErrorKind::Maximum { limit } => range(format!("at most {limit}"), found()),
            ValidationErrorKind::ExclusiveMinimum { limit } => range(format!("more than {limit}"), found()),
            ValidationErrorKind::ExclusiveMaximum { limit } => range(format!("less than {limit}"), found()),
            ValidationErrorKind::MultipleOf { multiple_of } => {
                told("SCHEMA_MULTIPLE_OF", format!("a multiple of {multiple_of} expected, {} found", found()))
            }
            ValidationErrorKind::MinLength { limit } => {
                self.length(value, &format!("at least {limit}"), pointer)
            }
            ValidationErrorKind::MaxLength { limit } => {
                self.length(value, &format!("at most {limit}"), pointer)
            }
            ValidationErrorKind::Pattern { pattern } => told(
                "SCHEMA_PATTERN",
                format!("a string that matches {} expected, {} found", short(pattern), found()),
            ),
            ValidationErrorKind::Format { format } => told(
                "SCHEMA_FORMAT",
                format!("a string of the format {} expected, {} found", short(format), found()),
            ),
            ValidationErrorKind::ContentEncoding { content_encoding: kind }
            | ValidationErrorKind::ContentMediaType { content_media_type: kind } => told(
                "SCHEMA_CONTENT",
                format!("a string with content of {} expected, other content found", short(kind)),
            ),
            ValidationErrorKind::FromUtf8 { .. } => {
                told("SCHEMA_CONTENT", "a string with UTF-8 inside expected".into())
            }
            ValidationErrorKind::MinItems { limit } => items(value, &format!("at least {limit}")),
            ValidationErrorKind::MaxItems { limit } => items(value, &format!("at most {limit}")),
            ValidationErrorKind::AdditionalItems { limit } => {
                let mut told = items(value, &format!("at most {limit}"));
                told.code = "SCHEMA_ADDITIONAL_ITEM";
                told
            }
            ValidationErrorKind::UnevaluatedItems { .. } => {
                told("SCHEMA_ADDITIONAL_ITEM", "has elements that no part of the schema allows".into())
            }
            ValidationErrorKind::MinProperties { limit } => properties(value, &format!("at least {limit}")),
            ValidationErrorKind::MaxProperties { limit } => properties(value, &format!("at most {limit}")),
            ValidationErrorKind::UniqueItems => self.repeated(value),
            ValidationErrorKind::Contains => {
                told("SCHEMA_CONTAINS", "another number of elements that match contains expected".into())
            }
            ValidationErrorKind::OneOfMultipleValid { context } => {
                let matching: Vec<String> = context
                    .iter()
                    .enumerate()
                    .filter(|(_, errors)| errors.is_empty())
                    .map(|(at, _)| (at + 1).to_string())
                    .collect();
                let which = if matching.is_empty() { "several".into() } else { list(matching.into_iter()) };
                let message =
                    format!("exactly one of {} alternatives expected, matches {which}", context.len());
                told("SCHEMA_ONE_OF", message)
            }
            ValidationErrorKind::Not { .. } => {
                told("SCHEMA_NOT", format!("{} matches a schema that it must not match", found()))
            }
            ValidationErrorKind::FalseSchema => {
                told("SCHEMA_FALSE", "no value is allowed here".into()).advised("remove it")
            }
            // These two are told with the places of what they name; in an alternative, in one sentence.
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let names = list(unexpected.iter().map(|name| quoted(name)));
                told("SCHEMA_ADDITIONAL_PROPERTY", format!("{names} not allowed"))
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                told("SCHEMA_ANY_OF", format!("none of {} alternatives matches", context.len()))
            }
            ValidationErrorKind::PropertyNames { .. } => {
                told("SCHEMA_PROPERTY_NAME", "a name of a property is not allowed".into())
            }
            ValidationErrorKind::BacktrackLimitExceeded { .. }
            | ValidationErrorKind::RegexEngineFailure { .. }
            | ValidationErrorKind::Custom { .. }
            | ValidationErrorKind::Referencing(_) => told("SCHEMA_VIOLATION", error.masked().to_string()),
        }
    }

    fn required(&self, error: &ValidationError, name: &str) -> PlaceMessage {
        let known = (self.names)(error);
        let written = error.instance().as_object().into_iter().flat_map(|members| members.keys());
        let unknown = written.filter(|written| !known.contains(written)).map(String::as_str);
        let suggestion = match nearest(name, unknown) {
            Some(near) => format!("rename {} to {}", quoted(near), quoted(name)),
            None => format!("add {}", quoted(name)),
        };
        PlaceMessage {
            code: "SCHEMA_REQUIRED",
            message: format!("the property {} is missing", quoted(name)),
            suggestion,
        }
    }

    /// A value in the wrong type of JSON: the most frequent slip is a quoted number or boolean.
    fn retyped(&self, expected: &TypeKind, value: &Value, pointer: &str) -> String {
        let wants = |name: JsonType| match expected {
            TypeKind::Single(kind) => *kind == name,
            TypeKind::Multiple(kinds) => kinds.iter().any(|kind| kind == name),
        };
        let is_secret = (self.is_secret)(pointer);
        match value {
            Value::String(text) if !is_secret && text.len() <= SHOWN_BYTES_MAX => {
                let is_integer = text.parse::<i64>().is_ok();
                let fits = (is_integer && (wants(JsonType::Integer) || wants(JsonType::Number)))
                    || (text.parse::<f64>().is_ok_and(f64::is_finite) && wants(JsonType::Number))
                    || (matches!(text.as_str(), "true" | "false") && wants(JsonType::Boolean));
                if fits { format!("write {text} without quotes") } else { String::new() }
            }
            Value::Number(_) | Value::Bool(_) if !is_secret && wants(JsonType::String) => {
                format!("write \"{value}\" in quotes")
            }
            _ => String::new(),
        }
    }

    fn length(&self, value: &Value, expected: &str, pointer: &str) -> PlaceMessage {
        let found = if (self.is_secret)(pointer) {
            "another length".to_owned()
        } else {
            value.as_str().map(|text| text.chars().count()).unwrap_or_default().to_string()
        };
        told("SCHEMA_LENGTH", format!("a string of {expected} characters expected, {found} found"))
    }

    fn repeated(&self, value: &Value) -> PlaceMessage {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let twice = (items.len() <= 1000)
            .then(|| {
                (1..items.len())
                    .find_map(|at| Some((items[..at].iter().position(|other| *other == items[at])?, at)))
            })
            .flatten();
        let which =
            twice.map(|(first, second)| format!(", {first} and {second} are equal")).unwrap_or_default();
        told("SCHEMA_UNIQUE_ITEMS", format!("elements that all differ expected{which}"))
    }

    /// A value of the document, as far as it may be seen.
    fn shown(&self, value: &Value, pointer: &str) -> String {
        let is_secret = (self.is_secret)(pointer);
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) if is_secret => "a boolean".to_owned(),
            Value::Number(_) if is_secret => "a number".to_owned(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::String(text) if !is_secret && is_plain(text) => quoted(text),
            Value::String(_) => "a string".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        }
    }
}

impl PlaceMessage {
    fn advised(self, suggestion: &str) -> PlaceMessage {
        PlaceMessage { suggestion: suggestion.to_owned(), ..self }
    }
}

/// The violations of the alternative that was meant, if it is clear which: the only one for this type of value, or else the one whose
/// constants it has.
fn meant<'e>(
    context: &'e [Vec<ValidationError<'static>>],
    pointer: &str,
) -> Option<&'e [ValidationError<'static>]> {
    // A type that does not fit counts most, then a constant that does not.
    let strangeness = |errors: &[ValidationError]| {
        let of = |error: &ValidationError| {
            let place = error.instance_path().as_str();
            let levels = place.strip_prefix(pointer).unwrap_or(place).matches('/').count();
            match (error.kind(), levels) {
                (ValidationErrorKind::Type { .. } | ValidationErrorKind::FalseSchema, 0) => 1000,
                (ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. }, 0) => 1000,
                (ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. }, 1) => 1,
                _ => 0,
            }
        };
        errors.iter().map(of).sum::<usize>()
    };
    let ranked: Vec<usize> = context.iter().map(|errors| strangeness(errors)).collect();
    let least = *ranked.iter().min()?;
    let mut nearest = ranked.iter().enumerate().filter(|(_, rank)| **rank == least);
    let (at, _) = nearest.next()?;
    (least < 1000 && nearest.next().is_none())
        .then(|| context[at].as_slice())
        .filter(|errors| !errors.is_empty())
}

fn told(code: &'static str, message: String) -> PlaceMessage {
    PlaceMessage { code, message, suggestion: String::new() }
}

/// A violation of a schema that may not be quoted.
fn withheld() -> PlaceMessage {
    let message =
        "violates the schema of another config, to which the schema of this config refers".to_owned();
    let suggestion = "to see what is expected, ask for `read` on that config".to_owned();
    PlaceMessage { code: "SCHEMA_VIOLATION", message, suggestion }
}

fn range(expected: String, found: String) -> PlaceMessage {
    told("SCHEMA_RANGE", format!("{expected} expected, {found} found"))
}

fn items(value: &Value, expected: &str) -> PlaceMessage {
    let found = value.as_array().map(Vec::len).unwrap_or_default();
    told("SCHEMA_ITEM_COUNT", format!("{expected} elements expected, {found} found"))
}

fn properties(value: &Value, expected: &str) -> PlaceMessage {
    let found = value.as_object().map(serde_json::Map::len).unwrap_or_default();
    told("SCHEMA_PROPERTY_COUNT", format!("{expected} properties expected, {found} found"))
}

fn type_name(name: JsonType) -> &'static str {
    name.as_str()
}

/// Short, like a word or an identifier, and unlike a credential.
fn is_plain(text: &str) -> bool {
    text.len() <= SHOWN_BYTES_MAX
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ',' | '+' | ' '))
        && !credential::is_credential(text)
}

/// A name or a text in quotes, shortened.
fn quoted(text: &str) -> String {
    format!("{:?}", short(text))
}

fn short(text: &str) -> String {
    let end = text.char_indices().nth(SHOWN_BYTES_MAX).map(|(end, _)| end);
    end.map_or_else(|| text.to_owned(), |end| format!("{}...", &text[..end]))
}

/// A value of the schema.
fn schema_value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => short(&other.to_string()),
    }
}

fn list(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.take(LISTED_MAX + 1).collect();
    if parts.len() > LISTED_MAX {
        parts[LISTED_MAX] = "and others".to_owned();
    }
    parts.join(", ")
}

fn alternatives(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" or ")
}
