//! The queue before the commit thread, guarded by the one lock of the pipeline. Knows no store and no plans.

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

/// Told when everything that was queued before is durable, or that it never will be.
pub(in crate::engine) type Waiter = oneshot::Sender<Result<(), Error>>;
pub(in crate::engine) type Durable = oneshot::Receiver<Result<(), Error>>;

pub(in crate::engine) struct Queue {
    /// The state after the last queued commit: ahead of what is published until that is durable.
    pub state: State,
    pub requests: Requests,
    /// Of the journal, with what is queued.
    pub budgets: JournalBudgets,
    /// Why no more is taken.
    pub refused: Option<QueueRefusal>,
    /// The thread sleeps, and must be woken.
    pub idle: bool,
    commits: Vec<Commit>,
    /// Of all these commits.
    format: CommitFormat,
    waiters: Vec<Waiter>,
    bytes: usize,
}

pub(in crate::engine) enum QueueRefusal {
    Closing,
    Failed(String),
}

/// What becomes durable at once.
pub(in crate::engine) struct Batch {
    /// None, if all that is waited for was taken before.
    pub commits: Vec<Commit>,
    /// In which the commits are stored.
    pub format: CommitFormat,
    pub waiters: Vec<Waiter>,
    /// After the last of the commits.
    pub state: Arc<State>,
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
            commits,
            format: CommitFormat::default(),
            waiters,
            bytes: 0,
        }
    }

    /// Why no further commit is taken now.
    pub fn full(&self) -> Option<Error> {
        let limits = [
            ("writes waiting for the disk", self.waiters.len(), WAITERS_MAX),
            ("bytes of writes waiting for the disk", self.bytes, BYTES_MAX),
        ];
        let (what, found, limit) = limits.into_iter().find(|(_, found, limit)| found >= limit)?;
        Some(Error::LimitReached { limit_name: Limit::QueuedWrites, what, found, limit })
    }

    /// Adds the next commit, which leaves these configs.
    pub fn add(&mut self, commit: Commit, after: &[Arc<ConfigState>], bytes: usize) {
        self.state.advance(&commit, after);
        self.requests.recall(&commit);
        self.budgets.add(&commit, self.state.quotas());
        self.commits.push(commit);
        self.bytes += bytes;
    }

    /// Has the commits that are queued stored in another format than the newest: commits of another process, all of which are in it.
    pub fn keep_format(&mut self, format: CommitFormat) {
        self.format = format;
    }

    /// Waits for what is queued, or being written: the thread looks here again when it has done that.
    pub fn wait(&mut self) -> Durable {
        let (waiter, durable) = oneshot::channel();
        self.waiters.push(waiter);
        durable
    }

    /// Takes all there is.
    pub fn take(&mut self) -> Option<Batch> {
        if self.waiters.is_empty() {
            return None;
        }
        self.bytes = 0;
        Some(Batch {
            commits: std::mem::take(&mut self.commits),
            format: std::mem::take(&mut self.format),
            waiters: std::mem::take(&mut self.waiters),
            state: Arc::new(self.state.clone()),
        })
    }

    /// Goes back to what is published, which nothing that is queued will follow, nor the batch that has failed. Returns those who wait
    /// for it.
    pub fn reset(&mut self, failed: &[Commit], published: &State) -> Vec<Waiter> {
        self.budgets.take_back(failed);
        self.budgets.take_back(&self.commits);
        self.state = published.clone();
        self.requests.forget_after(published.revision);
        self.commits.clear();
        self.format = CommitFormat::default();
        self.bytes = 0;
        std::mem::take(&mut self.waiters)
    }
}
