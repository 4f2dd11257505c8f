//! Commits that are taken back by Revert, and what was changed since.

use std::time::Duration;

use confwatch::proto::v1::*;
use prost::Message;
use tonic::{Code, Status};

use super::auth::Guarded;
use super::support::*;

fn revert(revisions: &[u64]) -> RevertRequest {
    RevertRequest { revisions: revisions.to_vec(), options: None }
}

fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

async fn apply(client: &mut Client, changes: Vec<Change>) -> u64 {
    client.apply(ApplyRequest { changes, options: None }).await.expect("applied").into_inner().store_revision
}

async fn patch(client: &mut Client, scope: &str, patch: &str) -> u64 {
    client.set(set(merge_patch(scope, patch))).await.expect("set").into_inner().store_revision
}

/// Where and what: scope, pointer, value now, value that would come back.
fn conflicts(status: &Status) -> Vec<(String, String, String, String)> {
    let details = tonic_types::pb::Status::decode(status.details()).expect("google.rpc.Status").details;
    let any = details.iter().find(|any| any.type_url.ends_with("confwatch.v1.RevertConflicts"));
    let conflicts = RevertConflicts::decode(&*any.expect("conflicts").value).expect("conflicts");
    let told = |conflict: RevertConflict| {
        (conflict.scope, conflict.pointer, conflict.current_value, conflict.restored_value)
    };
    conflicts.conflicts.into_iter().map(told).collect()
}

fn conflict(scope: &str, pointer: &str, current: &str, restored: &str) -> (String, String, String, String) {
    (scope.into(), pointer.into(), current.into(), restored.into())
}

async fn layer(client: &mut Client, config: &str, scope: &str) -> String {
    let request = GetRequest { config: config.into(), view: View::Layer.into(), ..get(scope) };
    match client.get(request).await {
        Ok(response) => response.into_inner().document.expect("a document").content,
        Err(status) => told(&status).1,
    }
}

