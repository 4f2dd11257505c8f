//! The journal: commits, ordered and durable, and the history they fold to. Knows the model; never the engine, never
//! the network.
//!
//! The journal is the truth. All that a store answers besides is a fold over it, which it may keep in indexes.

pub mod codec;
pub mod memory;
mod proof;
pub mod sled;

use std::collections::BTreeMap;

pub use self::memory::MemoryStore;
pub use self::proof::{Broken, Proof, prove};
pub use self::sled::{Fsync, Point, SledOptions, SledStore};

use crate::model::{
    Commit, ConfigId, Digest, Epoch, Layer, LayerKey, Namespace, Request, Revision, TagName, Timestamp,
    Version,
};

/// An ordered journal of commits and the history of every config.
///
/// One thread at a time calls `append`, and one `compact`; reads come from any thread at any time and see whole commits only. All
/// methods block: call them where blocking is allowed.
pub trait Store: Send + Sync + 'static {
    /// Which history this is. Stays the same for the life of the store.
    fn epoch(&self) -> Epoch;

    /// The newest commit; all zero for the empty store. Never ahead of what is durable.
    fn head(&self) -> Head;

    /// The oldest revision whose commit is retained; 1 if nothing was compacted yet.
    fn oldest(&self) -> Revision;

    /// Appends commits, all or none, and returns the new head once they are durable and visible to every read.
    ///
    /// The revisions must follow the head without a gap, times must not decrease, and the versions within must be those that
    /// follow: the engine has seen to it, and the store may panic otherwise.
    ///
    /// `StoreError::Refused`: they are not there, and the next append starts from the same head. `StoreError::Doubtful`: the same, unless
    /// the store is opened again before an append has succeeded; then they may be there. After any other error it is unknown whether they
    /// will be there; `StoreError::Failed` from then on: the caller stops writing.
    fn append(&self, commits: &[Commit]) -> Result<Head, StoreError>;

    /// Commits from `from` on (0 means 1), in order, as many as have at most `bytes_max` bytes as they are stored; at least
    /// one, if there is one. Empty if `from` is ahead of the head. `StoreError::Compacted` if it is no longer retained.
    fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError>;

    /// Summaries of the commits that `commits` would return, and the revision after the last of them. Cheaper than the commits: for the
    /// start of a server, which looks through many.
    fn summaries(&self, from: Revision, bytes_max: usize) -> Result<(Vec<Summary>, Revision), StoreError> {
        let page = self.commits(from, bytes_max)?;
        let next = page.last().map_or(from, |last| last.commit.revision.next());
        Ok((page.into_iter().map(|sealed| Summary::of(sealed.commit)).collect(), next))
    }

    /// The last retained commit made at or before `time`. `None` if there is none.
    fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError>;

    /// The retained versions of a config below `before`, newest first, at most `limit`. Empty for an unknown config.
    fn versions(&self, id: &ConfigId, before: Version, limit: usize) -> Result<Vec<VersionRef>, StoreError>;

    /// The version that the config had as of `revision`, the current one if that is ahead of the head. `None` if it had
    /// none yet, `StoreError::Compacted` if what it was then is no longer known.
    fn version_at(&self, id: &ConfigId, revision: Revision) -> Result<Option<VersionRef>, StoreError>;

    /// A version of a config with all its layers: exactly those it had at that version. `None` if there never was such a version;
    /// `StoreError::Compacted` if it is no longer retained; as its own revision is forgotten with it, `asked` is then the last
    /// one that was compacted.
    fn snapshot(&self, id: &ConfigId, version: Version) -> Result<Option<Snapshot>, StoreError>;

    /// Calls `visit` with the current state of every config, deleted ones included, in the order of their ids, as of one head
    /// (returned). For the start of a server: its cost grows with the number of current layers, not with history.
    fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<Head, StoreError>;

    /// Forgets commits below `oldest` and the versions that ended before it: every config keeps the version it had at
    /// `oldest` and those since, and versions that a tag names now. The current state is never touched.
    /// Does nothing if `oldest` is retained as the oldest already; at most the head is taken for it. Appends and reads go on meanwhile: they
    /// never wait for all of it.
    ///
    /// `is_stopped` is asked again and again, some milliseconds of work apart. Once it says yes, the rest is not done: what is forgotten by
    /// then stays forgotten, and a later compaction, or the next start, removes what is left of it.
    fn compact_unless(
        &self,
        oldest: Revision,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError>;

    /// The same, to its end.
    fn compact(&self, oldest: Revision) -> Result<(), StoreError> {
        self.compact_unless(oldest, &|| false).map(|_| ())
    }

    /// Reads everything and calls `report` for each thing that is wrong: a broken link of the hash chain, a digest that
    /// does not match, an index that says something else than the journal.
    fn verify(&self, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError>;
}

/// How a compaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    Done,
    Stopped,
}

/// The newest commit of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub revision: Revision,
    pub time: Timestamp,
    pub hash: Digest,
}

impl Head {
    /// Of a store without commits.
    pub const EMPTY: Head = Head { revision: Revision::ZERO, time: Timestamp(0), hash: Digest::ZERO };

    /// Panics unless `commits` may be appended: what every store demands of its caller.
    fn check_followed_by(&self, commits: &[Commit]) {
        let (mut revision, mut time) = (self.revision, (*self != Head::EMPTY).then_some(self.time));
        for commit in commits {
            assert_eq!(commit.revision, revision.next(), "revisions must follow the head without a gap");
            assert!(time <= Some(commit.time), "the time of revision {} must not decrease", commit.revision);
            (revision, time) = (commit.revision, Some(commit.time));
        }
    }
}

/// A commit in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub commit: Commit,
    /// SHA-256 over the hash of the commit before and the stored bytes of this one.
    pub hash: Digest,
}

impl Sealed {
    fn head(&self) -> Head {
        Head { revision: self.commit.revision, time: self.commit.time, hash: self.hash }
    }
}

/// A commit without what it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub revision: Revision,
    pub time: Timestamp,
    pub actor: String,
    pub request: Option<Request>,
    /// The namespaces that it changed, sorted, and the bytes that count for each: `Commit::journal_bytes`.
    pub bytes: Vec<(Namespace, u64)>,
}

impl Summary {
    pub fn of(commit: Commit) -> Summary {
        let bytes = commit.journal_bytes();
        let Commit { revision, time, author, request, .. } = commit;
        Summary { revision, time, actor: author.actor, request, bytes }
    }
}

/// A version and the commit that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRef {
    pub version: Version,
    pub revision: Revision,
    pub time: Timestamp,
}

/// What a config was at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub at: VersionRef,
    /// Sorted by key. Empty if the config was deleted.
    pub layers: BTreeMap<LayerKey, Layer>,
}

/// What a config is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRecord {
    pub id: ConfigId,
    /// The version it has, and the commit that made it.
    pub at: VersionRef,
    pub layers: Vec<(LayerKey, Layer)>,
    pub tags: BTreeMap<TagName, Version>,
}

/// Something that `Store::verify` found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a tree and key, or a revision.
    pub place: String,
    /// What was expected and what was found.
    pub message: String,
}

/// What `Store::verify` went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub commits: u64,
    pub configs: u64,
    pub layers: u64,
    pub versions: u64,
}

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
    /// The store was written by a version of this program with another format.
    #[error("the store has format {found}, this program reads format {expected}")]
    Format { found: u64, expected: u64 },
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
