//! The errors of backups as clients learn them. Knows no transport.

use std::time::Duration;

use super::error::{ApiError, Code};
use crate::engine::{BackupError, BackupFailure, Error, UploadError};

/// When to try again after a disk has failed.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why a backup was not made.
pub fn refused(failure: BackupFailure) -> ApiError {
    match failure {
        BackupFailure::Engine(error) => error.into(),
        // Of the store that the backup is made of.
        BackupFailure::Backup(
            error @ (BackupError::Damaged(_) | BackupError::Foreign | BackupError::Format { .. }),
        ) => failed(&error),
        BackupFailure::Backup(error) => unreadable(error),
    }
}

/// Why a backup cannot be made, or one that is kept cannot be read or changed.
pub fn unreadable(error: BackupError) -> ApiError {
    match error {
        BackupError::Store(_) | BackupError::Stopped | BackupError::TooLarge { .. } => {
            Error::from(error).into()
        }
        BackupError::Mismatch(what) => ApiError::new(Code::FailedPrecondition, "BACKUP_MISMATCH", what),
        BackupError::Full(what) => ApiError::new(Code::FailedPrecondition, "TOO_MANY_KEPT_BACKUPS", what),
        BackupError::Revision { oldest, newest, .. } => {
            ApiError::new(Code::OutOfRange, "REVISION_NOT_IN_BACKUP", error.to_string())
                .with("oldest_revision", oldest)
                .with("newest_revision", newest)
        }
        BackupError::Damaged(_) | BackupError::Foreign | BackupError::Format { .. } => {
            ApiError::new(Code::FailedPrecondition, "BACKUP_UNREADABLE", error.to_string())
        }
        BackupError::Io { .. } | BackupError::MasterKey(_) | BackupError::NotEmpty(_) => failed(&error),
    }
}

fn failed(error: &BackupError) -> ApiError {
    let message = "the backup cannot be made, read or changed now: the log of the server has the cause";
    ApiError::new(Code::Unavailable, "BACKUP_FAILED", message).caused_by(error).retry_after(RETRY_AFTER)
}

/// Why bytes of an upload were not taken.
pub fn not_taken(error: UploadError) -> ApiError {
    match error {
        UploadError::TooMany => ApiError::new(Code::ResourceExhausted, "TOO_MANY_UPLOADS", error.to_string())
            .retry_after(RETRY_AFTER),
        UploadError::Offset { .. } => {
            ApiError::of_field(Code::InvalidArgument, "INVALID_FIELD", "offset", &error.to_string())
        }
        UploadError::TooLong { .. } => {
            ApiError::of_field(Code::InvalidArgument, "INVALID_FIELD", "chunk", &error.to_string())
        }
        UploadError::Backup(error) => unreadable(error),
    }
}

/// A write was not made, since the state before was not kept.
pub fn state_not_kept(error: &BackupError) -> ApiError {
    let why = match error {
        BackupError::Full(what) => what.as_str(),
        _ => "the log of the server has the cause",
    };
    let message = format!(
        "nothing was written, since the server could not keep a backup of the state before: {why}; mend that, or set \
         options.without_backup to write without a backup"
    );
    ApiError::new(Code::FailedPrecondition, "STATE_BACKUP_FAILED", message).caused_by(error)
}

/// The server receives no backups.
pub fn not_received() -> ApiError {
    let message = "the server receives no backups: have it keep the backup, by --backup-dir";
    ApiError::new(Code::FailedPrecondition, "BACKUPS_NOT_KEPT", message)
}

/// The server has no directory of backups.
pub fn not_kept() -> ApiError {
    let message = "the server keeps no backups: start it with --backup-dir, or have the backup sent";
    ApiError::new(Code::FailedPrecondition, "BACKUPS_NOT_KEPT", message)
}

/// There is no backup with this id that the caller may see.
pub fn not_found(id: &str) -> ApiError {
    ApiError::new(Code::NotFound, "BACKUP_NOT_FOUND", format!("there is no backup {id:?}")).with("id", id)
}
