//! A store in memory that calls a test before it appends, and before it reads the history of a config: an append may be refused, a read may wait.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::model::{Commit, Digest, Namespace};
use crate::store::codec::CommitFormat;
use crate::store::{
    Compaction, ConfigRecord, Forgotten, Head, History, Problem, Snapshot, StoreError, StoredCommit, Verified,
};

pub(super) struct HookedStore {
    inner: MemoryStore,
    /// Commits that were read.
    pub(super) commits_read: AtomicU64,
    before_append: Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>,
    before_read: Box<dyn Fn(&ConfigId) + Send + Sync>,
}

impl HookedStore {
    pub(super) fn before_append(
        hook: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> HookedStore {
        HookedStore {
            inner: MemoryStore::new(Epoch(1)),
            commits_read: AtomicU64::new(0),
            before_append: Box::new(hook),
            before_read: Box::new(|_| {}),
        }
    }

    pub(super) fn before_read(hook: impl Fn(&ConfigId) + Send + Sync + 'static) -> HookedStore {
        HookedStore { before_read: Box::new(hook), ..HookedStore::before_append(|| Ok(())) }
    }
}

impl Journal for HookedStore {
    fn append_as(&self, format: CommitFormat, commits: &[Commit]) -> Result<Head, StoreError> {
        (self.before_append)()?;
        self.inner.append_as(format, commits)
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn oldest(&self) -> Revision {
        self.inner.oldest()
    }

    fn forgotten(&self) -> Forgotten {
        self.inner.forgotten()
    }

    fn anchor(&self) -> Digest {
        self.inner.anchor()
    }

    fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError> {
        let read = self.inner.commits(from, bytes_max)?;
        self.commits_read.fetch_add(read.len() as u64, Relaxed);
        Ok(read)
    }

    fn stored_commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<StoredCommit>, StoreError> {
        self.inner.stored_commits(from, bytes_max)
    }

    fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError> {
        self.inner.revision_at(time)
    }
}

impl History for HookedStore {
    fn versions(&self, id: &ConfigId, before: Version, limit: usize) -> Result<Vec<VersionRef>, StoreError> {
        (self.before_read)(id);
        self.inner.versions(id, before, limit)
    }

    fn version_at(&self, id: &ConfigId, revision: Revision) -> Result<Option<VersionRef>, StoreError> {
        self.inner.version_at(id, revision)
    }

    fn snapshot(&self, id: &ConfigId, version: Version) -> Result<Option<Snapshot>, StoreError> {
        (self.before_read)(id);
        self.inner.snapshot(id, version)
    }

    fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<Head, StoreError> {
        self.inner.load(visit)
    }

    fn compact_unless(
        &self,
        oldest: Revision,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        self.inner.compact_unless(oldest, is_stopped)
    }

    fn forget_unless(
        &self,
        namespace: &Namespace,
        oldest: Revision,
        versions_min: u64,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        self.inner.forget_unless(namespace, oldest, versions_min, is_stopped)
    }

    fn reclaim_unless(&self, is_stopped: &dyn Fn() -> bool) -> Result<Compaction, StoreError> {
        self.inner.reclaim_unless(is_stopped)
    }

    fn verify(&self, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError> {
        self.inner.verify(report)
    }
}
