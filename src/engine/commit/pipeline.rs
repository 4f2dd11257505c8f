//! The commit pipeline: every write goes through it.
//!
//! A write is planned by its caller, beside the pipeline, from the newest queued state of its configs. Under one short lock the plan
//! is checked to hold still, gets its revision, and joins the queue; that is where order is given. One thread takes the queue up to the next large
//! commit, makes it durable with one append, publishes the new state, wakes the watchers, and lets the callers answer. While it syncs, the
//! next batch queues up. Nothing whose cost depends on the size of a document or of a config is done under the lock.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::auth::SYSTEM;
use crate::model::limits::Limits;
use crate::model::{Author, Commit, ConfigId, Epoch, Revision, Timestamp};
use crate::store::{Journal, Sealed, StoreError};
use crate::supervise::{Heart, OnPanic};

use super::counts::CommitCounts;
use super::fair_locks::{FairLocks, HeldLocks};
use super::foreign::{self, ApplyError, ForeignRun};
use super::journal_budget::JournalBudgets;
use super::outcome::Outcome;
use super::plan::{Plan, content_bytes};
use super::planner::plan;
use super::planning::Planning;
use super::queue::{Batch, Durable, Queue, QueueRefusal, Waiter, tell};
use super::read_set::ReadSet;
use super::read_write::{ReadWrite, namespaces_of};
use super::request_ids::{First, Nothing, Owner, Repeatable, Requests, Reused};
use super::submitted::{Submitted, WriteAnswer, thread_ended};
use super::write::Origin;
use crate::engine::Clock;
use crate::engine::blocking::blocking;
use crate::engine::check::workers::{Cancelled, Workers};
use crate::engine::error::Error;
use crate::engine::options::Role;
use crate::engine::secrets::guesses::Guesses;
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::state::State;
use crate::engine::watch::Hub;

/// How often a write is planned again because another write was faster. Then the write takes the locks of its configs.
const REPLANS_MAX: usize = 3;

pub(in crate::engine) struct Pipeline {
    journal: Arc<dyn Journal>,
    role: Role,
    limits: Limits,
    clock: Clock,
    key_store: Arc<KeyStore>,
    hub: Arc<Hub>,
    /// For plans that may take long.
    workers: Arc<Workers>,
    /// Locked before `turns`.
    queue: Mutex<Queue>,
    /// Notified when the queue has work for the idle thread.
    filled: Condvar,
    turns: Arc<FairLocks>,
    /// Held while commits of another process are applied, until they are durable.
    applying: tokio::sync::Mutex<()>,
    published: ArcSwap<State>,
    revision: watch::Sender<Revision>,
    /// The newest commit of the namespace of the server.
    system_revision: watch::Sender<Revision>,
    next_expiry: watch::Sender<Option<Timestamp>>,
    counts: CommitCounts,
    guesses: Guesses,
}

impl Pipeline {
    /// Starts the thread. It ends after `close`, when the queue is empty. A panic of the thread ends the server.
    pub fn start(
        journal: Arc<dyn Journal>,
        state: State,
        key_store: Arc<KeyStore>,
        hub: Arc<Hub>,
        workers: Arc<Workers>,
        options: &crate::engine::Options,
    ) -> (Arc<Pipeline>, JoinHandle<()>) {
        let pipeline = Arc::new(Pipeline {
            journal,
            role: options.role,
            limits: options.limits.clone(),
            clock: options.clock.clone(),
            key_store,
            hub,
            workers,
            revision: watch::Sender::new(state.revision),
            system_revision: watch::Sender::new(state.revision),
            next_expiry: watch::Sender::new(state.next_expiry()),
            published: ArcSwap::from_pointee(state.clone()),
            queue: Mutex::new(Queue::new(state, Requests::new(options.limits.request_ids_max))),
            filled: Condvar::new(),
            turns: Arc::default(),
            applying: tokio::sync::Mutex::default(),
            counts: CommitCounts::default(),
            guesses: Guesses::default(),
        });
        // A batch may be half made. A new process reads from the log what is durable.
        let running = pipeline.clone();
        let thread = options.supervisor.thread("commit", OnPanic::EndServer, move |heart| running.run(heart));
        (pipeline, thread.expect("the system has room for one thread"))
    }

    /// Takes the requests from before the start. No later request has been made yet.
    pub fn recall(&self, requests: Requests) {
        self.lock().requests = requests;
    }

    /// The bytes of the journal, by namespace.
    pub fn with_budgets<T>(&self, run: impl FnOnce(&mut JournalBudgets) -> T) -> T {
        run(&mut self.lock().budgets)
    }

