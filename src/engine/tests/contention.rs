//! Many writers at one config: none is starved, and its limits hold.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// So many commits each writer makes before it gives up: one that is always overtaken would otherwise wait for ever.
const BUSY_COMMITS_MAX: u64 = 50_000;

/// Does `work` while four writers commit without a pause what `change` makes of their numbers and those of their commits; gives how many
/// commits they made. None of them may be done before the work is.
async fn beside_busy_writers(
    engine: &Arc<Engine>,
    change: fn(u64, u64) -> Change,
    work: impl Future<Output = ()>,
) -> u64 {
    let is_done = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4)
        .map(|writer| {
            let (engine, is_done) = (engine.clone(), is_done.clone());
            tokio::spawn(async move {
                let mut number = 0;
                while !is_done.load(Ordering::Relaxed) && number < BUSY_COMMITS_MAX {
                    write_changes(&engine, vec![change(writer, number)]).await.expect("set");
                    number += 1;
                }
                number
            })
        })
        .collect();
    work.await;
    is_done.store(true, Ordering::Relaxed);
    let mut commits = 0;
    for writer in busy {
        let made = writer.await.expect("no writer panics");
        assert!(made < BUSY_COMMITS_MAX, "it was overtaken until nobody was left to do so");
        commits += made;
    }
    commits
}

/// The slow one needs much longer to plan than the others to write, so it is always overtaken until it takes a turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_writer_at_a_busy_config_has_its_turn() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    let large = json!({ "a": (0..40_000).collect::<Vec<_>>() });
    write_changes(&engine, vec![put(0, 1, LayerKind::Base, &large)]).await.expect("set");
    let busy =
        |writer: u64, number: u64| put(0, 0, LayerKind::Base, &json!({ "writer": writer, "number": number }));
    let commits = beside_busy_writers(&engine, busy, async {
        for number in 0..5 {
            let patch = json!([{ "op": "add", "path": "/a/-", "value": number }]);
            let patch = Text { content: patch.to_string(), format: crate::model::text::Format::Json };
            let change = change(0, 1, LayerKind::Base, Action::JsonPatch(patch));
            write_changes(&engine, vec![change]).await.expect("patched");
        }
    });
    let commits = commits.await;
    assert_eq!(engine.state().revision, Revision(6 + commits));
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
    let busy = |writer: u64, number: u64| {
        put((writer % 2) as u8, 4, LayerKind::Base, &json!({ "writer": writer, "number": number }))
    };
    let rules = async {
        for number in 0..3 {
            let rule = json!({ "expression": format!("size(config) < {}", 100 + number) });
            let rules = put(0, 0, LayerKind::Base, &json!({ "rules": { "few": rule } }));
            let id = ConfigId { config: crate::model::Governs::Rules(None).name(), ..rules.id };
            write_changes(&engine, vec![Change { id, ..rules }]).await.expect("rules");
        }
    };
    beside_busy_writers(&engine, busy, rules).await;
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
