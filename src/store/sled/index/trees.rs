//! The trees of a store, and the numbers about it that are kept in `meta`. Knows sled; not who writes when.
//!
//! | in `meta` | means |
//! | --- | --- |
//! | `format` | the format of everything in the directory (u64 BE) |
//! | `epoch` | the epoch (u64 BE) |
//! | `segment` | how large a file of the journal becomes (u64 BE) |
//! | `opened` | how often the store was opened (u64 BE): there to have something to write |
//! | `checkpoint` | the revision up to which the indexes may tell something (u64 BE): written before them |
//! | `settled` | the revision up to which they tell everything (u64 BE): written after them |
//! | `synced` | where the journal ended when it was last synced: so much of it is durable, at least |
//!
//! and what `retained.rs` keeps there.

use std::path::PathBuf;
use std::sync::Arc;

use super::record;
use crate::model::{Epoch, Revision};
use crate::store::StoreError;
use crate::store::sled::corrupt;
use crate::store::sled::journal::{End, JournalFiles};

/// The format of everything in the directory of a store. There were no released stores before it.
pub const FORMAT: u64 = 2;

/// Handles of the trees, and the journal that they are about. Cheap to clone.
#[derive(Clone)]
pub struct Trees {
    pub db: sled::Db,
    pub journal: Arc<JournalFiles>,
    pub layers: sled::Tree,
    pub current: sled::Tree,
    pub configs: sled::Tree,
    pub versions: sled::Tree,
    pub tags: sled::Tree,
    pub meta: sled::Tree,
}

/// The names of all of them, as errors begin with.
pub const TREES: [&str; 7] = ["places", "layers", "current", "configs", "versions", "tags", "meta"];

impl Trees {
    /// Opens the trees of a store, and its journal in `journal`. The format is known to be ours; what they hold is not looked at.
    pub fn open(db: sled::Db, journal: PathBuf) -> Result<Trees, StoreError> {
        let meta = db.open_tree("meta")?;
        match number(&meta, "format")? {
            FORMAT => {}
            found => return Err(StoreError::Format { of: "the data directory", found, expected: FORMAT }),
        }
        let (epoch, segment_bytes) = (Epoch(number(&meta, "epoch")?), number(&meta, "segment")?);
        Ok(Trees {
            journal: Arc::new(JournalFiles::open(journal, epoch, segment_bytes, db.open_tree("places")?)?),
            layers: db.open_tree("layers")?,
            current: db.open_tree("current")?,
            configs: db.open_tree("configs")?,
            versions: db.open_tree("versions")?,
            tags: db.open_tree("tags")?,
            meta,
            db,
        })
    }

    pub fn epoch(&self) -> Result<Epoch, StoreError> {
        number(&self.meta, "epoch").map(Epoch)
    }

    /// Writes something small.
    pub fn count_opening(&self) -> Result<(), StoreError> {
        let count = self.meta.get("opened")?.and_then(|value| record::decode_number(&value)).unwrap_or(0);
        self.write_number("opened", count.wrapping_add(1))
    }

    pub fn checkpoint(&self) -> Result<Revision, StoreError> {
        number(&self.meta, "checkpoint").map(Revision)
    }

    pub fn write_checkpoint(&self, revision: Revision) -> Result<(), StoreError> {
        self.write_number("checkpoint", revision.0)
    }

    pub fn settled(&self) -> Result<Revision, StoreError> {
        number(&self.meta, "settled").map(Revision)
    }

    pub fn write_settled(&self, revision: Revision) -> Result<(), StoreError> {
        self.write_number("settled", revision.0)
    }

    pub fn synced(&self) -> Result<End, StoreError> {
        let value = self.meta.get("synced")?;
        value
            .and_then(|value| record::decode_end(&value))
            .ok_or_else(|| corrupt("meta, synced", "missing, or not the end of a journal"))
    }

    /// Makes the journal durable, and notes how far it goes. After an error the database must be opened again.
    pub fn sync_journal(&self) -> Result<(), StoreError> {
        let end = self.journal.sync()?;
        self.meta.insert("synced", record::encode_end(end))?;
        Ok(())
    }

    /// Makes all that was written durable: first the journal, then what says where in it something is. After an error the database must be
    /// opened again.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.sync_journal()?;
        self.db.flush()?;
        Ok(())
    }

    fn write_number(&self, name: &str, number: u64) -> Result<(), StoreError> {
        self.meta.insert(name, &number.to_be_bytes())?;
        Ok(())
    }
}

/// Writes what a new store begins with.
pub fn initialize(db: &sled::Db, epoch: Epoch, segment_bytes: u64) -> Result<(), StoreError> {
    let meta = db.open_tree("meta")?;
    let numbers = [
        ("format", FORMAT),
        ("epoch", epoch.0),
        ("segment", segment_bytes),
        ("checkpoint", 0),
        ("settled", 0),
    ];
    for (name, number) in numbers {
        meta.insert(name, &number.to_be_bytes())?;
    }
    meta.insert("synced", record::encode_end(End::EMPTY))?;
    Ok(())
}

fn number(meta: &sled::Tree, name: &str) -> Result<u64, StoreError> {
    let value = meta.get(name)?;
    value
        .and_then(|value| record::decode_number(&value))
        .ok_or_else(|| corrupt(format!("meta, {name}"), "missing, or not a number"))
}
