//! The client against a real server in this process, with a network between them that fails when it is told to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use confwatch::client::changes::ChangeEvent;
use confwatch::client::watch::{Event, WatchOptions, WatchState, Watcher};
use confwatch::client::{Client, ClientError, ConnectOptions};
use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::rollback_request::To;
use confwatch::proto::v1::{
    Change, Document, Format, RollbackRequest, State, StreamChangesRequest, TargetState, Text, WriteOptions,
};
use confwatch::server::settings::Fsync;
use confwatch::server::{RunningServer, Server, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

/// Longer than anything here takes: a test that waits for what never comes fails rather than hangs.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

async fn serve(directory: &Path, listen: &str) -> RunningServer {
    let (data_dir, listen) = (directory.into(), listen.into());
    let keys_dir = Some(directory.join("keys"));
    let settings = Settings { data_dir, keys_dir, listen, fsync: Fsync::Never, ..Settings::default() };
    Server::start(settings).await.unwrap()
}

fn connect(address: impl ToString) -> Client {
    let options = ConnectOptions { address: address.to_string(), ..ConnectOptions::default() };
    Client::connect(options).unwrap()
}

fn replace(config: &str, content: &str) -> Change {
    Change {
        namespace: "shop".into(),
        config: config.into(),
        action: Some(Action::Replace(Text { content: content.into(), format: Format::Json.into() })),
        ..Default::default()
    }
}

async fn set(client: &Client, config: &str, content: &str) {
    client.set(replace(config, content), WriteOptions::default()).await.unwrap();
}

fn options(configs: &[&str]) -> WatchOptions {
    let targets: Vec<_> = configs.iter().map(|config| ("shop", *config, "/").into()).collect();
    WatchOptions { progress_interval: Duration::from_millis(500), ..WatchOptions::new(targets) }
}

/// The next event that brings documents or tells the state; progress is passed over.
async fn news(watcher: &mut Watcher) -> Event {
    let next = async {
        loop {
            match watcher.next().await {
                Some(Event::Progress { .. }) => {}
                Some(event) => return event,
                None => panic!("the watcher has ended: {:?}", watcher.error()),
            }
        }
    };
    soon("an event", next).await
}

async fn until(watcher: &Watcher, state: WatchState) {
    let mut changes = watcher.state_changes();
    soon("a state", changes.wait_for(|current| *current == state)).await.unwrap();
}

fn content(document: Option<Document>) -> String {
    document.map_or("-".into(), |document| document.content)
}

/// Config and content of each changed target; `-` for one that is absent.
fn changed(event: &Event) -> Vec<(String, String)> {
    let states = match event {
        Event::FromCache(states) => states,
        Event::Snapshot { changed, .. } | Event::Update { changed, .. } => changed,
        Event::Progress { .. } | Event::StateChanged(_) => panic!("{event:?} brings no documents"),
    };
    let pair = |state: &TargetState| (state.target.clone().unwrap().config, content(state.document.clone()));
    states.iter().map(pair).collect()
}

fn documents(watcher: &Watcher) -> Vec<(String, String)> {
    watcher.documents().into_iter().map(|(target, document)| (target.config, content(document))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(config, content)| ((*config).into(), (*content).into())).collect()
}

/// A network between client and server.
struct Network {
    address: String,
    received_bytes: Arc<AtomicUsize>,
    /// Grows with each cut: connections of before are closed.
    cuts: watch::Sender<u32>,
    /// Whether anything is held back from the client.
    frozen: watch::Sender<bool>,
}

impl Network {
    async fn to(server: &RunningServer) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cuts, frozen) = (watch::Sender::new(0), watch::Sender::new(false));
        let received_bytes = Arc::new(AtomicUsize::new(0));
        let (cut, freeze, count) = (cuts.subscribe(), frozen.subscribe(), Arc::clone(&received_bytes));
        let server = server.address();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(server).await else { continue };
                let (mut near_read, mut near_write) = near.into_split();
                let (mut far_read, mut far_write) = far.into_split();
                let (mut cut, mut freeze, count) = (cut.clone(), freeze.clone(), Arc::clone(&count));
                cut.mark_unchanged();
                let down = async move {
                    let mut bytes = vec![0; 16 << 10];
                    while let Ok(read @ 1..) = far_read.read(&mut bytes).await {
                        if freeze.wait_for(|frozen| !frozen).await.is_err() {
                            return;
                        }
                        count.fetch_add(read, Ordering::Relaxed);
                        if near_write.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::spawn(async move {
                    tokio::select! {
                        () = down => {}
                        _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Network { address, received_bytes, cuts, frozen }
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// How much the client was sent since this was asked last.
    fn received_bytes(&self) -> usize {
        self.received_bytes.swap(0, Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_outlives_a_restart_of_the_server() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let (address, client) = (server.address().to_string(), connect(server.address()));
    set(&client, "a", r#"{"x":1}"#).await;

    let mut watcher = client.watch(options(&["a", "b"]));
    assert_eq!(changed(&news(&mut watcher).await), pairs(&[("a", r#"{"x":1}"#), ("b", "-")]));
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));

    server.shutdown().await;
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Stale));
    assert_eq!(documents(&watcher), pairs(&[("a", r#"{"x":1}"#), ("b", "-")]));

    let server = serve(data.path(), &address).await;
    let event = news(&mut watcher).await;
    assert!(matches!(event, Event::Snapshot { reset: false, .. }), "{event:?}");
    assert_eq!(changed(&event), []);
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));

    set(&client, "b", r#"{"y":2}"#).await;
    assert_eq!(changed(&news(&mut watcher).await), pairs(&[("b", r#"{"y":2}"#)]));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_watcher_holds_is_not_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let network = Network::to(&server).await;
    let (inside, outside) = (connect(server.address()), connect(&network.address));
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000));
    set(&inside, "large", &large).await;
    set(&inside, "small", r#"{"x":1}"#).await;

    let mut watcher = outside.watch(options(&["large", "small"]));
    assert_eq!(changed(&news(&mut watcher).await).len(), 2);
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));
    assert!(network.received_bytes() > large.len());

    network.cut();
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Stale));
    set(&inside, "small", r#"{"x":2}"#).await;
    // The reconnect may have come before this write or after it: the last event has it in either case.
    let mut seen = vec![];
    while seen.last() != pairs(&[("small", r#"{"x":2}"#)]).last() {
        match news(&mut watcher).await {
            Event::StateChanged(_) => {}
            event => seen.extend(changed(&event)),
        }
    }
    assert!(seen.iter().all(|(config, _)| config == "small"), "{seen:?}");
    assert!(network.received_bytes() < large.len() / 10);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_silent_is_given_up() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let network = Network::to(&server).await;
    set(&connect(server.address()), "a", r#"{"x":1}"#).await;

    let mut watcher = connect(&network.address).watch(options(&["a"]));
    until(&watcher, WatchState::Ready).await;
    network.freeze(true);
    until(&watcher, WatchState::Stale).await;
    assert_eq!(watcher.error().map(|error| error.code()), Some(Code::Unavailable));
    assert_eq!(documents(&watcher), pairs(&[("a", r#"{"x":1}"#)]));
    network.freeze(false);
    until(&watcher, WatchState::Ready).await;
    assert!(matches!(news(&mut watcher).await, Event::Snapshot { .. }));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_starts_from_the_cache_while_no_server_answers() {
    let data = tempfile::tempdir().unwrap();
    let cache = data.path().join("cache/watch.json");
    let server = serve(&data.path().join("store"), "127.0.0.1:0").await;
    let (address, client) = (server.address().to_string(), connect(server.address()));
    set(&client, "a", r#"{"x":1}"#).await;
    set(&client, "b", r#"{"y":1}"#).await;
    let with_cache = || WatchOptions { cache: Some(cache.clone()), ..options(&["a", "b"]) };
    let watcher = client.watch(with_cache());
    until(&watcher, WatchState::Ready).await;
    watcher.close().await;
    set(&client, "b", r#"{"y":2}"#).await;
    server.shutdown().await;

    let mut watcher = connect(&address).watch(with_cache());
    let event = news(&mut watcher).await;
    assert!(matches!(event, Event::FromCache(_)), "{event:?}");
    assert_eq!(changed(&event), pairs(&[("a", r#"{"x":1}"#), ("b", r#"{"y":1}"#)]));
    assert_eq!(watcher.state(), WatchState::Stale);
    assert_eq!(documents(&watcher), changed(&event));

    let server = serve(&data.path().join("store"), &address).await;
    let event = news(&mut watcher).await;
    assert!(matches!(event, Event::Snapshot { reset: false, .. }), "{event:?}");
    assert_eq!(changed(&event), pairs(&[("b", r#"{"y":2}"#)]));
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_cache_is_ignored_and_replaced() {
    let data = tempfile::tempdir().unwrap();
    let cache = data.path().join("watch.json");
    std::fs::write(&cache, "{\"confwatch_cache\":1").unwrap();
    let server = serve(&data.path().join("store"), "127.0.0.1:0").await;
    let client = connect(server.address());
    set(&client, "a", r#"{"x":1}"#).await;
    let with_cache = || WatchOptions { cache: Some(cache.clone()), ..options(&["a"]) };

    let mut watcher = client.watch(with_cache());
    assert!(matches!(news(&mut watcher).await, Event::Snapshot { .. }));
    watcher.close().await;
    server.shutdown().await;

    let mut watcher = client.watch(with_cache());
    assert_eq!(changed(&news(&mut watcher).await), pairs(&[("a", r#"{"x":1}"#)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_says_when_to_come_back() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let watcher = connect(server.address()).watch(options(&["a"]));
    until(&watcher, WatchState::Ready).await;
    server.engine().drain();
    until(&watcher, WatchState::Stale).await;
    let error = watcher.error().expect("why the stream ended");
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, "DRAINING"));
    assert!(error.retry_after().is_some(), "{error:?}");
    assert!(error.is_retryable());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_resets_the_watcher() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve(data.path(), "127.0.0.1:0").await;
    let (address, client) = (server.address().to_string(), connect(server.address()));
    set(&client, "same", r#"{"z":0}"#).await;
    for count in 0..5 {
        set(&client, "a", &format!(r#"{{"x":{count}}}"#)).await;
    }
    let mut watcher = client.watch(options(&["*"]));
    assert_eq!(changed(&news(&mut watcher).await), pairs(&[("a", r#"{"x":4}"#), ("same", r#"{"z":0}"#)]));
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));
    server.shutdown().await;
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Stale));

    // Written under another address, so that the watcher meets a store that has it all.
    let server = serve(other.path(), "127.0.0.1:0").await;
    let writer = connect(server.address());
    set(&writer, "b", r#"{"y":1}"#).await;
    set(&writer, "same", r#"{"z":0}"#).await;
    server.shutdown().await;
    let server = serve(other.path(), &address).await;
    let event = news(&mut watcher).await;
    assert!(matches!(event, Event::Snapshot { reset: true, revision: 2, .. }), "{event:?}");
    assert_eq!(changed(&event), pairs(&[("a", "-"), ("b", r#"{"y":1}"#)]));
    assert_eq!(documents(&watcher), pairs(&[("b", r#"{"y":1}"#), ("same", r#"{"z":0}"#)]));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_config_of_a_namespace_is_followed_as_it_comes_and_goes() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let client = connect(server.address());
    let mut watcher = client.watch(options(&["*"]));
    assert_eq!(changed(&news(&mut watcher).await), []);
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));
    let both = vec![replace("a", r#"{"x":1}"#), replace("b", r#"{"x":2}"#)];
    client.apply(both, WriteOptions::default()).await.unwrap();
    assert_eq!(changed(&news(&mut watcher).await), pairs(&[("a", r#"{"x":1}"#), ("b", r#"{"x":2}"#)]));
    let delete = Change { action: Some(Action::Delete(())), ..replace("a", "") };
    client.set(delete, WriteOptions::default()).await.unwrap();
    let event = news(&mut watcher).await;
    assert_eq!(changed(&event), pairs(&[("a", "-")]));
    assert!(matches!(&event, Event::Update { changed, .. } if changed[0].state() == State::Absent));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_does_not_ask_is_told_the_last_state_only() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let client = connect(server.address());
    let mut watcher = client.watch(options(&["a"]));
    until(&watcher, WatchState::Ready).await;
    for count in 1..=50 {
        set(&client, "a", &format!(r#"{{"x":{count}}}"#)).await;
    }
    let last = pairs(&[("a", r#"{"x":50}"#)]);
    let arrived = async {
        while documents(&watcher) != last {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the last state", arrived).await;
    let event = news(&mut watcher).await;
    assert!(matches!(event, Event::Snapshot { .. }), "{event:?}");
    assert_eq!(changed(&event), last);
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_that_was_never_answered_ends_the_watcher() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let mut watcher = connect(server.address()).watch(options(&["Not A Name"]));
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Error));
    assert_eq!(soon("the end", watcher.next()).await, None);
    let error = watcher.error().expect("why it ended");
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "INVALID_NAME"));
    server.shutdown().await;
}

/// Answers every call on an address with the same response, without a body, as a proxy or a guard does.
struct Refuser {
    calls: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Refuser {
    async fn start(
        address: &str,
        response: impl Fn() -> http::Response<()> + Clone + Send + 'static,
    ) -> Refuser {
        let listener = TcpListener::bind(address).await.unwrap();
        let calls: Arc<AtomicUsize> = Arc::default();
        let counted = calls.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let (counted, response) = (counted.clone(), response.clone());
                connections.spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(connection).await else { return };
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let _ = respond.send_response(response(), true);
                    }
                });
            }
        });
        Refuser { calls, task }
    }

    async fn until_called(&self, calls: usize) {
        let called = async {
            while self.calls.load(Ordering::SeqCst) < calls {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("calls", called).await;
    }

    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_says_is_retried_as_if_the_server_were_not_there() {
    for status in [404, 401, 403] {
        let data = tempfile::tempdir().unwrap();
        let server = serve(data.path(), "127.0.0.1:0").await;
        let address = server.address().to_string();
        let client = connect(&address);
        set(&client, "a", r#"{"x":1}"#).await;
        let mut watcher = client.watch(options(&["a"]));
        assert!(matches!(news(&mut watcher).await, Event::Snapshot { .. }));
        server.shutdown().await;
        let proxy = Refuser::start(&address, move || {
            http::Response::builder().status(status).body(()).expect("a response")
        });
        let proxy = proxy.await;
        proxy.until_called(3).await;
        until(&watcher, WatchState::Stale).await;
        let error = watcher.error().expect("why there is no stream");
        assert!(!error.is_from_server() && error.is_retryable(), "{error:?}");
        assert_eq!(watcher.documents().len(), 1, "the last good document stays");
        proxy.stop().await;
        let server = serve(data.path(), &address).await;
        until(&watcher, WatchState::Ready).await;
        assert!(watcher.error().is_none());
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_an_error_that_the_watcher_outlives() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let address = server.address().to_string();
    let client = connect(&address);
    set(&client, "a", r#"{"x":1}"#).await;
    let impatient = WatchOptions { refused_pause: Duration::from_millis(20), ..options(&["a"]) };
    let mut watcher = client.watch(impatient);
    assert!(matches!(news(&mut watcher).await, Event::Snapshot { .. }));
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Ready));
    server.shutdown().await;
    // As while somebody has stored a policy that is wrong.
    let guard = Refuser::start(&address, || {
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("PERMISSION_DENIED", "confwatch", std::collections::HashMap::new());
        let denied = tonic::Status::with_error_details(Code::PermissionDenied, "denied", details);
        denied.into_http::<()>()
    });
    let guard = guard.await;
    guard.until_called(3).await;
    until(&watcher, WatchState::Error).await;
    assert_eq!(watcher.error().expect("why").reason(), "PERMISSION_DENIED");
    assert_eq!(watcher.documents().len(), 1, "the last good document stays");
    guard.stop().await;
    let server = serve(data.path(), &address).await;
    until(&watcher, WatchState::Ready).await;
    set(&connect(&address), "a", r#"{"x":2}"#).await;
    let update = async {
        loop {
            // What is not read merges: the snapshot may have the update in it.
            if let Event::Snapshot { changed, .. } | Event::Update { changed, .. } = news(&mut watcher).await
                && !changed.is_empty()
            {
                return changed;
            }
        }
    };
    assert_eq!(soon("an update", update).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn being_stale_for_long_is_an_error_until_a_server_answers() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let address = server.address().to_string();
    server.shutdown().await;
    let impatient = WatchOptions { error_after: Duration::from_millis(50), ..options(&["a"]) };
    let mut watcher = connect(&address).watch(impatient);
    assert_eq!(news(&mut watcher).await, Event::StateChanged(WatchState::Error));
    let error = watcher.error();
    let server = serve(data.path(), &address).await;
    until(&watcher, WatchState::Ready).await;
    assert_eq!(error.map(|error| error.code()), Some(Code::Unavailable));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_calls_say_what_happened() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Limits {
        requests: u64,
    }
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let (address, actor) = (server.address().to_string(), Some("Zoë".to_owned()));
    let client = Client::connect(ConnectOptions { address, actor, ..ConnectOptions::default() }).unwrap();
    let target = ("shop", "limits", "/production");
    assert_eq!(client.get(target).await.unwrap(), None);
    set(&client, "limits", r#"{"requests":18446744073709551615}"#).await;
    assert_eq!(client.get_as(target).await.unwrap(), Some(Limits { requests: u64::MAX }));
    set(&client, "limits", r#"{"requests":"many"}"#).await;
    let error: ClientError = client.get_as::<Limits>(target).await.unwrap_err();
    assert_eq!(error.reason(), "UNEXPECTED_DOCUMENT");

    let stale = Change { expected_version: Some(1), ..replace("limits", "{}") };
    let error = client.set(stale, WriteOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Aborted, "VERSION_MISMATCH"));
    assert_eq!(error.metadata()["current_version"], "2");

    let error = client.set(replace("limits", "{"), WriteOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "MALFORMED_DOCUMENT"));
    assert_eq!(error.violations().len(), 1, "{error:?}");

    let (namespace, config) = ("shop".to_owned(), "limits".to_owned());
    let back = RollbackRequest { namespace, config, to: Some(To::Version(1)), ..Default::default() };
    assert_eq!(client.rollback(back).await.unwrap().version, 3);

    let from_3 = StreamChangesRequest { from_revision: 3, ..Default::default() };
    let mut changes = client.stream_changes(from_3).await.unwrap();
    let event = soon("a commit", changes.next()).await.unwrap();
    let Some(ChangeEvent::Commit(commit)) = event else { panic!("{event:?}") };
    assert_eq!((commit.revision, commit.actor.as_str()), (3, "Zoë"));
    assert_eq!(changes.next_revision(), 4);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_said_to_be() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let client = connect(server.address());
    server.shutdown().await;
    let error = client.get(("shop", "a", "/")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().to_lowercase().contains("connection refused"), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_refused_with_one_line() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve(data.path(), "127.0.0.1:0").await;
    let start = |directory: &Path, listen: String| {
        Server::start(Settings {
            data_dir: directory.into(),
            keys_dir: Some(directory.join("keys")),
            listen,
            ..Settings::default()
        })
    };
    let refusal = |started: anyhow::Result<RunningServer>| match started {
        Ok(_) => panic!("two servers serve"),
        Err(error) => format!("{error:#}"),
    };
    let same_directory = refusal(start(data.path(), "127.0.0.1:0".into()).await);
    assert!(same_directory.contains("in use by another confwatch server"), "{same_directory}");
    let same_port = refusal(start(other.path(), server.address().to_string()).await);
    assert!(same_port.starts_with(&format!("cannot listen on {}", server.address())), "{same_port}");
    assert!(!same_directory.contains('\n') && !same_port.contains('\n'));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_serves_and_its_watchers_do_not_hold_up_a_shutdown() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let address = format!("http://{}", server.address());
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    for service in ["", "confwatch.v1.ConfigService"] {
        let request = HealthCheckRequest { service: service.into() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service:?} is not serving");
    }
    let mut statuses = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(statuses.message().await.unwrap().unwrap().status, 1);
    soon("the shutdown", server.shutdown()).await;
    assert_eq!(soon("the news", statuses.message()).await.unwrap().unwrap().status, 2);
    assert!(soon("the end", statuses.message()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_on_one_connection_all_receive_the_last_state() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0").await;
    let (writer, reader) = (connect(server.address()), connect(server.address()));
    let configs: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    let watch = |number: usize| reader.watch(options(&[&configs[number % configs.len()]]));
    let watchers: Vec<Watcher> = (0..300).map(watch).collect();
    for watcher in &watchers {
        until(watcher, WatchState::Ready).await;
    }
    let padding = "x".repeat(20_000);
    for round in 0..10 {
        let content = format!(r#"{{"padding":"{padding}","round":{round}}}"#);
        let changes = configs.iter().map(|config| replace(config, &content)).collect();
        writer.apply(changes, WriteOptions::default()).await.unwrap();
    }
    for mut watcher in watchers {
        let is_last = |content: &String| content.ends_with(r#""round":9}"#);
        let mut content = String::new();
        while !is_last(&content) {
            match news(&mut watcher).await {
                Event::StateChanged(state) => assert_eq!(state, WatchState::Ready),
                event => content = changed(&event).pop().map_or(content, |(_, content)| content),
            }
        }
    }
    server.shutdown().await;
}
