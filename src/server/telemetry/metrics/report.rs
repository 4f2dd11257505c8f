//! The report of a server: the figures and problems of its process, for StatusService. Knows where the numbers are; not how they are sent.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tonic::Code;

use super::{Opened, Sources, value};
use crate::api::{ReadReport, ServerReport};
use crate::audit::Room;
use crate::engine::BackupProblem;
use crate::model::Timestamp;
use crate::proto::v1::DiskUsage;
use crate::server::telemetry::metrics::Metrics;
use crate::store::sled::DiskBytes;

/// Free space below this, and below a `FREE_PART` of the file system, is a problem.
const FREE_BYTES_LOW: u64 = 1 << 30;
const FREE_PART: u64 = 20;
/// More than `CONNECTIONS_HIGH` tenths of the connections that may be open are a problem.
const CONNECTIONS_HIGH: u64 = 9;
/// An update that its client has blocked for longer than this is a problem.
const BLOCKED_LONG: Duration = Duration::from_secs(10);
/// A system clock that is farther from the clock of the server than this is a problem.
const CLOCK_OFFSET_HIGH: Duration = Duration::from_secs(60);

impl Metrics {
    /// Reads the report of this server.
    pub(in crate::server) fn report(&self) -> ReadReport {
        let sources = self.sources.clone();
        std::sync::Arc::new(move || sources.report())
    }
}

/// The space of a file system.
struct Space {
    bytes: u64,
    free_bytes: u64,
}

impl Sources {
    fn report(&self) -> ServerReport {
        let (calls, calls_failed) = self.call_counts();
        let space = space(&self.data_dir);
        let mut disk = self.disk_usage();
        disk.free_bytes = space.as_ref().map(|space| space.free_bytes);
        ServerReport {
            start_time: Timestamp((self.started_seconds * 1e6) as i64),
            problems: self.problems(space),
            calls,
            calls_failed,
            connections: value(&self.connections.counts.open),
            connections_max: self.connections.max() as u64,
            disk,
            memory_bytes: resident_bytes(),
        }
    }

    /// All completed calls, and those that failed by a fault that is not the caller's.
    fn call_counts(&self) -> (u64, u64) {
        let ends = self.calls.methods().iter().flat_map(|method| method.handled());
        ends.fold((0, 0), |(all, failed), (code, count)| {
            (all + count, failed + if is_failure(code) { count } else { 0 })
        })
    }

    /// A part that cannot be read counts nothing.
    fn disk_usage(&self) -> DiskUsage {
        let store = DiskBytes::of(&self.data_dir).unwrap_or_default();
        let opened = self.opened();
        DiskUsage {
            database_bytes: store.db,
            journal_bytes: store.journal,
            write_ahead_log_bytes: store.wal,
            audit_bytes: opened.as_ref().map_or(0, |opened| value(&opened.recorder.counts().bytes)),
            free_bytes: None,
        }
    }

    /// Most severe first, as the contract lists them.
    fn problems(&self, space: Option<Space>) -> Vec<(&'static str, String)> {
        let tasks = self.supervisor.tasks();
        // A task that ended without a panic was done.
        let ended = tasks.iter().filter(|(_, status)| status.panics > 0 && !status.is_running).map(|(name, _)| {
            (
                "TASK_ENDED",
                format!("the task \"{name}\" of the server has panicked and does not run: restart the server if this stays"),
            )
        });
        let mut problems: Vec<_> = ended.collect();
        let opened = self.opened();
        if let Some(opened) = opened.as_ref() {
            problems.extend(failing(opened));
        }
        if let Some(Space { bytes, free_bytes }) = space
            && free_bytes < FREE_BYTES_LOW.min(bytes / FREE_PART)
        {
            let text = format!(
                "{} MiB of the disk are free: make room, or shorten the retention of history and of the audit log",
                free_bytes >> 20
            );
            problems.push(("DISK_ALMOST_FULL", text));
        }
        let (open, max) = (value(&self.connections.counts.open), self.connections.max() as u64);
        if open * 10 > max * CONNECTIONS_HIGH {
            let text = format!("{open} of {max} connections are open: raise --connections-max");
            problems.push(("CONNECTIONS_ALMOST_EXHAUSTED", text));
        }
        if let Some(opened) = opened.as_ref() {
            problems.extend(behind(opened));
        }
        let panicked = tasks.iter().filter(|(_, status)| status.panics > 0).map(|(name, status)| {
            let panics = status.panics;
            (
                "TASK_PANICKED",
                format!(
                    "the task \"{name}\" has panicked {panics} times, which is a bug: report it with the log"
                ),
            )
        });
        problems.extend(panicked);
        if let Some(opened) = opened.as_ref() {
            problems.extend(audit_losses(opened));
        }
        problems
    }
}

