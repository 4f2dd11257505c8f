//! Schemas, rules and documents that are made to be expensive: each is answered clearly and with bounded work, and others go on meanwhile.

use confwatch::proto::v1::schema_service_client::SchemaServiceClient;
use confwatch::proto::v1::*;
use serde_json::json;
use tonic::{Code, Status};

use super::support::*;

async fn schemas(server: &TestServer) -> SchemaServiceClient<Wire> {
    SchemaServiceClient::new(server.channel().await)
}

fn schema(content: impl ToString) -> SchemaServicePutRequest {
    SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(&content.to_string())),
        ..Default::default()
    }
}

/// The codes of the errors for which something was refused.
fn codes<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = refused(result, Code::FailedPrecondition, "VALIDATION_FAILED");
    let errors = findings(&status).into_iter().filter(|finding| finding.severity() == Severity::Error);
    errors.map(|finding| finding.code).collect()
}

/// Writes another config until the call is answered, and counts how often it could.
async fn writes_beside<T>(client: &Client, writes: &mut usize, call: impl Future<Output = T>) -> T {
    let mut other = client.clone();
    let writing = async {
        loop {
            let content = format!(r#"{{"a":{writes}}}"#);
            let change = Change { namespace: "other".into(), ..replace("/", &content) };
            other.set(set(change)).await.expect("another config is written");
            *writes += 1;
        }
    };
    tokio::select! {
        () = writing => unreachable!("it writes as long as it may"),
        answer = call => answer,
    }
}

#[tokio::test]
async fn expressions_that_backtrack_take_linear_time_or_are_refused() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let near_miss = json!({"name": format!("{}!", "a".repeat(200_000))}).to_string();
    for pattern in ["^(a+)+$", "^(a|aa)+$", "^(a|a?)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*b"] {
        let put = schema(json!({"properties": {"name": {"pattern": pattern}}}));
        schemas.put(put).await.expect("it can be matched in linear time");
        let found = codes(client.set(set(replace("/", &near_miss))).await);
        assert_eq!(found, ["SCHEMA_PATTERN"], "{pattern}");
    }
    for pattern in [r"^(a+)+\1$", "^(?=(a+)+b)a+$", "((((a{1,100}){1,100}){1,100}){1,100}){1,100}"] {
        let put = schema(json!({"properties": {"name": {"pattern": pattern}}}));
        assert_eq!(codes(schemas.put(put).await), ["SCHEMA_REGEX"], "{pattern}");
    }
    put(&mut client, "/", r#"{"name":"ab"}"#).await;
}

#[tokio::test]
async fn schemas_that_never_end_or_grow_without_bounds_are_refused() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let references = (0..60).map(|at| {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
        (format!("d{at}"), json!({"allOf": [next, next]}))
    });
    let mut definitions = serde_json::Map::from_iter(references);
    definitions.insert("d60".into(), json!({"type": "integer"}));
    let doubling = json!({"$id": "schema:doubling", "$ref": "#/$defs/d0", "$defs": definitions});
    for hostile in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "schema:app"}),
    ] {
        assert_eq!(codes(schemas.put(schema(&hostile)).await), ["SCHEMA_LOOP"], "{hostile}");
    }
    // It may be harmless, as long as no document makes it costly.
    schemas.put(schema(json!({"properties": {"deep": doubling}}))).await.expect("put");
    put(&mut client, "/", r#"{"a":1}"#).await;
    assert_eq!(codes(client.set(set(replace("/", r#"{"deep":1}"#))).await), ["SCHEMA_TOO_COSTLY"]);
}

#[tokio::test]
async fn small_documents_are_not_too_costly_however_often_they_are_checked() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let names = ["enabled", "hosts", "legacy", "limits", "merchant_id", "pool", "timeout_ms"];
    let mut properties: serde_json::Map<_, _> =
        names.map(|name| (name.to_owned(), json!({}))).into_iter().collect();
    properties.insert("mode".into(), json!({"default": "safe"}));
    let required = json!({"properties": properties, "required": ["timeout_ms"]});
    schemas.put(schema(required)).await.expect("put");
    put(&mut client, "/production", r#"{"timeout_ms":5000}"#).await;
    put(&mut client, "/production/checkout", "{}").await;
    put(&mut client, "/staging", r#"{"timeout_ms":100}"#).await;
    let temporary = Change { kind: LayerKind::Override.into(), ..replace("/production", "{}") };
    client.set(set(temporary)).await.expect("set");
    put(&mut client, "/", r#"{"timeout_ms":5}"#).await;
}

#[tokio::test]
async fn a_call_whose_documents_are_too_costly_together_is_refused() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    // A validator is content with the first branch; that all are counted makes it costly without taking long.
    let references = (0..24).map(|at| {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
        (format!("d{at}"), json!({"anyOf": [next, next]}))
    });
    let mut definitions = serde_json::Map::from_iter(references);
    definitions.insert("d24".into(), json!({"type": "integer"}));
    let doubling = json!({"properties": {"deep": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
    schemas.put(schema(doubling)).await.expect("put");
    put(&mut client, "/", r#"{"deep":1}"#).await;
    let scopes: Vec<String> = (0..20).map(|at| format!("/s{at}")).collect();
    for scope in &scopes {
        put(&mut client, scope, r#"{"a":1}"#).await;
    }
    let reason = "CHECKS_TOO_COSTLY";
    refused(client.set(set(replace("/", r#"{"deep":2}"#))).await, Code::ResourceExhausted, reason);
    let changes = scopes.iter().map(|scope| replace(scope, r#"{"a":2}"#)).collect();
    let request = ApplyRequest { changes, options: None };
    refused(client.apply(request).await, Code::ResourceExhausted, reason);
    let changes = vec![replace("/", r#"{"deep":2}"#)];
    let request = ValidateRequest { changes, ..Default::default() };
    refused(client.validate(request).await, Code::ResourceExhausted, reason);
    let request = ValidateRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    refused(client.validate(request).await, Code::ResourceExhausted, reason);
    // Fewer at a time, or a cheaper schema.
    put(&mut client, "/s0", r#"{"a":2}"#).await;
    schemas.put(schema(json!({"properties": {"deep": {"type": "integer"}}}))).await.expect("put");
    put(&mut client, "/", r#"{"deep":2}"#).await;
}

#[tokio::test]
async fn schemas_that_are_too_large_are_refused() {
    let server = TestServer::start().await;
    let mut schemas = schemas(&server).await;
    let large = |bytes| schema(json!({"description": "x".repeat(bytes)}));
    let many = serde_json::Map::from_iter((0..60_000).map(|at| (format!("p{at}"), json!({}))));
    for put in [large(1 << 20), large(3 << 20), schema(json!({ "properties": many }))] {
        refused(schemas.put(put).await, Code::InvalidArgument, "LAYER_TOO_LARGE");
    }
    refused(schemas.put(large(10 << 20)).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn rules_that_multiply_lists_run_out_of_steps_and_others_write_meanwhile() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let list = json!({"l": vec![1; 3000], "t": "a".repeat(100_000)}).to_string();
    let mut writes = 0;
    for (expression, code) in [
        ("config.l.map(x, config.l.map(y, config.l.map(z, x * y * z))).size() > 0", "RULE_FAILED"),
        ("config.l.all(x, config.l.all(y, !config.l.exists(z, z > x + y)))", "RULE_FAILED"),
        ("[1,2,3,4,5,6,7,8,9].map(a, config.l.map(b, config.t + config.t)).size() > 0", "RULE_FAILED"),
        ("config.l.map(x, config).map(y, [y, y, y]).size() == 0", "RULE_FAILED"),
        ("config.l.all(x, config.t.matches('^(a+)+$'))", "RULE_FAILED"),
    ] {
        put(&mut client, "/", r#"{"l":[],"t":"a"}"#).await;
        let rules =
            json!({"rules": {"costly": {"expression": format!("size(config.l) == 0 || {expression}")}}});
        client
            .set(set(Change { config: "rules:app".into(), ..replace("/", &rules.to_string()) }))
            .await
            .expect("rules");
        let (mut writer, hostile) = (client.clone(), set(replace("/", &list)));
        let answer = writes_beside(&client, &mut writes, async { writer.set(hostile).await }).await;
        assert_eq!(codes(answer), [code], "{expression}");
    }
    assert!(writes > 0, "others write meanwhile");
}

/// Each value has a path with every name above it: comparing, explaining or sealing them would take the square of the document.
#[tokio::test]
async fn a_layer_whose_values_have_long_paths_together_is_refused_however_it_is_written() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let name = "x".repeat(400_000);
    let values: serde_json::Map<String, serde_json::Value> =
        (0..20_000).map(|at| (at.to_string(), json!({"$secret": 1}))).collect();
    let document = json!({ &name: values }).to_string();
    let refuse = |result: Result<SetResponse, Status>| {
        refused(result, Code::InvalidArgument, "LAYER_TOO_LARGE");
    };
    refuse(client.set(set(replace("/", &document))).await.map(tonic::Response::into_inner));
    let patch = change("/", change::Action::MergePatch(json(&document)));
    refuse(client.set(set(patch)).await.map(tonic::Response::into_inner));
    let plain: Vec<usize> = (0..100_000).collect();
    let document = json!({ &name: plain }).to_string();
    refuse(client.set(set(replace("/", &document))).await.map(tonic::Response::into_inner));
    // A long name alone is no matter, nor are many values.
    client.set(set(replace("/a", &json!({ &name: 1 }).to_string()))).await.expect("it is short enough");
    client.set(set(replace("/b", &json!({ "all": plain }).to_string()))).await.expect("it is short enough");
    let request =
        ValidateRequest { schema: Some(json("{}")), document: Some(json(&document)), ..Default::default() };
    refused(client.validate(request).await, Code::InvalidArgument, "LAYER_TOO_LARGE");
}
