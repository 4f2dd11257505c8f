//! The services of the contract over the engine. Knows engine, model and the wire; never a store's insides, a socket or a process.
//!
//! `operations` is what each RPC does, `services` the one table of them, and `intake` lets calls in past the `guard`. `grpc` and `http` are the
//! transports that bring them.

pub mod answer;
mod backup_errors;
pub mod body;
pub mod call_errors;
pub mod code_name;
pub mod codec;
mod compression;
pub mod context;
mod convert;
mod denials;
mod disclosures;
mod engine_errors;
pub mod error;
mod error_details;
pub mod failures;
pub mod grpc;
pub mod guard;
pub mod http;
pub mod in_progress;
mod intake;
pub mod network;
mod operations;
pub mod reply;
mod report;
pub mod request_body;
pub mod rpc;
mod services;
mod session_log;
mod task;
pub mod unread;

use std::sync::Arc;

use crate::audit::Recorder;
use crate::auth::Access;
use crate::engine::Engine;
use crate::proto::v1;

use context::CallContext;
use error::ApiError;
use guard::Guard;
use intake::Intake;
use operations::Operations;
use rpc::Rpc;

pub use operations::audit::{COMMITTED, Gap, Trail, TrailItem, commits_proof, records_proofs, verb};
pub use report::{ReadReport, ServerReport};

/// The services, to be served on any connection to those whom the guard lets in, by gRPC and by HTTP.
pub fn calls(
    engine: Arc<Engine>,
    guard: Guard,
    recorder: Recorder,
    report: ReadReport,
    browsers: &http::BrowserSettings,
) -> (grpc::Calls, http::Calls) {
    let intake = Intake::new(Operations::new(engine, guard, recorder, report));
    (grpc::Calls::new(intake.clone()), http::Calls::new(intake, browsers))
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
