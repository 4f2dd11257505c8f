//! The differences between two namespaces, two environments of one, or two points in time. Knows points and resolution; never messages.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Value, json};

use super::namespace_point::{NamespaceAt, NamespacePoint};
use super::resolve::{Target, View, resolve};
use crate::engine::Engine;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::secrets::shown::{Viewer, marking_schema};
use crate::engine::state::{ConfigState, State};
use crate::model::diff::{ValueChange, first_differences};
use crate::model::{ConfigId, ConfigName, LayerKey, Namespace, Pointer, Revision, Scope, Version};
use crate::secret::{MASK, mask};
use crate::store::Store;

/// Bytes of documents that are compared for one page, beside the document that exceeds them.
const COMPARED_BYTES_MAX: usize = 32 << 20;
/// The work that looking at a config or a layer is, in such bytes.
const CONFIG_COST: usize = 256;
const LAYER_COST: usize = 64;
/// Differences of one document, and the bytes of their pointers.
const DIFFERENCES_MAX: usize = 100;
const POINTER_BYTES_MAX: usize = 64 << 10;

/// What to compare.
#[derive(Clone, Debug)]
pub struct NamespaceDiff {
    pub older: DiffSide,
    pub newer: DiffSide,
    /// Also system configs.
    pub include_governing: bool,
    pub after: Option<DiffCursor>,
}

/// All configs of a namespace at a point in time.
#[derive(Clone, Debug)]
pub struct DiffSide {
    pub namespace: Namespace,
    /// Of each config the effective document at this scope. `None`, on both sides: each layer.
    pub scope: Option<Scope>,
    pub at: NamespaceAt,
}

/// Where a list of differences goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffCursor {
    /// The revisions of the older and the newer side, which are those of the first page.
    pub older: Revision,
    pub newer: Revision,
    /// After this config, or after this layer of the config.
    pub config: ConfigName,
    pub key: Option<LayerKey>,
}

/// A document or a layer that differs, with its secrets masked.
pub struct DocumentDifference {
    pub config: ConfigName,
    /// `None`: the effective documents at the scopes of the two sides.
    pub key: Option<LayerKey>,
    pub is_in_older: bool,
    pub is_in_newer: bool,
    pub changes: Vec<ValueChange>,
    /// There are more.
    pub is_cut: bool,
}

/// The revisions of the older and the newer side, and where the list goes on. `None`: it has ended.
pub struct Compared {
    pub older: Revision,
    pub newer: Revision,
    pub next: Option<DiffCursor>,
}

impl Engine {
    /// Gives `take` one difference after the other, until it breaks or the page has cost enough.
    pub async fn diff_namespaces<P: Send + 'static>(
        &self,
        diff: NamespaceDiff,
        viewer: Viewer,
        mut page: P,
        take: impl Fn(&mut P, DocumentDifference) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(P, Compared), Error> {
        let (store, key_store, state) = (self.store.clone(), self.key_store.clone(), self.state());
        let actor = viewer.visibility().caller().shared_actor().clone();
        let compare = move |cancelled: &Cancelled| {
            let at = |side: &DiffSide, seen: Option<Revision>| match (&side.at, seen) {
                (NamespaceAt::Tag(_), _) | (_, None) => side.at.clone(),
                (_, Some(revision)) => NamespaceAt::Revision(revision),
            };
            let after = diff.after.as_ref();
            let [older, newer] = [
                (&diff.older, after.map(|after| after.older)),
                (&diff.newer, after.map(|after| after.newer)),
            ]
            .map(|(side, seen)| NamespacePoint::of(&*store, &state, &side.namespace, &at(side, seen)));
            let points = [older?, newer?];
            let [older, newer] = [points[0].revision, points[1].revision];
            let (store, key_store, state, viewer) = (&*store, &*key_store, &*state, &viewer);
            let mut comparer =
                Comparer { store, key_store, state, viewer, diff: &diff, points, cancelled, cost: 0 };
            let place = comparer.page(|difference| take(&mut page, difference))?;
            let next = place.map(|(config, key)| DiffCursor { older, newer, config, key });
            Ok((page, Compared { older, newer, next }))
        };
        self.work(&actor, compare).await
    }
}

