//! That each consumer receives what a feed promises: in order, at least once, with gaps, also after a crash and from another history. A new
//! consumer is a `Subject` and a line of `conformance!`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::bail;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::api::Gap;
use crate::audit::{Forward, Kind, Options as RecorderOptions, Retention};
use crate::auth::Access;
use crate::engine::{Action, Change, Intent, Options, Origin, Text, Viewer, Write};
use crate::model::text::Format;
use crate::model::{
    Author, ConfigId, ConfigName, Epoch, LayerKey, Namespace, Revision, Scope, Source as CommitSource,
    SystemConfig, Timestamp,
};
use crate::server::audit_trail::access_changes::AccessChanges;
use crate::server::audit_trail::file::AuditFile;
use crate::store::{History, MemoryStore};

const FEED: &str = "test";
const ANEW: Position = Position { revision: 0, sequence: 0 };

/// A server without a network: a store in memory, an engine, an audit log.
struct World {
    dir: TempDir,
    store: Arc<MemoryStore>,
    engine: Arc<Engine>,
    recorder: Recorder,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Arc::new(MemoryStore::new(Epoch(1)));
        let engine = Engine::open(store.clone(), Options::default()).expect("an empty store");
        let recorder = Recorder::start(RecorderOptions {
            namespace_exists: Arc::new(|_| true),
            dir: dir.path().join("audit"),
            retention: Retention { age_max: Duration::from_secs(86_400), bytes_max: 1 << 30 },
            clock: Arc::new(|| Timestamp(1_700_000_000_000_000)),
            started: "for a test".into(),
            supervisor: engine.supervisor().clone(),
        });
        World { dir, store, engine, recorder: recorder.expect("a thread") }
    }

    /// The same server with another store.
    fn with_epoch(&mut self, epoch: u64) {
        self.store = Arc::new(MemoryStore::new(Epoch(epoch)));
        self.engine = Engine::open(self.store.clone(), Options::default()).expect("an empty store");
    }

    /// Changes the quotas so many times: commits that every consumer is interested in.
    async fn commit(&self, count: u64) {
        self.commit_to(SystemConfig::Quotas.id(), count).await;
    }

    /// Changes a config of another namespace so many times.
    async fn commit_elsewhere(&self, count: u64) {
        let namespace = Namespace::parse("shop").expect("a name");
        let config = ConfigName::parse("app").expect("a name");
        self.commit_to(&ConfigId { namespace, config }, count).await;
    }

    async fn commit_to(&self, id: &ConfigId, count: u64) {
        for _ in 0..count {
            let quotas = json!({"default": {"configs": self.engine.state().revision.0 + 1}});
            let change = Change {
                id: id.clone(),
                key: LayerKey::base(Scope::global()),
                ttl: None,
                action: Action::Replace(Text { content: quotas.to_string(), format: Format::Json }),
                expected: None,
                field: "change".into(),
            };
            let origin = Origin {
                author: Author::named("someone"),
                source: CommitSource::Set,
                reason: String::new(),
                request: None,
                annotations: BTreeMap::new(),
            };
            let viewer = Viewer::new(Access::unrestricted("someone").expect("a name").visibility());
            let intent = Intent::Changes(vec![change]);
            self.engine
                .write(Write { origin, intent, validate_only: false, without_backup: false, viewer })
                .await
                .expect("written");
        }
    }

    fn start<C: Consumer>(&self, name: &'static str, consumer: impl FnMut() -> C + Send + 'static) -> Feed {
        self.recorder.flush();
        let cursor = Cursor::new(self.dir.path(), name, Path::new("/there"), self.engine.state().epoch);
        Feed::start(name, &self.engine, &self.recorder, cursor, ANEW, consumer)
    }

    /// Runs the feed of a subject until it has delivered everything. How much it missed.
    async fn deliver<S: Subject>(&self, subject: &Arc<S>) -> u64 {
        let feed = self.start(FEED, {
            let subject = subject.clone();
            move || subject.consumer()
        });
        let counts = feed.counts.clone();
        feed.stop().await;
        counts.missed.load(Relaxed)
    }

    fn cursor(&self) -> PathBuf {
        self.dir.path().join(format!("{FEED}.json"))
    }
}

/// A consumer under test, and what it made of the items.
trait Subject: Send + Sync + 'static {
    type Consumer: Consumer;

    fn new(world: &World) -> Self;
    fn consumer(&self) -> Self::Consumer;
    /// The revisions of the commits that were delivered.
    fn revisions(&self) -> Vec<u64>;
}

struct File(PathBuf);

impl Subject for File {
    type Consumer = AuditFile;

