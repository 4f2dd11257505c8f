//! Servers on a machine whose power is cut: while they serve, and while they start again on what the last cut has left. Does not
//! know what they are used for.

use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use tokio::process::{Child, Command};

use super::disk::Disk;
use super::model::Survives;
use super::server::Server;

/// How much a start changes on the disk before it serves, until one has shown it.
const START_CHANGES: u64 = 100;
/// How much a server may still change once its end is decided.
const CHANGES_BEFORE_CUT: u64 = 8;
/// How long that may take. An idle server changes nothing.
const CHANGES_TIME_MAX: Duration = Duration::from_millis(100);

/// A disk, and what happened to it.
pub struct Machine {
    pub disk: Disk,
    pub cuts: usize,
    /// Of each server.
    arguments: &'static [&'static str],
    rng: Rng,
    start_changes: u64,
}

impl Machine {
    pub fn new(disk: Disk, arguments: &'static [&'static str], rng: Rng) -> Machine {
        Machine { disk, cuts: 0, arguments, rng, start_changes: START_CHANGES }
    }

    pub fn data(&self) -> PathBuf {
        self.disk.path().join("data")
    }

    pub async fn lose_power(&mut self, mut server: Child) {
        let survives = Survives::random(&mut self.rng);
        // Most of the time a server waits for the disk. Half of the cuts come as it asks something of it, if it does.
        if self.rng.bool() {
            let failure = tokio::task::spawn_blocking(self.disk.failure());
            self.disk.fail_after(self.rng.u64(1..=CHANGES_BEFORE_CUT));
            let _ = tokio::time::timeout(CHANGES_TIME_MAX, failure).await;
        }
        self.disk.fail();
        // It may have ended by itself, where the test expects it to.
        let _ = server.start_kill();
        let at_stake = self.disk.cut(&survives, &mut self.rng);
        server.wait().await.expect("it was started here");
        self.disk.turn_on();
        self.cuts += 1;
        println!("cut with {at_stake} operations at stake, survives: {survives:?}");
    }

    /// The same, and perhaps again and again while a server starts on what is left, and a look at it that no server has.
    pub async fn lose_power_and_recover(&mut self, server: Child) {
        self.lose_power(server).await;
        while self.rng.u8(..3) == 0 {
            self.lose_power_while_starting().await;
        }
        if self.rng.u8(..4) == 0 {
            self.check().await;
        }
    }

    /// Cuts the power at any of the changes by which a server recovers what it finds.
    async fn lose_power_while_starting(&mut self) {
        let before = self.disk.changes();
        let count = self.rng.u64(1..=self.start_changes);
        self.disk.fail_after(count);
        let mut starting = Server::spawn(&self.data(), self.arguments);
        let output = starting.process.stdout.take();
        let failure = tokio::task::spawn_blocking(self.disk.failure());
        let output = Server::address(output.expect("it is piped"));
        let was_ready = tokio::select! {
            address = output => {
                address.expect("the server starts on what is left");
                true
            }
            failed = failure => {
                failed.expect("waiting does not panic");
                false
            }
        };
        // Others may take longer.
        if was_ready {
            self.start_changes = (self.disk.changes() - before) * 2;
        }
        print!("{} at change {count}: ", if was_ready { "started, not cut" } else { "start cut" });
        self.lose_power(starting.process).await;
    }

    /// What is left is a store without a fault, or none yet; and an audit log of which nothing that was durable is damaged or missing.
    pub async fn check(&self) {
        if !self.data().join("db").exists() {
            return;
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
        let command = command.args(["fsck", "--data-dir"]).arg(self.data()).kill_on_drop(true);
        let said = command.output().await.expect("the binary was built with this test");
        let text = String::from_utf8_lossy(&said.stdout);
        let of_store = text.lines().find(|line| !line.starts_with("audit log"));
        let is_clean = of_store.is_some_and(|line| line.starts_with("clean"));
        assert!(is_clean && said.status.success() && said.stderr.is_empty(), "{said:?}");
    }
}
