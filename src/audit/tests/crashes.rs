//! What a crash and what somebody else leaves of a log: the first is repaired, the second is found.

use std::collections::BTreeMap;

use super::*;
use crate::audit::position::Position;
use crate::audit::proof::prove_rooms_in_steps;

/// An event of each room.
fn of_room(room: Room, number: u64) -> Event {
    match room {
        Room::Main => Event { kind: Kind::AccessChanged, ..event(number) },
        Room::Reveals => Event { kind: Kind::Revealed, ..event(number) },
        Room::Sessions => Event { kind: Kind::Session, ..event(number) },
        Room::Attempts => Event { namespace: "confwatch".into(), ..event(number) },
        Room::Denied => event(number),
        Room::Refused => Event { kind: Kind::Refused, ..event(number) },
    }
}

/// Files of all rooms.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let rooms = Room::ALL.into_iter().flat_map(|room| files(&room.directory(dir)));
    rooms.map(|path| (path.clone(), fs::read(path).expect("read"))).collect()
}

/// The links that do not hold, but for what the next start repairs.
fn faults(dir: &Path) -> Vec<String> {
    let proofs = prove_rooms(dir, None).expect("read").into_iter();
    let broken = proofs.filter_map(|(_, proof)| proof.broken);
    broken.filter(|broken| !broken.is_torn_end).map(|broken| broken.to_string()).collect()
}

/// A log with some records in each room, which are durable.
fn durable() -> LogDir {
    let dir = log_dir();
    let (_, mut writer) = writer(dir.path());
    for number in 1..=20 {
        writer.take(of_room(Room::ALL[number as usize % Room::ALL.len()], number));
        writer.write(at(number));
    }
    writer.tick(at(21));
    dir
}

/// Opens the log again. Whether durable records were missing.
fn start(dir: &Path) -> bool {
    let (shared, mut writer) = writer(dir);
    writer.tick(at(1000));
    shared.counts.is_incomplete.load(Ordering::Relaxed)
}

/// What a power cut makes of bytes that were written and not synced.
#[derive(Clone, Debug)]
enum Cut {
    Kept,
    Lost,
    /// The part of them that is left.
    Torn(f64),
    /// Where as many as a sector became zeros.
    Zeros(f64),
}

