//! A server that is killed and started again, and ten thousand watchers that all come back at once, each with what it holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use confwatch::proto::v1::watch_response::Event as WatchEvent;
use confwatch::proto::v1::{State, WatchResponse};
use prost::Message;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::watches::CONNECTIONS;
use super::{names_with, start, turns};
use crate::connection::{Connection, Event};
use crate::etcd;
use crate::options::Options;
use crate::process::Process;
use crate::report::{Column, Rounds, Section, column, plain};
use crate::server;
use crate::watchers::open;
use crate::wire::{Wire, watch_again, watch_create};

pub const NAME: &str = "Reconnect storm";

const WATCHERS: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(90);
/// Real clients wait longer; here the server's time is to be seen.
const RETRY_PAUSE: Duration = Duration::from_millis(5);
const COLUMNS: &[Column] = &[
    column("all at head, ms", 0),
    column("after the first, ms", 0),
    plain("bytes/watcher", 0),
    plain("documents sent again", 0),
    column("server CPU ms", 0),
];

pub async fn run(options: &Options) -> Section {
    let mut processes = start(options, &server::ALL).await;
    let mut rows = Vec::new();
    for connections in [CONNECTIONS, WATCHERS] {
        let case = format!("{WATCHERS} watchers, {connections} connections");
        let mut rounds = Rounds::new();
        for round in 0..options.rounds {
            for number in turns(processes.len(), round) {
                let process = &mut processes[number];
                match storm(process, connections).await {
                    Ok(values) => rounds.add(process.server.name(), values),
                    Err(why) => eprintln!("{}, {case}: {why}", process.server.name()),
                }
            }
        }
        rows.extend(rounds.rows(&case, &names_with("")));
    }
    let about = "Each watcher holds the state of a config of its own, of 1 KB. The server is killed with SIGKILL and started again at \
                 once; the watchers try to connect every 5 ms, and say what they hold (digest and resume token; of etcd \
                 the next revision). From the kill until all know that they are up to date, and from the first that does \
                 so. Bytes are those received on the new connections."
        .into();
    Section { name: NAME, about, columns: COLUMNS, rows, took: Duration::ZERO }
}

/// What all watchers of a storm have done.
#[derive(Default)]
struct Progress {
    /// Streams that have had their first message, before and after.
    begun: AtomicUsize,
    back: AtomicUsize,
    documents: AtomicUsize,
    bytes: AtomicUsize,
    first_back: std::sync::OnceLock<Instant>,
    changed: Notify,
}

async fn storm(process: &mut Process, connections: usize) -> Result<Vec<f64>, String> {
    let progress = Arc::<Progress>::default();
    let (killed, kill) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let streams = WATCHERS / connections;
    for number in 0..connections {
        let wire = process.server.wire();
        let address = process.address;
        let connection = open(address, wire.watch_path(), number).await?;
        let configs = (number * streams..(number + 1) * streams).collect();
        let client = Client { number, address, wire, configs, progress: progress.clone() };
        tasks.spawn(client.run(connection, kill.clone()));
    }
    progress.all(&progress.begun, "watches have begun").await?;
    process.quiet().await;

    let begin = Instant::now();
    killed.send_replace(true);
    process.kill();
    process.start_again();
    progress.all(&progress.back, "watchers are back").await?;
    let took = begin.elapsed();
    process.quiet().await;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let first_back = progress.first_back.get().copied().unwrap_or(begin);
    // The connections tell what they have received when the storm is over.
    killed.send_replace(false);
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| error.to_string())?;
    }
    Ok(vec![
        milliseconds(took),
        milliseconds(begin + took - first_back),
        progress.bytes.load(Relaxed) as f64 / WATCHERS as f64,
        progress.documents.load(Relaxed) as f64,
        milliseconds(process.cpu()),
    ])
}

impl Progress {
    async fn all(&self, count: &AtomicUsize, what: &str) -> Result<(), String> {
        let wait = async {
            while count.load(Relaxed) < WATCHERS {
                self.changed.notified().await;
            }
        };
        let result = timeout(TIMEOUT, wait).await;
        result.map_err(|_| format!("{} of {WATCHERS} {what} after {TIMEOUT:?}", count.load(Relaxed)))
    }

