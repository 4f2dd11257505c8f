//! Commits beside a backup and a compaction, and without.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use confwatch::proto::v1::WriteOptions;
use tokio::task::{JoinSet, spawn_blocking};

use super::fill::{content, layer};
use super::options::Options;
use super::server::{Server, command, run as run_command, text};
use super::table::{Table, median, quantile_ms};

const WRITERS: usize = 8;
/// So few that the server compacts again and again.
const RETAINED: &str = "200";

/// One round.
struct Measured {
    commits: f64,
    p50: f64,
    p99: f64,
    backups: u64,
    /// By how many revisions the oldest one was moved.
    compacted: u64,
}

pub async fn run(options: &Options, server: &mut Server) {
    let data = server.data();
    let (mut alone, mut beside) = (vec![], vec![]);
    for round in 0..options.rounds as u64 {
        server.stop();
        server.start_again(&data, &[]);
        alone.push(measure(options, server, 2 * round + 1, false).await);
        server.stop();
        server.start_again(&data, &["--retain-revisions", RETAINED]);
        beside.push(measure(options, server, 2 * round + 2, true).await);
    }
    let table = Table::begin("Commits", &["commits/s", "p50 ms", "p99 ms", "backups", "revisions compacted"]);
    for (name, rounds) in [("nothing else", &alone), ("beside backups and compactions", &beside)] {
        let of = |value: fn(&Measured) -> f64| median(rounds.iter().map(value).collect());
        let values = [
            format!("{:.0}", of(|round| round.commits)),
            format!("{:.2}", of(|round| round.p50)),
            format!("{:.2}", of(|round| round.p99)),
            format!("{:.0}", of(|round| round.backups as f64)),
            format!("{:.0}", of(|round| round.compacted as f64)),
        ];
        table.row(name, &values);
    }
    let p99 = |rounds: &[Measured]| median(rounds.iter().map(|round| round.p99).collect());
    let ratio = p99(&beside) / p99(&alone);
    table.end(&format!(
        "**p99 beside a backup and a compaction to p99 without: {ratio:.2}** (at most 1.5 is asked for). {WRITERS} writers, each with one Set of {} bytes \
         under way; a backup is made after the other, and the server compacts whenever there is a tenth more than {RETAINED} revisions. The command \
         that receives the backup runs on the same processors.",
        options.bytes
    ));
}

async fn measure(options: &Options, server: &Server, turn: u64, with_backups: bool) -> Measured {
    server.quiet();
    let done = Arc::new(AtomicBool::new(false));
    let oldest = server.oldest_revision();
    let backups = with_backups.then(|| {
        let (done, address, file) = (done.clone(), server.address.clone(), server.path("beside.cwb"));
        spawn_blocking(move || {
            let mut made = 0;
            while !done.load(Ordering::Relaxed) {
                let _ = fs::remove_file(&file);
                let mut create = command(&["backup", "create", "-f", text(&file)]);
                run_command(create.env("CONFWATCH_SERVER", &address));
                made += 1;
            }
            let _ = fs::remove_file(&file);
            made
        })
    });
    let (begin, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (client, next) = (server.client(), next.clone());
        let (layers, bytes, until) = (options.layers, options.bytes, begin + options.measured_for);
        writers.spawn(async move {
            let mut random = fastrand::Rng::with_seed(turn * 1000 + writer as u64);
            let mut latencies: Vec<Duration> = vec![];
            while Instant::now() < until {
                let number = random.usize(..layers);
                // Never the same content again.
                let count = turn << 24 | next.fetch_add(1, Ordering::Relaxed);
                let change = layer(number, content(number, count, bytes));
                let sent = Instant::now();
                client.set(change, WriteOptions::default()).await.expect("it is written");
                latencies.push(sent.elapsed());
            }
            latencies
        });
    }
    let mut latencies: Vec<Duration> = writers.join_all().await.into_iter().flatten().collect();
    let took = begin.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    let backups = match backups {
        Some(backups) => backups.await.expect("backups are made"),
        None => 0,
    };
    latencies.sort_unstable();
    Measured {
        commits: latencies.len() as f64 / took,
        p50: quantile_ms(&latencies, 0.5),
        p99: quantile_ms(&latencies, 0.99),
        backups,
        compacted: server.oldest_revision() - oldest,
    }
}
