//! JSON (RFC 8259) in, and indented JSON out. Knows no other format.

use serde_json::{Map, Value};

use super::tree::Tree;
use super::{DocumentError, DocumentErrorCode, NOT_A_DOUBLE};
use crate::model::canonical::{sorted_members, to_canonical, write_string};

pub fn parse(text: &str, bytes_max: usize) -> Result<Value, DocumentError> {
    let tree = Tree::new(bytes_max);
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
