//! What is durable, visible and indexed when: the store is stopped between two steps, looked at, and copied as a crash
//! would leave it.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;

use confwatch::model::{Commit, Revision, Timestamp, Version};
use confwatch::store::sled::Point;
use confwatch::store::{History, Journal, SledOptions, SledStore};
use tempfile::TempDir;

use super::conformance::{load, sound};
use super::script::{Script, id, set, tag};
use super::sled::options;

/// Stops the store at a point, until it is let go.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(Option<Point>, bool)>,
    changed: Condvar,
}

impl Gate {
    pub fn open_store(self: &Arc<Gate>, dir: &Path) -> SledStore {
        let gate = self.clone();
        let pause = move |point| gate.pass(point);
        SledStore::open(dir, SledOptions { pause: Some(Arc::new(pause)), ..options() }).expect("opened")
    }

    fn pass(&self, point: Point) {
        let mut state = self.state.lock().expect("not poisoned");
        if state.0 == Some(point) {
            state.1 = true;
            self.changed.notify_all();
        }
        while state.0 == Some(point) {
            state = self.changed.wait(state).expect("not poisoned");
        }
    }

    /// Until what is returned is dropped, also by a failing test: nobody is left waiting.
    pub fn close(&self, point: Point) -> Closed<'_> {
        *self.state.lock().expect("not poisoned") = (Some(point), false);
        Closed(self)
    }

    fn wait_until_reached(&self) {
        let mut state = self.state.lock().expect("not poisoned");
        while !state.1 {
            state = self.changed.wait(state).expect("not poisoned");
        }
    }

    fn open(&self) {
        *self.state.lock().expect("not poisoned") = (None, false);
        self.changed.notify_all();
    }
}

/// A gate that stops the store.
pub struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// What a crash leaves: a copy of the files as they are.
pub fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a directory");
    copy_into(from, to.path());
    to
}

pub fn copy_into(from: &Path, to: &Path) {
    for entry in from.read_dir().expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir_all(&target).expect("created");
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

fn batch(script: &mut Script) -> Vec<Commit> {
    (0..3).map(|number| script.commit([set("a", "/", number), set("b", "/x", number)])).collect()
}

#[test]
fn a_commit_is_not_visible_before_it_is_durable() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Gate::default());
    let store = gate.open_store(dir.path());
    let mut script = Script::default();
    for point in [Point::BeforeSync, Point::AfterSync] {
        let (head, records) = load(&store);
        let closed = gate.close(point);
        let commits = batch(&mut script);
        thread::scope(|scope| {
            let appending = scope.spawn(|| store.append(&commits).expect("appended"));
            gate.wait_until_reached();
            assert_eq!(store.head(), head);
            assert_eq!(store.commits(head.revision.next(), usize::MAX).expect("read"), []);
            let last = store.revision_at(Timestamp(i64::MAX)).expect("read");
            assert_eq!(last.unwrap_or_default(), head.revision);
            assert_eq!(load(&store), (head, records));
            drop(closed);
            assert_eq!(appending.join().expect("no panic"), store.head());
        });
        assert_eq!(store.head().revision, script.revision);
        assert_eq!(store.commits(head.revision.next(), usize::MAX).expect("read").len(), 3);
    }
}

#[test]
fn a_crash_before_the_sync_leaves_all_of_a_batch_or_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Gate::default());
    let store = gate.open_store(dir.path());
    let mut script = Script::default();
    store.append(&batch(&mut script)).expect("appended");
    let closed = gate.close(Point::BeforeSync);
    let commits = batch(&mut script);
    thread::scope(|scope| {
        scope.spawn(|| store.append(&commits).expect("appended"));
        gate.wait_until_reached();
        let crashed = copy(dir.path());
        drop(closed);
        let store = SledStore::open(crashed.path(), options()).expect("opened");
        assert!([3, 6].contains(&store.head().revision.0), "{}", store.head().revision);
        sound(&store);
    });
}

