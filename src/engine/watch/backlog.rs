//! Targets whose documents the hub makes later, since a commit has changed very many of one namespace: namespaces take turns, so that none waits
//! for the documents of another. Knows targets; not who follows them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::message::Known;
use super::shared_target::SharedTarget;
use crate::model::Namespace;

#[derive(Default)]
pub(super) struct Backlog {
    queues: HashMap<Namespace, VecDeque<Postponed>>,
    /// The namespaces with waiting targets, the next namespace first.
    turns: VecDeque<Namespace>,
    /// The document that the streams of each waiting target were last sent, by the address of the target. `None`: the target has changed again since, so that
    /// some streams may have been sent a state in between.
    told: HashMap<usize, Known>,
}

/// A target that has moved on to a new state, and whose document may be another one.
pub(super) struct Postponed {
    pub shared_target: Arc<SharedTarget>,
    /// The document that its streams were sent before, if all of them were sent the same.
    pub before: Known,
}

impl Backlog {
    /// Adds a target with the document that its streams were last sent. A target that waits already is not added again.
    pub fn add(&mut self, shared_target: Arc<SharedTarget>, before: Known) {
        match self.told.entry(Arc::as_ptr(&shared_target).addr()) {
            Entry::Occupied(mut told) => *told.get_mut() = Known::Nothing,
            Entry::Vacant(told) => {
                told.insert(before);
                let namespace = &shared_target.target.id.namespace;
                if !self.queues.contains_key(namespace) {
                    self.turns.push_back(namespace.clone());
                }
                let queue = self.queues.entry(namespace.clone()).or_default();
                queue.push_back(Postponed { shared_target, before });
            }
        }
    }

    /// The next target, of the namespace whose turn it is.
    pub fn next(&mut self) -> Option<Postponed> {
        let namespace = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&namespace)?;
        let waiting = queue.pop_front()?;
        match queue.is_empty() {
            true => _ = self.queues.remove(&namespace),
            false => self.turns.push_back(namespace),
        }
        let before = self.told.remove(&Arc::as_ptr(&waiting.shared_target).addr())?;
        Some(Postponed { before, ..waiting })
    }

    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    #[cfg(test)]
    pub fn has(&self, is_it: impl Fn(&crate::engine::read::resolve::Target) -> bool) -> bool {
        self.queues.values().flatten().any(|waiting| is_it(&waiting.shared_target.target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::read::resolve::{Target, View};
    use crate::engine::secrets::secret_places::Secrets;
    use crate::engine::state::Loading;
    use crate::model::{ConfigId, ConfigName, Epoch, Scope};
    use crate::store::Head;

    #[test]
    fn namespaces_take_turns_and_each_target_waits_once() {
        let state = Loading::default().state(Epoch(1), Head::EMPTY);
        let shared_target = |namespace: &str, scope: &str| {
            let namespace = Namespace::parse(namespace).expect("a name");
            let id = ConfigId { namespace, config: ConfigName::parse("app").expect("a name") };
            let (scope, view) = (Scope::parse(scope).expect("a scope"), View::Effective);
            Arc::new(SharedTarget::new(Target { id, scope, view, secrets: Secrets::Revealed }, &state))
        };
        let many: Vec<_> = (0..4).map(|at| shared_target("many", &format!("/s{at}"))).collect();
        let (few, again) = (shared_target("few", "/"), shared_target("few", "/again"));
        let mut backlog = Backlog::default();
        for shared_target in many.iter().chain([&few, &again, &again]) {
            backlog.add(shared_target.clone(), Known::Absent);
        }
        let order: Vec<_> = std::iter::from_fn(|| backlog.next())
            .map(|waiting| {
                let Target { id, scope, .. } = &*waiting.shared_target.target;
                (format!("{}{scope}", id.namespace), waiting.before == Known::Absent)
            })
            .collect();
        let expected = [
            ("many/s0", true),
            ("few/", true),
            ("many/s1", true),
            ("few/again", false),
            ("many/s2", true),
            ("many/s3", true),
        ];
        assert_eq!(order, expected.map(|(name, is_known)| (name.to_owned(), is_known)));
        assert!(backlog.is_empty() && backlog.told.is_empty() && backlog.queues.is_empty());
    }
}
