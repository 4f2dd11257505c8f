//! Get of one document over HTTP/1.1 and HTTP/2, beside gRPC and beside hyper alone, which answers the same bytes.

use std::sync::Arc;
use std::time::Duration;

use super::calls::case;
use super::{seconds, turns};
use crate::document::{BYTES, CONFIGS, config_name};
use crate::fill::fill;
use crate::load::{Load, Requests, Until, Via};
use crate::options::Options;
use crate::process::Process;
use crate::report::{CALLS, Rounds, Section};
use crate::server::Server;
use crate::wire::NAMESPACE;

pub const GET_HTTP1: &str = "get-http1";
pub const GET_HTTP2: &str = "get-http2";

/// Connections, and calls under way on each.
const CASES_HTTP1: &[(usize, usize)] = &[(1, 1), (8, 1), (128, 1)];
const CASES_HTTP2: &[(usize, usize)] = &[(1, 1), (8, 1), (8, 16)];

/// The path of a document.
pub fn path(config: usize) -> String {
    format!("/v1/namespaces/{NAMESPACE}/configs/{}", config_name(config))
}

pub async fn get_http1(options: &Options) -> Section {
    gets(GET_HTTP1, Via::Http1, "HTTP/1.1", CASES_HTTP1, options).await
}

pub async fn get_http2(options: &Options) -> Section {
    gets(GET_HTTP2, Via::Http2, "HTTP/2", CASES_HTTP2, options).await
}

async fn gets(
    name: &'static str,
    via: Via,
    protocol: &str,
    cases: &[(usize, usize)],
    options: &Options,
) -> Section {
    let mut processes = vec![];
    // Hyper alone is the ceiling here.
    for (of, server) in [(Server::Ceiling, Server::Hyper), (Server::Confwatch, Server::Confwatch)] {
        if options.servers.contains(&of) {
            let process = Process::start(server).await;
            if server == Server::Confwatch {
                fill(&process).await;
            }
            process.quiet().await;
            processes.push(process);
        }
    }
    let by_grpc = "confwatch, gRPC";
    let variants: Vec<(usize, &str, Via)> = processes
        .iter()
        .enumerate()
        .flat_map(|(at, process)| {
            let grpc = (process.server == Server::Confwatch).then_some((at, by_grpc, Via::Grpc));
            std::iter::once((at, process.server.name(), via)).chain(grpc)
        })
        .collect();
    let names = [Server::Hyper.name(), Server::Confwatch.name(), by_grpc].map(str::to_owned);
    let mut rows = vec![];
    for (connections, under_way) in cases {
        let mut rounds = Rounds::new();
        for round in 0..options.rounds {
            for number in turns(variants.len(), round) {
                let (at, name, via) = variants[number];
                let process = &processes[at];
                let load = Load {
                    via,
                    path: process.server.wire().get_path(),
                    connections: *connections,
                    under_way: *under_way,
                    until: Until::Elapsed(seconds(options, 1.2)),
                    answer_bytes_min: BYTES,
                };
                let measured = load.run(process, &requests(process, via)).await;
                rounds.add(name, measured.columns());
            }
        }
        rows.extend(rounds.rows(&case(*connections, *under_way), &names));
    }
    let about = format!(
        "One of 10 000 configs of 1 KB, at random, as a document over {protocol}: beside hyper alone, which has the same responses at hand, and beside Get \
         by gRPC on as many connections."
    );
    Section { name, about, columns: CALLS, rows, took: Duration::ZERO }
}

fn requests(process: &Process, via: Via) -> Requests {
    let wire = process.server.wire();
    let requests: Vec<Vec<u8>> = (0..CONFIGS)
        .map(|config| match via {
            Via::Grpc => wire.get(config),
            Via::Http1 | Via::Http2 => path(config).into_bytes(),
        })
        .collect();
    Arc::new(move |rng| requests[rng.usize(..CONFIGS)].clone())
}
