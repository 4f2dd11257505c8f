//! Floods: each source has a budget of records that are written one by one. What a source does beyond its budget is summed up for this source
//! alone, and for each of its namespaces, so that an auditor of one namespace sees what concerns it. In the rooms of denials, what happens again
//! within a minute is counted, too. Knows no clock, and no file.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::event::{Entry, Event};
use super::room::{Budget, Room};
use super::text::bounded;
use crate::model::Timestamp;

/// For so long the same is counted after it was written, and so long a sum becomes.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Different things whose repeats are counted. Repeats of more are written, as far as the budget of their source allows.
const REPEATS_MAX: usize = 10_000;
/// Sources beyond their budget that are summed up each for itself, in one room. Those of more are summed up by their kind.
const SOURCES_MAX: usize = 1000;
/// Namespaces of one source that have a sum of their own. What it does in further ones is summed up together, and so is what it does in namespaces
/// that do not exist: whoever makes names up must not use up the sums of those that exist.
pub(super) const NAMESPACES_OF_SOURCE_MAX: u16 = 100;
/// Sums of one namespace, of all sources of one room.
const NAMESPACE_SUMS_MAX: usize = 10_000;
/// Sources whose budget is known, in one room. More have none.
const BUDGETS_MAX: usize = 10_000;
const SHARDS: usize = 16;
/// What of the name of a resource is kept in a sum.
const RESOURCE_BYTES_MAX: usize = 512;

/// Whether a namespace of this name exists.
pub type NamespaceExists = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What was written a short time ago, and who may have how much written.
pub struct Floods {
    hashing: RandomState,
    /// Each guards its share of the keys. No two are locked together.
    shards: [Mutex<Shard>; SHARDS],
    repeats: AtomicUsize,
    sources: [AtomicUsize; Room::ALL.len()],
    namespace_sums: [AtomicUsize; Room::ALL.len()],
    budgets: [AtomicUsize; Room::ALL.len()],
    namespace_exists: NamespaceExists,
}

#[derive(Default)]
struct Shard {
    counted: HashMap<u64, Counted>,
    left: HashMap<u64, Left>,
}

/// What is left of a budget.
struct Left {
    room: Room,
    /// In records, as of `at`.
    records: f64,
    at: Timestamp,
    /// Namespaces in which the source has a sum now.
    namespaces: u16,
}

/// What is summed up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grain {
    /// The same again.
    Repeat,
    /// What one source does.
    Source(Room),
    /// What one source does in one namespace.
    Namespace { room: Room, source: u64 },
    /// What all further sources do.
    Kind,
}

struct Counted {
    grain: Grain,
    since: Timestamp,
    /// What was written, to be written again with the sum.
    event: Box<Event>,
    /// Since then.
    count: u64,
    first: Timestamp,
    last: Timestamp,
    /// To what the first and the last of them happened, where that differs.
    first_resource: String,
    last_resource: String,
}

impl Floods {
    pub fn new(namespace_exists: NamespaceExists) -> Floods {
        Floods {
            hashing: RandomState::new(),
            shards: Default::default(),
            repeats: AtomicUsize::new(0),
            sources: Default::default(),
            namespace_sums: Default::default(),
            budgets: Default::default(),
            namespace_exists,
        }
    }

