//! Get and Set: one document of 1 KB of 10 000, at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{names_with, seconds, start, turns};
use crate::document::{BYTES, CONFIGS};
use crate::load::{Load, Requests, Until, Via};
use crate::options::Options;
use crate::process::Process;
use crate::report::{CALLS, Rounds, Row, Section};
use crate::server::{self, Server};
use crate::wire::{Sets, Wire};

pub const GET: &str = "Get";
pub const SET: &str = "Set";
pub const ACCESS: &str = "Authentication";

/// Connections, and calls under way on each.
pub const GETS: &[(usize, usize)] = &[(1, 1), (8, 1), (8, 16)];
pub const SETS: &[(usize, usize)] = &[(1, 1), (8, 2), (8, 8), (8, 32)];

pub async fn get(options: &Options) -> Section {
    let about = "One of 10 000 configs of 1 KB, at random. etcd reads linearizably, as confwatch does.";
    gets_of(GET, about, options, &server::ALL, 1.2).await
}

/// What it costs to know who asks and what they may.
pub async fn access(options: &Options) -> Section {
    let able = [Server::Confwatch, Server::Guarded];
    let options = &Options { servers: able.to_vec(), rounds: 3 * options.rounds, ..options.clone() };
    let about = "As Get, with credentials and without: each call bears a token, and is allowed by a policy.";
    gets_of(ACCESS, about, options, &able, 0.8).await
}

async fn gets_of(
    name: &'static str,
    about: &str,
    options: &Options,
    able: &[Server],
    seconds_a_round: f64,
) -> Section {
    let processes = start(options, able).await;
    let mut rows = Vec::new();
    for (connections, under_way) in GETS {
        let load = |process: &Process| Load {
            via: Via::Grpc,
            path: process.server.wire().get_path(),
            connections: *connections,
            under_way: *under_way,
            until: Until::Elapsed(seconds(options, seconds_a_round)),
            answer_bytes_min: BYTES,
        };
        rows.extend(rounds(options, &processes, load, gets).await);
    }
    Section { name, about: about.into(), columns: CALLS, rows, took: Duration::ZERO }
}

pub async fn set(options: &Options) -> Section {
    let processes = start(options, &server::ALL).await;
    let mut rows = Vec::new();
    for (connections, under_way) in SETS {
        let load = |process: &Process| Load {
            via: Via::Grpc,
            path: process.server.wire().set_path(),
            connections: *connections,
            under_way: *under_way,
            until: Until::Elapsed(seconds(options, 1.5)),
            answer_bytes_min: 0,
        };
        rows.extend(rounds(options, &processes, load, |wire| sets(wire, CONFIGS, BYTES)).await);
    }
    let about =
        "A new document of 1 KB for one of 10 000 configs, at random; on disk before it is answered. \
                 Server CPU includes what is done later, until the server is idle."
            .into();
    Section { name: SET, about, columns: CALLS, rows, took: Duration::ZERO }
}

async fn rounds(
    options: &Options,
    processes: &[Process],
    load: impl Fn(&Process) -> Load,
    requests: impl Fn(Wire) -> Requests,
) -> Vec<Row> {
    let mut rounds = Rounds::new();
    for round in 0..options.rounds {
        for number in turns(processes.len(), round) {
            let process = &processes[number];
            let measured = load(process).run(process, &requests(process.server.wire())).await;
            rounds.add(process.server.name(), measured.columns());
        }
    }
    let Some(load) = processes.first().map(load) else { return vec![] };
    rounds.rows(&case(load.connections, load.under_way), &names_with(""))
}

pub fn case(connections: usize, under_way: usize) -> String {
    format!("{} under way ({connections} x {under_way})", connections * under_way)
}

fn gets(wire: Wire) -> Requests {
    let requests: Vec<Vec<u8>> = (0..CONFIGS).map(|config| wire.get(config)).collect();
    Arc::new(move |rng| requests[rng.usize(..CONFIGS)].clone())
}

/// Always another document.
pub fn sets(wire: Wire, configs: usize, bytes: usize) -> Requests {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let sets = Sets::new(wire, bytes);
    Arc::new(move |rng| sets.set(rng.usize(..configs), COUNTER.fetch_add(1, Ordering::Relaxed)))
}
