//! The state of a server. Knows the wire only.

use serde::Serialize;

use super::fleet::seconds;
use super::{list, time};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct StatusView {
    pub version: String,
    pub revision: u64,
    pub epoch: String,
    pub server: Option<ServerStatusView>,
}

#[derive(Debug, Serialize)]
pub struct ServerStatusView {
    pub start_time: Option<String>,
    pub current_time: Option<String>,
    pub problems: Vec<ServerProblemView>,
    pub configs: u64,
    pub oldest_revision: u64,
    pub commits: u64,
    pub calls: u64,
    pub calls_failed: u64,
    pub connections: u64,
    pub connections_max: u64,
    pub watchers: u64,
    pub watched_targets: u64,
    pub watch_deliveries: u64,
    pub watch_lag_revisions: u64,
    pub watch_lag_seconds: Option<f64>,
    pub disk: DiskUsageView,
    pub memory_bytes: u64,
    pub compacted_namespaces: Vec<NamespaceHistoryView>,
}

#[derive(Debug, Serialize)]
pub struct NamespaceHistoryView {
    pub namespace: String,
    pub oldest_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct DiskUsageView {
    pub database_bytes: u64,
    pub journal_bytes: u64,
    pub write_ahead_log_bytes: u64,
    pub audit_bytes: u64,
    pub free_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct ServerProblemView {
    pub reason: String,
    pub message: String,
}

/// One reading of `top`.
#[derive(Debug, Serialize)]
pub struct TopView {
    #[serde(flatten)]
    pub status: StatusView,
    /// Since the reading before; null in the first one.
    pub rates: Option<RatesView>,
}

#[derive(Debug, Serialize)]
pub struct RatesView {
    pub calls_per_second: f64,
    pub commits_per_second: f64,
    pub deliveries_per_second: f64,
}

impl From<&v1::StatusServiceGetResponse> for StatusView {
    fn from(response: &v1::StatusServiceGetResponse) -> StatusView {
        StatusView {
            version: response.version.clone(),
            revision: response.revision,
            epoch: response.epoch.clone(),
            server: response.server.as_ref().map(ServerStatusView::from),
        }
    }
}

impl From<&v1::ServerStatus> for ServerStatusView {
    fn from(server: &v1::ServerStatus) -> ServerStatusView {
        let disk = server.disk.unwrap_or_default();
        ServerStatusView {
            start_time: time(server.start_time.as_ref()),
            current_time: time(server.current_time.as_ref()),
            problems: list(&server.problems),
            configs: server.configs,
            oldest_revision: server.oldest_revision,
            commits: server.commits,
            calls: server.calls,
            calls_failed: server.calls_failed,
            connections: server.connections,
            connections_max: server.connections_max,
            watchers: server.watchers,
            watched_targets: server.watched_targets,
            watch_deliveries: server.watch_deliveries,
            watch_lag_revisions: server.watch_lag_revisions,
            watch_lag_seconds: server.watch_lag.as_ref().map(seconds),
            disk: DiskUsageView {
                database_bytes: disk.database_bytes,
                journal_bytes: disk.journal_bytes,
                write_ahead_log_bytes: disk.write_ahead_log_bytes,
                audit_bytes: disk.audit_bytes,
                free_bytes: disk.free_bytes,
            },
            memory_bytes: server.memory_bytes,
            compacted_namespaces: list(&server.compacted_namespaces),
        }
    }
}

impl From<&v1::NamespaceHistory> for NamespaceHistoryView {
    fn from(history: &v1::NamespaceHistory) -> NamespaceHistoryView {
        let v1::NamespaceHistory { namespace, oldest_revision } = history.clone();
        NamespaceHistoryView { namespace, oldest_revision }
    }
}

impl From<&v1::ServerProblem> for ServerProblemView {
    fn from(problem: &v1::ServerProblem) -> ServerProblemView {
        ServerProblemView { reason: problem.reason.clone(), message: problem.message.clone() }
    }
}
