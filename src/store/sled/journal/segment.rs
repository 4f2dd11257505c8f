//! A file of the journal as it is read: with the bytes that it had when it was written. Knows headers and gaps; no records.
//!
//! A segment that was rewritten has gaps: bytes that are forgotten and read as zeros, but take no space. All else stays where it was, so that
//! whatever says where something is in a segment stays right. After the header, which has format 3, such a file has a table, and then all
//! bytes that are in no gap, one after the other. Integers are big endian.
//!
//! ```text
//! "cwjg"  crc32 of the rest of the table  length of the segment with its gaps (u64)  number of gaps (u64)
//! then for each gap, in order:  where it begins (u64)  its length (u64)
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::append_log::{self, BLOCK_HEAD_BYTES};

/// Bytes of the header of a segment, before its first record or its table.
pub const HEADER_BYTES: u64 = 64;

const MAGIC: &[u8; 4] = b"cwjg";
/// Bytes of a table before its gaps, and of a gap.
const TABLE_HEAD_BYTES: usize = BLOCK_HEAD_BYTES + 16;
const GAP_BYTES: usize = 16;

/// A segment that is open for reading.
pub struct Segment {
    file: File,
    gaps: Option<Gaps>,
}

/// The bytes of a segment that its file lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gaps {
    /// Of the segment with its gaps.
    length: u64,
    gaps: Vec<Gap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    start: u64,
    end: u64,
    /// The bytes of the gaps before it.
    before: u64,
}

impl Gaps {
    /// Of a segment with this length: gaps in order, each where it begins and ends.
    pub fn new(length: u64, gaps: impl IntoIterator<Item = (u64, u64)>) -> Gaps {
        let mut before = 0;
        let gap = |(start, end)| {
            let gap = Gap { start, end, before };
            before += end - start;
            gap
        };
        Gaps { length, gaps: gaps.into_iter().map(gap).collect() }
    }

    pub fn bytes(&self) -> u64 {
        self.gaps.last().map_or(0, |last| last.before + (last.end - last.start))
    }

    /// Calls `write` with what of these bytes, which lie at `offset`, is in no gap.
    pub fn write_rest(
        &self,
        offset: u64,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let mut at = offset;
        for gap in &self.gaps[self.gaps.partition_point(|gap| gap.end <= offset)..] {
            if gap.start >= end {
                break;
            }
            write(&bytes[(at - offset) as usize..(gap.start.max(at) - offset) as usize])?;
            at = gap.end.min(end);
        }
        write(&bytes[(at - offset) as usize..])
    }

    /// The bytes of the table.
    pub fn encode(&self) -> Vec<u8> {
        let mut table = vec![0; BLOCK_HEAD_BYTES];
        table.extend_from_slice(&self.length.to_be_bytes());
        table.extend_from_slice(&(self.gaps.len() as u64).to_be_bytes());
        for gap in &self.gaps {
            table.extend_from_slice(&gap.start.to_be_bytes());
            table.extend_from_slice(&(gap.end - gap.start).to_be_bytes());
        }
        append_log::seal(&mut table, MAGIC);
        table
    }

    fn table_bytes(&self) -> u64 {
        (TABLE_HEAD_BYTES + self.gaps.len() * GAP_BYTES) as u64
    }

    /// `None` if the file has no whole table behind its header.
    fn read(file: &File) -> io::Result<Option<Gaps>> {
        let mut head = [0; TABLE_HEAD_BYTES];
        let file_bytes = file.metadata()?.len();
        if file_bytes < HEADER_BYTES + head.len() as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut head, HEADER_BYTES)?;
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
        let (length, count) = (number(&head[8..16]), number(&head[16..24]));
        // A damaged number must not make room for more than the file has.
        let Some(table_bytes) = count.checked_mul(GAP_BYTES as u64).filter(|bytes| *bytes <= file_bytes)
        else {
            return Ok(None);
        };
        let mut table = vec![0; TABLE_HEAD_BYTES + table_bytes as usize];
        match file.read_exact_at(&mut table, HEADER_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        if !append_log::is_sealed(&table, MAGIC) {
            return Ok(None);
        }
        let gaps = table[TABLE_HEAD_BYTES..].chunks_exact(GAP_BYTES);
        let gaps = gaps.map(|gap| (number(&gap[..8]), number(&gap[..8]) + number(&gap[8..])));
        Ok(Some(Gaps::new(length, gaps)))
    }

