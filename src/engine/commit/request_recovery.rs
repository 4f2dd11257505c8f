//! Reading the requests of the last 24 hours back from the journal after a start: beside serving, because there can be many more commits
//! in them than there are layers. A write with a request id waits for it; reads, watches and other writes do not.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::{Revision, Timestamp};
use crate::store::{CompactedRequests, Journal, StoreError};
use crate::supervise::{OnPanic, Supervisor};

use super::pipeline::Pipeline;
use super::request_ids::{REQUEST_WINDOW, Requests};
use crate::engine::error::Error;
use crate::engine::{Engine, RETRY_AFTER};

/// Commits that are read at once, as they are stored.
const PAGE_BYTES: usize = 4 << 20;

/// The state of the recovery.
pub(in crate::engine) struct RequestRecovery(watch::Receiver<RecoveryState>);

enum RecoveryState {
    NotYet,
    Done,
    Failed(String),
}

/// The commits to read.
pub(in crate::engine) struct RecoveryInput {
    pub journal: Arc<dyn Journal>,
    /// The last commit before the start: later requests are remembered as they are made.
    pub to: Revision,
    pub now: Timestamp,
    pub ids_max: usize,
    /// Those of commits that were compacted.
    pub compacted: Option<Arc<CompactedRequests>>,
    /// Stops the recovery early.
    pub closed: CancellationToken,
}

impl Engine {
    /// Waits until the request ids of the last 24 hours are known.
    pub(in crate::engine) async fn recalled(&self) -> Result<(), Error> {
        tokio::select! {
            biased;
            done = self.recall.done() => done,
            () = self.draining.cancelled() => Err(Error::Draining { retry_after: RETRY_AFTER }),
        }
    }
}

impl RequestRecovery {
    /// Starts the thread, which gives what it has read to the pipeline.
    pub fn start(
        recalling: RecoveryInput,
        pipeline: Arc<Pipeline>,
        supervisor: &Supervisor,
    ) -> (RequestRecovery, JoinHandle<()>) {
        let (sender, receiver) = watch::channel(RecoveryState::NotYet);
        let thread = supervisor
            .thread("recall", OnPanic::Restart, move |heart| {
                heart.beat();
                let recalled = match recalling.requests() {
                    Ok(None) => return,
                    Ok(Some(requests)) => {
                        pipeline.recall(requests);
                        RecoveryState::Done
                    }
                    Err(error) => {
                        tracing::error!(%error, "no write with a request id is taken: it may have been made before");
                        RecoveryState::Failed(format!("the requests of the last 24 hours cannot be read: {error}"))
                    }
                };
                sender.send_replace(recalled);
            })
            .expect("the system has room for one thread");
        (RequestRecovery(receiver), thread)
    }

    /// Waits until it is known which requests were made before.
    pub async fn done(&self) -> Result<(), Error> {
        if matches!(*self.0.borrow(), RecoveryState::Done) {
            return Ok(());
        }
        let mut recalled = self.0.clone();
        let recalled = recalled.wait_for(|recalled| !matches!(recalled, RecoveryState::NotYet)).await;
        match recalled.as_deref() {
            Ok(RecoveryState::Done) => Ok(()),
            Ok(RecoveryState::Failed(why)) => Err(Error::Unwritable(why.clone())),
            // The thread has ended before: the engine closes.
            Ok(RecoveryState::NotYet) | Err(_) => Err(Error::Draining { retry_after: RETRY_AFTER }),
        }
    }
}

impl RecoveryInput {
    /// `None` if the recovery was stopped before all commits were read.
    fn requests(&self) -> Result<Option<Requests>, StoreError> {
        // Checked first: otherwise a thread whose journal panics again and again would never end, and closing the engine waits for the thread.
        if self.closed.is_cancelled() {
            return Ok(None);
        }
        let mut requests = Requests::new(self.ids_max);
        let before = self.journal.revision_at(self.now.minus(REQUEST_WINDOW))?.unwrap_or(Revision::ZERO);
        let mut from = before.next();
        if from < self.journal.oldest() {
            from = self.recall_compacted(from, &mut requests)?;
        }
        while from <= self.to {
            if self.closed.is_cancelled() {
                return Ok(None);
            }
            let (page, next) = match self.journal.summaries(from, PAGE_BYTES) {
                // Compacted meanwhile.
                Err(StoreError::Compacted { oldest, .. }) if oldest > from => {
                    from = self.recall_compacted(from, &mut requests)?.max(oldest);
                    continue;
                }
                page => page?,
            };
            page.into_iter().for_each(|summary| requests.recall_summary(summary));
            from = next;
        }
        Ok(Some(requests))
    }

