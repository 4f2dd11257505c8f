//! What a call is answered with: at once or later, and how the answer becomes the body of an HTTP response. Knows gRPC's way to end
//! one; no call, and no connection.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;

use super::audited::Audited;
use super::codec::Encoded;
use super::framed::EPOCH;
use super::status::{broken, too_late};
use super::streams::{ChangesStream, WatchStream};

/// The answer to one call. What is at hand is answered without a task, a timer, or a box.
pub enum Answer {
    Now(Response<Reply>),
    Later(Later),
}

/// It can be dropped at any time: then the call has been cancelled.
pub struct Later {
    answer: Pin<Box<dyn Future<Output = Response<Reply>> + Send>>,
    /// What the response says of the history of the store.
    epoch: Option<HeaderValue>,
}

/// The body of a response.
#[derive(Default)]
pub enum Reply {
    /// One message, and the end.
    Message(Encoded),
    Watch(WatchStream),
    Changes(ChangesStream),
    /// One of the others, whose end is told to the audit log.
    Audited(Box<Audited>),
    /// From a generated service, with an end of its own.
    Generated(Body),
    /// It has ended, or there never was more than headers.
    #[default]
    Ended,
}

impl Reply {
    /// Whether it is one message, which is there.
    pub fn is_message(&self) -> bool {
        matches!(self, Reply::Message(_))
    }

    /// Whether a message of a stream is being told in parts: until it is told whole, the stream keeps what it is made of.
    pub fn is_within_parts(&self) -> bool {
        match self {
            Reply::Watch(stream) => stream.is_within_parts(),
            Reply::Audited(audited) => audited.is_within_parts(),
            Reply::Changes(_) | Reply::Message(_) | Reply::Generated(_) | Reply::Ended => false,
        }
    }

    /// Whether it lasts as long as its client wants.
    pub fn is_stream(&self) -> bool {
        match self {
            Reply::Watch(_) | Reply::Changes(_) => true,
            Reply::Audited(audited) => audited.is_stream(),
            Reply::Message(_) | Reply::Generated(_) | Reply::Ended => false,
        }
    }
}

impl Answer {
    pub fn later(answer: impl Future<Output = Response<Reply>> + Send + 'static) -> Answer {
        Answer::Later(Later { answer: Box::pin(answer), epoch: None })
    }

    /// Made in a task of its own: a long piece of work holds up no other call of its connection.
    pub fn aside(answer: impl Future<Output = Response<Reply>> + Send + 'static) -> Answer {
        let task = Task(tokio::spawn(answer));
        Answer::later(async move { task.await.unwrap_or_else(Status::into_http) })
    }

    /// The same, refused if it has not begun when the client stops waiting.
    pub fn within(self, deadline: Option<Duration>) -> Answer {
        match (self, deadline) {
            (Answer::Later(answer), Some(deadline)) => Answer::later(async move {
                let answered = tokio::time::timeout(deadline, answer).await;
                answered.unwrap_or_else(|_| too_late().into_http())
            }),
            (answer, _) => answer,
        }
    }

    /// The same, with the history of the store in its metadata.
    pub fn in_epoch(self, epoch: &HeaderValue) -> Answer {
        match self {
            Answer::Now(mut response) => {
                response.headers_mut().insert(&EPOCH, epoch.clone());
                Answer::Now(response)
            }
            Answer::Later(later) => Answer::Later(Later { epoch: Some(epoch.clone()), ..later }),
        }
    }

    /// The response, whenever it is there.
    pub async fn response(self) -> Response<Reply> {
        match self {
            Answer::Now(response) => response,
            Answer::Later(answer) => answer.await,
        }
    }
}

impl Future for Later {
    type Output = Response<Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response<Reply>> {
        let mut response = ready!(self.answer.poll_unpin(context));
        if let Some(epoch) = self.epoch.take() {
            response.headers_mut().insert(&EPOCH, epoch);
        }
        Poll::Ready(response)
    }
}

/// Ends with its handle.
struct Task(JoinHandle<Response<Reply>>);

impl Future for Task {
    type Output = Result<Response<Reply>, Status>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.0.poll_unpin(context)) {
            Ok(response) => Poll::Ready(Ok(response)),
            // The connection counts it, and answers.
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => Poll::Ready(Err(broken(&error))),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reply {
    /// The client makes no room for the last message. It has when this is polled again.
    pub fn waits(&mut self) {
        match self {
            Reply::Watch(stream) => stream.waits(),
            Reply::Audited(audited) => audited.waits(),
            // The lag of watches alone is measured.
            Reply::Changes(_) | Reply::Message(_) | Reply::Generated(_) | Reply::Ended => {}
        }
    }
}

/// A response of gRPC with this body, or a refusal, which has none.
pub fn response(reply: Result<Reply, Status>) -> Response<Reply> {
    match reply {
        Ok(reply) => {
            let mut response = Response::new(reply);
            response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
            response
        }
        Err(status) => status.into_http(),
    }
}

/// How a call ends that went well.
pub fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

impl http_body::Body for Reply {
    type Data = Encoded;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Encoded>, Status>>> {
        let told = match &mut *self {
            Reply::Message(message) if bytes::Buf::has_remaining(message) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(message)))));
            }
            Reply::Message(_) => None,
            Reply::Watch(stream) => ready!(Pin::new(stream).poll_next(context)),
            Reply::Changes(stream) => {
                let told = ready!(Pin::new(stream).poll_next(context));
                told.map(|told| told.map(|message| Encoded::of(&message)))
            }
            Reply::Generated(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| Ok(frame?.map_data(Encoded::of_body))));
            }
            Reply::Audited(audited) => return audited.poll_frame(context),
            Reply::Ended => return Poll::Ready(None),
        };
        let end = match told {
            Some(Ok(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
            Some(Err(status)) => trailers_of(&status),
            None => trailers(),
        };
        *self = Reply::Ended;
        Poll::Ready(Some(Ok(Frame::trailers(end))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Message(_) | Reply::Watch(_) | Reply::Changes(_) => false,
            Reply::Generated(body) => body.is_end_stream(),
            Reply::Audited(audited) => audited.is_end_stream(),
            Reply::Ended => true,
        }
    }
}

/// How a response ends that was cut off.
pub fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    match status.add_header(&mut trailers) {
        Ok(()) => trailers,
        Err(unwritable) => unwritable.into_http::<()>().into_parts().0.headers,
    }
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
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match std::mem::take(&mut self.read) {
            read if read.is_empty() => Pin::new(&mut self.rest).poll_frame(context),
            read => Poll::Ready(Some(Ok(Frame::data(read)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::pending;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_call_is_cancelled_when_its_answer_is_dropped_and_when_its_deadline_passes() {
        for deadline in [None, Some(Duration::from_millis(5))] {
            let (held, dropped) = oneshot::channel::<()>();
            let (begins, begun) = oneshot::channel();
            let handler = async move {
                let _held = held;
                begins.send(()).expect("the test waits");
                pending().await
            };
            let answer = Answer::aside(handler).within(deadline);
            begun.await.expect("it begins");
            match deadline {
                None => drop(answer),
                Some(_) => {
                    let response = answer.response().await;
                    let status = Status::from_header_map(response.headers()).expect("a status");
                    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
                }
            }
            dropped.await.expect_err("the future of the handler is gone, and what it holds");
        }
    }
}
