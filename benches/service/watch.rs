//! One document, many watchers, each with a connection of its own: how long until the last one knows of a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::{Connection, Event};
use super::document::{WATCHED, set, watch_request};
use super::load::Measured;
use super::process::Process;

const WATCHERS: usize = 1000;
const UPDATES: usize = 100;
/// Between updates: a change of configuration meets an idle server.
const PAUSE: Duration = Duration::from_millis(10);

/// An operation is a delivery; the latencies are those of updates.
pub async fn run(server: &Process) -> Measured {
    let received = Arc::new(AtomicUsize::new(0));
    // When every watcher had one more message.
    let (all, mut all_received) = mpsc::unbounded_channel();
    // Dropped at the end, and the connections with it.
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let mut connection = Connection::open(server.address, "Watch").await;
        let (received, all) = (received.clone(), all.clone());
        watchers.spawn(async move {
            connection.call(&watch_request());
            loop {
                let Event::Message = connection.next().await else { panic!("a watch ended") };
                if (received.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(WATCHERS) {
                    let _ = all.send(Instant::now());
                }
            }
        });
    }
    // The state as it is.
    all_received.recv().await.expect("it is not closed");

    let mut connection = Connection::open(server.address, "Set").await;
    let (cpu, begin) = (server.cpu(), Instant::now());
    let mut latencies = Vec::with_capacity(UPDATES);
    for _ in 0..UPDATES {
        tokio::time::sleep(PAUSE).await;
        let sent = Instant::now();
        connection.call(&set(WATCHED, fastrand::u64(..)));
        while let Event::Message = connection.next().await {}
        latencies.push(all_received.recv().await.expect("it is not closed") - sent);
    }
    let (took, cpu) = (begin.elapsed(), server.cpu() - cpu);
    Measured::of(latencies, UPDATES * WATCHERS, took, cpu)
}
