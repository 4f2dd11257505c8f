//! Files that are not as they were written: said, named, never a panic, never other content.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use confwatch::model::{Revision, Version};
use confwatch::store::sled::Point;
use confwatch::store::{Problem, SledStore, Store, StoreError};
use tempfile::TempDir;

use super::conformance::{load, sound};
use super::ordering::{Gate, copy_into};
use super::script::{Edit, Script, id, key, large, set, tag};
use super::sled::options;

/// A closed store with a bit of everything, and all its commits.
fn sample() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(dir.path(), options()).expect("opened");
    let mut script = Script::default();
    for number in 0..40 {
        let mut edits = vec![set("a", "/", number), set("b", &format!("/s{number}"), number)];
        if number % 10 == 0 {
            edits.push(Edit::Set(id("c"), key("/"), large(100_000, 'x')));
        }
        store.append(&[script.commit(edits), script.commit([tag("a", "t", Some(1))])]).expect("appended");
    }
    dir
}

fn copied(dir: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    copy_into(dir.path(), copy.path());
    copy
}

/// Changes a tree of a closed store behind its back.
fn change(dir: &Path, tree: &str, change: impl FnOnce(&sled::Tree)) {
    let open = || sled::Config::new().path(dir.join("db")).segment_size(8 << 20).open();
    // sled lets go of its files some time after it is closed.
    let db = std::iter::repeat_with(open).find_map(Result::ok).expect("sooner or later");
    change(&db.open_tree(tree).expect("a tree"));
    db.flush().expect("flushed");
}

/// What verification finds, as text.
fn problems(dir: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let mut report = |problem: Problem| problems.push(format!("{}: {}", problem.place, problem.message));
    let checked = SledStore::check(dir, options(), &mut report).map(drop);
    problems.extend(checked.err().map(|error| error.to_string()));
    problems
}