    fn new(world: &World) -> File {
        File(world.dir.path().join("audit.jsonl"))
    }

    fn consumer(&self) -> AuditFile {
        AuditFile::new(self.0.clone())
    }

    fn revisions(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["kind"] == "change").filter_map(|line| line["revision"].as_u64()).collect()
    }
}

struct AccessRecords(Recorder);

impl Subject for AccessRecords {
    type Consumer = AccessChanges;

    fn new(world: &World) -> AccessRecords {
        AccessRecords(world.recorder.clone())
    }

    fn consumer(&self) -> AccessChanges {
        AccessChanges::new(self.0.clone())
    }

    fn revisions(&self) -> Vec<u64> {
        self.0.flush();
        let (mut log, newest) = (Forward::new(self.0.dir().expect("a log"), 1), *self.0.newest().borrow());
        let records = log.read(newest).expect("read");
        let changes = records.iter().filter(|record| record.event.kind == Kind::AccessChanged);
        changes.map(|record| record.event.revision).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Commit(u64),
    Record(u64),
    Gap(u64, u64),
}

/// Keeps the batches in memory. It fails or panics so many times before it takes one.
#[derive(Clone, Default)]
struct InMemory {
    batches: Arc<Mutex<Vec<Vec<Seen>>>>,
    deliveries: tokio::sync::watch::Sender<u64>,
    failures: Arc<AtomicU64>,
    panics: Arc<AtomicU64>,
}

impl InMemory {
    fn batches(&self) -> Vec<Vec<Seen>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn takes(count: &AtomicU64) -> bool {
        count.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl Consumer for InMemory {
    async fn deliver(&mut self, batch: &Arc<[TrailItem]>) -> anyhow::Result<()> {
        let seen = batch.iter().map(|item| match item {
            TrailItem::Change(sealed) => Seen::Commit(sealed.commit.revision.0),
            TrailItem::Record(record) => Seen::Record(record.sequence),
            TrailItem::Gap(Gap::Commits { from, to }) => Seen::Gap(from.0, to.0),
            TrailItem::Gap(gap) => panic!("no record was removed: {gap}"),
        });
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(seen.collect());
        self.deliveries.send_modify(|deliveries| *deliveries += 1);
        assert!(!InMemory::takes(&self.panics), "a test asked for this panic");
        if InMemory::takes(&self.failures) {
            bail!("a test asked for this failure");
        }
        Ok(())
    }

    fn retry_after(&self, _failures: u32) -> Duration {
        Duration::ZERO
    }
}

impl Subject for InMemory {
    type Consumer = InMemory;

    fn new(_: &World) -> InMemory {
        InMemory::default()
    }

    fn consumer(&self) -> InMemory {
        self.clone()
    }

    fn revisions(&self) -> Vec<u64> {
        let commits = self.batches().into_iter().flatten().filter_map(|seen| match seen {
            Seen::Commit(revision) => Some(revision),
            Seen::Record(_) | Seen::Gap(..) => None,
        });
        commits.collect()
    }
}

async fn goes_on_after_its_cursor<S: Subject>() {
    let world = World::new();
    let subject = Arc::new(S::new(&world));
    world.commit(3).await;
    world.deliver(&subject).await;
    assert_eq!(subject.revisions(), [1, 2, 3]);
    world.commit(2).await;
    world.deliver(&subject).await;
    world.deliver(&subject).await;
    assert_eq!(subject.revisions(), [1, 2, 3, 4, 5]);
}

/// The process ended between a delivery and the cursor after it.
async fn loses_nothing_in_a_crash<S: Subject>() {
    let world = World::new();
    let subject = Arc::new(S::new(&world));
    world.commit(3).await;
    world.deliver(&subject).await;
    let before = fs::read(world.cursor()).expect("a cursor");
    world.commit(2).await;
    world.deliver(&subject).await;
    fs::write(world.cursor(), before).expect("written");
    world.commit(1).await;
    world.deliver(&subject).await;
    let delivered = subject.revisions();
    let again = delivered.len() - 6;
    assert_eq!(delivered[..5], [1, 2, 3, 4, 5]);
    assert_eq!(delivered[5..], [4, 5, 6][2 - again..], "{delivered:?}");
}

async fn goes_on_behind_a_gap<S: Subject>() {
    let world = World::new();
    let subject = Arc::new(S::new(&world));
    world.commit(5).await;
    world.store.compact(Revision(4)).expect("compacted");
    assert_eq!(world.deliver(&subject).await, 3);
    assert_eq!(subject.revisions(), [4, 5]);
    assert_eq!(world.deliver(&subject).await, 0);
}

async fn begins_anew_with_another_history<S: Subject>() {
    let mut world = World::new();
    let subject = Arc::new(S::new(&world));
    world.commit(2).await;
    world.deliver(&subject).await;
    world.with_epoch(2);
    world.commit(1).await;
    world.deliver(&subject).await;
    assert_eq!(subject.revisions(), [1, 2, 1]);
}

macro_rules! conformance {
    ($($name:ident: $subject:ty;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_feed_goes_on_after_its_cursor() {
                goes_on_after_its_cursor::<$subject>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_feed_loses_nothing_in_a_crash() {
                loses_nothing_in_a_crash::<$subject>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_feed_goes_on_behind_a_gap() {
                goes_on_behind_a_gap::<$subject>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_feed_begins_anew_with_another_history() {
                begins_anew_with_another_history::<$subject>().await;
            }
        }
    )*};
}

conformance! {
    in_memory: InMemory;
    audit_file: File;
    access_changes: AccessRecords;
}

/// Commits that do not concern a consumer move its cursor on: that they are compacted is no gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_concern_no_change_of_access_are_no_gap() {
    let world = World::new();
    let subject = Arc::new(AccessRecords::new(&world));
    world.commit(2).await;
    world.deliver(&subject).await;
    world.commit_elsewhere(3).await;
    world.deliver(&subject).await;
    world.store.compact(Revision(5)).expect("compacted");
    world.commit(1).await;
    assert_eq!(world.deliver(&subject).await, 0);
    assert_eq!(subject.revisions(), [1, 2, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_records_and_gaps_are_in_order() {
    let world = World::new();
    world.commit(3).await;
    world.store.compact(Revision(3)).expect("compacted");
    let subject = Arc::new(InMemory::default());
    world.deliver(&subject).await;
    let seen: Vec<Seen> = subject.batches().into_iter().flatten().collect();
    let commits: Vec<_> = seen.iter().filter(|seen| !matches!(seen, Seen::Record(_))).collect();
    assert_eq!(commits, [&Seen::Gap(1, 2), &Seen::Commit(3)]);
    let records: Vec<_> = seen.iter().filter(|seen| matches!(seen, Seen::Record(_))).collect();
    assert_eq!(records, [&Seen::Record(1)], "the log has the start of the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_fails_is_repeated_with_the_same_items() {
    let world = World::new();
    world.commit(2).await;
    let subject = InMemory { failures: Arc::new(1.into()), ..InMemory::default() };
    let consumer = subject.clone();
    let feed = world.start(FEED, move || consumer.clone());
    // A feed that stops repeats nothing.
    subject.deliveries.subscribe().wait_for(|deliveries| *deliveries == 2).await.expect("the sender lives");
    feed.stop().await;
    let batches = subject.batches();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0], batches[1]);
    assert!(batches[0].contains(&Seen::Commit(1)) && batches[0].contains(&Seen::Commit(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_panics_receives_the_batch_again() {
    let world = World::new();
    world.commit(2).await;
    let subject = Arc::new(InMemory { panics: Arc::new(1.into()), ..InMemory::default() });
    world.deliver(&subject).await;
    assert_eq!(subject.revisions(), [1, 2, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_fails_holds_up_no_other_and_loses_nothing() {
    let world = World::new();
    let (failing, other) =
        (InMemory { failures: Arc::new(u64::MAX.into()), ..InMemory::default() }, InMemory::default());
    let (one, two) = (failing.clone(), other.clone());
    let stuck = world.start("stuck", move || one.clone());
    let free = world.start("free", move || two.clone());
    world.commit(2).await;
    free.stop().await;
    assert_eq!(other.revisions(), [1, 2]);
    let counts = stuck.counts.clone();
    stuck.stop().await;
    assert!(counts.is_failing.load(Relaxed));
    assert!(!world.dir.path().join("stuck.json").exists(), "nothing was delivered");
    let recovered = InMemory::default();
    let three = recovered.clone();
    world.start("stuck", move || three.clone()).stop().await;
    assert_eq!(recovered.revisions(), [1, 2]);
}

#[test]
fn pauses_between_deliveries_grow_up_to_a_limit() {
    struct Plain;
    impl Consumer for Plain {
        async fn deliver(&mut self, _: &Arc<[TrailItem]>) -> anyhow::Result<()> {
            Ok(())
        }
    }
    let pauses = [1, 2, 3, 7, u32::MAX].map(|failures| Plain.retry_after(failures).as_secs());
    assert_eq!(pauses, [1, 2, 4, 60, 60]);
}
