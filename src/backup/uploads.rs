//! Backup files that clients send to a server to restore from them, each in a temporary file until it is used, or too old. Knows files, sums and
//! limits; not what a backup is used for.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::extract::{Extracted, Wanted, extract};
use super::file::{Stoppable, read_manifest_within};
use super::manifest::{Manifest, Selection};
use crate::model::{Digest, Timestamp};

/// The largest file.
pub const UPLOAD_BYTES_MAX: u64 = 1 << 30;
/// Files at once, of one actor each.
const UPLOADS_MAX: usize = 4;
/// A file is removed after this time.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// The largest part of a file, which is in memory while it is read, and the longest manifest. A server writes larger parts for configs that
/// have more bytes alone.
const PART_BYTES_MAX: u64 = 32 << 20;

/// A directory of uploads.
pub struct Uploads {
    dir: PathBuf,
    uploads: Mutex<BTreeMap<String, Arc<Upload>>>,
}

/// What a client says of a file before it sends the file.
#[derive(Clone, Debug)]
pub struct Announced {
    pub actor: String,
    /// What the backup has.
    pub selection: Selection,
    pub bytes: u64,
    /// Of all bytes of the file.
    pub sha256: Digest,
}

/// A file that is received, or complete. The file is removed when the last user drops this.
pub struct Upload {
    pub id: String,
    pub announced: Announced,
    begun: Timestamp,
    path: PathBuf,
    received: Mutex<Received>,
}

struct Received {
    file: File,
    sum: Sha256,
    bytes: u64,
    /// Of a complete file.
    manifest: Option<Manifest>,
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("{UPLOADS_MAX} backups are uploaded by others now")]
    TooMany,
    /// Other bytes come next.
    #[error("must be {received}: so many bytes were received")]
    Offset { received: u64 },
    #[error("has {found} bytes more than were announced")]
    TooLong { found: u64 },
    #[error(transparent)]
    Backup(#[from] BackupError),
}

