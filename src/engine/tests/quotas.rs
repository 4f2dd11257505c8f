//! What namespaces have is what counting everything says, whatever was written; and a quota refuses what is too much, and nothing else.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::model::quota::{Quota, Quotas};

fn namespace() -> Namespace {
    id(0).namespace
}

/// Counts everything.
fn counted(state: &State) -> Usage {
    let configs: Vec<_> = state.configs_of(&namespace()).cloned().collect();
    Usage::of(&configs)
}

/// The same by the model.
fn modelled(layers: &[Layers]) -> Usage {
    let contents = layers.iter().flat_map(|layers| layers.values());
    Usage {
        configs: layers.iter().filter(|layers| !layers.is_empty()).count() as u64,
        bytes: contents.map(|value| Content::of(value).as_str().len() as u64).sum(),
    }
}

fn open_at(store: &Arc<dyn Store>, time: &Arc<AtomicI64>, quotas: Quotas) -> Arc<Engine> {
    let time = time.clone();
    let clock: Clock = Arc::new(move || Timestamp(time.load(Relaxed)));
    open(store, |options| *options = Options { clock, quotas, ..Options::default() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_write_is_refused_when_it_makes_a_namespace_larger_than_its_quotas_and_only_then(
        steps in prop::collection::vec(step(), 1..25),
        ending in prop::collection::vec((0..2u8, 0..SCOPES.len(), similar_object()), 0..3),
        configs in prop::option::of(1..3u64),
        bytes in prop::option::of(1..200u64),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let (store, time): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::new(Epoch(1))), Arc::new(AtomicI64::new(0)));
            let quotas = Quotas { configs, bytes, ..Quotas::UNLIMITED };
            let engine = open_at(&store, &time, quotas);
            let mut naive = Naive::default();
            for step in &steps {
                let Some((intent, after)) = intended(&naive, step) else { continue };
                let before = modelled(&[naive.now(0), naive.now(1)]);
                let mut now = [naive.now(0), naive.now(1)];
                after.iter().for_each(|(config, layers)| now[*config as usize] = layers.clone());
                let usage = modelled(&now);
                let is_too_much = |was: u64, is: u64, limit: Option<u64>| is > was && limit.is_some_and(|limit| is > limit);
                let refused = is_too_much(before.configs, usage.configs, configs)
                    || is_too_much(before.bytes, usage.bytes, bytes);
                match engine.write(write(Source::Apply, intent)).await {
                    Ok(_) => {
                        assert!(!refused, "{usage:?} is too much for {quotas:?}");
                        naive.commit(after);
                    }
                    Err(Error::QuotaExceeded { quota: Quota::Configs, found, limit, .. }) => {
                        assert!(refused && found == usage.configs && Some(limit) == configs);
                    }
                    Err(Error::QuotaExceeded { found, limit, .. }) => {
                        assert!(refused && found == usage.bytes && Some(limit) == bytes);
                    }
                    Err(error) => panic!("{error}"),
                }
                let state = engine.state();
                assert_eq!(state.usage(&namespace()), counted(&state));
                assert_eq!(state.usage(&namespace()), modelled(&[naive.now(0), naive.now(1)]));
            }
            // Without quotas, with overrides that end while nobody is there.
            engine.close().await;
            let engine = open_at(&store, &time, Quotas::UNLIMITED);
            assert_eq!(engine.state().usage(&namespace()), counted(&engine.state()));
            for (config, at, value) in &ending {
                let ttl = Some(Duration::from_secs(1));
                let change = Change { ttl, ..put(*config, *at, LayerKind::Override, value) };
                engine.write(write(Source::Set, Intent::Changes(vec![change]))).await.expect("nothing is limited");
                assert_eq!(engine.state().usage(&namespace()), counted(&engine.state()));
            }
            engine.close().await;
            time.store(10_000_000, Relaxed);
            let engine = open_at(&store, &time, quotas);
            assert!(engine.state().next_expiry().is_none());
            assert_eq!(engine.state().usage(&namespace()), counted(&engine.state()));
            engine.close().await;
        });
    }
}

/// Many writers at once do not together get beyond what each alone may not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_exact_however_many_write_at_once() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |options| options.quotas.configs = Some(10));
    let writers = (0..40u8).map(|config| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let change = put(config, 0, LayerKind::Base, &json!({ "a": 1 }));
            engine.write(write(Source::Set, Intent::Changes(vec![change]))).await.is_ok()
        })
    });
    let mut written = 0;
    for writer in writers.collect::<Vec<_>>() {
        written += usize::from(writer.await.expect("no writer panics"));
    }
    assert_eq!((written, engine.state().usage(&namespace()).configs), (10, 10));
    assert_eq!(engine.commit_counts().refused_for_configs.load(Relaxed), 30);
    engine.close().await;
}
