//! A replica applies the commits of another engine: whatever can be read, watched and followed is then the same at both.

mod following;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio_stream::StreamExt;

use super::system::{example, ids, replacing};
use super::*;
use crate::engine::watch::{Event, TargetStatus, WatchSelector, WatchTarget};
use crate::model::text::Format;
use crate::model::{Digest, Request, SystemConfig};

const EPOCH: Epoch = Epoch(1);
const VIEWS: [View; 5] = [
    View::Effective,
    View::Filled,
    View::Base,
    View::Layer(LayerKind::Base),
    View::Layer(LayerKind::Override),
];

/// What is done to the leader, and then to the replica. What the leader refuses is no less of a test.
#[derive(Clone, Debug)]
enum Act {
    Put(u8, usize, LayerKind, Value),
    Secret(u8, usize, u8),
    Override(u8, usize, i64, Value),
    Delete(u8, usize, LayerKind),
    DeleteAll(u8),
    RollBack(u8, u64),
    Tag(u8, u8, Option<u64>),
    PutBoth(usize, Value),
    /// One of the two documents of a system config.
    Govern(usize, usize, bool),
    Ungovern(usize, usize),
    Schema(u8, bool),
    /// Time goes by, and the leader ends what falls due.
    Wait(i64),
    /// The replica applies what is new, so many commits at once.
    Apply(usize),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let kind = || prop_oneof![3 => Just(LayerKind::Base), 1 => Just(LayerKind::Override)];
    let (config, scope) = (|| 0..2u8, || 0..SCOPES.len());
    let system = || (0..SystemConfig::ALL.len(), 0..2usize);
    prop_oneof![
        6 => (config(), scope(), kind(), similar_object()).prop_map(|(c, s, k, v)| Act::Put(c, s, k, v)),
        2 => (config(), scope(), 0..3u8).prop_map(|(c, s, v)| Act::Secret(c, s, v)),
        2 => (config(), scope(), 1..60i64, similar_object()).prop_map(|(c, s, t, v)| Act::Override(c, s, t, v)),
        2 => (config(), scope(), kind()).prop_map(|(c, s, k)| Act::Delete(c, s, k)),
        1 => config().prop_map(Act::DeleteAll),
        2 => (config(), 1..6u64).prop_map(|(c, v)| Act::RollBack(c, v)),
        2 => (config(), 0..2u8, prop::option::of(0..5u64)).prop_map(|(c, t, v)| Act::Tag(c, t, v)),
        1 => (scope(), similar_object()).prop_map(|(s, v)| Act::PutBoth(s, v)),
        2 => (system(), any::<bool>()).prop_map(|((s, at), first)| Act::Govern(s, at, first)),
        1 => system().prop_map(|(s, at)| Act::Ungovern(s, at)),
        1 => (config(), any::<bool>()).prop_map(|(c, first)| Act::Schema(c, first)),
        1 => (1..60i64).prop_map(Act::Wait),
        4 => (1..6usize).prop_map(Act::Apply),
        1 => Just(Act::Restart),
    ]
}

fn system_id(system: usize, at: usize) -> (SystemConfig, ConfigId) {
    let system = SystemConfig::ALL[system];
    let ids = ids(system);
    (system, ids[at % ids.len()].clone())
}

fn intent(act: &Act) -> Option<(Source, Intent)> {
    let set = |change| Some((Source::Set, Intent::Changes(vec![change])));
    match act.clone() {
        Act::Put(config, at, kind, value) => set(put(config, at, kind, &value)),
        Act::Secret(config, at, value) => {
            set(put(config, at, LayerKind::Base, &json!({"a": {"$secret": format!("canary-{value}")}})))
        }
        Act::Override(config, at, seconds, value) => {
            let ttl = Some(Duration::from_secs(seconds as u64));
            set(Change { ttl, ..put(config, at, LayerKind::Override, &value) })
        }
        Act::Delete(config, at, kind) => set(change(config, at, kind, Action::Delete)),
        Act::DeleteAll(config) => {
            Some((Source::Delete, Intent::Delete { id: id(config), key: None, expected: None }))
        }
        Act::RollBack(config, version) => {
            let to = RollbackTo::Version(Version(version));
            Some((Source::Rollback, Intent::Rollback { id: id(config), to, scope: None, expected: None }))
        }
        Act::Tag(config, tag, to) => {
            let tag = TagName::parse(&format!("tag-{tag}")).expect("a name");
            let (id, to) = (id(config), to.map(Version));
            Some((Source::Tag, Intent::Tag { id, tag, to, expected: None }))
        }
        Act::PutBoth(at, value) => {
            let changes = (0..2).map(|config| put(config, at, LayerKind::Base, &value));
            Some((Source::Apply, Intent::Changes(changes.collect())))
        }
        Act::Govern(system, at, first) => {
            let (system, id) = system_id(system, at);
            let example = example(system);
            set(replacing(&id, if first { &example.first } else { &example.second }))
        }
        Act::Ungovern(system, at) => {
            let (_, id) = system_id(system, at);
            Some((Source::Delete, Intent::Delete { id, key: None, expected: None }))
        }
        Act::Schema(config, first) => {
            let secret = json!({"type": "object", "properties": {"b": {"x-secret": true}}});
            let schema = if first { json!({"properties": {"c": {"default": 1}}}) } else { secret };
            let put = PutSchema { schema, up: None, down: None, accept_existing: true, expected: None };
            Some((Source::Schema, Intent::PutSchema { governed: id(config), put }))
        }
        Act::Wait(_) | Act::Apply(_) | Act::Restart => None,
    }
}

