//! Watch: how streams end, and what is left of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use confwatch::proto::v1::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_types::StatusExt;

use super::support::*;
use super::watching::*;

#[tokio::test]
async fn a_server_that_stops_says_so_and_when_to_come_back_to_each_client_another_time() {
    let server = quick_server().await;
    let mut watchers = vec![];
    for at in 0..10 {
        let targets = [target("app", "/"), target("*", "/p")];
        let client = server.client().await;
        watchers.push(Watcher::open(&client, watch(targets.into_iter().take(1 + at % 2))).await.0);
    }
    let ends = watchers.into_iter().map(|watcher| tokio::spawn(watcher.ended()));
    let ends: Vec<_> = ends.collect();
    server.stop().await;
    let mut delays = BTreeSet::new();
    for end in ends {
        let status = end.await.expect("it ended");
        assert_eq!((status.code(), told(&status).1.as_str()), (Code::Unavailable, "DRAINING"));
        let delay = status.get_details_retry_info().expect("RetryInfo").retry_delay.expect("a delay");
        assert!((Duration::from_millis(100)..Duration::from_secs(10)).contains(&delay));
        delays.insert(delay);
    }
    assert!(delays.len() > 5, "{delays:?}");
}

/// Its connection cannot be ended in order; the server does not wait for ever, and is gone afterwards.
#[tokio::test]
async fn a_client_that_does_not_read_does_not_keep_the_data_of_a_server_that_stops() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let change = |settings: &mut confwatch::server::Settings| {
        settings.drain_timeout = Duration::from_millis(200);
    };
    let server = TestServer::start_in(directory, change).await;
    let writer = server.client().await;
    let client = narrow_client(&server).await;
    let watcher = Watcher::open_without_reading(&client, watch([target("*", "/")])).await;
    let content = format!(r#"{{"fill":"{}"}}"#, "x".repeat(900_000));
    for at in 0..6 {
        apply(&writer, [put_in(&format!("c{at}"), "/", &content)]).await;
    }
    drop(writer);
    let directory = server.stop().await;
    let server = TestServer::start_in(directory, |_| {}).await;
    let (_, told) = Watcher::open(&server.client().await, watch([target("*", "/")])).await;
    assert_eq!(told.states.len(), 6);
    drop(watcher);
}

#[tokio::test]
async fn a_stream_that_its_client_drops_is_freed_while_nothing_changes() {
    let server = quick_server().await;
    let client = server.client().await;
    let mut watchers = vec![];
    for at in 0..20 {
        let targets = [target("app", &format!("/{at}")), target("*", "/"), target("app", "/p")];
        watchers.push(Watcher::open(&client, watch(targets)).await.0);
    }
    let engine = server.running.engine();
    assert_eq!((engine.watcher_count(), engine.watched_target_count()), (20, 20 + 20 + 1));
    drop(watchers);
    until_freed(&server).await;
}

#[tokio::test]
async fn a_stream_whose_client_is_dead_is_freed_while_nothing_changes() {
    let server = impatient_server().await;
    let network = Network::to(&server).await;
    let client = network.client(|endpoint| endpoint).await;
    let (watcher, _) = Watcher::open(&client, watch([target("app", "/"), target("*", "/")])).await;
    assert_eq!(server.running.engine().watcher_count(), 1);
    network.cut();
    until_freed(&server).await;
    drop(watcher);
}

