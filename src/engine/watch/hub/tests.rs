//! The hub without its thread: the test decides when it looks at what was committed, and when a stream is polled.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{OnceLock, RwLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use serde_json::json;
use tokio_stream::Stream;

use super::*;
use crate::auth::{self, Visibility};
use crate::engine::read::resolve::{Resolved, Target, View, resolve};
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::watch::{
    Event, Held, ResumeToken, Subscription, TargetStatus, WatchClient, WatchOptions, WatchSelector,
    WatchTarget,
};
use crate::engine::{Loading, MasterKeySource, Secrets};
use crate::model::limits::Limits;
use crate::model::text::Format;
use crate::model::{
    Commit, ConfigChange, ConfigName, Content, Digest, Epoch, LayerChange, LayerKind, Namespace, Scope,
    Source, Timestamp, Version,
};
use crate::store::Head;
use crate::supervise::Supervisor;

mod fairness;
mod listing;
mod steps;
mod values;

use values::*;

/// Of every stream.
const PROGRESS_SECONDS: u64 = 10;
const PROGRESS_TICKS: u64 = 200;

const CONFIGS: [&str; 3] = ["a", "b", "c"];
const SCOPES: [&str; 3] = ["/", "/p", "/p/x"];
const VIEWS: [View; 5] = [
    View::Effective,
    View::Filled,
    View::Base,
    View::Layer(LayerKind::Base),
    View::Layer(LayerKind::Override),
];

/// A hub, the states that were committed, and what it was not yet told of.
struct World {
    hub: Arc<Hub>,
    states: Vec<Arc<State>>,
    untold: BTreeMap<ConfigId, HashSet<LayerKey>>,
}

fn resolver(state: &State, bytes_max: u64) -> Arc<Resolver> {
    let key_store = KeyStore::open(MasterKeySource::Process, state).expect("there are no secrets");
    Arc::new(Resolver::new(bytes_max, Arc::new(key_store)))
}

impl World {
    fn new() -> World {
        World::with_cache(1 << 20)
    }

    fn with_cache(bytes_max: u64) -> World {
        World::with(bytes_max, 10_000)
    }

    fn with(bytes_max: u64, watchers_max: usize) -> World {
        let state = Arc::new(Loading::default().state(Epoch(7), Head::EMPTY));
        let (limits, supervisor) = (limits(watchers_max), Supervisor::default());
        let (hub, thread) = Hub::start(state.clone(), resolver(&state, bytes_max), &limits, &supervisor);
        hub.close();
        thread.join().expect("the thread ends");
        World { hub, states: vec![state], untold: BTreeMap::new() }
    }

    fn newest(&self) -> Arc<State> {
        self.states.last().expect("there is one").clone()
    }

    /// Puts or deletes layers, in one commit.
    fn commit(&mut self, changes: &[(usize, LayerKey, Option<Content>)]) -> Commit {
        let state = self.newest();
        let mut by_config: BTreeMap<ConfigId, BTreeMap<LayerKey, LayerChange>> = BTreeMap::new();
        for (config, key, content) in changes {
            let change =
                LayerChange { key: key.clone(), content: content.clone(), expires: None, format: None };
            by_config.entry(id(*config)).or_default().insert(key.clone(), change);
            self.untold.entry(id(*config)).or_default().insert(key.clone());
        }
        let governing: Vec<ConfigId> = by_config.keys().cloned().collect();
        let changes = by_config.into_iter().map(|(id, layers)| {
            let version = state.config(&id).map_or(Version::ZERO, |config| config.at.version).next();
            let layers = layers.into_values().collect();
            ConfigChange { id, version, layers, tags: vec![], restored: None }
        });
        let commit = Commit {
            revision: state.revision.next(),
            time: Timestamp(0),
            author: Default::default(),
            source: Source::Apply,
            reason: String::new(),
            request: None,
            annotations: BTreeMap::new(),
            changes: changes.collect(),
            forgotten: vec![],
        };
        let state = Arc::new(state.apply(&commit));
        // As `publish` does.
        for filled in governing.iter().flat_map(|id| reshaped_by(id, &state)) {
            self.untold.entry(filled).or_default().insert(LayerKey::base(Scope::global()));
        }
        self.states.push(state);
        commit
    }

