//! Overrides: they win, and they end.

use std::time::{Duration, SystemTime};

use confwatch::proto::v1::*;

use super::support::*;

fn overriding(scope: &str, content: &str, ttl_ms: Option<i64>) -> SetRequest {
    let ttl =
        ttl_ms.map(|ms| prost_types::Duration { seconds: ms / 1000, nanos: (ms % 1000 * 1_000_000) as i32 });
    set(Change { kind: LayerKind::Override.into(), ttl, ..replace(scope, content) })
}

async fn put_override(client: &mut Client, scope: &str, content: &str, ttl_ms: Option<i64>) -> LayerRef {
    let response = client.set(overriding(scope, content, ttl_ms)).await.expect("set").into_inner();
    response.document.expect("a layer").layers.remove(0)
}

fn time(time: prost_types::Timestamp) -> SystemTime {
    SystemTime::try_from(time).expect("a time of day")
}

#[tokio::test]
async fn an_override_wins_over_base_layers_of_deeper_scopes() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":1,"c":1}"#).await;
    put(&mut client, "/production/checkout", r#"{"a":2,"b":2,"c":2}"#).await;
    put_override(&mut client, "/", r#"{"a":3,"b":3}"#, None).await;
    put_override(&mut client, "/production", r#"{"b":4}"#, None).await;
    assert_eq!(content(&mut client, get("/production/checkout")).await, r#"{"a":3,"b":4,"c":2}"#);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":3,"b":3,"c":1}"#);
    let gone = DeleteRequest { kind: LayerKind::Override.into(), ..delete(Some("/")) };
    client.delete(gone).await.expect("delete");
    assert_eq!(content(&mut client, get("/production/checkout")).await, r#"{"a":2,"b":4,"c":2}"#);
}

#[tokio::test]
async fn an_override_expires_by_a_commit_of_the_system_not_before_its_time() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let layer = put_override(&mut client, "/", r#"{"a":2}"#, Some(1000)).await;
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":2}"#);
    let expired = client.get(GetRequest { min_revision: 3, ..get("/") }).await.expect("get").into_inner();
    assert!(SystemTime::now() >= time(layer.expire_time.expect("it ends")));
    assert_eq!(expired.document.expect("it").content, r#"{"a":1}"#);
    expiry_is_told(&history(&mut client).await[0], &layer);
}

fn expiry_is_told(version: &VersionInfo, layer: &LayerRef) {
    assert_eq!(version.version, 3);
    let commit = version.commit.as_ref().expect("a commit");
    assert_eq!((commit.actor.as_str(), commit.source()), ("system", CommitSource::Expiry));
    assert!(time(commit.time.expect("a time")) >= time(layer.expire_time.expect("it ends")));
    let [change] = commit.changes[0].layers.as_slice() else { panic!("one layer") };
    assert_eq!(
        (change.scope.as_str(), change.kind(), change.action()),
        ("/", LayerKind::Override, LayerAction::Delete)
    );
}

#[tokio::test]
async fn an_override_that_fell_due_while_no_server_was_there_is_gone_from_the_first_read_on() {
    // Long enough for the server to stop before: if it was not, once more with longer.
    let mut ttl_ms = 300;
    let (directory, layer) = loop {
        let server = TestServer::start_believing().await;
        let mut client = server.client().await;
        put(&mut client, "/", r#"{"a":1}"#).await;
        let layer = put_override(&mut client, "/", r#"{"a":2}"#, Some(ttl_ms)).await;
        let directory = server.stop().await;
        let due = time(layer.expire_time.expect("it ends"));
        if SystemTime::now() < due {
            while SystemTime::now() < due {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            break (directory, layer);
        }
        ttl_ms *= 3;
    };
    let server = TestServer::start_in(directory, believing).await;
    let mut client = server.client().await;
    let first = client.get(get("/")).await.expect("get").into_inner();
    assert_eq!((first.document.expect("it").content.as_str(), first.store_revision), (r#"{"a":1}"#, 3));
    expiry_is_told(&history(&mut client).await[0], &layer);
}

#[tokio::test]
async fn an_override_that_is_not_due_survives_a_restart_and_still_ends() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let layer = put_override(&mut client, "/", r#"{"a":2}"#, Some(4000)).await;
    let server = TestServer::start_in(server.stop().await, believing).await;
    let mut client = server.client().await;
    let there = client.get(get("/")).await.expect("get").into_inner().document.expect("it");
    assert_eq!(there.layers[1].expire_time, layer.expire_time);
    assert_eq!(there.content, r#"{"a":2}"#);
    client.get(GetRequest { min_revision: 3, ..get("/") }).await.expect("it ends");
    expiry_is_told(&history(&mut client).await[0], &layer);
}

#[tokio::test]
async fn a_renewed_override_ends_at_its_new_time() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let first = put_override(&mut client, "/", r#"{"a":2}"#, Some(60_000)).await;
    // The same content for longer is a change.
    let response = client.set(overriding("/", r#"{"a":2}"#, Some(120_000))).await.expect("set").into_inner();
    assert!(response.changed);
    let longer = response.document.expect("a layer").layers.remove(0);
    assert!(longer.expire_time.expect("an end").seconds >= first.expire_time.expect("an end").seconds + 59);
    assert_eq!((longer.version, &longer.digest), (3, &first.digest));
    // A patch keeps the end, unless it says another one.
    let patch = |ttl| Change { kind: LayerKind::Override.into(), ttl, ..merge_patch("/", r#"{"b":1}"#) };
    let patched = client.set(set(patch(None))).await.expect("set").into_inner().document.expect("a layer");
    assert_eq!(patched.layers[0].expire_time, longer.expire_time);
    let unchanged = client.set(set(patch(None))).await.expect("set").into_inner();
    assert!(!unchanged.changed);
    let hour = prost_types::Duration { seconds: 3600, nanos: 0 };
    let patched = client.set(set(patch(Some(hour)))).await.expect("set").into_inner();
    assert!(patched.changed);
    // A replacement without one stays.
    let stays = put_override(&mut client, "/", r#"{"a":2}"#, None).await;
    assert_eq!(stays.expire_time, None);
    // And a shorter one ends sooner.
    let shorter = client.set(overriding("/", r#"{"a":2}"#, Some(200))).await.expect("set").into_inner();
    client.get(GetRequest { min_revision: shorter.store_revision + 1, ..get("/") }).await.expect("it ends");
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn an_override_that_was_renewed_does_not_end_at_its_old_time() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let first = put_override(&mut client, "/", r#"{"a":2}"#, Some(2000)).await;
    put_override(&mut client, "/", r#"{"a":2}"#, Some(3_600_000)).await;
    // Another one that ends later shows that the time of the first has passed.
    put_override(&mut client, "/other", r#"{"a":3}"#, Some(2000)).await;
    client.get(GetRequest { min_revision: 5, ..get("/") }).await.expect("the other one ends");
    assert!(SystemTime::now() >= time(first.expire_time.expect("an end")));
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":2}"#);
    assert_eq!(content(&mut client, get("/other")).await, r#"{"a":2}"#);
    assert_eq!(store_revision(&mut client).await, 5);
}

#[tokio::test]
async fn overrides_that_end_at_once_end_by_few_commits_and_each_config_by_one_version() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let changes: Vec<_> = (0..50)
        .map(|at| Change {
            kind: LayerKind::Override.into(),
            config: format!("app-{}", at % 5),
            ttl: Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 }),
            ..replace(&format!("/s{at}"), "{}")
        })
        .collect();
    client.apply(ApplyRequest { changes, options: None }).await.expect("apply");
    client
        .get(GetRequest { min_revision: 2, config: "app-0".into(), ..get("/") })
        .await
        .expect_err("it has no layer");
    let all = client.list(ListRequest { include_deleted: true, ..Default::default() }).await.expect("list");
    let all = all.into_inner();
    assert_eq!((all.store_revision, all.configs.len()), (2, 5));
    assert!(all.configs.iter().all(|config| config.version == 2 && config.layers.is_empty()));
}

#[tokio::test]
async fn a_rollback_does_not_bring_an_expired_override_back() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put_override(&mut client, "/", r#"{"a":2}"#, Some(200)).await;
    client.get(GetRequest { min_revision: 3, ..get("/") }).await.expect("it ends");
    let back =
        client.rollback(rollback(rollback_request::To::Version(2))).await.expect("rollback").into_inner();
    assert!(!back.changed);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    // One that lasts comes back, with its end.
    let lasts = put_override(&mut client, "/", r#"{"a":3}"#, Some(3_600_000)).await;
    let gone = DeleteRequest { kind: LayerKind::Override.into(), ..delete(Some("/")) };
    client.delete(gone).await.expect("delete");
    client.rollback(rollback(rollback_request::To::Version(4))).await.expect("rollback");
    let there = client.get(get("/")).await.expect("get").into_inner().document.expect("it");
    assert_eq!((there.content.as_str(), there.layers[1].expire_time), (r#"{"a":3}"#, lasts.expire_time));
}
