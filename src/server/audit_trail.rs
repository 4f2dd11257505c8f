//! Followers of the audit trail that keep a cursor: the file for a SIEM, and records of access changes.

pub(super) mod access_changes;
pub(super) mod cursor;
pub(super) mod file;
