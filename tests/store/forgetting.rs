//! What forgetting the history of a namespace does to the files of a store: they become smaller, and a crash at any moment leaves a store in
//! which nothing is wrong.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use confwatch::model::{Commit, Revision, Version};
use confwatch::store::sled::{DiskBytes, Point};
use confwatch::store::{Compaction, History, Journal, SledOptions, SledStore, StoreError, prove};
use tempfile::TempDir;

use super::conformance::{load, sound};
use super::ordering::copy;
use super::script::{Edit, Script, id, key, large, namespace};
use super::sled::options;

const ROUNDS: u64 = 60;

/// Interleaved commits of two namespaces, each a record of its own, and their journal.
fn filled(dir: &Path, options: SledOptions) -> SledStore {
    let store = SledStore::open(dir, options).expect("opened");
    let mut script = Script::default();
    for number in 0..ROUNDS {
        for (config, letter, size) in [("noisy/a", 'n', 6000), ("quiet/a", 'q', 2000)] {
            let size = size + number as usize;
            let commit = script.commit([Edit::Set(id(config), key("/"), large(size, letter))]);
            store.append(&[commit]).expect("appended");
        }
    }
    store
}

fn journal_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("journal")).expect("a directory");
    entries.map(|entry| entry.expect("an entry").metadata().expect("it is there").size()).sum()
}

fn changes(store: &SledStore) -> Vec<Commit> {
    let commits = store.commits(Revision(1), usize::MAX).expect("read");
    commits.into_iter().map(|sealed| sealed.commit).collect()
}

/// All that is known of the quiet namespace, and nothing is wrong.
fn assert_quiet_is_whole(store: &SledStore) {
    sound(store);
    assert_eq!(prove(store).expect("read").broken, None);
    let versions = store.versions(&id("quiet/a"), Version(u64::MAX), usize::MAX).expect("read");
    assert_eq!(versions.len() as u64, ROUNDS);
    for at in versions {
        let snapshot = store.snapshot(&id("quiet/a"), at.version).expect("read").expect("it is there");
        let size = 2000 + at.version.0 as usize - 1;
        assert_eq!(snapshot.layers[&key("/")].content, large(size, 'q'));
    }
}

#[test]
fn the_space_of_what_one_namespace_forgets_is_given_back_and_the_rest_stays_where_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = filled(dir.path(), options());
    // Which waits for the files.
    let state = load(&store);
    let before = journal_bytes(dir.path());
    for oldest in [60, 2 * ROUNDS - 1] {
        let forgotten = store.forget_unless(&namespace("noisy"), Revision(oldest), 1, &|| false);
        assert_eq!(forgotten.expect("forgotten"), Compaction::Done);
        assert_eq!(store.reclaim_unless(&|| false).expect("reclaimed"), Compaction::Done);
        assert_quiet_is_whole(&store);
        assert_eq!(load(&store), state);
    }
    let after = journal_bytes(dir.path());
    assert!(after * 2 < before, "{before} bytes became {after}");
    assert!(DiskBytes::of(dir.path()).expect("read").journal > 0);
    let commits = changes(&store);
    drop(store);
    let store = SledStore::open(dir.path(), options()).expect("opened");
    assert_eq!(changes(&store), commits);
    assert_quiet_is_whole(&store);
    // The oldest files go as ever.
    store.compact(Revision(100)).expect("compacted");
    sound(&store);
    assert!(journal_bytes(dir.path()) < after);
}

#[test]
fn a_crash_at_any_moment_of_forgetting_leaves_a_store_in_which_nothing_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let crashes: Arc<Mutex<Vec<(Point, TempDir)>>> = Arc::default();
    let (at, kept) = (dir.path().to_owned(), crashes.clone());
    let pause = move |point| {
        if matches!(
            point,
            Point::BetweenSlices | Point::BeforeForget | Point::BeforeSweep | Point::BeforeReplace
        ) {
            kept.lock().expect("not poisoned").push((point, copy(&at)));
        }
    };
    let store = filled(dir.path(), SledOptions { pause: Some(Arc::new(pause)), ..options() });
    let state = load(&store);
    store.forget_unless(&namespace("noisy"), Revision(100), 2, &|| false).expect("forgotten");
    store.reclaim_unless(&|| false).expect("reclaimed");
    let commits = changes(&store);
    let crashes = std::mem::take(&mut *crashes.lock().expect("not poisoned"));
    let points: Vec<Point> = crashes.iter().map(|(point, _)| *point).collect();
    for point in [Point::BeforeForget, Point::BeforeSweep, Point::BeforeReplace] {
        assert!(points.contains(&point), "{points:?}");
    }
    for (point, crashed) in crashes {
        let reopened = SledStore::open(crashed.path(), options()).expect("opened");
        assert!([Revision(1), Revision(100)].contains(&reopened.oldest_of(&namespace("noisy"))), "{point:?}");
        assert_eq!(load(&reopened), state, "{point:?}");
        assert_quiet_is_whole(&reopened);
        let names = fs::read_dir(crashed.path().join("journal")).expect("a directory");
        let names = names.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
        assert_eq!(names.filter(|name| name.ends_with(".new")).count(), 0, "{point:?}");
        // It goes on to the same end.
        reopened.forget_unless(&namespace("noisy"), Revision(100), 2, &|| false).expect("forgotten");
        reopened.reclaim_unless(&|| false).expect("reclaimed");
        assert_eq!(changes(&reopened), commits, "{point:?}");
        assert_quiet_is_whole(&reopened);
        assert!(journal_bytes(crashed.path()) <= journal_bytes(dir.path()), "{point:?}");
    }
}

#[test]
fn forgetting_can_be_stopped_anywhere_and_goes_on_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = filled(dir.path(), options());
    let ends = |end: usize| {
        let asked = std::cell::Cell::new(0);
        move || {
            asked.set(asked.get() + 1);
            asked.get() > end
        }
    };
    for end in 0.. {
        let stop = ends(end);
        if store.forget_unless(&namespace("noisy"), Revision(100), 0, &stop).expect("ok") == Compaction::Done
        {
            break;
        }
    }
    let before = journal_bytes(dir.path());
    let mut stopped = 0;
    for end in 0.. {
        let stop = ends(end * 7);
        if store.reclaim_unless(&stop).expect("ok") == Compaction::Done {
            break;
        }
        stopped += 1;
    }
    assert!(stopped > 3, "{stopped}");
    assert!(journal_bytes(dir.path()) < before);
    assert_quiet_is_whole(&store);
    assert_eq!(store.oldest_of(&namespace("noisy")), Revision(100));
}

#[test]
fn a_database_that_has_what_the_journal_forgot_is_not_made_again_from_the_journal() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(filled(dir.path(), options()));
    let lost = copy(dir.path());
    fs::remove_dir_all(lost.path().join("db")).expect("removed");
    drop(SledStore::open(lost.path(), options()).expect("the journal has all it takes"));
    let store = SledStore::open(dir.path(), options()).expect("opened");
    store.forget_unless(&namespace("noisy"), Revision(100), 2, &|| false).expect("forgotten");
    drop(store);
    fs::remove_dir_all(dir.path().join("db")).expect("removed");
    match SledStore::open(dir.path(), options()).map(drop) {
        Err(StoreError::Corrupt { what, .. }) => assert_eq!(what, "it is missing"),
        other => panic!("versions are lost: {other:?}"),
    }
}
