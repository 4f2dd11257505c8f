//! Compresses large answers for clients that take gzip. Knows frames and headers; no call. What clients compress is unpacked by the
//! reader of requests, up to the size that a message may have.

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::task::spawn_blocking;

use crate::api::answer::Answer;
use crate::api::body::ResponseBody;
use crate::api::codec::{Encoded, FRAME_HEAD_BYTES};
use crate::api::compression::{self, is_worth_it};
use crate::api::reply::Reply;
use crate::supervise::joined;

static ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");
static ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Whether the client of a call takes answers in gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(&ACCEPTED).into_iter().map(HeaderValue::as_bytes);
    values.any(|value| value.split(|byte| *byte == b',').any(|encoding| encoding.trim_ascii() == b"gzip"))
}

/// The same answer, compressed if it is one large message. Work that takes long is done on a thread for it.
pub(super) fn compressed(answer: Answer) -> Answer {
    match answer {
        Answer::Now(response) if !is_large(&response) => Answer::Now(response),
        answer => Answer::later(async move {
            let response = answer.response().await;
            if !is_large(&response) {
                return response;
            }
            let (mut head, body) = response.into_parts();
            let ResponseBody::Reply(Reply::Message(message)) = body else {
                return Response::from_parts(head, body);
            };
            let frame = message.into_frame();
            let packed = spawn_blocking({
                let frame = frame.clone();
                move || packed(&frame)
            });
            let message = match joined(packed.await).flatten() {
                Some(packed) => {
                    head.headers.insert(&ENCODING, HeaderValue::from_static("gzip"));
                    packed
                }
                // It does not get smaller, or the server is about to end.
                None => frame,
            };
            Response::from_parts(head, ResponseBody::Reply(Reply::Message(Encoded::of_frame(message))))
        }),
    }
}

fn is_large(response: &Response<ResponseBody>) -> bool {
    let ResponseBody::Reply(Reply::Message(message)) = response.body() else { return false };
    is_worth_it(message)
}

/// The frame of the same message in gzip. `None` if that is no smaller.
fn packed(frame: &[u8]) -> Option<bytes::Bytes> {
    let message = frame.get(FRAME_HEAD_BYTES..)?;
    let mut packed = compression::packed(message, FRAME_HEAD_BYTES)?;
    let length = u32::try_from(packed.len() - FRAME_HEAD_BYTES).ok()?;
    packed[0] = 1;
    packed[1..FRAME_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    Some(packed.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_packed_frame_unpacks_to_its_message() {
        let message: Vec<u8> = (0..100_000_u32).flat_map(|number| (number % 251).to_be_bytes()).collect();
        let frame = [&[0, 0, 0, 0, 0], &message[..]].concat();
        let packed = packed(&frame).expect("it repeats itself");
        assert_eq!(packed[0], 1);
        assert_eq!(packed[1..5], u32::try_from(packed.len() - 5).expect("small").to_be_bytes());
        let mut unpacked = vec![];
        flate2::read::GzDecoder::new(&packed[5..]).read_to_end(&mut unpacked).expect("gzip");
        assert_eq!(unpacked, message);
    }

    #[test]
    fn a_client_takes_gzip_if_it_says_so() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(ACCEPTED.clone(), HeaderValue::from_static(value))]);
        for (value, takes) in [
            ("gzip", true),
            ("identity, deflate, gzip", true),
            ("identity,deflate", false),
            ("gzip2", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(value)), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
