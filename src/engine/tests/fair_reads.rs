//! Reads of history by one actor, all of whose store calls block: no more of them run at once than an actor has turns, and others are served.

use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hooked_store::HookedStore;
use super::*;

/// Reads of one config wait here until the gate is opened, and are counted.
struct Gate {
    of: ConfigId,
    is_open: Mutex<bool>,
    opened: Condvar,
    begun: AtomicUsize,
}

impl Gate {
    fn wait(&self, id: &ConfigId) {
        if *id == self.of {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let is_open = self.is_open.lock().expect("no test panics here");
            drop(self.opened.wait_while(is_open, |is_open| !*is_open).expect("no test panics here"));
        }
    }

    fn open(&self) {
        *self.is_open.lock().expect("no test panics here") = true;
        self.opened.notify_all();
    }
}

fn viewer(actor: &str) -> Viewer {
    Viewer::new(auth::Access::unrestricted(actor).expect("a name").visibility())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_actor_who_reads_much_history_keeps_nobody_from_reading_and_writing() {
    let gate = Arc::new(Gate {
        of: id(0),
        is_open: Mutex::new(false),
        opened: Condvar::new(),
        begun: AtomicUsize::new(0),
    });
    let store: Arc<dyn Store> = Arc::new(HookedStore::before_read({
        let gate = gate.clone();
        move |id| gate.wait(id)
    }));
    let engine = open(&store, |_| {});
    for number in 0..2 {
        for config in 0..2 {
            let change = put(config, 0, LayerKind::Base, &json!({ "a": number }));
            write_changes(&engine, vec![change]).await.expect("set");
        }
    }
    let mut greedy = tokio::task::JoinSet::new();
    for number in 0..100 {
        let engine = engine.clone();
        greedy.spawn(async move {
            // Pages of history, and documents of the past.
            match number % 2 {
                0 => engine.versions(&id(0), Version(9), 9, viewer("greedy")).await.map(drop),
                _ => {
                    let past = At::Version(Version(1));
                    engine.config_at(&engine.state(), &id(0), &past, "greedy").await.map(drop)
                }
            }
        });
    }
    let turns = std::thread::available_parallelism().map_or(1, |count| count.get()).max(2);
    while gate.begun.load(Ordering::Relaxed) < turns {
        tokio::task::yield_now().await;
    }
    // A text that is too long to be read at once needs a turn, too.
    let write = put(1, 0, LayerKind::Base, &json!({ "a": long(2 * INLINE_BYTES_MAX) }));
    write_changes(&engine, vec![write]).await.expect("another writes");
    let past = At::Version(Version(1));
    engine.config_at(&engine.state(), &id(1), &past, "modest").await.expect("another reads the past");
    let read = engine.versions(&id(1), Version(9), 9, viewer("modest")).await.expect("another reads history");
    assert_eq!(read.len(), 3);
    // So does a large document of now that is not in memory.
    let document = |actor: &'static str, path: &'static str| {
        let engine = engine.clone();
        let scope = Scope::parse(path).expect("a scope");
        let target = Target { id: id(1), scope, view: View::Effective, secrets: Secrets::Revealed };
        tokio::spawn(async move { engine.document(&engine.state(), &target, &At::Latest, actor).await })
    };
    let waiting = document("greedy", "/a/b");
    let made = document("modest", "/a/c").await.expect("no panic").expect("another reads the present");
    assert!(!waiting.is_finished(), "the actor has no turn");
    assert_eq!(gate.begun.load(Ordering::Relaxed), turns, "the actor has so many turns and no more");
    gate.open();
    while let Some(read) = greedy.join_next().await {
        read.expect("no panic").expect("it is read when its turn has come");
    }
    assert_eq!(gate.begun.load(Ordering::Relaxed), 100);
    let other = waiting.await.expect("no panic").expect("it is made when the actor has a turn");
    let text = |document: &Resolved| document.content.as_str().as_ptr();
    assert_eq!(text(&made), text(&other), "scopes with the same layers share one content");
    assert_eq!((made.target.scope.as_str(), other.target.scope.as_str()), ("/a/c", "/a/b"));
    engine.close().await;
}
