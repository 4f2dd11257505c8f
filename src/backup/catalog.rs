//! The backups that a server keeps, in a directory or a bucket. Knows names and manifests; not who makes backups, nor when.
//!
//! A backup `ID` is the file `ID.cwb`, and the file `ID.json` has what else is known of it: its manifest without the list of parts, its length and sum,
//! when it was verified last, and whether it is pinned. The second file is made again from the first if it is missing.

use std::io::{self, BufReader, ErrorKind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::create::Plan;
use super::error::BackupError;
use super::extract::{Extracted, Wanted, extract};
use super::file::{Stoppable, read_manifest_from};
use super::manifest::{AUTOMATIC_LABEL, Kind, Manifest, Selection};
use super::place::{FILE_SUFFIX, NOTE_SUFFIX, Pending, Place, Stored};
use super::verify::verify;
use super::write::Finished;
use crate::model::{ConfigId, Digest, Namespace, Timestamp};

/// A directory or bucket with more backups takes no more.
pub const KEPT_MAX: usize = 10_000;
/// Backups of one namespace, or of configs of it, that a place may have.
const KEPT_OF_NAMESPACE_MAX: usize = 100;
/// Beyond these limits, backups that the server makes by itself before writes: it removes the older ones, and whoever may make backups must not be able
/// to keep others from restoring.
const AUTOMATIC_ROOM: usize = 20;
/// The longest id.
const ID_BYTES_MAX: usize = 128;

/// A directory or a bucket of backups.
pub struct Catalog {
    place: Place,
    /// Held while names are given, changed or removed.
    changing: Mutex<()>,
}

/// A backup in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: String,
    /// Without the list of parts.
    pub manifest: Manifest,
    pub bytes: u64,
    /// `None`: the file was not read to its end since its note was lost.
    pub sha256: Option<Digest>,
    /// When the file was last verified.
    pub verified: Option<Timestamp>,
    /// Never pruned.
    pub is_pinned: bool,
}

/// The form of a note.
#[derive(Serialize, Deserialize)]
struct Note {
    manifest: Manifest,
    bytes: u64,
    sha256: Option<String>,
    verified_us: Option<i64>,
    pinned: bool,
}

/// Which backups stay when others are removed. A backup goes when it is beyond one of the limits that are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest.
    pub count: Option<u64>,
    /// Those that were made at this time or later.
    pub since: Option<Timestamp>,
    /// The newest that have so many bytes together.
    pub bytes: Option<u64>,
}

impl Catalog {
    /// Opens a directory of backups, which is made if it does not exist; or a bucket, by `s3://BUCKET/PREFIX`. A bucket that
    /// does not respond is no error here: the log says so.
    pub fn open(location: &Path) -> io::Result<Catalog> {
        Ok(Catalog { place: Place::open(location)?, changing: Mutex::default() })
    }

    /// Ends calls that wait for a bucket once `is_stopped` returns true.
    pub fn stop_when(&self, is_stopped: impl Fn() -> bool + Send + Sync + 'static) {
        self.place.stop_when(is_stopped);
    }

    /// Begins the file of a backup, and gives its id.
    pub fn begin(&self, plan: &Plan) -> Result<(String, Pending), BackupError> {
        let Plan { kind, selection, created, labels, .. } = plan;
        let _changing = self.changing();
        self.check_room(selection, if labels.contains_key(AUTOMATIC_LABEL) { AUTOMATIC_ROOM } else { 0 })?;
        let time: String = created.to_string().chars().filter(char::is_ascii_alphanumeric).take(15).collect();
        let of = match selection {
            Selection::All => String::new(),
            Selection::Namespace(namespace) => format!("-{namespace}"),
            Selection::Config(id) => format!("-{}", id.namespace),
        };
        let random = uuid::Uuid::new_v4().as_u64_pair().0 as u32;
        let id = format!("{time}-{kind}{of}-{random:08x}");
        let name = file_of(&id);
        let file = self.place.create(&name).map_err(self.failed(&name))?;
        Ok((id, file))
    }

