//! The store in sled, an embedded database: the default. Knows the model and its directory; no other process.
//!
//! A commit becomes durable in a write-ahead log beside the database: `wal/`. A thread archives it from there: `archiver.rs`. Reads of
//! what is not archived yet wait for it, and a start archives what a crash left.
//!
//! The journal is a directory of files that are only appended to: `journal/`. sled has the indexes: folds over the journal that make
//! reads cheap.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `places` | first revision of a segment of the journal, and of a batch in it (u64 BE each) | where the batch is (u64 BE); of some batches |
//! | `layers` | config, kind (1 byte), scope, version (u64 BE), part | the layer as of the versions at which it changed, from this one on: where its content is in the journal, or, once that is compacted, the content; or that it ended |
//! | `current` | config, kind, scope, part | the layer as it is now, with content: what a start reads |
//! | `configs` | config | its current version, also of a deleted one |
//! | `versions` | config, version (u64 BE) | revision and time of this version and of those that follow |
//! | `tags` | config, tag | version |
//! | `meta` | name | `trees.rs` |
//!
//! where a config is `NAMESPACE NUL CONFIG NUL`, and a scope ends with NUL: `keys.rs`. Values: `record.rs`, `runs.rs`. Parts: `chunk.rs`.
//! They are written in large groups, and before they are read: `unsettled.rs`.

mod archiver;
mod batch;
mod counts;
mod database;
mod forgetting;
mod import;
mod index;
mod journal;
mod log_record;
mod options;
mod recovery;
mod released;
mod seed;
mod verify;
mod wal;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

pub use self::counts::{Counts, DiskBytes};
pub use self::import::Importing;
pub use self::options::{Fsync, Pause, Point, SledOptions};
pub use self::released::Released;
pub use self::seed::Seeding;

use self::archiver::Archiver;
use self::batch::Pending;
use self::database::{Database, Handle};
use self::recovery::{Recovered, recover};
use self::wal::{AppendError, Wal};
use super::codec::{self, CommitFormat, encode_batch};
use super::{
    Compaction, ConfigRecord, Forgotten, Head, History, Journal, Problem, Sealed, Snapshot, StoreError,
    StoredCommit, Summary, Verified, VersionRef,
};
use crate::model::{Commit, ConfigId, Digest, Epoch, Namespace, Revision, Timestamp, Version};
use database::open::Directory;
use index::retained::Retained;
use index::trees::Trees;

/// The place of an error of sled.
const DATABASE: &str = "the database";

/// A store in a directory of its own. Dropped, it writes what is pending and lets go of the directory.
pub struct SledStore {
    epoch: Epoch,
    database: Arc<Handle>,
    /// What is durable.
    head: RwLock<Head>,
    retained: RwLock<Retained>,
    /// How often something that reads could have relied on was about to be removed.
    sweeps: AtomicU64,
    /// Locked by whoever appends, and before any other lock.
    wal: Mutex<Wal>,
    /// Locked by whoever compacts.
    compacting: Mutex<()>,
    archiver: Option<Archiver>,
    counts: Arc<Counts>,
    options: SledOptions,
    /// The last to be dropped.
    directory: Directory,
}

impl SledStore {
    /// Opens the store in `dir`, or creates one. `StoreError::Locked` if somebody else has it open, `StoreError::Format` if a later
    /// program wrote it.
    pub fn open(dir: &Path, options: SledOptions) -> Result<SledStore, StoreError> {
        let opened = guarded(|| {
            let directory = database::open::prepare(dir, &options)?;
            let (database, Recovered { head, sequence }) =
                recovery::open_recovered(dir, &options, Revision(u64::MAX))?;
            let log = dir.join("wal");
            let wal = Wal::begin(&log, options.clone(), sequence, head.revision)
                .map_err(|source| io_error(&log, source))?;
            database::head_marker::write(dir, head)?;
            let (epoch, retained) = (database.trees.epoch()?, database.trees.retained()?);
            let database = Arc::new(Handle::new(database));
            let archiver = Archiver::start(
                dir.to_owned(),
                options.clone(),
                database.clone(),
                wal.slots().clone(),
                head,
            )?;
            Ok(SledStore {
                epoch,
                database,
                head: RwLock::new(head),
                retained: RwLock::new(retained),
                sweeps: AtomicU64::new(0),
                counts: wal.counts().clone(),
                wal: Mutex::new(wal),
                compacting: Mutex::new(()),
                archiver: Some(archiver),
                options,
                directory,
            })
        });
        opened.map_err(|error| database::open::explain(dir, error))
    }

    /// As `History::verify`, for a store that may be too damaged to be opened. First archives what a crash left in the log, as
    /// `open` does. An error means that not even the database could be opened.
    pub fn check(
        dir: &Path,
        options: SledOptions,
        report: &mut dyn FnMut(Problem),
    ) -> Result<Verified, StoreError> {
        guarded(|| {
            let _directory = database::open::prepare(dir, &options)?;
            let database = Database::open(dir, &options)?;
            if let Err(error) = guarded(|| recover(dir, &database, Revision(u64::MAX))) {
                report(Problem { place: "what the last crash left".to_owned(), message: error.to_string() });
            }
            verify::verify(&database.trees, report)
        })
    }

