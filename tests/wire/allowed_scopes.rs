//! Scopes that a namespace allows: what the setting refuses, whatever makes the layer, and what it leaves alone.

use confwatch::proto::v1::*;
use tonic::Code;

use super::auth::Guarded;
use super::schemas::schemas;
use super::support::*;
use super::watching::*;

fn allow(scopes: &str) -> SetRequest {
    let content = format!(r#"{{"scopes":{scopes}}}"#);
    set(Change { config: "namespace:settings".into(), ..replace("/", &content) })
}

fn overriding(scope: &str, content: &str) -> Change {
    Change { kind: LayerKind::Override.into(), ..replace(scope, content) }
}

/// The finding of a refusal, which is the only one.
fn refusal<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> Finding {
    let found = findings(&refused(result, Code::FailedPrecondition, "VALIDATION_FAILED"));
    let errors: Vec<_> = found.into_iter().filter(|finding| finding.severity() == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].code, "SCOPE_NOT_ALLOWED", "{errors:?}");
    errors[0].clone()
}

#[tokio::test]
async fn a_new_layer_at_a_scope_that_is_not_allowed_is_refused_with_the_similar_scope() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.set(allow(r#"["/", "/production", "/production/*", "/staging/**"]"#)).await.expect("settings");
    for scope in ["/", "/production", "/production/eu", "/staging/a/b"] {
        put(&mut client, scope, r#"{"a":1}"#).await;
    }
    let found = refusal(client.set(set(replace("/prd/eu", r#"{"a":2}"#))).await);
    assert_eq!((found.config.as_str(), found.scope.as_str()), ("app", "/prd/eu"));
    assert!(found.message.contains("`scopes` of namespace:settings"), "{found:?}");
    assert!(found.suggestion.contains("use /production/eu"), "{found:?}");
    refusal(client.set(set(overriding("/prd", r#"{"a":2}"#))).await);
    refusal(client.set(set(assign("/production/eu/a", &[("a", "2")]))).await);
    let apply = ApplyRequest {
        changes: vec![replace("/", r#"{"a":3}"#), replace("/prd", r#"{"a":3}"#)],
        ..Default::default()
    };
    refusal(client.apply(apply).await);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#, "nothing of it was done");
    // What is read and watched needs no layer.
    assert_eq!(content(&mut client, get("/prd/eu")).await, r#"{"a":1}"#);
    let (watcher, _) = Watcher::open(&client, watch([target("app", "/prd/eu")])).await;
    assert_eq!(watcher.content("app", "/prd/eu"), Some(r#"{"a":1}"#));
    // The settings and the layers of one commit are judged together.
    let apply = ApplyRequest {
        changes: vec![allow(r#"["/**"]"#).change.expect("a change"), replace("/prd", r#"{"a":3}"#)],
        ..Default::default()
    };
    client.apply(apply).await.expect("it allows what it writes");
}

#[tokio::test]
async fn layers_that_no_longer_fit_stay_and_are_reported_and_do_not_come_back() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/prd", r#"{"a":2}"#).await;
    let restricted = client.set(allow(r#"["/production", "/production/**"]"#)).await.expect("it is accepted");
    let report = restricted.into_inner().report.expect("a report");
    let told: Vec<_> = report
        .findings
        .iter()
        .map(|found| (found.severity(), found.code.as_str(), found.scope.as_str()))
        .collect();
    let warning = |scope| (Severity::Warning, "SCOPE_NOT_ALLOWED", scope);
    assert_eq!(told, [warning("/"), warning("/prd")]);
    // It can change, be looked at, and go.
    put(&mut client, "/prd", r#"{"a":3}"#).await;
    let stored = ValidateRequest { namespace: "test".into(), ..Default::default() };
    let report = client.validate(stored).await.expect("validated").into_inner().report.expect("a report");
    assert!(report.valid, "{report:?}");
    assert_eq!(report.findings.iter().filter(|found| found.code == "SCOPE_NOT_ALLOWED").count(), 2);
    client.delete(delete(Some("/prd"))).await.expect("deleted");
    // A rollback makes a new layer as any write does; one of a scope that is allowed is none of it.
    let found = refusal(client.rollback(rollback(rollback_request::To::Version(2))).await);
    assert_eq!(found.scope, "/prd");
    client.rollback(rollback(rollback_request::To::Version(1))).await.expect("it has the layer at / only");
    // What governs is at / and is not meant; neither is a migration of what is there, unless it makes a layer.
    schemas.put(super::schemas::schema(r#"{"properties":{"a":{}}}"#)).await.expect("put");
    client.delete(delete(Some("/"))).await.expect("deleted");
    put(&mut client, "/production", r#"{"a":4}"#).await;
    let with_steps = SchemaServicePutRequest {
        up: r#"[{"set_default":{"at":"/b","value":1}}]"#.into(),
        ..super::schemas::schema(r#"{"properties":{"a":{},"b":{}}}"#)
    };
    schemas.put(with_steps).await.expect("put");
    let request = MigrateRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    schemas.migrate(request).await.expect("the layer that is there changes");
    assert_eq!(content(&mut client, get("/production")).await, r#"{"a":4,"b":1}"#);
    let layer = GetRequest { view: View::Layer.into(), ..get("/") };
    refused(client.get(layer).await, Code::NotFound, "CONFIG_NOT_FOUND");
    // With strict the warning refuses: it can be set once there is none.
    let strict = r#"{"strict":true,"scopes":["/staging"]}"#;
    let change = Change { config: "namespace:settings".into(), ..replace("/", strict) };
    refusal(client.set(set(change)).await);
}

#[tokio::test]
async fn a_caller_who_may_not_read_learns_neither_the_patterns_nor_whether_there_is_a_layer() {
    let guarded = Guarded::start().await;
    let policy = r#"{
      "roles": {"write": ["write", "validate"]},
      "bindings": [
        {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
        {"subjects": ["token:app"], "role": "editor", "namespace": "test", "config": "app", "scope": "/"},
        {"subjects": ["token:write"], "role": "write", "namespace": "test", "config": "*", "scope": "/"}
      ]
    }"#;
    guarded.set_policy(policy).await.expect("the policy is good");
    let admin = guarded.admin.api();
    for scope in ["/", "/prd"] {
        admin.clone().set(set(replace(scope, r#"{"a":1}"#))).await.expect("set");
    }
    admin.clone().set(allow(r#"["/", "/production"]"#)).await.expect("settings");
    // May read the config, and not the settings.
    let editor = guarded.bearer("app").await;
    let found = refusal(editor.api().set(set(replace("/pro", r#"{"a":2}"#))).await);
    assert!(!format!("{found:?}").contains("production"), "{found:?}");
    assert!(found.message.contains("/pro"), "{found:?}");
    editor.api().set(set(replace("/prd", r#"{"a":2}"#))).await.expect("the layer is there");
    // May write only: a layer that is there is refused as one that is not.
    let writer = guarded.bearer("write").await;
    let there = refusal(writer.api().set(set(replace("/prd", r#"{"a":3}"#))).await);
    let missing = refusal(writer.api().set(set(replace("/pre", r#"{"a":3}"#))).await);
    assert_eq!(there.message.replace("/prd", "/pre"), missing.message);
    assert_eq!(there.suggestion.replace("/prd", "/pre"), missing.suggestion);
    writer.api().set(set(replace("/production", r#"{"a":3}"#))).await.expect("it is allowed");
}
