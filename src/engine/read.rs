//! Reads of the present and of any point of history: documents, explanations, versions.

pub(super) mod affected;
pub(super) mod blame;
pub(super) mod change_list;
pub(super) mod documents;
pub(super) mod explanation;
pub(super) mod history;
pub(super) mod journal;
pub(super) mod namespace_diff;
pub(super) mod namespace_point;
pub(super) mod overrides;
pub(super) mod resolve;
pub(super) mod search;
