//! Floods of denials and of reveals: what they are summed up to, and what they cannot push out.

use super::*;
use crate::audit::flood::NAMESPACES_OF_SOURCE_MAX;

fn scoped<'a>(entry: Entry<'a>, scope: &'a str) -> Entry<'a> {
    Entry { place: Place { scope, ..entry.place }, ..entry }
}

fn revealed<'a>(actor: &'a str, scope: &'a str) -> Entry<'a> {
    scoped(
        Entry {
            kind: Kind::Revealed,
            verb: "reveal-secret",
            outcome: "REVEALED",
            ..entry(actor, "192.0.2.8")
        },
        scope,
    )
}

fn overwritten<'a>(actor: &'a str, scope: &'a str) -> Entry<'a> {
    Entry { kind: Kind::Overwritten, verb: "write", outcome: "OVERWRITTEN", ..revealed(actor, scope) }
}

fn attempt<'a>(actor: &'a str) -> Entry<'a> {
    let place = Place { namespace: "confwatch", config: "policy", scope: "/" };
    Entry { place, ..entry(actor, "192.0.2.7") }
}

#[test]
fn a_flood_of_one_actor_sums_up_its_own_denials_and_nothing_else() {
    let floods = all_namespaces();
    let mut records = vec![];
    for number in 0..10_100 {
        let scope = format!("/s{number}");
        records.extend(floods.note(&scoped(entry("user:mallory", "192.0.2.7"), &scope), at(0)));
    }
    let burst = super::super::room::Room::Denied.budget().burst as usize;
    assert_eq!(records.len(), burst + 1, "its budget, and that the flood began");
    // Meanwhile, with who and what: writes over secrets, denials of others, and attempts on what governs access, also of mallory.
    for entry in
        [overwritten("user:bob", "/production"), entry("user:carol", "192.0.2.7"), attempt("user:mallory")]
    {
        let event = floods.note(&entry, at(0)).expect("it is recorded at once");
        let expected = (entry.actor, entry.place.namespace, entry.place.config, entry.place.scope);
        assert_eq!((&*event.actor, &*event.namespace, &*event.config, &*event.scope), expected);
        assert_eq!(event.detail, "");
    }
    let sums = floods.due(at(60));
    let [sum] = &sums[..] else { panic!("one flood, one sum: {sums:?}") };
    assert_eq!(
        (sum.kind, sum.actor.as_str(), sum.address.as_str()),
        (Kind::Denied, "user:mallory", "192.0.2.7")
    );
    assert_eq!(sum.credential, "token:8k2m4n6p8q0r");
    assert_eq!(sum.first_resource, format!("payments/checkout/s{}", burst + 1));
    assert_eq!(sum.last_resource, "payments/checkout/s10099");
    assert_eq!(records.len() as u64 + sum.count, 10_100, "nothing is lost");
    assert_eq!((sum.first_time, sum.last_time), (Some(at(0)), Some(at(0))));
}

/// An auditor of one namespace sees the sums of what happened there, and whoever makes up names or floods many namespaces takes nothing from
/// the sums of others.
#[test]
fn a_flood_over_several_namespaces_is_summed_up_for_each_that_exists() {
    let floods = super::super::flood::Floods::new(Arc::new(|name: &str| name.starts_with("real")));
    let note = |actor: &str, namespace: &str, number: u64| {
        let scope = format!("/s{number}");
        let flood = entry(actor, "192.0.2.7");
        let place = Place { namespace, scope: &scope, ..flood.place };
        floods.note(&Entry { place, ..flood }, at(0)).is_some() as u64
    };
    let mut recorded = 0;
    for number in 0..1000 {
        recorded += note("user:mallory", &format!("made-up-{number}"), number);
    }
    for number in 0..10 {
        recorded += note("user:mallory", "real", number) + note("user:mallory", "real-other", number);
    }
    let sums = floods.due(at(60));
    let mut seen: Vec<(&str, u64, &str, &str)> = sums
        .iter()
        .map(|sum| (&*sum.namespace, sum.count, &*sum.first_resource, &*sum.last_resource))
        .collect();
    seen.sort();
    let burst = super::super::room::Room::Denied.budget().burst as u64;
    let (first, last) =
        (format!("made-up-{}/checkout/s{}", burst + 1, burst + 1), "made-up-999/checkout/s999");
    assert_eq!(
        seen,
        [
            ("", 1000 - burst - 1, &*first, last),
            ("real", 9, "real/checkout/s1", "real/checkout/s9"),
            ("real-other", 9, "real-other/checkout/s1", "real-other/checkout/s9"),
        ]
    );
    assert_eq!(recorded + sums.iter().map(|sum| sum.count).sum::<u64>(), 1020, "nothing is lost");
    // Of one source so many namespaces at once.
    for number in 0..500 {
        note("user:mallory", &format!("real-{number}"), 0);
        note("user:mallory", &format!("real-{number}"), 1);
        note("user:mallory", &format!("real-{number}"), 2);
    }
    let sums = floods.due(at(120));
    let (own, rest): (Vec<_>, Vec<_>) = sums.iter().partition(|sum| !sum.namespace.is_empty());
    assert_eq!((own.len(), rest.len()), (NAMESPACES_OF_SOURCE_MAX.into(), 1), "{sums:?}");
}

