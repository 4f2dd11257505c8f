//! The workloads, and what they have in common.

pub mod calls;
mod disk;
pub mod history;
pub mod http;
pub mod memory;
pub mod restart;
pub mod size;
mod sse;
mod storm;
pub mod watches;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use crate::fill::fill;
use crate::options::Options;
use crate::process::Process;
use crate::report::Section;
use crate::server::Server;

/// A workload that takes longer hangs.
const TIME_MAX: Duration = Duration::from_secs(600);

type Running<'a> = Pin<Box<dyn Future<Output = Section> + 'a>>;

pub struct Workload {
    pub name: &'static str,
    run: for<'a> fn(&'a Options) -> Running<'a>,
}

pub const ALL: &[Workload] = &[
    Workload { name: calls::GET, run: |options| Box::pin(calls::get(options)) },
    Workload { name: calls::ACCESS, run: |options| Box::pin(calls::access(options)) },
    Workload { name: http::GET_HTTP1, run: |options| Box::pin(http::get_http1(options)) },
    Workload { name: http::GET_HTTP2, run: |options| Box::pin(http::get_http2(options)) },
    Workload { name: calls::SET, run: |options| Box::pin(calls::set(options)) },
    Workload { name: disk::NAME, run: |options| Box::pin(disk::run(options)) },
    Workload { name: watches::FAN_OUT, run: |options| Box::pin(watches::fan_out(options)) },
    Workload { name: watches::ONE_STREAM, run: |options| Box::pin(watches::one_stream(options)) },
    Workload { name: watches::SPREAD, run: |options| Box::pin(watches::spread(options)) },
    Workload { name: memory::NAME, run: |options| Box::pin(memory::run(options)) },
    Workload { name: sse::NAME, run: |options| Box::pin(sse::run(options)) },
    Workload { name: storm::NAME, run: |options| Box::pin(storm::run(options)) },
    Workload { name: restart::NAME, run: |options| Box::pin(restart::run(options)) },
    Workload { name: history::NAME, run: |options| Box::pin(history::run(options)) },
    Workload { name: size::NAME, run: |options| Box::pin(size::run(options)) },
];

impl Workload {
    /// Nothing if it failed: then it was said why. Its servers have ended.
    pub async fn run(&self, options: &Options) -> Option<Section> {
        let begin = Instant::now();
        let section = tokio::time::timeout(TIME_MAX, AssertUnwindSafe((self.run)(options)).catch_unwind());
        match section.await {
            Ok(Ok(section)) => Some(Section { took: begin.elapsed(), ..section }),
            Ok(Err(_)) => None,
            Err(_) => {
                eprintln!("{} takes longer than {TIME_MAX:?}, and was ended", self.name);
                None
            }
        }
    }
}

/// Shorter in a quick run.
fn seconds(options: &Options, seconds: f64) -> Duration {
    Duration::from_secs_f64(if options.quick { seconds / 4.0 } else { seconds })
}

/// The servers that are wanted, of those that can do it, with the documents that most workloads need.
async fn start(options: &Options, able: &[Server]) -> Vec<Process> {
    let mut processes = Vec::new();
    for server in options.servers.iter().filter(|server| able.contains(server)) {
        let process = Process::start(*server).await;
        fill(&process).await;
        process.quiet().await;
        processes.push(process);
    }
    processes
}

/// The numbers of so many: who comes first changes from round to round.
fn turns(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |number| (number + round) % count)
}

/// In the order of the tables: each server, and what it is called in a variant.
fn names_with(suffix: &str) -> Vec<String> {
    let names = |server: &Server| [server.name().to_owned(), format!("{}{suffix}", server.name())];
    crate::server::ALL.iter().chain([&Server::Guarded]).flat_map(names).collect()
}
