//! What a server reports of its process, for StatusService. Knows no counter: whoever starts the services reads them.

use std::sync::Arc;

use crate::model::Timestamp;
use crate::proto::v1::DiskUsage;

/// Reads the figures that the process has beside those of its engine. Looks at files: called where blocking is allowed.
pub type ReadReport = Arc<dyn Fn() -> ServerReport + Send + Sync>;

/// The figures of the process that serves.
#[derive(Clone, Debug, Default)]
pub struct ServerReport {
    pub start_time: Timestamp,
    /// Most severe first: the reason and the text of each, as the contract lists them.
    pub problems: Vec<(&'static str, String)>,
    pub calls: u64,
    pub calls_failed: u64,
    pub connections: u64,
    pub connections_max: u64,
    pub disk: DiskUsage,
    pub memory_bytes: u64,
}
