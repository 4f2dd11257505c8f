//! Backup files: what a store holds as of one revision, in one file that is written and read as a stream. Knows the store and the
//! model; never the engine, never the network.
//!
//! `format.rs` describes the bytes. `write.rs` and `read.rs` keep memory independent of the size of a backup.

mod catalog;
mod create;
mod error;
mod file;
mod format;
mod manifest;
mod read;
mod record;
mod restore;
mod verify;
mod write;

pub use self::catalog::{Catalog, KEPT_MAX, Keep, Kept, beyond};
pub use self::create::{Configs, Plan, Position, Progress, StateView, create};
pub use self::error::BackupError;
pub use self::file::{PendingFile, read_manifest};
pub use self::format::FORMAT;
pub use self::manifest::{Counts, Kind, Manifest, Selection};
pub use self::restore::{Restored, Restoring, Step, restore};
pub use self::verify::{Verified, verify};
pub use self::write::Finished;

#[cfg(test)]
mod tests;
