//! What was acknowledged survives `kill -9`: a real server is killed again and again under concurrent writers, and each time
//! what it left behind is held against everything it ever said.
//!
//! `CONFWATCH_KILL_ROUNDS` says how often, `CONFWATCH_KILL_SEED` repeats the choices of an earlier run (not its timing).

mod audit;
mod backup;
mod history;
mod life;
mod server;
mod stopping;
mod watcher;
mod write;
mod writers;

use fastrand::Rng;
use tempfile::TempDir;
use tokio::process::Child;

use life::Life;

const ROUNDS_DEFAULT: u64 = 10;
/// Then a new store begins, so that reading all of its history stays quick.
const ROUNDS_OF_A_STORE: u64 = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_whole_and_once() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let rounds = setting("CONFWATCH_KILL_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    let seed = setting("CONFWATCH_KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("CONFWATCH_KILL_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut left = rounds;
    while left > 0 {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let mut life = Life::new(directory.path().join("data"), &[], rng.fork(), kill_9);
        for _ in 0..left.min(ROUNDS_OF_A_STORE) {
            life.round().await;
        }
        println!("{}", life.end().await);
        left = left.saturating_sub(ROUNDS_OF_A_STORE);
    }
}

async fn kill_9(mut server: Child) {
    server.kill().await.expect("it was alive until now");
}
