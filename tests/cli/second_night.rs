//! The second night: the disk is gone while 64 writers write and 1000 streams watch. One command makes a store of the backup again. Its state and
//! history are what the writers had been acknowledged up to the revision of the backup, and no stream is sent an older state without a reset.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use confwatch::client::{Client, ConnectOptions};
use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::watch_response::Event;
use confwatch::proto::v1::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::harness::{GuardedServer, confwatch, finish, keys_of, text, until};

const NAMESPACE: &str = "shop";
/// A config that all writers write, each at a scope of its own.
const SHARED: &str = "shared";
const WRITERS: usize = 64;
const WATCHERS: usize = 1000;
const CONNECTIONS: usize = 8;
/// Between two writes of a writer: there are enough without more of them.
const PAUSE: Duration = Duration::from_millis(100);
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A layer of the namespace: config and scope.
type Place = (String, String);
/// What commits left of layers: the digest, or nothing where the layer was deleted.
type Layers = BTreeMap<Place, Option<String>>;
/// The acknowledged commits, by revision.
type Log = BTreeMap<u64, Layers>;

/// What writers were acknowledged.
#[derive(Default)]
struct Acknowledged {
    log: Mutex<Log>,
    /// How many commits of each writer.
    of_writer: Vec<AtomicUsize>,
}

/// What a watch stream was sent last, and what was wrong with what it was sent.
#[derive(Default)]
struct Seen {
    digest: String,
    /// Of the message, and of the document.
    revision: u64,
    document_revision: u64,
    token: String,
    resets: usize,
    wrong: Vec<String>,
}

struct Watcher {
    place: Place,
    seen: Arc<Mutex<Seen>>,
}

/// On a connection of its own.
fn client(server: &GuardedServer) -> Client {
    let token = fs::read_to_string(server.token_file()).expect("a token");
    let options = ConnectOptions {
        address: server.server.address.clone(),
        token: Some(token.trim().parse().expect("a token")),
        ..ConnectOptions::default()
    };
    Client::connect(options).expect("a client")
}

fn config_of(writer: usize) -> String {
    format!("service-{writer:02}")
}

fn change(config: &str, scope: &str, action: Action) -> Change {
    Change {
        namespace: NAMESPACE.into(),
        config: config.into(),
        scope: scope.into(),
        action: Some(action),
        ..Change::default()
    }
}

fn replace(value: Value) -> Action {
    Action::Replace(Text { format: Format::Json.into(), content: value.to_string() })
}

/// One commit: mostly of two layers in two configs, now and then one that removes a layer.
fn changes(writer: usize, turn: usize) -> Vec<Change> {
    let own = config_of(writer);
    let shared = change(SHARED, &format!("/w{writer:02}"), replace(json!({"turn": turn})));
    match turn % 4 {
        3 => vec![change(&own, "/production", Action::Delete(())), shared],
        1 => vec![change(&own, "/production", replace(json!({"limit": turn}))), shared],
        _ => vec![change(&own, "/", replace(json!({"turn": turn, "limit": 1}))), shared],
    }
}

