//! A new store that is filled with the commits of another one, faster than commits are made: nothing is durable, and nobody reads, before all of
//! them are there. Knows the journal and the indexes; not where the commits come from.
//!
//! The journal has the bytes that the commits had. The write-ahead log is not used, and the indexes are written in large groups by two threads.

use std::path::Path;

use super::batch::Pending;
use super::database::open::Directory;
use super::database::{Database, head_marker, open};
use super::recovery::open_recovered;
use super::{SledOptions, corrupt, guarded};
use crate::model::{Commit, ConfigId, Epoch, Revision, Version};
use crate::store::codec::{CommitFormat, encode_batch};
use crate::store::{Head, StoreError, VersionRef};

/// So many bytes of commits are written to the journal at once.
const GROUP_BYTES: usize = 8 << 20;
/// sled moves pages soon after they were written: then it need not read them.
const CACHE_BYTES: u64 = 64 << 20;

/// Makes a store of commits. Dropped before `finish`, it leaves a directory that is of no use.
pub struct Importing {
    database: Database,
    head: Head,
    /// What the journal lacks.
    group: Vec<Pending>,
    group_bytes: usize,
    /// Locked, and dropped after the database.
    directory: Directory,
}

impl Importing {
    /// Begins with an empty directory.
    pub fn begin(dir: &Path, options: &SledOptions) -> Result<Importing, StoreError> {
        guarded(|| Importing::go_on(open::prepare(dir, options)?, options))
    }

    /// Goes on with a directory in which a store begins.
    pub(super) fn go_on(directory: Directory, options: &SledOptions) -> Result<Importing, StoreError> {
        let cache_bytes = options.cache_bytes.max(CACHE_BYTES);
        let options = SledOptions { cache_bytes, ..options.clone() };
        let (database, recovered) = open_recovered(&directory.path, &options, Revision(u64::MAX))?;
        let head = recovered.head;
        Ok(Importing { database, head, group: Vec::new(), group_bytes: 0, directory })
    }

    pub fn head(&self) -> Head {
        self.head
    }

    pub fn epoch(&self) -> Result<Epoch, StoreError> {
        self.database.trees.epoch()
    }

    /// Adds a batch of commits that follow, of which `codec::prove_batch` has proved the hashes.
    pub fn add(&mut self, batch: Vec<u8>) -> Result<(), StoreError> {
        let place = || format!("the batch after revision {}", self.head.revision);
        let (previous, time, batch) =
            Pending::proved(batch).map_err(|error| corrupt(place(), error.to_string()))?;
        if (previous, batch.first) != (self.head.hash, self.head.revision.next()) {
            return Err(corrupt(
                place(),
                format!("it begins with revision {} after {previous}", batch.first),
            ));
        }
        if self.head != Head::EMPTY && time < self.head.time {
            return Err(corrupt(place(), "its time is earlier"));
        }
        self.push(batch)
    }

    /// Adds a commit that follows.
    pub fn append(&mut self, commit: Commit) -> Result<(), StoreError> {
        let commits = [commit];
        let (bytes, hash) = encode_batch(CommitFormat::default(), self.head.hash, &commits);
        let head = Head { revision: commits[0].revision, time: commits[0].time, hash };
        self.push(Pending::encoded(&commits, bytes, head))
    }

    /// The newest version of a config.
    pub fn newest_version(&mut self, id: &ConfigId) -> Result<Option<VersionRef>, StoreError> {
        self.write_group()?;
        guarded(|| {
            self.database.show(id)?;
            let trees = &self.database.trees;
            let versions =
                trees.versions(id, Version(u64::MAX), 1, trees.retained()?.oldest_of(&id.namespace));
            Ok(versions?.into_iter().next())
        })
    }

    /// Makes all of it durable, and closes the store.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.write_group()?;
        let Importing { database, head, directory, .. } = self;
        guarded(|| {
            // The disk has something to do meanwhile.
            std::thread::scope(|scope| {
                let journal = scope.spawn(|| database.sync_journal());
                let settled = database.settle_at_once();
                let synced = journal.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                settled.and(synced)
            })?;
            database.sync()?;
            head_marker::write(&directory.path, head)
        })?;
        drop(database);
        Ok(())
    }

    fn push(&mut self, batch: Pending) -> Result<(), StoreError> {
        self.head = batch.head;
        self.group_bytes += batch.bytes.len();
        self.group.push(batch);
        match self.group_bytes >= GROUP_BYTES {
            true => self.write_group(),
            false => Ok(()),
        }
    }

    fn write_group(&mut self) -> Result<(), StoreError> {
        self.group_bytes = 0;
        let group = std::mem::take(&mut self.group);
        guarded(|| {
            self.database.archive(&group)?;
            self.database.settle_if_due()
        })
    }
}
