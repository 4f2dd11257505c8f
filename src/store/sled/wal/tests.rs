use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::log_record;
use super::*;
use crate::store::StoreError;

const SEGMENT_BYTES: usize = 4 << 10;

fn options() -> SledOptions {
    SledOptions { wal_segment_bytes: SEGMENT_BYTES, ..SledOptions::default() }
}

fn begin(dir: &TempDir, sequence: u64, last: u64) -> Wal {
    Wal::begin(dir.path(), options(), sequence, Revision(last)).expect("begun")
}

/// The batch of `count` commits from `first` on, distinct from all others.
fn batch(first: u64, bytes: usize) -> Vec<u8> {
    first.to_be_bytes().iter().copied().cycle().take(bytes).collect()
}

fn append(wal: &mut Wal, first: u64, count: u32, bytes: usize) {
    wal.append(Revision(first), count, &batch(first, bytes)).expect("appended");
}

fn found(dir: &Path, after: u64) -> Vec<(u64, u64)> {
    let contents = read(dir, Revision(after)).expect("read");
    for logged in &contents.batches {
        assert_eq!(logged.bytes, batch(logged.first.0, logged.bytes.len()));
    }
    contents.batches.iter().map(|logged| (logged.first.0, logged.last.0)).collect()
}

/// Where each record of a segment is, and where the last one ends.
fn records(segment: &[u8], first: u64) -> Vec<usize> {
    let mut offset = log_record::HEADER_BYTES;
    let mut next = first;
    let mut offsets = vec![offset];
    while let Some(record) = log_record::decode(segment, offset).filter(|record| record.first.0 == next) {
        (offset, next) = (record.end(), record.last().0 + 1);
        offsets.push(offset);
    }
    offsets
}

#[test]
fn what_was_appended_is_found_in_order_whatever_the_sizes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = begin(&dir, 0, 0);
    append(&mut wal, 1, 3, 100);
    append(&mut wal, 4, 1, 0);
    append(&mut wal, 5, 10, SEGMENT_BYTES * 3);
    append(&mut wal, 15, 1, SEGMENT_BYTES);
    assert_eq!(found(dir.path(), 0), [(1, 3), (4, 4), (5, 14), (15, 15)]);
    assert_eq!(found(dir.path(), 4), [(5, 14), (15, 15)]);
    assert_eq!(found(dir.path(), 15), []);
}

#[test]
fn full_segments_are_needed_until_they_are_archived() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = begin(&dir, 0, 0);
    let half = SEGMENT_BYTES / 2;
    for first in 1..=4 {
        append(&mut wal, first, 1, half);
    }
    let refused = wal.append(Revision(5), 1, &batch(5, half));
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    wal.slots().release(Revision(1));
    append(&mut wal, 5, 1, half);
    assert!(matches!(wal.append(Revision(6), 1, &batch(6, half)), Err(AppendError::Full)));
    assert_eq!(found(dir.path(), 1), [(2, 2), (3, 3), (4, 4), (5, 5)]);
    wal.slots().release(Revision(5));
    for first in 6..40 {
        append(&mut wal, first, 1, half);
        wal.slots().release(Revision(first));
    }
    assert_eq!(found(dir.path(), 38), [(39, 39)]);
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), SEGMENTS_MAX);
}

#[test]
fn a_large_segment_becomes_small_when_it_is_used_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = begin(&dir, 0, 0);
    for first in 1..=8 {
        append(&mut wal, first, 1, if first < 4 { SEGMENT_BYTES * 5 } else { 9 });
        append(&mut wal, first + 8 * 100, 1, SEGMENT_BYTES);
        wal.slots().release(Revision(10_000));
    }
    let largest = fs::read_dir(dir.path())
        .expect("read")
        .map(|entry| entry.expect("an entry").metadata().expect("a size").len())
        .max();
    assert!(largest <= Some(SEGMENT_BYTES as u64 * 2), "{largest:?}");
}

#[test]
fn a_log_begun_again_does_not_count_what_it_was_not_told_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = begin(&dir, 0, 0);
    append(&mut wal, 1, 1, 10);
    append(&mut wal, 2, 1, 10);
    drop(wal);
    // As after an append that failed: what it wrote is there, but the next segment begins before it.
    let mut wal = Wal::begin(dir.path(), options(), 1, Revision(1)).expect("begun");
    assert_eq!(found(dir.path(), 1), []);
    wal.append(Revision(2), 1, &batch(2, 20)).expect("appended");
    assert_eq!(found(dir.path(), 1), [(2, 2)]);
    assert_eq!(read(dir.path(), Revision(1)).expect("read").batches[0].bytes.len(), 20);
}

