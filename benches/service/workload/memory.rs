//! What a watcher that hears nothing costs the server in memory.

use std::time::Duration;

use super::watches::{CONNECTIONS, SHARED};
use super::{names_with, turns};
use crate::fill::fill;
use crate::options::Options;
use crate::process::Process;
use crate::report::{Column, Rounds, Section, column, plain};
use crate::watchers::{Shape, Watched, Watchers};
use crate::wire::Wire;

pub const NAME: &str = "Idle watchers";

const WATCHERS: usize = 10_000;
const COLUMNS: &[Column] =
    &[column("KB/watcher", 2), plain("server MB before", 1), plain("server MB after", 1)];

pub async fn run(options: &Options) -> Section {
    let mut processes = Vec::new();
    for server in &options.servers {
        let process = Process::start(*server).await;
        fill(&process).await;
        processes.push(process);
    }
    let mut rows = Vec::new();
    for connections in [CONNECTIONS, WATCHERS] {
        let mut rounds = Rounds::new();
        for round in 0..options.rounds {
            for number in turns(processes.len(), round) {
                let process = &mut processes[number];
                let name = process.server.name();
                let shape = Shape::streams(WATCHERS, connections, Watched::One);
                rounds.add(name, memory(process, shape).await);
                if connections < WATCHERS && process.server.wire() == Wire::Etcd {
                    let shape = Shape::shared_streams(WATCHERS, connections, Watched::One);
                    rounds.add(format!("{name}{SHARED}"), memory(process, shape).await);
                }
            }
        }
        rows.extend(rounds.rows(&case(connections), &names_with(SHARED)));
    }
    let about = "Resident memory of a server that was started anew on 10 000 configs of 1 KB, before and after 10 000 watchers of \
                 one of them were opened. Nothing changes meanwhile."
        .into();
    Section { name: NAME, about, columns: COLUMNS, rows, took: Duration::ZERO }
}

pub fn case(connections: usize) -> String {
    format!("{WATCHERS} watchers, {connections} connections")
}

async fn memory(process: &mut Process, shape: Shape) -> Vec<f64> {
    // A heap that was used before has holes, in which watchers would cost nothing.
    process.restart().await;
    process.quiet().await;
    let before = process.resident_bytes() as f64;
    let watchers = Watchers::open(process, shape, 1).await.expect("watches begin");
    process.quiet().await;
    let after = process.resident_bytes() as f64;
    drop(watchers);
    vec![(after - before) / shape.count() as f64 / 1024.0, before / 1e6, after / 1e6]
}
