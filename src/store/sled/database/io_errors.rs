//! Errors of the files of a database: a full disk, a directory that is in use.

use std::io::{
    self,
    ErrorKind::{QuotaExceeded, StorageFull},
};
use std::path::Path;

use crate::store::StoreError;

/// Whether an error says that there is no room. What was written before is not touched by it.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

pub fn locked(path: &Path) -> StoreError {
    StoreError::Locked { path: path.display().to_string() }
}
