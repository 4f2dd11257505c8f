//! The gRPC services over the engine. Knows engine, model and the wire; never a store's insides, a socket or a process.
//!
//! `framed` is the way in, `service` the list of calls; `reads`, `writes` and `streams` are what they do: check, call, convert.

pub mod answer;
mod audit;
pub mod audited;
mod auth;
pub mod codec;
mod compression;
mod configs;
pub mod context;
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
pub mod unread;
mod validate;
mod writes;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::Status;

use crate::audit::Recorder;
use crate::auth::Access;
use crate::engine::Engine;
use crate::proto::v1;

use context::CallContext;
use guard::Guard;

pub use audit::{COMMITTED, Gap, Trail, TrailItem, verb};
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
    recorder: Recorder,
    /// A permit for each stream of the audit trail that may be open.
    audit_streams: Arc<Semaphore>,
}

impl Api {
    fn new(engine: Arc<Engine>, guard: Guard, recorder: Recorder) -> Api {
        let audit_streams = Arc::new(Semaphore::new(audit::STREAMS_MAX));
        Api { engine, guard, recorder, audit_streams }
    }
}

/// The services, to be served on any connection to those whom the guard lets in.
pub fn calls(engine: Arc<Engine>, guard: Guard, recorder: Recorder) -> Calls {
    Calls::new(Api::new(engine, guard, recorder))
}

/// What Validate of ConfigService answers, without any transport.
pub async fn validate(
    engine: Arc<Engine>,
    request: v1::ValidateRequest,
) -> Result<v1::ValidateResponse, Status> {
    let context = CallContext::within(Access::unrestricted("anonymous").expect("a name"));
    Api::new(engine, Guard::off(), Recorder::none()).validate_changes(&context, request).await
}
