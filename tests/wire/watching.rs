//! A reader of Watch that puts parts together and checks what holds for every message; and writes to be watched.

use std::collections::BTreeMap;
use std::time::Duration;

use confwatch::proto::v1::*;
use prost::Message;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use super::support::*;

/// What gRPC clients receive by default.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Long enough for a busy machine: without it, a message that never comes would hang the test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Config, scope and view.
pub type Key = (String, String, i32);

/// A stream, and what its client holds.
pub struct Watcher {
    client: Client,
    request: WatchRequest,
    stream: Streaming<WatchResponse>,
    pub watch_id: String,
    /// The last one received.
    pub token: String,
    /// Of the last message.
    pub revision: u64,
    pub held: BTreeMap<Key, Document>,
    greeted: bool,
}

/// All parts of what was told at once.
#[derive(Debug)]
pub struct Told {
    pub kind: Kind,
    pub revision: u64,
    pub states: Vec<TargetState>,
    pub reset: bool,
    /// Messages that it took.
    pub parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Snapshot,
    Update,
    Progress,
}

impl Watcher {
    /// Opens a stream, and reads its snapshot.
    pub async fn open(client: &Client, request: WatchRequest) -> (Watcher, Told) {
        let mut watcher = Watcher::open_without_reading(client, request).await;
        let told = watcher.next().await.expect("a snapshot");
        assert_eq!(told.kind, Kind::Snapshot, "a snapshot is first");
        (watcher, told)
    }

    pub async fn open_without_reading(client: &Client, request: WatchRequest) -> Watcher {
        let mut client = client.clone();
        let stream = client.watch(request.clone()).await.expect("it opens").into_inner();
        Watcher {
            client,
            request,
            stream,
            watch_id: String::new(),
            token: String::new(),
            revision: 0,
            held: BTreeMap::new(),
            greeted: false,
        }
    }

    /// The next thing that is told, with all its parts.
    pub async fn next(&mut self) -> Result<Told, Status> {
        let mut told: Option<Told> = None;
        loop {
            let (part, more) = part_of(self.message().await?);
            let told = match &mut told {
                None => told.insert(part),
                Some(told) => {
                    assert_eq!(
                        (told.kind, told.revision, told.reset),
                        (part.kind, part.revision, part.reset)
                    );
                    told.states.extend(part.states);
                    told.parts += 1;
                    told
                }
            };
            if !more {
                self.believe(told);
                return Ok(std::mem::replace(told, Told::nothing()));
            }
        }
    }

    /// The document that a target holds now.
    pub fn content(&self, config: &str, scope: &str) -> Option<&str> {
        self.document(config, scope, View::Effective).map(|document| document.content.as_str())
    }

    pub fn document(&self, config: &str, scope: &str, view: View) -> Option<&Document> {
        self.held.get(&(config.into(), scope.into(), view.into()))
    }

    /// Asks for progress, and gives what is told before it: all that there was to tell.
    pub async fn until_progress(&mut self) -> Vec<Told> {
        let request = RequestProgressRequest { watch_id: self.watch_id.clone() };
        let revision = self.client.request_progress(request).await.expect("it is open").into_inner().revision;
        let mut before = vec![];
        loop {
            let told = self.next().await.expect("progress");
            if told.kind == Kind::Progress && told.revision >= revision {
                return before;
            }
            before.push(told);
        }
    }

    /// What a client sends that comes back.
    pub fn resumption(&self) -> WatchRequest {
        let mut request = self.request.clone();
        request.resume_token.clone_from(&self.token);
        for target in &mut request.targets {
            let of_target = |key: &&Key| key.1 == scope_of(target) && key.2 == view_of(target);
            let held = self.held.iter().filter(|(key, _)| of_target(key));
            match target.config.as_str() {
                "*" => {
                    target.held =
                        held.map(|(key, document)| (key.0.clone(), document.digest.clone())).collect()
                }
                config => {
                    let mut held =
                        held.filter(|(key, _)| key.0 == config).map(|(_, document)| &document.digest);
                    target.if_none_match = held.next().cloned().unwrap_or_default();
                }
            }
        }
        request
    }

    /// Comes back, holding what it holds.
    pub async fn resume(self, client: &Client) -> (Watcher, Told) {
        let request = self.resumption();
        let mut watcher = Watcher::open_without_reading(client, request).await;
        watcher.held = self.held;
        let told = watcher.next().await.expect("a snapshot");
        (watcher, told)
    }

