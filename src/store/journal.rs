//! The contract of a journal: all commits in order, chained by their hashes. Knows the model; neither the history that is folded from
//! commits, nor the engine.

use super::StoreError;
use super::commit_format::CommitFormat;
use super::forgotten::Forgotten;
use super::stored_commit::StoredCommit;
use crate::model::{Commit, Digest, Epoch, Namespace, Request, Revision, Timestamp};

/// An ordered and durable list of commits: the truth of a store. `History` is folded from a journal.
///
/// One thread at a time calls `append`. Reads come from any thread at any time and see complete commits only. All methods block: call
/// them where blocking is allowed.
pub trait Journal: Send + Sync + 'static {
    /// The identity of this list of commits. Stays the same for the life of the store. A copy that follows the journal commit by commit
    /// has the same epoch.
    fn epoch(&self) -> Epoch;

    /// The newest commit; all zero for the empty journal. Never ahead of what is durable.
    fn head(&self) -> Head;

    /// The oldest revision whose commit is retained; 1 if nothing was compacted yet.
    fn oldest(&self) -> Revision;

    /// Namespaces whose history is retained from a later revision on than the oldest: what earlier commits of format 3 changed of them is
    /// forgotten, and not in the commits that are read. The chain is that of all changes all the same.
    fn forgotten(&self) -> Forgotten;

    /// The oldest revision from which on all changes of a namespace are retained.
    fn oldest_of(&self, namespace: &Namespace) -> Revision {
        let of_namespace = self.forgotten().oldest_of(namespace.as_str());
        self.oldest().max(of_namespace.unwrap_or_default())
    }

    /// The hash of the commit before the oldest one; all zero if nothing was compacted yet.
    fn anchor(&self) -> Digest;

    /// Appends commits, all or none, and returns the new head once they are durable and visible to every read, also to those of the
    /// history that is folded from this journal.
    ///
    /// The revisions must follow the head without a gap, times must not decrease, and the versions within must be those that
    /// follow: the engine has checked this, and the store may panic otherwise.
    ///
    /// `StoreError::Refused`: they are not there, and the next append starts from the same head. `StoreError::Doubtful`: the same, unless
    /// the store is opened again before an append has succeeded; then they may be there. After any other error it is unknown whether they
    /// will be there; `StoreError::Failed` from then on: the caller stops writing.
    fn append(&self, commits: &[Commit]) -> Result<Head, StoreError> {
        self.append_as(CommitFormat::default(), commits)
    }

    /// Appends commits that another journal has in this format, so that they have the same hashes here. Else as `append`. The caller has
    /// found the format by the hashes: a format that does not keep all of a commit would lose the rest. What is forgotten of them there is
    /// forgotten here; unless `forgotten` says so, too, the history of these namespaces cannot be read.
    fn append_as(&self, format: CommitFormat, commits: &[Commit]) -> Result<Head, StoreError>;

    /// Commits from `from` on (0 means 1), in order, as many as have at most `bytes_max` bytes as they are stored; at least
    /// one, if there is one. Empty if `from` is ahead of the head. `StoreError::Compacted` if it is no longer retained.
    fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError>;

    /// The commits that `commits` would return, as they are stored: cheaper than the commits, for copies. No hash is compared with the bytes.
    fn stored_commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<StoredCommit>, StoreError>;

    /// Summaries of the commits that `commits` would return, and the revision after the last of them. Cheaper than the commits: for the
    /// start of a server, which looks through many.
    fn summaries(&self, from: Revision, bytes_max: usize) -> Result<(Vec<Summary>, Revision), StoreError> {
        let page = self.commits(from, bytes_max)?;
        let next = page.last().map_or(from, |last| last.commit.revision.next());
        Ok((page.into_iter().map(|sealed| Summary::of(sealed.commit)).collect(), next))
    }

    /// The last retained commit made at or before `time`. `None` if there is none.
    fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError>;
}

/// The newest commit of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub revision: Revision,
    pub time: Timestamp,
    pub hash: Digest,
}

impl Head {
    /// Of a journal without commits.
    pub const EMPTY: Head = Head { revision: Revision::ZERO, time: Timestamp(0), hash: Digest::ZERO };

    /// Panics unless `commits` may be appended: what every journal demands of its caller.
    pub(super) fn check_followed_by(&self, commits: &[Commit]) {
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
    /// SHA-256 over the hash of the commit before, and what is stored of this one: by its format, `codec.rs`.
    pub hash: Digest,
}

impl Sealed {
    pub(super) fn head(&self) -> Head {
        Head { revision: self.commit.revision, time: self.commit.time, hash: self.hash }
    }

    /// About how much memory the commit takes.
    pub fn memory_bytes(&self) -> usize {
        let layers = self.commit.changes.iter().flat_map(|change| &change.layers);
        let bytes =
            layers.map(|layer| 256 + layer.content.as_ref().map_or(0, |content| content.as_str().len()));
        512 + bytes.sum::<usize>()
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
