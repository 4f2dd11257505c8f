//! The watch hub: takes commits, finds the streams whose documents they may change, and wakes these streams.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::model::limits::Limits;
use crate::model::{Commit, ConfigId, LayerKey, Namespace, Revision, Scope};
use crate::supervise::{Heart, OnPanic, Supervisor};

use super::super::actor_streams::ActorStreams;
use super::super::error::{Error, Limit, Missing};
use super::super::state::State;
use super::backlog::{Backlog, Postponed};
use super::client::Identity;
use super::followers::Followers;
use super::shared_document::SharedDocument;
use super::shared_target::SharedTarget;
use super::subscriber::{Mark, Subscriber};
use super::subscriber_id::SubscriberId;
use super::table::Table;
use super::timers::Tick;
use super::waiting::Waiting;
use crate::engine::read::resolve::{Resolver, Target, View};
use crate::engine::state::governance::{Governance, Governed};
use crate::engine::state::system;

/// All watch streams of this server.
///
/// Its thread alone advances streams. A stream that is polled reads two atomic pointers, to the state and to the document of
/// a target, and its own marks: never a lock that all streams share.
///
/// Locks, in the order in which they are taken: `table`, then `progress_waiters`, then those of a shared target, then those of a
/// subscriber; `pending` is taken last, and so are those of `waiting` and `backlog`. All can be taken after a panic of the thread: it ends the server,
/// and streams must still be told.
pub struct Hub {
    pub(in super::super) resolver: Arc<Resolver>,
    watchers_max: usize,
    /// The limit on the configs that one stream follows.
    pub(super) watched_configs_max: usize,
    table: Mutex<Table>,
    /// The state from which streams of several targets are served: replaced after the marks of its changes are made.
    state: ArcSwap<State>,
    /// The revision of that state. The document of every target has this revision or a newer one.
    revision: AtomicU64,
    draining: AtomicBool,
    started: Instant,
    /// The time by the timers, as of the last run of the thread.
    tick: AtomicU64,
    pending: Mutex<Pending>,
    /// Notified when commits are pending.
    published: Condvar,
    /// Used by the thread alone.
    backlog: Mutex<Backlog>,
    /// Streams that send a progress message once a revision is reached.
    progress_waiters: Mutex<HashMap<SubscriberId, Arc<Subscriber>>>,
    pub(super) subscriber_next: AtomicU64,
    /// The number of messages with documents.
    pub(super) deliveries: AtomicU64,
    /// The number of streams that were refused by the quota of watchers.
    pub(super) quota_refusals: AtomicU64,
    pub(super) of_actors: Arc<ActorStreams>,
    pub(super) waiting: Waiting,
    reached: watch::Sender<Revision>,
}

/// The commits since the last run of the thread: bounded by the number of layers.
#[derive(Default)]
struct Pending {
    state: Option<Arc<State>>,
    changed: BTreeMap<ConfigId, HashSet<LayerKey>>,
    /// The thread is advancing to the commits that it took from here.
    advancing: bool,
    /// When the thread checks silent streams next.
    silence: Option<Instant>,
    closing: bool,
}

impl Pending {
    /// The hub has advanced to the newest commit.
    fn is_idle(&self) -> bool {
        self.state.is_none() && !self.advancing
    }
}

/// The next work of the thread.
enum Work {
    Advance(Arc<State>, Vec<(ConfigId, Vec<LayerKey>)>),
    Silence,
    /// Documents that were left for later.
    CatchUp,
}

/// Documents of one namespace that are made before streams see a commit. If the commit can have changed more, all of these are made later.
const AT_ONCE_MAX: usize = if cfg!(test) { 2 } else { 16 };

impl Hub {
    /// Starts the thread. It ends after `close`. A panic of the thread ends the server.
    pub fn start(
        state: Arc<State>,
        resolver: Arc<Resolver>,
        limits: &Limits,
        supervisor: &Supervisor,
    ) -> (Arc<Hub>, JoinHandle<()>) {
        let started = Instant::now();
        let hub = Arc::new(Hub {
            resolver,
            watchers_max: limits.watchers_max,
            watched_configs_max: limits.watched_configs_max,
            reached: watch::Sender::new(state.revision),
            table: Mutex::new(Table::new(started)),
            started,
            revision: AtomicU64::new(state.revision.0),
            state: ArcSwap::new(state),
            draining: AtomicBool::new(false),
            tick: AtomicU64::new(0),
            pending: Mutex::default(),
            published: Condvar::new(),
            backlog: Mutex::default(),
            progress_waiters: Mutex::default(),
            subscriber_next: AtomicU64::new(1),
            deliveries: AtomicU64::new(0),
            quota_refusals: AtomicU64::new(0),
            of_actors: ActorStreams::of("watch streams of this actor", limits),
            waiting: Waiting::default(),
        });
        // A panic may leave the table and the marks half changed: streams would miss updates. A new process begins with snapshots.
        let running = hub.clone();
        let thread = supervisor.thread("watch", OnPanic::EndServer, move |heart| running.run(heart));
        (hub, thread.expect("the system has room for one thread"))
    }

