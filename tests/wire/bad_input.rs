//! Bad input, each with the code, the reason and the field of the contract.

use confwatch::proto::v1::*;
use prost_types::{Duration, Timestamp};
use tonic::{Code, Status};

use super::support::*;

fn text(content: &str, format: Format) -> Change {
    change("/", change::Action::Replace(Text { content: content.into(), format: format.into() }))
}

fn overriding(change: Change, ttl: Duration) -> Change {
    Change { kind: LayerKind::Override.into(), ttl: Some(ttl), ..change }
}

/// A server with two versions of `test/app`.
async fn server() -> (TestServer, Client) {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    (server, client)
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let (_server, mut client) = server().await;
    let unknown = [("missing", "app"), ("test", "missing")];
    for (namespace, config) in unknown {
        let (namespace, config) = (namespace.to_owned(), config.to_owned());
        let named = (namespace.clone(), config.clone());
        let get = GetRequest { namespace: namespace.clone(), config: config.clone(), ..Default::default() };
        for at in [
            get_request::At::Version(1),
            get_request::At::Tag("stable".into()),
            get_request::At::Revision(1),
            get_request::At::Time(Timestamp { seconds: 1, nanos: 0 }),
        ] {
            let get = GetRequest { at: Some(at), ..get.clone() };
            refused(client.get(get).await, Code::NotFound, "CONFIG_NOT_FOUND");
        }
        let status = refused(client.get(get).await, Code::NotFound, "CONFIG_NOT_FOUND");
        assert_eq!(status.message(), format!("config {}/{} does not exist", named.0, named.1));
        let (namespace, config) = named;
        let explain =
            ExplainRequest { namespace: namespace.clone(), config: config.clone(), ..Default::default() };
        refused(client.explain(explain).await, Code::NotFound, "CONFIG_NOT_FOUND");
        let delete = DeleteRequest { namespace: namespace.clone(), config: config.clone(), ..delete(None) };
        refused(client.delete(delete).await, Code::NotFound, "CONFIG_NOT_FOUND");
        let back = RollbackRequest {
            namespace: namespace.clone(),
            config: config.clone(),
            ..rollback(rollback_request::To::Version(1))
        };
        refused(client.rollback(back).await, Code::NotFound, "CONFIG_NOT_FOUND");
        let list = ListVersionsRequest { namespace: namespace.clone(), config: config.clone(), ..versions() };
        refused(client.list_versions(list).await, Code::NotFound, "CONFIG_NOT_FOUND");
        let tag =
            SetTagRequest { namespace: namespace.clone(), config: config.clone(), ..set_tag("stable", 0) };
        refused(client.set_tag(tag).await, Code::NotFound, "CONFIG_NOT_FOUND");
        let tag = DeleteTagRequest { namespace, config, ..delete_tag("stable") };
        refused(client.delete_tag(tag).await, Code::NotFound, "CONFIG_NOT_FOUND");
    }
    let at = |at| GetRequest { at: Some(at), ..get("/") };
    for version in [0, 3, u64::MAX] {
        let get = at(get_request::At::Version(version));
        refused(client.get(get).await, Code::NotFound, "VERSION_NOT_FOUND");
    }
    let get_tag = at(get_request::At::Tag("missing".into()));
    refused(client.get(get_tag).await, Code::NotFound, "TAG_NOT_FOUND");
    let part = GetRequest { pointer: "/b".into(), ..get("/") };
    refused(client.get(part).await, Code::NotFound, "VALUE_NOT_FOUND");
    let progress = RequestProgressRequest { watch_id: "missing".into() };
    refused(client.request_progress(progress).await, Code::NotFound, "WATCH_NOT_FOUND");
}

