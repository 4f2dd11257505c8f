//! What a long history takes on disk.

use std::time::Duration;

use super::calls::sets;
use super::names_with;
use crate::document::{BYTES_SMALL, CONFIGS};
use crate::load::{Load, Until, Via};
use crate::options::Options;
use crate::process::Process;
use crate::report::{Column, Rounds, Section, column, plain};
use crate::server::Server;

pub const NAME: &str = "Size";
pub const OF_PAYLOAD: &str = "times the payload";
pub const OF_PAYLOAD_LATER: &str = "times the payload after a restart";

const CONNECTIONS: usize = 8;
const COLUMNS: &[Column] = &[
    column("MB on disk", 0),
    plain(OF_PAYLOAD, 2),
    column("MB after a restart", 0),
    plain(OF_PAYLOAD_LATER, 2),
    column("commits/s", 0),
    column("server CPU us/commit", 1),
    column("MB in memory", 0),
];

pub async fn run(options: &Options) -> Section {
    let mut rounds = Rounds::new();
    for server in options.servers.iter().filter(|server| **server != Server::Ceiling) {
        rounds.add(server.name(), size(*server, options.commits).await);
    }
    let payload = options.commits * BYTES_SMALL;
    let about = format!(
        "{} commits of 500 B ({} MB), each of one of 10 000 configs, 256 under way. All history is kept. Once, not the median \
         of several.",
        options.commits,
        payload / 1_000_000
    );
    let rows = rounds.rows(&case(options.commits), &names_with(""));
    Section { name: NAME, about, columns: COLUMNS, rows, took: Duration::ZERO }
}

pub fn case(commits: usize) -> String {
    format!("{commits} commits")
}

async fn size(server: Server, commits: usize) -> Vec<f64> {
    let mut process = Process::start(server).await;
    let load = Load {
        via: Via::Grpc,
        path: server.wire().set_path(),
        connections: CONNECTIONS,
        under_way: 32,
        until: Until::Calls(commits / CONNECTIONS),
        answer_bytes_min: 0,
    };
    let measured = load.run(&process, &sets(server.wire(), CONFIGS, BYTES_SMALL)).await;
    let (before, resident) = (process.disk_bytes(), process.resident_bytes());
    process.restart().await;
    process.quiet().await;
    let after = process.disk_bytes();
    let payload = (measured.calls * BYTES_SMALL) as f64;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    vec![
        megabytes(before),
        before as f64 / payload,
        megabytes(after),
        after as f64 / payload,
        measured.rate(),
        measured.cpu_us(),
        megabytes(resident),
    ]
}
