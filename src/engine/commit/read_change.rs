//! A change whose text has been read. Knows no state.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::document_error::{document_error, not_an_object};
use super::expected::Expected;
use crate::engine::error::Error;
use crate::model::assign::apply_assignments;
use crate::model::text::Format;
use crate::model::{ConfigId, Content, LayerKey, Pointer};
use crate::secret::MARK;

/// A change whose text has been read: what does not depend on the state is done, once, before the pipeline.
#[derive(Clone)]
pub(in crate::engine) struct ReadChange {
    pub id: ConfigId,
    pub key: LayerKey,
    pub ttl: Option<Duration>,
    pub action: ReadAction,
    pub expected: Option<Expected>,
    /// The field of the request that holds the action.
    pub field: String,
}

#[derive(Clone)]
pub(in crate::engine) enum ReadAction {
    Replace(Content, Format),
    MergePatch(Value),
    JsonPatch(Value),
    Assign(BTreeMap<String, String>),
    Delete,
}

impl ReadAction {
    /// The values of the change in clear text, each at its place in the layer: the sender of the change knows these values of the layer afterwards.
    pub(in crate::engine) fn written(&self) -> Value {
        let empty = || Value::Object(serde_json::Map::new());
        let written = match self {
            ReadAction::Replace(content, _) => content.to_value(),
            ReadAction::MergePatch(patch) => patch.clone(),
            ReadAction::JsonPatch(patch) => {
                let mut written = empty();
                for operation in patch.as_array().into_iter().flatten() {
                    let path = operation.get("path").and_then(Value::as_str).map(Pointer::parse);
                    if let (Some(Ok(path)), Some(value)) = (path, operation.get("value")) {
                        put(&mut written, &path, value.clone());
                    }
                }
                written
            }
            ReadAction::Assign(values) => apply_assignments(&empty(), values, |_| false).unwrap_or_default(),
            ReadAction::Delete => Value::Null,
        };
        without_marks(written)
    }
}

/// Puts a value at a place, with objects on the way.
fn put(document: &mut Value, place: &Pointer, value: Value) {
    let mut here = document;
    for token in place.tokens() {
        if !here.is_object() {
            *here = Value::Object(serde_json::Map::new());
        }
        here = &mut here[token];
    }
    *here = value;
}

/// The values of marks in the place of these.
fn without_marks(value: Value) -> Value {
    match value {
        Value::Object(mut members) if members.len() == 1 && members.contains_key(MARK) => {
            without_marks(members.remove(MARK).unwrap_or_default())
        }
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, member)| (name, without_marks(member))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_marks).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

impl ReadChange {
    /// The error of a change that is invalid for every layer, for a kind of change that depends on the layer.
    pub fn wrong_for_any_layer(&self) -> Option<Error> {
        let wrong = match &self.action {
            ReadAction::Assign(values) => {
                apply_assignments(&Value::Object(serde_json::Map::new()), values, |_| false).err()
            }
            ReadAction::MergePatch(patch) if !patch.is_object() => Some(not_an_object()),
            ReadAction::MergePatch(_)
            | ReadAction::JsonPatch(_)
            | ReadAction::Replace(..)
            | ReadAction::Delete => None,
        };
        wrong.map(|error| document_error(self.field.clone(), error))
    }
}
