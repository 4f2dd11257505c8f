//! Clients that write at the same time until the server is gone, and what they were told. Knows no content.

use fastrand::Rng;
use tokio::task::JoinHandle;
use tonic::Status;

use super::server::{Client, Server};
use super::write::Write;

const WRITERS: usize = 8;

/// What the server said to a write.
pub enum Answer {
    Acknowledged(Acknowledged),
    /// It cannot be done, and was not.
    Refused,
    /// Nothing: it may have been done.
    None(Write, Status),
}

/// What a server promised.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub write: Write,
    pub changed: bool,
    /// Of the commit, if it changed something.
    pub revision: u64,
}

/// All answers, and all writes that got none.
#[derive(Default)]
pub struct Ledger {
    pub acknowledged: Vec<Acknowledged>,
    pub unanswered: Vec<Write>,
    pub unanswered_total: usize,
}

impl Ledger {
    pub fn add(&mut self, other: Ledger) {
        self.acknowledged.extend(other.acknowledged);
        self.unanswered_total += other.unanswered.len();
        self.unanswered.extend(other.unanswered);
    }
}

/// Writers at work.
pub struct Writers(Vec<JoinHandle<Ledger>>);

impl Writers {
    pub async fn start(server: &Server, rng: &mut Rng) -> Writers {
        let mut tasks = Vec::new();
        for _ in 0..WRITERS {
            tasks.push(tokio::spawn(write_until_killed(server.client().await, rng.fork())));
        }
        Writers(tasks)
    }

    /// Ends once the server is gone.
    pub async fn join(self) -> Ledger {
        let mut ledger = Ledger::default();
        for task in self.0 {
            ledger.add(task.await.expect("what a writer is told is right"));
        }
        ledger
    }
}

async fn write_until_killed(client: Client, mut rng: Rng) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        let id = format!("{:016x}", rng.u64(..));
        match Write::random(id, &mut rng).send(client.clone()).await {
            Answer::Acknowledged(said) => ledger.acknowledged.push(said),
            Answer::Refused => {}
            Answer::None(write, _) => {
                ledger.unanswered.push(write);
                return ledger;
            }
        }
    }
}
