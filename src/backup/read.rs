//! Reads the parts of a backup, one after the other, and checks every byte: sums, lengths, the manifest and the end of the file. Knows
//! the layout; not what the items mean.

use std::io::{ErrorKind, Read};

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::format::{
    FORMAT, HEADER_BYTES, PART_HEADER_BYTES, PartHeader, PartKind, TRAILER_BYTES, check_header,
    encode_trailer,
};
use super::manifest::{Manifest, Part};
use super::write::Finished;
use crate::model::Digest;

/// A backup that is being read. Holds one part.
pub struct Reader<R> {
    input: R,
    whole: Sha256,
    taken: u64,
    parts: Vec<Part>,
    last_kind: PartKind,
    part_bytes_max: u64,
}

/// What comes next.
pub enum Next {
    /// A part, with its items.
    Part(PartKind, Items),
    /// The end. All bytes are those that were written.
    End(Box<Manifest>, Finished),
}

/// The items of a part.
pub struct Items {
    plain: Vec<u8>,
    at: usize,
}

impl<R: Read> Reader<R> {
    /// Begins to read. Refuses a file of another program, and one of a later format; and later parts with more bytes than `part_bytes_max`, as they
    /// are stored or decompressed, which would be in memory.
    pub fn begin(input: R, part_bytes_max: u64) -> Result<Reader<R>, BackupError> {
        let (whole, parts, last_kind) = (Sha256::new(), Vec::new(), PartKind::History);
        let mut reader = Reader { input, whole, taken: 0, parts, last_kind, part_bytes_max };
        let header = reader.array::<HEADER_BYTES>().map_err(|error| match error {
            BackupError::Damaged(_) => BackupError::Foreign,
            other => other,
        })?;
        check_header(&header)?;
        Ok(reader)
    }

    pub fn next(&mut self) -> Result<Next, BackupError> {
        let at = self.taken;
        let header = PartHeader::decode(&self.array::<PART_HEADER_BYTES>()?)?;
        if header.kind < self.last_kind {
            return Err(BackupError::damaged("its parts are in another order"));
        }
        self.last_kind = header.kind;
        let found = header.plain_bytes.max(header.stored_bytes.into());
        if found > self.part_bytes_max {
            let limit = usize::try_from(self.part_bytes_max).unwrap_or(usize::MAX);
            let found = usize::try_from(found).unwrap_or(usize::MAX);
            return Err(BackupError::TooLarge { what: "bytes of one part of the backup", found, limit });
        }
        let stored = self.bytes(u64::from(header.stored_bytes))?;
        if Digest::of(&stored) != header.sha256 {
            return Err(BackupError::damaged(format!("the part at byte {at} has another SHA-256")));
        }
        if header.kind == PartKind::Manifest {
            return self.end(at, &stored);
        }
        let plain = decompress(&stored, header.plain_bytes)
            .ok_or_else(|| BackupError::damaged(format!("the part at byte {at} cannot be decompressed")))?;
        self.parts.push(Part {
            kind: header.kind.code().into(),
            stored_bytes: stored.len() as u64,
            plain_bytes: header.plain_bytes,
            sha256: header.sha256.to_string(),
        });
        Ok(Next::Part(header.kind, Items { plain, at: 0 }))
    }

    fn end(&mut self, at: u64, text: &[u8]) -> Result<Next, BackupError> {
        let manifest = parse_manifest(text)?;
        if manifest.parts != self.parts {
            return Err(BackupError::damaged("its parts are others than the manifest lists"));
        }
        let (expected, sha256) = encode_trailer(at, &self.whole);
        if self.array::<TRAILER_BYTES>()? != expected {
            return Err(BackupError::damaged("its end is not that of these bytes"));
        }
        match self.input.read(&mut [0]).map_err(BackupError::io("the backup"))? {
            0 => Ok(Next::End(Box::new(manifest), Finished { bytes: self.taken, sha256 })),
            _ => Err(BackupError::damaged("bytes follow its end")),
        }
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], BackupError> {
        let mut bytes = [0; LENGTH];
        self.input.read_exact(&mut bytes).map_err(too_short)?;
        self.took(&bytes);
        Ok(bytes)
    }

    /// A damaged length takes no more memory than the file has bytes.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(length).read_to_end(&mut bytes);
        if read.map_err(BackupError::io("the backup"))? as u64 != length {
            return Err(too_short(ErrorKind::UnexpectedEof.into()));
        }
        self.took(&bytes);
        Ok(bytes)
    }

    fn took(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        self.taken += bytes.len() as u64;
    }
}

impl Items {
    /// The next item.
    pub fn next(&mut self) -> Result<Option<&[u8]>, BackupError> {
        if self.at == self.plain.len() {
            return Ok(None);
        }
        let wrong = || BackupError::damaged("an item is cut off");
        let rest = &self.plain[self.at..];
        let (length, rest) = rest.split_at_checked(4).ok_or_else(wrong)?;
        let length = u32::from_be_bytes(length.try_into().expect("4 bytes")) as usize;
        let item = rest.get(..length).ok_or_else(wrong)?;
        self.at += 4 + length;
        Ok(Some(item))
    }
}

/// Reads a manifest. Refuses one of another format than the header of the file, which was read before.
pub fn parse_manifest(text: &[u8]) -> Result<Manifest, BackupError> {
    let unreadable = |error| BackupError::damaged(format!("its manifest cannot be read: {error}"));
    let manifest: Manifest = serde_json::from_slice(text).map_err(unreadable)?;
    match manifest.format == FORMAT {
        true => Ok(manifest),
        false => {
            let found = manifest.format;
            Err(BackupError::damaged(format!(
                "its manifest has format {found}, and its header format {FORMAT}"
            )))
        }
    }
}

/// `None` if that is not what was compressed.
fn decompress(stored: &[u8], plain_bytes: u64) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(stored).ok()?;
    decoder.take(plain_bytes + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 == plain_bytes).then_some(plain)
}

fn too_short(source: std::io::Error) -> BackupError {
    match source.kind() {
        ErrorKind::UnexpectedEof => BackupError::damaged("it ends too early"),
        _ => BackupError::Io { what: "the backup".to_owned(), source },
    }
}
