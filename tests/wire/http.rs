//! The server over HTTP with JSON: how tests ask it, and what HTTP/1.1 and HTTP/2 as such promise.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::LazyLock;
use std::time::Duration;

use confwatch::proto::v1::*;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::support::*;

/// What the server has answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response<Incoming>) -> Answer {
        let (head, mut body) = response.into_parts();
        let mut read = vec![];
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            read.extend_from_slice(&frame.expect("a complete body").into_data().unwrap_or_default());
        }
        Answer { status: head.status, headers: head.headers, body: read }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON of a call that went well.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.json()
    }

    /// A problem with this status and reason.
    #[track_caller]
    pub fn problem(&self, status: u16, reason: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["reason"].as_str()), (status, Some(reason)), "{problem}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with(reason)), "{problem}");
        self.check_headers();
        problem
    }

    /// What every response has.
    #[track_caller]
    pub fn check_headers(&self) {
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
    }
}

/// A request with the credential of the administrator of a test server.
pub fn request(server: &TestServer, method: Method, path: &str) -> http::request::Builder {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    match server.bearer.header() {
        Some(bearer) => request.header("authorization", bearer),
        None => request,
    }
}

/// A call of an RPC by its own path.
pub fn call(server: &TestServer, name: &str) -> http::request::Builder {
    let request = request(server, Method::POST, &format!("/confwatch.v1.{name}"));
    request.header(CONTENT_TYPE, "application/json")
}

/// A connection of HTTP/1.1.
pub struct Http1(hyper::client::conn::http1::SendRequest<String>);

impl Http1 {
    pub async fn connect(server: &TestServer) -> Http1 {
        let socket = TcpStream::connect(server.running.address()).await.expect("the server listens");
        Http1::over(socket).await
    }

    pub async fn over(
        socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Http1 {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("a connection");
        tokio::spawn(connection);
        Http1(sender)
    }

    pub async fn send(&mut self, request: http::request::Builder, body: impl Into<String>) -> Answer {
        self.0.ready().await.expect("the connection is open");
        let request = request.body(body.into()).expect("a request");
        Answer::of(self.0.send_request(request).await.expect("an answer")).await
    }

    /// Whether the server has closed the connection.
    pub async fn is_closed(&mut self) -> bool {
        self.0.ready().await.is_err()
    }
}

/// Sends one request over HTTP/1.1, on a connection of its own.
pub async fn send(server: &TestServer, request: http::request::Builder, body: impl Into<String>) -> Answer {
    Http1::connect(server).await.send(request, body).await
}

/// The same over HTTP/2.
pub async fn send_by_http2(
    server: &TestServer,
    request: http::request::Builder,
    body: impl Into<String>,
) -> Answer {
    let socket = TcpStream::connect(server.running.address()).await.expect("the server listens");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .expect("a connection");
    tokio::spawn(connection);
    let mut request = request.body(body.into()).expect("a request");
    request.headers_mut().remove("host");
    let uri = format!("http://localhost{}", request.uri());
    *request.uri_mut() = uri.parse().expect("a URI");
    Answer::of(sender.send_request(request).await.expect("an answer")).await
}

/// The descriptors of the contract: read once, since they are large.
pub fn pool() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("descriptors"));
    POOL.clone()
}

/// The request and the response of a call such as `ConfigService/Get`.
pub fn messages(call: &str) -> (MessageDescriptor, MessageDescriptor) {
    let (service, name) = call.split_once('/').expect("a service and a call");
    let service = pool().get_service_by_name(&format!("confwatch.v1.{service}")).expect("a service");
    let method = service.methods().find(|method| method.name() == name).expect("a call");
    (method.input(), method.output())
}

/// Whether a call is answered by one message.
pub fn is_unary(call: &str) -> bool {
    let (service, name) = call.split_once('/').expect("a service and a call");
    let service = pool().get_service_by_name(&format!("confwatch.v1.{service}")).expect("a service");
    service.methods().any(|method| method.name() == name && !method.is_server_streaming())
}

/// A request as JSON. `None`: JSON cannot say it, such as a time in the year 20 000.
pub fn request_json(call: &str, message: &[u8]) -> Option<String> {
    let message = DynamicMessage::decode(messages(call).0, message).expect("a request");
    serde_json::to_string(&message).ok()
}

