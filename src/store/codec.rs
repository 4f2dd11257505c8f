//! The bytes of a commit, and of a batch of commits as a journal keeps it. Knows the model; no store, no files.
//!
//! The stored form is a promise, so it is written down here and does not follow from the types of the model: those are
//! converted, field by field, to and from the records below. A change of any record is a new `FORMAT`.
//!
//! A commit is the [postcard](https://postcard.jamesmunns.com/wire-format) encoding of `CommitRecord`, and from format 2 on of
//! `AuthorRecord` behind it: fields in order; integers
//! as varints (signed ones zigzag), texts and lists as length and items, options as 0 or 1 and the item, digests as 32 bytes.
//!
//! | in `CommitRecord` | means |
//! | --- | --- |
//! | `source` | 0 set, 1 apply, 2 delete, 3 rollback, 4 expiry, 5 tag, 6 schema, 7 migration, 8 revert, 9 restore |
//! | `kind` | 0 base layer, 1 override layer |
//! | `content` | canonical JSON; none: the layer is gone |
//! | `format` | of the text that was last written: 0 JSON, 1 YAML, 2 TOML |
//! | `version`, `previous` of a tag | what it names now, and what it named before; none: it is not there |
//! | `time_us`, `expires_us` | microseconds since the Unix epoch |
//!
//! A batch is
//!
//! ```text
//! "cwb" (3 bytes)  format (1 byte)  length of all that follows (u32)  hash before the first commit (32 bytes)
//! then for each commit:  length of its bytes (u32)  its bytes  its hash (32 bytes)
//! ```
//!
//! with integers big endian. The hash of a commit is SHA-256 over the hash before it and its bytes as stored, so that a
//! later program can check the chain without being able to write the bytes again.

use serde::{Deserialize, Serialize};

pub use super::commit_format::CommitFormat;
use super::{Sealed, StoredCommit, Summary};
use crate::model::commit::{commit_bytes, config_bytes, journal_bytes, layer_bytes, tag_bytes};
use crate::model::text::Format;
use crate::model::{
    Author, Commit, ConfigChange, ConfigId, ConfigName, Content, Digest, LayerChange, LayerKey, LayerKind,
    Namespace, Request, Revision, Scope, Source, TagChange, TagName, Timestamp, Version,
};

/// The format that is written.
pub const FORMAT: u64 = CommitFormat::WithAuthor as u64;
/// The oldest format that is read.
const FORMAT_WITHOUT_AUTHOR: u64 = CommitFormat::WithoutAuthor as u64;

const MAGIC: &[u8; 3] = b"cwb";
const HEADER_BYTES: usize = 8;
const HASH_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;
/// About what the record of a content has beside the content.
const CONTENT_EXTRA_BYTES: usize = 64;

/// Why bytes are not what this module writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("it has format {0}, this program reads up to format {FORMAT}")]
    Format(u64),
    #[error("{0}")]
    Damaged(String),
}

/// A commit as it was read from a batch.
#[derive(Debug)]
pub struct Measured {
    pub sealed: Sealed,
    /// The size of its stored bytes.
    pub bytes: usize,
}

/// A batch as it is stored, its texts where they lie.
pub struct StoredBatch<'a> {
    /// The hash before the first commit.
    pub previous: Digest,
    /// Never empty.
    pub commits: Vec<CommitRecord<'a>>,
    /// The hash of the last commit.
    pub hash: Digest,
}

/// The stored bytes of a commit.
pub fn encode_commit(commit: &Commit) -> Vec<u8> {
    encode_commit_as(CommitFormat::default(), commit)
}

/// The stored bytes of a commit in a format. One without the author keeps no more than the actor.
pub fn encode_commit_as(format: CommitFormat, commit: &Commit) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_commit(&mut bytes, format, commit);
    bytes
}

/// Appends the stored bytes of a commit.
fn append_commit(bytes: &mut Vec<u8>, format: CommitFormat, commit: &Commit) {
    let record = CommitRecord::of(commit);
    let appended = match format {
        CommitFormat::WithoutAuthor => postcard::serialize_with_flavor(&record, Appending(bytes)),
        CommitFormat::WithAuthor => {
            postcard::serialize_with_flavor(&(record, AuthorRecord::of(commit)), Appending(bytes))
        }
    };
    appended.expect("records hold nothing that postcard refuses");
}

/// Takes the bytes of an encoding where they are to stay: a commit may have tens of megabytes.
struct Appending<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appending<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The hash of a commit that follows the one with the hash `previous`, in every format in which it may be stored.
pub fn hashes(previous: Digest, commit: &Commit) -> impl Iterator<Item = Digest> {
    let hash = move |format| Digest::chained(previous, &encode_commit_as(format, commit));
    CommitFormat::NEWEST_FIRST.into_iter().map(hash)
}

