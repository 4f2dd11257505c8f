//! The services of the contract over the engine. Knows engine, model and the wire; never a store's insides, a socket or a process.
//!
//! `operations` is what each RPC does, `services` the one table of them, `guard` lets calls in, and `grpc` brings them: another transport
//! is one more folder beside it.

mod backup_errors;
pub mod call_errors;
pub mod codec;
pub mod context;
mod convert;
mod denials;
mod disclosures;
mod engine_errors;
pub mod error;
pub mod failures;
pub mod grpc;
pub mod guard;
pub mod in_progress;
pub mod network;
mod operations;
pub mod reply;
mod report;
pub mod rpc;
mod services;
mod task;
pub mod unread;

use std::sync::Arc;

use crate::audit::Recorder;
use crate::auth::Access;
use crate::engine::Engine;
use crate::proto::v1;

use context::CallContext;
use error::ApiError;
use grpc::Calls;
use guard::Guard;
use operations::Operations;
use rpc::Rpc;

pub use operations::audit::{COMMITTED, Gap, Trail, TrailItem, commits_proof, records_proofs, verb};
pub use report::{ReadReport, ServerReport};

/// The services, to be served on any connection to those whom the guard lets in.
pub fn calls(engine: Arc<Engine>, guard: Guard, recorder: Recorder, report: ReadReport) -> Calls {
    Calls::new(Operations::new(engine, guard, recorder, report))
}

/// What Validate of ConfigService answers, without any transport.
pub async fn validate(
    engine: Arc<Engine>,
    request: v1::ValidateRequest,
) -> Result<v1::ValidateResponse, ApiError> {
    let access = Access::unrestricted("anonymous").expect("a name");
    let context = CallContext::within(Rpc::ConfigServiceValidate, access);
    Operations::new(engine, Guard::off(), Recorder::none(), Arc::new(ServerReport::default))
        .validate(&context, request)
        .await
}