    /// What it counts. Can be kept for longer than the store.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Tells when the store has let go of its directory, which is some time after its last owner has let go of the store.
    pub fn released(&self) -> Released {
        self.directory.released()
    }

    fn archiver(&self) -> &Archiver {
        self.archiver.as_ref().expect("it is there until the store is dropped")
    }

    fn wal(&self) -> MutexGuard<'_, Wal> {
        self.wal.lock().expect("no append broke the contract")
    }

    fn retained(&self) -> Retained {
        self.retained.read().expect("nothing panics while it holds what is retained").clone()
    }

    /// Runs what needs all indexes to show the same head, which it is given.
    fn while_settled<T>(
        &self,
        database: &Database,
        run: impl FnOnce(Head) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.archiver().while_still(|archived| {
            guarded(|| {
                database.settle()?;
                run(archived)
            })
        })
    }

    /// Runs a read of the journal, which has everything up to the head when this begins.
    fn read<T>(&self, read: impl Fn(&Trees, &Retained) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.archiver().wait_for(self.head().revision)?;
        let database = self.database.get()?;
        self.read_from(&database, read)
    }

    /// As `read`, of commits from `from` on. It is given the first of them.
    fn read_commits<T>(
        &self,
        from: Revision,
        read: impl Fn(&Trees, Revision, &Forgotten) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read(|trees, retained| match (from.max(Revision(1)), retained.oldest.revision) {
            (asked, oldest) if asked < oldest => Err(StoreError::Compacted { asked, oldest }),
            (from, _) => read(trees, from, &retained.forgotten),
        })
    }

    /// As `read`, of what the indexes say of a config. It is given the oldest revision of the namespace.
    fn read_history<T>(
        &self,
        id: &ConfigId,
        read: impl Fn(&Trees, Revision) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.archiver().wait_for(self.head().revision)?;
        let database = self.database.get()?;
        if let Err(error) = guarded(|| database.show(id)) {
            let why = error.to_string();
            self.archiver().note_failure(error);
            return Err(StoreError::Unavailable(why));
        }
        self.read_from(&database, |trees, retained| read(trees, retained.oldest_of(&id.namespace)))
    }

    /// Runs a read. It is given what is retained, and runs again if a compaction came between.
    fn read_from<T>(
        &self,
        database: &Database,
        read: impl Fn(&Trees, &Retained) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            let sweeps = self.sweeps.load(Ordering::SeqCst);
            let retained = self.retained();
            let result = guarded(|| read(&database.trees, &retained));
            if self.sweeps.load(Ordering::SeqCst) == sweeps {
                return result.map_err(|error| self.note_failure(error));
            }
        }
    }

    /// What a reader is told of an error. A database that the disk has failed is of no more use: it is opened again, even if nobody
    /// writes.
    fn note_failure(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Io { .. } => {
                let why = error.to_string();
                self.archiver().note_failure(error);
                StoreError::Unavailable(why)
            }
            other => {
                self.counts.note_damage(&other);
                database::rebuild::note_after(&self.directory.path, &other);
                other
            }
        }
    }
}

impl Journal for SledStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> Head {
        *self.head.read().expect("nothing panics while it holds the head")
    }

    fn oldest(&self) -> Revision {
        self.retained().oldest.revision
    }

    fn forgotten(&self) -> Forgotten {
        self.retained().forgotten
    }

    fn anchor(&self) -> Digest {
        self.retained().oldest.anchor
    }

    fn append_as(&self, format: CommitFormat, commits: &[Commit]) -> Result<Head, StoreError> {
        let mut wal = self.wal();
        let before = self.head();
        before.check_followed_by(commits);
        let Some(last) = commits.last() else { return Ok(before) };
        let first = before.revision.next();
        let (bytes, hash) = encode_batch(format, before.hash, commits);
        loop {
            match wal.append(first, commits.len() as u32, &bytes) {
                Ok(()) => break,
                Err(AppendError::Full) => self.archiver().wait_for_room()?,
                Err(AppendError::Io(error)) => return Err(StoreError::Refused(error.to_string())),
                Err(AppendError::Doubtful(error)) => return Err(StoreError::Doubtful(error.to_string())),
            }
        }
        self.options.pause(Point::AfterSync);
        let head = Head { revision: last.revision, time: last.time, hash };
        // The head before the indexes: a read that sees a commit in one index must wait for all others to show it.
        *self.head.write().expect("nothing panics while it holds the head") = head;
        self.archiver().push(Pending::encoded(commits, bytes, head));
        Ok(head)
    }

    fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError> {
        let head = self.head().revision;
        self.read_commits(from, |trees, from, forgotten| {
            trees.journal.commits(from, head, bytes_max, forgotten)
        })
    }

    fn stored_commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<StoredCommit>, StoreError> {
        let head = self.head().revision;
        self.read_commits(from, |trees, from, forgotten| {
            trees.journal.stored_commits(from, head, bytes_max, forgotten)
        })
    }

    fn summaries(&self, from: Revision, bytes_max: usize) -> Result<(Vec<Summary>, Revision), StoreError> {
        let head = self.head().revision;
        self.read_commits(from, |trees, from, forgotten| {
            trees.journal.summaries(from, head, bytes_max, forgotten)
        })
    }

    fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError> {
        let head = self.head().revision;
        self.read(|trees, retained| trees.journal.revision_at(retained.oldest.revision, head, time))
    }
}

