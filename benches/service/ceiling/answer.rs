//! The body of an answer: messages that are framed already, and the status at the end. Knows no messages.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::WatchStream;

pub enum Answer {
    One(Option<Bytes>),
    /// The status was sent.
    Ended,
    /// Of one target: the newest, whenever the client has taken the last. Never ends.
    Newest(Option<Bytes>, WatchStream<Bytes>),
    /// Of several targets.
    Each(Option<Bytes>, mpsc::UnboundedReceiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = |bytes: Option<Bytes>| bytes.map(|bytes| Ok(Frame::data(bytes)));
        match &mut *self {
            Answer::One(message) if message.is_some() => Poll::Ready(data(message.take())),
            Answer::One(_) => {
                *self = Answer::Ended;
                let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
                Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::from_iter([status])))))
            }
            Answer::Ended => Poll::Ready(None),
            Answer::Newest(first, _) | Answer::Each(first, _) if first.is_some() => {
                Poll::Ready(data(first.take()))
            }
            Answer::Newest(_, newest) => newest.poll_next_unpin(cx).map(data),
            Answer::Each(_, messages) => messages.poll_recv(cx).map(data),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Ended)
    }
}
