//! Messages of streams as JSON, each made once for all streams that are sent the same bytes. Knows descriptors; no stream.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::api::codec::{Encoded, FRAME_HEAD_BYTES};
use crate::api::error::ApiError;
use crate::api::http::transcode::{json_of_decoded, method, unwritable};
use crate::api::rpc::Rpc;
use crate::proto::v1;
use crate::proto::v1::watch_response::Event;

/// What is kept of messages that many streams are sent, in bytes.
const KEPT_BYTES_MAX: u64 = 32 << 20;
/// How many messages of a usual size that is, which the cache reserves room for.
const KEPT_ITEMS: usize = 1000;

const WATCH_RESPONSE: &str = "confwatch.v1.WatchResponse";
const RESUME_TOKEN: &str = "resume_token";

const DATA: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

/// A message as JSON.
pub struct JsonFrame {
    /// The name of the event: the member of the oneof that is set.
    pub event: Option<String>,
    /// Where to resume after the message; empty if nowhere.
    pub token: String,
    /// The lines of an event that have the message, with the empty line after them.
    text: Bytes,
    /// Of a watch: the message without the content of documents.
    pub watch: Option<v1::WatchResponse>,
    /// Other streams may be sent the same.
    pub is_shared: bool,
}

impl JsonFrame {
    /// `data: JSON` and an empty line.
    pub fn data(&self) -> Bytes {
        self.text.clone()
    }

    /// The JSON, and the end of its line.
    pub fn line(&self) -> Bytes {
        self.text.slice(DATA.len()..self.text.len() - END.len() + 1)
    }
}

/// Makes frames, and keeps those of messages that many streams are sent.
pub struct JsonFrames(Cache<Address, Kept, Bytewise>);

/// Where the bytes of a message are. They stay there for as long as the cache has them.
type Address = (usize, usize);

#[derive(Clone)]
struct Kept {
    message: Bytes,
    frame: Arc<JsonFrame>,
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<Address, Kept> for Bytewise {
    fn weight(&self, _: &Address, kept: &Kept) -> u64 {
        (kept.message.len() + kept.frame.text.len()) as u64
    }
}

impl Default for JsonFrames {
    fn default() -> JsonFrames {
        JsonFrames(Cache::with_weighter(KEPT_ITEMS, KEPT_BYTES_MAX, Bytewise))
    }
}

impl JsonFrames {
    /// The frame of a message of a stream of this RPC.
    pub fn of(&self, rpc: Rpc, message: Encoded) -> Result<Arc<JsonFrame>, ApiError> {
        let Some(shared) = message.shared_frame().cloned() else {
            return Ok(Arc::new(frame(rpc, &message.into_frame(), false)?));
        };
        let address = (shared.as_ptr() as usize, shared.len());
        if let Some(kept) = self.0.get(&address) {
            return Ok(kept.frame);
        }
        let frame = Arc::new(frame(rpc, &shared, true)?);
        // Clear text of secrets is in memory no longer than its streams need it.
        if !frame.watch.as_ref().is_some_and(reveals) {
            self.0.insert(address, Kept { message: shared, frame: frame.clone() });
        }
        Ok(frame)
    }
}

fn frame(rpc: Rpc, frame: &Bytes, is_shared: bool) -> Result<JsonFrame, ApiError> {
    let bytes = frame.slice(FRAME_HEAD_BYTES.min(frame.len())..);
    let descriptor = method(rpc).output();
    let is_watch = descriptor.full_name() == WATCH_RESPONSE;
    let message = DynamicMessage::decode(descriptor, bytes.clone()).map_err(|error| unwritable(&error))?;
    let event = message.descriptor().oneofs().next();
    let event = event.and_then(|event| event.fields().find(|member| message.has_field(member)));
    let token = message.get_field_by_name(RESUME_TOKEN);
    Ok(JsonFrame {
        event: event.map(|member| member.name().to_owned()),
        token: token.as_ref().and_then(|token| token.as_str()).unwrap_or_default().to_owned(),
        text: [DATA, &json_of_decoded(&message)?, END].concat().into(),
        watch: is_watch.then(|| without_content(bytes)).transpose()?,
        is_shared,
    })
}

fn without_content(message: Bytes) -> Result<v1::WatchResponse, ApiError> {
    let mut message = v1::WatchResponse::decode(message).map_err(|error| unwritable(&error))?;
    for state in states_mut(&mut message) {
        if let Some(document) = &mut state.document {
            document.content = String::new();
        }
    }
    Ok(message)
}

/// Whether a message shows secrets.
fn reveals(message: &v1::WatchResponse) -> bool {
    let mut documents = states(message).iter().filter_map(|state| state.document.as_ref());
    documents.any(|document| !document.revealed_pointers.is_empty())
}

fn states(message: &v1::WatchResponse) -> &[v1::TargetState] {
    match &message.event {
        Some(Event::Snapshot(snapshot)) => &snapshot.states,
        Some(Event::Update(update)) => &update.states,
        Some(Event::Progress(_)) | None => &[],
    }
}

fn states_mut(message: &mut v1::WatchResponse) -> &mut [v1::TargetState] {
    match &mut message.event {
        Some(Event::Snapshot(snapshot)) => &mut snapshot.states,
        Some(Event::Update(update)) => &mut update.states,
        Some(Event::Progress(_)) | None => &mut [],
    }
}
