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

async fn until_the_log_fails(server: &Server) {
    loop {
        let mut status = confwatch(&["status", "-o", "json", "--server", &server.address]);
        let said = status.stdout(Stdio::piped()).output().await.expect("it runs");
        if String::from_utf8_lossy(&said.stdout).contains("AUDIT_LOG_FAILING") {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the server notes that a record of the main part is durable.
async fn until_durable(data: &Path, record: u64) {
    let durable = || {
        let position = std::fs::read(data.join("audit-position.json")).ok()?;
        let position: serde_json::Value = serde_json::from_slice(&position).expect("JSON");
        position["newest"]["main"].as_u64()
    };
    while durable().is_none_or(|newest| newest < record) {
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_whose_sync_failed_are_written_again_by_the_same_server_and_by_the_next() {
    for is_killed in [false, true] {
        let Some(disk) = Disk::mount(Names::Posix, Duration::ZERO) else { return };
        let data = disk.path().join("data");
        let mut server = Server::spawn(&data, &[]).ready().await;
        // The first record of a start is synced a second later.
        disk.set_faults(Faults { writes: 0.0, syncs: 1.0, rng: Rng::with_seed(0) });
        until_the_log_fails(&server).await;
        disk.set_faults(Faults::none());
        let mut newest = 1;
        if is_killed {
            server.process.kill().await.expect("it was alive until now");
            server = Server::spawn(&data, &[]).ready().await;
            newest += 1;
        }
        until_durable(&data, newest).await;
        end(&disk, server.process, &Survives::Nothing).await;
        succeeds(&["fsck", "--data-dir", text(&data)]).await;
    }
}
