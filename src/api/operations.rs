//! What each RPC does, one file a topic: checks that its caller may, calls the engine, and makes its response. Knows the caller and the
//! messages of the contract; no transport.

mod apply;
pub mod audit;
mod backups;
mod batch;
mod blame;
mod changes;
mod commits;
mod delete;
mod diff;
mod explain;
mod fleet;
pub mod get;
mod history;
mod keys;
mod list;
mod namespace_diff;
mod newest_first;
mod overrides;
mod page;
mod places;
mod restore;
mod revert;
mod rollback;
mod schemas;
mod search;
mod sessions;
mod set;
mod size;
mod status;
mod tags;
mod tokens;
mod validate;
pub mod watch;
mod whoami;
mod write;

use std::sync::Arc;

use prost::Message;

use super::codec::Encoded;
use super::error::ApiError;
use super::failures::FailureLog;
use super::guard::Guard;
use super::report::ReadReport;
use crate::audit::Recorder;
use crate::engine::Engine;
use places::Places;

/// The number of streams of the audit trail that may be open, and of those of one actor.
const AUDIT_STREAMS_MAX: usize = 100;
const AUDIT_STREAMS_OF_ACTOR_MAX: usize = 10;
/// The number of calls of WaitConverged that may wait, and of those of one actor.
const CONVERGENCE_WAITS_MAX: usize = 1000;
const CONVERGENCE_WAITS_OF_ACTOR_MAX: usize = 100;

/// Larger answers are encoded by the threads for long work.
const ENCODED_INLINE_BYTES_MAX: usize = 64 << 10;

/// The operations on an engine, behind a guard. Clones share both.
#[derive(Clone)]
pub struct Operations {
    pub(super) engine: Arc<Engine>,
    pub(super) guard: Guard,
    pub(super) recorder: Recorder,
    pub(super) failures: Arc<FailureLog>,
    audit_streams: Places,
    convergence_waits: Places,
    /// Reads the figures of the process, for StatusService.
    report: ReadReport,
}

impl Operations {
    pub fn new(engine: Arc<Engine>, guard: Guard, recorder: Recorder, report: ReadReport) -> Operations {
        let audit_streams = Places::new(
            AUDIT_STREAMS_MAX,
            AUDIT_STREAMS_OF_ACTOR_MAX,
            ["streams of the audit trail on this server", "streams of the audit trail of this actor"],
        );
        let convergence_waits = Places::new(
            CONVERGENCE_WAITS_MAX,
            CONVERGENCE_WAITS_OF_ACTOR_MAX,
            ["calls of WaitConverged on this server", "calls of WaitConverged of this actor"],
        );
        let failures = Arc::default();
        Operations { engine, guard, recorder, failures, audit_streams, convergence_waits, report }
    }

    /// The answer as it is sent, if clients can receive it. Encoding a large answer, and dropping it, is long work, for which its caller has a turn.
    pub(super) async fn encoded(
        &self,
        actor: &str,
        response: impl Message + 'static,
    ) -> Result<Encoded, ApiError> {
        match response.encoded_len() <= ENCODED_INLINE_BYTES_MAX {
            true => Ok(Encoded::of(&response)),
            false => {
                let encode = move |_: &_| Ok(size::encoded(&response));
                self.engine.work(actor, encode).await?
            }
        }
    }
}

#[cfg(test)]
mod tests;
