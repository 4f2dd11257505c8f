//! The errors of requests over HTTP as such: paths, methods, media types, JSON and the rules for browsers. Knows no operation.

use http::StatusCode;

use crate::api::error::{ApiError, Code};

/// In the metadata of an error: the methods of the path, for the header `Allow`.
pub const ALLOW: &str = "allow";

/// In the metadata of an error: the content codings that the server reads, for the header `Accept-Encoding`.
pub const ACCEPT_ENCODING: &str = "accept_encoding";

/// There is nothing at this path.
pub fn unknown_path() -> ApiError {
    ApiError::new(Code::NotFound, "UNKNOWN_PATH", "the server has nothing at this path")
}

/// The path takes other methods.
pub fn method_not_allowed(allow: &str) -> ApiError {
    let message = format!("the path takes another method: {allow}");
    ApiError::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", message)
        .with(ALLOW, allow)
        .answered_with(StatusCode::METHOD_NOT_ALLOWED)
}

/// The content of the request is not of a type that the path takes.
pub fn unsupported_media_type(expected: &str) -> ApiError {
    let message = format!("the content-type must be {expected}");
    ApiError::new(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", message)
        .with("expected", expected)
        .answered_with(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// The content of the request has a content coding that the server does not read.
pub fn unsupported_content_encoding(expected: &str) -> ApiError {
    let message = format!("the content-encoding must be {expected}, or there must be none");
    ApiError::new(Code::Unimplemented, "UNSUPPORTED_ENCODING", message)
        .with(ACCEPT_ENCODING, expected)
        .answered_with(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// The content of the request is not what its content-encoding says.
pub fn not_unpacked() -> ApiError {
    malformed_content(
        "the content is not in gzip, as its content-encoding says, or is not complete".to_owned(),
        None,
    )
}

/// The client takes no type of content that the path has.
pub fn not_acceptable(offered: &str) -> ApiError {
    ApiError::new(Code::InvalidArgument, "NOT_ACCEPTABLE", format!("the response can only be {offered}"))
        .with("offered", offered)
        .answered_with(StatusCode::NOT_ACCEPTABLE)
}

/// The content of a request cannot be read. `place` are its line and column, from 1.
pub fn malformed_content(message: String, place: Option<(usize, usize)>) -> ApiError {
    let error = ApiError::new(Code::InvalidArgument, "MALFORMED_REQUEST", message);
    match place {
        Some((line, column)) => error.with("line", line).with("column", column),
        None => error,
    }
}

/// The content of the request broke off, or is not framed as HTTP has it.
pub fn broken_off() -> ApiError {
    malformed_content("the content of the request is not complete".to_owned(), None)
}

/// A field of the request is wrong, wherever in the request it was given.
pub fn invalid(field: &str, description: &str) -> ApiError {
    ApiError::of_field(Code::InvalidArgument, "INVALID_FIELD", field, description)
}

/// What the client has is not what the server has. `current` is the tag of that.
pub fn precondition_failed(current: &str) -> ApiError {
    let message = format!("the current ETag is {current}");
    ApiError::new(Code::FailedPrecondition, "PRECONDITION_FAILED", message)
        .with("etag", current)
        .answered_with(StatusCode::PRECONDITION_FAILED)
}

/// The tags of the client have all been weakened, and `If-Match` compares strongly.
pub fn weak_tag() -> ApiError {
    let message =
        "if-match has weak ETags alone, which match nothing: use the ETag as the server sent it, without W/";
    ApiError::new(Code::FailedPrecondition, "PRECONDITION_FAILED", message)
        .answered_with(StatusCode::PRECONDITION_FAILED)
}

/// The write must say what it expects.
pub fn match_required(message: &str) -> ApiError {
    ApiError::new(Code::FailedPrecondition, "MATCH_REQUIRED", message)
        .about_field("if-match", "must be given")
        .answered_with(StatusCode::PRECONDITION_REQUIRED)
}

/// A page of another site made a browser send the request.
pub fn cross_site() -> ApiError {
    let message =
        "a page of another site has sent this request: only pages of the server may change something";
    ApiError::new(Code::PermissionDenied, "CROSS_SITE_REQUEST", message)
}

/// A request with the cookie of a session was sent by no page of the server.
pub fn not_of_own_page() -> ApiError {
    let message = "a request with the cookie of a session must come from a page of the server: with `sec-fetch-site: same-origin`, or with its own origin";
    ApiError::new(Code::PermissionDenied, "CROSS_SITE_REQUEST", message)
}

/// A server that authenticates nobody was called by a name that others can give to it.
pub fn host_not_local(host: &str) -> ApiError {
    let message = format!(
        "the server authenticates nobody, and takes no request for the host {host:?}: call it by localhost or by its IP address"
    );
    ApiError::new(Code::PermissionDenied, "HOST_NOT_LOCAL", message)
}

/// The RPC answers with a stream of messages.
pub fn answers_with_stream() -> ApiError {
    let message = "the call is answered with a stream of messages, by gRPC only";
    ApiError::new(Code::Unimplemented, "UNKNOWN_METHOD", message).answered_with(StatusCode::NOT_FOUND)
}

/// A call of gRPC over HTTP/1.1.
pub fn http2_required() -> ApiError {
    ApiError::new(
        Code::Unimplemented,
        "HTTP2_REQUIRED",
        "gRPC needs HTTP/2: over HTTP/1.1 the server takes JSON",
    )
    .answered_with(StatusCode::HTTP_VERSION_NOT_SUPPORTED)
}
