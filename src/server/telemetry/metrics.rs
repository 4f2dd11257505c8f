//! Exports the metrics of a server: reads counts of other modules at each scrape. Knows the places of the counts; those modules know
//! nothing of metrics.

pub(in crate::server) mod listen;
mod report;
mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::{Registry, Unit};

use super::calls::{Calls, TICK_NANOS};
use crate::api::code_name::code_name;
use crate::api::guard::rates::{RateLimit, Rates};
use crate::api::in_progress::RequestsInProgress;
use crate::api::unread::UnreadResponses;
use crate::audit::{Counts as AuditCounts, Recorder, Room};
use crate::engine::{Engine, Usage};
use crate::model::quota::Quota;
use crate::server::audit_trail::file::AUDIT_FILE;
use crate::server::feed::FeedCounts;
use crate::server::net::connections::Connections;
use crate::server::net::request_bodies::Requests;
use crate::store::sled::{Counts as StoreCounts, DiskBytes};
use crate::supervise::{Supervisor, TaskStatus};
use write::Writer;

const SECOND_NANOS: f64 = 1e9;

/// With a registry of its own: there may be many servers in one process.
pub(in crate::server) struct Metrics {
    sources: Arc<Sources>,
    registry: Registry,
}

/// Where the numbers are.
struct Sources {
    calls: Arc<Calls>,
    connections: Arc<Connections>,
    requests: Arc<Requests>,
    unread: Arc<UnreadResponses>,
    in_progress: Arc<RequestsInProgress>,
    rates: Arc<Rates>,
    data_dir: PathBuf,
    /// Since the epoch.
    started_seconds: f64,
    supervisor: Supervisor,
    /// While the store is open. Locked for as long as the numbers are read: what takes time is not done under it.
    opened: RwLock<Option<Opened>>,
}

struct Opened {
    engine: Arc<Engine>,
    store: Arc<StoreCounts>,
    /// Messages of clients.
    too_large: Arc<AtomicU64>,
    recorder: Recorder,
    /// By the name of the feed.
    feeds: Vec<(&'static str, Arc<FeedCounts>)>,
}

impl Metrics {
    pub(in crate::server) fn new(
        calls: Arc<Calls>,
        connections: Arc<Connections>,
        requests: Arc<Requests>,
        (unread, in_progress): (Arc<UnreadResponses>, Arc<RequestsInProgress>),
        rates: Arc<Rates>,
        (data_dir, started): (PathBuf, SystemTime),
        supervisor: Supervisor,
    ) -> Metrics {
        let started_seconds = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let opened = RwLock::default();
        let sources = Arc::new(Sources {
            calls,
            connections,
            requests,
            unread,
            in_progress,
            rates,
            data_dir,
            started_seconds,
            supervisor,
            opened,
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Everything(Arc::clone(&sources))));
        Metrics { sources, registry }
    }