#[tokio::test]
async fn documents_that_cannot_be_read_are_refused_with_the_place() {
    let (_server, mut client) = server().await;
    let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let toml_nested = |depth: usize| format!("{} = 1", vec!["a"; depth].join("."));
    let large = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    let bad = [
        (text("", Format::Json), "MALFORMED_DOCUMENT"),
        (text("{", Format::Json), "MALFORMED_DOCUMENT"),
        (text(r#"{"a":1,}"#, Format::Json), "MALFORMED_DOCUMENT"),
        (text(r#"{"a":1} x"#, Format::Json), "MALFORMED_DOCUMENT"),
        (text("{\"a\":\"\\ud800\"}", Format::Json), "MALFORMED_DOCUMENT"),
        (text("a: [1", Format::Yaml), "MALFORMED_DOCUMENT"),
        (text("a: 1\n b: 2", Format::Yaml), "MALFORMED_DOCUMENT"),
        (text("a = ", Format::Toml), "MALFORMED_DOCUMENT"),
        (text(r#"{"a":1,"a":1}"#, Format::Json), "DUPLICATE_KEY"),
        (text(r#"{"a":{"b":1,"\u0062":1}}"#, Format::Json), "DUPLICATE_KEY"),
        (text("a: 1\na: 2", Format::Yaml), "DUPLICATE_KEY"),
        (text("a = 1\na = 2", Format::Toml), "DUPLICATE_KEY"),
        (text(r#"{"a":NaN}"#, Format::Json), "MALFORMED_DOCUMENT"),
        (text(r#"{"a":1e999}"#, Format::Json), "NUMBER_OUT_OF_RANGE"),
        (text(r#"{"a":18446744073709551616}"#, Format::Json), "NUMBER_OUT_OF_RANGE"),
        (text("a: .nan", Format::Yaml), "NUMBER_OUT_OF_RANGE"),
        (text("a: -.inf", Format::Yaml), "NUMBER_OUT_OF_RANGE"),
        (text("a = nan", Format::Toml), "NUMBER_OUT_OF_RANGE"),
        (text(&nested(65), Format::Json), "TOO_DEEP"),
        (text(&nested(100_000), Format::Json), "TOO_DEEP"),
        (text(&nested(65), Format::Yaml), "TOO_DEEP"),
        (text(&toml_nested(65), Format::Toml), "TOO_DEEP"),
        (text(&large((1 << 20) + 1), Format::Json), "LAYER_TOO_LARGE"),
        (text(&large((1 << 20) + 1), Format::Yaml), "LAYER_TOO_LARGE"),
        (text(&" ".repeat((1 << 20) + 1), Format::Toml), "LAYER_TOO_LARGE"),
        (text("[1]", Format::Json), "NOT_AN_OBJECT"),
        (text("null", Format::Json), "NOT_AN_OBJECT"),
        (text("null", Format::Yaml), "NOT_AN_OBJECT"),
    ];
    for (change, reason) in bad {
        let shown = format!("{change:.120?}");
        let result = client.set(set(change.clone())).await;
        assert!(result.is_err(), "{shown}");
        let status = refused_for(result, reason, "change.replace");
        assert!(told(&status).2.contains_key("pointer"), "{shown}: {status:?}");
        let apply = ApplyRequest { changes: vec![replace("/x", "{}"), change], options: None };
        refused_for(client.apply(apply).await, reason, "changes[1].replace");
    }
    let status = client.set(set(text("{\"a\":1,\n \"b\": {\"c\":1,\"c\":2}}", Format::Json))).await;
    let status = refused_for(status, "DUPLICATE_KEY", "change.replace");
    assert_eq!(told(&status).2["pointer"], "/b/c");
    assert!(status.message().contains("line 2"), "{status:?}");
    assert_eq!(store_revision(&mut client).await, 2);
}

#[tokio::test]
async fn patches_and_assignments_that_make_no_sense_are_refused() {
    let (_server, mut client) = server().await;
    let bad = [
        (merge_patch("/", "[]"), "NOT_AN_OBJECT", "change.merge_patch"),
        (merge_patch("/", "{"), "MALFORMED_DOCUMENT", "change.merge_patch"),
        (json_patch("/", "{}"), "MALFORMED_DOCUMENT", "change.json_patch"),
        (json_patch("/", r#"[{"op":"jump","path":"/a"}]"#), "MALFORMED_DOCUMENT", "change.json_patch"),
        (
            json_patch("/", r#"[{"op":"add","path":"a","value":1}]"#),
            "MALFORMED_DOCUMENT",
            "change.json_patch",
        ),
        (json_patch("/", r#"[{"op":"replace","path":"","value":1}]"#), "NOT_AN_OBJECT", "change.json_patch"),
        (assign("/", &[("b", "nonsense")]), "MALFORMED_DOCUMENT", "change.assign"),
        (assign("/", &[("b", "1"), ("b.c", "1")]), "INVALID_ASSIGNMENT", "change.assign"),
        (assign("/", &[("b", "1"), ("/b", "1")]), "INVALID_ASSIGNMENT", "change.assign"),
        (assign("/", &[("a.b", "1")]), "INVALID_ASSIGNMENT", "change.assign"),
        (assign("/", &[("", "1")]), "INVALID_ASSIGNMENT", "change.assign"),
        (assign("/", &[("b..c", "1")]), "INVALID_ASSIGNMENT", "change.assign"),
        (assign("/", &[]), "INVALID_FIELD", "change.assign.values"),
    ];
    for (change, reason, field) in bad {
        refused_for(client.set(set(change)).await, reason, field);
    }
    for patch in [
        r#"[{"op":"remove","path":"/missing"}]"#,
        r#"[{"op":"test","path":"/a","value":2}]"#,
        r#"[{"op":"add","path":"/b/c","value":2}]"#,
        r#"[{"op":"copy","from":"/b","path":"/c"}]"#,
    ] {
        let result = client.set(set(json_patch("/", patch))).await;
        let status = refused(result, Code::FailedPrecondition, "PATCH_DOES_NOT_APPLY");
        assert_eq!(fields(&status), ["change.json_patch"]);
    }
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn invalid_names_are_refused_by_every_call() {
    let (_server, mut client) = server().await;
    let long = "x".repeat(64);
    let never = ["", "A", "a b", "-a", "a-", "ä", "a/b", "a\0", long.as_str()];
    for bad in never {
        refused_for(
            client.get(GetRequest { namespace: bad.into(), ..get("/") }).await,
            "INVALID_NAME",
            "namespace",
        );
        refused_for(
            client.get(GetRequest { config: bad.into(), ..get("/") }).await,
            "INVALID_NAME",
            "config",
        );
        let batch = BatchGetRequest {
            requests: vec![get("/"), GetRequest { config: bad.into(), ..get("/") }],
            ..Default::default()
        };
        refused_for(client.batch_get(batch).await, "INVALID_NAME", "requests[1].config");
        let explain = ExplainRequest { namespace: "test".into(), config: bad.into(), ..Default::default() };
        refused_for(client.explain(explain).await, "INVALID_NAME", "config");
        let write = |namespace: &str, config: &str| Change {
            namespace: namespace.into(),
            config: config.into(),
            ..replace("/", "{}")
        };
        refused_for(client.set(set(write(bad, "app"))).await, "INVALID_NAME", "change.namespace");
        refused_for(client.set(set(write("test", bad))).await, "INVALID_NAME", "change.config");
        let apply = ApplyRequest { changes: vec![write("test", bad)], options: None };
        refused_for(client.apply(apply).await, "INVALID_NAME", "changes[0].config");
        let validate = ValidateRequest { changes: vec![write("test", bad)], ..Default::default() };
        refused_for(client.validate(validate).await, "INVALID_NAME", "changes[0].config");
        let delete = DeleteRequest { config: bad.into(), ..delete(None) };
        refused_for(client.delete(delete).await, "INVALID_NAME", "config");
        let back = RollbackRequest { config: bad.into(), ..rollback(rollback_request::To::Version(1)) };
        refused_for(client.rollback(back).await, "INVALID_NAME", "config");
        let list = ListVersionsRequest { config: bad.into(), ..versions() };
        refused_for(client.list_versions(list).await, "INVALID_NAME", "config");
        let diff = DiffRequest {
            older: Some(GetRequest { config: bad.into(), ..get("/") }),
            newer: Some(get("/")),
            ..Default::default()
        };
        refused_for(client.diff(diff).await, "INVALID_NAME", "older.config");
        let tag = SetTagRequest { config: bad.into(), ..set_tag("stable", 1) };
        refused_for(client.set_tag(tag).await, "INVALID_NAME", "config");
        refused_for(client.set_tag(set_tag(bad, 1)).await, "INVALID_TAG", "tag");
        refused_for(client.delete_tag(delete_tag(bad)).await, "INVALID_TAG", "tag");
        let back = rollback(rollback_request::To::Tag(bad.into()));
        refused_for(client.rollback(back).await, "INVALID_TAG", "tag");
        let at = GetRequest { at: Some(get_request::At::Tag(bad.into())), ..get("/") };
        refused_for(client.get(at).await, "INVALID_TAG", "tag");
        let target = WatchTarget { namespace: "test".into(), config: bad.into(), ..Default::default() };
        let watch = WatchRequest { targets: vec![target], ..Default::default() };
        refused_for(client.watch(watch).await.map(|_| ()), "INVALID_NAME", "targets[0].config");
        // "" means all of them there.
        if !bad.is_empty() {
            let list = ListRequest { namespace: bad.into(), ..Default::default() };
            refused_for(client.list(list).await, "INVALID_NAME", "namespace");
            let changes = StreamChangesRequest { namespace: bad.into(), ..Default::default() };
            refused_for(client.stream_changes(changes).await.map(|_| ()), "INVALID_NAME", "namespace");
        }
    }
    let changes = StreamChangesRequest { config: "app".into(), ..Default::default() };
    refused_for(client.stream_changes(changes).await.map(|_| ()), "INVALID_NAME", "namespace");
    // A dot is for configs, not for namespaces.
    refused_for(
        client.get(GetRequest { namespace: "a.b".into(), ..get("/") }).await,
        "INVALID_NAME",
        "namespace",
    );
    refused_for(client.get(GetRequest { config: "*".into(), ..get("/") }).await, "INVALID_NAME", "config");
}

#[tokio::test]
async fn invalid_scopes_are_refused_by_every_call() {
    let (_server, mut client) = server().await;
    let long = format!("/{}", "x".repeat(64));
    let bad =
        ["production", "//", "/a//b", "/..", "/a b", "/*", "/ä", "/-a", "/a.", "/1/2/3/4/5/6/7/8/9", &long];
    for bad in bad {
        refused_for(client.get(get(bad)).await, "INVALID_SCOPE", "scope");
        let batch = BatchGetRequest { requests: vec![get(bad)], ..Default::default() };
        refused_for(client.batch_get(batch).await, "INVALID_SCOPE", "requests[0].scope");
        let explain = ExplainRequest {
            namespace: "test".into(),
            config: "app".into(),
            scope: bad.into(),
            ..Default::default()
        };
        refused_for(client.explain(explain).await, "INVALID_SCOPE", "scope");
        refused_for(client.set(set(replace(bad, "{}"))).await, "INVALID_SCOPE", "change.scope");
        let apply = ApplyRequest { changes: vec![replace(bad, "{}")], options: None };
        refused_for(client.apply(apply).await, "INVALID_SCOPE", "changes[0].scope");
        let validate = ValidateRequest { changes: vec![replace(bad, "{}")], ..Default::default() };
        refused_for(client.validate(validate).await, "INVALID_SCOPE", "changes[0].scope");
        refused_for(client.delete(delete(Some(bad))).await, "INVALID_SCOPE", "scope");
        let back = RollbackRequest { scope: Some(bad.into()), ..rollback(rollback_request::To::Version(1)) };
        refused_for(client.rollback(back).await, "INVALID_SCOPE", "scope");
        let list = ListVersionsRequest { scope: Some(bad.into()), ..versions() };
        refused_for(client.list_versions(list).await, "INVALID_SCOPE", "scope");
        let diff = DiffRequest { older: Some(get("/")), newer: Some(get(bad)), ..Default::default() };
        refused_for(client.diff(diff).await, "INVALID_SCOPE", "newer.scope");
        let target = WatchTarget {
            namespace: "test".into(),
            config: "app".into(),
            scope: bad.into(),
            ..Default::default()
        };
        let watch = WatchRequest { targets: vec![target], ..Default::default() };
        refused_for(client.watch(watch).await.map(|_| ()), "INVALID_SCOPE", "targets[0].scope");
    }
}

#[tokio::test]
async fn a_ttl_is_more_than_zero_and_for_overrides_only() {
    let (_server, mut client) = server().await;
    let bad = [
        Duration { seconds: 0, nanos: 0 },
        Duration { seconds: -1, nanos: 0 },
        Duration { seconds: 0, nanos: -1 },
        Duration { seconds: 3650 * 24 * 3600, nanos: 1 },
        Duration { seconds: i64::MAX, nanos: 0 },
        Duration { seconds: i64::MIN, nanos: i32::MIN },
    ];
    for ttl in bad {
        let change = overriding(replace("/", "{}"), ttl);
        refused_for(client.set(set(change.clone())).await, "INVALID_TTL", "change.ttl");
        let apply = ApplyRequest { changes: vec![change.clone()], options: None };
        refused_for(client.apply(apply).await, "INVALID_TTL", "changes[0].ttl");
        let validate = ValidateRequest { changes: vec![change], ..Default::default() };
        refused_for(client.validate(validate).await, "INVALID_TTL", "changes[0].ttl");
    }
    let base = Change { ttl: Some(Duration { seconds: 60, nanos: 0 }), ..replace("/", "{}") };
    refused_for(client.set(set(base.clone())).await, "INVALID_TTL", "change.ttl");
    let apply = ApplyRequest { changes: vec![base.clone()], options: None };
    refused_for(client.apply(apply).await, "INVALID_TTL", "changes[0].ttl");
    let validate = ValidateRequest { changes: vec![base], ..Default::default() };
    refused_for(client.validate(validate).await, "INVALID_TTL", "changes[0].ttl");
}

#[tokio::test]
async fn a_layer_cannot_be_changed_twice_by_one_commit() {
    let (_server, mut client) = server().await;
    let twice = vec![replace("/", "{}"), replace("/x", "{}"), merge_patch("", "{}")];
    let apply = ApplyRequest { changes: twice.clone(), options: None };
    refused_for(client.apply(apply).await, "INVALID_FIELD", "changes[2]");
    refused_for(
        client.validate(ValidateRequest { changes: twice, ..Default::default() }).await,
        "INVALID_FIELD",
        "changes[2]",
    );
    let many: Vec<_> = (0..1001).map(|at| replace(&format!("/s{at}"), "{}")).collect();
    let apply = ApplyRequest { changes: many.clone(), options: None };
    refused_for(client.apply(apply).await, "INVALID_FIELD", "changes");
    refused_for(
        client.validate(ValidateRequest { changes: many, ..Default::default() }).await,
        "INVALID_FIELD",
        "changes",
    );
}

#[tokio::test]
async fn a_time_before_history_has_no_version() {
    let (_server, mut client) = server().await;
    for time in [
        Timestamp { seconds: 0, nanos: 0 },
        Timestamp { seconds: 1_000_000_000, nanos: 5 },
        Timestamp { seconds: -62_135_596_800, nanos: 0 },
    ] {
        let at = GetRequest { at: Some(get_request::At::Time(time)), ..get("/") };
        refused(client.get(at).await, Code::NotFound, "VERSION_NOT_FOUND");
        let explain = ExplainRequest {
            namespace: "test".into(),
            config: "app".into(),
            at: Some(explain_request::At::Time(time)),
            ..Default::default()
        };
        refused(client.explain(explain).await, Code::NotFound, "VERSION_NOT_FOUND");
    }
    for time in [
        Timestamp { seconds: 0, nanos: -1 },
        Timestamp { seconds: 0, nanos: 1_000_000_000 },
        Timestamp { seconds: i64::MAX, nanos: 0 },
        Timestamp { seconds: i64::MIN, nanos: 0 },
    ] {
        let at = GetRequest { at: Some(get_request::At::Time(time)), ..get("/") };
        refused_for(client.get(at).await, "INVALID_FIELD", "time");
    }
    let at = GetRequest { at: Some(get_request::At::Revision(0)), ..get("/") };
    refused(client.get(at).await, Code::NotFound, "VERSION_NOT_FOUND");
    let at = GetRequest { at: Some(get_request::At::Revision(3)), ..get("/") };
    let status = refused(client.get(at).await, Code::OutOfRange, "REVISION_IN_FUTURE");
    assert_eq!(told(&status).2["store_revision"], "2");
}

#[tokio::test]
async fn a_rollback_goes_to_a_version_that_was() {
    let (_server, mut client) = server().await;
    for version in [0, 3, u64::MAX] {
        let back = rollback(rollback_request::To::Version(version));
        refused(client.rollback(back).await, Code::NotFound, "VERSION_NOT_FOUND");
    }
    let back = rollback(rollback_request::To::Tag("missing".into()));
    refused(client.rollback(back).await, Code::NotFound, "TAG_NOT_FOUND");
    client.set(set(Change { config: "new".into(), ..replace("/", "{}") })).await.expect("set");
    let before = rollback(rollback_request::To::Version(1));
    let before = RollbackRequest { to: None, config: "new".into(), ..before };
    refused(client.rollback(before).await, Code::NotFound, "VERSION_NOT_FOUND");
    refused(client.set_tag(set_tag("stable", 3)).await, Code::NotFound, "VERSION_NOT_FOUND");
}

#[tokio::test]
async fn a_page_token_from_elsewhere_is_refused() {
    let (_server, mut client) = server().await;
    client.set(set(Change { config: "other".into(), ..replace("/", "{}") })).await.expect("set");
    let list = ListRequest { namespace: "test".into(), page_size: 1, ..Default::default() };
    let list_token = client.list(list.clone()).await.expect("list").into_inner().next_page_token;
    let page = ListVersionsRequest { page_size: 1, ..versions() };
    let versions_token = client.list_versions(page.clone()).await.expect("list").into_inner().next_page_token;
    assert!(!list_token.is_empty() && !versions_token.is_empty());
    let altered = format!("{}A", &list_token[..list_token.len() - 1]);
    for token in ["x", "%", "AAAA", "AAAAAAAAAAAAAAAA", &versions_token, &altered, "ä"] {
        if *token == list_token {
            continue;
        }
        let request = ListRequest { page_token: token.into(), ..list.clone() };
        let result = client.list(request).await;
        // What is altered within the name of a config may be the name of another one: it is then a place in the list.
        if token == altered && result.is_ok() {
            continue;
        }
        refused_for(result, "INVALID_PAGE_TOKEN", "page_token");
    }
    for token in ["x", "%", "AAAA", "AAAAAAAAAAAAAAAA", &list_token, "ä"] {
        let request = ListVersionsRequest { page_token: token.into(), ..page.clone() };
        refused_for(client.list_versions(request).await, "INVALID_PAGE_TOKEN", "page_token");
    }
    for other in [
        ListRequest { namespace: String::new(), ..list.clone() },
        ListRequest { include_deleted: true, ..list.clone() },
        ListRequest { page_size: 2, ..list },
    ] {
        let request = ListRequest { page_token: list_token.clone(), ..other };
        refused_for(client.list(request).await, "INVALID_PAGE_TOKEN", "page_token");
    }
    for other in [
        ListVersionsRequest { config: "other".into(), ..page.clone() },
        ListVersionsRequest { scope: Some("/".into()), ..page.clone() },
        ListVersionsRequest { include_content: true, ..page },
    ] {
        let request = ListVersionsRequest { page_token: versions_token.clone(), ..other };
        refused_for(client.list_versions(request).await, "INVALID_PAGE_TOKEN", "page_token");
    }
}

#[tokio::test]
async fn fields_out_of_their_range_are_named() {
    let (_server, mut client) = server().await;
    let options = |options| SetRequest { options: Some(options), ..set(replace("/", "{}")) };
    let reason = options(WriteOptions { reason: "x".repeat(1025), ..Default::default() });
    refused_for(client.set(reason).await, "INVALID_FIELD", "options.reason");
    let id = options(WriteOptions { request_id: "x".repeat(129), ..Default::default() });
    refused_for(client.set(id).await, "INVALID_FIELD", "options.request_id");
    let many = (0..33).map(|at| (at.to_string(), String::new())).collect();
    let many = options(WriteOptions { annotations: many, ..Default::default() });
    refused_for(client.set(many).await, "INVALID_FIELD", "options.annotations");
    let long = [("x".to_owned(), "y".repeat(1024))].into();
    let long = options(WriteOptions { annotations: long, ..Default::default() });
    refused_for(client.set(long).await, "INVALID_FIELD", "options.annotations");

    refused_for(client.get(GetRequest { view: 99, ..get("/") }).await, "INVALID_FIELD", "view");
    refused_for(client.get(GetRequest { format: 99, ..get("/") }).await, "INVALID_FIELD", "format");
    let digest = GetRequest { if_none_match: "sha256:x".into(), ..get("/") };
    refused_for(client.get(digest).await, "INVALID_FIELD", "if_none_match");
    for pointer in ["a", "/~", "/~2"] {
        let part = GetRequest { pointer: pointer.into(), ..get("/") };
        refused_for(client.get(part).await, "INVALID_POINTER", "pointer");
    }
    let kind = Change { kind: 99, ..replace("/", "{}") };
    refused_for(client.set(set(kind)).await, "INVALID_FIELD", "change.kind");
    let format = change("/", change::Action::Replace(Text { content: "{}".into(), format: 99 }));
    refused_for(client.set(set(format)).await, "INVALID_FIELD", "change.replace.format");
    let none = Change { action: None, ..replace("/", "{}") };
    refused_for(client.set(set(none)).await, "INVALID_FIELD", "change.action");
    let kind = DeleteRequest { kind: LayerKind::Override.into(), ..delete(None) };
    refused_for(client.delete(kind).await, "INVALID_FIELD", "kind");
    let batch = BatchGetRequest { requests: vec![get("/"); 1001], ..Default::default() };
    refused_for(client.batch_get(batch).await, "INVALID_FIELD", "requests");
    let page = ListRequest { page_size: 1001, ..Default::default() };
    refused_for(client.list(page).await, "INVALID_FIELD", "page_size");
    let page = ListVersionsRequest { page_size: 1001, ..versions() };
    refused_for(client.list_versions(page).await, "INVALID_FIELD", "page_size");
    let lines = DiffRequest {
        older: Some(get("/")),
        newer: Some(get("/production")),
        context_lines: Some(101),
        ..Default::default()
    };
    refused_for(client.diff(lines.clone()).await, "INVALID_FIELD", "context_lines");
    refused_for(client.diff(DiffRequest { newer: None, ..lines }).await, "INVALID_FIELD", "newer");
    let watch = |targets: Vec<WatchTarget>| WatchRequest { targets, ..Default::default() };
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let twice = watch(vec![target.clone(), WatchTarget { scope: "/".into(), ..target.clone() }]);
    refused_for(client.watch(twice).await.map(|_| ()), "INVALID_FIELD", "targets[1]");
    let many = watch(vec![target.clone(); 1001]);
    refused_for(client.watch(many).await.map(|_| ()), "INVALID_FIELD", "targets");
    for interval in [
        Duration { seconds: 0, nanos: 0 },
        Duration { seconds: -1, nanos: 0 },
        Duration { seconds: 3601, nanos: 0 },
    ] {
        let watch = WatchRequest { progress_interval: Some(interval), ..watch(vec![target.clone()]) };
        refused_for(client.watch(watch).await.map(|_| ()), "INVALID_FIELD", "progress_interval");
    }
    assert_eq!(store_revision(&mut client).await, 2);
}

#[tokio::test]
async fn an_error_fits_the_header_fields_of_http2_however_long_what_it_is_about() {
    let (_server, mut client) = server().await;
    let check = |status: &Status| {
        let header =
            percent_encoding::percent_encode(status.message().as_bytes(), percent_encoding::CONTROLS);
        let bytes = header.to_string().len() + status.details().len() * 4 / 3;
        assert!(bytes < 7 << 10, "{bytes} bytes: {status:?}");
    };
    for long in ["x".repeat(3 << 20), "ä".repeat(1 << 20)] {
        let by_name = GetRequest { namespace: long.clone(), ..get("/") };
        check(&refused_for(client.get(by_name).await, "INVALID_NAME", "namespace"));
        check(&refused_for(client.get(get(&format!("/{long}"))).await, "INVALID_SCOPE", "scope"));
        let part = GetRequest { pointer: format!("/{long}"), ..get("/") };
        check(&refused(client.get(part).await, Code::NotFound, "VALUE_NOT_FOUND"));
        let progress = RequestProgressRequest { watch_id: long.clone() };
        check(&refused(client.request_progress(progress).await, Code::NotFound, "WATCH_NOT_FOUND"));
        let value = assign("/", &[(&long, "{")]);
        check(&refused_for(client.set(set(value)).await, "MALFORMED_DOCUMENT", "change.assign"));
        let name = &long[..500_000];
        let twice = replace("/", &format!("{{\"{name}\":{{\"b\":1,\"b\":2}}}}"));
        let status = refused_for(client.set(set(twice)).await, "DUPLICATE_KEY", "change.replace");
        assert!(told(&status).2["pointer"].ends_with("/b"));
        assert!(status.message().contains("line 1"));
        check(&status);
    }
    let deep = format!(r#"[{{"op":"add","path":"{}","value":1}}]"#, "/a".repeat(300_000));
    check(&refused_for(client.set(set(json_patch("/", &deep))).await, "TOO_DEEP", "change.json_patch"));
}

#[tokio::test]
async fn a_refusal_names_the_first_of_many_findings_and_validate_names_all() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.limits.document_bytes_max = 1000).await;
    let mut client = server.client().await;
    let below: Vec<_> = (0..500).map(|at| replace(&format!("/production/{at}"), r#"{"a":1}"#)).collect();
    client.apply(ApplyRequest { changes: below, options: None }).await.expect("apply");
    let over = replace("/production", &format!(r#"{{"b":"{}"}}"#, "x".repeat(1000)));
    let status = client.set(set(over.clone())).await;
    let status = refused(status, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(status.details().len() < 4 << 10, "{}", status.details().len());
    let some = findings(&status);
    let all = client
        .validate(ValidateRequest { changes: vec![over], ..Default::default() })
        .await
        .expect("validate")
        .into_inner();
    let all = all.report.expect("a report").findings;
    assert_eq!(all.len(), 501);
    assert!(some.len() > 1 && all.starts_with(&some));
}
