//! Secrets and layers: a secret is one value, also if it is an object. No layer is merged into it, and what a layer has in its place tells
//! nothing of it, whichever of both was written first.

use confwatch::client::Client;
use confwatch::proto::v1::*;
use serde_json::{Value, json};

use super::auth::Guarded;
use super::secrets::assert_no_canary;
use super::support::*;

const POLICY: &str = r#"{
  "roles": {"service": ["read", "reveal-secret"], "owner": ["read", "write", "validate", "reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:staging", "token:everywhere"], "role": "editor", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:everywhere"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:service"], "role": "service", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:staging-owner"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging-owner"], "role": "owner", "namespace": "test", "config": "*", "scope": "/staging"}
  ]
}"#;

/// What somebody who may not reveal the secret writes in its place: a guess of one member, of all names that it may have, and a member
/// that would send the others elsewhere. Each with what is left of it in a document.
fn attempts() -> Vec<(Value, Value)> {
    let as_it_is = [
        json!({"pin": "7"}),
        json!({"pin": "8"}),
        json!({"url": "evil.example"}),
        json!({"extra": 1}),
        json!({}),
    ];
    let removing = [json!({"nosuch": null}), json!({"url": null}), json!({"password": null, "pin": null})];
    let as_it_is = as_it_is.into_iter().map(|attempt| (attempt.clone(), attempt));
    as_it_is.chain(removing.into_iter().map(|attempt| (attempt, json!({})))).collect()
}

fn secrets() -> [Value; 2] {
    [
        json!({"url": "db.internal", "password": "cAnArY-password", "pin": "7"}),
        json!({"nosuch": "cAnArY-other", "pin": {"url": "x"}}),
    ]
}

struct Servers {
    guarded: Guarded,
    staging: Client,
    everywhere: Client,
    service: Client,
}

impl Servers {
    async fn start() -> Servers {
        let guarded = Guarded::start().await;
        guarded.set_policy(POLICY).await.expect("the policy is good");
        let staging = guarded.bearer("staging").await;
        let everywhere = guarded.bearer("everywhere").await;
        let service = guarded.bearer("service").await;
        Servers { guarded, staging, everywhere, service }
    }

    /// Writes a secret in the place of `db`.
    async fn put_secret(&self, config: &str, scope: &str, secret: &Value) {
        let layer = json!({"db": {"$secret": secret}, "plain": 1}).to_string();
        write(&self.guarded.admin, config, LayerKind::Base, scope, &layer).await;
    }

    /// What the editor and the service read in the place of `db`.
    async fn read(&self, config: &str, scope: &str) -> (Value, Value) {
        let request = ExplainRequest {
            namespace: "test".into(),
            config: config.into(),
            scope: scope.into(),
            ..Default::default()
        };
        let explained = self.service.api().explain(request).await.expect("explained").into_inner();
        let seen = read(&self.staging, config, scope).await;
        let revealed = read(&self.service, config, scope).await;
        let told = explained.values.iter().filter(|value| value.pointer.starts_with("/db"));
        let told: Vec<_> = told.filter(|origin| !origin.removed).collect();
        let expected = revealed.as_object().map_or(1, |members| members.len().max(1));
        assert_eq!(told.len(), expected, "Explain tells of what Get has: {explained:?}");
        (seen, revealed)
    }
}

async fn write(client: &Client, config: &str, kind: LayerKind, scope: &str, layer: &str) {
    let change = Change { config: config.into(), kind: kind.into(), ..replace(scope, layer) };
    client.api().set(set(change)).await.expect("it is written");
}

async fn read(client: &Client, config: &str, scope: &str) -> Value {
    let request = GetRequest { config: config.into(), ..get(scope) };
    let document = client.api().get(request).await.expect("it is there").into_inner().document;
    let document: Value = serde_json::from_str(&document.expect("a document").content).expect("JSON");
    document["db"].clone()
}

#[tokio::test]
async fn what_a_layer_has_in_the_place_of_a_secret_above_replaces_all_of_it() {
    let servers = Servers::start().await;
    let [secret, other] = secrets();
    for (at, (attempt, left)) in attempts().into_iter().enumerate() {
        let layer = json!({ "db": attempt }).to_string();
        for kind in [LayerKind::Base, LayerKind::Override] {
            let first = format!("first-{at}-{}", kind as i32);
            servers.put_secret(&first, "/", &secret).await;
            write(&servers.staging, &first, kind, "/staging", &layer).await;
            let (seen, revealed) = servers.read(&first, "/staging").await;
            assert_eq!(revealed, left, "the service gets what the layer has, alone");
            assert!(seen.as_str().is_some_and(|text| text.starts_with("***:")), "{seen}");
            servers.put_secret(&first, "/", &other).await;
            assert_eq!(servers.read(&first, "/staging").await, (seen.clone(), left.clone()), "{attempt}");
            // Nor is it the fingerprint of what is above.
            assert_ne!(read(&servers.guarded.admin, &first, "/staging").await, other);

            let last = format!("last-{at}-{}", kind as i32);
            write(&servers.staging, &last, kind, "/staging", &layer).await;
            for secret in [&secret, &other] {
                servers.put_secret(&last, "/", secret).await;
                let (seen, revealed) = servers.read(&last, "/staging").await;
                assert_eq!((seen, revealed), (left.clone(), left.clone()), "{attempt}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_replaces_all_that_layers_above_have_in_its_place() {
    let servers = Servers::start().await;
    let [secret, _] = secrets();
    for (at, (attempt, _)) in attempts().into_iter().enumerate() {
        let layer = json!({ "db": attempt }).to_string();
        let (first, last) = (format!("first-{at}"), format!("last-{at}"));
        servers.put_secret(&first, "/staging", &secret).await;
        let alone = servers.read(&first, "/staging").await;
        assert_eq!(alone.1, secret);
        write(&servers.everywhere, &first, LayerKind::Base, "/", &layer).await;
        assert_eq!(servers.read(&first, "/staging").await, alone, "{attempt}");
        write(&servers.everywhere, &last, LayerKind::Base, "/", &layer).await;
        servers.put_secret(&last, "/staging", &secret).await;
        assert_eq!(servers.read(&last, "/staging").await.1, secret, "{attempt}");
    }
}

#[tokio::test]
async fn nothing_tells_the_members_of_a_secret_that_is_replaced() {
    let servers = Servers::start().await;
    let owner = servers.guarded.bearer("staging-owner").await;
    servers.put_secret("app", "/", &json!({"nAmE-cAnArY": "cAnArY-value"})).await;
    write(&owner, "app", LayerKind::Base, "/staging", r#"{"db":{"$secret":{"mine":1}}}"#).await;
    let request = ExplainRequest {
        namespace: "test".into(),
        config: "app".into(),
        scope: "/staging".into(),
        ..Default::default()
    };
    let told = format!("{:?}", owner.api().explain(request).await.expect("explained").into_inner());
    assert!(told.contains("/db/mine"), "{told}");
    assert_no_canary("Explain", told.as_bytes());
}
