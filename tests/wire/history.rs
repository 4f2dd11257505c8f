//! History: who, when, why and what; differences; the way back.

use confwatch::proto::v1::*;
use confwatch::server::settings::Fsync;
use tonic::{Code, Request};

use super::support::*;

fn commit(version: &VersionInfo) -> &Commit {
    version.commit.as_ref().expect("a commit")
}

fn numbers(versions: &[VersionInfo]) -> Vec<u64> {
    versions.iter().map(|version| version.version).collect()
}

#[tokio::test]
async fn history_says_who_when_why_and_what() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let before = std::time::SystemTime::now().into();
    let options = WriteOptions {
        reason: "because".into(),
        request_id: "one".into(),
        annotations: [("ticket".to_owned(), "C-1".to_owned())].into(),
        ..Default::default()
    };
    let mut request = Request::new(SetRequest { options: Some(options), ..set(replace("/", r#"{"a":1}"#)) });
    request
        .metadata_mut()
        .insert("confwatch-actor", "alice%40example.org%20%C3%A4%F0%9F%98%80".parse().expect("ASCII"));
    let written = client.set(request).await.expect("set").into_inner();
    client.set_tag(set_tag("stable", 1)).await.expect("a tag");
    let versions = history(&mut client).await;
    assert_eq!(versions.len(), 1);
    assert_eq!((versions[0].version, versions[0].tags.as_slice()), (1, ["stable".to_owned()].as_slice()));
    let commit = commit(&versions[0]);
    assert_eq!(commit.actor, "alice@example.org ä😀");
    assert_eq!((commit.revision, commit.source()), (1, CommitSource::Set));
    assert_eq!((commit.reason.as_str(), commit.request_id.as_str()), ("because", "one"));
    assert_eq!(commit.annotations["ticket"], "C-1");
    assert!(commit.chain_hash.starts_with("sha256:") && commit.chain_hash.len() == 71);
    let time = commit.time.expect("a time");
    let micros = |time: prost_types::Timestamp| time.seconds * 1_000_000 + i64::from(time.nanos / 1000);
    let after = std::time::SystemTime::now().into();
    assert!(micros(before) <= micros(time) && micros(time) <= micros(after));
    let document = written.document.expect("a layer");
    assert_eq!(document.update_time, Some(time));
    let change = &commit.changes[0];
    assert_eq!((change.namespace.as_str(), change.config.as_str(), change.version), ("test", "app", 1));
    let layer = &change.layers[0];
    assert_eq!(
        (layer.scope.as_str(), layer.kind(), layer.action()),
        ("/", LayerKind::Base, LayerAction::Put)
    );
    assert_eq!((&layer.digest, layer.content.as_str()), (&document.digest, ""));
}

#[tokio::test]
async fn whoever_does_not_say_who_they_are_is_anonymous() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let long = "x".repeat(300);
    for (at, (claimed, expected)) in [
        (None, "anonymous"),
        (Some(""), "anonymous"),
        (Some("%20"), "anonymous"),
        (Some("%00%0A"), "anonymous"),
        (Some("bob"), "bob"),
        (Some("bo%0Ab"), "bob"),
        (Some("%FF"), "\u{fffd}"),
        (Some(long.as_str()), &long[..256]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = Request::new(set(replace("/", &format!(r#"{{"a":{at}}}"#))));
        if let Some(claimed) = claimed {
            request.metadata_mut().insert("confwatch-actor", claimed.parse().expect("ASCII"));
        }
        client.set(request).await.expect("set");
        assert_eq!(commit(&history(&mut client).await[0]).actor, expected, "{claimed:?}");
    }
}

#[tokio::test]
async fn every_kind_of_write_is_named_by_its_source() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    client
        .apply(ApplyRequest { changes: vec![replace("/", r#"{"a":2}"#)], options: None })
        .await
        .expect("apply");
    client.delete(delete(Some("/"))).await.expect("delete");
    client.rollback(rollback(rollback_request::To::Version(1))).await.expect("rollback");
    let versions = history(&mut client).await;
    let sources: Vec<_> = versions.iter().map(|version| commit(version).source()).collect();
    use CommitSource::{Apply, Delete, Rollback, Set};
    assert_eq!(sources, [Rollback, Delete, Apply, Set]);
    let restored: Vec<_> =
        versions.iter().map(|version| commit(version).changes[0].restored_version).collect();
    assert_eq!(restored, [1, 0, 0, 0]);
    let gone = &commit(&versions[1]).changes[0].layers[0];
    assert_eq!((gone.action(), gone.digest.as_str()), (LayerAction::Delete, ""));
}

#[tokio::test]
async fn history_has_pages_newest_first_and_goes_on_where_it_was() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for value in 1..=7 {
        put(&mut client, "/", &format!(r#"{{"a":{value}}}"#)).await;
    }
    for (page_size, pages) in [(1, 7), (2, 4), (3, 3), (7, 1), (1000, 1), (0, 1)] {
        let (mut found, mut count, mut page_token) = (vec![], 0, String::new());
        loop {
            let request = ListVersionsRequest { page_size, page_token, ..versions() };
            let page = client.list_versions(request).await.expect("history").into_inner();
            found.extend(numbers(&page.versions));
            (count, page_token) = (count + 1, page.next_page_token);
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!((found, count), ((1..=7).rev().collect(), pages), "pages of {page_size}");
    }
    // Versions made since the first page do not shift the others.
    let request = ListVersionsRequest { page_size: 4, ..versions() };
    let first = client.list_versions(request.clone()).await.expect("history").into_inner();
    put(&mut client, "/", r#"{"a":8}"#).await;
    client.delete(delete(None)).await.expect("delete");
    let request = ListVersionsRequest { page_token: first.next_page_token, ..request };
    let second = client.list_versions(request).await.expect("history").into_inner();
    assert_eq!(numbers(&second.versions), [3, 2, 1]);
    assert_eq!(numbers(&history(&mut client).await).len(), 9, "a deleted config has its history");
}

#[tokio::test]
async fn history_can_be_that_of_one_scope_and_have_content() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    let changes = vec![
        replace("/", r#"{"a":3}"#),
        replace("/production", r#"{"a":4}"#),
        Change { config: "other".into(), ..replace("/", "{}") },
    ];
    client.apply(ApplyRequest { changes, options: None }).await.expect("apply");
    put(&mut client, "/production/checkout", r#"{"a":5}"#).await;
    let over = Change { kind: LayerKind::Override.into(), ..replace("/production", r#"{"a":6}"#) };
    client.set(set(over)).await.expect("an override");
    client.delete(delete(Some("/production"))).await.expect("delete");

    let of = |scope: Option<&str>| ListVersionsRequest {
        scope: scope.map(str::to_owned),
        include_content: true,
        ..versions()
    };
    let mut check = async |scope, expected: &[u64]| {
        let found = client.list_versions(of(scope)).await.expect("history").into_inner();
        assert_eq!(numbers(&found.versions), expected, "{scope:?}");
        found.versions
    };
    check(None, &[6, 5, 4, 3, 2, 1]).await;
    check(Some(""), &[3, 1]).await;
    check(Some("/production/checkout"), &[4]).await;
    check(Some("/staging"), &[]).await;
    let versions = check(Some("/production"), &[6, 5, 3, 2]).await;
    let contents = |version: &VersionInfo| {
        let layers = commit(version).changes[0].layers.iter();
        layers.map(|layer| (layer.scope.clone(), layer.content.clone())).collect::<Vec<_>>()
    };
    let layer = |scope: &str, content: &str| (scope.to_owned(), content.to_owned());
    assert_eq!(contents(&versions[0]), [layer("/production", "")]);
    assert_eq!(contents(&versions[1]), [layer("/production", r#"{"a":6}"#)]);
    assert_eq!(contents(&versions[2]), [layer("/", r#"{"a":3}"#), layer("/production", r#"{"a":4}"#)]);
    assert_eq!(commit(&versions[2]).changes.len(), 1, "only what it did to this config");
    // Pages of a filtered history have no gaps.
    let request = ListVersionsRequest { page_size: 3, ..of(Some("/production")) };
    let first = client.list_versions(request.clone()).await.expect("history").into_inner();
    assert_eq!(numbers(&first.versions), [6, 5, 3]);
    let request = ListVersionsRequest { page_token: first.next_page_token, ..request };
    let second = client.list_versions(request).await.expect("history").into_inner();
    assert_eq!(numbers(&second.versions), [2]);
}

#[tokio::test]
async fn a_page_of_history_fits_a_message_whatever_its_content() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for value in 0..6 {
        put(&mut client, "/", &format!(r#"{{"a":"{value}{}"}}"#, "x".repeat(1_000_000))).await;
    }
    let (mut found, mut page_token) = (vec![], String::new());
    loop {
        let request = ListVersionsRequest { page_token, include_content: true, ..versions() };
        let page = client.list_versions(request).await.expect("history").into_inner();
        assert!(!page.versions.is_empty());
        found.extend(numbers(&page.versions));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, [6, 5, 4, 3, 2, 1]);
}

fn diff(from: GetRequest, to: GetRequest) -> DiffRequest {
    DiffRequest { older: Some(from), newer: Some(to), ..Default::default() }
}

fn version(scope: &str, version: u64) -> GetRequest {
    GetRequest { at: Some(get_request::At::Version(version)), ..get(scope) }
}

fn shown(changes: &[ValueChange]) -> Vec<String> {
    let shown = changes.iter().map(|change| match change.r#type() {
        ChangeType::Added => format!("+{} {}", change.pointer, change.new_value),
        ChangeType::Removed => format!("-{} {}", change.pointer, change.old_value),
        ChangeType::Changed => format!("{} {} -> {}", change.pointer, change.old_value, change.new_value),
        ChangeType::Unspecified => panic!("{change:?}"),
    });
    shown.collect()
}

#[tokio::test]
async fn a_diff_of_two_versions_says_what_became_of_each_value() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":{"x":1,"y":[1,2]},"gone":true}"#).await;
    put(&mut client, "/", r#"{"a":1,"b":{"x":2,"y":[2]},"new":null}"#).await;
    let found = client.diff(diff(version("/", 1), version("/", 2))).await.expect("diff").into_inner();
    assert_eq!(shown(&found.changes), ["/b/x 1 -> 2", "/b/y [1,2] -> [2]", "-/gone true"]);
    let (from, to) = (found.older.expect("a side"), found.newer.expect("a side"));
    assert_eq!((from.version, to.version, from.content.as_str(), to.content.as_str()), (1, 2, "", ""));
    assert!(
        found.unified.contains("@@") && found.unified.contains("\n-  \"gone\": true\n"),
        "{}",
        found.unified
    );
    // The layer as it is stored has its null.
    let layer = |number| GetRequest { view: View::Layer.into(), ..version("/", number) };
    let request = DiffRequest { older: Some(layer(1)), newer: Some(version("", 2)), ..Default::default() };
    let found = client.diff(request).await.expect("diff").into_inner();
    assert_eq!(
        shown(&found.changes).last().map(String::as_str),
        Some("+/new null"),
        "the view is that of from"
    );

    let yaml = DiffRequest {
        format: Format::Yaml.into(),
        context_lines: Some(0),
        ..diff(version("/", 1), version("/", 2))
    };
    let yaml = client.diff(yaml).await.expect("diff").into_inner().unified;
    assert!(yaml.contains("\n-gone: true\n") && !yaml.contains("\n a: 1\n"), "{yaml}");
    let same = client.diff(diff(version("/", 1), version("/", 1))).await.expect("diff").into_inner();
    assert_eq!((same.changes.len(), same.unified.as_str()), (0, ""));
}

#[tokio::test]
async fn a_diff_of_two_targets_takes_from_the_first_what_the_second_leaves_open() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    client.set(set(Change { config: "other".into(), ..replace("/", r#"{"b":1}"#) })).await.expect("set");
    let scope = GetRequest { scope: "/production".into(), ..Default::default() };
    let found = client.diff(diff(get("/"), scope)).await.expect("diff").into_inner();
    assert_eq!(shown(&found.changes), ["/a 1 -> 2"]);
    let other = GetRequest { config: "other".into(), ..Default::default() };
    let found = client.diff(diff(get("/production"), other)).await.expect("diff").into_inner();
    assert_eq!(shown(&found.changes), ["-/a 2", "+/b 1"]);
    let to = found.newer.expect("a side");
    assert_eq!((to.config.as_str(), to.scope.as_str()), ("other", "/production"));
}

#[tokio::test]
async fn a_side_that_does_not_exist_counts_as_empty_and_a_version_that_never_was_does_not() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let missing = GetRequest { config: "missing".into(), ..get("/") };
    let early = GetRequest {
        at: Some(get_request::At::Time(prost_types::Timestamp { seconds: 1, nanos: 0 })),
        ..get("/")
    };
    for nothing in [missing, early, version("/", 0)] {
        let found = client.diff(diff(nothing.clone(), get("/"))).await.expect("diff").into_inner();
        assert!(found.older.is_none() && found.newer.is_some());
        assert_eq!(shown(&found.changes), ["+/a 1"]);
        let found = client.diff(diff(get("/"), GetRequest { config: "app".into(), ..nothing.clone() })).await;
        let found = found.expect("diff").into_inner();
        if nothing.config == "app" {
            assert!(found.newer.is_none());
            assert_eq!(shown(&found.changes), ["-/a 1"]);
        }
    }
    refused(client.diff(diff(version("/", 2), get("/"))).await, Code::NotFound, "VERSION_NOT_FOUND");
    let tag = GetRequest { at: Some(get_request::At::Tag("missing".into())), ..get("/") };
    refused(client.diff(diff(get("/"), tag)).await, Code::NotFound, "TAG_NOT_FOUND");
    // A deleted config is an empty one at the version that deleted it.
    client.delete(delete(None)).await.expect("delete");
    let found = client.diff(diff(version("/", 1), get("/"))).await.expect("diff").into_inner();
    assert!(found.newer.is_none());
    assert_eq!(shown(&found.changes), ["-/a 1"]);
}

/// All layers of `test/app` as they are stored.
async fn layers(client: &mut Client) -> Vec<(String, u64, String)> {
    let list = client.list(ListRequest { include_deleted: true, ..Default::default() }).await.expect("list");
    let layers = list.into_inner().configs.remove(0).layers;
    layers.into_iter().map(|layer| (layer.scope, layer.version, layer.digest)).collect()
}

#[tokio::test]
async fn a_rollback_of_a_config_makes_a_new_version_whose_layers_equal_those_of_the_old() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let changes =
        vec![replace("/", r#"{"a":1}"#), replace("/production", r#"{"a":2}"#), replace("/kept", "{}")];
    client.apply(ApplyRequest { changes, options: None }).await.expect("apply");
    let then = layers(&mut client).await;
    put(&mut client, "/", r#"{"a":3}"#).await;
    client.delete(delete(Some("/production"))).await.expect("delete");
    put(&mut client, "/new", r#"{"a":4}"#).await;

    let back =
        client.rollback(rollback(rollback_request::To::Version(1))).await.expect("rollback").into_inner();
    assert!(back.changed && back.report.expect("a report").valid);
    assert_eq!((back.version, back.restored_version, back.store_revision), (5, 1, 5));
    let told: Vec<_> = back.layers.iter().map(|layer| (layer.scope.as_str(), layer.action())).collect();
    use LayerAction::{Delete, Put};
    assert_eq!(told, [("/", Put), ("/new", Delete), ("/production", Put)]);
    let now = layers(&mut client).await;
    let without_versions = |layers: &[(String, u64, String)]| {
        layers.iter().map(|(scope, _, digest)| (scope.clone(), digest.clone())).collect::<Vec<_>>()
    };
    assert_eq!(without_versions(&now), without_versions(&then));
    let versions: Vec<_> = now.iter().map(|(scope, version, _)| (scope.as_str(), *version)).collect();
    assert_eq!(versions, [("/", 5), ("/kept", 1), ("/production", 5)]);
    // And back again: nothing is lost.
    client.rollback(rollback(rollback_request::To::Version(4))).await.expect("rollback");
    assert_eq!(content(&mut client, get("/new")).await, r#"{"a":4}"#);
}

#[tokio::test]
async fn a_rollback_without_a_target_goes_to_the_version_before() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for value in 1..=3 {
        put(&mut client, "/", &format!(r#"{{"a":{value}}}"#)).await;
    }
    let before = || RollbackRequest { to: None, ..rollback(rollback_request::To::Version(1)) };
    let back = client.rollback(before()).await.expect("rollback").into_inner();
    assert_eq!((back.restored_version, back.version), (2, 4));
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":2}"#);
    let again = client.rollback(before()).await.expect("rollback").into_inner();
    assert_eq!((again.restored_version, again.version), (3, 5));
    let of_scope = RollbackRequest { scope: Some("/production".into()), ..before() };
    assert!(!client.rollback(of_scope).await.expect("rollback").into_inner().changed);
}

#[tokio::test]
async fn a_rollback_of_one_scope_leaves_the_others_alone() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    let over = Change { kind: LayerKind::Override.into(), ..replace("/production", r#"{"b":1}"#) };
    client.set(set(over)).await.expect("an override");
    put(&mut client, "/production", r#"{"a":3}"#).await;
    put(&mut client, "/", r#"{"a":4}"#).await;
    let one = |version| RollbackRequest {
        scope: Some("/production".into()),
        ..rollback(rollback_request::To::Version(version))
    };
    let back = client.rollback(one(2)).await.expect("rollback").into_inner();
    assert_eq!((back.version, back.layers.len()), (6, 2), "base and override");
    assert_eq!(content(&mut client, get("/production")).await, r#"{"a":2}"#);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":4}"#);
    client.rollback(one(1)).await.expect("it had no layer then");
    assert_eq!(content(&mut client, get("/production")).await, r#"{"a":4}"#);
    client.rollback(one(3)).await.expect("rollback");
    assert_eq!(content(&mut client, get("/production")).await, r#"{"a":2,"b":1}"#);
}

#[tokio::test]
async fn a_rollback_brings_a_deleted_config_back_and_goes_to_tags() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    client.set_tag(set_tag("stable", 1)).await.expect("a tag");
    put(&mut client, "/", r#"{"a":2}"#).await;
    client.delete(delete(None)).await.expect("delete");
    let back = client.rollback(rollback(rollback_request::To::Tag("stable".into()))).await;
    let back = back.expect("rollback").into_inner();
    assert_eq!((back.version, back.restored_version), (4, 1));
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    // To the version that had nothing: it is deleted again.
    let gone =
        client.rollback(rollback(rollback_request::To::Version(3))).await.expect("rollback").into_inner();
    assert_eq!((gone.version, gone.changed), (5, true));
    refused(client.get(get("/")).await, Code::NotFound, "CONFIG_NOT_FOUND");
}

#[tokio::test]
async fn a_rollback_that_would_make_a_document_invalid_is_refused() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let part = |name: &str| format!(r#"{{"{name}":"{}"}}"#, "x".repeat(800 << 10));
    put(&mut client, "/", &part("a")).await;
    put(&mut client, "/", "{}").await;
    put(&mut client, "/production", &part("b")).await;
    put(&mut client, "/production/checkout", &part("c")).await;
    let back = RollbackRequest { scope: Some("/".into()), ..rollback(rollback_request::To::Version(1)) };
    let status = refused(client.rollback(back).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(findings(&status)[0].scope, "/production/checkout");
    assert_eq!(store_revision(&mut client).await, 4);
}

#[tokio::test]
async fn a_diff_that_takes_long_does_not_hold_up_other_calls() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut bits = 1_u64;
    for scope in ["/one", "/other"] {
        let mut bit = || {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (bits >> 63).to_string()
        };
        let elements: Vec<String> = (0..400_000).map(|_| bit()).collect();
        put(&mut client, scope, &format!(r#"{{"a":[{}]}}"#, elements.join(","))).await;
    }
    let (mut differing, request) = (client.clone(), diff(get("/one"), get("/other")));
    let diff = tokio::spawn(async move { differing.diff(request).await });
    // Each goes after the one before: the diff has begun by the end.
    for _ in 0..10 {
        let part = GetRequest { pointer: "/a/0".into(), ..get("/one") };
        client.get(part).await.expect("get");
        client.list(ListRequest::default()).await.expect("list");
    }
    assert!(!diff.is_finished());
    refused(diff.await.expect("a call"), Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

/// Ten layers of almost a megabyte, which a commit of a few bytes changes all.
#[tokio::test]
async fn a_version_that_fits_no_message_comes_with_the_content_that_does() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let scopes: Vec<String> = (0..10).map(|scope| format!("/s{scope}")).collect();
    for scope in &scopes {
        put(&mut client, scope, &format!(r#"{{"a":"{}"}}"#, "x".repeat(900_000))).await;
    }
    let changes = scopes.iter().map(|scope| merge_patch(scope, r#"{"b":1}"#)).collect();
    client.apply(ApplyRequest { changes, options: None }).await.expect("apply");
    let request = ListVersionsRequest { include_content: true, ..versions() };
    let page = client.list_versions(request).await.expect("an answer that fits").into_inner();
    assert_eq!(numbers(&page.versions), [11]);
    let layers = &commit(&page.versions[0]).changes[0].layers;
    let told: Vec<bool> = layers.iter().map(|layer| !layer.content.is_empty()).collect();
    assert_eq!(told, [true, true, true, true, false, false, false, false, false, false]);
    assert!(layers.iter().all(|layer| layer.action() == LayerAction::Put && !layer.digest.is_empty()));
    let at = Some(get_request::At::Version(11));
    let left_out = GetRequest { view: View::Layer.into(), at, ..get(&layers[9].scope) };
    assert!(content(&mut client, left_out).await.ends_with(r#""b":1}"#));
}

#[tokio::test]
async fn a_scope_that_hardly_any_version_changed_is_listed_a_piece_at_a_time() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.fsync = Fsync::Never).await;
    let mut client = server.client().await;
    put(&mut client, "/production", "{}").await;
    for at in 0..1100 {
        put(&mut client, "/", &format!(r#"{{"a":{at}}}"#)).await;
    }
    let mut request = ListVersionsRequest { scope: Some("/production".into()), ..versions() };
    let first = client.list_versions(request.clone()).await.expect("history").into_inner();
    assert!(first.versions.is_empty());
    assert_ne!(first.next_page_token, "");
    request.page_token = first.next_page_token;
    let second = client.list_versions(request).await.expect("history").into_inner();
    assert_eq!(second.versions.iter().map(|version| version.version).collect::<Vec<_>>(), [1]);
    assert_eq!(second.next_page_token, "");
}
