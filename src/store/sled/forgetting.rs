//! Compactions of a store that is in use: of all history, and of that of one namespace. Knows the order of the steps, and that others have
//! their turn between them; what a step writes is in `index/compact.rs` and `journal/rewrite.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::database::Database;
use super::index::compact::{Keeping, Sweeping};
use super::index::retained::Retained;
use super::journal::Rewritten;
use super::{Point, SledStore, guarded};
use crate::model::{Namespace, Revision};
use crate::store::{Compaction, Journal, StoreError};

/// The longest pause between two slices of a compaction.
const SLICE_PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long a segment is rewritten before others have their turn.
const REWRITE_SLICE: Duration = Duration::from_millis(5);
/// Before the last slice of its first step, a compaction looks at the commits made since it began, so often at most, until there are no
/// more than so many.
const CATCH_UPS_MAX: usize = 10;
const CATCH_UP_COMMITS: u64 = 100;

impl SledStore {
    pub(super) fn compact_all(
        &self,
        oldest: Revision,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        let _compacting = self.compacting.lock().expect("a compaction does not panic");
        let head = self.head().revision;
        let oldest = oldest.min(head);
        let before = self.retained();
        if oldest <= before.oldest.revision {
            return Ok(Compaction::Done);
        }
        self.archiver().wait_for(head)?;
        let database = self.database.get()?;
        let keeping =
            self.slice(&database, |head| Keeping::of_all(&database.trees, before.clone(), oldest, head))?;
        self.forget(&database, keeping, None, is_stopped)
    }

    pub(super) fn compact_namespace(
        &self,
        namespace: &Namespace,
        oldest: Revision,
        versions_min: u64,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        let _compacting = self.compacting.lock().expect("a compaction does not panic");
        let head = self.head().revision;
        let oldest = oldest.min(head);
        let before = self.retained();
        if oldest <= before.oldest_of(namespace) {
            return Ok(Compaction::Done);
        }
        self.archiver().wait_for(head)?;
        let database = self.database.get()?;
        // Before anything is forgotten: a database that is lost later must not be made again from the journal.
        database.trees.journal.note_forgotten()?;
        let keeping = self.slice(&database, |head| {
            Ok(Keeping::of_namespace(before.clone(), namespace, oldest, versions_min, head))
        })?;
        self.forget(&database, keeping, Some(namespace), is_stopped)
    }

    /// Forgets in slices: commits are archived and history is read between them.
    /// `is_stopped` is asked before each slice that is not the last of its kind.
    fn forget(
        &self,
        database: &Arc<Database>,
        mut keeping: Keeping,
        namespace: Option<&Namespace>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        let trees = &database.trees;
        while self.slice(database, |_| keeping.some(trees))? {
            if is_stopped() {
                return Ok(Compaction::Stopped);
            }
        }
        for _ in 0..CATCH_UPS_MAX {
            if keeping.behind(self.head().revision) <= CATCH_UP_COMMITS {
                break;
            }
            self.slice(database, |head| keeping.catch_up(trees, head))?;
        }
        if is_stopped() {
            return Ok(Compaction::Stopped);
        }
        database.sync()?;
        let retained = self.slice(database, |head| {
            keeping.catch_up(trees, head)?;
            self.options.pause(Point::BeforeForget);
            database.sync()?;
            let retained = keeping.forget(trees)?;
            database.sync()?;
            let mut own = self.retained.write().expect("nothing panics while it holds what is retained");
            *own = retained.clone();
            Ok(retained)
        })?;
        // Reads that began before this may miss what is now removed, and begin again.
        self.sweeps.fetch_add(1, Ordering::SeqCst);
        self.options.pause(Point::BeforeSweep);
        self.sweep(database, retained, namespace.cloned(), is_stopped)
    }

    fn sweep(
        &self,
        database: &Arc<Database>,
        retained: Retained,
        namespace: Option<Namespace>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        let trees = &database.trees;
        let mut sweeping = Sweeping::begin(retained, namespace);
        while self.slice(database, |_| sweeping.some(trees))? {
            if is_stopped() {
                return Ok(Compaction::Stopped);
            }
        }
        self.slice(database, |_| sweeping.end(trees))?;
        Ok(Compaction::Done)
    }

    /// Rewrites segments that are mostly forgotten, one after the other. Nobody waits for it: full segments do not change, and whoever reads
    /// the old file goes on with it.
    pub(super) fn rewrite_segments(&self, is_stopped: &dyn Fn() -> bool) -> Result<Compaction, StoreError> {
        let _compacting = self.compacting.lock().expect("a compaction does not panic");
        let database = self.database.get()?;
        let trees = &database.trees;
        let retained = self.retained();
        // What a compaction that was stopped has left.
        for unswept in guarded(|| trees.unswept())? {
            match self.sweep(&database, retained.clone(), unswept, is_stopped)? {
                Compaction::Done => {}
                Compaction::Stopped => return Ok(Compaction::Stopped),
            }
        }
        let (Some(from), Some(to)) = (guarded(|| trees.reclaim())?, retained.forgotten.newest()) else {
            return Ok(Compaction::Done);
        };
        // What refers to the bytes must be gone for good before the bytes go, and what follows a segment must be durable.
        database.sync()?;
        let synced = guarded(|| trees.synced())?.place.segment;
        let mut next = trees.journal.segment_of(from.max(retained.oldest.revision));
        while let Some(segment) = next.filter(|segment| *segment < to.min(synced)) {
            if !Arc::ptr_eq(&database, &self.database.get()?) {
                return Err(StoreError::Unavailable("the database was opened again meanwhile".to_owned()));
            }
            let mut began = Instant::now();
            let mut go_on = || {
                if began.elapsed() >= REWRITE_SLICE {
                    self.options.pause(Point::BetweenSlices);
                    thread::sleep(began.elapsed().min(SLICE_PAUSE_MAX));
                    began = Instant::now();
                }
                !is_stopped()
            };
            let before_replace = || self.options.pause(Point::BeforeReplace);
            let rewritten =
                guarded(|| trees.journal.rewrite(segment, &retained.forgotten, &mut go_on, &before_replace))?;
            match rewritten {
                Rewritten::Stopped => return Ok(Compaction::Stopped),
                Rewritten::Smaller(bytes) => {
                    tracing::info!(segment = segment.0, bytes, "a file of the journal was rewritten")
                }
                Rewritten::NotWorthIt => {}
            }
            next = trees.journal.segment_after(segment);
            guarded(|| trees.write_reclaim(next))?;
        }
        // What is in the last segment can go when it is full.
        if next.is_none_or(|segment| segment >= to) {
            guarded(|| trees.write_reclaim(None))?;
        }
        Ok(Compaction::Done)
    }

    /// Runs one slice of a compaction, and then lets others have their turn. What the slices before have written is only there as long
    /// as the database stays open.
    fn slice<T>(
        &self,
        database: &Arc<Database>,
        run: impl FnOnce(Revision) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let done = self.while_settled(database, |archived| {
            if !Arc::ptr_eq(database, &self.database.get()?) {
                return Err(StoreError::Unavailable("the database was opened again meanwhile".to_owned()));
            }
            run(archived.revision)
        })?;
        self.options.pause(Point::BetweenSlices);
        // As long as it took: at most half of the time of the disk and of a processor is taken from writes.
        thread::sleep(began.elapsed().min(SLICE_PAUSE_MAX));
        Ok(done)
    }
}
