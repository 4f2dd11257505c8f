//! The request ids of commits that were compacted, in a file beside the store, so that a repeated request is known also after a restart. Knows lines and
//! times; not what a request is for.
//!
//! The file has JSON in lines. The first line is the header, `{"format":1}`; each further line is one request: the revision and the time of its commit, its
//! caller, its id, the digest of the request in hex, and the namespaces that it writes. A last line without an end was torn by a crash before the
//! compaction that wanted it, and does not count. An entry can be there twice. The file is written anew without what is too old, when that is most of it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{StoreError, Summary};
use crate::durable_file::{replace, sync_parent};
use crate::model::{Digest, Namespace, Request, Revision, Timestamp};

const FORMAT: u64 = 1;
/// Readable by the owner alone: ids and digests are of no use to others.
const PERMISSIONS: u32 = 0o600;
/// A file that has grown by less is not written anew.
const GROWTH_MIN_BYTES: u64 = 1 << 20;

/// A file of request ids.
pub struct CompactedRequests {
    path: PathBuf,
    /// The length of the file when this process last wrote the file anew. 0: not yet. Held while the file is written.
    written: Mutex<u64>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    revision: Revision,
    time_us: i64,
    actor: String,
    id: String,
    fingerprint: String,
    namespaces: Vec<Namespace>,
}

impl CompactedRequests {
    /// The file with this name, which may not be there yet. Nothing is read.
    pub fn at(path: &Path) -> CompactedRequests {
        CompactedRequests { path: path.to_owned(), written: Mutex::new(0) }
    }

    /// Adds the requests of commits: durable on return. Those made at `oldest` or before may be forgotten.
    pub fn add<'a>(
        &self,
        commits: impl IntoIterator<Item = &'a Summary>,
        oldest: Timestamp,
    ) -> Result<(), StoreError> {
        let lines: Vec<String> = commits.into_iter().filter_map(line_of).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let length = fs::metadata(&self.path).map_or(0, |data| data.len());
        // The first time also without the line that a crash has torn.
        if *written == 0 || length > written.saturating_mul(2).max(GROWTH_MIN_BYTES) {
            *written = self.write_anew(oldest)?;
        }
        self.append(&lines.concat()).map_err(|source| self.failed(source))
    }

    /// The requests of commits that were made after a time, in the order in which they were added.
    pub fn read(&self, after: Timestamp) -> Result<Vec<Summary>, StoreError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(self.failed(error)),
        };
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).enumerate();
        let damaged = |at: usize, what: &str| StoreError::Corrupt {
            place: format!("{}, line {}", self.path.display(), at + 1),
            what: what.to_owned(),
        };
        let Some((_, header)) = lines.next() else { return Ok(vec![]) };
        let header: Header = serde_json::from_str(header).map_err(|_| damaged(0, "there is no format"))?;
        if header.format != FORMAT {
            let of = "the file of compacted request ids";
            return Err(StoreError::Format { of, found: header.format, expected: FORMAT });
        }
        let mut found = vec![];
        for (at, line) in lines {
            let summary = serde_json::from_str(line).ok().and_then(summary_of);
            let summary = summary.ok_or_else(|| damaged(at, "it cannot be read"))?;
            if summary.time > after {
                found.push(summary);
            }
        }
        Ok(found)
    }

    /// Writes the file without what is too old, and without a torn line. Returns its length.
    fn write_anew(&self, oldest: Timestamp) -> Result<u64, StoreError> {
        let kept = self.read(oldest)?;
        let header = serde_json::to_string(&Header { format: FORMAT }).expect("a number");
        let lines: String = std::iter::once(header + "\n").chain(kept.iter().filter_map(line_of)).collect();
        replace(&self.path, PERMISSIONS, lines.as_bytes()).map_err(|source| self.failed(source))?;
        Ok(lines.len() as u64)
    }

    fn append(&self, lines: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).mode(PERMISSIONS).open(&self.path)?;
        let length = file.metadata()?.len();
        let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            // Lines after a torn one could not be read.
            file.set_len(length)?;
        }
        written.and_then(|()| sync_parent(&self.path))
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::Io { what: self.path.display().to_string(), source }
    }
}

