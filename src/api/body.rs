//! The body of a response: the frames of a gRPC reply and the trailers that end it, or the content of an HTTP response, in one piece or as a
//! stream. Knows no call and no connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::codec::Encoded;
use super::error::{ApiError, Code};
use super::grpc::status::trailers_of;
use super::reply::Reply;

/// The body of a response.
#[derive(Default)]
pub enum ResponseBody {
    /// From an operation, for a client of gRPC.
    Reply(Reply),
    /// The content of an HTTP response, in one piece. No trailers end it.
    Content(Encoded),
    /// A stream over HTTP, which says itself how it ends.
    Streamed(Box<dyn FramedStream>),
    /// The stream has said that it failed so, and has ended.
    Failed(Code),
    /// From a service of tonic, which ends it itself.
    Passed(Body),
    /// It has ended, or there never was more than headers.
    #[default]
    Ended,
}

/// A reply whose messages are framed for HTTP.
pub trait FramedStream: Send {
    /// The reply, whose messages are yet to be taken.
    fn reply(&self) -> &Reply;

    fn reply_mut(&mut self) -> &mut Reply;

    /// The next piece of content. `None`: that was all. An error is the last item.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Encoded, ApiError>>>;

    /// What tells the client why its stream ends.
    fn last_words(&self, error: &ApiError) -> Encoded;
}

impl ResponseBody {
    /// The reply whose messages the body has, if they are yet to be taken.
    fn reply(&self) -> Option<&Reply> {
        match self {
            ResponseBody::Reply(reply) => Some(reply),
            ResponseBody::Streamed(streamed) => Some(streamed.reply()),
            ResponseBody::Content(_)
            | ResponseBody::Failed(_)
            | ResponseBody::Passed(_)
            | ResponseBody::Ended => None,
        }
    }

    fn reply_mut(&mut self) -> Option<&mut Reply> {
        match self {
            ResponseBody::Reply(reply) => Some(reply),
            ResponseBody::Streamed(streamed) => Some(streamed.reply_mut()),
            ResponseBody::Content(_)
            | ResponseBody::Failed(_)
            | ResponseBody::Passed(_)
            | ResponseBody::Ended => None,
        }
    }

    /// Whether it lasts as long as its client wants.
    pub fn is_stream(&self) -> bool {
        matches!(self, ResponseBody::Streamed(_)) || self.reply().is_some_and(Reply::is_stream)
    }

    /// Whether a message of a stream is being sent in parts. The stream keeps the state that the parts are made of.
    pub fn is_within_parts(&self) -> bool {
        self.reply().is_some_and(Reply::is_within_parts)
    }

    /// Whether the client must go on taking messages, however much room there is.
    pub fn is_transfer(&self) -> bool {
        self.reply().is_some_and(Reply::is_transfer)
    }

    /// Whether more messages are yet to be made, each of which takes memory.
    pub fn makes_messages(&self) -> bool {
        matches!(self, ResponseBody::Passed(_)) || self.is_stream()
    }

    /// Ready when the credential of the caller has ended while the client makes no room for the last message.
    pub fn poll_shut_out(&mut self, context: &mut Context<'_>) -> Poll<ApiError> {
        match self.reply_mut() {
            Some(reply) => reply.poll_shut_out(context),
            None => Poll::Pending,
        }
    }

    /// The client makes no room for the last message, until the next one is asked for.
    pub fn waits(&mut self) {
        if let Some(reply) = self.reply_mut() {
            reply.waits();
        }
    }

    /// Whether it is a stream over HTTP.
    pub fn is_streamed(&self) -> bool {
        matches!(self, ResponseBody::Streamed(_))
    }

    /// Ends a stream over HTTP: what tells its client why. `None`: it is none.
    pub fn last_words(&mut self, error: &ApiError) -> Option<Encoded> {
        let ResponseBody::Streamed(streamed) = self else { return None };
        let words = streamed.last_words(error);
        *self = ResponseBody::Failed(error.code);
        Some(words)
    }

    /// How a stream has failed that said so itself.
    pub fn failed_by(&self) -> Option<Code> {
        match self {
            ResponseBody::Failed(code) => Some(*code),
            _ => None,
        }
    }
}

/// How a call ends that went well.
pub fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

impl http_body::Body for ResponseBody {
    type Data = Encoded;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Encoded>, Status>>> {
        let next = match &mut *self {
            ResponseBody::Reply(reply) => ready!(reply.poll_message(context)),
            ResponseBody::Passed(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| Ok(frame?.map_data(Encoded::of_body))));
            }
            ResponseBody::Content(content) => {
                let content = std::mem::take(content);
                *self = ResponseBody::Ended;
                return Poll::Ready(Some(Ok(Frame::data(content))));
            }
            ResponseBody::Streamed(streamed) => {
                let next = ready!(streamed.poll_next(context));
                let data = match next {
                    Some(Ok(data)) => Some(data),
                    Some(Err(error)) => self.last_words(&error),
                    None => {
                        *self = ResponseBody::Ended;
                        None
                    }
                };
                return Poll::Ready(data.map(|data| Ok(Frame::data(data))));
            }
            ResponseBody::Failed(_) | ResponseBody::Ended => return Poll::Ready(None),
        };
        let end = match next {
            Some(Ok(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
            Some(Err(error)) => trailers_of(&error),
            None => trailers(),
        };
        *self = ResponseBody::Ended;
        Poll::Ready(Some(Ok(Frame::trailers(end))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Reply(_) | ResponseBody::Content(_) | ResponseBody::Streamed(_) => false,
            ResponseBody::Passed(body) => body.is_end_stream(),
            ResponseBody::Failed(_) | ResponseBody::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Reply(_) | ResponseBody::Streamed(_) => SizeHint::default(),
            ResponseBody::Content(content) => SizeHint::with_exact(content.remaining() as u64),
            ResponseBody::Passed(body) => body.size_hint(),
            ResponseBody::Failed(_) | ResponseBody::Ended => SizeHint::with_exact(0),
        }
    }
}
