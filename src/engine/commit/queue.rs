//! The queue before the commit thread, guarded by the one lock of the pipeline. Knows no store and no plans.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::model::Commit;
use crate::store::codec::CommitFormat;

use super::journal_budget::JournalBudgets;
use super::request_ids::Requests;
use crate::engine::RETRY_AFTER;
use crate::engine::error::{Error, Limit};
use crate::engine::state::{ConfigState, State};

/// Writes that may wait for the disk. More are refused.
const WAITERS_MAX: usize = 10_000;
/// Content that may wait for the disk, beside the commit that exceeds it.
const BYTES_MAX: usize = 64 << 20;
/// A commit with more content is a batch by itself: the commits before it are answered without waiting for it.
const LARGE_BYTES: usize = 1 << 20;

/// Notified when everything that was queued before is durable, or has failed.
pub(in crate::engine) type Waiter = oneshot::Sender<Result<(), Error>>;
pub(in crate::engine) type Durable = oneshot::Receiver<Result<(), Error>>;

pub(in crate::engine) struct Queue {
    /// The state after the last queued commit: ahead of what is published until that is durable.
    pub state: State,
    pub requests: Requests,
    /// Of the journal, with what is queued.
    pub budgets: JournalBudgets,
    /// Why no more commits are taken.
    pub refused: Option<QueueRefusal>,
    /// The thread sleeps, and has to be notified.
    pub idle: bool,
    /// Batches that take no more commits, in order.
    closed: VecDeque<Batch>,
    /// The commits of the batch that is open.
    commits: Vec<Commit>,
    /// Of all these commits.
    format: CommitFormat,
    waiters: Vec<Waiter>,
    /// Content of the open batch.
    bytes: usize,
    /// The open batch has a large commit.
    is_large: bool,
}

pub(in crate::engine) enum QueueRefusal {
    Closing,
    Failed(String),
}

/// Commits that become durable together.
pub(in crate::engine) struct Batch {
    /// Empty if the waiters wait for earlier batches alone.
    pub commits: Vec<Commit>,
    /// In which the commits are stored.
    pub format: CommitFormat,
    pub waiters: Vec<Waiter>,
    /// After the last of the commits.
    pub state: Arc<State>,
    /// Content of the commits.
    bytes: usize,
}

impl QueueRefusal {
    pub fn to_error(&self) -> Error {
        match self {
            QueueRefusal::Closing => Error::Draining { retry_after: RETRY_AFTER },
            QueueRefusal::Failed(why) => Error::Unwritable(why.clone()),
        }
    }
}

impl Queue {
    pub fn new(state: State, requests: Requests) -> Queue {
        let (commits, waiters) = (vec![], vec![]);
        Queue {
            state,
            requests,
            budgets: JournalBudgets::default(),
            refused: None,
            idle: false,
            closed: VecDeque::new(),
            commits,
            format: CommitFormat::default(),
            waiters,
            bytes: 0,
            is_large: false,
        }
    }

    /// Why no further commit is taken now.
    pub fn full(&self) -> Option<Error> {
        let waiters = self.closed.iter().map(|batch| batch.waiters.len()).sum::<usize>() + self.waiters.len();
        let bytes = self.closed.iter().map(|batch| batch.bytes).sum::<usize>() + self.bytes;
        let limits = [
            ("writes waiting for the disk", waiters, WAITERS_MAX),
            ("bytes of writes waiting for the disk", bytes, BYTES_MAX),
        ];
        let (what, found, limit) = limits.into_iter().find(|(_, found, limit)| found >= limit)?;
        Some(Error::LimitReached { limit_name: Limit::QueuedWrites, what: what.into(), found, limit })
    }

    /// Adds the next commit, with the configs as they are after it.
    pub fn add(&mut self, commit: Commit, after: &[Arc<ConfigState>], bytes: usize) {
        let is_large = bytes > LARGE_BYTES;
        if (is_large || self.is_large) && !self.commits.is_empty() {
            let batch = self.close_batch();
            self.closed.push_back(batch);
        }
        self.is_large = is_large;
        self.state.advance(&commit, after);
        self.requests.recall(&commit);
        self.budgets.add(&commit, self.state.quotas());
        self.commits.push(commit);
        self.bytes += bytes;
    }

    /// Has the commits that are queued next stored in another format than the newest: commits of another process, all of which are in it.
    pub fn keep_format(&mut self, format: CommitFormat) {
        self.format = format;
    }

