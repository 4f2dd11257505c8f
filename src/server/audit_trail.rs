//! Consumers of feeds that are part of every server: the file for a SIEM, and records of changes of access.

pub(super) mod access_changes;
pub(super) mod file;
