//! Opens the backups that people name: a file, or an object in a bucket. Knows places; not the content of a file, besides its manifest.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::bucket::Bucket;
use super::error::BackupError;
use super::file::read_manifest_from;
use super::manifest::Manifest;
use super::place::Stored;

/// Opens a backup by the path of its file, or by `s3://BUCKET/NAME`.
pub fn open_backup(path: &Path) -> Result<Box<dyn Stored>, BackupError> {
    open(path).map_err(BackupError::io(path.display()))
}

fn open(path: &Path) -> io::Result<Box<dyn Stored>> {
    let Some(url) = Bucket::url(path) else { return Ok(Box::new(File::open(path)?)) };
    match url.rsplit_once('/') {
        Some((above, name)) if !name.is_empty() => Ok(Box::new(Bucket::open(above)?.read(name)?)),
        Some(_) | None => Err(io::Error::new(ErrorKind::InvalidInput, "s3://BUCKET/NAME is expected")),
    }
}

/// Whether a path names an object in a bucket.
pub fn is_in_bucket(path: &Path) -> bool {
    Bucket::url(path).is_some()
}

/// Reads the manifest of a backup alone, and how long the backup is.
pub fn read_manifest(path: &Path) -> Result<(Manifest, u64), BackupError> {
    read_manifest_from(&mut *open_backup(path)?, &path.display().to_string())
}
