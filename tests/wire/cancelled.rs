//! Calls whose client does not wait for the answer: they are over for the server, too.

use std::time::Duration;

use confwatch::proto::v1::*;
use tempfile::TempDir;
use tonic::{Code, Request};

use super::metrics::scrape;
use super::support::*;

/// It waits for a revision that nobody makes.
fn waiting() -> GetRequest {
    GetRequest { min_revision: 1000, ..get("/") }
}

async fn serve() -> TestServer {
    let listen = |settings: &mut confwatch::server::Settings| {
        settings.metrics_listen = Some("127.0.0.1:0".into());
    };
    let server = TestServer::start_in(TempDir::new().expect("a directory"), listen).await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    server
}

async fn until_handled(server: &TestServer, codes: &[&str], count: f64) {
    loop {
        let metrics = scrape(server).await;
        let handled = codes.iter().filter_map(|code| {
            let labels =
                [("grpc_service", "confwatch.v1.ConfigService"), ("grpc_method", "Get"), ("grpc_code", code)];
            metrics.value("grpc_server_handled_total", &labels)
        });
        if handled.sum::<f64>() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_call_that_is_reset_or_loses_its_connection_is_cancelled() {
    let server = serve().await;
    let mut client = server.client().await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.get(waiting()).await })
        })
        .collect();
    // They are on their way before this one, on the same connection.
    put(&mut client, "/", r#"{"a":2}"#).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    until_handled(&server, &["CANCELLED"], 20.0).await;

    let mut other = server.client().await;
    let call = tokio::spawn(async move { other.get(waiting()).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    // The only client of its connection.
    call.abort();
    until_handled(&server, &["CANCELLED"], 21.0).await;
}

#[tokio::test]
async fn a_call_whose_deadline_passes_is_over() {
    let server = serve().await;
    let mut request = Request::new(waiting());
    request.set_timeout(Duration::from_millis(100));
    let refused = server.client().await.get(request).await.expect_err("nobody makes that revision");
    assert!(matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled), "{refused:?}");
    // The client counts the time, too: its reset may come first.
    until_handled(&server, &["DEADLINE_EXCEEDED", "CANCELLED"], 1.0).await;
}
