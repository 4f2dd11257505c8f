//! What the disk allows: records of 1 KB appended to a file and synced, without any server.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::seconds;
use crate::ceiling::Log;
use crate::document::BYTES;
use crate::load::quantile;
use crate::options::Options;
use crate::report::{Column, Rounds, Section, column};

pub const NAME: &str = "Disk";

const COLUMNS: &[Column] =
    &[column("records/s", 0), column("syncs/s", 0), column("p50 us", 0), column("p99 us", 0)];
const GROUPS: &[usize] = &[1, 16, 64, 256];

pub async fn run(options: &Options) -> Section {
    let directory = TempDir::with_prefix_in("bench-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut rows = Vec::new();
    for group in GROUPS {
        let mut rounds = Rounds::new();
        for _ in 0..options.rounds {
            rounds.add("raw file", append(directory.path(), *group, seconds(options, 0.7)));
        }
        rows.extend(rounds.rows(&format!("groups of {group}"), &[]));
    }
    let about = "No server: records of 1 KB, appended to a file that was written before (it does not grow), with one \
                 `fdatasync` for each group."
        .into();
    Section { name: NAME, about, columns: COLUMNS, rows, took: Duration::ZERO }
}

fn append(directory: &Path, group: usize, time: Duration) -> Vec<f64> {
    let mut log = Log::create(&directory.join("log")).expect("the disk takes it");
    let records = vec![b'-'; group * BYTES];
    let (begin, mut latencies) = (Instant::now(), Vec::new());
    while begin.elapsed() < time {
        let sent = Instant::now();
        log.append(&records).expect("the disk takes it");
        latencies.push(sent.elapsed());
    }
    let syncs = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let microseconds = |percent| quantile(&latencies, percent).as_secs_f64() * 1e6;
    vec![syncs * group as f64, syncs, microseconds(50), microseconds(99)]
}
