//! The configs from which a write is planned: the configs that it concerns, those that they govern, and those that govern them. Knows states; a plan is
//! valid in another state as long as all of these configs are the same there.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{ConfigId, Namespace, Revision};

use crate::engine::state::governance::{Governance, Governed};
use crate::engine::state::{ConfigState, State, system};

/// Planning for layers of more than so many bytes is left to the threads that may block.
const INLINE_BYTES_MAX: usize = 32 << 10;
/// The least cost of a layer, in bytes.
const LAYER_COST: usize = 64;

/// The configs that a write concerns, with all that it depends on, as they are before it.
pub(in crate::engine) struct ReadSet {
    /// Sorted by id.
    configs: Vec<(ConfigId, Option<Arc<ConfigState>>)>,
    /// The configs that these govern, without the deleted, in the order of their ids.
    governed: Vec<Arc<ConfigState>>,
    /// Namespaces of which all configs are governed: one that is new belongs to them.
    whole: Vec<Namespace>,
    /// A namespace of which the write concerns all configs.
    namespace: Option<WholeNamespace>,
    /// What governs the namespaces of the configs.
    governances: Vec<(Namespace, Option<Arc<Governance>>)>,
}

/// A namespace of which a write concerns all configs, also those that it leaves as they are.
struct WholeNamespace {
    namespace: Namespace,
    /// The newest commit that changed the namespace.
    changed: Revision,
    /// The namespace has configs that have changed since the write looked up its configs.
    has_others: bool,
}

impl ReadSet {
    /// `ids` must be sorted.
    pub fn of(ids: &[ConfigId], state: &State) -> ReadSet {
        let configs = ids.iter().map(|id| (id.clone(), state.config(id).cloned())).collect();
        let mut bases =
            ReadSet { configs, governed: vec![], whole: vec![], namespace: None, governances: vec![] };
        for of_namespace in ids.chunk_by(|a, b| a.namespace == b.namespace) {
            let namespace = &of_namespace[0].namespace;
            let governance = state.governance(namespace);
            bases.add_governed(of_namespace, state, governance.map(Arc::as_ref));
            bases.governances.push((namespace.clone(), governance.cloned()));
        }
        bases
    }

    /// The same for a write to all configs of a namespace, of which `ids` are those that had changed up to a revision. The cost grows with the
    /// configs of the namespace.
    pub fn of_namespace(
        ids: &[ConfigId],
        state: &State,
        namespace: &Namespace,
        looked_up: Revision,
        concerns: impl Fn(&ConfigId) -> bool,
    ) -> ReadSet {
        let changed = state.changed(namespace);
        let is_other = |config: &&Arc<ConfigState>| {
            config.at.revision > looked_up && concerns(&config.id) && ids.binary_search(&config.id).is_err()
        };
        let has_others = changed > looked_up && state.configs_of(namespace).any(|config| is_other(&config));
        let namespace = Some(WholeNamespace { namespace: namespace.clone(), changed, has_others });
        ReadSet { namespace, ..ReadSet::of(ids, state) }
    }

    /// Whether configs have changed that the write should have looked up.
    pub fn has_others(&self) -> bool {
        self.namespace.as_ref().is_some_and(|whole| whole.has_others)
    }

    fn add_governed(&mut self, ids: &[ConfigId], state: &State, governance: Option<&Governance>) {
        if ids.iter().all(|id| id.config.is_ordinary()) {
            return;
        }
        let namespace = &ids[0].namespace;
        let (mut names, none) = (BTreeSet::new(), Governance::default());
        for governs in ids.iter().filter_map(|id| id.config.governs()) {
            match system::governed_by(governance.unwrap_or(&none), &governs) {
                Governed::These(these) => names.extend(these),
                Governed::All => {
                    self.governed.extend(ordinary(namespace, state).cloned());
                    return self.whole.push(namespace.clone());
                }
            }
        }
        for config in names {
            // A config that does not exist yet may be created together with the configs that govern it: then their governance changes.
            let id = ConfigId { namespace: namespace.clone(), config };
            match state.config(&id) {
                Some(config) => self.governed.push(config.clone()),
                None => self.configs.push((id, None)),
            }
        }
        self.configs.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.configs.dedup_by(|(a, _), (b, _)| a == b);
    }

