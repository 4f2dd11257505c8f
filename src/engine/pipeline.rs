//! The commit pipeline: the one way in which anything is written.
//!
//! A write is planned by its caller against the newest queued state, beside the pipeline. Under one short lock the plan is
//! checked to hold still, gets its revision, and joins the queue; that is where order is given. One thread takes the whole queue, makes it
//! durable with one append, publishes the new state, wakes the watchers and answers. While it syncs, the next batch queues up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use crate::model::limits::Limits;
use crate::model::{Commit, ConfigId, LayerKey, Request, Revision};
use crate::store::{Store, StoreError};

use super::Clock;
use super::error::{Error, Limit};
use super::plan::{Plan, ReadIntent, plan};
use super::requests::{First, Requests, Reused};
use super::state::State;
use super::watch::Hub;
use super::write::{Origin, Outcome};

/// Writes that may wait for the disk. More are refused.
const QUEUE_MAX: usize = 10_000;
/// Content that may wait for the disk, beside the commit that exceeds it.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How often a plan is made anew beside the pipeline because the state has moved. Then it is made within, so that a busy config
/// cannot starve a writer.
const REPLANS_MAX: usize = 3;

/// A write that is ready for the pipeline.
pub(super) struct ReadWrite {
    pub origin: Origin,
    pub intent: ReadIntent,
    pub validate_only: bool,
}

pub(super) struct Pipeline {
    store: Arc<dyn Store>,
    limits: Limits,
    clock: Clock,
    retain_revisions: Option<u64>,
    hub: Arc<Hub>,
    queue: Mutex<Queue>,
    /// Told when the queue has something for the thread.
    filled: Condvar,
    published: ArcSwap<State>,
    revision: watch::Sender<Revision>,
}

/// Guarded by the one lock of the pipeline.
struct Queue {
    /// The state after the last queued commit: ahead of what is published until that is durable.
    state: Arc<State>,
    entries: Vec<Entry>,
    bytes: usize,
    requests: Requests,
    /// Why no more is taken.
    refused: Option<Refusal>,
}

#[derive(Clone)]
enum Refusal {
    Closing,
    Failed(String),
}

/// Something to answer once all that is before it in the queue is durable.
struct Entry {
    /// With the state it leads to. `None`: the answer only depends on what is queued before.
    commit: Option<(Commit, Arc<State>)>,
    answer: Answer,
    reply: oneshot::Sender<Result<Answer, Error>>,
}

/// What a write comes to.
pub(super) enum Answer {
    Outcome(Result<Outcome, Error>),
    /// The same request was made before: its commit tells.
    Replay(Revision),
}

/// What became of a write that was handed in.
pub(super) enum Submitted {
    Answered(Answer),
    Queued(oneshot::Receiver<Result<Answer, Error>>),
}

impl Pipeline {
    /// Starts the thread. It ends after `close`, when the queue is empty.
    pub fn start(
        store: Arc<dyn Store>,
        state: State,
        requests: Requests,
        hub: Arc<Hub>,
        options: &super::Options,
    ) -> (Arc<Pipeline>, JoinHandle<()>) {
        let state = Arc::new(state);
        let pipeline = Arc::new(Pipeline {
            store,
            limits: options.limits.clone(),
            clock: options.clock.clone(),
            retain_revisions: options.retain_revisions,
            hub,
            revision: watch::Sender::new(state.revision),
            published: ArcSwap::new(state.clone()),
            queue: Mutex::new(Queue { state, entries: vec![], bytes: 0, requests, refused: None }),
            filled: Condvar::new(),
        });
        let thread = std::thread::Builder::new()
            .name("commit".into())
            .spawn({
                let pipeline = pipeline.clone();
                move || pipeline.run()
            })
            .expect("the system has room for one thread");
        (pipeline, thread)
    }

    /// The newest durable state.
    pub fn published(&self) -> Arc<State> {
        self.published.load_full()
    }

    /// The revision of the newest durable state, as it changes.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// The answer to a write that needs nothing of it to be read: none is taken any more, or it was made before.
    pub fn known(&self, origin: &Origin, validate_only: bool) -> Option<Submitted> {
        let request = origin.request.as_ref().filter(|_| !validate_only);
        self.lock().known(request, &self.published)
    }

