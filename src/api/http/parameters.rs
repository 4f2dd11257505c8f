//! Sets fields of a message from text: values of a path and parameters of a query. Knows descriptors; no JSON and no route.

use percent_encoding::percent_decode_str;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};
use serde::de::DeserializeSeed;
use serde::de::IntoDeserializer;

use super::errors::invalid;
use super::strict::{field, unknown_field};
use crate::api::error::ApiError;

/// The most parameters that a query may have.
const PARAMETERS_MAX: usize = 1000;

/// Where the text of a value comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Path,
    Query,
}

/// Sets all fields that a query names. `path`: the fields that the path has, which the query cannot set.
pub fn set_query(message: &mut DynamicMessage, query: &str, path: &[&str]) -> Result<(), ApiError> {
    for parameter in parameters(query) {
        let (name, value) = parameter?;
        if path.contains(&name.as_str()) {
            return Err(invalid(&name, "is given by the path, and cannot be in the query"));
        }
        set(message, &name, &value, Source::Query)?;
    }
    Ok(())
}

/// The parameters of a query, decoded.
pub fn parameters(query: &str) -> impl Iterator<Item = Result<(String, String), ApiError>> {
    query.split('&').filter(|pair| !pair.is_empty()).enumerate().map(|(count, pair)| {
        if count == PARAMETERS_MAX {
            return Err(invalid("query", &format!("must have {PARAMETERS_MAX} parameters at most")));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded("query", &name.replace('+', " "))?;
        let value = decoded(&name, &value.replace('+', " "))?;
        Ok((name, value))
    })
}

/// The text that is percent-encoded. `name`: what is wrong if it is not.
pub fn decoded(name: &str, text: &str) -> Result<String, ApiError> {
    let bytes = text.as_bytes();
    let is_whole =
        |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    let is_encoded = (0..bytes.len()).filter(|at| bytes[*at] == b'%').all(is_whole);
    let text = percent_decode_str(text).decode_utf8();
    match text.ok().filter(|_| is_encoded) {
        Some(text) => Ok(text.into_owned()),
        None => Err(invalid(name, "must be percent-encoded UTF-8")),
    }
}

/// Sets the field at a path such as `change.namespace`.
pub fn set(message: &mut DynamicMessage, path: &str, text: &str, source: Source) -> Result<(), ApiError> {
    set_within(message, path, path, text, source)
}

fn set_within(
    message: &mut DynamicMessage,
    path: &str,
    whole: &str,
    text: &str,
    source: Source,
) -> Result<(), ApiError> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let descriptor = message.descriptor();
    let field = field(&descriptor, name).ok_or_else(|| invalid(whole, &unknown_field(&descriptor, name)))?;
    refuse_second_of_oneof(message, &field, whole)?;
    if let Some(rest) = rest {
        let is_message = matches!(field.kind(), Kind::Message(_)) && !field.is_list() && !field.is_map();
        let within = message.get_field_mut(&field);
        return match within.as_message_mut().filter(|_| is_message) {
            Some(within) => set_within(within, rest, whole, text, source),
            None => Err(invalid(whole, &format!("`{name}` has no fields of its own"))),
        };
    }
    if field.is_map() {
        return Err(invalid(whole, "is a map, which can be given in the content of a request only"));
    }
    let value = value(&field.kind(), whole, text)?;
    if field.is_list() {
        match message.get_field_mut(&field) {
            Value::List(items) => items.push(value),
            other => *other = Value::List(vec![value]),
        }
        return Ok(());
    }
    if message.has_field(&field) {
        let same = *message.get_field(&field) == value;
        match source {
            // The content of the request may repeat what the path says.
            Source::Path if same => {}
            Source::Path => return Err(invalid(whole, "differs between the path and the content")),
            Source::Query => return Err(invalid(whole, "is given twice")),
        }
    }
    message.set_field(&field, value);
    Ok(())
}

/// Only one field of a oneof can be set: the last one would take the place of the others.
fn refuse_second_of_oneof(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    whole: &str,
) -> Result<(), ApiError> {
    let others = field.containing_oneof().into_iter().flat_map(|oneof| oneof.fields().collect::<Vec<_>>());
    match others.into_iter().find(|other| other != field && message.has_field(other)) {
        Some(other) => Err(invalid(whole, &format!("cannot be given beside `{}`", other.name()))),
        None => Ok(()),
    }
}

