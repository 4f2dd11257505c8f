//! The journal and sled while they are open, and while they are not. Knows when they can be used; not what for.

pub(super) mod durable;
pub(super) mod failed_sync;
pub(super) mod head_marker;
mod io_errors;
pub(super) mod open;
pub(super) mod rebuild;
pub(super) mod syncer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::batch::Pending;
use super::index::pending::Unsettled;
use super::index::trees::Trees;
use super::journal::JournalPosition;
use super::{SledOptions, corrupt};
use crate::model::{ConfigId, Revision};
use crate::store::{Head, StoreError};
use syncer::Syncer;

/// A database that works.
pub struct Database {
    pub trees: Trees,
    unsettled: Mutex<Unsettled>,
    syncer: Mutex<Syncer>,
}

/// The database of a store, which is closed between a failure and the next attempt.
pub struct Handle(RwLock<Result<Arc<Database>, String>>);

impl Database {
    /// Opens the database in the directory of a store, which must be there.
    pub fn open(dir: &Path, options: &SledOptions) -> Result<Database, StoreError> {
        let trees = open::open_database(dir, options)?;
        let syncer = Mutex::new(Syncer::start(trees.clone())?);
        Ok(Database { trees, unsettled: Mutex::new(Unsettled::new(options.fsync)), syncer })
    }

    /// Adds what the indexes lack of the journal, which ends with `end`. What is before may have been compacted.
    pub fn replay(&self, end: Revision) -> Result<(), StoreError> {
        let trees = &self.trees;
        let next = trees.settled()?.next();
        if next > end {
            return Ok(());
        }
        let mut walk = trees.journal.walk_from(next)?;
        while let Some(found) = walk.next()? {
            let place = found.place;
            let batch = trees.journal.decode_pending(&found)?;
            self.add(&batch, place)?;
            if self.unsettled().is_due() {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Writes batches that follow to the journal, and returns the head they lead to. `None` if there are none.
    pub fn archive(&self, batches: &[Pending]) -> Result<Option<Head>, StoreError> {
        let places = self.trees.journal.append(batches)?;
        for (batch, place) in batches.iter().zip(places) {
            self.add(batch, place)?;
        }
        Ok(batches.last().map(|last| last.head))
    }

    /// Sees to it that the indexes show the history of a config, as far as it is archived.
    pub fn show(&self, id: &ConfigId) -> Result<(), StoreError> {
        self.unsettled().show(&self.trees, id)
    }

    /// Writes a little of what the indexes lack, if that is much. Whether it still is.
    pub fn settle_some(&self) -> Result<bool, StoreError> {
        let mut unsettled = self.unsettled();
        unsettled.check()?;
        if unsettled.is_due() {
            unsettled.settle_some(&self.trees)?;
        }
        Ok(unsettled.is_due())
    }

    /// Writes what the indexes lack, if that is much, as `settle_at_once`.
    pub fn settle_if_due(&self) -> Result<(), StoreError> {
        if self.unsettled().is_due() { self.settle_at_once() } else { Ok(()) }
    }

    /// As `settle`, by two threads, while nobody reads.
    pub fn settle_at_once(&self) -> Result<(), StoreError> {
        self.unsettled().settle_at_once(&self.trees)
    }

    /// Brings all of the indexes to where the journal is.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.unsettled().settle(&self.trees)
    }

    fn add(&self, batch: &Pending, place: JournalPosition) -> Result<(), StoreError> {
        self.unsettled().add(batch, place).map_err(|error| {
            let what = format!("revision {} at byte {}: {error}", batch.first, place.offset);
            corrupt(self.trees.journal.place(place.segment), what)
        })
    }

    /// If writing has panicked, which sled does when it is damaged, what is left is not written again: the store is closed.
    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the journal is durable.
    pub fn sync_journal(&self) -> Result<(), StoreError> {
        self.syncer.lock().expect("the syncer does not panic").sync(Trees::sync_journal)
    }

    /// Waits until all that was written is durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.syncer.lock().expect("the syncer does not panic").sync(Trees::sync)
    }
}

impl Handle {
    pub fn new(database: Database) -> Handle {
        Handle(RwLock::new(Ok(Arc::new(database))))
    }

    /// `StoreError::Unavailable` while it is closed.
    pub fn get(&self) -> Result<Arc<Database>, StoreError> {
        self.0.read().expect(UNPOISONED).clone().map_err(StoreError::Unavailable)
    }

    /// Who still reads from it goes on; it is closed when the last one has ended.
    pub fn close(&self, why: String) {
        let closed = std::mem::replace(&mut *self.0.write().expect(UNPOISONED), Err(why));
        drop(closed);
    }

    pub fn set(&self, database: Database) {
        *self.0.write().expect(UNPOISONED) = Ok(Arc::new(database));
    }
}

const UNPOISONED: &str = "nothing panics while it holds the database";
