//! The way in: a write is planned, checked, queued, made durable with others, and published.

pub(super) mod assignments;
pub(super) mod counts;
pub(super) mod document_error;
pub(super) mod fair_locks;
pub(super) mod journal_budget;
pub(super) mod layer_content;
pub(super) mod outcome;
pub(super) mod pipeline;
pub(super) mod plan;
pub(super) mod planner;
pub(super) mod planning;
pub(super) mod put_schema;
pub(super) mod queue;
pub(super) mod read_change;
pub(super) mod read_intent;
pub(super) mod read_set;
pub(super) mod read_write;
pub(super) mod request_ids;
pub(super) mod request_outcome;
pub(super) mod request_recovery;
pub(super) mod schemas;
pub(super) mod stages;
pub(super) mod write;
