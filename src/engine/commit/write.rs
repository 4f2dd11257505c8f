//! Writes as callers request them, and their results.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::model::text::{DocumentError, Format, parse, parse_content, parse_object};
use crate::model::{Author, ConfigId, LayerKey, Request, Scope, Source, TagName, Version};

use super::document_error::bounded;
use super::expected::Expected;
use super::put_schema::{PutSchema, schema_id};
use super::read_change::{ReadAction, ReadChange};
use super::restoring::Restoring;
use super::reverting::Reverting;
use super::tagging::TagNamespace;
use crate::engine::secrets::shown::Viewer;
use crate::engine::state::Expiry;
use crate::engine::state::tags::tags_id;

/// A write: its author, reason and intent.
#[derive(Clone, Debug)]
pub struct Write {
    pub origin: Origin,
    pub intent: Intent,
    /// Plans and validates, and makes no commit.
    pub validate_only: bool,
    /// Keeps no backup of the state before, however much changes.
    pub without_backup: bool,
    /// The reader of the outcome.
    pub viewer: Viewer,
}

/// The author and the reason of a write, which history keeps besides the change.
#[derive(Clone, Debug)]
pub struct Origin {
    pub author: Author,
    pub source: Source,
    pub reason: String,
    pub request: Option<Request>,
    pub annotations: BTreeMap<String, String>,
}

/// The intent of a write.
#[derive(Clone, Debug)]
pub enum Intent {
    /// No two of the same layer.
    Changes(Vec<Change>),
    /// One scope's layer, or all layers of a config.
    Delete { id: ConfigId, key: Option<LayerKey>, expected: Option<Expected> },
    /// Back to a version: all layers, or those of a scope.
    Rollback { id: ConfigId, to: RollbackTo, scope: Option<Scope>, expected: Option<Version> },
    /// Takes commits back, and keeps what was changed since.
    Revert(Reverting),
    /// Restores configs to a point in the past.
    Restore(Restoring),
    /// Sets a tag to a version (0: the current one), or deletes it.
    Tag { id: ConfigId, tag: TagName, to: Option<Version>, expected: Option<Version> },
    /// A name for a revision of all configs of a namespace.
    TagNamespace(TagNamespace),
    /// Ends overrides that are due.
    Expire(Vec<Expiry>),
    /// A version of the schema of a config.
    PutSchema { governed: ConfigId, put: PutSchema },
    /// All layers of a config to another version of its schema; `None`: the newest.
    Migrate { governed: ConfigId, to: Option<u64> },
}

#[derive(Clone, Debug)]
pub enum RollbackTo {
    Version(Version),
    Tag(TagName),
    /// The version before the current one.
    Previous,
}

/// One change to one layer.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: ConfigId,
    pub key: LayerKey,
    pub ttl: Option<Duration>,
    pub action: Action,
    pub expected: Option<Expected>,
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
    /// The first finding about one of the configs that the intent names.
    pub(in crate::engine) fn any_id<T>(&self, mut find: impl FnMut(&ConfigId) -> Option<T>) -> Option<T> {
        match self {
            Intent::Changes(changes) => changes.iter().find_map(|change| find(&change.id)),
            Intent::Expire(due) => due.iter().find_map(|expiry| find(&expiry.id)),
            Intent::Revert(reverting) => reverting.ids().find_map(find),
            Intent::Restore(restoring) => restoring.id().as_ref().and_then(find),
            Intent::TagNamespace(_) => None,
            Intent::Delete { id, .. } | Intent::Rollback { id, .. } | Intent::Tag { id, .. } => find(id),
            Intent::PutSchema { governed, .. } | Intent::Migrate { governed, .. } => find(governed),
        }
    }

    /// The configs that the intent concerns: sorted, each once. For all configs of a namespace: `ConfigId::first_of`.
    pub fn ids(&self) -> Vec<ConfigId> {
        let mut ids: Vec<ConfigId> = match self {
            Intent::Changes(changes) => changes.iter().map(|change| change.id.clone()).collect(),
            Intent::Delete { id, .. } | Intent::Rollback { id, .. } | Intent::Tag { id, .. } => {
                vec![id.clone()]
            }
            Intent::Expire(due) => due.iter().map(|expiry| expiry.id.clone()).collect(),
            Intent::Revert(reverting) => reverting.ids().cloned().collect(),
            Intent::Restore(restoring) => vec![restoring.place()],
            Intent::TagNamespace(tagging) => vec![tags_id(&tagging.namespace)],
            Intent::PutSchema { governed, .. } | Intent::Migrate { governed, .. } => vec![governed.clone()],
        };
        ids.sort();
        ids.dedup();
        ids
    }

    /// The configs that the intent changes and that govern others: sorted, each once.
    pub fn governing_ids(&self) -> Vec<ConfigId> {
        match self {
            Intent::PutSchema { governed, .. } | Intent::Migrate { governed, .. } => {
                vec![schema_id(governed)]
            }
            Intent::Tag { .. } | Intent::TagNamespace(_) | Intent::Expire(_) => vec![],
            Intent::Changes(_)
            | Intent::Delete { .. }
            | Intent::Rollback { .. }
            | Intent::Revert(_)
            | Intent::Restore(_) => self.ids().into_iter().filter(|id| !id.config.is_ordinary()).collect(),
        }
    }

    /// Whether the intent names what it writes by something that can change while the write is planned: a tag, or the version before.
    pub(in crate::engine) fn target_can_move(&self) -> bool {
        match self {
            Intent::Rollback { to, .. } => matches!(to, RollbackTo::Tag(_) | RollbackTo::Previous),
            Intent::Restore(_) | Intent::TagNamespace(_) => true,
            Intent::Changes(_)
            | Intent::Delete { .. }
            | Intent::Revert(_)
            | Intent::Tag { .. }
            | Intent::Expire(_)
            | Intent::PutSchema { .. }
            | Intent::Migrate { .. } => false,
        }
    }

    /// The layers that the intent names one by one, in order.
    pub(in crate::engine) fn asked_layers(&self) -> Option<Vec<(ConfigId, LayerKey)>> {
        match self {
            Intent::Changes(changes) => {
                Some(changes.iter().map(|change| (change.id.clone(), change.key.clone())).collect())
            }
            Intent::Delete { .. }
            | Intent::Rollback { .. }
            | Intent::Revert(_)
            | Intent::Restore(_)
            | Intent::TagNamespace(_)
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

    /// The bytes of text to read.
    pub(in crate::engine) fn text_bytes(&self) -> usize {
        match self {
            Action::Replace(text) | Action::MergePatch(text) | Action::JsonPatch(text) => text.content.len(),
            Action::Assign(values) => values.values().map(String::len).sum(),
            Action::Delete => 0,
        }
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
