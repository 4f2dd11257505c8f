//! Makes a new data directory of a backup, and of incremental backups that follow it. Knows files and stores; never a running server.
//!
//! The order makes a crash harmless at every point: all files are verified before anything is written; the store is made in a directory
//! with another name, which a later restore removes; that directory is durable before it gets its name.
//!
//! The new store has the commits, revisions and hashes of the backup, and an epoch of its own: positions that clients keep of the store
//! that is gone are known to be of another history. The first new commit says where the store came from.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::error::BackupError;
use super::file::{directory_of, sync_dir};
use super::manifest::{Kind, Manifest, Selection};
use super::place::Stored;
use super::source::open_backup;
use super::verify::{Content as Part, Verified, verify, visit};
use crate::model::{
    Author, Commit, ConfigChange, ConfigId, Content, Digest, Epoch, LayerChange, LayerKey, Revision, Scope,
    Source, SystemConfig, Timestamp, Version,
};
use crate::secret::{MasterKeySource, StoredKeys, load_masters};
use crate::store::codec::commit_format;
use crate::store::{Head, History, Journal, Sealed, Seeding, SledOptions, SledStore, StoreError};

/// The end of the name of a directory in which a store is being restored.
const PENDING_SUFFIX: &str = ".restoring";
/// A batch of commits that becomes durable at once has about as many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// How long the store may take to let go of its directory.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(30);

/// How to restore.
pub struct Restoring<'a> {
    pub options: SledOptions,
    /// Must open the data keys of the backup, if the backup has any.
    pub master_key: &'a MasterKeySource,
    /// Who restores, and when.
    pub actor: String,
    pub now: Timestamp,
    /// Called with each step.
    pub observe: &'a mut dyn FnMut(Step),
}

/// A step of a restore. A test may end the process at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many of the files were verified.
    Verified(usize),
    /// The directory with another name is there.
    Begun,
    /// Commits up to this revision are durable in it.
    Written(Revision),
    /// The store is complete, and closed.
    Complete,
    /// The directory has its name.
    Named,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Of the last backup.
    pub revision: Revision,
    /// The revision of the commit that says where the store came from.
    pub origin_revision: Revision,
    pub epoch: Epoch,
    pub files: Vec<Verified>,
}

/// Makes the data directory `dir`, which is not there, or empty, of a full backup of all and the incremental ones that follow it. A backup in a
/// bucket is named by `s3://BUCKET/NAME`, and is read as often as a file is.
pub fn restore(files: &[PathBuf], dir: &Path, restoring: Restoring<'_>) -> Result<Restored, BackupError> {
    refuse_used(dir)?;
    let verified = verified(files, &mut *restoring.observe)?;
    check_chain(&verified.iter().map(|file| &file.manifest).collect::<Vec<_>>())?;
    check_master_key(files, restoring.master_key)?;

    let pending = with_suffix(dir, PENDING_SUFFIX);
    remove_if_there(&pending)?;
    let (store, origin_revision) = write(
        files,
        &verified,
        &pending,
        restoring.options,
        Origin {
            actor: &restoring.actor,
            now: restoring.now,
            dir,
            verified: &verified,
            observe: &mut *restoring.observe,
        },
    )?;
    let (epoch, released) = (store.epoch(), store.released());
    drop(store);
    if !released.wait(RELEASE_TIME_MAX) {
        let source = io::Error::new(io::ErrorKind::TimedOut, "the store is not closed yet");
        return Err(BackupError::Io { what: pending.display().to_string(), source });
    }
    // The lock is of a store that was open.
    sync_dir(&pending).map_err(BackupError::io(pending.display()))?;
    (restoring.observe)(Step::Complete);
    let above = directory_of(dir);
    fs::rename(&pending, dir).map_err(BackupError::io(dir.display()))?;
    sync_dir(&above).map_err(BackupError::io(above.display()))?;
    (restoring.observe)(Step::Named);
    let revision = verified.last().map_or(Revision::ZERO, |last| Revision(last.manifest.last_revision));
    Ok(Restored { revision, origin_revision, epoch, files: verified })
}

fn refuse_used(dir: &Path) -> Result<(), BackupError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BackupError::Io { what: dir.display().to_string(), source }),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::NotEmpty(dir.display().to_string())),
        },
    }
}

fn open(path: &Path) -> Result<BufReader<Box<dyn Stored>>, BackupError> {
    Ok(BufReader::with_capacity(1 << 20, open_backup(path)?))
}

fn verified(files: &[PathBuf], observe: &mut dyn FnMut(Step)) -> Result<Vec<Verified>, BackupError> {
    let mut verified = Vec::with_capacity(files.len());
    for path in files {
        verified.push(verify(open(path)?).map_err(|error| named(path, error))?);
        observe(Step::Verified(verified.len()));
    }
    Ok(verified)
}

