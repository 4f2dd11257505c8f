//! A server in this process: its start, and its stop. Knows engine and api by what they are opened with; knows no signals
//! and no command line.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, ensure};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::access::first_admin;
use super::access::keys_dir::KeysDir;
use super::access::session_file::SessionWriter;
use super::access::token_uses::Uses;
use super::audit_trail::{access_changes, file, recorder, server_backups};
use super::clock::Clocks;
use super::feed::Feed;
use super::net::busy_turns::BusyTurns;
use super::net::connection_context::ConnectionContext;
use super::net::connections::{ConnectionCounts, Connections};
use super::net::listen;
use super::net::request_bodies::{RequestCounts, Requests};
use super::net::tls::Tls;
use super::router::Front;
use super::settings::{ConsoleMode, Fsync, Settings, Unusable};
use super::telemetry::calls::Calls;
use super::telemetry::metrics;
use super::telemetry::metrics::Metrics;
use super::telemetry::traces::Traces;
use crate::api;
use crate::api::guard::rates::Rates;
use crate::api::in_progress::RequestsInProgress;
use crate::api::rpc::SERVICES;
use crate::api::unread::{UnreadCounts, UnreadResponses};
use crate::audit::{Counts as AuditCounts, Recorder};
use crate::engine::{self, BackupCatalog, BackupUploads, Engine};
use crate::proto::v1::FILE_DESCRIPTOR_SET;
use crate::secret::{KeysError, MasterKeySource};
use crate::store::CompactedRequests;
use crate::store::sled::{Counts as StoreCounts, Fsync as StoreFsync, Released, SledOptions, SledStore};
use crate::supervise::{OnPanic, Supervisor};

/// What closing may take beyond the time that calls have to end. What calls leave of theirs, closing has as well.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(2500);
/// What each later step of closing may take in any case, for the disk may hang in the first one.
const CLOSE_STEP_TIMEOUT: Duration = Duration::from_millis(300);

/// In the data directory: backups that clients have sent, until they are restored from.
const UPLOADS_DIR: &str = "uploads";
/// The file in the data directory with the request ids of compacted commits.
const COMPACTED_REQUESTS: &str = "request-ids";

