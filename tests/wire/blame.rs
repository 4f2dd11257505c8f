//! Blame: the commit that made each value what it is.

use confwatch::proto::v1::*;

use super::auth::Guarded;
use super::support::*;

fn blame(scope: &str) -> BlameRequest {
    BlameRequest { namespace: "test".into(), config: "app".into(), scope: scope.into(), ..Default::default() }
}

fn told(response: &BlameResponse) -> Vec<(&str, &str, u64)> {
    let values = response.values.iter();
    values.map(|value| (value.pointer.as_str(), value.value.as_str(), value.revision)).collect()
}

#[tokio::test]
async fn each_value_has_the_commit_since_which_its_layer_has_it() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":{"x":1,"y":1},"list":[1],"gone":1}"#).await;
    put(&mut client, "/production", r#"{"b":{"y":5},"gone":null}"#).await;
    client.set(set(merge_patch("/", r#"{"a":2}"#))).await.expect("set");
    client.set(set(merge_patch("/", r#"{"list":[1,2],"b":{"x":7}}"#))).await.expect("set");
    client.set(set(merge_patch("/", r#"{"b":{"x":1}}"#))).await.expect("set");
    let options = Some(WriteOptions { reason: "more".into(), ..Default::default() });
    let change = Some(merge_patch("/production", r#"{"c":1}"#));
    client.set(SetRequest { change, options }).await.expect("set");
    let response = client.blame(blame("/production")).await.expect("blamed").into_inner();
    assert_eq!(
        told(&response),
        [
            ("/a", "2", 3),
            ("/b/x", "1", 5),
            ("/b/y", "5", 2),
            ("/c", "1", 6),
            ("/gone", "", 2),
            ("/list", "[1,2]", 4)
        ]
    );
    let last = &response.values[3];
    assert_eq!(
        (last.actor.as_str(), last.reason.as_str(), last.source()),
        ("anonymous", "more", CommitSource::Set)
    );
    assert_eq!((last.version, last.layer.as_ref().expect("a layer").scope.as_str()), (6, "/production"));
    assert!(response.values[4].removed);
    let within = BlameRequest { pointer: "/b".into(), ..blame("/production") };
    assert_eq!(client.blame(within).await.expect("blamed").into_inner().values.len(), 2);

    // A layer that was deleted and made again has its values since then.
    client.delete(delete(None)).await.expect("deleted");
    put(&mut client, "/", r#"{"a":2}"#).await;
    let response = client.blame(blame("/")).await.expect("blamed").into_inner();
    assert_eq!(told(&response), [("/a", "2", 8)]);
}

#[tokio::test]
async fn a_value_that_is_older_than_what_is_looked_at_has_no_commit() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"old":1,"new":0}"#).await;
    for value in 1..=205 {
        client.set(set(merge_patch("/", &format!(r#"{{"new":{value}}}"#)))).await.expect("set");
    }
    let response = client.blame(blame("/")).await.expect("blamed").into_inner();
    assert_eq!(told(&response), [("/new", "205", 206), ("/old", "1", 0)]);
}

#[tokio::test]
async fn secrets_keep_their_commit_when_they_are_sealed_anew_and_hidden_layers_have_none() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{"bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:below"], "role": "viewer", "namespace": "test", "config": "app", "scope": "/staging"}
  ]}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    let made =
        admin.set(set(replace("/", r#"{"password":{"$secret":"hunter2"},"a":1}"#))).await.expect("set");
    let made = made.into_inner().store_revision;
    let own =
        admin.set(set(replace("/staging", r#"{"b":1}"#))).await.expect("set").into_inner().store_revision;
    let rotate = RotateDataKeyRequest { namespace: "test".into() };
    guarded.admin.secrets().rotate_data_key(rotate).await.expect("rotated");
    let all = admin.blame(blame("/staging")).await.expect("blamed").into_inner();
    let revisions: Vec<u64> = all.values.iter().map(|value| value.revision).collect();
    assert_eq!(revisions, [made, own, made]);
    let mut below = guarded.bearer("below").await.api();
    let response = below.blame(blame("/staging")).await.expect("blamed").into_inner();
    let revisions: Vec<u64> = response.values.iter().map(|value| value.revision).collect();
    assert_eq!((revisions, response.withheld.len()), (vec![0, own, 0], 1));
    assert!(!format!("{response:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_commit_of_a_secret_is_the_one_that_made_it_secret_whatever_was_there_in_clear_text() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{"bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:viewer"], "role": "viewer", "namespace": "test", "config": "app", "scope": "/"}
  ]}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    let mut viewer = guarded.bearer("viewer").await.api();
    for (planted, secret) in [("same", "same"), ("one", "other")] {
        admin.set(set(replace("/", &format!(r#"{{"password":"{planted}"}}"#)))).await.expect("set");
        let marked = replace("/", &format!(r#"{{"password":{{"$secret":"{secret}"}}}}"#));
        let made = admin.set(set(marked)).await.expect("set").into_inner().store_revision;
        for caller in [&mut viewer, &mut admin] {
            let response = caller.blame(blame("/")).await.expect("blamed").into_inner();
            let revisions: Vec<u64> = response.values.iter().map(|value| value.revision).collect();
            assert_eq!(revisions, [made], "{planted} {secret}");
        }
        admin.set(set(replace("/", "{}"))).await.expect("set");
    }
}
