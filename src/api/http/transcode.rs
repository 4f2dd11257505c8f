//! Transcodes messages of the contract: JSON to messages, and encoded messages to JSON, by their descriptors. Knows descriptors and JSON; no
//! path and no call.
//!
//! JSON has the names of fields as the proto files have them; requests may also have them in lowerCamelCase. Integers of 64 bits are numbers up
//! to 2^53, as far as every reader of JSON is exact, and strings beyond; requests may have either.

use std::cell::Cell;
use std::io;
use std::sync::LazyLock;

use bytes::Bytes;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    SerializeOptions, Value,
};
use serde::de::DeserializeSeed;
use serde_json::ser::Formatter;

use super::errors::malformed_content;
use super::strict::{EXACT_INTEGER_MAX, Strict};
use crate::api::call_errors::{Unreadable, unanswered};
use crate::api::codec::REQUEST_FIELDS_MAX;
use crate::api::error::ApiError;
use crate::api::rpc::Rpc;
use crate::proto::v1::FILE_DESCRIPTOR_SET;

/// The descriptors of the contract.
pub static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build has made the descriptors")
});

const PACKAGE: &str = "confwatch.v1";

const READ: DeserializeOptions = DeserializeOptions::new();
const WRITE: SerializeOptions = SerializeOptions::new()
    .stringify_64_bit_integers(false)
    .use_proto_field_name(true)
    .skip_default_fields(false);

/// The descriptor of an RPC.
pub fn method(rpc: Rpc) -> MethodDescriptor {
    let service = POOL.get_service_by_name(rpc.service()).expect("RPCs are made from the descriptors");
    let method = service.methods().find(|method| method.name() == rpc.name());
    method.expect("RPCs are made from the descriptors")
}