/// Names the file that an error is about.
fn named(path: &Path, error: BackupError) -> BackupError {
    match error {
        BackupError::Damaged(what) => BackupError::Damaged(format!("{}: {what}", path.display())),
        BackupError::Foreign
        | BackupError::Format { .. }
        | BackupError::Mismatch(_)
        | BackupError::Revision { .. }
        | BackupError::TooLarge { .. }
        | BackupError::MasterKey(_)
        | BackupError::Full(_)
        | BackupError::Stopped
        | BackupError::NotEmpty(_)
        | BackupError::Store(_)
        | BackupError::Io { .. } => error,
    }
}

/// Refuses files of which no store can be made: the first is a full backup of all, and each one after follows the one before.
pub(super) fn check_chain(files: &[&Manifest]) -> Result<(), BackupError> {
    let wrong = |what: String| Err(BackupError::Mismatch(what));
    for (at, manifest) in files.iter().enumerate() {
        if manifest.selection()? != Selection::All {
            return wrong(format!(
                "file {} has {} alone: a store is made of a backup of all",
                at + 1,
                manifest.selection
            ));
        }
        let (Some(before), Kind::Incremental) =
            (at.checked_sub(1).map(|before| files[before]), manifest.kind)
        else {
            if at == 0 && manifest.kind == Kind::Full {
                continue;
            }
            return wrong(format!(
                "file {} is a backup of kind {}: name a full backup first, and then incremental ones in their order",
                at + 1,
                manifest.kind
            ));
        };
        let follows = manifest.epoch == before.epoch
            && manifest.base_hash == before.last_hash
            && manifest.first_revision == before.last_revision + 1;
        if !follows {
            return wrong(format!(
                "file {} begins with revision {}, and does not follow revision {} of the file before",
                at + 1,
                manifest.first_revision,
                before.last_revision
            ));
        }
    }
    Ok(())
}

/// Refuses a backup whose data keys the master key does not open: no server would start with the store.
fn check_master_key(files: &[PathBuf], source: &MasterKeySource) -> Result<(), BackupError> {
    let mut layers: BTreeMap<LayerKey, Content> = BTreeMap::new();
    let keys = SystemConfig::Keys.id();
    for path in files {
        visit(open(path)?, u64::MAX, &mut |part| {
            match part {
                Part::History(_) => {}
                Part::Commits { commits, .. } => {
                    let changes = commits.into_iter().flat_map(|sealed| sealed.commit.changes);
                    for layer in changes.filter(|change| change.id == *keys).flat_map(|change| change.layers)
                    {
                        match layer.content {
                            Some(content) => layers.insert(layer.key, content),
                            None => layers.remove(&layer.key),
                        };
                    }
                }
                Part::State(config) if config.id == *keys => {
                    layers = config.layers.into_iter().map(|(key, layer)| (key, layer.content)).collect();
                }
                Part::State(_) => {}
            }
            Ok(())
        })?;
    }
    let refused = |error: &dyn std::fmt::Display| BackupError::MasterKey(error.to_string());
    let stored = StoredKeys::of_layers(layers.iter()).map_err(|error| refused(&error))?;
    let Some(stored) = stored else { return Ok(()) };
    let masters = load_masters(source, Some(&stored)).map_err(|error| refused(&error))?;
    let masters = masters.expect("it is an error if there are none");
    stored.open(&masters).map(|_| ()).map_err(|error| refused(&error))
}

/// What the first new commit says.
struct Origin<'a> {
    actor: &'a str,
    now: Timestamp,
    dir: &'a Path,
    verified: &'a [Verified],
    observe: &'a mut dyn FnMut(Step),
}

fn write(
    files: &[PathBuf],
    verified: &[Verified],
    pending: &Path,
    options: SledOptions,
    origin: Origin<'_>,
) -> Result<(SledStore, Revision), BackupError> {
    let first = &verified.first().ok_or_else(|| BackupError::Mismatch("name a backup".to_owned()))?.manifest;
    let options = SledOptions { epoch: Some(Epoch(uuid::Uuid::new_v4().as_u64_pair().1)), ..options };
    let is_complete = first.first_revision == 1 && first.forgotten.is_empty();
    let mut target = match is_complete {
        true => Target::Store(SledStore::open(pending, options)?),
        false => {
            let hash = Digest::parse(&first.base_hash);
            let before = Head {
                revision: Revision(first.first_revision - 1),
                // No later than the first commit, whose time is not known yet.
                time: Timestamp(i64::MIN),
                hash: hash.ok_or_else(|| BackupError::damaged("the hash before its first commit is none"))?,
            };
            let forgotten = first.forgotten.iter().map(|(namespace, oldest)| (namespace.clone(), *oldest));
            Target::Seeding(Seeding::begin(pending, options, before, forgotten.collect())?)
        }
    };
    (origin.observe)(Step::Begun);
    let mut batch = Batch::default();
    for (path, verified) in files.iter().zip(verified) {
        let again = visit(open(path)?, u64::MAX, &mut |part| {
            match part {
                Part::History(config) => match &mut target {
                    Target::Seeding(seeding) => seeding.add(config)?,
                    Target::Store(_) | Target::None => {
                        return Err(BackupError::damaged("history is in the wrong place"));
                    }
                },
                Part::Commits { previous, commits } => {
                    let store = target.store()?;
                    for sealed in commits {
                        batch.add(store, previous, sealed)?;
                    }
                }
                Part::State(_) => {}
            }
            Ok(())
        })?;
        batch.flush(target.store()?)?;
        if again != *verified {
            return Err(BackupError::damaged(format!("{}: it has changed meanwhile", path.display())));
        }
        (origin.observe)(Step::Written(Revision(again.manifest.last_revision)));
    }
    target.store()?;
    let Target::Store(store) = target else { unreachable!("it was just opened") };
    let revision = origin.commit(&store)?;
    Ok((store, revision))
}

