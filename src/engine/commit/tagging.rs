//! Setting a tag of a namespace as requested, and the versions of the configs that it names. Knows the model; neither states nor how it is planned.

use std::collections::BTreeMap;

use super::restoring::is_restored;
use crate::model::{ConfigId, Namespace, Revision, SystemConfig, TagName, Version};

/// A tag of a namespace that is to be set or deleted.
#[derive(Clone, Debug)]
pub struct TagNamespace {
    pub namespace: Namespace,
    pub tag: TagName,
    pub to: TagTarget,
    /// The revision that the tag names now, 0 for none.
    pub expected: Option<Revision>,
}

#[derive(Clone, Copy, Debug)]
pub enum TagTarget {
    /// The newest commit that changed a config of the namespace.
    Newest,
    Revision(Revision),
    Deleted,
}

/// The same with the configs that are tagged.
pub(in crate::engine) struct ReadTagNamespace {
    pub tagging: TagNamespace,
    /// All configs of the namespace but system configs; with its version at the revision, if it has changed since. `None`: it did not exist.
    pub configs: BTreeMap<ConfigId, Option<Option<Version>>>,
    /// The revision up to which the configs were looked up.
    pub looked_up: Revision,
}

/// Whether a tag of a namespace depends on the config: what is tagged, and where the tags are.
pub(in crate::engine) fn is_tagged(id: &ConfigId) -> bool {
    is_restored(id) || id.config.kind() == Some(SystemConfig::Tags)
}
