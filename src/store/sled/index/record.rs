//! The values of the indexes. Knows the model and bytes; no trees.
//!
//! | tree | value |
//! | --- | --- |
//! | `layers`, `versions` | see `runs.rs` |
//! | `current` | postcard of `CurrentRecord` |
//! | `configs` | version (u64 BE), revision (u64 BE), time in microseconds since the Unix epoch (i64 BE) |
//! | `tags` | version (u64 BE) |
//! | `meta`, `synced` | segment (u64 BE), offset (u64 BE), revision (u64 BE), time (i64 BE), hash (32 bytes) |
//!
//! They share the format number of the store.

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Revision, Timestamp, Version};
use crate::store::Head;
use crate::store::VersionRef;
use crate::store::sled::journal::{End, JournalPosition};

/// A layer as of a version.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum LayerRecord<'a> {
    /// It ended with this version.
    Gone,
    /// Its content is in the journal.
    Journal {
        about: About,
        /// The first revision of the segment, and where in it the content is.
        segment: u64,
        offset: u64,
        bytes: u64,
    },
    /// Its content was in a part of the journal that is gone.
    Inline { about: About, content: &'a str },
}

/// A layer as it is now.
#[derive(Serialize, Deserialize)]
pub struct CurrentRecord<'a> {
    pub about: About,
    pub version: u64,
    pub content: &'a str,
}

/// What there is to say of a layer besides its content.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct About {
    pub digest: [u8; 32],
    pub expires_us: Option<i64>,
    pub format: Option<u8>,
}

/// The bytes of a `LayerRecord` or `CurrentRecord`.
pub fn encode(record: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(record).expect("records hold nothing that postcard refuses")
}

/// Reads what `encode` wrote. `None` if it is not that.
pub fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Option<T> {
    let (record, rest) = postcard::take_from_bytes(value).ok()?;
    rest.is_empty().then_some(record)
}

/// A value of `configs`.
pub fn encode_config(at: VersionRef) -> Vec<u8> {
    [at.version.0.to_be_bytes(), at.revision.0.to_be_bytes(), at.time.0.to_be_bytes()].concat()
}

/// Reads a value of `configs`. `None` if it is not that.
pub fn decode_config(value: &[u8]) -> Option<VersionRef> {
    let (numbers, time) = value.split_at_checked(16)?;
    let time = Timestamp(i64::from_be_bytes(time.try_into().ok()?));
    let (version, revision) = (decode_number(&numbers[..8])?, decode_number(&numbers[8..])?);
    Some(VersionRef { version: Version(version), revision: Revision(revision), time })
}

/// Reads a u64 BE. `None` if it is not that.
pub fn decode_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// Where the journal ends.
pub fn encode_end(end: End) -> Vec<u8> {
    let End { place: JournalPosition { segment, offset }, head: Head { revision, time, hash } } = end;
    let numbers = [segment.0.to_be_bytes(), offset.to_be_bytes(), revision.0.to_be_bytes()];
    [&numbers.concat()[..], &time.0.to_be_bytes(), &hash.0].concat()
}

/// Reads what `encode_end` wrote. `None` if it is not that.
pub fn decode_end(value: &[u8]) -> Option<End> {
    let (numbers, hash) = value.split_at_checked(32)?;
    let number = |at: usize| decode_number(&numbers[at..at + 8]);
    let place = JournalPosition { segment: Revision(number(0)?), offset: number(8)? };
    let time = Timestamp(i64::from_be_bytes(numbers[24..].try_into().ok()?));
    let head = Head { revision: Revision(number(16)?), time, hash: Digest(hash.try_into().ok()?) };
    Some(End { place, head })
}
