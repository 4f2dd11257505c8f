//! The intent of a write, with its texts read and its history looked up. Knows states; not the caller.

use std::sync::Arc;

use crate::model::{ConfigId, LayerKey, Namespace, Revision, Scope, TagName, Version};

use super::expected::Expected;
use super::put_schema::{PutSchema, schema_id};
use super::read_change::ReadChange;
use super::restoring::Restored;
use super::reverting::Step;
use super::tagging::ReadTagNamespace;
use super::write::RollbackTo;
use crate::engine::check::workers::LargeCall;
use crate::engine::state::ConfigState;
use crate::engine::state::tags::tags_id;

/// A write whose texts have been read and whose history has been looked up.
pub(in crate::engine) enum ReadIntent {
    Changes(Vec<ReadChange>),
    /// Adds a data key to the config that holds them, which only the server writes.
    Keys(Vec<ReadChange>),
    /// Seals what a config has by the newest data key.
    Reseal(ConfigId),
    Delete {
        id: ConfigId,
        key: Option<LayerKey>,
        expected: Option<Expected>,
    },
    Rollback {
        id: ConfigId,
        to: Arc<ConfigState>,
        /// The name of `to` at the time of the look-up.
        by: RollbackTo,
        scope: Option<Scope>,
        expected: Option<Version>,
        /// The call that keeps `to` in memory.
        _large: LargeCall,
    },
    /// Changes of layers to take back, the newest first.
    Revert {
        revisions: Vec<Revision>,
        steps: Vec<Step>,
        /// The call that keeps these in memory.
        _large: Option<LargeCall>,
    },
    Restore(Restored),
    Tag {
        id: ConfigId,
        tag: TagName,
        to: Option<Version>,
        expected: Option<Version>,
    },
    TagNamespace(ReadTagNamespace),
    Expire(Vec<(ConfigId, LayerKey)>),
    PutSchema {
        governed: ConfigId,
        put: PutSchema,
    },
    Migrate {
        governed: ConfigId,
        to: Option<u64>,
    },
}

impl ReadIntent {
    /// Whether the server makes the write by itself.
    pub fn is_of_itself(&self) -> bool {
        match self {
            ReadIntent::Keys(_) | ReadIntent::Reseal(_) | ReadIntent::Expire(_) => true,
            ReadIntent::Changes(_)
            | ReadIntent::Delete { .. }
            | ReadIntent::Rollback { .. }
            | ReadIntent::Revert { .. }
            | ReadIntent::Restore(_)
            | ReadIntent::TagNamespace(_)
            | ReadIntent::Tag { .. }
            | ReadIntent::PutSchema { .. }
            | ReadIntent::Migrate { .. } => false,
        }
    }

    /// Whether a caller changes a layer of a namespace without saying which version of it is expected. Of the namespace of the server nothing is demanded:
    /// the server writes there, too.
    pub fn lacks_match(&self, namespace: &Namespace) -> bool {
        let is_of =
            |id: &ConfigId| id.namespace == *namespace && id.config.is_ordinary() && !namespace.is_reserved();
        match self {
            ReadIntent::Changes(changes) => {
                changes.iter().any(|change| change.expected.is_none() && is_of(&change.id))
            }
            ReadIntent::Delete { id, expected: None, .. }
            | ReadIntent::Rollback { id, expected: None, .. } => is_of(id),
            ReadIntent::Delete { expected: Some(_), .. } | ReadIntent::Rollback { expected: Some(_), .. } => {
                false
            }
            // They look for what has changed since, are of the server, or change no layer of such a config.
            ReadIntent::Revert { .. }
            | ReadIntent::Restore(_)
            | ReadIntent::Keys(_)
            | ReadIntent::Reseal(_)
            | ReadIntent::Expire(_)
            | ReadIntent::Tag { .. }
            | ReadIntent::TagNamespace(_)
            | ReadIntent::PutSchema { .. }
            | ReadIntent::Migrate { .. } => false,
        }
    }

    /// The namespace of which it concerns all configs, and the revision up to which the configs that have changed were looked up.
    pub fn namespace(&self) -> Option<(&Namespace, Revision)> {
        match self {
            ReadIntent::Restore(restored) => restored.namespace(),
            ReadIntent::TagNamespace(read) => Some((&read.tagging.namespace, read.looked_up)),
            ReadIntent::Changes(_)
            | ReadIntent::Keys(_)
            | ReadIntent::Reseal(_)
            | ReadIntent::Delete { .. }
            | ReadIntent::Rollback { .. }
            | ReadIntent::Revert { .. }
            | ReadIntent::Tag { .. }
            | ReadIntent::Expire(_)
            | ReadIntent::PutSchema { .. }
            | ReadIntent::Migrate { .. } => None,
        }
    }

    /// The configs that the write concerns: sorted, each once.
    pub fn ids(&self) -> Vec<ConfigId> {
        let mut ids: Vec<ConfigId> = match self {
            ReadIntent::Changes(changes) | ReadIntent::Keys(changes) => {
                changes.iter().map(|change| change.id.clone()).collect()
            }
            ReadIntent::Delete { id, .. } | ReadIntent::Rollback { id, .. } | ReadIntent::Tag { id, .. } => {
                vec![id.clone()]
            }
            ReadIntent::Expire(due) => due.iter().map(|(id, _)| id.clone()).collect(),
            ReadIntent::Revert { steps, .. } => steps.iter().map(|step| step.id.clone()).collect(),
            ReadIntent::Restore(restored) => {
                restored.configs.keys().cloned().chain([restored.restoring.place()]).collect()
            }
            ReadIntent::TagNamespace(read) => {
                read.configs.keys().cloned().chain([tags_id(&read.tagging.namespace)]).collect()
            }
            ReadIntent::Reseal(id) => vec![id.clone()],
            ReadIntent::PutSchema { governed, .. } => vec![governed.clone(), schema_id(governed)],
            ReadIntent::Migrate { governed, .. } => vec![governed.clone(), schema_id(governed)],
        };
        ids.sort();
        ids.dedup();
        ids
    }
}
