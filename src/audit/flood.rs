//! What happens again and again: the first time is written at once, the rest is counted and written as one sum. Knows no clock, and no file.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::event::{Entry, Event};
use crate::model::Timestamp;

/// For so long the same is counted after it was written.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Different things that are counted. What more there is, is told apart by its kind and where it comes from, and then by its kind alone.
const KEYS_MAX: usize = 10_000;
const NETWORKS_MAX: usize = 1000;
const SHARDS: usize = 16;

/// What was written a short time ago.
pub struct Floods {
    hashing: RandomState,
    /// Each guards its share of the keys. No two are locked together.
    shards: [Mutex<HashMap<u64, Counted>>; SHARDS],
    keys: AtomicUsize,
    networks: AtomicUsize,
}

/// How exactly something is told apart from other things.
#[derive(Clone, Copy)]
enum Grain {
    Whole,
    Network,
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
}

impl Default for Floods {
    fn default() -> Floods {
        Floods {
            hashing: RandomState::new(),
            shards: Default::default(),
            keys: AtomicUsize::new(0),
            networks: AtomicUsize::new(0),
        }
    }
}

impl Floods {
    /// What is to be written at once, if it was not a short time ago. Else it is counted, which takes no memory.
    pub fn note(&self, entry: &Entry<'_>, now: Timestamp) -> Option<Event> {
        let whole = self.key(|hasher| entry.hash_into(hasher));
        if self.count(whole, now) {
            return None;
        }
        if add_below(&self.keys, KEYS_MAX) {
            return self.begin(whole, Grain::Whole, entry.event(now), now);
        }
        let network = self.key(|hasher| {
            use std::hash::Hash;
            (1, entry.kind, entry.network()).hash(hasher);
        });
        if self.count(network, now) {
            return None;
        }
        let of_many = |address: String| {
            let event = Event { address, ..Event::new(entry.kind, now) };
            event.with_detail("of many: too many different ones to be told apart")
        };
        if add_below(&self.networks, NETWORKS_MAX) {
            let address = entry.network().map(|address| address.to_string()).unwrap_or_default();
            return self.begin(network, Grain::Network, of_many(address), now);
        }
        let kind = self.key(|hasher| {
            use std::hash::Hash;
            (2, entry.kind).hash(hasher);
        });
        match self.count(kind, now) {
            true => None,
            false => self.begin(kind, Grain::Kind, of_many(String::new()), now),
        }
    }

    /// The sums of what began long enough ago. From then on it is written at once again.
    pub fn due(&self, now: Timestamp) -> Vec<Event> {
        self.sums(now, |counted| counted.since.until(now) >= WINDOW)
    }

    /// The sums of everything, for the end.
    pub fn rest(&self, now: Timestamp) -> Vec<Event> {
        self.sums(now, |_| true)
    }

    fn sums(&self, now: Timestamp, is_due: impl Fn(&Counted) -> bool) -> Vec<Event> {
        let mut sums = vec![];
        for shard in &self.shards {
            for (_, counted) in locked(shard).extract_if(|_, counted| is_due(counted)) {
                match counted.grain {
                    Grain::Whole => _ = self.keys.fetch_sub(1, Ordering::Relaxed),
                    Grain::Network => _ = self.networks.fetch_sub(1, Ordering::Relaxed),
                    Grain::Kind => {}
                }
                sums.extend(counted.sum(now));
            }
        }
        // The order in which they lie there means nothing.
        sums.sort_by_key(|sum| (sum.first_time, sum.last_time));
        sums
    }

    fn key(&self, hash: impl FnOnce(&mut <RandomState as BuildHasher>::Hasher)) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        hash(&mut hasher);
        hasher.finish()
    }

    /// Whether it is one of those that are counted.
    fn count(&self, key: u64, now: Timestamp) -> bool {
        let mut shard = locked(self.shard(key));
        let Some(counted) = shard.get_mut(&key) else { return false };
        if counted.count == 0 {
            counted.first = now;
        }
        counted.count += 1;
        counted.last = now;
        true
    }

    fn begin(&self, key: u64, grain: Grain, event: Event, now: Timestamp) -> Option<Event> {
        let begun =
            Counted { grain, since: now, event: Box::new(event.clone()), count: 0, first: now, last: now };
        // Two who were first at once are both written; one of them is counted on.
        let replaced = locked(self.shard(key)).insert(key, begun);
        if let Some(replaced) = replaced {
            match grain {
                Grain::Whole => _ = self.keys.fetch_sub(1, Ordering::Relaxed),
                Grain::Network => _ = self.networks.fetch_sub(1, Ordering::Relaxed),
                Grain::Kind => {}
            }
            let mut shard = locked(self.shard(key));
            if let Some(counted) = shard.get_mut(&key).filter(|_| replaced.count > 0) {
                (counted.count, counted.first) = (counted.count + replaced.count, replaced.first);
                counted.last = counted.last.max(replaced.last);
            }
        }
        Some(event)
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, Counted>> {
        &self.shards[key as usize % SHARDS]
    }
}

impl Counted {
    fn sum(self, now: Timestamp) -> Option<Event> {
        let (first_time, last_time) = (Some(self.first), Some(self.last));
        // Each of them had a name and a reason of its own.
        let (request_id, reason) = (String::new(), String::new());
        (self.count > 0).then_some(Event {
            time: now,
            count: self.count,
            first_time,
            last_time,
            request_id,
            reason,
            ..*self.event
        })
    }
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