#[test]
fn flipped_bits_are_noticed_or_harmless() {
    let dir = sample();
    let original = {
        let store = SledStore::open(dir.path(), options()).expect("opened");
        (load(&store), store.commits(Revision(1), usize::MAX).expect("read"))
    };
    let bytes = fs::read(dir.path().join("db/db")).expect("read");
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("something is written");
    for at in (0..48).map(|number| (written / 48) * number + number * 7) {
        let copy = copied(&dir);
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x10;
        fs::write(copy.path().join("db/db"), wrong).expect("written");
        let read = || {
            let store = SledStore::open(copy.path(), options())?;
            let mut problems = Vec::new();
            store.verify(&mut |problem| problems.push(problem))?;
            let mut records = Vec::new();
            let head = store.load(&mut |record| records.push(record))?;
            let commits = store.commits(Revision(1), usize::MAX)?;
            Ok::<_, StoreError>((problems.is_empty(), ((head, records), commits)))
        };
        match read() {
            Ok((true, found)) => assert!(found == original, "byte {at}: other content, and nobody says so"),
            Ok((false, _)) | Err(StoreError::Corrupt { .. } | StoreError::Io { .. }) => {}
            Err(StoreError::Failed(why)) => assert!(why.contains("damaged"), "byte {at}: {why}"),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}

#[test]
fn a_shortened_file_is_noticed_or_harmless() {
    let dir = sample();
    let whole = {
        let store = SledStore::open(dir.path(), options()).expect("opened");
        (load(&store), store.commits(Revision(1), usize::MAX).expect("read"))
    };
    let bytes = fs::read(dir.path().join("db/db")).expect("read");
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("something is written");
    for percent in [0, 1, 30, 60, 90, 99] {
        let copy = copied(&dir);
        fs::write(copy.path().join("db/db"), &bytes[..written * percent / 100]).expect("written");
        match SledStore::open(copy.path(), options()) {
            Err(StoreError::Corrupt { .. }) => assert_ne!(problems(copy.path()), [""; 0]),
            // The end of sled's log may hold nothing that cannot be made again, now and then.
            Ok(store) => {
                sound(&store);
                let found = (load(&store), store.commits(Revision(1), usize::MAX).expect("read"));
                assert!(found == whole, "{percent} %: it is not all there, and nobody says so");
            }
            Err(other) => panic!("{percent} %: {other:?}"),
        }
    }
}

#[test]
fn a_missing_database_is_not_taken_for_a_new_one() {
    for missing in ["db/db", "db/conf", "db"] {
        let dir = sample();
        let path = dir.path().join(missing);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("removed");
        let opened = SledStore::open(dir.path(), options()).map(drop);
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{missing}: {opened:?}");
    }
}

#[test]
fn a_database_that_lost_its_end_is_made_whole_from_the_log_or_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut script = Script::default();
    let append = |script: &mut Script| {
        let store = SledStore::open(dir.path(), options()).expect("opened");
        store.append(&[script.set("a", "/", 1)]).expect("appended");
    };
    append(&mut script);
    let earlier = copied(&dir);
    append(&mut script);
    // The database goes back, what is beside it stays.
    let go_back = || {
        fs::remove_dir_all(dir.path().join("db")).expect("removed");
        fs::create_dir_all(dir.path().join("db/blobs")).expect("created");
        copy_into(&earlier.path().join("db"), &dir.path().join("db"));
    };
    go_back();
    assert_eq!(SledStore::open(dir.path(), options()).expect("opened").head().revision, Revision(2));
    let wal = dir.path().join("wal");
    let refused = || match SledStore::open(dir.path(), options()).map(drop) {
        Err(StoreError::Corrupt { place, what }) => format!("{place}: {what}"),
        other => panic!("{other:?}"),
    };
    go_back();
    for segment in fs::read_dir(&wal).expect("read") {
        fs::remove_file(segment.expect("an entry").path()).expect("removed");
    }
    assert_eq!(refused(), "commits: it ends with revision 1, but 2 was there before");
    go_back();
    fs::remove_dir(&wal).expect("removed");
    assert_eq!(refused(), format!("{}: it is missing", wal.display()));
}

#[test]
fn a_damaged_log_is_noticed_and_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Gate::default());
    let store = gate.open_store(dir.path());
    let mut script = Script::default();
    let _closed = gate.close(Point::BeforeArchive);
    for number in 0..5 {
        store.append(&[script.set("a", "/", number)]).expect("appended");
    }
    let crashed = copied(&dir);
    let segment = crashed.path().join("wal/0");
    let mut bytes = fs::read(&segment).expect("read");
    let at = bytes.windows(6).position(|window| window == b"tester").expect("the first commit");
    bytes[at] = b'T';
    fs::write(&segment, bytes).expect("written");
    match SledStore::open(crashed.path(), options()).map(drop) {
        Err(StoreError::Corrupt { place, what }) => {
            assert_eq!(place, segment.display().to_string());
            assert_eq!(what, "revision 1 at byte 64 is damaged, 2 follows it");
        }
        other => panic!("{other:?}"),
    }
    assert!(problems(crashed.path())[0].contains("revision 1 at byte 64 is damaged"));
}

#[test]
fn what_a_crash_in_an_open_leaves_is_cleaned_up() {
    let dir = sample();
    fs::write(dir.path().join("db/snap.FFFFFFFFFFFFFFFF.generating"), b"half").expect("written");
    fs::create_dir(dir.path().join("db.new")).expect("created");
    let store = SledStore::open(dir.path(), options()).expect("opened");
    assert_eq!(store.head().revision, Revision(80));
    sound(&store);
}

#[test]
fn a_creation_that_a_crash_ended_begins_again() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("db.new")).expect("created");
    fs::write(dir.path().join("db.new/conf"), b"half").expect("written");
    assert_eq!(SledStore::open(dir.path(), options()).expect("opened").head().revision, Revision(0));
}

#[test]
fn a_newer_format_is_refused() {
    let dir = sample();
    change(dir.path(), "meta", |meta| {
        meta.insert("format", &2_u64.to_be_bytes()).expect("written");
    });
    let opened = SledStore::open(dir.path(), options()).map(drop);
    assert!(matches!(opened, Err(StoreError::Format { found: 2, expected: 1 })), "{opened:?}");
}