#[tokio::test]
async fn a_commit_over_several_configs_is_taken_back_and_later_changes_stay() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":1}"#).await;
    let bad = apply(
        &mut client,
        vec![
            merge_patch("/", r#"{"a":2}"#),
            of("other", replace("/production", r#"{"x":1}"#)),
            replace("/staging", r#"{"y":1}"#),
        ],
    )
    .await;
    patch(&mut client, "/", r#"{"b":7,"c":8}"#).await;
    let options = Some(WriteOptions { reason: "incident 7".into(), ..Default::default() });
    let response =
        client.revert(RevertRequest { options, ..revert(&[bad]) }).await.expect("reverted").into_inner();
    assert!(response.changed && response.report.expect("a report").valid);
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":1,"b":7,"c":8}"#);
    assert_eq!(layer(&mut client, "app", "/staging").await, "CONFIG_NOT_FOUND");
    assert_eq!(layer(&mut client, "other", "/production").await, "CONFIG_NOT_FOUND");
    let changed: Vec<_> = response
        .results
        .iter()
        .map(|result| {
            let document = result.document.as_ref().expect("a layer");
            let diff = result.diff.iter().map(|change| change.pointer.as_str()).collect::<Vec<_>>();
            (document.config.as_str(), document.scope.as_str(), document.digest.is_empty(), diff)
        })
        .collect();
    assert_eq!(
        changed,
        [
            ("app", "/", false, vec!["/a"]),
            ("app", "/staging", true, vec!["/y"]),
            ("other", "/production", true, vec!["/x"]),
        ]
    );
    let commit = history(&mut client).await.remove(0).commit.expect("a commit");
    assert_eq!((commit.revision, commit.source()), (response.store_revision, CommitSource::Revert));
    assert_eq!(
        (commit.reason.as_str(), commit.annotations["reverts"].as_str()),
        ("incident 7", &*bad.to_string())
    );

    // Taking the revert back makes the commit good again.
    client.revert(revert(&[response.store_revision])).await.expect("reverted");
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":2,"b":7,"c":8}"#);
    assert_eq!(layer(&mut client, "other", "/production").await, r#"{"x":1}"#);
}

#[tokio::test]
async fn several_commits_are_taken_back_at_once_and_a_good_one_between_them_stays() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let first = patch(&mut client, "/", r#"{"a":2}"#).await;
    patch(&mut client, "/", r#"{"good":true}"#).await;
    let second = patch(&mut client, "/", r#"{"a":3,"b":3}"#).await;
    refused(client.revert(revert(&[first])).await, Code::FailedPrecondition, "REVERT_CONFLICT");
    let response = client.revert(revert(&[first, second])).await.expect("reverted").into_inner();
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":1,"good":true}"#);
    let commit = history(&mut client).await.remove(0).commit.expect("a commit");
    assert_eq!(commit.annotations["reverts"], format!("{second},{first}"));
    // Again: everything is as before the first.
    let again = client.revert(revert(&[first])).await.expect("nothing to do").into_inner();
    assert_eq!((again.changed, again.store_revision), (false, response.store_revision));
    assert!(again.results.is_empty());
}

#[tokio::test]
async fn a_conflict_shows_both_values_and_writes_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":{"x":1,"y":1}}"#).await;
    put(&mut client, "/old", r#"{"gone":1}"#).await;
    let bad = apply(
        &mut client,
        vec![
            merge_patch("/", r#"{"a":2,"b":{"x":2},"c":2}"#),
            replace("/new", r#"{"n":1}"#),
            change("/old", change::Action::Delete(())),
            of("fine", replace("/", r#"{"f":1}"#)),
        ],
    )
    .await;
    apply(
        &mut client,
        vec![
            merge_patch("/", r#"{"a":3,"b":null}"#),
            merge_patch("/new", r#"{"m":1}"#),
            replace("/old", r#"{"again":1}"#),
        ],
    )
    .await;
    let before = store_revision(&mut client).await;
    for validate_only in [true, false] {
        let options = Some(WriteOptions { validate_only, ..Default::default() });
        let status = client.revert(RevertRequest { options, ..revert(&[bad]) }).await;
        let status = refused(status, Code::FailedPrecondition, "REVERT_CONFLICT");
        assert_eq!(
            conflicts(&status),
            [
                conflict("/", "/a", "3", "1"),
                conflict("/", "/b", "", r#"{"x":1,"y":1}"#),
                conflict("/new", "", r#"{"m":1,"n":1}"#, ""),
                conflict("/old", "", r#"{"again":1}"#, r#"{"gone":1}"#),
            ]
        );
        assert!(status.message().contains("4 places"), "{}", status.message());
    }
    assert_eq!(store_revision(&mut client).await, before);
    assert_eq!(layer(&mut client, "fine", "/").await, r#"{"f":1}"#);
}

#[tokio::test]
async fn conflicts_fit_the_headers_of_an_error_however_many_and_long_they_are() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let document = |value: &str| {
        let members: Vec<String> = (0..500)
            .map(|at| format!(r#""{at}{}":"{value}{}""#, "n".repeat(500), "v".repeat(1000)))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    put(&mut client, "/", &document("a")).await;
    let bad = put(&mut client, "/", &document("b")).await.store_revision;
    put(&mut client, "/", &document("c")).await;
    let status = refused(client.revert(revert(&[bad])).await, Code::FailedPrecondition, "REVERT_CONFLICT");
    assert!((1..20).contains(&conflicts(&status).len()));
    assert!(status.message().contains("500 places"), "{}", status.message());
}

#[tokio::test]
async fn a_dry_run_tells_what_would_change_and_who_would_be_told() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"b":1}"#).await;
    let bad = patch(&mut client, "/", r#"{"a":2}"#).await;
    let target = WatchTarget {
        namespace: "test".into(),
        config: "app".into(),
        scope: "/production/checkout".into(),
        ..Default::default()
    };
    let watch = WatchRequest { targets: vec![target], ..Default::default() };
    let mut watch = client.watch(watch).await.expect("watched").into_inner();
    watch.message().await.expect("a snapshot");
    let options = Some(WriteOptions { validate_only: true, ..Default::default() });
    let response =
        client.revert(RevertRequest { options, ..revert(&[bad]) }).await.expect("tried").into_inner();
    assert!(response.changed);
    assert_eq!(response.results[0].diff[0].new_value, "1");
    let affected: Vec<_> =
        response.affected.iter().map(|target| (target.scope.as_str(), target.watchers)).collect();
    assert_eq!(affected, [("/", 0), ("/production", 0), ("/production/checkout", 1)]);
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":2}"#);
}

#[tokio::test]
async fn the_same_request_is_made_once_and_another_one_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let bad = patch(&mut client, "/", r#"{"a":2}"#).await;
    let request = RevertRequest { options: request_id("once"), ..revert(&[bad]) };
    let first = client.revert(request.clone()).await.expect("reverted").into_inner();
    patch(&mut client, "/", r#"{"a":9}"#).await;
    let again = client.revert(request).await.expect("the first outcome").into_inner();
    assert_eq!((again.changed, again.store_revision), (true, first.store_revision));
    assert_eq!(again.results, first.results);
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":9}"#);
    let other = RevertRequest { options: request_id("once"), ..revert(&[bad - 1]) };
    refused(client.revert(other).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn an_override_that_has_expired_does_not_come_back() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let over = |ttl: Option<Duration>, content: &str| Change {
        kind: LayerKind::Override.into(),
        ttl: ttl.map(|ttl| ttl.try_into().expect("short")),
        ..replace("/", content)
    };
    client.set(set(over(Some(Duration::from_millis(200)), r#"{"a":2}"#))).await.expect("set");
    let request = DeleteRequest { kind: LayerKind::Override.into(), ..delete(Some("/")) };
    let gone = client.delete(request).await.expect("deleted").into_inner().store_revision;
    let removed = client.revert(revert(&[gone])).await.expect("reverted").into_inner();
    assert!(removed.changed, "it lives on");
    while content(&mut client, get("/")).await != r#"{"a":1}"# {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = client.revert(revert(&[gone])).await.expect("nothing to do").into_inner();
    assert!(!again.changed);
    // One without an end that was replaced comes back with its own end: none.
    client.set(set(over(None, r#"{"a":3}"#))).await.expect("set");
    let replaced = client.set(set(over(Some(Duration::from_secs(3600)), r#"{"a":3}"#))).await.expect("set");
    client.revert(revert(&[replaced.into_inner().store_revision])).await.expect("reverted");
    let request = GetRequest { view: View::OverrideLayer.into(), ..get("/") };
    let document = client.get(request).await.expect("it is there").into_inner().document.expect("one");
    assert_eq!(document.layers[0].expire_time, None);
}

#[tokio::test]
async fn revisions_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let tagged = client.set_tag(set_tag("stable", 1)).await.expect("a tag").into_inner().store_revision;
    let of_namespace =
        SetTagRequest { namespace: "test".into(), tag: "release".into(), ..Default::default() };
    let all_tagged = client.set_tag(of_namespace).await.expect("a tag").into_inner().store_revision;
    for revisions in [vec![], vec![0], vec![1, 1], (1..=101).collect(), vec![tagged], vec![all_tagged]] {
        refused_for(client.revert(revert(&revisions)).await, "INVALID_FIELD", "revisions");
    }
    refused(client.revert(revert(&[999])).await, Code::OutOfRange, "REVISION_IN_FUTURE");
}

#[tokio::test]
async fn what_is_no_longer_retained_cannot_be_taken_back() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| {
        believing(settings);
        settings.retain_revisions = Some(2);
    })
    .await;
    let mut client = server.client().await;
    for value in 1..=6 {
        put(&mut client, "/", &format!(r#"{{"a":{value}}}"#)).await;
    }
    loop {
        match client.revert(revert(&[1])).await {
            Err(status) if told(&status).1 == "COMPACTED" => break,
            Err(status) => assert_eq!(told(&status).1, "REVERT_CONFLICT", "not compacted yet"),
            Ok(_) => panic!("it was changed since"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_result_that_is_invalid_or_has_no_reason_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":"text"}"#).await;
    let change = patch(&mut client, "/", r#"{"a":1}"#).await;
    let rules = of("namespace:settings", replace("/", r#"{"require_reason": true}"#));
    let schema = of(
        "rules:app",
        replace(
            "/",
            r#"{"rules":{"number":{"expression":"type(config.a) != string","message":"a number"}}}"#,
        ),
    );
    client.set(set(schema)).await.expect("rules");
    let status =
        refused(client.revert(revert(&[change])).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(!findings(&status).is_empty());
    client.set(set(rules)).await.expect("settings");
    refused(client.revert(revert(&[change])).await, Code::FailedPrecondition, "REASON_REQUIRED");
}

#[tokio::test]
async fn who_may_not_read_all_of_a_commit_is_not_told_which_part() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{
  "roles": {"revert": ["read", "rollback"], "read": ["read"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:own"], "role": "revert", "namespace": "test", "config": "app", "scope": "/"},
    {"subjects": ["token:own"], "role": "read", "namespace": "test", "config": "shown", "scope": "/"},
    {"subjects": ["token:below"], "role": "revert", "namespace": "test", "config": "app", "scope": "/staging"}
  ]
}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    let mut make = async |changes: Vec<Change>| {
        let applied = admin.apply(ApplyRequest { changes, options: None }).await.expect("applied");
        applied.into_inner().store_revision
    };
    let own = make(vec![replace("/staging", r#"{"a":1}"#)]).await;
    let hidden =
        make(vec![replace("/staging", r#"{"a":2}"#), of("hidden", replace("/", r#"{"h":1}"#))]).await;
    let shown = make(vec![replace("/staging", r#"{"a":3}"#), of("shown", replace("/", r#"{"s":1}"#))]).await;
    let mixed =
        make(vec![of("hidden", replace("/", r#"{"h":2}"#)), of("shown", replace("/", r#"{"s":2}"#))]).await;
    let hidden_alone = make(vec![of("hidden", replace("/", r#"{"h":3}"#))]).await;
    let above = make(vec![replace("/", r#"{"a":4}"#), replace("/staging", r#"{"a":4}"#)]).await;
    let mut by_own = guarded.bearer("own").await.api();
    let status = refused(by_own.revert(revert(&[hidden])).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let (_, _, metadata) = told(&status);
    assert_eq!((metadata.get("config"), metadata.get("namespace")), (None, None), "{metadata:?}");
    assert_eq!(metadata["revision"], hidden.to_string());
    let named = format!("may not rollback each config that revision {hidden} changed");
    assert!(status.message().ends_with(&named), "{status:?}");
    assert!(!format!("{status:?}").contains("hidden"), "{status:?}");
    let status = refused(by_own.revert(revert(&[mixed])).await, Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!((told(&status).2["config"].as_str(), told(&status).2["verb"].as_str()), ("shown", "rollback"));
    assert!(!format!("{status:?}").contains("hidden"), "{status:?}");
    let mut reader = guarded.bearer("below").await.api();
    let commit = GetCommitRequest { revision: hidden_alone, ..Default::default() };
    let status = refused(reader.get_commit(commit).await, Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!(told(&status).2["revision"], hidden_alone.to_string());
    assert!(!format!("{status:?}").contains("hidden"), "{status:?}");
    let status = refused(by_own.revert(revert(&[shown])).await, Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!((told(&status).2["config"].as_str(), told(&status).2["verb"].as_str()), ("shown", "rollback"));
    by_own.revert(revert(&[above])).await.expect("all of it is theirs");
    let mut below = guarded.bearer("below").await.api();
    refused(below.revert(revert(&[above])).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let status = refused(below.revert(revert(&[own])).await, Code::FailedPrecondition, "REVERT_CONFLICT");
    assert_eq!(conflicts(&status), [conflict("/staging", "", r#"{"a":3}"#, "")]);
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_and_data_keys_are_not_taken_back() {
    let guarded = Guarded::start().await;
    let (_, id) = guarded.token("someone").await;
    let revoke = RevokeTokenRequest { id, reason: String::new() };
    guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    let mut admin = guarded.admin.api();
    let revision = admin.list(ListRequest::default()).await.expect("a list").into_inner().store_revision;
    let status =
        refused(admin.revert(revert(&[revision])).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(findings(&status)[0].code, "ACCESS");
    admin.set(set(replace("/", r#"{"password":{"$secret":"s3cret"}}"#))).await.expect("set");
    let keys = GetRequest { namespace: "confwatch".into(), config: "keys".into(), ..Default::default() };
    let keys = admin.get(keys).await.expect("there are keys").into_inner().document.expect("one");
    refused_for(admin.revert(revert(&[keys.revision])).await, "INVALID_NAME", "config");
}

#[tokio::test]
async fn secrets_are_compared_as_wholes_across_data_keys_and_masked_in_conflicts() {
    let guarded = Guarded::start().await;
    let mut admin = guarded.admin.api();
    let mut write = async |content: &str| {
        admin.set(set(merge_patch("/", content))).await.expect("set").into_inner().store_revision
    };
    write(r#"{"password":{"$secret":"first"},"a":1}"#).await;
    let bad = write(r#"{"password":{"$secret":"second"},"a":2}"#).await;
    guarded
        .admin
        .secrets()
        .rotate_data_key(RotateDataKeyRequest { namespace: "test".into() })
        .await
        .expect("rotated");
    write(r#"{"b":2}"#).await;
    admin
        .revert(revert(&[bad]))
        .await
        .expect("the secret is as the commit left it, though sealed by another key");
    let revealed = admin.get(get("/")).await.expect("there").into_inner().document.expect("one").content;
    assert_eq!(revealed, r#"{"a":1,"b":2,"password":"first"}"#);

    let mut write = async |content: &str| {
        admin.set(set(merge_patch("/", content))).await.expect("set").into_inner().store_revision
    };
    let bad = write(r#"{"password":{"$secret":"third"}}"#).await;
    write(r#"{"password":{"$secret":"fourth"}}"#).await;
    let status = refused(admin.revert(revert(&[bad])).await, Code::FailedPrecondition, "REVERT_CONFLICT");
    let found = conflicts(&status);
    assert_eq!((found.len(), found[0].1.as_str()), (1, "/password"));
    assert!(found[0].2.starts_with("\"***") && found[0].3.starts_with("\"***"), "{found:?}");
    assert!(found[0].2 != found[0].3);
    for secret in ["first", "fourth"] {
        assert!(!format!("{status:?}").contains(secret));
    }
}
