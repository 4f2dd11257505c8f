//! The audit trail from any point on: commits and records as one sequence, in the order of time as far as both are known. Knows nobody who
//! reads it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::audit::{Forward, Kind, Record, Recorder};
use crate::engine::{Engine, Error, RETRY_AFTER, Sealed};
use crate::model::{Namespace, Revision, Timestamp};
use crate::proto::v1::AuditGap;
use crate::supervise::joined;

/// How often a reader that waits for commits of the server alone skips those of others.
const SKIP_EVERY: Duration = Duration::from_secs(1);

/// One of the trail.
pub enum TrailItem {
    /// As it is stored: what is secret is sealed.
    Change(Arc<Sealed>),
    Record(Box<Record>),
    /// What lies between was removed before it was read.
    Gap(Gap),
}

/// Commits or records that are not there any more, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    Commits { from: Revision, to: Revision },
    Records { from: u64, to: u64 },
}

impl From<Gap> for AuditGap {
    fn from(gap: Gap) -> AuditGap {
        match gap {
            Gap::Commits { from, to } => {
                AuditGap { from_revision: from.0, to_revision: to.0, ..Default::default() }
            }
            Gap::Records { from, to } => {
                AuditGap { from_sequence: from, to_sequence: to, ..Default::default() }
            }
        }
    }
}

impl Gap {
    /// How many are missing.
    pub fn count(self) -> u64 {
        match self {
            Gap::Commits { from, to } => to.0.saturating_sub(from.0) + 1,
            Gap::Records { from, to } => to.saturating_sub(from) + 1,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Commits { from, to } => write!(f, "the changes of revisions {from} to {to}"),
            Gap::Records { from, to } => write!(f, "the records {from} to {to} of the audit log"),
        }
    }
}

/// A reader. It does not keep the store open.
pub struct Trail {
    engine: Weak<Engine>,
    revisions: watch::Receiver<Revision>,
    /// For a reader of commits of the server alone: what wakes it.
    system_revisions: Option<watch::Receiver<Revision>>,
    records_written: watch::Receiver<u64>,
    /// `None`: nothing is recorded.
    log: Option<Forward>,
    commits: VecDeque<Arc<Sealed>>,
    records: VecDeque<Record>,
    /// The next commit to read from the journal.
    next: Revision,
    /// Every commit from here on is in this trail.
    commits_from: Revision,
    /// The sequence of the next record, unless it began at a time.
    next_record: Option<u64>,
}

impl Trail {
    /// What happens from now on.
    pub fn from_now(engine: &Arc<Engine>, recorder: &Recorder) -> Trail {
        let (revisions, records_written) = (engine.revisions(), recorder.newest());
        let (revision, sequence) = (*revisions.borrow(), *records_written.borrow());
        Trail {
            engine: Arc::downgrade(engine),
            revisions,
            system_revisions: None,
            records_written,
            log: recorder.dir().map(|dir| Forward::new(dir, sequence + 1)),
            commits: VecDeque::new(),
            records: VecDeque::new(),
            next: revision.next(),
            commits_from: revision.next(),
            next_record: Some(sequence + 1),
        }
    }

    pub fn begin_with_revision(&mut self, revision: Revision) {
        self.next = revision;
        self.commits_from = revision;
    }

    pub fn begin_with_sequence(&mut self, sequence: u64) {
        if let Some(log) = &mut self.log {
            log.begin_with(sequence);
        }
        self.next_record = Some(sequence);
    }

    /// Without records, from now on.
    pub fn leave_out_records(&mut self) {
        self.log = None;
        self.records.clear();
    }

    /// From now on, `changed` waits for commits of the namespace of the server: other commits do not wake a reader that skips them.
    pub fn wait_for_system_commits(&mut self) {
        self.system_revisions = self.engine.upgrade().map(|engine| engine.system_revisions());
    }

    /// Skips the commits that are not read yet if none of them has changed a config of the namespace.
    pub fn skip_unless_changed(&mut self, namespace: &Namespace) {
        let Some(engine) = self.engine.upgrade().filter(|_| self.commits.is_empty()) else { return };
        let state = engine.state();
        if !state.configs_of(namespace).any(|config| config.at.revision >= self.next) {
            self.begin_with_revision(self.next.max(state.revision.next()));
        }
    }

