//! The store in sled.

use std::process::Command;
use std::sync::Arc;

use confwatch::model::{Epoch, Revision};
use confwatch::store::{Fsync, Journal, SledOptions, SledStore, Store, StoreError};
use tempfile::TempDir;

use super::conformance::history::history_conformance;
use super::conformance::journal::journal_conformance;
use super::conformance::{HistorySubject, sound};
use super::ordering::copy_into;
use super::script::{Edit, Script, id, key, large};

/// A store in a directory that goes with it.
pub struct Sled {
    store: Option<Arc<SledStore>>,
    pub dir: TempDir,
}

impl Sled {
    pub fn new() -> Sled {
        let dir = tempfile::tempdir().expect("a directory");
        Sled { store: Some(Arc::new(open(&dir))), dir }
    }
}

impl HistorySubject for Sled {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("it is open")
    }

    fn reopen(&mut self) {
        let store = self.store.take().expect("it is open");
        drop(Arc::into_inner(store).expect("the test holds on to the store"));
        self.store = Some(Arc::new(open(&self.dir)));
    }
}

pub fn options() -> SledOptions {
    // Small files, so that there are many.
    SledOptions { cache_bytes: 8 << 20, journal_segment_bytes: 16 << 10, ..SledOptions::default() }
}

fn open(dir: &TempDir) -> SledStore {
    SledStore::open(dir.path(), options()).expect("the store opens")
}

impl Sled {
    /// Goes on from a copy of the files, as a crash would leave them: nothing is closed.
    pub fn crash(&mut self) {
        let copy = tempfile::tempdir().expect("a directory");
        // In this order none of them vouches for what another one lacks.
        for part in ["db", "journal", "wal"] {
            std::fs::create_dir(copy.path().join(part)).expect("created");
            copy_into(&self.dir.path().join(part), &copy.path().join(part));
        }
        std::fs::copy(self.dir.path().join("HEAD"), copy.path().join("HEAD")).expect("copied");
        self.store = None;
        self.dir = copy;
        self.store = Some(Arc::new(open(&self.dir)));
    }
}

journal_conformance!(Sled::new());

history_conformance!(Sled::new());

#[test]
fn a_new_store_has_the_epoch_it_was_given_or_a_random_one() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let given = SledOptions { epoch: Some(Epoch(7)), ..options() };
    assert_eq!(SledStore::open(dirs[0].path(), given).expect("opened").epoch(), Epoch(7));
    assert_eq!(open(&dirs[0]).epoch(), Epoch(7), "it stays");
    assert_ne!(open(&dirs[1]).epoch(), open(&dirs[2]).epoch());
}

#[test]
fn without_fsync_a_clean_close_keeps_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut script = Script::default();
    let store =
        SledStore::open(dir.path(), SledOptions { fsync: Fsync::Never, ..options() }).expect("opened");
    for number in 0..100 {
        store.append(&[script.set("a", "/", number)]).expect("appended");
    }
    drop(store);
    assert_eq!(open(&dir).head().revision, Revision(100));
}

#[test]
fn an_open_store_is_refused_to_others_and_named() {
    let subject = Sled::new();
    let path = subject.dir.path().display().to_string();
    match SledStore::open(subject.dir.path(), options()).map(drop) {
        Err(StoreError::Locked { path: found }) => assert_eq!(found, path),
        other => panic!("{other:?}"),
    }
    // Another process: this test binary again, with the test below.
    let other = Command::new(std::env::current_exe().expect("a path"))
        .args(["sled::child_opens_the_store", "--exact", "--nocapture"])
        .env("CONFWATCH_TEST_STORE", subject.dir.path())
        .output()
        .expect("the test binary runs");
    let output = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(output.contains(&format!("{path} is in use by another confwatch server")), "{output}");
    drop(subject.store());
}

/// Not a claim of its own: what the other process does.
#[test]
fn child_opens_the_store() {
    if let Some(dir) = std::env::var_os("CONFWATCH_TEST_STORE") {
        match SledStore::open(dir.as_ref(), options()) {
            Ok(_) => println!("opened"),
            Err(error) => println!("{error}"),
        }
    }
}

#[test]
fn no_item_becomes_a_file_of_its_own_whatever_the_sizes() {
    let mut subject = Sled::new();
    let mut script = Script::default();
    // One commit of 24 MiB, then many near the size of a chunk, then all of it copied by a compaction.
    let whole = (0..24).map(|number| Edit::Set(id("a"), key(&format!("/s{number}")), large(1 << 20, 'x')));
    subject.store().append(&[script.commit(whole)]).expect("appended");
    for number in 0..60 {
        let bytes = [61_000, 61_300, 61_440, 30_000, 122_500][number % 5];
        let edits = ["/x", "/y", "/z"].map(|scope| Edit::Set(id("b"), key(scope), large(bytes, 'y')));
        subject.store().append(&[script.commit(edits)]).expect("appended");
    }
    subject.store().append(&[script.set("c", "/", 1)]).expect("appended");
    subject.store().compact(Revision(62)).expect("compacted");
    subject.reopen();
    sound(&*subject.store());
    let blobs = subject.dir.path().join("db/blobs").read_dir().expect("the directory").count();
    assert_eq!(blobs, 0, "a blob is synced after the log that names it, or never");
}

#[test]
fn a_store_can_be_opened_again_at_once() {
    let mut subject = Sled::new();
    let mut script = Script::default();
    for number in 0..20 {
        subject.store().append(&[script.set("a", "/", number)]).expect("appended");
        subject.reopen();
    }
    assert_eq!(subject.store().head().revision, Revision(20));
}

#[test]
fn a_directory_of_other_files_is_no_data_directory_and_is_left_as_it_is() {
    let names = |dir: &TempDir| {
        let entries = std::fs::read_dir(dir.path()).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let foreign = tempfile::tempdir().expect("a directory");
    std::fs::write(foreign.path().join("notes.txt"), "mine").expect("written");
    let opened = SledStore::open(foreign.path(), options());
    let error = opened.err().expect("it is refused").to_string();
    let path = foreign.path().display().to_string();
    assert!(error.starts_with(&path) && error.contains("notes.txt") && error.contains("empty"), "{error}");
    assert_eq!(names(&foreign), ["notes.txt"]);
    // What a mount has, and what a start has left that went no further, is nobody's.
    let mount = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(mount.path().join("lost+found")).expect("made");
    for name in [".snapshot", "LOCK", "master.key"] {
        std::fs::write(mount.path().join(name), "").expect("written");
    }
    drop(open(&mount));
    // A store that somebody put files beside is one still.
    std::fs::write(mount.path().join("notes.txt"), "mine").expect("written");
    drop(open(&mount));
}