#[test]
fn a_budget_fills_again_and_is_then_forgotten() {
    let floods = all_namespaces();
    let note = |number: u64, seconds| {
        let scope = format!("/s{number}");
        floods.note(&scoped(entry("user:mallory", "192.0.2.7"), &scope), at(seconds)).is_some()
    };
    (0..1000).for_each(|number| _ = note(number, 0));
    floods.due(at(60));
    let recorded = (1000..1100).filter(|number| note(*number, 60)).count();
    let budget = super::super::room::Room::Denied.budget();
    assert_eq!(recorded, budget.per_minute as usize + 1);
    let full = 60 * 60;
    floods.due(at(full));
    let recorded = (2000..3000).filter(|number| note(*number, full)).count();
    assert_eq!(recorded, budget.burst as usize + 1);
}

#[test]
fn attempts_are_recorded_one_by_one_each_time() {
    let floods = all_namespaces();
    for _ in 0..500 {
        assert!(floods.note(&attempt("user:mallory"), at(0)).is_some());
    }
    assert_eq!(floods.due(at(60)), []);
}

#[test]
fn a_flood_of_writes_over_secrets_is_summed_up_for_its_actor_and_namespace() {
    let floods = all_namespaces();
    let recorded = (0..20_000)
        .filter(|number| floods.note(&overwritten("user:bob", &format!("/s{number}")), at(0)).is_some())
        .count();
    assert_eq!(recorded, super::super::room::Room::Reveals.budget().burst as usize + 1);
    let other = floods.note(&overwritten("user:carol", "/production"), at(0));
    assert!(other.expect("recorded").detail.is_empty());
    let sums = floods.due(at(60));
    let [sum] = &sums[..] else { panic!("one sum: {sums:?}") };
    let names = (sum.kind, sum.actor.as_str(), sum.namespace.as_str(), sum.last_resource.as_str());
    assert_eq!(names, (Kind::Overwritten, "user:bob", "payments", "payments/checkout/s19999"));
    assert_eq!(recorded as u64 + sum.count, 20_000);
}

/// Guarantee: whatever else happens, each reveal that is made is a record of its own.
#[test]
fn reveals_are_recorded_one_by_one_or_not_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("audit");
    // The disk takes nothing.
    fs::write(&dir, "in the way").expect("written");
    let recorder = Recorder::start(Options {
        supervisor: Default::default(),
        dir: dir.clone(),
        retention: SMALL,
        clock: Arc::new(|| at(0)),
        namespace_exists: Arc::new(|_| true),
        started: "for a test".into(),
    })
    .expect("started");
    let mallory = entry("user:mallory", "192.0.2.7");
    let mut made = 0;
    let mut reveal = |count| {
        for number in 0..count {
            recorder.record(&scoped(Entry { ..entry(mallory.actor, "192.0.2.7") }, &format!("/s{number}")));
            made += u64::from(recorder.record_reveal(&revealed("user:bob", "/production")));
        }
        made
    };
    assert_eq!(reveal(30_000), 10_000, "no more than the log has room for");
    assert_eq!(reveal(1), 10_000);
    fs::remove_file(&dir).expect("removed");
    recorder.flush();
    assert_eq!(reveal(5000), 15_000, "as soon as there is room");
    recorder.close();
    let told = told(&dir);
    let reveals: Vec<_> = told.iter().filter(|(kind, _)| *kind == Kind::Revealed).collect();
    assert_eq!(reveals.len(), 15_000);
    assert!(reveals.iter().all(|(_, count)| *count == 1), "none is summed up");
    assert_eq!(recorder.counts().reveals.load(Ordering::Relaxed), 15_000);
}

#[test]
fn reveals_push_no_change_of_access_out_of_the_log() {
    let dir = log_dir();
    let shared = LogState::new(dir.path().to_owned(), Arc::new(|| at(0)), Arc::new(|_| true));
    let retention = Retention { bytes_max: 2 << 20, ..SMALL };
    let mut writer = Writer::new(shared.clone(), retention, "for a test");
    for number in 0..20 {
        writer.take(Event { kind: Kind::AccessChanged, ..event(number) });
        (0..1000).for_each(|_| writer.take(Event { kind: Kind::Revealed, ..event(number) }));
        writer.tick(at(number));
    }
    writer.close(at(20));
    let told = told(dir.path());
    let count = |kind| told.iter().filter(|(of, _)| *of == kind).count();
    assert_eq!((count(Kind::AccessChanged), count(Kind::Started), count(Kind::Stopped)), (20, 1, 1));
    assert!(count(Kind::Revealed) < 10_000, "reveals were removed: {}", count(Kind::Revealed));
    assert!(shared.counts.early[Room::Reveals as usize].load(Ordering::Relaxed) > 0);
    assert_eq!(shared.counts.early[Room::Main as usize].load(Ordering::Relaxed), 0);
    for (room, proof) in prove_rooms(dir.path(), None).expect("read") {
        assert_eq!(proof.broken, None, "{room:?}");
    }
}

