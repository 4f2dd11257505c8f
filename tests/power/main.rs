//! What was acknowledged survives power cuts: as `tests/kill`, on a disk that forgets what was not synced when the server is
//! killed. And full disks, and disks that fail.
//!
//! `CONFWATCH_POWER_CUTS` says how many cuts at least, `CONFWATCH_POWER_TROUBLES` how often disks get full and fail, and what servers
//! log meanwhile is shown. `CONFWATCH_POWER_SEED` repeats the choices of an earlier run (not its timing).
#![cfg(target_os = "linux")]

mod audit_log;
mod cuts;
mod disk;
mod first_start;
mod full;
#[path = "../kill/history.rs"]
mod history;
#[path = "../kill/life.rs"]
mod life;
mod model;
#[path = "../kill/server.rs"]
mod server;
mod steps;
mod trouble;
#[path = "../kill/watcher.rs"]
mod watcher;
#[path = "../kill/write.rs"]
mod write;
#[path = "../kill/writers.rs"]
mod writers;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;

use cuts::Machine;
use disk::Disk;
use life::Life;
use model::Names;

const CUTS_DEFAULT: usize = 20;
/// Then a new store begins: its creation is cut, too, and reading all of its history stays quick.
const ROUNDS_OF_A_STORE: usize = 5;
const SYNC_TIMES_US: [u64; 3] = [0, 300, 2000];
/// A server that keeps no promises is to be found out by then.
const ROUNDS_UNTIL_CAUGHT: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_power_cuts_whole_and_once() {
    let setting = |name: &str| std::env::var(name).ok();
    let cuts_min =
        setting("CONFWATCH_POWER_CUTS").map_or(CUTS_DEFAULT, |text| text.parse().expect("a number"));
    let mut rng = seeded();
    let mut cuts = 0;
    while cuts < cuts_min {
        let Some(disk) = mount(&mut rng) else { return };
        let mut machine = Machine::new(disk, &[], rng.fork());
        let data = machine.data();
        let lose_power = async |server| machine.lose_power_and_recover(server).await;
        let mut life = Life::new(data, &[], rng.fork(), lose_power);
        for _ in 0..ROUNDS_OF_A_STORE {
            life.round().await;
        }
        println!("{}", life.end().await);
        cuts += machine.cuts;
    }
    println!("{cuts} power cuts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_sync_is_caught() {
    let mut rng = Rng::new();
    let Some(disk) = mount(&mut rng) else { return };
    let arguments = &["--fsync", "never"];
    let mut machine = Machine::new(disk, arguments, rng.fork());
    let data = machine.data();
    let lose_power = async |server| machine.lose_power(server).await;
    let mut life = Life::new(data, arguments, rng, lose_power);
    for _ in 0..ROUNDS_UNTIL_CAUGHT {
        if AssertUnwindSafe(life.round()).catch_unwind().await.is_err() {
            return;
        }
    }
    panic!("nothing was lost");
}

fn seeded() -> Rng {
    let seed = std::env::var("CONFWATCH_POWER_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("a number"));
    println!("CONFWATCH_POWER_SEED={seed}");
    Rng::with_seed(seed)
}

fn mount(rng: &mut Rng) -> Option<Disk> {
    let names = Names::random(rng);
    let sync_time = Duration::from_micros(*rng.choice(&SYNC_TIMES_US).expect("there are some"));
    println!("names as {names:?} says, syncs of {sync_time:?}");
    Disk::mount(names, sync_time)
}
