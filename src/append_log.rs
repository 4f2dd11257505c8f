//! What the logs that are only appended to have in common: numbered segments, and blocks of bytes with a checksum. Knows names and bytes; no record.
//!
//! The write-ahead log and the journal have blocks; the audit log has lines of JSON, whose hashes are their checksums. The journal and the audit
//! log name a segment by the number of its first record; the write-ahead log writes over a ring of files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const DIGITS: usize = 20;
/// Bytes of a block before what its checksum covers.
pub const BLOCK_HEAD_BYTES: usize = 8;

/// The form of the names of segments: the number of the first record in 20 digits, between two texts.
pub struct SegmentNames {
    pub prefix: &'static str,
    pub suffix: &'static str,
}

impl SegmentNames {
    pub fn path(&self, dir: &Path, first: u64) -> PathBuf {
        dir.join(format!("{}{first:0DIGITS$}{}", self.prefix, self.suffix))
    }

    /// The numbers of the segments in a directory. Files with other names are left out.
    pub fn list(&self, dir: &Path) -> io::Result<BTreeSet<u64>> {
        let mut segments = BTreeSet::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let digits =
                name.to_str().and_then(|name| name.strip_prefix(self.prefix)?.strip_suffix(self.suffix));
            segments.extend(
                digits.filter(|digits| digits.len() == DIGITS).and_then(|digits| digits.parse::<u64>().ok()),
            );
        }
        Ok(segments)
    }
}

/// Completes a block: the magic number, and the checksum (CRC-32, big endian) of all bytes after the first 8.
pub fn seal(block: &mut [u8], magic: &[u8; 4]) {
    let checksum = crc32fast::hash(&block[BLOCK_HEAD_BYTES..]);
    block[..4].copy_from_slice(magic);
    block[4..BLOCK_HEAD_BYTES].copy_from_slice(&checksum.to_be_bytes());
}

/// Whether a block has this magic number, and the bytes that were sealed.
pub fn is_sealed(block: &[u8], magic: &[u8; 4]) -> bool {
    let Some((head, rest)) = block.split_at_checked(BLOCK_HEAD_BYTES) else { return false };
    head[..4] == *magic && head[4..] == crc32fast::hash(rest).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_another_bit_or_another_magic_number_is_not_sealed() {
        let mut block = *b"........some bytes";
        seal(&mut block, b"test");
        assert!(is_sealed(&block, b"test") && !is_sealed(&block, b"tess"));
        for bit in 0..block.len() * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sealed(&damaged, b"test"), "bit {bit}");
        }
        for bytes in 0..block.len() {
            assert!(!is_sealed(&block[..bytes], b"test"), "{bytes} bytes");
        }
    }

    #[test]
    fn segments_are_listed_by_their_numbers() {
        let dir = tempfile::tempdir().expect("a directory");
        let names = SegmentNames { prefix: "audit-", suffix: ".jsonl" };
        for number in [7, 1 << 40, 1] {
            fs::write(names.path(dir.path(), number), "").expect("written");
        }
        for other in ["audit-7.jsonl", "audit-00000000000000000009", "notes"] {
            fs::write(dir.path().join(other), "").expect("written");
        }
        assert_eq!(Vec::from_iter(names.list(dir.path()).expect("listed")), [1, 7, 1 << 40]);
        assert!(names.path(dir.path(), 7).ends_with("audit-00000000000000000007.jsonl"));
    }
}