/// The format in which a commit that follows the one with the hash `previous` has its hash. `None`: in none, so it does not follow.
pub fn commit_format(previous: Digest, sealed: &Sealed) -> Option<CommitFormat> {
    let mut formats = CommitFormat::NEWEST_FIRST.into_iter().zip(hashes(previous, &sealed.commit));
    let (format, _) = formats.find(|(_, hash)| *hash == sealed.hash)?;
    let author = &sealed.commit.author;
    match format {
        // What the format does not keep must not be there.
        CommitFormat::WithoutAuthor => (*author == Author::named(&author.actor)).then_some(format),
        CommitFormat::WithAuthor => Some(format),
    }
}

/// A batch of commits in a format that follows the commit with the hash `previous`, and the hash of its last.
pub fn encode_batch(format: CommitFormat, previous: Digest, commits: &[Commit]) -> (Vec<u8>, Digest) {
    let mut batch = [&MAGIC[..], &[format as u8], &[0; 4], &previous.0].concat();
    let layers = commits.iter().flat_map(|commit| &commit.changes).flat_map(|change| &change.layers);
    let contents = layers.filter_map(|layer| layer.content.as_ref());
    // Not exact: a vector that grows copies what it has.
    batch.reserve(contents.map(|content| content.as_str().len() + CONTENT_EXTRA_BYTES).sum());
    let mut hash = previous;
    for commit in commits {
        let length_at = batch.len();
        batch.extend_from_slice(&[0; LENGTH_BYTES]);
        append_commit(&mut batch, format, commit);
        let bytes = &batch[length_at + LENGTH_BYTES..];
        hash = Digest::chained(hash, bytes);
        let length = (bytes.len() as u32).to_be_bytes();
        batch[length_at..length_at + LENGTH_BYTES].copy_from_slice(&length);
        batch.extend_from_slice(&hash.0);
    }
    let length = u32::try_from(batch.len() - HEADER_BYTES).expect("a batch has less than 4 GiB");
    batch[4..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    (batch, hash)
}

/// A batch of commits that are stored already, all of them in this format.
pub fn join_batch(format: CommitFormat, previous: Digest, commits: &[StoredCommit]) -> Vec<u8> {
    let mut batch = [&MAGIC[..], &[format as u8], &[0; 4], &previous.0].concat();
    batch.reserve(commits.iter().map(|commit| 4 + commit.bytes.len() + HASH_BYTES).sum());
    for commit in commits {
        batch.extend_from_slice(&(commit.bytes.len() as u32).to_be_bytes());
        batch.extend_from_slice(&commit.bytes);
        batch.extend_from_slice(&commit.hash.0);
    }
    let length = u32::try_from(batch.len() - HEADER_BYTES).expect("a batch has less than 4 GiB");
    batch[4..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    batch
}

/// Reads the commits of a batch as they are stored. Its form is checked, but no hash is computed, and no content looked at.
pub fn split_batch(batch: &[u8]) -> Result<Vec<StoredCommit>, DecodeError> {
    let (format, mut rest) = contents(batch)?;
    let format = match format {
        FORMAT_WITHOUT_AUTHOR => CommitFormat::WithoutAuthor,
        _ => CommitFormat::WithAuthor,
    };
    take_hash(&mut rest)?;
    let mut commits = Vec::new();
    while !rest.is_empty() {
        let bytes = take_commit(&mut rest)?;
        // The first fields of `CommitRecord`.
        let ((revision, time_us), _) = postcard::take_from_bytes::<(u64, i64)>(bytes).map_err(unreadable)?;
        let (revision, time) = (Revision(revision), Timestamp(time_us));
        let hash = take_hash(&mut rest)?;
        commits.push(StoredCommit { revision, time, format, bytes: bytes.to_vec(), hash });
    }
    Ok(commits)
}

/// Reads a batch and checks all that can be checked of it alone: its form, its length and the chain of hashes within it.
/// Returns the hash it follows, and its commits.
pub fn decode_batch(batch: &[u8]) -> Result<(Digest, Vec<Measured>), DecodeError> {
    let (format, mut rest) = contents(batch)?;
    let previous = take_hash(&mut rest)?;
    let mut hash = previous;
    let mut commits = Vec::new();
    while !rest.is_empty() {
        let bytes = take_commit(&mut rest)?;
        let (record, author) = stored_commit(format, bytes)?;
        let commit = record.into_commit(author)?;
        let found = take_hash(&mut rest)?;
        hash = Digest::chained(hash, bytes);
        if found != hash {
            return Err(damaged(format!(
                "revision {}: the hash is {found}, its bytes have {hash}",
                commit.revision
            )));
        }
        commits.push(Measured { sealed: Sealed { commit, hash }, bytes: bytes.len() });
    }
    if commits.is_empty() {
        return Err(damaged("a batch without commits"));
    }
    Ok((previous, commits))
}

/// Refuses a batch that a later version of this program has written.
pub fn check_format(batch: &[u8]) -> Result<(), DecodeError> {
    contents(batch).map(|_| ())
}

/// Reads a batch that is known to be whole: its form is checked, but no hash is computed, and no name looked at.
pub fn stored_batch(batch: &[u8]) -> Result<StoredBatch<'_>, DecodeError> {
    let (format, mut rest) = contents(batch)?;
    let previous = take_hash(&mut rest)?;
    let mut commits = Vec::new();
    let mut hash = previous;
    while !rest.is_empty() {
        commits.push(stored_commit(format, take_commit(&mut rest)?)?.0);
        hash = take_hash(&mut rest)?;
    }
    match commits.is_empty() {
        true => Err(damaged("a batch without commits")),
        false => Ok(StoredBatch { previous, commits, hash }),
    }
}

/// Reads the summaries of the commits in a batch, of which there is at least one. No content is copied, and no hash is looked at.
pub fn decode_summaries(batch: &[u8]) -> Result<Vec<Summary>, DecodeError> {
    let commits = stored_batch(batch)?.commits;
    commits.into_iter().map(CommitRecord::into_summary).collect()
}

/// Content from the canonical text it was stored as.
pub fn decode_content(text: &str) -> Content {
    Content::of_canonical(text)
}

/// The format of a batch and what follows its header, once that is known to be right.
fn contents(batch: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let Some((header, rest)) = batch.split_at_checked(HEADER_BYTES) else {
        return Err(damaged(format!("a batch of {} bytes", batch.len())));
    };
    if header[..3] != MAGIC[..] {
        return Err(damaged("not a batch of commits: it starts with other bytes"));
    }
    let format = u64::from(header[3]);
    if !(FORMAT_WITHOUT_AUTHOR..=FORMAT).contains(&format) {
        return Err(DecodeError::Format(format));
    }
    let length = header[4..].try_into().map(u32::from_be_bytes).expect("4 bytes of the header are left");
    if length as usize != rest.len() {
        return Err(damaged(format!("a batch of {} bytes where {length} were written", rest.len())));
    }
    Ok((format, rest))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, left) = rest.split_at_checked(count).ok_or_else(|| damaged("a batch ends too early"))?;
    *rest = left;
    Ok(taken)
}