/// A request by a route that the contract gives to its call: method, path with query, and content. `None`: it has none, or none that can say it.
pub fn annotated(call: &str, message: &[u8]) -> Option<(Method, String, String)> {
    let (service, name) = call.split_once('/')?;
    let pool = pool();
    let service = pool.get_service_by_name(&format!("confwatch.v1.{service}"))?;
    let method = service.methods().find(|method| method.name() == name)?;
    let extension = pool.all_extensions().find(|extension| extension.full_name() == "google.api.http")?;
    let options = method.options();
    let rule = options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())?;
    let first = rule.as_message().expect("a rule").clone();
    let more = first.get_field_by_name("additional_bindings")?.into_owned();
    let more = more.as_list().expect("a list").iter().map(|rule| rule.as_message().expect("a rule").clone());
    let message = DynamicMessage::decode(method.input(), message).expect("a request");
    let mut json = vec![];
    let written = prost_reflect::SerializeOptions::new().use_proto_field_name(true);
    let mut writer = serde_json::Serializer::new(&mut json);
    message.serialize_with_options(&mut writer, &written).ok()?;
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    std::iter::once(first.clone()).chain(more).find_map(|rule| by_rule(&rule, &json))
}

fn by_rule(rule: &DynamicMessage, message: &Value) -> Option<(Method, String, String)> {
    let text = |name: &str| rule.get_field_by_name(name).and_then(|value| Some(value.as_str()?.to_owned()));
    let (method, template) = [("get", Method::GET), ("post", Method::POST), ("put", Method::PUT)]
        .into_iter()
        .find_map(|(name, method)| Some((method, text(name).filter(|path| !path.is_empty())?)))?;
    let mut left = message.clone();
    let mut path = String::new();
    let mut rest = template.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (variable, after) = after.split_once('}').expect("a variable ends");
        let field = variable.split('=').next().expect("a name");
        let (outer, inner) = field.rsplit_once('.').map_or(("", field), |(outer, inner)| (outer, inner));
        let parent = if outer.is_empty() { Some(&mut left) } else { left.get_mut(outer) };
        let value = parent?.as_object_mut()?.remove(inner)?.as_str()?.to_owned();
        path += before;
        path +=
            &percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC).to_string();
        rest = after;
    }
    path += rest;
    if text("body").is_some_and(|body| body == "*") {
        return Some((method, path, left.to_string()));
    }
    let mut query = vec![];
    flatten(&mut query, "", &left)?;
    Some((method, if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }, String::new()))
}

/// The parameters of a query for fields of a message.
fn flatten(query: &mut Vec<String>, name: &str, value: &Value) -> Option<()> {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(query, &name, value)?;
            }
        }
        Value::Array(items) => {
            for item in items {
                flatten(query, name, item).filter(|()| !item.is_object())?;
            }
        }
        Value::String(text) => {
            let text = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
            query.push(format!("{name}={text}"));
        }
        other => query.push(format!("{name}={other}")),
    }
    Some(())
}

/// The bytes of a message that is JSON.
pub fn bytes_of(message: MessageDescriptor, json: &[u8]) -> Vec<u8> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(message, &mut reader);
    message.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json))).encode_to_vec()
}

