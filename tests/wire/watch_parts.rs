//! Watch: no message is larger than a client with gRPC's default limits takes.

use confwatch::proto::v1::*;

use super::watching::*;

#[tokio::test]
async fn a_long_snapshot_comes_in_parts() {
    let server = quick_server().await;
    let client = server.client().await;
    let content = format!(r#"{{"fill":"{}"}}"#, "x".repeat(200_000));
    for at in 0..60 {
        apply(&client, [put_in(&format!("c{at:02}"), "/", &content)]).await;
    }
    let exact = watch((0..60).map(|at| target(&format!("c{at:02}"), "/")));
    for request in [exact, watch([target("*", "/")])] {
        // That `more` and tokens are where they should be is checked with each message.
        let (watcher, told) = Watcher::open(&client, request).await;
        assert_eq!((told.states.len(), watcher.held.len()), (60, 60));
        assert_eq!(told.parts, 4);
        assert!(watcher.held.values().all(|document| document.content == content));
        // What is held need not be sent, and is then no reason for parts.
        let (_, resumed) = watcher.resume(&client).await;
        assert_eq!((resumed.states.len(), resumed.parts), (60, 1));
    }
}

#[tokio::test]
async fn a_long_update_comes_in_parts_and_at_once() {
    let server = quick_server().await;
    let client = server.client().await;
    let content = format!(r#"{{"fill":"{}"}}"#, "x".repeat(200_000));
    let scopes: Vec<String> = (0..40).map(|at| format!("/s{at}")).collect();
    for scope in &scopes {
        apply(&client, [put_in("app", scope, &content)]).await;
    }
    let targets = scopes.iter().map(|scope| target("app", scope)).chain([target("*", "/s0")]);
    let (mut watcher, _) = Watcher::open(&client, watch(targets)).await;
    let revision = apply(&client, [put_in("app", "/", r#"{"all":true}"#)]).await;
    let told = watcher.next().await.expect("told");
    assert_eq!((told.kind, told.revision, told.states.len()), (Kind::Update, revision, 41));
    assert_eq!(told.parts, 3);
    assert!(watcher.held.values().all(|document| document.content.starts_with(r#"{"all":true,"#)));
}

/// Commits while the parts are on their way come after them, although the first part is read late.
#[tokio::test]
async fn a_snapshot_in_parts_is_of_one_revision() {
    let server = quick_believing_server().await;
    let writer = server.client().await;
    let content = |number: usize| format!(r#"{{"fill":"{}","number":{number}}}"#, "x".repeat(900_000));
    let configs: Vec<String> = (0..12).map(|at| format!("c{at:02}")).collect();
    for config in &configs {
        apply(&writer, [put_in(config, "/", &content(1))]).await;
    }
    let request = watch([target("*", "/")]);
    let mut watcher = Watcher::open_without_reading(&narrow_client(&server).await, request).await;
    for config in &configs {
        apply(&writer, [put_in(config, "/", &content(2))]).await;
    }
    let snapshot = watcher.next().await.expect("told");
    assert_eq!((snapshot.parts, snapshot.revision), (3, 12));
    assert!(watcher.held.values().all(|document| document.content == content(1)));
    watcher.until_progress().await;
    assert!(watcher.held.values().all(|document| document.content == content(2)));
}

/// Little content, but names that add up: long scopes, and many layers with them.
#[tokio::test]
async fn what_is_around_the_content_counts() {
    let server = quick_server().await;
    let client = server.client().await;
    let segments: Vec<String> = (0..7).map(|at| format!("{at}").repeat(63)).collect();
    let scopes = (0..=7).map(|depth| format!("/{}", segments[..depth].join("/")));
    let layers = scopes
        .flat_map(|scope| [put_in("app", &scope, r#"{"a":1}"#), put_override("app", &scope, r#"{"b":1}"#)]);
    apply(&client, layers).await;
    let deepest = format!("/{}", segments.join("/"));
    let targets = (0..1000).map(|at| target("app", &format!("{deepest}/{at:063}")));
    let (mut watcher, told) = Watcher::open(&client, watch(targets)).await;
    assert_eq!(told.states.len(), 1000);
    assert!(told.parts > 1);
    apply(&client, [put_in("app", "/", r#"{"c":1}"#)]).await;
    let told = watcher.next().await.expect("told");
    assert_eq!(told.states.len(), 1000);
    assert!(told.parts > 1);
}

#[tokio::test]
async fn a_document_that_yaml_makes_too_large_or_toml_cannot_express_is_sent_as_json() {
    let server = quick_server().await;
    let client = server.client().await;
    // As YAML each level of nesting indents every line below it, and every DEL takes four bytes instead of one.
    let elements = vec![format!("\"{}\"", "\u{7f}".repeat(20)); 40_000].join(",");
    let deep = (0..20).fold(format!("[{elements}]"), |inner, _| format!(r#"{{"a":{inner}}}"#));
    apply(
        &client,
        [
            put_in("deep", "/", &deep),
            put_in("null", "/", r#"{"a":[null]}"#),
            put_in("small", "/", r#"{"a":1}"#),
        ],
    )
    .await;
    let format = |format: Format, config: &str| WatchTarget { format: format.into(), ..target(config, "/") };
    let (mut watcher, told) = Watcher::open(
        &client,
        watch([format(Format::Yaml, "deep"), format(Format::Toml, "null"), format(Format::Toml, "small")]),
    )
    .await;
    let formats = |told: &Told| -> Vec<(Format, Format)> {
        let states = told.states.iter().map(|state| {
            let (target, document) = (state.target.as_ref(), state.document.as_ref());
            (target.expect("a target").format(), document.expect("a document").format())
        });
        states.collect()
    };
    let expected = [(Format::Yaml, Format::Json), (Format::Toml, Format::Json), (Format::Toml, Format::Toml)];
    assert_eq!(formats(&told), expected);
    assert_eq!(watcher.content("deep", "/"), Some(deep.as_str()));
    assert_eq!(watcher.content("small", "/"), Some("a = 1\n"));
    apply(&client, [put_in("deep", "/", r#"{"a":[1]}"#)]).await;
    let told = watcher.next().await.expect("told");
    assert_eq!(formats(&told), [(Format::Yaml, Format::Yaml)]);
}
