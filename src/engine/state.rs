//! Current state: immutable values, folded from commits. A reader takes one and sees nothing half done.

pub(super) mod governance;
pub(super) mod system;
pub(super) mod tags;
pub(super) mod usage;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::model::{
    Commit, ConfigChange, ConfigId, Content, Epoch, Layer, LayerKey, LayerKind, Namespace, Revision, Scope,
    TagName, Timestamp, Version,
};
use crate::store::{ConfigRecord, Head, Snapshot, VersionRef};
use governance::Governance;
use usage::{Growth, Usage};

/// Every config as of one revision. Cheap to clone; a new one shares all that did not change.
#[derive(Clone)]
pub struct State {
    pub epoch: Epoch,
    pub revision: Revision,
    /// Of the commit that made it.
    pub time: Timestamp,
    configs: OrdMap<ConfigId, Arc<ConfigState>>,
    expiries: OrdSet<Expiry>,
    /// Of the namespaces that have any.
    governances: OrdMap<Namespace, Arc<Governance>>,
    /// Of the namespaces that have anything.
    usages: OrdMap<Namespace, Usage>,
    /// The newest commit that changed a config of the namespace.
    changes: OrdMap<Namespace, Revision>,
    /// Of configs of the server.
    compiled: system::Compiled,
}

/// A config as of one version, with its current tags.
#[derive(Clone, Debug)]
pub struct ConfigState {
    pub id: ConfigId,
    pub at: VersionRef,
    layers: Layers,
    /// None for most configs.
    #[expect(clippy::box_collection, reason = "a third of the size where there are none")]
    tags: Option<Box<BTreeMap<TagName, Version>>>,
}

/// The layers of a config, sorted by key. Most configs have one, which needs no list of its own: there may be millions of them.
#[derive(Clone, Debug)]
enum Layers {
    One(Arc<LayerEntry>),
    Many(Box<[Arc<LayerEntry>]>),
}

/// A layer and where it is.
#[derive(Debug)]
pub struct LayerEntry {
    pub key: LayerKey,
    pub layer: Layer,
}

/// When an override falls due. Ordered by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    pub time: Timestamp,
    pub id: ConfigId,
    pub key: LayerKey,
}

/// The state that the records of a store make, while they are read.
#[derive(Default)]
pub struct Loading {
    configs: Vec<Arc<ConfigState>>,
    expiries: OrdSet<Expiry>,
}

impl Loading {
    /// Adds a config: in the order of their ids, each once.
    pub fn add(&mut self, record: ConfigRecord) {
        let config = ConfigState::from(record);
        self.expiries.extend(config.expiries());
        self.configs.push(Arc::new(config));
    }

    /// The state, as of `head`.
    pub fn state(self, epoch: Epoch, head: Head) -> State {
        let mut configs = OrdMap::new();
        let mut insert = |config: &Arc<ConfigState>| {
            configs.insert(config.id.clone(), config.clone());
        };
        // A node of the map that is full is split into halves, and what comes in order never returns to the first: all nodes would
        // stay half empty. So every other one first, and then those between, which fill them.
        self.configs.iter().step_by(2).for_each(&mut insert);
        self.configs.iter().skip(1).step_by(2).for_each(&mut insert);
        let mut state = State {
            epoch,
            revision: head.revision,
            time: head.time,
            configs,
            expiries: self.expiries,
            governances: OrdMap::new(),
            usages: OrdMap::new(),
            changes: OrdMap::new(),
            compiled: system::Compiled::default(),
        };
        for of_namespace in self.configs.chunk_by(|a, b| a.id.namespace == b.id.namespace) {
            let namespace = &of_namespace[0].id.namespace;
            state.govern(namespace, of_namespace);
            state.usages.insert(namespace.clone(), Usage::of(of_namespace));
            let newest = of_namespace.iter().map(|config| config.at.revision).max();
            state.changes.insert(namespace.clone(), newest.unwrap_or(Revision::ZERO));
        }
        state
    }
}

impl From<Vec<Arc<LayerEntry>>> for Layers {
    fn from(mut layers: Vec<Arc<LayerEntry>>) -> Layers {
        match layers.len() {
            1 => Layers::One(layers.swap_remove(0)),
            _ => Layers::Many(layers.into_boxed_slice()),
        }
    }
}

impl Deref for Layers {
    type Target = [Arc<LayerEntry>];

    fn deref(&self) -> &[Arc<LayerEntry>] {
        match self {
            Layers::One(layer) => std::slice::from_ref(layer),
            Layers::Many(layers) => layers,
        }
    }
}

impl DerefMut for Layers {
    fn deref_mut(&mut self) -> &mut [Arc<LayerEntry>] {
        match self {
            Layers::One(layer) => std::slice::from_mut(layer),
            Layers::Many(layers) => layers,
        }
    }
}

impl State {
    pub fn config(&self, id: &ConfigId) -> Option<&Arc<ConfigState>> {
        self.configs.get(id)
    }