    pub fn key_store(&self) -> &Arc<KeyStore> {
        &self.key_store
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The newest durable state.
    pub fn published(&self) -> Arc<State> {
        self.published.load_full()
    }

    /// The revision of the newest durable state, as it changes.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// The newest durable commit that changed a config of the server itself, as it changes. Most commits wake none of those who wait for it.
    pub fn system_revisions(&self) -> watch::Receiver<Revision> {
        self.system_revision.subscribe()
    }

    /// Refuses what only the process that makes the commits may do.
    pub fn check_leads(&self) -> Result<(), Error> {
        match self.role {
            Role::Leader => Ok(()),
            Role::Replica => Err(Error::OfReplica),
        }
    }

    pub fn counts(&self) -> &CommitCounts {
        &self.counts
    }

    /// When the next override ends, as that changes.
    pub fn next_expiries(&self) -> watch::Receiver<Option<Timestamp>> {
        self.next_expiry.subscribe()
    }

    /// The answer to a write that was made before with the same request id.
    pub fn known(&self, origin: &Origin, ids: &[ConfigId]) -> Option<Submitted> {
        // A write without an id has no earlier outcome, and takes no lock for it.
        let request = origin.request.as_ref()?;
        let namespaces = namespaces_of(ids);
        let owner = Owner { caller: &origin.author.actor, namespaces: &namespaces };
        self.answer_known(&mut self.lock(), Some(Repeatable { owner, request }))
    }

    /// Takes a write, plans it, and queues it. Does not wait for the disk.
    ///
    /// Rare waits are boxed: otherwise the future of every write would be as large as the largest of them.
    pub async fn submit(self: &Arc<Pipeline>, write: ReadWrite) -> Result<Submitted, Error> {
        match self.submit_at_once(write) {
            ControlFlow::Break(submitted) => Ok(submitted),
            ControlFlow::Continue(write) => Box::pin(self.submit_waiting(write)).await,
        }
    }

    /// Submits a write that is little work and has nothing to wait for. Gives other writes back.
    fn submit_at_once(&self, mut write: ReadWrite) -> ControlFlow<Submitted, ReadWrite> {
        if write.governs() || write.intent.namespace().is_some() || self.is_turn_taken(&write) {
            return ControlFlow::Continue(write);
        }
        let bases = self.bases(&write)?;
        if !bases.are_small() {
            return ControlFlow::Continue(write);
        }
        let planned = self.plan(&write, &bases, &Cancelled::default());
        if matches!(planned, Err(Error::KeyMissing(_))) {
            return ControlFlow::Continue(write);
        }
        match self.enqueue(&mut write, &bases, planned, None) {
            Some(submitted) => ControlFlow::Break(submitted),
            None => ControlFlow::Continue(write),
        }
    }

    async fn submit_waiting(self: &Arc<Pipeline>, mut write: ReadWrite) -> Result<Submitted, Error> {
        let (mut overtaken, mut keys_added) = (0, 0);
        let mut turn = None;
        loop {
            if turn.is_none() && (overtaken > REPLANS_MAX || self.is_turn_taken(&write)) {
                turn = Some(Box::pin(self.turns.take(&self.turn_ids(&write))).await);
            }
            let found;
            if write.governs() || write.intent.namespace().is_some() {
                // Such a write may govern or concern a whole namespace.
                let pipeline = self.clone();
                let look = move || {
                    let found = pipeline.bases(&write);
                    (write, found)
                };
                (write, found) = Box::pin(blocking(look)).await?;
            } else {
                found = self.bases(&write);
            }
            let mut bases = match found {
                ControlFlow::Continue(bases) => bases,
                ControlFlow::Break(known) => return Ok(known),
            };
            let planned;
            if bases.are_small() {
                planned = self.plan(&write, &bases, &Cancelled::default());
            } else {
                let pipeline = self.clone();
                let actor =
                    write.visibility.as_ref().map(|visibility| visibility.caller().shared_actor().clone());
                let work = move |cancelled: &Cancelled| {
                    let planned = pipeline.plan(&write, &bases, cancelled);
                    Ok((write, bases, planned))
                };
                (write, bases, planned) = match actor {
                    Some(actor) => Box::pin(self.workers.run(&actor, work)).await?,
                    None => Box::pin(self.workers.run_of_server(work)).await?,
                };
            }
            // One data key for each namespace is enough.
            if let Err(Error::KeyMissing(namespace)) = &planned
                && keys_added < write.ids.len()
            {
                keys_added += 1;
                // The locks are released, since adding the data key is a write that may take locks itself.
                turn = None;
                self.clone().add_data_key(namespace.clone(), false, Author::named(SYSTEM)).await?;
                continue;
            }
            if let Some(submitted) = self.enqueue(&mut write, &bases, planned, turn.as_ref()) {
                return Ok(submitted);
            }
            overtaken += 1;
        }
    }

    /// As `submit`, where nobody else writes and blocking is allowed.
    pub fn submit_alone(&self, mut write: ReadWrite) -> Submitted {
        loop {
            let bases = match self.bases(&write) {
                ControlFlow::Continue(bases) => bases,
                ControlFlow::Break(known) => return known,
            };
            let planned = self.plan(&write, &bases, &Cancelled::default());
            if let Some(submitted) = self.enqueue(&mut write, &bases, planned, None) {
                return submitted;
            }
        }
    }

    /// Takes commits that another process made, and returns the head once they are durable: `Engine::apply_commits`.
    pub async fn apply(
        self: &Arc<Pipeline>,
        epoch: Epoch,
        commits: Vec<Sealed>,
    ) -> Result<Revision, ApplyError> {
        match self.role {
            Role::Leader => return Err(ApplyError::NotAReplica),
            Role::Replica => {}
        }
        // Each starts from what is durable. A caller that went away may have left something in the queue.
        let _applying = self.applying.lock().await;
        self.barrier().answered().await?;
        let pipeline = self.clone();
        let find = move || {
            foreign::runs(&*pipeline.journal, &pipeline.published(), &pipeline.key_store, epoch, commits)
        };
        for run in blocking(find).await?? {
            self.enqueue_run(run)?.await.unwrap_or_else(thread_ended)?;
        }
        Ok(self.published().revision)
    }

    /// Waits until everything queued so far is durable.
    pub fn barrier(&self) -> Submitted {
        let mut queue = self.lock();
        let nothing = Outcome::nothing(queue.state.revision);
        self.after_queue(&mut queue, WriteAnswer::Outcome(Ok(nothing)))
    }

    /// Refuses new writes; those queued are still made.
    pub fn close(&self) {
        self.lock().refused.get_or_insert(QueueRefusal::Closing);
        self.filled.notify_one();
    }

    /// The configs from which the write is planned, or the answer if the write was made before.
    fn bases(&self, write: &ReadWrite) -> ControlFlow<Submitted, ReadSet> {
        let mut queue = self.lock();
        if let Some(known) = self.answer_known(&mut queue, write.repeatable()) {
            return ControlFlow::Break(known);
        }
        if !write.governs() && write.intent.namespace().is_none() {
            return ControlFlow::Continue(ReadSet::of(&write.ids, &queue.state));
        }
        let state = queue.state.clone();
        drop(queue);
        ControlFlow::Continue(write.bases(&state))
    }

    /// Whether a write has to take the locks of its configs.
    fn is_turn_taken(&self, write: &ReadWrite) -> bool {
        !self.turns.are_none()
            && (self.turns.are_taken(&write.ids) || self.turns.are_taken(&write.namespace_turns()))
    }

    /// The ids whose locks a write takes: its configs; and its namespaces, if the write governs a namespace or the lock of a namespace is taken.
    fn turn_ids(&self, write: &ReadWrite) -> Vec<ConfigId> {
        let mut ids = write.ids.clone();
        let namespaces = write.namespace_turns();
        if write.governs() || self.turns.are_taken(&namespaces) {
            ids.extend(namespaces);
            ids.sort();
            ids.dedup();
        }
        ids
    }

    fn plan(&self, write: &ReadWrite, bases: &ReadSet, cancelled: &Cancelled) -> Result<Plan, Error> {
        write.check_demands(bases)?;
        let now = (self.clock)();
        let planning = Planning {
            limits: &self.limits,
            key_store: &self.key_store,
            validate_only: write.validate_only,
            look: &write.look,
            visibility: write.visibility.as_ref(),
            now,
            cancelled,
        };
        plan(bases, &write.intent, now, &planning)
    }

    /// Queues a planned write. `None` if the write has to be planned again: another write was faster, or holds a lock.
    fn enqueue(
        &self,
        write: &mut ReadWrite,
        bases: &ReadSet,
        mut planned: Result<Plan, Error>,
        turn: Option<&HeldLocks>,
    ) -> Option<Submitted> {
        let nothing = match &mut planned {
            Ok(plan) if plan.changes.is_empty() => Some(plan.take_outcome(&write.ids, bases, Revision::ZERO)),
            Ok(_) | Err(_) => None,
        };
        let sizes = match &planned {
            Ok(plan) if !write.intent.is_of_itself() => write.journal_bytes(&plan.changes),
            // Writes of the server itself are counted, but not refused.
            Ok(_) | Err(_) => vec![],
        };
        let mut queue = self.lock();
        if let Some(known) = self.answer_known(&mut queue, write.repeatable()) {
            return Some(known);
        }
        if !bases.hold_in(&queue.state) || (turn.is_none() && self.is_turn_taken(write)) {
            return None;
        }
        let mut plan = match planned {
            Ok(plan) => plan,
            Err(error) => return Some(self.after_queue(&mut queue, WriteAnswer::Outcome(Err(error)))),
        };
        if let Some(outcome) = nothing {
            return Some(self.enqueue_nothing(&mut queue, write, outcome));
        }
        if let Some(error) = queue.full() {
            return Some(Submitted { answer: WriteAnswer::Outcome(Err(error)), durable: None });
        }
        // The usage of the namespaces is known under the lock only.
        let (revision, time) = (queue.state.revision.next(), self.now(&queue));
        let fits = queue.state.check_growth(&plan.growths);
        let fits = fits.and_then(|()| queue.budgets.check(&sizes, &plan.changes, queue.state.quotas(), time));
        if let Err(error) = fits {
            self.counts.count_refusal(&error);
            return Some(self.after_queue(&mut queue, WriteAnswer::Outcome(Err(error))));
        }
        let overwritten = match self.guesses.take(write.actor(), &plan.unseen, time) {
            Ok(overwritten) => overwritten.into_iter().collect(),
            Err(error) => return Some(self.after_queue(&mut queue, WriteAnswer::Outcome(Err(error)))),
        };
        plan.settle(revision, time);
        let durable = match write.validate_only {
            true => self.ahead(&queue).then(|| queue.wait()),
            false => {
                let changes = std::mem::take(&mut plan.changes);
                let bytes = content_bytes(&changes);
                let mut commit = write.commit(revision, time, changes, plan.schema);
                if plan.has_secrets {
                    self.seal_request(&mut commit);
                }
                queue.add(commit, &plan.after, bytes);
                Some(queue.wait())
            }
        };
        self.wake(queue);
        let outcome = Outcome { overwritten, ..plan.take_outcome(&write.ids, bases, revision) };
        Some(Submitted { answer: WriteAnswer::Outcome(Ok(outcome)), durable })
    }

    /// Queues commits of another process, which have nothing before them in the queue.
    fn enqueue_run(&self, run: ForeignRun) -> Result<Durable, Error> {
        let mut queue = self.lock();
        if let Some(refused) = &queue.refused {
            return Err(refused.to_error());
        }
        queue.keep_format(run.format);
        for (commit, after) in run.commits {
            let bytes = content_bytes(&commit.changes);
            queue.add(commit, &after, bytes);
        }
        let durable = queue.wait();
        self.wake(queue);
        Ok(durable)
    }

    /// Unlocks a queue that has new work, and wakes the thread.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let was_idle = std::mem::take(&mut queue.idle);
        drop(queue);
        if was_idle {
            // The notification is a system call, which is skipped for a thread that is awake.
            self.filled.notify_one();
        }
    }