fn value(kind: &Kind, name: &str, text: &str) -> Result<Value, ApiError> {
    let wrong = |what: &str| invalid(name, &format!("{text:?} is no {what}"));
    Ok(match kind {
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(wrong("`true` or `false`")),
        },
        Kind::String => Value::String(text.to_owned()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(text.parse().map_err(|_| wrong("integer of 32 bits"))?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(text.parse().map_err(|_| wrong("integer of 64 bits"))?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Value::U32(text.parse().map_err(|_| wrong("integer of 32 bits from 0"))?)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            Value::U64(text.parse().map_err(|_| wrong("integer of 64 bits from 0"))?)
        }
        Kind::Double => Value::F64(text.parse().map_err(|_| wrong("number"))?),
        Kind::Float => Value::F32(text.parse().map_err(|_| wrong("number"))?),
        Kind::Enum(descriptor) => match enum_value(descriptor, text) {
            Some(number) => Value::EnumNumber(number),
            None => {
                let names: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
                return Err(invalid(name, &format!("{text:?} is none of {}", names.join(", "))));
            }
        },
        Kind::Message(descriptor) => Value::Message(message(descriptor, name, text)?),
        Kind::Bytes => return Err(invalid(name, "can be given in the content of a request only")),
    })
}

/// The number of a value of an enum, by its name: `VIEW_BASE`, or `base` for short.
fn enum_value(descriptor: &EnumDescriptor, text: &str) -> Option<i32> {
    if let Some(value) = descriptor.get_value_by_name(text) {
        return Some(value.number());
    }
    let is_short = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    // What all names begin with is the name of the first value without its last word: `VIEW_UNSPECIFIED`.
    let first = descriptor.values().next().filter(|_| is_short)?;
    let prefix = first.name().strip_suffix("UNSPECIFIED")?.to_owned();
    Some(descriptor.get_value_by_name(&format!("{prefix}{}", text.to_ascii_uppercase()))?.number())
}

/// A message that JSON writes as a string: a time or a duration.
fn message(descriptor: &MessageDescriptor, name: &str, text: &str) -> Result<DynamicMessage, ApiError> {
    if !descriptor.full_name().starts_with("google.protobuf.") {
        return Err(invalid(name, "is a message: name a field of it, after a dot"));
    }
    let text: serde::de::value::StrDeserializer<'_, serde_json::Error> = text.into_deserializer();
    descriptor.clone().deserialize(text).map_err(|error| invalid(name, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::transcode::POOL;
    use super::*;

    fn message(name: &str) -> DynamicMessage {
        let descriptor = POOL.get_message_by_name(&format!("confwatch.v1.{name}"));
        DynamicMessage::new(descriptor.expect("a message"))
    }

    #[track_caller]
    fn check(name: &str, query: &str, expected: &str) {
        let mut message = message(name);
        set_query(&mut message, query, &["config"]).expect(query);
        let found = serde_json::to_string(&message).expect("JSON");
        assert_eq!(found, expected, "{query}");
    }

    #[track_caller]
    fn check_refused(name: &str, query: &str, expected: &str) {
        let refused = set_query(&mut message(name), query, &["config"]).expect_err(query);
        assert!(refused.message.contains(expected), "{}", refused.message);
    }

    #[test]
    fn a_query_sets_fields() {
        check("GetRequest", "", "{}");
        check(
            "GetRequest",
            "scope=%2Fprod+eu&apply_defaults=true",
            r#"{"scope":"/prod eu","applyDefaults":true}"#,
        );
        check("GetRequest", "minRevision=18446744073709551615", r#"{"minRevision":"18446744073709551615"}"#);
        check(
            "GetRequest",
            "view=VIEW_BASE&time=2026-01-02T03:04:05Z",
            r#"{"time":"2026-01-02T03:04:05Z","view":"VIEW_BASE"}"#,
        );
        check(
            "DiffRequest",
            "older.namespace=a&older.version=3",
            r#"{"older":{"namespace":"a","version":"3"}}"#,
        );
        check(
            "GetRequest",
            "view=override_layer&format=yaml",
            r#"{"view":"VIEW_OVERRIDE_LAYER","format":"FORMAT_YAML"}"#,
        );
        let sources = "sources=COMMIT_SOURCE_SET&sources=COMMIT_SOURCE_APPLY";
        check("ListChangesRequest", sources, r#"{"sources":["COMMIT_SOURCE_SET","COMMIT_SOURCE_APPLY"]}"#);
    }

    #[test]
    fn a_query_that_is_not_understood_names_its_parameter() {
        check_refused("GetRequest", "scpe=/", "scpe: there is no field `scpe`: did you mean `scope`?");
        check_refused("GetRequest", "config=app", "config: is given by the path");
        check_refused("GetRequest", "scope=/&scope=/a", "scope: is given twice");
        check_refused("GetRequest", "version=1&tag=a", "tag: cannot be given beside `version`");
        check_refused("GetRequest", "version=-1", "version: \"-1\" is no integer of 64 bits");
        check_refused("GetRequest", "apply_defaults=yes", "apply_defaults: \"yes\" is no `true` or `false`");
        check_refused("GetRequest", "view=BASE", "VIEW_BASE");
        check_refused("GetRequest", "view=none", "\"none\" is none of VIEW_UNSPECIFIED");
        check_refused("GetRequest", "time=today", "time: ");
        check_refused("GetRequest", "scope=%zz", "scope: must be percent-encoded");
        check_refused("GetRequest", "scope=%ff", "scope: must be percent-encoded");
        check_refused("GetRequest", "scope=%2", "scope: must be percent-encoded");
        check_refused("GetRequest", "scope.x=1", "`scope` has no fields");
        check_refused("DiffRequest", "older=1", "older: is a message");
        check_refused("SetRequest", "options.annotations=1", "options.annotations: is a map");
        let sources = "sources=set&".repeat(PARAMETERS_MAX + 1);
        check_refused("ListChangesRequest", &sources, "1000 parameters at most");
    }
}
