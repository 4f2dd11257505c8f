//! What is read and written: documents of 1 KB, and the encoded requests. Knows no server.

use std::ops::Range;

use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::*;
use prost::Message;

pub const CONFIGS: usize = 10_000;
/// The one that is watched.
pub const WATCHED: usize = 0;
const NAMESPACE: &str = "bench";

pub fn get_request(rng: &mut fastrand::Rng) -> Vec<u8> {
    let config = config_name(rng.usize(..CONFIGS));
    GetRequest { namespace: NAMESPACE.into(), config, ..Default::default() }.encode_to_vec()
}

/// Always another document.
pub fn set_request(rng: &mut fastrand::Rng) -> Vec<u8> {
    set(rng.usize(..CONFIGS), rng.u64(..))
}

pub fn set(config: usize, counter: u64) -> Vec<u8> {
    SetRequest { change: Some(change(config, counter)), options: None }.encode_to_vec()
}

pub fn watch_request() -> Vec<u8> {
    let hour = prost_types::Duration { seconds: 3600, nanos: 0 };
    WatchRequest { targets: vec![target()], progress_interval: Some(hour), ..Default::default() }
        .encode_to_vec()
}

pub fn batch(configs: Range<usize>) -> ApplyRequest {
    ApplyRequest { changes: configs.map(|config| change(config, 0)).collect(), options: None }
}

pub fn config_name(config: usize) -> String {
    format!("service-{config:04}")
}

fn change(config: usize, counter: u64) -> Change {
    Change {
        namespace: NAMESPACE.into(),
        config: config_name(config),
        action: Some(Action::Replace(Text { content: content(counter), format: Format::Json.into() })),
        ..Default::default()
    }
}

/// 1 KB of the kind that services are configured with.
fn content(counter: u64) -> String {
    let database = format!(
        r#"{{"host":"db-{:02}.internal","pool":{{"max":{},"min":2}},"port":5432,"tls":true}}"#,
        counter % 50,
        counter % 90 + 10
    );
    let features = (0..12).map(|n| format!(r#""feature-{n:02}":{}"#, counter >> n & 1 == 1));
    let features = features.collect::<Vec<_>>().join(",");
    let hosts =
        (0..14).map(|n| format!(r#""10.{}.0.{n}:8080""#, counter % 250)).collect::<Vec<_>>().join(",");
    let text = format!(
        r#"{{"counter":{counter},"database":{database},"features":{{{features}}},"hosts":[{hosts}],"log":{{"format":"json","level":"info"}},"timeout_ms":{}"#,
        counter % 1000
    );
    format!(r#"{text},"title":"{:-<1$}"}}"#, "checkout", 1024 - text.len() - 12)
}

fn target() -> WatchTarget {
    WatchTarget {
        namespace: NAMESPACE.into(),
        config: config_name(WATCHED),
        scope: "/".into(),
        ..Default::default()
    }
}

/// What the service answers, in size and shape.
pub fn document(config: String, content: String) -> Document {
    let digest = format!("sha256:{:064}", 0);
    let layer = LayerRef {
        scope: "/".into(),
        kind: LayerKind::Base.into(),
        version: 1,
        digest: digest.clone(),
        expire_time: None,
        format: Format::Json.into(),
    };
    Document {
        namespace: NAMESPACE.into(),
        config,
        scope: "/".into(),
        view: View::Effective.into(),
        version: 1,
        revision: 1,
        digest,
        content,
        format: Format::Json.into(),
        update_time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 500_000_000 }),
        layers: vec![layer],
    }
}

pub fn get_response(config: usize) -> GetResponse {
    let document = document(config_name(config), content(0));
    GetResponse { document: Some(document), not_modified: false, store_revision: 10 }
}

pub fn watch_response(document: Document) -> WatchResponse {
    let state =
        TargetState { target: Some(target()), state: State::Present.into(), document: Some(document) };
    WatchResponse {
        revision: 1,
        resume_token: "0123456789abcdef-1000".into(),
        event: Some(watch_response::Event::Update(Update { states: vec![state], more: false })),
        ..Default::default()
    }
}
