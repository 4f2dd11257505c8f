//! Writes, and what is read after them.

use confwatch::proto::v1::*;
use tonic::Code;

use super::support::*;

#[tokio::test]
async fn what_was_set_is_read_and_survives_a_restart() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let response =
        client.set(set(replace("/", r#"{"b":1,"a":{"x":true}}"#))).await.expect("set").into_inner();
    assert!(response.changed);
    assert_eq!(response.store_revision, 1);
    let document = response.document.expect("the layer");
    assert_eq!((document.version, document.revision), (1, 1));
    assert_eq!(document.content, r#"{"a":{"x":true},"b":1}"#);
    client.set(set(replace("/production", r#"{"a":{"x":null,"y":2}}"#))).await.expect("set");
    assert_eq!(content(&mut client, get("/production/checkout")).await, r#"{"a":{"y":2},"b":1}"#);

    let directory = server.stop().await;
    let server = TestServer::start_in(directory, believing).await;
    let mut client = server.client().await;
    assert_eq!(content(&mut client, get("/production")).await, r#"{"a":{"y":2},"b":1}"#);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":{"x":true},"b":1}"#);
}

#[tokio::test]
async fn a_stale_expected_version_is_told_the_current_one() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let first = |expected| set(Change { expected_version: Some(expected), ..replace("/", "{}") });
    client.set(first(0)).await.expect("it did not exist");
    let status = refused(client.set(first(0)).await, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(told(&status).2["current_version"], "1");
}

fn apply(changes: Vec<Change>) -> ApplyRequest {
    ApplyRequest { changes, options: None }
}

fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

#[tokio::test]
async fn one_bad_change_and_nothing_of_an_apply_happens() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let too_large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let stale = Change { expected_version: Some(7), ..replace("/", "{}") };
    let bad = [
        (replace("/", "{"), Code::InvalidArgument, "MALFORMED_DOCUMENT"),
        (replace("/", &too_large), Code::InvalidArgument, "LAYER_TOO_LARGE"),
        (
            json_patch("/", r#"[{"op":"remove","path":"/x"}]"#),
            Code::FailedPrecondition,
            "PATCH_DOES_NOT_APPLY",
        ),
        (stale, Code::Aborted, "VERSION_MISMATCH"),
    ];
    for (bad, code, reason) in bad {
        let changes =
            vec![of("before", replace("/", r#"{"b":1}"#)), of("bad", bad), replace("/", r#"{"a":2}"#)];
        refused(client.apply(apply(changes)).await, code, reason);
    }
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    let listed = client.list(ListRequest { include_deleted: true, ..Default::default() }).await;
    let listed = listed.expect("list").into_inner();
    assert_eq!((listed.configs.len(), listed.store_revision), (1, 1));
}

#[tokio::test]
async fn an_apply_is_one_revision_and_one_version_of_each_config() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let changes = vec![
        replace("/production", r#"{"a":2}"#),
        of("other", replace("/", r#"{"c":3}"#)),
        replace("/staging", r#"{"a":3}"#),
        merge_patch("/", "{}"),
    ];
    let applied = client.apply(apply(changes)).await.expect("apply").into_inner();
    assert!(applied.changed && applied.report.expect("a report").valid);
    assert_eq!(applied.store_revision, 2);
    let told: Vec<_> = applied
        .results
        .iter()
        .map(|result| {
            let document = result.document.as_ref().expect("the layer");
            assert_eq!(document.content, "");
            (
                document.config.as_str(),
                document.scope.as_str(),
                document.version,
                document.revision,
                result.changed,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("app", "/production", 2, 2, true),
            ("other", "/", 1, 2, true),
            ("app", "/staging", 2, 2, true),
            ("app", "/", 2, 2, false),
        ]
    );
    let diff = &applied.results[0].diff;
    assert_eq!((diff.len(), diff[0].pointer.as_str(), diff[0].new_value.as_str()), (1, "/a", "2"));
    let commit = history(&mut client).await.remove(0).commit.expect("a commit");
    assert_eq!(commit.source(), CommitSource::Apply);
    assert_eq!(commit.changes[0].layers.len(), 2, "a layer that stays as it was is not told");
}

#[tokio::test]
async fn revisions_and_versions_grow_by_one_also_across_delete_and_recreation() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let first = put(&mut client, "/", r#"{"a":1}"#).await;
    assert_eq!((first.document.expect("a layer").version, first.store_revision), (1, 1));
    let other = client.set(set(of("other", replace("/", "{}")))).await.expect("set").into_inner();
    assert_eq!((other.document.expect("a layer").version, other.store_revision), (1, 2));
    put(&mut client, "/production", r#"{"a":2}"#).await;

    let deleted = client.delete(delete(None)).await.expect("delete").into_inner();
    assert_eq!((deleted.changed, deleted.version, deleted.store_revision), (true, 3, 4));
    let gone: Vec<_> = deleted.deleted.iter().map(|layer| (layer.scope.as_str(), layer.version)).collect();
    assert_eq!(gone, [("/", 1), ("/production", 2)]);
    refused(client.get(get("/")).await, Code::NotFound, "CONFIG_NOT_FOUND");

    let again = put(&mut client, "/", r#"{"a":1}"#).await;
    let document = again.document.expect("a layer");
    assert_eq!((document.version, document.revision), (4, 5));
    assert_eq!(document.layers[0].version, 4, "a layer made anew was last changed now");
    let told: Vec<_> = history(&mut client)
        .await
        .iter()
        .map(|version| (version.version, version.commit.as_ref().expect("a commit").revision))
        .collect();
    assert_eq!(told, [(4, 5), (3, 4), (2, 3), (1, 1)]);
}

#[tokio::test]
async fn a_write_that_changes_nothing_makes_no_commit() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":[1,2]}"#).await;
    client.set_tag(set_tag("stable", 1)).await.expect("a tag");
    let nothing = [
        replace("/", r#"{ "b": [1.0, 2], "a": 1e0 }"#),
        change(
            "/",
            change::Action::Replace(Text {
                content: "b: [1, 2]\na: 1\n".into(),
                format: Format::Yaml.into(),
            }),
        ),
        merge_patch("/", r#"{"a":1,"missing":null}"#),
        json_patch("/", r#"[{"op":"test","path":"/a","value":1}]"#),
        assign("/", &[("a", "1"), ("/b/1", "2")]),
        change("/production", change::Action::Delete(())),
        Change { expected_version: Some(1), ..merge_patch("/", "{}") },
    ];
    for write in nothing {
        let response = client.set(set(write.clone())).await.expect("set").into_inner();
        assert!(!response.changed, "{write:?}");
        assert_eq!((response.document.expect("a layer").version, response.store_revision), (1, 2));
        let applied = client.apply(apply(vec![write])).await.expect("apply").into_inner();
        assert_eq!((applied.changed, applied.store_revision), (false, 2));
    }
    let deleted = client.delete(delete(Some("/production"))).await.expect("delete").into_inner();
    assert_eq!((deleted.changed, deleted.version, deleted.store_revision), (false, 1, 2));
    let back =
        client.rollback(rollback(rollback_request::To::Version(1))).await.expect("rollback").into_inner();
    assert_eq!((back.changed, back.version, back.restored_version, back.store_revision), (false, 1, 1, 2));
    let tag = client.set_tag(set_tag("stable", 1)).await.expect("a tag").into_inner();
    assert_eq!((tag.changed, tag.version, tag.previous_version, tag.store_revision), (false, 1, 1, 2));
    let tag = client.delete_tag(delete_tag("missing")).await.expect("no tag").into_inner();
    assert_eq!((tag.changed, tag.previous_version, tag.store_revision), (false, 0, 2));
    assert_eq!(store_revision(&mut client).await, 2);
}

#[tokio::test]
async fn expected_version_is_that_of_the_layer_and_not_of_the_config() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    let expecting =
        |version, scope, content| set(Change { expected_version: Some(version), ..replace(scope, content) });
    let current = |status: &tonic::Status| told(status).2["current_version"].clone();

    let status = refused(client.set(expecting(2, "/", "{}")).await, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(current(&status), "1");
    client.set(expecting(1, "/", r#"{"a":3}"#)).await.expect("its last change was version 1");
    let status = refused(client.set(expecting(1, "/staging", "{}")).await, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(current(&status), "0");
    client.set(expecting(0, "/staging", "{}")).await.expect("it did not exist");
    // Also where the write would change nothing.
    refused(client.set(expecting(0, "/staging", "{}")).await, Code::Aborted, "VERSION_MISMATCH");

    let stale = DeleteRequest { expected_version: Some(1), ..delete(Some("/")) };
    let status = refused(client.delete(stale).await, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(current(&status), "3");
    let good = DeleteRequest { expected_version: Some(3), ..delete(Some("/")) };
    client.delete(good).await.expect("its last change was version 3");
    let recreated = expecting(0, "/", r#"{"a":1}"#);
    client.set(recreated).await.expect("a deleted layer does not exist");
}

#[tokio::test]
async fn expected_version_of_a_delete_or_rollback_of_a_config_is_that_of_the_config() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    let back = |expected, scope: Option<&str>| RollbackRequest {
        expected_version: Some(expected),
        scope: scope.map(str::to_owned),
        ..rollback(rollback_request::To::Version(1))
    };
    for scope in [None, Some("/"), Some("/production")] {
        let status = refused(client.rollback(back(1, scope)).await, Code::Aborted, "VERSION_MISMATCH");
        assert_eq!(told(&status).2["current_version"], "2");
    }
    client.rollback(back(2, None)).await.expect("it is at version 2");
    let delete_at = |expected| DeleteRequest { expected_version: Some(expected), ..delete(None) };
    let status = refused(client.delete(delete_at(2)).await, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(told(&status).2["current_version"], "3");
    client.delete(delete_at(3)).await.expect("it is at version 3");
}

#[tokio::test]
async fn each_action_does_what_its_rfc_says() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut check = async |write: Change, expected: &str| {
        let response = client.set(set(write)).await.expect("set").into_inner();
        assert_eq!(response.document.expect("a layer").content, expected);
    };
    check(merge_patch("/", r#"{"a":{"b":1,"c":null}}"#), r#"{"a":{"b":1}}"#).await;
    check(merge_patch("/", r#"{"a":{"b":null,"d":2},"e":[1]}"#), r#"{"a":{"d":2},"e":[1]}"#).await;
    check(
        json_patch("/", r#"[{"op":"add","path":"/e/-","value":2},{"op":"move","from":"/a/d","path":"/f"}]"#),
        r#"{"a":{},"e":[1,2],"f":2}"#,
    )
    .await;
    check(
        assign("/", &[("a.b.c", "\"x\""), ("/e/0", "null"), (r"g\.h", "true")]),
        r#"{"a":{"b":{"c":"x"}},"e":[null,2],"f":2,"g.h":true}"#,
    )
    .await;
    check(json_patch("/new", r#"[{"op":"add","path":"/a","value":null}]"#), r#"{"a":null}"#).await;
    check(assign("/newer", &[("a.b", "null")]), r#"{"a":{"b":null}}"#).await;
    check(change("/new", change::Action::Delete(())), "").await;
    // The nulls of a layer remove what is inherited, and are not in the document.
    assert_eq!(content(&mut client, get("/newer")).await, r#"{"a":{},"e":[null,2],"f":2,"g.h":true}"#);
}

#[tokio::test]
async fn a_json_patch_is_applied_whole_or_not_at_all() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let patch = r#"[{"op":"replace","path":"/a","value":2},{"op":"test","path":"/a","value":3}]"#;
    let status = refused(
        client.set(set(json_patch("/", patch))).await,
        Code::FailedPrecondition,
        "PATCH_DOES_NOT_APPLY",
    );
    assert_eq!(fields(&status), ["change.json_patch"]);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn validate_only_answers_what_the_write_would_and_stores_nothing() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let only = Some(WriteOptions { validate_only: true, request_id: "x".into(), ..Default::default() });
    let dry = SetRequest { options: only.clone(), ..set(replace("/", r#"{"a":2}"#)) };
    for _ in 0..2 {
        let response = client.set(dry.clone()).await.expect("set").into_inner();
        let document = response.document.expect("the layer");
        assert!(response.changed);
        assert_eq!((document.version, document.revision, response.store_revision), (2, 2, 2));
        assert_eq!(document.content, r#"{"a":2}"#);
    }
    let back = RollbackRequest { options: only.clone(), ..rollback(rollback_request::To::Version(1)) };
    assert!(!client.rollback(back).await.expect("rollback").into_inner().changed);
    let gone = DeleteRequest { options: only.clone(), ..delete(None) };
    let gone = client.delete(gone).await.expect("delete").into_inner();
    assert_eq!((gone.changed, gone.version, gone.deleted.len()), (true, 2, 1));
    let tag = SetTagRequest { options: only.clone(), ..set_tag("stable", 0) };
    let tag = client.set_tag(tag).await.expect("tag").into_inner();
    assert_eq!((tag.changed, tag.version), (true, 1));
    let applied = ApplyRequest { changes: vec![replace("/", r#"{"a":3}"#)], options: only.clone() };
    assert!(client.apply(applied).await.expect("apply").into_inner().changed);
    let bad = SetRequest { options: only, ..set(replace("/", "{")) };
    refused(client.set(bad).await, Code::InvalidArgument, "MALFORMED_DOCUMENT");

    assert_eq!(store_revision(&mut client).await, 1);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    // The id was not used up.
    let wet = SetRequest { options: request_id("x"), ..set(replace("/", r#"{"a":4}"#)) };
    assert!(client.set(wet).await.expect("set").into_inner().changed);
}

fn layer_of(bytes: usize) -> String {
    format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8))
}

#[tokio::test]
async fn a_layer_has_at_most_one_mebibyte() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let most = layer_of(1 << 20);
    assert_eq!(most.len(), 1 << 20);
    put(&mut client, "/", &most).await;
    assert_eq!(content(&mut client, get("/")).await, most);
    let status = refused(
        client.set(set(replace("/", &layer_of((1 << 20) + 1)))).await,
        Code::InvalidArgument,
        "LAYER_TOO_LARGE",
    );
    assert_eq!(fields(&status), ["change.replace"]);
    // Also where it grows by a patch.
    for grow in [
        merge_patch("/", r#"{"b":1}"#),
        json_patch("/", r#"[{"op":"add","path":"/b","value":1}]"#),
        assign("/", &[("b", "1")]),
    ] {
        refused(client.set(set(grow)).await, Code::InvalidArgument, "LAYER_TOO_LARGE");
    }
    assert_eq!(store_revision(&mut client).await, 1);
}

fn nested(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

#[tokio::test]
async fn a_document_is_at_most_64_levels_deep() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", &nested(64)).await;
    assert_eq!(content(&mut client, get("/")).await, nested(64));
    let status = refused(client.set(set(replace("/", &nested(65)))).await, Code::InvalidArgument, "TOO_DEEP");
    assert!(told(&status).2["pointer"].starts_with("/a/a/a"), "{status:?}");
    // The scalar is at 64: what makes it an object is refused by every action.
    let deepest = "/a".repeat(64);
    let add = format!(r#"[{{"op":"replace","path":"{deepest}","value":{{"b":1}}}}]"#);
    for deepen in [
        json_patch("/", &add),
        assign("/", &[(deepest.as_str(), r#"{"b":1}"#)]),
        merge_patch("/", &nested(65)),
    ] {
        refused(client.set(set(deepen)).await, Code::InvalidArgument, "TOO_DEEP");
    }
}

#[tokio::test]
async fn an_effective_document_over_two_mebibytes_is_refused_and_the_scope_is_named() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let part = |name: &str| format!(r#"{{"{name}":"{}"}}"#, "x".repeat(900 << 10));
    put(&mut client, "/production/checkout", &part("a")).await;
    put(&mut client, "/production", &part("b")).await;
    put(&mut client, "/staging", &part("b")).await;
    // Too large only two levels below the change.
    let status = refused(
        client.set(set(replace("/", &part("c")))).await,
        Code::FailedPrecondition,
        "VALIDATION_FAILED",
    );
    let findings = findings(&status);
    assert_eq!(findings.len(), 1);
    let finding = &findings[0];
    assert_eq!((finding.code.as_str(), finding.severity()), ("DOCUMENT_TOO_LARGE", Severity::Error));
    assert_eq!(
        (finding.namespace.as_str(), finding.config.as_str(), finding.scope.as_str()),
        ("test", "app", "/production/checkout")
    );
    refused(client.get(get("/")).await, Code::NotFound, "CONFIG_NOT_FOUND");
    // The same members in every layer are no more than one of them.
    put(&mut client, "/", &part("a")).await;
    assert_eq!(store_revision(&mut client).await, 4);
}

#[tokio::test]
async fn concurrent_writers_take_effect_one_at_a_time() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"count":0}"#).await;
    let writers = (0..8).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                loop {
                    let read = client.get(get("/")).await.expect("get").into_inner().document.expect("it");
                    let value: serde_json::Value = serde_json::from_str(&read.content).expect("JSON");
                    let next = format!(r#"{{"count":{}}}"#, value["count"].as_u64().expect("a count") + 1);
                    let write = Change { expected_version: Some(read.version), ..replace("/", &next) };
                    match client.set(set(write)).await {
                        Ok(_) => break,
                        Err(status) => assert_eq!(told(&status).1, "VERSION_MISMATCH"),
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    assert_eq!(content(&mut client, get("/")).await, r#"{"count":40}"#);
    let revisions: Vec<_> = history(&mut client)
        .await
        .iter()
        .map(|version| version.commit.as_ref().expect("it").revision)
        .collect();
    assert_eq!(revisions, (1..=41).rev().collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_layer_of_a_config_that_never_was_is_deleted_to_nothing_at_no_time() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let answer = client.set(set(change("/", change::Action::Delete(())))).await.expect("delete").into_inner();
    let document = answer.document.expect("a document");
    assert!(!answer.changed);
    assert_eq!((document.version, document.revision, document.update_time), (0, 0, None));
}
