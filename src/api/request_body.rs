//! The body of a request, as connections hand it to the transports, and why it could not be read. Knows no protocol.

use std::time::Duration;

use bytes::Bytes;
use tonic::Status;

use super::call_errors::{request_too_slow, too_many_unfinished};
use super::error::ApiError;

/// The body of a request, as servers of HTTP have it.
pub trait RequestBody:
    http_body::Body<Data = Bytes, Error: std::error::Error + Into<BodyError> + Send + Sync>
    + Send
    + Unpin
    + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Into<BodyError> + Send + Sync>
        + Send
        + Unpin
        + 'static
{
}

/// Why the server reads no more of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRefusal {
    /// It did not arrive completely within this time.
    TooSlow(Duration),
    /// The limit on requests that have not arrived completely is reached.
    TooManyUnfinished,
}

impl From<BodyRefusal> for ApiError {
    fn from(refusal: BodyRefusal) -> ApiError {
        match refusal {
            BodyRefusal::TooSlow(patience) => request_too_slow(patience),
            BodyRefusal::TooManyUnfinished => too_many_unfinished(),
        }
    }
}

/// Why the body of a request could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the body of a request could not be read: {status}")]
pub struct BodyError {
    /// Readers of gRPC find it by the chain of sources.
    #[source]
    status: Status,
    refusal: Option<BodyRefusal>,
}

impl BodyError {
    /// The client or the network broke the body off.
    pub fn broken(error: Box<dyn std::error::Error + Send + Sync>) -> BodyError {
        Status::from_error(error).into()
    }

    /// Why the server reads no more. `None`: the client broke the body off, and waits for nothing.
    pub fn refusal(&self) -> Option<BodyRefusal> {
        self.refusal
    }
}

impl From<BodyRefusal> for BodyError {
    fn from(refusal: BodyRefusal) -> BodyError {
        BodyError { status: ApiError::from(refusal).into(), refusal: Some(refusal) }
    }
}

impl From<Status> for BodyError {
    fn from(status: Status) -> BodyError {
        BodyError { status, refusal: None }
    }
}
