//! The store in sled, an embedded database: the default. Knows the model and the directory it is given; no other process.
//!
//! The tree `commits` is the journal, and all that the durable path writes. The other trees are indexes: folds over the
//! journal that make reads cheap. A thread writes them behind the journal; reads wait for it, and a start replays what it had left.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `commits` | first revision of the batch (u64 BE), part (u16 BE) | the batch: `codec.rs` |
//! | `layers` | config, kind (1 byte), scope, version (u64 BE), part | the layer as of the version at which it changed: where its content is in the journal, or, once that is compacted, the content; or that it ended |
//! | `current` | config, kind, scope, part | the layer as it is now, with content: what a start reads |
//! | `configs` | config | its current version, also of a deleted one |
//! | `versions` | config, version (u64 BE) | revision and time |
//! | `tags` | config, tag | version |
//! | `meta` | name | `trees.rs` |
//!
//! where a config is `NAMESPACE NUL CONFIG NUL`, and a scope ends with NUL: `keys.rs`. Values: `record.rs`. Parts: `chunk.rs`.

mod chunk;
mod compact;
mod durable;
mod index;
mod indexer;
mod journal;
mod keys;
mod layers;
mod load;
mod open;
mod options;
mod record;
mod syncer;
mod trees;
mod verify;
mod versions;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock};

pub use self::options::{Fsync, Pause, Point, SledOptions};

use self::index::Pending;
use self::indexer::Indexer;
use self::open::Directory;
use self::syncer::Syncer;
use self::trees::{Oldest, Trees};
use super::codec::encode_batch;
use super::{ConfigRecord, Head, Problem, Sealed, Snapshot, Store, StoreError, Verified, VersionRef};
use crate::model::{Commit, ConfigId, Epoch, Revision, Timestamp, Version};

/// A store in a directory of its own. Dropped, it writes what is pending and lets go of the directory.
pub struct SledStore {
    epoch: Epoch,
    trees: Trees,
    /// What is durable.
    head: RwLock<Head>,
    oldest: RwLock<Oldest>,
    /// How often something that reads could have relied on was about to be removed.
    sweeps: AtomicU64,
    /// Locked by whoever writes to the journal, and before any other lock.
    writer: Mutex<Writer>,
    indexer: Option<Indexer>,
    options: SledOptions,
    /// The last to be dropped.
    directory: Directory,
}

struct Writer {
    syncer: Syncer,
    /// Why nothing is written any more.
    failed: Option<String>,
}

impl SledStore {
    /// Opens the store in `dir`, or creates one. `StoreError::Locked` if somebody else has it open, `StoreError::Format` if a later
    /// program wrote it.
    pub fn open(dir: &Path, options: SledOptions) -> Result<SledStore, StoreError> {
        guarded(|| {
            let (directory, trees) = open::open(dir, &options)?;
            compact::resume(&trees)?;
            let head = trees.journal.head()?;
            open::check_complete(dir, &trees, head)?;
            index::replay(&trees)?;
            witness::write(dir, head)?;
            let indexer = Indexer::start(trees.clone(), head, options.clone())?;
            let syncer = Syncer::start(trees.db.clone())?;
            Ok(SledStore {
                epoch: trees.epoch()?,
                head: RwLock::new(head),
                oldest: RwLock::new(trees.oldest()?),
                sweeps: AtomicU64::new(0),
                writer: Mutex::new(Writer { syncer, failed: None }),
                indexer: Some(indexer),
                trees,
                options,
                directory,
            })
        })
    }

    /// As `Store::verify`, for a store that may be too damaged to be opened. First writes to the indexes what a crash left out, as
    /// `open` does. An error means that not even the database could be opened.
    pub fn check(
        dir: &Path,
        options: SledOptions,
        report: &mut dyn FnMut(Problem),
    ) -> Result<Verified, StoreError> {
        guarded(|| {
            let (_directory, trees) = open::open(dir, &options)?;
            let mut try_to = |what: &str, result: Result<(), StoreError>| {
                if let Err(error) = result {
                    report(Problem { place: what.to_owned(), message: error.to_string() });
                }
            };
            try_to("resuming a compaction", guarded(|| compact::resume(&trees)));
            let complete = || open::check_complete(dir, &trees, trees.journal.head()?);
            try_to("the end of the journal", guarded(complete));
            try_to("writing what the indexes lack", guarded(|| index::replay(&trees)));
            verify::verify(&trees, report)
        })
    }

    fn indexer(&self) -> &Indexer {
        self.indexer.as_ref().expect("it is there until the store is dropped")
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("no append broke the contract")
    }

    fn oldest(&self) -> Oldest {
        *self.oldest.read().expect("nothing panics while it holds the oldest")
    }

    fn append_batch(&self, writer: &mut Writer, first: Revision, bytes: &[u8]) -> Result<(), StoreError> {
        guarded(|| self.trees.journal.write(first, bytes))?;
        self.options.pause(Point::BeforeSync);
        match self.options.fsync {
            Fsync::Always => writer.syncer.sync()?,
            Fsync::Never => {}
        }
        self.options.pause(Point::AfterSync);
        Ok(())
    }

