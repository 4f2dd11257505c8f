//! Why a backup cannot be made, read or restored. Knows the errors of stores; no files.

use crate::model::Revision;
use crate::store::StoreError;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file does not begin as a backup does.
    #[error("this is no backup of confwatch: it begins with other bytes")]
    Foreign,
    /// A later version of the program wrote the file, or commits that are in it.
    #[error(
        "{of} has format {found}, this program reads format {expected}: use a later version of confwatch"
    )]
    Format { of: &'static str, found: u64, expected: u64 },
    /// The bytes of the file are not those that were written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The backups do not belong together, or not to this store.
    #[error("{0}")]
    Mismatch(String),
    /// The backup does not have the state of this revision.
    #[error("the backup {}, and not that of revision {asked}", states(*oldest, *newest))]
    Revision { asked: Revision, oldest: Revision, newest: Revision },
    /// What is wanted of the backup is more than may be held at once.
    #[error("{what}: {found}, at most {limit} are allowed")]
    TooLarge { what: &'static str, found: usize, limit: usize },
    /// A directory has as many backups as it may have.
    #[error("{0}")]
    Full(String),
    /// The master key does not open the data keys of the backup, or cannot be had.
    #[error("{0}")]
    MasterKey(String),
    /// The caller has given up.
    #[error("the backup was stopped")]
    Stopped,
    /// The target of a restore is in use.
    #[error("{0} is not empty: name a directory that does not exist, or an empty one")]
    NotEmpty(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

impl BackupError {
    pub(super) fn damaged(what: impl Into<String>) -> BackupError {
        BackupError::Damaged(what.into())
    }

    pub(super) fn io(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> BackupError {
        let what = what.to_string();
        move |source| BackupError::Io { what, source }
    }
}

/// The states that a backup has.
fn states(oldest: Revision, newest: Revision) -> String {
    match oldest == newest {
        true => format!("has the state of revision {newest} alone"),
        false => format!("has the states of the revisions {oldest} to {newest}"),
    }
}
