//! Where a journal ends after a crash. Knows its files; not the log that has what they lack.
//!
//! Two things may be wrong with what was written after the last sync: it may be torn, and it may be there to be read but never reach
//! the disk, because the system could not write it and has told so once. Against the first, checksums and the chain of hashes say how far
//! the files are whole. Against the second, all of it is written again, in the same place: from the log, if that still has it, or as it
//! is.

use std::sync::PoisonError;

use super::super::batch::head_of;
use super::super::{corrupt, newer_commits};
use super::files::HEADER_BYTES;
use super::tail::Tail;
use super::walk::JournalWalk;
use super::{End, JournalFiles, JournalPosition, Mark, mark_key};
use crate::model::{Revision, Timestamp};
use crate::store::codec::{DecodeError, stored_batch};
use crate::store::{Head, StoreError};

/// How far the files are whole.
pub struct Whole {
    pub end: End,
    /// What `places` should have of what was found.
    marks: Vec<Mark>,
}

impl Whole {
    /// Nothing more than is known to be durable.
    pub fn nothing_after(durable: End) -> Whole {
        Whole { end: durable, marks: Vec::new() }
    }
}

impl JournalFiles {
    /// Looks at what follows `durable`.
    pub fn find_end(&self, durable: End) -> Result<Whole, StoreError> {
        let start = self.start(durable)?;
        let mut whole = Whole::nothing_after(start);
        let mut walk = JournalWalk::begin(&self.files, start.place, start.head.revision.next());
        loop {
            let found = match walk.next() {
                Ok(Some(found)) => found,
                Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(whole),
                Err(error) => return Err(error),
            };
            let batch = match stored_batch(found.batch) {
                Ok(batch) => batch,
                // Not torn: its checksum is right.
                Err(DecodeError::Format(format)) => return Err(newer_commits(format)),
                Err(DecodeError::Damaged(_)) => return Ok(whole),
            };
            let follows = batch.previous == whole.end.head.hash;
            let Some(head) = head_of(&batch).filter(|head| follows && head.revision == found.last) else {
                return Ok(whole);
            };
            whole.marks.extend(Mark::of(found.place, found.first, found.end));
            let place = JournalPosition { segment: found.place.segment, offset: found.end };
            whole.end = End { place, head };
        }
    }

    /// Begins to write after what is whole. What follows it in the files goes; what it has after `durable` is made durable by the next sync.
    pub fn resume(&self, durable: End, whole: &Whole) -> Result<(), StoreError> {
        let End { place, head } = whole.end;
        self.files.remove_unfinished()?;
        self.files.remove_after(place.segment)?;
        for key in self.places.range(mark_key(place.segment, head.revision.next())..).keys() {
            self.places.remove(key?)?;
        }
        self.mark(&whole.marks)?;
        let tail = Tail::resume(&self.files, durable.place, whole.end)?;
        *self.tail.lock().unwrap_or_else(PoisonError::into_inner) = Some(tail);
        Ok(())
    }

    /// Finds segments that were removed from between others. What is before `oldest` need not be there, nor what is after `durable`.
    pub fn check_files(&self, oldest: Revision, durable: End) -> Result<(), StoreError> {
        let last = mark_key(oldest, Revision(u64::MAX));
        let mut found = self.places.range(..=last).next_back();
        if found.is_none() {
            found = self.places.iter().next();
        }
        while let Some(entry) = found {
            let (key, value) = entry?;
            let segment = self.parse_mark(&key, &value)?.place.segment;
            if segment > durable.place.segment {
                break;
            }
            if !self.files.has(segment) {
                let what = format!("it is missing, with the commits from revision {segment} on: {ADVICE}");
                return Err(corrupt(self.place(segment), what));
            }
            found = self.places.range(mark_key(segment.next(), Revision::ZERO)..).next();
        }
        Ok(())
    }

    /// Where to begin to look: `durable`, or, if the file is not that long, the begin of it.
    fn start(&self, durable: End) -> Result<End, StoreError> {
        let JournalPosition { segment, offset } = durable.place;
        if segment == Revision::ZERO {
            return Ok(durable);
        }
        let header = self.files.header(segment)?;
        let length = self.files.open(segment)?.length().unwrap_or(0);
        if length >= offset {
            return Ok(durable);
        }
        // Its time counts for nothing: if no commit follows, this is not an end to go on from.
        let head = Head {
            revision: Revision(segment.0.saturating_sub(1)),
            time: Timestamp(i64::MIN),
            hash: header.previous,
        };
        Ok(End { place: JournalPosition { segment, offset: HEADER_BYTES }, head })
    }
}

/// What to do about files that are gone.
pub const ADVICE: &str =
    "put back the files of the journal or of the log that were removed, or restore a backup";
