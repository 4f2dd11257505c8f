//! Responses with content in one piece, and the headers of every response. Knows bytes and headers; no JSON.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::api::answer::Outcome;
use crate::api::body::ResponseBody;
use crate::api::codec::Encoded;
use crate::api::error::Code;

/// A response with this content. `code`: how the call has ended, `None` for one that went well.
pub fn response(
    status: StatusCode,
    content_type: HeaderValue,
    content: Bytes,
    code: Option<Code>,
) -> Response<ResponseBody> {
    let length = content.len() as u64;
    let mut response = Response::new(ResponseBody::Content(Encoded::of_body(content)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response.extensions_mut().insert(Outcome(code));
    response
}

/// A response of a call that went well, without content.
pub fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Ended);
    *response.status_mut() = status;
    response.extensions_mut().insert(Outcome(None));
    response
}

/// The same response without its content, for HEAD.
pub fn without_content(response: Response<ResponseBody>) -> Response<ResponseBody> {
    response.map(|_| ResponseBody::Ended)
}

/// The headers of every response: browsers take no content for another type than its own, and nobody keeps what may be a secret.
pub fn add_headers(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
