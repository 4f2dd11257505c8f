//! A server whose disk is in trouble, and all that it said meanwhile. Does not know what the trouble is.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use confwatch::proto::v1::*;
use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::history::{History, get};
use super::server::{Client, Server};
use super::watcher::Watcher;
use super::write::{NAMESPACE, PAIRS, SOLOS, Write};
use super::writers::Acknowledged;

const WRITERS: usize = 4;
/// How long a writer waits that was refused.
const PAUSE: Duration = Duration::from_millis(10);
/// Within this a server answers, whatever the disk does, and works again once the disk does. It is seconds; the tests allow for
/// machines that are busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// What servers on one disk said.
#[derive(Default)]
pub struct Said {
    acknowledged: Vec<Acknowledged>,
    /// Request ids of which nothing was written.
    refused: Vec<String>,
    history: History,
}

/// Clients that write until they are stopped, or the server is gone.
pub struct Writers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Said>>,
}

#[derive(Default)]
struct Shared {
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    stopping: AtomicBool,
}

impl Said {
    fn add(&mut self, other: Said) {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
    }

    /// Everything that was ever said still holds.
    pub async fn check(&mut self, client: &Client) {
        let history = answered("History", History::read(client.clone())).await;
        history.check_continues(&self.history);
        self.acknowledged.iter().for_each(|said| history.check_holds(said));
        for id in &self.refused {
            assert!(!history.has(id), "{id} was refused, and is there");
        }
        answered("the current state", history.check_current(client.clone())).await;
        self.history = history;
    }

    pub fn head(&self) -> u64 {
        self.history.head()
    }

    pub fn summary(&self) -> String {
        let (acknowledged, refused) = (self.acknowledged.len(), self.refused.len());
        format!("{} commits, {acknowledged} acknowledged writes, {refused} refused", self.head())
    }
}

impl Writers {
    pub async fn start(server: &Server, rng: &mut Rng) -> Writers {
        let shared = Arc::new(Shared::default());
        let mut tasks = Vec::new();
        for _ in 0..WRITERS {
            tasks.push(tokio::spawn(write(server.client().await, rng.fork(), shared.clone())));
        }
        Writers { shared, tasks }
    }

    /// Waits until `count` more writes are refused.
    pub async fn are_refused(&self, count: usize) {
        self.reach(&self.shared.refused, count, "refused").await;
    }

    /// Waits until `count` more writes are acknowledged.
    pub async fn are_acknowledged(&self, count: usize) {
        self.reach(&self.shared.acknowledged, count, "acknowledged").await;
    }

    async fn reach(&self, counter: &AtomicUsize, more: usize, what: &str) {
        let (began, from) = (Instant::now(), counter.load(Ordering::Relaxed));
        while counter.load(Ordering::Relaxed) < from + more {
            assert!(began.elapsed() < PATIENCE, "no {more} writes were {what} in {PATIENCE:?}");
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a writer has ended");
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub async fn stop(self, said: &mut Said) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.join(said).await;
    }

    /// Ends once they are stopped, or the server is gone.
    pub async fn join(self, said: &mut Said) {
        for task in self.tasks {
            said.add(task.await.expect("what a writer is told is right"));
        }
    }
}

async fn write(client: Client, mut rng: Rng, shared: Arc<Shared>) -> Said {
    let mut said = Said::default();
    while !shared.stopping.load(Ordering::Relaxed) {
        let id = format!("{:016x}", rng.u64(..));
        let write = Write::random(id, &mut rng);
        match answered("a write", write.attempt(client.clone())).await {
            Ok((changed, revision)) => {
                said.acknowledged.push(Acknowledged { write, changed, revision });
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => match reason(&status).as_deref() {
                Some("STORE_WRITE_REFUSED") => {
                    check_is_temporary(&status);
                    said.refused.push(write.id().to_owned());
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                // These look at the version that they name.
                Some("HISTORY_UNAVAILABLE") => {
                    check_is_temporary(&status);
                    assert!(matches!(write, Write::Rollback(_) | Write::SetTag(_)), "{write:?}: {status:?}");
                    said.refused.push(write.id().to_owned());
                }
                // Of this it is not known whether it was written.
                Some("STORE_UNAVAILABLE") => {
                    check_is_temporary(&status);
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                Some(_) if status.code() == Code::NotFound => said.refused.push(write.id().to_owned()),
                Some("DRAINING") => return said,
                Some(_) => panic!("{write:?}: {status:?}"),
                // The server is gone.
                None => return said,
            },
        }
    }
    said
}

/// What a server does all the same: it is healthy, tells what is current, and keeps its watchers informed.
pub async fn check_serves(server: &Server, watchers: &mut [Watcher]) {
    let mut health = HealthClient::new(server.connect().await);
    let status = answered("health", health.check(tonic_health::pb::HealthCheckRequest::default())).await;
    assert_eq!(status.expect("health").into_inner().status(), ServingStatus::Serving);
    let client = server.client().await;
    for config in PAIRS.into_iter().chain(SOLOS) {
        match answered("Get", client.clone().get(get(config, "/", None))).await {
            Ok(_) => {}
            Err(status) => assert_eq!(status.code(), Code::NotFound, "{status:?}"),
        }
    }
    let head = client.clone().list(ListRequest::default()).await.expect("List").into_inner().store_revision;
    let mut new = Watcher::of_everything();
    new.resume(client.clone()).await;
    for watcher in watchers.iter_mut().chain([&mut new]) {
        answered("a watch", watcher.reach(head)).await;
    }
    match answered("history", versions(client)).await {
        Ok(()) => {}
        Err(status) => {
            assert_eq!(reason(&status).as_deref(), Some("HISTORY_UNAVAILABLE"), "{status:?}");
            check_is_temporary(&status);
        }
    }
}

/// Waits until history can be read.
pub async fn history_is_back(client: &Client) {
    let began = Instant::now();
    while let Err(status) = answered("history", versions(client.clone())).await {
        assert!(began.elapsed() < PATIENCE, "after {PATIENCE:?}: {status:?}");
        assert_eq!(reason(&status).as_deref(), Some("HISTORY_UNAVAILABLE"), "{status:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads something that only the archive has.
async fn versions(mut client: Client) -> Result<(), Status> {
    let request =
        ListVersionsRequest { namespace: NAMESPACE.into(), config: PAIRS[0].into(), ..Default::default() };
    match client.list_versions(request).await {
        Err(status) if status.code() != Code::NotFound => Err(status),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Nobody is left without an answer.
async fn answered<T>(what: &str, answer: impl Future<Output = T>) -> T {
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{what} is not answered in {PATIENCE:?}"))
}

fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// A client that knows gRPC alone sees that it may come again, and when; a person sees no Rust.
fn check_is_temporary(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    check_is_plain(status.message());
}

/// A message is for people.
pub fn check_is_plain(message: &str) {
    for debug in ["Custom {", "Os {", "kind:", "panicked", "Error(", "unwrap()", "src/"] {
        assert!(!message.contains(debug), "{message}");
    }
}
