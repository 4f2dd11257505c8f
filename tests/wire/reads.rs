//! Reads: at any point of history, in any format, in part, in batches, in pages.

use std::time::Duration;

use confwatch::proto::v1::*;
use tonic::{Code, Request};

use super::support::*;

fn at(at: get_request::At) -> GetRequest {
    GetRequest { at: Some(at), ..get("/production") }
}

fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

async fn document(client: &mut Client, request: GetRequest) -> Document {
    client.get(request).await.expect("get").into_inner().document.expect("a document")
}

#[tokio::test]
async fn a_document_is_read_as_of_a_version_a_tag_a_revision_and_a_time() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let mut times = vec![];
    for (revision, content) in [(1, r#"{"a":1}"#), (3, r#"{"a":2}"#), (6, r#"{"a":3}"#)] {
        while store_revision(&mut client).await < revision - 1 {
            let other = store_revision(&mut client).await;
            let other = of("other", replace("/", &format!(r#"{{"a":{other}}}"#)));
            client.set(set(other)).await.expect("set");
        }
        let response = put(&mut client, "/", content).await;
        assert_eq!(response.store_revision, revision);
        times.push(response.document.expect("a layer").update_time.expect("a time"));
        // The next commit has a later time.
        let now = std::time::SystemTime::now();
        while now.elapsed().expect("time goes on") < Duration::from_millis(1) {}
    }
    client.set_tag(set_tag("second", 2)).await.expect("a tag");
    use get_request::At::{Revision, Tag, Time, Version};
    let middle = prost_types::Timestamp { nanos: times[1].nanos, ..times[1] };
    let before_third = prost_types::Timestamp { nanos: times[2].nanos - 1000, ..times[2] };
    let before_third = match before_third.nanos {
        0.. => before_third,
        _ => prost_types::Timestamp { seconds: times[2].seconds - 1, nanos: 999_999_000 },
    };
    for (point, version, revision) in [
        (Version(1), 1, 1),
        (Version(2), 2, 3),
        (Version(3), 3, 6),
        (Tag("second".into()), 2, 3),
        (Revision(1), 1, 1),
        (Revision(2), 1, 1),
        (Revision(3), 2, 3),
        (Revision(5), 2, 3),
        (Revision(6), 3, 6),
        (Revision(7), 3, 6),
        (Time(times[0]), 1, 1),
        (Time(middle), 2, 3),
        (Time(before_third), 2, 3),
        (Time(times[2]), 3, 6),
        (Time(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }), 3, 6),
    ] {
        let found = document(&mut client, at(point.clone())).await;
        assert_eq!((found.version, found.revision), (version, revision), "{point:?}");
        assert_eq!(found.content, format!(r#"{{"a":{version}}}"#), "{point:?}");
        assert_eq!(found.scope, "/production");
    }
    client.delete(delete(None)).await.expect("delete");
    assert_eq!(document(&mut client, at(Version(2))).await.content, r#"{"a":2}"#, "history stays");
    refused(client.get(at(Version(4))).await, Code::NotFound, "CONFIG_NOT_FOUND");
}

#[tokio::test]
async fn a_target_without_a_layer_has_the_document_of_its_nearest_ancestor() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/production", r#"{"a":1}"#).await;
    let found = document(&mut client, get("/production/checkout/alice")).await;
    assert_eq!((found.scope.as_str(), found.content.as_str()), ("/production/checkout/alice", r#"{"a":1}"#));
    assert_eq!(found.layers.len(), 1);
    refused(client.get(get("/")).await, Code::NotFound, "CONFIG_NOT_FOUND");
    refused(client.get(get("/staging")).await, Code::NotFound, "CONFIG_NOT_FOUND");
    let normal = document(&mut client, get("/production/")).await;
    assert_eq!(normal.scope, "/production");
}

#[tokio::test]
async fn views_merge_what_they_say() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":1,"c":{"x":1,"y":1}}"#).await;
    put(&mut client, "/production", r#"{"b":2,"c":{"x":null}}"#).await;
    let over = Change { kind: LayerKind::Override.into(), ..replace("/", r#"{"b":3}"#) };
    client.set(set(over)).await.expect("an override");
    let mut check = async |view: View, expected: &str, layers: &[(&str, LayerKind, u64)]| {
        let found = document(&mut client, GetRequest { view: view.into(), ..get("/production") }).await;
        assert_eq!(found.content, expected);
        let merged: Vec<_> =
            found.layers.iter().map(|layer| (layer.scope.as_str(), layer.kind(), layer.version)).collect();
        assert_eq!(merged, layers, "{view:?}");
        assert_eq!(found.view(), if view == View::Unspecified { View::Effective } else { view });
    };
    let (base, over) = (LayerKind::Base, LayerKind::Override);
    let all = [("/", base, 1), ("/production", base, 2), ("/", over, 3)];
    check(View::Unspecified, r#"{"a":1,"b":3,"c":{"y":1}}"#, &all).await;
    check(View::Effective, r#"{"a":1,"b":3,"c":{"y":1}}"#, &all).await;
    check(View::Base, r#"{"a":1,"b":2,"c":{"y":1}}"#, &all[..2]).await;
    check(View::Layer, r#"{"b":2,"c":{"x":null}}"#, &all[1..2]).await;
    let none = GetRequest { view: View::OverrideLayer.into(), ..get("/production") };
    refused(client.get(none).await, Code::NotFound, "CONFIG_NOT_FOUND");
    let there = GetRequest { view: View::OverrideLayer.into(), ..get("/") };
    assert_eq!(content(&mut client, there).await, r#"{"b":3}"#);
}

#[tokio::test]
async fn a_pointer_gives_a_part_and_the_digest_of_the_whole() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":{"b/c":[10,{"d~":"x"}]},"n":null,"":7}"#).await;
    let whole = document(&mut client, get("/")).await;
    for (pointer, expected) in [
        ("/a/b~1c/1/d~0", r#""x""#),
        ("/a/b~1c/0", "10"),
        ("/a/b~1c", r#"[10,{"d~":"x"}]"#),
        ("/", "7"),
        ("", &whole.content),
    ] {
        let part = document(&mut client, GetRequest { pointer: pointer.into(), ..get("/") }).await;
        assert_eq!((part.content.as_str(), &part.digest), (expected, &whole.digest), "{pointer}");
    }
    for missing in ["/b", "/a/b~1c/2", "/a/b~1c/-", "/a/b~1c/01", "/n", "/a/b~1c/0/x"] {
        let part = GetRequest { pointer: missing.into(), ..get("/") };
        refused(client.get(part).await, Code::NotFound, "VALUE_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_document_that_the_client_holds_is_not_sent_again() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let held = document(&mut client, get("/")).await.digest;
    let request = GetRequest { if_none_match: held.clone(), ..get("/") };
    for request in [
        request.clone(),
        GetRequest { format: Format::Yaml.into(), ..request.clone() },
        GetRequest { pointer: "/a".into(), ..request.clone() },
    ] {
        let same = client.get(request).await.expect("get").into_inner();
        let document = same.document.expect("a document");
        assert!(same.not_modified);
        assert_eq!((document.content.as_str(), &document.digest, document.version), ("", &held, 1));
    }
    // Another version with the same content is not modified either.
    put(&mut client, "/staging", "{}").await;
    let same = client.get(request.clone()).await.expect("get").into_inner();
    assert_eq!((same.not_modified, same.document.expect("it").version, same.store_revision), (true, 2, 2));
    put(&mut client, "/", r#"{"a":2}"#).await;
    let other = client.get(request).await.expect("get").into_inner();
    assert_eq!((other.not_modified, other.document.expect("it").content.as_str()), (false, r#"{"a":2}"#));
}

#[tokio::test]
async fn min_revision_waits_for_the_write() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let reader = {
        let mut client = client.clone();
        let request = GetRequest { min_revision: 3, ..get("/") };
        tokio::spawn(async move { client.get(request).await.expect("get").into_inner() })
    };
    put(&mut client, "/", r#"{"a":2}"#).await;
    tokio::task::yield_now().await;
    assert!(!reader.is_finished());
    put(&mut client, "/", r#"{"a":3}"#).await;
    let read = reader.await.expect("a reader");
    assert_eq!((read.document.expect("it").content.as_str(), read.store_revision), (r#"{"a":3}"#, 3));
    // A revision that was reached is not waited for, and is not a point in time.
    let old = client.get(GetRequest { min_revision: 1, ..get("/") }).await.expect("get").into_inner();
    assert_eq!(old.store_revision, 3);
}

#[tokio::test]
async fn min_revision_that_is_not_reached_within_the_deadline_is_told_before_it() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let late = |request| {
        let mut request = Request::new(request);
        request.set_timeout(Duration::from_secs(3));
        request
    };
    let waiting = GetRequest { min_revision: 2, ..get("/") };
    let batch = BatchGetRequest { requests: vec![get("/"), waiting.clone()], ..Default::default() };
    let mut other = client.clone();
    let mut request = Request::new(batch);
    request.set_timeout(Duration::from_secs(3));
    let batch = tokio::spawn(async move { other.batch_get(request).await });
    let status = refused(client.get(late(waiting)).await, Code::DeadlineExceeded, "REVISION_NOT_REACHED");
    assert_eq!(told(&status).2["store_revision"], "1");
    refused(batch.await.expect("a call"), Code::DeadlineExceeded, "REVISION_NOT_REACHED");
}

#[tokio::test]
async fn a_batch_is_read_at_one_revision_with_what_is_missing_as_results() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    let held = document(&mut client, get("/")).await.digest;
    let other = GetRequest { config: "other".into(), ..get("/") };
    let requests = vec![
        get("/production"),
        other,
        at(get_request::At::Version(1)),
        at(get_request::At::Version(9)),
        at(get_request::At::Tag("missing".into())),
        GetRequest { pointer: "/x".into(), ..get("/") },
        GetRequest { if_none_match: held, ..get("/") },
        GetRequest { pointer: "/a".into(), format: Format::Yaml.into(), ..get("/") },
    ];
    let batch = client
        .batch_get(BatchGetRequest { requests, ..Default::default() })
        .await
        .expect("batch")
        .into_inner();
    assert_eq!(batch.store_revision, 2);
    let told: Vec<_> = batch
        .results
        .iter()
        .map(|result| match &result.document {
            Some(document) => (document.content.trim_end(), result.not_modified),
            None => (result.error_reason.as_str(), false),
        })
        .collect();
    assert_eq!(
        told,
        [
            (r#"{"a":2}"#, false),
            ("CONFIG_NOT_FOUND", false),
            (r#"{"a":1}"#, false),
            ("VERSION_NOT_FOUND", false),
            ("TAG_NOT_FOUND", false),
            ("VALUE_NOT_FOUND", false),
            ("", true),
            ("2", false),
        ]
    );
    assert_eq!(batch.results[1].error_message, "config test/other does not exist");
    // What is wrong with a request itself fails the call.
    let future =
        BatchGetRequest { requests: vec![get("/"), at(get_request::At::Revision(3))], ..Default::default() };
    refused(client.batch_get(future).await, Code::OutOfRange, "REVISION_IN_FUTURE");
}

#[tokio::test]
async fn all_documents_of_a_batch_are_of_one_revision_while_others_write() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let both = |value: u64| {
        let content = format!(r#"{{"a":{value}}}"#);
        let changes = vec![replace("/", &content), of("other", replace("/", &content))];
        ApplyRequest { changes, options: None }
    };
    client.clone().apply(both(0)).await.expect("apply");
    let writer = {
        let mut client = client.clone();
        tokio::spawn(async move {
            for value in 1..=50 {
                client.apply(both(value)).await.expect("apply");
            }
        })
    };
    let mut client = client;
    let other = GetRequest { config: "other".into(), ..get("/") };
    while !writer.is_finished() {
        let requests = BatchGetRequest { requests: vec![get("/"), other.clone()], ..Default::default() };
        let batch = client.batch_get(requests).await.expect("batch").into_inner();
        let documents: Vec<_> =
            batch.results.into_iter().map(|result| result.document.expect("it is there")).collect();
        assert_eq!(documents[0].content, documents[1].content);
        assert_eq!(documents[0].revision, batch.store_revision);
    }
    writer.await.expect("the writer");
}

#[tokio::test]
async fn a_batch_that_does_not_fit_a_message_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", &format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000_000))).await;
    let four = BatchGetRequest { requests: vec![get("/"); 4], ..Default::default() };
    client.batch_get(four).await.expect("four fit");
    let five = BatchGetRequest { requests: vec![get("/"); 5], ..Default::default() };
    refused(client.batch_get(five).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn lists_have_pages_and_leave_deleted_configs_out_unless_asked() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let mut changes: Vec<_> = (0..7).map(|at| of(&format!("app-{at}"), replace("/", "{}"))).collect();
    changes.push(Change { namespace: "test2".into(), ..replace("/", "{}") });
    changes.push(Change { namespace: "a".into(), ..replace("/", "{}") });
    client.apply(ApplyRequest { changes, options: None }).await.expect("apply");
    client.delete(DeleteRequest { config: "app-3".into(), ..delete(None) }).await.expect("delete");
    client.set_tag(SetTagRequest { config: "app-0".into(), ..set_tag("stable", 1) }).await.expect("a tag");

    let mut names = async |request: ListRequest| {
        let (mut names, mut pages, mut page_token) = (vec![], 0, String::new());
        loop {
            let request = ListRequest { page_token, ..request.clone() };
            let page = client.list(request.clone()).await.expect("list").into_inner();
            assert_eq!(page.store_revision, 3);
            assert!(page.configs.len() <= request.page_size.max(1) as usize || request.page_size == 0);
            names.extend(
                page.configs.into_iter().map(|config| format!("{}/{}", config.namespace, config.config)),
            );
            pages += 1;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return (names, pages);
            }
        }
    };
    let of_test = |numbers: &[u32]| numbers.iter().map(|at| format!("test/app-{at}")).collect::<Vec<_>>();
    let list = ListRequest { namespace: "test".into(), ..Default::default() };
    let there = of_test(&[0, 1, 2, 4, 5, 6]);
    assert_eq!(names(list.clone()).await, (there.clone(), 1));
    for (page_size, pages) in [(1, 6), (2, 3), (4, 2), (6, 1), (1000, 1)] {
        assert_eq!(names(ListRequest { page_size, ..list.clone() }).await, (there.clone(), pages));
    }
    let all = ListRequest { page_size: 3, include_deleted: true, ..list.clone() };
    assert_eq!(names(all).await, (of_test(&[0, 1, 2, 3, 4, 5, 6]), 3));
    let everywhere = [vec!["a/app".to_owned()], there, vec!["test2/app".to_owned()]].concat();
    assert_eq!(names(ListRequest { page_size: 5, ..Default::default() }).await, (everywhere, 2));
    assert_eq!(names(ListRequest { namespace: "nobody".into(), ..list.clone() }).await, (vec![], 1));

    let all = client.list(ListRequest { include_deleted: true, ..list }).await.expect("list").into_inner();
    let first = &all.configs[0];
    assert_eq!((first.version, first.revision, first.tags["stable"]), (1, 1, 1));
    assert_eq!((first.layers.len(), first.layers[0].scope.as_str()), (1, "/"));
    let deleted = &all.configs[3];
    assert_eq!((deleted.version, deleted.revision, deleted.layers.len()), (2, 2, 0));
}

#[tokio::test]
async fn a_list_goes_on_where_it_was_though_configs_come_and_go() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for name in ["b", "d", "f"] {
        client.set(set(of(name, replace("/", "{}")))).await.expect("set");
    }
    let list = ListRequest { namespace: "test".into(), page_size: 2, ..Default::default() };
    let page = client.list(list.clone()).await.expect("list").into_inner();
    for name in ["a", "c", "e"] {
        client.set(set(of(name, replace("/", "{}")))).await.expect("set");
    }
    client.delete(DeleteRequest { config: "d".into(), ..delete(None) }).await.expect("delete");
    let next = ListRequest { page_token: page.next_page_token, ..list };
    let page = client.list(next).await.expect("list").into_inner();
    let names: Vec<_> = page.configs.iter().map(|config| config.config.as_str()).collect();
    assert_eq!(names, ["e", "f"]);
}

#[tokio::test]
async fn integers_keep_every_digit_and_other_numbers_are_doubles() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let numbers =
        r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":9007199254740993,"d":0.1,"e":1e+300}"#;
    put(&mut client, "/", numbers).await;
    let found = document(&mut client, get("/")).await;
    assert_eq!(found.content, numbers);
    let neighbour = numbers.replace("551615", "551614");
    put(&mut client, "/", &neighbour).await;
    let other = document(&mut client, get("/")).await;
    assert_eq!(other.content, neighbour);
    assert_ne!(found.digest, other.digest);
    let yaml = document(&mut client, GetRequest { format: Format::Yaml.into(), ..get("/") }).await;
    let again =
        change("/", change::Action::Replace(Text { content: yaml.content, format: Format::Yaml.into() }));
    assert!(!client.set(set(again)).await.expect("set").into_inner().changed);
    // TOML ends at i64.
    let toml = GetRequest { format: Format::Toml.into(), ..get("/") };
    let status = refused(client.get(toml.clone()).await, Code::InvalidArgument, "FORMAT_CANNOT_EXPRESS");
    assert_eq!(fields(&status), ["format"]);
    put(&mut client, "/", r#"{"a":9223372036854775807,"b":-9223372036854775808,"c":1.5}"#).await;
    let found = document(&mut client, toml).await;
    assert_eq!(found.content, "a = 9223372036854775807\nb = -9223372036854775808\nc = 1.5\n");
}

#[tokio::test]
async fn a_document_goes_in_and_out_in_every_format_with_one_digest() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let json = r#"{"list":[1,"two",{"three":3.5}],"on":true,"server":{"host":"::1","port":8080}}"#;
    let yaml =
        "# a comment\nserver: {host: '::1', port: 0x1F90}\nlist:\n  - 1\n  - two\n  - three: 3.5\non: true\n";
    let toml = "on = true\nlist = [1, 'two', { three = 3.5 }]\n[server]\nhost = '::1'\nport = 8_080\n";
    let mut digests = vec![];
    for (format, text) in [(Format::Json, json), (Format::Yaml, yaml), (Format::Toml, toml)] {
        let scope = format!("/{}", format.as_str_name());
        let text = Text { content: text.into(), format: format.into() };
        let layer =
            client.set(set(change(&scope, change::Action::Replace(text)))).await.expect("set").into_inner();
        let layer = layer.document.expect("a layer");
        assert_eq!((layer.content.as_str(), layer.format()), (json, Format::Json));
        digests.push(layer.digest);
        for format in [Format::Json, Format::Yaml, Format::Toml] {
            let read = document(&mut client, GetRequest { format: format.into(), ..get(&scope) }).await;
            assert_eq!((read.format(), &read.digest), (format, &digests[0]));
            let text = Text { content: read.content, format: format.into() };
            let again = set(change(&scope, change::Action::Replace(text)));
            assert!(!client.set(again).await.expect("set").into_inner().changed, "{format:?}");
        }
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    let toml = document(&mut client, GetRequest { format: Format::Toml.into(), ..get("/FORMAT_JSON") }).await;
    assert!(toml.content.contains("[server]\nhost = \"::1\"\nport = 8080\n"), "{}", toml.content);
    let dates = Text { content: "day = 2026-11-21\n".into(), format: Format::Toml.into() };
    let dates =
        client.set(set(change("/dates", change::Action::Replace(dates)))).await.expect("set").into_inner();
    assert_eq!(dates.document.expect("a layer").content, r#"{"day":"2026-11-21"}"#);
}

#[tokio::test]
async fn toml_cannot_express_null_also_not_within_an_array() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":[1,null]}"#).await;
    put(&mut client, "/production", r#"{"a":null,"b":1}"#).await;
    let toml =
        |scope, view: View| GetRequest { format: Format::Toml.into(), view: view.into(), ..get(scope) };
    refused(client.get(toml("/", View::Effective)).await, Code::InvalidArgument, "FORMAT_CANNOT_EXPRESS");
    refused(
        client.get(toml("/production", View::Layer)).await,
        Code::InvalidArgument,
        "FORMAT_CANNOT_EXPRESS",
    );
    assert_eq!(document(&mut client, toml("/production", View::Effective)).await.content, "b = 1\n");
    // A value that is not an object is no TOML document.
    let part = GetRequest { pointer: "/b".into(), ..toml("/production", View::Effective) };
    refused(client.get(part).await, Code::InvalidArgument, "FORMAT_CANNOT_EXPRESS");
}

#[tokio::test]
async fn a_text_that_does_not_fit_a_message_is_refused_whole_and_in_part() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    // As YAML every element is a line that is indented to its depth, and every DEL takes four bytes instead of one.
    let (open, close) = (r#"{"a":"#.repeat(20), "}".repeat(20));
    let elements = vec![format!("\"{}\"", "\u{7f}".repeat(15)); 40_000].join(",");
    put(&mut client, "/", &format!("{open}[{elements}]{close}")).await;
    content(&mut client, get("/")).await;
    let yaml = GetRequest { format: Format::Yaml.into(), ..get("/") };
    for pointer in ["", "/a"] {
        let request = GetRequest { pointer: pointer.into(), ..yaml.clone() };
        let status = refused(client.get(request).await, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(fields(&status), ["format"]);
    }
    content(&mut client, GetRequest { pointer: "/a".repeat(20), ..yaml }).await;
}

#[tokio::test]
async fn explain_names_the_layer_of_each_value_and_what_it_shadows() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":{"x":1,"y":1},"c":[1]}"#).await;
    put(&mut client, "/production", r#"{"a":2,"b":{"x":null},"d":{}}"#).await;
    let over = Change { kind: LayerKind::Override.into(), ..replace("/", r#"{"a":3}"#) };
    client.set(set(over)).await.expect("an override");
    let request = ExplainRequest {
        namespace: "test".into(),
        config: "app".into(),
        scope: "/production".into(),
        ..Default::default()
    };
    let explained = client.explain(request.clone()).await.expect("explain").into_inner();
    assert_eq!(explained.document.expect("it").content, r#"{"a":3,"b":{"y":1},"c":[1],"d":{}}"#);
    assert_eq!(explained.store_revision, 3);
    let layer = |layer: &Option<LayerRef>| {
        let layer = layer.as_ref().expect("a layer");
        format!("{}{}", if layer.kind() == LayerKind::Override { "!" } else { "" }, layer.scope)
    };
    let shown: Vec<String> = explained
        .values
        .iter()
        .map(|origin| {
            let value = |value: &str, removed: bool| if removed { "-".to_owned() } else { value.to_owned() };
            let shadowed = origin.shadowed.iter().map(|shadowed| {
                format!(" < {} {}", value(&shadowed.value, shadowed.removed), layer(&shadowed.layer))
            });
            let shadowed: String = shadowed.collect();
            format!(
                "{} {} {}{shadowed}",
                origin.pointer,
                value(&origin.value, origin.removed),
                layer(&origin.layer)
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "/a 3 !/ < 2 /production < 1 /",
            "/b/x - /production < 1 /",
            "/b/y 1 /",
            "/c [1] /",
            "/d {} /production",
        ]
    );
    let part = ExplainRequest { pointer: "/b".into(), ..request.clone() };
    let part = client.explain(part).await.expect("explain").into_inner();
    let pointers: Vec<_> = part.values.iter().map(|origin| origin.pointer.as_str()).collect();
    assert_eq!(pointers, ["/b/x", "/b/y"]);
    let past = ExplainRequest { at: Some(explain_request::At::Version(1)), ..request };
    let past = client.explain(past).await.expect("explain").into_inner();
    assert_eq!((past.values.len(), past.document.expect("it").version), (4, 1));
}

#[tokio::test]
async fn a_batch_that_is_refused_says_for_which_request() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let scalar = GetRequest { pointer: "/a".into(), format: Format::Toml.into(), ..get("/") };
    let request = BatchGetRequest { requests: vec![get("/"), scalar], ..Default::default() };
    let status = refused(client.batch_get(request).await, Code::InvalidArgument, "FORMAT_CANNOT_EXPRESS");
    assert_eq!(fields(&status), ["requests[1].format"]);
}

#[tokio::test]
async fn many_values_below_one_long_name_are_more_than_an_answer_tells() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let name = "x".repeat(300_000);
    let members: Vec<_> = (0..200).map(|at| format!(r#""{at}":1"#)).collect();
    put(&mut client, "/", &format!(r#"{{"{name}":{{}}}}"#)).await;
    let apply = ApplyRequest {
        changes: vec![replace("/", &format!(r#"{{"{name}":{{{}}}}}"#, members.join(",")))],
        options: None,
    };
    let applied = client.apply(apply).await.expect("apply").into_inner();
    assert_eq!(applied.results[0].diff.len(), 3);
    let request = ExplainRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    refused(client.explain(request).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    let at = |version| Some(GetRequest { at: Some(get_request::At::Version(version)), ..get("/") });
    let request = DiffRequest { older: at(1), newer: at(2), ..Default::default() };
    refused(client.diff(request).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}
