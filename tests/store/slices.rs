//! Commits are made and history is read between the slices of a compaction, and a crash there is harmless.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use confwatch::model::{Revision, Version};
use confwatch::store::sled::Point;
use confwatch::store::{Compaction, History, Journal, SledOptions, SledStore, StoreError};

use super::conformance::sound;
use super::ordering::copy;
use super::script::{Script, content, id, key, set, tag};
use super::sled::options;

/// Some slices each of which goes through hundreds of layers at most.
const CONFIGS: usize = 600;

enum Event {
    Slice,
    Done,
}

fn name(number: usize) -> String {
    format!("c{number:03}")
}

#[test]
fn commits_and_reads_go_on_between_the_slices_of_a_compaction_and_a_tag_moved_meanwhile_keeps_its_version() {
    let dir = tempfile::tempdir().expect("a directory");
    let (events, happened) = mpsc::channel();
    let (resume, resumed) = mpsc::channel::<()>();
    let (told, resumed) = (events.clone(), Mutex::new(resumed));
    let pause = move |point| {
        if point == Point::BetweenSlices {
            let _ = told.send(Event::Slice);
            // Once the test has ended, or failed, nobody is left waiting.
            let _ = resumed.lock().expect("not poisoned").recv();
        }
    };
    let options_here = SledOptions { pause: Some(Arc::new(pause)), ..options() };
    let store = SledStore::open(dir.path(), options_here).expect("opened");
    let mut script = Script::default();
    for round in 0..3 {
        let edits = (0..CONFIGS).map(|number| set(&name(number), "/", number * 10 + round));
        store.append(&[script.commit(edits)]).expect("appended");
    }
    let mut crashes = vec![];
    let mut slices = 0;
    thread::scope(|scope| {
        let compacted = &store;
        scope.spawn(move || {
            compacted.compact(Revision(3)).expect("compacted");
            let _ = events.send(Event::Done);
        });
        while let Ok(Event::Slice) = happened.recv() {
            slices += 1;
            let before = store.head().revision;
            let commit = match slices {
                3 => script.commit([tag(&name(0), "kept", Some(1))]),
                _ => script.commit([set(&name(1), "/", 7000 + slices)]),
            };
            store.append(&[commit]).expect("a commit while a compaction is under way");
            assert_eq!(store.head().revision, before.next());
            let versions = store.versions(&id(&name(1)), Version(u64::MAX), 1).expect("read");
            assert_eq!(versions[0].version.0, 3 + slices as u64 - u64::from(slices >= 3));
            if slices % 3 == 0 {
                crashes.push(copy(dir.path()));
            }
            resume.send(()).expect("the compaction goes on");
        }
        drop(resume);
    });
    assert!(slices > 8, "{slices} slices");
    assert_eq!(store.oldest(), Revision(3));
    let first = store.snapshot(&id(&name(0)), Version(1)).expect("read").expect("its tag keeps it");
    assert_eq!(first.layers[&key("/")].content, content(0));
    let forgotten = store.snapshot(&id(&name(1)), Version(1));
    assert!(matches!(forgotten, Err(StoreError::Compacted { .. })));
    sound(&store);
    for crashed in crashes {
        let reopened = SledStore::open(crashed.path(), options()).expect("opened");
        assert!([Revision(1), Revision(3)].contains(&reopened.oldest()));
        assert!(reopened.snapshot(&id(&name(0)), Version(1)).expect("read").is_some());
        sound(&reopened);
        reopened.compact(Revision(4)).expect("compacted");
        sound(&reopened);
    }
}

#[test]
fn a_compaction_that_is_stopped_ends_at_its_next_slice_and_the_directory_is_free_when_the_store_is_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let stop_at = Arc::new(AtomicUsize::new(0));
    let slices = Arc::new(AtomicUsize::new(0));
    let counted = slices.clone();
    let pause = move |point| {
        if point == Point::BetweenSlices {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    };
    let options_here = SledOptions { pause: Some(Arc::new(pause)), ..options() };
    let mut script = Script::default();
    let open = || SledStore::open(dir.path(), options_here.clone()).expect("the directory is free");
    let first = open();
    for round in 0..3 {
        let edits = (0..CONFIGS).map(|number| set(&name(number), "/", number * 10 + round));
        first.append(&[script.commit(edits)]).expect("appended");
    }
    drop(first);
    let mut outcomes = vec![];
    for at in 1.. {
        let store = open();
        slices.store(0, Ordering::SeqCst);
        stop_at.store(at, Ordering::SeqCst);
        let is_stopped = || slices.load(Ordering::SeqCst) >= stop_at.load(Ordering::SeqCst);
        let outcome = store.compact_unless(Revision(3), &is_stopped).expect("compacted");
        if outcome == Compaction::Stopped {
            // At most one more, which moves the oldest revision.
            assert!(slices.load(Ordering::SeqCst) <= at + 1, "{at}");
        }
        if store.oldest() == Revision(1) {
            sound(&store);
        }
        outcomes.push((outcome, store.oldest()));
        let released = store.released();
        assert!(!released.wait(Duration::ZERO));
        drop(store);
        assert!(released.wait(Duration::ZERO));
        if outcomes.last().is_some_and(|(_, oldest)| *oldest == Revision(3)) {
            break;
        }
    }
    assert!(outcomes.contains(&(Compaction::Stopped, Revision(1))), "{outcomes:?}");
    assert!(outcomes.contains(&(Compaction::Stopped, Revision(3))), "{outcomes:?}");
    // The next start has removed what the one that was stopped left.
    let store = open();
    assert_eq!(store.oldest(), Revision(3));
    let forgotten = store.snapshot(&id(&name(1)), Version(1));
    assert!(matches!(forgotten, Err(StoreError::Compacted { .. })));
    sound(&store);
}
