use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::model::{
    Author, Commit, ConfigChange, ConfigId, Content, LayerChange, LayerKey, Scope, Source, Version,
};
use crate::store::codec::{CommitFormat, config_id, encode_batch};

const SEGMENT_BYTES: u64 = 4 << 10;
const EPOCH: Epoch = Epoch(7);

/// A journal in a directory that goes with it, and its batches so far.
struct Subject {
    journal: JournalFiles,
    batches: Vec<Pending>,
    dir: TempDir,
}

impl Subject {
    fn new() -> Subject {
        let dir = tempfile::tempdir().expect("a directory");
        crate::durable_file::create_directory(&dir.path().join("journal")).expect("created");
        let subject = Subject { journal: journal(&dir), batches: Vec::new(), dir };
        subject.resume(End::EMPTY);
        subject
    }

    /// Makes batches of one commit with so many bytes of content, and appends them at once.
    fn append(&mut self, sizes: &[usize]) {
        let before = self.batches.len();
        for size in sizes {
            self.batches.push(batch(self.head(), 1, *size));
        }
        self.journal.append(&self.batches[before..]).expect("appended");
    }

    fn head(&self) -> Head {
        self.batches.last().map_or(Head::EMPTY, |batch| batch.head)
    }

    /// As a new process finds it, with what is durable.
    fn reopen(&mut self) {
        self.journal = journal(&self.dir);
    }

    fn resume(&self, durable: End) -> End {
        let whole = self.journal.find_end(durable).expect("it can be read");
        self.journal.resume(durable, &whole).expect("it can be written");
        whole.end
    }

    /// The files, by name.
    fn files(&self) -> BTreeMap<Revision, Vec<u8>> {
        let dir = self.dir.path().join("journal");
        let names = names(&dir).expect("a directory").into_iter();
        names.map(|name| (name, fs::read(self.journal.files.path(name)).expect("read"))).collect()
    }

    fn write_files(&self, files: &BTreeMap<Revision, Vec<u8>>) {
        for name in names(&self.dir.path().join("journal")).expect("a directory") {
            fs::remove_file(self.journal.files.path(name)).expect("removed");
        }
        for (name, bytes) in files {
            fs::write(self.journal.files.path(*name), bytes).expect("written");
        }
    }

    /// Reads every batch by its revision.
    fn assert_all_there(&self) {
        for expected in &self.batches {
            let batch = self.journal.read(expected.first).expect("read");
            assert_eq!(batch.last().sealed.head(), expected.head);
        }
        assert!(
            matches!(self.journal.commits(Revision(1), self.head().revision, usize::MAX, &Forgotten::default()),
            Ok(commits) if commits.len() == self.head().revision.0 as usize)
        );
    }
}

fn journal(dir: &TempDir) -> JournalFiles {
    let db = sled::Config::new().temporary(true).open().expect("a database");
    let places = db.open_tree("places").expect("a tree");
    JournalFiles::open(dir.path().join("journal"), EPOCH, SEGMENT_BYTES, places).expect("opened")
}

fn id() -> ConfigId {
    config_id("payments", "checkout").expect("names")
}

fn batch(before: Head, count: u64, size: usize) -> Pending {
    let commit = |revision: u64| Commit {
        revision: Revision(revision),
        time: Timestamp(revision as i64 * 10),
        author: Author::named("alice"),
        source: Source::Set,
        reason: String::new(),
        request: None,
        annotations: Default::default(),
        changes: vec![ConfigChange {
            id: id(),
            version: Version(revision),
            layers: vec![LayerChange {
                key: LayerKey::base(Scope::global()),
                content: Some(Content::of(&serde_json::json!({ "text": "x".repeat(size), "n": revision }))),
                expires: None,
                format: None,
            }],
            tags: vec![],
            restored: None,
        }],
        forgotten: vec![],
    };
    let commits: Vec<Commit> = (0..count).map(|number| commit(before.revision.0 + 1 + number)).collect();
    let (bytes, hash) = encode_batch(CommitFormat::default(), before.hash, &commits);
    let last = &commits[commits.len() - 1];
    let head = Head { revision: last.revision, time: last.time, hash };
    Pending::encoded(&commits, bytes, head)
}

