//! Many watchers on some connections, and updates at a steady pace that they are to see. Knows no server but by its wire.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::board::{Board, Tally};
use super::connection::{Connection, Event};
use super::document::{BYTES, config_name, marks};
use super::load::quantile;
use super::machine::own_cpu;
use super::process::Process;
use super::wire::{NAMESPACE, Sets, Wire};
use super::{etcd, http1};

const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// After the last update.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(45);
/// From each address of loopback: fewer than a server lets in, since the writers come from one of them.
const CONNECTIONS_PER_ADDRESS: usize = 7000;
/// The one that all watch, where all watch one.
pub const WATCHED: usize = 0;

/// How watchers are spread over connections.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub connections: usize,
    /// On each connection.
    pub streams: usize,
    /// On each stream.
    pub watchers: usize,
    pub watched: Watched,
    pub follows: Follows,
}

/// How a watcher follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Follows {
    Grpc,
    /// Server-sent events.
    Http1,
    Http2,
}

impl Follows {
    pub fn name(self) -> &'static str {
        match self {
            Follows::Grpc => "gRPC",
            Follows::Http1 => "SSE, HTTP/1.1",
            Follows::Http2 => "SSE, HTTP/2",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watched {
    One,
    /// Each watcher its own, counted from 0.
    Each,
}

impl Shape {
    /// A stream for each watcher.
    pub fn streams(watchers: usize, connections: usize, watched: Watched) -> Shape {
        let (streams, follows) = (watchers / connections, Follows::Grpc);
        Shape { connections, streams, watchers: 1, watched, follows }
    }

    /// The same, followed in another way.
    pub fn by(self, follows: Follows) -> Shape {
        Shape { follows, ..self }
    }

    /// One stream for all watchers of a connection.
    pub fn shared_streams(watchers: usize, connections: usize, watched: Watched) -> Shape {
        let (watchers, follows) = (watchers / connections, Follows::Grpc);
        Shape { connections, streams: 1, watchers, watched, follows }
    }

    pub fn count(self) -> usize {
        self.connections * self.streams * self.watchers
    }

    /// What the watchers of a stream of a connection watch.
    fn configs(self, connection: usize, stream: usize) -> impl Iterator<Item = usize> {
        let first = (connection * self.streams + stream) * self.watchers;
        (first..first + self.watchers).map(move |config| match self.watched {
            Watched::One => WATCHED,
            Watched::Each => config,
        })
    }
}

/// They end when they are dropped.
pub struct Watchers {
    shape: Shape,
    board: Arc<Board>,
    tallies: Vec<Arc<Tally>>,
    /// Dropped with the rest, and the connections with it.
    _connections: JoinSet<()>,
}

/// The updates of one round.
#[derive(Clone, Copy)]
pub struct Updates {
    pub count: usize,
    pub per_second: u32,
}

/// One round of one server.
pub struct Delivered {
    pub p50: Duration,
    pub p99: Duration,
    /// The median of the times until the last watcher had an update. None: no update has reached all.
    pub last_p50: Option<Duration>,
    pub deliveries: usize,
    pub due: usize,
    pub updates: usize,
    pub cpu: Duration,
    pub client_cpu: Duration,
}

impl Watchers {
    /// Once each has the state as it is. An error says how many have not.
    pub async fn open(process: &Process, shape: Shape, updates_max: usize) -> Result<Watchers, String> {
        let wire = process.server.wire();
        let watchers_per_update = match shape.watched {
            Watched::One => shape.count(),
            Watched::Each => 1,
        };
        // The first messages: etcd answers each watcher, confwatch each stream.
        let answers = match wire {
            Wire::Confwatch => shape.connections * shape.streams,
            Wire::Etcd => shape.count(),
        };
        let board = Arc::new(Board::new(watchers_per_update, updates_max));
        let (mut tallies, mut connections) = (Vec::new(), JoinSet::new());
        for number in 0..shape.connections {
            let connection = Following::open(process, shape, number).await?;
            let tally = Arc::<Tally>::default();
            tallies.push(tally.clone());
            let follower = Follower { number, wire, shape, answers, board: board.clone(), tally };
            connections.spawn(follower.follow(connection));
        }
        if !board.started_all(answers, OPEN_TIMEOUT).await {
            let started = board.started.load(Relaxed);
            return Err(format!("{started} of {answers} watches have begun after {OPEN_TIMEOUT:?}"));
        }
        Ok(Watchers { shape, board, tallies, _connections: connections })
    }

    /// Updates at their pace, and one more when all are answered: it is the last one whatever the server does, and ends the round when
    /// everyone has it.
    pub async fn round(&self, process: &Process, updates: Updates) -> Delivered {
        let wire = process.server.wire();
        let sets = Sets::new(wire, BYTES);
        let config = || match self.shape.watched {
            Watched::One => WATCHED,
            Watched::Each => fastrand::usize(..self.shape.count()),
        };
        let mut connection =
            Connection::to(process.address, wire.set_path()).await.expect("the server listens");
        let (cpu, client_cpu, begin) = (process.cpu(), own_cpu(), Instant::now());
        let (mut counters, mut answered) = (Vec::new(), 0);
        let interval = Duration::from_secs(1) / updates.per_second;
        for number in 0..updates.count {
            let due = begin + interval * u32::try_from(number).expect("a round is short");
            while let Ok(event) = timeout_at(due, connection.next()).await {
                answered += is_end(event);
            }
            let counter = self.board.send();
            connection.call(&sets.set(config(), counter));
            counters.push(counter);
        }
        while answered < updates.count {
            let event = timeout(DELIVERY_TIMEOUT, connection.next()).await;
            answered += is_end(event.expect("an update is answered in time"));
        }
        // At its pace, too: a server that answers before all have read would otherwise have the one before it skipped.
        sleep_until(begin + interval * u32::try_from(updates.count).expect("a round is short")).await;
        let last = self.board.send();
        connection.call(&sets.set(config(), last));
        counters.push(last);
        let event = timeout(DELIVERY_TIMEOUT, async { while is_end(connection.next().await) == 0 {} });
        event.await.expect("an update is answered in time");
        self.board.reached_all(last, DELIVERY_TIMEOUT).await;
        let client_cpu = own_cpu() - client_cpu;
        process.quiet().await;

        let mut latencies: Vec<Duration> = self.tallies.iter().flat_map(|tally| tally.take()).collect();
        latencies.sort_unstable();
        let mut lasts = self.board.last(&counters);
        lasts.sort_unstable();
        Delivered {
            p50: quantile(&latencies, 50),
            p99: quantile(&latencies, 99),
            last_p50: (!lasts.is_empty()).then(|| quantile(&lasts, 50)),
            deliveries: latencies.len(),
            due: counters.len() * self.board.watchers(),
            updates: counters.len(),
            cpu: process.cpu() - cpu,
            client_cpu,
        }
    }
}

/// One of many.
pub async fn open(address: SocketAddr, path: &str, number: usize) -> Result<Connection, String> {
    let connection = Connection::open(address, path, source(number)).await;
    connection.map_err(|error| format!("connection {number}: {error}"))
}

/// From each address there are only so many connections.
fn source(number: usize) -> Ipv4Addr {
    let host = u8::try_from(1 + number / CONNECTIONS_PER_ADDRESS).expect("not that many");
    Ipv4Addr::new(127, 0, 0, host)
}

/// A connection whose streams watch.
enum Following {
    Framed(Connection),
    Http1(http1::Connection),
}

impl Following {
    /// The one of this number, with all of its streams.
    async fn open(process: &Process, shape: Shape, number: usize) -> Result<Following, String> {
        let (wire, address) = (process.server.wire(), process.address);
        let failed = |error: std::io::Error| format!("connection {number}: {error}");
        if shape.follows == Follows::Http1 {
            let mut connection = http1::Connection::open(address, source(number)).await.map_err(failed)?;
            let config = shape.configs(number, 0).next().unwrap_or(WATCHED);
            connection.follow(events_path(config).as_bytes());
            return Ok(Following::Http1(connection));
        }
        let mut connection = match shape.follows {
            Follows::Http2 => Connection::open_plain(address, source(number)).await.map_err(failed)?,
            Follows::Grpc | Follows::Http1 => open(address, wire.watch_path(), number).await?,
        };
        for stream in 0..shape.streams {
            if shape.follows == Follows::Http2 {
                let config = shape.configs(number, stream).next().unwrap_or(WATCHED);
                connection.get(events_path(config).as_bytes());
                continue;
            }
            let messages = wire.watch(shape.configs(number, stream));
            if wire.watch_takes_more() {
                connection.call_with(&messages);
            } else {
                for message in messages {
                    connection.call(&message);
                }
            }
        }
        Ok(Following::Framed(connection))
    }

    async fn next(&mut self) -> std::io::Result<Event> {
        match self {
            Following::Framed(connection) => connection.next().await,
            Following::Http1(connection) => connection.next().await,
        }
    }
}

/// A watch of one config as server-sent events, without progress.
fn events_path(config: usize) -> String {
    format!("/v1/watch?target={NAMESPACE}/{}&progress_interval=3600s", config_name(config))
}

fn is_end(event: std::io::Result<Event>) -> usize {
    usize::from(matches!(event.expect("the server stays"), Event::End(_)))
}

/// What reads one connection.
struct Follower {
    number: usize,
    wire: Wire,
    shape: Shape,
    answers: usize,
    board: Arc<Board>,
    tally: Arc<Tally>,
}

impl Follower {
    async fn follow(self, mut connection: Following) {
        let first = self.shape.configs(self.number, 0).next().unwrap_or(0);
        let mut newest = vec![0; self.shape.streams * self.shape.watchers];
        let mut hint = 0;
        // A watch that ends is missed in what is delivered.
        while let Ok(Event::Message(stream, message)) = connection.next().await {
            let (mut is_update, mut is_document) = (false, false);
            for mark in marks(&message, &mut hint) {
                let watcher = match (self.shape.watched, self.wire) {
                    (Watched::Each, _) => mark.config - first,
                    (Watched::One, Wire::Confwatch) => stream as usize / 2,
                    (Watched::One, Wire::Etcd) => {
                        stream as usize / 2 * self.shape.watchers + etcd::watch_id(&message)
                    }
                };
                is_document = true;
                is_update |= self.board.receive(mark.counter, &mut newest[watcher], &self.tally);
            }
            // A comment of a stream of events is no answer.
            if !is_update && (is_document || self.shape.follows == Follows::Grpc) {
                self.board.start(self.answers);
            }
        }
    }
}
