//! Commits that somebody has changed on the disk: the proof of the chain finds them, whichever byte it was, and names the first.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use confwatch::model::{Digest, Revision};
use confwatch::store::{History, Journal, MemoryStore, Proof, SledOptions, SledStore, StoreError, prove};
use proptest::prelude::*;
use tempfile::TempDir;

use super::ordering::copy_into;
use super::script::{Edit, Script, id, key, large, set, tag};
use super::sled::options;

const COMMITS: u64 = 24;

/// What goes before the batch in a record of the journal.
const RECORD_HEAD_BYTES: usize = 32;

struct Sample {
    dir: TempDir,
    journal: PathBuf,
    bytes: Vec<u8>,
    /// Where the record of each revision lies.
    places: Vec<std::ops::Range<usize>>,
}

/// A closed store in which each commit is a record of its own.
static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory");
    // One file.
    let options_here = SledOptions { journal_segment_bytes: 1 << 20, ..options() };
    let store = SledStore::open(dir.path(), options_here).expect("opened");
    let mut script = Script::default();
    for number in 1..=COMMITS as usize {
        let edits = match number % 3 {
            0 => vec![tag("a", "t", Some(1))],
            1 => vec![set("a", "/", number), set("b", &format!("/s{number}"), number)],
            _ => vec![Edit::Set(id("c"), key("/"), large(100 * number, 'x'))],
        };
        store.append(&[script.commit(edits)]).expect("appended");
    }
    drop(store);
    // A start notes what of it is durable.
    drop(SledStore::open(dir.path(), options()).expect("opened"));
    let entries = fs::read_dir(dir.path().join("journal")).expect("a directory");
    let journals: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let [journal] = &journals[..] else { panic!("one file: {journals:?}") };
    let bytes = fs::read(journal).expect("read");
    let batches = (0..bytes.len() - 8).filter(|at| bytes[*at..].starts_with(b"cwb\x03"));
    let places: Vec<_> = batches
        .map(|at| {
            let length = bytes[at + 4..at + 8].try_into().map(u32::from_be_bytes).expect("4 bytes");
            at - RECORD_HEAD_BYTES..at + 8 + length as usize
        })
        .collect();
    assert_eq!(places.len() as u64, COMMITS);
    let name = journal.file_name().expect("a name").into();
    Sample { dir, journal: Path::new("journal").join::<PathBuf>(name), bytes, places }
});

/// What the proof says of the sample with another journal. An error: not even the store opens.
fn proof(bytes: &[u8]) -> Result<Proof, StoreError> {
    let copy = tempfile::tempdir().expect("a directory");
    copy_into(SAMPLE.dir.path(), copy.path());
    fs::write(copy.path().join(&SAMPLE.journal), bytes).expect("written");
    // The log would make the end of the journal whole again: so nothing is left to be found.
    for entry in fs::read_dir(copy.path().join("wal")).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    prove(&SledStore::open(copy.path(), options())?)
}

#[test]
fn what_nobody_has_changed_is_proved_up_to_its_newest_hash() {
    let proof = proof(&SAMPLE.bytes).expect("opened");
    // Others look at the sample, too.
    let copy = tempfile::tempdir().expect("a directory");
    copy_into(SAMPLE.dir.path(), copy.path());
    let store = SledStore::open(copy.path(), options()).expect("opened");
    let head = store.head();
    assert_eq!((proof.broken, proof.commits), (None, COMMITS));
    assert_eq!((proof.first, proof.newest, proof.hash), (Revision(1), head.revision, head.hash));
    let empty = prove(&MemoryStore::new(store.epoch())).expect("read");
    assert_eq!(
        (empty.commits, empty.first, empty.hash, empty.broken),
        (0, Revision::ZERO, Digest::ZERO, None)
    );
    // From the oldest that is retained on.
    store.compact(Revision(9)).expect("compacted");
    let rest = prove(&store).expect("read");
    assert_eq!((rest.broken, rest.first, rest.commits), (None, Revision(9), COMMITS - 8));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Of the record of any commit: its head, its batch, the hashes of the chain.
    #[test]
    fn any_changed_byte_of_a_commit_is_found_and_named(
        number in 0..COMMITS as usize, place in any::<prop::sample::Index>(), mask in 1..=255u8,
    ) {
        let record = SAMPLE.places[number].clone();
        let mut bytes = SAMPLE.bytes.clone();
        bytes[record.start + place.index(record.len())] ^= mask;
        match proof(&bytes) {
            Ok(Proof { broken: Some(broken), newest, .. }) => {
                prop_assert_eq!(broken.revision, Revision(number as u64 + 1), "{}", broken.what);
                prop_assert_eq!(newest, Revision(number as u64));
            }
            Ok(proof @ Proof { broken: None, .. }) => {
                prop_assert!(false, "revision {} was changed, and nobody says so: {proof:?}", number + 1);
            }
            Err(StoreError::Corrupt { place, what }) => {
                prop_assert!(place.contains("journal"), "{place}: {what}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn commits_that_are_missing_or_changed_places_are_found_and_named() {
    let Sample { bytes, places, .. } = &*SAMPLE;
    for number in 3..8 {
        let (record, next) = (places[number].clone(), places[number + 1].clone());
        let missing = [&bytes[..record.start], &bytes[next.start..]].concat();
        let after = places[number + 2].start;
        let swapped = [
            &bytes[..record.start],
            &bytes[next.start..after],
            &bytes[record.start..next.start],
            &bytes[after..],
        ];
        for changed in [missing, swapped.concat()] {
            match proof(&changed) {
                Ok(Proof { broken: Some(broken), .. }) => {
                    assert_eq!(broken.revision, Revision(number as u64 + 1), "{}", broken.what);
                }
                Err(StoreError::Corrupt { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