    /// Adds a waiter for all queued commits and those that are being written: the thread notifies the waiter with the open batch.
    pub fn wait(&mut self) -> Durable {
        let (waiter, durable) = oneshot::channel();
        self.waiters.push(waiter);
        durable
    }

    /// Takes the oldest batch: a large commit alone, or all commits up to the next large one.
    pub fn take(&mut self) -> Option<Batch> {
        if let Some(batch) = self.closed.pop_front() {
            return Some(batch);
        }
        if self.waiters.is_empty() {
            return None;
        }
        let batch = self.close_batch();
        (self.format, self.is_large) = (CommitFormat::default(), false);
        Some(batch)
    }

    fn close_batch(&mut self) -> Batch {
        Batch {
            commits: std::mem::take(&mut self.commits),
            format: self.format,
            waiters: std::mem::take(&mut self.waiters),
            state: Arc::new(self.state.clone()),
            bytes: std::mem::take(&mut self.bytes),
        }
    }

    /// Returns to the published state after a batch has failed: all queued commits fail, too. Gives the waiters of the queued commits.
    pub fn reset(&mut self, failed: &[Commit], published: &State) -> Vec<Waiter> {
        self.budgets.take_back(failed);
        let mut waiters = vec![];
        for batch in std::mem::take(&mut self.closed) {
            self.budgets.take_back(&batch.commits);
            waiters.extend(batch.waiters);
        }
        self.budgets.take_back(&self.commits);
        self.state = published.clone();
        self.requests.forget_after(published.revision);
        self.commits.clear();
        (self.format, self.bytes, self.is_large) = (CommitFormat::default(), 0, false);
        waiters.append(&mut self.waiters);
        waiters
    }
}

/// Notifies waiters, each with a result of its own.
pub(in crate::engine) fn tell(
    waiters: impl IntoIterator<Item = Waiter>,
    result: impl Fn() -> Result<(), Error>,
) {
    for waiter in waiters {
        // A caller that has cancelled the call does not receive the result.
        let _ = waiter.send(result());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::state::Loading;
    use crate::model::{Author, Epoch, Revision, Source, Timestamp};
    use crate::store::Head;

    fn queue() -> Queue {
        Queue::new(Loading::default().state(Epoch(1), Head::EMPTY), Requests::new(10))
    }

    /// Queues commits with so much content, each with a write that waits for it.
    fn add(queue: &mut Queue, contents: &[usize]) -> Vec<Durable> {
        let add = |bytes: &usize| {
            let commit = Commit {
                revision: queue.state.revision.next(),
                time: Timestamp(0),
                author: Author::default(),
                source: Source::Set,
                reason: String::new(),
                request: None,
                annotations: BTreeMap::new(),
                changes: vec![],
                forgotten: vec![],
            };
            queue.add(commit, &[], *bytes);
            queue.wait()
        };
        contents.iter().map(add).collect()
    }

    #[test]
    fn a_large_commit_is_a_batch_by_itself_and_the_commits_around_it_share_theirs() {
        let mut queue = queue();
        let _waiting = add(&mut queue, &[1, 1, LARGE_BYTES + 1, LARGE_BYTES + 1, 1, 1, 1]);
        let mut batches = vec![];
        while let Some(batch) = queue.take() {
            let revisions: Vec<u64> = batch.commits.iter().map(|commit| commit.revision.0).collect();
            assert_eq!(batch.state.revision, Revision(*revisions.last().expect("a commit")), "its own state");
            assert_eq!(batch.waiters.len(), revisions.len(), "its own waiters");
            batches.push(revisions);
        }
        assert_eq!(batches, [vec![1, 2], vec![3], vec![4], vec![5, 6, 7]]);
        assert!(queue.full().is_none() && queue.bytes == 0);
    }

    #[test]
    fn what_waits_is_counted_in_all_batches_and_is_given_up_with_them() {
        let mut queue = queue();
        let mut waiting = add(&mut queue, &[1, BYTES_MAX - 10, 8]);
        assert!(queue.full().is_none());
        waiting.extend(add(&mut queue, &[1]));
        assert!(matches!(queue.full(), Some(Error::LimitReached { found: BYTES_MAX.., .. })));
        let published = Loading::default().state(Epoch(1), Head::EMPTY);
        assert_eq!(queue.reset(&[], &published).len(), waiting.len());
        assert!(queue.take().is_none() && queue.full().is_none());
        assert_eq!(queue.state.revision, Revision::ZERO);
    }
}
