//! The attacks of the benchmark, small: each ends as it should, those who use the server as it is meant see every write, and nothing is
//! left of it.

#[path = "../../benches/attacks/attack/mod.rs"]
#[allow(dead_code, reason = "how large the attacks of the benchmark are is not needed here")]
mod attack;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use confwatch::client::{Client, ConnectOptions, Token};
use confwatch::server::settings::{AuthMode, ClientAuth};
use rcgen::{CertificateParams, DnType, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use self::attack::{ALL, Size, Target};
use super::auth::{Guarded, POLICY, admin_token};
use super::support::*;
use super::tls::{Ca, Files};

const SHORT: Duration = Duration::from_millis(400);

/// As the server is by default, but for its patience.
async fn start(files: Option<&Files>) -> Guarded {
    let change = |settings: &mut confwatch::server::Settings| {
        settings.auth = Some(AuthMode::On);
        settings.handshake_timeout = SHORT;
        settings.request_timeout = SHORT;
        settings.connection_idle_max = Some(SHORT);
        settings.drain_timeout = SHORT;
    };
    let server = match files {
        None => TestServer::start_in(TempDir::new().expect("a directory"), change).await,
        Some(files) => files.serve_with(Some(ClientAuth::Required), change).await,
    };
    let token = admin_token(&server.directory).parse::<Token>().expect("a token");
    let port = server.running.address().port();
    let (scheme, tls) = match files {
        None => ("http", Default::default()),
        Some(files) => ("https", files.showing("client")),
    };
    let address = format!("{scheme}://localhost:{port}");
    let options = ConnectOptions { address, tls, token: Some(token), ..ConnectOptions::default() };
    let admin = Client::connect(options).expect("options that make sense");
    let guarded = Guarded { server, admin };
    guarded.set_policy(POLICY).await.expect("the policy is good");
    guarded.admin.api().set(set(replace("/", r#"{"a":0}"#))).await.expect("set");
    guarded
}

/// Certificates of clients that are not good.
fn bad_certificates(files: &Files) {
    files.identity("stranger", &Ca::new());
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "expired");
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &files.ca.0).expect("a certificate");
    files.write("expired.pem", &certificate.pem());
    files.write("expired-key.pem", &key.serialize_pem());
}

/// Attacks, and writes meanwhile what a watcher is to see. Says what the attack has reached.
async fn survives(guarded: &Guarded, files: Option<&Files>, name: &str, size: Size) -> String {
    let attack = ALL.iter().find(|attack| attack.name == name).expect("an attack");
    let target = Target {
        address: guarded.server.running.address(),
        files: files.map(|files| files.path("")),
        token: guarded.token("read").await.0,
        tenant: String::new(),
    };
    let mut stream = super::auth::opened(&guarded.admin, "app", "/").await;
    let mut attacking = std::pin::pin!(attack.run(&target, size));
    let mut written = 0;
    let reached = loop {
        written += 1;
        let write = set(replace("/", &format!(r#"{{"a":{written}}}"#)));
        let revision =
            guarded.admin.api().set(write).await.expect("a write is taken").into_inner().store_revision;
        while stream.message().await.expect("it goes on").expect("a message").revision < revision {}
        tokio::select! {
            reached = &mut attacking => break reached,
            () = tokio::task::yield_now() => {}
        }
    };
    assert!(written > 0);
    // Nothing is left of it: the watcher alone is served.
    let (connections, requests) =
        (guarded.server.running.connection_counts(), guarded.server.running.request_counts());
    while connections.open.load(Relaxed) > 1 || requests.unfinished.load(Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(requests.unfinished_bytes.load(Relaxed), 0);
    println!("{name}: {reached}");
    reached
}

fn small(connections: usize, count: usize) -> Size {
    Size { connections, count, time: Duration::from_millis(900) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_cannot_succeed_let_nobody_in() {
    let files = Files::new();
    bad_certificates(&files);
    let guarded = start(Some(&files)).await;
    let reached = survives(
        &guarded,
        Some(&files),
        "bad certificates",
        Size { time: Duration::from_secs(60), ..small(8, 80) },
    )
    .await;
    assert_eq!(reached, "80 handshakes, 0 let in");
    assert_eq!(guarded.server.running.connection_counts().handshakes_failed.load(Relaxed), 80);
    let reached = survives(&guarded, Some(&files), "slow TLS", small(50, 1)).await;
    assert!(reached.contains("50 connections"), "{reached}");
    assert_eq!(guarded.server.running.connection_counts().handshakes_timed_out.load(Relaxed), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_take_their_time_are_given_up() {
    let guarded = start(None).await;
    let (connections, requests) =
        (guarded.server.running.connection_counts(), guarded.server.running.request_counts());
    survives(&guarded, None, "slow preface", small(50, 1)).await;
    assert_eq!(connections.prefaces_timed_out.load(Relaxed), 50);
    survives(&guarded, None, "slow messages", small(10, 5)).await;
    assert_eq!(requests.too_slow.load(Relaxed), 50);
    survives(&guarded, None, "slow headers", Size { time: Duration::from_secs(3), ..small(50, 1) }).await;
    assert!(connections.idle.load(Relaxed) >= 50, "without a whole head there is no call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_finishes_or_reads_leave_nothing_behind() {
    let guarded = start(None).await;
    let requests = guarded.server.running.request_counts();
    survives(&guarded, None, "half-open streams", small(4, 100)).await;
    assert_eq!(requests.too_slow.load(Relaxed), 400);
    for name in
        ["large messages without an end", "streams without a credential", "unread answers", "wrong tokens"]
    {
        survives(&guarded, None, name, small(4, 40)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_are_cut_off() {
    let guarded = start(None).await;
    let connections = guarded.server.running.connection_counts();
    for name in [
        "CONTINUATION flood",
        "large header lists",
        "HPACK bomb",
        "rapid reset",
        "PING flood",
        "SETTINGS flood",
        "empty DATA frames",
        "window updates of zero",
        "connections and nothing",
    ] {
        let noisy = connections.noisy.load(Relaxed);
        survives(&guarded, None, name, Size { time: SHORT, ..small(2, 0) }).await;
        if matches!(name, "PING flood" | "SETTINGS flood") {
            assert!(connections.noisy.load(Relaxed) > noisy, "{name} is too much of nothing");
        }
    }
}

#[tokio::test]
async fn a_request_that_does_not_come_is_told_so() {
    let guarded = start(None).await;
    let token = guarded.token("read").await.0;
    let socket = TcpStream::connect(guarded.server.running.address()).await.expect("the server listens");
    let (client, connection) = h2::client::handshake(socket).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let head = http::Request::post("http://localhost/confwatch.v1.ConfigService/Get")
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {token}"));
    let mut client = client.ready().await.expect("there is room");
    let (response, mut body) = client.send_request(head.body(()).expect("a request"), false).expect("sent");
    body.send_data(bytes::Bytes::from_static(&[0, 0, 0, 0, 9, 1]), false).expect("sent");
    let head = response.await.expect("a response");
    let status = tonic::Status::from_header_map(head.headers()).expect("a status");
    refused(Err::<(), _>(status), Code::DeadlineExceeded, "REQUEST_TOO_SLOW");
    connection.abort();
}

#[tokio::test]
async fn a_connection_without_calls_ends_and_one_with_a_stream_does_not() {
    let guarded = start(None).await;
    let stream = super::auth::opened(&guarded.admin, "app", "/").await;
    let mut idle = TcpStream::connect(guarded.server.running.address()).await.expect("the server listens");
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    // It ends whether the client agrees or not.
    let _ = idle.read_to_end(&mut vec![]).await;
    assert_eq!(guarded.server.running.connection_counts().idle.load(Relaxed), 1);
    let mut stream = stream;
    guarded.admin.api().set(set(replace("/", r#"{"a":7}"#))).await.expect("set");
    assert!(stream.message().await.expect("it goes on").is_some());
}

#[tokio::test]
async fn health_and_reflection_have_room_for_a_few_calls_on_each_connection() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let guarded = start(None).await;
    let address = format!("http://{}", guarded.server.running.address());
    let endpoint = tonic::transport::Endpoint::from_shared(address).expect("an address");
    let mut client = HealthClient::new(endpoint.connect().await.expect("the server listens"));
    let mut streams = vec![];
    for _ in 0..16 {
        streams.push(client.watch(HealthCheckRequest::default()).await.expect("there is room").into_inner());
    }
    let refused_one = client.watch(HealthCheckRequest::default()).await.map(drop);
    refused(refused_one, Code::ResourceExhausted, "TOO_MANY_OPEN_CALLS");
    let counted = &guarded.server.running.connection_counts().open_calls_refused;
    assert_eq!(counted.load(std::sync::atomic::Ordering::Relaxed), 1);
    streams.pop();
    // Once the server has heard that it is gone.
    while client.check(HealthCheckRequest::default()).await.is_err() {}
}

#[tokio::test]
async fn who_takes_all_the_room_for_unfinished_requests_does_not_lock_the_others_out() {
    let change = |settings: &mut confwatch::server::Settings| {
        settings.auth = Some(AuthMode::On);
        settings.requests_unfinished_max = 20;
        settings.requests_unfinished_bytes_max = 64 << 10;
    };
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), change).await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    let token = guarded.token("read").await.0;
    let calls = async |count: usize, piece: &'static [u8]| {
        let socket = TcpStream::connect(guarded.server.running.address()).await.expect("the server listens");
        let (mut client, connection) = h2::client::handshake(socket).await.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let mut sent = vec![];
        for _ in 0..count {
            let head = http::Request::post("http://localhost/confwatch.v1.ConfigService/Get")
                .header("content-type", "application/grpc")
                .header("authorization", format!("Bearer {token}"));
            client = client.ready().await.expect("there is room");
            let head = head.body(()).expect("a request");
            let (response, mut body) = client.send_request(head, false).expect("sent");
            body.send_data(bytes::Bytes::from_static(piece), false).expect("sent");
            sent.push((response, body));
        }
        (client, connection, sent)
    };
    let requests = guarded.server.running.request_counts();
    let (_greedy, _connection, held) = calls(100, &[0; 100]).await;
    while requests.too_many.load(Relaxed) < 80 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(requests.unfinished.load(Relaxed), 20);
    // Others write, whole and in pieces.
    guarded.admin.api().set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    let (_modest, _other, more) = calls(4, &[0; 100]).await;
    while requests.unfinished.load(Relaxed) < 24 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop((held, more));
}
