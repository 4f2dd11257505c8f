//! The directory in which a server keeps its backups. Knows files and manifests; not who makes backups, nor when.
//!
//! A backup `ID` is the file `ID.cwb`, and what is known of it besides is in `ID.json`: its manifest without the list of parts, its length and sum,
//! when it was verified last, and whether it is pinned. The second file is made again from the first if it is missing. `*.part` are files that
//! are being written, or that a crash has left: the next start removes them.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::BackupError;
use super::file::{PART_SUFFIX, PendingFile, read_manifest, sync_dir};
use super::manifest::{Kind, Manifest, Selection};
use super::verify::verify;
use super::write::Finished;
use crate::durable_file;
use crate::model::{Digest, Timestamp};

const FILE_SUFFIX: &str = ".cwb";
const NOTE_SUFFIX: &str = ".json";
/// A directory with more backups takes no more.
pub const KEPT_MAX: usize = 10_000;
/// The longest id.
const ID_BYTES_MAX: usize = 128;

/// A directory of backups.
pub struct Catalog {
    dir: PathBuf,
    /// Held while names are given, changed or removed.
    changing: Mutex<()>,
}

/// A backup in the directory.
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
    /// Opens a directory of backups, which is made if it is not there, and removes what a crash has left.
    pub fn open(dir: &Path) -> io::Result<Catalog> {
        use std::os::unix::fs::DirBuilderExt;
        if !dir.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        // Before the first backup in it: a backup is durable with the names of all directories above it.
        durable_file::sync_names(dir)?;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(PART_SUFFIX) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Catalog { dir: dir.to_owned(), changing: Mutex::default() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins the file of a backup, and gives its id.
    pub fn begin(
        &self,
        kind: Kind,
        selection: &Selection,
        created: Timestamp,
    ) -> Result<(String, PendingFile), BackupError> {
        let _changing = self.changing();
        if self.ids()?.len() >= KEPT_MAX {
            let what = format!("{} has {KEPT_MAX} backups: prune some", self.dir.display());
            return Err(BackupError::Full(what));
        }
        let time: String = created.to_string().chars().filter(char::is_ascii_alphanumeric).take(15).collect();
        let of = match selection {
            Selection::All => String::new(),
            Selection::Namespace(namespace) => format!("-{namespace}"),
            Selection::Config(id) => format!("-{}", id.namespace),
        };
        let random = uuid::Uuid::new_v4().as_u64_pair().0 as u32;
        let id = format!("{time}-{kind}{of}-{random:08x}");
        let path = self.path(&id, FILE_SUFFIX);
        let file = PendingFile::create(&path).map_err(BackupError::io(path.display()))?;
        Ok((id, file))
    }

    /// Gives a complete file its name.
    pub fn commit(
        &self,
        id: &str,
        file: PendingFile,
        manifest: Manifest,
        finished: Finished,
    ) -> Result<Kept, BackupError> {
        let _changing = self.changing();
        let path = self.path(id, FILE_SUFFIX);
        file.commit().map_err(BackupError::io(path.display()))?;
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

    /// All backups, oldest first. Files that cannot be read are left out.
    pub fn list(&self) -> Result<Vec<Kept>, BackupError> {
        let mut kept: Vec<Kept> = self.ids()?.iter().filter_map(|id| self.read(id).ok()).collect();
        kept.sort_by(|a, b| (a.manifest.created_us, &a.id).cmp(&(b.manifest.created_us, &b.id)));
        Ok(kept)
    }

    /// A backup. `None`: there is none with this id.
    pub fn get(&self, id: &str) -> Result<Option<Kept>, BackupError> {
        let is_id = id.len() <= ID_BYTES_MAX
            && !id.is_empty()
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !id.starts_with('.');
        if !is_id || !self.path(id, FILE_SUFFIX).is_file() {
            return Ok(None);
        }
        self.read(id).map(Some)
    }

    /// Verifies a file to its end, and notes that it was found to be right. Ends early once `is_stopped` says yes.
    pub fn verify(
        &self,
        id: &str,
        now: Timestamp,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Kept, BackupError> {
        let path = self.path(id, FILE_SUFFIX);
        let file = File::open(&path).map_err(BackupError::io(path.display()))?;
        let file = Stoppable { file, is_stopped };
        let verified = verify(BufReader::with_capacity(1 << 20, file)).map_err(|error| match error {
            _ if is_stopped() => BackupError::Stopped,
            other => other,
        })?;
        let _changing = self.changing();
        let before = self.read(id)?;
        if before.sha256.is_some_and(|sum| sum != verified.sha256) {
            let what = format!("its sum is {}, another one was noted when it was made", verified.sha256);
            return Err(BackupError::damaged(what));
        }
        let kept = Kept { sha256: Some(verified.sha256), verified: Some(now), ..before };
        self.write_note(&kept)?;
        Ok(kept)
    }

    /// Pins a backup, or lets it go.
    pub fn pin(&self, id: &str, is_pinned: bool) -> Result<Kept, BackupError> {
        let _changing = self.changing();
        let kept = Kept { is_pinned, ..self.read(id)? };
        self.write_note(&kept)?;
        Ok(kept)
    }

    /// Removes a backup.
    pub fn remove(&self, id: &str) -> Result<(), BackupError> {
        let _changing = self.changing();
        for suffix in [FILE_SUFFIX, NOTE_SUFFIX] {
            let path = self.path(id, suffix);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(BackupError::Io { what: path.display().to_string(), source: error });
                }
                Ok(()) | Err(_) => {}
            }
        }
        sync_dir(&self.dir).map_err(BackupError::io(self.dir.display()))
    }

    fn ids(&self) -> Result<Vec<String>, BackupError> {
        let entries = fs::read_dir(&self.dir).map_err(BackupError::io(self.dir.display()))?;
        let mut ids = vec![];
        for entry in entries {
            let name = entry.map_err(BackupError::io(self.dir.display()))?.file_name();
            ids.extend(name.to_string_lossy().strip_suffix(FILE_SUFFIX).map(ToOwned::to_owned));
        }
        Ok(ids)
    }

    fn read(&self, id: &str) -> Result<Kept, BackupError> {
        if let Some(note) = self.read_note(id) {
            return Ok(Kept {
                id: id.to_owned(),
                manifest: note.manifest,
                bytes: note.bytes,
                sha256: note.sha256.as_deref().and_then(Digest::parse),
                verified: note.verified_us.map(Timestamp),
                is_pinned: note.pinned,
            });
        }
        let (manifest, bytes) = read_manifest(&self.path(id, FILE_SUFFIX))?;
        let manifest = Manifest { parts: Vec::new(), ..manifest };
        Ok(Kept { id: id.to_owned(), manifest, bytes, sha256: None, verified: None, is_pinned: false })
    }

    fn read_note(&self, id: &str) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.path(id, NOTE_SUFFIX)).ok()?).ok()
    }

    fn write_note(&self, kept: &Kept) -> Result<(), BackupError> {
        let path = self.path(&kept.id, NOTE_SUFFIX);
        let note = Note {
            manifest: kept.manifest.clone(),
            bytes: kept.bytes,
            sha256: kept.sha256.map(|sum| sum.to_string()),
            verified_us: kept.verified.map(|time| time.0),
            pinned: kept.is_pinned,
        };
        let write = || {
            let text = serde_json::to_vec(&note).expect("a note has texts and numbers");
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = PendingFile::create(&path)?;
            file.write_all(&text)?;
            file.commit()
        };
        write().map_err(BackupError::io(path.display()))
    }

    fn path(&self, id: &str, suffix: &str) -> PathBuf {
        self.dir.join(format!("{id}{suffix}"))
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that cannot be read any more once the reader has given up.
struct Stoppable<'a> {
    file: File,
    is_stopped: &'a dyn Fn() -> bool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match (self.is_stopped)() {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => self.file.read(bytes),
        }
    }
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
