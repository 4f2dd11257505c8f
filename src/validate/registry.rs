//! The versions of a schema, as the config `schema:NAME` stores them. Knows the form; `schema.rs` knows schemas.
//!
//! ```json
//! {"active": 2, "accept_existing": false, "versions": [
//!   {"number": 1, "schema": {}},
//!   {"number": 2, "schema": {}, "up": [{"rename": {"at": "/a", "to": "b"}}], "down": [{"rename": {"at": "/b", "to": "a"}}]}]}
//! ```
//!
//! Numbers grow. `up` brings layers from the version before in the list to this one, `down` brings them back. The active version is the
//! one that documents must satisfy. With `accept_existing`, what a document violates already is a warning, until it is mended.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::without_effect;
use super::{Found, Migration, Schema, Severity};
use crate::model::ConfigName;
use crate::model::pointer::Pointer;

/// The versions of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    pub active: u64,
    pub accept_existing: bool,
    /// In the order of their numbers, never empty.
    pub versions: Vec<SchemaVersion>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaVersion {
    pub number: u64,
    pub schema: Value,
    /// From the version before in the list.
    pub up: Option<Value>,
    /// Back to it.
    pub down: Option<Value>,
}

impl Registry {
    /// Reads the stored form, of which it tells everything that is wrong. The schemas themselves are not looked at.
    pub fn parse(document: &Value) -> Result<Registry, Vec<Found>> {
        let mut wrong = vec![];
        let mut registry = Registry {
            active: document.get("active").and_then(Value::as_u64).unwrap_or_default(),
            accept_existing: document.get("accept_existing").and_then(Value::as_bool).unwrap_or_default(),
            versions: vec![],
        };
        check_fields(document, "", &["active", "accept_existing", "versions"], &mut wrong);
        check_type(document, "accept_existing", Value::is_boolean, "true or false", "", &mut wrong);
        let versions =
            document.get("versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if versions.is_empty() {
            wrong.push(malformed("/versions", "must be a list of at least one version"));
        }
        for (at, version) in versions.iter().enumerate() {
            let place = format!("/versions/{at}");
            check_fields(version, &place, &["number", "schema", "up", "down"], &mut wrong);
            let number = version.get("number").and_then(Value::as_u64).unwrap_or_default();
            let before = registry.versions.last().map_or(0, |before: &SchemaVersion| before.number);
            if number <= before {
                wrong.push(malformed(
                    &format!("{place}/number"),
                    &format!("must be a whole number above {before}"),
                ));
            }
            let schema = version.get("schema").cloned().unwrap_or_default();
            if !(schema.is_object() || schema.is_boolean()) {
                wrong.push(malformed(
                    &format!("{place}/schema"),
                    "must be a schema: an object, true or false",
                ));
            }
            for steps in ["up", "down"] {
                if let Some(found) = version.get(steps).and_then(|steps| Migration::parse(steps).err()) {
                    wrong.extend(found.into_iter().map(|found| found.below(&format!("{place}/{steps}"))));
                }
            }
            let steps = |name| version.get(name).cloned();
            registry.versions.push(SchemaVersion { number, schema, up: steps("up"), down: steps("down") });
        }
        if registry.position(registry.active).is_none() {
            wrong.push(malformed("/active", "must be the number of one of the versions"));
        }
        if wrong.is_empty() { Ok(registry) } else { Err(wrong) }
    }

    /// The stored form.
    pub fn to_value(&self) -> Value {
        let versions = self.versions.iter().map(|version| {
            let mut value = Map::from_iter([
                ("number".to_owned(), json!(version.number)),
                ("schema".to_owned(), version.schema.clone()),
            ]);
            let steps = [("up", &version.up), ("down", &version.down)];
            let steps = steps.into_iter().filter_map(|(name, steps)| Some((name.to_owned(), steps.clone()?)));
            value.extend(steps);
            Value::Object(value)
        });
        let mut value = json!({"active": self.active, "versions": versions.collect::<Vec<_>>()});
        if self.accept_existing {
            value["accept_existing"] = true.into();
        }
        value
    }

    /// What has no effect in the newest schema of a stored form, with places in that form. `None` if it cannot be read.
    pub fn newest_without_effect(document: &Value) -> Option<Vec<Found>> {
        let registry = Registry::parse(document).ok()?;
        let newest = registry.versions.len() - 1;
        let found = without_effect(&registry.versions[newest].schema);
        Some(found.into_iter().map(|found| found.below(&format!("/versions/{newest}/schema"))).collect())
    }

    /// Where in the list a version is.
    pub fn position(&self, number: u64) -> Option<usize> {
        self.versions.iter().position(|version| version.number == number)
    }

    /// The version that documents must satisfy.
    pub fn active(&self) -> &SchemaVersion {
        let at = self.position(self.active).expect("it was checked when it was read");
        &self.versions[at]
    }

    /// Of a stored form: the schemas to which its active one refers. None of what cannot be read.
    pub fn references(document: &Value) -> BTreeSet<ConfigName> {
        Registry::parse(document)
            .map(|registry| Schema::references(&registry.active().schema))
            .unwrap_or_default()
    }
}

/// A finding for a stored form that is not as it should be.
pub(super) fn malformed(pointer: &str, message: &str) -> Found {
    Found {
        severity: Severity::Error,
        code: "MALFORMED_SETTING".into(),
        pointer: pointer.to_owned(),
        message: message.to_owned(),
        suggestion: String::new(),
    }
}

/// Tells of each field that is not one of these, and of what is no object at all.
pub(super) fn check_fields(value: &Value, place: &str, allowed: &[&str], wrong: &mut Vec<Found>) {
    let Some(object) = value.as_object() else {
        wrong.push(malformed(place, "must be an object"));
        return;
    };
    for field in object.keys().filter(|field| !allowed.contains(&field.as_str())) {
        let pointer = format!("{place}{}", Pointer::root().child(field));
        wrong.push(malformed(&pointer, &format!("there is no such field; there are {}", allowed.join(", "))));
    }
}

/// Tells of a field that is there and not of the type.
pub(super) fn check_type(
    value: &Value,
    field: &str,
    is_right: impl Fn(&Value) -> bool,
    expected: &str,
    place: &str,
    wrong: &mut Vec<Found>,
) {
    if value.get(field).is_some_and(|value| !is_right(value)) {
        wrong.push(malformed(&format!("{place}/{field}"), &format!("must be {expected}")));
    }
}