/// The services that are served beside those of the contract: their calls are counted by the names in the descriptors.
const DESCRIPTORS: [&[u8]; 3] = [
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// How to start a server.
pub struct Server;

/// A server that serves. `shutdown` ends its calls and closes the store. One that is dropped serves until its runtime ends, which ends its threads and closes the store.
pub struct RunningServer {
    address: SocketAddr,
    engine: Arc<Engine>,
    recorder: Recorder,
    access_changes: Feed,
    audit_file: Option<Feed>,
    front: Front,
    connections: Arc<Connections>,
    requests: Arc<Requests>,
    unread: Arc<UnreadResponses>,
    in_progress: Arc<RequestsInProgress>,
    metrics: Arc<Metrics>,
    metrics_address: Option<SocketAddr>,
    metrics_serving: Option<AbortHandle>,
    uses: Uses,
    sessions: SessionWriter,
    traces: Option<Arc<Traces>>,
    health: HealthReporter,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    drain_timeout: Duration,
    supervisor: Supervisor,
    failing: AbortHandle,
    released: Released,
}

impl Server {
    /// Listens, opens the store, and serves. While the store is being opened, health is NOT_SERVING and ConfigService
    /// UNAVAILABLE.
    pub async fn start(settings: Settings) -> anyhow::Result<RunningServer> {
        Server::start_with(settings, Arc::new(|_| {})).await
    }

    /// The same, telling how many layers are loaded meanwhile.
    pub async fn start_with(settings: Settings, progress: engine::Progress) -> anyhow::Result<RunningServer> {
        Server::start_by(Clocks::default(), settings, progress).await
    }

    /// The same by other clocks than those of the system.
    pub async fn start_by(
        clocks: Clocks,
        settings: Settings,
        progress: engine::Progress,
    ) -> anyhow::Result<RunningServer> {
        let listener = TcpListener::bind(&settings.listen).await.with_context(|| {
            format!("cannot listen on {} (choose another address with --listen)", settings.listen)
        })?;
        let address = listener.local_addr().context("cannot tell the address of the listener")?;
        let tls = match settings.tls.clone() {
            Some(files) => {
                let loaded =
                    spawn_blocking(|| Tls::load(files)).await.context("reading the files of TLS failed");
                Some(Arc::new(loaded.flatten().map_err(Unusable::mark)?))
            }
            None => {
                allow_plain_text(address, settings.insecure).map_err(Unusable::mark)?;
                None
            }
        };
        let metrics_listener = match &settings.metrics_listen {
            Some(listen) => Some(listen_for_metrics(listen, settings.insecure).await?),
            None => None,
        };

        first_admin::mode(&settings, address).map_err(Unusable::mark)?;
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::NotServing).await;
        let front = Front::new(reflection()?.add_service(health_service));
        let stop = CancellationToken::new();
        let supervisor = Supervisor::default();
        let settings = Arc::new(settings);
        let connections =
            Arc::new(Connections::new(settings.connections_max, settings.connections_per_address_max));
        let calls = Calls::new(&DESCRIPTORS).context("the descriptors of the services are damaged")?;
        let traces = match &settings.otlp_endpoint {
            Some(endpoint) => {
                Some(Arc::new(Traces::start(endpoint, settings.otlp_sampled).map_err(Unusable::mark)?))
            }
            None => None,
        };
        let calls = Arc::new(calls.traced(traces.clone()).supervised(supervisor.clone()));
        let (started, data_dir) = (SystemTime::now(), settings.data_dir.clone());
        let requests = Arc::new(Requests::new(
            settings.request_timeout,
            settings.requests_unfinished_max as u64,
            settings.requests_unfinished_bytes_max,
        ));
        let unread = UnreadResponses::new(settings.responses_unread_bytes_max);
        let in_progress =
            RequestsInProgress::new(settings.requests_in_progress_bytes_max, settings.request_timeout);
        let rates = Arc::new(Rates::new(settings.rates));
        let metrics = Arc::new(Metrics::new(
            calls.clone(),
            connections.clone(),
            requests.clone(),
            (unread.clone(), in_progress.clone()),
            rates.clone(),
            (data_dir, started),
            supervisor.clone(),
        ));
        let service = ConnectionContext {
            front: front.clone(),
            settings: settings.clone(),
            connections: connections.clone(),
            calls,
            requests: requests.clone(),
            supervisor: supervisor.clone(),
            unread: unread.clone(),
            in_progress: in_progress.clone(),
            busy_turns: BusyTurns::default(),
            tls,
        };
        let mut serving = Some((listener, Arc::new(service), stop.clone()));
        let serving = supervisor.task("listener", OnPanic::EndServer, move || {
            let (listener, service, stop) = serving.take().expect("it is run once");
            listen::serve(listener, service, stop)
        });
        let (metrics_address, metrics_listener) = metrics_listener.unzip();
        let metrics_serving = metrics_listener.map(|listener| {
            let (listener, metrics) = (Arc::new(listener), metrics.clone());
            let serve = move || metrics::listen::serve(listener.clone(), metrics.clone());
            supervisor.task("metrics", OnPanic::Restart, serve).abort_handle()
        });

        let drain_timeout = settings.drain_timeout;
        let (opened, supervised, by) = (settings.clone(), supervisor.clone(), clocks.clone());
        let opened = spawn_blocking(move || open(&opened, progress, supervised, by))
            .await
            .context("opening the store failed");
        let give_up = || {
            stop.cancel();
            serving.abort();
            metrics_serving.as_ref().inspect(|serving| serving.abort());
        };
        let Opened { engine, counts, keys_dir, released } = opened.flatten().inspect_err(|_| give_up())?;
        if let Some(seconds) =
            engine.history_ahead().map(|ahead| ahead.as_secs()).filter(|seconds| *seconds > 0)
        {
            tracing::warn!(
                seconds,
                "the newest commit is later than the system clock: commits have its time until the clock has caught up"
            );
        }
        // Making the first administrator is a commit that belongs to this start.
        let opened_at = engine.state().revision;
        let guard = match first_admin::guard(&settings, address, &engine, &keys_dir.path).await {
            Ok(guard) => guard,
            Err(error) => {
                give_up();
                engine.close().await;
                return Err(error);
            }
        };
        let recorder = match recorder::start(&settings, address, &engine, clocks.steady) {
            Ok(recorder) => recorder,
            Err(error) => {
                give_up();
                engine.close().await;
                return Err(error);
            }
        };
        let audit_file = match &settings.audit_file {
            Some(path) => {
                // So that the file begins with the record of this start.
                let recorded = recorder.clone();
                let flushed = spawn_blocking(move || recorded.flush()).await;
                flushed.context("the audit log was not begun")?;
                Some(file::start(path, &settings.data_dir, &engine, &recorder, opened_at))
            }
            None => None,
        };
        let access_changes = access_changes::start(&settings.data_dir, &engine, &recorder);
        server_backups::start(&engine, &recorder);
        let (limited, report) = (guard.clone().limited(rates), metrics.report());
        let (grpc, json) = api::calls(
            Arc::clone(&engine),
            limited,
            recorder.clone(),
            report,
            &api::http::BrowserSettings {
                is_tls: settings.tls.is_some(),
                cors_origins: settings.cors_origin.clone(),
            },
        );
        let json = match settings.console {
            ConsoleMode::On => json.with_console(),
            ConsoleMode::Off => json,
        };
        let feeds = audit_file
            .iter()
            .chain([&access_changes])
            .map(|feed| (feed.name, Arc::clone(&feed.counts)))
            .collect();
        let too_large = Arc::clone(grpc.too_large());
        metrics.open(Arc::clone(&engine), counts, too_large, recorder.clone(), feeds);
        let sessions = SessionWriter::follow(guard.sessions().cloned(), &supervisor);
        let uses = Uses::follow(guard, &settings.data_dir, &supervisor).await;
        front.open(grpc, json);
        set_health(&health, ServingStatus::Serving).await;
        let failing = supervisor.task("health", OnPanic::Restart, {
            let (supervisor, health, engine) = (supervisor.clone(), health.clone(), Arc::downgrade(&engine));
            move || stop_serving_on_failure(supervisor.failed(), health.clone(), engine.clone())
        });
        Ok(RunningServer {
            supervisor,
            failing: failing.abort_handle(),
            address,
            engine,
            recorder,
            access_changes,
            audit_file,
            front,
            connections,
            requests,
            unread,
            in_progress,
            metrics,
            metrics_address,
            metrics_serving,
            uses,
            sessions,
            traces,
            health,
            stop,
            serving,
            drain_timeout,
            released,
        })
    }
}