impl Uploads {
    /// Makes the directory anew: nobody knows the uploads of an earlier process.
    pub fn open(dir: &Path) -> io::Result<Uploads> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Uploads { dir: dir.to_owned(), uploads: Mutex::default() })
    }

    /// Begins a file. The actor has one upload: an earlier one is removed.
    pub fn begin(&self, announced: Announced, now: Timestamp) -> Result<Arc<Upload>, UploadError> {
        let mut uploads = self.live(now);
        uploads.retain(|_, upload| upload.announced.actor != announced.actor);
        if uploads.len() >= UPLOADS_MAX {
            return Err(UploadError::TooMany);
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = self.dir.join(&id);
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(BackupError::io(path.display()))?;
        let received = Mutex::new(Received { file, sum: Sha256::new(), bytes: 0, manifest: None });
        let upload = Arc::new(Upload { id: id.clone(), announced, begun: now, path, received });
        uploads.insert(id, upload.clone());
        Ok(upload)
    }

    /// An upload of an actor. `None`: there is none with this id.
    pub fn find(&self, id: &str, actor: &str, now: Timestamp) -> Option<Arc<Upload>> {
        self.live(now).get(id).filter(|upload| upload.announced.actor == actor).cloned()
    }

    pub fn remove(&self, id: &str) {
        self.uploads().remove(id);
    }

    /// Removes the uploads that are too old.
    pub fn expire(&self, now: Timestamp) {
        drop(self.live(now));
    }

    /// When the next upload is too old.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.uploads().values().map(|upload| upload.ends()).min()
    }

    fn live(&self, now: Timestamp) -> MutexGuard<'_, BTreeMap<String, Arc<Upload>>> {
        let mut uploads = self.uploads();
        uploads.retain(|_, upload| upload.ends() > now);
        uploads
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Upload>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Takes the next bytes, and tells how many were received, and what the file is once it is complete. Bytes that were received before are
    /// skipped: a client may send them again.
    pub fn append(&self, offset: u64, data: &[u8]) -> Result<(u64, Option<Manifest>), UploadError> {
        let mut received = self.received();
        let Announced { bytes, .. } = self.announced;
        let end = offset.saturating_add(data.len() as u64);
        if end > bytes {
            return Err(UploadError::TooLong { found: end - bytes });
        }
        if offset > received.bytes {
            return Err(UploadError::Offset { received: received.bytes });
        }
        let known = usize::try_from(received.bytes - offset).unwrap_or(usize::MAX).min(data.len());
        let new = &data[known..];
        received.file.write_all(new).map_err(BackupError::io(self.path.display()))?;
        received.sum.update(new);
        received.bytes += new.len() as u64;
        if received.bytes == bytes && received.manifest.is_none() {
            received.manifest = Some(self.complete(&mut received)?);
        }
        Ok((received.bytes, received.manifest.clone()))
    }

    /// What a complete file is.
    pub fn manifest(&self) -> Option<Manifest> {
        self.received().manifest.clone()
    }

    /// Reads what configs were from the file, which is verified. Ends early once `is_stopped` says yes.
    pub fn extract(
        &self,
        wanted: &Wanted<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Extracted, BackupError> {
        let manifest = self.manifest();
        let manifest =
            manifest.ok_or_else(|| BackupError::Mismatch("the upload is not complete".to_owned()))?;
        let open = |_| -> Result<BufReader<Stoppable<'_, File>>, BackupError> {
            let file = File::open(&self.path).map_err(BackupError::io(self.path.display()))?;
            Ok(BufReader::with_capacity(1 << 20, Stoppable { file, is_stopped }))
        };
        let read = extract(&[&manifest], &open, PART_BYTES_MAX, wanted);
        match read {
            Err(_) if is_stopped() => Err(BackupError::Stopped),
            read => Ok(read?.0),
        }
    }

    fn complete(&self, received: &mut Received) -> Result<Manifest, BackupError> {
        let found = Digest(received.sum.clone().finalize().into());
        let Announced { selection, sha256, .. } = &self.announced;
        if found != *sha256 {
            return Err(BackupError::damaged(format!("its SHA-256 is {found}, not {sha256} as announced")));
        }
        let (manifest, _) = read_manifest_within(&mut received.file, "the upload", PART_BYTES_MAX)?;
        let of = manifest.selection()?;
        if of != *selection {
            return Err(BackupError::Mismatch(format!(
                "the backup is of {of}, not of {selection} as announced"
            )));
        }
        Ok(manifest)
    }

    fn ends(&self) -> Timestamp {
        self.begun.plus(KEPT_FOR)
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // What is left is removed by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(actor: &str, bytes: &[u8]) -> Announced {
        let (bytes, sha256) = (bytes.len() as u64, Digest::of(bytes));
        Announced { actor: actor.to_owned(), selection: Selection::All, bytes, sha256 }
    }

    #[test]
    fn an_actor_has_one_upload_for_an_hour_and_others_have_theirs() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("uploads");
        let uploads = Uploads::open(&path).expect("opened");
        let files = || fs::read_dir(&path).expect("read").count();
        let (begin, minutes) =
            (Timestamp(1_800_000_000_000_000), |count: u64| Duration::from_secs(60 * count));
        let first = uploads.begin(announced("a", b"abc"), begin).expect("begun").id.clone();
        let again = uploads.begin(announced("a", b"abc"), begin.plus(minutes(1))).expect("begun").id.clone();
        assert!(uploads.find(&first, "a", begin).is_none() && files() == 1, "it was replaced");
        assert!(uploads.find(&again, "b", begin).is_none(), "it is another's");
        for other in ["b", "c", "d"] {
            uploads.begin(announced(other, b"abc"), begin.plus(minutes(30))).expect("begun");
        }
        let fifth = uploads.begin(announced("e", b"abc"), begin.plus(minutes(60)));
        assert!(matches!(fifth, Err(UploadError::TooMany)));
        assert_eq!(uploads.next_expiry(), Some(begin.plus(minutes(61))));
        let held = uploads.find(&again, "a", begin.plus(minutes(60))).expect("not too old");
        uploads.expire(begin.plus(minutes(61)));
        assert!(uploads.find(&again, "a", begin.plus(minutes(61))).is_none());
        assert_eq!(files(), 4, "who restores from it has it to the end");
        drop(held);
        assert_eq!(files(), 3);
        uploads.begin(announced("e", b"abc"), begin.plus(minutes(61))).expect("there is room");
        assert_eq!(fs::read_dir(&path).expect("read").count(), 4);
        Uploads::open(&path).expect("opened");
        assert_eq!(files(), 0, "a start removes what was left");
    }
}
