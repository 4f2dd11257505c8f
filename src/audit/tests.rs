mod crashes;
mod floods;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::log::{Log, LogDamage};
use super::log_state::LogState;
use super::writer::Writer;
use super::*;
use crate::model::Timestamp;

/// Room for a few segments of some records.
const SMALL: Retention = Retention { age_max: Duration::from_secs(1_000_000), bytes_max: 100 << 20 };

/// The directory of a log within a directory of its own, which has the position of the log, too.
struct LogDir {
    _parent: TempDir,
    path: PathBuf,
}

impl LogDir {
    fn path(&self) -> &Path {
        &self.path
    }
}

fn log_dir() -> LogDir {
    let parent = tempfile::tempdir().expect("a directory");
    let path = parent.path().join("audit");
    LogDir { _parent: parent, path }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(1_700_000_000_000_000).plus(Duration::from_secs(seconds))
}

fn entry<'a>(actor: &'a str, address: &str) -> Entry<'a> {
    Entry {
        kind: Kind::Denied,
        actor,
        credential: &"token:8k2m4n6p8q0r",
        address: address.parse::<IpAddr>().ok(),
        method: "/confwatch.v1.ConfigService/Set",
        verb: "write",
        place: Place { namespace: "payments", config: "checkout", scope: "/production" },
        outcome: "PERMISSION_DENIED",
        request_id: "r-1",
        reason: "",
    }
}

/// One that says a little more, so that segments are full sooner.
fn event(number: u64) -> Event {
    let name = format!("user:{number}-{}", "x".repeat(200));
    entry(&name, "192.0.2.7").event(at(number))
}

fn log(dir: &Path) -> Log {
    Log::open(dir, SMALL, None).expect("opened").0
}

/// A log with so many records, in segments of a day's.
fn written(records: u64) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = log(dir.path());
    for number in 1..=records {
        // Of 86400 seconds each, so that every third record begins a segment.
        let time = at(number * 30_000);
        log.append(&[Event { time, ..event(number) }], time).expect("appended");
    }
    log.sync().expect("synced");
    dir
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let names = super::files::segments(dir).expect("listed");
    names.into_iter().map(|first| super::files::path(dir, first)).collect()
}

fn proof(dir: &Path) -> Proof {
    prove(dir, None).expect("read")
}

fn broken(dir: &Path) -> Option<u64> {
    proof(dir).broken.map(|broken| broken.sequence)
}

/// A file, and its lines with the sequences of what they belong to.
type Segment = (PathBuf, Vec<(u64, Vec<u8>)>);

/// The files with their lines, each with its newline, and the sequence of what it belongs to.
fn lines(dir: &Path) -> Vec<Segment> {
    let names = super::files::segments(dir).expect("listed");
    let segment = |first: u64| {
        let path = super::files::path(dir, first);
        let bytes = fs::read(&path).expect("read");
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
        (path, lines.map(|(at, line)| (first + (at as u64).saturating_sub(1), line.to_vec())).collect())
    };
    names.into_iter().map(segment).collect()
}

fn write_lines(path: &Path, lines: &[(u64, Vec<u8>)]) {
    let bytes: Vec<u8> = lines.iter().flat_map(|(_, line)| line.clone()).collect();
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_log_is_lines_that_people_can_read_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("audit");
    log(&dir).append(&[entry("user:alice", "192.0.2.7").event(at(0))], at(0)).expect("appended");
    let path = &files(&dir)[0];
    assert!(path.ends_with("audit-00000000000000000001.jsonl"), "{path:?}");
    for (path, mode) in [(&dir, 0o700), (path, 0o600)] {
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, mode, "{path:?}");
    }
    let text = fs::read_to_string(path).expect("text");
    let (head, record) = text.split_once('\n').expect("two lines");
    let zero = "0".repeat(64);
    let expected = format!(
        r#"{{"segment":1,"first":1,"time":"2023-11-14T22:13:20Z","previous":"sha256:{zero}","hash":"#
    );
    assert!(head.starts_with(&expected), "{head}");
    let expected = concat!(
        r#"{"sequence":1,"time":"2023-11-14T22:13:20Z","kind":"denied","actor":"user:alice","#,
        r#""credential":"token:8k2m4n6p8q0r","address":"192.0.2.7","method":"/confwatch.v1.ConfigService/Set","#,
        r#""verb":"write","namespace":"payments","config":"checkout","scope":"/production","#,
        r#""outcome":"PERMISSION_DENIED","request_id":"r-1","count":1,"previous":"sha256:"#
    );
    assert!(record.starts_with(expected), "{record}");
}

