//! The gRPC services over the engine. Knows engine, model and the wire; never a store's insides, a socket or a process.
//!
//! `framed` is the way in, `service` the list of calls; `reads`, `writes` and `streams` are what they do: check, call, convert.

pub mod answer;
pub mod codec;
mod convert;
mod deadline;
mod framed;
mod page;
pub mod peer;
mod reads;
mod schemas;
mod secrets;
mod service;
pub mod status;
mod streams;
mod transport;
mod validate;
mod writes;

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::engine::{Engine, Secrets};
use crate::proto::v1;

pub use framed::{Calls, RequestBody, aside};

/// What a client may send, and what it receives by default.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What every caller sees of secrets: calls are not told apart yet.
const SECRETS: Secrets = Secrets::Revealed;
/// The metadata by which a client says who it is.
const ACTOR_KEY: &str = "confwatch-actor";
const ACTOR_BYTES_MAX: usize = 256;

/// The generated server.
mod server {
    include!(concat!(env!("OUT_DIR"), "/server/confwatch.v1.rs"));
}

/// `ConfigService` over an engine.
#[derive(Clone)]
struct Api {
    engine: Arc<Engine>,
}

/// ConfigService, to be served on any connection.
pub fn calls(engine: Arc<Engine>) -> Calls {
    Calls::new(Api { engine })
}

/// What Validate of ConfigService answers, without any transport.
pub async fn validate(
    engine: Arc<Engine>,
    request: v1::ValidateRequest,
) -> Result<v1::ValidateResponse, Status> {
    Api { engine }.validate_changes(request).await
}

/// Who calls, as they claim: percent-encoded UTF-8, without control characters.
fn actor(metadata: &MetadataMap) -> String {
    let claimed = metadata.get(ACTOR_KEY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let actor: String =
        percent_decode_str(claimed).decode_utf8_lossy().chars().filter(|c| !c.is_control()).collect();
    match actor.trim() {
        "" => "anonymous".into(),
        actor => actor.chars().take(ACTOR_BYTES_MAX).collect(),
    }
}