#[test]
fn a_changed_commit_breaks_the_chain_and_is_named() {
    let dir = sample();
    change(dir.path(), "commits", |commits| {
        let key = [&21_u64.to_be_bytes()[..], &[0, 0]].concat();
        let mut batch = commits.get(&key).expect("read").expect("a batch").to_vec();
        let at = batch.windows(6).position(|window| window == b"tester").expect("the actor");
        batch[at] = b'T';
        commits.insert(key, batch).expect("written");
    });
    let store = SledStore::open(dir.path(), options()).expect("the end of the journal is whole");
    match store.commits(Revision(20), usize::MAX) {
        Err(StoreError::Corrupt { place, .. }) => assert_eq!(place, "commits, batch of revision 21"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.commits(Revision(23), usize::MAX).expect("the rest can be read").len(), 58);
    drop(store);
    let problems = problems(dir.path());
    assert!(
        problems[0].starts_with("commits, batch of revision 21: revision 21: the hash is"),
        "{problems:?}"
    );
}

#[test]
fn a_batch_that_is_missing_or_from_elsewhere_is_named() {
    let dir = sample();
    let batch_key = |revision: u64| [&revision.to_be_bytes()[..], &[0, 0]].concat();
    change(dir.path(), "commits", |commits| {
        commits.remove(batch_key(31)).expect("removed");
    });
    assert!(problems(dir.path()).iter().any(|problem| problem.starts_with("revision 31: it is missing")));
    change(dir.path(), "commits", |commits| {
        let other = commits.get(batch_key(33)).expect("read").expect("a batch");
        commits.insert(batch_key(31), other).expect("written");
    });
    let problems = problems(dir.path());
    assert!(problems[0].contains("it has revision 33 where 31 should be"), "{problems:?}");
}

#[test]
fn every_damaged_index_is_named() {
    let config = |name: &str| format!("payments\0{name}\0").into_bytes();
    type Change = Box<dyn Fn(&sled::Tree)>;
    let at = |name: &str, rest: &[u8]| [&config(name)[..], rest].concat();
    let remove = |key: Vec<u8>| -> Change {
        Box::new(move |tree| assert!(tree.remove(&key).expect("removed").is_some(), "{}", key.escape_ascii()))
    };
    let insert = |key: Vec<u8>, value: Vec<u8>| -> Change {
        Box::new(move |tree| drop(tree.insert(&key, value.clone()).expect("inserted")))
    };
    let flip = |key: Vec<u8>| -> Change {
        Box::new(move |tree| {
            let mut value = tree.get(&key).expect("read").expect("an entry").to_vec();
            value[1] ^= 1;
            tree.insert(&key, value).expect("inserted");
        })
    };
    let version = |number: u64| number.to_be_bytes();
    let layer = |number| [&b"\0/\0"[..], &version(number), &[0, 0]].concat();
    let damages: [(&str, Change); 15] = [
        ("layers", remove(at("a", &layer(7)))),
        ("layers", flip(at("a", &layer(7)))),
        ("layers", insert(at("a", &layer(99)), vec![0])),
        ("layers", insert(b"x".to_vec(), vec![0])),
        ("current", remove(at("a", b"\0/\0\0\0"))),
        ("current", remove(at("c", b"\0/\0\0\x01"))),
        ("current", flip(at("b", b"\0/s7\0\0\0"))),
        ("current", insert(at("b", b"\0/none\0\0\0"), vec![7])),
        ("versions", remove(at("a", &version(7)))),
        ("versions", flip(at("a", &version(7)))),
        ("versions", insert(at("a", &version(99)), vec![0; 16])),
        ("configs", remove(config("b"))),
        ("configs", flip(config("b"))),
        ("tags", remove(at("a", b"t"))),
        ("tags", insert(at("a", b"u"), version(1).to_vec())),
    ];
    let dir = sample();
    assert_eq!(problems(dir.path()), [""; 0]);
    for (number, (tree, damage)) in damages.iter().enumerate() {
        let copy = copied(&dir);
        change(copy.path(), tree, damage);
        let problems = problems(copy.path());
        assert!(problems.iter().any(|problem| problem.starts_with(tree)), "{number}, {tree}: {problems:?}");
    }
}

#[test]
fn content_that_does_not_match_its_digest_is_not_given_out() {
    let dir = sample();
    change(dir.path(), "layers", |layers| {
        let key = [&b"payments\0a\0\0/\0"[..], &7_u64.to_be_bytes(), &[0, 0]].concat();
        let mut value = layers.get(&key).expect("read").expect("an entry").to_vec();
        value[1] ^= 1;
        layers.insert(key, value).expect("written");
    });
    let store = SledStore::open(dir.path(), options()).expect("opened");
    let found = store.snapshot(&id("a"), Version(7));
    assert!(
        matches!(&found, Err(StoreError::Corrupt { place, .. }) if place.starts_with("layers")),
        "{found:?}"
    );
    assert!(store.snapshot(&id("a"), Version(8)).expect("others are whole").is_some());
}
