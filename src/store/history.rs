//! The history: what the commits of a journal fold to. The contract of what answers questions about it. Knows the model and the journal;
//! never the engine.

use std::collections::BTreeMap;

use super::StoreError;
use super::journal::Head;
use crate::model::{ConfigId, Layer, LayerKey, Namespace, Revision, TagName, Timestamp, Version};

/// The versions of every config, folded from the commits of one journal, which a history may keep in indexes.
///
/// Every read shows at least the commits that the head of the journal had when the read began, each of them completely: a history that is
/// behind its journal waits or catches up first, also after a crash between the two. A history that is lost can be made again from a
/// journal of which nothing was forgotten.
///
/// One thread at a time calls `compact`, `forget_unless` and `reclaim_unless`; reads come from any thread at any time. All methods block: call them where blocking is allowed.
pub trait History: Send + Sync + 'static {
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

    /// Forgets the commits of the journal below `oldest` and the versions that ended before it: every config keeps the version it had at
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

    /// Forgets what commits below `oldest` changed of one namespace, and the versions of its configs that ended before: every config keeps
    /// the version it had at `oldest` and those since, versions that a tag names now, and its newest `versions_min` versions, as far as they
    /// are retained. Those are kept until a compaction of all history goes as far. Other namespaces are not touched. `Journal::oldest_of` is
    /// `oldest` then.
    ///
    /// Does nothing if as much is forgotten already; at most the head is taken for `oldest`. Else as `compact_unless`.
    fn forget_unless(
        &self,
        namespace: &Namespace,
        oldest: Revision,
        versions_min: u64,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError>;

    /// Gives back the space of what was forgotten of namespaces, where that is worth the work. Nothing that is read changes. Goes on where it
    /// was stopped; appends and reads go on meanwhile.
    fn reclaim_unless(&self, is_stopped: &dyn Fn() -> bool) -> Result<Compaction, StoreError>;

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

/// Something that `History::verify` found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a tree and key, or a revision.
    pub place: String,
    /// What was expected and what was found.
    pub message: String,
}

/// What `History::verify` went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub commits: u64,
    pub configs: u64,
    pub layers: u64,
    pub versions: u64,
}
