//! What operators see: logs, metrics, traces, and the progress of a start.

pub(super) mod calls;
pub(super) mod logging;
pub(super) mod metrics;
pub(super) mod start_progress;
pub(super) mod traces;
