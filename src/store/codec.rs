//! The bytes of a commit, and of a batch of commits as a journal keeps it. Knows the model; no store, no files.
//!
//! The stored form is a promise, so it is written down here and does not follow from the types of the model: those are
//! converted, field by field, to and from the records below. A change of any record is a new `FORMAT`.
//!
//! Records are in the [postcard](https://postcard.jamesmunns.com/wire-format) encoding: fields in order; integers
//! as varints (signed ones zigzag), texts and lists as length and items, options as 0 or 1 and the item, digests as 32 bytes.
//!
//! | format | a commit is | its hash is SHA-256 over the hash before it and |
//! | --- | --- | --- |
//! | 1 | `CommitRecord` | all of its bytes |
//! | 2 | `CommitRecord`, `AuthorRecord` | all of its bytes |
//! | 3 | its changes of each namespace, and `HeadRecord`: `codec/parts.rs` | its head, which has the SHA-256 of each part |
//!
//! | in a record | means |
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
//! with integers big endian. Hashes are of bytes as stored, so that a later program can check the chain without being able to write the
//! bytes again.

mod codes;
mod parts;
mod records;

use std::ops::Range;

use serde::Serialize;

pub use self::codes::{check_layer_key, config_id, format_code, format_of, kind_code, kind_of, layer_key};
pub use self::records::{CommitRecord, ConfigRecord, LayerRecord, TagRecord};
pub use super::commit_format::CommitFormat;

use self::records::AuthorRecord;
use super::{Forgotten, Sealed, StoredCommit, Summary};
use crate::model::{Author, Commit, ConfigId, Content, Digest, Namespace, Revision, Timestamp};

/// The format that is written.
pub const FORMAT: u64 = CommitFormat::NEWEST_FIRST[0] as u64;

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
    /// The size of its stored bytes, without those that are forgotten.
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

/// A batch whose hashes are right, its texts where they lie.
pub struct ProvedBatch<'a> {
    pub bytes: &'a [u8],
    /// The hash before the first commit.
    pub previous: Digest,
    /// Never empty.
    pub commits: Vec<ProvedCommit<'a>>,
}

/// A commit whose hash is right.
pub struct ProvedCommit<'a> {
    record: CommitRecord<'a>,
    author: AuthorRecord<'a>,
    /// The size of its stored bytes, without those that are forgotten.
    size: usize,
    pub hash: Digest,
}

impl ProvedCommit<'_> {
    pub fn revision(&self) -> Revision {
        Revision(self.record.revision)
    }

    pub fn time(&self) -> Timestamp {
        Timestamp(self.record.time_us)
    }

    /// The namespaces of which changes are forgotten.
    pub fn forgotten(&self) -> impl Iterator<Item = Result<Namespace, DecodeError>> + '_ {
        self.record.forgotten.iter().map(|part| codes::namespace_of(part.namespace))
    }

    /// Whether a config was changed.
    pub fn changes(&self, id: &ConfigId) -> bool {
        let is_of = |change: &ConfigRecord<'_>| {
            change.namespace == id.namespace.as_str() && change.config == id.config.as_str()
        };
        self.record.changes.iter().any(is_of)
    }

    pub fn into_sealed(self) -> Result<Sealed, DecodeError> {
        Ok(Sealed { commit: self.record.into_commit(self.author)?, hash: self.hash })
    }
}

/// The stored bytes of a commit.
pub fn encode_commit(commit: &Commit) -> Vec<u8> {
    encode_commit_as(CommitFormat::default(), commit)
}

/// The stored bytes of a commit in a format. One without the author keeps no more than the actor.
pub fn encode_commit_as(format: CommitFormat, commit: &Commit) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_commit(&mut bytes, format, Digest::ZERO, commit);
    bytes
}

/// The hash of a commit that follows the one with the hash `previous`, in a format.
pub fn commit_hash(format: CommitFormat, previous: Digest, commit: &Commit) -> Digest {
    append_commit(&mut Vec::new(), format, previous, commit)
}