/// Reads a message from JSON. Errors name line and column.
pub fn message_of(descriptor: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, ApiError> {
    check(descriptor.name(), json, |values_left| Strict::new(descriptor.clone(), values_left))?;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = DynamicMessage::deserialize_with_options(descriptor.clone(), &mut reader, &READ);
    let message = read.map_err(|error| malformed(descriptor.name(), &error, 0))?;
    reader.end().map_err(|error| malformed(descriptor.name(), &error, 0))?;
    Ok(message)
}

/// Reads the value of one field from JSON.
pub fn value_of(field: &FieldDescriptor, json: &[u8]) -> Result<Option<Value>, ApiError> {
    check(field.name(), json, |values_left| Strict::of_field(field, values_left))?;
    // As the only field of its message, which the decoder knows how to read.
    let mut whole = format!("{{{}:\n", serde_json::Value::from(field.name())).into_bytes();
    whole.extend_from_slice(json);
    whole.push(b'}');
    let mut reader = serde_json::Deserializer::from_slice(&whole);
    let read = DynamicMessage::deserialize_with_options(field.parent_message().clone(), &mut reader, &READ);
    let read = read.map_err(|error| malformed(field.name(), &error, 1))?;
    Ok(read.has_field(field).then(|| read.get_field(field).into_owned()))
}

/// Checks what the decoder does not look at, for a value that is called `what` in errors.
fn check(what: &str, json: &[u8], strict: impl FnOnce(&Cell<usize>) -> Strict<'_>) -> Result<(), ApiError> {
    let values_left = Cell::new(REQUEST_FIELDS_MAX);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let checked = strict(&values_left).deserialize(&mut reader).and_then(|()| reader.end());
    checked.map_err(|error| match values_left.get() {
        0 => Unreadable::TooManyFields { limit: REQUEST_FIELDS_MAX }.into(),
        _ => malformed(what, &error, 0),
    })
}

/// `lines_before`: lines of the text that the client has not sent.
fn malformed(what: &str, error: &serde_json::Error, lines_before: usize) -> ApiError {
    let (line, column) = (error.line().saturating_sub(lines_before).max(1), error.column());
    let text = error.to_string();
    let why = text.rsplit_once(" at line ").map_or(&*text, |(why, _)| why);
    let message = format!("the content is no {what}: {why}, at line {line} column {column}");
    malformed_content(message, Some((line, column)))
}

/// A message of the contract as JSON.
pub fn json(descriptor: &MessageDescriptor, message: Bytes) -> Result<Bytes, ApiError> {
    let decoded = DynamicMessage::decode(descriptor.clone(), message).map_err(|error| unwritable(&error))?;
    json_of_decoded(&decoded)
}

/// The same of a message that is decoded.
pub fn json_of_decoded(message: &DynamicMessage) -> Result<Bytes, ApiError> {
    let mut writer = serde_json::Serializer::with_formatter(vec![], ExactIntegers);
    message.serialize_with_options(&mut writer, &WRITE).map_err(|error| unwritable(&error))?;
    Ok(writer.into_inner().into())
}

/// A response that the server itself has made cannot be written as JSON.
pub fn unwritable(error: &dyn std::error::Error) -> ApiError {
    unanswered().caused_by(format_args!("a response cannot be written as JSON: {error}"))
}

/// A message of the contract as a value of JSON, `null` if it cannot be. `name` is without its package.
pub fn json_of(name: &str, message: &[u8]) -> serde_json::Value {
    let descriptor =
        POOL.get_message_by_name(&format!("{PACKAGE}.{name}")).expect("a message of the contract");
    let json = json(&descriptor, Bytes::copy_from_slice(message));
    json.ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// Writes integers as strings where readers that know floating-point numbers alone would change them.
struct ExactIntegers;

impl Formatter for ExactIntegers {
    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        match value <= EXACT_INTEGER_MAX {
            true => write!(writer, "{value}"),
            false => write!(writer, "\"{value}\""),
        }
    }

    fn write_i64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        match value.unsigned_abs() <= EXACT_INTEGER_MAX {
            true => write!(writer, "{value}"),
            false => write!(writer, "\"{value}\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn read(name: &str, text: &str) -> Result<DynamicMessage, String> {
        let descriptor = POOL.get_message_by_name(&format!("{PACKAGE}.{name}")).expect("a message");
        message_of(&descriptor, text.as_bytes()).map_err(|error| error.message.clone())
    }

    /// What JSON becomes when it is read and written.
    #[track_caller]
    fn check_written(name: &str, text: &str, expected: serde_json::Value) {
        let message = read(name, text).expect("a message");
        let written = json_of(name, &message.encode_to_vec());
        let fields = expected.as_object().expect("an object");
        for (field, value) in fields {
            assert_eq!(&written[field], value, "{field} of {written}");
        }
    }

    #[track_caller]
    fn check_refused(name: &str, text: &str, expected: &str) {
        let refused = read(name, text).expect_err(text);
        assert!(refused.contains(expected), "{refused}");
    }

    #[test]
    fn integers_of_64_bits_survive() {
        for (text, written) in [
            ("9007199254740992", serde_json::json!(9_007_199_254_740_992_u64)),
            ("9007199254740993", serde_json::json!("9007199254740993")),
            ("\"9007199254740993\"", serde_json::json!("9007199254740993")),
            ("\"7\"", serde_json::json!(7)),
            ("18446744073709551615", serde_json::json!("18446744073709551615")),
            ("1e3", serde_json::json!(1000)),
        ] {
            let expected = serde_json::json!({ "min_revision": written });
            check_written("GetRequest", &format!("{{\"min_revision\": {text}}}"), expected);
        }
        check_refused("GetRequest", "{\"min_revision\": 9007199254740993.0}", "an integer is expected");
        check_refused("GetRequest", "{\"min_revision\": 1.5}", "an integer is expected");
        check_refused("GetRequest", "{\"min_revision\": -1}", "at line 1 column 19");
        check_refused("GetRequest", "{\"min_revision\": 18446744073709551616}", "line 1");
    }

    #[test]
    fn names_of_fields_have_two_forms_and_defaults_are_written() {
        let expected = serde_json::json!({ "min_revision": 3, "config": "", "apply_defaults": false });
        check_written("GetRequest", "{\"minRevision\": 3}", expected);
        check_refused("GetRequest", "{\"minRevision\": 3, \"min_revision\": 3}", "given twice");
        check_refused(
            "GetRequest",
            "{\"config\": \"a\",\n \"config\": \"b\"}",
            "`config` is given twice, at line 2",
        );
        check_refused(
            "WriteOptions",
            "{\"annotations\": {\"a\": \"1\", \"a\": \"2\"}}",
            "the key `a` is given twice",
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        check_refused(
            "GetRequest",
            "{\n  \"namespce\": \"a\"\n}",
            "did you mean `namespace`?, at line 2 column",
        );
        check_refused("GetRequest", "{\"what\": {}}", "there is no field `what` in GetRequest");
        check_refused("SetRequest", "{\"change\": {\"nmespace\": 1}}", "did you mean `namespace`");
        check_refused("GetRequest", "{\"config\": 7}", "at line 1 column");
        check_refused("GetRequest", "{\"view\": \"VIEW_NONE\"}", "VIEW_NONE");
        check_refused("GetRequest", "{\"version\": 1, \"tag\": \"a\"}", "oneof");
        check_refused("GetRequest", "{} {}", "trailing characters");
        check_refused("GetRequest", "[]", "line 1");
        check_refused("GetRequest", "", "line 1");
        check_refused("GetRequest", &format!("{{\"a\":{}", "[".repeat(200)), "line 1");
    }

    #[test]
    fn a_message_with_too_many_values_is_refused() {
        let items = vec!["{}"; REQUEST_FIELDS_MAX].join(",");
        check_refused("BatchGetRequest", &format!("{{\"requests\":[{items}]}}"), "larger than");
    }

    #[test]
    fn the_value_of_one_field_is_read() {
        let descriptor = POOL.get_message_by_name("confwatch.v1.SetRequest").expect("a message");
        let field = descriptor.get_field_by_name("change").expect("a field");
        let value = value_of(&field, br#"{"config":"app"}"#).expect("a value").expect("it is set");
        let change = value.as_message().expect("a message");
        assert_eq!(change.get_field_by_name("config").expect("a field").as_str(), Some("app"));
        let refused = value_of(&field, b"{\n\"confg\": 1}").expect_err("an unknown field");
        assert_eq!((refused.value("line"), refused.reason), ("2", "MALFORMED_REQUEST"));
        let refused = value_of(&field, b"{\n\"config\": 1}").expect_err("another type");
        assert_eq!(refused.value("line"), "2");
    }
}
