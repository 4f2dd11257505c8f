//! A file of the write-ahead log that records are written to. Knows the place of the next record; not whether it is durable.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::log_record::{self, HEADER_BYTES, Header};
use crate::model::Revision;

/// So much is written with zeros before records come to it. A file that grows costs the file system a commit of its own
/// journal with every sync, one that is written over costs it none.
const GROWTH_BYTES: usize = 1 << 20;

pub struct Segment {
    file: File,
    sequence: u64,
    /// Where the next record goes.
    end: usize,
    /// What can be written over.
    grown: usize,
    /// A segment that has as much is full. A larger batch gets a segment of its own, however large.
    full: usize,
    /// The revision before the next record.
    pub last: Revision,
    buffer: Vec<u8>,
}

impl Segment {
    /// Makes a file the segment that begins with revision `base`, and waits until it durably is that. Its name is not: see the
    /// caller.
    pub fn begin(path: &Path, full: usize, sequence: u64, base: Revision) -> io::Result<Segment> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut grown = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if grown > full {
            file.set_len(full as u64)?;
            grown = full;
        }
        let last = Revision(base.0 - 1);
        let mut segment =
            Segment { file, sequence, end: HEADER_BYTES, grown, full, last, buffer: Vec::new() };
        segment.grow_to(HEADER_BYTES)?;
        segment.file.write_all_at(&Header { sequence, base }.encode(), 0)?;
        segment.file.sync_all()?;
        Ok(segment)
    }

    /// Whether a batch of so many bytes has its place here. The first one always has.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.end == HEADER_BYTES || self.end + log_record::RECORD_BYTES + bytes <= self.full
    }

    /// Makes room for a batch. If that fails nothing has been written, and it may be tried again.
    pub fn make_room_for(&mut self, bytes: usize) -> io::Result<()> {
        self.grow_to(self.end + log_record::record_bytes(bytes))
    }

    /// Writes the next batch. If that fails, nothing may follow it.
    pub fn write(&mut self, first: Revision, count: u32, batch: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        log_record::append(&mut self.buffer, self.sequence, first, count, batch);
        self.file.write_all_at(&self.buffer, self.end as u64)?;
        self.end += self.buffer.len();
        self.last = Revision(first.0 + u64::from(count) - 1);
        self.buffer.shrink_to(GROWTH_BYTES);
        Ok(())
    }

    /// Waits until all that was written is durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn grow_to(&mut self, bytes: usize) -> io::Result<()> {
        if bytes <= self.grown {
            return Ok(());
        }
        let zeros = vec![0; GROWTH_BYTES.min(self.full)];
        let target = bytes.next_multiple_of(zeros.len());
        let mut at = self.grown;
        while at < target {
            let count = zeros.len().min(target - at);
            self.file.write_all_at(&zeros[..count], at as u64)?;
            at += count;
        }
        // A batch that is larger than a segment is the only one in its file: the sync of the batch makes the length durable, too, and the zeros,
        // which only see to it that the disk has room, need not reach the disk.
        if target <= self.full {
            self.file.sync_all()?;
        }
        self.grown = target;
        Ok(())
    }
}
