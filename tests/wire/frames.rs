//! What of gRPC lies below messages: frames, headers, windows. Knows HTTP/2, and hardly any message.

use bytes::Bytes;
use confwatch::proto::v1::*;
use http::{HeaderMap, Request, StatusCode};
use prost::Message;
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::support::*;

const GET: &str = "/confwatch.v1.ConfigService/Get";

/// What came back.
struct Answer {
    http: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Of the trailers, or of the headers where there is nothing else.
    status: Status,
}

/// A call as it is by default.
fn call(path: &str) -> http::request::Builder {
    let uri = format!("http://localhost{path}");
    Request::post(uri).header("content-type", "application/grpc").header("te", "trailers")
}

/// Sends pieces of a body, each in frames of its own, and the end after them unless it is left open.
async fn send(server: &TestServer, head: http::request::Builder, pieces: &[&[u8]], ends: bool) -> Answer {
    let socket = TcpStream::connect(server.running.address()).await.expect("the server listens");
    let (client, connection) = h2::client::handshake(socket).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.expect("there is room for a call");
    let head =
        server.bearer.header().into_iter().fold(head, |head, value| head.header("authorization", value));
    let (response, mut body) = client.send_request(head.body(()).expect("a request"), false).expect("sent");
    for piece in pieces {
        body.send_data(Bytes::copy_from_slice(piece), false).expect("sent");
    }
    if ends {
        body.send_data(Bytes::new(), true).expect("sent");
    }
    let (head, mut body) = response.await.expect("a response").into_parts();
    let mut received = vec![];
    while let Some(data) = body.data().await {
        let data = data.expect("the body is whole");
        body.flow_control().release_capacity(data.len()).expect("it was just received");
        received.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.expect("the end is whole");
    let status = Status::from_header_map(trailers.as_ref().unwrap_or(&head.headers)).expect("a status");
    connection.abort();
    Answer { http: head.status, headers: head.headers, body: received, status }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("it is small").to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn get_app() -> Vec<u8> {
    frame(&get("/").encode_to_vec())
}

impl Answer {
    #[track_caller]
    fn content(&self) -> String {
        assert_eq!((self.http, self.status.code()), (StatusCode::OK, Code::Ok), "{:?}", self.status);
        let (head, message) = self.body.split_at(5);
        assert_eq!(head, &frame(message)[..5], "one message in one frame");
        GetResponse::decode(message).expect("a response").document.expect("a document").content
    }

    #[track_caller]
    fn refused(self, code: Code, reason: &str) {
        assert!(self.body.is_empty());
        assert_eq!(self.headers["content-type"], "application/grpc");
        refused(Err::<(), _>(self.status), code, reason);
    }
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    server
}

#[tokio::test]
async fn a_request_may_come_in_any_pieces() {
    let server = server().await;
    let request = get_app();
    let bytes: Vec<&[u8]> = request.chunks(1).collect();
    let (head, message) = request.split_at(5);
    for pieces in [vec![&request[..]], vec![head, message], vec![&[], &request[..], &[]], bytes] {
        assert_eq!(send(&server, call(GET), &pieces, true).await.content(), r#"{"a":1}"#);
    }
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(900 << 10));
    let request = frame(&set(replace("/", &large)).encode_to_vec());
    let pieces: Vec<&[u8]> = request.chunks(10_000).collect();
    let answer = send(&server, call("/confwatch.v1.ConfigService/Set"), &pieces, true).await;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    // Many times what the window of the client has room for.
    assert_eq!(send(&server, call(GET), &[&get_app()], true).await.content(), large);
}

#[tokio::test]
async fn a_body_that_is_not_one_message_is_malformed() {
    let server = server().await;
    let request = get_app();
    let flagged = |flag: u8| [&[flag], &request[1..]].concat();
    let too_long = [&request[..], &[0]].concat();
    let too_short = &request[..request.len() - 1];
    let second_is_broken = [&request[..], &frame(&[0x0a, 0x7f])].concat();
    // Compressed by nothing that is named, flags that do not exist, more or less than a message.
    for body in [&flagged(1), &flagged(2), &flagged(255), &too_long, &second_is_broken, too_short, &[], &[0]]
    {
        let answer = send(&server, call(GET), &[body], true).await;
        answer.refused(Code::InvalidArgument, "MALFORMED_REQUEST");
    }
    let two = [&request[..], &frame(&get("/elsewhere").encode_to_vec())].concat();
    assert_eq!(send(&server, call(GET), &[&two], true).await.content(), r#"{"a":1}"#, "the first counts");
}

#[tokio::test]
async fn a_message_that_would_be_too_large_is_refused_before_it_is_sent() {
    let server = server().await;
    for (encoding, ends) in [("identity", true), ("gzip", false)] {
        let length = (4 << 20) + 1_u32;
        let head = [&[0], &length.to_be_bytes()[..]].concat();
        let head = [&head[..], &[0; 100]].concat();
        let request = call(GET).header("grpc-encoding", encoding);
        let answer = send(&server, request, &[&head], ends).await;
        answer.refused(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    }
}

#[tokio::test]
async fn small_answers_are_not_compressed() {
    let server = server().await;
    let request = call(GET)
        .header("grpc-accept-encoding", "gzip,deflate,identity")
        .header("grpc-encoding", "identity")
        .header("user-agent", "grpc-go/1.70");
    let answer = send(&server, request, &[&get_app()], true).await;
    assert_eq!(answer.content(), r#"{"a":1}"#);
    assert!(!answer.headers.contains_key("grpc-encoding"));
    let request =
        Request::post(format!("http://localhost{GET}")).header("content-type", "application/grpc+proto");
    assert_eq!(send(&server, request, &[&get_app()], true).await.content(), r#"{"a":1}"#);
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, message).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// A frame that says that its message is compressed.
fn compressed_frame(message: &[u8]) -> Vec<u8> {
    let mut framed = frame(&gzip(message));
    framed[0] = 1;
    framed
}

#[tokio::test]
async fn large_answers_are_compressed_for_clients_that_take_them_so() {
    let server = server().await;
    let large = format!(r#"{{"fill":"{}"}}"#, "confwatch ".repeat(20_000));
    put(&mut server.client().await, "/", &large).await;
    let request = call(GET).header("grpc-accept-encoding", "identity, deflate, gzip");
    let answer = send(&server, request, &[&get_app()], true).await;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    assert_eq!(answer.headers["grpc-encoding"], "gzip");
    let (head, packed) = answer.body.split_at(5);
    let length = u32::try_from(packed.len()).expect("small").to_be_bytes();
    assert_eq!(head, [&[1], &length[..]].concat());
    assert!(packed.len() < large.len() / 10, "{}", packed.len());
    let mut message = vec![];
    let mut decoder = flate2::read::GzDecoder::new(packed);
    std::io::Read::read_to_end(&mut decoder, &mut message).expect("gzip");
    let response = GetResponse::decode(&message[..]).expect("a response");
    assert_eq!(response.document.expect("a document").content, large);
    // Who does not take it gets it as it is.
    let answer = send(&server, call(GET), &[&get_app()], true).await;
    assert_eq!(answer.content(), large);
    assert!(!answer.headers.contains_key("grpc-encoding"));
}

#[tokio::test]
async fn answers_that_show_secrets_are_not_compressed() {
    let guarded = super::auth::Guarded::start().await;
    let fill = "confwatch ".repeat(20_000);
    for config in ["app", "other"] {
        let large = format!(r#"{{"password":{{"$secret":"hunter2"}},"fill":"{fill}"}}"#);
        let change = Change { config: config.into(), ..replace("/", &large) };
        guarded.admin.api().set(set(change)).await.expect("set");
    }
    let token = super::auth::admin_token(&guarded.server.directory);
    let ask = async |path: &str, request: &[u8], mask: bool| {
        let head = call(path)
            .header("grpc-accept-encoding", "gzip")
            .header("authorization", format!("Bearer {token}"));
        let head = if mask { head.header("confwatch-mask-secrets", "true") } else { head };
        let answer = send(&guarded.server, head, &[&frame(request)], true).await;
        assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
        assert!(!answer.body.is_empty());
        answer.headers.contains_key("grpc-encoding")
    };
    let part = GetRequest { at: Some(get_request::At::Version(1)), ..get("/") };
    let batch = BatchGetRequest { requests: vec![get("/")], ..Default::default() };
    let history = ListVersionsRequest { include_content: true, ..versions() };
    let calls = [
        ("Get", get("/").encode_to_vec()),
        ("Get", part.encode_to_vec()),
        ("BatchGet", batch.encode_to_vec()),
        ("ListVersions", history.encode_to_vec()),
    ];
    for (name, request) in calls {
        let path = format!("/confwatch.v1.ConfigService/{name}");
        assert!(!ask(&path, &request, false).await, "{name} shows secrets");
        assert!(ask(&path, &request, true).await, "{name} shows masks");
    }
}

#[tokio::test]
async fn requests_may_be_compressed_up_to_the_size_that_a_message_may_have() {
    let server = server().await;
    let packed = || call(GET).header("grpc-encoding", "gzip");
    let request = compressed_frame(&get("/").encode_to_vec());
    assert_eq!(send(&server, packed(), &[&request], true).await.content(), r#"{"a":1}"#);
    // A megabyte of it would be a gigabyte.
    let bomb = compressed_frame(&vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    send(&server, packed(), &[&bomb], true).await.refused(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    let mut damaged = request.clone();
    damaged[5] ^= 0xff;
    send(&server, packed(), &[&damaged], true).await.refused(Code::InvalidArgument, "MALFORMED_REQUEST");
    let deflate = call(GET).header("grpc-encoding", "deflate");
    let answer = send(&server, deflate, &[&request], true).await;
    assert_eq!(answer.headers["grpc-accept-encoding"], "gzip,identity");
    answer.refused(Code::Unimplemented, "UNSUPPORTED_ENCODING");
}

#[tokio::test]
async fn what_nobody_serves_is_unimplemented() {
    let server = server().await;
    for path in [
        "/confwatch.v1.ConfigService/Nothing",
        "/confwatch.v1.ConfigService/get",
        "/other.v1.Service/Get",
        "/",
    ] {
        let answer = send(&server, call(path), &[&get_app()], true).await;
        assert_eq!(answer.http, StatusCode::OK, "{path}");
        answer.refused(Code::Unimplemented, "UNKNOWN_METHOD");
    }
}

#[tokio::test]
async fn a_call_is_a_post() {
    let server = server().await;
    let by_get = Request::get(format!("http://localhost{GET}")).header("content-type", "application/grpc");
    let answer = send(&server, by_get, &[&get_app()], true).await;
    assert_eq!(answer.http, StatusCode::METHOD_NOT_ALLOWED);
    answer.refused(Code::InvalidArgument, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up_at_its_deadline() {
    let server = server().await;
    let request = get_app();
    for pieces in [&request[..], &request[..7], &[]] {
        let head = call(GET).header("grpc-timeout", "50m");
        let answer = send(&server, head, &[pieces], false).await;
        answer.refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
}

#[tokio::test]
async fn who_connects_and_says_nothing_does_not_hold_up_the_end() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let hour = std::time::Duration::from_secs(3600);
    let server = TestServer::start_in(directory, |settings| settings.drain_timeout = hour).await;
    let _silent = TcpStream::connect(server.running.address()).await.expect("the server listens");
    let mut idle = server.client().await;
    put(&mut idle, "/", "{}").await;
    server.stop().await;
}
