//! Consumers of feeds that are part of every server: the file for a SIEM, and records of changes of access; and records of the backups that
//! the server makes by itself. And the start of the audit log.

pub(super) mod access_changes;
pub(super) mod file;
pub(super) mod recorder;
pub(super) mod server_backups;
