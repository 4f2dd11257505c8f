//! The bytes of a commit of format 3: what it changed of each namespace is a part of its own, which can be forgotten while the hash of the
//! commit stays what it was. Knows records; no batches.
//!
//! ```text
//! for each part, in the order of namespaces:  its state (1 byte)  its body
//! the head  length of the head (u32)
//! ```
//!
//! The head is the postcard encoding of `HeadRecord`. It has the namespace, the length and the SHA-256 of each part. The body of a part is
//! that of a list of `ConfigRecord`. The hash of the commit covers the head alone, and so what the head says of bodies.
//!
//! | state | the body |
//! | --- | --- |
//! | 0 | is forgotten, and not here |
//! | 1 | is here |
//! | 2 | is forgotten: as many zeros are in its place, so that the bytes after it stay where they are |

use std::ops::Range;

use super::records::{AuthorRecord, CommitRecord, ConfigRecord, HeadRecord, PartRecord};
use super::{DecodeError, LENGTH_BYTES, append_record, damaged, unreadable};
use crate::model::{Commit, ConfigChange, Digest, ForgottenPart, Revision};
use crate::store::forgotten::Forgotten;

const FORGOTTEN: u8 = 0;
const KEPT: u8 = 1;
const BLANK: u8 = 2;

/// A commit whose form was checked, but no hash.
pub struct CommitParts<'a> {
    pub head: HeadRecord<'a>,
    head_bytes: &'a [u8],
    bytes: &'a [u8],
    /// Of each part of the head.
    bodies: Vec<Body>,
}

/// What is in the place of the body of a part.
struct Body {
    state: u8,
    /// Where in the bytes of the commit.
    at: Range<usize>,
}

/// Appends the bytes of a commit. Returns where its head is.
pub fn append(bytes: &mut Vec<u8>, commit: &Commit) -> Range<usize> {
    let mut parts = Vec::new();
    let mut forgotten = commit.forgotten.iter().peekable();
    for changes in commit.changes.chunk_by(|one, other| one.id.namespace == other.id.namespace) {
        let namespace = &changes[0].id.namespace;
        while let Some(part) = forgotten.next_if(|part| part.namespace < *namespace) {
            bytes.push(FORGOTTEN);
            parts.push(PartRecord::of_forgotten(part));
        }
        bytes.push(KEPT);
        let start = bytes.len();
        append_record(bytes, &changes.iter().map(ConfigRecord::of).collect::<Vec<_>>());
        let body = &bytes[start..];
        let (length, hash) = (body.len() as u64, Digest::of(body).0);
        parts.push(PartRecord { namespace: namespace.as_str(), bytes: length, hash });
    }
    for part in forgotten {
        bytes.push(FORGOTTEN);
        parts.push(PartRecord::of_forgotten(part));
    }
    let start = bytes.len();
    append_record(bytes, &HeadRecord::of(commit, parts));
    let head = start..bytes.len();
    let length = u32::try_from(head.len()).expect("a head has less than 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    head
}

/// Reads the form of a commit.
pub fn split(bytes: &[u8]) -> Result<CommitParts<'_>, DecodeError> {
    let too_short = || damaged("a commit ends too early");
    let (rest, length) = bytes.split_last_chunk::<LENGTH_BYTES>().ok_or_else(too_short)?;
    let head_at = rest.len().checked_sub(u32::from_be_bytes(*length) as usize).ok_or_else(too_short)?;
    let (mut rest, head_bytes) = rest.split_at(head_at);
    let (head, after) = postcard::take_from_bytes::<HeadRecord>(head_bytes).map_err(unreadable)?;
    if !after.is_empty() {
        return Err(damaged(format!("the head of a commit has {} bytes too many", after.len())));
    }
    if !head.parts.is_sorted_by(|one, other| one.namespace < other.namespace) {
        return Err(damaged("the parts of a commit are not in the order of their namespaces"));
    }
    let mut bodies = Vec::with_capacity(head.parts.len());
    for part in &head.parts {
        let (state, after) = rest.split_first().ok_or_else(too_short)?;
        let body = match *state {
            FORGOTTEN => &after[..0],
            KEPT | BLANK => {
                let length = usize::try_from(part.bytes).map_err(|_| too_short())?;
                after.get(..length).ok_or_else(too_short)?
            }
            other => return Err(damaged(format!("a part of state {other}"))),
        };
        if *state == BLANK && body.iter().any(|byte| *byte != 0) {
            return Err(damaged("a forgotten part has bytes"));
        }
        let start = head_at - after.len();
        bodies.push(Body { state: *state, at: start..start + body.len() });
        rest = &after[body.len()..];
    }
    match rest.len() {
        0 => Ok(CommitParts { head, head_bytes, bytes, bodies }),
        more => Err(damaged(format!("a commit has {more} bytes too many"))),
    }
}