    fn take_untold(&mut self) -> Vec<(ConfigId, Vec<LayerKey>)> {
        let changed = std::mem::take(&mut self.untold).into_iter();
        changed.map(|(id, keys)| (id, keys.into_iter().collect())).collect()
    }

    /// Lets the hub look at what was committed since it last did.
    fn advance(&mut self) {
        let changed = self.take_untold();
        self.hub.advance(self.newest(), &changed);
    }

    fn subscribe(&self, targets: Vec<WatchTarget>) -> Client {
        let stream = self.open(targets.clone(), visibility(), None);
        let held = targets.iter().flat_map(|target| match &target.selector {
            WatchSelector::Config(id, held) => {
                held.map(|digest| (exact(id.clone(), target), digest)).into_iter().collect::<Vec<_>>()
            }
            WatchSelector::Namespace(namespace, held) => {
                let exact = |name: &ConfigName| {
                    let id = ConfigId { namespace: namespace.clone(), config: name.clone() };
                    exact(id, target)
                };
                held.iter().map(|(name, digest)| (exact(name), *digest)).collect()
            }
        });
        Client {
            held: held.collect(),
            targets,
            stream,
            visibility: visibility(),
            next_visibility: None,
            woken: Arc::default(),
            asleep: false,
            revision: Revision::ZERO,
            greeted: false,
        }
    }

    fn open(&self, targets: Vec<WatchTarget>, seen: Visibility, from: Option<Revision>) -> Subscription {
        let progress_interval = Duration::from_secs(PROGRESS_SECONDS);
        let resume_token = from.map(|revision| ResumeToken { epoch: Epoch(7), revision }.to_string());
        let client = WatchClient::default();
        let options = WatchOptions { targets, resume_token, progress_interval, visibility: seen, client };
        self.hub.subscribe(options, Timestamp(0)).expect("there is room")
    }

    fn resolved(&self, revision: Revision, target: &Target) -> Option<Digest> {
        let state = &self.states[usize::try_from(revision.0).expect("few states")];
        let (config, schema) = (state.config(&target.id)?, target.schema_in(state));
        let target = Arc::new(target.clone());
        Some(resolve(config, &target, schema, self.hub.resolver.key_store(), None)?.digest)
    }

    /// What a client of these targets should hold at a revision.
    fn expected(
        &self,
        revision: Revision,
        targets: &[WatchTarget],
        visibility: &Visibility,
    ) -> BTreeMap<String, Digest> {
        let is_seen = |of: &Target| visibility.has(&of.id.namespace, &of.id.config, &of.scope);
        let targets = targets.iter().flat_map(|target| match &target.selector {
            WatchSelector::Config(id, _) => vec![exact(id.clone(), target)],
            WatchSelector::Namespace(..) => {
                (0..CONFIGS.len()).map(|at| exact(id(at), target)).filter(is_seen).collect()
            }
        });
        let held = targets.filter_map(|target| Some((name(&target), self.resolved(revision, &target)?)));
        held.collect()
    }
}

/// A stream, and what someone knows who believes what it says.
struct Client {
    targets: Vec<WatchTarget>,
    stream: Subscription,
    visibility: Visibility,
    /// Not gone by yet.
    next_visibility: Option<Visibility>,
    held: HashMap<Target, Digest>,
    woken: Arc<Wakes>,
    /// It was polled, and had nothing to say.
    asleep: bool,
    revision: Revision,
    greeted: bool,
}