/// What cannot be read or written now.
fn failing(opened: &Opened) -> Vec<(&'static str, String)> {
    let mut problems = vec![];
    if opened.store.is_damaged.load(Relaxed) {
        let text = "a read of the history found files that are not as they were written: see the log of the server, check a copy of \
                    the data directory by confwatch fsck, and restore the last backup if it says so";
        problems.push(("STORE_DAMAGED", text.to_owned()));
    }
    if opened.engine.is_master_key_failing() {
        let text = "the master key cannot be read from its source: restore the source before the next start";
        problems.push(("MASTER_KEY_FAILING", text.to_owned()));
    }
    if opened.recorder.counts().is_failing.load(Relaxed) {
        let text = "the audit log cannot be written: look at the disk and at the log of the server";
        problems.push(("AUDIT_LOG_FAILING", text.to_owned()));
    }
    let text = opened.engine.backup_problem().map(|problem| match problem {
        BackupProblem::NotKept => (
            "BACKUPS_NOT_KEPT",
            "confwatch/backups has schedules, and the server keeps no backups: start the server with --backup-dir",
        ),
        BackupProblem::Failing => (
            "BACKUP_FAILING",
            "the last backup of a schedule was not made: look at the place of --backup-dir and at the log of the server",
        ),
    });
    problems.extend(text.map(|(reason, text)| (reason, text.to_owned())));
    let failing = opened.feeds.iter().filter(|(_, counts)| counts.is_failing.load(Relaxed));
    problems.extend(failing.map(|(name, _)| {
        ("FEED_FAILING", format!("the feed \"{name}\" cannot be delivered: look at the log of the server"))
    }));
    problems
}

/// Watch streams that are blocked, and a clock that is off.
fn behind(opened: &Opened) -> Vec<(&'static str, String)> {
    let mut problems = vec![];
    let lag = opened.engine.slowest_watcher_lag();
    if lag > BLOCKED_LONG {
        let text = format!(
            "an update of a watch stream has been blocked by its client for {} s: list such clients by \
             confwatch watchers NAMESPACE --behind",
            lag.as_secs()
        );
        problems.push(("WATCH_BLOCKED", text));
    }
    let offset = Duration::from_micros(opened.engine.clock_offset().unsigned_abs());
    if offset > CLOCK_OFFSET_HIGH {
        let text = format!(
            "the system clock differs by {} s from the clock of the server: restart the server if the system clock is right",
            offset.as_secs()
        );
        problems.push(("CLOCK_OFF", text));
    }
    if let Some(ahead) = opened.engine.history_ahead().filter(|ahead| *ahead > CLOCK_OFFSET_HIGH) {
        let text = format!(
            "the newest commit is {} s later than the system clock: commits have its time until the clock has caught up; \
             set the system clock if it is behind",
            ahead.as_secs()
        );
        problems.push(("CLOCK_OFF", text));
    }
    problems
}

fn audit_losses(opened: &Opened) -> Vec<(&'static str, String)> {
    let counts = opened.recorder.counts();
    let lost = value(&counts.lost);
    let early: u64 = Room::ALL
        .into_iter()
        .filter(|room| room.is_for_keeping())
        .map(|room| value(&counts.early[room as usize]))
        .sum();
    let mut problems = vec![];
    if counts.is_incomplete.load(Relaxed) {
        let text = "durable records of the audit log were missing at the start: find out who removed them, and see \
                    confwatch audit verify";
        problems.push(("AUDIT_RECORDS_MISSING", text.to_owned()));
    }
    if counts.is_altered.load(Relaxed) {
        let text = "the audit log is not as it was written: somebody has changed or removed records, or the disk has; keep a copy, and see \
                    confwatch audit verify";
        problems.push(("AUDIT_RECORDS_ALTERED", text.to_owned()));
    }
    if lost > 0 {
        let text = format!("{lost} events were lost since the start: the audit log could not be written");
        problems.push(("AUDIT_RECORDS_LOST", text));
    }
    if early > 0 {
        let text =
            format!("{early} audit records were removed before their retention: raise --audit-bytes-max");
        problems.push(("AUDIT_RECORDS_REMOVED_EARLY", text));
    }
    problems
}

/// Whether a call that ended so failed by a fault of the server, or for lack of it.
fn is_failure(code: Code) -> bool {
    match code {
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable | Code::DeadlineExceeded => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

/// The file system that holds a directory, for users without privileges. `None`: the platform does not report it.
fn space(dir: &Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(Space { bytes: stat.f_blocks * stat.f_frsize, free_bytes: stat.f_bavail * stat.f_frsize })
}

/// The resident memory of this process. 0: the platform does not report it.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    kibibytes << 10
}