    /// With records that may be a little older.
    pub fn begin_with_time(&mut self, time: Timestamp) {
        if let Some(log) = &mut self.log {
            log.begin_at(time);
        }
        self.next_record = None;
    }

    /// The next one. `None`: there is none yet. Dropping the future loses nothing.
    pub async fn take(&mut self) -> Result<Option<TrailItem>, Error> {
        if self.commits.is_empty() {
            // Before the newest revision is read: a commit that follows wakes.
            if let Some(system_revisions) = &mut self.system_revisions {
                system_revisions.mark_unchanged();
            }
            let newest = *self.revisions.borrow_and_update();
            if self.next <= newest {
                let engine = self.engine.upgrade().ok_or(Error::Draining { retry_after: RETRY_AFTER })?;
                let page = match engine.commits(self.next).await {
                    // Compacted before it was read.
                    Err(Error::Compacted { oldest, .. }) if oldest > self.next => {
                        let gap = Gap::Commits { from: self.next, to: Revision(oldest.0 - 1) };
                        (self.next, self.commits_from) = (oldest, oldest);
                        return Ok(Some(TrailItem::Gap(gap)));
                    }
                    page => page?,
                };
                if let Some(last) = page.last() {
                    self.next = last.commit.revision.next();
                }
                self.commits = page.into();
            }
        }
        if self.records.is_empty()
            && let Some(log) = &self.log
        {
            let newest = *self.records_written.borrow_and_update();
            if log.next() <= newest {
                let mut log = log.clone();
                let read = spawn_blocking(move || log.read(newest).map(|records| (log, records))).await;
                match joined(read) {
                    Some(Ok((log, records))) => {
                        self.log = Some(log);
                        self.records = records.into();
                    }
                    Some(Err(error)) => tracing::error!(%error, "the audit log cannot be read"),
                    None => {}
                }
            }
        }
        let is_commit_first = match (self.commits.front(), self.records.front()) {
            (Some(sealed), Some(record)) => sealed.commit.time <= record.event.time,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_commit_first {
            return Ok(self.commits.pop_front().map(TrailItem::Change));
        }
        let Some(sequence) = self.records.front().map(|record| record.sequence) else { return Ok(None) };
        if let Some(next) = self.next_record.replace(sequence).filter(|next| *next < sequence) {
            return Ok(Some(TrailItem::Gap(Gap::Records { from: next, to: sequence - 1 })));
        }
        self.next_record = Some(sequence + 1);
        Ok(self.records.pop_front().map(|record| TrailItem::Record(Box::new(record))))
    }

    /// Whether a record is about a change of access whose commit tells the same: in this trail, or where this trail began after it.
    pub fn has_commit_of(&self, record: &Record) -> bool {
        if record.event.kind != Kind::AccessChanged {
            return false;
        }
        let revision = Revision(record.event.revision);
        let oldest = || self.engine.upgrade().and_then(|engine| engine.oldest().ok());
        revision >= self.commits_from || oldest().is_some_and(|oldest| revision >= oldest)
    }

    /// Waits until there may be more. For ever, if there will not be any.
    pub async fn changed(&mut self) {
        if let Some(system_revisions) = &mut self.system_revisions {
            tokio::select! {
                Ok(()) = system_revisions.changed() => {}
                () = sleep(SKIP_EVERY) => {}
            }
            return;
        }
        let (revisions, records) = (&mut self.revisions, &mut self.records_written);
        tokio::select! {
            Ok(()) = revisions.changed() => {}
            Ok(()) = records.changed() => {}
            else => std::future::pending().await,
        }
    }

    /// Up to which revision and which sequence all was given.
    pub fn told(&self) -> (Revision, u64) {
        let revision = self.commits.front().map_or(self.next, |sealed| sealed.commit.revision);
        let next = self.log.as_ref().map_or(1, Forward::next);
        let sequence = self.records.front().map_or(next, |record| record.sequence);
        (Revision(revision.0.saturating_sub(1)), sequence.saturating_sub(1))
    }
}
