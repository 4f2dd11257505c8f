//! Plans of writes that concern many configs or layers: each stops soon once its caller has gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::hooked_store::HookedStore;
use super::*;
use crate::engine::check::look::Look;
use crate::engine::commit::planner::plan;
use crate::engine::commit::planning::Planning;
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::commit::read_write::ReadWrite;
use crate::model::{Commit, ConfigChange, Governs, LayerChange, Revision};

const CONFIGS: usize = 30;

fn named(config: &str, at: &str, value: &Value) -> Change {
    let config = ConfigName::parse(config).expect("a name");
    let key = LayerKey::base(Scope::parse(at).expect("a scope"));
    let text = Text { content: value.to_string(), format: crate::model::text::Format::Json };
    let id = ConfigId { config, ..id(0) };
    Change { id, key, ttl: None, action: Action::Replace(text), expected: None, field: "changes".into() }
}

fn changes(value: u64) -> Vec<Change> {
    (0..CONFIGS).map(|number| named(&format!("c{number:03}"), "/", &json!({ "a": value }))).collect()
}

/// Two commits to many configs.
async fn filled() -> Arc<Engine> {
    let engine = Engine::open(Arc::new(MemoryStore::new(Epoch(1))), Options::default()).expect("an engine");
    for value in 1..=2 {
        write_changes(&engine, changes(value)).await.expect("written");
    }
    engine
}

fn planned(engine: &Engine, write: &ReadWrite, cancelled: &Cancelled) -> Result<usize, Error> {
    let state = engine.state();
    let bases = write.bases(&state);
    let look = Look::default();
    let planning = Planning {
        limits: engine.limits(),
        key_store: &engine.key_store,
        validate_only: true,
        look: &look,
        visibility: write.visibility.as_ref(),
        now: Timestamp(0),
        cancelled,
    };
    plan(&bases, &write.intent, Timestamp(0), &planning).map(|plan| plan.changes.len())
}

