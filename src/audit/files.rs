//! The files of the log: their names, and lines of bytes. Knows no record.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";
const DIGITS: usize = 20;

/// The first sequences of the segments in a directory, which name them. None if there is no such directory.
pub fn segments(dir: &Path) -> io::Result<BTreeSet<u64>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut segments = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        segments.extend(
            digits.filter(|digits| digits.len() == DIGITS).and_then(|digits| digits.parse::<u64>().ok()),
        );
    }
    Ok(segments)
}

pub fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{first:0DIGITS$}{SUFFIX}"))
}

/// Makes the directory, for its owner alone, if it is missing. On return its name is durable.
pub fn make_directory(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Whoever made it before may have been killed before it was durable.
        Err(_) | Ok(()) => dir.parent().map_or(Ok(()), sync_directory),
    }
}

/// A segment to write to, for its owner alone.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Whether the file still has this name.
pub fn is_at(file: &File, path: &Path) -> bool {
    let same = || {
        let (ours, theirs) = (file.metadata().ok()?, fs::metadata(path).ok()?);
        Some((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
    };
    same().unwrap_or(false)
}

/// Makes the names in a directory durable.
pub fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Lines that are whole, and how many bytes they have together. What follows the last newline is none.
pub fn whole_lines(bytes: &[u8]) -> (impl DoubleEndedIterator<Item = &[u8]>, usize) {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = bytes[..end].strip_suffix(b"\n").map(|lines| lines.split(|byte| *byte == b'\n'));
    (lines.into_iter().flatten(), end)
}
