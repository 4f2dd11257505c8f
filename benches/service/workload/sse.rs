//! Watchers that follow server-sent events beside watchers by gRPC: how soon the last one has an update, and what one costs in memory.

use std::time::Duration;

use super::turns;
use super::watches::{CONNECTIONS, WATCHERS, fan_out_case};
use crate::fill::fill;
use crate::options::Options;
use crate::process::Process;
use crate::report::{Column, Rounds, Section, column, plain};
use crate::server::Server;
use crate::watchers::{Follows, Shape, Updates, Watched, Watchers};

pub const NAME: &str = "sse";

const COLUMNS: &[Column] = &[
    column("p50 ms", 2),
    column("p99 ms", 2),
    column("last p50 ms", 2),
    plain("delivered %", 1),
    column("server CPU us/delivery", 2),
    column("KB/watcher", 2),
];

pub async fn run(options: &Options) -> Section {
    let mut rows = vec![];
    if options.servers.contains(&Server::Confwatch) {
        let mut process = Process::start(Server::Confwatch).await;
        fill(&process).await;
        for (connections, by) in [(CONNECTIONS, Follows::Http2), (WATCHERS, Follows::Http1)] {
            let ways = [Follows::Grpc, by];
            let mut rounds = Rounds::new();
            for round in 0..options.rounds {
                for number in turns(ways.len(), round) {
                    let shape = Shape::streams(WATCHERS, connections, Watched::One).by(ways[number]);
                    let case = fan_out_case(WATCHERS, connections);
                    match measured(&mut process, shape, options).await {
                        Ok(columns) => rounds.add(ways[number].name(), columns),
                        Err(why) => eprintln!("{}, {case}: {why}", ways[number].name()),
                    }
                }
            }
            let names = ways.map(|way| way.name().to_owned());
            rows.extend(rounds.rows(&fan_out_case(WATCHERS, connections), &names));
        }
    }
    let about = "One config of 1 KB, changed 20 times a second, and a stream for each of its watchers, on a server that was started anew. From sending the Set until a \
                 watcher has read the update; \"last\" is until all have it."
        .into();
    Section { name: NAME, about, columns: COLUMNS, rows, took: Duration::ZERO }
}

async fn measured(process: &mut Process, shape: Shape, options: &Options) -> Result<Vec<f64>, String> {
    // A heap that was used before has holes, in which watchers would cost nothing.
    process.restart().await;
    process.quiet().await;
    let before = process.resident_bytes() as f64;
    let updates = Updates { count: if options.quick { 15 } else { 40 }, per_second: 20 };
    let watchers = Watchers::open(process, shape, updates.count + 1).await?;
    process.quiet().await;
    let after = process.resident_bytes() as f64;
    let delivered = watchers.round(process, updates).await;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(vec![
        milliseconds(delivered.p50),
        milliseconds(delivered.p99),
        delivered.last_p50.map_or(f64::NAN, milliseconds),
        100.0 * delivered.deliveries as f64 / delivered.due as f64,
        delivered.cpu.as_secs_f64() * 1e6 / delivered.deliveries as f64,
        (after - before) / shape.count() as f64 / 1024.0,
    ])
}