    /// The configs after `after` (all if there is none), in the order of their ids, deleted ones included.
    pub fn configs_after(&self, after: Option<&ConfigId>) -> impl Iterator<Item = &Arc<ConfigState>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.configs.range::<_, ConfigId>((from, Unbounded)).map(|(_, config)| config)
    }

    /// The configs of a namespace, in the order of their names, deleted ones included.
    pub fn configs_of<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a Arc<ConfigState>> {
        self.configs
            .range(ConfigId::first_of(namespace)..)
            .map(|(_, config)| config)
            .take_while(move |config| config.id.namespace == *namespace)
    }

    /// The namespaces that have, or once had, a config: in order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.changes.keys()
    }

    /// What governs the configs of a namespace. `None`: nothing.
    pub fn governance(&self, namespace: &Namespace) -> Option<&Arc<Governance>> {
        self.governances.get(namespace)
    }

    /// What a namespace has.
    pub fn usage(&self, namespace: &Namespace) -> Usage {
        self.usages.get(namespace).copied().unwrap_or_default()
    }

    /// The newest commit that changed a config of a namespace. After a start: that changed a layer.
    pub fn changed(&self, namespace: &Namespace) -> Revision {
        self.changes.get(namespace).copied().unwrap_or(Revision::ZERO)
    }

    /// Follows a change of these configs of one namespace.
    fn govern(&mut self, namespace: &Namespace, changed: &[Arc<ConfigState>]) {
        if changed.iter().all(|config| config.id.config.is_ordinary()) {
            return;
        }
        let before = self.governances.get(namespace).map(Arc::as_ref);
        match Governance::after(before, changed) {
            Some(governance) => self.governances.insert(namespace.clone(), governance),
            None => self.governances.remove(namespace),
        };
    }

    pub fn config_count(&self) -> usize {
        self.configs.len()
    }

    /// The overrides that end at or before `time`, earliest first.
    pub fn due(&self, time: Timestamp) -> impl Iterator<Item = &Expiry> {
        self.expiries.iter().take_while(move |expiry| expiry.time <= time)
    }

    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.get_min().map(|expiry| expiry.time)
    }

    /// The state after a commit, which must be the next one.
    pub fn apply(&self, commit: &Commit) -> State {
        let after = commit.changes.iter().map(|change| {
            let mut config = ConfigState::after(self.configs.get(&change.id).map(Arc::as_ref), change);
            config.settle(change, commit.revision, commit.time);
            Arc::new(config)
        });
        let mut next = self.clone();
        next.advance(commit, &after.collect::<Vec<_>>());
        next
    }

    /// Becomes the state after a commit that leaves these configs. What it shares with others is copied as far as it changes, and
    /// nothing of it twice between two clones.
    pub fn advance(&mut self, commit: &Commit, after: &[Arc<ConfigState>]) {
        debug_assert_eq!(commit.revision, self.revision.next());
        self.revision = commit.revision;
        self.time = commit.time;
        for (change, config) in commit.changes.iter().zip(after) {
            let before = self.configs.insert(config.id.clone(), config.clone());
            let growth = Growth::of(before.as_deref(), change, config);
            if !growth.is_none() {
                let usage = self.usage(&config.id.namespace).after(growth);
                self.usages.insert(config.id.namespace.clone(), usage);
            }
            self.follow_system(config);
            for layer in &change.layers {
                let expiry = |time| Expiry { time, id: change.id.clone(), key: layer.key.clone() };
                let was = before.as_ref().and_then(|config| config.layer(&layer.key)?.layer.expires);
                if let Some(time) = was {
                    self.expiries.remove(&expiry(time));
                }
                if let Some(time) = layer.expires {
                    self.expiries.insert(expiry(time));
                }
            }
        }
        for of_namespace in after.chunk_by(|a, b| a.id.namespace == b.id.namespace) {
            let namespace = &of_namespace[0].id.namespace;
            self.govern(namespace, of_namespace);
            self.changes.insert(namespace.clone(), commit.revision);
        }
    }
}

impl ConfigState {
    /// A config before its first commit.
    pub(super) fn unborn(id: ConfigId) -> ConfigState {
        let at = VersionRef { version: Version::ZERO, revision: Revision::ZERO, time: Timestamp(0) };
        ConfigState { id, at, layers: Layers::from(vec![]), tags: None }
    }

    /// The config after a change, but for the revision and time of its version: `settle` is told them.
    pub fn after(before: Option<&ConfigState>, change: &ConfigChange) -> ConfigState {
        let mut config = before.cloned().unwrap_or_else(|| ConfigState::unborn(change.id.clone()));
        config.at.version = change.version;
        let mut layers = config.layers.to_vec();
        for layer in &change.layers {
            let position = layers.binary_search_by(|entry| entry.key.cmp(&layer.key));
            match (&layer.content, position) {
                (Some(content), position) => {
                    let stored = Layer {
                        content: content.clone(),
                        version: change.version,
                        expires: layer.expires,
                        format: layer.format,
                    };
                    match position {
                        // The key that is there, rather than an equal one of its own.
                        Ok(at) => layers[at] = LayerEntry::new(layers[at].key.clone(), stored),
                        Err(at) => {
                            layers.reserve_exact(1);
                            layers.insert(at, LayerEntry::new(layer.key.clone(), stored));
                        }
                    }
                }
                (None, Ok(at)) => {
                    layers.remove(at);
                }
                (None, Err(_)) => {}
            }
        }
        config.layers = layers.into();
        for tag in &change.tags {
            let tags = config.tags.get_or_insert_default();
            match tag.version {
                Some(version) => tags.insert(tag.tag.clone(), version),
                None => tags.remove(&tag.tag),
            };
        }
        config
    }

