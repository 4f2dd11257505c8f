//! The answers of the ceiling: in size and shape those of the service, framed as they go over the wire.

use bytes::{BufMut, Bytes};
use confwatch::proto::v1::*;
use prost::Message;

use crate::wire::{NAMESPACE, target};

pub fn get_response(config: String, content: String) -> Bytes {
    let document = Some(document(config, content));
    framed(&GetResponse { document, not_modified: false, store_revision: 10 })
}

pub fn set_response(config: String, content: String) -> Bytes {
    let report = Some(ValidationReport { valid: true, findings: vec![], omitted: 0 });
    let document = Some(document(config, content));
    framed(&SetResponse { document, changed: true, report, store_revision: 1, reach: None })
}

pub fn update(number: usize, config: String, content: String) -> Bytes {
    let states = vec![state(number, Some(document(config, content)))];
    watch_response(watch_response::Event::Update(Update { states, more: false }))
}

/// For one who holds it all already.
pub fn current(number: usize) -> Bytes {
    let states = vec![TargetState { state: State::Current.into(), ..state(number, None) }];
    watch_response(watch_response::Event::Snapshot(Snapshot { states, more: false, is_reset: false }))
}

pub fn snapshot(documents: impl Iterator<Item = (usize, String, String)>) -> Bytes {
    let state = |(number, config, content)| state(number, Some(document(config, content)));
    let states = documents.map(state).collect();
    watch_response(watch_response::Event::Snapshot(Snapshot { states, more: false, is_reset: false }))
}

fn state(number: usize, document: Option<Document>) -> TargetState {
    TargetState { target: Some(target(number, "")), state: State::Present.into(), document }
}

fn watch_response(event: watch_response::Event) -> Bytes {
    let resume_token = "0123456789abcdef-1000".into();
    framed(&WatchResponse { revision: 1, resume_token, event: Some(event), ..Default::default() })
}

fn document(config: String, content: String) -> Document {
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
        ..Default::default()
    }
}

fn framed(message: &impl Message) -> Bytes {
    let bytes = message.encoded_len();
    let mut frame = Vec::with_capacity(5 + bytes);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(bytes).expect("messages are small"));
    message.encode(&mut frame).expect("a vector takes everything");
    frame.into()
}
