//! Writes to the journal: appends records, begins files, syncs. Knows files and records; no readers.
//!
//! Where a batch goes follows from the batches before it alone, so that writing the same again, after a crash, puts each where it was: the
//! indexes may name the place already.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::super::batch::Pending;
use super::super::io_error;
use super::super::log_record;
use super::files::{Files, HEADER_BYTES};
use super::{End, JournalPosition, Mark};
use crate::model::Revision;
use crate::store::StoreError;
use crate::store::sled::database::durable;

/// So much is written at once.
const WRITE_BYTES: usize = 1 << 20;
/// No more segments than these can have been written after the last sync that succeeded: then the log has no room for more.
const REWRITTEN_MAX: usize = 4;

/// The end of a journal, and what of it is not durable.
pub struct Tail {
    pub end: End,
    /// The last segment.
    file: Option<Arc<File>>,
    /// Segments before it that are not durable.
    unsynced: Vec<(Revision, Arc<File>)>,
    is_synced: bool,
    /// How much was written since then.
    pub unsynced_bytes: u64,
    names_are_synced: bool,
    /// What goes to the end of the file.
    buffer: Vec<u8>,
    /// Where in the file.
    buffer_at: u64,
}

impl Tail {
    /// Goes on after `end`. What lies between `known` and there may not be durable: a sync of it may have failed, and the next one would
    /// not tell. So it is written again.
    pub fn resume(files: &Files, known: JournalPosition, end: End) -> Result<Tail, StoreError> {
        let mut unsynced = Vec::new();
        for segment in files.between(known.segment, end.place.segment) {
            unsynced.push((segment, Arc::new(files.open_to_write(segment)?)));
        }
        if let Some((segment, file)) = unsynced.last() {
            let cut = file.set_len(end.place.offset);
            cut.map_err(|source| io_error(&files.path(*segment), source))?;
        }
        if known != end.place {
            for (segment, file) in unsynced.iter().rev().take(REWRITTEN_MAX) {
                durable::rewrite_file(file).map_err(|source| io_error(&files.path(*segment), source))?;
            }
        }
        let file = unsynced.pop().map(|(_, file)| file);
        Ok(Tail {
            end,
            file,
            unsynced,
            is_synced: false,
            unsynced_bytes: 0,
            names_are_synced: false,
            buffer: Vec::new(),
            buffer_at: end.place.offset,
        })
    }

    /// Writes batches that follow, and returns where each is. After an error the journal must be opened again.
    pub fn append(
        &mut self,
        files: &Files,
        segment_bytes: u64,
        batches: &[Pending],
    ) -> Result<(Vec<JournalPosition>, Vec<Mark>), StoreError> {
        let (mut places, mut marks) = (Vec::with_capacity(batches.len()), Vec::new());
        for batch in batches {
            let bytes = log_record::record_bytes(batch.bytes.len()) as u64;
            let is_full =
                self.end.place.offset > HEADER_BYTES && self.end.place.offset + bytes > segment_bytes;
            if self.file.is_none() || is_full {
                self.begin(files, batch.first)?;
            }
            let place = self.end.place;
            let count = (batch.head.revision.0 + 1 - batch.first.0) as u32;
            log_record::append(&mut self.buffer, place.segment.0, batch.first, count, &batch.bytes);
            self.end =
                End { place: JournalPosition { offset: place.offset + bytes, ..place }, head: batch.head };
            marks.extend(Mark::of(place, batch.first, self.end.place.offset));
            places.push(place);
            if self.buffer.len() >= WRITE_BYTES {
                self.write(files)?;
            }
        }
        self.write(files)?;
        self.buffer.shrink_to(WRITE_BYTES * 2);
        Ok((places, marks))
    }

    /// Makes all of it durable: the files, and their names.
    pub fn sync(&mut self, files: &Files) -> Result<(), StoreError> {
        let last = self.file.iter().map(|file| (self.end.place.segment, file.clone()));
        for (segment, file) in self.unsynced.drain(..).chain(last.filter(|_| !self.is_synced)) {
            file.sync_data().map_err(|source| io_error(&files.path(segment), source))?;
        }
        if !self.names_are_synced {
            files.sync_names()?;
        }
        (self.is_synced, self.unsynced_bytes, self.names_are_synced) = (true, 0, true);
        Ok(())
    }

    fn begin(&mut self, files: &Files, first: Revision) -> Result<(), StoreError> {
        self.write(files)?;
        if let Some(full) = self.file.take() {
            self.unsynced.push((self.end.place.segment, full));
        }
        self.file = Some(Arc::new(files.begin(first, self.end.head.hash)?));
        self.end.place = JournalPosition { segment: first, offset: HEADER_BYTES };
        (self.buffer_at, self.is_synced, self.names_are_synced) = (HEADER_BYTES, false, false);
        Ok(())
    }

    fn write(&mut self, files: &Files) -> Result<(), StoreError> {
        let Some(file) = self.file.as_ref().filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        self.is_synced = false;
        let written = file.write_all_at(&self.buffer, self.buffer_at);
        written.map_err(|source| io_error(&files.path(self.end.place.segment), source))?;
        self.buffer_at += self.buffer.len() as u64;
        self.unsynced_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
