//! A batch of commits between the write-ahead log and the journal. Knows the stored form; not the destination.

use crate::model::{Commit, Digest, Revision, Timestamp};
use crate::store::Head;
use crate::store::codec::{CommitRecord, DecodeError, StoredBatch, decode_batch, stored_batch};

/// A batch that is durable in the log, or the journal.
pub struct Pending {
    pub first: Revision,
    /// Its last commit.
    pub head: Head,
    pub bytes: Vec<u8>,
    /// Of each content in it, in order: hashing takes longer than all else that is done with it.
    digests: Vec<Digest>,
}

impl Pending {
    /// What `encode_batch` has just made of commits.
    pub fn encoded(commits: &[Commit], bytes: Vec<u8>, head: Head) -> Pending {
        let first = commits.first().map_or(head.revision, |commit| commit.revision);
        Pending { first, head, bytes, digests: commits.iter().flat_map(digests).collect() }
    }

    /// Bytes that were read. All of them are checked.
    pub fn read(bytes: Vec<u8>) -> Result<Pending, DecodeError> {
        let (_, commits) = decode_batch(&bytes)?;
        let digests = commits.iter().flat_map(|measured| digests(&measured.sealed.commit)).collect();
        let (first, last) = (&commits[0].sealed, &commits[commits.len() - 1].sealed);
        Ok(Pending { first: first.commit.revision, head: last.head(), bytes, digests })
    }

    /// Bytes that were read, of which others have checked all. Returns the hash before the first commit, and its time, as well.
    pub fn proved(bytes: Vec<u8>) -> Result<(Digest, Timestamp, Pending), DecodeError> {
        let batch = stored_batch(&bytes)?;
        let changes = batch.commits.iter().flat_map(|commit| &commit.changes);
        let contents = changes.flat_map(|change| &change.layers).filter_map(|layer| layer.content);
        let digests = contents.map(|content| Digest::of(content.as_bytes())).collect();
        let CommitRecord { revision, time_us, .. } = batch.commits[0];
        let head = head_of(&batch).expect("a batch is never empty");
        let (previous, first) = (batch.previous, Revision(revision));
        Ok((previous, Timestamp(time_us), Pending { first, head, bytes, digests }))
    }

    /// What is in it, and the digests of its contents.
    pub fn stored(&self) -> Result<(StoredBatch<'_>, &[Digest]), DecodeError> {
        Ok((stored_batch(&self.bytes)?, &self.digests))
    }
}

/// The last commit of a batch that is known to be whole.
pub fn head_of(batch: &StoredBatch<'_>) -> Option<Head> {
    let CommitRecord { revision, time_us, .. } = batch.commits.last()?;
    Some(Head { revision: Revision(*revision), time: Timestamp(*time_us), hash: batch.hash })
}

fn digests(commit: &Commit) -> impl Iterator<Item = Digest> + '_ {
    let layers = commit.changes.iter().flat_map(|change| &change.layers);
    layers.filter_map(|layer| layer.content.as_ref()).map(|content| content.digest())
}