fn line_of(summary: &Summary) -> Option<String> {
    let Request { id, fingerprint } = summary.request.clone()?;
    let line = Line {
        revision: summary.revision,
        time_us: summary.time.0,
        actor: summary.actor.clone(),
        id,
        fingerprint: hex::encode(fingerprint.0),
        namespaces: summary.bytes.iter().map(|(namespace, _)| namespace.clone()).collect(),
    };
    Some(serde_json::to_string(&line).expect("texts and numbers") + "\n")
}

fn summary_of(line: Line) -> Option<Summary> {
    let Line { revision, time_us, actor, id, fingerprint, namespaces } = line;
    let mut sum = [0; 32];
    hex::decode_to_slice(fingerprint, &mut sum).ok()?;
    let request = Some(Request { id, fingerprint: Digest(sum) });
    let bytes = namespaces.into_iter().map(|namespace| (namespace, 0)).collect();
    Some(Summary { revision, time: Timestamp(time_us), actor, request, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(number: u64, id: Option<&str>) -> Summary {
        let request = id.map(|id| Request { id: id.to_owned(), fingerprint: Digest::of(id.as_bytes()) });
        let bytes = vec![(Namespace::parse("shop").expect("a name"), 0)];
        let actor = "user:\"ada\"\n".to_owned();
        Summary { revision: Revision(number), time: Timestamp(number as i64), actor, request, bytes }
    }

    fn revisions(found: &[Summary]) -> Vec<u64> {
        found.iter().map(|summary| summary.revision.0).collect()
    }

    #[test]
    fn requests_are_read_as_they_were_added_also_after_a_torn_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("request-ids");
        let file = CompactedRequests::at(&path);
        assert_eq!(file.read(Timestamp(0)).expect("there is no file"), []);
        file.add([&made(1, None)], Timestamp(0)).expect("nothing to add");
        assert!(!path.exists());
        file.add([&made(1, Some("a")), &made(2, None), &made(3, Some("b"))], Timestamp(0)).expect("added");
        assert_eq!(file.read(Timestamp(0)).expect("read"), [made(1, Some("a")), made(3, Some("b"))]);
        assert_eq!(revisions(&file.read(Timestamp(1)).expect("read")), [3]);
        let whole = fs::read(&path).expect("read");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            let found = CompactedRequests::at(&path).read(Timestamp(0)).expect("a torn line does not count");
            assert!(found.len() < 2, "{cut}");
        }
        // A new process begins with a file without the torn line.
        fs::write(&path, &whole[..whole.len() - 1]).expect("written");
        let file = CompactedRequests::at(&path);
        file.add([&made(4, Some("c"))], Timestamp(0)).expect("added");
        assert_eq!(revisions(&file.read(Timestamp(0)).expect("read")), [1, 4]);
    }

    #[test]
    fn a_file_that_has_grown_is_written_without_what_is_too_old() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("request-ids");
        let file = CompactedRequests::at(&path);
        let id = "x".repeat(128);
        for round in 0..8u64 {
            let commits: Vec<Summary> = (0..2000).map(|at| made(round * 2000 + at, Some(&id))).collect();
            file.add(&commits, Timestamp((round * 2000) as i64 - 1)).expect("added");
            let length = fs::metadata(&path).expect("it is there").len();
            assert!(length < 3 << 20, "round {round}: {length}");
            let found = file.read(Timestamp((round * 2000) as i64 - 1)).expect("read");
            assert_eq!(found.len(), 2000, "round {round}");
        }
    }

    #[test]
    fn a_damaged_file_and_one_of_a_later_format_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("request-ids");
        let file = CompactedRequests::at(&path);
        fs::write(&path, "{\"format\":2}\n").expect("written");
        assert!(matches!(file.read(Timestamp(0)), Err(StoreError::Format { found: 2, .. })));
        fs::write(&path, "{\"format\":1}\nno JSON\n").expect("written");
        let Err(StoreError::Corrupt { place, .. }) = file.read(Timestamp(0)) else { panic!("it is damaged") };
        assert!(place.ends_with("line 2"), "{place}");
    }
}
