//! Configs and namespaces that Restore makes what they were.

use std::time::Duration;

use confwatch::proto::v1::*;
use restore_request::To;
use tonic::Code;

use super::auth::Guarded;
use super::support::*;

fn restore(config: &str, to: To) -> RestoreRequest {
    RestoreRequest { namespace: "test".into(), config: config.into(), to: Some(to), ..Default::default() }
}

pub fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

pub async fn apply(client: &mut Client, changes: Vec<Change>) -> u64 {
    client.apply(ApplyRequest { changes, options: None }).await.expect("applied").into_inner().store_revision
}

pub async fn layer(client: &mut Client, config: &str, scope: &str) -> String {
    let request = GetRequest { config: config.into(), view: View::Layer.into(), ..get(scope) };
    match client.get(request).await {
        Ok(response) => response.into_inner().document.expect("a document").content,
        Err(status) => told(&status).1,
    }
}

#[tokio::test]
async fn a_namespace_is_what_it_was_by_one_commit_and_system_configs_stay() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    apply(&mut client, vec![replace("/", r#"{"a":1}"#), of("gone", replace("/x", r#"{"g":1}"#))]).await;
    let then = apply(&mut client, vec![of("settings:app", replace("/", r#"{"strict":false}"#))]).await;
    apply(
        &mut client,
        vec![
            replace("/", r#"{"a":2}"#),
            replace("/staging", r#"{"b":1}"#),
            of("gone", change("/x", change::Action::Delete(()))),
            of("new", replace("/", r#"{"n":1}"#)),
            of("settings:app", replace("/", r#"{"strict":true}"#)),
        ],
    )
    .await;
    client.set_tag(set_tag("stable", 2)).await.expect("a tag");
    let settings = layer(&mut client, "settings:app", "/").await;
    let response = client.restore(restore("", To::Revision(then))).await.expect("restored").into_inner();
    assert!(response.changed && response.report.expect("a report").valid);
    assert_eq!((response.restored_revision, response.base_revision), (then, response.store_revision - 1));
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":1}"#);
    assert_eq!(layer(&mut client, "app", "/staging").await, "CONFIG_NOT_FOUND");
    assert_eq!(layer(&mut client, "gone", "/x").await, r#"{"g":1}"#);
    assert_eq!(layer(&mut client, "new", "/").await, "CONFIG_NOT_FOUND");
    assert_eq!(layer(&mut client, "settings:app", "/").await, settings);
    let changed: Vec<_> = response
        .results
        .iter()
        .map(|result| {
            let document = result.document.as_ref().expect("a layer");
            (document.config.as_str(), document.scope.as_str(), document.digest.is_empty())
        })
        .collect();
    assert_eq!(
        changed,
        [("app", "/", false), ("app", "/staging", true), ("gone", "/x", false), ("new", "/", true)]
    );
    let newest = history(&mut client).await.remove(0);
    let commit = newest.commit.expect("a commit");
    assert_eq!((commit.revision, commit.source()), (response.store_revision, CommitSource::Restore));
    assert_eq!(commit.annotations["restores"], then.to_string());
    let configs = client.list(ListRequest { namespace: "test".into(), ..Default::default() }).await;
    let configs = configs.expect("a list").into_inner().configs;
    let app = configs.iter().find(|config| config.config == "app").expect("it is there");
    assert_eq!(app.tags["stable"], 2, "tags stay");
    // By its name a system config is restored as well.
    client.restore(restore("settings:app", To::Revision(then))).await.expect("restored");
    assert_eq!(layer(&mut client, "settings:app", "/").await, r#"{"strict":false}"#);
    // And the restore can be taken back.
    let taken_back = RevertRequest { revisions: vec![response.store_revision], options: None };
    client.revert(taken_back).await.expect("reverted");
    assert_eq!(layer(&mut client, "new", "/").await, r#"{"n":1}"#);
}

#[tokio::test]
async fn a_time_a_tag_and_a_scope_choose_what_is_restored() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/staging", r#"{"b":1}"#).await;
    client.set_tag(set_tag("stable", 2)).await.expect("a tag");
    let time = history(&mut client).await.remove(0).commit.expect("a commit").time.expect("a time");
    tokio::time::sleep(Duration::from_millis(2)).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    put(&mut client, "/staging/eu", r#"{"c":2}"#).await;
    let below = RestoreRequest { scope: Some("/staging".into()), ..restore("", To::Time(time)) };
    let response = client.restore(below).await.expect("restored").into_inner();
    assert_eq!(response.results.len(), 1);
    assert_eq!(layer(&mut client, "app", "/staging/eu").await, "CONFIG_NOT_FOUND");
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":2}"#);
    let response =
        client.restore(restore("app", To::Tag("stable".into()))).await.expect("restored").into_inner();
    assert_eq!((response.changed, response.restored_revision), (true, 0));
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":1}"#);
    let again = client.restore(restore("", To::Time(time))).await.expect("nothing to do").into_inner();
    assert!(!again.changed && again.results.is_empty());
    assert_eq!(again.base_revision, again.store_revision);
}

#[tokio::test]
async fn a_dry_run_has_the_reach_and_the_write_agrees_with_the_dry_run() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let then = put(&mut client, "/production", r#"{"b":1}"#).await.store_revision;
    apply(&mut client, vec![replace("/", r#"{"a":2}"#), of("other", replace("/", r#"{"o":1}"#))]).await;
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
    let preview = RestoreRequest { options, ..restore("", To::Revision(then)) };
    let preview = client.restore(preview).await.expect("tried").into_inner();
    assert_eq!(preview.reach, Some(Reach { configs: 2, scopes: 4, watchers: 1, unknown: false }));
    let affected: Vec<_> = preview
        .affected
        .iter()
        .map(|target| (target.config.as_str(), target.scope.as_str(), target.watchers))
        .collect();
    let expected =
        [("app", "/", 0), ("app", "/production", 0), ("app", "/production/checkout", 1), ("other", "/", 0)];
    assert_eq!(affected, expected);
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":2}"#);
    let expecting =
        RestoreRequest { expected_revision: Some(preview.base_revision), ..restore("", To::Revision(then)) };
    // A config of another namespace does not matter; a new config of this one does.
    let elsewhere = Change { namespace: "elsewhere".into(), ..replace("/", r#"{"e":1}"#) };
    apply(&mut client, vec![elsewhere]).await;
    client
        .restore(RestoreRequest { options: request_id("agrees"), ..expecting.clone() })
        .await
        .expect("restored");
    apply(&mut client, vec![of("late", replace("/", r#"{"l":1}"#))]).await;
    let status = refused(client.restore(expecting).await, Code::Aborted, "REVISION_MISMATCH");
    let (_, _, metadata) = told(&status);
    assert_eq!(metadata["expected_revision"], preview.base_revision.to_string());
    // The first outcome is told again.
    let repeated = RestoreRequest {
        expected_revision: Some(preview.base_revision),
        options: request_id("agrees"),
        ..restore("", To::Revision(then))
    };
    let repeated = client.restore(repeated).await.expect("the first outcome").into_inner();
    assert_eq!((repeated.changed, repeated.restored_revision, repeated.results.len()), (true, then, 2));
    assert_eq!(layer(&mut client, "late", "/").await, r#"{"l":1}"#);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let to = |to: Option<To>| RestoreRequest { to, ..restore("", To::Revision(1)) };
    refused_for(client.restore(to(None)).await, "INVALID_FIELD", "to");
    refused_for(client.restore(to(Some(To::Revision(0)))).await, "INVALID_FIELD", "revision");
    let early = prost_types::Timestamp { seconds: 1, nanos: 0 };
    refused_for(client.restore(to(Some(To::Time(early)))).await, "INVALID_FIELD", "time");
    let reserved = RestoreRequest { namespace: "confwatch".into(), ..restore("", To::Revision(1)) };
    refused_for(client.restore(reserved).await, "INVALID_NAME", "config");
    refused(client.restore(restore("", To::Revision(999))).await, Code::OutOfRange, "REVISION_IN_FUTURE");
    refused(client.restore(restore("other", To::Revision(1))).await, Code::NotFound, "CONFIG_NOT_FOUND");
    refused(client.restore(restore("app", To::Tag("none".into()))).await, Code::NotFound, "TAG_NOT_FOUND");
}

#[tokio::test]
async fn a_point_that_is_no_longer_retained_is_refused_with_the_oldest_revision() {
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
        let options = Some(WriteOptions { validate_only: true, ..Default::default() });
        match client.restore(RestoreRequest { options, ..restore("", To::Revision(1)) }).await {
            Err(status) => {
                let (code, reason, metadata) = told(&status);
                assert_eq!((code, reason.as_str()), (Code::OutOfRange, "COMPACTED"));
                assert!(metadata["oldest_revision"].parse::<u64>().expect("a number") > 1);
                break;
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn a_restore_takes_rollback_and_read_on_all_that_it_concerns() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{
  "roles": {"restore": ["read", "rollback"], "rollback": ["rollback"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:app"], "role": "restore", "namespace": "test", "config": "app", "scope": "/"},
    {"subjects": ["token:staging"], "role": "restore", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:blind"], "role": "rollback", "namespace": "test", "config": "*", "scope": "/"}
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
    let then = make(vec![replace("/", r#"{"a":1}"#), of("hidden", replace("/staging", r#"{"h":1}"#))]).await;
    make(vec![replace("/", r#"{"a":2}"#), of("hidden", replace("/staging", r#"{"h":2}"#))]).await;
    let mut app = guarded.bearer("app").await.api();
    let denied = refused(
        app.restore(restore("", To::Revision(then))).await,
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
    assert!(!format!("{denied:?}").contains("hidden"), "{denied:?}");
    app.restore(restore("app", To::Revision(then))).await.expect("it is theirs");
    let mut staging = guarded.bearer("staging").await.api();
    refused(
        staging.restore(restore("", To::Revision(then))).await,
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
    let below = RestoreRequest { scope: Some("/staging".into()), ..restore("", To::Revision(then)) };
    let response = staging.restore(below).await.expect("theirs in every config").into_inner();
    assert_eq!(response.results[0].document.as_ref().expect("a layer").config, "hidden");
    let mut blind = guarded.bearer("blind").await.api();
    refused(
        blind.restore(restore("app", To::Revision(then))).await,
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
}

#[tokio::test]
async fn secrets_are_restored_by_who_may_not_reveal_them_and_sealed_by_the_newest_key() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{
  "roles": {"restore": ["read", "rollback"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:operator"], "role": "restore", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    let mut write = async |content: &str| {
        admin.set(set(merge_patch("/", content))).await.expect("set").into_inner().store_revision
    };
    let then = write(r#"{"password":{"$secret":"first-one"},"a":1}"#).await;
    write(r#"{"password":{"$secret":"second-one"}}"#).await;
    let rotate = RotateDataKeyRequest { namespace: "test".into() };
    guarded.admin.secrets().rotate_data_key(rotate).await.expect("rotated");
    let mut operator = guarded.bearer("operator").await.api();
    let response = operator.restore(restore("", To::Revision(then))).await.expect("restored").into_inner();
    assert!(response.changed);
    assert!(
        !format!("{response:?}").contains("first-one") && !format!("{response:?}").contains("second-one")
    );
    let mut admin = guarded.admin.api();
    let revealed = admin.get(get("/")).await.expect("there").into_inner().document.expect("one").content;
    assert_eq!(revealed, r#"{"a":1,"password":"first-one"}"#);
    // Sealed by another key now, and the same.
    let again = operator.restore(restore("", To::Revision(then))).await.expect("nothing to do").into_inner();
    assert!(!again.changed && again.results.is_empty());
}

#[tokio::test]
async fn a_restore_to_what_is_invalid_now_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let then = put(&mut client, "/", r#"{"a":"text"}"#).await.store_revision;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let schema = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(r#"{"properties":{"a":{"type":"integer"}}}"#)),
        ..Default::default()
    };
    let mut schemas = schema_service_client::SchemaServiceClient::new(server.channel().await);
    schemas.put(schema).await.expect("a schema");
    let status = refused(
        client.restore(restore("", To::Revision(then))).await,
        Code::FailedPrecondition,
        "VALIDATION_FAILED",
    );
    assert_eq!(findings(&status)[0].pointer, "/a");
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":1}"#);
}