/// A leader and its replica, on stores of their own.
struct Pair {
    time: Arc<AtomicI64>,
    keys: tempfile::TempDir,
    leader: Arc<Engine>,
    leader_store: Arc<dyn Store>,
    replica: Arc<Engine>,
    replica_store: Arc<dyn Store>,
    watched: [Watched; 2],
    /// The stream of changes of the replica.
    feed: Changes,
    /// What the leader had told its watcher at each revision.
    told: BTreeMap<Revision, Told>,
    requests: u64,
    /// The archiver of the replica: `sled_that_can_stand_still`.
    stands_still: Arc<AtomicBool>,
}

/// What a watcher holds of each config: the digest of its document.
type Told = BTreeMap<ConfigId, Option<Digest>>;

struct Watched {
    stream: Subscription,
    told: Told,
}

impl Watched {
    async fn open(engine: &Engine) -> Watched {
        let target = |config| WatchTarget {
            selector: WatchSelector::Config(id(config), None),
            scope: scope(2),
            view: View::Effective,
            format: Format::Json,
        };
        let options = WatchOptions {
            client: Default::default(),
            targets: (0..2).map(target).collect(),
            resume_token: None,
            progress_interval: Duration::from_secs(3600),
            visibility: everything(),
        };
        Watched { stream: engine.watch(options).await.expect("it opens"), told: Told::new() }
    }

    /// What is held once the stream is complete up to what the engine has, and up to which revision it is.
    async fn follow(&mut self, engine: &Engine) -> (Revision, Told) {
        let revision = engine.request_progress(&self.stream.watch_id(), "test").expect("it is open");
        loop {
            let event = self.stream.next().await.expect("it goes on").expect("nothing drains");
            let reached = event.revision();
            let (states, more) = match event {
                Event::Snapshot { states, more, .. } | Event::Update { states, more, .. } => (states, more),
                Event::Changed { state, .. } => (vec![state], false),
                Event::Progress { .. } => (vec![], false),
            };
            for state in states {
                let digest = match &state.status {
                    TargetStatus::Present(document) => Some(document.digest),
                    TargetStatus::Absent(_) => None,
                    TargetStatus::Current(_) => continue,
                };
                self.told.insert(state.target().id.clone(), digest);
            }
            if reached >= revision && !more {
                return (reached, self.told.clone());
            }
        }
    }
}

fn changes(engine: &Engine, from: Option<Revision>) -> Changes {
    let (progress_interval, viewer) = (Duration::from_secs(3600), Viewer::new(everything()));
    engine.changes(ChangesOptions { from, filter: None, progress_interval, viewer }).expect("it is opened")
}

async fn next_commit(changes: &mut Changes) -> Sealed {
    match changes.next().await.expect("nothing drains") {
        ChangeEvent::Commit(sealed) => sealed,
        ChangeEvent::Progress(revision) => panic!("no commit, at revision {revision}"),
    }
}

fn options(role: Role, time: &Arc<AtomicI64>, keys: &Path) -> impl FnOnce(&mut Options) {
    let (time, master_key) = (time.clone(), MasterKeySource::Automatic(keys.join("master.key")));
    move |options| {
        options.role = role;
        options.clock = Arc::new(move || Timestamp(time.load(Ordering::Relaxed)));
        options.master_key = master_key;
    }
}

