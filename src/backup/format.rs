//! The bytes of a backup file. Knows bytes; no commits, no files.
//!
//! Integers are big endian.
//!
//! ```text
//! header    "cwbackup"  format (u32)  zero (u32)
//! part      kind (1 byte)  zero (3 bytes)  stored bytes (u32)  plain bytes (u64)  SHA-256 of the stored bytes (32 bytes)  stored bytes
//! ...       one part after the other; the last part is the manifest
//! trailer   "cwbk-end"  where the manifest part begins (u64)  SHA-256 of all bytes before this sum (32 bytes)
//! ```
//!
//! | kind | holds | stored as |
//! | --- | --- | --- |
//! | `h` | history from before the oldest commit of a compacted store: configs at the versions that the store keeps, in the order of their ids, and of each config in the order of versions | a zstd frame of items |
//! | `c` | commits, in the order of revisions: batches as `store/codec.rs` describes them | a zstd frame of items |
//! | `s` | the current state: configs in the order of their ids | a zstd frame of items |
//! | `m` | the manifest: `manifest.rs` | JSON |
//!
//! An item is its length (u32) and its bytes. `record.rs` describes the bytes of a config. Parts come in the order of the table; a kind
//! without items has no part. The same content gives the same bytes, except for the time in the manifest.

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use crate::model::Digest;

/// The format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;

pub const MAGIC: &[u8; 8] = b"cwbackup";
pub const END_MAGIC: &[u8; 8] = b"cwbk-end";
pub const HEADER_BYTES: usize = 16;
pub const PART_HEADER_BYTES: usize = 48;
pub const TRAILER_BYTES: usize = 48;

/// A part is full when its items have as many bytes. One item may be larger than that.
pub const PART_BYTES: usize = 2 << 20;
/// The most that a part may hold: a commit has 64 MiB of content by default, and its limit can be raised.
pub const PLAIN_BYTES_MAX: u64 = 1 << 30;
/// The longest manifest: it lists the parts, some 130 bytes each.
pub const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    History,
    Commits,
    State,
    Manifest,
}

/// What is before the stored bytes of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartHeader {
    pub kind: PartKind,
    pub stored_bytes: u32,
    pub plain_bytes: u64,
    pub sha256: Digest,
}

impl PartKind {
    pub fn code(self) -> u8 {
        match self {
            PartKind::History => b'h',
            PartKind::Commits => b'c',
            PartKind::State => b's',
            PartKind::Manifest => b'm',
        }
    }

    pub fn of_code(code: u8) -> Option<PartKind> {
        let all = [PartKind::History, PartKind::Commits, PartKind::State, PartKind::Manifest];
        all.into_iter().find(|kind| kind.code() == code)
    }
}

impl PartHeader {
    pub fn encode(self) -> [u8; PART_HEADER_BYTES] {
        let mut bytes = [0; PART_HEADER_BYTES];
        bytes[0] = self.kind.code();
        bytes[4..8].copy_from_slice(&self.stored_bytes.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.plain_bytes.to_be_bytes());
        bytes[16..].copy_from_slice(&self.sha256.0);
        bytes
    }

    pub fn decode(bytes: &[u8; PART_HEADER_BYTES]) -> Result<PartHeader, BackupError> {
        let wrong = |what: &str| BackupError::damaged(format!("a part {what}"));
        let kind = PartKind::of_code(bytes[0]).filter(|_| bytes[1..4] == [0; 3]);
        let header = PartHeader {
            kind: kind.ok_or_else(|| wrong("is of no known kind"))?,
            stored_bytes: u32::from_be_bytes(bytes[4..8].try_into().expect("4 bytes")),
            plain_bytes: u64::from_be_bytes(bytes[8..16].try_into().expect("8 bytes")),
            sha256: Digest(bytes[16..].try_into().expect("32 bytes")),
        };
        let bytes_max = match header.kind {
            PartKind::Manifest => MANIFEST_BYTES_MAX,
            PartKind::History | PartKind::Commits | PartKind::State => PLAIN_BYTES_MAX,
        };
        match header.plain_bytes > bytes_max {
            true => Err(wrong("is too large")),
            false => Ok(header),
        }
    }
}

/// The first bytes of a file.
pub fn encode_header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_be_bytes());
    bytes
}

/// Refuses the first bytes of a file of another program, or of a later format.
pub fn check_header(bytes: &[u8; HEADER_BYTES]) -> Result<(), BackupError> {
    if bytes[..8] != *MAGIC {
        return Err(BackupError::Foreign);
    }
    match u32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes")) {
        FORMAT => {}
        0 => return Err(BackupError::damaged("its header has no format")),
        found => {
            let (found, expected) = (found.into(), FORMAT.into());
            return Err(BackupError::Format { of: "the backup", found, expected });
        }
    }
    match bytes[12..] == [0; 4] {
        true => Ok(()),
        false => Err(BackupError::damaged("its header has other bytes")),
    }
}

/// The last bytes of a file. `whole` has summed all bytes before them.
pub fn encode_trailer(manifest_at: u64, whole: &Sha256) -> ([u8; TRAILER_BYTES], Digest) {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..8].copy_from_slice(END_MAGIC);
    bytes[8..16].copy_from_slice(&manifest_at.to_be_bytes());
    let sum: [u8; 32] = whole.clone().chain_update(&bytes[..16]).finalize().into();
    bytes[16..].copy_from_slice(&sum);
    (bytes, Digest(sum))
}

/// Where the manifest part begins, by the last bytes of a file.
pub fn manifest_at(trailer: &[u8; TRAILER_BYTES]) -> Result<u64, BackupError> {
    match trailer[..8] == *END_MAGIC {
        true => Ok(u64::from_be_bytes(trailer[8..16].try_into().expect("8 bytes"))),
        false => Err(BackupError::damaged("its end is missing")),
    }
}
