//! Writes as they are asked for, and what comes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::model::assign::apply_assignments;
use crate::model::paths::{PATHS_FACTOR, path_bytes};
use crate::model::text::{DocumentError, DocumentErrorCode, Format, parse, parse_content, parse_object};
use crate::model::{
    Author, ConfigId, Content, Layer, LayerKey, Pointer, Request, Revision, Scope, Source, TagName, Version,
};
use crate::secret::MARK;
use crate::store::VersionRef;
use crate::validate::Report;

use super::schemas::{PutSchema, SchemaOutcome};
use crate::engine::error::Error;
use crate::engine::secrets::shown::{SecretPlaces, Viewer};
use crate::engine::state::{ConfigState, Expiry, LayerEntry};

/// A write: who, why, and what.
#[derive(Clone, Debug)]
pub struct Write {
    pub origin: Origin,
    pub intent: Intent,
    /// Do everything but the commit.
    pub validate_only: bool,
    /// Who is told the outcome.
    pub viewer: Viewer,
}

/// Who wants it, and why: what history keeps besides the change.
#[derive(Clone, Debug)]
pub struct Origin {
    pub author: Author,
    pub source: Source,
    pub reason: String,
    pub request: Option<Request>,
    pub annotations: BTreeMap<String, String>,
}

/// What is to be changed.
#[derive(Clone, Debug)]
pub enum Intent {
    /// No two of the same layer.
    Changes(Vec<Change>),
    /// One scope's layer, or all layers of a config.
    Delete { id: ConfigId, key: Option<LayerKey>, expected: Option<Version> },
    /// Back to a version: all layers, or those of a scope.
    Rollback { id: ConfigId, to: VersionOrTag, scope: Option<Scope>, expected: Option<Version> },
    /// To a version (0: the current one), or away with it.
    Tag { id: ConfigId, tag: TagName, to: Option<Version>, expected: Option<Version> },
    /// Overrides whose time has come.
    Expire(Vec<Expiry>),
    /// A version of the schema of a config.
    PutSchema { governed: ConfigId, put: PutSchema },
    /// All layers of a config to another version of its schema; `None`: the newest.
    Migrate { governed: ConfigId, to: Option<u64> },
}

#[derive(Clone, Debug)]
pub enum VersionOrTag {
    Version(Version),
    Tag(TagName),
}

/// One change to one layer.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: ConfigId,
    pub key: LayerKey,
    pub ttl: Option<Duration>,
    pub action: Action,
    /// Version of the layer's last change; 0: it must not exist.
    pub expected: Option<Version>,
    /// The field of the request that it came from, for messages.
    pub field: String,
}

/// What to do with a layer.
#[derive(Clone)]
pub enum Action {
    Replace(Text),
    MergePatch(Text),
    JsonPatch(Text),
    Assign(BTreeMap<String, String>),
    Delete,
}

#[derive(Clone)]
pub struct Text {
    pub content: String,
    pub format: Format,
}

/// Only the size: content may be secret.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.content.len())
    }
}

/// Only its name.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field())
    }
}

impl Intent {
    /// Whether it is about this config.
    pub(in crate::engine) fn names(&self, named: &ConfigId) -> bool {
        match self {
            Intent::Changes(changes) => changes.iter().any(|change| change.id == *named),
            Intent::Expire(due) => due.iter().any(|expiry| expiry.id == *named),
            Intent::Delete { id, .. } | Intent::Rollback { id, .. } | Intent::Tag { id, .. } => id == named,
            Intent::PutSchema { governed, .. } | Intent::Migrate { governed, .. } => governed == named,
        }
    }

    /// The configs that it concerns: sorted, each once.
    pub fn ids(&self) -> Vec<ConfigId> {
        let mut ids: Vec<ConfigId> = match self {
            Intent::Changes(changes) => changes.iter().map(|change| change.id.clone()).collect(),
            Intent::Delete { id, .. } | Intent::Rollback { id, .. } | Intent::Tag { id, .. } => {
                vec![id.clone()]
            }
            Intent::Expire(due) => due.iter().map(|expiry| expiry.id.clone()).collect(),
            Intent::PutSchema { governed, .. } | Intent::Migrate { governed, .. } => vec![governed.clone()],
        };
        ids.sort();
        ids.dedup();
        ids
    }

    /// The layers that it names one by one, in order.
    pub(in crate::engine) fn asked_layers(&self) -> Option<Vec<(ConfigId, LayerKey)>> {
        match self {
            Intent::Changes(changes) => {
                Some(changes.iter().map(|change| (change.id.clone(), change.key.clone())).collect())
            }
            Intent::Delete { .. }
            | Intent::Rollback { .. }
            | Intent::Tag { .. }
            | Intent::Expire(_)
            | Intent::PutSchema { .. }
            | Intent::Migrate { .. } => None,
        }
    }
}

impl Action {
    /// The name of its field within a change.
    fn field(&self) -> &'static str {
        match self {
            Action::Replace(_) => "replace",
            Action::MergePatch(_) => "merge_patch",
            Action::JsonPatch(_) => "json_patch",
            Action::Assign(_) => "assign",
            Action::Delete => "delete",
        }
    }

    /// How much text there is to read.
    pub(in crate::engine) fn text_bytes(&self) -> usize {
        match self {
            Action::Replace(text) | Action::MergePatch(text) | Action::JsonPatch(text) => text.content.len(),
            Action::Assign(values) => values.values().map(String::len).sum(),
            Action::Delete => 0,
        }
    }
}

