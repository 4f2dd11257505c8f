//! The journal and sled while they are open, and while they are not. Knows when they can be used; not what for.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::batch::Pending;
use super::index::{self, Unsettled};
use super::syncer::Syncer;
use super::trees::Trees;
use super::{Fsync, SledOptions, open};
use crate::model::Revision;
use crate::store::{Head, StoreError};

/// A database that works.
pub struct Database {
    pub trees: Trees,
    fsync: Fsync,
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
        Ok(Database { trees, fsync: options.fsync, unsettled: Mutex::default(), syncer })
    }

    /// Brings the indexes to the end of the journal, which is `end`.
    pub fn replay(&self, end: Revision) -> Result<(), StoreError> {
        index::replay(&self.trees, &mut self.unsettled(), end)
    }

    /// Writes batches that follow, and returns the head they lead to. `None` if there are none.
    pub fn archive(&self, batches: &[Pending]) -> Result<Option<Head>, StoreError> {
        let places = self.trees.journal.append(batches)?;
        match self.fsync {
            // The log has what the journal loses.
            Fsync::Always => {}
            // It may have lost the same, and indexes must not tell of what is nowhere.
            Fsync::Never => drop(self.trees.journal.sync()?),
        }
        index::write(&self.trees, &mut self.unsettled(), batches, &places)
    }

    /// Brings all of the indexes to where the journal is.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.unsettled().settle(&self.trees)
    }

    /// If writing has panicked, which sled does when it is damaged, what is left is not written again: the store is closed.
    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that was written is durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.syncer.lock().expect("the syncer does not panic").sync()
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