impl RunningServer {
    /// Where it listens, with the port it has got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Who was shut out, and what became of the audit log.
    pub fn audit_counts(&self) -> &AuditCounts {
        self.recorder.counts()
    }

    /// What became of connections.
    pub fn connection_counts(&self) -> &ConnectionCounts {
        &self.connections.counts
    }

    /// What became of requests that did not come whole.
    pub fn request_counts(&self) -> &RequestCounts {
        &self.requests.counts
    }

    /// Reports when the data directory is free again. Outlives the server.
    pub fn released(&self) -> Released {
        self.released.clone()
    }

    /// Runs the tasks of the server.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Waits until the server cannot serve any more, since a task has panicked that it needs: the name of the task. The server is to be
    /// shut down then, and its process to be started again.
    pub async fn failed(&self) -> &'static str {
        let mut failed = self.supervisor.failed();
        let failed =
            failed.wait_for(Option::is_some).await.expect("the supervisor lives as long as the server");
        failed.expect("it was waited for")
    }

    /// Requests that are being processed.
    pub fn requests_in_progress(&self) -> &RequestsInProgress {
        &self.in_progress
    }

    /// What clients have not taken of their responses.
    pub fn unread_counts(&self) -> &UnreadCounts {
        &self.unread.counts
    }

    /// Ends every stream, waits for the calls under way as long as the settings allow, stops a compaction, and closes the store. Whether
    /// the data directory is free on return: it is not if a call or the disk hangs, or somebody else holds the engine.
    pub async fn shutdown(self) -> bool {
        let RunningServer {
            engine,
            recorder,
            access_changes,
            audit_file,
            front,
            metrics,
            metrics_serving,
            traces,
            released,
            ..
        } = self;
        let RunningServer {
            mut health,
            stop,
            mut serving,
            drain_timeout,
            uses,
            sessions,
            supervisor,
            failing,
            ..
        } = self;
        let deadline = Instant::now() + drain_timeout + CLOSE_TIMEOUT;
        supervisor.stop();
        failing.abort();
        set_health(&health, ServingStatus::NotServing).await;
        engine.drain();
        stop.cancel();
        // Those who watch health have been told: this ends their streams, which would hold up the rest.
        for name in health_names() {
            health.clear_service_status(name).await;
        }
        match timeout(drain_timeout, &mut serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "serving ended with a panic"),
            Err(_) => {
                tracing::warn!(?drain_timeout, "some calls have not ended in time, leaving them");
                serving.abort();
            }
        }
        front.close();
        uses.finish().await;
        sessions.finish().await;
        // Until here they tell how the end goes on.
        metrics_serving.inspect(AbortHandle::abort);
        metrics.close();
        if timeout_at(deadline, engine.close()).await.is_err() {
            tracing::error!("the engine has not closed in time, leaving it");
        }
        let in_time = || deadline.max(Instant::now() + CLOSE_STEP_TIMEOUT);
        if timeout_at(in_time(), access_changes.stop()).await.is_err() {
            tracing::error!("changes of access have not been recorded in time: the next start records them");
        }
        // Nothing happens any more that would have to be told.
        let recorded = spawn_blocking(move || recorder.close());
        if timeout_at(in_time(), recorded).await.is_err() {
            tracing::error!("the audit log has not closed in time, leaving it");
        }
        if let Some(file) = audit_file
            && timeout_at(in_time(), file.stop()).await.is_err()
        {
            tracing::error!("the audit file has not been finished in time, leaving it");
        }
        if let Some(traces) = traces
            && timeout_at(in_time(), spawn_blocking(move || traces.stop())).await.is_err()
        {
            tracing::warn!("the last spans were not sent in time");
        }
        // The last owner closes the store, which blocks. It may be a call that still reads history.
        let in_time = in_time();
        let left = in_time - Instant::now();
        let closed = spawn_blocking(move || {
            drop(engine);
            released.wait(left)
        });
        let is_free = matches!(timeout_at(in_time, closed).await, Ok(Ok(true)));
        if !is_free {
            tracing::error!("the store has not closed in time, leaving it");
        }
        is_free
    }
}

