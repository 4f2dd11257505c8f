//! Responses that clients ask for and do not take: their memory is bounded, they are given up, and others are served meanwhile.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use confwatch::model::Digest;
use confwatch::proto::v1::*;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use prost::Message;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::support::*;

const SERVICES: &str = "http://localhost/confwatch.v1.";
/// Of all that may be unread; a quarter of it on one connection.
const UNREAD_MAX: u64 = 16 << 20;
const SHORT: Duration = Duration::from_millis(400);
const DOCUMENT_BYTES: usize = 900 << 10;

async fn start() -> TestServer {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        settings.responses_unread_bytes_max = UNREAD_MAX;
        settings.response_timeout = SHORT;
    })
    .await;
    put(&mut server.client().await, "/", &large("x")).await;
    server
}

fn large(letter: &str) -> String {
    format!(r#"{{"a":"{}"}}"#, letter.repeat(DOCUMENT_BYTES))
}

/// A client that gives each of its streams a window of so many bytes.
struct Stingy {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
    bearer: Bearer,
}

impl Stingy {
    async fn connect(server: &TestServer, window: u32) -> Stingy {
        let socket = TcpStream::connect(server.running.address()).await.expect("the server listens");
        let builder = h2::client::Builder::new().initial_window_size(window).clone();
        let (requests, connection) = builder.handshake(socket).await.expect("it speaks HTTP/2");
        let connection = tokio::spawn(async move { _ = connection.await });
        Stingy { requests, connection, bearer: server.bearer.clone() }
    }

    async fn call(&mut self, name: &str, message: &impl Message) -> ResponseFuture {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).expect("it is small").to_be_bytes();
        let head =
            http::Request::post(format!("{SERVICES}{name}")).header("content-type", "application/grpc");
        let head =
            self.bearer.header().into_iter().fold(head, |head, value| head.header("authorization", value));
        let mut requests = self.requests.clone().ready().await.expect("there is room");
        let (response, mut body) =
            requests.send_request(head.body(()).expect("a request"), false).expect("sent");
        body.send_data([&[0], &length[..], &message].concat().into(), true).expect("sent");
        response
    }
}

impl Drop for Stingy {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// How a response ends of which nothing is taken: with a status, or by a reset.
async fn end(response: ResponseFuture) -> Result<Status, Reason> {
    let reason = |error: h2::Error| error.reason().expect("a reset");
    let (head, mut body) = response.await.map_err(reason)?.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return Ok(status);
    }
    // What is there already, and no room for more.
    while let Some(data) = body.data().await {
        data.map_err(reason)?;
    }
    let trailers = body.trailers().await.map_err(reason)?.expect("an end");
    Ok(Status::from_header_map(&trailers).expect("a status"))
}

fn reason_of(status: &Status) -> String {
    let (code, reason, _) = told(status);
    assert_eq!(code, Code::ResourceExhausted, "{status:?}");
    reason
}