    pub(in crate::server) fn open(
        &self,
        engine: Arc<Engine>,
        store: Arc<StoreCounts>,
        too_large: Arc<AtomicU64>,
        recorder: Recorder,
        feeds: Vec<(&'static str, Arc<FeedCounts>)>,
    ) {
        self.sources.set_opened(Some(Opened { engine, store, too_large, recorder, feeds }));
    }

    /// On return nothing is kept of what was open.
    pub(in crate::server) fn close(&self) {
        self.sources.set_opened(None);
    }

    /// All there is, as OpenMetrics writes it. Looks at files.
    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

struct Everything(Arc<Sources>);

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

impl Collector for Everything {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let writer = &mut Writer(&mut encoder);
        self.0.process(writer)?;
        self.0.tasks(writer)?;
        self.0.calls(writer)?;
        self.0.connections(writer)?;
        self.0.limits(writer)?;
        self.0.engine(writer)?;
        self.0.quotas(writer)?;
        self.0.audit(writer)?;
        self.0.backups(writer)?;
        self.0.store(writer)
    }
}

impl Sources {
    fn opened(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_opened(&self, opened: Option<Opened>) {
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = opened;
    }

    fn process(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        writer.info("confwatch_build", "Version of the server", &[("version", env!("CARGO_PKG_VERSION"))])?;
        let help = "Start time of the server, since the Unix epoch";
        writer.gauge("process_start_time", help, Some(Unit::Seconds), [([], self.started_seconds)])
    }

    fn tasks(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let tasks = self.supervisor.tasks();
        let each = |read: fn(TaskStatus) -> u64| {
            tasks.iter().map(move |(name, status)| ([("task", *name)], read(*status)))
        };
        let help = "Panics of tasks of the server, each of which is a bug; a task is restarted where that is possible";
        writer.counter("confwatch_task_panics", help, each(|status| status.panics))?;
        let help = "1 while a task of the server runs, else 0";
        writer.gauge("confwatch_task_running", help, None, each(|status| status.is_running.into()))
    }

    fn calls(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let methods = self.calls.methods().iter();
        let handled = methods.clone().flat_map(|method| {
            let labels = [("grpc_service", method.service.as_str()), ("grpc_method", method.name.as_str())];
            let [service, name] = labels;
            method
                .handled()
                .map(move |(code, count)| ([service, name, ("grpc_code", code_name(code as i32))], count))
        });
        writer.counter("grpc_server_handled", "Completed calls, by code", handled)?;
        let durations = methods.filter_map(|method| {
            let labels = [("grpc_service", method.service.as_str()), ("grpc_method", method.name.as_str())];
            let durations = method.durations.read();
            (durations.count() > 0).then_some((labels, durations))
        });
        let per_second = SECOND_NANOS / TICK_NANOS as f64;
        let help = "Duration of calls; of streams, their lifetime";
        writer.histogram("grpc_server_handling", help, Some((Unit::Seconds, per_second)), durations)
    }

    fn connections(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let counts = &self.connections.counts;
        writer.gauge("confwatch_connections", "Open connections", None, [([], value(&counts.open))])?;
        let help = "Accepted connections";
        writer.counter("confwatch_connections_admitted", help, [([], value(&counts.admitted))])?;
        let refused = [
            ("in_all", &counts.refused_in_all),
            ("of_address", &counts.refused_of_address),
            ("handshake", &counts.handshakes_failed),
            ("handshake_timeout", &counts.handshakes_timed_out),
            ("preface_timeout", &counts.prefaces_timed_out),
            ("proxy_header", &counts.unannounced),
        ];
        let help = "Refused and failed connections, by reason";
        writer.counter("confwatch_connections_refused", help, by("reason", refused))?;
        let help = "Connections closed for too many frames without effect: pings, settings, resets, refused requests";
        writer.counter("confwatch_connections_noisy", help, [([], value(&counts.noisy))])?;
        let help = "Connections closed after --connection-idle-max without a call";
        writer.counter("confwatch_connections_idle", help, [([], value(&counts.idle))])?;
        let help = "Connections closed at --connection-age-max";
        writer.counter("confwatch_connections_aged", help, [([], value(&counts.aged))])?;
        let requests = &self.requests.counts;
        let help = "Incomplete requests";
        writer.gauge("confwatch_requests_unfinished", help, None, [([], value(&requests.unfinished))])?;
        let (help, bytes) = ("Received bytes of incomplete requests", Some(Unit::Bytes));
        writer.gauge(
            "confwatch_requests_unfinished",
            help,
            bytes,
            [([], value(&requests.unfinished_bytes))],
        )?;
        let given_up = [("too_slow", &requests.too_slow), ("too_many", &requests.too_many)];
        let help = "Incomplete requests that were refused, by reason";
        writer.counter("confwatch_requests_given_up", help, by("reason", given_up))?;
        let (help, bytes) = ("Bytes of complete requests that are being processed", Some(Unit::Bytes));
        writer.gauge("confwatch_requests_in_progress", help, bytes, [([], self.in_progress.bytes())])?;
        let (help, bytes) = ("Bytes of complete requests that wait to be processed", Some(Unit::Bytes));
        writer.gauge("confwatch_requests_waiting", help, bytes, [([], self.in_progress.waiting_bytes())])?;
        let help =
            "Complete requests that were refused because too many bytes of requests are being processed";
        writer.counter("confwatch_requests_refused", help, [([], value(&self.in_progress.refused))])?;
        let unread = &self.unread.counts;
        let help = "Bytes of responses that clients have not read yet (backpressure)";
        writer.gauge("confwatch_responses_unread", help, Some(Unit::Bytes), [([], unread.bytes())])?;
        let help = "Calls refused because too many bytes of earlier responses are unread";
        writer.counter("confwatch_responses_refused", help, [([], value(&unread.refused))])?;
        let help = "Responses ended because the client read nothing for --response-timeout";
        writer.counter("confwatch_responses_given_up", help, [([], value(&unread.given_up))])?;
        let reloads = [("ok", &counts.certificates_reloaded), ("failed", &counts.certificate_reloads_failed)];
        let help = "Reloads of the TLS files, by outcome";
        writer.counter("confwatch_certificate_reloads", help, by("outcome", reloads))
    }

    fn limits(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let counts = &self.rates.counts;
        let limited = [
            (RateLimit::CallsPerAddress.as_str(), &counts.calls_per_address),
            (RateLimit::CallsPerActor.as_str(), &counts.calls_per_actor),
            (RateLimit::RefusalsPerAddress.as_str(), &counts.refusals_per_address),
            (RateLimit::RevealsPerActor.as_str(), &counts.reveals_per_actor),
            (RateLimit::LoginsPerActor.as_str(), &counts.logins_per_actor),
            ("open_calls", &self.connections.counts.open_calls_refused),
        ];
        let help = "Calls refused by a rate limit, by limit";
        writer.counter("confwatch_rate_limited", help, by("limit", limited))?;
        let messages = self.opened().as_ref().map(|opened| value(&opened.too_large));
        let headers = Some(value(&self.connections.counts.headers_too_large));
        let too_large = [("headers", headers), ("message", messages)];
        let too_large = too_large.into_iter().filter_map(|(of, count)| Some(([("of", of)], count?)));
        let help = "Calls refused because their headers or a message are too large";
        writer.counter("confwatch_requests_too_large", help, too_large)
    }

    fn engine(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let opened = self.opened();
        let engine = opened.as_ref().map(|opened| &*opened.engine);
        let gauge = |read: fn(&Engine) -> u64| engine.map(|engine| ([], read(engine)));

        let help = "Revision of the newest durable commit";
        writer.gauge("confwatch_revision", help, None, gauge(|engine| engine.state().revision.0))?;
        let help = "Offset of the system clock from the clock of the server, which follows it slowly; positive: the system clock is ahead";
        let offset = engine.map(|engine| ([], engine.clock_offset() as f64 / 1e6));
        writer.gauge("confwatch_clock_offset", help, Some(Unit::Seconds), offset)?;
        let help = "1 while the master key cannot be read from its source, else 0";
        let failing = gauge(|engine| engine.is_master_key_failing().into());
        writer.gauge("confwatch_master_key_failing", help, None, failing)?;
        let help = "Existing configs";
        writer.gauge(
            "confwatch_configs",
            help,
            None,
            gauge(|engine| engine.state().config_count() as u64),
        )?;
        let sources =
            engine.into_iter().flat_map(|engine| by("source", engine.commit_counts().by_source.each()));
        writer.counter(
            "confwatch_commits",
            "Durable commits, by the kind of write that made them",
            sources,
        )?;
        let batches = engine.map(|engine| ([], engine.commit_counts().batches.read()));
        let help = "Commits per batch (group commit)";
        writer.histogram("confwatch_commit_batch_size", help, None, batches)?;

        let help = "Open watch streams";
        writer.gauge("confwatch_watchers", help, None, gauge(|engine| engine.watcher_count() as u64))?;
        let help = "Distinct targets of open watch streams";
        writer.gauge(
            "confwatch_watched_targets",
            help,
            None,
            gauge(|engine| engine.watched_target_count() as u64),
        )?;
        let refused = engine.map(|engine| ([], engine.actor_stream_refusal_count()));
        let help = "Watch streams and streams of changes that were refused because their actor has as many as one may have";
        writer.counter("confwatch_actor_streams_refused", help, refused)?;
        let deliveries = engine.map(|engine| ([], engine.watch_delivery_count()));
        let help = "Messages with documents sent to watch streams";
        writer.counter("confwatch_watch_deliveries", help, deliveries)?;
        let help = "Revisions by which watch deliveries are behind the newest durable commit";
        writer.gauge("confwatch_watch_lag_revisions", help, None, gauge(Engine::watch_lag))?;
        let help = "Longest time an update of a watch stream has been blocked by backpressure of its client (HTTP/2 flow control); 0: none is. \
                    About 100 KB per stream are buffered, and do not count";
        let lag = engine.map(|engine| ([], engine.slowest_watcher_lag().as_secs_f64()));
        writer.gauge("confwatch_watch_lag", help, Some(Unit::Seconds), lag)
    }

    /// Of namespaces only those are told that an administrator has named: others can be made by whoever may write.
    fn quotas(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let opened = self.opened();
        let engine = opened.as_ref().map(|opened| &*opened.engine);
        let refused = engine.into_iter().flat_map(|engine| {
            let counts = engine.commit_counts();
            let count = |quota: Quota| match quota {
                Quota::Configs => value(&counts.refused_for_configs),
                Quota::Bytes => value(&counts.refused_for_bytes),
                Quota::Watchers => engine.watch_quota_refusal_count(),
                Quota::JournalBytes => value(&counts.refused_for_journal_bytes),
                Quota::JournalBytesPerMinute => value(&counts.refused_for_journal_rate),
            };
            Quota::ALL.map(|quota| ([("quota", quota.as_str())], count(quota)))
        });
        let help = "Writes and watch streams refused by a quota of a namespace, by quota";
        writer.counter("confwatch_quota_exceeded", help, refused)?;

        let state = engine.map(Engine::state);
        let named = state.iter().flat_map(|state| state.quotas().namespaces());
        let usages = |read: fn(Usage) -> u64| {
            let state = state.as_ref();
            named.clone().filter_map(move |namespace| {
                Some(([("namespace", namespace.as_str())], read(state?.usage(namespace))))
            })
        };
        let help = "Configs of a namespace, for namespaces with quotas of their own";
        writer.gauge("confwatch_namespace_configs", help, None, usages(|usage| usage.configs))?;
        let help = "Bytes of the layers of a namespace, for namespaces with quotas of their own";
        let bytes = usages(|usage| usage.bytes);
        writer.gauge("confwatch_namespace_content", help, Some(Unit::Bytes), bytes)?;
        let help = "Watched configs of a namespace, once per stream, for namespaces with quotas of their own";
        let watchers = named.clone().filter_map(|namespace| {
            Some(([("namespace", namespace.as_str())], engine?.watcher_count_of(namespace)))
        });
        writer.gauge("confwatch_namespace_watchers", help, None, watchers)?;
        let help = "Bytes of retained history of a namespace, for namespaces with quotas of their own";
        let bytes = named.clone().filter_map(|namespace| {
            Some(([("namespace", namespace.as_str())], engine?.journal_bytes_of(namespace)))
        });
        writer.gauge("confwatch_namespace_journal", help, Some(Unit::Bytes), bytes)?;
        let compacted = engine.map(|engine| ([], engine.forgotten().iter().count() as u64));
        let help = "Namespaces whose history begins later than that of the store";
        writer.gauge("confwatch_compacted_namespaces", help, None, compacted)?;
        let help = "Writes refused because their caller has used too many request ids";
        let refused = engine.map(|engine| ([], value(&engine.commit_counts().refused_for_request_ids)));
        writer.counter("confwatch_request_ids_refused", help, refused)
    }

    fn backups(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let opened = self.opened();
        let counts = opened.as_ref().map(|opened| opened.engine.backup_counts());
        let outcomes = counts.into_iter().flat_map(|counts| {
            [([("outcome", "made")], value(&counts.made)), ([("outcome", "failed")], value(&counts.failed))]
        });
        writer.counter("confwatch_backups", "Backups, by outcome", outcomes)?;
        let last = counts.and_then(|counts| counts.last());
        let help = "When the last backup since the start of the server was made, since the Unix epoch";
        let time = last.map(|last| ([], last.time.0 as f64 / 1e6));
        writer.gauge("confwatch_backup_last_success_timestamp", help, Some(Unit::Seconds), time)?;
        let help = "How long the last backup took";
        let seconds = last.map(|last| ([], last.seconds));
        writer.gauge("confwatch_backup_last_duration", help, Some(Unit::Seconds), seconds)?;
        let bytes = last.map(|last| ([], last.bytes));
        writer.gauge("confwatch_backup_last_size", "The size of the last backup", Some(Unit::Bytes), bytes)
    }

    fn audit(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let opened = self.opened();
        let counts = opened.as_ref().map(|opened| opened.recorder.counts());
        let one = |read: fn(&AuditCounts) -> &AtomicU64| counts.map(|counts| ([], value(read(counts))));
        let denied = counts.map(AuditCounts::denied).unwrap_or_default();
        let denied = denied.iter().map(|(reason, count)| ([("reason", reason.as_str())], *count));
        let help = "Denied and unauthenticated calls and streams, by reason";
        writer.counter("confwatch_denied_requests", help, denied)?;
        let help = "Reveals of the secrets of a document";
        writer.counter("confwatch_secret_reveals", help, one(|counts| &counts.reveals))?;
        let help = "Records for the audit log";
        writer.counter("confwatch_audit_records", help, one(|counts| &counts.records))?;
        let help = "Events lost because the audit log could not be written";
        writer.counter("confwatch_audit_lost", help, one(|counts| &counts.lost))?;
        let help = "1 while the audit log cannot be written, else 0";
        let failing = counts.map(|counts| ([], u64::from(counts.is_failing.load(Relaxed))));
        writer.gauge("confwatch_audit_failing", help, None, failing)?;
        let help = "1 if durable records of the audit log were missing at the start, else 0";
        let incomplete = counts.map(|counts| ([], u64::from(counts.is_incomplete.load(Relaxed))));
        writer.gauge("confwatch_audit_incomplete", help, None, incomplete)?;
        let help = "1 if the audit log was not as it was written when it was last proved, else 0";
        let altered = counts.map(|counts| ([], u64::from(counts.is_altered.load(Relaxed))));
        writer.gauge("confwatch_audit_altered", help, None, altered)?;
        let help = "Bytes of the audit log on disk";
        writer.gauge("confwatch_audit", help, Some(Unit::Bytes), one(|counts| &counts.bytes))?;
        let early = counts.into_iter().flat_map(|counts| {
            Room::ALL.map(|room| ([("room", room.name())], value(&counts.early[room as usize])))
        });
        let help = "Records removed before --audit-retention-days because of --audit-bytes-max, by part of the audit log";
        writer.counter("confwatch_audit_removed_early", help, early)?;
        let feeds = opened.as_ref().map_or(&[][..], |opened| &opened.feeds);
        let file = feeds.iter().find(|(name, _)| *name == AUDIT_FILE).map(|(_, counts)| counts);
        let help = "Commits and records removed before they were written to --audit-file";
        writer.counter("confwatch_audit_file_missed", help, file.map(|file| ([], value(&file.missed))))?;
        let help = "1 while --audit-file cannot be written, else 0";
        let failing = file.map(|file| ([], u64::from(file.is_failing.load(Relaxed))));
        writer.gauge("confwatch_audit_file_failing", help, None, failing)?;
        let of_feeds = |read: fn(&FeedCounts) -> u64| {
            feeds.iter().map(move |(name, counts)| ([("feed", *name)], read(counts)))
        };
        let help = "Commits and records removed before a feed delivered them, by feed";
        writer.counter("confwatch_feed_missed", help, of_feeds(|counts| value(&counts.missed)))?;
        let help = "1 while the deliveries of a feed fail, else 0";
        let failing = of_feeds(|counts| u64::from(counts.is_failing.load(Relaxed)));
        writer.gauge("confwatch_feed_failing", help, None, failing)
    }

    fn store(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let syncs = self.opened().as_ref().map(|opened| ([], opened.store.syncs.read()));
        let help = "Duration of the sync that makes a batch of commits durable";
        writer.histogram("confwatch_store_sync", help, Some((Unit::Seconds, SECOND_NANOS)), syncs)?;
        let bytes = match DiskBytes::of(&self.data_dir) {
            Ok(DiskBytes { db, journal, wal }) => vec![("db", db), ("journal", journal), ("wal", wal)],
            // Numbers that are missing say so.
            Err(error) => {
                tracing::warn!(%error, "cannot tell how large the store is");
                vec![]
            }
        };
        let bytes = bytes.into_iter().map(|(part, bytes)| ([("part", part)], bytes));
        writer.gauge("confwatch_store", "Bytes of the store on disk, by part", Some(Unit::Bytes), bytes)?;
        let opened = self.opened();
        let damaged = opened.as_ref().map(|opened| ([], u64::from(opened.store.is_damaged.load(Relaxed))));
        let help = "1 once a read found files of the store that are not as they were written, else 0";
        writer.gauge("confwatch_store_damaged", help, None, damaged)
    }
}

fn value(count: &AtomicU64) -> u64 {
    count.load(Relaxed)
}

/// One number for each value of a label.
fn by<'a, const N: usize>(
    label: &'static str,
    counts: [(&'static str, &'a AtomicU64); N],
) -> impl Iterator<Item = ([(&'static str, &'static str); 1], u64)> + 'a {
    counts.into_iter().map(move |(of, count)| ([(label, of)], value(count)))
}

#[cfg(test)]
mod tests;