    /// What is to be written at once. `None`: it is counted.
    pub fn note(&self, entry: &Entry<'_>, now: Timestamp) -> Option<Event> {
        let room = Room::of(entry.kind, entry.place.namespace);
        let repeat = room.counts_repeats().then(|| self.key(|hasher| entry.hash_into(hasher)));
        if repeat.is_some_and(|repeat| self.count(repeat, entry, now)) {
            return None;
        }
        let source = self.key(|hasher| (1, room, entry.actor, source_network(room, entry)).hash(hasher));
        if self.spend(source, room, now) {
            let event = entry.event(now);
            if let Some(repeat) = repeat
                && add_below(&self.repeats, REPEATS_MAX)
            {
                self.begin(repeat, Grain::Repeat, &event, now);
            }
            return Some(event);
        }
        let sum_of = |namespace: &str| {
            self.key(|hasher| (2, source, entry.kind, entry.network(), namespace).hash(hasher))
        };
        // Whoever may see what happens in a namespace sees the sum.
        let namespace = entry.place.namespace;
        let own = sum_of(namespace);
        if !namespace.is_empty() {
            if self.count(own, entry, now) {
                return None;
            }
            if (self.namespace_exists)(namespace) && self.take_namespace_sum(room, source) {
                let event = sum_begun(entry, namespace, now);
                self.begin(own, Grain::Namespace { room, source }, &event, now);
                return Some(event);
            }
        }
        let rest = sum_of("");
        if self.count(rest, entry, now) {
            return None;
        }
        if add_below(&self.sources[room as usize], SOURCES_MAX) {
            // What is summed up among attempts has one namespace only.
            let event = sum_begun(entry, if room == Room::Attempts { namespace } else { "" }, now);
            self.begin(rest, Grain::Source(room), &event, now);
            return Some(event);
        }
        let kind = self.key(|hasher| (3, room, entry.kind).hash(hasher));
        if self.count(kind, entry, now) {
            return None;
        }
        let event =
            Event::new(entry.kind, now).with_detail("of many sources: too many floods to be told apart");
        let namespace = if room == Room::Attempts { entry.place.namespace.to_owned() } else { String::new() };
        let event = Event { namespace, ..event };
        self.begin(kind, Grain::Kind, &event, now);
        Some(event)
    }

    /// The sums of what began long enough ago. From then on it is written at once again.
    pub fn due(&self, now: Timestamp) -> Vec<Event> {
        self.forget_full_budgets(now);
        self.sums(now, |counted| counted.since.until(now) >= WINDOW)
    }

    /// The sums of everything, for the end.
    pub fn rest(&self, now: Timestamp) -> Vec<Event> {
        self.sums(now, |_| true)
    }

    fn sums(&self, now: Timestamp, is_due: impl Fn(&Counted) -> bool) -> Vec<Event> {
        let mut sums = vec![];
        for shard in &self.shards {
            let due: Vec<Counted> = locked(shard)
                .counted
                .extract_if(|_, counted| is_due(counted))
                .map(|(_, counted)| counted)
                .collect();
            for counted in due {
                self.end(counted.grain);
                sums.extend(counted.sum(now));
            }
        }
        // The order in which they lie there means nothing.
        sums.sort_by_key(|sum| (sum.first_time, sum.last_time));
        sums
    }

