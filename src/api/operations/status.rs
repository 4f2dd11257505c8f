//! The call of `StatusService`: the version for everybody, the figures of the server for auditors and administrators. Knows what a report has;
//! not where the figures are counted.

use std::time::Duration;

use crate::api::context::CallContext;
use crate::api::convert::response::time_message;
use crate::api::error::ApiError;
use crate::api::report::ServerReport;
use crate::auth::{Resource, Verb};
use crate::engine::Engine;
use crate::model::{Namespace, Revision};
use crate::proto::v1::*;

use super::Operations;

/// Namespaces whose histories a response lists.
const COMPACTED_NAMESPACES_MAX: usize = 1000;

impl Operations {
    pub async fn status(
        &self,
        context: &CallContext,
        StatusServiceGetRequest {}: StatusServiceGetRequest,
    ) -> Result<StatusServiceGetResponse, ApiError> {
        let allows = |verb| context.access().allows(verb, &Resource::Store);
        let server = if allows(Verb::Audit) || allows(Verb::Admin) {
            let (engine, report) = (self.engine.clone(), self.report.clone());
            let read = move |_: &_| Ok(server_message(&engine, engine.oldest()?.0, report()));
            Some(self.engine.work(context.caller().actor(), read).await?)
        } else {
            None
        };
        Ok(StatusServiceGetResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: self.engine.state().revision.0,
            epoch: self.engine.epoch().to_string(),
            server,
        })
    }
}

fn server_message(engine: &Engine, oldest_revision: u64, report: ServerReport) -> ServerStatus {
    let problem = |(reason, message): (&str, String)| ServerProblem { reason: reason.into(), message };
    ServerStatus {
        start_time: Some(time_message(report.start_time)),
        current_time: Some(time_message(engine.now())),
        problems: report.problems.into_iter().map(problem).collect(),
        configs: engine.state().config_count() as u64,
        oldest_revision,
        commits: engine.commit_counts().by_source.total(),
        calls: report.calls,
        calls_failed: report.calls_failed,
        connections: report.connections,
        connections_max: report.connections_max,
        watchers: engine.watcher_count() as u64,
        watched_targets: engine.watched_target_count() as u64,
        watch_deliveries: engine.watch_delivery_count(),
        watch_lag_revisions: engine.watch_lag(),
        watch_lag: Some(duration_message(engine.slowest_watcher_lag())),
        disk: Some(report.disk),
        memory_bytes: report.memory_bytes,
        compacted_namespaces: compacted_namespaces(engine, oldest_revision),
    }
}

fn compacted_namespaces(engine: &Engine, oldest_revision: u64) -> Vec<NamespaceHistory> {
    let forgotten = engine.forgotten();
    let later = forgotten.iter().filter(|(_, oldest)| oldest.0 > oldest_revision);
    let history = |(namespace, oldest): (&Namespace, Revision)| NamespaceHistory {
        namespace: namespace.to_string(),
        oldest_revision: oldest.0,
    };
    later.take(COMPACTED_NAMESPACES_MAX).map(history).collect()
}

fn duration_message(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}