#[test]
fn an_acknowledged_commit_is_seen_by_every_read_though_it_is_not_archived() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Gate::default());
    let store = gate.open_store(dir.path());
    let mut script = Script::default();
    let closed = gate.close(Point::BeforeArchive);
    let head = store.append(&batch(&mut script)).expect("acknowledged");
    gate.wait_until_reached();
    thread::scope(|scope| {
        let (answers, answered) = mpsc::channel();
        let reads: [fn(&SledStore) -> Version; 5] = [
            |store| Version(store.commits(Revision(1), usize::MAX).expect("read").len() as u64),
            |store| store.versions(&id("a"), Version(u64::MAX), 1).expect("read")[0].version,
            |store| store.version_at(&id("a"), Revision(3)).expect("read").expect("it is there").version,
            |store| store.snapshot(&id("a"), Version(3)).expect("read").expect("it is there").at.version,
            |store| load(store).1[0].at.version,
        ];
        for read in reads {
            let (store, answers) = (&store, answers.clone());
            scope.spawn(move || answers.send(read(store)).expect("somebody listens"));
        }
        drop(answers);
        assert_eq!(answered.try_recv(), Err(mpsc::TryRecvError::Empty), "nothing can have answered");
        drop(closed);
        for _ in reads {
            assert_eq!(answered.recv().expect("an answer"), Version(3));
        }
    });
    assert_eq!(store.head(), head);
}

#[test]
fn a_crash_before_commits_are_archived_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Gate::default());
    let store = gate.open_store(dir.path());
    let mut script = Script::default();
    store.append(&batch(&mut script)).expect("appended");
    load(&store);
    let closed = gate.close(Point::BeforeArchive);
    let head = store.append(&batch(&mut script)).expect("acknowledged");
    gate.wait_until_reached();
    store.append(&batch(&mut script)).expect("acknowledged");
    let crashed = copy(dir.path());
    drop(closed);
    let reopened = SledStore::open(crashed.path(), options()).expect("opened");
    assert_eq!(reopened.head(), store.head());
    assert_ne!(reopened.head(), head);
    assert_eq!(load(&reopened), load(&store));
    let verified = sound(&reopened);
    assert_eq!((verified.commits, verified.versions, verified.layers), (9, 18, 2));
}

#[test]
fn closing_writes_what_is_pending() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Gate::default());
    let store = gate.open_store(dir.path());
    let mut script = Script::default();
    let closed = gate.close(Point::BeforeArchive);
    for _ in 0..3 {
        store.append(&batch(&mut script)).expect("acknowledged");
    }
    gate.wait_until_reached();
    let closing = thread::spawn(|| drop(store));
    drop(closed);
    closing.join().expect("closed");
    let store = gate.open_store(dir.path());
    assert_eq!(load(&store).0.revision, Revision(9));
    sound(&store);
}

#[test]
fn a_crash_in_a_compaction_is_before_it_or_after_it() {
    for (point, oldest) in [(Point::BeforeForget, 1), (Point::BeforeSweep, 5)] {
        let dir = tempfile::tempdir().expect("a directory");
        let gate = Arc::new(Gate::default());
        let store = gate.open_store(dir.path());
        let mut script = Script::default();
        for _ in 0..2 {
            store.append(&batch(&mut script)).expect("appended");
        }
        store.append(&[script.commit([tag("a", "t", Some(2))])]).expect("appended");
        let before = load(&store);
        let all = store.commits(Revision(1), usize::MAX).expect("read");
        let closed = gate.close(point);
        thread::scope(|scope| {
            scope.spawn(|| store.compact(Revision(5)).expect("compacted"));
            gate.wait_until_reached();
            let crashed = copy(dir.path());
            // Reads go on meanwhile.
            assert!(store.snapshot(&id("a"), Version(2)).expect("read").is_some());
            drop(closed);
            let reopened = SledStore::open(crashed.path(), options()).expect("opened");
            assert_eq!(reopened.oldest(), Revision(oldest));
            assert_eq!(
                reopened.commits(Revision(oldest), usize::MAX).expect("read"),
                all[oldest as usize - 1..]
            );
            assert_eq!(load(&reopened), before);
            assert_eq!(reopened.snapshot(&id("a"), Version(1)).is_ok(), oldest == 1);
            assert!(reopened.snapshot(&id("a"), Version(2)).expect("read").is_some());
            sound(&reopened);
            reopened.compact(Revision(6)).expect("compacted");
            sound(&reopened);
        });
        sound(&store);
    }
}