/// Plain text is for oneself, unless somebody takes it upon them.
fn allow_plain_text(address: SocketAddr, insecure: bool) -> anyhow::Result<()> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    ensure!(
        insecure,
        "{address} can be reached by others, and without TLS whoever is on the way reads and changes what is sent: give \
         --tls-cert and --tls-key (`confwatch certs dev` makes some for trying it out), listen on 127.0.0.1, or say \
         --insecure if TLS ends before this server"
    );
    tracing::warn!(%address, "serving plain text on an address that others can reach, as --insecure allows");
    Ok(())
}

/// Those who ask for metrics do not prove who they are, and a certificate of the server would not change that.
async fn listen_for_metrics(listen: &str, insecure: bool) -> anyhow::Result<(SocketAddr, TcpListener)> {
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen for metrics on {listen}"))?;
    let address = listener.local_addr().context("cannot tell the address of the listener for metrics")?;
    if !address.ip().to_canonical().is_loopback() {
        if !insecure {
            return Err(Unusable::mark(anyhow!(
                "{address} can be reached by others, and metrics are served in plain text to whoever asks: listen for them on \
             127.0.0.1, or say --insecure if only those who may can reach it"
            )));
        }
        tracing::warn!(%address, "serving metrics on an address that others can reach, as --insecure allows");
    }
    tracing::info!(%address, "metrics can be read at /metrics");
    Ok((address, listener))
}

