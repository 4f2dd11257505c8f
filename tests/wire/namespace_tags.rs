//! Tags that name a revision for all configs of a namespace.

use std::time::Duration;

use confwatch::proto::v1::*;
use restore_request::To;
use tonic::Code;

use super::auth::Guarded;
use super::support::*;

fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

fn tag(tag: &str, revision: u64) -> SetTagRequest {
    SetTagRequest { namespace: "test".into(), tag: tag.into(), revision, ..Default::default() }
}

async fn apply(client: &mut Client, changes: Vec<Change>) -> u64 {
    client.apply(ApplyRequest { changes, options: None }).await.expect("applied").into_inner().store_revision
}

async fn tags_of(client: &mut Client, config: &str) -> Vec<(String, u64)> {
    let list = ListRequest { namespace: "test".into(), include_deleted: true, ..Default::default() };
    let configs = client.list(list).await.expect("a list").into_inner().configs;
    let config = configs.into_iter().find(|info| info.config == config).expect("it is listed");
    config.tags.into_iter().collect()
}

async fn all_tags(client: &mut Client) -> String {
    content(client, GetRequest { config: "namespace:tags".into(), ..get("/") }).await
}

#[tokio::test]
async fn a_tag_of_a_namespace_is_set_moved_and_deleted_with_those_of_its_configs() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let first =
        apply(&mut client, vec![replace("/", r#"{"a":1}"#), of("b", replace("/", r#"{"b":1}"#))]).await;
    let second =
        apply(&mut client, vec![replace("/", r#"{"a":2}"#), of("late", replace("/", r#"{"l":1}"#))]).await;
    let set = client.set_tag(tag("release", 0)).await.expect("a tag").into_inner();
    assert_eq!((set.changed, set.revision, set.previous_revision, set.version), (true, second, 0, 0));
    assert_eq!(set.store_revision, second + 1);
    assert_eq!(tags_of(&mut client, "app").await, [("release".to_owned(), 2)]);
    assert_eq!(tags_of(&mut client, "late").await, [("release".to_owned(), 1)]);
    assert_eq!(all_tags(&mut client).await, format!(r#"{{"release":{second}}}"#));
    let again = client.set_tag(tag("release", 0)).await.expect("the same").into_inner();
    assert_eq!((again.changed, again.revision, again.previous_revision), (false, second, second));

    let stale = SetTagRequest { expected_revision: Some(0), ..tag("release", first) };
    refused(client.set_tag(stale).await, Code::Aborted, "REVISION_MISMATCH");
    let moving = SetTagRequest { expected_revision: Some(second), ..tag("release", first) };
    let moved = SetTagRequest { options: request_id("moved"), ..moving };
    let response = client.set_tag(moved.clone()).await.expect("moved").into_inner();
    assert_eq!((response.revision, response.previous_revision), (first, second));
    assert_eq!(tags_of(&mut client, "app").await, [("release".to_owned(), 1)]);
    assert!(tags_of(&mut client, "late").await.is_empty(), "it did not exist");
    let repeated = client.set_tag(moved).await.expect("the first outcome").into_inner();
    assert_eq!(repeated, response);
    let at_tag = GetRequest { at: Some(get_request::At::Tag("release".into())), ..get("/") };
    assert_eq!(content(&mut client, at_tag).await, r#"{"a":1}"#);

    // A config has no tag of its own with that name.
    refused_for(client.set_tag(set_tag("release", 2)).await, "INVALID_TAG", "tag");
    refused_for(client.delete_tag(delete_tag("release")).await, "INVALID_TAG", "tag");
    let written = of("namespace:tags", replace("/", r#"{"x":1}"#));
    refused_for(client.set(self::set(written)).await, "INVALID_NAME", "config");

    let gone = DeleteTagRequest { config: String::new(), ..delete_tag("release") };
    let deleted = client.delete_tag(gone.clone()).await.expect("deleted").into_inner();
    assert_eq!((deleted.changed, deleted.previous_revision), (true, first));
    assert!(tags_of(&mut client, "app").await.is_empty());
    assert_eq!(all_tags(&mut client).await, "{}");
    client.set_tag(set_tag("release", 2)).await.expect("the name is free");
    let again = client.delete_tag(gone).await.expect("nothing to do").into_inner();
    assert!(!again.changed);
    assert_eq!(tags_of(&mut client, "app").await, [("release".to_owned(), 2)], "that of the config stays");
}

#[tokio::test]
async fn a_namespace_is_restored_to_a_tag_after_its_history_was_compacted() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let change = |settings: &mut confwatch::server::Settings| {
        believing(settings);
        settings.retain_revisions = Some(2);
    };
    let server = TestServer::start_in(directory, change).await;
    let mut client = server.client().await;
    apply(&mut client, vec![replace("/", r#"{"a":1}"#), of("gone", replace("/x", r#"{"g":1}"#))]).await;
    client.set_tag(tag("release", 0)).await.expect("a tag");
    apply(&mut client, vec![of("gone", self::change("/x", change::Action::Delete(())))]).await;
    for value in 2..=6 {
        apply(
            &mut client,
            vec![
                replace("/", &format!(r#"{{"a":{value}}}"#)),
                of("new", replace("/", &format!(r#"{{"n":{value}}}"#))),
            ],
        )
        .await;
    }
    loop {
        let early =
            RestoreRequest { namespace: "test".into(), to: Some(To::Revision(1)), ..Default::default() };
        let options = Some(WriteOptions { validate_only: true, ..Default::default() });
        match client.restore(RestoreRequest { options, ..early }).await {
            Err(status) if told(&status).1 == "COMPACTED" => break,
            other => drop(other.expect("not compacted yet")),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Also by a server that has read its state from the disk.
    let server = TestServer::start_in(server.stop().await, change).await;
    let mut client = server.client().await;
    let request = RestoreRequest {
        namespace: "test".into(),
        to: Some(To::Tag("release".into())),
        ..Default::default()
    };
    let response = client.restore(request.clone()).await.expect("the tag keeps what it names").into_inner();
    assert_eq!((response.restored_revision, response.results.len()), (1, 3));
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    assert_eq!(content(&mut client, GetRequest { config: "gone".into(), ..get("/x") }).await, r#"{"g":1}"#);
    let new = GetRequest { config: "new".into(), ..get("/") };
    refused(client.get(new).await, Code::NotFound, "CONFIG_NOT_FOUND");
    assert!(!client.restore(request.clone()).await.expect("nothing to do").into_inner().changed);
    let other = RestoreRequest { to: Some(To::Tag("other".into())), ..request };
    refused(client.restore(other).await, Code::NotFound, "TAG_NOT_FOUND");
}

#[tokio::test]
async fn tags_of_a_namespace_are_set_and_read_by_who_may_do_so_for_all_of_it() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{
  "roles": {"tag": ["tag"], "read": ["read"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:one"], "role": "tag", "namespace": "test", "config": "app", "scope": "/"},
    {"subjects": ["token:one"], "role": "read", "namespace": "test", "config": "app", "scope": "/"},
    {"subjects": ["token:all"], "role": "tag", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:reader"], "role": "read", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    admin.set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    let mut one = guarded.bearer("one").await.api();
    refused(one.set_tag(tag("release", 0)).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let mut all = guarded.bearer("all").await.api();
    all.set_tag(tag("release", 0)).await.expect("theirs");
    let tags = GetRequest { config: "namespace:tags".into(), ..get("/") };
    for mut denied in [one, all] {
        refused(denied.get(tags.clone()).await, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    guarded.bearer("reader").await.api().get(tags).await.expect("theirs");
}
