//! Disks that are full, and disks that fail: the server says what it cannot do, does all the rest, loses nothing, and recovers by
//! itself. Knows no FUSE.

use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;
use tokio::process::Child;

use super::cuts::Machine;
use super::disk::Faults;
use super::server::Server;
use super::trouble::{Said, Writers, check_is_plain, check_serves, history_is_back};
use super::watcher::Watcher;
use super::{mount, seeded};

/// What is left of a disk that is about to be full.
const ROOM_BYTES_MAX: usize = 4 << 20;
const HEALTHY_TIME_MS: std::ops::RangeInclusive<u64> = 0..=200;
/// Of each kind of trouble.
const TROUBLES_DEFAULT: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_to_be_full_until_it_is_not() {
    live_through(|machine, rng| machine.disk.set_room(Some(rng.usize(..ROOM_BYTES_MAX)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_cannot_write_is_lived_with_until_it_can() {
    live_through(|machine, rng| {
        machine.disk.set_faults(Faults { writes: chance(rng), syncs: 0.0, rng: rng.fork() });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_cannot_sync_is_lived_with_until_it_can() {
    live_through(|machine, rng| {
        machine.disk.set_faults(Faults { writes: 0.0, syncs: chance(rng), rng: rng.fork() });
    })
    .await;
}

/// All of them, or some.
fn chance(rng: &mut Rng) -> f64 {
    [1.0, 0.5, 0.1][rng.usize(..3)]
}

/// Gets a machine into trouble and out of it, again and again.
async fn live_through(trouble: impl Fn(&Machine, &mut Rng)) {
    let mut rng = seeded();
    let Some(disk) = mount(&mut rng) else { return };
    let mut machine = Machine::new(disk, &[], rng.fork());
    let mut said = Said::default();
    let mut watchers = vec![Watcher::of_everything(), Watcher::of_pairs()];
    let mut server = start(&machine).await;
    let count = std::env::var("CONFWATCH_POWER_TROUBLES").ok();
    let count = count.map_or(TROUBLES_DEFAULT, |text| text.parse().expect("a number"));
    for _ in 0..count {
        let client = server.client().await;
        for watcher in &mut watchers {
            watcher.resume(client.clone()).await;
        }
        let writers = Writers::start(&server, &mut rng).await;
        tokio::time::sleep(Duration::from_millis(rng.u64(HEALTHY_TIME_MS))).await;
        trouble(&machine, &mut rng);
        writers.are_refused(rng.usize(1..20)).await;
        check_serves(&server, &mut watchers).await;
        let loses_power = rng.bool();
        if !loses_power {
            end_of_trouble(&machine);
            writers.are_acknowledged(1).await;
            history_is_back(&client).await;
            writers.are_acknowledged(rng.usize(1..20)).await;
            writers.stop(&mut said).await;
            said.check(&client).await;
            for watcher in &mut watchers {
                watcher.reach(said.head()).await;
                watcher.check(client.clone()).await;
            }
            println!("recovered: {}", said.summary());
        } else {
            machine.lose_power(server.process).await;
            writers.join(&mut said).await;
            if rng.bool() {
                start_in_trouble(&mut machine).await;
            }
            end_of_trouble(&machine);
            if rng.bool() {
                machine.check().await;
            }
            server = start(&machine).await;
            said.check(&server.client().await).await;
            println!("restarted: {}", said.summary());
        }
    }
    machine.lose_power(server.process).await;
    machine.check().await;
}

fn end_of_trouble(machine: &Machine) {
    machine.disk.set_room(None);
    machine.disk.set_faults(Faults::none());
}

async fn start(machine: &Machine) -> Server {
    Server::spawn(&machine.data(), &[]).ready().await
}

/// It serves, or says plainly why it does not.
async fn start_in_trouble(machine: &mut Machine) {
    let mut command = Server::command(&machine.data(), &[]);
    let mut process: Child =
        command.stderr(Stdio::piped()).spawn().expect("the binary was built with this test");
    let stdout = process.stdout.take().expect("it is piped");
    match Server::address(stdout).await {
        Some(_) => machine.lose_power(process).await,
        None => {
            let said = process.wait_with_output().await.expect("it was started here");
            let text = String::from_utf8_lossy(&said.stderr);
            let error = text.lines().find(|line| line.starts_with("error: ")).expect("it says why it ends");
            println!("{error}");
            check_is_plain(error);
        }
    }
}
