//! Metrics as Prometheus reads them, and the names of requests.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use confwatch::proto::v1::*;
use confwatch::server::{Server, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Request};

use super::openmetrics::Scrape;
use super::raw;
use super::support::*;

const SERVICE: &str = "confwatch.v1.ConfigService";

async fn serve() -> TestServer {
    // It counts every revision and config of the store.
    let listen = |settings: &mut Settings| {
        believing(settings);
        settings.metrics_listen = Some("127.0.0.1:0".into());
    };
    TestServer::start_in(TempDir::new().expect("a directory"), listen).await
}

async fn connect(server: &TestServer) -> TcpStream {
    let address = server.running.metrics_address().expect("metrics are served");
    TcpStream::connect(address).await.expect("the server listens")
}

/// Status line and headers, and the body. Nothing at all if the connection was closed.
pub async fn ask(server: &TestServer, request: &str) -> (String, String) {
    let mut socket = connect(server).await;
    let mut answer = vec![];
    // Who is refused may be cut off while it still sends.
    let _ = socket.write_all(request.as_bytes()).await;
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (head.to_lowercase(), body.to_owned())
}

pub async fn scrape(server: &TestServer) -> Scrape {
    let (head, body) = ask(server, "GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let content_type = "\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(content_type), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
    Scrape::read(&body)
}

/// How many calls of a method ended with a code.
fn handled(scrape: &Scrape, service: &str, method: &str, code: &str) -> Option<f64> {
    let labels = [("grpc_service", service), ("grpc_method", method), ("grpc_code", code)];
    scrape.value("grpc_server_handled_total", &labels)
}

#[tokio::test]
async fn a_scrape_tells_what_was_called_committed_and_watched() {
    let server = serve().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    client.set_tag(set_tag("stable", 2)).await.expect("a tag");
    for _ in 0..3 {
        content(&mut client, get("/")).await;
    }
    let missing = GetRequest { config: "missing".into(), ..get("/") };
    client.get(missing).await.expect_err("there is no such config");
    raw::call(&server, "Nothing", vec![vec![]]).await.expect_err("there is no such call");
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let watch = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = client.watch(watch).await.expect("a stream").into_inner();
    stream.message().await.expect("a message").expect("a snapshot");

    let told = scrape(&server).await;
    assert_eq!(handled(&told, SERVICE, "Set", "OK"), Some(2.0));
    assert_eq!(handled(&told, SERVICE, "Get", "OK"), Some(3.0));
    assert_eq!(handled(&told, SERVICE, "Get", "NOT_FOUND"), Some(1.0));
    assert_eq!(handled(&told, "unknown", "unknown", "UNIMPLEMENTED"), Some(1.0));
    assert_eq!(handled(&told, SERVICE, "Watch", "CANCELLED"), None);
    let get = [("grpc_service", SERVICE), ("grpc_method", "Get")];
    assert_eq!(told.value("grpc_server_handling_seconds_count", &get), Some(4.0));
    assert!(told.value("grpc_server_handling_seconds_sum", &get).expect("a sum") > 0.0);

    let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(told.value(name, labels), Some(expected), "{name} {labels:?}");
    };
    is("confwatch_commits_total", &[("source", "set")], 2.0);
    is("confwatch_commits_total", &[("source", "tag")], 1.0);
    is("confwatch_commits_total", &[("source", "rollback")], 0.0);
    is("confwatch_commit_batch_size_count", &[], 3.0);
    is("confwatch_commit_batch_size_sum", &[], 3.0);
    is("confwatch_commit_batch_size_bucket", &[("le", "1.0")], 3.0);
    is("confwatch_store_sync_seconds_count", &[], 3.0);
    is("confwatch_revision", &[], 3.0);
    is("confwatch_configs", &[], 1.0);
    is("confwatch_watchers", &[], 1.0);
    is("confwatch_watched_targets", &[], 1.0);
    is("confwatch_watch_deliveries_total", &[], 1.0);
    is("confwatch_watch_lag_revisions", &[], 0.0);
    is("confwatch_master_key_failing", &[], 0.0);
    is("confwatch_connections_refused_total", &[("reason", "of_address")], 0.0);
    is("confwatch_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    // Only the log has to have something by now.
    assert!(told.value("confwatch_store_bytes", &[("part", "wal")]).expect("a size") > 0.0);
    for part in ["db", "journal"] {
        assert!(told.value("confwatch_store_bytes", &[("part", part)]).is_some(), "{part}");
    }
    assert!(told.value("confwatch_connections", &[]).expect("a count") >= 1.0);
    assert!(told.value("process_start_time_seconds", &[]).expect("a time") > 1.7e9);

    drop(stream);
    while handled(&scrape(&server).await, SERVICE, "Watch", "CANCELLED") != Some(1.0) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let told = scrape(&server).await;
    assert_eq!(told.value("confwatch_watchers", &[]), Some(0.0));
}

#[tokio::test]
async fn what_clients_make_up_becomes_no_label() {
    let server = serve().await;
    for name in 0..50 {
        raw::call(&server, &format!("Made{name}"), vec![vec![]]).await.expect_err("there is no such call");
    }
    let (_, text) = ask(&server, "GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(!text.contains("Made"), "{text}");
    assert_eq!(handled(&Scrape::read(&text), "unknown", "unknown", "UNIMPLEMENTED"), Some(50.0));
}

#[tokio::test]
async fn there_are_metrics_and_nothing_else() {
    let server = serve().await;
    let check = async |request: &str, status: &str| {
        let (head, _) = ask(&server, &format!("{request} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{request}: {head}");
    };
    check("GET /metrics", "200").await;
    check("GET /metrics?a=b", "200").await;
    check("HEAD /metrics", "200").await;
    check("GET /", "404").await;
    check("GET /metrics/", "404").await;
    check("GET /confwatch.v1.ConfigService/Get", "404").await;
    check("POST /metrics", "405").await;
    check("DELETE /metrics", "405").await;
    let (head, _) = ask(&server, "nothing that HTTP knows\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    let long = format!("GET /metrics HTTP/1.1\r\nhost: test\r\nlong: {}\r\n\r\n", "x".repeat(64 << 10));
    let (head, body) = ask(&server, &long).await;
    assert!(!head.contains(" 200 ") && body.is_empty(), "{head}");
}

#[tokio::test]
async fn those_who_say_nothing_hold_up_nobody() {
    let server = serve().await;
    let mut silent = vec![];
    for said in ["", "GET /metrics HT", "GET /metrics HTTP/1.1\r\nhost: "].iter().cycle().take(15) {
        let mut socket = connect(&server).await;
        socket.write_all(said.as_bytes()).await.expect("sent");
        silent.push(socket);
    }
    scrape(&server).await;
    // As many as there may be: what comes now is closed, and calls are answered as ever.
    silent.push(connect(&server).await);
    let mut refused = connect(&server).await;
    let read = refused.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    put(&mut server.client().await, "/", "{}").await;
    drop(silent);
    while ask(&server, "GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await.0.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_served_to_others_only_if_somebody_takes_it_upon_them() {
    let directory = TempDir::new().expect("a directory");
    let others = |insecure| Settings {
        metrics_listen: Some("0.0.0.0:0".into()),
        insecure,
        ..settings(directory.path())
    };
    let refused = Server::start(others(false)).await.err().expect("it is refused").to_string();
    assert!(refused.contains("metrics") && refused.contains("--insecure"), "{refused}");
    let running = Server::start(others(true)).await.expect("the server starts");
    assert!(running.metrics_address().is_some());
    running.shutdown().await;
}

#[tokio::test]
async fn without_a_word_nobody_can_ask_for_metrics() {
    let server = TestServer::start().await;
    assert_eq!(server.running.metrics_address(), None);
}

fn named<T>(message: T, id: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-request-id", id.parse().expect("metadata"));
    request
}

#[tokio::test]
async fn a_client_that_names_its_request_is_told_the_name_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let id = |metadata: &tonic::metadata::MetadataMap| {
        metadata.get("x-request-id").map(|id| id.to_str().expect("text").to_owned())
    };
    let set = client.set(named(set(replace("/", "{}")), "set-1")).await.expect("set");
    assert_eq!(id(set.metadata()).as_deref(), Some("set-1"));
    let got = client.get(named(get("/"), "get-1")).await.expect("a document");
    assert_eq!(id(got.metadata()).as_deref(), Some("get-1"));
    let missing = GetRequest { config: "missing".into(), ..get("/") };
    let missing = client.get(named(missing, "get-2")).await.expect_err("there is no such config");
    assert_eq!(id(missing.metadata()).as_deref(), Some("get-2"));
    let stream = client.stream_changes(named(StreamChangesRequest::default(), "changes-1")).await;
    assert_eq!(id(stream.expect("a stream").metadata()).as_deref(), Some("changes-1"));
    let got = client.get(get("/")).await.expect("a document");
    assert_eq!(id(got.metadata()), None);
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics under this lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panics under this lock").clone()).expect("text")
    }
}

#[tokio::test]
async fn the_log_names_calls_codes_and_requests_and_nothing_of_what_they_say() {
    let lines = Lines::default();
    let writer = lines.clone();
    // For the process: what other tests log meanwhile is found here, too.
    tracing_subscriber::fmt()
        .with_env_filter("info,confwatch::calls=debug")
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .init();
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.set(named(set(replace("/", r#"{"key":"hunter2"}"#)), "logged-1")).await.expect("set");
    let broken = set(replace("/", r#"{"key":"hunter2""#));
    let broken = client.set(named(broken, "logged-2")).await.expect_err("it is no JSON");
    assert_eq!(broken.code(), Code::InvalidArgument);
    client.get(get("/")).await.expect("a document");
    let text = lines.text();
    let line = |part: &str| {
        let of_calls = text.lines().filter(|line| line.contains(r#""target":"confwatch::calls""#));
        let mut found = of_calls.filter(|line| line.contains(part));
        found.next().unwrap_or_else(|| panic!("{part} is not in {text}")).to_owned()
    };
    let check = |line: String, parts: &[&str]| {
        for part in parts {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    };
    check(line("logged-1"), &[r#""level":"DEBUG""#, r#""method":"Set""#, r#""code":"OK""#]);
    check(line("logged-2"), &[r#""level":"INFO""#, r#""method":"Set""#, r#""code":"INVALID_ARGUMENT""#]);
    let get = format!(r#""service":"{SERVICE}","method":"Get""#);
    check(line(&get), &[r#""request_id":""#, r#""seconds":"#]);
    assert!(!text.contains("hunter2"), "{text}");
}