/// Its client has taken all it wants: what waits for it must not keep the server from seeing that it is dead.
#[tokio::test]
async fn a_stream_whose_client_died_without_reading_is_freed() {
    let server = impatient_server().await;
    let network = Network::to(&server).await;
    let writer = server.client().await;
    let client = network.client(|endpoint| endpoint.initial_stream_window_size(65_535)).await;
    let watcher = Watcher::open_without_reading(&client, watch([target("*", "/")])).await;
    let content = format!(r#"{{"fill":"{}"}}"#, "x".repeat(500_000));
    for at in 0..10 {
        apply(&writer, [put_in(&format!("c{at}"), "/", &content)]).await;
    }
    network.cut();
    apply(&writer, [put_in("last", "/", "{}")]).await;
    until_freed(&server).await;
    drop(watcher);
}

#[tokio::test]
async fn clients_may_ping_often() {
    let server = quick_server().await;
    let network = Network::to(&server).await;
    let ping = Duration::from_millis(100);
    let client =
        network.client(|endpoint| endpoint.http2_keep_alive_interval(ping).keep_alive_while_idle(true)).await;
    let request = WatchRequest { progress_interval: Some(seconds(1)), ..watch([target("app", "/")]) };
    let (mut watcher, _) = Watcher::open(&client, request).await;
    let bytes_before = network.bytes_of_client();
    for _ in 0..3 {
        assert_eq!(watcher.next().await.expect("it lives on").kind, Kind::Progress);
    }
    // A ping has 17 bytes; a client has nothing else to say.
    assert!(network.bytes_of_client() - bytes_before > 10 * 17);
    apply(&client, [put_in("app", "/", "{}")]).await;
    assert_eq!(watcher.next().await.expect("it lives on").kind, Kind::Update);
}

#[tokio::test]
async fn there_is_an_end_to_how_many_streams_a_server_takes() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.limits.watchers_max = 3).await;
    let mut watchers = vec![];
    for _ in 0..3 {
        watchers.push(Watcher::open(&server.client().await, watch([target("app", "/")])).await.0);
    }
    let mut client = server.client().await;
    let request = || watch([target("app", "/")]);
    let status = refused(client.watch(request()).await, Code::ResourceExhausted, "TOO_MANY_WATCHERS");
    assert_eq!(told(&status).2["limit"], "3");
    drop(watchers);
    until_freed(&server).await;
    Watcher::open(&client, request()).await;
}

#[tokio::test]
async fn calls_go_on_beside_all_the_streams_that_a_server_takes_on_one_connection() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.limits.watchers_max = 2).await;
    let before = server.running.engine().state().revision.0;
    let mut client = server.client().await;
    let mut watchers = vec![];
    for _ in 0..2 {
        watchers.push(Watcher::open(&client, watch([target("app", "/")])).await.0);
    }
    let more = client.watch(watch([target("app", "/")])).await;
    refused(more, Code::ResourceExhausted, "TOO_MANY_WATCHERS");
    assert_eq!(store_revision(&mut client).await, before);
}

/// Finds dead peers soon.
async fn impatient_server() -> TestServer {
    let directory = tempfile::TempDir::new().expect("a directory");
    let change = |settings: &mut confwatch::server::Settings| {
        settings.keepalive_interval = Duration::from_millis(200);
        settings.keepalive_timeout = Duration::from_millis(500);
    };
    TestServer::start_in(directory, change).await
}

/// Lies between clients and a server, and can swallow everything without a word to either.
struct Network {
    address: std::net::SocketAddr,
    cut: Arc<AtomicBool>,
    bytes_of_client: Arc<AtomicUsize>,
    bearer: Bearer,
}

impl Network {
    async fn to(server: &TestServer) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (cut, bytes_of_client) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let there = server.running.address();
        tokio::spawn({
            let (cut, bytes_of_client) = (cut.clone(), bytes_of_client.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(there).await.expect("the server listens");
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::spawn(pass(from_client, to_server, cut.clone(), bytes_of_client.clone()));
                    tokio::spawn(pass(from_server, to_client, cut.clone(), Arc::default()));
                }
            }
        });
        Network { address, cut, bytes_of_client, bearer: server.bearer.clone() }
    }

    async fn client(&self, change: impl FnOnce(Endpoint) -> Endpoint) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        Client::new(connect(change(endpoint), &self.bearer).await)
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    fn bytes_of_client(&self) -> usize {
        self.bytes_of_client.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    cut: Arc<AtomicBool>,
    passed: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(count) if count > 0 && cut.load(Ordering::SeqCst) => {}
            Ok(count) if count > 0 => {
                passed.fetch_add(count, Ordering::SeqCst);
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            // The other side must not learn of it.
            Ok(_) | Err(_) => return std::future::pending().await,
        }
    }
}
