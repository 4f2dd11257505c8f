//! Configs that are restored, against a model that keeps everything.

use super::*;
use crate::backup::{Catalog, Kept, Kind, Plan, Position, Selection};
use crate::model::{Digest, Revision};

fn restoring(config: Option<u8>, at: usize, revision: u64) -> Restoring {
    let id = id(config.unwrap_or(0));
    Restoring {
        namespace: id.namespace,
        config: config.map(|_| id.config),
        scope: scope(at),
        to: RestorePoint::Revision(Revision(revision)),
        expected: None,
    }
}

async fn restore(engine: &Engine, restoring: Restoring) -> Result<Outcome, Error> {
    engine.write(write(Source::Restore, Intent::Restore(restoring))).await
}

/// The layers of a config at a revision. `None`: it did not exist.
fn layers_at(naive: &Naive, config: u8, revision: u64) -> Option<Layers> {
    let versions = naive.versions[config as usize].iter();
    versions.rev().find(|(made, _)| *made <= revision).map(|(_, layers)| layers.clone())
}

/// What a restore leaves of a config: within the scope what was, outside of it what is.
fn restored(naive: &Naive, config: u8, within: &str, revision: u64) -> Layers {
    let is_within = |at: usize| scope(at).lineage().any(|above| above.as_str() == within);
    let then = layers_at(naive, config, revision).unwrap_or_default();
    let kept = naive.now(config).into_iter().filter(|((_, at), _)| !is_within(*at));
    kept.chain(then.into_iter().filter(|((_, at), _)| is_within(*at))).collect()
}

fn stored(engine: &Engine, config: u8) -> Layers {
    let state = engine.state();
    let layers = state.config(&id(config)).map(|config| config.layers().to_vec()).unwrap_or_default();
    let number = |entry: &LayerEntry| SCOPES.iter().position(|scope| *scope == entry.key.scope.as_str());
    let layer = |entry: Arc<LayerEntry>| {
        ((entry.key.kind, number(&entry).expect("one of the scopes")), entry.layer.content.to_value())
    };
    layers.into_iter().map(layer).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_restore_leaves_what_was_within_its_scope_and_keeps_the_rest(
        steps in prop::collection::vec(step(), 1..20),
        config in prop::option::of(0..2u8),
        at in 0..SCOPES.len(),
        which in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
            let engine = open(&store, |_| {});
            let mut naive = Naive::default();
            for step in &steps {
                take(&engine, &mut naive, step).await;
            }
            if naive.revision == 0 {
                return;
            }
            let revision = which.index(naive.revision as usize) as u64 + 1;
            let outcome = restore(&engine, restoring(config, at, revision)).await;
            if config.is_some_and(|config| layers_at(&naive, config, revision).is_none()) {
                assert!(matches!(outcome, Err(Error::NotFound(_))), "{outcome:?}");
                return;
            }
            let outcome = outcome.expect("a restore of what was valid");
            let concerned = |other: &u8| config.is_none_or(|config| config == *other);
            let after = (0..2u8).filter(concerned).map(|config| (config, restored(&naive, config, SCOPES[at], revision)));
            let after: Vec<(u8, Layers)> = after.collect();
            let before = naive.clone();
            assert_eq!(outcome.changed, naive.commit(after));
            assert_eq!(outcome.revision, Revision(naive.revision));
            assert_eq!(outcome.restored_revision, Some(Revision(revision)));
            for config in 0..2u8 {
                assert_eq!(stored(&engine, config), naive.now(config), "config {config} before: {:?}", before.now(config));
            }
            compare(&engine, &naive).await;
            let again = restore(&engine, restoring(config, at, revision)).await.expect("nothing to do");
            assert!(!again.changed);
            engine.close().await;
        });
    }
}

