//! What the store has done, and what it takes on the disk, in numbers. Knows nobody who reads them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::model::Histogram;
use crate::store::StoreError;

/// In nanoseconds: from a disk with a cache of its own that survives a power cut to one that is about to fail.
const SYNC_BOUNDS: [u64; 14] = {
    const MICROSECOND: u64 = 1000;
    const MILLISECOND: u64 = 1000 * MICROSECOND;
    [
        50 * MICROSECOND,
        100 * MICROSECOND,
        250 * MICROSECOND,
        500 * MICROSECOND,
        MILLISECOND,
        2 * MILLISECOND + 500 * MICROSECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        25 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        250 * MILLISECOND,
        1000 * MILLISECOND,
        5000 * MILLISECOND,
    ]
};
/// What the system counts as a block.
const BLOCK_BYTES: u64 = 512;

/// Counted since the store was opened.
#[derive(Debug)]
pub struct Counts {
    /// How long it took to sync a batch of commits, in nanoseconds, also if that failed.
    pub syncs: Histogram,
    /// Whether a read has found files that are not as they were written.
    pub is_damaged: AtomicBool,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts { syncs: Histogram::new(&SYNC_BOUNDS), is_damaged: AtomicBool::new(false) }
    }
}

impl Counts {
    pub(super) fn note_damage(&self, error: &StoreError) {
        if let StoreError::Corrupt { .. } = error {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn synced_in(&self, time: Duration) {
        self.syncs.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// What the files of a store take on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskBytes {
    pub db: u64,
    pub journal: u64,
    pub wal: u64,
}

impl DiskBytes {
    /// Of the store in `dir`, which may be in use. Looks at every file.
    pub fn of(dir: &Path) -> io::Result<DiskBytes> {
        let part = |name: &str| bytes_below(&dir.join(name));
        Ok(DiskBytes { db: part("db")?, journal: part("journal")?, wal: part("wal")? })
    }
}

fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in or_gone(std::fs::read_dir(dir))?.into_iter().flatten() {
        let entry = entry?;
        bytes += match or_gone(entry.metadata())? {
            Some(metadata) if metadata.is_dir() => bytes_below(&entry.path())?,
            Some(metadata) => metadata.blocks() * BLOCK_BYTES,
            None => 0,
        };
    }
    Ok(bytes)
}

/// A store that is in use removes files, too.
fn or_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
