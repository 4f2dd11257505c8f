//! Reads the records of the journal one after the other, from file to file. Knows the order of records; not the content of a batch.

use std::io;
use std::sync::Arc;

use super::super::log_record::{self, RECORD_BYTES, Record};
use super::super::{corrupt, io_error};
use super::JournalPosition;
use super::files::{Files, HEADER_BYTES};
use super::segment::Segment;
use crate::model::Revision;
use crate::store::StoreError;

/// So much is read at once.
const CHUNK_BYTES: usize = 128 << 10;

/// A place between two records.
pub struct JournalWalk<'a> {
    files: &'a Files,
    place: JournalPosition,
    /// What the next record begins with.
    next: Revision,
    file: Option<Arc<Segment>>,
    /// Bytes of the file from `start` on.
    buffer: Vec<u8>,
    start: u64,
}

/// A record that is whole.
pub struct JournalRecord<'a> {
    pub place: JournalPosition,
    pub first: Revision,
    pub last: Revision,
    pub batch: &'a [u8],
    /// Where the next one would be in the same segment.
    pub end: u64,
}

impl<'a> JournalWalk<'a> {
    /// `next` is the revision that should be found at `place`, or, if that is the end of a segment, at the beginning of the next one.
    pub fn begin(files: &'a Files, place: JournalPosition, next: Revision) -> JournalWalk<'a> {
        JournalWalk { files, place, next, file: None, buffer: Vec::new(), start: place.offset }
    }

    /// Reads the next record. `None` if there is nothing more, `StoreError::Corrupt` if it is not what it should be.
    pub fn next(&mut self) -> Result<Option<JournalRecord<'_>>, StoreError> {
        let Some(record) = self.peek()? else { return Ok(None) };
        if !self.load(record.payload.end)? {
            return Err(self.damaged());
        }
        let record = log_record::decode(&self.buffer, self.at()).ok_or_else(|| self.damaged())?;
        let (place, at) = (self.place, self.at());
        let batch = at + RECORD_BYTES..at + RECORD_BYTES + record.payload.len();
        self.pass(&record);
        Ok(Some(JournalRecord {
            place,
            first: record.first,
            last: record.last(),
            batch: &self.buffer[batch],
            end: self.place.offset,
        }))
    }

    /// Goes to the record that holds `revision`. Those before are not looked at but for where they end.
    pub fn skip_to(&mut self, revision: Revision) -> Result<(), StoreError> {
        while let Some(record) = self.peek()?.filter(|record| record.last() < revision) {
            self.pass(&record);
        }
        Ok(())
    }

    /// After damage: goes to the next record that is whole. Whether there is one.
    pub fn pass_damage(&mut self) -> Result<bool, StoreError> {
        if let Some(file) = self.file.clone() {
            let length = self.length(&file)?.saturating_sub(self.place.offset);
            self.load(usize::try_from(length).unwrap_or(usize::MAX))?;
            let (segment, at) = (self.place.segment, self.at());
            let is_later = |record: &Record| record.sequence == segment.0 && record.first > self.next;
            if let Some(later) = log_record::scan(&self.buffer[at..], 1).find(is_later) {
                self.place.offset += (later.payload.start - RECORD_BYTES) as u64;
                self.next = later.first;
                return Ok(true);
            }
        }
        let Some(segment) = self.files.after(self.place.segment) else { return Ok(false) };
        self.enter(segment);
        Ok(true)
    }

    /// What the next record says of itself. `None` if there is nothing more.
    fn peek(&mut self) -> Result<Option<Record>, StoreError> {
        if self.place.segment != self.next && self.files.has(self.next) {
            self.enter(self.next);
        }
        if self.place.segment == Revision::ZERO {
            return Ok(None);
        }
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(self.files.open(self.place.segment)?).clone(),
        };
        if !self.load(RECORD_BYTES)? {
            return match self.length(&file)? == self.place.offset {
                true => Ok(None),
                false => Err(self.damaged()),
            };
        }
        let mut record = log_record::peek(&self.buffer, self.at())
            .filter(|record| record.sequence == self.place.segment.0 && record.first == self.next)
            .ok_or_else(|| self.damaged())?;
        // From here on relative to where it begins.
        record.payload = RECORD_BYTES..RECORD_BYTES + record.payload.len();
        Ok(Some(record))
    }

    fn pass(&mut self, record: &Record) {
        self.place.offset += log_record::record_bytes(record.payload.len()) as u64;
        self.next = record.last().next();
    }

    fn enter(&mut self, segment: Revision) {
        (self.place, self.next) = (JournalPosition { segment, offset: HEADER_BYTES }, segment);
        (self.file, self.start) = (None, HEADER_BYTES);
        self.buffer.clear();
    }

    /// Where the next record begins in the buffer.
    fn at(&self) -> usize {
        (self.place.offset - self.start) as usize
    }

    /// Sees to it that the buffer has so many bytes of what is next. Whether the file has as many.
    fn load(&mut self, bytes: usize) -> Result<bool, StoreError> {
        let file = self.file.clone().expect("it is opened before anything is read");
        let at = self.at().min(self.buffer.len());
        if self.buffer.len() - at >= bytes && self.at() == at {
            return Ok(true);
        }
        // A damaged length must not make room for 4 GiB.
        if bytes > CHUNK_BYTES && self.length(&file)?.saturating_sub(self.place.offset) < bytes as u64 {
            return Ok(false);
        }
        self.buffer.drain(..at);
        if self.buffer.is_empty() {
            self.start = self.place.offset;
        } else {
            self.start += at as u64;
        }
        let mut filled = self.buffer.len();
        self.buffer.resize(bytes.max(CHUNK_BYTES), 0);
        while filled < self.buffer.len() {
            match file.read_at(&mut self.buffer[filled..], self.start + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(io_error(&self.files.path(self.place.segment), source)),
            }
        }
        self.buffer.truncate(filled);
        Ok(filled >= bytes)
    }

    fn length(&self, file: &Segment) -> Result<u64, StoreError> {
        file.length().map_err(|source| io_error(&self.files.path(self.place.segment), source))
    }

    fn damaged(&self) -> StoreError {
        let JournalPosition { segment, offset } = self.place;
        let what = format!("revision {} at byte {offset} is damaged", self.next);
        corrupt(self.files.path(segment).display().to_string(), what)
    }
}