#[derive(Default)]
struct Wakes {
    count: AtomicUsize,
    /// Who polls.
    thread: OnceLock<Thread>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Wakes>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Client {
    /// Polls once, and checks what comes against the states that there were.
    fn poll(&mut self, world: &World) -> Option<Event> {
        let waker = Waker::from(self.woken.clone());
        if let Some(visibility) = &self.next_visibility {
            if self.stream.poll_see_as(visibility, &Context::from_waker(&waker)).is_pending() {
                self.asleep = true;
                self.woken.count.store(0, Ordering::SeqCst);
                return None;
            }
            self.visibility = self.next_visibility.take().expect("it was there");
        }
        let event = match Pin::new(&mut self.stream).poll_next(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                self.asleep = true;
                self.woken.count.store(0, Ordering::SeqCst);
                return None;
            }
            Poll::Ready(event) => event.expect("it does not end").expect("it does not fail"),
        };
        self.asleep = false;
        let (revision, states) = match &event {
            Event::Snapshot { revision, states, more: false, reset: false } => {
                assert!(!std::mem::replace(&mut self.greeted, true), "one snapshot");
                (*revision, states.as_slice())
            }
            Event::Update { revision, states, more: false } => (*revision, states.as_slice()),
            Event::Changed { revision, state, .. } => (*revision, std::slice::from_ref(state)),
            Event::Progress { revision } => (*revision, [].as_slice()),
            Event::Snapshot { .. } | Event::Update { .. } => panic!("all of it fits one message: {event:?}"),
        };
        assert!(self.greeted, "a snapshot is first");
        assert!(self.revision <= revision, "revisions do not decrease");
        self.revision = revision;
        let is_snapshot = matches!(event, Event::Snapshot { .. });
        for state in states {
            let target = Target { secrets: Secrets::Revealed, ..state.target().clone() };
            let held = self.held.get(&target).copied();
            match &state.status {
                TargetStatus::Present(resolved) => {
                    assert_ne!(held, Some(resolved.digest), "the client has it already");
                    self.held.insert(target, resolved.digest);
                }
                TargetStatus::Current(_) => {
                    assert!(is_snapshot && held.is_some(), "current is said of what is held")
                }
                TargetStatus::Absent(_) => {
                    assert!(is_snapshot || held.is_some(), "the client knows already");
                    self.held.remove(&target);
                }
            }
        }
        assert_eq!(
            self.names(),
            world.expected(revision, &self.targets, &self.visibility),
            "at revision {revision}"
        );
        assert_eq!(self.listed(world), self.names(), "what the hub lists is what the client holds");
        Some(event)
    }

    /// Comes back with its resume token and the digests that it holds. Not before the hub has reached that revision: `Engine::watch` waits
    /// for it.
    fn resume(&mut self, world: &World) {
        if !self.greeted || self.revision > world.hub.revision() {
            return;
        }
        for target in &mut self.targets {
            let held = |id: ConfigId| {
                let key =
                    Target { id, scope: target.scope.clone(), view: target.view, secrets: Secrets::Revealed };
                self.held.get(&key).copied()
            };
            target.selector = match &target.selector {
                WatchSelector::Config(id, _) => WatchSelector::Config(id.clone(), held(id.clone())),
                WatchSelector::Namespace(namespace, _) => {
                    let names = (0..CONFIGS.len()).filter_map(|at| Some((id(at).config, held(id(at))?)));
                    WatchSelector::Namespace(namespace.clone(), names.collect())
                }
            };
        }
        if let Some(visibility) = self.next_visibility.take() {
            self.visibility = visibility;
        }
        self.stream = world.open(self.targets.clone(), self.visibility.clone(), Some(self.revision));
        self.woken = Arc::default();
        (self.asleep, self.greeted) = (false, false);
    }

    fn names(&self) -> BTreeMap<String, Digest> {
        self.held.iter().map(|(target, digest)| (name(target), *digest)).collect()
    }

    fn poll_until_asleep(&mut self, world: &World) -> Vec<Event> {
        std::iter::from_fn(|| self.poll(world)).collect()
    }

    fn wakes(&self) -> usize {
        self.woken.count.load(Ordering::SeqCst)
    }
}

#[test]
fn progress_that_was_asked_for_comes_although_the_hub_looked_at_an_older_revision_first() {
    let mut world = World::new();
    let mut client = world.subscribe(vec![follow(0, 0)]);
    client.poll_until_asleep(&world);
    world.commit(&[(1, key(LayerKind::Base, 0), Some(content(1)))]);
    world.commit(&[(1, key(LayerKind::Base, 0), Some(content(2)))]);
    // Published are two commits, but the hub is still at the first.
    let (first, second) = (world.states[1].clone(), world.states[2].clone());
    world.hub.request_progress(&client.stream.watch_id(), "test", Revision(2)).expect("the stream is open");
    world.hub.advance(first, &[]);
    assert!(client.poll_until_asleep(&world).is_empty());
    world.hub.advance(second, &[]);
    assert_eq!(client.wakes(), 1);
    let events = client.poll_until_asleep(&world);
    assert!(matches!(events.as_slice(), [Event::Progress { revision: Revision(2) }]), "{events:?}");
}

