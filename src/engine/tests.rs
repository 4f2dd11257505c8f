//! The engine against a model that keeps everything and merges by the letter of RFC 7396.

mod access;
mod backups;
mod cancelling;
mod contention;
mod effort;
mod fair_reads;
mod hooked_store;
mod namespace_retention;
mod quotas;
mod refusing;
mod replica;
mod restore;
mod revert;
mod secret_merge;
mod secrets;
mod subscribers;
mod system;
mod validation;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth;
use crate::model::arbitrary::similar_object;
use crate::model::{
    Author, ConfigName, Content, Epoch, LayerKind, Namespace, Scope, Source, TagName, Timestamp,
};
use crate::supervise::OnPanic;

use crate::store::memory::MemoryStore;
use crate::store::{Point, SledOptions, SledStore};

const SCOPES: [&str; 5] = ["/", "/a", "/a/b", "/a/b/c", "/d"];

/// A write on one of two configs.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize, LayerKind, Value),
    Delete(u8, usize, LayerKind),
    DeleteAll(u8),
    /// To a version, counted from the newest back.
    RollBack(u8, usize, Option<usize>),
    /// Both configs in one commit.
    PutBoth(usize, Value),
}

type Layers = BTreeMap<(LayerKind, usize), Value>;

/// What a config was at each of its versions, and the revision of each.
#[derive(Clone, Default)]
struct Naive {
    versions: [Vec<(u64, Layers)>; 2],
    revision: u64,
}

impl Naive {
    fn now(&self, config: u8) -> Layers {
        self.versions[config as usize].last().map(|(_, layers)| layers.clone()).unwrap_or_default()
    }

    /// Makes a commit of what changed. Whether it did.
    fn commit(&mut self, after: Vec<(u8, Layers)>) -> bool {
        let changed: Vec<_> =
            after.into_iter().filter(|(config, layers)| self.now(*config) != *layers).collect();
        self.revision += u64::from(!changed.is_empty());
        for (config, layers) in &changed {
            self.versions[*config as usize].push((self.revision, layers.clone()));
        }
        !changed.is_empty()
    }

    fn effective(layers: &Layers, scope: &str) -> Option<Value> {
        let above = |at: usize| {
            let layer = SCOPES[at];
            layer == "/" || scope == layer || scope.starts_with(&format!("{layer}/"))
        };
        let merged: Vec<_> =
            layers.iter().filter(|((_, at), _)| above(*at)).map(|(_, value)| value).collect();
        (!merged.is_empty()).then(|| merged.into_iter().fold(json!({}), merge_by_the_letter))
    }
}

/// RFC 7396 section 2.
fn merge_by_the_letter(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Default::default(),
    };
    for (name, value) in patch {
        let old = target.remove(name);
        if !value.is_null() {
            target.insert(name.clone(), merge_by_the_letter(old.unwrap_or(Value::Null), value));
        }
    }
    Value::Object(target)
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || prop_oneof![3 => Just(LayerKind::Base), 1 => Just(LayerKind::Override)];
    let scope = || 0..SCOPES.len();
    prop_oneof![
        6 => (0..2u8, scope(), kind(), similar_object()).prop_map(|(c, s, k, v)| Step::Put(c, s, k, v)),
        2 => (0..2u8, scope(), kind()).prop_map(|(c, s, k)| Step::Delete(c, s, k)),
        1 => (0..2u8).prop_map(Step::DeleteAll),
        2 => (0..2u8, 0..4usize, prop::option::of(scope())).prop_map(|(c, v, s)| Step::RollBack(c, v, s)),
        2 => (scope(), similar_object()).prop_map(|(s, v)| Step::PutBoth(s, v)),
    ]
}

fn id(config: u8) -> ConfigId {
    ConfigId {
        namespace: Namespace::parse("test").expect("a name"),
        config: ConfigName::parse(&format!("config-{config}")).expect("a name"),
    }
}

fn scope(at: usize) -> Scope {
    Scope::parse(SCOPES[at]).expect("a scope")
}

