//! What `confwatch/retention` says, beside serving: ages by the clock of the engine, bytes as quotas count them, and backups that are not
//! disturbed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::hooked_store::HookedStore;
use super::system::replacing;
use super::*;
use crate::model::SystemConfig;

const DAY: i64 = 24 * 3600 * 1_000_000;

fn in_namespace(name: &str, number: u64) -> Change {
    let id = ConfigId { namespace: namespace(name), ..id(0) };
    Change { id, ..put(0, 0, LayerKind::Base, &json!({ "n": number, "text": "x".repeat(200) })) }
}

fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).expect("a name")
}

async fn retain(engine: &Engine, document: Value) {
    let change = replacing(SystemConfig::Retention.id(), &document);
    write_changes(engine, vec![change]).await.expect("set");
}

/// A commit of `old`, of `other` and of `big` on each of so many days.
async fn days(engine: &Engine, clock: &AtomicI64, count: u64) {
    for day in 0..count {
        for name in ["big", "old", "other"] {
            write_changes(engine, vec![in_namespace(name, day)]).await.expect("set");
        }
        clock.fetch_add(DAY, Ordering::SeqCst);
    }
}

fn engine(store: &Arc<dyn Store>, clock: &Arc<AtomicI64>) -> Arc<Engine> {
    let clock = clock.clone();
    open(store, |options| options.clock = Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))))
}

async fn until(store: &Arc<dyn Store>, name: &str, at_least: u64) -> u64 {
    while store.oldest_of(&namespace(name)).0 < at_least {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.oldest_of(&namespace(name)).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_namespace_keeps_what_its_limits_say_and_no_other_loses_anything() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let clock = Arc::new(AtomicI64::new(DAY));
    let engine = engine(&store, &clock);
    days(&engine, &clock, 10).await;
    // Three commits a day, of some 500 bytes each as they count.
    let kept = engine.journal_bytes_of(&namespace("big"));
    let limits = json!({ "old": { "age_max_days": 3 }, "big": { "bytes_max": kept / 2, "versions_min": 6 } });
    retain(&engine, json!({ "namespaces": limits })).await;
    assert_eq!(until(&store, "old", 2).await, 24, "the newest that is as old as the limit");
    let oldest = until(&store, "big", 2).await;
    assert!((13..=19).contains(&oldest), "half of its commits: {oldest}");
    let left = engine.journal_bytes_of(&namespace("big"));
    // Who made a commit, and why, is not forgotten and counts.
    assert!(left < kept * 9 / 10 && left > kept / 2, "{left} of {kept} bytes count");
    assert_eq!((store.oldest(), store.oldest_of(&namespace("other"))), (Revision(1), Revision(1)));
    let versions = |name: &str| {
        let id = ConfigId { namespace: namespace(name), ..id(0) };
        store.versions(&id, Version(u64::MAX), 100).expect("read").len()
    };
    // Of `big` six would be kept, if the bytes did not keep as many already.
    assert_eq!(versions("other"), 10);
    assert!(versions("old") <= 4 && versions("old") >= 3, "{}", versions("old"));
    assert!(versions("big") >= 6);
    engine.close().await;

    // A new engine counts the same.
    let again = self::engine(&store, &clock);
    while again.journal_bytes_of(&namespace("other")) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(again.journal_bytes_of(&namespace("big")), left);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_just_begun_cuts_nothing_by_age_but_by_bytes() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let clock = Arc::new(AtomicI64::new(DAY));
    let first = engine(&store, &clock);
    days(&first, &clock, 10).await;
    first.close().await;
    let second = engine(&store, &clock);
    // They are looked at in the order of their names.
    let limits = json!({ "big": { "age_max_days": 3 }, "old": { "bytes_max": 1 } });
    retain(&second, json!({ "namespaces": limits })).await;
    until(&store, "old", 2).await;
    assert_eq!(store.oldest_of(&namespace("big")), Revision(1));
    // Once it has run for an hour, it does.
    clock.fetch_add(DAY / 24, Ordering::SeqCst);
    write_changes(&second, vec![in_namespace("other", 99)]).await.expect("set");
    until(&store, "big", 2).await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_has_changed_cuts_nothing_before_its_grace_is_over() {
    const GRACE: Duration = Duration::from_secs(3600);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let clock = Arc::new(AtomicI64::new(DAY));
    let time = clock.clone();
    let engine = open(&store, |options| {
        options.clock = Arc::new(move || Timestamp(time.load(Ordering::SeqCst)));
        // The job of the engine itself cuts nothing: another one runs when the test says so.
        options.retention_grace = GRACE * 1_000_000;
    });
    days(&engine, &clock, 3).await;
    let job = HistoryRetention::new(
        store.clone(),
        store.clone(),
        engine.pipeline.clone(),
        RetentionSettings { retention: Retention::default(), grace: GRACE, requests: None },
        engine.state().revision,
        engine.backups.holds.clone(),
        engine.closed.clone(),
    );
    let run = async |minutes: i64| {
        let now = Timestamp(clock.load(Ordering::SeqCst) + minutes * 60 * 1_000_000);
        job.run(now).await.expect("it looks");
        (store.oldest_of(&namespace("big")).0, job.due(now))
    };
    retain(&engine, json!({ "namespaces": { "big": { "bytes_max": 1 } } })).await;
    let changed = Timestamp(clock.load(Ordering::SeqCst));
    assert_eq!(run(0).await, (1, Some(changed.plus(GRACE))));
    assert_eq!(run(59).await, (1, Some(changed.plus(GRACE))));
    // With each change the grace begins again.
    clock.fetch_add(50 * 60 * 1_000_000, Ordering::SeqCst);
    retain(&engine, json!({ "namespaces": { "big": { "bytes_max": 2 } } })).await;
    assert_eq!(run(59).await.0, 1);
    let (oldest, next) = run(60).await;
    assert!(oldest > 1, "{oldest}");
    assert!(next.is_some(), "it goes on to look");
    // A document without limits lets nothing go, however long it is there.
    let oldest_of_old = store.oldest_of(&namespace("old"));
    retain(&engine, json!({ "namespaces": {} })).await;
    assert_eq!(run(600).await, (oldest, None));
    assert_eq!(store.oldest_of(&namespace("old")), oldest_of_old);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_limits_reads_the_summary_of_each_commit_once() {
    let hooked = Arc::new(HookedStore::before_append(|| Ok(())));
    let store: Arc<dyn Store> = hooked.clone();
    let clock = Arc::new(AtomicI64::new(DAY));
    let time = clock.clone();
    let engine = open(&store, |options| {
        options.clock = Arc::new(move || Timestamp(time.load(Ordering::SeqCst)));
        // The job does not count the history meanwhile.
        options.retention_grace = Duration::from_secs(3_600_000_000);
    });
    days(&engine, &clock, 10).await;
    let kept = engine.journal_bytes_of(&namespace("big"));
    let limits = |big: Value| json!({ "namespaces": { "old": { "age_max_days": 5 }, "big": big } });
    retain(&engine, limits(json!({ "bytes_max": kept / 2 }))).await;
    let before = hooked.commits_read.load(Ordering::Relaxed);
    retain(&engine, limits(json!({ "bytes_max": 1, "age_max_days": 2 }))).await;
    let read = hooked.commits_read.load(Ordering::Relaxed) - before;
    let commits = store.head().revision.0;
    assert!(read >= commits && read < 2 * commits, "{read} of {commits} were read");
    engine.close().await;
}