#[test]
fn what_was_appended_is_found_whatever_the_sizes() {
    let mut subject = Subject::new();
    subject.append(&[10, 3000, 20_000, 0, 100]);
    let many = batch(subject.head(), 50, 100);
    subject.batches.push(many);
    subject.journal.append(&subject.batches[5..]).expect("appended");
    subject.append(&[1000; 30]);
    subject.assert_all_there();
    assert!(subject.files().len() > 10);
    assert_eq!(
        subject.journal.read(Revision(31)).expect("read").commits.len(),
        50,
        "it is in the large batch"
    );
    let end = subject.journal.sync().expect("synced");
    subject.reopen();
    assert_eq!(subject.resume(End::EMPTY), end);
    subject.assert_all_there();
}

#[test]
fn batches_after_batches_that_are_damaged_can_be_read() {
    let mut subject = Subject::new();
    subject.append(&[300; 8]);
    let mut files = subject.files();
    let first = files.get_mut(&Revision(1)).expect("a segment");
    let at = first.windows(5).position(|window| window == b"xxxxx").expect("the first content");
    first[at] = b'y';
    subject.write_files(&files);
    subject.reopen();
    match subject.journal.read(Revision(1)).map(drop) {
        Err(StoreError::Corrupt { place, what }) => {
            assert_eq!(place, subject.journal.place(Revision(1)));
            assert_eq!(what, "revision 1 at byte 64 is damaged");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(subject.journal.read(Revision(2)).expect("read").commits.len(), 1);
}

#[test]
fn batches_are_found_without_their_places() {
    let mut subject = Subject::new();
    subject.append(&[300; 30]);
    for entry in subject.journal.places.iter().keys() {
        let key = entry.expect("read");
        subject.journal.places.insert(key, &72_u64.to_be_bytes()).expect("changed");
    }
    subject.assert_all_there();
    subject.journal.places.clear().expect("cleared");
    subject.assert_all_there();
}

#[test]
fn segments_that_are_missing_are_named() {
    let mut subject = Subject::new();
    subject.append(&[1500; 12]);
    let durable = subject.journal.sync().expect("synced");
    let segments: Vec<Revision> = subject.files().into_keys().collect();
    let check = |subject: &Subject, oldest| match subject.journal.check_files(Revision(oldest), durable) {
        Err(StoreError::Corrupt { place, .. }) => Some(place),
        other => other.map(|()| None).expect("no other error"),
    };
    assert_eq!(check(&subject, 1), None);
    let gone = subject.journal.place(segments[2]);
    fs::remove_file(&gone).expect("removed");
    let files = Files::list(subject.dir.path().join("journal"), EPOCH).expect("listed");
    subject.journal.files = files;
    assert_eq!(check(&subject, 1), Some(gone));
    assert_eq!(check(&subject, segments[3].0), None, "what was compacted need not be there");
}

#[test]
fn removed_segments_are_gone_and_the_others_stay() {
    let mut subject = Subject::new();
    subject.append(&[1500; 12]);
    let kept = subject.journal.segment_of(Revision(7)).expect("it is there");
    subject.journal.remove_before(kept).expect("removed");
    subject.journal.remove_before(kept).expect("again");
    assert_eq!(subject.files().into_keys().next(), Some(kept));
    assert!(subject.journal.read(Revision(kept.0 - 1)).is_err());
    assert_eq!(
        subject.journal.commits(kept, Revision(12), usize::MAX, &Forgotten::default()).expect("read").len(),
        13 - kept.0 as usize
    );
}

#[test]
fn after_an_error_nothing_counts_as_durable() {
    let mut subject = Subject::new();
    subject.append(&[100]);
    fs::remove_dir_all(subject.dir.path().join("journal")).expect("removed");
    let next = [batch(subject.head(), 1, 5000), batch(subject.head(), 1, 5000)];
    assert!(matches!(subject.journal.append(&next), Err(StoreError::Io { .. })), "no segment can begin");
    assert!(matches!(subject.journal.sync(), Err(StoreError::Unavailable(_))));
    assert!(matches!(subject.journal.append(&[]), Err(StoreError::Unavailable(_))));
}

#[test]
fn a_segment_of_another_store_is_refused() {
    let mut subject = Subject::new();
    subject.append(&[100]);
    let db = sled::Config::new().temporary(true).open().expect("a database");
    let dir = subject.dir.path().join("journal");
    let other = JournalFiles::open(dir, Epoch(8), SEGMENT_BYTES, db.open_tree("places").expect("a tree"));
    match other.expect("opened").read(Revision(1)).map(drop) {
        Err(StoreError::Corrupt { what, .. }) => assert_eq!(what, "it is of another store"),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However batches are gathered, each has the same place.
    #[test]
    fn where_a_batch_goes_follows_from_those_before_it(
        sizes in prop::collection::vec(0..3000_usize, 1..30),
        gathered in prop::collection::vec(1..8_usize, 1..8),
    ) {
        let (mut one, mut other) = (Subject::new(), Subject::new());
        one.append(&sizes);
        let (mut rest, mut gathered) = (&sizes[..], gathered.iter().cycle());
        while !rest.is_empty() {
            let (group, left) = rest.split_at(rest.len().min(*gathered.next().expect("it cycles")));
            other.append(group);
            rest = left;
        }
        prop_assert_eq!(one.files(), other.files());
        prop_assert_eq!(one.journal.marks(), other.journal.marks());
    }

    /// A crash keeps any part of what was not synced, and what was: a whole prefix is found, and what follows, written again, leads to
    /// the same files.
    #[test]
    fn a_torn_end_is_found_and_written_again(
        durable in prop::collection::vec(0..3000_usize, 0..10),
        torn in prop::collection::vec(0..3000_usize, 1..10),
        kept in prop::collection::vec(any::<bool>(), 16),
        names_kept in any::<bool>(),
        from_durable in any::<bool>(),
    ) {
        let mut subject = Subject::new();
        subject.append(&durable);
        let synced = subject.journal.sync().expect("synced");
        let before = subject.files();
        subject.append(&torn);
        let after = subject.files();
        let mut kept = kept.iter().cycle();
        let mut crashed = before.clone();
        for (name, bytes) in &after {
            if !before.contains_key(name) && !names_kept {
                continue;
            }
            let file = crashed.entry(*name).or_default();
            for (at, sector) in bytes.chunks(512).enumerate() {
                if *kept.next().expect("it cycles") {
                    let end = at * 512 + sector.len();
                    file.resize(file.len().max(end), 0);
                    file[at * 512..end].copy_from_slice(sector);
                }
            }
        }
        subject.write_files(&crashed);
        subject.reopen();
        let mut whole = subject.journal.find_end(synced).expect("it can be read");
        prop_assert!(whole.end.head.revision >= synced.head.revision);
        if from_durable {
            whole = Whole::nothing_after(synced);
        }
        let found = whole.end.head;
        prop_assert_eq!(found, subject.batches.get(found.revision.0.wrapping_sub(1) as usize).map_or(Head::EMPTY, |batch| batch.head));
        subject.journal.resume(synced, &whole).expect("it can be written");
        subject.journal.append(&subject.batches[found.revision.0 as usize..]).expect("appended");
        prop_assert_eq!(subject.files(), after);
        subject.assert_all_there();
    }

    /// A flipped bit is noticed where it matters, its file is named, and nothing else is read than was written.
    #[test]
    fn a_flipped_bit_is_noticed_and_its_file_named(at in 0.0..1.0_f64, bit in 0..8_u8, sizes in prop::collection::vec(0..3000_usize, 1..20)) {
        let mut subject = Subject::new();
        subject.append(&sizes);
        let mut files = subject.files();
        let total: usize = files.values().map(Vec::len).sum();
        let mut at = (at * total as f64) as usize;
        let mut damaged = Revision(0);
        for (name, bytes) in &mut files {
            if at < bytes.len() {
                bytes[at] ^= 1 << bit;
                damaged = *name;
                break;
            }
            at -= bytes.len();
        }
        subject.write_files(&files);
        subject.reopen();
        for expected in &subject.batches {
            match subject.journal.read(expected.first) {
                Ok(batch) => prop_assert_eq!(batch.last().sealed.head(), expected.head),
                Err(StoreError::Corrupt { place, .. }) => prop_assert_eq!(place, subject.journal.place(damaged)),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        let mut walk = subject.journal.walk();
        let (mut found, mut passed) = (0, 0);
        loop {
            match walk.next() {
                Ok(Some(record)) => {
                    prop_assert_eq!(record.batch, &subject.batches[record.first.0 as usize - 1].bytes);
                    found += 1;
                }
                Ok(None) => break,
                Err(StoreError::Corrupt { .. }) => {
                    passed += 1;
                    if !walk.pass_damage().expect("it can be read") {
                        break;
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        prop_assert!(passed <= 1, "damage is met {passed} times");
        prop_assert!(found + 1 >= subject.batches.len() || at < HEADER_BYTES as usize, "{found} of {}", sizes.len());
        let end = subject.journal.find_end(End::EMPTY).expect("it can be read").end;
        prop_assert!(end.head == Head::EMPTY || end.head == subject.batches[end.head.revision.0 as usize - 1].head);
    }
}