/// A log of before: secrets that were shown lie beside changes of access.
#[test]
fn a_log_with_reveals_in_its_main_room_is_read_proved_and_gone_on_with() {
    let dir = log_dir();
    let old = [Kind::Started, Kind::Revealed, Kind::AccessChanged, Kind::Overwritten, Kind::Stopped];
    let events: Vec<Event> = old.iter().zip(0..).map(|(kind, n)| Event { kind: *kind, ..event(n) }).collect();
    log(dir.path()).append(&events, at(5)).expect("appended");
    let (_, mut writer) = writer(dir.path());
    writer.take(Event { kind: Kind::Revealed, ..event(6) });
    writer.close(at(7));
    let kinds: Vec<Kind> = told(dir.path()).into_iter().map(|(kind, _)| kind).collect();
    let new = [Kind::Started, Kind::Revealed, Kind::Stopped];
    assert_eq!(kinds, [&old[..], &new[..]].concat());
    for (room, proof) in prove_rooms(dir.path(), None).expect("read") {
        let records = match room {
            Room::Main => 7,
            Room::Reveals => 1,
            Room::Attempts | Room::Sessions | Room::Denied | Room::Refused => 0,
        };
        assert_eq!((proof.broken, proof.records), (None, records), "{room:?}");
    }
}

#[test]
fn denials_push_no_reveal_out_of_the_log() {
    let dir = log_dir();
    let shared = LogState::new(dir.path().to_owned(), Arc::new(|| at(0)), Arc::new(|_| true));
    let retention = Retention { bytes_max: 2 << 20, ..SMALL };
    let mut writer = Writer::new(shared.clone(), retention, "for a test");
    let mut seconds = 0;
    for number in 0..20 {
        writer.take(Event { kind: Kind::Revealed, ..event(number) });
        for _ in 0..1000 {
            seconds += 1;
            writer.take(Event { time: at(seconds), ..event(number) });
        }
        writer.tick(at(seconds));
    }
    writer.close(at(seconds));
    let told = told(dir.path());
    let count = |kind| told.iter().filter(|(of, _)| *of == kind).count();
    assert_eq!((count(Kind::Revealed), count(Kind::Started)), (20, 1));
    assert!(count(Kind::Denied) < 5000, "denials were removed: {}", count(Kind::Denied));
    assert!(count(Kind::Removed) > 0, "and that is told");
    assert!(shared.counts.early[Room::Denied as usize].load(Ordering::Relaxed) > 0);
    assert_eq!(shared.counts.early[Room::Reveals as usize].load(Ordering::Relaxed), 0);
    for (room, proof) in prove_rooms(dir.path(), None).expect("read") {
        assert_eq!(proof.broken, None, "{room:?}");
    }
}

#[test]
fn all_rooms_are_read_as_one_log_and_each_is_proved() {
    let dir = log_dir();
    let (_, mut writer) = writer(dir.path());
    let kinds = [Kind::Revealed, Kind::Denied, Kind::Refused, Kind::Session, Kind::Denied, Kind::Revealed];
    for number in 0..1000 {
        let namespace = if number % 7 == 0 { "confwatch" } else { "payments" };
        let kind = if number % 11 == 0 { Kind::AccessChanged } else { kinds[number as usize % kinds.len()] };
        writer.take(Event { kind, namespace: namespace.to_owned(), ..event(number) });
    }
    writer.tick(at(1000));
    // The next process goes on with the same sequence.
    let (_, mut writer) = self::writer(dir.path());
    writer.close(at(1001));
    let expected: Vec<u64> = (1..=1003).collect();
    let mut forward = Forward::new(dir.path(), 1);
    let mut read = vec![];
    while read.len() < expected.len() {
        let records = forward.read(1003).expect("read");
        assert!(!records.is_empty());
        read.extend(records.into_iter().map(|record| record.sequence));
    }
    assert_eq!(read, expected);
    assert_eq!(forward.next(), 1004);
    for before in [1004, 500, 7] {
        let mut backward = Backward::new(dir.path(), before, None, None, u64::MAX).expect("opened");
        let mut read = vec![];
        while let Step::Record(record) = backward.step().expect("read") {
            read.push(record.sequence);
        }
        assert_eq!(read, (1..before).rev().collect::<Vec<_>>());
    }
    let proofs = prove_rooms(dir.path(), None).expect("read");
    assert!(proofs.iter().all(|(_, proof)| proof.broken.is_none() && proof.records > 0), "{proofs:?}");
    assert_eq!(proofs.iter().map(|(_, proof)| proof.records).sum::<u64>(), 1003);
    // A record that is taken out of the middle is missed, in each room.
    for room in Room::ALL {
        let room = room.directory(dir.path());
        let (path, segment) = lines(&room).remove(0);
        let mut cut = segment.clone();
        cut.remove(segment.len() / 2);
        write_lines(&path, &cut);
        assert!(proof(&room).broken.is_some(), "{room:?}");
        write_lines(&path, &segment);
    }
}
