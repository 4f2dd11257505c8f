//! What connections of HTTP/1.1 hold, and for how long: slow readers, pipelines, 100-continue, HTTP/1.0, HEAD, and clients behind a proxy.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::auth::Guarded;
use super::events::{Protocol, post};
use super::http::{Http1, call, request};
use super::support::*;
use super::watching::until_freed;

const GET_APP: &str = r#"{"namespace":"test","config":"app"}"#;
/// Long enough for a busy machine: without it, what never comes would hang the test.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server_with(change: impl FnOnce(&mut confwatch::server::Settings)) -> TestServer {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), change).await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    server
}

/// The head of a request as bytes, with the credential of the administrator.
fn head(server: &TestServer, line: &str, headers: &str) -> String {
    let bearer = server.bearer.header().map(|bearer| format!("authorization: {bearer}\r\n"));
    format!("{line}\r\nhost: localhost\r\n{}{headers}\r\n", bearer.unwrap_or_default())
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.running.address()).await.expect("the server listens")
}

/// A connection on which the kernel keeps little of what the client does not read.
async fn narrow(server: &TestServer) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.set_recv_buffer_size(4 << 10).expect("a size");
    socket.connect(server.running.address()).await.expect("the server listens")
}

/// All that a server says until it closes the connection.
async fn said(mut socket: TcpStream) -> String {
    let mut said = vec![];
    // A connection may also be reset, once all is said.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut said)).await.expect("the server closes");
    String::from_utf8(said).expect("UTF-8")
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} in time"));
}