fn put(config: u8, at: usize, kind: LayerKind, value: &Value) -> Change {
    let text = Text { content: value.to_string(), format: crate::model::text::Format::Json };
    change(config, at, kind, Action::Replace(text))
}

fn change(config: u8, at: usize, kind: LayerKind, action: Action) -> Change {
    let key = LayerKey { kind, scope: scope(at) };
    Change { id: id(config), key, ttl: None, action, expected: None, field: format!("config-{config}") }
}

/// Of somebody who may do everything.
fn everything() -> auth::Visibility {
    auth::Access::unrestricted("test").expect("a name").visibility()
}

/// Of somebody who may read everything, and to whom secrets stand like this.
fn visibility(secrets: Secrets) -> auth::Visibility {
    let binding = json!({"subjects": ["*"], "role": "viewer", "namespace": "*", "config": "*", "scope": "/"});
    match secrets {
        Secrets::Revealed => everything(),
        Secrets::Hidden => {
            let policy = auth::Policy::parse(&json!({"bindings": [binding]})).expect("a policy");
            auth::Access::new(auth::Caller::unverified("viewer").expect("a name"), &policy).visibility()
        }
    }
}

fn write(source: Source, intent: Intent) -> Write {
    let origin = Origin {
        author: Author::named("test"),
        source,
        reason: String::new(),
        request: None,
        annotations: BTreeMap::new(),
    };
    Write { origin, intent, validate_only: false, without_backup: false, viewer: Viewer::new(everything()) }
}

/// What a step asks for, and what each config is after it. `None`: it makes no sense.
fn intended(naive: &Naive, step: &Step) -> Option<(Intent, Vec<(u8, Layers)>)> {
    Some(match step {
        Step::Put(config, at, kind, value) => {
            let mut layers = naive.now(*config);
            layers.insert((*kind, *at), value.clone());
            (Intent::Changes(vec![put(*config, *at, *kind, value)]), vec![(*config, layers)])
        }
        Step::Delete(config, at, kind) => {
            let mut layers = naive.now(*config);
            layers.remove(&(*kind, *at));
            (Intent::Changes(vec![change(*config, *at, *kind, Action::Delete)]), vec![(*config, layers)])
        }
        Step::DeleteAll(config) if naive.versions[*config as usize].is_empty() => return None,
        Step::DeleteAll(config) => {
            (Intent::Delete { id: id(*config), key: None, expected: None }, vec![(*config, Layers::new())])
        }
        Step::RollBack(config, back, at) => {
            let versions = &naive.versions[*config as usize];
            let version = versions.len().checked_sub(*back).filter(|version| *version > 0)?;
            let old = &versions[version - 1].1;
            let mut layers = naive.now(*config);
            layers.retain(|(_, place), _| at.is_some_and(|at| *place != at));
            layers.extend(
                old.iter()
                    .filter(|((_, place), _)| at.is_none_or(|at| *place == at))
                    .map(|(k, v)| (*k, v.clone())),
            );
            let to = RollbackTo::Version(Version(version as u64));
            let intent = Intent::Rollback { id: id(*config), to, scope: at.map(scope), expected: None };
            (intent, vec![(*config, layers)])
        }
        Step::PutBoth(at, value) => {
            let after = |config| {
                let mut layers = naive.now(config);
                layers.insert((LayerKind::Base, *at), value.clone());
                (config, layers)
            };
            let changes = (0..2).map(|config| put(config, *at, LayerKind::Base, value));
            (Intent::Changes(changes.collect()), vec![after(0), after(1)])
        }
    })
}

async fn take(engine: &Engine, naive: &mut Naive, step: &Step) {
    let Some((intent, after)) = intended(naive, step) else { return };
    let outcome = engine.write(write(Source::Apply, intent)).await.expect("it is a valid write");
    assert_eq!(
        outcome.changed,
        naive.commit(after),
        "a commit is made when, and only when, something changes"
    );
    assert_eq!(outcome.revision, Revision(naive.revision));
}

