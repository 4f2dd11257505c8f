//! A backup or a restore that is killed leaves nothing, or all of it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use confwatch::proto::v1::{Change, SetRequest, Text, change};
use confwatch::store::{History, Journal, SledOptions, SledStore};
use fastrand::Rng;
use tempfile::TempDir;

use super::server::Server;

const ROUNDS: u32 = 12;

/// The binary without the environment of the tests.
fn confwatch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
        command.env_remove(name);
    }
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs a command to its end, and tells how long it took.
fn timed(args: &[&str]) -> Duration {
    let begun = Instant::now();
    assert!(confwatch(args).status().expect("it runs").success(), "{args:?}");
    begun.elapsed()
}

/// Runs a command, and kills it at some moment within this time.
fn killed_within(args: &[&str], time: Duration, rng: &mut Rng) {
    let mut child = confwatch(args).spawn().expect("it runs");
    thread::sleep(time.mul_f64(rng.f64() * 1.1));
    // It may have ended already.
    let _ = child.kill();
    child.wait().expect("it has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_or_a_restore_that_is_killed_leaves_nothing_or_all_of_it() {
    let seed = std::env::var("CONFWATCH_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CONFWATCH_KILL_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let data = directory.path().join("data");
    let server = Server::spawn(&data, &[]).ready().await;
    let mut client = server.client().await;
    for number in 0..300 {
        let content = format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(2000));
        let change = Change {
            namespace: "test".into(),
            config: format!("c{}", number % 50),
            action: Some(change::Action::Replace(Text { content, ..Text::default() })),
            ..Change::default()
        };
        client.set(SetRequest { change: Some(change), options: None }).await.expect("set");
    }
    let address = server.address.clone();
    let create = |file: &str| ["backup", "create", "--server", &address, "-f", file].map(ToOwned::to_owned);
    let whole = path("whole.cwb");
    let args = create(&whole);
    let time = timed(&args.each_ref().map(String::as_str));
    for round in 0..ROUNDS {
        let file = path(&format!("{round}.cwb"));
        let args = create(&file);
        killed_within(&args.each_ref().map(String::as_str), time, &mut rng);
        if Path::new(&file).exists() {
            timed(&["backup", "verify", &file]);
        }
        // What is left of it does not keep the next one from being made.
        if !Path::new(&file).exists() {
            timed(&args.each_ref().map(String::as_str));
        }
    }

    let time = timed(&["backup", "restore", &whole, "--data-dir", &path("first")]);
    let revision = head(Path::new(&path("first")));
    for round in 0..ROUNDS {
        let target = path(&format!("restored-{round}"));
        let args = ["backup", "restore", &whole, "--data-dir", &target];
        killed_within(&args, time, &mut rng);
        if !Path::new(&target).exists() {
            timed(&args);
        }
        assert_eq!(head(Path::new(&target)), revision);
    }
}

/// The newest revision of a store in which nothing is wrong.
fn head(data: &Path) -> u64 {
    let store = SledStore::open(data, SledOptions::default()).expect("it opens");
    let mut problems = vec![];
    store.verify(&mut |problem| problems.push(problem)).expect("it can be read");
    assert_eq!(problems, []);
    store.head().revision.0
}
