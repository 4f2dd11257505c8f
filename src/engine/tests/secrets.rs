//! Secrets through the engine: what is stored, what is seen, and what is said.

use std::path::Path;

use tokio_stream::StreamExt;

use super::*;
use crate::engine::watch::{Event, TargetStatus, WatchOptions, WatchSelector, WatchTarget};
use crate::model::text::Format;
use crate::model::{Author, Digest, Pointer, Request};

const CANARY: &str = "hunter2-canary";

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Epoch(1)))
}

/// On a master key in this directory.
fn open_with_key(store: &Arc<dyn Store>, directory: &Path) -> Result<Arc<Engine>, Error> {
    let master_key = MasterKeySource::Automatic(directory.join("master.key"));
    let options = Options { master_key, ..Options::default() };
    tokio::task::block_in_place(|| Engine::open(store.clone(), options))
}

fn json_text(value: &Value) -> Text {
    Text { content: value.to_string(), format: Format::Json }
}

async fn set(engine: &Engine, at: usize, value: Value) -> Outcome {
    write_changes(engine, vec![put(0, at, LayerKind::Base, &value)]).await.expect("it is written")
}

async fn patch(engine: &Engine, at: usize, action: Action) -> Outcome {
    let change = change(0, at, LayerKind::Base, action);
    write_changes(engine, vec![change]).await.expect("it is written")
}

async fn put_schema(engine: &Engine, schema: Value) {
    let put = PutSchema { schema, up: None, down: None, accept_existing: false, expected: None };
    let intent = Intent::PutSchema { governed: id(0), put };
    engine.write(write(Source::Schema, intent)).await.expect("the schema is put");
}

fn target(at: usize, view: View, secrets: Secrets) -> Target {
    Target { id: id(0), scope: scope(at), view, secrets }
}

async fn read_at(engine: &Engine, target: &Target, at: At) -> Value {
    let document = engine.document(&engine.state(), target, &at, "test").await.expect("there is one");
    document.content.to_value()
}

async fn read(engine: &Engine, at: usize, secrets: Secrets) -> Value {
    read_at(engine, &target(at, View::Effective, secrets), At::Latest).await
}

fn is_hidden(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("***:") && text.len() == 12)
}

/// The text of a config as it is stored.
fn stored(engine: &Engine) -> String {
    let state = engine.state();
    let config = state.config(&id(0)).expect("it exists");
    config.layers().iter().map(|entry| entry.layer.content.as_str()).collect()
}