/// The store that is being made.
enum Target {
    Seeding(Seeding),
    Store(SledStore),
    None,
}

impl Target {
    /// Opens the store once all that is before its first commit is there.
    fn store(&mut self) -> Result<&SledStore, StoreError> {
        *self = match std::mem::replace(self, Target::None) {
            Target::Seeding(seeding) => Target::Store(seeding.finish()?),
            other => other,
        };
        match self {
            Target::Store(store) => Ok(store),
            Target::Seeding(_) | Target::None => Err(StoreError::Failed("it could not be made".to_owned())),
        }
    }
}

/// Commits that become durable at once.
#[derive(Default)]
struct Batch {
    commits: Vec<Commit>,
    format: crate::store::codec::CommitFormat,
    bytes: usize,
    /// The hash of the last commit that was added.
    hash: Option<Digest>,
}

impl Batch {
    fn add(&mut self, store: &SledStore, base: Digest, sealed: Sealed) -> Result<(), BackupError> {
        let revision = sealed.commit.revision;
        let format = commit_format(self.hash.unwrap_or(base), &sealed);
        let format = format.ok_or_else(|| {
            BackupError::damaged(format!("revision {revision} does not have the hash of its content"))
        })?;
        if format != self.format || self.bytes >= BATCH_BYTES {
            self.flush(store)?;
        }
        let bytes: u64 = sealed.commit.journal_bytes().into_iter().map(|(_, bytes)| bytes).sum();
        self.bytes += bytes as usize;
        (self.format, self.hash) = (format, Some(sealed.hash));
        self.commits.push(sealed.commit);
        Ok(())
    }

    fn flush(&mut self, store: &SledStore) -> Result<(), BackupError> {
        let head = store.append_as(self.format, &std::mem::take(&mut self.commits))?;
        self.bytes = 0;
        match self.hash.is_none_or(|hash| hash == head.hash) {
            true => Ok(()),
            false => Err(BackupError::damaged("its commits have other hashes in a new store")),
        }
    }
}

impl Origin<'_> {
    /// Appends the commit that says where the store came from.
    fn commit(&self, store: &SledStore) -> Result<Revision, BackupError> {
        let id: &ConfigId = SystemConfig::Origin.id();
        let before = store.versions(id, Version(u64::MAX), 1)?;
        let version = before.first().map_or(Version::ZERO, |at| at.version).next();
        let head = store.head();
        let files = self.verified.iter().map(|file| {
            json!({
                "sha256": file.sha256.to_string(),
                "kind": file.manifest.kind.as_str(),
                "revision": file.manifest.last_revision,
                "epoch": file.manifest.epoch,
                "created": file.manifest.created().to_string(),
                "actor": file.manifest.actor,
                "server": file.manifest.server,
            })
        });
        let origin = json!({
            "restored": self.now.to_string(),
            "actor": self.actor,
            "revision": head.revision.0,
            "directory": self.dir.display().to_string(),
            "backups": files.collect::<Vec<_>>(),
        });
        let sum = self.verified.last().map(|file| file.sha256.to_string()).unwrap_or_default();
        let layer = LayerChange {
            key: LayerKey::base(Scope::global()),
            content: Some(Content::of(&origin)),
            expires: None,
            format: None,
        };
        let change =
            ConfigChange { id: id.clone(), version, layers: vec![layer], tags: vec![], restored: None };
        let commit = Commit {
            revision: head.revision.next(),
            time: self.now.max(head.time),
            author: Author::named(self.actor),
            source: Source::Set,
            reason: format!("the store was restored from the backup of revision {}", head.revision),
            request: None,
            annotations: BTreeMap::from([("backup".to_owned(), sum)]),
            changes: vec![change],
            forgotten: vec![],
        };
        Ok(store.append(&[commit])?.revision)
    }
}

fn with_suffix(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().map(ToOwned::to_owned).unwrap_or_else(|| "confwatch-data".into());
    name.push(suffix);
    dir.with_file_name(name)
}

fn remove_if_there(dir: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::Io { what: dir.display().to_string(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