/// What was written once can be proved by every later program: this is format 1.
#[test]
fn the_stored_form_is_what_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let event = entry("user:alice", "192.0.2.7").event(at(0));
    let sum = Event { count: 7, first_time: Some(at(1)), last_time: Some(at(9)), ..event.clone() };
    log(dir.path()).append(&[event, sum], at(0)).expect("appended");
    let text = fs::read_to_string(&files(dir.path())[0]).expect("text");
    assert_eq!(crate::model::Digest::of(text.as_bytes()).to_string(), STORED, "{text}");
}

const STORED: &str = "sha256:67dfc0cd9b0afb022b015d5f274ee8e9d2f1a30e3cc609414b0a6378c6186b91";

#[test]
fn what_a_caller_sends_is_bounded_and_cannot_pretend_to_be_a_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let long = format!("user:\u{1b}[2J\n{{\"sequence\":9}}\n{}", "x".repeat(100_000));
    let hostile = Entry { request_id: &long, method: &long, ..entry(&long, "2001:db8::7") };
    log(dir.path()).append(&[hostile.event(at(0))], at(0)).expect("appended");
    let text = fs::read_to_string(&files(dir.path())[0]).expect("text");
    assert_eq!(text.lines().count(), 2);
    assert!(text.len() < 4096 && !text.contains('\u{1b}'), "{} bytes", text.len());
    assert_eq!(broken(dir.path()), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Of every byte of every file, newlines and the heads of segments included.
    #[test]
    fn any_changed_byte_is_found_and_its_link_is_named(place in any::<prop::sample::Index>(), mask in 1..=255u8) {
        let dir = written(8);
        let lines = lines(dir.path());
        prop_assert!(lines.len() > 2, "there are several segments");
        let total: usize = lines.iter().flat_map(|(_, lines)| lines).map(|(_, line)| line.len()).sum();
        let mut at = place.index(total);
        let (path, expected) = 'found: {
            for (path, lines) in &lines {
                let mut offset = 0;
                for (sequence, line) in lines {
                    if at < line.len() {
                        let mut bytes = fs::read(path).expect("read");
                        bytes[offset + at] ^= mask;
                        fs::write(path, bytes).expect("written");
                        break 'found (path, *sequence);
                    }
                    (at, offset) = (at - line.len(), offset + line.len());
                }
            }
            unreachable!("it is within one of the files");
        };
        let broken = proof(dir.path()).broken;
        let broken = broken.expect("it is found");
        prop_assert_eq!((broken.sequence, &broken.path), (expected, path), "{}", broken);
    }
}

#[test]
fn a_line_that_is_missing_is_named() {
    let count = lines(written(8).path()).iter().map(|(_, lines)| lines.len()).sum::<usize>();
    for missing in 0..count {
        let dir = written(8);
        let mut left = missing;
        for (path, mut lines) in lines(dir.path()) {
            if left < lines.len() {
                let (sequence, _) = lines.remove(left);
                write_lines(&path, &lines);
                // That the newest is missing shows in its hash alone.
                let expected = (sequence < 8 || left == 0).then_some(sequence);
                assert_eq!(broken(dir.path()), expected, "line {missing}");
                break;
            }
            left -= lines.len();
        }
    }
    let dir = written(8);
    let whole = proof(dir.path());
    let (path, mut lines) = lines(dir.path()).pop().expect("a segment");
    lines.pop();
    write_lines(&path, &lines);
    let cut = proof(dir.path());
    assert_eq!((whole.newest, cut.newest), (8, 7));
    assert_ne!(whole.hash, cut.hash, "who has kept the hash sees it");
}

