//! One store, the servers that run on it one after the other and are killed, and all that they said. Does not know what
//! becomes of the disk when a server is killed.

use std::path::PathBuf;
use std::time::Duration;

use confwatch::store::{SledOptions, SledStore, Store};
use fastrand::Rng;
use tokio::process::Child;

use super::history::History;
use super::server::{Client, Server, Starting};
use super::watcher::Watcher;
use super::write::Write;
use super::writers::{Acknowledged, Answer, Ledger, Writers};

/// How long the writers write before the server is killed.
const WRITE_TIME_MS: std::ops::RangeInclusive<u64> = 20..=300;
/// How long a server lives that is killed while it starts: from before it reads its data until after it serves.
const START_TIME_MS: std::ops::RangeInclusive<u64> = 0..=150;

/// One store through its rounds, and all that its servers said.
pub struct Life<F> {
    data: PathBuf,
    /// Of each server.
    arguments: &'static [&'static str],
    /// Kills a server, and answers when the next one may start.
    kill: F,
    rng: Rng,
    ledger: Ledger,
    history: History,
    watchers: Vec<Watcher>,
    resumed: u64,
}

impl<F: AsyncFnMut(Child)> Life<F> {
    pub fn new(data: PathBuf, arguments: &'static [&'static str], rng: Rng, kill: F) -> Life<F> {
        Life {
            data,
            arguments,
            kill,
            rng,
            ledger: Ledger::default(),
            history: History::default(),
            watchers: vec![Watcher::of_everything(), Watcher::of_pairs()],
            resumed: 0,
        }
    }

    fn spawn(&self) -> Starting {
        Server::spawn(&self.data, self.arguments)
    }

    /// Starts a server on what is left, checks it, writes, and kills it.
    pub async fn round(&mut self) {
        // Of the first servers more: they create the store.
        let is_first = self.history.head() == 0;
        if self.rng.u8(..4) < if is_first { 3 } else { 1 } {
            let starting = self.spawn();
            tokio::time::sleep(Duration::from_millis(self.rng.u64(START_TIME_MS))).await;
            (self.kill)(starting.process).await;
        }
        let server = self.spawn().ready().await;
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
        (self.kill)(server.process).await;
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
    pub async fn end(mut self) -> String {
        let server = self.spawn().ready().await;
        let client = server.client().await;
        self.check(&client).await;
        for watcher in &mut self.watchers {
            watcher.resume(client.clone()).await;
            watcher.reach(self.history.head()).await;
            watcher.check(client.clone()).await;
        }
        (self.kill)(server.process).await;
        let store: Box<dyn Store> =
            Box::new(SledStore::open(&self.data, SledOptions::default()).expect("it opens"));
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
