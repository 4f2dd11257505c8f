//! Reads the message of a request. A plain request is read without a copy, all others by tonic's codec. Knows gRPC over HTTP/2 bodies;
//! no call.
//!
//! Plain is what clients send by default: no compression, and a body that is one message and nothing beside.

use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::codec::{CompressionEncoding, DecodeBuf, Decoder, Streaming};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::api::call_errors::Unreadable;
use crate::api::codec::FRAME_HEAD_BYTES;
use crate::api::error::ApiError;
use crate::api::request_body::RequestBody;
use crate::api::rpc::Rpc;

static ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPTED: &str = "grpc-accept-encoding";

/// Whether the headers are those of a plain request.
pub fn is_plain(headers: &HeaderMap) -> bool {
    let value = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    matches!(value(&CONTENT_TYPE), Some(b"application/grpc" | b"application/grpc+proto"))
        && matches!(value(&ENCODING), None | Some(b"identity"))
}

/// The bytes that were read of a plain request.
pub struct Reading {
    /// Of the message.
    bytes_max: usize,
    first: Bytes,
    /// All of it, if there is more than the first piece.
    joined: BytesMut,
}

impl Reading {
    pub fn up_to(bytes_max: usize) -> Reading {
        Reading { bytes_max, first: Bytes::new(), joined: BytesMut::new() }
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&data);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    fn take(&mut self) -> Bytes {
        let (first, joined) = (std::mem::take(&mut self.first), std::mem::take(&mut self.joined));
        if joined.is_empty() { first } else { joined.freeze() }
    }

    /// Reads as far as a request can be plain: until its end, or beyond the largest message.
    pub fn poll<B>(&mut self, body: &mut B, context: &mut Context<'_>) -> Poll<Bytes>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        while self.len() <= FRAME_HEAD_BYTES + self.bytes_max && !body.is_end_stream() {
            let frame = ready!(Pin::new(&mut *body).poll_frame(context));
            match frame.map(|frame| frame.map(|frame| frame.into_data())) {
                Some(Ok(Ok(data))) => self.push(data),
                // Trailers of a request mean nothing here. What broke off, nobody waits for.
                Some(Ok(Err(_)) | Err(_)) | None => break,
            }
        }
        Poll::Ready(self.take())
    }
}

/// The message of a body that has one, uncompressed, and nothing else.
pub fn message_of(body: &Bytes, bytes_max: usize) -> Option<Bytes> {
    let (head, message) = body.split_at_checked(FRAME_HEAD_BYTES)?;
    let [0, length @ ..] = head else { return None };
    let length = u32::from_be_bytes(length.try_into().expect("four of five bytes")) as usize;
    let is_plain = length == message.len() && length <= bytes_max;
    is_plain.then(|| body.slice(FRAME_HEAD_BYTES..))
}

/// What of a request was read already, and the rest of it.
pub struct Again<B> {
    pub read: Bytes,
    pub rest: B,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Again<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, B::Error>>> {
        match std::mem::take(&mut self.read) {
            read if read.is_empty() => Pin::new(&mut self.rest).poll_frame(context),
            read => Poll::Ready(Some(Ok(http_body::Frame::data(read)))),
        }
    }
}

/// The message of any request: the first one, as only streams of requests would have more. Those after it must be requests, too.
pub async fn any_message<B: RequestBody>(
    rpc: Rpc,
    encoding: Option<CompressionEncoding>,
    body: B,
    bytes_max: usize,
    too_large: &AtomicU64,
) -> Result<Bytes, Status> {
    let mut messages = Streaming::new_request(Whole, body, encoding, Some(bytes_max));
    let read = async {
        let message = messages.message().await?.ok_or_else(|| Status::internal("there is no message"))?;
        while let Some(more) = messages.message().await? {
            if !rpc.is_request(&more) {
                return Err(Status::internal("a further message is no request"));
            }
        }
        Ok(message)
    };
    read.await.map_err(|status| match unreadable(&status, bytes_max) {
        Some(unreadable) => {
            let is_too_large = matches!(unreadable, Unreadable::TooLarge { .. });
            too_large.fetch_add(u64::from(is_too_large), Relaxed);
            ApiError::from(unreadable).into()
        }
        None => status,
    })
}

/// How the messages of a request are compressed. Refused with what is accepted.
pub fn encoding(headers: &HeaderMap) -> Result<Option<CompressionEncoding>, Status> {
    match headers.get(&ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(None),
        Some(b"gzip") => Ok(Some(CompressionEncoding::Gzip)),
        Some(_) => {
            let mut status = Status::from(ApiError::from(Unreadable::Encoding));
            status.metadata_mut().insert(ACCEPTED, MetadataValue::from_static("gzip,identity"));
            Err(status)
        }
    }
}

/// What tonic 0.14 says of a request that it could not read: by its messages, as the codes alone do not tell. A body that is refused
/// while it is read fails with details.
fn unreadable(status: &Status, bytes_max: usize) -> Option<Unreadable> {
    match status.code() {
        _ if !status.details().is_empty() => None,
        Code::Internal => Some(Unreadable::Malformed),
        Code::OutOfRange if status.message().contains("message length too large") => {
            Some(Unreadable::TooLarge { limit: bytes_max })
        }
        // tonic stops where a message that is unpacked exceeds what one may have.
        Code::ResourceExhausted if status.message().contains("exceeded while decompressing") => {
            Some(Unreadable::TooLarge { limit: bytes_max })
        }
        _ => None,
    }
}

/// Gives messages as their bytes.
struct Whole;

impl Decoder for Whole {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