    /// The digest of a request must not let the secrets in it be guessed.
    fn seal_request(&self, commit: &mut Commit) {
        if let Some(request) = &mut commit.request {
            let keyed = self.key_store.keyed(request.fingerprint);
            request.fingerprint = keyed.expect("there are keys, since they have sealed the secrets");
        }
    }

    /// A write that changes nothing takes no revision, but it is the first with its request id.
    fn enqueue_nothing(&self, queue: &mut Queue, write: &ReadWrite, outcome: Outcome) -> Submitted {
        let outcome = Outcome { revision: queue.state.revision, ..outcome };
        if let Some(Repeatable { owner, request }) = write.repeatable() {
            let now = self.now(queue);
            queue.requests.remember(owner, request, First::Nothing(Box::new(Nothing::of(&outcome))), now);
        }
        self.after_queue(queue, WriteAnswer::Outcome(Ok(outcome)))
    }

    /// The answer that needs no plan: the pipeline takes no writes, or the request was made before.
    fn answer_known(&self, queue: &mut Queue, request: Option<Repeatable<'_>>) -> Option<Submitted> {
        let durably = |outcome| Some(Submitted { answer: WriteAnswer::Outcome(outcome), durable: None });
        if let Some(refused) = &queue.refused {
            return durably(Err(refused.to_error()));
        }
        if let Err(error) = self.check_leads() {
            return durably(Err(error));
        }
        let Repeatable { owner, request } = request?;
        let keyed = || self.key_store.keyed(request.fingerprint);
        let first = match queue.requests.first(owner, request, keyed) {
            Ok(Some(first)) => first,
            Ok(None) => {
                let now = self.now(queue);
                let error = queue.requests.check_room(owner.caller, now).err()?;
                self.counts.count_refusal(&error);
                return durably(Err(error));
            }
            Err(Reused(revision)) => {
                return durably(Err(Error::RequestIdReused { id: request.id.clone(), revision }));
            }
        };
        // That nothing changed may be due to a commit that is queued, and could still fail.
        let (revision, answer) = (first.revision(), WriteAnswer::Replay(first));
        let is_durable = revision <= self.published.load().revision;
        Some(Submitted { answer, durable: (!is_durable).then(|| queue.wait()) })
    }

