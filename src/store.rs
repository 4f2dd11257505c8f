//! Commits, ordered and durable, and what they fold to. Knows the model; never the engine, never the network.
//!
//! A store keeps two contracts. The journal is the truth: `journal.rs`. The history is a fold over the journal, which a store may keep in
//! indexes: `history.rs`. `memory.rs` and `sled/` keep both.

pub mod codec;
mod commit_format;
mod compacted_requests;
mod forgotten;
mod history;
mod journal;
pub mod memory;
mod proof;
pub mod sled;
mod stored_commit;

pub use self::compacted_requests::CompactedRequests;
pub use self::forgotten::Forgotten;
pub use self::history::{Compaction, ConfigRecord, History, Problem, Snapshot, Verified, VersionRef};
pub use self::journal::{Head, Journal, Sealed, Summary};
pub use self::memory::MemoryStore;
pub use self::proof::{Broken, Proof, prove};
pub use self::sled::{Fsync, Importing, Point, Seeding, SledOptions, SledStore};
pub use self::stored_commit::StoredCommit;

use crate::model::Revision;

/// A journal, and the history of the same journal.
pub trait Store: Journal + History {}

impl<S: Journal + History> Store for S {}

/// Why a store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller asks for something newer, or gives up.
    #[error("revision {asked} was compacted, the oldest available is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    /// Another process has the store open.
    #[error("{path} is in use by another confwatch server")]
    Locked { path: String },
    /// Bytes on disk are not what was written. Nothing more can be trusted without `confwatch fsck`.
    #[error("{place} is damaged: {what}")]
    Corrupt { place: String, what: String },
    /// The store, or some of its commits, were written by a later version of this program. Nothing was changed.
    #[error(
        "{of} has format {found}, this program reads format {expected}: use a later version of confwatch"
    )]
    Format { of: &'static str, found: u64, expected: u64 },
    /// A write failed; whether it will be there after a restart is unknown. Stop writing.
    #[error("the store no longer takes writes: {0}")]
    Failed(String),
    /// Nothing of this append counts. The store goes on, and a later append may succeed: the disk is full, say.
    #[error("the store cannot write now: {0}")]
    Refused(String),
    /// As `Refused`, but the disk could not be told that this append does not count: if the store is opened again before the next one
    /// succeeds, it may be there.
    #[error("the store cannot tell whether it has written: {0}")]
    Doubtful(String),
    /// What was asked for cannot be read now, but perhaps later.
    #[error("the store cannot read its history now: {0}")]
    Unavailable(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

impl StoreError {
    /// For a version that was compacted.
    fn forgotten_version(oldest: Revision) -> StoreError {
        StoreError::Compacted { asked: Revision(oldest.0.saturating_sub(1)), oldest }
    }
}