#[test]
fn nothing_is_kept_of_a_stream_that_went_away_while_it_waited_for_progress() {
    let world = World::new();
    let client = world.subscribe(vec![follow(0, 0)]);
    world.hub.request_progress(&client.stream.watch_id(), "test", Revision(1)).expect("the stream is open");
    let kept = Arc::downgrade(&world.hub.table().subscribers().next().expect("the stream").clone());
    drop(client);
    assert!(kept.upgrade().is_none());
}

#[test]
fn a_stream_sleeps_through_commits_that_leave_its_document_as_it_was() {
    let mut world = World::new();
    let mut client = world.subscribe(vec![follow(0, 1)]);
    world.commit(&[(0, key(LayerKind::Override, 0), Some(content(1)))]);
    world.advance();
    client.poll_until_asleep(&world);
    // Elsewhere, below, hidden by the override, and away and back between two looks of the hub.
    world.commit(&[(1, key(LayerKind::Base, 0), Some(content(2)))]);
    world.commit(&[(0, key(LayerKind::Base, 2), Some(content(2)))]);
    world.advance();
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(2)))]);
    world.advance();
    world.commit(&[(0, key(LayerKind::Override, 0), None)]);
    world.commit(&[(0, key(LayerKind::Override, 0), Some(content(1)))]);
    world.advance();
    assert_eq!(client.wakes(), 0);
    assert!(client.poll_until_asleep(&world).is_empty());
}

#[test]
fn a_drained_hub_wakes_its_streams_and_they_end() {
    let world = World::new();
    let mut client = world.subscribe(vec![follow(0, 1)]);
    client.poll_until_asleep(&world);
    world.hub.drain();
    assert_eq!(client.wakes(), 1);
    let mut poll = || Pin::new(&mut client.stream).poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll(), Poll::Ready(Some(Err(Error::Draining { .. })))));
    assert!(matches!(poll(), Poll::Ready(None)));
    let options = WatchOptions {
        client: Default::default(),
        targets: vec![],
        resume_token: None,
        progress_interval: Duration::from_secs(1),
        visibility: visibility(),
    };
    assert!(matches!(world.hub.subscribe(options, Timestamp(0)), Err(Error::Draining { .. })));
}

fn documents(events: &[Event]) -> Vec<&Arc<Resolved>> {
    let states = events.iter().flat_map(|event| match event {
        Event::Snapshot { states, .. } | Event::Update { states, .. } => states.as_slice(),
        Event::Changed { state, .. } => std::slice::from_ref(state),
        Event::Progress { .. } => &[],
    });
    let documents = states.filter_map(|state| match &state.status {
        TargetStatus::Present(resolved) => Some(resolved),
        TargetStatus::Current(_) | TargetStatus::Absent(_) => None,
    });
    documents.collect()
}

#[test]
fn a_document_is_made_and_encoded_once_for_a_target_and_commit_however_many_watch_it() {
    // Nothing is shared by way of the cache.
    let mut world = World::with_cache(0);
    let mut clients: Vec<_> = (0..500).map(|_| world.subscribe(vec![follow(0, 1)])).collect();
    clients.extend((0..500).map(|_| world.subscribe(vec![follow(0, 1), follow(1, 0)])));
    let mut stars: Vec<_> = (0..500).map(|_| world.subscribe(vec![star(1)])).collect();
    clients.iter_mut().chain(&mut stars).for_each(|client| drop(client.poll_until_asleep(&world)));
    for number in 1..4 {
        world.commit(&[(0, key(LayerKind::Base, 0), Some(content(number)))]);
        world.advance();
        for clients in [&mut clients, &mut stars] {
            let events: Vec<_> =
                clients.iter_mut().flat_map(|client| client.poll_until_asleep(&world)).collect();
            let documents = documents(&events);
            assert_eq!(documents.len(), clients.len());
            let mut encodings = 0;
            let mut encode = |document: &Resolved| {
                encodings += 1;
                document.content.as_str().to_owned().into()
            };
            let encoded =
                documents.iter().map(|document| document.encoded(Format::Json, || encode(document)));
            let encoded: Vec<_> = encoded.collect();
            assert_eq!(encodings, 1);
            assert!(documents.iter().all(|document| Arc::ptr_eq(document, documents[0])));
            assert!(encoded.iter().all(|bytes| bytes.as_ptr() == encoded[0].as_ptr()));
            let shared = events.iter().filter_map(|event| match event {
                Event::Changed { shared, .. } => Some(shared),
                Event::Snapshot { .. } | Event::Update { .. } | Event::Progress { .. } => None,
            });
            let shared: Vec<_> = shared.collect();
            assert!(
                shared.windows(2).all(|pair| Arc::ptr_eq(pair[0], pair[1])),
                "one message for all streams"
            );
        }
    }
}