/// The same, of all commits.
fn journal(store: &Arc<dyn Store>) -> String {
    format!("{:?}", store.commits(Revision(1), usize::MAX).expect("they are read")).to_owned()
        + &store
            .commits(Revision(1), usize::MAX)
            .expect("they are read")
            .iter()
            .flat_map(|sealed| &sealed.commit.changes)
            .flat_map(|change| &change.layers)
            .filter_map(|layer| layer.content.as_ref().map(|content| content.as_str().to_owned()))
            .collect::<String>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_marked_value_is_stored_sealed_read_as_it_is_and_hidden_from_others() {
    let store = memory();
    let engine = open(&store, |_| {});
    let outcome = set(&engine, 0, json!({"db": {"password": {"$secret": CANARY}, "port": 1}})).await;
    assert_eq!(outcome.revision, Revision(2), "the first secret of a namespace brings its data key");
    assert!(!stored(&engine).contains(CANARY) && stored(&engine).contains("{\"$secret\":\"v1:"));
    assert!(!journal(&store).contains(CANARY));
    let revealed = read(&engine, 1, Secrets::Revealed).await;
    assert_eq!(revealed, json!({"db": {"password": CANARY, "port": 1}}));
    let hidden = read(&engine, 1, Secrets::Hidden).await;
    assert!(is_hidden(&hidden["db"]["password"]) && hidden["db"]["port"] == 1, "{hidden}");
    let layer = outcome.layers[0].after.as_ref().expect("it is there").content.to_value();
    assert_eq!(layer["db"]["password"], CANARY, "who may see it sees it in the outcome");
    // The same once more is no change, with the mark, without it, and as it was read hidden.
    for same in [json!({"$secret": CANARY}), json!(CANARY), hidden["db"]["password"].clone()] {
        let outcome = set(&engine, 0, json!({"db": {"password": same, "port": 1}})).await;
        assert!(!outcome.changed, "{same}");
    }
    // Another value is, and stays secret without a mark.
    set(&engine, 0, json!({"db": {"password": "other-canary", "port": 1}})).await;
    assert!(!journal(&store).contains("other-canary"));
    let other = read(&engine, 0, Secrets::Hidden).await;
    assert!(is_hidden(&other["db"]["password"]) && other != hidden, "a change of it can be seen");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn patches_replace_and_carry_secrets_as_a_whole() {
    let store = memory();
    let engine = open(&store, |_| {});
    set(&engine, 0, json!({"db": {"$secret": {"user": "u", "password": CANARY}}, "a": {"$secret": "x"}}))
        .await;
    patch(&engine, 0, Action::MergePatch(json_text(&json!({"db": {"user": "v"}})))).await;
    assert_eq!(read(&engine, 0, Secrets::Revealed).await["db"], json!({"user": "v"}));
    let within = BTreeMap::from([("db.user".to_owned(), "\"w\"".to_owned())]);
    let change = change(0, 0, LayerKind::Base, Action::Assign(within));
    let refused = write_changes(&engine, vec![change]).await.expect_err("nothing leads into a secret");
    assert!(matches!(refused, Error::Document { .. }) && refused.to_string().contains("secret"), "{refused}");
    let assigned = BTreeMap::from([("db".to_owned(), "{\"user\": \"w\"}".to_owned())]);
    patch(&engine, 0, Action::Assign(assigned)).await;
    assert_eq!(read(&engine, 0, Secrets::Revealed).await["db"], json!({"user": "w"}));
    let moved =
        json!([{"op": "move", "from": "/a", "path": "/b"}, {"op": "copy", "from": "/b", "path": "/c"}]);
    patch(&engine, 0, Action::JsonPatch(json_text(&moved))).await;
    let hidden = read(&engine, 0, Secrets::Hidden).await;
    assert!(["db", "b", "c"].iter().all(|name| is_hidden(&hidden[name])), "{hidden}");
    assert_ne!(hidden["b"], hidden["c"], "equal values of two places are not told");
    assert_eq!(read(&engine, 0, Secrets::Revealed).await["c"], "x");
    let replaced = json!({"db": {"$secret": {"other": 1}}});
    patch(&engine, 0, Action::MergePatch(json_text(&replaced))).await;
    assert_eq!(read(&engine, 0, Secrets::Revealed).await["db"], json!({"other": 1}));
    assert!(!journal(&store).contains(CANARY));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn layers_merge_around_secrets_each_of_which_is_one_value() {
    let store = memory();
    let engine = open(&store, |_| {});
    put_schema(&engine, json!({"properties": {"db": {"x-secret": true}}})).await;
    set(&engine, 0, json!({"db": {"user": "u", "password": CANARY}, "a": {"$secret": "x"}, "b": 1})).await;
    set(&engine, 1, json!({"db": {"user": "v"}})).await;
    set(&engine, 2, json!({"db": {"password": null}, "a": {"b": 1}})).await;
    let document = read(&engine, 1, Secrets::Revealed).await;
    assert_eq!(document, json!({"db": {"user": "v"}, "a": "x", "b": 1}));
    let below = read(&engine, 2, Secrets::Revealed).await;
    assert_eq!(below, json!({"db": {}, "a": {"b": 1}, "b": 1}));
    let hidden = read(&engine, 2, Secrets::Hidden).await;
    assert!(
        is_hidden(&hidden["db"]) && is_hidden(&hidden["a"]),
        "what a layer has in the place of a secret is secret: {hidden}"
    );
    // What a layer below has changes what is hidden, and each scope has its own.
    let [above, here] = [read(&engine, 0, Secrets::Hidden).await, read(&engine, 1, Secrets::Hidden).await];
    assert!(above["db"] != here["db"] && above["a"] == here["a"]);
    assert!(!journal(&store).contains(CANARY));
    // An assignment would replace the secret as well, where its author sees one member.
    let assigned = |path: &str| {
        let values = [(path.to_owned(), "1".to_owned())].into();
        write_changes(&engine, vec![change(0, 3, LayerKind::Base, Action::Assign(values))])
    };
    for path in ["a.c", "db.user"] {
        let refused = assigned(path).await.expect_err("it is refused").to_string();
        assert!(refused.contains("a secret"), "{refused}");
    }
    assigned("c.d").await.expect("it is written");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_schema_that_marks_a_place_seals_what_is_there_and_hides_what_was() {
    let store = memory();
    let engine = open(&store, |_| {});
    set(&engine, 0, json!({"password": CANARY, "a": 1})).await;
    set(&engine, 1, json!({"password": "other", "a": null})).await;
    let version = engine.state().config(&id(0)).expect("it exists").at.version;
    let mut revealed = subscribe(&engine, Secrets::Revealed).await;
    let mut hidden = subscribe(&engine, Secrets::Hidden).await;
    let [plain, _] = [next_document(&mut revealed).await, next_document(&mut hidden).await];
    assert_eq!(plain["password"], CANARY);
    put_schema(&engine, json!({"properties": {"password": {"secret": true, "type": "string"}}})).await;
    assert!(!stored(&engine).contains(CANARY));
    assert!(is_hidden(&next_document(&mut hidden).await["password"]), "it is hidden from now on");
    // Who sees it is told of the next change only.
    set(&engine, 0, json!({"password": CANARY, "a": 2})).await;
    assert_eq!(next_document(&mut revealed).await, json!({"password": CANARY, "a": 2}));
    let state = engine.state();
    for view in [View::Effective, View::Layer(LayerKind::Base)] {
        let past = target(1, view, Secrets::Hidden);
        let then = read_at(&engine, &past, At::Version(version)).await;
        assert_eq!(then["password"], "***", "it was stored in clear text: a fingerprint would be a guess");
    }
    let versions = engine
        .versions(&id(0), Version(9), 9, Viewer::new(visibility(Secrets::Hidden)))
        .await
        .expect("history");
    for (_, sealed) in &versions {
        for layer in
            &sealed.commit.changes.iter().find(|change| change.id == id(0)).expect("it changed").layers
        {
            let content = layer.content.as_ref().expect("nothing was deleted").to_value();
            assert!(is_hidden(&content["password"]) || content["password"] == "***", "{content}");
        }
    }
    assert_eq!(versions.len() as u64, state.config(&id(0)).expect("it exists").at.version.0);
    drop((revealed, hidden));
    engine.close().await;
}

async fn subscribe(engine: &Engine, secrets: Secrets) -> Subscription {
    let target = WatchTarget {
        selector: WatchSelector::Config(id(0), None),
        scope: scope(0),
        view: View::Effective,
        format: Format::Json,
    };
    let interval = Duration::from_secs(600);
    let options = WatchOptions {
        client: Default::default(),
        targets: vec![target],
        resume_token: None,
        progress_interval: interval,
        visibility: visibility(secrets),
    };
    engine.watch(options).await.expect("it is opened")
}

async fn next_document(subscription: &mut Subscription) -> Value {
    let status = match subscription.next().await.expect("it is open").expect("it goes on") {
        Event::Changed { state, .. } => state.status,
        Event::Snapshot { mut states, .. } => states.remove(0).status,
        other => panic!("{other:?}"),
    };
    match status {
        TargetStatus::Present(resolved) => resolved.content.to_value(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_of_commits_and_an_outcome_show_what_may_be_seen() {
    let store = memory();
    let engine = open(&store, |_| {});
    set(&engine, 0, json!({"a": {"$secret": CANARY}})).await;
    for (secrets, is_shown) in [(Secrets::Revealed, true), (Secrets::Hidden, false)] {
        let progress_interval = Duration::from_secs(600);
        let filter = Some((id(0).namespace, None));
        let options = ChangesOptions {
            from: Some(Revision(1)),
            filter,
            progress_interval,
            viewer: Viewer::new(visibility(secrets)),
        };
        let mut changes = engine.changes(options).expect("it is opened");
        let ChangeEvent::Commit(sealed) = changes.next().await.expect("a commit") else { panic!("a commit") };
        let content = sealed.commit.changes[0].layers[0].content.clone().expect("it was put");
        assert_eq!(content.as_str().contains(CANARY), is_shown);
        assert!(!content.as_str().contains("v1:"), "what is sealed never leaves");
        let (state, target) = (engine.state(), target(0, View::Effective, secrets));
        let explained = engine.explain(
            &state,
            &target,
            &At::Latest,
            (Pointer::root(), 1 << 20),
            visibility(secrets),
            |it| it,
        );
        let explained = explained.await.expect("it is explained");
        assert_eq!(format!("{:?}", explained.origins).contains(CANARY), is_shown);
        let change = put(0, 0, LayerKind::Base, &json!({"a": {"$secret": "new-canary"}, "b": 1}));
        let (report, outcome) = engine
            .validate(vec![change], Pointer::root(), Viewer::new(visibility(secrets)))
            .await
            .expect("it is validated");
        let layer = &outcome.expect("there is an outcome").layers[0];
        let (before, after) =
            (layer.before.as_ref().expect("it was there"), layer.after.as_ref().expect("it is there"));
        let shown = format!("{} {}", before.layer.content.as_str(), after.content.as_str());
        assert_eq!((shown.contains(CANARY), shown.contains("new-canary")), (is_shown, is_shown), "{shown}");
        assert!(report.is_valid());
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_only_validated_makes_no_key_and_is_told_as_if_it_were_written() {
    let store = memory();
    let engine = open(&store, |_| {});
    let change = || put(0, 0, LayerKind::Base, &json!({"a": {"$secret": CANARY}}));
    for secrets in [Secrets::Revealed, Secrets::Hidden] {
        let (_, outcome) = engine
            .validate(vec![change()], Pointer::root(), Viewer::new(visibility(secrets)))
            .await
            .expect("it is validated");
        let after =
            outcome.expect("an outcome").layers[0].after.clone().expect("it is put").content.to_value();
        assert_eq!(
            after["a"],
            if secrets == Secrets::Revealed { CANARY } else { "***" },
            "not even a fingerprint is told of what is proposed"
        );
    }
    assert_eq!(engine.state().revision, Revision::ZERO);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_finding_shows_a_secret() {
    let store = memory();
    let engine = open(&store, |_| {});
    let schema = json!({"properties": {
        "place": {"type": "integer"}, "pin": {"x-secret": true, "maximum": 10}, "level": {"enum": ["hunter3"]}
    }});
    put_schema(&engine, schema).await;
    let rules = json!({"rules": {
        "long": {"expression": "size(config.token) > 90", "message_expression": "'token is ' + config.token"},
        "old": {"expression": "old == null || old.token == config.token",
                "message_expression": "'was ' + string(old.token) + ' is ' + config.token"}
    }});
    let rules_id = ConfigId { config: ConfigName::parse("rules:config-0").expect("a name"), ..id(0) };
    set(&engine, 0, json!({"token": {"$secret": format!("{CANARY}{}", "x".repeat(90))}})).await;
    let put_rules = Change { id: rules_id, ..put(0, 0, LayerKind::Base, &rules) };
    write_changes(&engine, vec![put_rules]).await.expect("the rules are put");
    let layer = json!({
        "token": {"$secret": CANARY}, "place": {"$secret": "hunter2"}, "level": {"$secret": "hunter2"},
        "pin": 4242, "password": {"$secret": "correcthorse1"}, "min_pool": {"$secret": 7117}, "max_pool": 3
    });
    let (report, _) = engine
        .validate(vec![put(0, 1, LayerKind::Base, &layer)], Pointer::root(), Viewer::new(everything()))
        .await
        .expect("a report");
    let errors: Vec<_> = report.findings.iter().map(|finding| finding.code.to_string()).collect();
    for code in ["SCHEMA_TYPE", "SCHEMA_RANGE", "SCHEMA_ENUM", "long", "old"] {
        assert!(errors.iter().any(|found| found == code), "{code} is not in {errors:?}");
    }
    assert!(!errors.iter().any(|code| code == "CREDENTIAL" || code == "MIN_ABOVE_MAX"), "{errors:?}");
    let told = format!("{report:?}");
    for secret in [CANARY, "hunter2", "4242", "7117", "correcthorse1"] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_sealed_elsewhere_and_the_keys_themselves_cannot_be_written() {
    let store = memory();
    let engine = open(&store, |_| {});
    set(&engine, 0, json!({"a": {"$secret": CANARY}})).await;
    let sealed: Value = serde_json::from_str(&stored(&engine)).expect("one layer");
    for (config, layer) in [(0, json!({"b": sealed["a"]})), (1, sealed.clone())] {
        // At another place of the layer, a patch could have moved it; of another scope, it has not.
        let change = put(config, 4, LayerKind::Base, &layer);
        let refused = write_changes(&engine, vec![change]).await;
        match (config, refused) {
            (0, Ok(_)) => {}
            (1, Err(Error::Refused(report))) => assert_eq!(report.findings[0].code, "SECRET_NOT_OPENED"),
            (config, other) => panic!("{config}: {other:?}"),
        }
    }
    // The same place of another scope.
    write_changes(&engine, vec![put(0, 3, LayerKind::Base, &sealed)]).await.expect("it is copied");
    assert_eq!(read(&engine, 3, Secrets::Revealed).await["a"], CANARY);
    let keys = engine.key_store.id().clone();
    let change = Change { id: keys.clone(), ..put(0, 0, LayerKind::Base, &json!({})) };
    let refused = write_changes(&engine, vec![change]).await.expect_err("nobody writes the keys");
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    let delete = Intent::Delete { id: keys.clone(), key: None, expected: None };
    assert!(engine.write(write(Source::Delete, delete)).await.is_err());
    // Nor sealed, whatever is said to govern them.
    let everything = json!({"active": 1, "versions": [{"number": 1, "schema": {"x-secret": true}}]});
    let schema = ConfigId { config: ConfigName::parse("schema:keys").expect("a name"), ..keys };
    let change = Change { id: schema, ..put(0, 0, LayerKind::Base, &everything) };
    write_changes(&engine, vec![change]).await.expect("the schema is written");
    let other = put(1, 0, LayerKind::Base, &json!({"a": {"$secret": CANARY}}));
    write_changes(&engine, vec![other]).await.expect("keys are found as before");
    let new = PutSchema { schema: json!({}), up: None, down: None, accept_existing: false, expected: None };
    let intent = Intent::PutSchema { governed: engine.key_store.id().clone(), put: new };
    assert!(engine.write(write(Source::Schema, intent)).await.is_err());
    engine
        .rotate_master_key(Author::named("test"))
        .await
        .expect_err("a key of this process cannot be written anywhere");
    let rotated =
        engine.rotate_data_key(id(0).namespace, Author::named("test")).await.expect("a further key");
    assert_eq!((rotated.is_new, rotated.left), (true, 0));
    assert_eq!(read(&engine, 3, Secrets::Revealed).await["a"], CANARY);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rollback_brings_a_secret_back_and_what_is_repeated_is_known() {
    let store = memory();
    let engine = open(&store, |_| {});
    let fingerprint = Digest::of(CANARY.as_bytes());
    let request = || Some(Request { id: "once".into(), fingerprint });
    let first = || {
        let intent = Intent::Changes(vec![put(0, 0, LayerKind::Base, &json!({"a": {"$secret": CANARY}}))]);
        let mut write = write(Source::Set, intent);
        write.origin.request = request();
        write
    };
    let done = engine.write(first()).await.expect("it is written");
    let again = engine.write(first()).await.expect("it is known");
    assert_eq!(done.revision, again.revision);
    let commits = store.commits(Revision(1), usize::MAX).expect("they are read");
    let stored = commits.iter().find_map(|sealed| sealed.commit.request.clone()).expect("it is stored");
    assert_ne!(stored.fingerprint, fingerprint, "the digest of a secret can be guessed");
    set(&engine, 0, json!({"a": {"$secret": "other"}})).await;
    let to = RollbackTo::Version(Version(1));
    let rollback = Intent::Rollback { id: id(0), to, scope: None, expected: None };
    let outcome = engine.write(write(Source::Rollback, rollback)).await.expect("it is rolled back");
    assert!(outcome.changed);
    assert_eq!(read(&engine, 0, Secrets::Revealed).await["a"], CANARY);
    assert!(!journal(&store).contains(CANARY));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn secrets_survive_a_restart_with_their_master_key_and_no_start_does_without_it() {
    let (store, directory) = (memory(), tempfile::tempdir().expect("a directory"));
    let key = directory.path().join("master.key");
    let engine = open_with_key(&store, directory.path()).expect("an empty store");
    assert!(!key.exists(), "it is made when it is needed");
    set(&engine, 0, json!({"a": {"$secret": CANARY}})).await;
    engine.close().await;
    let engine = open_with_key(&store, directory.path()).expect("with the same key");
    assert_eq!(read(&engine, 0, Secrets::Revealed).await["a"], CANARY);
    engine.close().await;
    let right = std::fs::read_to_string(&key).expect("it was made");
    std::fs::remove_file(&key).expect("it is ours");
    let missing = open_with_key(&store, directory.path()).map(|_| ()).expect_err("without a key");
    std::fs::write(&key, "00".repeat(32)).expect("it is written");
    let wrong = open_with_key(&store, directory.path()).map(|_| ()).expect_err("with another key");
    for error in [missing, wrong] {
        let told = error.to_string();
        assert!(told.contains("master key") && !told.contains(right.trim()), "{told}");
    }
    std::fs::write(&key, right).expect("it is written");
    open_with_key(&store, directory.path()).expect("with the same key again").close().await;
}

/// The namespaces of many writers, each of which needs a key at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_need_a_first_key_at_once_agree_on_one() {
    let store = memory();
    let engine = open(&store, |_| {});
    let writers: Vec<_> = (0..16_u8)
        .map(|writer| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let change = put(writer, 0, LayerKind::Base, &json!({"a": {"$secret": writer}}));
                write_changes(&engine, vec![change]).await.expect("it is written");
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    assert_eq!(engine.state().revision, Revision(17));
    for config in 0..16_u8 {
        let target = Target { id: id(config), ..target(0, View::Effective, Secrets::Revealed) };
        assert_eq!(read_at(&engine, &target, At::Latest).await, json!({"a": config}));
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_that_vanishes_is_noticed_and_so_is_its_return() {
    let (store, directory) = (memory(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("master.key");
    let options = Options {
        master_key: MasterKeySource::Automatic(path.clone()),
        master_key_check_interval: Duration::from_millis(1),
        ..Options::default()
    };
    let engine = tokio::task::block_in_place(|| Engine::open(store, options)).expect("it opens");
    let until = async |failing: bool| {
        while engine.is_master_key_failing() != failing {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    set(&engine, 0, json!({"password": {"$secret": CANARY}})).await;
    let key = std::fs::read(&path).expect("it was made");
    std::fs::remove_file(&path).expect("it is removed");
    until(true).await;
    std::fs::write(&path, &key).expect("it is back");
    until(false).await;
    // Another key opens nothing.
    std::fs::write(&path, "00".repeat(32)).expect("it is written");
    until(true).await;
    assert_eq!(read(&engine, 0, Secrets::Revealed).await, json!({"password": CANARY}), "it is in memory");
    engine.close().await;
}