    /// Tells the hub of a new state and the commits that led to it, one call at a time. Does not wait.
    ///
    /// The thread does the rest: it may have thousands of documents to make and streams to wake, while the next commits become
    /// durable. Only what concerns no stream is done here, as that costs less than to wake a thread.
    pub fn publish(&self, state: Arc<State>, commits: &[Commit]) {
        let changes = || commits.iter().flat_map(|commit| &commit.changes);
        if let Ok(table) = self.table.try_lock()
            && !changes().any(|change| table.concerns(&change.id) || !change.id.config.is_ordinary())
            && self.pending().is_idle()
        {
            return self.move_on(table, state, Woken::default());
        }
        // Filled documents change with their schema.
        let filled = changes().flat_map(|change| reshaped_by(&change.id, &state));
        let filled: Vec<ConfigId> = filled.collect();
        let mut pending = self.pending();
        pending.state = Some(state);
        for id in filled {
            pending.changed.entry(id).or_default().insert(LayerKey::base(Scope::global()));
        }
        for change in changes() {
            let layers = change.layers.iter().map(|layer| layer.key.clone());
            pending.changed.entry(change.id.clone()).or_default().extend(layers);
        }
        drop(pending);
        self.published.notify_one();
    }

    /// Ends every stream; new ones are refused.
    pub fn drain(&self) {
        let subscribers: Vec<_> = {
            let mut table = self.table();
            table.draining = true;
            self.draining.store(true, Ordering::Release);
            table.subscribers().cloned().collect()
        };
        subscribers.iter().for_each(|subscriber| subscriber.wake());
    }

    pub fn close(&self) {
        self.pending().closing = true;
        self.published.notify_one();
    }

    pub fn watcher_count(&self) -> usize {
        self.table().subscribers().len()
    }

    pub fn target_count(&self) -> usize {
        self.table().target_count()
    }