#[test]
fn a_stream_of_many_targets_looks_only_at_those_that_changed() {
    let mut world = World::with_cache(0);
    let mut client =
        world.subscribe((0..3).flat_map(|config| (0..3).map(move |scope| follow(config, scope))).collect());
    client.poll_until_asleep(&world);
    world.commit(&[
        (0, key(LayerKind::Base, 2), Some(content(1))),
        (2, key(LayerKind::Base, 1), Some(content(2))),
    ]);
    world.advance();
    assert_eq!(client.wakes(), 1, "woken once for all that a commit changed");
    let subscriber = world.hub.table().subscribers().next().expect("the stream").clone();
    let marked: Vec<_> = subscriber.take_marks(Revision::ZERO).iter().map(|mark| mark.place).collect();
    assert_eq!(marked, [2, 7, 8]);
    let events = client.poll_until_asleep(&world);
    assert_eq!((events.len(), documents(&events).len()), (1, 3));
}

#[test]
fn a_stream_that_is_never_read_keeps_none_of_the_documents_that_it_missed() {
    let mut world = World::with_cache(0);
    let targets = [vec![follow(0, 0)], vec![follow(0, 0), follow(1, 0)], vec![star(0)]];
    let stuck: Vec<_> = targets.into_iter().map(|targets| world.subscribe(targets)).collect();
    let mut reader = world.subscribe(vec![follow(0, 0)]);
    let mut star_reader = world.subscribe(vec![star(0)]);
    let mut missed: Vec<Weak<Resolved>> = vec![];
    for round in 0..1000 {
        world.commit(&[(0, key(LayerKind::Base, 0), Some(Content::of(&json!({ "round": round }))))]);
        world.advance();
        for client in [&mut reader, &mut star_reader] {
            missed.extend(documents(&client.poll_until_asleep(&world)).into_iter().map(Arc::downgrade));
        }
    }
    assert_eq!(missed.len(), 2000);
    // The newest, and what is not yet swept of the marks.
    let kept = missed.iter().filter(|document| document.strong_count() > 0).count();
    assert!(kept < 10, "{kept}");
    drop(stuck);
}

#[test]
fn silent_streams_say_how_far_they_are_in_their_time_and_not_all_at_once() {
    fastrand::seed(7);
    let mut world = World::new();
    // Opened between these two.
    let first = Tick::at(world.hub.started, Instant::now()).0;
    let mut clients: Vec<_> = (0..1000).map(|_| world.subscribe(vec![follow(0, 0)])).collect();
    let last = Tick::at(world.hub.started, Instant::now()).0;
    clients.iter_mut().for_each(|client| drop(client.poll_until_asleep(&world)));
    // A fifth of the interval is left to chance.
    let (from, until) = (first + PROGRESS_TICKS * 4 / 5, last + PROGRESS_TICKS);
    let mut most = 0;
    let mut silent = |world: &World, clients: &mut [Client], tick| {
        world.hub.wake_silent(Tick(tick));
        let woken: Vec<_> = clients.iter_mut().filter(|client| client.wakes() > 0).collect();
        most = most.max(woken.len());
        let events: Vec<_> = woken.into_iter().flat_map(|client| client.poll_until_asleep(world)).collect();
        assert!(events.iter().all(|event| matches!(event, Event::Progress { .. })));
        events.len()
    };
    let early: usize = (first..from).map(|tick| silent(&world, &mut clients, tick)).sum();
    assert_eq!(early, 0);
    let in_time: usize = (from..=until).map(|tick| silent(&world, &mut clients, tick)).sum();
    assert_eq!(in_time, 1000);
    assert!(most < 100, "{most} at once");
    // Who was told something is not silent.
    world.commit(&[(0, key(LayerKind::Base, 0), Some(content(1)))]);
    world.advance();
    world.hub.tick.store(2 * until, Ordering::Relaxed);
    clients[..500].iter_mut().for_each(|client| drop(client.poll_until_asleep(&world)));
    world.hub.wake_silent(Tick(2 * until));
    let due = |client: &&Client| client.wakes() > 0;
    assert_eq!(clients[..500].iter().filter(due).count(), 0);
}

