//! Calls as fast as they are answered, so many at a time. Knows no messages.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::connection::{Connection, Event};
use super::process::Process;

#[derive(Clone, Copy)]
pub struct Load {
    pub method: &'static str,
    pub connections: usize,
    /// On each connection.
    pub under_way: usize,
    pub time: Duration,
}

/// One round of one server.
pub struct Measured {
    /// A second.
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// Of the server, for one operation.
    pub cpu: Duration,
}

impl Measured {
    pub fn of(mut latencies: Vec<Duration>, operations: usize, took: Duration, cpu: Duration) -> Measured {
        latencies.sort_unstable();
        let quantile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        Measured {
            rate: operations as f64 / took.as_secs_f64(),
            p50: quantile(50),
            p99: quantile(99),
            cpu: cpu.div_f64(operations as f64),
        }
    }
}

impl Load {
    pub async fn run(self, server: &Process, message: fn(&mut Rng) -> Vec<u8>) -> Measured {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(server.address, self.method).await);
        }
        let (cpu, begin) = (server.cpu(), Instant::now());
        let until = begin + self.time;
        let tasks = connections
            .into_iter()
            .map(|connection| tokio::spawn(call_until(until, connection, self.under_way, message)));
        let mut latencies = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            latencies.extend(task.await.expect("every call is answered"));
        }
        let (took, cpu) = (begin.elapsed(), server.cpu() - cpu);
        let operations = latencies.len();
        Measured::of(latencies, operations, took, cpu)
    }
}

async fn call_until(
    until: Instant,
    mut connection: Connection,
    under_way: usize,
    message: fn(&mut Rng) -> Vec<u8>,
) -> Vec<Duration> {
    let mut rng = Rng::new();
    let mut begun = HashMap::new();
    for _ in 0..under_way {
        begun.insert(connection.call(&message(&mut rng)), Instant::now());
    }
    let (mut latencies, mut messages) = (Vec::new(), 0);
    while !begun.is_empty() {
        match connection.next().await {
            Event::Message => messages += 1,
            Event::End(stream) => {
                let now = Instant::now();
                latencies.push(now - begun.remove(&stream).expect("it was begun"));
                if now < until {
                    begun.insert(connection.call(&message(&mut rng)), now);
                }
            }
        }
    }
    assert_eq!(messages, latencies.len(), "every call is answered with a message");
    latencies
}
