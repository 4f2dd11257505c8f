//! A restore as requested, and the configs as they were at the point in the past. Knows states; neither the store nor how a restore is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::check::workers::LargeCall;
use crate::engine::state::ConfigState;
use crate::model::{ConfigId, ConfigName, Namespace, Revision, Scope, TagName, Timestamp};

/// The configs to restore, and the point in the past.
#[derive(Clone, Debug)]
pub struct Restoring {
    pub namespace: Namespace,
    /// `None`: all configs of the namespace but system configs.
    pub config: Option<ConfigName>,
    /// Layers at or below this scope.
    pub scope: Scope,
    pub to: RestorePoint,
    /// None of the configs may have changed after this revision.
    pub expected: Option<Revision>,
}

/// A point in the past.
#[derive(Clone, Debug)]
pub enum RestorePoint {
    Revision(Revision),
    Time(Timestamp),
    /// Of the config, or of the namespace where the restore is of all its configs.
    Tag(TagName),
}

/// The configs that a restore concerns, as they were.
pub(in crate::engine) struct Restored {
    pub restoring: Restoring,
    /// The point in the past. `None`: a version that a tag of a config names, which may be older than the oldest revision.
    pub revision: Option<Revision>,
    /// The configs that have changed since. `None`: the config did not exist.
    pub configs: BTreeMap<ConfigId, Option<Arc<ConfigState>>>,
    /// The revision up to which the configs that have changed were looked up.
    pub looked_up: Revision,
    /// The call that keeps `configs` in memory.
    pub(super) _large: LargeCall,
}

impl Restoring {
    /// The one config to restore.
    pub fn id(&self) -> Option<ConfigId> {
        let (namespace, config) = (self.namespace.clone(), self.config.clone()?);
        Some(ConfigId { namespace, config })
    }

    /// The id of the config, or of the namespace.
    pub(super) fn place(&self) -> ConfigId {
        self.id().unwrap_or_else(|| ConfigId::first_of(&self.namespace))
    }
}

/// Whether a restore of a namespace concerns the config. System configs are restored by their names.
pub(in crate::engine) fn is_restored(id: &ConfigId) -> bool {
    id.system().is_none()
}

impl Restored {
    /// The namespace of which the restore concerns all configs.
    pub fn namespace(&self) -> Option<(&Namespace, Revision)> {
        self.restoring.config.is_none().then_some((&self.restoring.namespace, self.looked_up))
    }
}
