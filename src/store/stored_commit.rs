//! A commit as its stored bytes, for copies that do not need its content. Knows no bytes: `codec.rs`.

use super::commit_format::CommitFormat;
use crate::model::{Digest, Revision, Timestamp};

/// A commit as a journal stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommit {
    pub revision: Revision,
    pub time: Timestamp,
    pub format: CommitFormat,
    pub bytes: Vec<u8>,
    /// As `Sealed::hash`. Nothing has compared it with the bytes.
    pub hash: Digest,
}