    /// Gives a complete file its name.
    pub fn commit(
        &self,
        id: &str,
        file: Pending,
        manifest: Manifest,
        finished: Finished,
    ) -> Result<Kept, BackupError> {
        let _changing = self.changing();
        file.commit().map_err(self.failed(&file_of(id)))?;
        let kept = Kept {
            id: id.to_owned(),
            manifest: Manifest { parts: Vec::new(), ..manifest },
            bytes: finished.bytes,
            sha256: Some(finished.sha256),
            verified: None,
            is_pinned: false,
        };
        self.write_note(&kept)?;
        Ok(kept)
    }

    /// All backups, oldest first. Files that are damaged, or that cannot be read, are left out; but not because a bucket does not respond.
    pub fn list(&self) -> Result<Vec<Kept>, BackupError> {
        self.listed(self.ids()?)
    }

    /// The backups of a namespace, as `list`.
    pub fn list_of(&self, namespace: &Namespace) -> Result<Vec<Kept>, BackupError> {
        let mut ids = self.ids()?;
        ids.retain(|id| namespace_of(id) == Some(namespace.as_str()));
        self.listed(ids)
    }

    fn listed(&self, ids: Vec<String>) -> Result<Vec<Kept>, BackupError> {
        let notes: Vec<String> = ids.iter().map(|id| note_of(id)).collect();
        let notes = self.place.read_notes(&notes).map_err(self.failed(""))?;
        let mut kept = Vec::with_capacity(ids.len());
        for (id, note) in ids.iter().zip(notes) {
            match self.read(id, note.as_deref()) {
                Ok(found) => kept.push(found),
                Err(BackupError::Io { what, source })
                    if self.place.is_remote() && source.kind() != ErrorKind::NotFound =>
                {
                    return Err(BackupError::Io { what, source });
                }
                Err(_) => {}
            }
        }
        kept.sort_by(|a, b| (a.manifest.created_us, &a.id).cmp(&(b.manifest.created_us, &b.id)));
        Ok(kept)
    }

    /// A backup. `None`: there is none with this id.
    pub fn get(&self, id: &str) -> Result<Option<Kept>, BackupError> {
        let is_id = id.len() <= ID_BYTES_MAX
            && !id.is_empty()
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !id.starts_with('.');
        let name = file_of(id);
        if !is_id || !self.place.exists(&name).map_err(self.failed(&name))? {
            return Ok(None);
        }
        self.read_with_note(id).map(Some)
    }

    /// Opens the file of a backup.
    pub fn open_file(&self, id: &str) -> Result<Box<dyn Stored>, BackupError> {
        let name = file_of(id);
        self.place.read(&name).map_err(self.failed(&name))
    }

