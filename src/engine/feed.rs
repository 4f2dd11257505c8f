//! The stream of commits: each reader takes them from the journal at its own pace.

pub(super) mod changes;
pub(super) mod recent;
