//! What was acknowledged survives `kill -9`: a real server is killed again and again under concurrent writers, and each time
//! what it left behind is held against everything it ever said.
//!
//! `CONFWATCH_KILL_ROUNDS` says how often, `CONFWATCH_KILL_SEED` repeats the choices of an earlier run (not its timing).

mod history;
mod server;
mod watcher;
mod write;
mod writers;

use std::path::PathBuf;
use std::time::Duration;

use confwatch::store::{SledOptions, SledStore, Store};
use fastrand::Rng;
use tempfile::TempDir;

use history::History;
use server::{Client, Server};
use watcher::Watcher;
use write::Write;
use writers::{Acknowledged, Answer, Ledger, Writers};

const ROUNDS_DEFAULT: u64 = 10;
/// Then a new store begins, so that reading all of its history stays quick.
const ROUNDS_OF_A_STORE: u64 = 25;
/// How long the writers write before the server is killed.
const WRITE_TIME_MS: std::ops::RangeInclusive<u64> = 20..=300;
/// How long a server lives that is killed while it starts: from before it reads its data until after it serves.
const START_TIME_MS: std::ops::RangeInclusive<u64> = 0..=150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_whole_and_once() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let rounds = setting("CONFWATCH_KILL_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    let seed = setting("CONFWATCH_KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("CONFWATCH_KILL_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut left = rounds;
    while left > 0 {
        let mut life = Life::new(rng.fork());
        for _ in 0..left.min(ROUNDS_OF_A_STORE) {
            life.round().await;
        }
        println!("{}", life.end().await);
        left = left.saturating_sub(ROUNDS_OF_A_STORE);
    }
}

/// One store through its rounds, and all that its servers said.
struct Life {
    directory: TempDir,
    rng: Rng,
    ledger: Ledger,
    history: History,
    watchers: Vec<Watcher>,
    resumed: u64,
}

impl Life {
    fn new(rng: Rng) -> Life {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        Life {
            directory,
            rng,
            ledger: Ledger::default(),
            history: History::default(),
            watchers: vec![Watcher::of_everything(), Watcher::of_pairs()],
            resumed: 0,
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts a server on what is left, checks it, writes, and kills it.
    async fn round(&mut self) {
        if self.rng.u8(..) < 64 {
            let starting = Server::spawn(&self.data());
            tokio::time::sleep(Duration::from_millis(self.rng.u64(START_TIME_MS))).await;
            starting.kill().await;
        }
        let server = Server::spawn(&self.data()).ready().await;
        let client = server.client().await;
        self.check(&client).await;

        // Some keep watching, others resume in a later round.
        let rng = &mut self.rng;
        let (watching, resting): (Vec<_>, Vec<_>) = self.watchers.drain(..).partition(|_| rng.bool());
        self.resumed += watching.len() as u64;
        let mut following = Vec::new();
        for mut watcher in watching {
            watcher.resume(client.clone()).await;
            watcher.reach(self.history.head()).await;
            watcher.check(client.clone()).await;
            following.push(tokio::spawn(watcher.follow()));
        }
        let writers = Writers::start(&server, &mut self.rng).await;
        tokio::time::sleep(Duration::from_millis(self.rng.u64(WRITE_TIME_MS))).await;
        server.kill().await;
        self.ledger.add(writers.join().await);
        self.watchers = resting;
        for watcher in following {
            self.watchers.push(watcher.await.expect("what a watcher is told is right"));
        }
    }

    /// Everything that was ever said still holds; writes without an answer are repeated, and are there once.
    async fn check(&mut self, client: &Client) {
        self.check_history(client).await;
        let unanswered = std::mem::take(&mut self.ledger.unanswered);
        for write in &unanswered {
            let answer = self.repeat(client, write).await;
            if let Answer::Acknowledged(first) = answer {
                if first.changed {
                    let Answer::Acknowledged(second) = self.repeat(client, write).await else {
                        panic!("{} was acknowledged, and then refused", first.write.id())
                    };
                    assert_eq!((first.revision, true), (second.revision, second.changed), "{first:?}");
                }
                self.ledger.acknowledged.push(first);
            }
        }
        if !unanswered.is_empty() {
            self.check_history(client).await;
        }
    }

    async fn repeat(&self, client: &Client, write: &Write) -> Answer {
        match write.clone().send(client.clone()).await {
            Answer::None(write, status) => panic!("{} is not answered: {status:?}", write.id()),
            answer => answer,
        }
    }

    async fn check_history(&mut self, client: &Client) {
        let history = History::read(client.clone()).await;
        history.check_continues(&self.history);
        self.ledger.acknowledged.iter().for_each(|said: &Acknowledged| history.check_holds(said));
        history.check_current(client.clone()).await;
        self.history = history;
    }

    /// A last look through a server, and one without. What the life was like.
    async fn end(mut self) -> String {
        let server = Server::spawn(&self.data()).ready().await;
        let client = server.client().await;
        self.check(&client).await;
        for watcher in &mut self.watchers {
            watcher.resume(client.clone()).await;
            watcher.reach(self.history.head()).await;
            watcher.check(client.clone()).await;
        }
        server.kill().await;
        let store = SledStore::open(&self.data(), SledOptions::default()).expect("it opens");
        let mut problems = Vec::new();
        let verified = store.verify(&mut |problem| problems.push(problem)).expect("it can be read");
        assert_eq!(problems, []);
        assert!(verified.commits >= self.history.head());
        format!(
            "{} commits, {} acknowledged writes, {} repeated, {} watches resumed",
            verified.commits,
            self.ledger.acknowledged.len(),
            self.ledger.unanswered_total,
            self.resumed
        )
    }
}