/// The bytes of the next commit, behind their length.
fn take_commit<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = take(rest, 4)?.try_into().map(u32::from_be_bytes).expect("4 bytes were taken");
    take(rest, length as usize)
}

fn take_hash(rest: &mut &[u8]) -> Result<Digest, DecodeError> {
    Ok(Digest(take(rest, HASH_BYTES)?.try_into().expect("as many bytes as a hash has were taken")))
}

fn stored_commit(format: u64, bytes: &[u8]) -> Result<(CommitRecord<'_>, AuthorRecord<'_>), DecodeError> {
    let (record, rest) = postcard::take_from_bytes::<CommitRecord>(bytes).map_err(unreadable)?;
    let (author, rest) = match format {
        FORMAT_WITHOUT_AUTHOR => (AuthorRecord::default(), rest),
        _ => postcard::take_from_bytes(rest).map_err(unreadable)?,
    };
    match rest.len() {
        0 => Ok((record, author)),
        more => Err(damaged(format!("a commit has {more} bytes too many"))),
    }
}

fn unreadable(error: postcard::Error) -> DecodeError {
    damaged(format!("a commit cannot be read: {error}"))
}

fn damaged(what: impl Into<String>) -> DecodeError {
    DecodeError::Damaged(what.into())
}

/// A name or scope that is not one.
fn invalid(what: &str, error: impl std::fmt::Display) -> DecodeError {
    damaged(format!("a {what} {error}"))
}

/// A commit as it is stored.
#[derive(Serialize, Deserialize)]
pub struct CommitRecord<'a> {
    pub revision: u64,
    pub time_us: i64,
    actor: &'a str,
    source: u8,
    reason: &'a str,
    #[serde(borrow)]
    request: Option<RequestRecord<'a>>,
    #[serde(borrow)]
    annotations: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    pub changes: Vec<ConfigRecord<'a>>,
}