/// Appends the stored bytes of a commit that follows the one with the hash `previous`. Returns its hash: each byte is hashed once.
pub fn append_commit(bytes: &mut Vec<u8>, format: CommitFormat, previous: Digest, commit: &Commit) -> Digest {
    let start = bytes.len();
    let hashed = match format {
        CommitFormat::WithoutAuthor => {
            append_record(bytes, &CommitRecord::of(commit));
            start..bytes.len()
        }
        CommitFormat::WithAuthor => {
            append_record(bytes, &(CommitRecord::of(commit), AuthorRecord::of(commit)));
            start..bytes.len()
        }
        CommitFormat::InParts => parts::append(bytes, commit),
    };
    Digest::chained(previous, &bytes[hashed])
}

fn append_record(bytes: &mut Vec<u8>, record: &impl Serialize) {
    postcard::serialize_with_flavor(record, Appending(bytes))
        .expect("records hold nothing that postcard refuses");
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
    let hash = move |format| commit_hash(format, previous, commit);
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
        CommitFormat::WithAuthor => sealed.commit.forgotten.is_empty().then_some(format),
        CommitFormat::InParts => Some(format),
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
        hash = append_commit(&mut batch, format, hash, commit);
        let length = ((batch.len() - length_at - LENGTH_BYTES) as u32).to_be_bytes();
        batch[length_at..length_at + LENGTH_BYTES].copy_from_slice(&length);
        batch.extend_from_slice(&hash.0);
    }
    let length = u32::try_from(batch.len() - HEADER_BYTES).expect("a batch has less than 4 GiB");
    batch[4..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    (batch, hash)
}

/// Appends a batch of commits that are stored already, all of them in this format.
pub fn append_batch(bytes: &mut Vec<u8>, format: CommitFormat, previous: Digest, commits: &[StoredCommit]) {
    let of_commits = commits.iter().map(|commit| LENGTH_BYTES + commit.bytes.len() + HASH_BYTES);
    let length = HASH_BYTES + of_commits.sum::<usize>();
    bytes.reserve(HEADER_BYTES + length);
    bytes.extend_from_slice(MAGIC);
    bytes.push(format as u8);
    let length = u32::try_from(length).expect("a batch has less than 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&previous.0);
    for commit in commits {
        bytes.extend_from_slice(&(commit.bytes.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&commit.bytes);
        bytes.extend_from_slice(&commit.hash.0);
    }
}

/// Reads the commits of a batch as they are stored, without what is forgotten. Its form is checked, but no hash is computed, and no content
/// looked at.
pub fn split_batch(batch: &[u8], forgotten: &Forgotten) -> Result<Vec<StoredCommit>, DecodeError> {
    let (format, mut rest) = contents(batch)?;
    take_hash(&mut rest)?;
    let mut commits = Vec::new();
    while !rest.is_empty() {
        let bytes = take_commit(&mut rest)?;
        let ((revision, time_us), bytes) = match format {
            // The first fields of `CommitRecord`.
            CommitFormat::WithoutAuthor | CommitFormat::WithAuthor => {
                let (first, _) = postcard::take_from_bytes::<(u64, i64)>(bytes).map_err(unreadable)?;
                (first, bytes.to_vec())
            }
            CommitFormat::InParts => {
                let parts = parts::split(bytes)?;
                ((parts.head.revision, parts.head.time_us), parts.compact(forgotten))
            }
        };
        let (revision, time) = (Revision(revision), Timestamp(time_us));
        let hash = take_hash(&mut rest)?;
        commits.push(StoredCommit { revision, time, format, bytes, hash });
    }
    Ok(commits)
}

/// Reads a batch and checks all that can be checked of it alone: its form, its length and the chain of hashes within it.
/// Returns the hash it follows, and its commits.
pub fn decode_batch(batch: &[u8]) -> Result<(Digest, Vec<Measured>), DecodeError> {
    decode_batch_without(batch, &Forgotten::default())
}

/// As `decode_batch`, without what is forgotten. Commits of formats 1 and 2 are whole: without a part of them their hashes could not be proved.
pub fn decode_batch_without(
    batch: &[u8],
    forgotten: &Forgotten,
) -> Result<(Digest, Vec<Measured>), DecodeError> {
    let (previous, proved) = proved_commits(batch, forgotten)?;
    let decode = |commit: ProvedCommit<'_>| {
        let bytes = commit.size;
        Ok(Measured { sealed: commit.into_sealed()?, bytes })
    };
    Ok((previous, proved.into_iter().map(decode).collect::<Result<_, DecodeError>>()?))
}

/// As `decode_batch`, but no content is copied, and none is hashed by itself.
pub fn prove_batch(batch: &[u8]) -> Result<ProvedBatch<'_>, DecodeError> {
    let (previous, commits) = proved_commits(batch, &Forgotten::default())?;
    commits.iter().try_for_each(|commit| commit.record.check())?;
    Ok(ProvedBatch { bytes: batch, previous, commits })
}

