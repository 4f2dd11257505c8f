//! Backup files that clients send to a server to restore from them, each in a temporary file until it is used, or too old. Knows files, sums and
//! limits; not what a backup is used for.
//!
//! There are few places, and no actor can keep others from them: an actor has one upload, a namespace half of the places, an upload that receives nothing
//! for some minutes is removed, and one that receives too little for less time gives its place to others who wait.

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
use crate::fair_places::{FairPlaces, Of, Place};
use crate::model::{Digest, Timestamp};

/// The largest file.
pub const UPLOAD_BYTES_MAX: u64 = 1 << 30;
/// Files at once, of one actor each.
const UPLOADS_MAX: usize = 4;
/// A file is removed after this time.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// A file that is not complete is removed when no part of it came for so long.
const IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// A file that is complete keeps its place for so long, even if others wait: somebody looks at what a restore would do.
const COMPLETE_KEPT_FOR: Duration = Duration::from_secs(30);
/// Before the digits of a sum.
const SUM_PREFIX: &str = "sha256:";
/// The largest part of a file, which is in memory while it is read, and the longest manifest. A server writes larger parts for configs that
/// have more bytes alone.
const PART_BYTES_MAX: u64 = 32 << 20;

/// A directory of uploads.
pub struct Uploads {
    dir: PathBuf,
    places: Arc<FairPlaces>,
    uploads: Mutex<BTreeMap<String, Arc<Upload>>>,
}

/// A place for an upload that is to begin.
pub struct UploadPlace(Place);

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
    life: Mutex<Life>,
    place: Place,
}

struct Received {
    file: File,
    sum: Sha256,
    bytes: u64,
    /// Of a complete file.
    manifest: Option<Manifest>,
}

