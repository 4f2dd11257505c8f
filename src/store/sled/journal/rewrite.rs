//! Rewrites a segment without the bytes that are forgotten. Knows records and gaps; not who has forgotten what.
//!
//! The new file is written beside the old one, synced, and renamed: a crash leaves the one or the other, and both are the same segment to whoever
//! reads it, but for bytes that nobody asks for any more. Only segments are rewritten to which nothing is added, and after which the journal
//! has something that is durable: no start takes them for the end of the journal.

use std::fs;
use std::io::{self, BufWriter, Write};

use super::super::log_record::{self, RECORD_BYTES};
use super::super::{corrupt, io_error};
use super::files::HEADER_BYTES;
use super::segment::Gaps;
use super::walk::JournalWalk;
use super::{JournalFiles, JournalPosition};
use crate::model::Revision;
use crate::store::codec::{blank_batch, blanks_of_batch};
use crate::store::{Forgotten, StoreError};

/// A shorter gap takes about as much in the table as it saves.
const GAP_BYTES_MIN: usize = 64;
/// So much is written to the new file at once.
const WRITE_BYTES: usize = 1 << 20;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// It has so many bytes less.
    Smaller(u64),
    /// Less than half of it is forgotten.
    NotWorthIt,
    Stopped,
}

impl JournalFiles {
    /// Rewrites a full segment if half of its file or more is forgotten. `go_on` is called for each record; the rest is not done once it says
    /// no. `before_replace` is called when the new file is
    /// complete.
    pub fn rewrite(
        &self,
        segment: Revision,
        forgotten: &Forgotten,
        go_on: &mut dyn FnMut() -> bool,
        before_replace: &dyn Fn(),
    ) -> Result<Rewritten, StoreError> {
        let Some(gaps) = self.find_gaps(segment, forgotten, go_on)? else { return Ok(Rewritten::Stopped) };
        let file = self.files.open(segment)?;
        let file_bytes = file.file().metadata().map_err(|source| self.io(segment, source))?.len();
        let saved = gaps.bytes().saturating_sub(file.gap_bytes());
        if saved == 0 || saved.saturating_mul(2) < file_bytes {
            return Ok(Rewritten::NotWorthIt);
        }
        let (path, new) = self.files.begin_unfinished(segment)?;
        let failed = |source| io_error(&path, source);
        let mut out = BufWriter::with_capacity(WRITE_BYTES, new);
        let mut header = self.files.header(segment)?;
        header.has_gaps = true;
        out.write_all(&header.encode()).and_then(|()| out.write_all(&gaps.encode())).map_err(failed)?;
        let mut walk = self.walk_segment(segment);
        let mut record = Vec::new();
        while let Some(found) = walk.next()?.filter(|found| found.place.segment == segment) {
            if !go_on() {
                drop(out);
                fs::remove_file(&path).map_err(failed)?;
                return Ok(Rewritten::Stopped);
            }
            let blanks = blanks_of_batch(found.batch, forgotten);
            let blanks = blanks.map_err(|error| self.undecodable(&found, error))?;
            let mut batch = found.batch.to_vec();
            blank_batch(&mut batch, &blanks);
            record.clear();
            let count = (found.last.0 + 1 - found.first.0) as u32;
            log_record::append(&mut record, segment.0, found.first, count, &batch);
            gaps.write_rest(found.place.offset, &record, |rest| out.write_all(rest)).map_err(failed)?;
        }
        let new = out.into_inner().map_err(|error| failed(error.into_error()))?;
        new.sync_all().map_err(failed)?;
        drop(new);
        before_replace();
        self.files.replace(segment, &path)?;
        Ok(Rewritten::Smaller(saved))
    }

    /// The gaps that a segment will have. `None`: stopped.
    fn find_gaps(
        &self,
        segment: Revision,
        forgotten: &Forgotten,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Gaps>, StoreError> {
        let mut walk = self.walk_segment(segment);
        let (mut gaps, mut end) = (Vec::new(), HEADER_BYTES);
        while let Some(found) = walk.next()?.filter(|found| found.place.segment == segment) {
            if !go_on() {
                return Ok(None);
            }
            let blanks = blanks_of_batch(found.batch, forgotten);
            for blank in blanks.map_err(|error| self.undecodable(&found, error))? {
                if blank.len() >= GAP_BYTES_MIN {
                    let start = found.place.offset + (RECORD_BYTES + blank.start) as u64;
                    gaps.push((start, start + blank.len() as u64));
                }
            }
            end = found.end;
        }
        let length = self.files.open(segment)?.length().map_err(|source| self.io(segment, source))?;
        match end == length {
            true => Ok(Some(Gaps::new(length, gaps))),
            // Nothing of it is touched: what follows may be what somebody looks for.
            false => Err(corrupt(self.place(segment), format!("its records end at byte {end} of {length}"))),
        }
    }

    fn walk_segment(&self, segment: Revision) -> JournalWalk<'_> {
        JournalWalk::begin(&self.files, JournalPosition { segment, offset: HEADER_BYTES }, segment)
    }

    fn io(&self, segment: Revision, source: io::Error) -> StoreError {
        io_error(&self.files.path(segment), source)
    }
}
