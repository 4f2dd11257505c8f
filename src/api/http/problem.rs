//! The response that has nothing but an error: `application/problem+json` as RFC 9457 has it. Knows `ApiError`; never why a call failed.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use prost::Message;
use serde::Serialize;
use serde_json::Value;

use super::content::{self, add_headers};
use super::errors;
use super::transcode::json_of;
use crate::api::body::ResponseBody;
use crate::api::context::REQUEST_ID;
use crate::api::error::{ApiError, Detail};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Where the reasons of errors are described. The reason is the fragment.
const REASONS: &str = "https://github.com/confwatch/confwatch/blob/main/docs/clients.md#";

/// The content of the response.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    /// As the client named the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'static str,
    reason: &'static str,
    metadata: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<Value>,
    /// Findings that the response has no room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings_omitted: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflicts: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflicts_omitted: Option<Value>,
}

#[derive(Serialize)]
struct Violation<'a> {
    field: &'a str,
    description: &'a str,
}

/// The response to a request that is refused before its call has a context.
pub fn refusal(error: &ApiError) -> Response<ResponseBody> {
    problem(error, None)
}

/// The response to a request whose call failed. `call_id` is the name that the client gave to the call.
pub fn problem(error: &ApiError, call_id: Option<&HeaderValue>) -> Response<ResponseBody> {
    let status = error.http();
    let instance = call_id.and_then(|id| id.to_str().ok());
    let mut response = content::response(status, PROBLEM_JSON, json(error, instance), Some(error.code));
    add_headers_of(error, status, response.headers_mut());
    if let Some(id) = call_id {
        response.headers_mut().insert(&REQUEST_ID, id.clone());
    }
    add_headers(response.headers_mut());
    response
}

/// The error as problem+json.
pub fn json(error: &ApiError, instance: Option<&str>) -> Bytes {
    let mut problem = Problem {
        r#type: format!("{REASONS}{}", error.reason),
        title: title(error.reason),
        status: error.http().as_u16(),
        detail: &error.message,
        instance,
        code: error.code.name(),
        reason: error.reason,
        metadata: error.metadata.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        violations: vec![],
        findings: None,
        findings_omitted: None,
        conflicts: None,
        conflicts_omitted: None,
    };
    for detail in &error.details {
        match detail {
            Detail::Field { field, description } => problem.violations.push(Violation { field, description }),
            Detail::Findings(report) => {
                [problem.findings, problem.findings_omitted] =
                    parts("ValidationReport", report, ["findings", "omitted"]);
            }
            Detail::Conflicts(conflicts) => {
                [problem.conflicts, problem.conflicts_omitted] =
                    parts("RevertConflicts", conflicts, ["conflicts", "omitted"]);
            }
        }
    }
    serde_json::to_vec(&problem).expect("the problem has string keys").into()
}

/// These fields of a message of the contract, as JSON.
fn parts<const N: usize>(name: &str, message: &impl Message, fields: [&str; N]) -> [Option<Value>; N] {
    let mut value = json_of(name, &message.encode_to_vec());
    fields.map(|field| value.get_mut(field).map(Value::take))
}

/// `VERSION_MISMATCH` as `Version mismatch`.
fn title(reason: &str) -> String {
    let words = reason.replace('_', " ");
    let mut characters = words.chars();
    let first = characters.next();
    first.into_iter().chain(characters.map(|c| c.to_ascii_lowercase())).collect()
}

pub fn add_headers_of(error: &ApiError, status: StatusCode, headers: &mut HeaderMap) {
    debug_assert!(headers.contains_key(CONTENT_TYPE));
    if let Some(delay) = error.retry {
        // Whole seconds, and no earlier than the error says.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = match error.reason {
            "NO_CREDENTIAL" => "Bearer realm=\"confwatch\"",
            _ => "Bearer realm=\"confwatch\", error=\"invalid_token\"",
        };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    for (name, header) in [(errors::ALLOW, ALLOW), (errors::ACCEPT_ENCODING, ACCEPT_ENCODING)] {
        let value = error.metadata.iter().find(|(of, _)| *of == name);
        if let Some(value) = value.and_then(|(_, value)| HeaderValue::from_str(value).ok()) {
            headers.insert(header, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::error::Code;
    use crate::proto::v1;

    #[test]
    fn a_problem_has_all_that_an_error_says() {
        let findings = v1::ValidationReport {
            valid: false,
            findings: vec![v1::Finding { pointer: "/a".into(), ..Default::default() }],
            omitted: 2,
        };
        let error = ApiError::of_field(Code::InvalidArgument, "INVALID_FIELD", "scope", "must begin with /")
            .with("limit", 7)
            .with_detail(Detail::Findings(findings))
            .retry_in(Duration::from_millis(1500));
        let id = HeaderValue::from_static("call-1");
        let response = problem(&error, Some(&id));
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().expect("ASCII"));
        assert_eq!(header("content-type"), Some("application/problem+json"));
        assert_eq!((header("retry-after"), header("x-request-id")), (Some("2"), Some("call-1")));
        assert_eq!(
            (header("cache-control"), header("x-content-type-options")),
            (Some("no-store"), Some("nosniff"))
        );
        let value: Value = serde_json::from_slice(&json(&error, Some("call-1"))).expect("JSON");
        assert_eq!(value["title"], "Invalid field");
        assert_eq!(value["code"], "INVALID_ARGUMENT");
        assert_eq!(value["detail"], "scope: must begin with /");
        assert_eq!(value["instance"], "call-1");
        assert_eq!(value["metadata"]["limit"], "7");
        assert_eq!(value["violations"][0]["field"], "scope");
        assert_eq!(value["findings"][0]["pointer"], "/a");
        assert_eq!(value["findings_omitted"], 2);
        assert!(value.get("conflicts").is_none());
    }
}
