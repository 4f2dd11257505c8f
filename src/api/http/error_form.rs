//! The form of an error that the client of a request understands. Knows headers; never why a call failed.

use http::{HeaderMap, HeaderValue, Response};

use super::{connect, problem};
use crate::api::answer::Refuse;
use crate::api::body::ResponseBody;
use crate::api::error::ApiError;

/// How the response with an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    Problem,
    Connect,
}

impl ErrorForm {
    pub fn of(headers: &HeaderMap) -> ErrorForm {
        if connect::is_spoken(headers) { ErrorForm::Connect } else { ErrorForm::Problem }
    }

    /// The response to a request whose call failed. `call_id` is the name that the client gave to the call.
    pub fn response(self, error: &ApiError, call_id: Option<&HeaderValue>) -> Response<ResponseBody> {
        match self {
            ErrorForm::Problem => problem::problem(error, call_id),
            ErrorForm::Connect => connect::response(error, call_id),
        }
    }

    /// Makes the response to a request that is refused before its call has a context.
    pub fn refuse(self) -> Refuse {
        match self {
            ErrorForm::Problem => problem::refusal,
            ErrorForm::Connect => connect::refusal,
        }
    }
}
