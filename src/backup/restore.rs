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

use serde_json::json;

use super::error::BackupError;
use super::file::{directory_of, sync_dir};
use super::format::PartKind;
use super::manifest::{Kind, Manifest, Selection};
use super::place::Stored;
use super::read::{Next, Reader};
use super::record::StoredConfig;
use super::source::open_backup;
use super::verify::{Content as Part, Verified, undecodable, visit};
use super::write::Finished;
use crate::model::{
    Author, Commit, ConfigChange, ConfigId, Content, Digest, Epoch, LayerChange, LayerKey, Revision, Scope,
    Source, SystemConfig, Timestamp, Version,
};
use crate::secret::{MasterKeySource, StoredKeys, load_masters};
use crate::store::{Head, Importing, Seeding, SledOptions, StoreError};

/// The end of the name of a directory in which a store is being restored.
const PENDING_SUFFIX: &str = ".restoring";

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
    /// Commits up to this revision are in it.
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
    let mut keys = Keys::default();
    let verified = verified(files, &mut keys, &mut *restoring.observe)?;
    check_chain(&verified.iter().map(|file| &file.manifest).collect::<Vec<_>>())?;
    keys.check(restoring.master_key)?;

    let pending = with_suffix(dir, PENDING_SUFFIX);
    remove_if_there(&pending)?;
    let origin = Origin { actor: &restoring.actor, now: restoring.now, dir, verified: &verified };
    let (epoch, origin_revision) =
        write(files, &pending, restoring.options, origin, &mut *restoring.observe)?;
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

fn verified(
    files: &[PathBuf],
    keys: &mut Keys,
    observe: &mut dyn FnMut(Step),
) -> Result<Vec<Verified>, BackupError> {
    let mut verified = Vec::with_capacity(files.len());
    for path in files {
        let file = visit(open(path)?, u64::MAX, &mut |part| keys.part(part));
        verified.push(file.map_err(|error| named(path, error))?);
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

/// The data keys that a backup has, wrapped.
#[derive(Default)]
struct Keys(BTreeMap<LayerKey, Content>);

impl Keys {
    fn part(&mut self, part: Part<'_>) -> Result<(), BackupError> {
        let keys = SystemConfig::Keys.id();
        match part {
            Part::Commits(batch) => {
                for commit in batch.commits.into_iter().filter(|commit| commit.changes(keys)) {
                    let changes = commit.into_sealed().map_err(undecodable)?.commit.changes;
                    changes
                        .into_iter()
                        .filter(|change| change.id == *keys)
                        .for_each(|change| self.change(change));
                }
            }
            Part::State(config) if config.id == *keys => {
                let layers = config.into_record()?.layers.into_iter();
                self.0 = layers.map(|(key, layer)| (key, layer.content)).collect();
            }
            Part::State(_) | Part::History(_) => {}
        }
        Ok(())
    }

    fn change(&mut self, change: ConfigChange) {
        for layer in change.layers {
            match layer.content {
                Some(content) => self.0.insert(layer.key, content),
                None => self.0.remove(&layer.key),
            };
        }
    }

    /// Refuses a backup whose data keys the master key does not open: no server would start with the store.
    fn check(&self, source: &MasterKeySource) -> Result<(), BackupError> {
        let refused = |error: &dyn std::fmt::Display| BackupError::MasterKey(error.to_string());
        let stored = StoredKeys::of_layers(self.0.iter()).map_err(|error| refused(&error))?;
        let Some(stored) = stored else { return Ok(()) };
        let masters = load_masters(source, Some(&stored)).map_err(|error| refused(&error))?;
        let masters = masters.expect("it is an error if there are none");
        stored.open(&masters).map(|_| ()).map_err(|error| refused(&error))
    }
}

/// What the first new commit says.
struct Origin<'a> {
    actor: &'a str,
    now: Timestamp,
    dir: &'a Path,
    verified: &'a [Verified],
}

/// Writes the store. Returns its epoch, and the revision of the commit that says where the store came from.
fn write(
    files: &[PathBuf],
    pending: &Path,
    options: SledOptions,
    origin: Origin<'_>,
    observe: &mut dyn FnMut(Step),
) -> Result<(Epoch, Revision), BackupError> {
    let verified = origin.verified;
    let first = &verified.first().ok_or_else(|| BackupError::Mismatch("name a backup".to_owned()))?.manifest;
    let options = SledOptions { epoch: Some(Epoch(uuid::Uuid::new_v4().as_u64_pair().1)), ..options };
    let is_complete = first.first_revision == 1 && first.forgotten.is_empty();
    let mut target = match is_complete {
        true => Target::Importing(Importing::begin(pending, &options)?),
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
    observe(Step::Begun);
    for (path, verified) in files.iter().zip(verified) {
        write_file(path, verified, &mut target)?;
        observe(Step::Written(Revision(verified.manifest.last_revision)));
    }
    target.importing()?;
    let Target::Importing(mut importing) = target else { unreachable!("it was just opened") };
    let revision = origin.commit(&mut importing)?;
    let epoch = importing.epoch()?;
    importing.finish()?;
    Ok((epoch, revision))
}

/// Writes what a file has. All of it was verified: what is compared is that the file is the one that was.
fn write_file(path: &Path, verified: &Verified, target: &mut Target) -> Result<(), BackupError> {
    // The state follows from the commits.
    let is_wanted = |kind| kind != PartKind::State;
    let mut reader = Reader::begin(open(path)?, u64::MAX, is_wanted)?;
    loop {
        match reader.next()? {
            Next::Part(kind, mut items) => {
                while let Some(item) = items.next()? {
                    match (kind, &mut *target) {
                        (PartKind::History, Target::Seeding(seeding)) => {
                            seeding.add(StoredConfig::decode(item)?.into_record()?)?;
                        }
                        (PartKind::Commits, target) => target.importing()?.add(item.to_vec())?,
                        _ => return Err(BackupError::damaged("history is in the wrong place")),
                    }
                }
            }
            Next::End(manifest, finished) => {
                let Verified { manifest: expected, bytes, sha256 } = verified;
                let is_same =
                    *manifest == *expected && finished == Finished { bytes: *bytes, sha256: *sha256 };
                return match is_same {
                    true => Ok(()),
                    false => {
                        Err(BackupError::damaged(format!("{}: it has changed meanwhile", path.display())))
                    }
                };
            }
        }
    }
}

/// The store that is being made.
enum Target {
    Seeding(Seeding),
    Importing(Importing),
    None,
}

impl Target {
    /// Takes commits once all that is before the first one is there.
    fn importing(&mut self) -> Result<&mut Importing, StoreError> {
        *self = match std::mem::replace(self, Target::None) {
            Target::Seeding(seeding) => Target::Importing(seeding.finish()?),
            other => other,
        };
        match self {
            Target::Importing(importing) => Ok(importing),
            Target::Seeding(_) | Target::None => Err(StoreError::Failed("it could not be made".to_owned())),
        }
    }
}

impl Origin<'_> {
    /// Appends the commit that says where the store came from.
    fn commit(&self, store: &mut Importing) -> Result<Revision, BackupError> {
        let id: &ConfigId = SystemConfig::Origin.id();
        let version = store.newest_version(id)?.map_or(Version::ZERO, |at| at.version).next();
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
        store.append(commit)?;
        Ok(store.head().revision)
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