    fn forget(&self, writer: &mut Writer, to: Revision) -> Result<(), StoreError> {
        let (oldest, pins) = guarded(|| compact::keep(&self.trees, self.oldest().revision, to))?;
        self.options.pause(Point::BeforeForget);
        writer.syncer.sync()?;
        guarded(|| self.trees.write_oldest(oldest, &pins))?;
        writer.syncer.sync()?;
        *self.oldest.write().expect("nothing panics while it holds the oldest") = oldest;
        // Reads that began before this may miss what is now removed, and begin again.
        self.sweeps.fetch_add(1, Ordering::SeqCst);
        self.options.pause(Point::BeforeSweep);
        guarded(|| compact::sweep(&self.trees, oldest.revision))
    }

    /// Runs a read that is given the oldest revision, again if a compaction came between.
    fn read<T>(&self, read: impl Fn(Revision) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            let sweeps = self.sweeps.load(Ordering::SeqCst);
            let oldest = self.oldest().revision;
            let result = guarded(|| read(oldest));
            if self.sweeps.load(Ordering::SeqCst) == sweeps {
                return result;
            }
        }
    }

    /// As `read`, of indexes that show at least the head.
    fn read_indexes<T>(&self, read: impl Fn(Revision) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.indexer().wait_for(self.head().revision)?;
        self.read(read)
    }
}

impl Store for SledStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> Head {
        *self.head.read().expect("nothing panics while it holds the head")
    }

    fn oldest(&self) -> Revision {
        self.oldest().revision
    }

    fn append(&self, commits: &[Commit]) -> Result<Head, StoreError> {
        let mut writer = self.writer();
        writer.check()?;
        let before = self.head();
        before.check_followed_by(commits);
        let Some(last) = commits.last() else { return Ok(before) };
        let first = before.revision.next();
        let (bytes, hash) = encode_batch(before.hash, commits);
        let appended = self.append_batch(&mut writer, first, &bytes);
        writer.fail_unless(appended)?;
        let head = Head { revision: last.revision, time: last.time, hash };
        // The head before the indexes: a read that sees a commit in one index must wait for all others to show it.
        *self.head.write().expect("nothing panics while it holds the head") = head;
        let pushed = self.indexer().push(Pending { first, bytes });
        writer.fail_unless(pushed)?;
        Ok(head)
    }

    fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError> {
        let head = self.head().revision;
        self.read(|oldest| match from.max(Revision(1)) {
            from if from < oldest => Err(StoreError::Compacted { asked: from, oldest }),
            from => self.trees.journal.commits(from, head, bytes_max),
        })
    }

    fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError> {
        let head = self.head().revision;
        self.read(|oldest| self.trees.journal.revision_at(oldest, head, time))
    }

    fn versions(&self, id: &ConfigId, before: Version, limit: usize) -> Result<Vec<VersionRef>, StoreError> {
        self.read_indexes(|oldest| self.trees.versions(id, before, limit, oldest))
    }

    fn version_at(&self, id: &ConfigId, revision: Revision) -> Result<Option<VersionRef>, StoreError> {
        self.read_indexes(|oldest| self.trees.version_at(id, revision, oldest))
    }

    fn snapshot(&self, id: &ConfigId, version: Version) -> Result<Option<Snapshot>, StoreError> {
        self.read_indexes(|oldest| self.trees.snapshot(id, version, oldest))
    }

    /// The indexes stand still meanwhile; appends wait once the queue of the indexer is full.
    fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<Head, StoreError> {
        self.indexer().wait_for(self.head().revision)?;
        self.indexer().while_still(|indexed| guarded(|| self.trees.load(visit)).map(|()| indexed))
    }

    fn compact(&self, oldest: Revision) -> Result<(), StoreError> {
        let mut writer = self.writer();
        writer.check()?;
        let head = self.head().revision;
        let oldest = oldest.min(head);
        if oldest <= self.oldest().revision {
            return Ok(());
        }
        self.indexer().wait_for(head)?;
        let forgotten = self.forget(&mut writer, oldest);
        writer.fail_unless(forgotten)
    }

    /// Appends wait meanwhile.
    fn verify(&self, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError> {
        let _writer = self.writer();
        self.indexer().wait_for(self.head().revision)?;
        guarded(|| verify::verify(&self.trees, report))
    }
}

impl Writer {
    fn check(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(why) => Err(StoreError::Failed(why.clone())),
            None => Ok(()),
        }
    }

    /// After an error nothing is written any more: step 8 of `durable.rs`.
    fn fail_unless<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let why = match error {
                StoreError::Failed(why) => why,
                other => other.to_string(),
            };
            tracing::error!(why, "the store takes no writes any more");
            self.failed = Some(why.clone());
            StoreError::Failed(why)
        })
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.indexer = None;
        let head = self.head();
        let Ok(writer) = self.writer.get_mut() else { return };
        if writer.failed.is_some() {
            return;
        }
        let synced = writer.syncer.sync();
        if let Err(error) = synced.and_then(|()| witness::write(&self.directory.path, head)) {
            tracing::error!(%error, "the store was not closed cleanly");
        }
    }
}

/// Runs what may make sled panic, as it does here and there when its files are damaged.
fn guarded<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(corrupt("the database", format!("sled panicked: {}", text.unwrap_or_default())))
    })
}

fn corrupt(place: impl Into<String>, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { place: place.into(), what: what.into() }
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
        match error {
            sled::Error::Io(source) => StoreError::Io { what: "the database".into(), source },
            other => corrupt("the database", other.to_string()),
        }
    }
}