/// The hash before the commits of a batch, and its commits, of which there is at least one.
fn proved_commits<'a>(
    batch: &'a [u8],
    forgotten: &Forgotten,
) -> Result<(Digest, Vec<ProvedCommit<'a>>), DecodeError> {
    let (format, mut rest) = contents(batch)?;
    let previous = take_hash(&mut rest)?;
    let mut hash = previous;
    let mut commits = Vec::new();
    while !rest.is_empty() {
        let bytes = take_commit(&mut rest)?;
        let (record, author, size) = stored_commit(format, bytes, forgotten)?;
        let (found, revision) = (take_hash(&mut rest)?, record.revision);
        hash = stored_hash(format, hash, bytes)
            .map_err(|what| damaged(format!("revision {revision}: {what}")))?;
        if found != hash {
            return Err(damaged(format!("revision {revision}: the hash is {found}, its bytes have {hash}")));
        }
        commits.push(ProvedCommit { record, author, size, hash });
    }
    match commits.is_empty() {
        true => Err(damaged("a batch without commits")),
        false => Ok((previous, commits)),
    }
}

/// Refuses a batch that a later version of this program has written.
pub fn check_format(batch: &[u8]) -> Result<(), DecodeError> {
    contents(batch).map(|_| ())
}

/// Reads a batch that is known to be whole: its form is checked, but no hash is computed, and no name looked at.
pub fn stored_batch(batch: &[u8]) -> Result<StoredBatch<'_>, DecodeError> {
    stored_batch_without(batch, &Forgotten::default())
}

fn stored_batch_without<'a>(batch: &'a [u8], forgotten: &Forgotten) -> Result<StoredBatch<'a>, DecodeError> {
    let (format, mut rest) = contents(batch)?;
    let previous = take_hash(&mut rest)?;
    let mut commits = Vec::new();
    let mut hash = previous;
    while !rest.is_empty() {
        commits.push(stored_commit(format, take_commit(&mut rest)?, forgotten)?.0);
        hash = take_hash(&mut rest)?;
    }
    match commits.is_empty() {
        true => Err(damaged("a batch without commits")),
        false => Ok(StoredBatch { previous, commits, hash }),
    }
}

/// Reads the summaries of the commits in a batch, of which there is at least one, without what is forgotten. No content is copied, and no
/// hash is looked at.
pub fn decode_summaries(batch: &[u8], forgotten: &Forgotten) -> Result<Vec<Summary>, DecodeError> {
    let commits = stored_batch_without(batch, forgotten)?.commits;
    commits.into_iter().map(CommitRecord::into_summary).collect()
}

/// Where in a batch the bytes are of what is forgotten, in order: zeros that `blank_batch` has written, or bytes that it would blank.
pub fn blanks_of_batch(batch: &[u8], forgotten: &Forgotten) -> Result<Vec<Range<usize>>, DecodeError> {
    let (format, mut rest) = contents(batch)?;
    let mut blanks = Vec::new();
    if format == CommitFormat::InParts {
        take_hash(&mut rest)?;
        while !rest.is_empty() {
            let commit = take_commit(&mut rest)?;
            let start = batch.len() - rest.len() - commit.len();
            let of_commit = parts::split(commit)?.blanks(forgotten);
            blanks.extend(of_commit.into_iter().map(|at| start + at.start..start + at.end));
            take_hash(&mut rest)?;
        }
    }
    Ok(blanks)
}