    /// Where the bytes from `offset` on are: how many there are in a row, and where in the file. `None`: in a gap.
    fn find(&self, offset: u64) -> (u64, Option<u64>) {
        let next = self.gaps.partition_point(|gap| gap.end <= offset);
        let (until, before) = match self.gaps.get(next) {
            Some(gap) if gap.start <= offset => return (gap.end - offset, None),
            Some(gap) => (gap.start, gap.before),
            None => (self.length, self.bytes()),
        };
        let at = match offset < HEADER_BYTES {
            true => return (HEADER_BYTES - offset, Some(offset)),
            false => self.table_bytes() + offset - before,
        };
        (until - offset, Some(at))
    }
}

impl Segment {
    /// A file that has all of its bytes.
    pub fn whole(file: File) -> Segment {
        Segment { file, gaps: None }
    }

    /// A file that was rewritten. `None` if its table is damaged.
    pub fn with_gaps(file: File) -> io::Result<Option<Segment>> {
        Ok(Gaps::read(&file)?.map(|gaps| Segment { file, gaps: Some(gaps) }))
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// With its gaps.
    pub fn length(&self) -> io::Result<u64> {
        match &self.gaps {
            Some(gaps) => Ok(gaps.length),
            None => Ok(self.file.metadata()?.len()),
        }
    }

    /// The bytes of its gaps.
    pub fn gap_bytes(&self) -> u64 {
        self.gaps.as_ref().map_or(0, Gaps::bytes)
    }

    /// As `FileExt::read_at`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(gaps) = &self.gaps else { return self.file.read_at(buffer, offset) };
        if offset >= gaps.length {
            return Ok(0);
        }
        let (count, at) = gaps.find(offset);
        let count = buffer.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        match at {
            Some(at) => self.file.read_at(&mut buffer[..count], at),
            None => {
                buffer[..count].fill(0);
                Ok(count)
            }
        }
    }

    /// As `FileExt::read_exact_at`.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_file_with_gaps_reads_as_the_one_that_it_was_made_of_with_zeros_in_the_gaps(
            lengths in prop::collection::vec((1..40_u64, 1..40_u64), 0..20),
            rest in 0..40_u64,
            reads in prop::collection::vec((0..900_u64, 0..300_usize), 1..20),
        ) {
            let (mut at, mut found) = (HEADER_BYTES, vec![]);
            for (kept, gone) in lengths {
                found.push((at + kept, at + kept + gone));
                at += kept + gone;
            }
            let length = at + rest;
            let mut bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8 + 1).collect();
            let gaps = Gaps::new(length, found.iter().copied());
            for (start, end) in &found {
                bytes[*start as usize..*end as usize].fill(0);
            }
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&bytes[..HEADER_BYTES as usize]).expect("written");
            file.write_all(&gaps.encode()).expect("written");
            // In pieces, as records are written.
            for (number, piece) in bytes[HEADER_BYTES as usize..].chunks(17).enumerate() {
                let offset = HEADER_BYTES + number as u64 * 17;
                gaps.write_rest(offset, piece, |rest| file.write_all(rest)).expect("written");
            }
            let file_bytes = file.metadata().expect("it is there").len();
            prop_assert_eq!(file_bytes, length - gaps.bytes() + gaps.table_bytes());
            let segment = Segment::with_gaps(file).expect("read").expect("its table is whole");
            prop_assert_eq!(segment.gaps.as_ref(), Some(&gaps));
            prop_assert_eq!(segment.length().expect("read"), length);
            for (offset, count) in reads {
                let mut buffer = vec![7; count];
                let is_there = offset + count as u64 <= length || count == 0;
                prop_assert_eq!(segment.read_exact_at(&mut buffer, offset).is_ok(), is_there);
                if is_there && count > 0 {
                    prop_assert_eq!(&buffer[..], &bytes[offset as usize..offset as usize + count]);
                }
            }
        }
    }
}
