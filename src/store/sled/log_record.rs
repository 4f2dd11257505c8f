//! The bytes of the write-ahead log and of the journal: records, and the header of a segment of the write-ahead log. Knows no files.
//!
//! Integers are big endian. A segment is a header of `HEADER_BYTES`, then records, each at a multiple of `ALIGNMENT`; what is after
//! the last one is left from an earlier use of the file, or zero.
//!
//! ```text
//! header: "cwls"  crc32 of the rest  sequence (u64)  base (u64)  zeros
//! record: "cwlr"  crc32 of the rest, with the payload  sequence (u64)  first (u64)  count (u32)  length (u32)  payload
//! ```
//!
//! `sequence` numbers the uses of segments, so that a record of an earlier use is told from one of this use. `base` is the
//! revision of the first record: what earlier segments hold from there on was never acknowledged. The payload is a batch of `count` commits from
//! revision `first` on, as `codec.rs` writes it.

use std::ops::Range;

use crate::append_log::{self, BLOCK_HEAD_BYTES};
use crate::model::Revision;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a record before its payload.
pub const RECORD_BYTES: usize = 32;
const ALIGNMENT: usize = 8;
const HEADER_MAGIC: &[u8; 4] = b"cwls";
const RECORD_MAGIC: &[u8; 4] = b"cwlr";

/// What a segment is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub sequence: u64,
    pub base: Revision,
}

/// Where a batch lies in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub sequence: u64,
    pub first: Revision,
    pub count: u32,
    pub payload: Range<usize>,
}

impl Header {
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.base.0.to_be_bytes());
        append_log::seal(&mut bytes, HEADER_MAGIC);
        bytes
    }

    /// Reads the header of a segment. `None` if it is damaged, or none.
    pub fn decode(segment: &[u8]) -> Option<Header> {
        let bytes = segment.get(..HEADER_BYTES)?;
        append_log::is_sealed(bytes, HEADER_MAGIC).then_some(())?;
        Some(Header { sequence: number(bytes, 8..16)?, base: Revision(number(bytes, 16..24)?) })
    }
}

/// Adds a record to a buffer that will be written where a record may begin.
pub fn append(buffer: &mut Vec<u8>, sequence: u64, first: Revision, count: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a batch has less than 4 GiB");
    let start = buffer.len();
    buffer.extend_from_slice(&[0; BLOCK_HEAD_BYTES]);
    buffer.extend_from_slice(&sequence.to_be_bytes());
    buffer.extend_from_slice(&first.0.to_be_bytes());
    buffer.extend_from_slice(&count.to_be_bytes());
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(payload);
    append_log::seal(&mut buffer[start..], RECORD_MAGIC);
    buffer.resize(start + record_bytes(payload.len()), 0);
}

/// So much space takes the record of a payload.
pub fn record_bytes(payload: usize) -> usize {
    (RECORD_BYTES + payload).next_multiple_of(ALIGNMENT)
}

/// What the record at `offset` says of itself. `None` if there is none. Whether it is whole only `decode` tells.
pub fn peek(segment: &[u8], offset: usize) -> Option<Record> {
    let head = segment.get(offset..)?.get(..RECORD_BYTES)?;
    if head[..4] != *RECORD_MAGIC {
        return None;
    }
    let payload =
        offset + RECORD_BYTES..(offset + RECORD_BYTES).checked_add(number(head, 28..32)? as usize)?;
    Some(Record {
        sequence: number(head, 8..16)?,
        first: Revision(number(head, 16..24)?),
        count: u32::try_from(number(head, 24..28)?).ok().filter(|count| *count > 0)?,
        payload,
    })
}

/// Reads the record at `offset`. `None` if there is no whole one.
pub fn decode(segment: &[u8], offset: usize) -> Option<Record> {
    let record = peek(segment, offset)?;
    append_log::is_sealed(segment.get(offset..record.payload.end)?, RECORD_MAGIC).then_some(record)
}

/// The whole records from `offset` on, wherever they lie. No document can pretend to be one: a record has bytes of zero, a
/// canonical document has none.
pub fn scan(segment: &[u8], offset: usize) -> impl Iterator<Item = Record> + '_ {
    (offset.next_multiple_of(ALIGNMENT)..segment.len())
        .step_by(ALIGNMENT)
        .filter(|at| segment[*at..].starts_with(RECORD_MAGIC))
        .filter_map(|at| decode(segment, at))
}

impl Record {
    /// The revision of its last commit.
    pub fn last(&self) -> Revision {
        Revision(self.first.0.saturating_add(u64::from(self.count) - 1))
    }

    /// Where the next record starts.
    pub fn end(&self) -> usize {
        self.payload.end.next_multiple_of(ALIGNMENT)
    }
}

/// Reads a number of up to 8 bytes.
fn number(bytes: &[u8], range: Range<usize>) -> Option<u64> {
    Some(bytes.get(range)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