    /// How the stream ends.
    pub async fn ended(mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    async fn message(&mut self) -> Result<WatchResponse, Status> {
        let message =
            tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("a message in time")?;
        let message = message.expect("a stream ends with a status that says why");
        assert!(message.encoded_len() <= MESSAGE_BYTES_MAX);
        assert!(self.revision <= message.revision, "revisions do not decrease");
        self.revision = message.revision;
        assert_eq!(message.watch_id.is_empty(), self.greeted, "the name is in the first message only");
        if !self.greeted {
            self.watch_id.clone_from(&message.watch_id);
            self.greeted = true;
        }
        let more = match message.event.as_ref().expect("an event") {
            watch_response::Event::Snapshot(snapshot) => snapshot.more,
            watch_response::Event::Update(update) => update.more,
            watch_response::Event::Progress(_) => false,
        };
        assert_eq!(message.resume_token.is_empty(), more, "a token is in the last part only");
        if !more {
            self.token.clone_from(&message.resume_token);
        }
        Ok(message)
    }

    fn believe(&mut self, told: &Told) {
        if told.reset {
            self.held.clear();
        }
        for state in &told.states {
            let target = state.target.as_ref().expect("a target");
            let key = (target.config.clone(), target.scope.clone(), target.view);
            match state.state() {
                State::Present => {
                    let document = state.document.clone().expect("a document");
                    assert!(document.revision <= told.revision);
                    if let Some(before) = self.held.insert(key, document.clone()) {
                        assert!(before.version <= document.version, "no state is older than one before");
                    }
                }
                State::Current => assert_eq!(told.kind, Kind::Snapshot),
                State::Absent => drop(self.held.remove(&key)),
                State::Unspecified => panic!("never sent"),
            }
        }
    }
}

impl Told {
    fn nothing() -> Told {
        Told { kind: Kind::Progress, revision: 0, states: vec![], reset: false, parts: 1 }
    }

    /// Config, scope and state of each target.
    pub fn summary(&self) -> Vec<(&str, &str, State)> {
        let states = self.states.iter().map(|state| {
            let target = state.target.as_ref().expect("a target");
            (target.config.as_str(), target.scope.as_str(), state.state())
        });
        states.collect()
    }
}

fn part_of(message: WatchResponse) -> (Told, bool) {
    let revision = message.revision;
    match message.event.expect("an event") {
        watch_response::Event::Snapshot(Snapshot { states, more, is_reset: reset }) => {
            (Told { kind: Kind::Snapshot, revision, states, reset, parts: 1 }, more)
        }
        watch_response::Event::Update(Update { states, more }) => {
            (Told { kind: Kind::Update, revision, states, reset: false, parts: 1 }, more)
        }
        watch_response::Event::Progress(_) => (Told { revision, ..Told::nothing() }, false),
    }
}

fn scope_of(target: &WatchTarget) -> &str {
    if target.scope.is_empty() { "/" } else { &target.scope }
}

fn view_of(target: &WatchTarget) -> i32 {
    match target.view() {
        View::Unspecified => View::Effective.into(),
        view => view.into(),
    }
}

pub fn target(config: &str, scope: &str) -> WatchTarget {
    WatchTarget { namespace: "test".into(), config: config.into(), scope: scope.into(), ..Default::default() }
}

/// Tells nobody of progress unless they ask.
pub fn watch(targets: impl IntoIterator<Item = WatchTarget>) -> WatchRequest {
    WatchRequest {
        targets: targets.into_iter().collect(),
        progress_interval: Some(seconds(3600)),
        ..Default::default()
    }
}

pub fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

pub fn millis(millis: i32) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::from(millis / 1000), nanos: millis % 1000 * 1_000_000 }
}

/// Replaces the base layer of a config of `test`.
pub fn put_in(config: &str, scope: &str, content: &str) -> Change {
    Change { config: config.into(), ..replace(scope, content) }
}

/// Replaces an override.
pub fn put_override(config: &str, scope: &str, content: &str) -> Change {
    Change { kind: LayerKind::Override.into(), ..put_in(config, scope, content) }
}

pub fn remove(config: &str, scope: &str) -> Change {
    Change { config: config.into(), ..change(scope, change::Action::Delete(())) }
}

/// One commit. Gives its revision.
pub async fn apply(client: &Client, changes: impl IntoIterator<Item = Change>) -> u64 {
    let request = ApplyRequest { changes: changes.into_iter().collect(), options: None };
    client.clone().apply(request).await.expect("it is applied").into_inner().store_revision
}

/// Streams of this client take little at a time; calls beside them have room on the connection.
pub async fn narrow_client(server: &TestServer) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.running.address()))
        .expect("an address")
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(1 << 20);
    Client::new(connect(endpoint, &server.bearer).await)
}

/// Waits until the server has freed every stream and what they followed.
pub async fn until_freed(server: &TestServer) {
    let engine = server.running.engine();
    let freed = async {
        while engine.watcher_count() > 0 || engine.watched_target_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("streams that are gone are freed");
}

/// The same that believes everybody in each run: for tests that count every revision of the store.
pub async fn quick_believing_server() -> TestServer {
    let directory = tempfile::TempDir::new().expect("a directory");
    TestServer::start_in(directory, |settings| {
        believing(settings);
        settings.fsync = confwatch::server::settings::Fsync::Never;
    })
    .await
}

/// A server whose commits do not wait for the disk.
pub async fn quick_server() -> TestServer {
    let directory = tempfile::TempDir::new().expect("a directory");
    TestServer::start_in(directory, |settings| settings.fsync = confwatch::server::settings::Fsync::Never)
        .await
}