struct Comparer<'a> {
    store: &'a dyn Store,
    key_store: &'a KeyStore,
    state: &'a State,
    viewer: &'a Viewer,
    diff: &'a NamespaceDiff,
    points: [NamespacePoint; 2],
    cancelled: &'a Cancelled,
    /// In bytes.
    cost: usize,
}

/// The config, and the layer of it, after which a page goes on.
type Place = (ConfigName, Option<LayerKey>);

impl Comparer<'_> {
    fn page(
        &mut self,
        mut take: impl FnMut(DocumentDifference) -> ControlFlow<()>,
    ) -> Result<Option<Place>, Error> {
        for name in self.names() {
            self.cancelled.check()?;
            self.cost += CONFIG_COST;
            let sides = self.configs(&name)?;
            let is_same = self.is_of_one_place() && version(&sides[0]) == version(&sides[1]);
            if !is_same {
                let stopped = match (&self.diff.older.scope, &self.diff.newer.scope) {
                    (Some(older), Some(newer)) => self.documents(&name, &sides, [older, newer], &mut take),
                    (None, _) | (_, None) => self.layers(&name, &sides, &mut take)?,
                };
                if stopped.is_some() {
                    return Ok(stopped);
                }
            }
            if self.cost > COMPARED_BYTES_MAX {
                return Ok(Some((name, None)));
            }
        }
        Ok(None)
    }

    /// The names of the configs of both sides that are still to be compared.
    fn names(&self) -> BTreeSet<ConfigName> {
        let NamespaceDiff { older, newer, include_governing, after } = self.diff;
        let from = after.as_ref().map(|after| (&after.config, after.key.is_some()));
        let mut namespaces = vec![&older.namespace];
        namespaces.extend((newer.namespace != older.namespace).then_some(&newer.namespace));
        let configs = namespaces.into_iter().flat_map(|namespace| self.state.configs_of(namespace));
        let configs = configs.filter(|config| {
            let name = &config.id.config;
            let is_left = from.is_none_or(|(from, is_begun)| name > from || (is_begun && name == from));
            is_left && (*include_governing || name.is_ordinary()) && self.has_config(name)
        });
        configs.map(|config| config.id.config.clone()).collect()
    }

    fn has_config(&self, name: &ConfigName) -> bool {
        let visibility = self.viewer.visibility();
        let sides = [&self.diff.older, &self.diff.newer];
        sides.iter().all(|side| match &side.scope {
            Some(scope) => visibility.has(&side.namespace, name, scope),
            None => visibility.has_config(&side.namespace, name),
        })
    }

    /// Whether both sides are of the same layers, at two points in time.
    fn is_of_one_place(&self) -> bool {
        let NamespaceDiff { older, newer, .. } = self.diff;
        older.namespace == newer.namespace && older.scope == newer.scope
    }

    /// The config of both sides as it was. `None`: it did not exist.
    fn configs(&mut self, name: &ConfigName) -> Result<[Option<Arc<ConfigState>>; 2], Error> {
        let mut sides = [None, None];
        let namespaces = [&self.diff.older.namespace, &self.diff.newer.namespace];
        for ((side, point), namespace) in sides.iter_mut().zip(&self.points).zip(namespaces) {
            let id = ConfigId { namespace: namespace.clone(), config: name.clone() };
            let Some(current) = self.state.config(&id) else { continue };
            *side = point.config(self.store, current)?;
            if !point.is_now(current) {
                self.cost += side.as_ref().map_or(0, |config| LAYER_COST * config.layers().len());
            }
        }
        Ok(sides)
    }

    fn documents(
        &mut self,
        name: &ConfigName,
        sides: &[Option<Arc<ConfigState>>; 2],
        scopes: [&Scope; 2],
        take: &mut impl FnMut(DocumentDifference) -> ControlFlow<()>,
    ) -> Option<Place> {
        let older = self.document(&sides[0], scopes[0], View::Effective);
        let newer = self.document(&sides[1], scopes[1], View::Effective);
        let difference = difference(name, None, older, newer)?;
        take(difference).is_break().then(|| (name.clone(), None))
    }

    /// The layers of a config, as far as the caller may read them.
    fn layers(
        &mut self,
        name: &ConfigName,
        sides: &[Option<Arc<ConfigState>>; 2],
        take: &mut impl FnMut(DocumentDifference) -> ControlFlow<()>,
    ) -> Result<Option<Place>, Error> {
        let begun = self.diff.after.as_ref().filter(|after| after.config == *name);
        let begun = begun.and_then(|after| after.key.as_ref());
        let visibility = self.viewer.visibility();
        let is_seen = |key: &LayerKey| {
            let sides = [&self.diff.older, &self.diff.newer];
            sides.iter().all(|side| visibility.has(&side.namespace, name, &key.scope))
        };
        let keys = sides.iter().flatten().flat_map(|config| config.layers()).map(|entry| &entry.key);
        let keys: BTreeSet<&LayerKey> =
            keys.filter(|key| begun.is_none_or(|begun| *key > begun) && is_seen(key)).collect();
        for key in keys {
            self.cancelled.check()?;
            self.cost += LAYER_COST;
            let digest = |side: &Option<Arc<ConfigState>>| Some(side.as_ref()?.layer(key)?.layer.digest());
            if digest(&sides[0]) != digest(&sides[1]) {
                let view = View::Layer(key.kind);
                let [older, newer] = [&sides[0], &sides[1]].map(|side| self.document(side, &key.scope, view));
                if let Some(difference) = difference(name, Some(key.clone()), older, newer)
                    && take(difference).is_break()
                {
                    return Ok(Some((name.clone(), Some(key.clone()))));
                }
            }
            if self.cost > COMPARED_BYTES_MAX {
                return Ok(Some((name.clone(), Some(key.clone()))));
            }
        }
        Ok(None)
    }

    /// A document whose secrets are masked. `None`: there is none.
    fn document(&mut self, config: &Option<Arc<ConfigState>>, scope: &Scope, view: View) -> Option<Value> {
        let config = config.as_ref()?;
        let (id, scope) = (config.id.clone(), scope.clone());
        let target = Arc::new(Target { id, scope, view, secrets: Secrets::Hidden });
        let marking = marking_schema(&config.id, self.state);
        let resolved = resolve(config, &target, None, self.key_store, marking.as_deref())?;
        self.cost += resolved.content.as_str().len();
        let mut value = resolved.content.to_value();
        let hidden = resolved.secrets.hidden();
        // Fingerprints of equal secrets in two layers differ: that they differ tells nothing.
        if !self.is_of_one_place() && !hidden.contains(&Pointer::root()) {
            mask(&mut value, hidden, &MASK.into());
        }
        Some(value)
    }
}

fn version(config: &Option<Arc<ConfigState>>) -> Option<Version> {
    // A config that was deleted has nothing, as one that never was.
    config.as_ref().filter(|config| !config.is_deleted()).map(|config| config.at.version)
}

/// `None`: the documents are equal.
fn difference(
    config: &ConfigName,
    key: Option<LayerKey>,
    older: Option<Value>,
    newer: Option<Value>,
) -> Option<DocumentDifference> {
    if older == newer {
        return None;
    }
    let (is_in_older, is_in_newer) = (older.is_some(), newer.is_some());
    let [older, newer] = [older, newer].map(|side| side.unwrap_or_else(|| json!({})));
    let (changes, is_all) = first_differences(&older, &newer, DIFFERENCES_MAX, POINTER_BYTES_MAX);
    let config = config.clone();
    Some(DocumentDifference { config, key, is_in_older, is_in_newer, changes, is_cut: !is_all })
}
