//! Puts very many layers into a server, in large commits. Knows no measurement.

use confwatch::client::Client;
use confwatch::proto::v1::{Change, Format, Text, WriteOptions, change::Action};
use tokio::task::JoinSet;

use super::options::Options;
use super::server::Server;

pub const NAMESPACE: &str = "bench";
/// Of each config, each at another scope; the first is at `/`.
const SCOPES: usize = 100;
/// What Apply takes at most.
const CHANGES: usize = 1000;
const UNDER_WAY: usize = 4;

pub async fn fill(options: &Options, server: &Server) {
    let client = server.client();
    let mut calls = JoinSet::new();
    for first in (0..options.layers).step_by(CHANGES) {
        if calls.len() >= UNDER_WAY {
            calls.join_next().await.expect("there are some").expect("a batch is taken");
        }
        let changes: Vec<Change> = (first..(first + CHANGES).min(options.layers))
            .map(|number| layer(number, content(number, 0, options.bytes)))
            .collect();
        let client = client.clone();
        calls.spawn(
            async move { client.apply(changes, WriteOptions::default()).await.expect("it is written") },
        );
    }
    while calls.join_next().await.transpose().expect("a batch is taken").is_some() {}
    server.quiet();
}

/// Replaces the layer with this number.
pub fn layer(number: usize, content: String) -> Change {
    let (config, scope) = place(number);
    Change {
        namespace: NAMESPACE.into(),
        config,
        scope,
        action: Some(Action::Replace(Text { format: Format::Json.into(), content })),
        ..Change::default()
    }
}

/// Config and scope.
pub fn place(number: usize) -> (String, String) {
    let scope = match number % SCOPES {
        0 => "/".to_owned(),
        scope => format!("/scope-{scope:02}"),
    };
    (format!("service-{:06}", number / SCOPES), scope)
}

/// A document of so many bytes that says what it is, and does not compress to nothing.
pub fn content(number: usize, turn: u64, bytes: usize) -> String {
    let mut text = format!(r#"{{"number":{number},"turn":{turn},"timeout_ms":250,"value":""#);
    let mut random = fastrand::Rng::with_seed(number as u64 ^ turn << 32);
    let end = "\"}";
    while text.len() + end.len() < bytes {
        // Words, as in configuration, and not only noise.
        match random.u8(..4) {
            0 => text.push_str("checkout-"),
            1 => text.push_str("eu-central-1 "),
            _ => text.push(random.alphanumeric()),
        }
    }
    text.truncate(bytes.saturating_sub(end.len()).max(text.find("value").unwrap_or(0) + 8));
    text + end
}

/// Waits until the server answers with a document, and checks which.
pub async fn check_answers(client: &Client, number: usize) {
    let (config, scope) = place(number);
    let document = client.get((NAMESPACE, config.as_str(), scope.as_str())).await.expect("an answer");
    let content = document.expect("there is such a config").content;
    assert!(content.contains(&format!(r#""number":{number},"#)), "{content}");
}
