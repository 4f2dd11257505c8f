//! A start on many layers: from the start of the process to the first right answer.

use std::time::{Duration, Instant};

use super::{names_with, turns};
use crate::document::{BYTES_SMALL, content};
use crate::fill::Layers;
use crate::options::Options;
use crate::process::Process;
use crate::report::{Column, Rounds, Row, Section, column, plain};
use crate::server::Server;

pub const NAME: &str = "Start";

/// Of each config in the second case.
const SCOPES: usize = 100;
const COLUMNS: &[Column] = &[
    column("first answer, s", 2),
    column("CPU s", 2),
    column("MB in memory", 0),
    column("at most MB in memory", 0),
    column("MB on disk", 0),
    plain("loaded layers/s", 0),
];

pub async fn run(options: &Options) -> Section {
    let mut rows = Vec::new();
    for scopes in [1, SCOPES] {
        // For etcd they are keys either way.
        let able = |server: &Server| match server {
            Server::Ceiling | Server::Hyper => false,
            Server::Confwatch | Server::Guarded => true,
            Server::Etcd35 | Server::Etcd34 => scopes == 1,
        };
        let servers = options.servers.iter().copied().filter(able).collect::<Vec<_>>();
        let layers = Layers { count: options.layers, scopes, bytes: BYTES_SMALL };
        rows.extend(starts(options, &servers, layers, &case(options.layers, scopes)).await);
    }
    let about = format!(
        "{} layers of 500 B, loaded through Apply with 1000 changes each (etcd: transactions of 100 keys); then the server is killed \
         with SIGKILL and started again. Until the first right answer to a Get, with what that took of the processor. \
         Files are in the cache of the system.",
        options.layers
    );
    Section { name: NAME, about, columns: COLUMNS, rows, took: Duration::ZERO }
}

pub fn case(layers: usize, scopes: usize) -> String {
    let layers_each = if scopes == 1 { "one layer".into() } else { format!("{scopes} layers") };
    format!("{} configs of {layers_each}", layers / scopes)
}

async fn starts(options: &Options, servers: &[Server], layers: Layers, case: &str) -> Vec<Row> {
    let mut processes = Vec::new();
    for server in servers {
        let process = Process::start(*server).await;
        let begin = Instant::now();
        layers.load(&process).await;
        let rate = layers.count as f64 / begin.elapsed().as_secs_f64();
        process.quiet().await;
        processes.push((process, rate));
    }
    // Each alone: gigabytes of the others would take part.
    processes.iter_mut().for_each(|(process, _)| process.kill());
    let mut rounds = Rounds::new();
    for round in 0..options.rounds {
        for number in turns(processes.len(), round) {
            let (process, rate) = &mut processes[number];
            rounds.add(process.server.name(), [start(process, layers).await, vec![*rate]].concat());
            process.kill();
        }
    }
    rounds.rows(case, &names_with(""))
}

async fn start(process: &mut Process, layers: Layers) -> Vec<f64> {
    // The last one that is at "/".
    let number = layers.count - layers.scopes;
    let expected = content(number, 0, layers.bytes);
    let begin = Instant::now();
    process.start_again();
    process
        .answer(number / layers.scopes, |answer| {
            answer.is_ok_and(|message| contains(&message, expected.as_bytes()))
        })
        .await;
    let (took, cpu) = (begin.elapsed(), process.cpu());
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (resident, resident_max) = (process.resident_bytes(), process.resident_bytes_max());
    process.quiet().await;
    vec![
        took.as_secs_f64(),
        cpu.as_secs_f64(),
        megabytes(resident),
        megabytes(resident_max),
        megabytes(process.disk_bytes()),
    ]
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
