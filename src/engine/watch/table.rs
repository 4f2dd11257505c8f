//! The table of followed targets: from a changed layer to the targets that depend on it, and their streams. The hub guards the table with one lock.
//! Knows no documents and no messages.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::model::{ConfigId, ConfigName, LayerKey, Namespace, Scope};

use super::super::state::State;
use super::client::LabelSets;
use super::followers::Followers;
use super::shared_target::SharedTarget;
use super::subscriber::Subscriber;
use super::subscriber_id::SubscriberId;
use super::timers::{Tick, Timers};
use super::watchers::WatcherCounts;
use crate::engine::read::resolve::{Target, View};
use crate::engine::secrets::secret_places::Secrets;

/// All subscriptions.
pub(super) struct Table {
    pub draining: bool,
    pub timers: Timers,
    pub watchers: WatcherCounts,
    pub labels: LabelSets,
    subscribers: HashMap<SubscriberId, Entry>,
    /// The targets of each config, by namespace, sorted by scope and view: the targets below a scope are neighbours.
    shared_targets: HashMap<Namespace, BTreeMap<ConfigName, Vec<Arc<SharedTarget>>>>,
    /// The streams that follow every config of a namespace, by the part of each config that they show.
    namespaces: HashMap<Namespace, BTreeMap<Group, Followers>>,
}

/// The part of each config that streams of a whole namespace show.
pub(super) type Group = (Scope, View, Secrets);

struct Entry {
    subscriber: Arc<Subscriber>,
    /// When the timers wake it.
    due: Tick,
}

impl Table {
    pub fn new(started: Instant) -> Table {
        Table {
            draining: false,
            timers: Timers::new(started),
            watchers: WatcherCounts::default(),
            labels: LabelSets::default(),
            subscribers: HashMap::new(),
            shared_targets: HashMap::new(),
            namespaces: HashMap::new(),
        }
    }

    /// Adds a stream that was just opened. Whether it is the first one that is due.
    pub fn add(&mut self, subscriber: Arc<Subscriber>, now: Instant) -> bool {
        let tick = Tick::at(self.timers.started(), now);
        subscriber.sends_at(tick);
        let (_, due) = subscriber.look_at_silence(tick);
        let first = self.timers.add(due, subscriber.id);
        self.subscribers.insert(subscriber.id, Entry { subscriber, due });
        first
    }

    pub fn remove(&mut self, id: SubscriberId) {
        if let Some(entry) = self.subscribers.remove(&id) {
            self.timers.remove(entry.due, id);
        }
    }

    pub fn subscriber(&self, id: SubscriberId) -> Option<&Arc<Subscriber>> {
        self.subscribers.get(&id).map(|entry| &entry.subscriber)
    }

    pub fn subscribers(&self) -> impl ExactSizeIterator<Item = &Arc<Subscriber>> {
        self.subscribers.values().map(|entry| &entry.subscriber)
    }

    /// Takes a stream that is due for a progress message.
    pub fn take_silent(&mut self, now: Tick) -> Option<Arc<Subscriber>> {
        loop {
            let id = self.timers.take_due(now)?;
            let entry = self.subscribers.get_mut(&id).expect("a stream leaves the timers when it goes");
            let (silent, due) = entry.subscriber.look_at_silence(now);
            entry.due = due;
            self.timers.add(due, id);
            if silent {
                return Some(entry.subscriber.clone());
            }
        }
    }

    /// The shared target of a target, a new one if nobody follows it yet.
    pub fn shared_target(&mut self, target: Target, state: &State) -> Arc<SharedTarget> {
        let ConfigId { namespace, config } = &target.id;
        if !self.shared_targets.contains_key(namespace) {
            self.shared_targets.insert(namespace.clone(), BTreeMap::new());
        }
        let configs = self.shared_targets.get_mut(namespace).expect("it was put there");
        if !configs.contains_key(config) {
            configs.insert(config.clone(), vec![]);
        }
        let shared_targets = configs.get_mut(config).expect("it was put there");
        match position(shared_targets, &target) {
            Ok(at) => shared_targets[at].clone(),
            Err(at) => {
                let shared_target = Arc::new(SharedTarget::new(target, state));
                if shared_targets.is_empty() {
                    shared_targets.reserve_exact(1);
                }
                shared_targets.insert(at, shared_target.clone());
                shared_target
            }
        }
    }

    /// Forgets a shared target if nobody follows it any more.
    pub fn release(&mut self, shared_target: &SharedTarget) {
        if shared_target.alone().len() + shared_target.among().len() > 0 {
            return;
        }
        let ConfigId { namespace, config } = &shared_target.target.id;
        let Some(configs) = self.shared_targets.get_mut(namespace) else { return };
        let Some(shared_targets) = configs.get_mut(config) else { return };
        if let Ok(at) = position(shared_targets, &shared_target.target)
            && std::ptr::eq(&*shared_targets[at], shared_target)
        {
            shared_targets.remove(at);
            if shared_targets.is_empty() {
                configs.remove(config);
            }
            if configs.is_empty() {
                self.shared_targets.remove(namespace);
            }
        }
    }

