//! Reads an object, in ranges. Knows bytes; not what they are.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use super::tasks::Tasks;

/// The first range after a seek: who looks at the manifest alone reads little.
const RANGE_BYTES_MIN: u64 = 64 << 10;
/// The largest range, which is kept in memory. Each one is as often as large as the one before, up to this.
const RANGE_BYTES_MAX: u64 = 8 << 20;

/// An object that is being read. If the object is replaced meanwhile, the next read fails.
pub struct Download {
    store: Arc<AmazonS3>,
    path: Path,
    tasks: Arc<Tasks>,
    length: u64,
    tag: Option<String>,
    /// Where the next byte comes from.
    at: u64,
    /// Bytes from there on that were received.
    range: Bytes,
    next_bytes: u64,
}

impl Download {
    pub(super) fn begin(store: Arc<AmazonS3>, path: Path, tasks: Arc<Tasks>) -> io::Result<Download> {
        let (head, of) = (store.clone(), path.clone());
        let found = tasks.run(async move { head.head(&of).await })?;
        let (length, tag) = (found.size, found.e_tag);
        let (at, range, next_bytes) = (0, Bytes::new(), RANGE_BYTES_MIN);
        Ok(Download { store, path, tasks, length, tag, at, range, next_bytes })
    }

    fn receive(&mut self) -> io::Result<Bytes> {
        let end = self.length.min(self.at + self.next_bytes);
        self.next_bytes = (self.next_bytes * 2).min(RANGE_BYTES_MAX);
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.at..end)),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let (store, path) = (self.store.clone(), self.path.clone());
        let received = self.tasks.run(async move { store.get_opts(&path, options).await?.bytes().await })?;
        match received.is_empty() {
            true => Err(ErrorKind::UnexpectedEof.into()),
            false => Ok(received),
        }
    }
}

impl Read for Download {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.length || bytes.is_empty() {
            return Ok(0);
        }
        if self.range.is_empty() {
            self.range = self.receive()?;
        }
        let taken = self.range.len().min(bytes.len());
        bytes[..taken].copy_from_slice(&self.range[..taken]);
        self.range.advance(taken);
        self.at += taken as u64;
        Ok(taken)
    }
}

impl Seek for Download {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(distance) => self.length.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.at.checked_add_signed(distance),
        };
        let at = at.ok_or(ErrorKind::InvalidInput)?;
        match at.checked_sub(self.at) {
            Some(ahead) if ahead <= self.range.len() as u64 => self.range.advance(ahead as usize),
            Some(_) | None => (self.range, self.next_bytes) = (Bytes::new(), RANGE_BYTES_MIN),
        }
        self.at = at;
        Ok(at)
    }
}