impl History for SledStore {
    fn versions(&self, id: &ConfigId, before: Version, limit: usize) -> Result<Vec<VersionRef>, StoreError> {
        self.read_history(id, |trees, oldest| trees.versions(id, before, limit, oldest))
    }

    fn version_at(&self, id: &ConfigId, revision: Revision) -> Result<Option<VersionRef>, StoreError> {
        self.read_history(id, |trees, oldest| trees.version_at(id, revision, oldest))
    }

    fn snapshot(&self, id: &ConfigId, version: Version) -> Result<Option<Snapshot>, StoreError> {
        self.read_history(id, |trees, oldest| trees.snapshot(id, version, oldest))
    }

    /// Nothing is archived meanwhile; appends go on as long as the log has room.
    fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<Head, StoreError> {
        self.archiver().wait_for(self.head().revision)?;
        let database = self.database.get()?;
        self.while_settled(&database, |archived| database.trees.load(visit).map(|()| archived))
    }

    /// In slices: others wait for one of them at most.
    fn compact_unless(
        &self,
        oldest: Revision,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        self.compact_all(oldest, is_stopped).inspect_err(|error| self.counts.note_damage(error))
    }

    fn forget_unless(
        &self,
        namespace: &Namespace,
        oldest: Revision,
        versions_min: u64,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        let compacted = self.compact_namespace(namespace, oldest, versions_min, is_stopped);
        compacted.inspect_err(|error| self.counts.note_damage(error))
    }

    fn reclaim_unless(&self, is_stopped: &dyn Fn() -> bool) -> Result<Compaction, StoreError> {
        self.rewrite_segments(is_stopped).inspect_err(|error| self.counts.note_damage(error))
    }

    /// As with `load`.
    fn verify(&self, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError> {
        self.archiver().wait_for(self.head().revision)?;
        let database = self.database.get()?;
        self.while_settled(&database, |_| verify::verify(&database.trees, report))
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.archiver = None;
        // If it is closed now, the next start archives what is missing.
        let Ok(database) = self.database.get() else { return };
        let settled = guarded(|| database.settle()).and_then(|()| database.sync());
        let closed = settled.and_then(|()| database::head_marker::write(&self.directory.path, self.head()));
        if let Err(error) = closed {
            // If this fails too, only the log tells that the store was not closed.
            let _ = database::failed_sync::note_after(&self.directory.path, &error);
            tracing::error!(%error, "the store was not closed cleanly");
        }
    }
}

/// Runs what may make sled panic, as it does here and there when its files are damaged.
fn guarded<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_default();
        Err(match database::durable::system_error(&text) {
            Some(source) => StoreError::Io { what: DATABASE.into(), source },
            None => {
                tracing::error!(text, "sled has panicked");
                corrupt(DATABASE, "its files cannot be read")
            }
        })
    })
}

fn corrupt(place: impl Into<String>, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { place: place.into(), what: what.into() }
}

/// Commits of a later version of this program.
fn newer_commits(found: u64) -> StoreError {
    StoreError::Format { of: "a commit of the store", found, expected: codec::FORMAT }
}

/// A tree and a key, for people.
fn place(tree: &sled::Tree, key: &[u8]) -> String {
    format!("{}, key {}", tree.name().escape_ascii(), key.escape_ascii())
}

fn io_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { what: path.display().to_string(), source }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        // In the words of sled, which are for those who know it.
        tracing::error!(%error, "sled has failed");
        let what = match error {
            sled::Error::Io(error) => {
                let source = database::durable::system_error(&error.to_string());
                // Its own texts are debug output.
                let source = source.unwrap_or_else(|| std::io::Error::from(error.kind()));
                return StoreError::Io { what: DATABASE.into(), source };
            }
            sled::Error::Corruption { .. } => "its files are not as they were written",
            sled::Error::Unsupported(_) => "its files are of another version of the database",
            sled::Error::CollectionNotFound(_) => "a part of it is missing",
            sled::Error::ReportableBug(_) => "its files cannot be read",
        };
        corrupt(DATABASE, what)
    }
}
