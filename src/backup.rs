//! Backup files: what a store holds as of one revision, in one file that is written and read as a stream. Knows the store and the
//! model; never the engine. Of the network, only `bucket.rs` knows: the protocol of S3.
//!
//! `format.rs` describes the bytes. `write.rs` and `read.rs` keep memory independent of the size of a backup.

mod bucket;
mod catalog;
mod create;
mod error;
mod extract;
mod file;
mod format;
mod in_order;
mod manifest;
mod place;
mod read;
mod record;
mod restore;
mod source;
mod uploads;
mod verify;
mod write;

pub use self::catalog::{Catalog, KEPT_MAX, Keep, Kept, beyond};
pub use self::create::{Configs, Plan, Position, Progress, StateView, create};
pub use self::error::BackupError;
pub use self::extract::{Extracted, Wanted};
pub use self::file::PendingFile;
pub use self::format::FORMAT;
pub use self::manifest::{AUTOMATIC_LABEL, Counts, Kind, Manifest, SCHEDULE_LABEL, Selection};
pub use self::place::Stored;
pub use self::restore::{Restored, Restoring, Step, restore};
pub use self::source::{is_in_bucket, open_backup, read_manifest};
pub use self::uploads::{Announced, UPLOAD_BYTES_MAX, Upload, UploadError, Uploads, sum_of_id};
pub use self::verify::{Verified, verify};
pub use self::write::Finished;

#[cfg(test)]
mod tests;