    /// Takes a write, plans it, and queues it. Does not wait for the disk.
    pub fn submit(&self, write: &ReadWrite) -> Submitted {
        for _ in 0..REPLANS_MAX {
            let state = {
                let mut queue = self.lock();
                if let Some(known) = queue.known(write.request(), &self.published) {
                    return known;
                }
                queue.state.clone()
            };
            let planned = plan(&state, &write.intent, (self.clock)(), &self.limits);
            let mut queue = self.lock();
            let holds = Arc::ptr_eq(&state, &queue.state)
                || planned.as_ref().is_ok_and(|plan| plan.holds_for(&queue.state));
            if holds {
                return self.enqueue(&mut queue, write, planned);
            }
        }
        let mut queue = self.lock();
        let planned = plan(&queue.state, &write.intent, (self.clock)(), &self.limits);
        self.enqueue(&mut queue, write, planned)
    }

    /// Waits until everything queued so far is durable.
    pub fn barrier(&self) -> Submitted {
        let mut queue = self.lock();
        let state = queue.state.clone();
        let nothing = Outcome::nothing(state.revision);
        queue.push(None, Answer::Outcome(Ok(nothing)), &self.published, &self.filled)
    }

    fn enqueue(&self, queue: &mut Queue, write: &ReadWrite, planned: Result<Plan, Error>) -> Submitted {
        if let Some(known) = queue.known(write.request(), &self.published) {
            return known;
        }
        let mut plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                return queue.push(None, Answer::Outcome(Err(error)), &self.published, &self.filled);
            }
        };
        let now = (self.clock)().max(queue.state.time);
        if plan.changes.is_empty() {
            let outcome = plan.outcome(&queue.state, &queue.state);
            if let Some(request) = write.request() {
                let first = First::Nothing(Arc::new(outcome.clone()));
                queue.requests.remember(request, first, now);
            }
            return queue.push(None, Answer::Outcome(Ok(outcome)), &self.published, &self.filled);
        }
        if queue.entries.len() >= QUEUE_MAX || queue.bytes > QUEUE_BYTES_MAX {
            return Submitted::Answered(Answer::Outcome(Err(Error::LimitReached {
                limit_name: Limit::QueuedWrites,
                what: "writes waiting for the disk",
                found: queue.entries.len(),
                limit: QUEUE_MAX,
            })));
        }
        let revision = queue.state.revision.next();
        let before = queue.state.clone();
        let after = Arc::new(before.advance(revision, now, std::mem::take(&mut plan.after)));
        let outcome = plan.outcome(&before, &after);
        if write.validate_only {
            return queue.push(None, Answer::Outcome(Ok(outcome)), &self.published, &self.filled);
        }
        let commit = Commit {
            revision,
            time: now,
            actor: write.origin.actor.clone(),
            source: write.origin.source,
            reason: write.origin.reason.clone(),
            request: write.origin.request.clone(),
            annotations: write.origin.annotations.clone(),
            changes: plan.changes,
        };
        queue.requests.recall(&commit);
        queue.state = after.clone();
        queue.push(Some((commit, after)), Answer::Outcome(Ok(outcome)), &self.published, &self.filled)
    }

    /// Refuses new writes; those queued are still made.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.refused.get_or_insert(Refusal::Closing);
        self.filled.notify_one();
    }

    /// The thread. If it panics, which is our bug, nobody must wait for an answer that never comes.
    fn run(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.fail(vec![], StoreError::Failed("the commit thread has panicked".into()));
        }
    }

    fn work(&self) {
        loop {
            let batch = {
                let mut queue = self.lock();
                while queue.entries.is_empty() {
                    if queue.refused.is_some() {
                        return;
                    }
                    queue = self.filled.wait(queue).expect("nobody panics under this lock");
                }
                queue.bytes = 0;
                std::mem::take(&mut queue.entries)
            };
            self.commit(batch);
        }
    }

    /// Makes a batch durable, publishes it, and answers.
    fn commit(&self, mut batch: Vec<Entry>) {
        let (commits, mut states): (Vec<Commit>, Vec<_>) =
            batch.iter_mut().filter_map(|entry| entry.commit.take()).unzip();
        let newest = states.pop();
        if let Some(state) = &newest {
            if let Err(error) = self.store.append(&commits) {
                return self.fail(batch, error);
            }
            self.published.store(state.clone());
            self.revision.send_replace(state.revision);
        }
        for entry in batch {
            // Who no longer waits for the answer does not need it.
            let _ = entry.reply.send(Ok(entry.answer));
        }
        // Watchers come after the answers: there may be thousands to wake, and an answer would stand in line behind them. What
        // is answered is published already, and a stream that is opened waits for the hub to have it.
        if let Some(state) = newest {
            self.tell_watchers(state, &commits);
        }
        self.compact();
    }

    fn tell_watchers(&self, state: Arc<State>, commits: &[Commit]) {
        let changed: Vec<(ConfigId, LayerKey)> = commits
            .iter()
            .flat_map(|commit| &commit.changes)
            .flat_map(|change| change.layers.iter().map(|layer| (change.id.clone(), layer.key.clone())))
            .collect();
        self.hub.publish(state, changed);
    }

    /// It is not known what is on the disk now: no write is taken any more, reads go on.
    fn fail(&self, batch: Vec<Entry>, error: StoreError) {
        tracing::error!(%error, "a commit could not be made durable; no more writes are taken");
        let why = error.to_string();
        let queued = {
            let mut queue = self.lock();
            queue.refused = Some(Refusal::Failed(why.clone()));
            queue.state = self.published();
            std::mem::take(&mut queue.entries)
        };
        for entry in batch.into_iter().chain(queued) {
            let _ = entry.reply.send(Err(Error::Unwritable(why.clone())));
        }
    }

    /// Forgets history beyond what is to be retained, a tenth at a time.
    fn compact(&self) {
        let Some(retain) = self.retain_revisions else {
            return;
        };
        let (head, oldest) = (self.published.load().revision, self.store.oldest());
        if head.0.saturating_sub(oldest.0) <= retain.saturating_add(retain / 10) {
            return;
        }
        if let Err(error) = self.store.compact(Revision(head.0 + 1 - retain.max(1))) {
            tracing::error!(%error, "history could not be compacted");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nobody panics under this lock")
    }
}