fn batch(count: usize) -> BatchGetRequest {
    BatchGetRequest { requests: vec![get("/"); count], ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_nobody_takes_are_few_and_are_given_up() {
    let server = start().await;
    let counts = server.running.unread_counts();
    let mut clients = vec![];
    let mut ends = vec![];
    // One after another: responses of several connections that are made at once can take the room of their address from each other.
    for number in 1..=3 {
        let mut client = Stingy::connect(&server, 0).await;
        ends.push(tokio::spawn(end(client.call("ConfigService/BatchGet", &batch(3)).await)));
        let held = || counts.bytes() / (3 * DOCUMENT_BYTES as u64) + counts.given_up.load(Relaxed);
        while held() < number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        clients.push(client);
    }
    clients.push(Stingy::connect(&server, 0).await);
    for client in &mut clients {
        for _ in 0..49 {
            ends.push(tokio::spawn(end(client.call("ConfigService/BatchGet", &batch(3)).await)));
        }
    }
    ends.push(tokio::spawn(end(clients[3].call("ConfigService/BatchGet", &batch(3)).await)));
    let (mut not_taken, mut too_much, mut most) = (0, 0, 0);
    for end in ends {
        most = most.max(counts.bytes());
        match reason_of(&end.await.expect("no panic").expect("nothing was sent of it")).as_str() {
            "RESPONSE_NOT_TAKEN" => not_taken += 1,
            "TOO_MUCH_UNREAD" => too_much += 1,
            other => panic!("{other}"),
        }
    }
    assert!(most <= UNREAD_MAX + UNREAD_MAX / 16, "{most} bytes were held");
    // Of 2.7 MB each, one fits a connection, and three an address at a time. More come only once one was given up.
    assert_eq!((not_taken + too_much, not_taken), (200, counts.given_up.load(Relaxed)));
    assert!(not_taken >= 3 && too_much >= 100, "{not_taken} not taken, {too_much} refused");
    assert_eq!(counts.refused.load(Relaxed), too_much);
    while counts.bytes() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_responses_that_nobody_takes_hold_back_further_calls_until_they_are_given_up() {
    let server = start().await;
    let mut writer = server.client().await;
    writer.set(set(Change { config: "small".into(), ..replace("/", r#"{"a":1}"#) })).await.expect("set");
    let counts = server.running.unread_counts();
    let mut client = Stingy::connect(&server, 0).await;
    let small = GetRequest { config: "small".into(), ..get("/") };
    let mut ends = vec![];
    for _ in 0..5000 {
        ends.push(tokio::spawn(end(client.call("ConfigService/Get", &small).await)));
    }
    let mut most = 0;
    for end in ends {
        most = most.max(counts.bytes());
        let reason = reason_of(&end.await.expect("no panic").expect("nothing was sent of it"));
        assert_eq!(reason, "RESPONSE_NOT_TAKEN");
    }
    assert!(most <= UNREAD_MAX / 4 + (1 << 20), "{most} bytes were held");
}

#[tokio::test]
async fn others_at_the_same_address_are_answered_while_one_takes_nothing() {
    let server = start().await;
    let counts = server.running.unread_counts();
    // Half of all that may be unread is for one address: two connections of a quarter each, with room for one such response.
    let mut clients = vec![];
    let mut responses = vec![];
    for _ in 0..3 {
        let mut client = Stingy::connect(&server, 0).await;
        responses.push(client.call("ConfigService/BatchGet", &batch(3)).await);
        clients.push(client);
    }
    while counts.bytes() < UNREAD_MAX / 2 - (1 << 20) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut honest = server.client().await;
    let small = Change { config: "small".into(), ..replace("/", r#"{"a":1}"#) };
    honest.set(set(small)).await.expect("a write is answered");
    let get = GetRequest { config: "small".into(), ..get("/") };
    assert_eq!(content(&mut honest, get).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_slow_and_steady_reader_gets_all_of_a_large_response() {
    let server = start().await;
    let mut client = Stingy::connect(&server, 16 << 10).await;
    let body = client.call("ConfigService/Get", &get("/")).await.await.expect("a response").into_body();
    // It takes several times as long as a client may take nothing.
    let (message, status) = take(body, Duration::from_millis(30)).await.expect("all of it");
    assert_eq!(status.code(), Code::Ok);
    let response = GetResponse::decode(&message[5..]).expect("a response");
    assert_eq!(response.document.expect("a document").content, large("x"));
    assert_eq!(server.running.unread_counts().given_up.load(Relaxed), 0);
}

/// Reads a body to its end, with a pause after each piece.
async fn take(mut body: RecvStream, pause: Duration) -> Result<(Vec<u8>, Status), h2::Error> {
    let mut taken = vec![];
    while let Some(data) = body.data().await {
        let data = data?;
        taken.extend_from_slice(&data);
        tokio::time::sleep(pause).await;
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = body.trailers().await?.expect("an end");
    Ok((taken, Status::from_header_map(&trailers).expect("a status")))
}

#[tokio::test]
async fn a_response_is_given_up_in_the_middle_by_a_reset_that_clients_understand() {
    let server = start().await;
    let mut client = Stingy::connect(&server, 16 << 10).await;
    let response = client.call("ConfigService/Get", &get("/")).await;
    assert_eq!(end(response).await.expect_err("a reset"), Reason::ENHANCE_YOUR_CALM);
}

/// Opens a watch of all configs, of which nothing is taken.
async fn unread_watch(server: &TestServer, configs: usize) -> (Stingy, RecvStream) {
    let mut writer = server.client().await;
    for at in 0..configs {
        let change = Change { config: format!("part-{at}"), ..replace("/", &large("y")) };
        writer.set(set(change)).await.expect("set");
    }
    // The parts of its snapshot are no shared documents, and count.
    let all = WatchTarget { namespace: "test".into(), config: "*".into(), ..Default::default() };
    let request = WatchRequest { targets: vec![all], ..Default::default() };
    let mut client = Stingy::connect(server, 0).await;
    let stream = client.call("ConfigService/Watch", &request).await.await.expect("it opens").into_body();
    while server.running.unread_counts().bytes() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (client, stream)
}

async fn end_of_stream(mut body: RecvStream) -> String {
    assert!(body.data().await.is_none(), "there is no room for anything");
    let trailers = body.trailers().await.expect("an end").expect("an end");
    reason_of(&Status::from_header_map(&trailers).expect("a status"))
}

#[tokio::test]
async fn a_watch_that_is_not_read_stays_until_there_is_too_much_of_everything() {
    let server = start().await;
    // With the one that is there, two: a message of one part.
    let (mut client, stream) = unread_watch(&server, 1).await;
    tokio::time::sleep(3 * SHORT).await;
    assert_eq!(server.running.unread_counts().given_up.load(Relaxed), 0);
    // Others on the connection hold so much that somebody has to go.
    let mut ends = vec![];
    for _ in 0..4 {
        ends.push(tokio::spawn(end(client.call("ConfigService/Get", &get("/")).await)));
    }
    for end in ends {
        reason_of(&end.await.expect("no panic").expect("nothing was sent of it"));
    }
    assert_eq!(end_of_stream(stream).await, "RESPONSE_NOT_TAKEN");
}

#[tokio::test]
async fn a_watch_that_is_not_read_in_the_middle_of_a_message_is_given_up() {
    let server = start().await;
    let (_client, stream) = unread_watch(&server, 7).await;
    assert_eq!(end_of_stream(stream).await, "RESPONSE_NOT_TAKEN");
    assert_eq!(server.running.unread_counts().given_up.load(Relaxed), 1);
}

#[tokio::test]
async fn a_watch_that_is_read_slowly_in_the_middle_of_a_message_is_given_up_since_the_message_keeps_its_state()
 {
    let server = start().await;
    let (first, _) = unread_watch(&server, 7).await;
    drop(first);
    let all = WatchTarget { namespace: "test".into(), config: "*".into(), ..Default::default() };
    let request = WatchRequest { targets: vec![all], ..Default::default() };
    let mut client = Stingy::connect(&server, 16 << 10).await;
    let stream = client.call("ConfigService/Watch", &request).await.await.expect("it opens").into_body();
    // It always takes something in time, and would take twice as long as there is for all parts.
    let error = take(stream, SHORT / 10).await.expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn a_watch_that_was_not_read_for_long_goes_on_where_it_was() {
    let server = start().await;
    let mut writer = server.client().await;
    put(&mut writer, "/", r#"{"a":1}"#).await;
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let request = WatchRequest { targets: vec![target], ..Default::default() };
    let mut client = Stingy::connect(&server, 8).await;
    let response = client.call("ConfigService/Watch", &request).await.await.expect("it opens");
    for value in 2..=9 {
        put(&mut writer, "/", &format!(r#"{{"a":{value}}}"#)).await;
    }
    // Several times as long as a response may wait for its client.
    tokio::time::sleep(4 * SHORT).await;
    assert_eq!(server.running.unread_counts().given_up.load(Relaxed), 0);
    let (mut body, mut taken) = (response.into_body(), vec![]);
    while !taken.windows(7).any(|text| text == br#"{"a":9}"#) {
        let data = body.data().await.expect("it goes on").expect("it goes on");
        taken.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).expect("it was just received");
    }
}

#[tokio::test]
async fn a_backup_that_is_not_read_is_given_up_and_another_one_can_be_made() {
    let server = start().await;
    let request = CreateBackupRequest { kind: BackupKind::Full.into(), ..Default::default() };
    for _ in 0..2 {
        let mut client = Stingy::connect(&server, 0).await;
        let response = client.call("BackupService/CreateBackup", &request).await;
        let stream = response.await.expect("it begins").into_body();
        assert_eq!(end_of_stream(stream).await, "RESPONSE_NOT_TAKEN");
    }
}

#[tokio::test]
async fn a_backup_that_is_read_by_drops_is_given_up() {
    let server = start().await;
    // What does not become small when it is compressed.
    let digits: String = (0..12_000u32).map(|at| Digest::of(&at.to_be_bytes()).to_string()).collect();
    let mut writer = server.client().await;
    put(&mut writer, "/digits", &format!(r#"{{"a":"{digits}"}}"#)).await;
    let request = CreateBackupRequest { kind: BackupKind::State.into(), ..Default::default() };
    let mut client = Stingy::connect(&server, 16 << 10).await;
    let stream =
        client.call("BackupService/CreateBackup", &request).await.await.expect("it begins").into_body();
    // More than other responses have to be read at, and less than a backup.
    let error = take(stream, SHORT / 4).await.expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
}
