//! The cursor of a feed: up to where its consumer has everything, kept across starts and crashes. Knows one file; nothing of what is delivered.
//!
//! The file is `NAME.json` in the data directory, where NAME is `audit-file` or `access-changes`:
//! `{"format": 1, "path": "/var/log/confwatch.jsonl", "epoch": "…", "revision": 17, "sequence": 42}`. `path` is the destination. The file is
//! replaced by a rename after each batch and never synced: after a power cut the cursor may be behind what was delivered, or missing. A cursor of
//! another destination or of another epoch counts as none.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Epoch;

const FORMAT: u32 = 1;

/// A revision and a sequence of the audit log. The consumer has everything up to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Position {
    pub revision: u64,
    pub sequence: u64,
}

#[derive(Clone)]
pub(in crate::server) struct Cursor {
    file: PathBuf,
    /// The destination.
    path: String,
    epoch: String,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    format: u32,
    path: String,
    epoch: String,
    revision: u64,
    sequence: u64,
}

impl Cursor {
    /// The cursor of the feed with this name. `path`: where its consumer writes.
    pub(in crate::server) fn new(data_dir: &Path, name: &str, path: &Path, epoch: Epoch) -> Cursor {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = path.display().to_string();
        Cursor { file: data_dir.join(format!("{name}.json")), path, epoch: format!("{:016x}", epoch.0) }
    }

    /// `None`: nothing was delivered from this history to this destination before.
    pub(super) fn read(&self) -> Option<Position> {
        let stored: Stored = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        let is_ours = stored.format == FORMAT && stored.path == self.path && stored.epoch == self.epoch;
        is_ours.then_some(Position { revision: stored.revision, sequence: stored.sequence })
    }

    /// Replaces the cursor. If that fails, the next start delivers items again.
    pub(super) fn write(&self, position: Position) {
        let Position { revision, sequence } = position;
        let (path, epoch) = (self.path.clone(), self.epoch.clone());
        let stored = Stored { format: FORMAT, path, epoch, revision, sequence };
        let text = serde_json::to_vec(&stored).expect("texts and numbers");
        let unfinished = self.file.with_extension("json.new");
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let written = opened.and_then(|mut file| file.write_all(&text));
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &self.file)) {
            tracing::warn!(path = %self.file.display(), %error, "the cursor of a feed cannot be saved");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_kept_for_the_same_file_and_history_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let cursor = |path: &str, epoch| Cursor::new(dir.path(), "audit-file", Path::new(path), Epoch(epoch));
        let position = Position { revision: 17, sequence: 42 };
        assert_eq!(cursor("/log/a", 1).read(), None);
        cursor("/log/a", 1).write(position);
        assert_eq!(cursor("/log/a", 1).read(), Some(position));
        assert_eq!(cursor("/log/b", 1).read(), None);
        assert_eq!(cursor("/log/a", 2).read(), None);
        fs::write(dir.path().join("audit-file.json"), "{").expect("written");
        assert_eq!(cursor("/log/a", 1).read(), None);
    }
}
