//! From a directory to open trees: the lock, the creation, the recipe of `durable.rs`. Knows files and sled; no commits.
//!
//! | in the directory | is |
//! | --- | --- |
//! | `LOCK` | locked by whoever has the store open |
//! | `wal/` | the write-ahead log: `wal/` |
//! | `journal/` | all commits: `journal/` |
//! | `db/` | sled's own: the indexes |
//! | `db.new/` | a database that was being created when the server ended |
//! | `db.damaged/` | a database that was damaged, and was made again from the journal: `rebuild.rs` |
//! | `DAMAGED` | there while the next start is to make `db/` again: `rebuild.rs` |
//! | `HEAD` | see `head_marker.rs` |
//! | `SUSPECT` | there while `db/` may not be durable although it was synced: `failed_sync.rs` |

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::io_errors::{is_full, locked};
use super::{durable, failed_sync, head_marker, rebuild};
use crate::durable_file;
use crate::model::{Epoch, Revision};
use crate::store::codec::{DecodeError, check_format, stored_batch};
use crate::store::sled::index::trees;
use crate::store::sled::index::trees::Trees;
use crate::store::sled::released::{ReleaseOnDrop, Released};
use crate::store::sled::{DATABASE, SledOptions, corrupt, guarded, io_error, journal, newer_commits, wal};
use crate::store::{Head, StoreError};

/// How long sled may take to let go of a database that was just closed.
const UNLOCK_TIME_MAX: Duration = Duration::from_secs(5);

/// A directory that nobody else has open.
pub struct Directory {
    pub path: PathBuf,
    /// Locked until it is dropped.
    _lock: File,
    /// Dropped after the lock.
    released: ReleaseOnDrop,
}

impl Directory {
    pub fn released(&self) -> Released {
        self.released.0.clone()
    }
}

/// Locks the directory of a store, and creates what a new one consists of.
pub fn prepare(path: &Path, options: &SledOptions) -> Result<Directory, StoreError> {
    let directory = lock(path)?;
    rebuild::take_up(path)?;
    match create_if_missing(path, options) {
        Err(error) if rebuild::is_possible_after(path, &error) => {
            rebuild::set_aside(path, &error)?;
            create_if_missing(path, options)?;
        }
        created => created?,
    }
    Ok(directory)
}

/// Opens the database, as the recipe says, and the journal. The format is known to be ours; the rest of the content is not looked at.
pub fn open_database(path: &Path, options: &SledOptions) -> Result<Trees, StoreError> {
    guarded(|| open_trees(path, options)).map_err(|error| named(path, error))
}

fn open_trees(path: &Path, options: &SledOptions) -> Result<Trees, StoreError> {
    let db_dir = path.join("db");
    failed_sync::rewrite(path, UNLOCK_TIME_MAX)?;
    durable::prepare(&db_dir).map_err(|source| io_error(&db_dir, source))?;
    let trees = Trees::open(open_sled(&db_dir, options)?, path.join("journal"))?;
    trees.count_opening()?;
    durable::settle(&trees.db, &db_dir)?;
    if !durable::is_interposed() {
        let source = std::io::Error::other("this program was linked so that sled cannot sync files");
        return Err(io_error(&db_dir, source));
    }
    let blobs = durable::blobs(&db_dir).map_err(|source| io_error(&db_dir, source))?;
    if blobs > 0 {
        tracing::error!(blobs, "sled keeps items in files of their own, which may not survive a power cut");
    }
    Ok(trees)
}

/// Makes an empty log where there is none, if `head`, with which the journal ends, tells that there was nothing else in it.
pub fn prepare_log(path: &Path, head: Head) -> Result<(), StoreError> {
    let dir = path.join("wal");
    if dir.is_dir() {
        return Ok(());
    }
    match head_marker::read(path)? {
        Some(witness) if witness != (head.revision, head.hash) => {
            Err(corrupt(dir.display().to_string(), "it is missing"))
        }
        Some(_) | None => durable_file::create_directory(&dir).map_err(|source| io_error(&dir, source)),
    }
}

/// What the log has after `head`, which is in the journal.
pub fn read_log(path: &Path, head: Head) -> Result<wal::Contents, StoreError> {
    let dir = path.join("wal");
    let contents = wal::read(&dir, head.revision)?;
    for batch in &contents.batches {
        if let Err(DecodeError::Format(found)) = check_format(&batch.bytes) {
            return Err(newer_commits(found));
        }
    }
    if let Some(first) = contents.batches.first() {
        let batch = stored_batch(&first.bytes);
        let batch = batch.map_err(|error| corrupt(dir.display().to_string(), error.to_string()))?;
        if batch.previous != head.hash {
            let what = format!(
                "revision {} follows the hash {}, that of {} is {}",
                first.first, batch.previous, head.revision, head.hash
            );
            return Err(corrupt(dir.display().to_string(), what));
        }
    }
    Ok(contents)
}

/// What to do about an error that a start has met. sled cannot be opened without room for a few changes, not even to be read.
pub fn explain(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Io { source, .. } if is_full(&source) => {
            let what =
                "its disk is full, and a start needs some room; nothing is lost: make room, and start again";
            io_error(path, io::Error::new(source.kind(), what))
        }
        // Somebody else's files: nothing is left beside them.
        StoreError::Io { what, source } if source.kind() == io::ErrorKind::DirectoryNotEmpty => {
            StoreError::Io { what, source }
        }
        other => {
            // If this fails, there may be nothing yet that is suspect, and there is another error to tell.
            let _ = failed_sync::note_after(path, &other);
            other
        }
    }
}

