//! The process around the services: settings, listener, health, reflection, shutdown. Knows the services by name only.

mod access;
mod audit_trail;
pub mod clock;
mod feed;
mod net;
mod router;
pub mod settings;
pub mod start;
mod telemetry;

use std::io::Write;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

pub use net::connections::ConnectionCounts;
pub use settings::{ServeArgs, Settings, Unusable};
pub use start::{RunningServer, Server};
use telemetry::start_progress::Progress;

/// Why a server that was stopped exits with an error.
const NOT_CLOSED: &str = "the store was not closed in time, because the disk or a call hangs: nothing that was acknowledged is lost, \
     and the next start takes longer";
/// What a shell says of a process that SIGINT ended.
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// Serves until the process is told to stop by SIGTERM or SIGINT, and then returns once every stream has ended and the store
/// is closed; a second signal ends the process at once. Errors are one line for a person.
///
/// Work on the disk may still hang when this returns: end the process without waiting for blocking threads.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    telemetry::logging::start(&settings).map_err(Unusable::mark)?;
    net::open_files::allow(settings.connections_max);
    let data_dir = settings.data_dir.display().to_string();
    let patience = settings.drain_timeout;
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let progress = Progress::default();
    let loaded = progress.clone();
    let mut starting = pin!(Server::start_with(settings, Arc::new(move |layers| loaded.set(layers))));

    let server = tokio::select! {
        server = progress.tell_until(&mut starting) => server?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopping before the store is open");
            signals.exit_at_next();
            // Opening is not interrupted lightly, but nobody waits for it for ever.
            if let Ok(server) = timeout(patience, starting).await {
                ensure!(server?.shutdown().await, NOT_CLOSED);
            }
            return Ok(());
        }
    };
    announce(&server, &data_dir);

    let failed = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping");
            None
        }
        task = server.failed() => Some(task),
    };
    signals.exit_at_next();
    let is_closed = server.shutdown().await;
    tracing::info!("stopped");
    match failed {
        None => {
            ensure!(is_closed, NOT_CLOSED);
            Ok(())
        }
        Some(task) => bail!(
            "the {task} task has panicked, which is a bug, and the server cannot run without it: start the server again, and report \
             what the log says of the panic"
        ),
    }
}

/// The one line on stdout, which scripts wait for. Nobody may be reading it.
fn announce(server: &RunningServer, data_dir: &str) {
    let state = server.engine().state();
    let (version, address) = (env!("CARGO_PKG_VERSION"), server.address());
    let (revision, configs) = (state.revision, state.config_count());
    let line = format!(
        "confwatch {version} serving on {address}, data in {data_dir} (revision {revision}, {configs} configs)"
    );
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        tracing::info!("{line}");
    }
}

/// The signals that ask a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
    /// Whoever asks twice does not want to wait.
    fn exit_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(EXIT_CODE_INTERRUPTED);
        });
    }
}
