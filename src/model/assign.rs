//! Assignments: single values set in a document by path. Knows values only.

use std::cell::LazyCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Pointer;
use super::depth::{depth, too_deep};
use super::document_error::{DocumentError, DocumentErrorCode};
use super::limits::DEPTH_MAX;
use super::pointer::index;
use super::text::{self, Format};

/// Sets each path to the value that its JSON text says. Objects on the way are made when they are missing; elements of
/// arrays that are there can be replaced, and `-` appends one. A null is stored, like any value.
///
/// The result does not depend on any order, because one path at or below another is refused. No path leads into a value that
/// `is_opaque`: such a value is assigned as a whole.
pub fn apply_assignments(
    target: &Value,
    values: &BTreeMap<String, String>,
    is_opaque: fn(&Value) -> bool,
) -> Result<Value, DocumentError> {
    let mut assignments = BTreeMap::new();
    for (path, json) in values {
        let pointer = parse_path(path)?;
        let value = parse_value(&pointer, json)?;
        if assignments.insert(pointer.clone(), value).is_some() {
            return Err(invalid(&pointer, "the place is assigned twice"));
        }
    }
    // In the order of pointers, what is below a place follows it at once.
    for (upper, lower) in assignments.keys().zip(assignments.keys().skip(1)) {
        if upper.contains(lower) {
            return Err(invalid(lower, format!("the place is within {upper}, which is assigned as well")));
        }
    }
    let mut document = target.clone();
    // From the last one on: "-" comes before every index, and appending first would shift what the next index means.
    for (pointer, value) in assignments.into_iter().rev() {
        if pointer.tokens().len() + depth(&value) > DEPTH_MAX {
            return Err(too_deep(&pointer));
        }
        assign(&mut document, &pointer, value, is_opaque)?;
    }
    Ok(document)
}

/// Refuses paths that lead into an array or a scalar which a layer only inherits: the layer would get an object there, which
/// replaces what is inherited. So it does with an opaque value, which is a secret. `inherited` is asked for where a path leads to something that the layer does not have.
pub fn check_inherited(
    layer: &Value,
    values: &BTreeMap<String, String>,
    inherited: impl FnOnce() -> Value,
    is_opaque: fn(&Value) -> bool,
) -> Result<(), DocumentError> {
    let inherited = LazyCell::new(inherited);
    for path in values.keys() {
        let pointer = parse_path(path)?;
        // The last token is what is assigned; before it, the path leads through values.
        for depth in 1..pointer.tokens().len() {
            if pointer.tokens().take(depth).try_fold(layer, |value, token| value.get(token)).is_some() {
                continue;
            }
            let here: Pointer = pointer.tokens().take(depth).map(str::to_owned).collect();
            // What is around it is an object in the layer, and replaces anything else that is inherited there.
            let found = pointer.tokens().take(depth).try_fold(&*inherited, |value, token| {
                value.as_object().and_then(|members| members.get(token))
            });
            let what = match found {
                Some(value) if is_opaque(value) => "a secret",
                Some(Value::Array(_)) => "an array",
                Some(Value::Object(_)) | None => continue,
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => "no object",
            };
            let message = format!(
                "the value at {here} is inherited and {what}, which a layer replaces as a whole: assign all of {here}, or change it where it is set"
            );
            return Err(invalid(&here, message));
        }
    }
    Ok(())
}

/// Reads the path of an assignment: an RFC 6901 pointer if it starts with `/`, else member names with dots between them,
/// in which `\.` is a dot and `\\` a backslash.
pub fn parse_path(path: &str) -> Result<Pointer, DocumentError> {
    let refuse = |message: String| Err(invalid(&Pointer::root(), format!("path {path:?} {message}")));
    let pointer = if path.starts_with('/') {
        match Pointer::parse(path) {
            Ok(pointer) => pointer,
            Err(error) => return refuse(error.to_string()),
        }
    } else {
        match split_dotted(path) {
            Ok(tokens) => tokens.into_iter().collect(),
            Err(message) => return refuse(message.to_owned()),
        }
    };
    if pointer.tokens().len() > DEPTH_MAX {
        return Err(too_deep(&Pointer::root()));
    }
    Ok(pointer)
}

fn split_dotted(path: &str) -> Result<Vec<String>, &'static str> {
    let mut tokens = vec![String::new()];
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '.' => {
                tokens.push(String::new());
                continue;
            }
            '\\' => match characters.next() {
                Some(escaped @ ('.' | '\\')) => escaped,
                Some(_) | None => return Err("has a \"\\\" without \".\" or \"\\\" after it"),
            },
            literal => literal,
        };
        tokens.last_mut().expect("it starts with one and only grows").push(literal);
    }
    if tokens.iter().any(String::is_empty) {
        return Err("has an empty segment");
    }
    Ok(tokens)
}

/// Errors within the value are told with the place that they would have in the document.
fn parse_value(pointer: &Pointer, json: &str) -> Result<Value, DocumentError> {
    text::parse(json, Format::Json, usize::MAX).map_err(|error| DocumentError {
        pointer: format!("{pointer}{}", error.pointer),
        message: format!("the value is refused: {} (a string needs its quotes)", error.message),
        ..error
    })
}

fn assign(
    document: &mut Value,
    pointer: &Pointer,
    value: Value,
    is_opaque: fn(&Value) -> bool,
) -> Result<(), DocumentError> {
    let mut place = document;
    let mut here = Pointer::root();
    let count = pointer.tokens().len();
    for (at, token) in pointer.tokens().enumerate() {
        let is_last = at + 1 == count;
        if is_opaque(place) {
            let message = format!(
                "the value there is secret, so {pointer} within it cannot be assigned: assign all of {here}"
            );
            return Err(invalid(&here, message));
        }
        place = match place {
            Value::Object(members) => members.entry(token).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(items) => {
                let count = items.len();
                let at = if token == "-" && is_last {
                    items.push(Value::Null);
                    Some(count)
                } else {
                    index(token)
                };
                at.and_then(|at| items.get_mut(at)).ok_or_else(|| {
                    invalid(
                        &here,
                        format!(
                            "the array of {count} has no element {token:?} (\"-\" at the end appends one)"
                        ),
                    )
                })?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(invalid(
                    &here,
                    format!(
                        "the value there is neither an object nor an array, so {pointer} cannot be assigned"
                    ),
                ));
            }
        };
        here = here.child(token);
    }
    *place = value;
    Ok(())
}

fn invalid(pointer: &Pointer, message: impl Into<String>) -> DocumentError {
    DocumentError::new(DocumentErrorCode::InvalidAssignment, pointer, message)
}

#[cfg(test)]
mod tests;
