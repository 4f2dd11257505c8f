//! The journal in sled: batches of commits, each one value of the tree `commits`. Knows the stored form; no indexes.
//!
//! The key of a batch is its first revision. Batches follow each other without a gap.

use super::super::codec::{DecodeError, FORMAT, Located, decode_batch, decode_requests};
use super::super::{Head, Requested, Sealed, StoreError};
use super::{chunk, corrupt, place};
use crate::model::{Digest, Revision, Timestamp};

/// The tree `commits`.
#[derive(Clone)]
pub struct Journal(pub sled::Tree);

/// A batch that was read.
pub struct Batch {
    /// The hash of the commit before it.
    pub previous: Digest,
    /// Never empty.
    pub commits: Vec<Located>,
}

impl Journal {
    /// Writes a batch whole. It is durable after the next flush: step 7 of `durable.rs`.
    pub fn write(&self, first: Revision, bytes: &[u8]) -> Result<(), StoreError> {
        chunk::write_new(&self.0, &key(first), bytes)
    }

    /// The newest commit that was written, durable or not.
    pub fn head(&self) -> Result<Head, StoreError> {
        match self.batch_of(Revision(u64::MAX))? {
            None => Ok(Head::EMPTY),
            Some(first) => Ok(self.read(first)?.last().sealed.head()),
        }
    }

    /// The first revision of the batch that holds `revision`, or of the last one if it is ahead.
    pub fn batch_of(&self, revision: Revision) -> Result<Option<Revision>, StoreError> {
        match self.0.range(..=chunk::last_part_key(&key(revision))).next_back() {
            None => Ok(None),
            Some(entry) => self.parse_key(&entry?.0).map(Some),
        }
    }

    /// The first revision of the first batch that starts at `from` or later.
    pub fn batch_from(&self, from: Revision) -> Result<Option<Revision>, StoreError> {
        match self.0.range(key(from)..).next() {
            None => Ok(None),
            Some(entry) => self.parse_key(&entry?.0).map(Some),
        }
    }

    /// The bytes of the batch that starts with `first`.
    pub fn read_bytes(&self, first: Revision) -> Result<Vec<u8>, StoreError> {
        chunk::read(&self.0, &key(first))?.ok_or_else(|| corrupt(self.place(first), "it is missing"))
    }

    /// The batch that starts with `first`.
    pub fn read(&self, first: Revision) -> Result<Batch, StoreError> {
        self.decode(first, &self.read_bytes(first)?)
    }

    /// Reads the bytes of the batch that starts with `first`, and checks that its revisions are those that its place promises.
    pub fn decode(&self, first: Revision, bytes: &[u8]) -> Result<Batch, StoreError> {
        let (previous, commits) = decode_batch(bytes).map_err(|error| self.undecodable(first, error))?;
        for (at, located) in commits.iter().enumerate() {
            let (found, expected) = (located.sealed.commit.revision, Revision(first.0 + at as u64));
            if found != expected {
                return Err(corrupt(
                    self.place(first),
                    format!("it has revision {found} where {expected} should be"),
                ));
            }
        }
        Ok(Batch { previous, commits })
    }

    /// A part of the batch that starts with `first`.
    pub fn read_range(&self, first: Revision, offset: u64, bytes: u64) -> Result<Vec<u8>, StoreError> {
        chunk::read_range(&self.0, &key(first), offset as usize, bytes as usize)
    }

    /// Commits from `from` on, up to `to`: as many as have at most `bytes_max` bytes, but at least one.
    pub fn commits(&self, from: Revision, to: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError> {
        let mut page: Vec<Sealed> = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while next <= to {
            let first = self.batch_of(next)?.ok_or_else(|| corrupt(self.place(next), "it is missing"))?;
            let batch = self.read(first)?;
            if batch.last().sealed.commit.revision < next {
                return Err(corrupt(self.place(next), "it is missing"));
            }
            let wanted = batch.commits.into_iter().filter(|located| located.sealed.commit.revision >= next);
            for located in
                wanted.take_while(|located| located.sealed.commit.revision <= to).collect::<Vec<_>>()
            {
                bytes += located.bytes;
                if bytes > bytes_max && !page.is_empty() {
                    return Ok(page);
                }
                next = located.sealed.commit.revision.next();
                page.push(located.sealed);
            }
        }
        Ok(page)
    }

    /// The requests of the commits from `from` on, up to `to`, batch by batch until they have `bytes_max` bytes, and the revision after.
    pub fn requests(
        &self,
        from: Revision,
        to: Revision,
        bytes_max: usize,
    ) -> Result<(Vec<Requested>, Revision), StoreError> {
        let mut page = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while next <= to && bytes < bytes_max {
            let first = self.batch_of(next)?.ok_or_else(|| corrupt(self.place(next), "it is missing"))?;
            let batch = self.read_bytes(first)?;
            let (requests, last) = decode_requests(&batch).map_err(|error| self.undecodable(first, error))?;
            if last < next {
                return Err(corrupt(self.place(next), "it is missing"));
            }
            page.extend(requests.into_iter().filter(|requested| (next..=to).contains(&requested.revision)));
            bytes += batch.len();
            next = last.min(to).next();
        }
        Ok((page, next))
    }

    /// The last commit from `from` to `to` made at or before `time`. Times never decrease, so halving finds it.
    pub fn revision_at(
        &self,
        from: Revision,
        to: Revision,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        let (mut low, mut high) = (from.0, to.0 + 1);
        let mut found = None;
        while low < high {
            let middle = Revision(low + (high - low) / 2);
            let first = self.batch_of(middle)?.ok_or_else(|| corrupt(self.place(middle), "it is missing"))?;
            for located in self.read(first)?.commits {
                let commit = located.sealed.commit;
                if !(low..high).contains(&commit.revision.0) {
                    continue;
                }
                if commit.time <= time {
                    found = Some(commit.revision);
                    low = commit.revision.0 + 1;
                } else {
                    high = commit.revision.0;
                }
            }
            if (low..high).contains(&middle.0) {
                return Err(corrupt(self.place(middle), "it is missing"));
            }
        }
        Ok(found)
    }

    /// Removes all batches that start before `first`.
    pub fn remove_before(&self, first: Revision) -> Result<(), StoreError> {
        for part in self.0.range(..key(first)).keys() {
            self.0.remove(part?)?;
        }
        Ok(())
    }

    fn undecodable(&self, first: Revision, error: DecodeError) -> StoreError {
        match error {
            DecodeError::Format(found) => StoreError::Format { found, expected: FORMAT },
            DecodeError::Damaged(what) => corrupt(self.place(first), what),
        }
    }

    pub fn place(&self, revision: Revision) -> String {
        format!("commits, batch of revision {revision}")
    }

    fn parse_key(&self, part_key: &[u8]) -> Result<Revision, StoreError> {
        let number = chunk::whole_key(part_key).try_into().map(u64::from_be_bytes);
        number.map(Revision).map_err(|_| corrupt(place(&self.0, part_key), "not the key of a batch"))
    }
}

impl Batch {
    pub fn last(&self) -> &Located {
        self.commits.last().expect("a batch is never empty")
    }
}

fn key(first: Revision) -> [u8; 8] {
    first.0.to_be_bytes()
}
