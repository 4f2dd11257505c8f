//! The Connect protocol for calls with one response (<https://connectrpc.com/docs/protocol#unary-request>): who speaks it, and its form of an error.
//! Knows headers and `ApiError`; never why a call failed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use prost::Message;
use serde::Serialize;
use serde_json::{Value, json};
use tonic_types::pb;

use super::content::{self, add_headers};
use super::errors::invalid;
use super::problem::add_headers_of;
use super::transcode::json_of;
use crate::api::body::ResponseBody;
use crate::api::context::REQUEST_ID;
use crate::api::error::{ApiError, Code};
use crate::api::error_details::details;

/// Clients of Connect send it with `1`.
static VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");

/// The content of requests and responses that are messages of protobuf.
pub const PROTO: &str = "application/proto";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Whether a client speaks Connect. Who sends JSON may do so without the header, and then has the errors of all others.
pub fn is_spoken(headers: &HeaderMap) -> bool {
    headers.contains_key(&VERSION) || is_proto(headers)
}

/// Whether the content of a request is a message of protobuf.
pub fn is_proto(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(PROTO.as_bytes()))
}

/// Refuses other versions of the protocol.
pub fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(&VERSION).map(HeaderValue::as_bytes) {
        None | Some(b"1") => Ok(()),
        Some(_) => Err(invalid(VERSION.as_str(), "must be 1")),
    }
}

/// The content of a response that has nothing but an error.
#[derive(Serialize)]
struct ConnectError<'a> {
    code: String,
    message: &'a str,
    details: Vec<ErrorDetail>,
}

#[derive(Serialize)]
struct ErrorDetail {
    r#type: &'static str,
    /// In base64.
    value: String,
    /// The same for people.
    debug: Value,
}

/// The response to a request that is refused before its call has a context.
pub fn refusal(error: &ApiError) -> Response<ResponseBody> {
    response(error, None)
}

/// The response to a request whose call failed. `call_id` is the name that the client gave to the call.
pub fn response(error: &ApiError, call_id: Option<&HeaderValue>) -> Response<ResponseBody> {
    // The protocol has one status for each code. These two are of HTTP itself.
    let status = match error.http() {
        of_http @ (StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::METHOD_NOT_ALLOWED) => of_http,
        _ => error.code.http(),
    };
    let mut response = content::response(status, JSON, json_text(error), Some(error.code));
    add_headers_of(error, status, response.headers_mut());
    if let Some(id) = call_id {
        response.headers_mut().insert(&REQUEST_ID, id.clone());
    }
    add_headers(response.headers_mut());
    response
}

fn json_text(error: &ApiError) -> Bytes {
    let details = details(error).map(|(name, value)| {
        let debug = debug(name, &value);
        ErrorDetail { r#type: name, value: STANDARD_NO_PAD.encode(value), debug }
    });
    let error = ConnectError { code: code(error.code), message: &error.message, details: details.collect() };
    serde_json::to_vec(&error).expect("the error has string keys").into()
}

/// `NOT_FOUND` as `not_found`. One name is written in another way than that of gRPC.
fn code(code: Code) -> String {
    match code {
        Code::Cancelled => "canceled".to_owned(),
        code => code.name().to_ascii_lowercase(),
    }
}

/// A detail as JSON.
fn debug(name: &str, value: &[u8]) -> Value {
    match name.strip_prefix("confwatch.v1.") {
        Some(name) => json_of(name, value),
        None => debug_of_google(name, value).unwrap_or_default(),
    }
}

/// The descriptors of these messages are not part of the contract.
fn debug_of_google(name: &str, value: &[u8]) -> Option<Value> {
    match name {
        "google.rpc.ErrorInfo" => {
            let info = pb::ErrorInfo::decode(value).ok()?;
            Some(json!({"reason": info.reason, "domain": info.domain, "metadata": info.metadata}))
        }
        "google.rpc.BadRequest" => {
            let violations = pb::BadRequest::decode(value).ok()?.field_violations.into_iter();
            let violations = violations.map(|of| json!({"field": of.field, "description": of.description}));
            Some(json!({"field_violations": violations.collect::<Vec<_>>()}))
        }
        "google.rpc.RetryInfo" => {
            let delay = pb::RetryInfo::decode(value).ok()?.retry_delay?;
            Some(json!({"retry_delay": delay.to_string()}))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_error_has_the_form_of_the_protocol() {
        let error = ApiError::of_field(Code::ResourceExhausted, "RATE_LIMITED", "scope", "too often")
            .with("limit", 7)
            .answered_with(StatusCode::PAYLOAD_TOO_LARGE)
            .retry_in(Duration::from_millis(1500));
        let id = HeaderValue::from_static("call-1");
        let response = response(&error, Some(&id));
        assert_eq!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS,
            "the protocol has one status for a code"
        );
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().expect("ASCII"));
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!((header("retry-after"), header("x-request-id")), (Some("2"), Some("call-1")));
        let value: Value = serde_json::from_slice(&json_text(&error)).expect("JSON");
        assert_eq!(
            (&value["code"], &value["message"]),
            (&json!("resource_exhausted"), &json!("scope: too often"))
        );
        let details = value["details"].as_array().expect("details");
        let names: Vec<&str> =
            details.iter().map(|detail| detail["type"].as_str().expect("a name")).collect();
        assert_eq!(names, ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo"]);
        let bytes =
            STANDARD_NO_PAD.decode(details[0]["value"].as_str().expect("base64")).expect("without padding");
        assert_eq!(pb::ErrorInfo::decode(&*bytes).expect("a message").reason, "RATE_LIMITED");
        assert_eq!(details[0]["debug"]["metadata"]["limit"], "7");
        assert_eq!(details[1]["debug"]["field_violations"][0]["field"], "scope");
        assert_eq!(details[2]["debug"]["retry_delay"], "1.500s");
    }

    #[test]
    fn codes_are_written_as_the_protocol_has_them() {
        assert_eq!(code(Code::Cancelled), "canceled");
        assert_eq!(code(Code::FailedPrecondition), "failed_precondition");
    }
}
