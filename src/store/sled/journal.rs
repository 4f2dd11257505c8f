//! The journal: batches of commits, in files that are only appended to. Knows the stored form and its files, and the tree `places`; no
//! other index.
//!
//! Batches follow each other without a gap, in segments of 64 MiB or so: `files.rs`, with records as those of the log: `log_record.rs`.
//! A segment may hold one batch that is larger. Where a batch goes follows from those before it: `tail.rs`.
//!
//! `places` has where some of the batches are, the first of each segment and one for every `MARK_BYTES`; the others are found from
//! there: `walk.rs`.
//!
//! A crash may tear what was not yet synced. A start finds how far the files are whole from where they were last known to be durable:
//! `recovery.rs`. No batch is given out whose checksum is wrong.

mod files;
mod recovery;
mod rewrite;
mod segment;
mod tail;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use self::files::{epoch_if_complete, names};
pub use self::recovery::{ADVICE, Whole};
pub use self::rewrite::Rewritten;
pub use self::walk::{JournalRecord, JournalWalk};

use self::files::{Files, HEADER_BYTES};
use self::tail::Tail;
use super::batch::Pending;
use super::log_record::RECORD_BYTES;
use super::{corrupt, newer_commits, place};
use crate::model::{Digest, Epoch, Revision, Timestamp};
use crate::store::codec::{DecodeError, Measured, decode_batch_without, decode_summaries, split_batch};
use crate::store::{Forgotten, Head, Sealed, StoreError, StoredCommit, Summary};

/// How far apart the batches are that `places` has.
const MARK_BYTES: u64 = 64 << 10;

/// The files of a journal, and the tree that says where to look in them.
pub struct JournalFiles {
    files: Files,
    places: sled::Tree,
    /// A segment that has as much is full. Part of the format: it says where batches go.
    segment_bytes: u64,
    /// `None` before `resume`, and after an error: what is then in the files is not known.
    tail: Mutex<Option<Tail>>,
}

/// A byte of a segment; of a batch, that where its record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalPosition {
    pub segment: Revision,
    pub offset: u64,
}

/// Where a journal ends, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub place: JournalPosition,
    pub head: Head,
}

/// An entry of `places`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    place: JournalPosition,
    first: Revision,
}

/// A batch that was read.
pub struct Batch {
    /// The hash of the commit before it.
    pub previous: Digest,
    /// Never empty.
    pub commits: Vec<Measured>,
}

impl JournalPosition {
    /// Of a part of the batch that is here.
    pub fn of_part(self, batch: &[u8], part: &str) -> JournalPosition {
        let offset = part.as_ptr().addr() - batch.as_ptr().addr() + RECORD_BYTES;
        JournalPosition { offset: self.offset + offset as u64, ..self }
    }
}

impl End {
    /// Of a journal without files.
    pub const EMPTY: End =
        End { place: JournalPosition { segment: Revision::ZERO, offset: 0 }, head: Head::EMPTY };
}

impl Mark {
    /// That of the batch at `place`, if it has one.
    pub fn of(place: JournalPosition, first: Revision, end: u64) -> Option<Mark> {
        let is_marked = place.offset == HEADER_BYTES || place.offset / MARK_BYTES != end / MARK_BYTES;
        is_marked.then_some(Mark { place, first })
    }
}

impl JournalFiles {
    /// The journal in `dir`. Nothing is read yet, and nothing can be written before `resume`.
    pub fn open(
        dir: PathBuf,
        epoch: Epoch,
        segment_bytes: u64,
        places: sled::Tree,
    ) -> Result<JournalFiles, StoreError> {
        Ok(JournalFiles { files: Files::list(dir, epoch)?, places, segment_bytes, tail: Mutex::new(None) })
    }

    pub fn dir(&self) -> &Path {
        self.files.dir()
    }

    /// Writes batches that follow, and returns where each is. They are durable after the next `sync`. After an error the journal must be
    /// opened again.
    pub fn append(&self, batches: &[Pending]) -> Result<Vec<JournalPosition>, StoreError> {
        let (places, marks) = self.with_tail(|tail| tail.append(&self.files, self.segment_bytes, batches))?;
        self.mark(&marks)?;
        Ok(places)
    }

