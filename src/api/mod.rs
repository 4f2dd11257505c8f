//! The gRPC services over the engine. Knows engine, model and the wire; never a store's insides, a socket or a process.
//!
//! `framed` is the way in, `service` the list of calls; `reads`, `writes` and `streams` are what they do: check, call, convert.

pub mod answer;
mod auth;
pub mod codec;
mod convert;
mod deadline;
mod framed;
pub mod guard;
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

use tonic::Status;

use crate::auth::Access;
use crate::engine::Engine;
use crate::proto::v1;

use guard::Guard;

pub use framed::{Calls, RequestBody, aside};

/// What a client receives by default.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The generated server.
mod server {
    include!(concat!(env!("OUT_DIR"), "/server/confwatch.v1.rs"));
}

/// The services over an engine, behind a guard.
#[derive(Clone)]
struct Api {
    engine: Arc<Engine>,
    guard: Guard,
}

/// The services, to be served on any connection to those whom the guard lets in.
pub fn calls(engine: Arc<Engine>, guard: Guard) -> Calls {
    Calls::new(Api { engine, guard })
}

/// What Validate of ConfigService answers, without any transport.
pub async fn validate(
    engine: Arc<Engine>,
    request: v1::ValidateRequest,
) -> Result<v1::ValidateResponse, Status> {
    let access = Access::unrestricted("anonymous").expect("a name");
    Api { engine, guard: Guard::off() }.validate_changes(&access, request).await
}