/// What a directory of a store has, besides `LOCK`, which a start leaves that went no further.
const PARTS: [&str; 6] = ["db", "db.new", "db.damaged", "journal", "wal", "HEAD"];
/// What may be there before the store is: the audit log, keys, and what a file system has of its own.
const HARMLESS: [&str; 6] = ["LOCK", "SUSPECT", "audit", "keys", "master.key", "lost+found"];

/// Refuses a directory that has other files and no store, which was named by mistake. Hidden files are those of a mount or a file manager.
fn refuse_foreign(path: &Path) -> io::Result<()> {
    let mut foreign = None;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if PARTS.contains(&&*name) {
            return Ok(());
        }
        if !HARMLESS.contains(&&*name) && !name.starts_with('.') {
            foreign.get_or_insert(name.into_owned());
        }
    }
    match foreign {
        None => Ok(()),
        Some(name) => Err(io::Error::new(
            io::ErrorKind::DirectoryNotEmpty,
            format!(
                "this is no data directory: it has other files, such as {name:?}, and no data of confwatch; name an empty \
                 directory, or one that does not exist"
            ),
        )),
    }
}

/// Our own lock, because sled's is released some time after it is closed: this one says exactly who has it.
fn lock(path: &Path) -> Result<Directory, StoreError> {
    let io = |source| io_error(path, source);
    if !path.is_dir() {
        make_all(path).map_err(io)?;
    }
    refuse_foreign(path).map_err(io)?;
    let lock =
        File::options().create(true).truncate(false).write(true).open(path.join("LOCK")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {
            let released = ReleaseOnDrop(Released::default());
            Ok(Directory { path: path.to_owned(), _lock: lock, released })
        }
        Err(TryLockError::WouldBlock) => Err(locked(path)),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Makes a directory and those above it. Their names are durable once the directory has a database.
/// Configuration is nobody's business but of who runs the server.
fn make_all(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty() && !above.is_dir());
    if let Some(above) = above {
        make_all(above)?;
    }
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Step 2 of the recipe. What was not there before, or has gone, is made aside; of what is damaged nothing is touched.
pub fn create_if_missing(path: &Path, options: &SledOptions) -> Result<(), StoreError> {
    let (db_dir, new) = (path.join("db"), path.join("db.new"));
    let io = |source| io_error(&new, source);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io)?;
    }
    if db_dir.exists() {
        // sled would make a new database of what is left.
        return match ["conf", "db"].into_iter().find(|name| !db_dir.join(name).exists()) {
            None => Ok(()),
            Some(name) => Err(corrupt(db_dir.display().to_string(), format!("the file {name} is missing"))),
        };
    }
    let epoch = epoch(path, options)?;
    let (log, journal) = (path.join("wal"), path.join("journal"));
    if !journal.is_dir() {
        durable_file::create_directory(&journal).map_err(|source| io_error(&journal, source))?;
    }
    // The directory itself and those above it may be as new, or were made by a start that was killed.
    durable_file::sync_names(path).map_err(io)?;
    if !log.is_dir() && head_marker::read(path)?.is_none() {
        durable_file::create_directory(&log).map_err(|source| io_error(&log, source))?;
    }
    fs::create_dir(&new).map_err(io)?;
    let db = open_sled(&new, options)?;
    trees::initialize(&db, epoch, options.journal_segment_bytes)?;
    durable::settle(&db, &new)?;
    drop(db);
    durable::prepare(&new).map_err(io)?;
    fs::rename(&new, &db_dir).map_err(io)?;
    durable_file::sync(path).map_err(io)
}

/// The epoch of a store whose database is missing. It is given to a new one; that of a journal that has all of history is the same, and the
/// indexes are made from it again.
fn epoch(path: &Path, options: &SledOptions) -> Result<Epoch, StoreError> {
    let journal = path.join("journal");
    if let Some(epoch) = journal::epoch_if_complete(&journal) {
        let path = path.display().to_string();
        tracing::warn!(path, "the database is missing: it is made again from the journal");
        return Ok(epoch);
    }
    let names = journal::names(&journal);
    let is_new = names.is_ok_and(|names| names.is_empty()) || !journal.is_dir();
    let noted = head_marker::read(path)?;
    match is_new && noted.is_none_or(|(revision, _)| revision == Revision::ZERO) {
        true => Ok(options.epoch.unwrap_or(Epoch(uuid::Uuid::new_v4().as_u64_pair().1))),
        false => Err(corrupt(path.join("db").display().to_string(), "it is missing")),
    }
}

/// Names the files of the database where an error says only that it is of the database.
fn named(path: &Path, error: StoreError) -> StoreError {
    let db = || path.join("db").display().to_string();
    match error {
        StoreError::Corrupt { place, what } if place == DATABASE => StoreError::Corrupt {
            place: db(),
            what: format!("{what}; `confwatch fsck` says what else is damaged"),
        },
        StoreError::Io { what, source } if what == DATABASE => StoreError::Io { what: db(), source },
        other => other,
    }
}

fn open_sled(db_dir: &Path, options: &SledOptions) -> Result<sled::Db, StoreError> {
    let give_up = Instant::now() + UNLOCK_TIME_MAX;
    loop {
        match durable::configure(db_dir, options.cache_bytes).open() {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                if Instant::now() > give_up {
                    return Err(locked(db_dir));
                }
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