#[tokio::test]
async fn a_slow_reader_of_a_backup_loses_it() {
    let server = server_with(|settings| settings.response_timeout = Duration::from_millis(500)).await;
    let mut client = server.client().await;
    // More than the kernel keeps of a connection that is not read.
    for number in 0..12 {
        let text: String = (0..700_000).map(|_| char::from(fastrand::u8(b'a'..=b'z'))).collect();
        put(&mut client, &format!("/s{number}"), &format!(r#"{{"text":"{text}"}}"#)).await;
    }
    let content = r#"{"kind":"BACKUP_KIND_FULL","namespace":"test"}"#;
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", content.len());
    let create = head(&server, "POST /v1/backups:create HTTP/1.1", &headers) + content;
    let mut socket = narrow(&server).await;
    socket.write_all(create.as_bytes()).await.expect("sent");
    let mut piece = [0; 1 << 10];
    let first = socket.read(&mut piece).await.expect("a response");
    assert!(piece[..first].starts_with(b"HTTP/1.1 200"));
    // More than 4 KiB in the time that the client has, which is enough of any other response.
    let counts = server.running.unread_counts();
    let reading = async {
        while counts.given_up.load(Relaxed) == 0 {
            match socket.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the backup is given up in time");
    until("it counts as given up", || counts.given_up.load(Relaxed) == 1).await;
    // There is room for the next one, which a reader at full speed gets whole.
    let all = async {
        loop {
            let body = json!({"kind": "BACKUP_KIND_FULL", "namespace": "test"});
            let mut stream = post(&server, Protocol::Http1, "/v1/backups:create", body).open().await;
            if stream.status == StatusCode::OK {
                let mut last = json!(null);
                while let Some(line) = stream.line().await {
                    last = line;
                }
                return last;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let last = timeout(PATIENCE, all).await.expect("there is room");
    assert!(last["backup"]["id"].is_string() || last["backup"].is_object(), "{last}");
}

#[tokio::test]
async fn a_watch_that_is_not_read_ends_and_holds_nothing() {
    let server = server_with(|settings| settings.response_timeout = Duration::from_millis(300)).await;
    let mut client = server.client().await;
    let mut socket = narrow(&server).await;
    let watch = head(&server, "GET /v1/watch?target=test/app HTTP/1.1", "");
    socket.write_all(watch.as_bytes()).await.expect("sent");
    let counts = server.running.unread_counts();
    let mut number = 0;
    while counts.given_up.load(Relaxed) == 0 {
        number += 1;
        let text = "x".repeat(900 << 10);
        put(&mut client, "/", &format!(r#"{{"n":{number},"text":"{text}"}}"#)).await;
        assert!(counts.bytes() <= 16 << 20, "what is not read is bounded");
    }
    until_freed(&server).await;
    until("nothing is held of it", || counts.bytes() == 0).await;
    drop(socket);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_or_why_not() {
    let server = server_with(|_| {}).await;
    let expecting = format!(
        "content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n",
        GET_APP.len()
    );
    let line = "POST /confwatch.v1.ConfigService/Get HTTP/1.1";
    let mut socket = connect(&server).await;
    socket.write_all(head(&server, line, &expecting).as_bytes()).await.expect("sent");
    let mut told = [0; 25];
    socket.read_exact(&mut told).await.expect("an answer to the head");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(GET_APP.as_bytes()).await.expect("sent");
    let mut answer = [0; 15];
    socket.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");

    let guarded = Guarded::start_with_policy().await;
    let mut socket = connect(&guarded.server).await;
    let nobody = format!("{line}\r\nhost: localhost\r\n{expecting}\r\n");
    socket.write_all(nobody.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 401", "the content of who may not call is not asked for");
}

#[tokio::test]
async fn http_1_0_and_head_are_answered_without_a_stream_that_nobody_reads() {
    let server = server_with(|_| {}).await;
    let mut socket = connect(&server).await;
    let old = head(&server, "GET /v1/namespaces/test/configs/app HTTP/1.0", "");
    socket.write_all(old.as_bytes()).await.expect("sent");
    let answer = said(socket).await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with(r#"{"a":1}"#), "{answer}");

    let mut connection = Http1::connect(&server).await;
    for _ in 0..3 {
        let watch = request(&server, Method::HEAD, "/v1/watch?target=test/app");
        let answer = connection.send(watch, "").await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    }
    connection.send(call(&server, "ConfigService/Get"), GET_APP).await.ok();
    until_freed(&server).await;
}

#[tokio::test]
async fn a_connection_that_sends_very_many_requests_at_once_holds_no_other_up() {
    const REQUESTS: usize = 4000;
    let server = server_with(|_| {}).await;
    let (mut reading, mut writing) = connect(&server).await.into_split();
    let one = head(&server, "GET /v1/namespaces/test/configs/app HTTP/1.1", "");
    let sending = tokio::spawn(async move {
        for _ in 0..REQUESTS {
            writing.write_all(one.as_bytes()).await.expect("sent");
        }
        writing
    });
    // The server has begun with them.
    let mut answered = String::new();
    let mut piece = vec![0; 16 << 10];
    let count = reading.read(&mut piece).await.expect("an answer");
    answered.push_str(std::str::from_utf8(&piece[..count]).expect("ASCII"));
    let mut other = Http1::connect(&server).await;
    for _ in 0..10 {
        other.send(call(&server, "ConfigService/Get"), GET_APP).await.ok();
    }
    assert!(!sending.is_finished() || answered.matches("HTTP/1.1 200").count() < REQUESTS);
    let rest = async {
        while answered.matches("HTTP/1.1 200").count() < REQUESTS {
            let count = reading.read(&mut piece).await.expect("an answer");
            assert!(count > 0, "every request is answered");
            answered.push_str(std::str::from_utf8(&piece[..count]).expect("ASCII"));
        }
    };
    timeout(PATIENCE, rest).await.expect("every request is answered in time");
    sending.await.expect("all were sent");
}

/// The header of version 2 of the PROXY protocol, for a client at this address.
fn announced(client: [u8; 4]) -> Vec<u8> {
    let addresses = [&client[..], &[127, 0, 0, 1], &4711_u16.to_be_bytes(), &80_u16.to_be_bytes()].concat();
    let length = u16::try_from(addresses.len()).expect("twelve").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length[..], &addresses].concat()
}

#[tokio::test]
async fn the_address_of_a_client_behind_a_proxy_is_that_of_its_header() {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        settings.proxy_protocol_from = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let by_proxy = async |client: [u8; 4]| {
        let mut socket = connect(&server).await;
        socket.write_all(&announced(client)).await.expect("sent");
        socket
    };
    let mut watching = by_proxy([10, 1, 2, 3]).await;
    let watch = head(&server, "GET /v1/watch?target=test/app&client_id=behind HTTP/1.1", "");
    watching.write_all(watch.as_bytes()).await.expect("sent");
    let mut begun = vec![];
    while !String::from_utf8_lossy(&begun).contains("event: snapshot") {
        let count =
            timeout(PATIENCE, watching.read_buf(&mut begun)).await.expect("in time").expect("a snapshot");
        assert!(count > 0, "{}", String::from_utf8_lossy(&begun));
    }
    let mut other = Http1::over(by_proxy([10, 9, 9, 9]).await).await;
    let list = request(&server, Method::POST, "/v1/namespaces/test/clients:list");
    let listed = other.send(list.header("content-type", "application/json"), "{}").await.ok();
    assert_eq!(listed["clients"][0]["client_id"], "behind", "{listed}");
    assert_eq!(listed["clients"][0]["address"], "10.1.2.3", "{listed}");
    // Who does not say for whom it comes is not let in.
    let mut without = connect(&server).await;
    let get = head(&server, "GET /v1/status HTTP/1.1", "");
    without.write_all(get.as_bytes()).await.expect("sent");
    assert_eq!(said(without).await, "");
}