#[test]
fn lines_that_changed_places_and_segments_that_are_missing_are_named() {
    let dir = written(8);
    for (path, lines) in lines(dir.path()) {
        for at in 0..lines.len() - 1 {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            write_lines(&path, &swapped);
            assert_eq!(broken(dir.path()), Some(lines[at].0), "{path:?} {at}");
        }
        write_lines(&path, &lines);
        assert_eq!(broken(dir.path()), None);
    }
    let segments = lines(dir.path());
    for (path, lines) in &segments[1..segments.len() - 1] {
        fs::remove_file(path).expect("removed");
        assert_eq!(broken(dir.path()), Some(lines[0].0));
        write_lines(path, lines);
    }
    // The oldest may have been removed as too old.
    fs::remove_file(&segments[0].0).expect("removed");
    let proof = proof(dir.path());
    assert_eq!((proof.broken, proof.first), (None, segments[1].1[0].0));
    // But a segment that says it is the first of all is.
    let (path, lines) = &segments[1];
    let renamed = super::files::path(dir.path(), 1);
    write_lines(&renamed, lines);
    fs::remove_file(path).expect("removed");
    assert_eq!(broken(dir.path()), Some(1));
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_was_torn() {
    let whole = written(4);
    let (path, segment) = lines(whole.path()).pop().expect("a segment");
    let last = segment.last().expect("a line").1.len();
    let bytes = fs::read(&path).expect("read");
    for missing in 1..last {
        fs::write(&path, &bytes[..bytes.len() - missing]).expect("written");
        assert!(broken(whole.path()).is_some(), "before it is opened");
        let (mut log, found) = Log::open(whole.path(), SMALL, None).expect("opened");
        assert!(matches!(found[..], [LogDamage::Torn { .. }]), "{found:?}");
        log.append(&[event(9)], at(4 * 30_000)).expect("appended");
        let proof = proof(whole.path());
        assert_eq!((proof.broken, proof.newest), (None, 4), "{missing} bytes are missing");
    }
}

#[test]
fn a_segment_that_was_not_begun_is_begun_again() {
    let dir = written(4);
    let (path, segment) = lines(dir.path()).pop().expect("a segment");
    let head = &segment[0].1;
    for length in 0..head.len() {
        fs::write(&path, &head[..length]).expect("written");
        let mut log = log(dir.path());
        assert_eq!(log.newest() + 1, segment[0].0);
        log.append(&[event(5)], at(200_000)).expect("appended");
        let proof = proof(dir.path());
        assert_eq!((proof.broken, proof.newest), (None, segment[0].0), "{length} bytes");
        fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn damage_stops_nobody_and_stays_proved() {
    for at_line in 0..3 {
        let dir = written(5);
        let (path, mut segment) = lines(dir.path()).remove(0);
        assert_eq!(segment.len(), 4, "a head and three records");
        // Only this segment, so that it is the newest.
        files(dir.path())[1..].iter().for_each(|path| fs::remove_file(path).expect("removed"));
        let (sequence, line) = &mut segment[at_line + 1];
        let sequence = *sequence;
        *line = line.iter().map(|byte| if *byte == b'{' { b'[' } else { *byte }).collect();
        write_lines(&path, &segment);
        let (mut log, found) = Log::open(dir.path(), SMALL, None).expect("opened");
        assert!(
            matches!(found[..], [LogDamage::Broken { sequence: found, .. }] if found == sequence),
            "{found:?}"
        );
        assert_eq!(log.newest(), 3);
        log.append(&[event(4)], at(100_000)).expect("appended");
        log.append(&[event(5)], at(100_000)).expect("appended");
        assert_eq!(broken(dir.path()), Some(sequence));
    }
}

#[test]
fn what_is_too_old_or_too_much_goes_whole_and_the_rest_is_proved() {
    let dir = written(12);
    let last = at(12 * 30_000);
    let retention = Retention { age_max: Duration::from_secs(200_000), ..SMALL };
    let (mut log, _) = Log::open(dir.path(), retention, None).expect("opened");
    let removed = log.retain(last).expect("removed").expect("there was something").event(Room::Main, last);
    assert_eq!((removed.kind, removed.detail.as_str()), (Kind::Removed, "records 1 to 3, in 1 segments"));
    log.append(&[removed], last).expect("appended");
    assert_eq!(log.retain(last).expect("nothing"), None);
    let of = proof(dir.path());
    assert_eq!((of.broken, of.first, of.newest), (None, 4, 13));

    let retention = Retention { bytes_max: 1, ..SMALL };
    let (mut log, _) = Log::open(dir.path(), retention, None).expect("opened");
    let removed = log.retain(last).expect("removed").expect("there was something");
    assert!(removed.early > 0 && removed.early <= removed.segments, "{removed:?}");
    let of = proof(dir.path());
    assert_eq!((of.broken, of.segments), (None, 1), "the newest stays");
    assert_eq!(of.newest, 13);
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let retention = Retention { bytes_max: 1, ..SMALL };
    let (mut log, _) = Log::open(dir.path(), retention, None).expect("opened");
    for number in 1..=400 {
        log.append(&[event(number)], at(0)).expect("appended");
    }
    let of = proof(dir.path());
    assert!((3..10).contains(&of.segments), "{of:?}");
    assert_eq!((of.broken, of.records), (None, 400));
    let sizes = files(dir.path()).into_iter().map(|path| fs::metadata(path).expect("there").len());
    assert_eq!(log.bytes(), sizes.sum::<u64>());
}

#[test]
fn times_never_go_back() {
    let dir = tempfile::tempdir().expect("a directory");
    log(dir.path()).append(&[event(5), event(3)], at(5)).expect("appended");
    log(dir.path()).append(&[event(4)], at(4)).expect("appended");
    let records = Forward::new(dir.path(), 1).read(9).expect("read");
    assert_eq!(records.iter().map(|record| record.event.time).collect::<Vec<_>>(), [at(5), at(5), at(5)]);
}

/// The sequences of the records of all rooms, from the newest back.
fn sequences_back(dir: &Path, before: u64, from: Option<Timestamp>, until: Option<Timestamp>) -> Vec<u64> {
    let mut backward = Backward::new(dir, before, from, until, u64::MAX).expect("opened");
    let mut read = vec![];
    while let Step::Record(record) = backward.step().expect("read") {
        read.push(record.sequence);
    }
    read
}

#[test]
fn a_change_of_access_that_is_recorded_late_hides_no_later_denial() {
    let dir = log_dir();
    let (_, mut writer) = writer(dir.path());
    // The first record is of the start. Each of the others is written 10 seconds after it has happened.
    let changed = Event { kind: Kind::AccessChanged, ..event(5) };
    for (event, now) in [(event(20), at(30)), (event(21), at(31)), (changed, at(32)), (event(22), at(33))] {
        writer.take(event);
        writer.write(now);
    }
    let back = |from, until| sequences_back(dir.path(), u64::MAX, from, until);
    assert_eq!(back(None, None), [5, 4, 3, 2, 1]);
    assert_eq!(
        back(Some(at(20)), None),
        [5, 3, 2],
        "denials since then, without the earlier change of access"
    );
    assert_eq!(back(Some(at(5)), None), [5, 4, 3, 2]);
    // The segment of the denials was begun after the first of them.
    assert!(back(None, Some(at(20))).contains(&2));
}

#[test]
fn records_are_read_from_any_one_on_and_from_the_newest_back() {
    let dir = written(11);
    for from in 1..=12 {
        for up_to in [3, 11, 99] {
            let (mut forward, mut read) = (Forward::new(dir.path(), from), vec![]);
            loop {
                let records = forward.read(up_to).expect("read");
                if records.is_empty() {
                    break;
                }
                read.extend(records.into_iter().map(|record| record.sequence));
            }
            assert_eq!(read, (from..=up_to.min(11)).collect::<Vec<_>>());
        }
    }
    let back = |before, from, until| sequences_back(dir.path(), before, from, until);
    assert_eq!(back(u64::MAX, None, None), (1..=11).rev().collect::<Vec<_>>());
    assert_eq!(back(5, None, None), [4, 3, 2, 1]);
    assert_eq!(back(u64::MAX, None, Some(at(100_000)))[0], 3, "segments that begin later are passed over");
    assert_eq!(back(u64::MAX, Some(at(150_000)), Some(at(200_000))), [6, 5]);
    let mut backward = Backward::new(dir.path(), u64::MAX, None, None, 1).expect("opened");
    let mut steps = std::iter::repeat_with(|| backward.step().expect("read"));
    assert_eq!(steps.find(|step| !matches!(step, Step::Record(_))), Some(Step::Enough));

    // What is written meanwhile is read on.
    let mut forward = Forward::new(dir.path(), 11);
    assert_eq!(forward.read(11).expect("read").len(), 1);
    log(dir.path()).append(&[event(12), event(13)], at(11 * 30_000)).expect("appended");
    assert_eq!(forward.read(12).expect("read").len(), 1);
    assert_eq!(forward.read(13).expect("read")[0].sequence, 13);
    // What was removed is passed over.
    fs::remove_file(&files(dir.path())[0]).expect("removed");
    assert_eq!(Forward::new(dir.path(), 1).read(99).expect("read")[0].sequence, 4);
}

/// Where every namespace exists.
fn all_namespaces() -> super::flood::Floods {
    super::flood::Floods::new(Arc::new(|_| true))
}

fn writer(dir: &Path) -> (Arc<LogState>, Writer) {
    let shared = LogState::new(dir.to_owned(), Arc::new(|| at(0)), Arc::new(|_| true));
    (shared.clone(), Writer::new(shared, SMALL, "for a test"))
}

fn told(dir: &Path) -> Vec<(Kind, u64)> {
    let mut forward = Forward::new(dir, 1);
    let pages = std::iter::repeat_with(|| forward.read(u64::MAX).expect("read"));
    let records = pages.take_while(|records| !records.is_empty()).flatten();
    records.map(|record| (record.event.kind, record.event.count)).collect()
}

#[test]
fn the_same_is_written_once_and_then_as_a_sum() {
    let dir = log_dir();
    let (shared, mut writer) = writer(dir.path());
    let mut note = |actor: &str, seconds| {
        let event = shared.floods.note(&entry(actor, "192.0.2.7"), at(seconds));
        event.into_iter().for_each(|event| writer.take(event));
        writer.tick(at(seconds));
    };
    for second in 0..60 {
        note("user:alice", second);
    }
    note("user:bob", 59);
    assert_eq!(told(dir.path()), [(Kind::Started, 1), (Kind::Denied, 1), (Kind::Denied, 1)]);
    note("user:carol", 60);
    note("user:alice", 61);
    writer.close(at(62));
    let records = Forward::new(dir.path(), 1).read(99).expect("read");
    let sum = &records[4].event;
    assert_eq!((sum.actor.as_str(), sum.count, sum.request_id.as_str()), ("user:alice", 59, ""));
    assert_eq!((sum.time, sum.first_time, sum.last_time), (at(60), Some(at(1)), Some(at(59))));
    let told: Vec<(&str, u64)> =
        records.iter().map(|record| (record.event.actor.as_str(), record.event.count)).collect();
    assert_eq!(
        told[2..],
        [("user:bob", 1), ("user:carol", 1), ("user:alice", 59), ("user:alice", 1), ("", 1)]
    );
}

#[test]
fn what_was_counted_is_written_at_the_end() {
    let dir = log_dir();
    let (shared, mut writer) = writer(dir.path());
    for second in 0..5 {
        let event = shared.floods.note(&entry("user:alice", "192.0.2.7"), at(second));
        event.into_iter().for_each(|event| writer.take(event));
    }
    writer.close(at(5));
    let expected = [(Kind::Started, 1), (Kind::Denied, 1), (Kind::Denied, 4), (Kind::Stopped, 1)];
    assert_eq!(told(dir.path()), expected);
    assert_eq!(broken(dir.path()), None);
}

#[test]
fn a_flood_of_different_things_is_bounded_and_nothing_is_silent() {
    let floods = all_namespaces();
    let mut told = 0;
    let note = |number: u32, told: &mut u64| {
        let (actor, address) = (format!("user:{number}"), IpAddr::from(number.to_be_bytes()).to_string());
        *told += floods.note(&entry(&actor, &address), at(0)).is_some() as u64;
    };
    (0..50_000).for_each(|number| note(number, &mut told));
    assert!((11_000..11_100).contains(&told), "{told}");
    (0..50_000).for_each(|number| note(number, &mut told));
    assert!((11_000..11_100).contains(&told), "{told}");
    let sums = floods.due(at(60));
    let counted: u64 = sums.iter().map(|sum| sum.count).sum();
    assert_eq!(told + counted, 100_000);
    assert!(floods.rest(at(60)).is_empty(), "nothing is kept");
    note(1, &mut told);
    // Networks of IPv6 are one each.
    let floods = all_namespaces();
    assert!(floods.note(&entry("user:a", "2001:db8::1"), at(0)).is_some());
    assert!(floods.note(&entry("user:a", "2001:db8::2"), at(0)).is_none());
    assert!(floods.note(&entry("user:a", "2001:db8:0:1::2"), at(0)).is_some());
}

#[test]
fn a_disk_that_takes_nothing_is_told_of_and_tried_again() {
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("audit");
    fs::write(&dir, "in the way").expect("written");
    let (shared, mut writer) = writer(&dir);
    let overwritten = |number| Event { kind: Kind::Overwritten, ..event(number) };
    writer.take(overwritten(1));
    writer.write(at(1));
    assert!(shared.counts.is_failing.load(Ordering::Relaxed));
    (0..30_000).for_each(|number| writer.take(overwritten(number)));
    writer.tick(at(2));
    let lost = shared.counts.lost.load(Ordering::Relaxed);
    assert!((10_000..10_010).contains(&lost), "{lost}");
    fs::remove_file(&dir).expect("removed");
    writer.tick(at(3));
    assert!(!shared.counts.is_failing.load(Ordering::Relaxed));
    let told = told(&dir);
    assert_eq!(told[0], (Kind::Started, 1));
    assert_eq!(told.last(), Some(&(Kind::Lost, lost)));
    assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), 1 + 1 + 30_000 + 1 - 1);
    assert_eq!(broken(&dir), None);
}

#[test]
fn a_file_that_somebody_takes_away_is_missed() {
    let dir = log_dir();
    let (_, mut writer) = writer(dir.path());
    writer.tick(at(1));
    writer.take(Event { kind: Kind::AccessChanged, ..event(1) });
    writer.tick(at(2));
    fs::remove_file(&files(dir.path())[0]).expect("removed");
    writer.tick(at(3));
    writer.take(Event { kind: Kind::AccessChanged, ..event(2) });
    writer.tick(at(4));
    assert_eq!(told(dir.path()), [(Kind::Repaired, 1), (Kind::AccessChanged, 1)]);
    let of = proof(dir.path());
    assert_eq!((of.broken, of.first, of.newest), (None, 3, 4), "the records before it are missing");
}

#[test]
fn a_recorder_counts_writes_and_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("audit");
    let options = || Options {
        supervisor: Default::default(),
        dir: dir.clone(),
        retention: SMALL,
        clock: Arc::new(|| at(0)),
        namespace_exists: Arc::new(|_| true),
        started: "for a test".into(),
    };
    let recorder = Recorder::start(options()).expect("started");
    recorder.record(&entry("user:alice", "192.0.2.7"));
    recorder.record(&entry("user:alice", "192.0.2.7"));
    let revealed = Entry { kind: Kind::Revealed, ..entry("user:alice", "192.0.2.7") };
    assert!(recorder.record_reveal(&revealed));
    recorder.flush();
    assert_eq!(*recorder.newest().borrow(), 3);
    recorder.close();
    recorder.record(&entry("user:late", "192.0.2.7"));
    assert!(!recorder.record_reveal(&revealed), "nothing records it any more");
    assert_eq!(recorder.counts().denied(), [("PERMISSION_DENIED".to_owned(), 3)].into());
    assert_eq!(recorder.counts().reveals.load(Ordering::Relaxed), 1);
    assert_eq!(recorder.counts().lost.load(Ordering::Relaxed), 1);
    let again = Recorder::start(options()).expect("started");
    again.flush();
    again.close();
    let kinds: Vec<Kind> = told(&dir).into_iter().map(|(kind, _)| kind).collect();
    use Kind::{Denied, Revealed, Started, Stopped};
    assert_eq!(kinds, [Started, Denied, Revealed, Denied, Stopped, Started, Stopped]);
    assert_eq!(broken(&dir), None);
}