    /// Gives the version that the change has made its revision and time.
    pub(super) fn settle(&mut self, change: &ConfigChange, revision: Revision, time: Timestamp) {
        if !change.layers.is_empty() {
            self.at = VersionRef { version: change.version, revision, time };
        }
    }

    /// A version out of history. The tags are not history: none.
    pub fn historic(id: ConfigId, snapshot: Snapshot) -> ConfigState {
        let layers = snapshot.layers.into_iter().map(|(key, layer)| LayerEntry::new(key, layer));
        ConfigState { id, at: snapshot.at, layers: layers.collect::<Vec<_>>().into(), tags: None }
    }

    /// The same config with some of its layers alone, in the order of their keys, and without tags.
    pub(super) fn only(&self, layers: &[&Arc<LayerEntry>]) -> ConfigState {
        let mut layers: Vec<_> = layers.iter().map(|layer| Arc::clone(layer)).collect();
        layers.sort_by(|a, b| a.key.cmp(&b.key));
        ConfigState { id: self.id.clone(), at: self.at, layers: layers.into(), tags: None }
    }

    pub fn layer(&self, key: &LayerKey) -> Option<&Arc<LayerEntry>> {
        self.layer_at(key.kind, key.scope.as_str())
    }

    /// The same, with the scope as text.
    pub fn layer_at(&self, kind: LayerKind, path: &str) -> Option<&Arc<LayerEntry>> {
        let at = self
            .layers
            .binary_search_by(|entry| (entry.key.kind, entry.key.scope.as_str()).cmp(&(kind, path)));
        at.ok().map(|at| &self.layers[at])
    }

    /// The layers of a kind at a scope and below it. The cost grows with these, and hardly with the others.
    pub fn layers_within(&self, kind: LayerKind, scope: &Scope) -> impl Iterator<Item = &Arc<LayerEntry>> {
        // All that is below starts with this, and nothing else does.
        let prefix = if scope.is_global() { "/".to_owned() } else { format!("{scope}/") };
        let own = (!scope.is_global()).then(|| self.layer_at(kind, scope.as_str())).flatten();
        let start =
            self.layers.partition_point(|entry| (entry.key.kind, entry.key.scope.as_str()) < (kind, &prefix));
        let below = self.layers[start..]
            .iter()
            .take_while(move |entry| entry.key.kind == kind && entry.key.scope.as_str().starts_with(&prefix));
        own.into_iter().chain(below)
    }

    /// The same config with other contents of layers, where `content` gives one.
    pub(super) fn with_contents(
        self: &Arc<ConfigState>,
        mut content: impl FnMut(&LayerEntry) -> Option<Content>,
    ) -> Arc<ConfigState> {
        let mut layers: Option<Vec<Arc<LayerEntry>>> = None;
        for (at, entry) in self.layers.iter().enumerate() {
            if let Some(content) = content(entry) {
                layers.get_or_insert_with(|| self.layers.to_vec())[at] = entry.with_content(content);
            }
        }
        let with =
            |layers: Vec<_>| Arc::new(ConfigState { layers: layers.into(), ..ConfigState::clone(self) });
        layers.map_or_else(|| Arc::clone(self), with)
    }

    /// Sorted by key.
    pub fn layers(&self) -> &[Arc<LayerEntry>] {
        &self.layers
    }

    pub fn tags(&self) -> &BTreeMap<TagName, Version> {
        static NONE: BTreeMap<TagName, Version> = BTreeMap::new();
        self.tags.as_deref().unwrap_or(&NONE)
    }

    /// It has no layers: it was deleted.
    pub fn is_deleted(&self) -> bool {
        self.layers.is_empty()
    }

    fn expiries(&self) -> impl Iterator<Item = Expiry> + '_ {
        self.layers.iter().filter_map(|entry| {
            let time = entry.layer.expires?;
            Some(Expiry { time, id: self.id.clone(), key: entry.key.clone() })
        })
    }
}

impl LayerEntry {
    fn new(key: LayerKey, layer: Layer) -> Arc<LayerEntry> {
        Arc::new(LayerEntry { key, layer })
    }
}

impl From<ConfigRecord> for ConfigState {
    fn from(record: ConfigRecord) -> ConfigState {
        let mut layers: Vec<_> =
            record.layers.into_iter().map(|(key, layer)| LayerEntry::new(key, layer)).collect();
        layers.sort_by(|a, b| a.key.cmp(&b.key));
        let tags = (!record.tags.is_empty()).then(|| Box::new(record.tags));
        ConfigState { id: record.id, at: record.at, layers: layers.into(), tags }
    }
}
