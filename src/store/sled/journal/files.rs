//! The files of the journal: their names, their headers, and those that are open. Knows no records.
//!
//! A segment has the name of its first revision, in 20 digits, and begins with a header, integers big endian:
//!
//! ```text
//! "cwjs"  crc32 of the rest  format (u64)  epoch (u64)  first revision (u64)  hash of the commit before (32 bytes)
//! ```
//!
//! The format is 2; 3 if the segment has gaps: `segment.rs`. The file `FORGOTTEN` says that changes were forgotten of a namespace alone: the
//! files do not have all of history, though they may begin with revision 1.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

pub use super::segment::HEADER_BYTES;

use super::super::{corrupt, io_error};
use super::segment::Segment;
use crate::append_log::{self, SegmentNames};
use crate::durable_file;
use crate::model::{Digest, Epoch, Revision};
use crate::store::StoreError;

const MAGIC: &[u8; 4] = b"cwjs";
/// Of the files, which share it with the store.
const FORMAT: u64 = crate::store::sled::index::trees::FORMAT;
const FORMAT_WITH_GAPS: u64 = 3;
const FORGOTTEN: &str = "FORGOTTEN";
/// What follows the name of a segment while it is being rewritten.
const UNFINISHED: &str = ".new";
const NAMES: SegmentNames = SegmentNames { prefix: "", suffix: "" };
/// Segments that are kept open for reading.
const OPEN_MAX: usize = 16;

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub epoch: Epoch,
    /// The revision of its first commit.
    pub first: Revision,
    /// The hash of the commit before.
    pub previous: Digest,
    pub has_gaps: bool,
}

/// The segments in a directory.
pub struct Files {
    dir: PathBuf,
    epoch: Epoch,
    names: RwLock<BTreeSet<Revision>>,
    /// The one that was used last comes first.
    open: Mutex<Vec<(Revision, Arc<Segment>)>>,
}

impl Header {
    pub fn encode(self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        let format = if self.has_gaps { FORMAT_WITH_GAPS } else { FORMAT };
        bytes[8..16].copy_from_slice(&format.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.first.0.to_be_bytes());
        bytes[32..].copy_from_slice(&self.previous.0);
        append_log::seal(&mut bytes, MAGIC);
        bytes
    }

    /// `None` if it is damaged, or none, or that of another format.
    fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Option<Header> {
        let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let format = number(8)?;
        let is_whole = append_log::is_sealed(bytes, MAGIC) && [FORMAT, FORMAT_WITH_GAPS].contains(&format);
        is_whole.then_some(Header {
            epoch: Epoch(number(16)?),
            first: Revision(number(24)?),
            previous: Digest(bytes[32..].try_into().ok()?),
            has_gaps: format == FORMAT_WITH_GAPS,
        })
    }
}

