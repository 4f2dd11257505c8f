//! A server in this process: its start, and its stop. Knows engine and api by what they are opened with; knows no signals
//! and no command line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::front::{Front, SERVICES};
use super::listen;
use super::settings::{Fsync, Settings};
use crate::api;
use crate::engine::{self, Engine};
use crate::proto::v1::FILE_DESCRIPTOR_SET;
use crate::secret::MasterKeySource;
use crate::store::sled::{Fsync as StoreFsync, SledOptions, SledStore};

/// The names that health is asked for: the server as a whole, and the service.
const HEALTH_NAMES: [&str; 4] = ["", SERVICES[0], SERVICES[1], SERVICES[2]];
/// How long the engine may take to finish what is queued once no call is left.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How to start a server.
pub struct Server;

/// A server that serves. Dropping it does not stop it: `shutdown` does.
pub struct RunningServer {
    address: SocketAddr,
    engine: Arc<Engine>,
    front: Front,
    health: HealthReporter,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    drain_timeout: Duration,
}

impl Server {
    /// Listens, opens the store, and serves. While the store is being opened, health is NOT_SERVING and ConfigService
    /// UNAVAILABLE.
    pub async fn start(settings: Settings) -> anyhow::Result<RunningServer> {
        Server::start_with(settings, Arc::new(|_| {})).await
    }

    /// The same, telling how many layers are loaded meanwhile.
    pub async fn start_with(settings: Settings, progress: engine::Progress) -> anyhow::Result<RunningServer> {
        let listener = TcpListener::bind(&settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let address = listener.local_addr().context("cannot tell the address of the listener")?;

        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::NotServing).await;
        let front = Front::new(reflection()?.add_service(health_service));
        let stop = CancellationToken::new();
        let settings = Arc::new(settings);
        let serving = tokio::spawn(listen::serve(listener, front.clone(), settings.clone(), stop.clone()));

        let drain_timeout = settings.drain_timeout;
        let opened =
            spawn_blocking(move || open(&settings, progress)).await.context("opening the store failed");
        let engine = match opened.flatten() {
            Ok(engine) => engine,
            Err(error) => {
                stop.cancel();
                serving.abort();
                return Err(error);
            }
        };
        front.open(api::calls(Arc::clone(&engine)));
        set_health(&health, ServingStatus::Serving).await;
        Ok(RunningServer { address, engine, front, health, stop, serving, drain_timeout })
    }
}

impl RunningServer {
    /// Where it listens, with the port it has got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Ends every stream, waits for the calls under way as long as the settings allow, and closes the store. The data
    /// directory is free on return, unless a call has hung or someone else holds the engine.
    pub async fn shutdown(self) {
        let RunningServer { engine, front, mut health, stop, mut serving, drain_timeout, .. } = self;
        set_health(&health, ServingStatus::NotServing).await;
        engine.drain();
        stop.cancel();
        // Those who watch health have been told: this ends their streams, which would hold up the rest.
        for name in HEALTH_NAMES {
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
        if timeout(CLOSE_TIMEOUT, engine.close()).await.is_err() {
            tracing::error!("the engine has not closed in time, leaving it");
        }
        // The last owner closes the store, which blocks.
        let dropped = spawn_blocking(move || drop(engine));
        if timeout(CLOSE_TIMEOUT, dropped).await.is_err() {
            tracing::error!("the store has not closed in time, leaving it");
        }
    }
}

fn open(settings: &Settings, progress: engine::Progress) -> anyhow::Result<Arc<Engine>> {
    let fsync = match settings.fsync {
        Fsync::Always => StoreFsync::Always,
        Fsync::Never => StoreFsync::Never,
    };
    let options = SledOptions { fsync, cache_bytes: settings.store_cache_bytes, ..SledOptions::default() };
    let store = SledStore::open(&settings.data_dir, options)?;
    let options = engine::Options {
        limits: settings.limits.clone(),
        retain_revisions: settings.retain_revisions,
        cache_bytes: settings.document_cache_bytes,
        master_key: settings
            .master_key
            .clone()
            .unwrap_or_else(|| MasterKeySource::Automatic(settings.data_dir.join("master.key"))),
        progress,
        ..engine::Options::default()
    };
    let engine = Engine::open(Arc::new(store), options);
    engine.with_context(|| format!("cannot load {}", settings.data_dir.display()))
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
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
