//! The position of the log: the newest durable record of each room, in a file beside the directory of the log. Shows that durable records are gone, and
//! tells them from records that a crash lost before they were durable. Knows one file; no record.
//!
//! The file is `audit-position.json` for a log in `audit`: `{"format":1,"newest":{"main":42,"denied":40}}`. It is replaced after the records are
//! durable, so that a crash between the two leaves a position that is too old, never one that is ahead of the log.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::room::Room;
use crate::durable_file;

const FORMAT: u32 = 1;
const PERMISSIONS: u32 = 0o600;

/// The sequence of the newest durable record of each room; 0 for a room without records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position([u64; Room::ALL.len()]);

#[derive(Deserialize, Serialize)]
struct Stored {
    format: u32,
    newest: BTreeMap<String, u64>,
}

impl Position {
    pub fn of(newest: impl Fn(Room) -> u64) -> Position {
        Position(Room::ALL.map(newest))
    }

    /// Of one room.
    pub fn newest_of(&self, room: Room) -> u64 {
        self.0[room as usize]
    }

    /// Of all rooms together.
    pub fn newest(&self) -> u64 {
        self.0.into_iter().max().unwrap_or(0)
    }

    /// Reads the position of a log. `None`: the log has none yet, or the file cannot be understood.
    pub fn read(log: &Path) -> io::Result<Option<Position>> {
        let bytes = match fs::read(path(log)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let stored = serde_json::from_slice(&bytes).ok().filter(|stored: &Stored| stored.format == FORMAT);
        Ok(stored
            .map(|stored| Position::of(|room| stored.newest.get(room.name()).copied().unwrap_or_default())))
    }

    /// Replaces the position of a log. All records up to it must be durable.
    pub fn write(&self, log: &Path) -> io::Result<()> {
        let newest = Room::ALL.into_iter().map(|room| (room.name().to_owned(), self.newest_of(room)));
        let stored = Stored { format: FORMAT, newest: newest.filter(|(_, newest)| *newest > 0).collect() };
        let text = serde_json::to_vec(&stored).expect("texts and numbers");
        durable_file::replace(&path(log), PERMISSIONS, &text)
    }
}

/// The file of a log in this directory.
fn path(log: &Path) -> PathBuf {
    let mut name = log.file_name().unwrap_or_default().to_owned();
    name.push("-position.json");
    log.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_nothing_else_is_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("audit");
        assert_eq!(Position::read(&log).expect("read"), None);
        let position = Position::of(|room| if room == Room::Denied { 40 } else { 0 });
        position.write(&log).expect("written");
        assert_eq!(Position::read(&log).expect("read"), Some(position));
        let text = fs::read_to_string(dir.path().join("audit-position.json")).expect("read");
        assert_eq!(text, r#"{"format":1,"newest":{"denied":40}}"#);
        fs::write(dir.path().join("audit-position.json"), "{").expect("written");
        assert_eq!(Position::read(&log).expect("read"), None);
    }
}
