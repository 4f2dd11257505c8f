//! What each RPC does, one file a topic: checks that its caller may, calls the engine, and makes its response. Knows the caller and the
//! messages of the contract; no transport.

mod apply;
pub mod audit;
mod backups;
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
mod overrides;
mod page;
mod restore;
mod revert;
mod rollback;
mod schemas;
mod search;
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

use tokio::sync::Semaphore;

use super::guard::Guard;
use super::report::ReadReport;
use crate::audit::Recorder;
use crate::engine::Engine;

/// The number of streams of the audit trail that may be open.
const AUDIT_STREAMS_MAX: usize = 100;
/// The number of calls of WaitConverged that may wait.
const CONVERGENCE_WAITS_MAX: usize = 1000;

/// The operations on an engine, behind a guard. Clones share both.
#[derive(Clone)]
pub struct Operations {
    pub(super) engine: Arc<Engine>,
    pub(super) guard: Guard,
    pub(super) recorder: Recorder,
    /// A permit for each stream of the audit trail that may be open.
    audit_streams: Arc<Semaphore>,
    /// A permit for each call of WaitConverged that may wait.
    convergence_waits: Arc<Semaphore>,
    /// Reads the figures of the process, for StatusService.
    report: ReadReport,
}

impl Operations {
    pub fn new(engine: Arc<Engine>, guard: Guard, recorder: Recorder, report: ReadReport) -> Operations {
        let audit_streams = Arc::new(Semaphore::new(AUDIT_STREAMS_MAX));
        let convergence_waits = Arc::new(Semaphore::new(CONVERGENCE_WAITS_MAX));
        Operations { engine, guard, recorder, audit_streams, convergence_waits, report }
    }
}
