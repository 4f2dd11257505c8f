//! Many writers at one config: none is starved, and its limits hold.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// The slow one needs much longer to plan than the others to write, so it is always overtaken until it takes a turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_writer_at_a_busy_config_has_its_turn() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    let large = json!({ "a": (0..40_000).collect::<Vec<_>>() });
    write_changes(&engine, vec![put(0, 1, LayerKind::Base, &large)]).await.expect("set");
    let is_done = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4)
        .map(|writer| {
            let (engine, is_done) = (engine.clone(), is_done.clone());
            tokio::spawn(async move {
                let mut number = 0;
                while !is_done.load(Ordering::Relaxed) {
                    let value = json!({ "writer": writer, "number": number });
                    write_changes(&engine, vec![put(0, 0, LayerKind::Base, &value)]).await.expect("set");
                    number += 1;
                }
                number
            })
        })
        .collect();
    for number in 0..5 {
        let patch = json!([{ "op": "add", "path": "/a/-", "value": number }]);
        let patch = Text { content: patch.to_string(), format: crate::model::text::Format::Json };
        let change = change(0, 1, LayerKind::Base, Action::JsonPatch(patch));
        write_changes(&engine, vec![change]).await.expect("patched");
    }
    is_done.store(true, Ordering::Relaxed);
    let mut commits = 6;
    for writer in busy {
        commits += writer.await.expect("no writer panics");
    }
    assert_eq!(engine.state().revision, Revision(commits));
    engine.close().await;
}

/// Every commit of the namespace makes a plan for all of it stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_for_a_busy_namespace_have_their_turn() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    let large = json!({ "a": (0..40_000).collect::<Vec<_>>() });
    for config in 0..2 {
        write_changes(&engine, vec![put(config, 1, LayerKind::Base, &large)]).await.expect("set");
    }
    let is_done = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4)
        .map(|writer| {
            let (engine, is_done) = (engine.clone(), is_done.clone());
            tokio::spawn(async move {
                let mut number = 0;
                while !is_done.load(Ordering::Relaxed) {
                    let value = json!({ "writer": writer, "number": number });
                    let set = put(writer as u8 % 2, 4, LayerKind::Base, &value);
                    write_changes(&engine, vec![set]).await.expect("set");
                    number += 1;
                }
            })
        })
        .collect();
    for number in 0..3 {
        let rule = json!({ "expression": format!("size(config) < {}", 100 + number) });
        let rules = put(0, 0, LayerKind::Base, &json!({ "rules": { "few": rule } }));
        let id = ConfigId { config: crate::model::Governs::Rules(None).name(), ..rules.id };
        write_changes(&engine, vec![Change { id, ..rules }]).await.expect("rules");
    }
    is_done.store(true, Ordering::Relaxed);
    for writer in busy {
        writer.await.expect("no writer panics");
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_config_has_at_most_so_many_layers() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |options| options.limits.layers_max = 3);
    let set = |at, value: i32| put(0, at, LayerKind::Base, &json!({ "a": value }));
    for at in 0..3 {
        write_changes(&engine, vec![set(at, 0)]).await.expect("within the limit");
    }
    let refused = write_changes(&engine, vec![set(3, 0)]).await;
    assert!(matches!(refused, Err(Error::LimitReached { limit_name: Limit::Layers, .. })), "{refused:?}");
    write_changes(&engine, vec![set(2, 1)]).await.expect("one that is there can change");
    engine.close().await;
    // A limit that was lowered since keeps nobody from taking layers away.
    let engine = open(&store, |options| options.limits.layers_max = 1);
    write_changes(&engine, vec![set(2, 2)]).await.expect("no layer was added");
    write_changes(&engine, vec![change(0, 2, LayerKind::Base, Action::Delete)]).await.expect("one less");
    engine.close().await;
}