/// What happened to a file last.
#[derive(Clone, Copy)]
struct Life {
    used: Timestamp,
    is_complete: bool,
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(
        "{UPLOADS_MAX} backups are being uploaded now, {} of one namespace at most: try again when one of them has ended", UPLOADS_MAX / 2
    )]
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
    /// Makes the directory anew: nobody knows the uploads of an earlier process. While others wait, an upload that receives too little in
    /// `transfer_timeout` gives its place to them.
    pub fn open(dir: &Path, transfer_timeout: Duration) -> io::Result<Uploads> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let places = FairPlaces::yielding(UPLOADS_MAX, transfer_timeout);
        Ok(Uploads { dir: dir.to_owned(), places, uploads: Mutex::default() })
    }

    /// Waits for the turn of an actor to begin a file. The actor has one upload: an earlier one is removed.
    pub async fn place(&self, announced: &Announced, now: Timestamp) -> Result<UploadPlace, UploadError> {
        let actor = announced.actor.as_str();
        self.live(now).retain(|_, upload| upload.announced.actor != actor);
        let tenant = match &announced.selection {
            Selection::All => None,
            Selection::Namespace(namespace) => Some(namespace.as_str()),
            Selection::Config(id) => Some(id.namespace.as_str()),
        };
        let place = self.places.take_in_time(Of { actor, tenant }).await;
        place.map(UploadPlace).map_err(|_| UploadError::TooMany)
    }

    /// Begins a file in its place.
    pub fn begin(
        self: &Arc<Uploads>,
        announced: Announced,
        UploadPlace(place): UploadPlace,
        now: Timestamp,
    ) -> Result<Arc<Upload>, UploadError> {
        let id = new_id(&announced.sha256);
        let path = self.dir.join(&id);
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(BackupError::io(path.display()))?;
        let received = Mutex::new(Received { file, sum: Sha256::new(), bytes: 0, manifest: None });
        let life = Mutex::new(Life { used: now, is_complete: false });
        let (uploads, given_up) = (Arc::downgrade(self), id.clone());
        place.yields_by(move || {
            if let Some(uploads) = uploads.upgrade() {
                uploads.remove(&given_up);
            }
        });
        let upload = Arc::new(Upload { id: id.clone(), announced, begun: now, path, received, life, place });
        let mut uploads = self.live(now);
        // Of two that begin at once, the actor has the later one.
        let actor = &upload.announced.actor;
        uploads.retain(|_, other| other.announced.actor != *actor);
        uploads.insert(id, upload.clone());
        Ok(upload)
    }

    /// An upload of an actor. `None`: there is none with this id.
    pub fn find(&self, id: &str, actor: &str, now: Timestamp) -> Option<Arc<Upload>> {
        self.live(now).get(id).filter(|upload| upload.announced.actor == actor).cloned()
    }

    /// What an upload of another actor has, if the id is that of one.
    pub fn of_other(&self, id: &str, actor: &str, now: Timestamp) -> Option<Selection> {
        let found = self.live(now).get(id).filter(|upload| upload.announced.actor != actor).cloned();
        found.map(|upload| upload.announced.selection.clone())
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
    pub fn append(
        &self,
        offset: u64,
        data: &[u8],
        now: Timestamp,
    ) -> Result<(u64, Option<Manifest>), UploadError> {
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
        if !new.is_empty() {
            self.life().used = now;
            self.place.moved(new.len() as u64);
        }
        if received.bytes == bytes && received.manifest.is_none() {
            received.manifest = Some(self.complete(&mut received)?);
            self.life().is_complete = true;
            self.place.pause(COMPLETE_KEPT_FOR);
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
        let (ends, Life { used, is_complete }) = (self.begun.plus(KEPT_FOR), *self.life());
        if is_complete { ends } else { ends.min(used.plus(IDLE_MAX)) }
    }

    /// Not the lock of what was received, which is held while bytes are written.
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
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

/// An id that nobody can guess, with the sum of the file.
fn new_id(sha256: &Digest) -> String {
    let sum = sha256.to_string();
    format!("{}-{}", uuid::Uuid::new_v4().simple(), sum.trim_start_matches(SUM_PREFIX))
}

/// The sum of the file that an id names, also after the upload is gone: what a repeated request goes by. `None`: the id is none of an upload.
pub fn sum_of_id(id: &str) -> Option<Digest> {
    let (_, sum) = id.rsplit_once('-')?;
    Digest::parse(&format!("{SUM_PREFIX}{sum}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(actor: &str, bytes: &[u8]) -> Announced {
        let (bytes, sha256) = (bytes.len() as u64, Digest::of(bytes));
        Announced { actor: actor.to_owned(), selection: Selection::All, bytes, sha256 }
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    /// Short: an upload gives way at once, if others wait.
    const IDLE: Duration = Duration::from_millis(1);

    async fn begin(
        uploads: &Arc<Uploads>,
        announced: Announced,
        now: Timestamp,
    ) -> Result<Arc<Upload>, UploadError> {
        let place = uploads.place(&announced, now).await?;
        uploads.begin(announced, place, now)
    }

    const BEGIN: Timestamp = Timestamp(1_800_000_000_000_000);

    #[tokio::test]
    async fn an_actor_has_one_upload_and_whoever_restores_from_it_has_it_to_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("uploads");
        let uploads = Arc::new(Uploads::open(&path, IDLE).expect("opened"));
        let files = || fs::read_dir(&path).expect("read").count();
        let first = begin(&uploads, announced("a", b"abc"), BEGIN).await.expect("begun").id.clone();
        let again =
            begin(&uploads, announced("a", b"abc"), BEGIN.plus(minutes(1))).await.expect("begun").id.clone();
        assert!(uploads.find(&first, "a", BEGIN).is_none() && files() == 1, "it was replaced");
        assert!(uploads.find(&again, "b", BEGIN).is_none(), "it is another's");
        assert_eq!(uploads.of_other(&again, "b", BEGIN), Some(Selection::All));
        assert_eq!(uploads.of_other(&again, "a", BEGIN), None);
        assert_eq!(sum_of_id(&again), Some(Digest::of(b"abc")));
        let held = uploads.find(&again, "a", BEGIN.plus(minutes(5))).expect("not too old");
        assert_eq!(uploads.next_expiry(), Some(BEGIN.plus(minutes(6))));
        uploads.expire(BEGIN.plus(minutes(6)));
        assert!(uploads.find(&again, "a", BEGIN.plus(minutes(6))).is_none());
        assert_eq!(files(), 1, "somebody restores from it");
        drop(held);
        assert_eq!(files(), 0);
        begin(&uploads, announced("e", b"abc"), BEGIN.plus(minutes(7))).await.expect("there is room");
        Uploads::open(&path, IDLE).expect("opened");
        assert_eq!(files(), 0, "a start removes what was left");
    }

    #[tokio::test]
    async fn an_upload_lives_as_long_as_parts_come_and_an_hour_at_most() {
        let dir = tempfile::tempdir().expect("a directory");
        let uploads = Arc::new(Uploads::open(&dir.path().join("uploads"), IDLE).expect("opened"));
        let bytes = [7; 100];
        let upload = begin(&uploads, announced("a", &bytes), BEGIN).await.expect("begun");
        let mut minute = 0;
        for at in (0..14).map(|part| part * 4) {
            minute = at;
            let (now, offset) = (BEGIN.plus(minutes(at)), at / 4);
            assert!(uploads.find(&upload.id, "a", now).is_some(), "after {at} minutes");
            upload.append(offset, &bytes[..1], now).expect("the next byte");
        }
        assert_eq!(uploads.next_expiry(), Some(BEGIN.plus(minutes(minute + 5))));
        // What was received before is no sign of life.
        upload.append(0, &bytes[..1], BEGIN.plus(minutes(minute + 4))).expect("known");
        assert_eq!(uploads.next_expiry(), Some(BEGIN.plus(minutes(minute + 5))));
        upload.append(14, &bytes[..1], BEGIN.plus(minutes(56))).expect("the next byte");
        assert_eq!(uploads.next_expiry(), Some(BEGIN.plus(minutes(60))));
    }

    #[tokio::test]
    async fn an_upload_that_receives_too_little_gives_its_place_to_others_who_wait() {
        let dir = tempfile::tempdir().expect("a directory");
        let uploads = Arc::new(Uploads::open(&dir.path().join("uploads"), IDLE).expect("opened"));
        let bytes = vec![7; 1 << 20];
        let mut held = vec![];
        for actor in ["a", "b", "c", "d"] {
            held.push(begin(&uploads, announced(actor, &bytes), BEGIN).await.expect("begun"));
        }
        let is_left =
            |upload: &Arc<Upload>| uploads.find(&upload.id, &upload.announced.actor, BEGIN).is_some();
        // The same actor again takes no place of others.
        held.pop();
        held.push(begin(&uploads, announced("d", &bytes), BEGIN).await.expect("begun"));
        assert!(held.iter().all(is_left), "nobody waits");
        held[0].append(0, &bytes[..512 << 10], BEGIN).expect("a part");
        // A byte now and then is too little.
        for upload in &held[1..] {
            upload.append(0, &bytes[..1], BEGIN).expect("a byte");
        }
        held.truncate(1);
        begin(&uploads, announced("e", &bytes), BEGIN).await.expect("one of the idle gives way");
        assert!(is_left(&held[0]), "parts of it came");
        assert_eq!(uploads.uploads().len(), 4);
    }
}
