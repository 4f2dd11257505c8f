//! The watch hub: takes what was committed, finds who is concerned, and wakes them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::model::{ConfigId, LayerKey, Revision};

use super::super::error::{Error, Limit, Missing};
use super::super::resolve::Resolver;
use super::super::state::State;
use super::subscriber::{Subscriber, SubscriberId};
use super::table::{Cell, Table};

/// All watch streams of this server.
///
/// Locks, in the order in which they are taken: `table`, then `progress_waiters`, then those of a cell, then those of a
/// subscriber. `pending` is taken alone.
pub struct Hub {
    pub(super) resolver: Arc<Resolver>,
    watchers_max: usize,
    table: RwLock<Table>,
    pending: Mutex<Pending>,
    /// Told when there is something pending.
    published: Condvar,
    /// Streams that wait for a revision to say that they have it.
    progress_waiters: Mutex<HashMap<SubscriberId, Arc<Subscriber>>>,
    subscriber_next: AtomicU64,
    /// The revision of the table's state.
    reached: watch::Sender<Revision>,
}

/// What was committed since the thread last looked: bounded by what there is to change.
#[derive(Default)]
struct Pending {
    state: Option<Arc<State>>,
    changed: BTreeMap<ConfigId, HashSet<LayerKey>>,
    closing: bool,
}

impl Hub {
    /// Starts the thread. It ends after `close`.
    pub fn start(
        state: Arc<State>,
        resolver: Arc<Resolver>,
        watchers_max: usize,
    ) -> (Arc<Hub>, JoinHandle<()>) {
        let hub = Arc::new(Hub {
            resolver,
            watchers_max,
            reached: watch::Sender::new(state.revision),
            table: RwLock::new(Table::new(state)),
            pending: Mutex::default(),
            published: Condvar::new(),
            progress_waiters: Mutex::default(),
            subscriber_next: AtomicU64::new(1),
        });
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn({
                let hub = hub.clone();
                move || hub.run()
            })
            .expect("the system has room for one thread");
        (hub, thread)
    }

    /// Tells the hub of a new state and the layers that differ from the one before. Does not wait.
    pub fn publish(&self, state: Arc<State>, changed: Vec<(ConfigId, LayerKey)>) {
        let mut pending = self.pending.lock().expect("nobody panics under this lock");
        pending.state = Some(state);
        for (id, key) in changed {
            pending.changed.entry(id).or_default().insert(key);
        }
        self.published.notify_one();
    }

    /// Ends every stream; new ones are refused.
    pub fn drain(&self) {
        let subscribers: Vec<_> = {
            let mut table = self.write();
            table.draining = true;
            table.subscribers.values().cloned().collect()
        };
        subscribers.iter().for_each(|subscriber| subscriber.wake());
    }

    pub fn close(&self) {
        self.pending.lock().expect("nobody panics under this lock").closing = true;
        self.published.notify_one();
    }

    pub fn watcher_count(&self) -> usize {
        self.read().subscribers.len()
    }

    pub fn target_count(&self) -> usize {
        self.read().target_count()
    }

    /// Waits until streams are told of `revision`: what is opened then begins with it, or later.
    pub async fn reached(&self, revision: Revision) {
        let mut reached = self.reached.subscribe();
        reached.wait_for(|reached| *reached >= revision).await.expect("the hub owns the sender");
    }

    /// Makes a stream say that it is complete up to `revision`, as soon as it is.
    pub fn request_progress(&self, watch_id: &str, revision: Revision) -> Result<(), Error> {
        let missing = || Missing::Watch(watch_id.to_owned());
        let id = watch_id.parse().map(SubscriberId).map_err(|_| missing())?;
        // Under the lock, so that a stream that goes away meanwhile does not stay among those that wait.
        let table = self.read();
        let subscriber = table.subscribers.get(&id).cloned().ok_or_else(missing)?;
        subscriber.want_progress(revision);
        if table.state.revision < revision {
            self.progress_waiters().insert(id, subscriber.clone());
        }
        drop(table);
        subscriber.wake();
        Ok(())
    }

    pub(super) fn progress_waiters(&self) -> MutexGuard<'_, HashMap<SubscriberId, Arc<Subscriber>>> {
        self.progress_waiters.lock().expect("nobody panics under this lock")
    }

    /// Adds a stream. Fails if there are too many, or no more are taken.
    pub(super) fn add(&self, table: &mut Table) -> Result<Arc<Subscriber>, Error> {
        if table.draining {
            return Err(Error::Draining { retry_after: super::super::RETRY_AFTER });
        }
        if table.subscribers.len() >= self.watchers_max {
            return Err(Error::LimitReached {
                limit_name: Limit::Watchers,
                what: "watch streams on this server",
                found: table.subscribers.len(),
                limit: self.watchers_max,
            });
        }
        let id = SubscriberId(self.subscriber_next.fetch_add(1, Ordering::Relaxed));
        let subscriber = Arc::new(Subscriber::new(id));
        table.subscribers.insert(id, subscriber.clone());
        Ok(subscriber)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().expect("nobody panics under this lock")
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().expect("nobody panics under this lock")
    }

    fn run(&self) {
        loop {
            let (state, changed) = {
                let mut pending = self.pending.lock().expect("nobody panics under this lock");
                loop {
                    if let Some(state) = pending.state.take() {
                        break (state, std::mem::take(&mut pending.changed));
                    }
                    if pending.closing {
                        return;
                    }
                    pending = self.published.wait(pending).expect("nobody panics under this lock");
                }
            };
            let changed = changed.into_iter().map(|(id, keys)| (id, keys.into_iter().collect())).collect();
            for subscriber in self.advance(state, changed) {
                subscriber.wake();
            }
        }
    }

    /// Moves the streams to a new state: marks what changed. Returns those to wake.
    fn advance(&self, state: Arc<State>, changed: Vec<(ConfigId, Vec<LayerKey>)>) -> Vec<Arc<Subscriber>> {
        let unchanged = self.unchanged(&state, &changed);
        let sleep_on: HashSet<*const Cell> = unchanged.iter().map(Arc::as_ptr).collect();
        let mut woken = vec![];
        let mut table = self.write();
        for (id, layers) in &changed {
            for cell in table.cells_of(id, layers) {
                if !sleep_on.contains(&Arc::as_ptr(cell)) {
                    table.mark_cell(cell, &mut woken);
                }
            }
            table.mark_namespace(id, layers, &mut woken);
        }
        let reached = state.revision;
        table.state = state;
        drop(table);
        // Who waits for a later revision is woken by that one: nothing else might.
        let mut waiters = self.progress_waiters();
        let waited = waiters.extract_if(|_, waiter| waiter.wants_progress_by(reached));
        woken.extend(waited.map(|(_, subscriber)| subscriber));
        drop(waiters);
        self.reached.send_replace(reached);
        woken
    }

    /// Resolves the targets that can have changed, and finds those that did not. Their streams sleep on.
    fn unchanged(&self, state: &State, changed: &[(ConfigId, Vec<LayerKey>)]) -> Vec<Arc<Cell>> {
        let (before, cells): (Arc<State>, Vec<Arc<Cell>>) = {
            let table = self.read();
            let cells = changed.iter().flat_map(|(id, layers)| table.cells_of(id, layers)).cloned();
            (table.state.clone(), cells.collect())
        };
        let digest_in = |cell: &Cell, state: &State| Some(cell.resolve(state, &self.resolver)?.digest);
        cells.into_iter().filter(|cell| digest_in(cell, &before) == digest_in(cell, state)).collect()
    }
}

#[cfg(test)]
mod tests;
