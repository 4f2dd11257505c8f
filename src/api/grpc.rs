//! gRPC over HTTP/2: requests to calls of the table of services, and replies to responses. Knows frames, headers and statuses; never
//! what a call does.

pub mod answer;
pub mod body;
mod compression;
mod deadline;
mod dispatch;
mod request;
pub mod status;

pub use dispatch::{Calls, passed_on};
pub use request::RequestBody;
