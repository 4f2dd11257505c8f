//! Panics of the server's own tasks: what can be restarted is, and what cannot is reported, ends every stream, and ends the server.

use std::time::Duration;

use confwatch::proto::v1::*;
use confwatch::supervise::TaskStatus;
use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::auth::{Guarded, client};
use super::metrics::scrape;
use super::support::*;

fn status(server: &TestServer, name: &str) -> TaskStatus {
    let tasks = server.running.supervisor().tasks();
    tasks.into_iter().find(|(task, _)| *task == name).unwrap_or_else(|| panic!("{name} is not supervised")).1
}

/// Lets a task panic, and waits until it has.
pub async fn panic_in(server: &TestServer, name: &'static str) {
    let before = status(server, name).panics;
    server.running.supervisor().inject_panic(name);
    while status(server, name).panics == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub async fn restarted(server: &TestServer, name: &str) {
    while !status(server, name).is_running {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn not_serving(server: &TestServer) {
    let request = HealthCheckRequest { service: "confwatch.v1.ConfigService".into() };
    let mut stream =
        HealthClient::new(server.channel().await).watch(request).await.expect("a stream").into_inner();
    while stream.message().await.expect("no error").expect("a status").status() != ServingStatus::NotServing {
    }
}

fn watch(config: &str) -> WatchRequest {
    let target = WatchTarget { namespace: "test".into(), config: config.into(), ..Default::default() };
    WatchRequest { targets: vec![target], ..Default::default() }
}

#[tokio::test]
async fn a_panic_of_the_watch_hub_ends_every_stream_and_the_server() {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        settings.metrics_listen = Some("127.0.0.1:0".into());
    })
    .await;
    let mut client = server.client().await;
    let mut streams = vec![];
    for config in ["app", "other", "*"] {
        let mut stream = client.watch(watch(config)).await.expect("a stream").into_inner();
        stream.message().await.expect("a message").expect("a snapshot");
        streams.push(stream);
    }
    server.running.supervisor().inject_panic("watch");
    put(&mut client, "/", r#"{"a":1}"#).await;
    for mut stream in streams {
        let ended = loop {
            match stream.message().await {
                Ok(message) => drop(message.expect("a stream does not end without a status")),
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    }
    not_serving(&server).await;
    let refused = client.watch(watch("app")).await.expect_err("no stream is opened any more");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(server.running.failed().await, "watch");
    let told = scrape(&server).await;
    assert_eq!(told.value("confwatch_task_panics_total", &[("task", "watch")]), Some(1.0));
    assert_eq!(told.value("confwatch_task_running", &[("task", "watch")]), Some(0.0));
    // A new process has what was committed, and serves it.
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    assert_eq!(content(&mut server.client().await, get("/")).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_panic_of_the_commit_thread_refuses_writes_and_ends_the_server() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    server.running.supervisor().inject_panic("commit");
    let refused = client.set(set(replace("/", r#"{"a":2}"#))).await.expect_err("it is not made durable");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    not_serving(&server).await;
    assert_eq!(server.running.failed().await, "commit");
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    let mut client = server.client().await;
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    put(&mut client, "/", r#"{"a":3}"#).await;
}

#[tokio::test]
async fn a_panic_of_the_archiver_ends_the_server_and_loses_no_commit() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    server.running.supervisor().inject_panic("archiver");
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    assert_eq!(server.running.failed().await, "archiver");
    not_serving(&server).await;
    let refused = client.list_versions(versions()).await.expect_err("history cannot be read");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    assert_eq!(history(&mut server.client().await).await.len(), 2);
}

#[tokio::test]
async fn overrides_end_and_policies_hold_after_panics_of_the_tasks_that_see_to_it() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    for name in ["expiry", "access", "token-uses"] {
        panic_in(server, name).await;
        restarted(server, name).await;
    }
    let ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let change = Change { kind: LayerKind::Override.into(), ttl, ..replace("/", r#"{"a":9}"#) };
    let set_revision = guarded.admin.api().set(set(change)).await.expect("set").into_inner().store_revision;
    let ended = GetRequest { min_revision: set_revision + 1, ..get("/") };
    let document = guarded.admin.api().get(ended).await.expect("it ends").into_inner().document;
    assert_eq!(document.expect("a document").content, r#"{"a":1}"#);

    let (token, id) = guarded.token("read").await;
    let reader = client(server, Some(&token));
    let mut stream = reader.api().watch(watch("app")).await.expect("a stream").into_inner();
    stream.message().await.expect("a message").expect("a snapshot");
    let request = RevokeTokenRequest { id, reason: String::new() };
    guarded.admin.access().revoke_token(request).await.expect("revoked");
    let ended = loop {
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_audit_log_goes_on_after_a_panic_of_its_writer() {
    let guarded = Guarded::start_with_policy().await;
    let denied = async |name: &str| {
        let bearer = guarded.bearer(name).await;
        refused(bearer.api().set(set(replace("/", "{}"))).await, Code::PermissionDenied, "PERMISSION_DENIED");
    };
    denied("read").await;
    panic_in(&guarded.server, "audit").await;
    denied("tag").await;
    let filter = AuditFilter { kinds: vec![AuditKind::Denied.into()], ..Default::default() };
    let request = AuditServiceListRequest { filter: Some(filter), ..Default::default() };
    let listed = guarded.admin.audit().list(request).await.expect("listed").into_inner().entries;
    let actors: Vec<_> = listed.iter().map(|entry| entry.actor.as_str()).collect();
    assert_eq!(actors, ["token:tag", "token:read"]);
    let proof =
        guarded.admin.audit().verify(AuditServiceVerifyRequest {}).await.expect("proved").into_inner();
    assert!(proof.intact, "{proof:?}");
}

#[tokio::test]
async fn metrics_are_served_after_a_panic_of_their_listener() {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        settings.metrics_listen = Some("127.0.0.1:0".into());
    })
    .await;
    panic_in(&server, "metrics").await;
    restarted(&server, "metrics").await;
    assert_eq!(scrape(&server).await.value("confwatch_task_panics_total", &[("task", "metrics")]), Some(1.0));
}

#[test]
fn a_server_that_is_dropped_ends_with_its_runtime_and_frees_its_directory() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(async {
        let directory = TempDir::new().expect("a directory");
        let dir = directory.path().join("backups");
        let server = TestServer::start_in(directory, |settings| settings.backup_dir = Some(dir)).await;
        put(&mut server.client().await, "/", r#"{"a":1}"#).await;
        server
    });
    let TestServer { running, directory, .. } = server;
    let (engine, released) = (std::sync::Arc::downgrade(running.engine()), running.released());
    drop(running);
    drop(runtime);
    assert!(released.wait(super::watching::PATIENCE), "no thread keeps the store open");
    assert!(engine.upgrade().is_none());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let again = TestServer::start_in(directory, |_| {}).await;
        assert_eq!(content(&mut again.client().await, get("/")).await, r#"{"a":1}"#);
    });
}
