//! Backup files on disk: written under a temporary name, made durable, and then named; the manifest read from the end. Knows files; not what
//! is in them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::error::BackupError;
use super::format::{
    HEADER_BYTES, MANIFEST_BYTES_MAX, PART_HEADER_BYTES, PartHeader, PartKind, TRAILER_BYTES, check_header,
    manifest_at,
};
use super::manifest::Manifest;
use super::read::parse_manifest;
use crate::model::Digest;

/// So much is written before it is synced: the disk is also that of a server whose commits wait for it.
const SYNC_BYTES: usize = 4 << 20;
/// The end of the names of files that are not complete.
pub const PART_SUFFIX: &str = ".part";

/// A file that is being written under a temporary name, readable by its owner alone. Dropped before `commit`, the file is removed.
pub struct PendingFile {
    file: File,
    path: PathBuf,
    part: PathBuf,
    is_named: bool,
    /// Since the last sync.
    unsynced_bytes: usize,
    written: Arc<Written>,
}

/// How much of a file was written, for those who follow it.
#[derive(Default)]
struct Written {
    length: Mutex<Length>,
    grown: Condvar,
}

#[derive(Default)]
struct Length {
    bytes: u64,
    /// No more will come.
    is_over: bool,
}

/// Reads a file while it is being written, and waits at its end until more is written, or nothing more will be.
pub struct Following {
    file: File,
    at: u64,
    written: Arc<Written>,
}

impl PendingFile {
    /// Begins a file. Refuses a name that is taken.
    pub fn create(path: &Path) -> io::Result<PendingFile> {
        if path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is such a file already"));
        }
        let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
        name.push(PART_SUFFIX);
        let part = path.with_file_name(name);
        let file =
            File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        let (path, written) = (path.to_owned(), Arc::default());
        Ok(PendingFile { file, path, part, is_named: false, unsynced_bytes: 0, written })
    }

    /// Reads what is written, from the beginning of the file, while more is written.
    pub fn follow(&self) -> io::Result<Following> {
        Ok(Following { file: self.file.try_clone()?, at: 0, written: self.written.clone() })
    }

    /// Those who follow the file are to reach its end.
    pub fn end(&self) {
        self.written.update(|length| length.is_over = true);
    }

    /// Makes the file durable, and gives it its name.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.part, &self.path)?;
        self.is_named = true;
        sync_dir(&directory_of(&self.path))
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written.update(|length| length.bytes += count as u64);
        self.unsynced_bytes += count;
        if self.unsynced_bytes >= SYNC_BYTES {
            self.file.sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        self.end();
        if !self.is_named {
            // What is left of it is known by its name.
            let _ = fs::remove_file(&self.part);
        }
    }
}

impl Written {
    fn update(&self, update: impl FnOnce(&mut Length)) {
        update(&mut self.length.lock().unwrap_or_else(PoisonError::into_inner));
        self.grown.notify_all();
    }

    /// Waits until there is something at a place. How many bytes: 0 at the end.
    fn after(&self, at: u64) -> u64 {
        let length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        let is_at_end = |length: &mut Length| length.bytes <= at && !length.is_over;
        let length = self.grown.wait_while(length, is_at_end).unwrap_or_else(PoisonError::into_inner);
        length.bytes.saturating_sub(at)
    }
}

impl Read for Following {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.written.after(self.at)).unwrap_or(usize::MAX).min(bytes.len());
        let read = self.file.read_at(&mut bytes[..count], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The directory that a file is in.
pub fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A file that cannot be read any more once the reader has given up.
pub struct Stoppable<'a, F> {
    pub file: F,
    pub is_stopped: &'a dyn Fn() -> bool,
}

impl<F: Read> Read for Stoppable<'_, F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match (self.is_stopped)() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => self.file.read(bytes),
        }
    }
}

/// Reads the manifest alone, and how long the file is. The rest of the file is not looked at: `verify` does. `name` is for messages.
pub fn read_manifest_from(
    file: &mut (impl Read + Seek + ?Sized),
    name: &str,
) -> Result<(Manifest, u64), BackupError> {
    read_manifest_within(file, name, MANIFEST_BYTES_MAX)
}

/// The same. Refuses a longer manifest than `bytes_max`.
pub fn read_manifest_within(
    file: &mut (impl Read + Seek + ?Sized),
    name: &str,
    bytes_max: u64,
) -> Result<(Manifest, u64), BackupError> {
    let io = || BackupError::io(name);
    let length = file.seek(SeekFrom::End(0)).map_err(io())?;
    file.seek(SeekFrom::Start(0)).map_err(io())?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::Foreign,
        _ => io()(error),
    })?;
    check_header(&header)?;
    let mut trailer = [0; TRAILER_BYTES];
    let end = length.checked_sub(TRAILER_BYTES as u64);
    let end = end.ok_or_else(|| BackupError::damaged("it ends too early"))?;
    file.seek(SeekFrom::Start(end)).map_err(io())?;
    file.read_exact(&mut trailer).map_err(io())?;
    let mut part = [0; PART_HEADER_BYTES];
    file.seek(SeekFrom::Start(manifest_at(&trailer)?)).map_err(io())?;
    file.read_exact(&mut part).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::damaged("it has no manifest"),
        _ => io()(error),
    })?;
    let part = PartHeader::decode(&part)?;
    if u64::from(part.stored_bytes) > bytes_max {
        return Err(BackupError::damaged("its manifest is too long"));
    }
    let mut text = Vec::new();
    file.take(part.stored_bytes.into()).read_to_end(&mut text).map_err(io())?;
    match part.kind == PartKind::Manifest && Digest::of(&text) == part.sha256 {
        true => Ok((parse_manifest(&text)?, length)),
        false => Err(BackupError::damaged("its manifest has another SHA-256")),
    }
}