impl Pair {
    async fn open(replica_store: Arc<dyn Store>, stands_still: Arc<AtomicBool>) -> Pair {
        let (time, keys) = (Arc::new(AtomicI64::new(1_000_000)), tempfile::tempdir().expect("a directory"));
        let leader_store: Arc<dyn Store> = Arc::new(MemoryStore::new(EPOCH));
        let leader = open(&leader_store, options(Role::Leader, &time, keys.path()));
        let replica = open(&replica_store, options(Role::Replica, &time, keys.path()));
        let watched = [Watched::open(&leader).await, Watched::open(&replica).await];
        let (told, feed) = (BTreeMap::new(), changes(&replica, None));
        Pair {
            time,
            keys,
            leader,
            leader_store,
            replica,
            replica_store,
            watched,
            feed,
            told,
            requests: 0,
            stands_still,
        }
    }

    async fn act(&mut self, act: &Act) {
        self.time.fetch_add(10, Ordering::Relaxed);
        match act {
            Act::Wait(seconds) => {
                self.time.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
                let now = Timestamp(self.time.load(Ordering::Relaxed));
                let due = self.leader.state().due(now).cloned().collect();
                let _ = self.leader.write(write(Source::Expiry, Intent::Expire(due))).await;
            }
            Act::Apply(at_once) => return self.catch_up(*at_once, usize::MAX).await,
            Act::Restart => {
                let store = self.replica_store.clone();
                return self.reopen_replica(store).await;
            }
            other => {
                let (source, intent) = intent(other).expect("it is a write");
                let mut write = write(source, intent);
                self.requests += 1;
                let id = format!("request-{}", self.requests);
                write.origin.request = Some(Request { fingerprint: Digest::of(id.as_bytes()), id });
                // What is refused makes no commit.
                let _ = self.leader.write(write).await;
            }
        }
        let (reached, told) = self.watched[0].follow(&self.leader).await;
        self.told.insert(reached, told);
    }

    /// Applies what is new, but no more than so many commits.
    async fn catch_up(&mut self, at_once: usize, commits_max: usize) {
        let from = self.replica.state().revision.next();
        let commits = self.leader_store.commits(from, usize::MAX).expect("they are read");
        for page in commits[..commits.len().min(commits_max)].chunks(at_once) {
            let last = page.last().expect("no page is empty").commit.revision;
            let reached = self.replica.apply_commits(EPOCH, page.to_vec()).await.expect("they follow");
            assert_eq!((reached, self.replica.state().revision), (last, last));
            // Its journal is read from the archive, which may stand still.
            for sealed in page.iter().filter(|_| !self.stands_still.load(Ordering::SeqCst)) {
                let given = next_commit(&mut self.feed).await;
                assert_eq!(given.commit.revision, sealed.commit.revision, "each commit once, in order");
            }
            // A write of the leader may make several commits, such as one for the first key: the watcher there looked after the last.
            let (_, told) = self.watched[1].follow(&self.replica).await;
            if let Some(at_leader) = self.told.get(&last) {
                assert_eq!(told, *at_leader, "what is watched at revision {last}");
            }
        }
    }

    async fn reopen_replica(&mut self, store: Arc<dyn Store>) {
        self.replica.close().await;
        self.replica_store = store;
        self.replica = open(&self.replica_store, options(Role::Replica, &self.time, self.keys.path()));
        self.watched[1] = Watched::open(&self.replica).await;
        self.feed = changes(&self.replica, None);
    }

    /// Everything that can be read is the same at both, of which the replica has everything.
    async fn assert_same(&self) {
        let engines = [&self.leader, &self.replica];
        let stores = [&self.leader_store, &self.replica_store];
        let [ours, theirs] = stores.map(|store| store.commits(Revision(1), usize::MAX).expect("read"));
        assert_eq!(ours, theirs);
        let [ours, theirs] = stores.map(|store| {
            let mut records = vec![];
            (store.load(&mut |record| records.push(record)).expect("read"), records)
        });
        assert_eq!(ours, theirs);
        let mut problems = vec![];
        self.replica_store.verify(&mut |problem| problems.push(problem)).expect("verified");
        assert_eq!(problems, []);
        let facts = |engine: &Arc<Engine>| {
            let state = engine.state();
            let usage = state.usage(&id(0).namespace);
            (
                state.epoch,
                state.revision,
                state.time,
                state.next_expiry(),
                usage,
                state.versions([SystemConfig::Policy, SystemConfig::Tokens]),
            )
        };
        let [ours, theirs] = engines.map(facts);
        assert_eq!(ours, theirs);
        let mut read = [String::new(), String::new()];
        for (engine, read) in engines.into_iter().zip(&mut read) {
            self.read_all(engine, read).await;
        }
        let [ours, theirs] = read;
        assert_eq!(ours, theirs);
    }

