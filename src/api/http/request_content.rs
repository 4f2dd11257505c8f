//! Reads the content of a request, up to a limit. Knows bytes; no headers and no JSON.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};

use super::errors;
use crate::api::error::ApiError;
use crate::api::request_body::RequestBody;

/// The content of a request. `too_large` is the error of content that has more bytes than allowed.
pub async fn read<B: RequestBody>(
    mut body: B,
    bytes_max: usize,
    too_large: impl FnOnce() -> ApiError,
) -> Result<Bytes, ApiError> {
    let mut read = Bytes::new();
    let mut joined = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await else { break };
        let frame = frame.map_err(|error| match error.into().refusal() {
            Some(refusal) => refusal.into(),
            None => errors::broken_off(),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len().max(joined.len()) + data.len() > bytes_max {
            return Err(too_large());
        }
        if read.is_empty() {
            read = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&read);
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { read } else { joined.freeze() })
}
