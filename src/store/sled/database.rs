//! sled while it is open, and while it is not. Knows when it can be used; not what for.

use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use super::syncer::Syncer;
use super::trees::Trees;
use super::{SledOptions, open};
use crate::store::StoreError;

/// A database that works.
pub struct Database {
    pub trees: Trees,
    syncer: Mutex<Syncer>,
}

/// The database of a store, which is closed between a failure and the next attempt.
pub struct Handle(RwLock<Result<Arc<Database>, String>>);

impl Database {
    /// Opens the database in the directory of a store, which must be there.
    pub fn open(dir: &Path, options: &SledOptions) -> Result<Database, StoreError> {
        let trees = open::open_database(dir, options)?;
        let syncer = Mutex::new(Syncer::start(trees.db.clone())?);
        Ok(Database { trees, syncer })
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
