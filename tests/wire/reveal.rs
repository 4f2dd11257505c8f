//! Who is shown secrets: in every answer, on every stream, and from when on.

use std::fmt::Debug;

use confwatch::client::Client;
use confwatch::proto::v1::*;
use confwatch::server::Settings;
use tempfile::TempDir;
use tonic::{Response, Status, Streaming};

use super::auth::{Guarded, reserved};
use super::metrics::ask;
use super::secrets::{PLAIN, assert_no_canary, assert_no_canary_on_disk};
use super::support::*;
use super::watching::{target, watch};

/// Every secret begins so.
const CANARY: &str = "cAnArY";

/// Services are shown the secrets of two configs in production, and editors none.
const POLICY: &str = r#"{
  "roles": {"service": ["read", "reveal-secret"], "owner": ["read", "write", "validate", "reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:editor", "token:service"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:service"], "role": "service", "namespace": "test", "config": "app*", "scope": "/production"},
    {"subjects": ["token:owner"], "role": "owner", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// A server with secrets in two configs, one above production and one in it.
async fn start() -> Guarded {
    let metrics = |settings: &mut Settings| settings.metrics_listen = Some("127.0.0.1:0".into());
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), metrics).await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    for config in ["app", "other"] {
        for scope in ["/", "/production"] {
            set_secret(&guarded.admin, config, scope, "one").await;
        }
    }
    guarded
}

async fn set_secret(client: &Client, config: &str, scope: &str, name: &str) {
    let secret = format!(r#"{{"token":{{"$secret":"{CANARY}-{name}-{scope}"}},"plain":"{PLAIN}"}}"#);
    let change = Change { config: config.into(), ..replace(scope, &secret) };
    client.api().set(set(change)).await.expect("set");
}

fn merge(scope: &str, patch: &str) -> SetRequest {
    set(change(scope, change::Action::MergePatch(json(patch))))
}

/// What an answer says, whether it is a refusal or not.
fn said<T: Debug>(answer: Result<Response<T>, Status>) -> String {
    match answer {
        Ok(response) => format!("{:?}", response.into_inner()),
        Err(status) => format!("{status:?} {}", String::from_utf8_lossy(status.details())),
    }
}

/// Everything that one can be told of the config `app` at a scope: each call by its name.
async fn everything_said(client: &Client, scope: &str) -> Vec<(&'static str, String)> {
    let mut api = client.api();
    let explain = ExplainRequest {
        namespace: "test".into(),
        config: "app".into(),
        scope: scope.into(),
        ..Default::default()
    };
    let first = GetRequest { at: Some(get_request::At::Version(1)), ..get(scope) };
    let layer = GetRequest { view: View::Layer.into(), ..get(scope) };
    let part = GetRequest { pointer: "/token".into(), ..get(scope) };
    let diff = DiffRequest { older: Some(first.clone()), newer: Some(get(scope)), ..Default::default() };
    let history = ListVersionsRequest { include_content: true, scope: Some(scope.into()), ..versions() };
    let list = ListRequest { namespace: "test".into(), ..Default::default() };
    let validate = ValidateRequest {
        changes: vec![merge(scope, r#"{"x":1}"#).change.expect("one")],
        ..Default::default()
    };
    let mut said_by = vec![
        ("Get", said(api.get(get(scope)).await)),
        ("Get of a version", said(api.get(first.clone()).await)),
        ("Get of a layer", said(api.get(layer).await)),
        ("Get of a part", said(api.get(part).await)),
        (
            "BatchGet",
            said(
                api.batch_get(BatchGetRequest { requests: vec![get(scope), first], ..Default::default() })
                    .await,
            ),
        ),
        ("Explain", said(api.explain(explain).await)),
        ("Diff", said(api.diff(diff).await)),
        ("ListVersions", said(api.list_versions(history).await)),
        ("List", said(api.list(list).await)),
        ("Validate", said(api.validate(validate).await)),
    ];
    let (watched, _) = opened(client, "app", scope).await;
    said_by.push(("Watch", watched));
    let (watched, _) = opened(client, "*", scope).await;
    said_by.push(("Watch of all", watched));
    said_by.push(("StreamChanges", changes_said(client).await));
    said_by
}

/// What editors are answered to writes, good ones and others.
async fn writes_said(client: &Client, scope: &str) -> Vec<(&'static str, String)> {
    let mut api = client.api();
    let copy =
        r#"[{"op":"copy","from":"/token","path":"/copied"},{"op":"move","from":"/token","path":"/moved"}]"#;
    let copy = set(change(scope, change::Action::JsonPatch(json(copy))));
    let test = format!(r#"[{{"op":"test","path":"/moved","value":"{}"}}]"#, "guess");
    let test = set(change(scope, change::Action::JsonPatch(json(&test))));
    let (from, to) = ("***", "replaced");
    let text = said(api.get(GetRequest { view: View::Layer.into(), ..get(scope) }).await).replace(from, to);
    vec![
        ("Set", said(api.set(merge(scope, r#"{"a":1}"#)).await)),
        ("Set of a copy", said(api.set(copy).await)),
        ("Set with a test", said(api.set(test).await)),
        ("Get of the layer", text),
        (
            "Apply",
            said(
                api.apply(ApplyRequest {
                    changes: merge(scope, r#"{"a":2}"#).change.into_iter().collect(),
                    ..Default::default()
                })
                .await,
            ),
        ),
        ("Rollback", said(api.rollback(rollback(rollback_request::To::Version(2))).await)),
        ("Set of a tag", said(api.set_tag(set_tag("stable", 1)).await)),
        ("Delete", said(api.delete(delete(Some(scope))).await)),
    ]
}

/// The first state of a watch, and the stream.
async fn opened(client: &Client, config: &str, scope: &str) -> (String, Streaming<WatchResponse>) {
    let mut stream = client.api().watch(watch([target(config, scope)])).await.expect("it opens").into_inner();
    let first = stream.message().await.expect("it is open").expect("a snapshot");
    (format!("{first:?}"), stream)
}

/// All commits of the namespace up to now.
async fn changes_said(client: &Client) -> String {
    let mut api = client.api();
    let newest = api.list(ListRequest::default()).await.expect("list").into_inner().store_revision;
    let request = StreamChangesRequest {
        namespace: "test".into(),
        from_revision: 1,
        include_content: true,
        progress_interval: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
        ..Default::default()
    };
    let mut stream = api.stream_changes(request).await.expect("it opens").into_inner();
    let mut said = String::new();
    loop {
        let message = stream.message().await.expect("it is open").expect("it goes on");
        said += &format!("{message:?}\n");
        if message.revision >= newest {
            return said;
        }
    }
}

#[track_caller]
fn assert_hidden(said: Vec<(&'static str, String)>) {
    for (call, said) in said {
        assert!(!said.contains(CANARY), "{call} shows a secret: {said}");
        assert!(!said.contains("v1:"), "{call} shows what is sealed: {said}");
    }
}

#[tokio::test]
async fn who_may_not_reveal_secrets_sees_none_whatever_is_asked_and_written() {
    let guarded = start().await;
    let editor = guarded.bearer("editor").await;
    for scope in ["/", "/production", "/production/below"] {
        let said = everything_said(&editor, scope).await;
        let (_, get) = said.iter().find(|(call, _)| *call == "Get").expect("it was asked");
        assert!(get.contains("***:"), "{get}");
        assert_hidden(said);
    }
    for scope in ["/", "/production"] {
        assert_hidden(writes_said(&editor, scope).await);
        assert_hidden(everything_said(&editor, scope).await);
    }
    // What was copied by somebody who may is as secret as it was.
    let owner = guarded.bearer("owner").await;
    set_secret(&owner, "app", "/production", "again").await;
    writes_said(&owner, "/production").await;
    assert!(changes_said(&owner).await.contains("copied"));
    assert_hidden(everything_said(&editor, "/production").await);
}

#[tokio::test]
async fn who_may_reveal_them_sees_them_everywhere() {
    let guarded = start().await;
    let owner = guarded.bearer("owner").await;
    for (call, said) in everything_said(&owner, "/production").await {
        assert_eq!(said.contains(CANARY), !["List", "Validate"].contains(&call), "{call}: {said}");
        assert!(!said.contains("v1:"), "{call} shows what is sealed: {said}");
    }
}

#[tokio::test]
async fn who_asks_for_masks_is_shown_no_secret_and_every_document_says_which_are_masked() {
    let guarded = start().await;
    let owner = guarded.bearer("owner").await;
    let masking = owner.masking_secrets(true);
    assert_hidden(everything_said(&masking, "/production").await);
    let token = ["/token".to_owned()];
    let editor = guarded.bearer("editor").await;
    for (client, is_masked) in [(&owner, false), (&masking, true), (&editor, true)] {
        let got = client.api().get(get("/production")).await.expect("get").into_inner().document;
        let wrote = client.api().set(merge("/production", r#"{"more":1}"#)).await.expect("set").into_inner();
        for document in [got.expect("a document"), wrote.document.expect("a document")] {
            let (masked, shown) = (document.hidden_pointers, document.revealed_pointers);
            assert_eq!((masked == token, shown == token), (is_masked, !is_masked), "{masked:?} {shown:?}");
            assert_eq!(masked.len() + shown.len(), 1);
        }
    }
    // Also when the policy changes, and for all configs at once.
    for config in ["app", "*"] {
        let (first, mut stream) = opened(&masking, config, "/production").await;
        assert!(first.contains("hidden_pointers: [\"/token\"]") && !first.contains(CANARY), "{first}");
        guarded.set_policy(&POLICY.replace("\n", " \n")).await.expect("the policy is good");
        guarded.set_policy(POLICY).await.expect("the policy is good");
        set_secret(&guarded.admin, "app", "/production", config.trim_matches('*')).await;
        let told = format!("{:?}", stream.message().await.expect("it is open").expect("an update"));
        assert!(told.contains("hidden_pointers: [\"/token\"]") && !told.contains(CANARY), "{told}");
    }
    // A document without secrets has nothing to say.
    let plain = Change { config: "plain".into(), ..replace("/", "{}") };
    owner.api().set(set(plain)).await.expect("set");
    let read = GetRequest { config: "plain".into(), ..get("/") };
    let document = owner.api().get(read).await.expect("get").into_inner().document.expect("a document");
    assert!(document.hidden_pointers.is_empty() && document.revealed_pointers.is_empty());
}

#[tokio::test]
async fn secrets_are_shown_at_the_scopes_and_in_the_configs_of_the_right() {
    let guarded = start().await;
    let service = guarded.bearer("service").await;
    let mut api = service.api();
    for (config, scope, is_shown) in [
        ("app", "/production", true),
        ("app", "/production/eu", true),
        ("app", "/", false),
        ("other", "/production", false),
    ] {
        let got = said(api.get(GetRequest { config: config.into(), ..get(scope) }).await);
        assert_eq!(got.contains(CANARY), is_shown, "{config} at {scope}: {got}");
        let (watched, _stream) = opened(&service, config, scope).await;
        assert_eq!(watched.contains(CANARY), is_shown, "{config} at {scope}: {watched}");
    }
    // Of the history, the layers at scopes of the right.
    let history = said(api.list_versions(ListVersionsRequest { include_content: true, ..versions() }).await);
    assert!(history.contains(&format!("{CANARY}-one-/production")), "{history}");
    assert!(!history.contains(&format!("{CANARY}-one-/\\\"")), "{history}");
    // Of all configs together, those of the right.
    let (watched, mut stream) = opened(&service, "*", "/production").await;
    assert_eq!(watched.matches(CANARY).count(), 1, "{watched}");
    for (config, is_shown) in [("other", false), ("app", true)] {
        set_secret(&guarded.admin, config, "/production", "two").await;
        let told = format!("{:?}", stream.message().await.expect("it is open").expect("an update"));
        assert!(told.contains(&format!("config: \"{config}\"")), "{told}");
        assert_eq!(told.contains(CANARY), is_shown, "{told}");
    }
}

#[tokio::test]
async fn a_change_of_a_hidden_secret_shows_without_showing_it() {
    let guarded = start().await;
    let editor = guarded.bearer("editor").await;
    let (first, mut stream) = opened(&editor, "app", "/production").await;
    set_secret(&guarded.admin, "app", "/production", "two").await;
    let told = format!("{:?}", stream.message().await.expect("it is open").expect("an update"));
    assert!(told.contains("***:") && !told.contains(CANARY), "{told}");
    let fingerprint = |text: &str| text.split("***:").nth(1).expect("one")[..8].to_owned();
    assert_ne!(fingerprint(&first), fingerprint(&told));
    // The same secret has the same fingerprint again.
    set_secret(&guarded.admin, "app", "/production", "one").await;
    let told = format!("{:?}", stream.message().await.expect("it is open").expect("an update"));
    assert_eq!(fingerprint(&first), fingerprint(&told));
}

#[tokio::test]
async fn an_open_stream_shows_what_may_be_shown_by_now() {
    let guarded = start().await;
    let service = guarded.bearer("service").await;
    let hiding = POLICY.replace(r#""service": ["read", "reveal-secret"]"#, r#""service": ["read"]"#);
    for config in ["app", "*"] {
        let (first, mut stream) = opened(&service, config, "/production").await;
        assert!(first.contains(CANARY), "{first}");
        for (policy, is_shown) in [(hiding.as_str(), false), (POLICY, true)] {
            guarded.set_policy(policy).await.expect("the policy is good");
            let told =
                format!("{:?}", stream.message().await.expect("it is open").expect("it is told again"));
            assert!(told.contains("config: \"app\""), "{told}");
            assert_eq!(told.contains(CANARY), is_shown, "{told}");
        }
        set_secret(&guarded.admin, "app", "/production", "two").await;
        let told = format!("{:?}", stream.message().await.expect("it is open").expect("an update"));
        assert!(told.contains(&format!("{CANARY}-two")), "{told}");
        set_secret(&guarded.admin, "app", "/production", "one").await;
    }
}

/// The actors and places of all records of secrets that were shown, oldest first.
async fn reveals(admin: &Client) -> Vec<String> {
    let filter = AuditFilter { kinds: vec![AuditKind::Revealed.into()], ..Default::default() };
    let request = AuditServiceListRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
    let entries = admin.audit().list(request).await.expect("listed").into_inner().entries;
    let told = |entry: &AuditEntry| {
        let AuditEntry { actor, namespace, config, scope, rpc_method, .. } = entry;
        format!("{actor} {namespace}/{config}{scope} {}", rpc_method.rsplit('/').next().expect("one"))
    };
    entries.iter().rev().map(told).collect()
}

#[tokio::test]
async fn whoever_is_shown_secrets_is_in_the_audit_log() {
    let guarded = start().await;
    let before = reveals(&guarded.admin).await.len();
    let scope = "/production";
    let explain = ExplainRequest {
        namespace: "test".into(),
        config: "app".into(),
        scope: scope.into(),
        ..Default::default()
    };
    let diff = DiffRequest { older: Some(get("/")), newer: Some(get(scope)), ..Default::default() };
    let history = ListVersionsRequest { include_content: true, ..versions() };
    // Each call is recorded, and each commit that a stream shows.
    let owner = async || guarded.bearer("owner").await;
    let shown = "the call is answered";
    owner().await.api().get(get(scope)).await.expect(shown);
    let part = GetRequest { at: Some(get_request::At::Version(2)), ..get(scope) };
    owner().await.api().get(part).await.expect(shown);
    owner()
        .await
        .api()
        .batch_get(BatchGetRequest { requests: vec![get(scope)], ..Default::default() })
        .await
        .expect(shown);
    owner().await.api().explain(explain).await.expect(shown);
    owner().await.api().diff(diff).await.expect(shown);
    owner().await.api().list_versions(history).await.expect(shown);
    owner().await.api().set(merge(scope, r#"{"a":1}"#)).await.expect(shown);
    changes_said(&owner().await).await;
    opened(&owner().await, "*", scope).await;
    let expected = [
        "token:owner test/app/production Get",
        "token:owner test/app/production Get",
        "token:owner test/app/production BatchGet",
        "token:owner test/app/production Explain",
        "token:owner test/app/ Diff",
        "token:owner test/app/production Diff",
        "token:owner test/app/production ListVersions",
        "token:owner test/app/ ListVersions",
        "token:owner test/app/production Set",
        "token:owner test/app/ StreamChanges",
        "token:owner test/app/production StreamChanges",
        "token:owner test/app/production StreamChanges",
        "token:owner test/other/ StreamChanges",
        "token:owner test/other/production StreamChanges",
        "token:owner test/app/production Watch",
        "token:owner test/other/production Watch",
    ];
    let mut found = reveals(&guarded.admin).await.split_off(before);
    let mut expected = expected.map(str::to_owned);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // Who sees none is in it with none.
    let editor = guarded.bearer("editor").await;
    everything_said(&editor, scope).await;
    owner().await.api().list_versions(versions()).await.expect(shown);
    owner().await.api().list(ListRequest::default()).await.expect(shown);
    assert_eq!(reveals(&guarded.admin).await.len(), before + expected.len());
}

#[tokio::test]
async fn what_was_shown_is_in_no_file_and_no_metric() {
    let guarded = start().await;
    let (owner, editor) = (guarded.bearer("owner").await, guarded.bearer("editor").await);
    for client in [&owner, &editor] {
        everything_said(client, "/production").await;
        writes_said(client, "/").await;
    }
    // It is written when it is listed.
    assert!(!reveals(&guarded.admin).await.is_empty());
    let (_, metrics) = ask(&guarded.server, "GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(metrics.contains("confwatch_secret_reveals_total"), "{metrics}");
    assert_no_canary("metrics", metrics.as_bytes());
    assert_no_canary_on_disk(guarded.server.directory.path());
    drop((owner, editor, guarded.admin));
    assert_no_canary_on_disk(guarded.server.stop().await.path());
}

#[tokio::test]
async fn nobody_but_administrators_reads_what_the_server_keeps_for_itself() {
    let guarded = start().await;
    let owner = guarded.bearer("owner").await;
    for config in ["keys", "tokens", "policy"] {
        let request = GetRequest { namespace: "confwatch".into(), config: config.into(), ..get("/") };
        refused(owner.api().get(request).await, tonic::Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let change = reserved("keys", change::Action::Replace(json("{}")));
    refused(guarded.admin.api().set(set(change)).await, tonic::Code::InvalidArgument, "INVALID_NAME");
}

#[tokio::test]
async fn the_first_secret_of_a_namespace_has_one_fingerprint() {
    let guarded = Guarded::start().await;
    let masking = guarded.admin.masking_secrets(true);
    let secret = || replace("/", r#"{"token":{"$secret":"cAnArY"}}"#);
    // Nothing is stored that it could be compared with, in this namespace and in others.
    let validate = ValidateRequest { changes: vec![secret()], ..Default::default() };
    let previewed = said(masking.api().validate(validate).await);
    assert!(previewed.contains("***") && !previewed.contains("***:"), "{previewed}");
    let wrote = masking.api().set(set(secret())).await.expect("set").into_inner();
    let read = masking.api().get(get("/")).await.expect("get").into_inner();
    let content = |document: Option<Document>| document.expect("a document").content;
    let (wrote, read) = (content(wrote.document), content(read.document));
    assert!(read.contains("***:"), "{read}");
    assert_eq!(wrote, read);
}
