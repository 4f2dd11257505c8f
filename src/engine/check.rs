//! Checks of a planned write: which documents a commit affects, and whether they are valid.

pub(super) mod affected_documents;
pub(super) mod effort;
pub(super) mod lints;
pub(super) mod look;
pub(super) mod plan_check;
pub(super) mod unseen;
pub(super) mod validation;
pub(super) mod workers;
