//! Reads of history by one actor, all of whose store calls block: no more of them run at once than an actor has turns, and others are served.

use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::{Commit, Digest};
use crate::store::codec::CommitFormat;
use crate::store::{Compaction, ConfigRecord, Head, History, Problem, Snapshot, StoreError, Verified};

/// A store whose reads of one config wait until they are let go, and are counted.
struct Blocking {
    inner: MemoryStore,
    of: ConfigId,
    is_open: Mutex<bool>,
    opened: Condvar,
    begun: AtomicUsize,
}

impl Blocking {
    fn wait(&self, id: &ConfigId) {
        if *id == self.of {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let is_open = self.is_open.lock().expect("no test panics here");
            drop(self.opened.wait_while(is_open, |is_open| !*is_open).expect("no test panics here"));
        }
    }

    fn open(&self) {
        *self.is_open.lock().expect("no test panics here") = true;
        self.opened.notify_all();
    }
}

impl Journal for Blocking {
    fn append_as(&self, format: CommitFormat, commits: &[Commit]) -> Result<Head, StoreError> {
        self.inner.append_as(format, commits)
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn oldest(&self) -> Revision {
        self.inner.oldest()
    }

    fn anchor(&self) -> Digest {
        self.inner.anchor()
    }

    fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError> {
        self.inner.commits(from, bytes_max)
    }

    fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError> {
        self.inner.revision_at(time)
    }
}

impl History for Blocking {
    fn versions(&self, id: &ConfigId, before: Version, limit: usize) -> Result<Vec<VersionRef>, StoreError> {
        self.wait(id);
        self.inner.versions(id, before, limit)
    }

    fn version_at(&self, id: &ConfigId, revision: Revision) -> Result<Option<VersionRef>, StoreError> {
        self.inner.version_at(id, revision)
    }

    fn snapshot(&self, id: &ConfigId, version: Version) -> Result<Option<Snapshot>, StoreError> {
        self.wait(id);
        self.inner.snapshot(id, version)
    }

    fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<Head, StoreError> {
        self.inner.load(visit)
    }

    fn compact_unless(
        &self,
        oldest: Revision,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        self.inner.compact_unless(oldest, is_stopped)
    }

    fn verify(&self, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError> {
        self.inner.verify(report)
    }
}

fn viewer(actor: &str) -> Viewer {
    Viewer::new(auth::Access::unrestricted(actor).expect("a name").sight())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_actor_who_reads_much_history_keeps_nobody_from_reading_and_writing() {
    let blocking = Arc::new(Blocking {
        inner: MemoryStore::new(Epoch(1)),
        of: id(0),
        is_open: Mutex::new(false),
        opened: Condvar::new(),
        begun: AtomicUsize::new(0),
    });
    let store: Arc<dyn Store> = blocking.clone();
    let engine = open(&store, |_| {});
    for number in 0..2 {
        for config in 0..2 {
            let change = put(config, 0, LayerKind::Base, &json!({ "a": number }));
            write_changes(&engine, vec![change]).await.expect("set");
        }
    }
    let mut greedy = tokio::task::JoinSet::new();
    for number in 0..100 {
        let engine = engine.clone();
        greedy.spawn(async move {
            // Pages of history, and documents of the past.
            match number % 2 {
                0 => engine.versions(&id(0), Version(9), 9, viewer("greedy")).await.map(drop),
                _ => {
                    let past = At::Version(Version(1));
                    engine.config_at(&engine.state(), &id(0), &past, "greedy").await.map(drop)
                }
            }
        });
    }
    let turns = std::thread::available_parallelism().map_or(1, |count| count.get()).max(2);
    while blocking.begun.load(Ordering::Relaxed) < turns {
        tokio::task::yield_now().await;
    }
    // A text that is too long to be read at once needs a turn, too.
    let write = put(1, 0, LayerKind::Base, &json!({ "a": long(2 * INLINE_BYTES_MAX) }));
    write_changes(&engine, vec![write]).await.expect("another writes");
    let past = At::Version(Version(1));
    engine.config_at(&engine.state(), &id(1), &past, "modest").await.expect("another reads the past");
    let read = engine.versions(&id(1), Version(9), 9, viewer("modest")).await.expect("another reads history");
    assert_eq!(read.len(), 3);
    // So does a large document of now that is not in memory.
    let document = |actor: &'static str, path: &'static str| {
        let engine = engine.clone();
        let scope = Scope::parse(path).expect("a scope");
        let target = Target { id: id(1), scope, view: View::Effective, secrets: Secrets::Revealed };
        tokio::spawn(async move { engine.document(&engine.state(), &target, &At::Latest, actor).await })
    };
    let waiting = document("greedy", "/a/b");
    let made = document("modest", "/a/c").await.expect("no panic").expect("another reads the present");
    assert!(!waiting.is_finished(), "the actor has no turn");
    assert_eq!(blocking.begun.load(Ordering::Relaxed), turns, "the actor has so many turns and no more");
    blocking.open();
    while let Some(read) = greedy.join_next().await {
        read.expect("no panic").expect("it is read when its turn has come");
    }
    assert_eq!(blocking.begun.load(Ordering::Relaxed), 100);
    let other = waiting.await.expect("no panic").expect("it is made when the actor has a turn");
    let text = |document: &Resolved| document.content.as_str().as_ptr();
    assert_eq!(text(&made), text(&other), "scopes with the same layers share one content");
    assert_eq!((made.target.scope.as_str(), other.target.scope.as_str()), ("/a/c", "/a/b"));
    engine.close().await;
}