#[test]
fn what_concerns_nobody_is_passed_on_without_the_thread() {
    let mut world = World::new();
    let client = world.subscribe(vec![follow(0, 0)]);
    // The thread of this hub has ended: what it is to do is never done.
    let elsewhere = world.commit(&[(1, key(LayerKind::Base, 0), Some(content(1)))]);
    world.hub.publish(world.newest(), &[elsewhere]);
    assert_eq!(world.hub.revision(), Revision(1));
    let here = world.commit(&[(0, key(LayerKind::Base, 0), Some(content(1)))]);
    world.hub.publish(world.newest(), &[here]);
    let elsewhere = world.commit(&[(1, key(LayerKind::Base, 0), Some(content(2)))]);
    world.hub.publish(world.newest(), &[elsewhere]);
    assert_eq!(world.hub.revision(), Revision(1), "not before the thread has done what comes first");
    drop(client);
}

/// Readers and the hub's thread at once: what `steps` cannot order.
#[test]
fn readers_on_threads_of_their_own_are_told_the_state_of_each_revision_and_end_with_the_last() {
    const COMMITS: u64 = 400;
    let mut world = World::new();
    let (hub, thread) =
        Hub::start(world.newest(), resolver(&world.newest(), 1 << 20), &limits(100), &Supervisor::default());
    world.hub = hub.clone();
    let world = RwLock::new(world);
    let targets = [
        vec![follow(0, 2)],
        vec![follow(0, 1)],
        vec![follow(0, 2), follow(1, 2), follow(2, 1)],
        vec![star(2)],
    ];
    std::thread::scope(|scope| {
        let mut watch_ids = vec![];
        let mut readers = vec![];
        for targets in targets {
            let mut client = world.read().expect("not poisoned").subscribe(targets);
            watch_ids.push(client.stream.watch_id());
            let world = &world;
            readers.push(scope.spawn(move || {
                client.woken.thread.set(std::thread::current()).expect("it is set once");
                while client.revision < Revision(COMMITS) {
                    if fastrand::u8(..4) == 0 {
                        client.next_visibility = Some(visibilities()[fastrand::usize(..3)].clone());
                    }
                    let told = client.poll(&world.read().expect("not poisoned"));
                    if told.is_none() {
                        let parked = Instant::now();
                        std::thread::park_timeout(Duration::from_secs(60));
                        assert!(parked.elapsed() < Duration::from_secs(60), "a lost wake-up");
                    }
                }
            }));
        }
        for _ in 0..COMMITS {
            let mut changes: Vec<_> = (0..CONFIGS.len())
                .map(|config| {
                    (config, key(LayerKind::Base, fastrand::usize(..3)), Some(content(fastrand::u8(..5))))
                })
                .collect();
            changes.truncate(fastrand::usize(1..=3));
            let (commit, state) = {
                let mut world = world.write().expect("not poisoned");
                (world.commit(&changes), world.newest())
            };
            hub.publish(state, &[commit]);
        }
        for watch_id in watch_ids {
            // Who has the last one already has gone.
            let _ = hub.request_progress(&watch_id, "test", Revision(COMMITS));
        }
        readers.into_iter().for_each(|reader| reader.join().expect("it was told the truth"));
    });
    hub.close();
    thread.join().expect("the thread ends");
    assert_eq!(hub.watcher_count(), 0);
}
