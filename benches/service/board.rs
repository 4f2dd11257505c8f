//! When each update was sent, and when it has reached whom. Knows no connections.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Counters are never used twice, so that a document of before is told from one of now.
static NEXT_COUNTER: AtomicU64 = AtomicU64::new(1);

pub struct Board {
    begin: Instant,
    first: u64,
    updates: Vec<Update>,
    taken: AtomicUsize,
    /// How many are to have each update.
    watchers: usize,
    /// Of those, or of their streams, how many have had a first message.
    pub started: AtomicUsize,
    changed: Notify,
}

#[derive(Default)]
struct Update {
    /// Since the beginning.
    sent_ns: AtomicU64,
    /// How many have it, or a later one.
    reached: AtomicUsize,
    /// Until the last of them had it.
    last_ns: AtomicU64,
}

/// What one connection has received.
#[derive(Default)]
pub struct Tally(Mutex<Vec<Duration>>);

impl Tally {
    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Board {
    /// For at most so many updates.
    pub fn new(watchers: usize, updates: usize) -> Board {
        Board {
            begin: Instant::now(),
            first: NEXT_COUNTER.fetch_add(updates as u64, Relaxed),
            updates: (0..updates).map(|_| Update::default()).collect(),
            taken: AtomicUsize::new(0),
            watchers,
            started: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    pub fn watchers(&self) -> usize {
        self.watchers
    }

    /// The counter of the next update, which is sent now.
    pub fn send(&self) -> u64 {
        let number = self.taken.fetch_add(1, Relaxed);
        self.updates[number].sent_ns.store(self.now_ns(), Relaxed);
        self.first + number as u64
    }

    /// One of the watchers has this one; `newest` is what it had, and is brought up to date. False if it is none of ours.
    pub fn receive(&self, counter: u64, newest: &mut u64, tally: &Tally) -> bool {
        let Some(number) = counter.checked_sub(self.first) else { return false };
        let now_ns = self.now_ns();
        let latency_ns = |update: &Update| now_ns.saturating_sub(update.sent_ns.load(Relaxed));
        let update = &self.updates[usize::try_from(number).expect("there are not so many")];
        // Also when it comes after a later one, as it does where writes overtake each other.
        update.last_ns.fetch_max(latency_ns(update), Relaxed);
        let latency = Duration::from_nanos(latency_ns(update));
        tally.0.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
        // Those that it was spared are older than what it has.
        for passed in (*newest).max(self.first - 1)..counter {
            let update = &self.updates[(passed + 1 - self.first) as usize];
            update.last_ns.fetch_max(latency_ns(update), Relaxed);
            if update.reached.fetch_add(1, Relaxed) + 1 == self.watchers {
                self.changed.notify_one();
            }
        }
        *newest = counter.max(*newest);
        true
    }

    pub fn start(&self, expected: usize) {
        if self.started.fetch_add(1, Relaxed) + 1 == expected {
            self.changed.notify_one();
        }
    }

    /// Whether everyone has it in time.
    pub async fn reached_all(&self, counter: u64, patience: Duration) -> bool {
        let update = &self.updates[(counter - self.first) as usize];
        self.until(|| update.reached.load(Relaxed) >= self.watchers, patience).await
    }

    pub async fn started_all(&self, expected: usize, patience: Duration) -> bool {
        self.until(|| self.started.load(Relaxed) >= expected, patience).await
    }

    /// How long the last watcher waited, for each of these updates that all have.
    pub fn last(&self, counters: &[u64]) -> Vec<Duration> {
        let updates = counters.iter().map(|counter| &self.updates[(counter - self.first) as usize]);
        let reached = updates.filter(|update| update.reached.load(Relaxed) >= self.watchers);
        reached.map(|update| Duration::from_nanos(update.last_ns.load(Relaxed))).collect()
    }

    async fn until(&self, holds: impl Fn() -> bool, patience: Duration) -> bool {
        let wait = async {
            while !holds() {
                self.changed.notified().await;
            }
        };
        timeout(patience, wait).await.is_ok()
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).expect("a run takes no centuries")
    }
}
