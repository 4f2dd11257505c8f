//! Whether what governs reaches documents that a caller may not read. Knows states and permissions; no contract.

use std::collections::BTreeSet;

use crate::auth::Visibility;
use crate::engine::Engine;
use crate::engine::commit::read_set::ReadSet;
use crate::engine::secrets::redaction::Permissions;
use crate::model::{ConfigId, Namespace};

impl Engine {
    /// The namespaces in which some of these configs govern layers that the caller may not read. The configs must be sorted.
    pub fn governed_unseen(&self, governing: &[ConfigId], visibility: &Visibility) -> BTreeSet<Namespace> {
        let permissions = Permissions::of(Some(visibility));
        let bases = ReadSet::of(governing, &self.state());
        let unseen = bases.governed().iter().filter(|config| {
            !permissions.read_all(&config.id)
                && config.layers().iter().any(|entry| !permissions.read(&config.id, &entry.key.scope))
        });
        unseen.map(|config| config.id.namespace.clone()).collect()
    }
}