/// What is open once the store is.
struct Opened {
    engine: Arc<Engine>,
    counts: Arc<StoreCounts>,
    keys_dir: KeysDir,
    released: Released,
}

fn open(
    settings: &Settings,
    progress: engine::Progress,
    supervisor: Supervisor,
    clocks: Clocks,
) -> anyhow::Result<Opened> {
    let fsync = match settings.fsync {
        Fsync::Always => StoreFsync::Always,
        Fsync::Never => StoreFsync::Never,
    };
    let options = SledOptions {
        fsync,
        cache_bytes: settings.store_cache_bytes,
        supervisor: supervisor.clone(),
        ..SledOptions::default()
    };
    let store = SledStore::open(&settings.data_dir, options)?;
    let (counts, released) = (Arc::clone(store.counts()), store.released());
    let keys_dir = KeysDir::make(settings.keys_dir.as_deref(), &settings.data_dir)?;
    let backups = settings.backup_dir.as_deref().map(|dir| {
        let opened =
            BackupCatalog::open(dir).with_context(|| format!("cannot keep backups in {}", dir.display()));
        opened.map(Arc::new).map_err(Unusable::mark)
    });
    let backups = backups.transpose()?;
    let uploads = BackupUploads::open(&settings.data_dir.join(UPLOADS_DIR), settings.transfer_timeout);
    let uploads = uploads.with_context(|| format!("cannot use {}", settings.data_dir.display()))?;
    let options = engine::Options {
        role: engine::Role::Leader,
        limits: settings.limits.clone(),
        quotas: settings.quotas,
        retain_revisions: settings.retain_revisions,
        retain_for: settings.retain_for,
        retention_grace: settings.retention_grace,
        cache_bytes: settings.document_cache_bytes,
        master_key: settings
            .master_key
            .clone()
            .unwrap_or_else(|| MasterKeySource::Automatic(keys_dir.master_key.clone())),
        backups,
        uploads: Some(Arc::new(uploads)),
        transfer_timeout: settings.transfer_timeout,
        compacted_requests: Some(Arc::new(CompactedRequests::at(
            &settings.data_dir.join(COMPACTED_REQUESTS),
        ))),
        state_backups: settings.backup_before_changes.then_some(settings.backup_apply_layers),
        progress,
        supervisor,
        clock: clocks.steady,
        wall_clock: clocks.wall,
        ..engine::Options::default()
    };
    let engine = Engine::open(Arc::new(store), options);
    let engine = engine.map_err(|error| {
        let is_key = matches!(
            error,
            engine::Error::MasterKey(_) | engine::Error::DataKeys(KeysError::OtherMaster { .. })
        );
        let told = anyhow::Error::new(error).context(format!("cannot load {}", settings.data_dir.display()));
        if is_key { Unusable::mark(told) } else { told }
    })?;
    Ok(Opened { engine, counts, keys_dir, released })
}

/// Tells who asks for health, and every stream, as soon as the server cannot serve any more.
async fn stop_serving_on_failure(
    mut failed: watch::Receiver<Option<&'static str>>,
    health: HealthReporter,
    engine: Weak<Engine>,
) {
    if failed.wait_for(Option::is_some).await.is_ok() {
        set_health(&health, ServingStatus::NotServing).await;
        if let Some(engine) = engine.upgrade() {
            engine.drain();
        }
    }
}

/// The names that health is asked for: the server, and each service.
fn health_names() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(SERVICES)
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in health_names() {
        health.set_service_status(name, status).await;
    }
}

/// Reflection in both versions: grpcurl asks for v1alpha. With the descriptors of error details, so that tools can show
/// them.
fn reflection() -> anyhow::Result<Routes> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}
