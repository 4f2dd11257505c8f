//! Backups while the engine serves: consistent at one revision, and not disturbed by a compaction.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use super::*;
use crate::backup::{Catalog, Kept, Kind, Plan, Selection, verify};
use crate::engine::{BackupProblem, ServerBackup};
use crate::model::SystemConfig;
use crate::store::{Fsync, SledOptions, SledStore};

fn plan() -> Plan {
    Plan {
        kind: Kind::Full,
        selection: Selection::All,
        since: None,
        server: String::new(),
        actor: "test".to_owned(),
        created: Timestamp(1),
        note: String::new(),
        labels: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_waits_for_a_backup_and_commits_do_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = SledOptions { fsync: Fsync::Never, ..SledOptions::default() };
    let store: Arc<dyn Store> = Arc::new(SledStore::open(dir.path(), options).expect("opened"));
    let engine = open(&store, |options| options.retain_revisions = Some(20));
    for number in 0..15 {
        write_changes(&engine, vec![put(0, 0, LayerKind::Base, &json!({"n": number}))]).await.expect("set");
    }
    let (begun, has_begun) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let making = engine.clone();
    let making = tokio::spawn(async move {
        let observe = move |_| {
            let _ = begun.send(());
            // Until the other end is dropped.
            may_go_on.lock().expect("nobody panics").recv().is_err()
        };
        let place = making.backup_place("test", &Selection::All).await.expect("it is free");
        making.write_backup(plan(), place, Vec::new(), observe).await
    });
    tokio::task::spawn_blocking(move || has_begun.recv()).await.expect("it runs").expect("it has begun");
    for number in 15..100 {
        write_changes(&engine, vec![put(0, 0, LayerKind::Base, &json!({"n": number}))]).await.expect("set");
    }
    assert_eq!(store.oldest(), Revision(1), "nothing is compacted meanwhile");
    drop(go_on);
    let made = making.await.expect("it runs").expect("made");
    let manifest = verify(&made.out[..]).expect("verified").manifest;
    assert_eq!(
        (manifest.first_revision, manifest.last_revision),
        (1, 15),
        "as of the revision at which it began"
    );
    // The next commit has history compacted.
    let mut number = 100;
    while store.oldest() == Revision(1) {
        write_changes(&engine, vec![put(0, 0, LayerKind::Base, &json!({"n": number}))]).await.expect("set");
        number += 1;
        tokio::task::yield_now().await;
    }
    engine.close().await;
}

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Engines on one store that keep backups, under a clock that stands.
struct Scheduled<F> {
    dir: tempfile::TempDir,
    catalog: Arc<Catalog>,
    time: Arc<AtomicI64>,
    start: F,
}

fn scheduled() -> Scheduled<impl Fn() -> Arc<Engine>> {
    let dir = tempfile::tempdir().expect("a directory");
    let catalog = Arc::new(Catalog::open(dir.path()).expect("opened"));
    let time = Arc::new(AtomicI64::new(1_800_000_000_000_000));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let (clock, backups) = (time.clone(), catalog.clone());
    let start = move || {
        open(&store, |options| {
            let clock = clock.clone();
            options.clock = Arc::new(move || Timestamp(clock.load(Ordering::SeqCst)));
            options.backups = Some(backups.clone());
        })
    };
    Scheduled { dir, catalog, time, start }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_makes_one_backup_for_the_times_that_were_missed_and_keeps_as_many_as_it_says() {
    let Scheduled { dir: _dir, catalog, time, start } = scheduled();
    let engine = start();
    let schedules = json!({"schedules": {
        "nightly": {"cron": "0 3 * * *", "kind": "incremental"},
        "states": {"cron": "0 4 * * *", "kind": "state", "keep_count": 2},
    }});
    let replacing = super::system::replacing(SystemConfig::Backups.id(), &schedules);
    write_changes(&engine, vec![replacing]).await.expect("set");
    assert_eq!(catalog.list().expect("listed"), []);
    let told = Arc::new(Mutex::new(vec![]));
    let observer = told.clone();
    engine.observe_backups(move |event| {
        let event = match event {
            ServerBackup::Made(kept) => format!("made {}", kept.manifest.kind),
            ServerBackup::Removed(kept) => format!("removed {}", kept.manifest.kind),
            ServerBackup::Failed { selection, .. } => format!("failed {selection}"),
        };
        observer.lock().expect("nobody panics").push(event);
    });
    // A commit wakes the job.
    let until = async |engine: &Arc<Engine>, expected: &[Kind]| {
        let mut number = 0;
        loop {
            number += 1;
            let change = put(0, 0, LayerKind::Base, &json!({"n": number, "at": time.load(Ordering::SeqCst)}));
            write_changes(engine, vec![change]).await.expect("set");
            let kept = catalog.list().expect("listed");
            let mut kinds: Vec<Kind> = kept.iter().map(|kept| kept.manifest.kind).collect();
            kinds.sort_by_key(|kind| kind.as_str());
            if kinds == expected {
                return kept;
            }
            tokio::task::yield_now().await;
        }
    };
    time.fetch_add(10 * DAY, Ordering::SeqCst);
    let kept = until(&engine, &[Kind::Full, Kind::State]).await;
    assert!(
        kept.iter()
            .all(|kept| kept.manifest.actor == "system" && kept.manifest.labels.contains_key("schedule"))
    );
    engine.close().await;
    let mut told = std::mem::take(&mut *told.lock().expect("nobody panics"));
    told.sort();
    assert_eq!(told, ["made full", "made state"], "the observer receives each backup");
    // After a restart what was made is known.
    let engine = start();
    time.fetch_add(DAY, Ordering::SeqCst);
    until(&engine, &[Kind::Full, Kind::Incremental, Kind::State, Kind::State]).await;
    time.fetch_add(DAY, Ordering::SeqCst);
    let kept =
        until(&engine, &[Kind::Full, Kind::Incremental, Kind::Incremental, Kind::State, Kind::State]).await;
    let history: Vec<_> = kept.iter().filter(|kept| kept.manifest.kind != Kind::State).collect();
    assert!(history.windows(2).all(|two| two[0].manifest.last_hash == two[1].manifest.base_hash));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_never_ran_is_made_up_for_and_only_its_own_backups_are_removed() {
    let Scheduled { dir, catalog, time, start } = scheduled();
    let engine = start();
    let schedules =
        json!({"schedules": {"nightly": {"cron": "0 3 * * *", "kind": "state", "keep_count": 1}}});
    let replacing = super::system::replacing(SystemConfig::Backups.id(), &schedules);
    write_changes(&engine, vec![replacing]).await.expect("set");
    // Somebody else gives their backups the label, and even the name, of the schedule.
    for (actor, selection) in [("token:a", Selection::All), ("system", Selection::Namespace(id(0).namespace))]
    {
        let plan = Plan {
            kind: Kind::State,
            selection,
            since: None,
            server: String::new(),
            actor: actor.to_owned(),
            created: engine.now(),
            note: String::new(),
            labels: [("schedule".to_owned(), "nightly".to_owned())].into_iter().collect(),
        };
        engine.keep_backup(&catalog, plan, |_| true).await.expect("kept");
    }
    engine.close().await;
    let is_own = |kept: &Kept| kept.manifest.actor == "system" && kept.manifest.selection == "*";
    let mut made_before = None;
    // The first run was missed while no engine ran; the second removes the first, and nothing else.
    for _ in 0..2 {
        time.fetch_add(10 * DAY, Ordering::SeqCst);
        let engine = start();
        let mut number = 0;
        let made = loop {
            number += 1;
            let change = put(0, 0, LayerKind::Base, &json!({"n": number, "at": time.load(Ordering::SeqCst)}));
            write_changes(&engine, vec![change]).await.expect("set");
            let kept = catalog.list().expect("listed");
            let own: Vec<&Kept> = kept.iter().filter(|kept| is_own(kept)).collect();
            if let [own] = own[..]
                && made_before.as_ref() != Some(&own.id)
            {
                assert_eq!(kept.len(), 3, "{kept:?}");
                break own.id.clone();
            }
            tokio::task::yield_now().await;
        };
        made_before = Some(made);
        engine.close().await;
    }
    // A place that is lost is a problem, until a backup is made.
    std::fs::remove_dir_all(dir.path()).expect("removed");
    time.fetch_add(10 * DAY, Ordering::SeqCst);
    let engine = start();
    while engine.backup_problem() != Some(BackupProblem::Failing) {
        tokio::task::yield_now().await;
    }
    engine.close().await;
}