    /// Lets a stream follow every config of a namespace, as the target at `place` of its request.
    pub fn follow_namespace(
        &mut self,
        subscriber: &Arc<Subscriber>,
        place: u32,
        namespace: &Namespace,
        scope: &Scope,
        (view, secrets): (View, Secrets),
    ) {
        let groups = self.namespaces.entry(namespace.clone()).or_default();
        groups.entry((scope.clone(), view, secrets)).or_default().add(subscriber, place);
    }

    pub fn unfollow_namespace(
        &mut self,
        id: SubscriberId,
        place: u32,
        namespace: &Namespace,
        scope: &Scope,
        (view, secrets): (View, Secrets),
    ) {
        let Some(groups) = self.namespaces.get_mut(namespace) else {
            return;
        };
        let key = (scope.clone(), view, secrets);
        if let Some(followers) = groups.get_mut(&key) {
            followers.remove(id, place);
            if followers.len() == 0 {
                groups.remove(&key);
            }
        }
        if groups.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    /// Whether a stream follows the config, or its namespace.
    pub fn concerns(&self, id: &ConfigId) -> bool {
        self.targets_of(id).is_some()
            || (id.config.is_ordinary() && self.namespaces.contains_key(&id.namespace))
    }

    /// The followed targets of a config whose documents can depend on one of these layers. Does not look at the others.
    pub fn cells_of<'a>(&'a self, id: &ConfigId, changed: &'a [LayerKey]) -> Vec<&'a Arc<SharedTarget>> {
        let Some(shared_targets) = self.targets_of(id) else {
            return vec![];
        };
        let mut found: Vec<usize> = vec![];
        for layer in changed {
            let depends = |at: &usize| {
                shared_targets[*at].target.view.depends_on(&shared_targets[*at].target.scope, layer)
            };
            found.extend(at_or_below(shared_targets, &layer.scope).filter(depends));
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|at| &shared_targets[at]).collect()
    }

    /// Those who follow all of a namespace, where what they see of this config can depend on one of these layers.
    pub fn groups_of<'a>(
        &'a self,
        id: &ConfigId,
        changed: &'a [LayerKey],
    ) -> impl Iterator<Item = (&'a Scope, View, Secrets, &'a Followers)> {
        let groups =
            self.namespaces.get(&id.namespace).filter(|_| id.config.is_ordinary()).into_iter().flatten();
        let groups = groups.map(|((scope, view, secrets), followers)| (scope, *view, *secrets, followers));
        groups.filter(|(scope, view, ..)| changed.iter().any(|layer| view.depends_on(scope, layer)))
    }

    /// The followed targets of a config, with the number of streams of each.
    pub fn watched(&self, id: &ConfigId) -> Vec<(Scope, View, usize)> {
        let shared_targets = self.targets_of(id).into_iter().flatten();
        let shared_targets = shared_targets.map(|shared_target| {
            (
                shared_target.target.scope.clone(),
                shared_target.target.view,
                shared_target.alone().len() + shared_target.among().len(),
            )
        });
        let groups =
            self.namespaces.get(&id.namespace).filter(|_| id.config.is_ordinary()).into_iter().flatten();
        shared_targets
            .chain(groups.map(|((scope, view, _), followers)| (scope.clone(), *view, followers.len())))
            .collect()
    }

    fn targets_of(&self, id: &ConfigId) -> Option<&Vec<Arc<SharedTarget>>> {
        self.shared_targets.get(&id.namespace)?.get(&id.config)
    }

    /// Followed targets of a namespace, or of one config there, in their order: so many that come after this one.
    pub fn cells_after(
        &self,
        namespace: &Namespace,
        config: Option<&ConfigName>,
        last: Option<&Target>,
        max: usize,
    ) -> Vec<Arc<SharedTarget>> {
        let Some(configs) = self.shared_targets.get(namespace) else { return vec![] };
        let from = config.or(last.map(|last| &last.id.config)).map_or(Bound::Unbounded, Bound::Included);
        let to = config.map_or(Bound::Unbounded, Bound::Included);
        let rest = |(name, shared_targets): (&ConfigName, &'_ Vec<Arc<SharedTarget>>)| {
            let last = last.filter(|last| last.id.config == *name);
            last.map_or(0, |last| {
                shared_targets.partition_point(|shared_target| order(&shared_target.target) <= order(last))
            })
        };
        let mut found: Vec<Arc<SharedTarget>> = vec![];
        for (name, shared_targets) in configs.range::<ConfigName, _>((from, to)) {
            let next = &shared_targets[rest((name, shared_targets))..];
            found.extend(next.iter().take(max - found.len()).cloned());
            if found.len() >= max {
                break;
            }
        }
        found
    }

