//! Errors of calls as such, whatever their operation: requests that cannot be read, limits on requests and responses, deadlines, and a server that
//! starts or stops. Knows no operation.

use std::time::Duration;

use http::StatusCode;

use super::error::{ApiError, Code};

/// A request that the transport could not even read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Malformed,
    TooLarge { limit: usize },
    TooManyFields { limit: usize },
    NotGrpc,
    UnknownMethod,
    Encoding,
}

impl From<Unreadable> for ApiError {
    fn from(unreadable: Unreadable) -> ApiError {
        match unreadable {
            Unreadable::Malformed => ApiError::new(
                Code::InvalidArgument,
                "MALFORMED_REQUEST",
                "the request is not the message it should be, or has text that is not UTF-8",
            ),
            Unreadable::TooLarge { limit } => message_too_large(limit, "bytes"),
            Unreadable::TooManyFields { limit } => {
                message_too_large(limit, "fields, with each item of a list,")
            }
            Unreadable::NotGrpc => ApiError::new(
                Code::InvalidArgument,
                "MALFORMED_REQUEST",
                "this is no call of gRPC, which is a POST",
            ),
            Unreadable::UnknownMethod => {
                ApiError::new(Code::Unimplemented, "UNKNOWN_METHOD", "the server has no such RPC")
                    .answered_with(StatusCode::NOT_FOUND)
            }
            Unreadable::Encoding => ApiError::new(
                Code::Unimplemented,
                "UNSUPPORTED_ENCODING",
                "the message is compressed in another way than gzip",
            ),
        }
    }
}

fn message_too_large(limit: usize, of: &str) -> ApiError {
    let message = format!("the message is larger than the {limit} {of} that the server takes");
    ApiError::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
        .with("limit", limit)
        .answered_with(StatusCode::PAYLOAD_TOO_LARGE)
}

/// The client has stopped waiting.
pub fn too_late() -> ApiError {
    ApiError::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline of the call has passed")
}

/// The client has sent the head of a call, and its message did not arrive in time.
pub fn request_too_slow(patience: Duration) -> ApiError {
    let message = format!("the request did not arrive completely within {patience:?}");
    ApiError::new(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", message)
        .answered_with(StatusCode::REQUEST_TIMEOUT)
}

/// The limit on the number or the bytes of requests that have not arrived completely is reached.
pub fn too_many_unfinished() -> ApiError {
    let message = "there are too many incomplete requests";
    ApiError::new(Code::ResourceExhausted, "TOO_MANY_UNFINISHED_REQUESTS", message)
        .retry_after(Duration::from_secs(1))
}

/// There is no room for the message beside those of other requests of the client, its address or all clients together.
pub fn too_many_in_progress() -> ApiError {
    let message = "too many large requests are being processed";
    ApiError::new(Code::ResourceExhausted, "TOO_MANY_REQUESTS_IN_PROGRESS", message)
        .retry_after(Duration::from_secs(1))
}

/// The client, its address or all clients together hold as much of unread responses as they may.
pub fn too_much_unread() -> ApiError {
    let message = "too much of earlier responses is unread: read them, or cancel their calls";
    ApiError::new(Code::ResourceExhausted, "TOO_MUCH_UNREAD", message).retry_after(Duration::from_secs(1))
}

/// The client has taken nothing of a response for too long.
pub fn response_not_taken(patience: Duration) -> ApiError {
    let message = format!("the client has taken nothing of the response for {patience:?}");
    ApiError::new(Code::ResourceExhausted, "RESPONSE_NOT_TAKEN", message).retry_after(Duration::from_secs(1))
}

/// A connection has as many open calls without a credential as it may have.
pub fn too_many_open_calls() -> ApiError {
    let message = "too many calls of health and reflection on one connection";
    ApiError::new(Code::ResourceExhausted, "TOO_MANY_OPEN_CALLS", message)
}

/// The work on a call was given up, since the process ends.
pub fn unanswered() -> ApiError {
    ApiError::new(Code::Internal, "INTERNAL", "the server has failed to answer")
}

/// A response that would be larger than clients take.
pub fn response_too_large(limit: usize) -> ApiError {
    let message = format!(
        "the answer would be larger than the {limit} bytes that fit a message: ask for less at a time"
    );
    ApiError::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
        .with("limit", limit)
        .answered_with(StatusCode::BAD_REQUEST)
}

/// All configs of a namespace have more documents for a scope than one response has.
pub fn too_many_documents(limit: usize) -> ApiError {
    let message =
        format!("there are more than {limit} documents: read them by their names, or watch the namespace");
    ApiError::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
        .with("limit", limit)
        .answered_with(StatusCode::BAD_REQUEST)
}

/// A call with more metadata than the server takes.
pub fn headers_too_large(limit: u32) -> ApiError {
    let message = format!("the metadata of the call are more than the {limit} bytes that the server takes");
    ApiError::new(Code::ResourceExhausted, "HEADERS_TOO_LARGE", message)
        .with("limit", limit)
        .answered_with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

/// The store is not open yet, or not any more.
pub fn store_not_open(retry: Duration) -> ApiError {
    ApiError::new(Code::Unavailable, "STORE_UNAVAILABLE", "the server is starting or stopping")
        .retry_in(retry)
}

/// The connection has reached its age: the stream can be opened again at once, on a new connection.
pub fn connection_too_old(retry: Duration) -> ApiError {
    let message = "the connection is as old as it may be: come back on another";
    ApiError::new(Code::Unavailable, "DRAINING", message).retry_in(retry)
}
