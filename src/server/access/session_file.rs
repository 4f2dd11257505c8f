//! Keeps the sessions of people across starts. Knows one file; no session.
//!
//! `sessions.json` in the data directory. It is replaced, and durable, before a login, a logout or a revocation is answered. When sessions were last used
//! is written once a minute, and when the server stops. A file that cannot be read is as good as none: people log in again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::api::guard::sessions::KeptSessions;
use crate::auth::session::SessionTimes;
use crate::bounded_file;
use crate::durable_file;
use crate::engine::Engine;
use crate::supervise::{OnPanic, Supervisor};

const FILE: &str = "sessions.json";
const PERMISSIONS: u32 = 0o600;
/// More than the most sessions take.
const FILE_BYTES_MAX: u64 = 64 << 20;
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

/// The sessions that earlier processes have left in the data directory.
pub(in crate::server) async fn open(data_dir: &Path, engine: &Engine, times: SessionTimes) -> KeptSessions {
    let path = data_dir.join(FILE);
    let read = spawn_blocking({
        let path = path.clone();
        move || bounded_file::read_text(&path, FILE_BYTES_MAX)
    });
    let stored = match read.await {
        Ok(Ok(text)) => Some(text),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Ok(Err(error)) => {
            tracing::warn!(path = %path.display(), %error, "the sessions cannot be read: people must log in again");
            None
        }
        Err(_) => None,
    };
    let store = Arc::new(move |bytes: &[u8]| durable_file::replace(&path, PERMISSIONS, bytes));
    KeptSessions::new(
        stored.as_deref().map(str::as_bytes),
        engine.epoch(),
        times,
        engine.credential_time(),
        store,
    )
}

/// Writes now and then when sessions were last used. The task ends with the writer.
pub(in crate::server) struct SessionWriter {
    sessions: Option<Arc<KeptSessions>>,
    task: Option<JoinHandle<()>>,
}

impl SessionWriter {
    /// `None`: the server has no sessions.
    pub(in crate::server) fn follow(
        sessions: Option<Arc<KeptSessions>>,
        supervisor: &Supervisor,
    ) -> SessionWriter {
        let task = sessions.clone().map(|sessions| {
            supervisor.task("sessions", OnPanic::Restart, move || write_now_and_then(sessions.clone()))
        });
        SessionWriter { sessions, task }
    }

    /// Writes them for the last time.
    pub(in crate::server) async fn finish(self) {
        if let Some(sessions) = &self.sessions {
            write(sessions).await;
        }
    }
}

impl Drop for SessionWriter {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn write_now_and_then(sessions: Arc<KeptSessions>) {
    loop {
        tokio::time::sleep(WRITTEN_EVERY).await;
        write(&sessions).await;
    }
}

async fn write(sessions: &Arc<KeptSessions>) {
    if let Err(error) = sessions.store().await {
        let cause = error.cause.as_deref().unwrap_or_default();
        tracing::warn!(cause, "when sessions were last used cannot be written");
    }
}