    /// The next of what streams see that follow all of a namespace, in the order of these.
    pub fn group_after(&self, namespace: &Namespace, last: Option<&Group>) -> Option<Group> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut groups = self.namespaces.get(namespace)?.range::<Group, _>((from, Bound::Unbounded));
        groups.next().map(|(group, _)| group.clone())
    }

    /// Streams that follow all of a namespace and see this of it: so many that came after this one.
    pub fn group_followers(
        &self,
        namespace: &Namespace,
        group: &Group,
        after: SubscriberId,
        max: usize,
    ) -> Vec<(u32, Arc<Subscriber>)> {
        let followers = self.namespaces.get(namespace).and_then(|groups| groups.get(group));
        followers.map(|followers| followers.slice_after(after, max)).unwrap_or_default()
    }

    /// Targets that are followed, a namespace once for each stream.
    pub fn target_count(&self) -> usize {
        let groups = self.namespaces.values().flat_map(BTreeMap::values);
        self.shared_targets.values().flat_map(BTreeMap::values).map(Vec::len).sum::<usize>()
            + groups.map(Followers::len).sum::<usize>()
    }
}

fn position(shared_targets: &[Arc<SharedTarget>], target: &Target) -> Result<usize, usize> {
    shared_targets.binary_search_by(|shared_target| order(&shared_target.target).cmp(&order(target)))
}

fn order(target: &Target) -> (&str, u8, Secrets) {
    let view = match target.view {
        View::Effective => 0,
        View::Base => 1,
        View::Filled => 2,
        View::Layer(kind) => 3 + kind as u8,
    };
    (target.scope.as_str(), view, target.secrets)
}

/// Where the shared targets of a scope are, and of those below it. As texts, `/a` is followed by `/a-b` before `/a/b`: so these are two
/// stretches.
fn at_or_below(shared_targets: &[Arc<SharedTarget>], scope: &Scope) -> impl Iterator<Item = usize> + use<> {
    let from = |text: &str| {
        shared_targets.partition_point(|shared_target| shared_target.target.scope.as_str() < text)
    };
    let (at, below) = match scope.is_global() {
        true => (0..0, 0..shared_targets.len()),
        false => {
            let text = scope.as_str();
            // `0` is what comes after `/`.
            (from(text)..from(&format!("{text}\0")), from(&format!("{text}/"))..from(&format!("{text}0")))
        }
    };
    at.chain(below)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::state::Loading;
    use crate::model::{Epoch, LayerKind};
    use crate::store::Head;

    fn scope() -> impl Strategy<Value = Scope> {
        let segment = prop_oneof![Just("a"), Just("a-b"), Just("a.b"), Just("a0"), Just("b")];
        prop::collection::vec(segment, 0..4)
            .prop_map(|segments| Scope::parse(&format!("/{}", segments.join("/"))).expect("a scope"))
    }

    proptest! {
        #[test]
        fn the_targets_that_can_have_changed_are_those_that_depend_on_a_changed_layer(
            followed in prop::collection::vec((scope(), any::<bool>()), 0..40),
            changed in prop::collection::vec(scope(), 0..4),
        ) {
            let state = Loading::default().state(Epoch(1), Head::EMPTY);
            let id = ConfigId {
                namespace: Namespace::parse("test").expect("a name"),
                config: ConfigName::parse("app").expect("a name"),
            };
            let mut table = Table::new(Instant::now());
            let mut shared_targets = vec![];
            for (scope, effective) in followed {
                let view = if effective { View::Effective } else { View::Layer(LayerKind::Base) };
                let secrets = Secrets::Revealed;
                shared_targets.push(table.shared_target(Target { id: id.clone(), scope, view, secrets }, &state));
            }
            shared_targets.sort_by(|a, b| order(&a.target).cmp(&order(&b.target)));
            shared_targets.dedup_by(|a, b| Arc::ptr_eq(a, b));
            let changed: Vec<_> = changed.into_iter().map(LayerKey::base).collect();
            let found: Vec<_> = table.cells_of(&id, &changed).into_iter().map(|shared_target| shared_target.target.clone()).collect();
            let depends =
                |shared_target: &&Arc<SharedTarget>| changed.iter().any(|layer| shared_target.target.view.depends_on(&shared_target.target.scope, layer));
            let expected: Vec<_> = shared_targets.iter().filter(depends).map(|shared_target| shared_target.target.clone()).collect();
            prop_assert_eq!(found, expected);
            for layer in &changed {
                let looked = at_or_below(&shared_targets, &layer.scope).map(|at| &shared_targets[at].target.scope);
                let below = shared_targets.iter().map(|shared_target| &shared_target.target.scope).filter(|scope| layer.scope.contains(scope));
                prop_assert_eq!(looked.collect::<Vec<_>>(), below.collect::<Vec<_>>(), "no other is looked at");
            }
            prop_assert_eq!(table.target_count(), shared_targets.len());
            shared_targets.iter().for_each(|shared_target| table.release(shared_target));
            prop_assert_eq!(table.target_count(), 0);
        }
    }
}
