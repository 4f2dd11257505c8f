//! The thread that moves commits from the write-ahead log to the journal, and to the indexes. Knows when; `database.rs` knows what.
//!
//! It is in no hurry: what is durable in the log and published in memory is complete without it, and many small commits cost little
//! more than one. It is at once when somebody reads what it has not written yet. Who reads right after a burst waits for two groups of
//! `GATHER_BYTES` at most, and a sync of the journal: indexes are written a little at a time meanwhile. What is gathered of the
//! config that is read is then written to the indexes: if nothing else was written lately, that is all of the last 64 MiB or so.
//!
//! When the journal or sled fails, because the disk is full, say, it takes no more for the rest of its life. Both are then closed and
//! opened again, until that works; what they have lost is still in the log. Meanwhile history cannot be read, and commits have as much
//! room as the log.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Pending;
use super::database::Handle;
use super::database::failed_sync;
use super::recovery::{Recovered, open_recovered};
use super::wal::Slots;
use super::{Point, SledOptions, guarded};
use crate::model::Revision;
use crate::store::{Head, StoreError};
use crate::supervise::{Heart, OnPanic};

/// How long commits are gathered, unless somebody waits for them.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// More is not gathered.
const GATHER_BYTES: usize = 4 << 20;
/// More of the journal is not left to be synced.
const SYNC_BYTES: u64 = 4 << 20;
/// How often a database that has failed is opened again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Owns the thread. Dropped, it archives what is pending and ends.
pub struct Archiver {
    shared: Arc<ArchiverState>,
    thread: Option<JoinHandle<()>>,
}

struct ArchiverState {
    dir: PathBuf,
    options: SledOptions,
    database: Arc<Handle>,
    slots: Arc<Slots>,
    queue: Mutex<Queue>,
    /// The queue has something for the thread.
    filled: Condvar,
    /// Something was archived, or cannot be.
    archived: Condvar,
    /// Syncs have failed since the database was last opened: `suspect.rs`.
    is_suspect: AtomicBool,
    /// Held while a group of batches is written: whoever holds it sees the database as of one head. Taken before `queue`.
    writing: Mutex<()>,
}

struct Queue {
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// Since when something is pending.
    since: Instant,
    /// What the log has durably.
    durable: Revision,
    /// What the database shows.
    archived: Head,
    /// Somebody waits for this.
    wanted: Revision,
    /// Somebody waits for the log to have room.
    room_wanted: bool,
    /// What somebody who reads has met.
    broken: Option<StoreError>,
    /// Why nothing can be archived now.
    failed: Option<String>,
    stopping: bool,
}

impl Archiver {
    /// `archived` is what the database shows now, and the log has nothing else.
    pub fn start(
        dir: PathBuf,
        options: SledOptions,
        database: Arc<Handle>,
        slots: Arc<Slots>,
        archived: Head,
    ) -> Result<Archiver, StoreError> {
        let queue = Queue {
            pending: VecDeque::new(),
            pending_bytes: 0,
            since: Instant::now(),
            durable: archived.revision,
            archived,
            wanted: Revision::ZERO,
            room_wanted: false,
            broken: None,
            failed: None,
            stopping: false,
        };
        let shared = Arc::new(ArchiverState {
            dir,
            options,
            database,
            slots,
            queue: Mutex::new(queue),
            filled: Condvar::new(),
            archived: Condvar::new(),
            is_suspect: AtomicBool::new(false),
            writing: Mutex::new(()),
        });
        let running = shared.clone();
        let thread = shared
            .options
            .supervisor
            .thread("archiver", OnPanic::EndServer, move |heart| running.run_guarded(heart))
            .map_err(|source| StoreError::Io { what: "starting the archiver".into(), source })?;
        Ok(Archiver { shared, thread: Some(thread) })
    }

    /// Hands over a batch that is durable in the log.
    pub fn push(&self, batch: Pending) {
        let mut queue = self.shared.lock();
        if queue.pending.is_empty() {
            queue.since = Instant::now();
            self.shared.filled.notify_one();
        }
        queue.durable = batch.head.revision;
        queue.pending_bytes += batch.bytes.len();
        queue.pending.push_back(batch);
        if queue.pending_bytes >= GATHER_BYTES {
            self.shared.filled.notify_one();
        }
    }

    /// Waits until the database shows `revision`.
    pub fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        let mut queue = self.shared.lock();
        while queue.archived.revision < revision {
            queue.check()?;
            if queue.wanted < revision {
                queue.wanted = revision;
                self.shared.filled.notify_one();
            }
            queue = self.shared.archived.wait(queue).expect(UNPOISONED);
        }
        Ok(())
    }

    /// Waits until the log has room. `StoreError::Refused` if that cannot be waited for.
    pub fn wait_for_room(&self) -> Result<(), StoreError> {
        let mut queue = self.shared.lock();
        while !self.shared.slots.has_free() {
            if let Some(why) = &queue.failed {
                let why = format!("the log is full, and nothing can be archived: {why}");
                return Err(StoreError::Refused(why));
            }
            queue.room_wanted = true;
            self.shared.filled.notify_one();
            queue = self.shared.archived.wait(queue).expect(UNPOISONED);
        }
        Ok(())
    }

    /// The database cannot be read: it is closed, and opened again.
    pub fn note_failure(&self, error: StoreError) {
        self.shared.lock().broken = Some(error);
        self.shared.filled.notify_one();
    }

    /// Calls `run` while the database stands still, with what it shows.
    pub fn while_still<T>(&self, run: impl FnOnce(Head) -> T) -> T {
        let _still = self.shared.writing.lock().expect("writing catches panics");
        let archived = self.shared.lock().archived;
        run(archived)
    }
}