    /// Makes all that was written durable, and returns where it ends. After an error the journal must be opened again: the system tells
    /// once that it could not write something, and then takes it for written.
    pub fn sync(&self) -> Result<End, StoreError> {
        self.with_tail(|tail| tail.sync(&self.files).map(|()| tail.end))
    }

    /// How much was written since the last sync.
    pub fn unsynced_bytes(&self) -> u64 {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.as_ref().map_or(0, |tail| tail.unsynced_bytes)
    }

    /// The segment that holds `revision`.
    pub fn segment_of(&self, revision: Revision) -> Option<Revision> {
        self.files.of(revision)
    }

    /// Goes through all of it.
    pub fn walk(&self) -> JournalWalk<'_> {
        let first = self.files.first().unwrap_or_default();
        JournalWalk::begin(&self.files, JournalPosition { segment: first, offset: HEADER_BYTES }, first)
    }

    /// Goes on from the batch that holds `revision`.
    pub fn walk_from(&self, revision: Revision) -> Result<JournalWalk<'_>, StoreError> {
        let segment = self.files.of(revision).ok_or_else(|| self.missing(revision))?;
        let before = self.places.range(..=mark_key(segment, revision)).next_back().transpose()?;
        if let Some((key, value)) = before
            && let Ok(mark) = self.parse_mark(&key, &value)
            && mark.place.segment == segment
        {
            let mut walk = JournalWalk::begin(&self.files, mark.place, mark.first);
            if walk.skip_to(revision).is_ok() {
                return Ok(walk);
            }
        }
        // Without a mark that is right, it is found all the same, if later.
        let mut walk =
            JournalWalk::begin(&self.files, JournalPosition { segment, offset: HEADER_BYTES }, segment);
        walk.skip_to(revision)?;
        Ok(walk)
    }

    /// The batch that holds `revision`.
    pub fn read(&self, revision: Revision) -> Result<Batch, StoreError> {
        let mut walk = self.walk_from(revision)?;
        let found = walk.next()?.ok_or_else(|| self.missing(revision))?;
        self.decode(&found, &Forgotten::default())
    }

    /// Reads a batch without what is forgotten, and checks that its revisions are those that its record promises.
    pub fn decode(&self, found: &JournalRecord<'_>, forgotten: &Forgotten) -> Result<Batch, StoreError> {
        let (previous, commits) =
            decode_batch_without(found.batch, forgotten).map_err(|error| self.undecodable(found, error))?;
        for (at, measured) in commits.iter().enumerate() {
            let (has, expected) = (measured.sealed.commit.revision, Revision(found.first.0 + at as u64));
            if has != expected {
                let what = format!("it has revision {has} where {expected} should be");
                return Err(self.damaged(found, &what));
            }
        }
        let batch = Batch { previous, commits };
        let last = batch.last().sealed.commit.revision;
        match last == found.last {
            true => Ok(batch),
            false => Err(self.damaged(found, &format!("it ends with revision {last}, not {}", found.last))),
        }
    }

    /// As `decode`, for a batch whose indexes are to be written.
    pub fn decode_pending(&self, found: &JournalRecord<'_>) -> Result<Pending, StoreError> {
        Pending::read(found.batch.to_vec()).map_err(|error| self.undecodable(found, error))
    }

    /// Text of a batch. Nothing says whether it is still what it was: the caller has its digest.
    pub fn read_text(&self, place: JournalPosition, bytes: u64) -> Result<String, StoreError> {
        let file = self.files.open(place.segment)?;
        let wrong = |what: &str| {
            let what = format!("{what}, for the {bytes} bytes from byte {} on", place.offset);
            corrupt(self.files.path(place.segment).display().to_string(), what)
        };
        let length = file.length().unwrap_or(0);
        if place.offset.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(wrong("it is too short"));
        }
        let mut text = vec![0; bytes as usize];
        file.read_exact_at(&mut text, place.offset).map_err(|error| wrong(&error.to_string()))?;
        String::from_utf8(text).map_err(|_| wrong("it has no text"))
    }

    /// Commits from `from` on, up to `to`, without what is forgotten: as many as have at most `bytes_max` bytes, but at least one.
    pub fn commits(
        &self,
        from: Revision,
        to: Revision,
        bytes_max: usize,
        forgotten: &Forgotten,
    ) -> Result<Vec<Sealed>, StoreError> {
        let read = |found: &JournalRecord<'_>| Ok(self.decode(found, forgotten)?.commits);
        let of = |measured: &Measured| (measured.sealed.commit.revision, measured.bytes);
        let page = self.page(from, to, bytes_max, read, of)?;
        Ok(page.into_iter().map(|measured| measured.sealed).collect())
    }

    /// The same commits as they are stored. No hash is computed.
    pub fn stored_commits(
        &self,
        from: Revision,
        to: Revision,
        bytes_max: usize,
        forgotten: &Forgotten,
    ) -> Result<Vec<StoredCommit>, StoreError> {
        let read = |found: &JournalRecord<'_>| {
            let commits =
                split_batch(found.batch, forgotten).map_err(|error| self.undecodable(found, error))?;
            let revisions = commits.iter().map(|commit| commit.revision.0);
            match revisions.eq(found.first.0..=found.last.0) {
                true => Ok(commits),
                false => Err(self.damaged(found, "it has other revisions than its record")),
            }
        };
        self.page(from, to, bytes_max, read, |commit| (commit.revision, commit.bytes.len()))
    }

    /// What `read` returns of the records from `from` on, up to `to`. `of` returns the revision of a commit, and how many bytes it has.
    fn page<T>(
        &self,
        from: Revision,
        to: Revision,
        bytes_max: usize,
        read: impl Fn(&JournalRecord<'_>) -> Result<Vec<T>, StoreError>,
        of: impl Fn(&T) -> (Revision, usize),
    ) -> Result<Vec<T>, StoreError> {
        let mut page: Vec<T> = Vec::new();
        if from > to {
            return Ok(page);
        }
        let mut walk = self.walk_from(from)?;
        let (mut bytes, mut next) = (0, from);
        // What does not fit is not looked at: damage there is no reason to keep back what is before it.
        while next <= to && (page.is_empty() || bytes < bytes_max) {
            let found = walk.next()?.ok_or_else(|| self.missing(next))?;
            for commit in read(&found)? {
                let (revision, size) = of(&commit);
                if revision < next {
                    continue;
                }
                bytes += size;
                if revision > to || (bytes > bytes_max && !page.is_empty()) {
                    return Ok(page);
                }
                next = revision.next();
                page.push(commit);
            }
        }
        Ok(page)
    }

    /// Summaries of the commits from `from` on, up to `to`, batch by batch until they have `bytes_max` bytes, and the revision after.
    pub fn summaries(
        &self,
        from: Revision,
        to: Revision,
        bytes_max: usize,
        forgotten: &Forgotten,
    ) -> Result<(Vec<Summary>, Revision), StoreError> {
        let mut page = Vec::new();
        if from > to {
            return Ok((page, from));
        }
        let mut walk = self.walk_from(from)?;
        let (mut bytes, mut next) = (0, from);
        while next <= to && bytes < bytes_max {
            let found = walk.next()?.ok_or_else(|| self.missing(next))?;
            let summaries =
                decode_summaries(found.batch, forgotten).map_err(|error| self.undecodable(&found, error))?;
            let last = summaries.last().expect("a batch is never empty").revision;
            if last != found.last {
                return Err(
                    self.damaged(&found, &format!("it ends with revision {last}, not {}", found.last))
                );
            }
            page.extend(summaries.into_iter().filter(|summary| (next..=to).contains(&summary.revision)));
            bytes += found.batch.len();
            next = last.min(to).next();
        }
        Ok((page, next))
    }

    /// The last commit from `from` to `to` made at or before `time`. Times never decrease, so halving finds it.
    pub fn revision_at(
        &self,
        from: Revision,
        to: Revision,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        let (mut low, mut high) = (from.0, to.0 + 1);
        let mut found = None;
        while low < high {
            // What is read has this revision, so that each turn halves at least.
            for measured in self.read(Revision(low + (high - low) / 2))?.commits {
                let commit = measured.sealed.commit;
                if !(low..high).contains(&commit.revision.0) {
                    continue;
                }
                if commit.time <= time {
                    found = Some(commit.revision);
                    low = commit.revision.0 + 1;
                } else {
                    high = commit.revision.0;
                }
            }
        }
        Ok(found)
    }

    /// Notes, for good, that the files do not have all of history any more: what is forgotten is not in the indexes of another database.
    pub fn note_forgotten(&self) -> Result<(), StoreError> {
        self.files.note_forgotten()
    }

    /// The segment after this one.
    pub fn segment_after(&self, segment: Revision) -> Option<Revision> {
        self.files.after(segment)
    }

    /// Removes all segments before `segment`, for good, and then what `places` has of them. May be repeated.
    pub fn remove_before(&self, segment: Revision) -> Result<(), StoreError> {
        self.files.remove_before(segment)?;
        for key in self.places.range(..mark_key(segment, Revision::ZERO)).keys() {
            self.places.remove(key?)?;
        }
        Ok(())
    }

    /// Whether `places` has the batch exactly if it should.
    pub fn is_marked_right(&self, found: &JournalRecord<'_>) -> Result<bool, StoreError> {
        let expected = Mark::of(found.place, found.first, found.end);
        let value = self.places.get(mark_key(found.place.segment, found.first))?;
        let offset = |value: &[u8]| value.try_into().map(u64::from_be_bytes).ok();
        Ok(value.as_deref().map(offset) == expected.map(|mark| Some(mark.place.offset)))
    }

    pub fn marks(&self) -> usize {
        self.places.len()
    }

    /// A segment, for people.
    pub fn place(&self, segment: Revision) -> String {
        self.files.path(segment).display().to_string()
    }

    fn mark(&self, marks: &[Mark]) -> Result<(), StoreError> {
        for Mark { place, first } in marks {
            self.places.insert(mark_key(place.segment, *first), &place.offset.to_be_bytes())?;
        }
        Ok(())
    }

    fn with_tail<T>(&self, run: impl FnOnce(&mut Tail) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        // Not put back after an error.
        let mut taken = tail
            .take()
            .ok_or_else(|| StoreError::Unavailable("the journal could not be written before".to_owned()))?;
        let done = run(&mut taken)?;
        *tail = Some(taken);
        Ok(done)
    }

    fn missing(&self, revision: Revision) -> StoreError {
        corrupt(self.dir().display().to_string(), format!("revision {revision} is missing"))
    }

    fn damaged(&self, found: &JournalRecord<'_>, what: &str) -> StoreError {
        let what = format!("revision {} at byte {}: {what}", found.first, found.place.offset);
        corrupt(self.place(found.place.segment), what)
    }

    fn undecodable(&self, found: &JournalRecord<'_>, error: DecodeError) -> StoreError {
        match error {
            DecodeError::Format(format) => newer_commits(format),
            DecodeError::Damaged(what) => self.damaged(found, &what),
        }
    }

    fn parse_mark(&self, key: &[u8], value: &[u8]) -> Result<Mark, StoreError> {
        let parse = || {
            let (segment, first) = key.split_at_checked(8)?;
            let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
            let place = JournalPosition { segment: Revision(number(segment)?), offset: number(value)? };
            let is_right = place.offset >= HEADER_BYTES && place.offset.is_multiple_of(8);
            is_right.then_some(Mark { place, first: Revision(number(first)?) })
        };
        parse().ok_or_else(|| corrupt(place(&self.places, key), "not the place of a batch"))
    }
}

impl Batch {
    pub fn last(&self) -> &Measured {
        self.commits.last().expect("a batch is never empty")
    }
}

/// Marks are in the order of segments, and in each in the order of batches.
fn mark_key(segment: Revision, first: Revision) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&segment.0.to_be_bytes());
    key[8..].copy_from_slice(&first.0.to_be_bytes());
    key
}
