//! Plans of writes that concern many configs or layers: each stops soon once its caller has gone.

use super::*;
use crate::engine::check::look::Look;
use crate::engine::commit::planner::plan;
use crate::engine::commit::planning::Planning;
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::commit::read_write::ReadWrite;
use crate::model::Governs;

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
