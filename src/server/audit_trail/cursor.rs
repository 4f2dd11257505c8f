//! How far a copy of the audit trail is, kept across starts and kills: the file of `--audit-file`, and the records of changes of access. Knows a
//! file of its own; nothing of what is written.
//!
//! `audit-file.json`, and in the same form `access-changes.json`, in the data directory:
//! `{"format": 1, "path": "/var/log/confwatch.jsonl", "epoch": "…", "revision": 17, "sequence": 42}`. It is replaced as a whole after each write to
//! the audit file, and never synced: after a power cut both may be behind, and lines are written twice or are missing together with it. A cursor of
//! another file, or of another history, is as good as none.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Epoch;

/// The cursor of the file of `--audit-file`.
pub(in crate::server) const AUDIT_FILE: &str = "audit-file.json";
/// The cursor of the records of changes of access: `path` is the directory of the audit log there.
pub(in crate::server) const ACCESS_CHANGES: &str = "access-changes.json";
const FORMAT: u32 = 1;

/// Up to where the file has everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Position {
    pub revision: u64,
    pub sequence: u64,
}

#[derive(Clone)]
pub(in crate::server) struct Cursor {
    file: PathBuf,
    /// Of what is written.
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
    pub(in crate::server) fn new(data_dir: &Path, name: &str, path: &Path, epoch: Epoch) -> Cursor {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = path.display().to_string();
        Cursor { file: data_dir.join(name), path, epoch: format!("{:016x}", epoch.0) }
    }

    /// `None`: this file was not written before.
    pub(in crate::server) fn read(&self) -> Option<Position> {
        let stored: Stored = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        let is_ours = stored.format == FORMAT && stored.path == self.path && stored.epoch == self.epoch;
        is_ours.then_some(Position { revision: stored.revision, sequence: stored.sequence })
    }

    /// Whole or not at all. If it fails, the next start writes lines again.
    pub(in crate::server) fn write(&self, position: Position) {
        let Position { revision, sequence } = position;
        let (path, epoch) = (self.path.clone(), self.epoch.clone());
        let stored = Stored { format: FORMAT, path, epoch, revision, sequence };
        let text = serde_json::to_vec(&stored).expect("texts and numbers");
        let unfinished = self.file.with_extension("json.new");
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let written = opened.and_then(|mut file| file.write_all(&text));
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &self.file)) {
            tracing::warn!(path = %self.file.display(), %error, "how far the audit trail is written cannot be noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_kept_for_the_same_file_and_history_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let cursor = |path: &str, epoch| Cursor::new(dir.path(), AUDIT_FILE, Path::new(path), Epoch(epoch));
        let position = Position { revision: 17, sequence: 42 };
        assert_eq!(cursor("/log/a", 1).read(), None);
        cursor("/log/a", 1).write(position);
        assert_eq!(cursor("/log/a", 1).read(), Some(position));
        assert_eq!(cursor("/log/b", 1).read(), None);
        assert_eq!(cursor("/log/a", 2).read(), None);
        fs::write(dir.path().join(AUDIT_FILE), "{").expect("written");
        assert_eq!(cursor("/log/a", 1).read(), None);
    }
}
