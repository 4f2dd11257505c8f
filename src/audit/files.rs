//! The files of the log: their names, and lines of bytes. Knows no record.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::append_log::SegmentNames;
use crate::durable_file;

const NAMES: SegmentNames = SegmentNames { prefix: "audit-", suffix: ".jsonl" };

/// The first sequences of the segments in a directory, which name them. None if there is no such directory.
pub fn segments(dir: &Path) -> io::Result<BTreeSet<u64>> {
    match NAMES.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        segments => segments,
    }
}

pub fn path(dir: &Path, first: u64) -> PathBuf {
    NAMES.path(dir, first)
}

/// Makes the directory, for its owner alone, if it is missing. On return its name is durable.
pub fn make_directory(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Whoever made it before may have been killed before it was durable.
        Err(_) | Ok(()) => dir.parent().map_or(Ok(()), durable_file::sync),
    }
}

/// A segment to write to, for its owner alone.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Lines that are whole, and how many bytes they have together. What follows the last newline is none.
pub fn whole_lines(bytes: &[u8]) -> (impl DoubleEndedIterator<Item = &[u8]>, usize) {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = bytes[..end].strip_suffix(b"\n").map(|lines| lines.split(|byte| *byte == b'\n'));
    (lines.into_iter().flatten(), end)
}