/// What is known besides of who made a commit, as it is stored.
#[derive(Default, Serialize, Deserialize)]
struct AuthorRecord<'a> {
    credential: &'a str,
    address: &'a str,
    call_id: &'a str,
}

#[derive(Serialize, Deserialize)]
struct RequestRecord<'a> {
    id: &'a str,
    fingerprint: [u8; HASH_BYTES],
}

/// What a commit changed of a config, as it is stored.
#[derive(Serialize, Deserialize)]
pub struct ConfigRecord<'a> {
    pub namespace: &'a str,
    pub config: &'a str,
    pub version: u64,
    #[serde(borrow)]
    pub layers: Vec<LayerRecord<'a>>,
    #[serde(borrow)]
    pub tags: Vec<TagRecord<'a>>,
    restored: Option<u64>,
}

/// A layer change as it is stored.
#[derive(Serialize, Deserialize)]
pub struct LayerRecord<'a> {
    pub kind: u8,
    pub scope: &'a str,
    pub content: Option<&'a str>,
    pub expires_us: Option<i64>,
    pub format: Option<u8>,
}

/// A tag change as it is stored.
#[derive(Serialize, Deserialize)]
pub struct TagRecord<'a> {
    pub tag: &'a str,
    pub version: Option<u64>,
    previous: Option<u64>,
}