impl Outcome {
    /// Nothing happened.
    pub(in crate::engine) fn nothing(revision: Revision) -> Outcome {
        Outcome {
            changed: false,
            revision,
            layers: vec![],
            at: None,
            restored: None,
            tag: (None, None),
            schema: SchemaOutcome::default(),
            configs: vec![],
            overwritten: vec![],
            report: Report::default(),
        }
    }
}

/// What came of a write.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// A commit was made (or would have been, with `validate_only`).
    pub changed: bool,
    /// Of the commit; if nothing changed, that of the store.
    pub revision: Revision,
    /// What became of each layer, in the order of the changes; for other intents in the order of the keys.
    pub layers: Vec<LayerOutcome>,
    /// The version of the config a delete, rollback or tag was about, after it.
    pub at: Option<VersionRef>,
    /// For a rollback: the version that was restored.
    pub restored: Option<Version>,
    /// For a tag: the version it names now, and the one it named before.
    pub tag: (Option<Version>, Option<Version>),
    /// Of putting a schema or migrating to one.
    pub schema: SchemaOutcome,
    /// The configs that it changed, before and after.
    pub configs: Vec<(Option<Arc<ConfigState>>, Arc<ConfigState>)>,
    /// Where the write has put a value over a secret that its caller may not see, who learns by the fingerprint whether it is the same.
    pub overwritten: Vec<(ConfigId, Scope)>,
    pub report: Report,
}

/// What became of one layer.
#[derive(Clone, Debug)]
pub struct LayerOutcome {
    pub id: ConfigId,
    pub key: LayerKey,
    pub before: Option<Arc<LayerEntry>>,
    pub after: Option<Layer>,
    /// The secrets of `after`.
    pub secrets: SecretPlaces,
    pub changed: bool,
    /// The caller may read it. If not, it has neither `before` nor `after`.
    pub is_shown: bool,
    /// The config's version after the write.
    pub at: VersionRef,
    /// Of a write that is only validated: where its caller has proposed a secret that they may not see. Nothing shown there may depend on it.
    pub proposed: Vec<Pointer>,
}

/// A change whose text has been read: what does not depend on the state is done, once, before the pipeline.
#[derive(Clone)]
pub(in crate::engine) struct ReadChange {
    pub id: ConfigId,
    pub key: LayerKey,
    pub ttl: Option<Duration>,
    pub action: ReadAction,
    pub expected: Option<Version>,
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
    /// The values that it has in clear text, each at its place in the layer: what whoever sends it knows of the layer afterwards.
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

impl Change {
    /// The field of the request that holds the action.
    pub(in crate::engine) fn action_field(&self) -> String {
        format!("{}.{}", self.field, self.action.field())
    }

    /// Reads the text of the change.
    pub(in crate::engine) fn read(self, bytes_max: usize) -> Result<ReadChange, (String, DocumentError)> {
        let field = self.action_field();
        let action = match self.action {
            Action::Replace(text) => parse_content(&text.content, text.format, bytes_max)
                .and_then(|content| bounded(content, bytes_max))
                .map(|content| ReadAction::Replace(content, text.format)),
            Action::MergePatch(text) => {
                parse_object(&text.content, text.format, bytes_max).map(ReadAction::MergePatch)
            }
            Action::JsonPatch(text) => {
                parse(&text.content, text.format, bytes_max).map(ReadAction::JsonPatch)
            }
            Action::Assign(values) => Ok(ReadAction::Assign(values)),
            Action::Delete => Ok(ReadAction::Delete),
        };
        match action {
            Ok(action) => Ok(ReadChange {
                id: self.id,
                key: self.key,
                ttl: self.ttl,
                action,
                expected: self.expected,
                field,
            }),
            Err(error) => Err((field, error)),
        }
    }
}

/// Refuses content whose canonical text is too long, as that of YAML with aliases can be though its text was not, or whose paths are: each
/// of its values is named by its path when it is compared, explained or kept secret.
pub(in crate::engine) fn bounded(content: Content, bytes_max: usize) -> Result<Content, DocumentError> {
    let bytes = content.as_str().len();
    if bytes > bytes_max {
        return Err(too_large(format!("the layer has {bytes} bytes, at most {bytes_max} are allowed")));
    }
    check_paths(content.as_str(), bytes_max)?;
    Ok(content)
}

/// Refuses a canonical text whose paths are too long together, where a text may have so many bytes.
pub(in crate::engine) fn check_paths(canonical: &str, bytes_max: usize) -> Result<(), DocumentError> {
    let (found, max) = (path_bytes(canonical), bytes_max.saturating_mul(PATHS_FACTOR));
    match found <= max {
        true => Ok(()),
        false => Err(too_large(format!(
            "the paths of the values take {found} bytes together, at most {max} are allowed: shorten the names above many values"
        ))),
    }
}

fn too_large(message: String) -> DocumentError {
    DocumentError::new(DocumentErrorCode::LayerTooLarge, &Pointer::root(), message)
}

/// The error for a document that was refused in a field of the request.
pub(in crate::engine) fn document_error(field: String, error: DocumentError) -> Error {
    match error.code {
        DocumentErrorCode::PatchDoesNotApply | DocumentErrorCode::SecretNotRevealed => {
            Error::PatchDoesNotApply { field, error }
        }
        DocumentErrorCode::MalformedDocument
        | DocumentErrorCode::DuplicateKey
        | DocumentErrorCode::TooDeep
        | DocumentErrorCode::LayerTooLarge
        | DocumentErrorCode::NotAnObject
        | DocumentErrorCode::NumberOutOfRange
        | DocumentErrorCode::FormatCannotExpress
        | DocumentErrorCode::InvalidAssignment => Error::Document { field, error },
    }
}