/// The status that a client of gRPC gets for a problem.
pub fn status_of(problem: &Value) -> Status {
    use prost_types::Any;
    use tonic_types::pb;
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let any = |name: &str, value: Vec<u8>| Any { type_url: format!("type.googleapis.com/{name}"), value };
    let of_contract = |name: &str, value: Value| {
        let name = format!("confwatch.v1.{name}");
        let message = pool().get_message_by_name(&name).expect("a message");
        any(&name, bytes_of(message, value.to_string().as_bytes()))
    };
    let metadata = problem["metadata"].as_object().expect("metadata");
    let metadata = metadata.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let info = pb::ErrorInfo { reason: text(&problem["reason"]), domain: "confwatch".into(), metadata };
    let mut details = vec![any("google.rpc.ErrorInfo", info.encode_to_vec())];
    for violation in problem["violations"].as_array().into_iter().flatten() {
        let violation = pb::bad_request::FieldViolation {
            field: text(&violation["field"]),
            description: text(&violation["description"]),
            ..Default::default()
        };
        let bad = pb::BadRequest { field_violations: vec![violation] };
        details.push(any("google.rpc.BadRequest", bad.encode_to_vec()));
    }
    if let Some(findings) = problem.get("findings") {
        let report = json!({ "findings": findings, "omitted": problem["findings_omitted"] });
        details.push(of_contract("ValidationReport", report));
    }
    if let Some(conflicts) = problem.get("conflicts") {
        let conflicts = json!({ "conflicts": conflicts, "omitted": problem["conflicts_omitted"] });
        details.push(of_contract("RevertConflicts", conflicts));
    }
    let code = code_named(problem["code"].as_str().expect("a code"));
    let message = text(&problem["detail"]);
    let status = pb::Status { code: code as i32, message: message.clone(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}

fn code_named(name: &str) -> Code {
    let words = |code: Code| {
        let name = format!("{code:?}");
        let mut words = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() && !words.is_empty() {
                words.push('_');
            }
            words.push(c.to_ascii_uppercase());
        }
        words
    };
    let mut codes = (0..17).map(Code::from_i32);
    codes.find(|code| words(*code) == name).unwrap_or_else(|| panic!("{name} is no code"))
}

/// A server with `test/app`.
async fn server() -> TestServer {
    server_with(|_| {}).await
}

async fn server_with(change: impl FnOnce(&mut confwatch::server::Settings)) -> TestServer {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), change).await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    server
}

const GET: &str = "ConfigService/Get";
const GET_APP: &str = r#"{"namespace":"test","config":"app"}"#;