    /// A budget that is full again is that of somebody who is not known.
    fn forget_full_budgets(&self, now: Timestamp) {
        for shard in &self.shards {
            let is_full = |left: &Left| left.records_at(now) >= f64::from(left.room.budget().burst);
            for (_, left) in locked(shard).left.extract_if(|_, left| is_full(left)) {
                self.budgets[left.room as usize].fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether a source may have a further sum of one namespace.
    fn take_namespace_sum(&self, room: Room, source: u64) -> bool {
        let mut shard = locked(self.shard(source));
        let Some(left) = shard.left.get_mut(&source) else { return false };
        let may = left.namespaces < NAMESPACES_OF_SOURCE_MAX
            && add_below(&self.namespace_sums[room as usize], NAMESPACE_SUMS_MAX);
        left.namespaces += u16::from(may);
        may
    }

    /// Takes a record from the budget of a source. Whether there was one.
    fn spend(&self, source: u64, room: Room, now: Timestamp) -> bool {
        let mut shard = locked(self.shard(source));
        if let Some(left) = shard.left.get_mut(&source) {
            let records = left.records_at(now);
            let has_one = records >= 1.0;
            (left.records, left.at) = (if has_one { records - 1.0 } else { records }, left.at.max(now));
            return has_one;
        }
        if !add_below(&self.budgets[room as usize], BUDGETS_MAX) {
            return false;
        }
        let records = f64::from(room.budget().burst) - 1.0;
        shard.left.insert(source, Left { room, records, at: now, namespaces: 0 });
        true
    }

    fn key(&self, hash: impl FnOnce(&mut <RandomState as BuildHasher>::Hasher)) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        hash(&mut hasher);
        hasher.finish()
    }

    /// Whether it is one of those that are counted.
    fn count(&self, key: u64, entry: &Entry<'_>, now: Timestamp) -> bool {
        let mut shard = locked(self.shard(key));
        let Some(counted) = shard.counted.get_mut(&key) else { return false };
        if matches!(counted.grain, Grain::Source(_) | Grain::Namespace { .. }) {
            counted.last_resource = resource(entry);
        }
        if counted.count == 0 {
            counted.first = now;
            counted.first_resource = counted.last_resource.clone();
        }
        counted.count += 1;
        counted.last = now;
        true
    }

    fn begin(&self, key: u64, grain: Grain, event: &Event, now: Timestamp) {
        let begun = Counted {
            grain,
            since: now,
            event: Box::new(event.clone()),
            count: 0,
            first: now,
            last: now,
            first_resource: String::new(),
            last_resource: String::new(),
        };
        let mut shard = locked(self.shard(key));
        // Two who were first at once are both written; one of them is counted on.
        let Some(replaced) = shard.counted.insert(key, begun) else { return };
        if let Some(counted) = shard.counted.get_mut(&key).filter(|_| replaced.count > 0) {
            (counted.count, counted.first) = (replaced.count, replaced.first);
            counted.last = counted.last.max(replaced.last);
            counted.first_resource = replaced.first_resource;
            counted.last_resource = replaced.last_resource;
        }
        drop(shard);
        self.end(grain);
    }

    fn end(&self, grain: Grain) {
        match grain {
            Grain::Repeat => _ = self.repeats.fetch_sub(1, Ordering::Relaxed),
            Grain::Source(room) => _ = self.sources[room as usize].fetch_sub(1, Ordering::Relaxed),
            Grain::Namespace { room, source } => {
                self.namespace_sums[room as usize].fetch_sub(1, Ordering::Relaxed);
                // A budget that is full again is forgotten with its count.
                if let Some(left) = locked(self.shard(source)).left.get_mut(&source) {
                    left.namespaces = left.namespaces.saturating_sub(1);
                }
            }
            Grain::Kind => {}
        }
    }

    fn shard(&self, key: u64) -> &Mutex<Shard> {
        &self.shards[key as usize % SHARDS]
    }
}

impl Left {
    fn records_at(&self, now: Timestamp) -> f64 {
        let Budget { burst, per_minute } = self.room.budget();
        let come = self.at.until(now).as_secs_f64() / 60.0 * f64::from(per_minute);
        (self.records + come).min(f64::from(burst))
    }
}

impl Counted {
    fn sum(self, now: Timestamp) -> Option<Event> {
        let (first_time, last_time) = (Some(self.first), Some(self.last));
        // Each of them had a name and a reason of its own.
        let (request_id, reason) = (String::new(), String::new());
        let (first_resource, last_resource) = (self.first_resource, self.last_resource);
        let event = *self.event;
        (self.count > 0).then_some(Event {
            time: now,
            count: self.count,
            first_time,
            last_time,
            request_id,
            reason,
            first_resource,
            last_resource,
            ..event
        })
    }
}

/// Callers that are known share a budget wherever they call from. Others are known by their network alone.
fn source_network(room: Room, entry: &Entry<'_>) -> Option<std::net::IpAddr> {
    if room == Room::Refused { entry.network() } else { None }
}

/// The record that a flood has begun, which becomes its sum.
fn sum_begun(entry: &Entry<'_>, namespace: &str, now: Timestamp) -> Event {
    let event = Event {
        config: String::new(),
        scope: String::new(),
        first_resource: resource(entry),
        last_resource: resource(entry),
        ..entry.event(now)
    };
    let namespace = if namespace.is_empty() { String::new() } else { event.namespace.clone() };
    Event { namespace, ..event }
        .with_detail("a flood: more than are recorded one by one, those that follow are summed up")
}

/// `payments/checkout/production`, as the log writes it in a sum.
fn resource(entry: &Entry<'_>) -> String {
    let text = match (entry.place.namespace, entry.place.config) {
        ("", _) => entry.method.to_owned(),
        (namespace, "") => namespace.to_owned(),
        (namespace, config) => format!("{namespace}/{config}{}", entry.place.scope),
    };
    bounded(&text, RESOURCE_BYTES_MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds one, unless there are as many already.
fn add_below(count: &AtomicUsize, max: usize) -> bool {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1))
        .is_ok()
}