    /// Every document at every point, and every version, as text.
    async fn read_all(&self, engine: &Engine, read: &mut String) {
        use std::fmt::Write;
        let state = engine.state();
        let revisions = (1..=state.revision.0).rev().take(8).map(|revision| At::Revision(Revision(revision)));
        let points: Vec<At> =
            revisions.chain((0..4).map(|v| At::Version(Version(v)))).chain([At::Latest]).collect();
        for config in 0..2 {
            for (at, view) in (0..SCOPES.len()).flat_map(|at| VIEWS.map(|view| (at, view))) {
                for secrets in [Secrets::Revealed, Secrets::Hidden] {
                    let target = Target { id: id(config), scope: scope(at), view, secrets };
                    for point in &points {
                        let found = match engine.document(&state, &target, point, "test").await {
                            Ok(document) => {
                                format!("{} {} {:?}", document.digest, document.content.as_str(), document.at)
                            }
                            Err(error) => error.to_string(),
                        };
                        writeln!(read, "{target:?} {point:?} {found}").expect("to a text");
                    }
                }
            }
            let versions =
                engine.versions(&id(config), Version(u64::MAX), 100, Viewer::new(everything())).await;
            writeln!(read, "{:?}", versions.expect("history")).expect("to a text");
        }
        writeln!(read, "{:?}", engine.commits(Revision(1)).await.expect("the journal")).expect("to a text");
        let mut changes = changes(engine, Some(Revision(1)));
        for _ in 1..=state.revision.0 {
            writeln!(read, "{:?}", next_commit(&mut changes).await).expect("to a text");
        }
    }

    async fn close(self) {
        self.leader.close().await;
        self.replica.close().await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
}

fn memory(epoch: Epoch) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(epoch))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_replica_reads_watches_and_stores_what_its_leader_does(acts in prop::collection::vec(act(), 1..30)) {
        runtime().block_on(async {
            let mut pair = tokio::spawn(Pair::open(memory(EPOCH), Arc::default())).await.expect("opened");
            for act in &acts {
                pair.act(act).await;
            }
            pair.catch_up(3, usize::MAX).await;
            pair.assert_same().await;
            // Once more is no commit.
            let all = pair.leader_store.commits(Revision(1), usize::MAX).expect("read");
            let head = pair.replica_store.head();
            pair.replica.apply_commits(EPOCH, all).await.expect("it is the same");
            assert_eq!(pair.replica_store.head(), head);
            pair.close().await;
        });
    }
}

/// A store in a directory with an archiver that the test can stop: appended commits are then durable in the log, and in no index.
fn sled_that_can_stand_still(dir: &Path) -> (Arc<dyn Store>, Arc<AtomicBool>) {
    let stands_still = Arc::new(AtomicBool::new(false));
    let asked = stands_still.clone();
    let pause = move |point| {
        while point == Point::BeforeArchive && asked.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let options = SledOptions { pause: Some(Arc::new(pause)), epoch: Some(EPOCH), ..SledOptions::default() };
    (Arc::new(SledStore::open(dir, options).expect("a store")), stands_still)
}

/// What a crash leaves of a store that does nothing at the moment.
fn copy(from: &Path, to: &Path) {
    for entry in from.read_dir().expect("a directory") {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("an entry");
        match path.is_dir() {
            true => {
                std::fs::create_dir_all(&target).expect("created");
                copy(&path, &target);
            }
            false => _ = std::fs::copy(&path, &target).expect("copied"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_replica_killed_between_its_journal_and_its_history_catches_up(
        acts in prop::collection::vec(act(), 5..25),
        applied in 1..10usize,
    ) {
        runtime().block_on(async {
            let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
            let (store, stands_still) = sled_that_can_stand_still(dirs[0].path());
            let mut pair = tokio::spawn(Pair::open(store, stands_still.clone())).await.expect("opened");
            for act in acts.iter().filter(|act| !matches!(act, Act::Restart)) {
                pair.act(act).await;
            }
            stands_still.store(true, Ordering::SeqCst);
            pair.catch_up(2, applied).await;
            let reached = pair.replica.state().revision;
            copy(dirs[0].path(), dirs[1].path());
            stands_still.store(false, Ordering::SeqCst);
            let (store, _) = sled_that_can_stand_still(dirs[1].path());
            pair.reopen_replica(store).await;
            assert_eq!(pair.replica.state().revision, reached, "what was applied is durable");
            pair.catch_up(4, usize::MAX).await;
            pair.assert_same().await;
            pair.close().await;
        });
    }
}
