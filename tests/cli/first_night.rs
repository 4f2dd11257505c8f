//! The first night: somebody's commits broke five services, among the commits of many others. Three commands find them, take them back, and show
//! that every service was sent the state without them.

use confwatch::client::{Client, ConnectOptions};
use confwatch::proto::v1::*;
use serde_json::{Value, json};

use crate::harness::Server;

const SERVICES: [&str; 5] = ["cart", "checkout", "mail", "payments", "search"];
const NOISE: usize = 300;
const BAD: usize = 10;

/// A client that says who it is.
fn client(server: &Server, actor: &str) -> Client {
    let options = ConnectOptions {
        address: server.address.clone(),
        actor: Some(actor.to_owned()),
        ..ConnectOptions::default()
    };
    Client::connect(options).expect("a client")
}

async fn set(client: &Client, namespace: &str, config: &str, scope: &str, values: Value) {
    let content = Text { format: Format::Json.into(), content: values.to_string() };
    let change = Change {
        namespace: namespace.into(),
        config: config.into(),
        scope: scope.into(),
        action: Some(change::Action::MergePatch(content)),
        ..Change::default()
    };
    client.set(change, WriteOptions::default()).await.expect("it is written");
}

/// Fills the server: services as they were, bad commits of eve with a good one of bob between them, and the noise of a pipeline.
async fn night(server: &Server) {
    let [ada, bob, eve, pipeline] = ["ada", "bob", "eve", "pipeline"].map(|actor| client(server, actor));
    for service in SERVICES {
        set(&ada, "shop", service, "/", json!({"timeout_ms": 800, "retries": 3, "limit": 10})).await;
    }
    for turn in 0..NOISE {
        if turn % (NOISE / BAD) == 7 {
            let bad = turn / (NOISE / BAD);
            let values =
                if bad < SERVICES.len() { json!({"timeout_ms": 1}) } else { json!({"retries": null}) };
            set(&eve, "shop", SERVICES[bad % SERVICES.len()], "/", values).await;
        }
        if turn == NOISE / 2 {
            set(&bob, "shop", "checkout", "/", json!({"limit": 20})).await;
        }
        set(&pipeline, "builds", "runner", "/", json!({"build": turn})).await;
    }
}

#[test]
fn three_commands_lead_from_the_alert_to_converged() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(night(&server));
    let watches = SERVICES.map(|service| {
        let watch = server.follow(&["watch", &format!("shop/{service}@/production"), "--client-id", service]);
        watch.line();
        watch
    });

    // The first command: whose commits were there, and what did they change?
    let found = server.ok(&["changes", "shop", "--since", "1h", "--by", "eve", "--diff"]);
    let revisions: Vec<&str> = found
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(revisions.len(), BAD, "{found}");
    assert!(found.contains("~ /timeout_ms: 800 -> 1") && found.contains("- /retries: 3"), "{found}");
    // The second: take all of them back by one commit, and wait for the services.
    let revert = [&["revert"], revisions.as_slice(), &["--reason", "incident 7", "--yes", "--wait"]].concat();
    let reverted = server.ok(&revert);
    assert!(reverted.ends_with("5 of 5 watchers have it\n"), "{reverted}");
    // The third: does everybody have the present state?
    let watchers = server.ok(&["watchers", "shop"]);
    assert!(watchers.contains("5 watchers, 0 behind"), "{watchers}");

    for (service, watch) in SERVICES.iter().zip(watches) {
        let limit = if *service == "checkout" { 20 } else { 10 };
        let expected = json!({"limit": limit, "retries": 3, "timeout_ms": 800});
        let document: Value = serde_json::from_str(&server.ok(&[
            "get",
            &format!("shop/{service}@/production"),
            "--format",
            "json",
        ]))
        .expect("JSON");
        assert_eq!(document, expected, "{service}: the good commit of bob is kept");
        drop(watch);
    }
    let last = server.json(&["changes", "shop", "--count", "1"]);
    assert_eq!((&last["actor"], &last["reason"]), (&json!("ada@test"), &json!("incident 7")));
}