    fn count(&self, count: &AtomicUsize) {
        if count.fetch_add(1, Relaxed) + 1 == WATCHERS {
            self.changed.notify_one();
        }
    }
}

/// One connection's worth of watchers.
struct Client {
    number: usize,
    address: std::net::SocketAddr,
    wire: Wire,
    configs: Vec<usize>,
    progress: Arc<Progress>,
}

impl Client {
    async fn run(self, connection: Connection, mut kill: watch::Receiver<bool>) {
        let held = self.hold(connection, &mut kill).await;
        let mut missing: Vec<usize> = (0..held.len()).collect();
        loop {
            let connected = open(self.address, self.wire.watch_path(), self.number).await;
            let Ok(mut connection) = connected else {
                sleep(RETRY_PAUSE).await;
                continue;
            };
            self.come_back(&mut connection, &held, &mut missing).await;
            if missing.is_empty() {
                // Held open, as in life, until the storm is over.
                let _ = kill.wait_for(|killed| !killed).await;
                self.progress.bytes.fetch_add(connection.received_bytes, Relaxed);
                return;
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// What to say when coming back, for each of the configs. Returns when the server has gone.
    async fn hold(&self, mut connection: Connection, kill: &mut watch::Receiver<bool>) -> Vec<Vec<u8>> {
        for config in &self.configs {
            self.watch(&mut connection, &self.wire.watch(std::iter::once(*config))[0]);
        }
        let mut held = vec![Vec::new(); self.configs.len()];
        loop {
            let event = tokio::select! {
                event = connection.next() => event,
                _ = kill.wait_for(|killed| *killed) => return held,
            };
            let Ok(event) = event else { return held };
            let Event::Message(stream, message) = event else { panic!("a watch has ended") };
            let number = stream as usize / 2;
            if held[number].is_empty() {
                held[number] = self.again(self.configs[number], message);
                self.progress.count(&self.progress.begun);
            }
        }
    }

    /// Those that are told to be up to date are missing no longer. Returns when none are, or when the server refuses.
    async fn come_back(&self, connection: &mut Connection, held: &[Vec<u8>], missing: &mut Vec<usize>) {
        let asked: Vec<usize> = missing.clone();
        for number in &asked {
            self.watch(connection, &held[*number]);
        }
        while !missing.is_empty() {
            let Ok(Event::Message(stream, message)) = connection.next().await else { return };
            let number = asked[stream as usize / 2];
            missing.retain(|other| *other != number);
            if !self.is_current(message) {
                self.progress.documents.fetch_add(1, Relaxed);
            }
            self.progress.first_back.get_or_init(Instant::now);
            self.progress.count(&self.progress.back);
        }
    }

    fn watch(&self, connection: &mut Connection, message: &[u8]) {
        match self.wire {
            Wire::Confwatch => connection.call(message),
            Wire::Etcd => connection.call_with(&[message.to_vec()]),
        };
    }

    fn again(&self, config: usize, message: Bytes) -> Vec<u8> {
        match self.wire {
            Wire::Confwatch => {
                let response = WatchResponse::decode(message).expect("it is one");
                let states = match response.event.expect("it brings something") {
                    WatchEvent::Snapshot(snapshot) => snapshot.states,
                    WatchEvent::Update(update) => update.states,
                    WatchEvent::Progress(_) => panic!("the state comes first"),
                };
                let document = states[0].document.as_ref().expect("it is there");
                watch_again(config, &document.digest, &response.resume_token)
            }
            Wire::Etcd => {
                let response = etcd::WatchResponse::decode(message).expect("it is one");
                assert!(response.created, "so it answers first");
                watch_create(config, response.header.map_or(0, |header| header.revision) + 1)
            }
        }
    }

    fn is_current(&self, message: Bytes) -> bool {
        match self.wire {
            Wire::Confwatch => {
                let response = WatchResponse::decode(message).expect("it is one");
                let Some(WatchEvent::Snapshot(snapshot)) = response.event else { return false };
                snapshot.states.iter().all(|state| state.state() == State::Current)
            }
            Wire::Etcd => {
                let response = etcd::WatchResponse::decode(message).expect("it is one");
                response.created && !response.canceled
            }
        }
    }
}
