//! The response to one call, at once or later, for every transport. Knows no call, no connection, and no form of an error.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Response};

use super::body::ResponseBody;
use super::call_errors::too_late;
use super::error::{ApiError, Code};
use super::in_progress::InProgress;
use super::reply::ReplyResult;
use super::services::Work;
use super::task::aside;

/// Metadata of every response: the epoch of the store. Of a request: the epoch that its revisions and versions belong to.
pub static EPOCH: HeaderName = HeaderName::from_static("confwatch-epoch");

/// Makes the response of a transport that has nothing but an error.
pub type Refuse = fn(&ApiError) -> Response<ResponseBody>;

/// Makes the response of a transport from the outcome of a call.
pub type Respond = fn(ReplyResult) -> Response<ResponseBody>;

/// Among the extensions of a response whose headers do not have the end of the call, as those of gRPC do: the code of the end, `None` for a
/// call that went well.
#[derive(Clone, Copy, Debug)]
pub struct Outcome(pub Option<Code>);

/// The response to one call. A response that is at hand takes no task, no timer and no box.
pub enum Answer {
    Now(Response<ResponseBody>),
    Later(Later),
}

/// It can be dropped at any time: then the call has been cancelled.
pub struct Later {
    pending: PendingAnswer,
    /// The epoch of the store, for the metadata of the response.
    epoch: Option<HeaderValue>,
    /// The request counts as in progress until the response is there.
    in_progress: Option<InProgress>,
}

enum PendingAnswer {
    Result(Pin<Box<dyn Future<Output = ReplyResult> + Send>>, Respond),
    Response(Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>),
}

impl Answer {
    pub fn later(response: impl Future<Output = Response<ResponseBody>> + Send + 'static) -> Answer {
        Answer::Later(Later {
            pending: PendingAnswer::Response(Box::pin(response)),
            epoch: None,
            in_progress: None,
        })
    }

    /// The response to the work on a call.
    pub fn of(work: Work, respond: Respond) -> Answer {
        match work {
            Work::Done(outcome) => Answer::Now(respond(outcome)),
            Work::Later(outcome) => Answer::Later(Later {
                pending: PendingAnswer::Result(outcome, respond),
                epoch: None,
                in_progress: None,
            }),
        }
    }

    /// The response is made in a task of its own.
    pub fn aside(
        response: impl Future<Output = Response<ResponseBody>> + Send + 'static,
        refuse: Refuse,
    ) -> Answer {
        let made = aside(response);
        Answer::later(async move { made.await.unwrap_or_else(|error| refuse(&error)) })
    }

    /// The same, refused if it has not begun when the client stops waiting.
    pub fn within(self, deadline: Option<Duration>, refuse: Refuse) -> Answer {
        match (self, deadline) {
            (Answer::Later(answer), Some(deadline)) => Answer::later(async move {
                let answered = tokio::time::timeout(deadline, answer).await;
                answered.unwrap_or_else(|_| refuse(&too_late()))
            }),
            (answer, _) => answer,
        }
    }

    /// The same, for a request that counts as in progress until then.
    pub fn holding(self, in_progress: Option<InProgress>) -> Answer {
        match self {
            Answer::Now(response) => Answer::Now(response),
            Answer::Later(later) => Answer::Later(Later { in_progress, ..later }),
        }
    }

    /// The same, with the epoch of the store in its metadata.
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
    pub async fn response(self) -> Response<ResponseBody> {
        match self {
            Answer::Now(response) => response,
            Answer::Later(answer) => answer.await,
        }
    }
}

impl Future for Later {
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response<ResponseBody>> {
        let mut response = match &mut self.pending {
            PendingAnswer::Result(outcome, respond) => respond(ready!(outcome.poll_unpin(context))),
            PendingAnswer::Response(response) => ready!(response.poll_unpin(context)),
        };
        self.in_progress = None;
        if let Some(epoch) = self.epoch.take() {
            response.headers_mut().insert(&EPOCH, epoch);
        }
        Poll::Ready(response)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::pending;
    use tokio::sync::oneshot;
    use tonic::Status;

    use super::*;
    use crate::api::grpc::status::refusal;

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
            let answer = Answer::aside(handler, refusal).within(deadline, refusal);
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