fn cuts() -> impl Strategy<Value = Cut> {
    prop_oneof![
        Just(Cut::Kept),
        Just(Cut::Lost),
        (0.0..1.0).prop_map(Cut::Torn),
        (0.0..1.0).prop_map(Cut::Zeros),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_leaves_no_alarm_and_all_that_was_durable(
        synced in prop::collection::vec(0..5usize, 0..12),
        unsynced in prop::collection::vec(0..5usize, 0..12),
        cuts in prop::collection::vec(cuts(), 5),
    ) {
        let dir = log_dir();
        let (_, mut writer) = writer(dir.path());
        let write = |writer: &mut Writer, rooms: &[usize], from: u64| {
            for (number, room) in (from..).zip(rooms) {
                writer.take(of_room(Room::ALL[*room], number));
                writer.write(at(number));
            }
        };
        write(&mut writer, &synced, 1);
        writer.tick(at(100));
        let before = contents(dir.path());
        write(&mut writer, &unsynced, 101);
        for ((path, bytes), cut) in contents(dir.path()).into_iter().zip(cuts.iter().cycle()) {
            let durable = before.get(&path).map_or(0, Vec::len);
            let (mut left, lost) = (bytes.clone(), bytes.len() - durable);
            let at = |part: f64| durable + (lost as f64 * part) as usize;
            match cut {
                Cut::Kept => {}
                Cut::Lost if durable == 0 => {
                    fs::remove_file(&path).expect("removed");
                    continue;
                }
                Cut::Lost => left.truncate(durable),
                Cut::Torn(part) => left.truncate(at(*part)),
                Cut::Zeros(part) => {
                    let end = (at(*part) + 512).min(left.len());
                    left[at(*part)..end].fill(0);
                }
            }
            fs::write(&path, left).expect("written");
        }
        prop_assert_eq!(faults(dir.path()), Vec::<String>::new(), "before the start");
        prop_assert!(!start(dir.path()), "no durable record is missing");
        let proofs = prove_rooms(dir.path(), None).expect("read");
        prop_assert!(proofs.iter().all(|(_, proof)| proof.broken.is_none()), "{:?}", proofs);
        prop_assert!(!start(dir.path()));
        prop_assert_eq!(faults(dir.path()), Vec::<String>::new(), "after another start");
        for (path, bytes) in before {
            prop_assert!(fs::read(&path).expect("it is there").starts_with(&bytes), "{:?}", path);
        }
    }
}

#[test]
fn a_log_that_was_removed_is_missed_before_and_after_a_start() {
    let dir = durable();
    fs::remove_dir_all(dir.path()).expect("removed");
    let found = faults(dir.path());
    assert_eq!(found.len(), Room::ALL.len(), "{found:?}");
    assert!(found[0].contains("was written to the part main of the log and is missing"), "{found:?}");
    assert!(start(dir.path()), "the start says so");
    let told = told(dir.path());
    assert_eq!(told.iter().filter(|(kind, _)| *kind == Kind::Repaired).count(), Room::ALL.len());
    let found = faults(dir.path());
    assert!(matches!(&found[..], [gap] if gap.contains("record 1 is in no part of the log")), "{found:?}");
    assert!(!start(dir.path()), "a start says it once");
    assert_eq!(faults(dir.path()).len(), 1, "a proof says it for good");
}

#[test]
fn durable_records_that_were_cut_off_or_changed_are_missed_in_each_room() {
    for room in Room::ALL {
        let dir = durable();
        let (path, mut segment) = lines(&room.directory(dir.path())).pop().expect("a segment");
        let whole = segment.clone();
        segment.pop();
        write_lines(&path, &segment);
        assert_eq!(faults(dir.path()).len(), 1, "{room:?}");
        assert!(start(dir.path()), "{room:?}");
        assert_eq!(faults(dir.path()).len(), 1, "{room:?} after the start");

        let dir = durable();
        let (path, _) = lines(&room.directory(dir.path())).pop().expect("a segment");
        let mut changed = whole.clone();
        let line = &mut changed.last_mut().expect("a line").1;
        line[20] ^= 1;
        write_lines(&path, &changed);
        start(dir.path());
        assert!(!faults(dir.path()).is_empty(), "{room:?}");
    }
}

#[test]
fn a_log_without_a_position_is_opened_as_one_of_an_earlier_server() {
    let dir = durable();
    fs::remove_file(dir.path().with_file_name("audit-position.json")).expect("removed");
    assert!(!start(dir.path()));
    assert_eq!(faults(dir.path()), Vec::<String>::new());
    assert!(Position::read(dir.path()).expect("read").is_some());
}

#[test]
fn a_copy_of_a_position_that_is_too_old_is_no_alarm() {
    let dir = durable();
    let path = dir.path().with_file_name("audit-position.json");
    let old = fs::read(&path).expect("read");
    start(dir.path());
    fs::write(&path, old).expect("written");
    assert_eq!(faults(dir.path()), Vec::<String>::new());
    assert!(!start(dir.path()));
    assert_eq!(faults(dir.path()), Vec::<String>::new());
}

#[test]
fn a_proof_pauses_after_each_segment_and_ends_where_it_is_told_to() {
    let dir = written(9);
    let log = dir.path();
    let mut pauses = 0;
    let counted = prove_rooms_in_steps(log, None, &mut |_| {
        pauses += 1;
        true
    });
    assert!(counted.is_ok_and(|proofs| proofs.iter().all(|(_, proof)| proof.broken.is_none())));
    assert_eq!(pauses, files(log).len());
    let ended = prove_rooms_in_steps(log, None, &mut |_| false);
    assert_eq!(ended.map_err(|error| error.kind()), Err(std::io::ErrorKind::Interrupted));
}
