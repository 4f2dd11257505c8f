//! The errors of backups as clients learn them. Knows no transport.

use std::time::Duration;

use super::error::{ApiError, Code};
use crate::engine::{BackupError, BackupFailure, Error};

/// When to try again after a disk has failed.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why a backup was not made.
pub fn refused(failure: BackupFailure) -> ApiError {
    let error = match failure {
        BackupFailure::Engine(error) => return error.into(),
        BackupFailure::Backup(error) => error,
    };
    match error {
        BackupError::Store(error) => Error::from(error).into(),
        BackupError::Stopped => Error::Cancelled.into(),
        BackupError::Mismatch(what) => ApiError::new(Code::FailedPrecondition, "BACKUP_MISMATCH", what),
        BackupError::Io { .. }
        | BackupError::Damaged(_)
        | BackupError::Foreign
        | BackupError::MasterKey(_)
        | BackupError::Format { .. }
        | BackupError::NotEmpty(_) => {
            tracing::error!(%error, "a backup has failed");
            ApiError::new(
                Code::Unavailable,
                "BACKUP_FAILED",
                "the backup cannot be made now: see the log of the server",
            )
            .retry_after(RETRY_AFTER)
        }
    }
}
