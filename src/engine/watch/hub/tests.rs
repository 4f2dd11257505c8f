//! The hub without its thread: the test decides when it looks at what was committed, and when a stream is polled.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_stream::Stream;

use super::*;
use crate::engine::Loading;
use crate::engine::resolve::{Target, View, resolve};
use crate::engine::watch::{
    Event, Held, Subscription, TargetStatus, WatchOptions, WatchSelector, WatchTarget,
};
use crate::model::text::Format;
use crate::model::{
    Commit, ConfigChange, ConfigName, Content, Digest, Epoch, LayerChange, LayerKind, Namespace, Scope,
    Source, Timestamp, Version,
};
use crate::store::Head;

const CONFIGS: [&str; 3] = ["a", "b", "c"];
const SCOPES: [&str; 3] = ["/", "/p", "/p/x"];
const VIEWS: [View; 4] =
    [View::Effective, View::Base, View::Layer(LayerKind::Base), View::Layer(LayerKind::Override)];

/// A hub, the states that were committed, and what it was not yet told of.
struct World {
    hub: Arc<Hub>,
    states: Vec<Arc<State>>,
    untold: BTreeMap<ConfigId, HashSet<LayerKey>>,
    runtime: Runtime,
}

impl World {
    fn new() -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let state = Arc::new(Loading::default().state(Epoch(7), Head::EMPTY));
        let (hub, thread) = Hub::start(state.clone(), Arc::new(Resolver::new(1 << 20)), 100);
        hub.close();
        thread.join().expect("the thread ends");
        World { hub, states: vec![state], untold: BTreeMap::new(), runtime: runtime.expect("a runtime") }
    }

    fn newest(&self) -> Arc<State> {
        self.states.last().expect("there is one").clone()
    }

    /// Puts or deletes layers, in one commit.
    fn commit(&mut self, changes: &[(usize, LayerKey, Option<Content>)]) {
        let state = self.newest();
        let mut by_config: BTreeMap<ConfigId, BTreeMap<LayerKey, LayerChange>> = BTreeMap::new();
        for (config, key, content) in changes {
            let change =
                LayerChange { key: key.clone(), content: content.clone(), expires: None, format: None };
            by_config.entry(id(*config)).or_default().insert(key.clone(), change);
            self.untold.entry(id(*config)).or_default().insert(key.clone());
        }
        let changes = by_config.into_iter().map(|(id, layers)| {
            let version = state.config(&id).map_or(Version::ZERO, |config| config.at.version).next();
            let layers = layers.into_values().collect();
            ConfigChange { id, version, layers, tags: vec![], restored: None }
        });
        let commit = Commit {
            revision: state.revision.next(),
            time: Timestamp(0),
            actor: String::new(),
            source: Source::Apply,
            reason: String::new(),
            request: None,
            annotations: BTreeMap::new(),
            changes: changes.collect(),
        };
        self.states.push(Arc::new(state.apply(&commit)));
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

    /// The same, while other things happen: after it made the documents, and before streams of several see the state that they
    /// were marked for.
    fn advance_while(&mut self, clients: &mut Vec<Client>, steps: Vec<Step>, polled: Vec<usize>) {
        let (state, changed) = (self.newest(), self.take_untold());
        let told = self.hub.make_documents(&state, &changed);
        steps.into_iter().for_each(|step| step.take(self, clients));
        // Without the lock: a poll does not take it, and a failed one would poison it.
        let woken = self.hub.mark(&self.hub.table(), &state, &changed, told);
        polled.into_iter().for_each(|at| Step::Poll(at).take(self, clients));
        self.hub.move_on(self.hub.table(), state, woken);
    }

    fn subscribe(&self, targets: Vec<WatchTarget>) -> Client {
        let _guard = self.runtime.enter();
        let progress_interval = Duration::from_secs(3600);
        let options = WatchOptions { targets: targets.clone(), resume_token: None, progress_interval };
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
            stream: self.hub.subscribe(options).expect("there is room"),
            woken: Arc::default(),
            asleep: false,
            revision: Revision::ZERO,
            greeted: false,
        }
    }

    fn resolved(&self, revision: Revision, target: &Target) -> Option<Digest> {
        let state = &self.states[usize::try_from(revision.0).expect("few states")];
        Some(resolve(state.config(&target.id)?.as_ref(), target)?.digest)
    }

    /// What a client of these targets should hold at a revision.
    fn expected(&self, revision: Revision, targets: &[WatchTarget]) -> BTreeMap<String, Digest> {
        let targets = targets.iter().flat_map(|target| match &target.selector {
            WatchSelector::Config(id, _) => vec![exact(id.clone(), target)],
            WatchSelector::Namespace(..) => (0..CONFIGS.len()).map(|at| exact(id(at), target)).collect(),
        });
        let held = targets.filter_map(|target| Some((name(&target), self.resolved(revision, &target)?)));
        held.collect()
    }
}

