//! The two suites: what every journal must do, and what every history that is folded from one. Each implementation runs both.

pub mod history;
pub mod journal;

use std::sync::Arc;

use confwatch::model::{Commit, Revision, Timestamp};
use confwatch::store::{ConfigRecord, Head, History, Journal, Proof, Store, Verified, prove};

use super::script::Script;

/// A journal under test.
pub trait JournalSubject {
    fn journal(&self) -> Arc<dyn Journal>;

    /// Closes and opens it again, if it outlives that.
    fn reopen(&mut self);
}

/// A history under test, with its journal.
pub trait HistorySubject {
    fn store(&self) -> Arc<dyn Store>;

    /// As that of a journal.
    fn reopen(&mut self);
}

impl<S: HistorySubject> JournalSubject for S {
    fn journal(&self) -> Arc<dyn Journal> {
        self.store()
    }

    fn reopen(&mut self) {
        HistorySubject::reopen(self);
    }
}

const ALL: usize = usize::MAX;

fn read(journal: &dyn Journal, from: u64) -> Vec<Commit> {
    let commits = journal.commits(Revision(from), ALL).expect("read");
    commits.into_iter().map(|sealed| sealed.commit).collect()
}

pub fn load(history: &dyn History) -> (Head, Vec<ConfigRecord>) {
    let mut records = Vec::new();
    let head = history.load(&mut |record| records.push(record)).expect("loaded");
    (head, records)
}

/// Twelve commits in batches of several sizes, some of which share their time with the one before.
fn append_batches_with_equal_times(journal: &dyn Journal, script: &mut Script) {
    for size in [1, 3, 1, 5, 2] {
        let mut batch: Vec<Commit> = (0..size).map(|number| script.set("a", "/", number)).collect();
        // Two commits of one moment.
        if let [.., before, last] = &mut batch[..] {
            last.time = before.time;
        }
        journal.append(&batch).expect("appended");
    }
}

fn check_revision_at(journal: &dyn Journal, oldest: u64) {
    let all = read(journal, oldest);
    for time in -1..=130 {
        let expected = all.iter().rfind(|commit| commit.time.0 <= time).map(|commit| commit.revision);
        let found = journal.revision_at(Timestamp(time)).expect("read");
        assert_eq!(found, expected, "at {time} from {oldest}");
    }
}

/// The chain of all commits holds.
fn proven(journal: &dyn Journal) -> Proof {
    let proof = prove(journal).expect("read");
    assert_eq!(proof.broken, None);
    assert_eq!(proof.newest, journal.head().revision);
    proof
}

/// Verification finds nothing.
pub fn sound(history: &dyn History) -> Verified {
    let mut problems = Vec::new();
    let verified = history.verify(&mut |problem| problems.push(problem)).expect("verified");
    assert_eq!(problems, []);
    verified
}
