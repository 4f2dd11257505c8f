//! What the engine starts by itself: the end of overrides, retention, scheduled backups, the check of the master key, the end of uploads.

pub(super) mod backup_schedule;
pub(super) mod expiry;
pub(super) mod master_key;
pub(super) mod retention;
pub(super) mod scheduler;
pub(super) mod upload_expiry;