    /// An answer that depends on queued commits, which can still fail.
    fn after_queue(&self, queue: &mut Queue, answer: WriteAnswer) -> Submitted {
        Submitted { answer, durable: self.ahead(queue).then(|| queue.wait()) }
    }

    /// Whether a queued commit is not published yet.
    fn ahead(&self, queue: &Queue) -> bool {
        queue.state.revision > self.published.load().revision
    }

    fn now(&self, queue: &Queue) -> Timestamp {
        (self.clock)().max(queue.state.time)
    }

    /// Runs the thread. After a panic, which is a bug, every write is refused, so that no caller waits for ever.
    fn run(&self, heart: &Heart) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work(heart))) {
            self.fail(vec![], StoreError::Failed("the commit thread has panicked".into()));
            resume_unwind(panic);
        }
    }

    fn work(&self, heart: &Heart) {
        loop {
            let batch = {
                let mut queue = self.lock();
                loop {
                    if let Some(batch) = queue.take() {
                        break batch;
                    }
                    if queue.refused.is_some() {
                        return;
                    }
                    queue.idle = true;
                    queue = self.filled.wait(queue).expect("nobody panics under this lock");
                }
            };
            heart.beat();
            self.commit(batch);
        }
    }

    /// Makes a batch durable, publishes it, and answers its writes.
    fn commit(&self, batch: Batch) {
        let Batch { commits, format, state, waiters, .. } = batch;
        if commits.is_empty() {
            return tell(waiters, || Ok(()));
        }
        match self.journal.append_as(format, &commits) {
            Ok(_) => {
                self.counts.count(&commits);
                let ids = || commits.iter().flat_map(|commit| &commit.changes).map(|change| &change.id);
                if ids().any(|id| self.key_store.is_keys(id)) {
                    self.key_store.follow(&state);
                }
                self.publish(&state);
                if ids().any(|id| id.namespace.is_reserved()) {
                    self.system_revision.send_replace(state.revision);
                }
            }
            Err(StoreError::Refused(why)) => {
                return self.refuse(&commits, waiters, &why, || Error::NotWritten(why.clone()));
            }
            Err(error @ StoreError::Doubtful(_)) => {
                let why = error.to_string();
                return self.refuse(&commits, waiters, &why, || Error::Unwritable(why.clone()));
            }
            Err(error) => return self.fail(waiters, error),
        }
        tell(waiters, || Ok(()));
        // Watchers come after the answers: there may be thousands to wake, and an answer would stand in line behind them. What
        // is answered is published already, and a stream that is opened waits for the hub to have it.
        self.hub.publish(state, &commits);
    }

    fn publish(&self, state: &Arc<State>) {
        self.published.store(state.clone());
        self.revision.send_replace(state.revision);
        self.next_expiry.send_if_modified(|next| {
            let before = std::mem::replace(next, state.next_expiry());
            before != *next
        });
    }

    /// Fails a batch that the journal did not take, and all queued commits that were planned on top of it. Later writes are tried again.
    fn refuse(&self, batch: &[Commit], waiters: Vec<Waiter>, why: &str, error: impl Fn() -> Error) {
        tracing::error!(error = why, "the store did not take a batch of commits");
        let queued = self.lock().reset(batch, &self.published.load());
        tell(waiters, || Err(error()));
        tell(queued, || Err(Error::NotWritten(why.to_owned())));
    }

    /// Fails a batch of which the disk may have any part: no write is taken any more, reads go on.
    fn fail(&self, waiters: Vec<Waiter>, error: StoreError) {
        tracing::error!(%error, "a commit could not be made durable; no more writes are taken");
        let why = error.to_string();
        let queued = {
            let mut queue = self.lock();
            queue.refused = Some(QueueRefusal::Failed(why.clone()));
            queue.reset(&[], &self.published.load())
        };
        tell(waiters.into_iter().chain(queued), || Err(Error::Unwritable(why.clone())));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nobody panics under this lock")
    }
}