/// Writes zeros over what is forgotten of a batch, at the places that `blanks_of_batch` has found. Everything else stays where it is, and the
/// hashes stay right.
pub fn blank_batch(batch: &mut [u8], blanks: &[Range<usize>]) {
    blanks.iter().for_each(|at| parts::blank(batch, at.clone()));
}

/// Forgets what is forgotten of a commit that has this format.
pub fn forget_parts(format: CommitFormat, commit: &mut Commit, forgotten: &Forgotten) {
    match format {
        CommitFormat::WithoutAuthor | CommitFormat::WithAuthor => {}
        CommitFormat::InParts => parts::forget(commit, forgotten),
    }
}

/// Content from the canonical text it was stored as.
pub fn decode_content(text: &str) -> Content {
    Content::of_canonical(text)
}

/// The format of a batch and what follows its header, once that is known to be right.
fn contents(batch: &[u8]) -> Result<(CommitFormat, &[u8]), DecodeError> {
    let Some((header, rest)) = batch.split_at_checked(HEADER_BYTES) else {
        return Err(damaged(format!("a batch of {} bytes", batch.len())));
    };
    if header[..3] != MAGIC[..] {
        return Err(damaged("not a batch of commits: it starts with other bytes"));
    }
    let format = CommitFormat::NEWEST_FIRST.into_iter().find(|format| *format as u8 == header[3]);
    let format = format.ok_or(DecodeError::Format(u64::from(header[3])))?;
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

/// A commit, and the size of its bytes, without what is forgotten.
fn stored_commit<'a>(
    format: CommitFormat,
    bytes: &'a [u8],
    forgotten: &Forgotten,
) -> Result<(CommitRecord<'a>, AuthorRecord<'a>, usize), DecodeError> {
    let (record, author, rest) = match format {
        CommitFormat::WithoutAuthor => {
            let (record, rest) = postcard::take_from_bytes(bytes).map_err(unreadable)?;
            (record, AuthorRecord::default(), rest)
        }
        CommitFormat::WithAuthor => {
            let ((record, author), rest) = postcard::take_from_bytes(bytes).map_err(unreadable)?;
            (record, author, rest)
        }
        CommitFormat::InParts => {
            let parts = parts::split(bytes)?;
            let size = parts.compact_bytes(forgotten);
            let (record, author) = parts.into_record(forgotten)?;
            return Ok((record, author, size));
        }
    };
    match rest.len() {
        0 => Ok((record, author, bytes.len())),
        more => Err(damaged(format!("a commit has {more} bytes too many"))),
    }
}

/// The hash of a commit by its stored bytes, or why they are not those that have a hash.
fn stored_hash(format: CommitFormat, previous: Digest, bytes: &[u8]) -> Result<Digest, DecodeError> {
    match format {
        CommitFormat::WithoutAuthor | CommitFormat::WithAuthor => Ok(Digest::chained(previous, bytes)),
        CommitFormat::InParts => {
            let parts = parts::split(bytes)?;
            match parts.wrong_part() {
                None => Ok(parts.hash(previous)),
                Some(namespace) => Err(damaged(format!(
                    "its changes of namespace {namespace} have another hash than its head says"
                ))),
            }
        }
    }
}

impl StoredCommit {
    /// Whether the commit follows the one with the hash `previous`, with the bytes that it had then.
    pub fn follows(&self, previous: Digest) -> bool {
        stored_hash(self.format, previous, &self.bytes) == Ok(self.hash)
    }
}

fn unreadable(error: postcard::Error) -> DecodeError {
    damaged(format!("a commit cannot be read: {error}"))
}

fn damaged(what: impl Into<String>) -> DecodeError {
    DecodeError::Damaged(what.into())
}

#[cfg(test)]
mod tests;
