//! What a watcher that hears nothing costs the server in memory.

use std::time::Duration;

use super::watches::{CONNECTIONS, SHARED};
use super::{names_with, turns};
use crate::fill::fill;
use crate::options::Options;
use crate::process::Process;
use crate::report::{Column, Rounds, Row, Section, column, plain};
use crate::watchers::{Shape, Watched, Watchers};
use crate::wire::Wire;

pub const NAME: &str = "Idle watchers";

const WATCHERS: usize = 10_000;
const COLUMNS: &[Column] = &[column("KB/watcher", 2), plain("server MB before", 1), plain("server MB after", 1)];

pub async fn run(options: &Options) -> Section {
    let mut processes = Vec::new();
    for server in &options.servers {
        let process = Process::start(*server).await;
        fill(&process).await;
        processes.push(process);
    }
    let mut rows = Vec::new();
    for (connections, shared) in [(CONNECTIONS, false), (CONNECTIONS, true), (WATCHERS, false)] {
        let shape = match shared {
            false => Shape::streams(WATCHERS, connections, Watched::One),
            true => Shape::shared_streams(WATCHERS, connections, Watched::One),
        };
        rows.extend(rounds(options, &mut processes, shape, shared).await);
    }
    // The shared streams belong to the case before.
    rows.sort_by_key(|row| row.case.clone().len());
    let about = "Resident memory of a server that was started anew on 10 000 configs of 1 KB, before and after 10 000 watchers of \
                 one of them were opened. Nothing changes meanwhile."
        .into();
    Section { name: NAME, about, columns: COLUMNS, rows, took: Duration::ZERO }
}

async fn rounds(options: &Options, processes: &mut [Process], shape: Shape, shared: bool) -> Vec<Row> {
    let able = |process: &Process| !shared || process.server.wire() == Wire::Etcd;
    let mut able: Vec<&mut Process> = processes.iter_mut().filter(|process| able(process)).collect();
    let case = format!("{WATCHERS} watchers, {} connections", shape.connections);
    let mut rounds = Rounds::new();
    for round in 0..options.rounds {
        let count = able.len();
        for number in turns(count, round) {
            let process = &mut *able[number];
            let name = format!("{}{}", process.server.name(), if shared { SHARED } else { "" });
            // A heap that was used before has holes, in which watchers would cost nothing.
            process.restart().await;
            process.quiet().await;
            let before = process.resident_bytes() as f64;
            match Watchers::open(process, shape, 1).await {
                Ok(watchers) => {
                    process.quiet().await;
                    let after = process.resident_bytes() as f64;
                    let per_watcher = (after - before) / shape.count() as f64;
                    rounds.add(name, vec![per_watcher / 1024.0, before / 1e6, after / 1e6]);
                    drop(watchers);
                }
                Err(why) => eprintln!("{name}, {case}: {why}"),
            }
        }
    }
    rounds.rows(&case, &names_with(SHARED))
}
