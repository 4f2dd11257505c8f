//! What fits a message, and a page of a list. Knows no operation.

use prost::Message;

use crate::api::call_errors::response_too_large;
use crate::api::codec::{Encoded, MESSAGE_BYTES_MAX};
use crate::api::error::ApiError;

/// Bytes of one page of a list, beside the item that exceeds them.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Items of a list in one message, with room for what is around them.
pub const ITEMS_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (256 << 10);

/// The answer as it is sent, if clients can receive it. To be made where work may take long.
pub fn encoded(response: &impl Message) -> Result<Encoded, ApiError> {
    match response.encoded_len() <= MESSAGE_BYTES_MAX {
        true => Ok(Encoded::of(response)),
        false => Err(response_too_large(MESSAGE_BYTES_MAX)),
    }
}
