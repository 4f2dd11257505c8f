//! Who follows what: targets to streams. The hub guards it with one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::model::{ConfigId, ConfigName, LayerKey, Namespace, Scope};

use super::super::resolve::{Resolved, Resolver, Target, View};
use super::super::state::State;
use super::subscriber::{Subscriber, SubscriberId};

/// All subscriptions, and the state that they are told of.
pub(super) struct Table {
    /// What streams resolve from: replaced together with the marks that it makes.
    pub state: Arc<State>,
    pub draining: bool,
    pub subscribers: HashMap<SubscriberId, Arc<Subscriber>>,
    cells: HashMap<ConfigId, HashMap<(Scope, View), Arc<Cell>>>,
    namespaces: HashMap<Namespace, BTreeMap<(SubscriberId, u32), NamespaceFollower>>,
}

/// A target that someone follows.
#[derive(Debug)]
pub(super) struct Cell {
    pub target: Target,
    /// By stream, and place in its request. Changed under the lock of the table only.
    followers: Mutex<BTreeMap<(SubscriberId, u32), Arc<Subscriber>>>,
    /// The newest document that was asked for.
    latest: Mutex<Option<Arc<Resolved>>>,
}

struct NamespaceFollower {
    scope: Scope,
    view: View,
    subscriber: Arc<Subscriber>,
}

impl Cell {
    /// The document of the target in `state`, made at most once for each version.
    pub fn resolve(&self, state: &State, resolver: &Resolver) -> Option<Arc<Resolved>> {
        let config = state.config(&self.target.id)?;
        let mut latest = self.latest.lock().expect("nobody panics under this lock");
        if let Some(resolved) = latest.as_ref().filter(|resolved| resolved.at.version == config.at.version) {
            return Some(resolved.clone());
        }
        let resolved = resolver.resolve(config, &self.target);
        // A reader of an older state must not put it back.
        let newer = latest.as_ref().is_none_or(|latest| latest.at.version < config.at.version);
        if newer {
            latest.clone_from(&resolved);
        }
        resolved
    }
}

impl Table {
    pub fn new(state: Arc<State>) -> Table {
        Table {
            state,
            draining: false,
            subscribers: HashMap::new(),
            cells: HashMap::new(),
            namespaces: HashMap::new(),
        }
    }

    /// Lets a stream follow a target, as the one at `place` of its request.
    pub fn follow(&mut self, subscriber: &Arc<Subscriber>, place: u32, target: &Target) -> Arc<Cell> {
        let of_config = self.cells.entry(target.id.clone()).or_default();
        let cell = of_config.entry((target.scope.clone(), target.view)).or_insert_with(|| {
            Arc::new(Cell { target: target.clone(), followers: Mutex::default(), latest: Mutex::default() })
        });
        let mut followers = cell.followers.lock().expect("nobody panics under this lock");
        followers.insert((subscriber.id, place), subscriber.clone());
        drop(followers);
        cell.clone()
    }

    pub fn unfollow(&mut self, subscriber: SubscriberId, place: u32, cell: &Cell) {
        let mut followers = cell.followers.lock().expect("nobody panics under this lock");
        followers.remove(&(subscriber, place));
        if followers.is_empty()
            && let Some(of_config) = self.cells.get_mut(&cell.target.id)
        {
            of_config.remove(&(cell.target.scope.clone(), cell.target.view));
            if of_config.is_empty() {
                self.cells.remove(&cell.target.id);
            }
        }
    }

    /// Lets a stream follow every config of a namespace.
    pub fn follow_namespace(
        &mut self,
        subscriber: &Arc<Subscriber>,
        place: u32,
        namespace: &Namespace,
        scope: &Scope,
        view: View,
    ) {
        let follower = NamespaceFollower { scope: scope.clone(), view, subscriber: subscriber.clone() };
        self.namespaces.entry(namespace.clone()).or_default().insert((subscriber.id, place), follower);
    }

    pub fn unfollow_namespace(&mut self, subscriber: SubscriberId, place: u32, namespace: &Namespace) {
        if let Some(followers) = self.namespaces.get_mut(namespace) {
            followers.remove(&(subscriber, place));
            if followers.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// The followed targets of a config whose documents can depend on one of these layers.
    pub fn cells_of(&self, id: &ConfigId, changed: &[LayerKey]) -> impl Iterator<Item = &Arc<Cell>> {
        let cells = self.cells.get(id).into_iter().flat_map(HashMap::values);
        cells.filter(move |cell| {
            changed.iter().any(|layer| cell.target.view.depends_on(&cell.target.scope, layer))
        })
    }

    /// Marks the followers of a cell, and adds them to those to wake.
    pub fn mark_cell(&self, cell: &Cell, woken: &mut Vec<Arc<Subscriber>>) {
        for ((_, place), subscriber) in cell.followers.lock().expect("nobody panics under this lock").iter() {
            subscriber.mark(*place);
            woken.push(subscriber.clone());
        }
    }

    /// Marks those who follow the whole namespace of a config that changed.
    pub fn mark_namespace(&self, id: &ConfigId, changed: &[LayerKey], woken: &mut Vec<Arc<Subscriber>>) {
        let followers = self.namespaces.get(&id.namespace).into_iter().flatten();
        for ((_, place), follower) in followers {
            if changed.iter().any(|layer| follower.view.depends_on(&follower.scope, layer)) {
                follower.subscriber.mark_config(*place, &id.config);
                woken.push(follower.subscriber.clone());
            }
        }
    }

    /// Targets that are followed, for tests of what is freed.
    pub fn target_count(&self) -> usize {
        self.cells.values().map(HashMap::len).sum::<usize>()
            + self.namespaces.values().map(BTreeMap::len).sum::<usize>()
    }

    /// The config of a namespace target, as an exact one.
    pub fn target_in(namespace: &Namespace, config: &ConfigName, scope: &Scope, view: View) -> Target {
        let id = ConfigId { namespace: namespace.clone(), config: config.clone() };
        Target { id, scope: scope.clone(), view }
    }
}
