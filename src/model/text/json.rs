//! JSON (RFC 8259) in, and indented JSON out. Knows no other format.

use serde_json::{Map, Value};

use super::tree::Tree;
use super::{DocumentError, DocumentErrorCode, NOT_A_DOUBLE};
use crate::model::canonical::{sorted_members, to_canonical, write_string};

pub fn parse(text: &str, bytes_max: usize) -> Result<Value, DocumentError> {
    let tree = Tree::new(bytes_max, integer_beyond_64_bits(text));
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let result = tree.build(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    result.map_err(|error| {
        let (code, message) = what_is_wrong(&error);
        let mut document_error = tree.into_error(code, message, None);
        if error.line() > 0 {
            document_error.line = Some(error.line());
            document_error.column = Some(error.column().max(1));
        }
        document_error
    })
}

/// Which number of a JSON text, counted from 0, is the first integer that neither i64 nor u64 has.
fn integer_beyond_64_bits(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut numbers) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = number_length(&bytes[at..]);
                if is_integer_beyond_64_bits(&text[at..at + length]) {
                    return Some(numbers);
                }
                numbers += 1;
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// How many of the first bytes are those of a number.
pub(super) fn number_length(bytes: &[u8]) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    bytes.iter().take_while(|byte| is_part(byte)).count()
}

/// Whether a number is written as an integer, which neither i64 nor u64 has.
pub(super) fn is_integer_beyond_64_bits(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
}

fn what_is_wrong(error: &serde_json::Error) -> (DocumentErrorCode, String) {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place).unwrap_or(&text) {
        // serde_json has no other mark for it.
        "number out of range" => (DocumentErrorCode::NumberOutOfRange, NOT_A_DOUBLE.to_owned()),
        message => (DocumentErrorCode::MalformedDocument, format!("not JSON: {message}")),
    }
}

/// JSON for people: members sorted and numbers written as in canonical text, one member or element on a line, indented
/// by two spaces, with a newline at the end.
pub fn render_pretty_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => write_array(items, indent + 2, text),
        Value::Object(members) if !members.is_empty() => write_object(members, indent + 2, text),
        Value::Array(_)
        | Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => text.push_str(&to_canonical(value)),
    }
}

fn write_array(items: &[Value], indent: usize, text: &mut String) {
    for (at, item) in items.iter().enumerate() {
        text.push(if at == 0 { '[' } else { ',' });
        new_line(indent, text);
        write(item, indent, text);
    }
    new_line(indent - 2, text);
    text.push(']');
}

fn write_object(members: &Map<String, Value>, indent: usize, text: &mut String) {
    for (at, (name, member)) in sorted_members(members).into_iter().enumerate() {
        text.push(if at == 0 { '{' } else { ',' });
        new_line(indent, text);
        write_string(name, text);
        text.push_str(": ");
        write(member, indent, text);
    }
    new_line(indent - 2, text);
    text.push('}');
}

fn new_line(indent: usize, text: &mut String) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent));
}
