//! What answers tell all the same: the list of docs/security.md is what the server does. `tests/docs.rs` names a test for each statement of the list;
//! these are those that no other test proves.

use confwatch::client::Client;
use confwatch::proto::v1::*;
use tonic::Code;

use super::auth::Guarded;
use super::support::*;

const POLICY: &str = r#"{
  "roles": {"write": ["write"], "author": ["read", "validate", "schema"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:write"], "role": "write", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:author"], "role": "author", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/staging"}
  ]
}"#;

async fn start() -> Guarded {
    let guarded = Guarded::start().await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    guarded
}

async fn set_in(client: &Client, config: &str, change: Change) -> Result<SetResponse, tonic::Status> {
    client.api().set(set(Change { config: config.into(), ..change })).await.map(tonic::Response::into_inner)
}

async fn versions_of(client: &Client) -> Vec<VersionInfo> {
    client.api().list_versions(versions()).await.expect("listed").into_inner().versions
}

#[tokio::test]
async fn the_author_of_a_rule_sees_whether_writes_of_those_who_may_reveal_are_refused() {
    let guarded = start().await;
    let author = guarded.bearer("author").await;
    set_in(&guarded.admin, "app", replace("/", r#"{"token":{"$secret":"alpha"}}"#)).await.expect("set");
    let rule = r#"{"rules":{"guess":{"expression":"config.token == 'bravo'"}}}"#;
    // What the author may not see does not refuse the rule.
    set_in(&author, "rules:app", replace("/", rule)).await.expect("the rule is stored");
    let before = versions_of(&author).await.len();
    let write = |secret: &str| merge_patch("/", &format!(r#"{{"token":{{"$secret":"{secret}"}}}}"#));
    let wrong = set_in(&guarded.admin, "app", write("charlie")).await;
    refused(wrong, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(versions_of(&author).await.len(), before, "the author sees that nothing was stored");
    set_in(&guarded.admin, "app", write("bravo")).await.expect("the rule is satisfied");
    assert_eq!(versions_of(&author).await.len(), before + 1);
}

#[tokio::test]
async fn readers_of_a_scope_see_what_it_inherits_and_what_governs() {
    let guarded = start().await;
    let reader = guarded.bearer("staging").await;
    set_in(&guarded.admin, "app", replace("/", r#"{"above":1,"replaced":1}"#)).await.expect("set");
    set_in(&guarded.admin, "app", replace("/staging", r#"{"replaced":2}"#)).await.expect("set");
    let read = |config: &str, scope: &str| GetRequest { config: config.into(), ..get(scope) };
    let found = reader.api().get(read("app", "/staging")).await.expect("read").into_inner();
    let document = found.document.expect("a document");
    assert_eq!(document.content, r#"{"above":1,"replaced":2}"#);
    // A document names the scopes whose layers it is made of.
    assert_eq!(
        document.layers.iter().map(|layer| layer.scope.as_str()).collect::<Vec<_>>(),
        ["/", "/staging"]
    );
    refused(reader.api().get(read("app", "/")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let request = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(r#"{"title":"shown"}"#)),
        ..Default::default()
    };
    guarded.admin.schemas().put(request).await.expect("put");
    let governing = reader.api().get(read("schema:app", "/staging")).await.expect("read").into_inner();
    let content = governing.document.expect("a document").content;
    assert!(content.contains("shown"), "{content}");
    let of_service =
        SchemaServiceGetRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    refused(reader.schemas().get(of_service).await, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn versions_revisions_and_the_version_of_a_layer_that_is_not_read_are_told() {
    let guarded = start().await;
    let (reader, writer) = (guarded.bearer("staging").await, guarded.bearer("write").await);
    set_in(&guarded.admin, "app", replace("/staging", r#"{"a":1}"#)).await.expect("set");
    let seen = async || {
        let found = reader.api().get(get("/staging")).await.expect("read").into_inner();
        (found.document.expect("a document").version, found.store_revision)
    };
    let (version, revision) = seen().await;
    let hidden = set_in(&guarded.admin, "app", replace("/production", r#"{"b":1}"#)).await.expect("set");
    assert_eq!(seen().await.1, revision + 1, "commits that change nothing for the reader count");
    assert!(seen().await.0 >= version);
    let stale = Change { expected_version: Some(99), ..replace("/production", r#"{"b":2}"#) };
    let status = refused(set_in(&writer, "app", stale).await, Code::Aborted, "VERSION_MISMATCH");
    let current = hidden.document.expect("a document").version.to_string();
    assert_eq!(told(&status).2["current_version"], current);
    refused(writer.api().get(get("/production")).await, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn the_hash_of_a_commit_covers_what_its_reader_may_not_read() {
    let guarded = start().await;
    let reader = guarded.bearer("staging").await;
    let changes = vec![replace("/staging", r#"{"a":1}"#), replace("/production", r#"{"hidden":1}"#)];
    let request = ApplyRequest { changes, options: None };
    let revision = guarded.admin.api().apply(request).await.expect("applied").into_inner().store_revision;
    let read = async |client: &Client| {
        let request = GetCommitRequest { revision, ..Default::default() };
        let found = client.api().get_commit(request).await.expect("read").into_inner();
        found.commit.and_then(|listed| listed.commit).expect("a commit")
    };
    let (all, part) = (read(&guarded.admin).await, read(&reader).await);
    assert!(!format!("{part:?}").contains("hidden"), "{part:?}");
    assert_eq!(part.chain_hash, all.chain_hash);
}
