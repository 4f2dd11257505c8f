//! The engine over a store that refuses to append now and then, as one does whose disk is full: nothing of what is refused is ever
//! seen, and all that is acknowledged is there.

use std::collections::HashMap;

use tokio_stream::StreamExt;

use super::hooked_store::HookedStore;
use super::*;
use crate::engine::watch::{Event, TargetStatus, WatchSelector, WatchTarget};
use crate::model::text::Format;
use crate::model::{Digest, Request};
use crate::store::StoreError;

const WRITERS: u64 = 6;
const WRITES: u64 = 12;

/// A store that refuses appends by a pattern, over and over.
pub(super) fn refusing(pattern: Vec<bool>) -> HookedStore {
    let pattern = Mutex::new(pattern.into_iter().cycle());
    HookedStore::before_append(move || match pattern.lock().expect("no test panics here").next() {
        Some(true) => Err(StoreError::Refused("the disk is full".into())),
        Some(false) | None => Ok(()),
    })
}

/// What was acknowledged: for each request id, where it came about.
type Acknowledged = HashMap<String, VersionRef>;

fn set(writer: u64, number: u64) -> Write {
    // Most writes meet others at the same config, and some change nothing.
    let (config, value) = ((writer % 2) as u8, json!({ "a": (writer / 2, number / 2) }));
    let mut write = write(Source::Set, Intent::Changes(vec![put(config, 1, LayerKind::Base, &value)]));
    let id = format!("{writer}-{number}");
    write.origin.request = Some(Request { fingerprint: Digest::of(id.as_bytes()), id });
    write
}

/// Repeats each write until it is taken, and once more.
async fn write_all(engine: Arc<Engine>, writer: u64) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for number in 0..WRITES {
        let mut taken = 0;
        while taken < 2 {
            match engine.write(set(writer, number)).await {
                Ok(outcome) => {
                    assert!(outcome.revision <= engine.state().revision, "what is answered can be read");
                    if outcome.changed {
                        let at = outcome.at.expect("a config was changed");
                        let id = format!("{writer}-{number}");
                        assert_eq!(*acknowledged.entry(id).or_insert(at), at, "the first outcome");
                    }
                    taken += 1;
                }
                Err(Error::NotWritten(why)) => assert_eq!(why, "the disk is full"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    acknowledged
}

/// What a watcher of a config is told, until it is told of what is there in the end.
async fn watch_until(
    engine: Arc<Engine>,
    config: u8,
    mut done: tokio::sync::watch::Receiver<bool>,
) -> Vec<(Revision, Digest)> {
    let target = WatchTarget {
        selector: WatchSelector::Config(id(config), None),
        scope: scope(1),
        view: View::Effective,
        format: Format::Json,
    };
    let options = WatchOptions {
        client: Default::default(),
        targets: vec![target],
        resume_token: None,
        progress_interval: Duration::from_secs(3600),
        visibility: everything(),
    };
    let mut events = engine.watch(options).await.expect("it opens");
    let mut told = vec![];
    loop {
        tokio::select! {
            biased;
            event = events.next() => {
                let event = event.expect("it goes on").expect("nothing drains");
                let states = match event {
                    Event::Snapshot { states, .. } | Event::Update { states, .. } => states,
                    Event::Changed { state, .. } => vec![state],
                    Event::Progress { .. } => vec![],
                };
                for state in states {
                    if let TargetStatus::Present(document) = &state.status {
                        told.push((document.at.revision, document.digest));
                    }
                }
            }
            _ = done.wait_for(|done| *done) => return told,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_refused_is_never_seen_and_what_is_acknowledged_is_there(
        mut pattern in prop::collection::vec(prop::bool::weighted(0.4), 1..12),
    ) {
        pattern.push(false);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(refusing(pattern));
            let engine = open(&store, |_| {});
            let (done, watching) = tokio::sync::watch::channel(false);
            let watchers: Vec<_> =
                (0..2).map(|config| tokio::spawn(watch_until(engine.clone(), config, watching.clone()))).collect();
            let writers: Vec<_> =
                (0..WRITERS).map(|writer| tokio::spawn(write_all(engine.clone(), writer))).collect();
            let mut acknowledged = Acknowledged::new();
            for writer in writers {
                acknowledged.extend(writer.await.expect("no writer panics"));
            }
            done.send_replace(true);
            // The journal holds what was acknowledged, and nothing else: the store itself has seen to it that revisions and versions
            // are dense.
            let journal = store.commits(Revision(1), usize::MAX).expect("a journal");
            let found: Acknowledged = journal
                .iter()
                .map(|Sealed { commit, .. }| {
                    let id = commit.request.clone().expect("each had one").id;
                    let (revision, time) = (commit.revision, commit.time);
                    (id, VersionRef { version: commit.changes[0].version, revision, time })
                })
                .collect();
            assert_eq!(found, acknowledged);
            assert_eq!(journal.len(), acknowledged.len());
            assert_eq!(engine.state().revision, store.head().revision);
            for (config, watcher) in watchers.into_iter().enumerate() {
                for (revision, digest) in watcher.await.expect("no watcher panics") {
                    let target = Target { id: id(config as u8), scope: scope(1), view: View::Effective, secrets: Secrets::Revealed };
                    let document = engine.document(&engine.state(), &target, &At::Revision(revision), "test").await;
                    assert_eq!(document.expect("it is history").digest, digest, "told of what was refused");
                }
            }
            let reopened = open(&store, |_| {});
            for config in 0..2 {
                let now = |engine: &Engine| engine.state().config(&id(config)).map(|config| format!("{config:?}"));
                assert_eq!(now(&engine), now(&reopened), "the state is what the journal folds to");
            }
            engine.close().await;
            reopened.close().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn writes_are_taken_again_when_the_store_takes_them() {
    let store: Arc<dyn Store> = Arc::new(refusing(vec![true, true, false]));
    let engine = open(&store, |_| {});
    for _ in 0..2 {
        let refused = engine.write(set(0, 0)).await;
        assert!(matches!(refused, Err(Error::NotWritten(_))), "{refused:?}");
        assert_eq!(engine.state().revision, Revision(0));
    }
    let outcome = engine.write(set(0, 0)).await.expect("there is room again");
    assert_eq!((outcome.changed, outcome.revision), (true, Revision(1)));
    engine.close().await;
}
