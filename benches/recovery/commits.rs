//! Commits beside a backup and a compaction, and without.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use confwatch::client::Client;
use confwatch::proto::v1::{StatusServiceGetRequest, WriteOptions};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::fill::{content, layer};
use super::options::Options;
use super::server::{Server, command, run as run_command, text};
use super::table::{Table, median, quantile_ms};

const WRITERS: usize = 8;
/// So few that the server compacts again and again.
const RETAINED: &str = "200";

const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// One round.
struct Measured {
    commits: f64,
    p50: f64,
    p99: f64,
    backups: u64,
    compactions: u64,
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
    let table = Table::begin("Commits", &["commits/s", "p50 ms", "p99 ms", "backups", "compactions"]);
    for (name, rounds) in [("nothing else", &alone), ("beside backups and compactions", &beside)] {
        let of = |value: fn(&Measured) -> f64| median(rounds.iter().map(value).collect());
        let values = [
            format!("{:.0}", of(|round| round.commits)),
            format!("{:.2}", of(|round| round.p50)),
            format!("{:.2}", of(|round| round.p99)),
            format!("{:.0}", of(|round| round.backups as f64)),
            format!("{:.0}", of(|round| round.compactions as f64)),
        ];
        table.row(name, &values);
    }
    let p99 = |rounds: &[Measured]| median(rounds.iter().map(|round| round.p99).collect());
    let ratio = p99(&beside) / p99(&alone);
    table.end(&format!(
        "**p99 beside a backup and a compaction to p99 without: {ratio:.2}** (at most 1.5 is asked for). {WRITERS} writers, each with one Set of {} bytes \
         under way; a backup is made, the server compacts what is more than {RETAINED} revisions, and so on. The command \
         that receives the backup runs on the same processors.",
        options.bytes
    ));
}

async fn measure(options: &Options, server: &Server, turn: u64, with_backups: bool) -> Measured {
    server.quiet();
    let done = Arc::new(AtomicBool::new(false));
    let beside = with_backups.then(|| {
        let file = server.path("beside.cwb");
        tokio::spawn(back_up_and_compact(server.client(), server.address.clone(), file, done.clone()))
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
    let (backups, compactions) = match beside {
        Some(beside) => beside.await.expect("backups are made"),
        None => (0, 0),
    };
    latencies.sort_unstable();
    Measured {
        commits: latencies.len() as f64 / took,
        p50: quantile_ms(&latencies, 0.5),
        p99: quantile_ms(&latencies, 0.99),
        backups,
        compactions,
    }
}

/// Makes a backup, waits until the server has compacted its history, and so on: a compaction waits for a backup to end. Returns how many there were
/// of each.
async fn back_up_and_compact(
    client: Client,
    address: String,
    file: PathBuf,
    done: Arc<AtomicBool>,
) -> (u64, u64) {
    let (mut backups, mut compactions) = (0, 0);
    let is_done = || done.load(Ordering::Relaxed);
    while !is_done() {
        let (address, file) = (address.clone(), file.clone());
        let backup = spawn_blocking(move || {
            let _ = fs::remove_file(&file);
            let mut create = command(&["backup", "create", "-f", text(&file)]);
            run_command(create.env("CONFWATCH_SERVER", &address));
        });
        backup.await.expect("a backup is made");
        backups += 1;
        let oldest = oldest_revision(&client).await;
        while !is_done() && oldest_revision(&client).await == oldest {
            sleep(LOOK_PAUSE).await;
        }
        compactions += u64::from(!is_done());
    }
    let _ = fs::remove_file(&file);
    (backups, compactions)
}

async fn oldest_revision(client: &Client) -> u64 {
    let status = client.status().get(StatusServiceGetRequest {}).await.expect("a status").into_inner();
    status.server.expect("everybody may see it").oldest_revision
}