    /// Whether all of these configs are the same in another state.
    pub fn hold_in(&self, state: &State) -> bool {
        if let Some(whole) = &self.namespace {
            return state.changed(&whole.namespace) == whole.changed;
        }
        let same = |base: Option<&Arc<ConfigState>>, id: &ConfigId| match (base, state.config(id)) {
            (Some(base), Some(now)) => Arc::ptr_eq(base, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.configs.iter().all(|(id, base)| same(base.as_ref(), id))
            && self.governed.iter().all(|config| same(Some(config), &config.id))
            && self.governances.iter().all(|(namespace, base)| match (base, state.governance(namespace)) {
                (Some(base), Some(now)) => Arc::ptr_eq(base, now),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            })
            && self.whole.iter().all(|namespace| {
                ordinary(namespace, state).count()
                    == self.governed.iter().filter(|config| config.id.namespace == *namespace).count()
            })
    }

    /// Whether planning the write is little work.
    pub fn are_small(&self) -> bool {
        let is_light = |id: &ConfigId| {
            let governance = self.governance(&id.namespace);
            governance.is_none_or(|governance| {
                governance
                    .known(&id.config)
                    .is_some_and(|contract| contract.is_ok_and(|contract| contract.is_light()))
            })
        };
        let layers = self.configs.iter().flat_map(|(_, base)| base.iter().flat_map(|config| config.layers()));
        let costs = layers.map(|entry| entry.layer.content.as_str().len() + LAYER_COST);
        let mut left = INLINE_BYTES_MAX;
        self.namespace.is_none()
            && self.configs.iter().all(|(id, _)| id.config.is_ordinary() && is_light(id))
            && costs.into_iter().all(|cost| left.checked_sub(cost).inspect(|rest| left = *rest).is_some())
    }

    pub fn get(&self, id: &ConfigId) -> Option<&Arc<ConfigState>> {
        match self.configs.binary_search_by(|(other, _)| other.cmp(id)) {
            Ok(at) => self.configs[at].1.as_ref(),
            // They come in the order of their ids.
            Err(_) => {
                let found = self.governed.binary_search_by(|config| config.id.cmp(id));
                found.ok().map(|at| &self.governed[at])
            }
        }
    }

    pub fn governed(&self) -> &[Arc<ConfigState>] {
        &self.governed
    }

    /// What governs a namespace after these configs have changed, some of which may be of others.
    pub fn governance_after(
        &self,
        namespace: &Namespace,
        changed: &[Arc<ConfigState>],
    ) -> Option<Arc<Governance>> {
        let before = self.governance(namespace);
        let governing = changed
            .iter()
            .filter(|config| config.id.namespace == *namespace && !config.id.config.is_ordinary());
        let governing: Vec<_> = governing.collect();
        match governing.is_empty() {
            true => before.cloned(),
            false => Governance::after(before.map(Arc::as_ref), governing),
        }
    }

    /// A namespace in which every write must say why it is made.
    pub fn demanding_reason(&self) -> Option<&Namespace> {
        let demands = |governance: &Option<Arc<Governance>>| {
            governance.as_ref().is_some_and(|governance| governance.demands_reason())
        };
        self.governances.iter().find(|(_, governance)| demands(governance)).map(|(namespace, _)| namespace)
    }

    /// The namespaces in which every change of a layer must say which version it expects.
    pub fn demanding_match(&self) -> impl Iterator<Item = &Namespace> {
        let demands = |governance: &Option<Arc<Governance>>| {
            governance.as_ref().is_some_and(|governance| governance.demands_match())
        };
        self.governances
            .iter()
            .filter(move |(_, governance)| demands(governance))
            .map(|(namespace, _)| namespace)
    }

    /// What governs a namespace.
    pub fn governance(&self, namespace: &Namespace) -> Option<&Arc<Governance>> {
        let found = self.governances.iter().find(|(other, _)| other == namespace);
        found.and_then(|(_, governance)| governance.as_ref())
    }
}

/// The configs of a namespace that do not govern others, without the deleted.
fn ordinary<'a>(namespace: &'a Namespace, state: &'a State) -> impl Iterator<Item = &'a Arc<ConfigState>> {
    state.configs_of(namespace).filter(|config| config.id.config.is_ordinary() && !config.is_deleted())
}