/// A stream, and what someone knows who believes what it says.
struct Client {
    targets: Vec<WatchTarget>,
    stream: Subscription,
    held: HashMap<Target, Digest>,
    woken: Arc<Wakes>,
    /// It was polled, and had nothing to say.
    asleep: bool,
    revision: Revision,
    greeted: bool,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Wakes>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Client {
    /// Polls once, and checks what comes against the states that there were.
    fn poll(&mut self, world: &World) -> Option<Event> {
        let _guard = world.runtime.enter();
        let waker = Waker::from(self.woken.clone());
        let event = match Pin::new(&mut self.stream).poll_next(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                self.asleep = true;
                self.woken.0.store(0, Ordering::SeqCst);
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
            Event::Changed { revision, state } => (*revision, std::slice::from_ref(state)),
            Event::Progress { revision } => (*revision, [].as_slice()),
            Event::Snapshot { .. } | Event::Update { .. } => panic!("all of it fits one message: {event:?}"),
        };
        assert!(self.greeted, "a snapshot is first");
        assert!(self.revision <= revision, "revisions do not decrease");
        self.revision = revision;
        let is_snapshot = matches!(event, Event::Snapshot { .. });
        for state in states {
            let held = self.held.get(state.target()).copied();
            match &state.status {
                TargetStatus::Present(resolved) => {
                    assert_ne!(held, Some(resolved.digest), "the client has it already");
                    self.held.insert(state.target().clone(), resolved.digest);
                }
                TargetStatus::Current(_) => {
                    assert!(is_snapshot && held.is_some(), "current is said of what is held")
                }
                TargetStatus::Absent(_) => {
                    assert!(is_snapshot || held.is_some(), "the client knows already");
                    self.held.remove(state.target());
                }
            }
        }
        assert_eq!(self.names(), world.expected(revision, &self.targets), "at revision {revision}");
        Some(event)
    }

    fn names(&self) -> BTreeMap<String, Digest> {
        self.held.iter().map(|(target, digest)| (name(target), *digest)).collect()
    }

    fn poll_until_asleep(&mut self, world: &World) -> Vec<Event> {
        std::iter::from_fn(|| self.poll(world)).collect()
    }

    fn wakes(&self) -> usize {
        self.woken.0.load(Ordering::SeqCst)
    }
}

fn id(config: usize) -> ConfigId {
    let namespace = Namespace::parse("test").expect("a name");
    ConfigId { namespace, config: ConfigName::parse(CONFIGS[config]).expect("a name") }
}

fn key(kind: LayerKind, scope: usize) -> LayerKey {
    LayerKey { kind, scope: Scope::parse(SCOPES[scope]).expect("a scope") }
}

fn exact(id: ConfigId, target: &WatchTarget) -> Target {
    Target { id, scope: target.scope.clone(), view: target.view }
}

fn name(target: &Target) -> String {
    format!("{} {} {:?}", target.id, target.scope, target.view)
}

fn content(number: u8) -> Content {
    Content::of(&match number {
        0 => json!({"a": null}),
        1 => json!({"a": 1}),
        2 => json!({"a": 2}),
        _ => json!({"b": number}),
    })
}

fn follow(config: usize, scope: usize) -> WatchTarget {
    WatchTarget {
        selector: WatchSelector::Config(id(config), None),
        scope: Scope::parse(SCOPES[scope]).expect("a scope"),
        view: View::Effective,
        format: Format::Json,
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
    world.hub.request_progress(&client.stream.watch_id(), Revision(2)).expect("the stream is open");
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
    world.hub.request_progress(&client.stream.watch_id(), Revision(1)).expect("the stream is open");
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
    let mut poll = || {
        let _guard = world.runtime.enter();
        Pin::new(&mut client.stream).poll_next(&mut Context::from_waker(Waker::noop()))
    };
    assert!(matches!(poll(), Poll::Ready(Some(Err(Error::Draining { .. })))));
    assert!(matches!(poll(), Poll::Ready(None)));
    let options =
        WatchOptions { targets: vec![], resume_token: None, progress_interval: Duration::from_secs(1) };
    assert!(matches!(world.hub.subscribe(options), Err(Error::Draining { .. })));
}

/// Something that happens. Numbers name clients, where there are any.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, LayerKey, Option<Content>)>),
    Advance,
    /// Steps while it makes documents, and clients that are polled while it marks.
    AdvanceWhile(Vec<Step>, Vec<usize>),
    Subscribe(Vec<(Option<usize>, usize, usize)>, bool),
    Poll(usize),
    RequestProgress(usize),
    Drop(usize),
}

impl Step {
    fn take(self, world: &mut World, clients: &mut Vec<Client>) {
        match self {
            Step::Commit(changes) => world.commit(&changes),
            Step::Advance => world.advance(),
            Step::AdvanceWhile(steps, polled) => world.advance_while(clients, steps, polled),
            Step::Subscribe(targets, holds) => {
                let targets = targets_of(world, targets, holds);
                clients.push(world.subscribe(targets));
            }
            Step::Poll(at) if !clients.is_empty() => {
                let at = at % clients.len();
                clients[at].poll(world);
            }
            Step::RequestProgress(at) if !clients.is_empty() => {
                let at = at % clients.len();
                let watch_id = clients[at].stream.watch_id();
                world.hub.request_progress(&watch_id, world.newest().revision).expect("it is open");
            }
            Step::Drop(at) if !clients.is_empty() => {
                clients.swap_remove(at % clients.len());
            }
            Step::Poll(_) | Step::RequestProgress(_) | Step::Drop(_) => {}
        }
    }
}

/// A step that is taken at once.
fn plain_step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![3 => Just(LayerKind::Base), 1 => Just(LayerKind::Override)];
    let content = prop_oneof![4 => (0_u8..5).prop_map(|number| Some(content(number))), 1 => Just(None)];
    let change = (0..CONFIGS.len(), (kind, 0..SCOPES.len()), content)
        .prop_map(|(config, (kind, scope), content)| (config, key(kind, scope), content));
    let config = prop_oneof![3 => (0..CONFIGS.len()).prop_map(Some), 1 => Just(None)];
    let targets = prop::collection::vec((config, 0..SCOPES.len(), 0..VIEWS.len()), 1..5);
    prop_oneof![
        6 => prop::collection::vec(change, 1..4).prop_map(Step::Commit),
        2 => (targets, any::<bool>()).prop_map(|(targets, holds)| Step::Subscribe(targets, holds)),
        6 => any::<usize>().prop_map(Step::Poll),
        1 => any::<usize>().prop_map(Step::RequestProgress),
        1 => any::<usize>().prop_map(Step::Drop),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let steps = prop::collection::vec(plain_step(), 0..6);
    let polled = prop::collection::vec(any::<usize>(), 0..6);
    prop_oneof![
        18 => plain_step(),
        2 => Just(Step::Advance),
        3 => (steps, polled).prop_map(|(steps, polled)| Step::AdvanceWhile(steps, polled)),
    ]
}

/// Targets of which no two are one, as what was said of which could not be told; `holds`: the client holds what there was at the newest revision, known to the hub or not.
fn targets_of(
    world: &World,
    mut targets: Vec<(Option<usize>, usize, usize)>,
    holds: bool,
) -> Vec<WatchTarget> {
    targets.sort_unstable();
    targets.dedup();
    let all: Vec<_> = targets.iter().filter(|target| target.0.is_none()).copied().collect();
    targets.retain(|(config, scope, view)| config.is_none() || !all.contains(&(None, *scope, *view)));
    let newest = world.newest().revision;
    let held = |config: usize, target: &WatchTarget| {
        world.resolved(newest, &exact(id(config), target)).filter(|_| holds)
    };
    let targets = targets.into_iter().map(|(config, scope, view)| {
        let mut target = WatchTarget { view: VIEWS[view], ..follow(config.unwrap_or(0), scope) };
        target.selector = match config {
            Some(config) => WatchSelector::Config(id(config), held(config, &target)),
            None => {
                let configs = (0..CONFIGS.len()).filter_map(|at| Some((id(at).config, held(at, &target)?)));
                WatchSelector::Namespace(id(0).namespace, configs.collect::<Held>())
            }
        };
        target
    });
    targets.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens when: a message leaves its reader with exactly what there was at its revision; who is asleep has
    /// been told everything that the hub knows; in the end everyone has the last state; and nothing is left of who has gone.
    #[test]
    fn every_reader_holds_the_state_of_the_revision_it_was_told(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let mut clients: Vec<Client> = vec![];
        for step in steps {
            step.take(&mut world, &mut clients);
            let reached = world.hub.revision();
            for client in clients.iter().filter(|client| client.asleep && client.wakes() == 0) {
                // A stream of one target may have been told of a state that the hub is yet to reach.
                let reached = reached.max(client.revision);
                prop_assert_eq!(client.names(), world.expected(reached, &client.targets), "a lost wake-up");
            }
        }
        world.advance();
        let last = world.newest().revision;
        for client in &mut clients {
            client.poll_until_asleep(&world);
            prop_assert_eq!(client.names(), world.expected(last, &client.targets));
            world.hub.request_progress(&client.stream.watch_id(), last).expect("it is open");
            client.poll_until_asleep(&world);
            prop_assert_eq!(client.revision, last);
        }
        drop(clients);
        prop_assert_eq!((world.hub.watcher_count(), world.hub.target_count()), (0, 0));
        prop_assert!(world.hub.progress_waiters().is_empty());
    }
}
