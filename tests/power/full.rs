//! Disks that are full, and disks that fail: the server says what it cannot do, does all the rest, loses nothing, and recovers by
//! itself. Knows no FUSE.

use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use super::cuts::Machine;
use super::disk::Faults;
use super::server::{Server, Starting};
use super::trouble::{Said, Writers, check_is_plain, check_serves, history_is_back};
use super::watcher::Watcher;
use super::{mount, seeded};

/// What is left of a disk that is about to be full.
const ROOM_BYTES_MAX: usize = 4 << 20;
const HEALTHY_TIME_MS: std::ops::RangeInclusive<u64> = 0..=200;
/// Of each kind.
const TROUBLES_DEFAULT: usize = 3;
/// Then a new store begins, so that reading all of its history stays quick.
const TROUBLES_OF_A_STORE: usize = 4;
/// The server gives up on what does not end in its own time, which is less.
const STOP_TIME_MAX: Duration = Duration::from_secs(40);

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

/// How a server ends that is in trouble.
#[derive(Clone, Copy, Debug)]
enum End {
    PowerLost,
    /// By SIGKILL, on a machine that goes on: what the kernel holds is still there.
    Killed,
    /// By SIGTERM.
    Stopped,
}

/// Gets machines into trouble and out of it, again and again.
async fn live_through(trouble: impl Fn(&Machine, &mut Rng)) {
    let count = std::env::var("CONFWATCH_POWER_TROUBLES").ok();
    let count = count.map_or(TROUBLES_DEFAULT, |text| text.parse().expect("a number"));
    let mut rng = seeded();
    let mut left = count;
    while left > 0 {
        let Some(disk) = mount(&mut rng) else { return };
        let of_this_store = left.min(TROUBLES_OF_A_STORE);
        live_with_one_store(Machine::new(disk, &[], rng.fork()), of_this_store, &trouble, &mut rng).await;
        left -= of_this_store;
    }
}

async fn live_with_one_store(
    mut machine: Machine,
    troubles: usize,
    trouble: &impl Fn(&Machine, &mut Rng),
    rng: &mut Rng,
) {
    let mut said = Said::default();
    let mut watchers = vec![Watcher::of_everything(), Watcher::of_pairs()];
    let mut server = start(&machine).await;
    for _ in 0..troubles {
        let client = server.client().await;
        for watcher in &mut watchers {
            watcher.resume(client.clone()).await;
        }
        let writers = Writers::start(&server, rng).await;
        tokio::time::sleep(Duration::from_millis(rng.u64(HEALTHY_TIME_MS))).await;
        trouble(&machine, rng);
        writers.are_refused(rng.usize(1..20)).await;
        check_serves(&server, &mut watchers).await;
        // Or it lives to see the end of the trouble.
        let end = [None, None, Some(End::PowerLost), Some(End::Killed), Some(End::Stopped)][rng.usize(..5)];
        if let Some(end) = end {
            end_server(end, server.process, &mut machine).await;
            writers.join(&mut said).await;
            if rng.bool() {
                start_in_trouble(&mut machine).await;
            }
            end_trouble(&machine);
            if rng.bool() {
                machine.check().await;
            }
            server = start(&machine).await;
        } else {
            end_trouble(&machine);
            writers.are_acknowledged(1).await;
            history_is_back(&client).await;
            writers.are_acknowledged(rng.usize(1..20)).await;
            writers.stop(&mut said).await;
        }
        let client = server.client().await;
        said.check(&client).await;
        for watcher in &mut watchers {
            if end.is_some() {
                watcher.resume(client.clone()).await;
            }
            watcher.reach(said.head()).await;
            watcher.check(client.clone()).await;
        }
        println!("{end:?}: {}", said.summary());
    }
    machine.lose_power(server.process).await;
    machine.check().await;
    let server = start(&machine).await;
    said.check(&server.client().await).await;
}

fn end_trouble(machine: &Machine) {
    machine.disk.set_room(None);
    machine.disk.set_faults(Faults::none());
}

fn command(machine: &Machine) -> Command {
    Server::command(&machine.data(), &[])
}

/// Servers in trouble have much to say: it is shown if one does not start.
async fn start(machine: &Machine) -> Server {
    let log = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let mut command = command(machine);
    let process = command.stderr(log.reopen().expect("opened")).spawn();
    let process = process.expect("the binary was built with this test");
    match (Starting { process }).ready_or_ended().await {
        Some(server) => server,
        None => {
            let said = std::fs::read_to_string(log.path()).expect("read");
            panic!("the server does not start on what is left: {said}");
        }
    }
}

async fn end_server(end: End, mut server: Child, machine: &mut Machine) {
    match end {
        End::PowerLost => machine.lose_power(server).await,
        End::Killed => server.kill().await.expect("it was alive until now"),
        End::Stopped => {
            let id = server.id().expect("nobody has waited for it");
            // SAFETY: the process is there, for nobody has waited for it.
            unsafe { libc::kill(id as libc::pid_t, libc::SIGTERM) };
            let ended = tokio::time::timeout(STOP_TIME_MAX, server.wait()).await;
            ended.expect("it ends, whatever its disk does").expect("it was started here");
        }
    }
}

/// It serves, or says plainly why it does not.
async fn start_in_trouble(machine: &mut Machine) {
    let mut command = command(machine);
    let mut process = command.stderr(Stdio::piped()).spawn().expect("the binary was built with this test");
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