    /// Recalls the requests of the compacted commits from a revision on. The oldest commit that is retained.
    fn recall_compacted(&self, from: Revision, requests: &mut Requests) -> Result<Revision, StoreError> {
        // Before the file is read: what is compacted later is found later.
        let oldest = self.journal.oldest();
        let compacted = self.compacted.as_ref();
        let found = compacted.map(|compacted| compacted.read(self.now.minus(REQUEST_WINDOW))).transpose()?;
        let found = found.into_iter().flatten();
        let found = found.filter(|summary| summary.revision >= from && summary.revision < oldest);
        found.for_each(|summary| requests.recall_summary(summary));
        Ok(oldest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::FutureExt;

    use super::*;
    use crate::model::{Author, Commit, Digest, Epoch, Source};
    use crate::store::codec::CommitFormat;
    use crate::store::{Forgotten, Head, History, MemoryStore, Sealed, StoredCommit};

    /// A journal of which the oldest commits are compacted just before they are read.
    struct CompactedMeanwhile(MemoryStore);

    impl Journal for CompactedMeanwhile {
        fn epoch(&self) -> Epoch {
            self.0.epoch()
        }

        fn head(&self) -> Head {
            self.0.head()
        }

        fn oldest(&self) -> Revision {
            self.0.oldest()
        }

        fn forgotten(&self) -> Forgotten {
            self.0.forgotten()
        }

        fn anchor(&self) -> Digest {
            self.0.anchor()
        }

        fn append_as(&self, format: CommitFormat, commits: &[Commit]) -> Result<Head, StoreError> {
            self.0.append_as(format, commits)
        }

        fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError> {
            self.0.compact(Revision(3))?;
            self.0.commits(from, bytes_max)
        }

        fn stored_commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<StoredCommit>, StoreError> {
            self.0.stored_commits(from, bytes_max)
        }

        fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError> {
            self.0.revision_at(time)
        }
    }

    #[test]
    fn requests_are_recalled_from_where_the_journal_begins_after_a_compaction() {
        let journal = CompactedMeanwhile(MemoryStore::new(Epoch(1)));
        let commit = |revision: u64| Commit {
            revision: Revision(revision),
            time: Timestamp(1),
            author: Author::named("someone"),
            source: Source::Set,
            reason: String::new(),
            request: None,
            annotations: BTreeMap::new(),
            changes: vec![],
            forgotten: vec![],
        };
        let commits: Vec<Commit> = (1..=5).map(commit).collect();
        journal.append(&commits).expect("appended");
        let recovery = RecoveryInput {
            journal: Arc::new(journal),
            to: Revision(5),
            now: Timestamp(1),
            ids_max: 10,
            compacted: None,
            closed: CancellationToken::new(),
        };
        assert!(recovery.requests().is_ok_and(|requests| requests.is_some()));
    }

    #[test]
    fn a_request_waits_until_it_is_known_whether_it_was_made_before() {
        let (sender, receiver) = watch::channel(RecoveryState::NotYet);
        let recall = RequestRecovery(receiver);
        assert!(recall.done().now_or_never().is_none());
        sender.send_replace(RecoveryState::Done);
        assert!(matches!(recall.done().now_or_never(), Some(Ok(()))));
        sender.send_replace(RecoveryState::Failed("the journal is damaged".into()));
        assert!(matches!(recall.done().now_or_never(), Some(Err(Error::Unwritable(_)))));
        sender.send_replace(RecoveryState::NotYet);
        drop(sender);
        assert!(matches!(recall.done().now_or_never(), Some(Err(Error::Draining { .. }))));
    }
}
