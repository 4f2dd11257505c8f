//! Records beside the database the last commit that was durable. Knows files and the head; no sled.
//!
//! sled takes damage near the end of its log for a write that a crash tore, and forgets what follows without a word. The
//! file `HEAD` names a commit that was durable when the store was last opened or closed: a journal that does not have it has lost it.
//! It holds the revision and the hash, as text.

use std::fs;
use std::io;
use std::path::Path;

use crate::durable_file;
use crate::model::{Digest, Revision};
use crate::store::sled::{corrupt, io_error};
use crate::store::{Head, StoreError};

const NAME: &str = "HEAD";
const PERMISSIONS: u32 = 0o666;

/// Notes that `head` is durable.
pub fn write(dir: &Path, head: Head) -> Result<(), StoreError> {
    let (path, text) = (dir.join(NAME), format!("{} {}\n", head.revision, head.hash));
    durable_file::replace(&path, PERMISSIONS, text.as_bytes()).map_err(|source| io_error(&path, source))
}

/// The commit that was noted last. `None` if none ever was.
pub fn read(dir: &Path) -> Result<Option<(Revision, Digest)>, StoreError> {
    let path = dir.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(&path, source)),
    };
    let parse = || {
        let (revision, hash) = str::from_utf8(&bytes).ok()?.trim_end().split_once(' ')?;
        Some((Revision(revision.parse().ok()?), Digest::parse(hash)?))
    };
    parse().map(Some).ok_or_else(|| corrupt(path.display().to_string(), "not a revision and a hash"))
}