impl Files {
    /// Of the journal in `dir`, which must be there.
    pub fn list(dir: PathBuf, epoch: Epoch) -> Result<Files, StoreError> {
        let names = names(&dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt(dir.display().to_string(), "it is missing"),
            _ => io_error(&dir, error),
        })?;
        Ok(Files { dir, epoch, names: RwLock::new(names), open: Mutex::default() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, segment: Revision) -> PathBuf {
        path(&self.dir, segment)
    }

    pub fn has(&self, segment: Revision) -> bool {
        self.names.read().expect(UNPOISONED).contains(&segment)
    }

    pub fn first(&self) -> Option<Revision> {
        self.names.read().expect(UNPOISONED).first().copied()
    }

    /// The segment that holds `revision`, or the last one if it is ahead.
    pub fn of(&self, revision: Revision) -> Option<Revision> {
        self.names.read().expect(UNPOISONED).range(..=revision).next_back().copied()
    }

    pub fn after(&self, segment: Revision) -> Option<Revision> {
        self.names.read().expect(UNPOISONED).range(segment.next()..).next().copied()
    }

    /// A segment for reading, if its header says that it is the one.
    pub fn open(&self, segment: Revision) -> Result<Arc<Segment>, StoreError> {
        if let Some(file) = self.opened(segment) {
            return Ok(file);
        }
        let path = self.path(segment);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt(path.display().to_string(), "it is missing"),
            _ => io_error(&path, error),
        })?;
        let opened = match self.check_header(&path, &file, segment)?.has_gaps {
            false => Segment::whole(file),
            true => Segment::with_gaps(file)
                .map_err(|source| io_error(&path, source))?
                .ok_or_else(|| corrupt(path.display().to_string(), "its table of gaps is damaged"))?,
        };
        let file = Arc::new(opened);
        let mut open = self.open.lock().expect(UNPOISONED);
        open.insert(0, (segment, file.clone()));
        open.truncate(OPEN_MAX);
        Ok(file)
    }

    /// The header of a segment.
    pub fn header(&self, segment: Revision) -> Result<Header, StoreError> {
        let file = self.open(segment)?;
        self.check_header(&self.path(segment), file.file(), segment)
    }

    /// Opens a segment that is here, to write to it.
    pub fn open_to_write(&self, segment: Revision) -> Result<File, StoreError> {
        let path = self.path(segment);
        let opened = File::options().read(true).write(true).open(&path);
        let file = opened.map_err(|source| io_error(&path, source))?;
        self.check_header(&path, &file, segment)?;
        Ok(file)
    }

    /// Begins a segment. Neither it nor its name are durable.
    pub fn begin(&self, first: Revision, previous: Digest) -> Result<File, StoreError> {
        let path = self.path(first);
        let begin = || {
            let file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
            file.write_all_at(&Header { epoch: self.epoch, first, previous, has_gaps: false }.encode(), 0)?;
            Ok(file)
        };
        let file = begin().map_err(|source| io_error(&path, source))?;
        self.names.write().expect(UNPOISONED).insert(first);
        Ok(file)
    }

    /// Makes the names of all segments durable.
    pub fn sync_names(&self) -> Result<(), StoreError> {
        durable_file::sync(&self.dir).map_err(|source| io_error(&self.dir, source))
    }

    /// Begins the file that is to take the place of a segment.
    pub fn begin_unfinished(&self, segment: Revision) -> Result<(PathBuf, File), StoreError> {
        let path = unfinished(&self.path(segment));
        let file = File::options().create(true).truncate(true).write(true).open(&path);
        file.map(|file| (path.clone(), file)).map_err(|source| io_error(&path, source))
    }

    /// Puts the finished file in the place of a segment: after a crash there is the old one or the new one. Those who have the old one open go
    /// on with it.
    pub fn replace(&self, segment: Revision, unfinished: &Path) -> Result<(), StoreError> {
        let path = self.path(segment);
        fs::rename(unfinished, &path).map_err(|source| io_error(&path, source))?;
        self.open.lock().expect(UNPOISONED).retain(|(name, _)| *name != segment);
        self.sync_names()
    }

    /// Removes what a crash has left of files that were not finished.
    pub fn remove_unfinished(&self) -> Result<(), StoreError> {
        for name in self.names.read().expect(UNPOISONED).iter() {
            let path = unfinished(&self.path(*name));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&path, error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Notes, for good, that the files do not have all of history any more.
    pub fn note_forgotten(&self) -> Result<(), StoreError> {
        let path = self.dir.join(FORGOTTEN);
        if path.exists() {
            return Ok(());
        }
        let noted = File::create(&path).and_then(|file| file.sync_all());
        noted.map_err(|source| io_error(&path, source))?;
        self.sync_names()
    }

    /// Removes the segments before `segment`, the oldest first, and waits until they are gone for good.
    pub fn remove_before(&self, segment: Revision) -> Result<(), StoreError> {
        while let Some(first) = self.first().filter(|first| *first < segment) {
            self.remove(first)?;
        }
        self.sync_names()
    }

    /// Removes the segments after `segment`, the last first.
    pub fn remove_after(&self, segment: Revision) -> Result<(), StoreError> {
        while let Some(last) = self.of(Revision(u64::MAX)).filter(|last| *last > segment) {
            self.remove(last)?;
        }
        Ok(())
    }

    /// The segments from `from` to `to`.
    pub fn between(&self, from: Revision, to: Revision) -> Vec<Revision> {
        self.names
            .read()
            .expect(UNPOISONED)
            .iter()
            .copied()
            .filter(|name| (from..=to).contains(name))
            .collect()
    }

    fn remove(&self, segment: Revision) -> Result<(), StoreError> {
        let path = self.path(segment);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&path, error)),
            Ok(()) | Err(_) => {}
        }
        self.names.write().expect(UNPOISONED).remove(&segment);
        self.open.lock().expect(UNPOISONED).retain(|(name, _)| *name != segment);
        Ok(())
    }

    fn opened(&self, segment: Revision) -> Option<Arc<Segment>> {
        let mut open = self.open.lock().expect(UNPOISONED);
        let at = open.iter().position(|(name, _)| *name == segment)?;
        open[..=at].rotate_right(1);
        Some(open[0].1.clone())
    }

    fn check_header(&self, path: &Path, file: &File, segment: Revision) -> Result<Header, StoreError> {
        let wrong = |what: String| corrupt(path.display().to_string(), what);
        let header = read_header(file).map_err(|source| io_error(path, source))?;
        let header = header.ok_or_else(|| wrong("its header is damaged".into()))?;
        if header.epoch != self.epoch {
            return Err(wrong("it is of another store".into()));
        }
        match header.first == segment {
            true => Ok(header),
            false => Err(wrong(format!("it has another name, and begins with revision {}", header.first))),
        }
    }
}

/// The epoch of the journal in `dir`, if it has all of history as far as names tell.
pub fn epoch_if_complete(dir: &Path) -> Option<Epoch> {
    if dir.join(FORGOTTEN).exists() {
        return None;
    }
    let file = File::open(path(dir, Revision(1))).ok()?;
    read_header(&file).ok()?.filter(|header| header.first == Revision(1)).map(|header| header.epoch)
}

/// The segments in a directory. Nothing else has its place there.
pub fn names(dir: &Path) -> io::Result<BTreeSet<Revision>> {
    Ok(NAMES.list(dir)?.into_iter().map(Revision).collect())
}

fn path(dir: &Path, segment: Revision) -> PathBuf {
    NAMES.path(dir, segment.0)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    path.with_file_name(name)
}

fn read_header(file: &File) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Header::decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

const UNPOISONED: &str = "nothing panics while it holds the names or the open files";
