//! The trees of a store, and the numbers about it that are kept in `meta`. Knows sled; not who writes when.
//!
//! | in `meta` | means |
//! | --- | --- |
//! | `format` | the format of everything in the directory (u64 BE) |
//! | `epoch` | the epoch (u64 BE) |
//! | `opened` | how often the store was opened (u64 BE): there to have something to write |
//! | `checkpoint` | the revision up to which the indexes are written, at least (u64 BE) |
//! | `settled` | the same of `current` and `configs` (u64 BE) |
//! | `oldest` | the oldest revision retained (u64 BE), and the hash before it (32 bytes); absent before the first compaction |
//! | `sweep` | present while what a compaction forgot is not yet removed |
//! | `pin` NUL, key of a version | this version is retained for its tag, though it ended before the oldest revision |

use super::index::Unsettled;
use super::journal::Journal;
use super::{compact, corrupt, index, keys, record};
use crate::model::{ConfigId, Digest, Epoch, Revision, Version};
use crate::store::codec::FORMAT;
use crate::store::{Head, StoreError};

/// Handles of the trees. Cheap to clone.
#[derive(Clone)]
pub struct Trees {
    pub db: sled::Db,
    pub journal: Journal,
    pub layers: sled::Tree,
    pub current: sled::Tree,
    pub configs: sled::Tree,
    pub versions: sled::Tree,
    pub tags: sled::Tree,
    pub meta: sled::Tree,
}

/// Where the retained history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    pub revision: Revision,
    /// The hash of the commit before.
    pub anchor: Digest,
}

impl Trees {
    pub fn open(db: sled::Db) -> Result<Trees, sled::Error> {
        Ok(Trees {
            journal: Journal(db.open_tree("commits")?),
            layers: db.open_tree("layers")?,
            current: db.open_tree("current")?,
            configs: db.open_tree("configs")?,
            versions: db.open_tree("versions")?,
            tags: db.open_tree("tags")?,
            meta: db.open_tree("meta")?,
            db,
        })
    }

    /// Writes what a new store begins with.
    pub fn initialize(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.write_number("format", FORMAT)?;
        self.write_number("epoch", epoch.0)?;
        self.write_number("checkpoint", 0)?;
        self.write_number("settled", 0)
    }

    pub fn check_format(&self) -> Result<(), StoreError> {
        match self.number("format")? {
            FORMAT => Ok(()),
            found => Err(StoreError::Format { found, expected: FORMAT }),
        }
    }

    pub fn epoch(&self) -> Result<Epoch, StoreError> {
        self.number("epoch").map(Epoch)
    }

    /// Writes something small.
    pub fn count_opening(&self) -> Result<(), StoreError> {
        let count = self.meta.get("opened")?.and_then(|value| record::decode_number(&value)).unwrap_or(0);
        self.write_number("opened", count.wrapping_add(1))
    }

    pub fn checkpoint(&self) -> Result<Revision, StoreError> {
        self.number("checkpoint").map(Revision)
    }

    pub fn write_checkpoint(&self, revision: Revision) -> Result<(), StoreError> {
        self.write_number("checkpoint", revision.0)
    }

    pub fn settled(&self) -> Result<Revision, StoreError> {
        self.number("settled").map(Revision)
    }

    pub fn write_settled(&self, revision: Revision) -> Result<(), StoreError> {
        self.write_number("settled", revision.0)
    }

    /// Ends what a crash left half done, and returns what is here then.
    pub fn catch_up(&self, unsettled: &mut Unsettled) -> Result<Head, StoreError> {
        compact::resume(self)?;
        let (head, checkpoint) = (self.journal.head()?, self.checkpoint()?);
        if checkpoint > head.revision {
            let what = format!("it ends with revision {}, the indexes with {checkpoint}", head.revision);
            return Err(corrupt("commits", what));
        }
        index::replay(self, unsettled)?;
        Ok(head)
    }

    pub fn oldest(&self) -> Result<Oldest, StoreError> {
        let Some(value) = self.meta.get("oldest")? else {
            return Ok(Oldest { revision: Revision(1), anchor: Digest::ZERO });
        };
        let parse = || {
            let (revision, anchor) = value.split_at_checked(8)?;
            let revision = record::decode_number(revision).map(Revision)?;
            Some(Oldest { revision, anchor: Digest(anchor.try_into().ok()?) })
        };
        parse().ok_or_else(|| corrupt("meta, oldest", "not a revision and a hash"))
    }

    /// Forgets what was before `oldest`, except for the versions `pinned` (by their keys). Nothing is removed yet.
    pub fn write_oldest(&self, oldest: Oldest, pinned: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for pin in self.meta.scan_prefix(PIN).keys() {
            batch.remove(pin?);
        }
        for pin in pinned {
            batch.insert([PIN, pin].concat(), b"");
        }
        batch.insert("oldest", [&oldest.revision.0.to_be_bytes()[..], &oldest.anchor.0].concat());
        batch.insert("sweep", b"");
        Ok(self.meta.apply_batch(batch)?)
    }

    pub fn is_pinned(&self, id: &ConfigId, version: Version) -> Result<bool, StoreError> {
        Ok(self.meta.contains_key([PIN, &keys::at_version(&keys::config(id), version)].concat())?)
    }

    /// The pinned versions of a config, in order.
    pub fn pins(&self, id: &ConfigId) -> Result<Vec<Version>, StoreError> {
        let prefix = [PIN, &keys::config(id)].concat();
        let mut pins = Vec::new();
        for pin in self.meta.scan_prefix(&prefix).keys() {
            let pin = pin?;
            pins.push(
                keys::parse_version(&pin[prefix.len()..])
                    .ok_or_else(|| corrupt(super::place(&self.meta, &pin), "not the key of a version"))?,
            );
        }
        Ok(pins)
    }

    fn number(&self, name: &str) -> Result<u64, StoreError> {
        let value = self.meta.get(name)?;
        value
            .and_then(|value| record::decode_number(&value))
            .ok_or_else(|| corrupt(format!("meta, {name}"), "missing, or not a number"))
    }

    fn write_number(&self, name: &str, number: u64) -> Result<(), StoreError> {
        self.meta.insert(name, &number.to_be_bytes())?;
        Ok(())
    }
}

const PIN: &[u8] = b"pin\0";
