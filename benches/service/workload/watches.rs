//! Watching: how soon an update is with those who watch, and what it costs. One config or as many as there are watchers.

use std::time::Duration;

use super::{names_with, start, turns};
use crate::options::Options;
use crate::process::Process;
use crate::report::{Column, Rounds, Row, Section, column, plain};
use crate::server::{self, Server};
use crate::watchers::{Delivered, Shape, Updates, Watched, Watchers};

pub const FAN_OUT: &str = "Fan-out";
pub const ONE_STREAM: &str = "One stream";
pub const SPREAD: &str = "Spread";

pub const ONE_STREAM_CASE: &str = "1000 targets";
pub const SPREAD_CASE: &str = "10000 targets";

/// What clients of one process share, unless there are fewer watchers.
pub const CONNECTIONS: usize = 50;
pub const WATCHERS: usize = 10_000;
/// What etcd's own client does: the watchers of a connection on one stream.
pub const SHARED: &str = ", one stream a connection";

const FAN_OUT_COLUMNS: &[Column] = &[
    column("p50 ms", 2),
    column("p99 ms", 2),
    column("last p50 ms", 2),
    plain("delivered %", 1),
    column("server CPU us/delivery", 2),
    plain("client CPU us/delivery", 2),
];
const UPDATE_COLUMNS: &[Column] = &[
    column("p50 us", 0),
    column("p99 us", 0),
    plain("delivered %", 1),
    column("server CPU us/update", 1),
    plain("client CPU us/update", 1),
];

/// A way of watching with one of the servers.
#[derive(Clone, Copy)]
struct Variant {
    server: Server,
    suffix: &'static str,
    shape: Shape,
}

pub async fn fan_out(options: &Options) -> Section {
    let processes = start(options, &server::ALL).await;
    let mut rows = Vec::new();
    for watchers in [1, 100, 1000, WATCHERS] {
        let connections = watchers.min(CONNECTIONS);
        let mut variants = Vec::new();
        for process in &processes {
            let server = process.server;
            let shape = Shape::streams(watchers, connections, Watched::One);
            variants.push(Variant { server, suffix: "", shape });
            if watchers > 1 && is_etcd(server) {
                let shape = Shape::shared_streams(watchers, connections, Watched::One);
                variants.push(Variant { server, suffix: SHARED, shape });
            }
        }
        let case = fan_out_case(watchers, connections);
        rows.extend(rounds(options, &processes, &variants, &case, pace(options), fan_out_columns).await);
    }
    let shape = Shape::streams(WATCHERS, WATCHERS, Watched::One);
    let variant = |process: &Process| Variant { server: process.server, suffix: "", shape };
    let variants: Vec<Variant> = processes.iter().map(variant).collect();
    let case = fan_out_case(WATCHERS, WATCHERS);
    rows.extend(rounds(options, &processes, &variants, &case, pace(options), fan_out_columns).await);
    let about = "One config of 1 KB, changed 20 times a second, and a stream for each of its watchers, unless it says \
                 otherwise. From sending the Set until a watcher has read the update; \"last\" is until all have it."
        .into();
    Section { name: FAN_OUT, about, columns: FAN_OUT_COLUMNS, rows, took: Duration::ZERO }
}

pub fn fan_out_case(watchers: usize, connections: usize) -> String {
    match watchers {
        1 => "1 watcher".into(),
        _ => format!("{watchers} watchers, {connections} connections"),
    }
}

fn pace(options: &Options) -> Updates {
    Updates { count: if options.quick { 15 } else { 40 }, per_second: 20 }
}

pub async fn one_stream(options: &Options) -> Section {
    let processes = start(options, &server::ALL).await;
    let shape = Shape::shared_streams(1000, 1, Watched::Each);
    let variant = |process: &Process| Variant { server: process.server, suffix: "", shape };
    let variants: Vec<Variant> = processes.iter().map(variant).collect();
    let updates = Updates { count: if options.quick { 100 } else { 500 }, per_second: 200 };
    let rows = rounds(options, &processes, &variants, ONE_STREAM_CASE, updates, update_columns).await;
    let about = "One connection with one stream that watches 1000 configs of 1 KB, which change at random, 200 a second. \
                 Of etcd it is one stream with 1000 watchers."
        .into();
    Section { name: ONE_STREAM, about, columns: UPDATE_COLUMNS, rows, took: Duration::ZERO }
}

pub async fn spread(options: &Options) -> Section {
    let processes = start(options, &server::ALL).await;
    let mut variants = Vec::new();
    for process in &processes {
        let server = process.server;
        let shape = Shape::streams(WATCHERS, CONNECTIONS, Watched::Each);
        variants.push(Variant { server, suffix: "", shape });
        let shape = Shape::shared_streams(WATCHERS, CONNECTIONS, Watched::Each);
        variants.push(Variant { server, suffix: SHARED, shape });
    }
    let updates = Updates { count: if options.quick { 200 } else { 1000 }, per_second: 200 };
    let rows = rounds(options, &processes, &variants, SPREAD_CASE, updates, update_columns).await;
    let about = format!(
        "{WATCHERS} watchers over {CONNECTIONS} connections, each of a config of its own of 1 KB, of which 200 a second \
         change, at random. From sending the Set until its watcher has read the update."
    );
    Section { name: SPREAD, about, columns: UPDATE_COLUMNS, rows, took: Duration::ZERO }
}

/// The watchers are opened for each round: those of other servers would cost time of the client meanwhile.
async fn rounds(
    options: &Options,
    processes: &[Process],
    variants: &[Variant],
    case: &str,
    updates: Updates,
    columns: fn(&Delivered) -> Vec<f64>,
) -> Vec<Row> {
    let mut rounds = Rounds::new();
    for round in 0..options.rounds {
        for number in turns(variants.len(), round) {
            let variant = &variants[number];
            let process = processes.iter().find(|process| process.server == variant.server);
            let process = process.expect("variants are of these");
            let name = format!("{}{}", process.server.name(), variant.suffix);
            match Watchers::open(process, variant.shape, updates.count + 1).await {
                Ok(watchers) => {
                    process.quiet().await;
                    rounds.add(name, columns(&watchers.round(process, updates).await));
                }
                Err(why) => eprintln!("{name}, {case}: {why}"),
            }
            process.quiet().await;
        }
    }
    rounds.rows(case, &names_with(SHARED))
}

fn fan_out_columns(delivered: &Delivered) -> Vec<f64> {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let per_delivery = |time: Duration| time.as_secs_f64() * 1e6 / delivered.deliveries as f64;
    vec![
        milliseconds(delivered.p50),
        milliseconds(delivered.p99),
        delivered.last_p50.map_or(f64::NAN, milliseconds),
        percent(delivered),
        per_delivery(delivered.cpu),
        per_delivery(delivered.client_cpu),
    ]
}

fn update_columns(delivered: &Delivered) -> Vec<f64> {
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    vec![
        microseconds(delivered.p50),
        microseconds(delivered.p99),
        percent(delivered),
        microseconds(delivered.cpu) / delivered.updates as f64,
        microseconds(delivered.client_cpu) / delivered.updates as f64,
    ]
}

fn percent(delivered: &Delivered) -> f64 {
    100.0 * delivered.deliveries as f64 / delivered.due as f64
}

fn is_etcd(server: Server) -> bool {
    server.wire() == crate::wire::Wire::Etcd
}
