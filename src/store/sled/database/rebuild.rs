//! Makes a damaged database again from the journal. Knows files and errors; no sled, no commits.
//!
//! The database holds indexes only: folds over the journal. A disk that fails a sync and then loses power can leave a database that sled
//! does not open. While the journal has all of history, that costs a start some time, and nobody has to be woken: the damaged database is
//! moved to `db.damaged`, where it can be looked at, and a new one is made.
//!
//! After a compaction the journal no longer begins with revision 1, and the database has what was compacted: then the error stays.
//!
//! A reader that meets damage while the store is open leaves the file `DAMAGED`, so that the next start makes the database again.

use std::fs::{self, File};
use std::path::Path;

use super::durable::ignore_missing;
use crate::durable_file;
use crate::store::StoreError;
use crate::store::sled::index::trees::TREES;
use crate::store::sled::{DATABASE, io_error, journal};

const NAME: &str = "DAMAGED";
const ASIDE: &str = "db.damaged";

/// Whether the database, and neither the journal nor the log, is what is damaged, and the journal has all it takes to make another.
pub fn is_possible_after(dir: &Path, error: &StoreError) -> bool {
    is_of_database(dir, error) && journal::epoch_if_complete(&dir.join("journal")).is_some()
}

/// Leaves a note for the next start, if another database can be made then.
pub fn note_after(dir: &Path, error: &StoreError) {
    if is_possible_after(dir, error) {
        match File::create(dir.join(NAME)) {
            Ok(_) => {
                tracing::error!(%error, "the database is damaged: the next start makes it again from the journal")
            }
            Err(failed) => {
                tracing::error!(%error, %failed, "the database is damaged, and that could not be noted")
            }
        }
    }
}

/// Moves the database away if that was noted. Nobody has it open.
pub fn take_up(dir: &Path) -> Result<(), StoreError> {
    let is_noted = dir.join(NAME).exists();
    match is_noted && journal::epoch_if_complete(&dir.join("journal")).is_some() {
        true => set_aside(dir, &"a reader met damage"),
        false => Ok(()),
    }
}

/// Moves the database away, so that the next step of a start makes another. Nobody has it open.
pub fn set_aside(dir: &Path, why: &dyn std::fmt::Display) -> Result<(), StoreError> {
    let (db, aside) = (dir.join("db"), dir.join(ASIDE));
    tracing::error!(
        %why,
        kept = %aside.display(),
        "the database is damaged: it is made again from the journal, and the damaged one is kept until the next time"
    );
    let set_aside = || {
        ignore_missing(fs::remove_dir_all(&aside))?;
        ignore_missing(fs::rename(&db, &aside))?;
        ignore_missing(fs::remove_file(dir.join(NAME)))?;
        // What was suspect is not opened again.
        ignore_missing(fs::remove_file(dir.join(super::failed_sync::NAME)))?;
        durable_file::sync(dir)
    };
    set_aside().map_err(|source| io_error(&aside, source))
}

fn is_of_database(dir: &Path, error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { place, .. } => {
            let is_of_tree = || place.split_once(", ").is_some_and(|(tree, _)| TREES.contains(&tree));
            place == DATABASE || *place == dir.join("db").display().to_string() || is_of_tree()
        }
        StoreError::Io { .. }
        | StoreError::Failed(_)
        | StoreError::Compacted { .. }
        | StoreError::Locked { .. }
        | StoreError::Format { .. }
        | StoreError::Refused(_)
        | StoreError::Doubtful(_)
        | StoreError::Unavailable(_) => false,
    }
}
