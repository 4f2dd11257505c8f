//! Calls as fast as they are answered, so many at a time. Knows no messages.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::connection::{Connection, Event};
use super::http1;
use super::machine::own_cpu;
use super::process::Process;

/// The next request.
pub type Requests = Arc<dyn Fn(&mut Rng) -> Vec<u8> + Send + Sync>;

/// How calls are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Via {
    /// A request is the message.
    Grpc,
    /// A request is the path of a GET.
    Http1,
    Http2,
}

#[derive(Clone)]
pub struct Load {
    pub via: Via,
    /// Of calls of gRPC.
    pub path: &'static str,
    pub connections: usize,
    /// On each connection.
    pub under_way: usize,
    pub until: Until,
    /// An answer with less is a wrong one.
    pub answer_bytes_min: usize,
}

/// When to stop.
#[derive(Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    /// Calls on each connection.
    Calls(usize),
}

/// One round of one server.
pub struct Measured {
    pub calls: usize,
    pub took: Duration,
    pub p50: Duration,
    pub p99: Duration,
    /// Of the server, until it was quiet again.
    pub cpu: Duration,
    pub client_cpu: Duration,
}

impl Measured {
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.calls as f64
    }

    pub fn client_cpu_us(&self) -> f64 {
        self.client_cpu.as_secs_f64() * 1e6 / self.calls as f64
    }

    /// As the tables have it: calls a second, p50, p99, processor time of the server and of the client.
    pub fn columns(&self) -> Vec<f64> {
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
        vec![self.rate(), microseconds(self.p50), microseconds(self.p99), self.cpu_us(), self.client_cpu_us()]
    }
}

pub fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

impl Load {
    pub async fn run(&self, process: &Process, requests: &Requests) -> Measured {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            let client = Client::to(process, self).await;
            connections.push(client.expect("the server listens"));
        }
        let (cpu, client_cpu, begin) = (process.cpu(), own_cpu(), Instant::now());
        let tasks = connections.into_iter().map(|connection| {
            let (load, requests) = (self.clone(), requests.clone());
            tokio::spawn(async move { load.call(begin, connection, requests).await })
        });
        let mut latencies = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            latencies.extend(task.await.expect("every call is answered"));
        }
        let (took, client_cpu) = (begin.elapsed(), own_cpu() - client_cpu);
        // What reads cost is over with the answers.
        if self.path == process.server.wire().set_path() {
            process.quiet().await;
        }
        latencies.sort_unstable();
        Measured {
            calls: latencies.len(),
            took,
            p50: quantile(&latencies, 50),
            p99: quantile(&latencies, 99),
            cpu: process.cpu() - cpu,
            client_cpu,
        }
    }

    async fn call(self, begin: Instant, mut connection: Client, requests: Requests) -> Vec<Duration> {
        let mut rng = Rng::new();
        let mut begun = HashMap::new();
        let at_once = match self.until {
            Until::Elapsed(_) => self.under_way,
            Until::Calls(calls) => self.under_way.min(calls),
        };
        for _ in 0..at_once {
            begun.insert(connection.call(&requests(&mut rng)), Instant::now());
        }
        let (mut latencies, mut messages) = (Vec::new(), 0);
        while !begun.is_empty() {
            match connection.next().await.expect("the server stays") {
                Event::Message(_, message) => {
                    assert!(message.len() >= self.answer_bytes_min, "a wrong answer: {message:?}");
                    messages += 1;
                }
                Event::End(stream) => {
                    let now = Instant::now();
                    latencies.push(now - begun.remove(&stream).expect("it was begun"));
                    let goes_on = match self.until {
                        Until::Elapsed(time) => now < begin + time,
                        Until::Calls(calls) => latencies.len() + begun.len() < calls,
                    };
                    if goes_on {
                        begun.insert(connection.call(&requests(&mut rng)), now);
                    }
                }
            }
        }
        assert_eq!(messages, latencies.len(), "every call is answered with a message");
        latencies
    }
}

/// A connection of any protocol.
enum Client {
    Framed(Connection, Via),
    Http1(http1::Connection),
}

impl Client {
    async fn to(process: &Process, load: &Load) -> std::io::Result<Client> {
        let (address, source) = (process.address, Ipv4Addr::LOCALHOST);
        Ok(match load.via {
            Via::Grpc => {
                let mut connection = Connection::to(address, load.path).await?;
                connection.authorize(process.token().as_deref());
                Client::Framed(connection, load.via)
            }
            Via::Http2 => Client::Framed(Connection::open_plain(address, source).await?, load.via),
            Via::Http1 => Client::Http1(http1::Connection::open(address, source).await?),
        })
    }

    fn call(&mut self, request: &[u8]) -> u32 {
        match self {
            Client::Framed(connection, Via::Grpc) => connection.call(request),
            Client::Framed(connection, _) => connection.get(request),
            Client::Http1(connection) => connection.get(request),
        }
    }

    async fn next(&mut self) -> std::io::Result<Event> {
        match self {
            Client::Framed(connection, _) => connection.next().await,
            Client::Http1(connection) => connection.next().await,
        }
    }
}
