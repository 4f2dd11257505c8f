//! Documents as text: JSON (RFC 8259), YAML 1.2 (core schema) and TOML in and out. Knows what a document may be, not what it is for.
//!
//! Whatever the format, a document is a JSON value whose members have distinct names, nested at most `DEPTH_MAX` deep,
//! with finite numbers; integers are exact and within i64 or u64, every other number is a double. What is read is in normal
//! form (`canonical::normalize`), so that reading what was rendered gives the same value, and the same digest.

mod json;
#[cfg(test)]
mod tests;
mod toml;
mod transcribe;
mod tree;
mod yaml;

use serde_json::{Map, Value};

use super::canonical::{normalize, to_canonical};
pub use super::document_error::{DocumentError, DocumentErrorCode};
use super::{Content, Pointer};
pub use json::render_pretty_json;

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    Json,
    Yaml,
    Toml,
}

/// Reads one value of any kind. `bytes_max` bounds the text and, because YAML aliases multiply, also what it stands for.
/// A mark of the byte order (U+FEFF) at the start is skipped, whatever the format.
pub fn parse(text: &str, format: Format, bytes_max: usize) -> Result<Value, DocumentError> {
    Ok(parse_if_any(text, format, bytes_max)?.unwrap_or(Value::Null))
}

/// The same. `None`: there is no value in the text, as in YAML that has comments only.
fn parse_if_any(text: &str, format: Format, bytes_max: usize) -> Result<Option<Value>, DocumentError> {
    if text.len() > bytes_max {
        let message = format!("the text has {} bytes, at most {bytes_max} are allowed", text.len());
        return Err(DocumentError::new(DocumentErrorCode::LayerTooLarge, &Pointer::root(), message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut value = match format {
        Format::Json => json::parse(text, bytes_max).map(Some),
        Format::Yaml => yaml::parse(text, bytes_max),
        Format::Toml => toml::parse(text).map(Some),
    }?;
    value.iter_mut().for_each(normalize);
    Ok(value)
}

/// Reads an object, which every layer is. YAML without a value, as a file of which all is commented out, is the empty object, as TOML
/// without a value is.
pub fn parse_object(text: &str, format: Format, bytes_max: usize) -> Result<Value, DocumentError> {
    let value = parse_if_any(text, format, bytes_max)?.unwrap_or_else(|| Value::Object(Map::new()));
    let found = match &value {
        Value::Object(_) => return Ok(value),
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
    };
    let message = format!("an object is expected, {found} was found");
    Err(DocumentError::new(DocumentErrorCode::NotAnObject, &Pointer::root(), message))
}

/// Reads an object as the content that it is stored as.
pub fn parse_content(text: &str, format: Format, bytes_max: usize) -> Result<Content, DocumentError> {
    // No value is made of a layer that is written whole, in the format that it is stored in: that was most of the work.
    let canonical = match format {
        Format::Json if text.len() <= bytes_max => transcribe::transcribe_object(text, bytes_max),
        Format::Json | Format::Yaml | Format::Toml => None,
    };
    match canonical {
        Some(canonical) => Ok(Content::of_canonical(&canonical)),
        None => parse_object(text, format, bytes_max).map(|value| Content::of(&value)),
    }
}

/// Writes a value with its members sorted: canonical JSON, YAML in block style, or TOML, which fails with
/// `FormatCannotExpress` for what TOML does not have: null, integers beyond i64, and documents that are not objects.
pub fn render(value: &Value, format: Format) -> Result<String, DocumentError> {
    match format {
        Format::Json => Ok(to_canonical(value)),
        Format::Yaml => Ok(yaml::render(value)),
        Format::Toml => toml::render(value),
    }
}

/// What every refusal of an integer says.
const BEYOND_64_BITS: &str = "the integer is beyond 64 bits and would be rounded: write it as a string, or with an exponent if its nearest double will do";

/// What every refusal of a number says.
const NOT_A_DOUBLE: &str = "the number is infinite, not a number, or beyond the range of a double";

/// What every refusal of a duplicate key says.
const DUPLICATE_KEY: &str = "the key occurs more than once";

/// The place of a byte, both counted from 1, the column in characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    text.char_indices().take_while(|(start, _)| *start < at).fold((1, 1), |(line, column), (_, character)| {
        if character == '\n' { (line + 1, 1) } else { (line, column + 1) }
    })
}
