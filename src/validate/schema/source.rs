//! The schemas of a namespace as sources: how they name each other, and how large they may be. Knows JSON only, not what it means.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::limits::DEPTH_MAX;
use crate::model::nearest::nearest;
use crate::model::pointer::Pointer;
use crate::model::{ConfigName, canonical::to_canonical};
use crate::validate::{Found, Severity};

/// Canonical text of one schema.
pub const SCHEMA_BYTES_MAX: usize = 512 << 10;
/// Values of one schema, and of it together with all that it refers to.
const VALUES_MAX: usize = 50_000;
const VALUES_TOGETHER_MAX: usize = 200_000;
/// Schemas that one refers to, directly or not.
const SCHEMAS_MAX: usize = 200;
/// What the URI of a schema of the namespace begins with.
pub(super) const SCHEME: &str = "schema:";

/// Code of a reference that leads nowhere.
pub(super) const REFERENCE: &str = "SCHEMA_REFERENCE";

/// The keywords whose value names another schema.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Under which URI the schema of a config is known to the others.
pub(super) fn uri_of(name: &ConfigName) -> String {
    format!("{SCHEME}{name}")
}

/// The config whose schema has this URI.
pub(super) fn name_of(uri: &str) -> Option<ConfigName> {
    ConfigName::parse(uri.strip_prefix(SCHEME)?).ok()
}

/// The schemas of the namespace that a source names. Looks at every object, also where it is data: one too many does no harm.
pub(super) fn references(source: &Value) -> BTreeSet<ConfigName> {
    let mut names = BTreeSet::new();
    let mut rest = vec![source];
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(members) => {
                let texts = REFERENCES.iter().filter_map(|keyword| members.get(*keyword)?.as_str());
                names.extend(texts.filter_map(|text| {
                    let name = text.strip_prefix(SCHEME)?.split('#').next()?;
                    ConfigName::parse(name).ok()
                }));
                rest.extend(members.values());
            }
            Value::Array(items) => rest.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    names
}

/// A schema and all that it refers to, directly or not. Those that are not there are not in it.
pub(super) fn gather<'a>(
    name: &ConfigName,
    source: &'a Value,
    others: &'a BTreeMap<ConfigName, Value>,
) -> Result<BTreeMap<ConfigName, &'a Value>, Vec<Found>> {
    check_size(source)?;
    let mut gathered = BTreeMap::from([(name.clone(), source)]);
    let mut rest = vec![source];
    let mut values = 0;
    while let Some(source) = rest.pop() {
        values += count(source);
        if values > VALUES_TOGETHER_MAX || gathered.len() > SCHEMAS_MAX {
            let what = format!(
                "has, with all schemas that it refers to, more than {VALUES_TOGETHER_MAX} values or {SCHEMAS_MAX} schemas"
            );
            return Err(vec![error("SCHEMA_TOO_LARGE", "", what, "refer to smaller schemas")]);
        }
        for name in references(source) {
            if let Some(other) = others.get(&name).filter(|_| !gathered.contains_key(&name)) {
                gathered.insert(name, other);
                rest.push(other);
            }
        }
    }
    Ok(gathered)
}

/// Bounds what is walked later, by this module and by others, some of which recurse.
fn check_size(source: &Value) -> Result<(), Vec<Found>> {
    let mut values = 0;
    let mut rest = vec![(source, 0)];
    while let Some((value, depth)) = rest.pop() {
        values += 1;
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than the {DEPTH_MAX} levels that are allowed");
            let advice = "move inner schemas to $defs and refer to them";
            return Err(vec![error("SCHEMA_TOO_LARGE", "", message, advice)]);
        }
        match value {
            Value::Object(members) => rest.extend(members.values().map(|member| (member, depth + 1))),
            Value::Array(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let bytes = to_canonical(source).len();
    let message = if bytes > SCHEMA_BYTES_MAX {
        format!("has {bytes} bytes, at most {SCHEMA_BYTES_MAX} are allowed")
    } else if values > VALUES_MAX {
        format!("has {values} values, at most {VALUES_MAX} are allowed")
    } else {
        return Ok(());
    };
    Err(vec![error("SCHEMA_TOO_LARGE", "", message, "split it in several schemas that refer to each other")])
}

/// How many values there are, itself included.
pub(super) fn count(source: &Value) -> usize {
    let mut values = 0;
    let mut rest = vec![source];
    while let Some(value) = rest.pop() {
        values += 1;
        match value {
            Value::Object(members) => rest.extend(members.values()),
            Value::Array(items) => rest.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    values
}

/// Calls for each member of this name whose value is a text, with its place.
pub(super) fn each_text(source: &Value, name: &str, call: &mut dyn FnMut(&Pointer, &str)) {
    let mut rest = vec![(source, Pointer::root())];
    while let Some((value, pointer)) = rest.pop() {
        match value {
            Value::Object(members) => {
                if let Some(text) = members.get(name).and_then(Value::as_str) {
                    call(&pointer.child(name), text);
                }
                rest.extend(members.iter().map(|(name, member)| (member, pointer.child(name))));
            }
            Value::Array(items) => {
                rest.extend(
                    items.iter().enumerate().map(|(at, item)| (item, pointer.child(&at.to_string()))),
                );
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// What a reference that leads nowhere is told.
pub(super) fn missing(reference: &str, pointer: &str, known: &BTreeMap<ConfigName, Value>) -> Found {
    let code = REFERENCE;
    if let Some(rest) = reference.strip_prefix(SCHEME) {
        let name = rest.split('#').next().unwrap_or_default();
        if !known.keys().any(|known| known.as_str() == name) {
            let message = format!("refers to {reference:?}, and the namespace has no schema {name:?}");
            let advice = match nearest(name, known.keys().map(ConfigName::as_str)) {
                Some(near) => format!("did you mean \"{SCHEME}{near}\"?"),
                None => format!("put the schema of {name:?} first"),
            };
            return error(code, pointer, message, &advice);
        }
        let message = format!("refers to {reference:?}, and there is no such place in that schema");
        return error(code, pointer, message, "");
    }
    if reference.starts_with('#') {
        let message = format!("refers to {reference:?}, and there is no such place in this schema");
        return error(code, pointer, message, "");
    }
    let message = format!(
        "refers to {reference:?}, which is neither in this schema nor in the namespace; nothing is fetched"
    );
    let advice = match reference.split('#').next().and_then(|name| ConfigName::parse(name).ok()) {
        Some(name) if known.contains_key(&name) => format!("write \"{SCHEME}{reference}\""),
        Some(_) | None => {
            format!(
                "put it as the schema of a config of this namespace, and refer to it as \"{SCHEME}CONFIG\""
            )
        }
    };
    error(code, pointer, message, &advice)
}

/// A flaw of a schema.
pub(super) fn error(code: &'static str, pointer: &str, message: String, suggestion: &str) -> Found {
    Found {
        severity: Severity::Error,
        code: code.into(),
        pointer: pointer.to_owned(),
        message,
        suggestion: suggestion.to_owned(),
    }
}