#[test]
fn what_a_failed_append_left_does_not_count_after_the_segment_that_says_so_was_used_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = begin(&dir, 0, 0);
    append(&mut wal, 1, 1, 10);
    // Fails, as far as anybody was told. Another segment has revision 2 instead.
    append(&mut wal, 2, 3, 10);
    drop(wal);
    fs::copy(dir.path().join("0"), dir.path().join("1")).expect("copied");
    // All of it is archived, and the other segment is the first to be used again.
    let mut wal = begin(&dir, 1, 2);
    assert_eq!(found(dir.path(), 2), []);
    append(&mut wal, 3, 1, 10);
    assert_eq!(found(dir.path(), 2), [(3, 3)]);
    // Or was about to be.
    fs::remove_file(dir.path().join("0")).expect("removed");
    assert_eq!(found(dir.path(), 2), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A crash keeps any part of the last append, and everything before it.
    #[test]
    fn a_torn_end_is_where_the_log_ends(
        sizes in prop::collection::vec(0..1500_usize, 1..12),
        kept in prop::collection::vec(any::<bool>(), 8),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut wal = Wal::begin(dir.path(), SledOptions::default(), 0, Revision(0)).expect("begun");
        let path = dir.path().join("0");
        let (mut before, mut after) = (vec![], fs::read(&path).expect("read"));
        for (at, size) in sizes.iter().enumerate() {
            before = after;
            append(&mut wal, at as u64 + 1, 1, *size);
            after = fs::read(&path).expect("read");
        }
        for (at, sector) in after.chunks(512).enumerate() {
            if !kept[at % kept.len()] {
                before[at * 512..][..sector.len()].copy_from_slice(sector);
            }
        }
        fs::write(&path, before).expect("written");
        let found = found(dir.path(), 0);
        prop_assert!(found.len() == sizes.len() || found.len() == sizes.len() - 1, "{found:?}");
    }

    /// A flipped bit is noticed, unless it is in the last record, or in what is archived.
    #[test]
    fn damage_is_noticed_or_harmless(at in 0.0..1.0_f64, bit in 0..8_u8, archived in 0..20_u64) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut wal = Wal::begin(dir.path(), SledOptions::default(), 0, Revision(0)).expect("begun");
        for first in 1..=20 {
            append(&mut wal, first, 1, 100 + first as usize * 10);
        }
        let path = dir.path().join("0");
        let mut bytes = fs::read(&path).expect("read");
        let offsets = records(&bytes, 1);
        let at = (at * offsets[20] as f64) as usize;
        bytes[at] ^= 1 << bit;
        fs::write(&path, bytes).expect("written");
        match read(dir.path(), Revision(archived)) {
            Ok(contents) => {
                let last = contents.batches.last().map_or(archived, |batch| batch.last.0);
                prop_assert!(last == 20 || at >= offsets[19], "lost after {last}");
                for logged in &contents.batches {
                    prop_assert_eq!(&logged.bytes, &batch(logged.first.0, logged.bytes.len()));
                }
            }
            Err(StoreError::Corrupt { place, .. }) => prop_assert_eq!(place, path.display().to_string()),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn a_segment_that_is_missing_or_shortened_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = begin(&dir, 0, 0);
    for first in 1..=6 {
        append(&mut wal, first, 1, SEGMENT_BYTES / 3);
    }
    let path = dir.path().join("1");
    let whole = fs::read(&path).expect("read");
    let message = |after: u64| match read(dir.path(), Revision(after)) {
        Err(StoreError::Corrupt { what, .. }) => what,
        other => format!("{:?}", other.map(|contents| contents.batches.len())),
    };
    fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    assert_eq!(message(0), "revision 4 is missing after its last record");
    fs::remove_file(&path).expect("removed");
    assert_eq!(message(0), "revisions 3 to 4 are missing after its last record");
    assert_eq!(message(4), "Ok(2)", "what is archived is not missed");
    let mut torn = whole.clone();
    torn[20] ^= 1;
    fs::write(&path, torn).expect("written");
    assert_eq!(message(0), "its header is damaged, and it holds revision 3");
}