/// Every config at every scope, at each version and at each revision, is what the model says.
async fn compare(engine: &Engine, naive: &Naive) {
    let state = engine.state();
    for config in 0..2u8 {
        let versions = &naive.versions[config as usize];
        for (at, path) in SCOPES.iter().enumerate() {
            let target = Target {
                id: id(config),
                scope: scope(at),
                view: View::Effective,
                secrets: Secrets::Revealed,
            };
            let read = async |point: At| match engine.document(&state, &target, &point, "test").await {
                Ok(resolved) => {
                    assert_eq!(resolved.digest, resolved.content.digest());
                    Some(resolved.content.clone())
                }
                Err(Error::NotFound(_)) => None,
                Err(error) => panic!("{error}"),
            };
            for (number, (_, layers)) in (1..).zip(versions) {
                let expected = Naive::effective(layers, path).map(|value| Content::of(&value));
                assert_eq!(read(At::Version(Version(number))).await, expected, "{target:?} version {number}");
            }
            for revision in 0..=naive.revision {
                let layers =
                    versions.iter().rev().find(|(made, _)| *made <= revision).map(|(_, layers)| layers);
                let expected = layers.and_then(|layers| Naive::effective(layers, path));
                let found = read(At::Revision(Revision(revision))).await;
                assert_eq!(
                    found,
                    expected.map(|value| Content::of(&value)),
                    "{target:?} revision {revision}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_point_of_history_resolves_as_the_letter_of_the_rules_says(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
            let mut naive = Naive::default();
            let engine = Engine::open(store.clone(), Options::default()).expect("an empty store");
            for step in &steps {
                take(&engine, &mut naive, step).await;
            }
            compare(&engine, &naive).await;
            engine.close().await;
            // What a new engine folds from the store is what the old one had.
            let engine = Engine::open(store, Options::default()).expect("the same store");
            compare(&engine, &naive).await;
            engine.close().await;
        });
    }
}

/// Many writers of one counter, each only if nobody else was before: no update is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_writes_lose_no_update() {
    let engine =
        Engine::open(Arc::new(MemoryStore::new(Epoch(1))), Options::default()).expect("an empty store");
    let increment = async |engine: &Engine| loop {
        let state = engine.state();
        let layer =
            state.config(&id(0)).and_then(|config| config.layer(&LayerKey::base(Scope::global())).cloned());
        let count =
            layer.as_ref().map_or(0, |entry| entry.layer.content.to_value()["n"].as_u64().expect("a count"));
        let mut change = put(0, 0, LayerKind::Base, &json!({ "n": count + 1 }));
        let version = layer.map_or(Version::ZERO, |entry| entry.layer.version);
        change.expected = Some(Expected::Version(version));
        match engine.write(write(Source::Set, Intent::Changes(vec![change]))).await {
            Ok(_) => return,
            Err(Error::VersionMismatch { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    increment(&engine).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    let target =
        Target { id: id(0), scope: Scope::global(), view: View::Effective, secrets: Secrets::Revealed };
    let resolved = engine.document(&engine.state(), &target, &At::Latest, "test").await.expect("it is there");
    assert_eq!((resolved.content.as_str(), resolved.at.version), (r#"{"n":200}"#, Version(200)));
    engine.close().await;
}

fn open(store: &Arc<dyn Store>, change: impl FnOnce(&mut Options)) -> Arc<Engine> {
    let mut options = Options::default();
    change(&mut options);
    tokio::task::block_in_place(|| Engine::open(store.clone(), options)).expect("the store opens")
}

/// A value of about so many bytes.
fn long(bytes: usize) -> Value {
    Value::from("x".repeat(bytes))
}

async fn write_changes(engine: &Engine, changes: Vec<Change>) -> Result<Outcome, Error> {
    engine.write(write(Source::Apply, Intent::Changes(changes))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_limit_that_was_lowered_keeps_no_override_from_ending() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let at = |time: i64| move |options: &mut Options| options.clock = Arc::new(move || Timestamp(time));
    let engine = open(&store, at(0));
    let mut hides = put(0, 0, LayerKind::Override, &json!({ "a": null }));
    hides.ttl = Some(Duration::from_micros(10));
    let shows = put(0, 0, LayerKind::Base, &json!({ "a": long(2000) }));
    write_changes(&engine, vec![hides, shows]).await.expect("within the limits");
    engine.close().await;
    let engine = open(&store, |options| {
        at(10)(options);
        options.limits.document_bytes_max = 1000;
    });
    let state = engine.state();
    assert_eq!(state.config(&id(0)).expect("it is there").layers().len(), 1);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_remains_when_overrides_end_is_checked_when_they_are_written() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |options| options.limits.document_bytes_max = 1000);
    let base = put(0, 0, LayerKind::Base, &json!({ "a": long(800) }));
    write_changes(&engine, vec![base]).await.expect("within the limit");
    let overriding = |at, value: Value, seconds: Option<u64>| {
        let ttl = seconds.map(Duration::from_secs);
        Change { ttl, ..put(0, at, LayerKind::Override, &value) }
    };
    // Too large in the end, though not as long as the other is there.
    let hides = |seconds| overriding(0, json!({ "a": null }), seconds);
    let adds = |seconds| overriding(1, json!({ "b": long(800) }), seconds);
    let refused = write_changes(&engine, vec![hides(Some(100)), adds(Some(200))]).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    let refused = write_changes(&engine, vec![hides(Some(100)), adds(None)]).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    write_changes(&engine, vec![hides(Some(200)), adds(Some(100))]).await.expect("what hides stays longer");
    // Without overrides it is a document as well.
    let below = put(0, 1, LayerKind::Base, &json!({ "c": long(800) }));
    let forever = hides(None);
    let refused = write_changes(&engine, vec![forever, below]).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    engine.close().await;
}

/// A change of one value below many layers: each of them is merged with those above it only.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_config_may_have_many_layers() {
    const LAYERS: usize = 20_000;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |options| {
        options.limits.changes_max = LAYERS;
        options.limits.document_bytes_max = 1000;
    });
    let below = (0..LAYERS).map(|at| {
        let scope = Scope::parse(&format!("/s{at}")).expect("a scope");
        let change = put(0, 0, LayerKind::Base, &json!({ "a": at }));
        Change { key: LayerKey::base(scope), field: format!("changes[{at}]"), ..change }
    });
    write_changes(&engine, below.collect()).await.expect("within the limits");
    let above = put(0, 0, LayerKind::Base, &json!({ "b": 1 }));
    write_changes(&engine, vec![above]).await.expect("within the limits");
    let rollback =
        Intent::Rollback { id: id(0), to: RollbackTo::Version(Version(1)), scope: None, expected: None };
    engine
        .write(write(Source::Delete, Intent::Delete { id: id(0), key: None, expected: None }))
        .await
        .expect("deleted");
    let outcome = engine.write(write(Source::Rollback, rollback)).await.expect("rolled back");
    assert_eq!(outcome.layers.len(), LAYERS);
    engine.close().await;
}

/// A store whose disk stands still until it is told to go on.
fn stalled(dir: &std::path::Path) -> (Arc<dyn Store>, std::sync::mpsc::Sender<()>) {
    let (go_on, stopped) = std::sync::mpsc::channel();
    let stopped = Mutex::new(stopped);
    let pause = move |point| {
        if point == Point::BeforeSync {
            // All go on once the test has ended.
            let _ = stopped.lock().expect("no test panics here").recv();
        }
    };
    let options = SledOptions { pause: Some(Arc::new(pause)), ..SledOptions::default() };
    (Arc::new(SledStore::open(dir, options).expect("a new store")), go_on)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_changed_nothing_is_not_told_before_that_is_durable_also_when_it_is_repeated() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, go_on) = stalled(dir.path());
    let engine = open(&store, |_| {});
    let ask = |mut write: Write, request: Option<&str>| {
        write.origin.request = request
            .map(|id| crate::model::Request { id: id.into(), fingerprint: crate::model::Digest::of(b"set") });
        engine.write(write)
    };
    let set = |request| {
        let change = put(0, 0, LayerKind::Base, &json!({ "a": 1 }));
        ask(write(Source::Set, Intent::Changes(vec![change])), request)
    };
    // The first request with an id waits for those of the journal to be read, too.
    let delete = Intent::Delete { id: id(1), key: None, expected: None };
    let missing = ask(write(Source::Delete, delete), Some("before")).await;
    assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");
    let mut first = Box::pin(set(None));
    let mut same = Box::pin(set(Some("a")));
    let mut repeated = Box::pin(set(Some("a")));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut same).is_pending());
    assert!(futures_util::poll!(&mut repeated).is_pending(), "the disk has not answered yet");
    drop(go_on);
    assert!(first.await.expect("durable").changed);
    for outcome in [same.await, repeated.await] {
        let outcome = outcome.expect("nothing to write");
        assert_eq!((outcome.changed, outcome.revision), (false, Revision(1)));
    }
    engine.close().await;
}

/// Whether the rollback looks the tag up before or after the move is up to the threads; that its revision tells which is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rollback_to_a_tag_goes_to_what_the_tag_names_at_its_revision() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    let set = async |value: i32| {
        let change = put(0, 0, LayerKind::Base, &json!({ "a": value }));
        write_changes(&engine, vec![change]).await.expect("set");
    };
    let tag = TagName::parse("stable").expect("a name");
    let move_to = async |version| {
        let (id, tag, to) = (id(0), tag.clone(), Some(Version(version)));
        let intent = Intent::Tag { id, tag, to, expected: None };
        engine.write(write(Source::Tag, intent)).await.expect("moved").revision
    };
    set(1).await;
    set(2).await;
    for _ in 0..50 {
        set(3).await;
        move_to(1).await;
        let to = RollbackTo::Tag(tag.clone());
        let intent = Intent::Rollback { id: id(0), to, scope: None, expected: None };
        let mut rollback = Box::pin(engine.write(write(Source::Rollback, intent)));
        // Most often it has looked the tag up now, and reads the version that it found.
        let early = match futures_util::poll!(&mut rollback) {
            std::task::Poll::Ready(outcome) => Some(outcome),
            std::task::Poll::Pending => None,
        };
        let moved = move_to(2).await;
        let outcome = match early {
            Some(outcome) => outcome,
            None => rollback.await,
        };
        let outcome = outcome.expect("rolled back");
        let named = if outcome.revision < moved { Version(1) } else { Version(2) };
        assert_eq!(outcome.restored, Some(named), "rolled back in {}, moved in {moved}", outcome.revision);
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_more_history_is_read_at_once_than_fits_memory() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    for at in 0..10u8 {
        let value = Value::from(char::from(b'a' + at).to_string().repeat(1_000_000));
        write_changes(&engine, vec![put(0, 0, LayerKind::Base, &json!({ "a": value }))]).await.expect("set");
    }
    let (mut before, mut found) = (Version(11), vec![]);
    loop {
        let read = engine.versions(&id(0), before, 100, Viewer::new(everything())).await.expect("history");
        let Some((last, _)) = read.last() else { break };
        assert!(read.len() <= 5);
        before = last.version;
        found.extend(read.iter().map(|(at, _)| at.version.0));
    }
    assert_eq!(found, (1..=10).rev().collect::<Vec<_>>());
    engine.close().await;
}

/// Two engines on one store break its contract, at which it panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_are_told_when_the_commit_thread_has_panicked() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let first = Engine::open(store.clone(), Options::default()).expect("an empty store");
    let second = Engine::open(store, Options::default()).expect("an empty store");
    let set = || write(Source::Set, Intent::Changes(vec![put(0, 0, LayerKind::Base, &json!({ "a": 1 }))]));
    first.write(set()).await.expect("it is the first");
    for _ in 0..2 {
        let refused = second.write(set()).await;
        assert!(matches!(refused, Err(Error::Unwritable(_))), "{refused:?}");
    }
    assert_eq!(second.state().revision, Revision(0));
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_panic_in_blocking_work_is_counted_as_one_of_the_task_that_waits_for_it() {
    let supervisor = Supervisor::default();
    let work = || async { _ = blocking(|| panic!("on purpose")).await };
    supervisor.task("test", OnPanic::EndServer, work).await.expect("the supervisor catches it");
    let (_, status) = supervisor.tasks().into_iter().find(|(name, _)| *name == "test").expect("it ran");
    assert_eq!(status.panics, 1);
}
