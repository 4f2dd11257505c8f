//! gRPC over HTTP/2: requests to calls of the table of services, and replies to responses. Knows frames, headers and statuses; never
//! what a call does.

mod compression;
mod deadline;
mod dispatch;
mod request;
pub mod status;

pub use dispatch::{Calls, is_grpc, passed_on};
