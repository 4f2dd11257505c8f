//! The gRPC status of an error: the only place where one is made. Knows `google.rpc.Status` and its details; never why a call failed.

use std::collections::HashMap;

use http::{HeaderMap, Response};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb::{self, BadRequest, ErrorInfo, RetryInfo};

use crate::api::error::{ApiError, DOMAIN, Detail};

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        Status::from(&error)
    }
}

impl From<&ApiError> for Status {
    fn from(error: &ApiError) -> Status {
        let code = Code::from(error.code as i32);
        let metadata: HashMap<String, String> =
            error.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let info = ErrorInfo { reason: error.reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
        let mut details = vec![any("google.rpc.ErrorInfo", &info)];
        details.extend(error.details.iter().map(detail));
        if let Some(delay) = error.retry {
            let delay = prost_types::Duration::try_from(delay).expect("a delay of seconds");
            details.push(any("google.rpc.RetryInfo", &RetryInfo { retry_delay: Some(delay) }));
        }
        let status = pb::Status { code: error.code as i32, message: error.message.clone(), details };
        Status::with_details(code, error.message.clone(), status.encode_to_vec().into())
    }
}

fn detail(detail: &Detail) -> Any {
    match detail {
        Detail::Field { field, description } => {
            let violation = pb::bad_request::FieldViolation {
                field: field.clone(),
                description: description.clone(),
                ..Default::default()
            };
            any("google.rpc.BadRequest", &BadRequest { field_violations: vec![violation] })
        }
        Detail::Findings(report) => any("confwatch.v1.ValidationReport", report),
        Detail::Conflicts(conflicts) => any("confwatch.v1.RevertConflicts", conflicts),
    }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

/// A response that has nothing but an error.
pub fn refusal<B: Default>(error: &ApiError) -> Response<B> {
    Status::from(error).into_http()
}

/// How a response ends that was cut off.
pub fn trailers_of(error: &ApiError) -> HeaderMap {
    let status = Status::from(error);
    let mut trailers = HeaderMap::with_capacity(3);
    match status.add_header(&mut trailers) {
        Ok(()) => trailers,
        Err(unwritable) => unwritable.into_http::<()>().into_parts().0.headers,
    }
}
