//! A restore as requested, and the configs as they were. Knows states; neither the store, nor backups, nor how a restore is planned.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::backup::{Kept, Upload};
use crate::engine::check::workers::LargeCall;
use crate::engine::state::ConfigState;
use crate::model::{ConfigId, ConfigName, Namespace, Revision, Scope, TagName, Timestamp};

/// The configs to restore, and the point in the past.
#[derive(Clone, Debug)]
pub struct Restoring {
    pub namespace: Namespace,
    /// `None`: all configs of the namespace but system configs.
    pub config: Option<ConfigName>,
    /// Layers at or below this scope.
    pub scope: Scope,
    pub to: RestorePoint,
    /// None of the configs may have changed after this revision.
    pub expected: Option<Revision>,
}

/// A point in the past.
#[derive(Clone, Debug)]
pub enum RestorePoint {
    Revision(Revision),
    Time(Timestamp),
    /// Of the config, or of the namespace where the restore is of all its configs.
    Tag(TagName),
    /// The state that a backup has.
    Backup(Box<BackupSource>),
}

/// A backup from which a restore takes the state of the configs. Clones share what was read of the backup.
#[derive(Clone)]
pub struct BackupSource {
    pub(super) file: BackupFile,
    /// `None`: the newest revision of the backup.
    pub(super) revision: Option<Revision>,
    pub(super) read: Arc<OnceCell<BackedUp>>,
}

/// Where a backup is. `None`: there is no such backup that the caller may see. A repeated request is answered all the same.
#[derive(Clone)]
pub(super) enum BackupFile {
    /// The server keeps it.
    Kept(String, Option<Box<Kept>>),
    /// The caller has sent it.
    Uploaded(String, Option<Arc<Upload>>),
}

/// The wanted configs as they were at a revision of a backup.
pub(super) struct BackedUp {
    pub revision: Revision,
    /// The versions of the configs are those of this store.
    pub is_own: bool,
    /// With the layers in the scope alone.
    pub configs: BTreeMap<ConfigId, Arc<ConfigState>>,
    /// The call that keeps `configs` in memory.
    pub large: LargeCall,
}

/// The configs that a restore concerns, as they were.
pub(in crate::engine) struct Restored {
    pub restoring: Restoring,
    /// The point in the past. `None`: a version that a tag of a config names, which may be older than the oldest revision.
    pub revision: Option<Revision>,
    /// The versions of the configs are those of this store.
    pub is_own: bool,
    /// The configs that have changed since, or that a backup has otherwise. `None`: the config did not exist.
    pub configs: BTreeMap<ConfigId, Option<Arc<ConfigState>>>,
    /// The revision up to which the configs that have changed were looked up.
    pub looked_up: Revision,
    /// The call that keeps `configs` in memory.
    pub(super) _large: LargeCall,
}

impl BackupSource {
    /// A backup that the server keeps, if it does and the caller may see it.
    pub fn kept(id: String, kept: Option<Kept>, revision: Option<Revision>) -> BackupSource {
        BackupSource { file: BackupFile::Kept(id, kept.map(Box::new)), revision, read: Arc::default() }
    }

    /// A backup that the caller has sent.
    pub fn uploaded(id: String, upload: Option<Arc<Upload>>, revision: Option<Revision>) -> BackupSource {
        BackupSource { file: BackupFile::Uploaded(id, upload), revision, read: Arc::default() }
    }

    /// The same, of this revision.
    pub fn at(self, revision: Revision) -> BackupSource {
        BackupSource { revision: Some(revision), ..self }
    }

    /// The name of the backup in history: the id of one that the server keeps, or the SHA-256 of one that was sent.
    pub(super) fn name(&self) -> String {
        match &self.file {
            BackupFile::Kept(id, _) | BackupFile::Uploaded(id, None) => id.clone(),
            BackupFile::Uploaded(_, Some(upload)) => upload.announced.sha256.to_string(),
        }
    }
}

impl fmt::Debug for BackupSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupSource({}, {:?})", self.name(), self.revision)
    }
}

impl RestorePoint {
    /// Whether a config may come into being that never was.
    pub(super) fn may_create(&self) -> bool {
        match self {
            RestorePoint::Backup(_) => true,
            RestorePoint::Revision(_) | RestorePoint::Time(_) | RestorePoint::Tag(_) => false,
        }
    }
}

impl Restoring {
    /// The one config to restore.
    pub fn id(&self) -> Option<ConfigId> {
        let (namespace, config) = (self.namespace.clone(), self.config.clone()?);
        Some(ConfigId { namespace, config })
    }

    /// Whether the caller has chosen the contents: a file that they send can have any.
    pub fn is_uploaded(&self) -> bool {
        match &self.to {
            RestorePoint::Backup(source) => matches!(source.file, BackupFile::Uploaded(..)),
            RestorePoint::Revision(_) | RestorePoint::Time(_) | RestorePoint::Tag(_) => false,
        }
    }

    /// The id of the config, or of the namespace.
    pub(super) fn place(&self) -> ConfigId {
        self.id().unwrap_or_else(|| ConfigId::first_of(&self.namespace))
    }
}

/// Whether a restore of a namespace concerns the config. System configs are restored by their names.
pub(in crate::engine) fn is_restored(id: &ConfigId) -> bool {
    id.system().is_none()
}

impl Restored {
    /// The namespace of which the restore concerns all configs.
    pub fn namespace(&self) -> Option<(&Namespace, Revision)> {
        self.restoring.config.is_none().then_some((&self.restoring.namespace, self.looked_up))
    }
}
