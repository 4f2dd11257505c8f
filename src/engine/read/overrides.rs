//! Overrides with what each changes of the document without overrides. Knows resolution and history; never messages.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::json;

use super::history::{Made, made_by};
use super::resolve::{Target, View, resolve};
use crate::engine::Engine;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::secrets::shown::{Viewer, marking_schema};
use crate::engine::state::{ConfigState, LayerEntry};
use crate::model::diff::{ValueChange, first_differences};
use crate::model::{ConfigId, ConfigName, LayerKind, Namespace, Scope, Timestamp, Version};

/// The work of one page, in bytes of documents that are compared, beside the override that exceeds it.
const COST_MAX: usize = 32 << 20;
/// The work that looking at a config or an override, and reading a commit, is, in such bytes.
const CONFIG_COST: usize = 128;
const LAYER_COST: usize = 64;
const COMMIT_COST: usize = 16 << 10;
/// Differences of one override, and the bytes of their pointers.
const DIFFERENCES_MAX: usize = 100;
const POINTER_BYTES_MAX: usize = 64 << 10;

/// Which overrides to list.
#[derive(Clone, Debug)]
pub struct OverrideQuery {
    pub namespace: Namespace,
    pub config: Option<ConfigName>,
    /// Only at or below this scope.
    pub within: Option<Scope>,
    /// Only overrides that were last changed at this time or earlier.
    pub changed_before: Option<Timestamp>,
    /// Only overrides that stay until they are deleted.
    pub only_endless: bool,
    pub after: Option<OverrideCursor>,
}

/// Where a list of overrides goes on: after this config, or after the override of this scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideCursor {
    pub config: ConfigName,
    pub scope: Option<Scope>,
}

/// An override.
pub struct ListedOverride {
    pub id: ConfigId,
    pub scope: Scope,
    pub expires: Option<Timestamp>,
    /// The version that made it what it is, with the commit as far as that is retained.
    pub version: Version,
    pub made: Option<Made>,
    /// What differs in the effective document of the scope from the document without overrides, with secrets masked.
    pub changes: Vec<ValueChange>,
    /// There are more.
    pub is_cut: bool,
}

impl Engine {
    /// Gives `take` one override after the other, until it breaks or the page has cost enough. Where the list goes on; `None`: it has ended.
    pub async fn overrides<P: Send + 'static>(
        &self,
        query: OverrideQuery,
        viewer: Viewer,
        mut page: P,
        take: impl Fn(&mut P, ListedOverride) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(P, Option<OverrideCursor>), Error> {
        let (store, key_store, state) = (self.store.clone(), self.key_store.clone(), self.state());
        let actor = viewer.visibility().caller().shared_actor().clone();
        let list = move |cancelled: &Cancelled| {
            let (visibility, mut cost) = (viewer.visibility(), 0);
            for config in state.configs_of(&query.namespace).filter(|config| query.concerns(&config.id)) {
                cancelled.check()?;
                cost += CONFIG_COST;
                let (namespace, name) = (&config.id.namespace, &config.id.config);
                if !visibility.has_config(namespace, name) {
                    continue;
                }
                for entry in query.overrides(config) {
                    cancelled.check()?;
                    cost += LAYER_COST;
                    let scope = &entry.key.scope;
                    if !visibility.has(namespace, name, scope) {
                        continue;
                    }
                    cost += COMMIT_COST;
                    let made = made_by(&*store, &config.id, entry.layer.version)?;
                    if query.is_old_enough(made.as_ref()) {
                        let document = |view| {
                            let (id, scope) = (config.id.clone(), scope.clone());
                            let target = Arc::new(Target { id, scope, view, secrets: Secrets::Hidden });
                            let marking = marking_schema(&config.id, &state);
                            let resolved = resolve(config, &target, None, &key_store, marking.as_deref());
                            resolved.map(|resolved| resolved.content)
                        };
                        let [base, effective] = [View::Base, View::Effective].map(document);
                        cost += [&base, &effective]
                            .into_iter()
                            .flatten()
                            .map(|content| content.as_str().len())
                            .sum::<usize>();
                        let [base, effective] = [base, effective]
                            .map(|content| content.map_or_else(|| json!({}), |content| content.to_value()));
                        let (changes, is_all) =
                            first_differences(&base, &effective, DIFFERENCES_MAX, POINTER_BYTES_MAX);
                        let listed = ListedOverride {
                            id: config.id.clone(),
                            scope: scope.clone(),
                            expires: entry.layer.expires,
                            version: entry.layer.version,
                            made,
                            changes,
                            is_cut: !is_all,
                        };
                        if take(&mut page, listed).is_break() {
                            let (config, scope) = (name.clone(), Some(scope.clone()));
                            return Ok((page, Some(OverrideCursor { config, scope })));
                        }
                    }
                    if cost > COST_MAX {
                        let (config, scope) = (name.clone(), Some(scope.clone()));
                        return Ok((page, Some(OverrideCursor { config, scope })));
                    }
                }
                if cost > COST_MAX {
                    return Ok((page, Some(OverrideCursor { config: name.clone(), scope: None })));
                }
            }
            Ok((page, None))
        };
        self.work(&actor, list).await
    }
}

impl OverrideQuery {
    /// Whether overrides of the config are listed, and not on an earlier page.
    fn concerns(&self, id: &ConfigId) -> bool {
        let is_left = self.after.as_ref().is_none_or(|after| match after.scope {
            Some(_) => id.config >= after.config,
            None => id.config > after.config,
        });
        let is_asked_for = self.config.as_ref().map_or(id.system().is_none(), |config| *config == id.config);
        is_left && is_asked_for
    }

    /// The overrides of a config that are listed, and not on an earlier page, but for their age.
    fn overrides<'a>(&'a self, config: &'a ConfigState) -> impl Iterator<Item = &'a Arc<LayerEntry>> {
        let after = self.after.as_ref().filter(|after| after.config == config.id.config);
        let after = after.and_then(|after| after.scope.as_ref());
        let within = self.within.clone().unwrap_or_else(Scope::global);
        let overrides = config.layers().iter().filter(|entry| entry.key.kind == LayerKind::Override);
        overrides.filter(move |entry| {
            within.contains(&entry.key.scope)
                && after.is_none_or(|after| entry.key.scope > *after)
                && !(self.only_endless && entry.layer.expires.is_some())
        })
    }

    /// A version whose time is not known is older than all history.
    fn is_old_enough(&self, made: Option<&Made>) -> bool {
        self.changed_before.is_none_or(|time| made.is_none_or(|made| made.at.time <= time))
    }
}
