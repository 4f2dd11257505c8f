//! Writes the parts of a backup, one after the other. Knows the layout; not what the items mean, nor where the bytes go.

use std::io::{self, Write};
use std::thread::available_parallelism;

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::format::{PART_BYTES, PartHeader, PartKind, encode_header, encode_trailer};
use super::in_order::InOrder;
use super::manifest::{Manifest, Part};
use crate::model::Digest;

/// Compression: the fastest of the usual levels of zstd. The default one takes an eighth longer, and makes files no smaller, of configuration.
const LEVEL: i32 = 1;
/// Threads that compress, at most: half of the processors.
const THREADS_MAX: usize = 3;

/// A backup that is being written. Holds a few parts: one that is being filled, and those that are being compressed.
pub struct Writer<W> {
    out: W,
    whole: Sha256,
    written: u64,
    /// Items of the part that is not full.
    plain: Vec<u8>,
    kind: PartKind,
    parts: Vec<Part>,
    compressing: InOrder<(PartKind, Vec<u8>), io::Result<Compressed>>,
    /// Parts that may be under way while the next one is filled.
    under_way_max: usize,
    /// The room of a part that was compressed.
    spare: Vec<u8>,
}

/// A part that is to be written.
struct Compressed {
    kind: PartKind,
    stored: Vec<u8>,
    sha256: Digest,
    plain_bytes: u64,
    /// The room of its items.
    spare: Vec<u8>,
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
        let threads = available_parallelism().map_or(1, |count| (count.get() / 2).clamp(1, THREADS_MAX));
        let compressing =
            InOrder::start("backup", threads, compressor).map_err(BackupError::io("compression"))?;
        let mut writer = Writer {
            out,
            whole: Sha256::new(),
            written: 0,
            plain: Vec::new(),
            kind: PartKind::History,
            parts: Vec::new(),
            compressing,
            under_way_max: threads,
            spare: Vec::new(),
        };
        writer.put(&encode_header())?;
        Ok(writer)
    }

    /// Adds an item, which `append` appends to what it is given. Kinds come in their order.
    pub fn item(&mut self, kind: PartKind, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), BackupError> {
        if kind != self.kind || self.plain.len() >= PART_BYTES {
            self.end_part()?;
            self.kind = kind;
        }
        let start = self.plain.len();
        self.plain.extend_from_slice(&[0; 4]);
        append(&mut self.plain);
        let length = u32::try_from(self.plain.len() - start - 4).expect("an item has less than 4 GiB");
        self.plain[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Bytes of parts that are complete.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes the manifest, to which the list of parts is added, and the end of the file.
    pub fn finish(mut self, mut manifest: Manifest) -> Result<(Manifest, Finished, W), BackupError> {
        self.end_part()?;
        while let Some(compressed) = self.compressing.take() {
            self.write(compressed)?;
        }
        manifest.parts = std::mem::take(&mut self.parts);
        let text = serde_json::to_vec(&manifest).expect("a manifest has texts and numbers");
        let (at, plain_bytes) = (self.written, text.len() as u64);
        self.part(PartKind::Manifest, &text, Digest::of(&text), plain_bytes)?;
        let (trailer, sha256) = encode_trailer(at, &self.whole);
        self.put(&trailer)?;
        self.out.flush().map_err(BackupError::io("the backup"))?;
        Ok((manifest, Finished { bytes: self.written, sha256 }, self.out))
    }

    /// Has the items compressed, and writes the parts that are before, but for a few.
    fn end_part(&mut self) -> Result<(), BackupError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.plain, std::mem::take(&mut self.spare));
        self.compressing.begin((self.kind, full));
        while self.compressing.under_way() > self.under_way_max
            && let Some(compressed) = self.compressing.take()
        {
            self.write(compressed)?;
        }
        Ok(())
    }

    fn write(&mut self, compressed: io::Result<Compressed>) -> Result<(), BackupError> {
        let Compressed { kind, stored, sha256, plain_bytes, spare } =
            compressed.map_err(BackupError::io("zstd"))?;
        self.part(kind, &stored, sha256, plain_bytes)?;
        self.parts.push(Part {
            kind: kind.code().into(),
            stored_bytes: stored.len() as u64,
            plain_bytes,
            sha256: sha256.to_string(),
        });
        self.spare = spare;
        Ok(())
    }

    fn part(
        &mut self,
        kind: PartKind,
        stored: &[u8],
        sha256: Digest,
        plain_bytes: u64,
    ) -> Result<(), BackupError> {
        let stored_bytes = u32::try_from(stored.len()).expect("a part has less than 4 GiB");
        self.put(&PartHeader { kind, stored_bytes, plain_bytes, sha256 }.encode())?;
        self.put(stored)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.whole.update(bytes);
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|source| match source.kind() {
            // Whoever takes the bytes has gone.
            io::ErrorKind::BrokenPipe => BackupError::Stopped,
            _ => BackupError::Io { what: "the backup".to_owned(), source },
        })
    }
}

/// Compresses parts, one after the other.
fn compressor() -> io::Result<impl FnMut((PartKind, Vec<u8>)) -> io::Result<Compressed> + Send + 'static> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    Ok(move |(kind, mut spare): (PartKind, Vec<u8>)| {
        let stored = compressor.compress(&spare)?;
        let plain_bytes = spare.len() as u64;
        spare.clear();
        spare.shrink_to(PART_BYTES * 2);
        Ok(Compressed { kind, sha256: Digest::of(&stored), stored, plain_bytes, spare })
    })
}