/// Forgets changes of a commit that was read.
pub fn forget(commit: &mut Commit, forgotten: &Forgotten) {
    let revision = commit.revision;
    let changes = std::mem::take(&mut commit.changes);
    let (gone, kept): (Vec<ConfigChange>, Vec<ConfigChange>) =
        changes.into_iter().partition(|change| forgotten.has(change.id.namespace.as_str(), revision));
    for changes in gone.chunk_by(|one, other| one.id.namespace == other.id.namespace) {
        let mut body = Vec::new();
        append_record(&mut body, &changes.iter().map(ConfigRecord::of).collect::<Vec<_>>());
        let namespace = changes[0].id.namespace.clone();
        let (bytes, hash) = (body.len() as u64, Digest::of(&body));
        commit.forgotten.push(ForgottenPart { namespace, bytes, hash });
    }
    commit.forgotten.sort_by(|one, other| one.namespace.cmp(&other.namespace));
    commit.changes = kept;
}

impl<'a> CommitParts<'a> {
    /// The hash that the commit has after the one with the hash `previous`, if its parts are what the head says.
    pub fn hash(&self, previous: Digest) -> Digest {
        Digest::chained(previous, self.head_bytes)
    }

    /// The first part whose body is another than the head says.
    pub fn wrong_part(&self) -> Option<&'a str> {
        let mut parts = self.head.parts.iter().zip(&self.bodies);
        let is_wrong = |(part, body): &(&PartRecord<'_>, &Body)| {
            body.state == KEPT && Digest::of(&self.bytes[body.at.clone()]).0 != part.hash
        };
        parts.find(is_wrong).map(|(part, _)| part.namespace)
    }

    /// The commit with the changes that are neither forgotten in its bytes nor by `forgotten`.
    pub fn into_record(
        self,
        forgotten: &Forgotten,
    ) -> Result<(CommitRecord<'a>, AuthorRecord<'a>), DecodeError> {
        let (mut changes, mut gone) = (Vec::new(), Vec::new());
        for (part, body) in self.head.parts.iter().zip(&self.bodies) {
            match self.is_kept(part, body, forgotten) {
                true => changes.extend(changes_of(part, &self.bytes[body.at.clone()])?),
                false => gone.push(*part),
            }
        }
        Ok(self.head.into_record(changes, gone))
    }

    /// The bytes without the bodies that are forgotten, and without what is in their places.
    pub fn compact(&self, forgotten: &Forgotten) -> Vec<u8> {
        let mut compact = Vec::with_capacity(self.compact_bytes(forgotten));
        for (part, body) in self.head.parts.iter().zip(&self.bodies) {
            match self.is_kept(part, body, forgotten) {
                true => {
                    compact.push(KEPT);
                    compact.extend_from_slice(&self.bytes[body.at.clone()]);
                }
                false => compact.push(FORGOTTEN),
            }
        }
        compact.extend_from_slice(&self.bytes[self.bytes.len() - LENGTH_BYTES - self.head_bytes.len()..]);
        compact
    }

    /// How many bytes `compact` returns.
    pub fn compact_bytes(&self, forgotten: &Forgotten) -> usize {
        let parts = self.head.parts.iter().zip(&self.bodies);
        let gone = parts.filter(|(part, body)| !self.is_kept(part, body, forgotten));
        self.bytes.len() - gone.map(|(_, body)| body.at.len()).sum::<usize>()
    }

    /// Where the bodies are that are forgotten: bytes that need not be kept.
    pub fn blanks(&self, forgotten: &Forgotten) -> Vec<Range<usize>> {
        let parts = self.head.parts.iter().zip(&self.bodies);
        let gone = parts.filter(|(part, body)| !self.is_kept(part, body, forgotten));
        gone.map(|(_, body)| body.at.clone()).filter(|at| !at.is_empty()).collect()
    }

    fn is_kept(&self, part: &PartRecord<'_>, body: &Body, forgotten: &Forgotten) -> bool {
        body.state == KEPT && !forgotten.has(part.namespace, Revision(self.head.revision))
    }
}

/// Puts zeros in the place of a body that `CommitParts::blanks` has found.
pub fn blank(bytes: &mut [u8], at: Range<usize>) {
    bytes[at.start - 1] = BLANK;
    bytes[at].fill(0);
}

fn changes_of<'a>(part: &PartRecord<'a>, body: &'a [u8]) -> Result<Vec<ConfigRecord<'a>>, DecodeError> {
    let (changes, rest) = postcard::take_from_bytes::<Vec<ConfigRecord>>(body).map_err(unreadable)?;
    let is_whole = rest.is_empty() && !changes.is_empty();
    match is_whole && changes.iter().all(|change| change.namespace == part.namespace) {
        true => Ok(changes),
        false => Err(damaged(format!("the part of namespace {:?} is none of it", part.namespace))),
    }
}
