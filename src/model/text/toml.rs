//! TOML in and out: 1.1 is read, of which 1.0 is a part, and 1.0 is written. Dates and times become RFC 3339 strings; TOML has no null. Knows no other format.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::{DUPLICATE_KEY, DocumentError, DocumentErrorCode, NOT_A_DOUBLE, line_and_column};
use crate::model::limits::DEPTH_MAX;
use crate::model::{Pointer, depth};

pub fn parse(text: &str) -> Result<Value, DocumentError> {
    let table = DeTable::parse(text).map_err(|error| malformed(text, &error))?;
    let mut place = Vec::new();
    read_table(table.get_ref(), &mut place).map_err(|problem| DocumentError {
        code: problem.code,
        pointer: place.into_iter().collect::<Pointer>().to_string(),
        line: Some(line_and_column(text, problem.at).0),
        column: Some(line_and_column(text, problem.at).1),
        message: problem.message,
    })
}

/// What a value may not be, and at which byte of the text.
struct Problem {
    code: DocumentErrorCode,
    at: usize,
    message: String,
}

/// `place` holds the tokens on the way, and on an error those that lead to it.
fn read_table(table: &DeTable<'_>, place: &mut Vec<String>) -> Result<Value, Problem> {
    let mut members = Map::new();
    for (name, member) in table {
        place.push(name.get_ref().to_string());
        members.insert(name.get_ref().to_string(), read(member, place)?);
        place.pop();
    }
    Ok(Value::Object(members))
}

fn read(value: &Spanned<DeValue<'_>>, place: &mut Vec<String>) -> Result<Value, Problem> {
    let problem = |code, message: String| Problem { code, at: value.span().start, message };
    if place.len() >= DEPTH_MAX && matches!(value.get_ref(), DeValue::Array(_) | DeValue::Table(_)) {
        return Err(problem(DocumentErrorCode::TooDeep, depth::message()));
    }
    let out_of_range = |message: &str| problem(DocumentErrorCode::NumberOutOfRange, message.to_owned());
    match value.get_ref() {
        DeValue::String(string) => Ok(Value::String(string.to_string())),
        DeValue::Integer(integer) => read_integer(integer).ok_or_else(|| {
            out_of_range(
                "the integer is beyond 64 bits with a sign, which is all that TOML has: write it as a string",
            )
        }),
        DeValue::Float(float) => float
            .as_str()
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| out_of_range(NOT_A_DOUBLE)),
        DeValue::Boolean(boolean) => Ok(Value::Bool(*boolean)),
        DeValue::Datetime(datetime) => {
            let mut datetime = *datetime;
            if let Some(time) = &mut datetime.time {
                // TOML 1.1 can leave them out, RFC 3339 cannot.
                time.second.get_or_insert(0);
            }
            Ok(Value::String(datetime.to_string()))
        }
        DeValue::Array(array) => {
            let mut items = Vec::new();
            for (at, item) in array.iter().enumerate() {
                place.push(at.to_string());
                items.push(read(item, place)?);
                place.pop();
            }
            Ok(Value::Array(items))
        }
        DeValue::Table(table) => read_table(table, place),
    }
}

fn read_integer(integer: &DeInteger<'_>) -> Option<Value> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Value::from)
}

fn malformed(text: &str, error: &toml::de::Error) -> DocumentError {
    // The parser has no other marks for these.
    let (code, message) = match error.message() {
        "duplicate key" => (DocumentErrorCode::DuplicateKey, DUPLICATE_KEY.to_owned()),
        "recursion limit" | "cannot recurse further; max recursion depth met" => {
            (DocumentErrorCode::TooDeep, depth::message())
        }
        message => (DocumentErrorCode::MalformedDocument, format!("not TOML: {message}")),
    };
    let mut document_error = DocumentError::new(code, &Pointer::root(), message);
    if let Some(span) = error.span() {
        let (line, column) = line_and_column(text, span.start);
        (document_error.line, document_error.column) = (Some(line), Some(column));
    }
    document_error
}

pub fn render(value: &Value) -> Result<String, DocumentError> {
    if !value.is_object() {
        return Err(cannot_express(&Pointer::root(), "a document that is not an object"));
    }
    check_expressible(value)?;
    toml::to_string(value).map_err(|error| cannot_express(&Pointer::root(), &error.to_string()))
}

/// The way is noted where something is wrong only: names can be long, and those below them many.
fn check_expressible(value: &Value) -> Result<(), DocumentError> {
    inexpressible(value).map_or(Ok(()), |(what, way)| {
        Err(cannot_express(&way.into_iter().rev().map(Cow::into_owned).collect(), what))
    })
}

/// What TOML cannot express, and where: the tokens of its pointer, innermost first.
fn inexpressible(value: &Value) -> Option<(&'static str, Vec<Cow<'_, str>>)> {
    match value {
        Value::Null => Some(("null", vec![])),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            Some(("an integer beyond 2^63 - 1", vec![]))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(at, item)| inexpressible(item).map(|found| within(found, at.to_string().into()))),
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| inexpressible(member).map(|found| within(found, name.into()))),
    }
}

fn within<'a>(
    (what, mut way): (&'static str, Vec<Cow<'a, str>>),
    token: Cow<'a, str>,
) -> (&'static str, Vec<Cow<'a, str>>) {
    way.push(token);
    (what, way)
}

fn cannot_express(pointer: &Pointer, what: &str) -> DocumentError {
    let message = format!("TOML cannot express {what}");
    DocumentError::new(DocumentErrorCode::FormatCannotExpress, pointer, message)
}
