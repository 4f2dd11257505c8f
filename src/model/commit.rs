//! Commits: what the journal records. Everything else is a fold over them.

use std::collections::BTreeMap;

use super::text::Format;
use super::{ConfigId, Content, Digest, LayerKey, Revision, TagName, Timestamp, Version};

/// One atomic change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub revision: Revision,
    /// Never earlier than that of the commit before.
    pub time: Timestamp,
    pub author: Author,
    pub source: Source,
    pub reason: String,
    pub request: Option<Request>,
    pub annotations: BTreeMap<String, String>,
    /// Sorted by config, each at most once, never empty.
    pub changes: Vec<ConfigChange>,
}

/// Who made a commit, and by which call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// `user:alice`; `system` for what the server does by itself.
    pub actor: String,
    /// What they proved it by, as logs name it: `token:8k2m4n6p8q0r`, or `none` where everybody is believed. Empty: nobody called, or the
    /// commit is from before it was kept.
    pub credential: String,
    /// Where the call came from, without a port. Empty as above.
    pub address: String,
    /// As the client named its call. Empty: it did not.
    pub call_id: String,
}

impl Author {
    /// Somebody of whom no more than the name is known.
    pub fn named(actor: impl Into<String>) -> Author {
        Author { actor: actor.into(), ..Author::default() }
    }
}

/// Which kind of write made a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Set,
    Apply,
    Delete,
    Rollback,
    Expiry,
    Tag,
    Schema,
    Migration,
}

/// The idempotency key of a write, and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: String,
    /// Of the request without its id: the same id with another one is refused.
    pub fingerprint: Digest,
}

/// What a commit did to one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    pub id: ConfigId,
    /// The version it made; if `layers` is empty, the one there was.
    pub version: Version,
    /// Sorted by key, each at most once.
    pub layers: Vec<LayerChange>,
    /// Sorted by tag, each at most once.
    pub tags: Vec<TagChange>,
    /// For a rollback: the version that was restored.
    pub restored: Option<Version>,
}

/// What a commit did to one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerChange {
    pub key: LayerKey,
    /// The new content; `None`: the layer is gone.
    pub content: Option<Content>,
    /// When an override with a time to live ends.
    pub expires: Option<Timestamp>,
    /// The format of the text that the layer was last written as; `None` if it never was written as a whole.
    pub format: Option<Format>,
}

/// What a commit did to one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagChange {
    pub tag: TagName,
    /// The version it names now; `None`: it is gone.
    pub version: Option<Version>,
    /// The version it named before; `None`: it did not exist.
    pub previous: Option<Version>,
}
