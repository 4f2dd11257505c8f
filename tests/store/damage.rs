//! Files that are not as they were written: said, named, never a panic, never other content.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use confwatch::model::{Revision, Version};
use confwatch::store::codec::FORMAT;
use confwatch::store::sled::Point;
use confwatch::store::{ConfigRecord, Head, History, Journal, Problem, Sealed, SledStore, StoreError};
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

/// What a store with this directory answers to everything. The flag: verification found nothing.
type Answers = (bool, (Head, Vec<ConfigRecord>), Vec<Sealed>);

fn read_all(dir: &Path) -> Result<Answers, StoreError> {
    let store = SledStore::open(dir, options())?;
    let mut problems = Vec::new();
    store.verify(&mut |problem| problems.push(problem))?;
    let mut records = Vec::new();
    let head = store.load(&mut |record| records.push(record))?;
    let commits = store.commits(Revision(1), usize::MAX)?;
    Ok((problems.is_empty(), (head, records), commits))
}

/// Flips bits here and there in a file of a store, which is then refused, or says so, or is as it was.
fn flip_bits(dir: &TempDir, file: &Path, count: usize) {
    let (_, state, commits) = read_all(dir.path()).expect("it is whole");
    let bytes = fs::read(dir.path().join(file)).expect("read");
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("something is written");
    for at in (0..count).map(|number| (written / count) * number + number * 7 % (written / count)) {
        let copy = copied(dir);
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x10;
        fs::write(copy.path().join(file), wrong).expect("written");
        match read_all(copy.path()) {
            Ok((true, found_state, found_commits)) => {
                let is_same = found_state == state && found_commits == commits;
                assert!(is_same, "byte {at}: other content, and nobody says so");
            }
            Ok((false, ..)) | Err(StoreError::Corrupt { .. } | StoreError::Io { .. }) => {}
            Err(StoreError::Failed(why)) => assert!(why.contains("damaged"), "byte {at}: {why}"),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}

/// The files of the journal, the first one first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("journal")).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Changes the first file of the journal of a closed store that has this text, and returns where it is.
fn change_segment(dir: &Path, text: &str, change: impl FnOnce(&mut Vec<u8>, usize)) -> PathBuf {
    for path in segments(dir) {
        let mut bytes = fs::read(&path).expect("read");
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        if let Some(at) = at {
            change(&mut bytes, at);
            fs::write(&path, bytes).expect("written");
            return path;
        }
    }
    panic!("no file has {text}");
}

#[test]
fn flipped_bits_are_noticed_or_harmless() {
    let dir = sample();
    flip_bits(&dir, Path::new("db/db"), 32);
    for segment in segments(dir.path()) {
        let name = Path::new("journal").join(segment.file_name().expect("a name"));
        flip_bits(&dir, &name, 8);
    }
}

#[test]
fn a_damaged_file_of_the_journal_is_named_with_the_byte() {
    let dir = sample();
    let path = change_segment(dir.path(), "reason 21", |bytes, at| bytes[at] ^= 1);
    let found = problems(dir.path());
    let expected = format!("{}: revision 21 at byte ", path.display());
    assert!(found[0].starts_with(&expected) && found[0].ends_with(" is damaged"), "{found:?}");
}

#[test]
fn a_file_of_the_journal_that_is_missing_or_short_is_named() {
    for at in 0..segments(sample().path()).len() {
        let dir = sample();
        let path = segments(dir.path()).swap_remove(at);
        fs::remove_file(&path).expect("removed");
        match SledStore::open(dir.path(), options()).map(drop) {
            Err(StoreError::Corrupt { place, what }) => {
                assert_eq!(place, path.display().to_string());
                assert!(what.contains("it is missing"), "{what}");
            }
            other => panic!("{other:?}"),
        }
        assert!(problems(dir.path()).iter().any(|problem| problem.contains("missing")), "{at}");
    }
    let dir = sample();
    // Closed cleanly, the log still has the last commits, and they are enough.
    let last = segments(dir.path()).pop().expect("there are some");
    let bytes = fs::read(&last).expect("read");
    fs::write(&last, &bytes[..bytes.len() - 100]).expect("written");
    sound(&SledStore::open(dir.path(), options()).expect("opened"));
    fs::write(&last, &bytes[..bytes.len() - 100]).expect("written");
    fs::remove_dir_all(dir.path().join("wal")).expect("removed");
    match SledStore::open(dir.path(), options()).map(drop) {
        Err(StoreError::Corrupt { place, what }) => {
            assert_eq!(place, dir.path().join("wal").display().to_string());
            assert_eq!(what, "it is missing");
        }
        other => panic!("{other:?}"),
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
fn a_damaged_database_is_made_again_from_the_journal_and_kept_aside() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("lost its log", |db| fs::remove_file(db.join("db")).expect("removed")),
        ("lost its settings", |db| fs::remove_file(db.join("conf")).expect("removed")),
        ("has zeros for settings", |db| fs::write(db.join("conf"), [0; 64]).expect("written")),
        ("has zeros for the first half of its log", |db| {
            let mut bytes = fs::read(db.join("db")).expect("read");
            let half = bytes.iter().rposition(|byte| *byte != 0).expect("something is written") / 2;
            bytes[..half].fill(0);
            fs::write(db.join("db"), bytes).expect("written");
        }),
        ("met a reader", |db| fs::write(db.with_file_name("DAMAGED"), "").expect("written")),
    ];
    for (what, damage) in damages {
        let dir = sample();
        let (_, state, commits) = read_all(dir.path()).expect("it is whole");
        let epoch = SledStore::open(dir.path(), options()).expect("opened").epoch();
        damage(&dir.path().join("db"));
        assert_eq!(read_all(dir.path()).expect(what), (true, state, commits), "{what}");
        assert_eq!(SledStore::open(dir.path(), options()).expect("opened").epoch(), epoch, "{what}");
        assert!(dir.path().join("db.damaged").is_dir(), "{what}");
        assert!(!dir.path().join("DAMAGED").exists(), "{what}");
    }
}

#[test]
fn a_damaged_database_of_a_compacted_journal_is_refused_and_stays_where_it_is() {
    let dir = sample();
    SledStore::open(dir.path(), options()).expect("opened").compact(Revision(70)).expect("compacted");
    fs::remove_file(dir.path().join("db/conf")).expect("removed");
    match SledStore::open(dir.path(), options()).map(drop) {
        Err(StoreError::Corrupt { place, what }) => {
            assert_eq!(place, dir.path().join("db").display().to_string());
            assert_eq!(what, "the file conf is missing");
        }
        other => panic!("{other:?}"),
    }
    assert!(dir.path().join("db").is_dir());
}

#[test]
fn a_missing_database_is_not_taken_for_a_new_one() {
    let dir = sample();
    SledStore::open(dir.path(), options()).expect("opened").compact(Revision(70)).expect("compacted");
    fs::remove_dir_all(dir.path().join("db")).expect("removed");
    let opened = SledStore::open(dir.path(), options()).map(drop);
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");
    fs::remove_file(dir.path().join("HEAD")).expect("removed");
    let opened = SledStore::open(dir.path(), options()).map(drop);
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "the journal tells: {opened:?}");
}

#[test]
fn what_lost_its_end_is_made_whole_from_the_others_or_noticed() {
    let later = tempfile::tempdir().expect("a directory");
    let mut script = Script::default();
    let append = |script: &mut Script| {
        let store = SledStore::open(later.path(), options()).expect("opened");
        store.append(&[script.set("a", "/", 1)]).expect("appended");
    };
    append(&mut script);
    let earlier = copied(&later);
    append(&mut script);
    // Some parts go back, what is beside them stays.
    let open = |parts: &[&str], has_log: bool| {
        let dir = copied(&later);
        for part in parts {
            fs::remove_dir_all(dir.path().join(part)).expect("removed");
            fs::create_dir_all(dir.path().join(part).join("blobs")).expect("created");
            copy_into(&earlier.path().join(part), &dir.path().join(part));
        }
        if !has_log {
            fs::remove_file(dir.path().join("wal/0")).expect("removed");
        }
        match SledStore::open(dir.path(), options()) {
            Ok(store) => {
                sound(&store);
                store.head().revision.to_string()
            }
            Err(StoreError::Corrupt { place, what }) => {
                assert_eq!(place, dir.path().join("journal").display().to_string());
                what
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(open(&["db"], true), "2", "the log and the journal have it");
    assert_eq!(open(&["db"], false), "2", "the journal has it");
    assert_eq!(open(&["journal"], true), "2", "the log has it");
    assert_eq!(open(&["journal", "db"], true), "2", "the log has it");
    let expected = "it ends with revision 1, but 2 was there before, and the log has not got what is missing: \
                    put back the files of the journal or of the log that were removed, or restore a backup";
    assert_eq!(open(&["journal"], false), expected, "the indexes tell");
    assert_eq!(open(&["journal", "db"], false), expected, "HEAD tells");
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
        meta.insert("format", &99_u64.to_be_bytes()).expect("written");
    });
    let refused = SledStore::open(dir.path(), options()).map(drop).expect_err("it is refused").to_string();
    assert_eq!(
        refused,
        "the data directory has format 99, this program reads format 2: use a later version of confwatch"
    );
}

/// The records of a file of the journal or the log: where each begins.
fn records(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"cwlr")).collect()
}

