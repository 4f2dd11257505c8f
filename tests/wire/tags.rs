//! Tags: movable names for versions.

use confwatch::proto::v1::*;
use tonic::Code;

use super::support::*;

fn tagged(tag: &str) -> GetRequest {
    GetRequest { at: Some(get_request::At::Tag(tag.into())), ..get("/") }
}

#[tokio::test]
async fn a_tag_is_set_moved_read_and_removed_by_commits_that_make_no_version() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    let first = client.set_tag(set_tag("stable", 1)).await.expect("a tag").into_inner();
    assert_eq!((first.version, first.previous_version, first.changed, first.store_revision), (1, 0, true, 3));
    assert_eq!(content(&mut client, tagged("stable")).await, r#"{"a":1}"#);
    // 0 is the current version.
    let moved = client.set_tag(set_tag("stable", 0)).await.expect("a tag").into_inner();
    assert_eq!((moved.version, moved.previous_version, moved.changed, moved.store_revision), (2, 1, true, 4));
    assert_eq!(content(&mut client, tagged("stable")).await, r#"{"a":2}"#);
    let now = client.get(get("/")).await.expect("get").into_inner();
    let document = now.document.expect("it");
    assert_eq!((document.version, document.revision, now.store_revision), (2, 2, 4));

    let server = TestServer::start_in(server.stop().await, believing).await;
    let mut client = server.client().await;
    assert_eq!(content(&mut client, tagged("stable")).await, r#"{"a":2}"#);
    let gone = client.delete_tag(delete_tag("stable")).await.expect("delete").into_inner();
    assert_eq!((gone.previous_version, gone.changed, gone.store_revision), (2, true, 5));
    refused(client.get(tagged("stable")).await, Code::NotFound, "TAG_NOT_FOUND");
    assert_eq!(history(&mut client).await.len(), 2);
}

#[tokio::test]
async fn expected_version_of_a_tag_is_the_version_it_names() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    let expecting =
        |expected, version| SetTagRequest { expected_version: Some(expected), ..set_tag("stable", version) };
    let stale = |result: Result<_, _>, current| {
        let status = refused(result, Code::Aborted, "VERSION_MISMATCH");
        assert_eq!(told(&status).2["current_version"], current);
    };
    stale(client.set_tag(expecting(1, 2)).await, "0");
    client.set_tag(expecting(0, 1)).await.expect("it did not exist");
    stale(client.set_tag(expecting(0, 2)).await, "1");
    client.set_tag(expecting(1, 2)).await.expect("it names version 1");
    client.delete_tag(delete_tag("stable")).await.expect("delete");
    client.set_tag(expecting(0, 1)).await.expect("it does not exist any more");
}

#[tokio::test]
async fn tags_are_told_with_their_config_and_outlive_its_deletion() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    client.set_tag(set_tag("one", 1)).await.expect("a tag");
    client.set_tag(set_tag("uno", 1)).await.expect("a tag");
    client.delete(delete(None)).await.expect("delete");
    let all = ListRequest { include_deleted: true, ..Default::default() };
    let config = client.list(all).await.expect("list").into_inner().configs.remove(0);
    assert_eq!(config.tags, [("one".to_owned(), 1), ("uno".to_owned(), 1)].into());
    assert_eq!(history(&mut client).await[1].tags, ["one", "uno"]);
    assert_eq!(content(&mut client, tagged("one")).await, r#"{"a":1}"#);
    let deleted = client.set_tag(set_tag("gone", 0)).await.expect("a tag").into_inner();
    assert_eq!(deleted.version, 2);
    refused(client.get(tagged("gone")).await, Code::NotFound, "CONFIG_NOT_FOUND");
}