/// Has the server keep a backup of the store.
async fn keep(engine: &Engine, catalog: &Arc<Catalog>, kind: Kind, before: Option<&Kept>) -> Kept {
    let since = before.filter(|_| kind == Kind::Incremental).map(|before| Position {
        epoch: engine.epoch(),
        revision: Revision(before.manifest.last_revision),
        hash: Digest::parse(&before.manifest.last_hash).expect("a hash"),
    });
    let plan = Plan {
        kind,
        selection: Selection::All,
        since,
        server: String::new(),
        actor: "test".to_owned(),
        // Backups are listed in the order of their times.
        created: Timestamp(1 + i64::from(before.is_some())),
        note: String::new(),
        labels: BTreeMap::new(),
    };
    engine.keep_backup(catalog, plan, |_| true).await.expect("kept")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_restore_from_a_backup_is_a_restore_to_its_revision(
        steps in [prop::collection::vec(step(), 1..8), prop::collection::vec(step(), 0..6), prop::collection::vec(step(), 0..6)],
        kind in prop::sample::select(vec![Kind::Full, Kind::State, Kind::Incremental]),
        config in prop::option::of(0..2u8),
        at in 0..SCOPES.len(),
        which in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let catalog = Arc::new(Catalog::open(dir.path()).expect("opened"));
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
            let engine = open(&store, |options| options.backups = Some(catalog.clone()));
            let mut naive = Naive::default();
            for step in &steps[0] {
                take(&engine, &mut naive, step).await;
            }
            let full = keep(&engine, &catalog, Kind::Full, None).await;
            for step in &steps[1] {
                take(&engine, &mut naive, step).await;
            }
            let kept = keep(&engine, &catalog, kind, Some(&full)).await;
            let newest = naive.revision;
            for step in &steps[2] {
                take(&engine, &mut naive, step).await;
            }
            if newest == 0 {
                return;
            }
            let which = which.filter(|_| kind != Kind::State).map(|which| which.index(newest as usize) as u64 + 1);
            let revision = which.unwrap_or(newest);
            let source = BackupSource::kept(kept.id.clone(), Some(kept), which.map(Revision));
            let from_backup = Restoring { to: RestorePoint::Backup(Box::new(source)), ..restoring(config, at, revision) };
            let outcome = restore(&engine, from_backup.clone()).await;
            if config.is_some_and(|config| layers_at(&naive, config, revision).is_none()) {
                assert!(matches!(outcome, Err(Error::NotFound(_))), "{outcome:?}");
                return;
            }
            let outcome = outcome.expect("a restore of what was valid");
            let concerned = |other: &u8| config.is_none_or(|config| config == *other);
            let after = (0..2u8).filter(concerned).map(|config| (config, restored(&naive, config, SCOPES[at], revision)));
            let after: Vec<(u8, Layers)> = after.collect();
            assert_eq!(outcome.changed, naive.commit(after));
            assert_eq!(outcome.revision, Revision(naive.revision));
            assert_eq!(outcome.restored_revision, Some(Revision(revision)));
            for config in 0..2u8 {
                assert_eq!(stored(&engine, config), naive.now(config), "config {config}");
            }
            compare(&engine, &naive).await;
            let by_revision = restore(&engine, restoring(config, at, revision)).await.expect("nothing to do");
            assert!(!by_revision.changed, "the restore to the revision has nothing to do");
            let again = restore(&engine, from_backup).await.expect("nothing to do");
            assert!(!again.changed);
            engine.close().await;
        });
    }
}

/// Writers of old and new configs go on: whatever the restore comes before and after, at its revision all is as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_a_namespace_is_one_point_in_the_order_of_all_writes() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    let set = async |engine: &Engine, number: usize, value: usize| {
        let config = ConfigName::parse(&format!("config-{number}")).expect("a name");
        let change = put(0, 0, LayerKind::Base, &json!({ "a": value }));
        let change = Change { id: ConfigId { config, ..change.id.clone() }, ..change };
        write_changes(engine, vec![change]).await.expect("set");
    };
    for number in 0..5 {
        set(&engine, number, 0).await;
    }
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for value in 1..60 {
                    set(&engine, (writer * 60 + value) % 97, value).await;
                }
            })
        })
        .collect();
    let mut restores = vec![];
    for _ in 0..5 {
        restores.push(restore(&engine, restoring(None, 0, 5)).await.expect("restored"));
    }
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    let state = engine.state();
    for outcome in restores.iter().filter(|outcome| outcome.changed) {
        for config in state.configs_of(&id(0).namespace) {
            let number: usize = config.id.config.as_str()["config-".len()..].parse().expect("a number");
            let at = At::Revision(outcome.revision);
            let then = match engine.config_at(&state, &config.id, &at, "test").await {
                Ok(then) => then.layers().first().map(|entry| entry.layer.content.as_str().to_owned()),
                Err(Error::NotFound(_)) => None,
                Err(error) => panic!("{error}"),
            };
            let expected = (number < 5).then(|| r#"{"a":0}"#.to_owned());
            assert_eq!(then, expected, "{} at {}", config.id, outcome.revision);
        }
    }
    engine.close().await;
}