    /// Verifies a file to its end, and notes that it was found to be right. Ends early once `is_stopped` says yes.
    pub fn verify(
        &self,
        id: &str,
        now: Timestamp,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Kept, BackupError> {
        let file = Stoppable { file: self.open_file(id)?, is_stopped };
        let verified = verify(BufReader::with_capacity(1 << 20, file)).map_err(|error| match error {
            _ if is_stopped() => BackupError::Stopped,
            other => other,
        })?;
        let _changing = self.changing();
        let before = self.read_with_note(id)?;
        check_sum(&before, verified.sha256)?;
        let kept = Kept { sha256: Some(verified.sha256), verified: Some(now), ..before };
        self.write_note(&kept)?;
        Ok(kept)
    }

    /// Reads what configs were from a backup, which is verified, and from the backups that it follows. Ends early once `is_stopped` says yes.
    pub fn extract(
        &self,
        kept: &Kept,
        wanted: &Wanted<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Extracted, BackupError> {
        let chain = self.chain(kept)?;
        let manifests: Vec<&Manifest> = chain.iter().map(|kept| &kept.manifest).collect();
        let open = |at: usize| -> Result<BufReader<Stoppable<'_, Box<dyn Stored>>>, BackupError> {
            let file = Stoppable { file: self.open_file(&chain[at].id)?, is_stopped };
            Ok(BufReader::with_capacity(1 << 20, file))
        };
        let (extracted, files) =
            extract(&manifests, &open, u64::MAX, wanted).map_err(|error| match error {
                _ if is_stopped() => BackupError::Stopped,
                other => other,
            })?;
        for (kept, file) in chain.iter().zip(files) {
            check_sum(kept, file.sha256)?;
        }
        Ok(extracted)
    }

    /// A backup after those that it is restored after, the oldest first.
    fn chain(&self, kept: &Kept) -> Result<Vec<Kept>, BackupError> {
        let mut chain = vec![kept.clone()];
        let mut all = if kept.manifest.kind == Kind::Incremental { self.list()? } else { vec![] };
        all.truncate(all.iter().position(|other| other.id == kept.id).unwrap_or(all.len()));
        while let Some(next) = chain.last().filter(|next| next.manifest.kind == Kind::Incremental) {
            let before = all.iter().rposition(|earlier| is_before(&earlier.manifest, &next.manifest));
            let before = before.ok_or_else(|| {
                let what = format!("backup {} follows a backup that the server does not keep", next.id);
                BackupError::Mismatch(what)
            })?;
            all.truncate(before + 1);
            chain.extend(all.pop());
        }
        chain.reverse();
        Ok(chain)
    }

    /// Pins a backup, or lets it go.
    pub fn pin(&self, id: &str, is_pinned: bool) -> Result<Kept, BackupError> {
        let _changing = self.changing();
        let kept = Kept { is_pinned, ..self.read_with_note(id)? };
        self.write_note(&kept)?;
        Ok(kept)
    }

    /// Removes a backup.
    pub fn remove(&self, id: &str) -> Result<(), BackupError> {
        let _changing = self.changing();
        let name = file_of(id);
        self.place.remove(&[name.clone(), note_of(id)]).map_err(self.failed(&name))
    }

    /// Refuses a backup for which there is no room. Backups of namespaces take no room from backups of the store. `more`: how many may be there beyond
    /// the limits.
    fn check_room(&self, selection: &Selection, more: usize) -> Result<(), BackupError> {
        let ids = self.ids()?;
        let count = |of: Option<&str>| ids.iter().filter(|id| namespace_of(id) == of).count();
        let full = |of: &str, max: usize| {
            Err(BackupError::Full(format!(
                "{of} has {max} kept backups, with those that are pinned: unpin or prune some"
            )))
        };
        match selection {
            Selection::All if count(None) >= KEPT_MAX + more => full("the store", KEPT_MAX),
            Selection::All => Ok(()),
            Selection::Namespace(namespace) | Selection::Config(ConfigId { namespace, .. }) => {
                match count(Some(namespace.as_str())) {
                    count if count >= KEPT_OF_NAMESPACE_MAX + more => {
                        full(&format!("namespace {namespace}"), KEPT_OF_NAMESPACE_MAX)
                    }
                    _ if ids.len() >= KEPT_MAX + more => full("the server", KEPT_MAX),
                    _ => Ok(()),
                }
            }
        }
    }

    fn ids(&self) -> Result<Vec<String>, BackupError> {
        let names = self.place.names().map_err(self.failed(""))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(FILE_SUFFIX)).map(ToOwned::to_owned).collect())
    }

    fn read_with_note(&self, id: &str) -> Result<Kept, BackupError> {
        let notes = self.place.read_notes(&[note_of(id)]).map_err(self.failed(&note_of(id)))?;
        self.read(id, notes.into_iter().flatten().next().as_deref())
    }

    fn read(&self, id: &str, note: Option<&[u8]>) -> Result<Kept, BackupError> {
        if let Some(note) = note.and_then(|note| serde_json::from_slice::<Note>(note).ok()) {
            return Ok(Kept {
                id: id.to_owned(),
                manifest: note.manifest,
                bytes: note.bytes,
                sha256: note.sha256.as_deref().and_then(Digest::parse),
                verified: note.verified_us.map(Timestamp),
                is_pinned: note.pinned,
            });
        }
        let name = file_of(id);
        let (manifest, bytes) = read_manifest_from(&mut *self.open_file(id)?, &self.place.name_of(&name))?;
        let manifest = Manifest { parts: Vec::new(), ..manifest };
        Ok(Kept { id: id.to_owned(), manifest, bytes, sha256: None, verified: None, is_pinned: false })
    }

    fn write_note(&self, kept: &Kept) -> Result<(), BackupError> {
        let name = note_of(&kept.id);
        let note = Note {
            manifest: kept.manifest.clone(),
            bytes: kept.bytes,
            sha256: kept.sha256.map(|sum| sum.to_string()),
            verified_us: kept.verified.map(|time| time.0),
            pinned: kept.is_pinned,
        };
        let text = serde_json::to_vec(&note).expect("a note has texts and numbers");
        self.place.replace_note(&name, &text).map_err(self.failed(&name))
    }

    /// What has failed: a file, or all of them where the name is empty.
    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> BackupError {
        let what = if name.is_empty() { self.place.to_string() } else { self.place.name_of(name) };
        // Where a call to a bucket was stopped, the work has not failed.
        move |source| match source.kind() {
            ErrorKind::BrokenPipe => BackupError::Stopped,
            _ => BackupError::Io { what, source },
        }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a file that is not the one that was made.
fn check_sum(kept: &Kept, found: Digest) -> Result<(), BackupError> {
    match kept.sha256.is_none_or(|noted| noted == found) {
        true => Ok(()),
        false => {
            Err(BackupError::damaged(format!("its sum is {found}, another one was noted when it was made")))
        }
    }
}

/// The namespace that the id of a backup names: TIME-KIND-NAMESPACE-RANDOM. `None`: the backup is of the store, or has a name of its own.
fn namespace_of(id: &str) -> Option<&str> {
    let rest = id.splitn(3, '-').nth(2)?;
    rest.rsplit_once('-').map(|(namespace, _)| namespace)
}

fn file_of(id: &str) -> String {
    format!("{id}{FILE_SUFFIX}")
}

fn note_of(id: &str) -> String {
    format!("{id}{NOTE_SUFFIX}")
}

/// The backups that go, oldest first, of these, which are the oldest first. Never one that is pinned, nor one that another one that stays is restored
/// after: the backups before an incremental one stay as long as it does.
/// Those that are not concerned stay, and do not count.
pub fn beyond(kept: &[Kept], keep: Keep, is_concerned: impl Fn(&Kept) -> bool) -> Vec<&Kept> {
    let mut stays = vec![false; kept.len()];
    let (mut count, mut bytes) = (0, 0_u64);
    for (at, backup) in kept.iter().enumerate().rev() {
        if !is_concerned(backup) {
            stays[at] = true;
            continue;
        }
        count += 1;
        bytes = bytes.saturating_add(backup.bytes);
        let is_within = keep.count.is_none_or(|max| count <= max)
            && keep.since.is_none_or(|since| backup.manifest.created() >= since)
            && keep.bytes.is_none_or(|max| bytes <= max);
        stays[at] = is_within || backup.is_pinned;
    }
    // From the newest on: what stays needs the backup before it.
    for at in (0..kept.len()).rev() {
        if stays[at] && kept[at].manifest.kind == Kind::Incremental {
            let before =
                kept[..at].iter().rposition(|earlier| is_before(&earlier.manifest, &kept[at].manifest));
            if let Some(before) = before {
                stays[before] = true;
            }
        }
    }
    kept.iter().zip(stays).filter(|(_, stays)| !stays).map(|(backup, _)| backup).collect()
}

/// Whether an incremental backup is restored after another one.
fn is_before(earlier: &Manifest, later: &Manifest) -> bool {
    earlier.kind != Kind::State
        && earlier.selection == "*"
        && earlier.epoch == later.epoch
        && earlier.last_revision + 1 == later.first_revision
        && earlier.last_hash == later.base_hash
}
