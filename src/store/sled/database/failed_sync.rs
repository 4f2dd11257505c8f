//! A note beside the database that syncs of it have failed. Knows files; no sled.
//!
//! Once a sync has failed, a kernel shows what was written as if nothing had happened, and syncs that follow succeed: but what the first one
//! was for may be nowhere else than in memory. While the file `SUSPECT` is there, the database is to be written again before it is
//! opened: step 8 of `durable.rs`. A power cut may lose the note, and with it what the note is about.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::durable;
use super::io_errors::{is_full, locked};
use crate::store::StoreError;
use crate::store::sled::io_error;

pub(super) const NAME: &str = "SUSPECT";

/// Whether syncs may have failed. A disk that is full has done what it said.
pub fn is_suspect_after(error: &StoreError) -> bool {
    match error {
        StoreError::Io { source, .. } => !is_full(source),
        StoreError::Failed(_) => true,
        StoreError::Compacted { .. }
        | StoreError::Locked { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Format { .. }
        | StoreError::Refused(_)
        | StoreError::Doubtful(_)
        | StoreError::Unavailable(_) => false,
    }
}

pub fn note_after(dir: &Path, error: &StoreError) -> Result<(), StoreError> {
    if is_suspect_after(error) { note(dir) } else { Ok(()) }
}

pub fn note(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(NAME);
    File::create(&path).map(drop).map_err(|source| io_error(&path, source))
}

/// Writes the database again if that was noted. Waits so long until whoever has failed with it lets go of it.
pub fn rewrite(dir: &Path, unlock_time_max: Duration) -> Result<(), StoreError> {
    let path = dir.join(NAME);
    if !path.exists() {
        return Ok(());
    }
    let db_dir = dir.join("db");
    let io = |source| io_error(&db_dir, source);
    // What sled locks.
    let db = File::open(db_dir.join("db")).map_err(io)?;
    let give_up = Instant::now() + unlock_time_max;
    while let Err(error) = db.try_lock() {
        match error {
            TryLockError::WouldBlock if Instant::now() > give_up => return Err(locked(&db_dir)),
            TryLockError::WouldBlock => thread::sleep(Duration::from_millis(10)),
            TryLockError::Error(source) => return Err(io(source)),
        }
    }
    durable::rewrite(&db_dir).map_err(io)?;
    fs::remove_file(&path).map_err(io)
}
