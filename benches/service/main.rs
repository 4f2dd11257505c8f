//! How fast the service is, beside a ceiling: an empty tonic service that does the same shape of work, measured in the same run.
//! The ratio is the result; times alone say more about the machine.
//!
//! `cargo bench --bench service`; `docs/benchmarks.md` says what the numbers mean.

mod ceiling;
mod connection;
mod document;
mod load;
mod process;
mod table;
mod watch;

use std::time::Duration;

use document::{CONFIGS, batch, get_request, set_request};
use load::{Load, Measured};
use process::Process;
use table::Table;

/// Which of the two does what first alternates, and of the rounds the medians count.
const ROUNDS: usize = 3;

/// What is measured of both servers.
#[derive(Clone, Copy)]
enum Workload {
    Calls { name: &'static str, load: Load, message: fn(&mut fastrand::Rng) -> Vec<u8> },
    Watch { name: &'static str },
}

const WORKLOADS: [Workload; 5] = [
    calls("Get, 8 connections x 16", "Get", 8, 16, 1500, get_request),
    calls("Get, 1 x 1", "Get", 1, 1, 800, get_request),
    calls("Set, 1 x 1", "Set", 1, 1, 1500, set_request),
    calls("Set, 8 connections x 8", "Set", 8, 8, 2000, set_request),
    Workload::Watch { name: "Set to the last of 1000 watchers" },
];

const fn calls(
    name: &'static str,
    method: &'static str,
    connections: usize,
    under_way: usize,
    milliseconds: u64,
    message: fn(&mut fastrand::Rng) -> Vec<u8>,
) -> Workload {
    let time = Duration::from_millis(milliseconds);
    Workload::Calls { name, load: Load { method, connections, under_way, time }, message }
}

fn main() {
    // Cargo says --bench to the one that measures.
    match std::env::args().nth(1).as_deref() {
        Some(ceiling::ARGUMENT) => ceiling::serve(),
        _ => measure(),
    }
}

#[tokio::main]
async fn measure() {
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let servers = [Process::ceiling().await, Process::confwatch().await];
    fill(&servers[1]).await;
    println!(
        "{} cores, Linux {}, load {}",
        cores(),
        read("/proc/sys/kernel/osrelease"),
        read("/proc/loadavg")
    );
    let mut table = Table::new();
    for workload in WORKLOADS
        .into_iter()
        .filter(|workload| only.is_empty() || only.iter().any(|part| workload.name().contains(part.as_str())))
    {
        let mut rounds = [vec![], vec![]];
        for round in 0..ROUNDS {
            for which in [round % 2, (round + 1) % 2] {
                rounds[which].push(workload.run(&servers[which]).await);
            }
        }
        table.add(workload.name(), rounds);
    }
    println!("{table}");
    println!("load at the end {}", read("/proc/loadavg"));
}

impl Workload {
    fn name(&self) -> &'static str {
        match self {
            Workload::Calls { name, .. } | Workload::Watch { name } => name,
        }
    }

    async fn run(&self, server: &Process) -> Measured {
        match self {
            Workload::Calls { load, message, .. } => load.run(server, *message).await,
            Workload::Watch { .. } => watch::run(server).await,
        }
    }
}

/// Both have the same documents: the ceiling has them from the start.
async fn fill(server: &Process) {
    let mut client = server.client().await;
    for first in (0..CONFIGS).step_by(1000) {
        client.apply(batch(first..first + 1000)).await.expect("Apply");
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
