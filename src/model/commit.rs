//! Commits: what the journal records. Everything else is a fold over them.

use std::collections::BTreeMap;

use super::text::Format;
use super::{ConfigId, Content, Digest, LayerKey, Namespace, Revision, TagName, Timestamp, Version};

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
    /// Sorted by config, each at most once. Never empty, unless all of them are forgotten.
    pub changes: Vec<ConfigChange>,
    /// The namespaces whose changes are not among `changes` any more. Sorted, each at most once.
    pub forgotten: Vec<ForgottenPart>,
}

/// What a commit changed of a namespace, after the history of the namespace was compacted: enough to prove the hash of the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenPart {
    pub namespace: Namespace,
    /// The length and the SHA-256 of the changes as they were stored.
    pub bytes: u64,
    pub hash: Digest,
}

/// What the journal keeps of a commit, in bytes: for accounting, where it must be the same whoever counts, not for storage. Strings count
/// with their length, and each record with this constant for its numbers and what surrounds it.
const RECORD_BYTES: u64 = 16;
/// The same for a commit: revision, time, hash, digest of the request, and what is known of the author besides the name.
const COMMIT_BYTES: u64 = 256;

impl Commit {
    /// The bytes that the journal keeps of it, by namespace. What is not about one config counts for the first namespace.
    pub fn journal_bytes(&self) -> Vec<(Namespace, u64)> {
        let annotations = self.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let id = self.request.as_ref().map_or("", |request| &request.id);
        let origin = commit_bytes(&self.author.actor, &self.reason, id, annotations);
        let mut changes: Vec<(Namespace, u64)> =
            self.changes.iter().map(ConfigChange::journal_bytes).collect();
        if !self.forgotten.is_empty() {
            changes.extend(self.forgotten.iter().map(|part| (part.namespace.clone(), 0)));
            changes.sort_by(|one, other| one.0.cmp(&other.0));
        }
        journal_bytes(origin, changes)
    }

    /// The namespaces that it changes, as far as that is not forgotten: sorted, each once.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let mut namespaces: Vec<Namespace> =
            self.changes.iter().map(|change| change.id.namespace.clone()).collect();
        namespaces.dedup();
        namespaces
    }
}

impl ConfigChange {
    pub fn journal_bytes(&self) -> (Namespace, u64) {
        let layers = self.layers.iter().map(|layer| {
            layer_bytes(
                layer.key.scope.as_str(),
                layer.content.as_ref().map_or("", |content| content.as_str()),
            )
        });
        let tags = self.tags.iter().map(|tag| tag_bytes(tag.tag.as_str()));
        let (namespace, config) = (&self.id.namespace, &self.id.config);
        (
            namespace.clone(),
            config_bytes(namespace.as_str(), config.as_str()) + layers.chain(tags).sum::<u64>(),
        )
    }
}

/// The bytes of a commit by namespace, of those that are about no config, and of each change in the order of the configs.
pub fn journal_bytes(
    origin: u64,
    changes: impl IntoIterator<Item = (Namespace, u64)>,
) -> Vec<(Namespace, u64)> {
    let mut sums: Vec<(Namespace, u64)> = vec![];
    for (namespace, bytes) in changes {
        match sums.last_mut() {
            Some((last, sum)) if *last == namespace => *sum += bytes,
            None => sums.push((namespace, origin + bytes)),
            Some(_) => sums.push((namespace, bytes)),
        }
    }
    sums
}

/// Of what is about no config.
pub fn commit_bytes<'a>(
    actor: &str,
    reason: &str,
    request_id: &str,
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
) -> u64 {
    let texts = actor.len() + reason.len() + request_id.len();
    annotations.fold(COMMIT_BYTES + texts as u64, |sum, (key, value)| sum + (key.len() + value.len()) as u64)
}

/// Of a config that is changed, without its layers and tags.
pub fn config_bytes(namespace: &str, config: &str) -> u64 {
    RECORD_BYTES + (namespace.len() + config.len()) as u64
}

/// Of a layer that is changed; without content, it is removed.
pub fn layer_bytes(scope: &str, content: &str) -> u64 {
    RECORD_BYTES + (scope.len() + content.len()) as u64
}

/// Of a tag that is moved.
pub fn tag_bytes(tag: &str) -> u64 {
    RECORD_BYTES + tag.len() as u64
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
    Revert,
    Restore,
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
