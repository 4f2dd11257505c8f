//! Commits and clean-up that the engine starts by itself: expired overrides, retention.

pub(super) mod expiry;
pub(super) mod retention;
pub(super) mod scheduler;
