//! The gRPC status of an error: the only place where one is made. Knows `google.rpc.Status`; never why a call failed.

use http::{HeaderMap, Response};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::api::error::ApiError;
use crate::api::error_details::details;

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        Status::from(&error)
    }
}

impl From<&ApiError> for Status {
    fn from(error: &ApiError) -> Status {
        let code = Code::from(error.code as i32);
        let details = details(error)
            .map(|(name, value)| Any { type_url: format!("type.googleapis.com/{name}"), value });
        let details = details.collect();
        let status = pb::Status { code: error.code as i32, message: error.message.clone(), details };
        Status::with_details(code, error.message.clone(), status.encode_to_vec().into())
    }
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
