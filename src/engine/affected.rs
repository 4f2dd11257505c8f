//! The blast radius of a change: the targets whose documents it would change, and how many watch them. Knows states and the hub.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{ConfigId, Scope};

use super::resolve::{Target, View, resolve};
use super::sight::Secrets;
use super::state::ConfigState;
use super::watch::Hub;

/// A target whose effective document would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    pub id: ConfigId,
    pub scope: Scope,
    /// Watch streams that would be told now.
    pub watchers: usize,
}

/// The targets that a change of a config affects: scopes with a layer, and watched ones, in their order.
pub(super) fn affected(before: Option<&ConfigState>, after: &ConfigState, hub: &Hub) -> Vec<Affected> {
    let id = &after.id;
    let document = |config: Option<&ConfigState>, scope: &Scope, view| {
        let secrets = Secrets::Revealed;
        let target = Target { id: id.clone(), scope: scope.clone(), view, secrets };
        let resolved = config.and_then(|config| resolve(config, &target, None, hub.resolver.vault(), None));
        resolved.map(|resolved| resolved.digest)
    };
    let changes = |scope: &Scope, view| document(before, scope, view) != document(Some(after), scope, view);
    let layers = before.into_iter().chain([after]).flat_map(ConfigState::layers);
    let mut scopes: BTreeMap<Scope, usize> = BTreeMap::new();
    for scope in layers.map(|entry: &Arc<_>| &entry.key.scope) {
        if !scopes.contains_key(scope) && changes(scope, View::Effective) {
            scopes.insert(scope.clone(), 0);
        }
    }
    for (scope, view, watchers) in hub.watched(id) {
        if changes(&scope, view) {
            *scopes.entry(scope).or_default() += watchers;
        }
    }
    scopes.into_iter().map(|(scope, watchers)| Affected { id: id.clone(), scope, watchers }).collect()
}
