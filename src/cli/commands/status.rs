//! `confwatch status`: the server, its figures and its problems on one screen. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::quantities::{bytes, long_duration};
use crate::cli::output::streams::{CHANGED, printable};
use crate::cli::output::views::StatusView;
use crate::proto::v1;

/// Show the state of the server: revision, watchers, calls, disk, and problems
#[derive(Args, Debug)]
#[command(after_help = "\
Ends with exit code 1 if the server reports a problem. Figures and problems take the permission audit or admin on the whole store.

Examples:
  confwatch status
  confwatch status -o json | jq -r '.server.problems[].message'")]
pub struct StatusArgs {}

pub async fn run(_: StatusArgs, session: &Session) -> Outcome {
    let response = session.client.status().get(v1::StatusServiceGetRequest {}).await?.into_inner();
    session.output.answer(&StatusView::from(&response), |output| output.text(&text(&response)))?;
    match response.server.is_some_and(|server| !server.problems.is_empty()) {
        true => Ok(Exit::Failed),
        false => Ok(Exit::Done),
    }
}

/// Namespaces whose histories are named.
const COMPACTED_SHOWN_MAX: usize = 5;

/// The lines of a status, for people.
pub fn text(response: &v1::StatusServiceGetResponse) -> String {
    let v1::StatusServiceGetResponse { version, revision, epoch, server } = response;
    let (version, epoch) = (printable(version), printable(epoch));
    let Some(server) = server else {
        return format!(
            "confwatch {version}\n\
             revision     {revision} in epoch {epoch}\n\
             The figures of the server take the permission audit or admin on the whole store.\n"
        );
    };
    let disk = server.disk.unwrap_or_default();
    let free = disk.free_bytes.map(|free| format!("; {} free", bytes(free))).unwrap_or_default();
    let memory = match server.memory_bytes {
        0 => "unknown".to_owned(),
        memory => bytes(memory),
    };
    let mut text = format!(
        "confwatch {version}, up {up}\n\
         revision     {revision} in epoch {epoch}, history since {oldest}\n\
         configs      {configs}\n\
         commits      {commits}\n\
         watchers     {watchers} of {targets} targets, {behind} revisions behind, {blocked}\n\
         deliveries   {deliveries}\n\
         calls        {calls}, {failed} failed\n\
         connections  {connections} of {connections_max}\n\
         disk         database {database}, journal {journal}, write-ahead log {log}, audit log {audit}{free}\n\
         memory       {memory}\n",
        up = uptime(server),
        oldest = server.oldest_revision,
        configs = server.configs,
        commits = server.commits,
        watchers = server.watchers,
        targets = server.watched_targets,
        behind = server.watch_lag_revisions,
        blocked = blocked(server),
        deliveries = server.watch_deliveries,
        calls = server.calls,
        failed = server.calls_failed,
        connections = server.connections,
        connections_max = server.connections_max,
        database = bytes(disk.database_bytes),
        journal = bytes(disk.journal_bytes),
        log = bytes(disk.write_ahead_log_bytes),
        audit = bytes(disk.audit_bytes),
    );
    text.push_str(&compacted(server));
    match server.problems.as_slice() {
        [] => text.push_str("problems     none\n"),
        problems => {
            for v1::ServerProblem { reason, message } in problems {
                let (reason, message) = (printable(reason), printable(message));
                text.push_str(&format!("{CHANGED}{reason}{CHANGED:#}: {message}\n"));
            }
        }
    }
    text
}

/// The namespaces whose history begins later than that of the store.
fn compacted(server: &v1::ServerStatus) -> String {
    let histories = &server.compacted_namespaces;
    let shown = histories.iter().take(COMPACTED_SHOWN_MAX);
    let shown: Vec<String> = shown
        .map(|history| format!("{} since {}", printable(&history.namespace), history.oldest_revision))
        .collect();
    match histories.len().saturating_sub(COMPACTED_SHOWN_MAX) {
        _ if shown.is_empty() => String::new(),
        0 => format!("history      of {}\n", shown.join(", ")),
        more => format!("history      of {}, and {more} more namespaces\n", shown.join(", ")),
    }
}

fn uptime(server: &v1::ServerStatus) -> String {
    let seconds = |time: Option<prost_types::Timestamp>| time.unwrap_or_default().seconds;
    long_duration(seconds(server.current_time).saturating_sub(seconds(server.start_time)).unsigned_abs())
}

fn blocked(server: &v1::ServerStatus) -> String {
    match server.watch_lag.unwrap_or_default() {
        prost_types::Duration { seconds: 0, nanos: 0 } => "none blocked".into(),
        prost_types::Duration { seconds, .. } => format!("blocked for up to {seconds} s"),
    }
}
