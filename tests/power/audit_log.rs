//! Records of the audit log on a disk that fails their sync: they are durable before the server says so, whatever a failed sync has left of them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;

use super::disk::{Disk, Faults};
use super::model::{Names, Survives};
use super::server::Server;
use super::steps::{confwatch, end, succeeds, text};

/// Between two looks at a server.
const PAUSE: Duration = Duration::from_millis(5);

/// The newest record of the main part that is durable, as the server notes it.
fn durable(data: &Path) -> u64 {
    let Ok(position) = std::fs::read(data.join("audit-position.json")) else { return 0 };
    let position: serde_json::Value = serde_json::from_slice(&position).expect("JSON");
    position["newest"]["main"].as_u64().unwrap_or(0)
}

/// The records of the main part that are written, durable or not.
fn written(data: &Path) -> u64 {
    let log = std::fs::read(data.join("audit/audit-00000000000000000001.jsonl")).unwrap_or_default();
    let lines = log.iter().filter(|byte| **byte == b'\n').count() as u64;
    // The first line is the head.
    lines.saturating_sub(1)
}

/// Whether all records are durable, of which there is one at least: a start writes one.
fn is_durable(data: &Path) -> bool {
    (1..=durable(data)).contains(&written(data))
}

/// Whether the server says that its log cannot be written, before it notes that all records are durable.
async fn fails(data: &Path, server: &Server) -> bool {
    while !is_durable(data) {
        let mut status = confwatch(&["status", "-o", "json", "--server", &server.address]);
        let said = status.stdout(Stdio::piped()).output().await.expect("it runs");
        if String::from_utf8_lossy(&said.stdout).contains("AUDIT_LOG_FAILING") {
            return true;
        }
        tokio::time::sleep(PAUSE).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_whose_sync_failed_are_written_again_by_the_same_server_and_by_the_next() {
    for is_killed in [false, true] {
        let Some(disk) = Disk::mount(Names::Posix, Duration::ZERO) else { return };
        let data = disk.path().join("data");
        let mut server = Server::spawn(&data, &[]).ready().await;
        loop {
            disk.set_faults(Faults { writes: 0.0, syncs: 1.0, rng: Rng::with_seed(0) });
            let fails = fails(&data, &server).await;
            disk.set_faults(Faults::none());
            if fails {
                break;
            }
            // A start writes a record, and syncs it a second later: this one was slower.
            server.process.kill().await.expect("it was alive until now");
            server = Server::spawn(&data, &[]).ready().await;
        }
        if is_killed {
            server.process.kill().await.expect("it was alive until now");
            server = Server::spawn(&data, &[]).ready().await;
        }
        while !is_durable(&data) {
            tokio::time::sleep(PAUSE).await;
        }
        end(&disk, server.process, &Survives::Nothing).await;
        succeeds(&["fsck", "--data-dir", text(&data)]).await;
    }
}
