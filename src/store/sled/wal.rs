//! The write-ahead log: where a commit becomes durable, with one write and one sync. Knows batches as bytes and the files
//! of its directory; no sled.
//!
//! A file that grows costs the file system a commit of its own with every sync, and sled needs two syncs and many changes of thread for a
//! small commit. So commits come here first, and are archived behind, many at once: `archiver.rs`. The log is a ring of a few files
//! that are written over again and again: what is archived needs no place here any more. A start archives what it finds: `recovery.rs`.
//! The bytes: `log_record.rs`.

mod recovery;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

pub use self::recovery::{Contents, read};

use self::segment::Segment;
use super::{Counts, Fsync, Point, SledOptions};
use crate::durable_file;
use crate::model::Revision;

/// How many segments there may be. When none is free, appending waits for what archives.
const SEGMENTS_MAX: usize = 4;

/// The end of a log.
pub struct Wal {
    dir: PathBuf,
    options: SledOptions,
    slots: Arc<Slots>,
    counts: Arc<Counts>,
    /// The file that is written to, and which of the slots it is. `None` after an append that failed: whether its record will be
    /// found is not known, and only a new segment with the right base can tell that it does not count.
    active: Option<(usize, Segment)>,
    sequence: u64,
    /// Which files surely have a durable name. One that is found may be left by a server that was killed, or could not sync.
    named: [bool; SEGMENTS_MAX],
    /// The last revision that was acknowledged.
    last: Revision,
}

/// What each file is used for. Shared with whoever archives.
pub struct Slots(Mutex<Vec<Slot>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Free,
    Active,
    /// It is full, and needed until this revision is archived.
    Full(Revision),
}

/// Why a batch was not appended.
#[derive(Debug)]
pub enum AppendError {
    /// All segments are full: to be tried again when one is released.
    Full,
    /// Nothing was written.
    Io(io::Error),
    /// It does not count, but the disk could not be told so: unless the next append succeeds, a start may find it.
    Doubtful(io::Error),
}

impl Wal {
    /// Begins to write after revision `last`. All that the directory holds has been archived, and is written over. `sequence` is the
    /// highest number there.
    pub fn begin(dir: &Path, options: SledOptions, sequence: u64, last: Revision) -> io::Result<Wal> {
        let slots = Arc::new(Slots(Mutex::new(vec![Slot::Free; SEGMENTS_MAX])));
        let mut wal = Wal {
            dir: dir.to_owned(),
            options,
            slots,
            counts: Arc::default(),
            active: None,
            sequence,
            named: [false; SEGMENTS_MAX],
            last,
        };
        wal.active = match wal.rotate() {
            Ok(active) => Some(active),
            Err(AppendError::Io(error) | AppendError::Doubtful(error)) => return Err(error),
            Err(AppendError::Full) => None,
        };
        Ok(wal)
    }

    pub fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Appends the batch of `count` commits from `first` on, and waits until it is durable. After an error the batch does not count.
    pub fn append(&mut self, first: Revision, count: u32, batch: &[u8]) -> Result<(), AppendError> {
        let (slot, mut segment) = match self.active.take() {
            Some((slot, segment)) if segment.has_room_for(batch.len()) => (slot, segment),
            Some((slot, segment)) => {
                // Put back if no other is to be had: this one is full, not spoilt.
                match self.rotate() {
                    Ok(next) => {
                        self.slots.lock()[slot] = Slot::Full(segment.last);
                        next
                    }
                    Err(error) => {
                        self.active = Some((slot, segment));
                        return Err(error);
                    }
                }
            }
            None => self.rotate()?,
        };
        if let Err(error) = segment.make_room_for(batch.len()) {
            self.active = Some((slot, segment));
            return Err(AppendError::Io(error));
        }
        let written = segment.write(first, count, batch).and_then(|()| {
            self.options.pause(Point::BeforeSync);
            match self.options.fsync {
                Fsync::Always => {
                    let begun = Instant::now();
                    let synced = segment.sync();
                    self.counts.synced_in(begun.elapsed());
                    synced
                }
                Fsync::Never => Ok(()),
            }
        });
        match written {
            Ok(()) => {
                self.last = segment.last;
                self.active = Some((slot, segment));
                Ok(())
            }
            Err(error) => {
                self.slots.lock()[slot] = Slot::Full(self.last);
                // The next segment begins before the failed record, which therefore does not count.
                match self.rotate() {
                    Ok(next) => {
                        self.active = Some(next);
                        Err(AppendError::Io(error))
                    }
                    Err(_) => Err(AppendError::Doubtful(error)),
                }
            }
        }
    }

    /// Begins a segment after what was acknowledged.
    fn rotate(&mut self) -> Result<(usize, Segment), AppendError> {
        let free = self.slots.lock().iter().position(|slot| *slot == Slot::Free);
        let slot = free.ok_or(AppendError::Full)?;
        self.sequence += 1;
        let named = &mut self.named[slot];
        let mut begin = || {
            let path = self.dir.join(slot.to_string());
            let segment =
                Segment::begin(&path, self.options.wal_segment_bytes, self.sequence, self.last.next())?;
            if !*named {
                durable_file::sync(&self.dir)?;
                *named = true;
            }
            Ok(segment)
        };
        let segment = begin().map_err(AppendError::Io)?;
        self.slots.lock()[slot] = Slot::Active;
        Ok((slot, segment))
    }
}

impl Slots {
    /// Frees the segments that hold nothing after `archived`, which the journal has durably.
    pub fn release(&self, archived: Revision) {
        for slot in self.lock().iter_mut() {
            if matches!(slot, Slot::Full(last) if *last <= archived) {
                *slot = Slot::Free;
            }
        }
    }

    pub fn has_free(&self) -> bool {
        self.lock().contains(&Slot::Free)
    }

    /// Whether `release` would free one.
    pub fn could_release(&self, archived: Revision) -> bool {
        self.lock().iter().any(|slot| matches!(slot, Slot::Full(last) if *last <= archived))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.0.lock().expect("nothing panics while it holds the slots")
    }
}