    pub fn delivery_count(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Configs that streams follow in a namespace, each as often as it is followed.
    pub fn watcher_count_of(&self, namespace: &Namespace) -> u64 {
        self.table().watchers.of(namespace, &self.state())
    }

    /// The longest time for which an update has been blocked by the flow control of a client.
    pub fn lag(&self) -> Duration {
        self.waiting.longest(Instant::now())
    }

    pub fn actor_refusal_count(&self) -> u64 {
        self.of_actors.refused()
    }

    pub fn quota_refusal_count(&self) -> u64 {
        self.quota_refusals.load(Ordering::Relaxed)
    }

    /// The watched targets of a config, with the number of streams of each.
    pub fn watched(&self, id: &ConfigId) -> Vec<(Scope, View, usize)> {
        self.table().watched(id)
    }

    /// Waits until streams are served from `revision`: a stream that is opened then begins with that revision or a later one.
    pub async fn reached(&self, revision: Revision) {
        if self.revision() < revision {
            let mut reached = self.reached.subscribe();
            reached.wait_for(|reached| *reached >= revision).await.expect("the hub owns the sender");
        }
    }

    /// Has a stream send a progress message as soon as it is complete up to `revision`. The stream of another actor counts as missing.
    pub fn request_progress(&self, watch_id: &str, who: &str, revision: Revision) -> Result<(), Error> {
        let missing = || Missing::Watch(watch_id.to_owned());
        let id = watch_id.parse().map(SubscriberId).map_err(|_| missing())?;
        // Under the lock, so that a stream that ends meanwhile does not stay in the list.
        let table = self.table();
        let subscriber = table
            .subscriber(id)
            .filter(|subscriber| subscriber.may_be_asked_by(who))
            .cloned()
            .ok_or_else(missing)?;
        subscriber.want_progress(revision);
        {
            // The thread takes the same lock after it has advanced, to find the streams whose revision is reached.
            let mut waiters = self.progress_waiters();
            if self.revision() < revision {
                waiters.insert(id, subscriber.clone());
            }
        }
        drop(table);
        subscriber.wake();
        Ok(())
    }

    /// Wakes a stream once `revision` is reached, or something before it. The table is to be held, so that the stream stays.
    pub(super) fn wake_at(&self, subscriber: &Arc<Subscriber>, revision: Revision) {
        let mut waiters = self.progress_waiters();
        match self.revision() < revision {
            true => drop(waiters.insert(subscriber.id, subscriber.clone())),
            false => subscriber.wake(),
        }
    }

    /// The revision from which every stream of one target is served, or an older one.
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    /// The state from which streams of several targets are served. The marks of its changes are made.
    pub(super) fn state(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The time at which streams were last woken.
    pub(super) fn tick(&self) -> Tick {
        Tick(self.tick.load(Ordering::Relaxed))
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress_waiters(&self) -> MutexGuard<'_, HashMap<SubscriberId, Arc<Subscriber>>> {
        self.progress_waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a stream. Fails if the limit is reached, or the server drains.
    pub(super) fn add(
        &self,
        table: &mut Table,
        progress_ticks: u32,
        identity: Identity,
    ) -> Result<Arc<Subscriber>, Error> {
        if table.draining {
            return Err(Error::Draining { retry_after: super::super::RETRY_AFTER });
        }
        let found = table.subscribers().len();
        if found >= self.watchers_max {
            return Err(Error::LimitReached {
                limit_name: Limit::Watchers,
                what: "watch streams on this server".into(),
                found,
                limit: self.watchers_max,
            });
        }
        let id = SubscriberId(self.subscriber_next.fetch_add(1, Ordering::Relaxed));
        let subscriber = Arc::new(Subscriber::new(id, progress_ticks, identity));
        if table.add(subscriber.clone(), Instant::now()) {
            self.look_at_silence_by(table.timers.next());
        }
        Ok(subscriber)
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread look at streams that are silent by this time, if not earlier.
    fn look_at_silence_by(&self, time: Option<Instant>) {
        let mut pending = self.pending();
        let earlier = pending.silence.is_none_or(|silence| time.is_some_and(|time| time < silence));
        if earlier {
            pending.silence = time;
            self.published.notify_one();
        }
    }

    fn run(&self, heart: &Heart) {
        while let Some(work) = self.wait_for_work() {
            heart.beat();
            let now = Tick::at(self.started, Instant::now());
            self.tick.store(now.0, Ordering::Relaxed);
            match work {
                Work::Advance(state, changed) => self.advance(state, &changed),
                Work::Silence => self.wake_silent(now),
                Work::CatchUp => {}
            }
            // Between commits as well: a namespace with very many commits does not delay the documents of another.
            self.catch_up();
        }
    }

    /// `None` if there is none any more.
    fn wait_for_work(&self) -> Option<Work> {
        let is_behind = !self.backlog().is_empty();
        let mut pending = self.pending();
        pending.advancing = false;
        loop {
            if let Some(state) = pending.state.take() {
                pending.advancing = true;
                let changed = std::mem::take(&mut pending.changed).into_iter();
                let changed = changed.map(|(id, keys)| (id, keys.into_iter().collect()));
                return Some(Work::Advance(state, changed.collect()));
            }
            if pending.closing {
                return None;
            }
            pending = match pending.silence {
                None if is_behind => return Some(Work::CatchUp),
                None => self.published.wait(pending).unwrap_or_else(PoisonError::into_inner),
                Some(silence) => {
                    let left = silence.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        pending.silence = None;
                        return Some(Work::Silence);
                    }
                    if is_behind {
                        return Some(Work::CatchUp);
                    }
                    let waited = self.published.wait_timeout(pending, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Wakes the streams that said nothing for as long as they were asked to.
    fn wake_silent(&self, now: Tick) {
        loop {
            let silent = self.table().take_silent(now);
            match silent {
                Some(subscriber) => subscriber.wake(),
                None => break,
            }
        }
        self.look_at_silence_by(self.table().timers.next());
    }

    /// Advances the streams to a new state, and wakes the streams with changes.
    fn advance(&self, state: Arc<State>, changed: &[(ConfigId, Vec<LayerKey>)]) {
        let told = self.make_documents(&state, changed);
        let table = self.table();
        let woken = self.mark(&table, &state, changed, told);
        self.move_on(table, state, woken);
    }

    /// Makes each document that the commit may have changed once, and wakes only the streams whose document changed. Holds no lock while it makes
    /// documents. Where a change at a high scope leaves thousands of documents to make, their targets move to the new state at once, and
    /// `catch_up`, or a stream that reads earlier, makes the documents.
    fn make_documents(&self, state: &State, changed: &[(ConfigId, Vec<LayerKey>)]) -> Vec<Arc<SharedTarget>> {
        let mut of_namespaces: Vec<Vec<Arc<SharedTarget>>> = {
            let table = self.table();
            let namespaces = changed.chunk_by(|(one, _), (next, _)| one.namespace == next.namespace);
            let shared_targets = namespaces.map(|changed| {
                changed.iter().flat_map(|(id, layers)| table.cells_of(id, layers)).cloned().collect()
            });
            shared_targets.collect()
        };
        of_namespaces.sort_by_key(Vec::len);
        let mut wakers = vec![];
        for shared_targets in &mut of_namespaces {
            if shared_targets.len() > AT_ONCE_MAX {
                let mut backlog = self.backlog();
                shared_targets.iter().for_each(|shared_target| {
                    backlog.add(shared_target.clone(), shared_target.postpone(state))
                });
                continue;
            }
            shared_targets.retain(|shared_target| {
                let news = shared_target.advance(state, &self.resolver);
                if news {
                    shared_target.wake_alone(&mut wakers);
                }
                news
            });
        }
        of_namespaces.into_iter().flatten().collect()
    }

    /// Makes the next document that was left for later, and wakes the streams that follow it and nothing else, if it is another one. Whether
    /// there was one to make.
    fn catch_up(&self) -> bool {
        let Some(Postponed { shared_target, before }) = self.backlog().next() else { return false };
        let is_followed = shared_target.alone().len() > 0;
        if is_followed && shared_target.has_news_since(before, &self.resolver) {
            shared_target.wake_alone(&mut vec![]);
        }
        true
    }

    /// Marks the changed targets of streams with several targets: one message has all of the changes.
    fn mark(
        &self,
        table: &Table,
        state: &State,
        changed: &[(ConfigId, Vec<LayerKey>)],
        told: Vec<Arc<SharedTarget>>,
    ) -> Woken {
        let mut woken = Woken::default();
        for (id, layers) in changed {
            // Streams that were added while the documents were made.
            let came = table.cells_of(id, layers).into_iter();
            woken
                .late
                .extend(came.filter(|shared_target| shared_target.told().revision < state.revision).cloned());
            for (scope, view, secrets, followers) in table.groups_of(id, layers) {
                let target = Target { id: id.clone(), scope: scope.clone(), view, secrets };
                let told = Arc::new(SharedDocument::new(Arc::new(target), state));
                woken.mark(followers, Some(&told), state.revision);
            }
        }
        for shared_target in std::mem::take(&mut woken.late) {
            shared_target.postpone(state);
            woken.mark(&shared_target.among(), None, state.revision);
            woken.late.push(shared_target);
        }
        told.iter().for_each(|shared_target| woken.mark(&shared_target.among(), None, state.revision));
        woken
    }

    fn move_on(&self, table: MutexGuard<'_, Table>, state: Arc<State>, woken: Woken) {
        let reached = state.revision;
        let before = self.state.swap(state);
        self.revision.store(reached.0, Ordering::Release);
        drop(table);
        // Many documents may go with it.
        drop(before);
        let mut wakers = vec![];
        woken.late.iter().for_each(|shared_target| shared_target.wake_alone(&mut wakers));
        woken.subscribers.iter().for_each(|subscriber| subscriber.wake());
        // A stream that waits for a later revision is woken by that one: no other event might wake it.
        let mut waiters = self.progress_waiters();
        let waited = waiters.extract_if(|_, waiter| waiter.wants_progress_by(reached));
        let waited: Vec<_> = waited.map(|(_, subscriber)| subscriber).collect();
        drop(waiters);
        waited.iter().for_each(|subscriber| subscriber.wake());
        self.reached.send_replace(reached);
    }
}

/// The configs whose documents change with what this config holds.
pub(super) fn reshaped_by(id: &ConfigId, state: &State) -> Vec<ConfigId> {
    let Some(governs) = id.config.governs().filter(|_| system::reshapes(&id.config)) else {
        return vec![];
    };
    let none = Governance::default();
    let governance = state.governance(&id.namespace).map_or(&none, Arc::as_ref);
    let Governed::These(names) = system::governed_by(governance, &governs) else { return vec![] };
    names.into_iter().map(|config| ConfigId { namespace: id.namespace.clone(), config }).collect()
}

/// The streams to wake once the hub has advanced.
#[derive(Default)]
struct Woken {
    /// Of several targets.
    subscribers: Vec<Arc<Subscriber>>,
    /// The streams that follow one of these, and nothing else.
    late: Vec<Arc<SharedTarget>>,
}

impl Woken {
    fn mark(&mut self, followers: &Followers, told: Option<&Arc<SharedDocument>>, revision: Revision) {
        for (place, subscriber) in followers.iter() {
            if subscriber.mark(Mark { place, told: told.cloned(), revision }) {
                self.subscribers.push(subscriber.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