impl Drop for Archiver {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.filled.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the archiver panicked; the next start archives what is missing");
        }
    }
}

impl ArchiverState {
    /// After a panic nothing is archived, and nobody waits for it. The log keeps what is durable for the next process.
    fn run_guarded(&self, heart: &Heart) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run(heart))) {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.failed = Some("the archiver has panicked".to_owned());
            drop(queue);
            self.archived.notify_all();
            resume_unwind(panic);
        }
    }

    fn run(&self, heart: &Heart) {
        let mut settling = false;
        while let Some(group) = self.next_group(settling) {
            heart.beat();
            let archived =
                self.archive(&group).and_then(|()| self.release()).and_then(|()| self.settle_some());
            let broken = || self.lock().broken.take().map_or(Ok(()), Err);
            settling = archived.and_then(|more| broken().map(|()| more)).unwrap_or_else(|error| {
                self.fail(error);
                self.reopen();
                false
            });
        }
    }

    /// Waits until there is something to do. While indexes are being written, there is: then it may be nothing. `None`: no more will come.
    fn next_group(&self, settling: bool) -> Option<Vec<Pending>> {
        let mut queue = self.lock();
        loop {
            let waited = queue.since.elapsed();
            let is_urgent = queue.stopping
                || queue.pending_bytes >= GATHER_BYTES
                || queue.wanted > queue.archived.revision
                || queue.room_wanted
                || waited >= GATHER_TIME;
            match queue.pending.is_empty() {
                true if queue.room_wanted || queue.broken.is_some() => break,
                true if queue.stopping => return None,
                true if settling => break,
                true => queue = self.filled.wait(queue).expect(UNPOISONED),
                false if is_urgent => break,
                false if settling => return Some(vec![]),
                false => {
                    queue = self.filled.wait_timeout(queue, GATHER_TIME - waited).expect(UNPOISONED).0;
                }
            }
        }
        (queue.pending_bytes, queue.room_wanted) = (0, false);
        Some(queue.pending.drain(..).collect())
    }

    fn archive(&self, group: &[Pending]) -> Result<(), StoreError> {
        if group.is_empty() {
            return Ok(());
        }
        self.options.pause(Point::BeforeArchive);
        let head = {
            let _writing = self.writing.lock().expect("reads of the database do not panic");
            let database = self.database.get()?;
            guarded(|| database.archive(group))?
        };
        let mut queue = self.lock();
        queue.archived = head.unwrap_or(queue.archived);
        self.archived.notify_all();
        drop(queue);
        self.options.pause(Point::AfterArchive);
        Ok(())
    }

    /// Writes a little of what the indexes lack. Whether there is more.
    fn settle_some(&self) -> Result<bool, StoreError> {
        let _writing = self.writing.lock().expect("reads of the database do not panic");
        let database = self.database.get()?;
        guarded(|| database.settle_some())
    }

    /// Lets the log write over what the journal has durably. Synced is a little at a time, and before it is urgent: the log is synced on
    /// the same disk, and writers wait for that.
    fn release(&self) -> Result<(), StoreError> {
        let archived = self.lock().archived.revision;
        let database = self.database.get()?;
        let could_release = self.slots.could_release(archived);
        if could_release || database.trees.journal.unsynced_bytes() >= SYNC_BYTES {
            database.sync_journal()?;
        }
        if could_release {
            // Whoever waits for it looks at it under the same lock.
            let _queue = self.lock();
            self.slots.release(archived);
            self.archived.notify_all();
        }
        Ok(())
    }

    fn fail(&self, error: StoreError) {
        if failed_sync::is_suspect_after(&error) {
            self.is_suspect.store(true, Ordering::Relaxed);
            // Noted at once, for this process may be killed. To open it again without the note is refused.
            let _ = failed_sync::note(&self.dir);
        }
        let why = match error {
            StoreError::Unavailable(why) => why,
            other => other.to_string(),
        };
        let before = self.lock().failed.replace(why.clone());
        self.archived.notify_all();
        if before.as_ref() != Some(&why) {
            tracing::error!(why, "history cannot be archived, nor read, until this has passed");
        }
        self.database.close(why);
    }

    /// Opens the database until it works, or the store is closed.
    fn reopen(&self) {
        loop {
            let queue = self.lock();
            let queue = self
                .filled
                .wait_timeout_while(queue, REOPEN_INTERVAL, |queue| !queue.stopping)
                .expect(UNPOISONED)
                .0;
            if queue.stopping {
                return;
            }
            drop(queue);
            match self.try_reopen() {
                Ok(()) => return tracing::info!("history is archived again"),
                Err(error) => self.fail(error),
            }
        }
    }

    /// Opens the database, and archives what it has not got.
    fn try_reopen(&self) -> Result<(), StoreError> {
        if self.is_suspect.load(Ordering::Relaxed) {
            failed_sync::note(&self.dir)?;
        }
        let durable = self.lock().durable;
        let (database, Recovered { head, .. }) = open_recovered(&self.dir, &self.options, durable)?;
        self.is_suspect.store(false, Ordering::Relaxed);
        let mut queue = self.lock();
        queue.pending.retain(|batch| batch.first > head.revision);
        queue.pending_bytes = queue.pending.iter().map(|batch| batch.bytes.len()).sum();
        queue.archived = head;
        (queue.broken, queue.failed) = (None, None);
        self.database.set(database);
        self.archived.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "nothing panics while it holds the queue";

impl Queue {
    fn check(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(why) => Err(StoreError::Unavailable(why.clone())),
            None => Ok(()),
        }
    }
}
