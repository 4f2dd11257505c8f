//! Reads the parts of a backup, one after the other, and checks every byte: sums, lengths, the manifest and the end of the file. Knows
//! the layout; not what the items mean.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::format::{
    FORMAT, HEADER_BYTES, PART_HEADER_BYTES, PartHeader, PartKind, TRAILER_BYTES, check_header,
    encode_trailer,
};
use super::in_order::InOrder;
use super::manifest::{Manifest, Part};
use super::write::Finished;
use crate::model::Digest;

/// So many bytes of parts are read ahead, as they are stored and decompressed.
const AHEAD_BYTES: u64 = 8 << 20;

/// A backup that is being read. Holds one part, and the next ones while they are small: a thread decompresses them meanwhile.
pub struct Reader<R> {
    input: R,
    whole: Sha256,
    taken: u64,
    parts: Vec<Part>,
    last_kind: PartKind,
    part_bytes_max: u64,
    /// Parts of other kinds are read, but not decompressed.
    is_wanted: fn(PartKind) -> bool,
    decompressing: InOrder<(Vec<u8>, u64), Option<Vec<u8>>>,
    ahead: VecDeque<Ahead>,
    /// Of the part that is not read ahead.
    header: Option<(u64, PartHeader)>,
    end: Option<(Manifest, Finished)>,
}

/// A part that is being decompressed.
struct Ahead {
    kind: PartKind,
    /// Where in the file.
    at: u64,
    /// As it is stored, and decompressed.
    bytes: u64,
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
    /// are stored or decompressed, which would be in memory. Parts that are not wanted are left out.
    pub fn begin(
        input: R,
        part_bytes_max: u64,
        is_wanted: fn(PartKind) -> bool,
    ) -> Result<Reader<R>, BackupError> {
        let decompress = || Ok(|(stored, plain_bytes): (Vec<u8>, u64)| decompress(&stored, plain_bytes));
        let decompressing = InOrder::start("backup", 1, decompress);
        let mut reader = Reader {
            input,
            whole: Sha256::new(),
            taken: 0,
            parts: Vec::new(),
            last_kind: PartKind::History,
            part_bytes_max,
            is_wanted,
            decompressing: decompressing.map_err(BackupError::io("decompression"))?,
            ahead: VecDeque::new(),
            header: None,
            end: None,
        };
        let header = reader.array::<HEADER_BYTES>().map_err(|error| match error {
            BackupError::Damaged(_) => BackupError::Foreign,
            other => other,
        })?;
        check_header(&header)?;
        Ok(reader)
    }

    /// The next part, or the end, after which there is nothing more.
    pub fn next(&mut self) -> Result<Next, BackupError> {
        while self.end.is_none() {
            let (at, header) = self.header()?;
            let ahead = self.ahead.iter().map(|part| part.bytes).sum::<u64>();
            if ahead > 0 && ahead + bytes_of(header) > AHEAD_BYTES {
                self.header = Some((at, header));
                break;
            }
            self.read(at, header)?;
        }
        let Some((Ahead { kind, at, .. }, plain)) = self.ahead.pop_front().zip(self.decompressing.take())
        else {
            let end = self.end.take();
            let (manifest, finished) = end.ok_or_else(|| BackupError::damaged("its end is missing"))?;
            return Ok(Next::End(Box::new(manifest), finished));
        };
        let plain = plain
            .ok_or_else(|| BackupError::damaged(format!("the part at byte {at} cannot be decompressed")))?;
        Ok(Next::Part(kind, Items { plain, at: 0 }))
    }

    /// The header of the next part, and where it is.
    fn header(&mut self) -> Result<(u64, PartHeader), BackupError> {
        if let Some(header) = self.header.take() {
            return Ok(header);
        }
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
        Ok((at, header))
    }

    /// Reads the part that has this header, and the end if it is the last.
    fn read(&mut self, at: u64, header: PartHeader) -> Result<(), BackupError> {
        let stored = self.bytes(u64::from(header.stored_bytes))?;
        if Digest::of(&stored) != header.sha256 {
            return Err(BackupError::damaged(format!("the part at byte {at} has another SHA-256")));
        }
        if header.kind == PartKind::Manifest {
            self.end = Some(self.read_end(at, &stored)?);
            return Ok(());
        }
        self.parts.push(Part {
            kind: header.kind.code().into(),
            stored_bytes: stored.len() as u64,
            plain_bytes: header.plain_bytes,
            sha256: header.sha256.to_string(),
        });
        if (self.is_wanted)(header.kind) {
            self.ahead.push_back(Ahead { kind: header.kind, at, bytes: bytes_of(header) });
            self.decompressing.begin((stored, header.plain_bytes));
        }
        Ok(())
    }

    fn read_end(&mut self, at: u64, text: &[u8]) -> Result<(Manifest, Finished), BackupError> {
        let manifest = parse_manifest(text)?;
        if manifest.parts != self.parts {
            return Err(BackupError::damaged("its parts are others than the manifest lists"));
        }
        let (expected, sha256) = encode_trailer(at, &self.whole);
        if self.array::<TRAILER_BYTES>()? != expected {
            return Err(BackupError::damaged("its end is not that of these bytes"));
        }
        match self.input.read(&mut [0]).map_err(BackupError::io("the backup"))? {
            0 => Ok((manifest, Finished { bytes: self.taken, sha256 })),
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

/// The bytes of a part while it is decompressed.
fn bytes_of(header: PartHeader) -> u64 {
    header.plain_bytes + u64::from(header.stored_bytes)
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
