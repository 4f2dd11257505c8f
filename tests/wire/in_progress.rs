//! Large requests that are being processed: their bytes are bounded, more of them wait, and small requests are answered meanwhile.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use confwatch::proto::v1::*;
use prost::Message;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;

use super::support::*;

/// Of all requests in progress; a quarter of it for one connection.
const IN_PROGRESS_MAX: u64 = 1 << 20;
/// The revision that the requests wait for.
const LATER: u64 = 4;

async fn start() -> TestServer {
    TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        believing(settings);
        settings.requests_in_progress_bytes_max = IN_PROGRESS_MAX;
    })
    .await
}

/// A request of some 90 KB that is in progress until the store is at a revision.
fn large() -> BatchGetRequest {
    let get = GetRequest { config: "c".repeat(60), min_revision: LATER, ..get("/somewhere/else") };
    let request = BatchGetRequest { requests: vec![get; 1000], ..Default::default() };
    let bytes = request.encoded_len() as u64;
    assert!(2 * bytes <= IN_PROGRESS_MAX / 4 && 3 * bytes > IN_PROGRESS_MAX / 4, "{bytes}");
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_wait_for_room_and_more_of_them_are_refused_while_small_ones_are_answered() {
    let server = start().await;
    let (mut client, in_progress) = (server.client().await, server.running.requests_in_progress());
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let mut client = client.clone();
        calls.spawn(async move { client.batch_get(large()).await.map(drop) });
    }
    // Two are in progress and two wait.
    for _ in 0..6 {
        let call = calls.join_next().await.expect("a call").expect("no panic");
        refused(call, Code::ResourceExhausted, "TOO_MANY_REQUESTS_IN_PROGRESS");
    }
    let bytes = large().encoded_len() as u64;
    assert_eq!((in_progress.bytes(), in_progress.waiting_bytes()), (2 * bytes, 2 * bytes));
    assert_eq!(in_progress.refused.load(Relaxed), 6);
    // On the same connection, too.
    for number in 1..=LATER {
        put(&mut client, "/", &format!(r#"{{"a":{number}}}"#)).await;
    }
    while let Some(call) = calls.join_next().await {
        call.expect("no panic").expect("it is answered when there is room");
    }
    while in_progress.bytes() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(in_progress.waiting_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_cancelled_make_room() {
    let server = start().await;
    let (client, in_progress) = (server.client().await, server.running.requests_in_progress());
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let mut client = client.clone();
        calls.spawn(async move { client.batch_get(large()).await.map(drop) });
    }
    let bytes = large().encoded_len() as u64;
    while (in_progress.bytes(), in_progress.waiting_bytes()) != (2 * bytes, 2 * bytes) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    calls.shutdown().await;
    while (in_progress.bytes(), in_progress.waiting_bytes()) != (0, 0) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(in_progress.refused.load(Relaxed), 0);
}