impl Acknowledged {
    /// Writes until the server is gone.
    async fn write(&self, client: Client, writer: usize) {
        for turn in 0.. {
            let changes = changes(writer, turn);
            let places: Vec<Place> =
                changes.iter().map(|change| (change.config.clone(), change.scope.clone())).collect();
            let Ok(applied) = client.apply(changes, WriteOptions::default()).await else { return };
            assert!(applied.changed, "each turn writes something else");
            let digests = applied.results.into_iter().map(|result| {
                result.document.map(|document| document.digest).filter(|digest| !digest.is_empty())
            });
            let layers: Layers = places.into_iter().zip(digests).collect();
            let before = self.log.lock().expect("not poisoned").insert(applied.store_revision, layers);
            assert!(before.is_none(), "two commits with revision {}", applied.store_revision);
            self.of_writer[writer].fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn counts(&self) -> Vec<usize> {
        self.of_writer.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Waits until each writer was acknowledged so many commits more than at some time before.
    fn wait_for(&self, more: usize, before: &[usize]) {
        until("every writer was acknowledged its commits", || {
            self.counts().iter().zip(before).all(|(count, before)| *count >= before + more)
        });
    }
}

impl Seen {
    /// Takes what the stream was sent. The test has one target in each stream, so every message is one of its parts.
    fn take(&mut self, message: &WatchResponse) {
        let states = match &message.event {
            Some(Event::Snapshot(snapshot)) => {
                if snapshot.is_reset {
                    (self.revision, self.document_revision) = (0, 0);
                    self.resets += 1;
                }
                &snapshot.states[..]
            }
            Some(Event::Update(update)) => &update.states[..],
            Some(Event::Progress(_)) | None => &[],
        };
        if message.revision < self.revision {
            self.wrong.push(format!("revision {} after {}", message.revision, self.revision));
        }
        self.revision = message.revision;
        for state in states {
            if state.state() != State::Current {
                let document = state.document.clone().unwrap_or_default();
                if state.state() == State::Present && document.revision < self.document_revision {
                    let before = self.document_revision;
                    self.wrong.push(format!("a document of revision {} after {before}", document.revision));
                }
                self.document_revision = document.revision.max(self.document_revision);
                self.digest = document.digest;
            }
        }
        if !message.resume_token.is_empty() {
            self.token = message.resume_token.clone();
        }
    }
}

/// Watches for ever, as the contract tells clients to: resumes with the token and the digest of what is held.
async fn watch(client: Client, (config, scope): Place, seen: Arc<Mutex<Seen>>) {
    loop {
        // Whatever ends the stream, another follows.
        let _: Result<(), Status> = watch_once(&client, &config, &scope, &seen).await;
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn watch_once(client: &Client, config: &str, scope: &str, seen: &Mutex<Seen>) -> Result<(), Status> {
    let request = {
        let seen = seen.lock().expect("not poisoned");
        let target = WatchTarget {
            namespace: NAMESPACE.into(),
            config: config.into(),
            scope: scope.into(),
            if_none_match: seen.digest.clone(),
            ..WatchTarget::default()
        };
        WatchRequest { targets: vec![target], resume_token: seen.token.clone(), ..WatchRequest::default() }
    };
    let mut messages = client.api().watch(request).await?.into_inner();
    while let Some(message) = messages.message().await? {
        seen.lock().expect("not poisoned").take(&message);
    }
    Ok(())
}

/// Streams at the configs of all writers.
fn start_watchers(runtime: &Runtime, tasks: &mut JoinSet<()>, server: &GuardedServer) -> Vec<Watcher> {
    let _runtime = runtime.enter();
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| client(server)).collect();
    let start = |number: usize| {
        let writer = number % WRITERS;
        let place = match number % 10 {
            0 => (SHARED.to_owned(), format!("/w{writer:02}")),
            _ => (config_of(writer), "/production/eu".to_owned()),
        };
        let seen = Arc::default();
        let client = clients[number % CONNECTIONS].clone();
        tasks.spawn_on(watch(client, place.clone(), Arc::clone(&seen)), runtime.handle());
        Watcher { place, seen }
    };
    (0..WATCHERS).map(start).collect()
}

/// What the server has at the places now, as digests of documents or of single layers.
async fn digests(client: &Client, places: impl Iterator<Item = Place>, view: View) -> Layers {
    let mut digests = Layers::new();
    for (config, scope) in places {
        let request = GetRequest {
            namespace: NAMESPACE.into(),
            config: config.clone(),
            scope: scope.clone(),
            view: view.into(),
            format: Format::Json.into(),
            ..GetRequest::default()
        };
        let document = match client.api().get(request).await {
            Ok(response) => response.into_inner().document.filter(|document| !document.layers.is_empty()),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{config}@{scope}: {status}"),
        };
        let digest = document.map(|document| document.digest).filter(|digest| !digest.is_empty());
        digests.insert((config, scope), digest);
    }
    digests
}

/// The commits of the namespace up to a revision, as the history of the server has them.
async fn history(client: &Client, last: u64) -> Log {
    let request =
        StreamChangesRequest { from_revision: 1, namespace: NAMESPACE.into(), ..Default::default() };
    let mut messages = client.api().stream_changes(request).await.expect("a stream").into_inner();
    let mut log = Log::new();
    loop {
        let message = messages.message().await.expect("a message").expect("the stream goes on");
        if let Some(stream_changes_response::Event::Commit(commit)) = message.event
            && commit.revision <= last
        {
            let layers = commit.changes.into_iter().flat_map(|change| {
                let config = change.config;
                change.layers.into_iter().map(move |layer| {
                    let digest = Some(layer.digest).filter(|digest| !digest.is_empty());
                    ((config.clone(), layer.scope), digest)
                })
            });
            log.entry(commit.revision).or_default().extend(layers);
        }
        if message.revision >= last && !message.more {
            return log;
        }
    }
}

/// Waits until every stream was sent the document that the server has now.
fn wait_until_converged(runtime: &Runtime, client: &Client, watchers: &[Watcher]) {
    let places: BTreeSet<Place> = watchers.iter().map(|watcher| watcher.place.clone()).collect();
    let current = runtime.block_on(digests(client, places.into_iter(), View::Effective));
    until("every stream has the current document", || {
        watchers.iter().all(|watcher| {
            let seen = watcher.seen.lock().expect("not poisoned");
            current[&watcher.place].as_deref().unwrap_or_default() == seen.digest && seen.revision > 0
        })
    });
}

/// Waits until the audit file has a text.
fn wait_for_audit_file(path: &Path, text: &str) {
    until(&format!("the audit file has {text}"), || {
        fs::read_to_string(path).is_ok_and(|lines| lines.contains(text))
    });
}

#[test]
fn a_lost_disk_comes_back_with_every_acknowledged_commit_of_the_backup_and_no_stream_goes_back_unasked() {
    let elsewhere = TempDir::new().expect("a directory");
    let path = |name: &str| elsewhere.path().join(name);
    let (audit_file, backup) = (path("audit.jsonl"), path("night.cwb"));
    let (key, token) = (path("master.key"), path("admin.token"));
    let with_audit_file = ["--auth", "on", "--audit-file", text(&audit_file)];
    let mut server = GuardedServer::start(&with_audit_file[2..]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    server.ok(&["set", "shop/vault", r#"password={"$secret":"hunter2"}"#]);
    let data = server.server.data.path().to_owned();
    for (file, copy) in [("master.key", &key), ("admin.token", &token)] {
        fs::copy(keys_of(&data).join(file), copy).expect("a copy that is kept elsewhere");
    }

    // 64 writers and 1000 streams.
    let (mut writing, mut watching) = (JoinSet::new(), JoinSet::new());
    let of_writer = (0..WRITERS).map(|_| AtomicUsize::default()).collect();
    let acknowledged = Arc::new(Acknowledged { of_writer, ..Acknowledged::default() });
    for writer in 0..WRITERS {
        let client = {
            let _runtime = runtime.enter();
            client(&server)
        };
        let acknowledged = Arc::clone(&acknowledged);
        writing.spawn_on(async move { acknowledged.write(client, writer).await }, runtime.handle());
    }
    acknowledged.wait_for(2, &[0; WRITERS]);
    let watchers = start_watchers(&runtime, &mut watching, &server);
    until("every stream has its snapshot", || {
        watchers.iter().all(|watcher| watcher.seen.lock().expect("not poisoned").revision > 0)
    });

    // The backup, while they write. The disk is gone while they still do.
    let begun = acknowledged.counts();
    server.ok(&["backup", "create", "-f", text(&backup), "--note", "nightly"]);
    let made = acknowledged.counts();
    acknowledged.wait_for(1, &made);
    wait_for_audit_file(&audit_file, r#""outcome":"MADE""#);
    server.server.kill();
    fs::remove_dir_all(&data).expect("the disk is gone");
    runtime.block_on(async {
        while writing.join_next().await.transpose().expect("no writer has panicked").is_some() {}
    });
    let shown = finish(confwatch(&["backup", "show", text(&backup), "-o", "json"]));
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let revision = shown["last_revision"].as_u64().expect("a revision");

    // One command, and the server starts again.
    let mut restore = confwatch(&[
        "backup",
        "restore",
        text(&backup),
        "--data-dir",
        text(&data),
        "--master-key-file",
        text(&key),
    ]);
    restore.env("CONFWATCH_ACTOR", "oscar");
    let restored = finish(restore);
    assert_eq!(restored.code, 0, "{restored:?}");
    fs::create_dir(keys_of(&data)).expect("made");
    for (file, copy) in [("master.key", &key), ("admin.token", &token)] {
        fs::copy(copy, keys_of(&data).join(file)).expect("copied");
    }
    server.server.start_again_with(&with_audit_file);

    // History and state are the log of acknowledged commits, digest by digest.
    let ada = {
        let _runtime = runtime.enter();
        client(&server)
    };
    let log = std::mem::take(&mut *acknowledged.log.lock().expect("not poisoned"));
    let (kept, lost): (Log, Log) = log.into_iter().partition(|(at, _)| *at <= revision);
    assert!(kept.len() >= begun.iter().sum::<usize>(), "what was answered before the backup began is in it");
    assert!(!lost.is_empty(), "writers wrote on");
    let mut history = runtime.block_on(history(&ada, revision));
    history.retain(|_, layers| layers.keys().all(|(config, _)| config != "vault"));
    assert_eq!(history, kept);
    let mut state = Layers::new();
    kept.into_values().for_each(|layers| state.extend(layers));
    let found = runtime.block_on(digests(&ada, state.keys().cloned(), View::Layer));
    assert_eq!(found, state);
    assert!(server.ok(&["get", "shop/vault", "--reveal"]).contains("hunter2"));

    // Every stream begins again from the other history, and then follows it.
    until("every stream was reset", || {
        watchers.iter().all(|watcher| watcher.seen.lock().expect("not poisoned").resets == 1)
    });
    wait_until_converged(&runtime, &ada, &watchers);
    runtime.block_on(async {
        for writer in 0..WRITERS {
            let change = change(&config_of(writer), "/", replace(json!({"after": "the night"})));
            ada.set(change, WriteOptions::default()).await.expect("written");
        }
    });
    wait_until_converged(&runtime, &ada, &watchers);
    let listed = server.ok(&["watchers", NAMESPACE]);
    assert!(listed.contains(&format!("{WATCHERS} watchers, 0 behind")), "{listed}");
    for Watcher { place, seen } in &watchers {
        let seen = seen.lock().expect("not poisoned");
        assert_eq!((seen.resets, &seen.wrong), (1, &vec![]), "{place:?}");
    }
    watching.abort_all();

    // The audit trail of the new store says where it came from; the file on the other disk, that the backup was made, and that it was restored.
    let origin = server.json(&["audit", "list", "confwatch", "--kind", "change"])["entries"][0].clone();
    assert_eq!((&origin["revision"], &origin["actor"]), (&json!(revision + 1), &json!("oscar")));
    let reason = format!("the store was restored from the backup of revision {revision}");
    assert_eq!(origin["reason"], json!(reason));
    wait_for_audit_file(&audit_file, &reason);
}
