//! The outcome of a write for each layer, for the response to its caller. Knows states; not how a write is planned.

use std::sync::Arc;

use crate::model::{ConfigId, Layer, LayerKey, Pointer, Revision, Scope, Version};
use crate::store::VersionRef;
use crate::validate::Report;

use super::put_schema::SchemaOutcome;
use crate::engine::check::workers::LargeCall;
use crate::engine::secrets::secret_places::SecretPlaces;
use crate::engine::state::{ConfigState, LayerEntry};

/// The outcome of a write.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// A commit was made (or would have been, with `validate_only`).
    pub changed: bool,
    /// Of the commit; if nothing changed, that of the store.
    pub revision: Revision,
    /// The outcome of each layer, in the order of the changes; for other intents in the order of the keys.
    pub layers: Vec<LayerOutcome>,
    /// The version of the config a delete, rollback or tag was about, after it.
    pub at: Option<VersionRef>,
    /// For a rollback: the version that was restored.
    pub restored: Option<Version>,
    /// For a restore: the revision that was restored, unless a tag of a config named the version.
    pub restored_revision: Option<Revision>,
    /// For a tag: the version it names now, and the one it named before.
    pub tag: (Option<Version>, Option<Version>),
    /// For a tag of a namespace: the revision it names now, and the one it named before.
    pub namespace_tag: (Option<Revision>, Option<Revision>),
    /// Of putting a schema or migrating to one.
    pub schema: SchemaOutcome,
    /// The configs that it changed, before and after.
    pub configs: Vec<(Option<Arc<ConfigState>>, Arc<ConfigState>)>,
    /// The places where the write overwrites a secret that its caller may not see: the fingerprint shows the caller whether the value is the same.
    pub overwritten: Vec<(ConfigId, Scope)>,
    pub report: Report,
    /// The ids of the backups of the state before, which the server has kept.
    pub state_backups: Vec<String>,
    /// The large call that the write was: its actor has a place for another one when this is dropped.
    pub large: Option<LargeCall>,
}

/// The outcome of one layer.
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

impl Outcome {
    /// Nothing happened.
    pub(in crate::engine) fn nothing(revision: Revision) -> Outcome {
        Outcome {
            changed: false,
            revision,
            layers: vec![],
            at: None,
            restored: None,
            restored_revision: None,
            tag: (None, None),
            namespace_tag: (None, None),
            schema: SchemaOutcome::default(),
            configs: vec![],
            overwritten: vec![],
            report: Report::default(),
            state_backups: vec![],
            large: None,
        }
    }
}
