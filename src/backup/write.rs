//! Writes the parts of a backup, one after the other. Knows the layout; not what the items mean, nor where the bytes go.

use std::io::Write;

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::format::{PART_BYTES, PartHeader, PartKind, encode_header, encode_trailer};
use super::manifest::{Manifest, Part};
use crate::model::Digest;

/// Compression: the default level of zstd, which is about as fast as a disk.
const LEVEL: i32 = 3;

/// A backup that is being written. Holds one part.
pub struct Writer<W> {
    out: W,
    whole: Sha256,
    written: u64,
    /// Items of the part that is not full.
    plain: Vec<u8>,
    kind: PartKind,
    parts: Vec<Part>,
    compressor: zstd::bulk::Compressor<'static>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub bytes: u64,
    /// Of all bytes before the sum at the end of the file.
    pub sha256: Digest,
}

impl<W: Write> Writer<W> {
    pub fn begin(out: W) -> Result<Writer<W>, BackupError> {
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(BackupError::io("zstd"))?;
        let mut writer = Writer {
            out,
            whole: Sha256::new(),
            written: 0,
            plain: Vec::new(),
            kind: PartKind::History,
            parts: Vec::new(),
            compressor,
        };
        writer.put(&encode_header())?;
        Ok(writer)
    }

    /// Adds an item. Kinds come in their order.
    pub fn item(&mut self, kind: PartKind, item: &[u8]) -> Result<(), BackupError> {
        if kind != self.kind || self.plain.len() >= PART_BYTES {
            self.end_part()?;
            self.kind = kind;
        }
        let length = u32::try_from(item.len()).expect("an item has less than 4 GiB");
        self.plain.extend_from_slice(&length.to_be_bytes());
        self.plain.extend_from_slice(item);
        Ok(())
    }

    /// Bytes of parts that are complete.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes the manifest, to which the list of parts is added, and the end of the file.
    pub fn finish(mut self, mut manifest: Manifest) -> Result<(Manifest, Finished, W), BackupError> {
        self.end_part()?;
        manifest.parts = std::mem::take(&mut self.parts);
        let text = serde_json::to_vec(&manifest).expect("a manifest has texts and numbers");
        let at = self.written;
        self.part(PartKind::Manifest, &text, text.len() as u64)?;
        let (trailer, sha256) = encode_trailer(at, &self.whole);
        self.put(&trailer)?;
        self.out.flush().map_err(BackupError::io("the backup"))?;
        Ok((manifest, Finished { bytes: self.written, sha256 }, self.out))
    }

    fn end_part(&mut self) -> Result<(), BackupError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let stored = self.compressor.compress(&self.plain).map_err(BackupError::io("zstd"))?;
        let plain_bytes = self.plain.len() as u64;
        self.plain.clear();
        self.plain.shrink_to(PART_BYTES * 2);
        let sha256 = self.part(self.kind, &stored, plain_bytes)?;
        self.parts.push(Part {
            kind: self.kind.code().into(),
            stored_bytes: stored.len() as u64,
            plain_bytes,
            sha256: sha256.to_string(),
        });
        Ok(())
    }

    fn part(&mut self, kind: PartKind, stored: &[u8], plain_bytes: u64) -> Result<Digest, BackupError> {
        let stored_bytes = u32::try_from(stored.len()).expect("a part has less than 4 GiB");
        let sha256 = Digest::of(stored);
        self.put(&PartHeader { kind, stored_bytes, plain_bytes, sha256 }.encode())?;
        self.put(stored)?;
        Ok(sha256)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.whole.update(bytes);
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|source| match source.kind() {
            // Whoever takes the bytes has gone.
            std::io::ErrorKind::BrokenPipe => BackupError::Stopped,
            _ => BackupError::Io { what: "the backup".to_owned(), source },
        })
    }
}