#[tokio::test]
async fn a_call_is_answered_with_json_by_both_versions_of_http() {
    let server = server().await;
    for (version, answer) in [
        ("1.1", send(&server, call(&server, GET), GET_APP).await),
        ("2", send_by_http2(&server, call(&server, GET), GET_APP).await),
    ] {
        let got = answer.ok();
        assert_eq!(answer.header("content-type"), Some("application/json"), "HTTP/{version}");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        answer.check_headers();
        assert_eq!(answer.header("confwatch-epoch").map(str::len), Some(16));
        assert_eq!(got["document"]["content"], r#"{"a":1}"#);
        assert_eq!(got["document"]["version"], 1);
        assert_eq!(got["not_modified"], false, "defaults are written");
    }
    let set = json!({
        "change": {"namespace": "test", "config": "app", "scope": "/", "assign": {"values": {"b": "true"}}},
        "options": {"reason": "because"},
    });
    let answer = send(&server, call(&server, "ConfigService/Set"), set.to_string()).await;
    assert_eq!(answer.ok()["document"]["content"], r#"{"a":1,"b":true}"#);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_by_its_status() {
    let server = server().await;
    let post = || request(&server, Method::POST, "/confwatch.v1.ConfigService/Get");
    send(&server, post(), GET_APP).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let xml = post().header(CONTENT_TYPE, "text/plain");
    send(&server, xml, GET_APP).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let packed = call(&server, GET).header("content-encoding", "br");
    send(&server, packed, GET_APP).await.problem(415, "UNSUPPORTED_ENCODING");
    let html = call(&server, GET).header("accept", "text/html");
    send(&server, html, GET_APP).await.problem(406, "NOT_ACCEPTABLE");
    let latin = post().header(CONTENT_TYPE, "application/json; charset=latin1");
    send(&server, latin, GET_APP).await.problem(400, "INVALID_FIELD");
    for path in ["/v1/nothing", "/confwatch.v1.ConfigService/Got", "/grpc.health.v1.Health/Check", "/../x"] {
        send(&server, request(&server, Method::POST, path), "").await.problem(404, "UNKNOWN_PATH");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = send(&server, request(&server, method, "/confwatch.v1.ConfigService/Get"), "").await;
        answer.problem(405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    let query = request(&server, Method::POST, "/confwatch.v1.ConfigService/Get?namespace=test");
    send(&server, query, "").await.problem(400, "INVALID_FIELD");
    for (content, place) in [
        ("{\n  \"namespce\": \"test\"\n}", ("2", "12")),
        ("{\"namespace\": }", ("1", "15")),
        ("{\"namespace\": \"a\", \"namespace\": \"b\"}", ("1", "30")),
        ("{\"config\": 7}", ("1", "12")),
        ("[[[[", ("1", "0")),
    ] {
        let problem = send(&server, call(&server, GET), content).await.problem(400, "MALFORMED_REQUEST");
        assert_eq!(problem["metadata"]["line"], place.0, "{problem}");
        if place.1 != "0" {
            assert_eq!(problem["metadata"]["column"], place.1, "{problem}");
        }
    }
    let deep = format!("{{\"config\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    send(&server, call(&server, GET), deep).await.problem(400, "MALFORMED_REQUEST");
    let not_found = GET_APP.replace("app", "nothing");
    let answer = send(&server, call(&server, GET).header("x-request-id", "call-7"), not_found).await;
    let problem = answer.problem(404, "CONFIG_NOT_FOUND");
    assert_eq!((problem["code"].as_str(), problem["instance"].as_str()), (Some("NOT_FOUND"), Some("call-7")));
    assert_eq!(answer.header("x-request-id"), Some("call-7"));
}

#[tokio::test]
async fn a_repeated_write_with_an_idempotency_key_is_made_once() {
    let server = server().await;
    let set = json!({"change": {"namespace": "test", "config": "app", "scope": "/", "assign": {"values": {"b": "1"}}}});
    let with_key = |key: &str| call(&server, "ConfigService/Set").header("idempotency-key", key);
    let first = send(&server, with_key("\"once\""), set.to_string()).await.ok();
    let again = send(&server, with_key("once"), set.to_string()).await.ok();
    assert_eq!(first["document"]["version"], again["document"]["version"]);
    let other = set.to_string().replace("\"1\"", "\"2\"");
    send(&server, with_key("once"), other).await.problem(409, "REQUEST_ID_REUSED");
    let both = json!({"change": set["change"], "options": {"request_id": "other"}});
    send(&server, with_key("once"), both.to_string()).await.problem(400, "INVALID_FIELD");
    let read = call(&server, GET).header("idempotency-key", "once");
    send(&server, read, GET_APP).await.problem(400, "INVALID_FIELD");
}

#[tokio::test]
async fn a_deadline_that_passes_ends_a_call() {
    let server = server().await;
    let late = call(&server, GET).header("connect-timeout-ms", "0");
    send(&server, late, GET_APP).await.problem(504, "DEADLINE_EXCEEDED");
    let mut socket = connect(&server).await;
    let begun = head_of_get(&server, "connect-timeout-ms: 50\r\ncontent-length: 40\r\n") + "{";
    socket.write_all(begun.as_bytes()).await.expect("sent");
    let mut answer = [0; 64];
    let count = socket.read(&mut answer).await.expect("an answer");
    assert!(answer[..count].starts_with(b"HTTP/1.1 504"), "{}", String::from_utf8_lossy(&answer[..count]));
    let in_time = call(&server, GET).header("connect-timeout-ms", "60000");
    send(&server, in_time, GET_APP).await.ok();
    let wrong = call(&server, GET).header("connect-timeout-ms", "soon");
    send(&server, wrong, GET_APP).await.problem(400, "INVALID_FIELD");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let server = server().await;
    let set = json!({"change": {"namespace": "test", "config": "app", "scope": "/", "assign": {"values": {"b": "1"}}}});
    let of_site = |site: &str| call(&server, "ConfigService/Set").header("sec-fetch-site", site);
    send(&server, of_site("cross-site"), set.to_string()).await.problem(403, "CROSS_SITE_REQUEST");
    let foreign = call(&server, "ConfigService/Set").header("origin", "https://evil.example");
    send(&server, foreign, set.to_string()).await.problem(403, "CROSS_SITE_REQUEST");
    let preflight = request(&server, Method::OPTIONS, "/confwatch.v1.ConfigService/Set")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    let answer = send(&server, preflight, "").await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::NO_CONTENT, Some("POST, OPTIONS")));
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{answer:?}");
    send(&server, of_site("same-origin"), set.to_string()).await.ok();
}

#[tokio::test]
async fn a_server_that_authenticates_nobody_is_not_called_by_the_name_of_a_page() {
    let server = TestServer::start_believing().await;
    let get = || Request::post("/confwatch.v1.ConfigService/List").header(CONTENT_TYPE, "application/json");
    send(&server, get().header("host", "evil.example"), "{}").await.problem(403, "HOST_NOT_LOCAL");
    send(&server, get().header("host", "127.0.0.1:1"), "{}").await.ok();
}

#[tokio::test]
async fn a_connection_of_http_1_1_serves_one_request_after_the_other() {
    let server = server().await;
    let mut connection = Http1::connect(&server).await;
    for _ in 0..3 {
        connection.send(call(&server, GET), GET_APP).await.ok();
        connection.send(call(&server, GET), "{").await.problem(400, "MALFORMED_REQUEST");
        let answer = connection.send(request(&server, Method::HEAD, "/v1/nothing"), "").await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_FOUND, 0));
    }
    assert_eq!(server.running.connection_counts().open.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// The head of a request as bytes, with the credential of the administrator.
fn head(server: &TestServer, line: &str, headers: &str) -> String {
    let bearer = server.bearer.header().map(|bearer| format!("authorization: {bearer}\r\n"));
    format!("{line} HTTP/1.1\r\nhost: localhost\r\n{}{headers}\r\n", bearer.unwrap_or_default())
}

fn head_of_get(server: &TestServer, headers: &str) -> String {
    head(
        server,
        "POST /confwatch.v1.ConfigService/Get",
        &format!("content-type: application/json\r\n{headers}"),
    )
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.running.address()).await.expect("the server listens")
}

/// All that a server says until it closes the connection.
async fn said(mut socket: TcpStream) -> String {
    let mut said = vec![];
    // A connection may also be reset, once all is said.
    let _ = socket.read_to_end(&mut said).await;
    String::from_utf8(said).expect("UTF-8")
}

#[tokio::test]
async fn requests_that_are_sent_at_once_are_answered_in_order() {
    let server = server().await;
    let mut socket = connect(&server).await;
    let mut all = String::new();
    for id in 0..20 {
        let headers = format!("x-request-id: call-{id}\r\ncontent-length: {}\r\n", GET_APP.len());
        all += &head_of_get(&server, &headers);
        all += GET_APP;
    }
    all += &head(&server, "GET /v1/nothing", "connection: close\r\n");
    socket.write_all(all.as_bytes()).await.expect("sent");
    let said = said(socket).await;
    let places: Vec<usize> =
        (0..20).map(|id| said.find(&format!("x-request-id: call-{id}\r\n")).expect("an answer")).collect();
    assert!(places.is_sorted(), "{said}");
    assert_eq!(
        (said.matches("HTTP/1.1 200").count(), said.matches("HTTP/1.1 404").count()),
        (20, 1),
        "{said}"
    );
}

#[tokio::test]
async fn content_may_come_in_chunks() {
    let server = server().await;
    let mut socket = connect(&server).await;
    let chunked = head_of_get(&server, "transfer-encoding: chunked\r\nconnection: close\r\n");
    socket.write_all(chunked.as_bytes()).await.expect("sent");
    for part in GET_APP.as_bytes().chunks(7) {
        socket.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await.expect("sent");
        socket.write_all(part).await.expect("sent");
        socket.write_all(b"\r\n").await.expect("sent");
        socket.flush().await.expect("sent");
    }
    socket.write_all(b"0\r\n\r\n").await.expect("sent");
    assert!(said(socket).await.starts_with("HTTP/1.1 200"));

    let mut socket = connect(&server).await;
    socket.write_all(format!("{chunked}zz\r\n").as_bytes()).await.expect("sent");
    let said = said(socket).await;
    assert!(said.starts_with("HTTP/1.1 400") || said.is_empty(), "{said}");
}

#[tokio::test]
async fn heads_and_content_have_a_limit() {
    let server = server_with(|settings| settings.limits.request_bytes_max = 64 << 10).await;
    let large = call(&server, GET).header("x-large", "x".repeat(20 << 10));
    send(&server, large, GET_APP).await.problem(431, "HEADERS_TOO_LARGE");
    let mut socket = connect(&server).await;
    let larger = head_of_get(&server, &format!("x-large: {}\r\n", "x".repeat(64 << 10)));
    // The server may close before it has read all.
    let _ = socket.write_all(larger.as_bytes()).await;
    let said = said(socket).await;
    assert!(said.starts_with("HTTP/1.1 431") || said.is_empty(), "{said}");
    let mut many = call(&server, GET);
    for at in 0..200 {
        many = many.header(format!("x-{at}"), "1");
    }
    assert_eq!(send(&server, many, GET_APP).await.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let content = format!("{{\"config\":\"{}\"}}", "x".repeat(64 << 10));
    send(&server, call(&server, GET), content.clone()).await.problem(413, "MESSAGE_TOO_LARGE");
    send_by_http2(&server, call(&server, GET), content).await.problem(413, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn grpc_needs_http_2() {
    let server = server().await;
    let grpc = request(&server, Method::POST, "/confwatch.v1.ConfigService/Get")
        .header(CONTENT_TYPE, "application/grpc");
    send(&server, grpc, "").await.problem(505, "HTTP2_REQUIRED");
}

#[tokio::test]
async fn a_client_that_takes_its_time_is_given_up() {
    const SHORT: Duration = Duration::from_millis(300);
    let server = server_with(|settings| {
        settings.request_timeout = SHORT;
        settings.handshake_timeout = SHORT;
    })
    .await;
    // Nothing, a part of a method, and a part of a head: the server closes without a word.
    for begun in ["", "P", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut socket = connect(&server).await;
        socket.write_all(begun.as_bytes()).await.expect("sent");
        assert_eq!(said(socket).await, "", "{begun:?}");
    }
    let mut socket = connect(&server).await;
    let slow = head_of_get(&server, "content-length: 40\r\n") + "{\"na";
    socket.write_all(slow.as_bytes()).await.expect("sent");
    let mut answer = [0; 64];
    let count = socket.read(&mut answer).await.expect("an answer");
    assert!(answer[..count].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..count]));
    let counts = server.running.request_counts();
    assert_eq!(counts.unfinished.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let server =
        server_with(|settings| settings.connection_idle_max = Some(Duration::from_millis(300))).await;
    let mut connection = Http1::connect(&server).await;
    connection.send(call(&server, GET), GET_APP).await.ok();
    while !connection.is_closed().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.running.connection_counts().idle.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let server = server_with(|settings| settings.response_timeout = Duration::from_millis(300)).await;
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(900 << 10));
    put(&mut server.client().await, "/", &large).await;
    let mut socket = connect(&server).await;
    let one = head_of_get(&server, &format!("content-length: {}\r\n", GET_APP.len())) + GET_APP;
    let all = one.repeat(40);
    // The server stops reading, too.
    let _ = tokio::time::timeout(Duration::from_secs(2), socket.write_all(all.as_bytes())).await;
    let counts = server.running.unread_counts();
    while counts.given_up.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        assert!(counts.bytes() <= 32 << 20, "what is not read is bounded");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let connections = server.running.connection_counts();
    while connections.open.load(std::sync::atomic::Ordering::Relaxed) > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(socket);
    while counts.bytes() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_connections_without_a_call() {
    let server = server_with(|settings| settings.drain_timeout = Duration::from_secs(600)).await;
    let mut idle = Http1::connect(&server).await;
    idle.send(call(&server, GET), GET_APP).await.ok();
    let mut begun = connect(&server).await;
    begun.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n").await.expect("sent");
    let mut second = connect(&server).await;
    let one = head_of_get(&server, &format!("content-length: {}\r\n", GET_APP.len())) + GET_APP;
    second.write_all(one.as_bytes()).await.expect("sent");
    assert_ne!(second.read(&mut [0; 4096]).await.expect("an answer"), 0);
    second.write_all(b"GET /v1/status HTTP/1.1\r\n").await.expect("sent");
    let stopped = tokio::time::timeout(Duration::from_secs(60), server.running.shutdown());
    assert!(stopped.await.expect("it does not wait"), "the data directory is free");
    assert!(idle.is_closed().await);
}