impl<'a> CommitRecord<'a> {
    fn of(commit: &'a Commit) -> CommitRecord<'a> {
        CommitRecord {
            revision: commit.revision.0,
            time_us: commit.time.0,
            actor: &commit.author.actor,
            source: source_code(commit.source),
            reason: &commit.reason,
            request: commit
                .request
                .as_ref()
                .map(|request| RequestRecord { id: &request.id, fingerprint: request.fingerprint.0 }),
            annotations: commit.annotations.iter().map(|(key, value)| (&**key, &**value)).collect(),
            changes: commit.changes.iter().map(ConfigRecord::of).collect(),
        }
    }

    /// The bytes are those of `Commit::journal_bytes`.
    fn into_summary(self) -> Result<Summary, DecodeError> {
        let id = self.request.as_ref().map_or("", |request| request.id);
        let origin = commit_bytes(self.actor, self.reason, id, self.annotations.iter().copied());
        let changes = self.changes.iter().map(ConfigRecord::journal_bytes);
        let changes = changes.collect::<Result<Vec<_>, DecodeError>>()?;
        Ok(Summary {
            revision: Revision(self.revision),
            time: Timestamp(self.time_us),
            actor: self.actor.to_owned(),
            request: self.request.map(RequestRecord::into_request),
            bytes: journal_bytes(origin, changes),
        })
    }

    fn into_commit(self, author: AuthorRecord<'_>) -> Result<Commit, DecodeError> {
        Ok(Commit {
            revision: Revision(self.revision),
            time: Timestamp(self.time_us),
            author: Author {
                actor: self.actor.to_owned(),
                credential: author.credential.to_owned(),
                address: author.address.to_owned(),
                call_id: author.call_id.to_owned(),
            },
            source: source_of(self.source)?,
            reason: self.reason.to_owned(),
            request: self.request.map(RequestRecord::into_request),
            annotations: self
                .annotations
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            changes: self.changes.into_iter().map(ConfigRecord::into_change).collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> AuthorRecord<'a> {
    fn of(commit: &'a Commit) -> AuthorRecord<'a> {
        let Author { actor: _, credential, address, call_id } = &commit.author;
        AuthorRecord { credential, address, call_id }
    }
}

impl RequestRecord<'_> {
    fn into_request(self) -> Request {
        Request { id: self.id.to_owned(), fingerprint: Digest(self.fingerprint) }
    }
}

impl<'a> ConfigRecord<'a> {
    fn of(change: &'a ConfigChange) -> ConfigRecord<'a> {
        let layer = |layer: &'a LayerChange| LayerRecord {
            kind: kind_code(layer.key.kind),
            scope: layer.key.scope.as_str(),
            content: layer.content.as_ref().map(Content::as_str),
            expires_us: layer.expires.map(|time| time.0),
            format: layer.format.map(format_code),
        };
        let tag = |tag: &'a TagChange| TagRecord {
            tag: tag.tag.as_str(),
            version: tag.version.map(|version| version.0),
            previous: tag.previous.map(|version| version.0),
        };
        ConfigRecord {
            namespace: change.id.namespace.as_str(),
            config: change.id.config.as_str(),
            version: change.version.0,
            layers: change.layers.iter().map(layer).collect(),
            tags: change.tags.iter().map(tag).collect(),
            restored: change.restored.map(|version| version.0),
        }
    }

    fn journal_bytes(&self) -> Result<(Namespace, u64), DecodeError> {
        let namespace = Namespace::parse(self.namespace).map_err(|error| invalid("namespace", error))?;
        let layers = self.layers.iter().map(|layer| layer_bytes(layer.scope, layer.content.unwrap_or("")));
        let tags = self.tags.iter().map(|tag| tag_bytes(tag.tag));
        let bytes = config_bytes(self.namespace, self.config) + layers.chain(tags).sum::<u64>();
        Ok((namespace, bytes))
    }

    fn into_change(self) -> Result<ConfigChange, DecodeError> {
        Ok(ConfigChange {
            id: config_id(self.namespace, self.config)?,
            version: Version(self.version),
            layers: self.layers.into_iter().map(LayerRecord::into_change).collect::<Result<_, _>>()?,
            tags: self.tags.into_iter().map(TagRecord::into_change).collect::<Result<_, _>>()?,
            restored: self.restored.map(Version),
        })
    }
}

impl LayerRecord<'_> {
    fn into_change(self) -> Result<LayerChange, DecodeError> {
        Ok(LayerChange {
            key: layer_key(self.kind, self.scope)?,
            content: self.content.map(decode_content),
            expires: self.expires_us.map(Timestamp),
            format: self.format.map(format_of).transpose()?,
        })
    }
}

impl TagRecord<'_> {
    fn into_change(self) -> Result<TagChange, DecodeError> {
        let tag = TagName::parse(self.tag).map_err(|error| invalid("tag", error))?;
        Ok(TagChange { tag, version: self.version.map(Version), previous: self.previous.map(Version) })
    }
}

/// Reads the names of a config, as commits and keys of indexes hold them.
pub fn config_id(namespace: &str, config: &str) -> Result<ConfigId, DecodeError> {
    Ok(ConfigId {
        namespace: Namespace::parse(namespace).map_err(|error| invalid("namespace", error))?,
        config: ConfigName::parse(config).map_err(|error| invalid("name of a config", error))?,
    })
}

/// Reads the key of a layer, as commits and keys of indexes hold it.
pub fn layer_key(kind: u8, scope: &str) -> Result<LayerKey, DecodeError> {
    Ok(LayerKey {
        kind: kind_of(kind)?,
        scope: Scope::parse(scope).map_err(|error| invalid("scope", error))?,
    })
}

/// Reads what `kind_code` gives.
pub fn kind_of(code: u8) -> Result<LayerKind, DecodeError> {
    match code {
        0 => Ok(LayerKind::Base),
        1 => Ok(LayerKind::Override),
        other => Err(damaged(format!("a layer of kind {other}"))),
    }
}

/// The number a kind is stored as, in commits and in keys of indexes.
pub fn kind_code(kind: LayerKind) -> u8 {
    match kind {
        LayerKind::Base => 0,
        LayerKind::Override => 1,
    }
}

/// The code of a format, as commits and values of indexes hold it.
pub fn format_code(format: Format) -> u8 {
    match format {
        Format::Json => 0,
        Format::Yaml => 1,
        Format::Toml => 2,
    }
}

/// Reads what `format_code` gives.
pub fn format_of(code: u8) -> Result<Format, DecodeError> {
    match code {
        0 => Ok(Format::Json),
        1 => Ok(Format::Yaml),
        2 => Ok(Format::Toml),
        other => Err(damaged(format!("text of format {other}"))),
    }
}

fn source_code(source: Source) -> u8 {
    match source {
        Source::Set => 0,
        Source::Apply => 1,
        Source::Delete => 2,
        Source::Rollback => 3,
        Source::Expiry => 4,
        Source::Tag => 5,
        Source::Schema => 6,
        Source::Migration => 7,
        Source::Revert => 8,
        Source::Restore => 9,
    }
}

fn source_of(code: u8) -> Result<Source, DecodeError> {
    match code {
        0 => Ok(Source::Set),
        1 => Ok(Source::Apply),
        2 => Ok(Source::Delete),
        3 => Ok(Source::Rollback),
        4 => Ok(Source::Expiry),
        5 => Ok(Source::Tag),
        6 => Ok(Source::Schema),
        7 => Ok(Source::Migration),
        8 => Ok(Source::Revert),
        9 => Ok(Source::Restore),
        other => Err(damaged(format!("a commit of source {other}"))),
    }
}

#[cfg(test)]
mod tests;