impl Queue {
    /// The answer that needs no plan: nothing is taken any more, or the request was made before.
    fn known(&mut self, request: Option<&Request>, published: &ArcSwap<State>) -> Option<Submitted> {
        let answered = |outcome| Some(Submitted::Answered(Answer::Outcome(outcome)));
        match &self.refused {
            Some(Refusal::Closing) => {
                return answered(Err(Error::Draining { retry_after: super::RETRY_AFTER }));
            }
            Some(Refusal::Failed(why)) => return answered(Err(Error::Unwritable(why.clone()))),
            None => {}
        }
        let request = request?;
        match self.requests.first(request) {
            Ok(None) => None,
            Ok(Some(First::Nothing(outcome))) => {
                let answer = Answer::Outcome(Ok(Outcome::clone(&outcome)));
                // That nothing changed may be due to a commit that is queued, and could still fail.
                match outcome.revision <= published.load().revision {
                    true => Some(Submitted::Answered(answer)),
                    false => Some(self.push_waiter(None, answer)),
                }
            }
            Ok(Some(First::Commit(revision))) if revision <= published.load().revision => {
                Some(Submitted::Answered(Answer::Replay(revision)))
            }
            Ok(Some(First::Commit(revision))) => Some(self.push_waiter(None, Answer::Replay(revision))),
            Err(Reused(revision)) => {
                answered(Err(Error::RequestIdReused { id: request.id.clone(), revision }))
            }
        }
    }

    /// Queues an answer; at once if nothing is before it that could still fail.
    fn push(
        &mut self,
        commit: Option<(Commit, Arc<State>)>,
        answer: Answer,
        published: &ArcSwap<State>,
        filled: &Condvar,
    ) -> Submitted {
        if commit.is_none() && Arc::ptr_eq(&self.state, &published.load()) {
            return Submitted::Answered(answer);
        }
        let submitted = self.push_waiter(commit, answer);
        filled.notify_one();
        submitted
    }

    fn push_waiter(&mut self, commit: Option<(Commit, Arc<State>)>, answer: Answer) -> Submitted {
        let layers = commit.iter().flat_map(|(commit, _)| &commit.changes).flat_map(|change| &change.layers);
        // Names count as well: a thousand small layers of long scopes have little content.
        let bytes = layers.map(|layer| {
            layer.key.scope.as_str().len()
                + layer.content.as_ref().map_or(0, |content| content.as_str().len())
        });
        self.bytes += bytes.sum::<usize>();
        let (reply, answered) = oneshot::channel();
        self.entries.push(Entry { commit, answer, reply });
        Submitted::Queued(answered)
    }
}

impl ReadWrite {
    fn request(&self) -> Option<&Request> {
        self.origin.request.as_ref().filter(|_| !self.validate_only)
    }
}