/// Makes the checksum of a record right, as whoever writes a record does.
fn seal(bytes: &mut [u8], at: usize) {
    let length = bytes[at + 28..at + 32].try_into().map(u32::from_be_bytes).expect("4 bytes");
    let crc = crc32fast::hash(&bytes[at + 8..at + 32 + length as usize]);
    bytes[at + 4..at + 8].copy_from_slice(&crc.to_be_bytes());
}

/// Opens a store one of whose records, in this file, was written by a later version of the program.
fn opened_with_newer_commits(dir: &Path, file: &Path, record: usize) -> String {
    let bytes = fs::read(file).expect("read");
    let mut newer = bytes.clone();
    let at = records(&bytes)[record];
    newer[at + 35] = 99;
    seal(&mut newer, at);
    fs::write(file, newer).expect("written");
    let refused = SledStore::open(dir, options()).map(drop).expect_err("it is refused").to_string();
    fs::write(file, bytes).expect("written");
    refused
}

#[test]
fn commits_of_a_newer_format_are_refused_and_nothing_is_lost() {
    let expected = format!(
        "a commit of the store has format 99, this program reads format {FORMAT}: use a later version of confwatch"
    );
    // Current documents come from the indexes alone: a start that does not look would go on, and append to what it cannot read.
    let dir = sample();
    let before = read_all(dir.path()).expect("it is whole");
    fs::remove_file(dir.path().join("HEAD")).expect("removed");
    let last = segments(dir.path()).pop().expect("there are some");
    let count = records(&fs::read(&last).expect("read")).len();
    assert_eq!(opened_with_newer_commits(dir.path(), &last, count - 1), expected);
    assert_eq!(read_all(dir.path()).expect("it is whole"), before);

    // A crash of the later version leaves them in the log, behind those of this version.
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Gate::default());
    let store = gate.open_store(dir.path());
    let mut script = Script::default();
    let _closed = gate.close(Point::BeforeArchive);
    for number in 0..5 {
        store.append(&[script.set("a", "/", number)]).expect("appended");
    }
    for record in [0, 3] {
        let crashed = copied(&dir);
        let refused = opened_with_newer_commits(crashed.path(), &crashed.path().join("wal/0"), record);
        assert_eq!(refused, expected);
        let (is_sound, (head, _), commits) = read_all(crashed.path()).expect("it is whole");
        assert_eq!((is_sound, head.revision, commits.len()), (true, Revision(5), 5));
    }
}

