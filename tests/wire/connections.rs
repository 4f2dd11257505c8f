//! Limits of connections: how many there may be, how long they may take to begin, and how old they may become.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use confwatch::client::watch::WatchOptions;
use confwatch::client::{ClientError, ConnectOptions};
use confwatch::proto::v1::*;
use confwatch::server::Settings;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt;

use super::support::*;

async fn serve(change: impl FnOnce(&mut Settings)) -> TestServer {
    TestServer::start_in(TempDir::new().expect("a directory"), change).await
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn value(count: &AtomicU64) -> u64 {
    count.load(Relaxed)
}

/// The preface of HTTP/2, and settings that set nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Whether the server keeps a connection: it answers the preface, or closes it. It says nothing before that: a client of HTTP/1.1 is
/// answered in its own language.
async fn connect(server: &TestServer) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(server.running.address()).await.expect("the server listens");
    // One that is closed already may not take it.
    let _ = socket.write_all(PREFACE).await;
    let mut first = [0; 1];
    socket.read_exact(&mut first).await.is_ok().then_some(socket)
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_until_there_is_room() {
    let changes: [fn(&mut Settings); 2] =
        [|settings| settings.connections_max = 2, |settings| settings.connections_per_address_max = 2];
    for (at, change) in changes.into_iter().enumerate() {
        let server = serve(change).await;
        let counts = server.running.connection_counts();
        let mut kept = vec![connect(&server).await.expect("room"), connect(&server).await.expect("room")];
        assert!(connect(&server).await.is_none());
        let refused = [&counts.refused_in_all, &counts.refused_of_address];
        assert_eq!(refused.map(value), if at == 0 { [1, 0] } else { [0, 1] });
        kept.pop();
        until(|| value(&counts.open) == 1).await;
        kept.push(connect(&server).await.expect("room again"));
        assert_eq!(value(&counts.admitted), 3);
    }
}

#[tokio::test]
async fn a_client_that_does_not_begin_is_dropped() {
    let server = serve(|settings| settings.handshake_timeout = Duration::from_millis(20)).await;
    let counts = server.running.connection_counts();
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let mut socket = TcpStream::connect(server.running.address()).await.expect("the server listens");
        socket.write_all(said).await.expect("sent");
        let _ = socket.read_to_end(&mut vec![]).await;
    }
    until(|| value(&counts.prefaces_timed_out) == 2 && value(&counts.open) == 0).await;
}

fn watch(config: &str) -> WatchRequest {
    let target = WatchTarget { namespace: "test".into(), config: config.into(), ..Default::default() };
    WatchRequest { targets: vec![target], ..Default::default() }
}

#[tokio::test]
async fn an_old_connection_ends_its_streams_and_the_next_call_finds_another() {
    let server = serve(|settings| settings.connection_age_max = Some(Duration::from_secs(1))).await;
    let mut client = server.client().await;
    let counts = server.running.connection_counts();
    let mut streams = vec![];
    for request in [watch("app"), watch("missing")] {
        streams.push(client.watch(request).await.expect("a stream").into_inner());
    }
    let changes = StreamChangesRequest::default();
    let mut changes = client.stream_changes(changes).await.expect("a stream").into_inner();
    let mut ends = vec![];
    for mut stream in streams {
        ends.push(loop {
            if let Err(status) = stream.message().await.map(|message| message.expect("no silent end")) {
                break status;
            }
        });
    }
    ends.push(loop {
        if let Err(status) = changes.message().await.map(|message| message.expect("no silent end")) {
            break status;
        }
    });
    for end in ends {
        assert_eq!((end.code(), told(&end).1.as_str()), (Code::Unavailable, "DRAINING"));
        assert!(end.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{end:?}");
    }
    assert!(value(&counts.aged) >= 1);
    // On a connection of its own, since the old one has said that it goes.
    put_again(&mut client, r#"{"a":1}"#).await;
    until(|| value(&counts.admitted) >= 2).await;
}

/// Replaces the layer as a client does it. A request that its connection had no time for is not sent: a client may try again.
async fn put_again(client: &mut Client, content: &str) {
    while let Err(status) = client.set(set(replace("/", content))).await {
        assert!(ClientError::from(status.clone()).is_retryable(), "{status:?}");
    }
}

#[tokio::test]
async fn calls_go_on_whatever_the_age_of_their_connection() {
    let server = serve(|settings| {
        believing(settings);
        settings.connection_age_max = Some(Duration::from_millis(30));
    })
    .await;
    let mut client = server.client().await;
    let counts = server.running.connection_counts();
    let mut written = 0;
    while value(&counts.aged) < 5 {
        written += 1;
        put_again(&mut client, &format!(r#"{{"a":{written}}}"#)).await;
    }
    assert_eq!(server.running.engine().state().revision.0, written);
}

#[tokio::test]
async fn a_watcher_sees_all_that_is_written_on_connections_of_any_age() {
    let server = serve(|settings| settings.connection_age_max = Some(Duration::from_millis(50))).await;
    let address = server.running.address().to_string();
    let token = server.bearer.token();
    let client =
        confwatch::client::Client::connect(ConnectOptions { address, token, ..ConnectOptions::default() })
            .expect("a client");
    let mut watcher = client.watch(WatchOptions::new([("test", "app", "/").into()]));
    let mut writer = server.client().await;
    for round in 1..8 {
        let content = format!(r#"{{"a":{round}}}"#);
        put_again(&mut writer, &content).await;
        loop {
            let held = watcher.documents();
            if held.iter().any(|(_, document)| document.as_ref().is_some_and(|held| held.content == content))
            {
                break;
            }
            watcher.next().await.expect("it goes on");
        }
    }
}
