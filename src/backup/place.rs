//! Where backups are stored: a directory, or a bucket of S3. Knows names and bytes; not the content of a file.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::bucket::{Bucket, Upload};
use super::file::{PART_SUFFIX, PendingFile, sync_dir};
use crate::bounded_file;
use crate::durable_file;

/// The end of the name of a backup.
pub const FILE_SUFFIX: &str = ".cwb";
/// The end of the name of a note about a backup.
pub const NOTE_SUFFIX: &str = ".json";
/// The end of the name of a note that is being replaced.
const NEW_SUFFIX: &str = ".json.new";
/// The longest note: a manifest without its parts, whose labels and texts have limits of their own.
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// A file that can be read at any position.
pub trait Stored: Read + Seek + Send {}

impl<T: Read + Seek + Send> Stored for T {}

/// A directory, or a bucket.
pub enum Place {
    Directory(PathBuf),
    Bucket(Bucket),
}

/// A file that is being written, and gets its name once it is complete. Dropped before `commit`, nothing is left of it.
pub enum Pending {
    File(PendingFile),
    Object(Upload),
}

impl Place {
    /// Opens a directory, which is made if it does not exist, and removes what a crash has left in it; or a bucket, by `s3://BUCKET/PREFIX`,
    /// for which nothing waits: whether it can be used is in the log.
    pub fn open(location: &Path) -> io::Result<Place> {
        if let Some(url) = Bucket::url(location) {
            let bucket = Bucket::open(url)?;
            bucket.check();
            return Ok(Place::Bucket(bucket));
        }
        use std::os::unix::fs::DirBuilderExt;
        if !location.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(location)?;
        }
        // Before the first backup in it: a backup is durable with the names of all directories above it.
        durable_file::sync_names(location)?;
        remove_unfinished(location)?;
        Ok(Place::Directory(location.to_owned()))
    }

    /// Ends calls to a bucket early once `is_stopped` returns true.
    pub fn stop_when(&self, is_stopped: impl Fn() -> bool + Send + Sync + 'static) {
        match self {
            // No call to a directory waits for another machine.
            Place::Directory(_) => {}
            Place::Bucket(bucket) => bucket.stop_when(is_stopped),
        }
    }

    /// The names of all files.
    pub fn names(&self) -> io::Result<Vec<String>> {
        match self {
            Place::Directory(dir) => {
                let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
                names.filter_map(io::Result::transpose).collect()
            }
            Place::Bucket(bucket) => bucket.names(),
        }
    }

    pub fn exists(&self, name: &str) -> io::Result<bool> {
        match self {
            Place::Directory(dir) => Ok(dir.join(name).is_file()),
            Place::Bucket(bucket) => bucket.exists(name),
        }
    }

    /// Begins a file. A name that is taken is an error.
    pub fn create(&self, name: &str) -> io::Result<Pending> {
        match self {
            Place::Directory(dir) => PendingFile::create(&dir.join(name)).map(Pending::File),
            Place::Bucket(bucket) => bucket.create(name).map(Pending::Object),
        }
    }

    /// Opens a file for reading.
    pub fn read(&self, name: &str) -> io::Result<Box<dyn Stored>> {
        match self {
            Place::Directory(dir) => Ok(Box::new(File::open(dir.join(name))?)),
            Place::Bucket(bucket) => Ok(Box::new(bucket.read(name)?)),
        }
    }

    /// Reads notes, in the order of their names. A note that does not exist, or that is too long, is `None`.
    pub fn read_notes(&self, names: &[String]) -> io::Result<Vec<Option<Vec<u8>>>> {
        match self {
            Place::Directory(dir) => {
                let read = |name: &String| bounded_file::read(&dir.join(name), NOTE_BYTES_MAX).ok();
                Ok(names.iter().map(read).collect())
            }
            Place::Bucket(bucket) => bucket.read_all(names, NOTE_BYTES_MAX),
        }
    }

    /// Replaces a note: after a crash there is the old one or the new one.
    pub fn replace_note(&self, name: &str, content: &[u8]) -> io::Result<()> {
        match self {
            Place::Directory(dir) => durable_file::replace(&dir.join(name), 0o600, content),
            Place::Bucket(bucket) => bucket.replace(name, content),
        }
    }

    /// Removes files, in this order. A file that does not exist is no error.
    pub fn remove(&self, names: &[String]) -> io::Result<()> {
        let remove = |name: &String| match self {
            Place::Directory(dir) => fs::remove_file(dir.join(name)),
            Place::Bucket(bucket) => bucket.remove(name),
        };
        for name in names {
            match remove(name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        match self {
            Place::Directory(dir) => sync_dir(dir),
            Place::Bucket(_) => Ok(()),
        }
    }

    /// Where a file is, for messages.
    pub fn name_of(&self, name: &str) -> String {
        match self {
            Place::Directory(dir) => dir.join(name).display().to_string(),
            Place::Bucket(bucket) => format!("{bucket}{name}"),
        }
    }

    /// Whether an error may be over soon, so that it says nothing of the file.
    pub fn is_remote(&self) -> bool {
        matches!(self, Place::Bucket(_))
    }
}

/// Removes what a crash has left in a directory of backups: files that are not complete, and notes whose backup was removed. Nothing else: the
/// directory may have files of others.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = |suffix: &str| name.strip_suffix(PART_SUFFIX).is_some_and(|name| name.ends_with(suffix));
        let is_lonely = |id: &str| is_id(id) && !dir.join(format!("{id}{FILE_SUFFIX}")).exists();
        let is_left = part(FILE_SUFFIX)
            || part(NOTE_SUFFIX)
            || name.strip_suffix(NEW_SUFFIX).is_some_and(is_id)
            || name.strip_suffix(NOTE_SUFFIX).is_some_and(is_lonely);
        if is_left {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether a text has the form of the ids that `Catalog::begin` gives: time, kind, perhaps a namespace, and 8 hex digits.
fn is_id(text: &str) -> bool {
    let (Some((time, _)), Some((_, random))) = (text.split_once('-'), text.rsplit_once('-')) else {
        return false;
    };
    let is_time = time.len() == 15 && time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'T');
    is_time && random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Pending {
    /// Makes the file durable, and gives it its name.
    pub fn commit(self) -> io::Result<()> {
        match self {
            Pending::File(file) => file.commit(),
            Pending::Object(upload) => upload.commit(),
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Pending::File(file) => file.write(bytes),
            Pending::Object(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Pending::File(file) => file.flush(),
            Pending::Object(upload) => upload.flush(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Directory(dir) => dir.display().fmt(f),
            Place::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_loses_what_a_crash_has_left_and_nothing_of_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let id = |of: &str| format!("20261129T033000-full-{of}");
        let left = [
            format!("{}.cwb.part", id("00000001")),
            format!("{}.json.part", id("00000001")),
            format!("{}.json.new", id("00000002")),
            format!("{}.json", id("00000003")),
        ];
        let stays = [
            format!("{}.cwb", id("00000002")),
            format!("{}.json", id("00000002")),
            "other.json".to_owned(),
            "movie.part".to_owned(),
            "2026-a.json".to_owned(),
        ];
        for name in left.iter().chain(&stays) {
            fs::write(dir.path().join(name), "x").expect("written");
        }
        let mut names = Place::open(dir.path()).expect("opened").names().expect("listed");
        names.sort();
        let mut expected = stays.to_vec();
        expected.sort();
        assert_eq!(names, expected);
    }
}