#[test]
fn a_changed_commit_breaks_the_chain_and_is_named() {
    let dir = sample();
    let mut at = 0;
    // Whoever edits history on purpose makes the checksum right, too.
    let path = change_segment(dir.path(), "reason 21", |bytes, found| {
        bytes[found] = b'R';
        at = bytes[..found]
            .windows(4)
            .rposition(|window| window == b"cwlr")
            .expect("a record begins before it");
        seal(bytes, at);
    });
    let store = SledStore::open(dir.path(), options()).expect("the end of the journal is whole");
    match store.commits(Revision(20), usize::MAX) {
        Err(StoreError::Corrupt { place, what }) => {
            assert_eq!(place, path.display().to_string());
            let expected = format!("revision 21 at byte {at}: revision 21: the hash is");
            assert!(what.starts_with(&expected), "{what}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.commits(Revision(23), usize::MAX).expect("the rest can be read").len(), 58);
    drop(store);
    let problems = problems(dir.path());
    assert!(
        problems[0].starts_with(&format!("{}: revision 21 at byte {at}", path.display())),
        "{problems:?}"
    );
}

#[test]
fn a_batch_that_is_missing_or_from_elsewhere_is_named() {
    let dir = sample();
    let path = change_segment(dir.path(), "reason 31", |bytes, found| {
        let records = records(bytes);
        let at = records.partition_point(|record| *record < found);
        bytes.drain(records[at - 1]..records[at]);
    });
    let problems = problems(dir.path());
    let is_named =
        |problem: &String| problem.starts_with(&format!("{}: revision 31 at byte", path.display()));
    assert!(problems.iter().any(is_named), "{problems:?}");
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
    let cut = |key: Vec<u8>| -> Change {
        Box::new(move |tree| {
            let value = tree.get(&key).expect("read").expect("an entry");
            tree.insert(&key, &value[..value.len() - 16]).expect("inserted");
        })
    };
    let damages: [(&str, Change); 20] = [
        ("places", remove([version(1), version(1)].concat())),
        ("places", insert([version(1), version(2)].concat(), version(64).to_vec())),
        ("places", insert([version(1), version(1)].concat(), version(72).to_vec())),
        ("layers", remove(at("a", &layer(1)))),
        ("layers", flip(at("a", &layer(1)))),
        ("layers", cut(at("a", &layer(1)))),
        ("layers", insert(at("a", &layer(99)), vec![1, 99, 0])),
        ("layers", insert(b"x".to_vec(), vec![0])),
        ("current", remove(at("a", b"\0/\0\0\0"))),
        ("current", remove(at("c", b"\0/\0\0\x01"))),
        ("current", flip(at("b", b"\0/s7\0\0\0"))),
        ("current", insert(at("b", b"\0/none\0\0\0"), vec![7])),
        ("versions", remove(at("a", &version(1)))),
        ("versions", flip(at("a", &version(1)))),
        ("versions", cut(at("a", &version(1)))),
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
    // The digest of each version stands in the index; that of the last one is changed.
    change(dir.path(), "layers", |layers| {
        let key = [&b"payments\0a\0\0/\0"[..], &1_u64.to_be_bytes(), &[0, 0]].concat();
        let mut value = layers.get(&key).expect("read").expect("an entry").to_vec();
        let at = value.len() - 30;
        value[at] ^= 1;
        layers.insert(key, value).expect("written");
    });
    let store = SledStore::open(dir.path(), options()).expect("opened");
    let found = store.snapshot(&id("a"), Version(40));
    assert!(
        matches!(&found, Err(StoreError::Corrupt { place, .. }) if place.starts_with("layers")),
        "{found:?}"
    );
    assert!(store.snapshot(&id("a"), Version(39)).expect("others are whole").is_some());
    drop(store);
    // The content is damaged in the journal, and the index is whole.
    let dir = sample();
    change_segment(dir.path(), r#"{"number":38}"#, |bytes, at| bytes[at + 10] = b'4');
    let store = SledStore::open(dir.path(), options()).expect("opened");
    let found = store.snapshot(&id("a"), Version(39));
    assert!(matches!(&found, Err(StoreError::Corrupt { what, .. }) if what.contains("journal")), "{found:?}");
    assert!(store.snapshot(&id("a"), Version(40)).expect("others are whole").is_some());
}

#[test]
fn a_damaged_database_is_named_by_its_path_and_not_in_the_words_of_sled() {
    let dir = sample();
    // So that it cannot be made again from the journal.
    SledStore::open(dir.path(), options()).expect("opened").compact(Revision(70)).expect("compacted");
    let mut refused = 0;
    for (file, bytes) in [("conf", &b"no configuration"[..]), ("conf", b""), ("db", &[0x5a; 4096])] {
        let copy = copied(&dir);
        let db = copy.path().join("db");
        fs::write(db.join(file), bytes).expect("written");
        let Err(error) = SledStore::open(copy.path(), options()) else { continue };
        refused += 1;
        let error = error.to_string();
        assert!(error.contains(&db.display().to_string()), "{file}: {error}");
        for word in ["sled", "backtrace", "Os {", "unwrap", "panicked"] {
            assert!(!error.contains(word), "{file}: {error}");
        }
    }
    assert!(refused > 0);
}