/// Plans the intent to its end, and then ends it at each of its checks. There are at least so many.
async fn check(engine: &Engine, intent: Intent, checks_min: usize) {
    let name = format!("{intent:?}");
    let intent: ReadIntent = engine.read_intent(intent, "test").await.expect("it is read");
    let origin = write(Source::Set, Intent::Changes(vec![])).origin;
    let write = ReadWrite::new(origin, intent, true, everything());
    let to_its_end = Cancelled::default();
    assert!(planned(engine, &write, &to_its_end).expect("it is planned") > 0, "{name}");
    let made = to_its_end.checks_made();
    assert!(made >= checks_min as u64, "{made} checks of at least {checks_min}: {name}");
    for at in 1..=made {
        let cut = planned(engine, &write, &Cancelled::at_check(at));
        assert!(matches!(cut, Err(Error::Cancelled)), "check {at} of {made}, {cut:?}: {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn plans_for_many_configs_end_at_each_config_once_nobody_waits_for_them() {
    let engine = filled().await;
    let namespace = id(0).namespace;
    check(&engine, Intent::Changes(changes(3)), 4 * CONFIGS).await;
    let (scope, to) = (Scope::global(), RestorePoint::Revision(Revision(1)));
    let restoring = Restoring { namespace: namespace.clone(), config: None, scope, to, expected: None };
    check(&engine, Intent::Restore(restoring), 4 * CONFIGS).await;
    let mut reverting = Reverting::default();
    reverting
        .append(Reverting::of(engine.commit(Revision(2), "test").await.expect("a commit")))
        .expect("it has layers");
    check(&engine, Intent::Revert(reverting), 4 * CONFIGS).await;
    let tag = TagName::parse("good").expect("a name");
    let tagging = TagNamespace { namespace, tag, to: TagTarget::Newest, expected: None };
    check(&engine, Intent::TagNamespace(tagging), 3 * CONFIGS).await;
    // A schema of many configs, as all of them refer to it.
    let stored = |schema: Value| json!({"active": 1, "versions": [{"number": 1, "schema": schema}]});
    let schema =
        |config: &str| Governs::Schema(ConfigName::parse(config).expect("a name")).name().as_str().to_owned();
    let referring = (1..CONFIGS)
        .map(|number| named(&schema(&format!("c{number:03}")), "/", &stored(json!({"$ref": "schema:c000"}))));
    let first = named(&schema("c000"), "/", &stored(json!({"type": "object"})));
    write_changes(&engine, referring.chain([first]).collect()).await.expect("schemas");
    let marking = named(&schema("c000"), "/", &stored(json!({"properties": {"b": {"x-secret": true}}})));
    check(&engine, Intent::Changes(vec![marking]), 3 * CONFIGS).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn plans_for_many_layers_of_a_config_end_at_each_layer_once_nobody_waits_for_them() {
    let engine = Engine::open(Arc::new(MemoryStore::new(Epoch(1))), Options::default()).expect("an engine");
    let governed = ConfigId { config: ConfigName::parse("many").expect("a name"), ..id(0) };
    let put = |schema: Value, up: Option<Value>| Intent::PutSchema {
        governed: governed.clone(),
        put: PutSchema { schema, up, down: None, accept_existing: false, expected: None },
    };
    engine.write(write(Source::Schema, put(json!({"title": "1"}), None))).await.expect("a schema");
    let layers = (0..CONFIGS).map(|number| named("many", &format!("/s{number}"), &json!({ "a": number })));
    write_changes(&engine, layers.collect()).await.expect("layers");
    let steps = json!([{"set_default": {"at": "/b", "value": 1}}]);
    engine.write(write(Source::Schema, put(json!({"title": "2"}), Some(steps)))).await.expect("a version");
    check(&engine, Intent::Migrate { governed: governed.clone(), to: None }, 2 * CONFIGS).await;
    engine.close().await;
}

/// The configs of a restore that is cut short: it reads each of them.
const RESTORED: usize = 40_000;
/// Configs of which the restore may read more once it is to stop: the one that it is at, and those of a step.
const READ_AFTER_MAX: usize = 2;

/// A commit that gives each of the configs one more version.
fn commit_of_all(revision: u64) -> Commit {
    let change = |number: usize| {
        let layer = LayerChange {
            key: LayerKey::base(Scope::global()),
            content: Some(Content::of(&json!({ "a": revision }))),
            expires: None,
            format: None,
        };
        let config = ConfigName::parse(&format!("c{number:05}")).expect("a name");
        let id = ConfigId { config, ..id(0) };
        ConfigChange { id, version: Version(revision), layers: vec![layer], tags: vec![], restored: None }
    };
    Commit {
        revision: Revision(revision),
        time: Timestamp(revision as i64),
        author: Author::named("test"),
        source: Source::Apply,
        reason: String::new(),
        request: None,
        annotations: BTreeMap::new(),
        changes: (0..RESTORED).map(change).collect(),
        forgotten: vec![],
    }
}

/// A restore that has begun to read configs, and waits at one of them.
struct Reading {
    engine: Arc<Engine>,
    restore: tokio::task::JoinHandle<Result<Outcome, Error>>,
    /// Dropped, it lets the restore go on.
    held: mpsc::Sender<()>,
    read: Arc<AtomicUsize>,
    /// Closed once nothing uses the store any more.
    in_use: tokio::sync::mpsc::Receiver<()>,
}

impl Reading {
    async fn begin() -> Reading {
        let (held, goes_on) = mpsc::channel::<()>();
        let (begins, mut begun) = tokio::sync::mpsc::channel(1);
        let (of_store, in_use) = tokio::sync::mpsc::channel(1);
        let (read, is_held) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(true));
        let (counted, goes_on) = (read.clone(), std::sync::Mutex::new(goes_on));
        let store = HookedStore::before_read(move |_| {
            let _in_use = &of_store;
            counted.fetch_add(1, Ordering::SeqCst);
            if is_held.swap(false, Ordering::SeqCst) {
                begins.try_send(()).expect("the test waits");
                let _ = goes_on.lock().expect("no panic").recv();
            }
        });
        for revision in [1, 2] {
            store.append(&[commit_of_all(revision)]).expect("appended");
        }
        let engine = Engine::open(Arc::new(store), Options::default()).expect("an engine");
        let restoring = Restoring {
            namespace: id(0).namespace,
            config: None,
            scope: Scope::global(),
            to: RestorePoint::Revision(Revision(1)),
            expected: None,
        };
        let of_task = engine.clone();
        let restore =
            tokio::spawn(
                async move { of_task.write(write(Source::Restore, Intent::Restore(restoring))).await },
            );
        begun.recv().await.expect("it reads");
        Reading { engine, restore, held, read, in_use }
    }

    /// Lets the restore go on, and waits until nothing of it is left. How many configs it has read meanwhile.
    async fn ended(mut self) -> usize {
        let before = self.read.load(Ordering::SeqCst);
        drop(self.held);
        self.engine.close().await;
        drop(self.engine);
        assert_eq!(self.in_use.recv().await, None);
        self.read.load(Ordering::SeqCst) - before
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_very_many_configs_stops_within_a_few_of_them_once_its_caller_has_left() {
    let mut reading = Reading::begin().await;
    reading.restore.abort();
    assert!((&mut reading.restore).await.is_err_and(|ended| ended.is_cancelled()));
    let read = reading.ended().await;
    assert!(read <= READ_AFTER_MAX, "{read} of {RESTORED}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_very_many_configs_stops_within_a_few_of_them_once_the_server_stops() {
    let mut reading = Reading::begin().await;
    let engine = reading.engine.clone();
    // As a server does after SIGTERM, once calls have had their time.
    engine.close().await;
    let head = engine.state().revision;
    drop(engine);
    let held = std::mem::replace(&mut reading.held, mpsc::channel().0);
    drop(held);
    let ended = (&mut reading.restore).await.expect("no panic");
    assert!(matches!(ended, Err(Error::Cancelled | Error::Draining { .. })), "{ended:?}");
    assert_eq!(head, Revision(2), "nothing was restored");
    let read = reading.ended().await;
    assert!(read <= READ_AFTER_MAX, "{read} of {RESTORED}");
}
