//! Reading a config, now and as it was, while its history grows.

use std::sync::Arc;
use std::time::Duration;

use super::calls;
use super::{names_with, seconds, turns};
use crate::document::BYTES;
use crate::load::{Load, Requests, Until, Via};
use crate::options::Options;
use crate::process::Process;
use crate::report::{CALLS, Rounds, Section};
use crate::server::Server;
use crate::wire::Wire;

pub const NAME: &str = "History";

pub const VERSIONS: [usize; 3] = [1000, 10_000, 100_000];
pub const LATEST: &str = "the latest";
pub const ANY: &str = "any";
const CONFIG: usize = 0;
const CONNECTIONS: usize = 8;
pub const LOADS: &[(usize, usize)] = &[(1, 1), (8, 16)];

#[derive(Clone, Copy)]
enum At {
    Latest,
    /// One of so many, at random.
    Version(usize),
}

pub async fn run(options: &Options) -> Section {
    let mut processes = Vec::new();
    for server in options.servers.iter().filter(|server| **server != Server::Ceiling) {
        processes.push(Process::start(*server).await);
    }
    let (mut rows, mut written) = (Vec::new(), 0);
    for versions in VERSIONS {
        let versions = self::versions(versions, options);
        for process in &processes {
            write(process, versions - written).await;
        }
        written = versions;
        for (name, at) in [(LATEST, At::Latest), (ANY, At::Version(versions))] {
            for (connections, under_way) in LOADS {
                let mut rounds = Rounds::new();
                for round in 0..options.rounds {
                    for number in turns(processes.len(), round) {
                        let process = &processes[number];
                        let wire = process.server.wire();
                        let load = Load {
                            via: Via::Grpc,
                            path: wire.get_path(),
                            connections: *connections,
                            under_way: *under_way,
                            until: Until::Elapsed(seconds(options, 0.6)),
                            answer_bytes_min: BYTES,
                        };
                        let measured = load.run(process, &gets(wire, at)).await;
                        rounds.add(process.server.name(), measured.columns());
                    }
                }
                rows.extend(rounds.rows(&case(name, versions, *connections, *under_way), &names_with("")));
            }
        }
    }
    let about = "One config of 1 KB with so many versions: the latest, or one of all of them at random. Of etcd the key at a \
                 revision."
        .into();
    Section { name: NAME, about, columns: CALLS, rows, took: Duration::ZERO }
}

/// A quick run has shorter histories.
pub fn versions(versions: usize, options: &Options) -> usize {
    if options.quick { versions / 10 } else { versions }
}

pub fn case(at: &str, versions: usize, connections: usize, under_way: usize) -> String {
    format!("{at} of {versions}, {}", calls::case(connections, under_way))
}

/// So many versions more, and no other commit.
async fn write(process: &Process, count: usize) {
    let wire = process.server.wire();
    let load = Load {
        via: Via::Grpc,
        path: wire.set_path(),
        connections: CONNECTIONS,
        under_way: 32,
        until: Until::Calls(count.div_ceil(CONNECTIONS)),
        answer_bytes_min: 0,
    };
    load.run(process, &calls::sets(wire, CONFIG + 1, BYTES)).await;
}

fn gets(wire: Wire, at: At) -> Requests {
    match at {
        At::Latest => {
            let request = wire.get(CONFIG);
            Arc::new(move |_| request.clone())
        }
        // Revisions of etcd count from 1 before the first key.
        At::Version(versions) => {
            let first = if wire == Wire::Etcd { 2 } else { 1 };
            Arc::new(move |rng| wire.get_old(CONFIG, first + rng.u64(..versions as u64)))
        }
    }
}
