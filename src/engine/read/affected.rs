//! The blast radius of a change: the targets whose documents it would change, and how many watch them. Knows states and the hub.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{ConfigId, LayerKey, Scope};

use super::resolve::{Target, View, resolve};
use crate::engine::check::effort::Effort;
use crate::engine::secrets::redaction::Permissions;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::state::{ConfigState, LayerEntry};
use crate::engine::watch::Hub;

/// Steps to see whether a document depends on one layer.
const STEPS_PER_LAYER: u64 = 2;

/// A target whose effective document would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    pub id: ConfigId,
    pub scope: Scope,
    /// Watch streams that would be told now.
    pub watchers: usize,
}

/// The targets that a change of a config affects and the caller may read: scopes with a layer, and watched ones, in their order.
///
/// To a caller who may not read all layers of the config, a target is affected if a layer changes that is merged into its document: that the
/// document stays as it is would tell what another layer has.
pub(in crate::engine) fn affected(
    before: Option<&ConfigState>,
    after: &ConfigState,
    hub: &Hub,
    permissions: Permissions<'_>,
    effort: &Effort<'_>,
) -> Vec<Affected> {
    let id = &after.id;
    if !permissions.read_all(id) {
        return reached(before, after, hub, permissions, effort);
    }
    let document = |config: Option<&ConfigState>, scope: &Scope, view| {
        // By their fingerprints, or by nothing where the caller has proposed a secret.
        let secrets = Secrets::Hidden;
        let target = Arc::new(Target { id: id.clone(), scope: scope.clone(), view, secrets });
        let resolved =
            config.and_then(|config| resolve(config, &target, None, hub.resolver.key_store(), None));
        resolved.map(|resolved| {
            effort.spend_bytes(resolved.content.as_str().len());
            resolved.digest
        })
    };
    let changes = |scope: &Scope, view| document(before, scope, view) != document(Some(after), scope, view);
    let layers = before.into_iter().chain([after]).flat_map(ConfigState::layers);
    let mut scopes: BTreeMap<Scope, usize> = BTreeMap::new();
    for scope in layers.map(|entry: &Arc<_>| &entry.key.scope) {
        if effort.is_over() {
            break;
        }
        if !scopes.contains_key(scope) && changes(scope, View::Effective) {
            scopes.insert(scope.clone(), 0);
        }
    }
    for (scope, view, watchers) in hub.watched(id) {
        if effort.is_over() {
            break;
        }
        if changes(&scope, view) {
            *scopes.entry(scope).or_default() += watchers;
        }
    }
    scopes.into_iter().map(|(scope, watchers)| Affected { id: id.clone(), scope, watchers }).collect()
}

/// The targets that may be read below the layers that change.
fn reached(
    before: Option<&ConfigState>,
    after: &ConfigState,
    hub: &Hub,
    permissions: Permissions<'_>,
    effort: &Effort<'_>,
) -> Vec<Affected> {
    let id = &after.id;
    let was = || before.into_iter().flat_map(ConfigState::layers);
    let differs = |entry: &&Arc<LayerEntry>, other: Option<&ConfigState>| {
        let other = other.and_then(|other| other.layer(&entry.key));
        other.is_none_or(|other| other.layer.content != entry.layer.content)
    };
    let gone = was().filter(|entry| differs(entry, Some(after)));
    let changed = gone.chain(after.layers().iter().filter(|entry| differs(entry, before)));
    let changed: Vec<&LayerKey> = changed.map(|entry| &entry.key).collect();
    let is_reached = |scope: &Scope, view: View| {
        effort.spend(STEPS_PER_LAYER.saturating_mul(changed.len() as u64));
        permissions.read(id, scope) && changed.iter().any(|key| view.depends_on(scope, key))
    };
    let mut scopes: BTreeMap<Scope, usize> = BTreeMap::new();
    for entry in was().chain(after.layers()) {
        if effort.is_over() {
            break;
        }
        if !scopes.contains_key(&entry.key.scope) && is_reached(&entry.key.scope, View::Effective) {
            scopes.insert(entry.key.scope.clone(), 0);
        }
    }
    for (scope, view, watchers) in hub.watched(id) {
        if effort.is_over() {
            break;
        }
        if is_reached(&scope, view) {
            *scopes.entry(scope).or_default() += watchers;
        }
    }
    scopes.into_iter().map(|(scope, watchers)| Affected { id: id.clone(), scope, watchers }).collect()
}
