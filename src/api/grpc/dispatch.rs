//! The way in for calls of gRPC: the bytes of their message go to the table of services, behind the guard. Knows headers and bodies; no
//! operation, and no connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tower::Service;

use super::compression::{compressed, takes_gzip};
use super::deadline::deadline;
use super::request::{Again, Reading, any_message, encoding, is_plain, message_of};
use super::status::refusal;
use crate::api::answer::Answer;
use crate::api::body::ResponseBody;
use crate::api::call_errors::Unreadable;
use crate::api::error::ApiError;
use crate::api::guard::Admission;
use crate::api::intake::{Entered, Intake};
use crate::api::reply::ReplyResult;
use crate::api::request_body::RequestBody;
use crate::api::rpc::Rpc;
use crate::api::task::aside;
use crate::auth::Access;

/// All services of the contract, for any server of HTTP/2. Clones share the engine.
#[derive(Clone)]
pub struct Calls {
    intake: Intake,
}

impl Calls {
    pub fn new(intake: Intake) -> Calls {
        Calls { intake }
    }

    /// How many messages were larger than they may be.
    pub fn too_large(&self) -> &Arc<AtomicU64> {
        self.intake.too_large()
    }

    /// Answers a call. `None`: there is no such RPC, which only callers are told who are let in. Work that may take long is done in a task
    /// of its own; what remains is little, and can be polled among other calls of a connection.
    pub fn call<B: RequestBody>(&self, rpc: Option<Rpc>, request: Request<B>) -> Answer {
        if request.method() != Method::POST {
            return Answer::Now(not_post());
        }
        let takes_gzip = takes_gzip(request.headers());
        let answer = self.answered(rpc, request).in_epoch(self.intake.epoch());
        if takes_gzip { compressed(answer) } else { answer }
    }

    fn answered<B: RequestBody>(&self, rpc: Option<Rpc>, request: Request<B>) -> Answer {
        let deadline = deadline(request.headers());
        let answer = match self.intake.admit(request.headers(), request.extensions(), None) {
            Admission::Now(Ok(access)) => self.admitted(rpc, request, access, deadline),
            Admission::Now(Err(error)) => return Answer::Now(self.refused(&request, &error)),
            Admission::Later(admission) => {
                let calls = self.clone();
                Answer::later(async move {
                    match admission.await {
                        Ok(access) => calls.admitted(rpc, request, access, deadline).response().await,
                        Err(error) => calls.refused(&request, &error),
                    }
                })
            }
        };
        answer.within(deadline, refusal)
    }

    fn refused<B>(&self, request: &Request<B>, error: &ApiError) -> Response<ResponseBody> {
        let (headers, extensions) = (request.headers(), request.extensions());
        self.intake.note_refused(request.uri().path(), headers, extensions, None, error);
        refusal(error)
    }

    /// Answers a call of a known caller. Nothing of its message was read before.
    fn admitted<B: RequestBody>(
        &self,
        rpc: Option<Rpc>,
        request: Request<B>,
        access: Access,
        deadline: Option<Duration>,
    ) -> Answer {
        let access = match self.intake.access(request.headers(), access) {
            Ok(access) => access,
            Err(error) => return Answer::Now(refusal(&error)),
        };
        let Some(rpc) = rpc else {
            return Answer::Now(refusal(&Unreadable::UnknownMethod.into()));
        };
        let (head, mut rest) = request.into_parts();
        let entered = Entered::new(rpc, head, access, deadline);
        if !is_plain(&entered.head.headers) {
            return self.read_any(entered, rest);
        }
        let mut reading = Reading::up_to(self.intake.request_bytes_max());
        // Nearly always the request is there completely, and needs no waiting.
        match reading.poll(&mut rest, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) if entered.has_room() => self.read(entered, read, rest),
            polled => {
                let calls = self.clone();
                Answer::later(async move {
                    let read = match polled {
                        Poll::Ready(read) => read,
                        Poll::Pending => poll_fn(|context| reading.poll(&mut rest, context)).await,
                    };
                    entered.wait_for_room().await;
                    calls.read(entered, read, rest).response().await
                })
            }
        }
    }

    /// Answers a request of which this much was read.
    fn read<B: RequestBody>(&self, entered: Entered, read: Bytes, rest: B) -> Answer {
        match message_of(&read, self.intake.request_bytes_max()) {
            Some(message) => self.run(entered, message),
            None => self.read_any(entered, Again { read, rest }),
        }
    }

    /// Answers a request that is not plain. Unpacking takes long: it is done in a task.
    fn read_any<B: RequestBody>(&self, entered: Entered, body: B) -> Answer {
        let encoding = match encoding(&entered.head.headers) {
            Ok(encoding) => encoding,
            Err(status) => return Answer::Now(status.into_http()),
        };
        let (calls, rpc) = (self.clone(), entered.rpc);
        let (bytes_max, too_large) = (self.intake.request_bytes_max(), Arc::clone(self.intake.too_large()));
        let read = aside(async move { any_message(rpc, encoding, body, bytes_max, &too_large).await });
        Answer::later(async move {
            match read.await {
                Ok(Ok(message)) => {
                    entered.wait_for_room().await;
                    calls.run(entered, message).response().await
                }
                Ok(Err(status)) => status.into_http(),
                Err(error) => refusal(&error),
            }
        })
    }

    /// Runs a call once there is room for its message beside those of other calls.
    fn run(&self, entered: Entered, message: Bytes) -> Answer {
        match entered.try_begin(message.len()) {
            Some(in_progress) => self.begin(&entered, message).holding(in_progress),
            None => {
                let calls = self.clone();
                Answer::later(async move {
                    match entered.begin(message.len()).await {
                        Ok(in_progress) => {
                            calls.begin(&entered, message).holding(in_progress).response().await
                        }
                        Err(error) => refusal(&error),
                    }
                })
            }
        }
    }

    fn begin(&self, entered: &Entered, message: Bytes) -> Answer {
        Answer::of(self.intake.run(entered, message), response)
    }
}

/// Whether the client of a request speaks gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A response with this reply, or a refusal, which has none.
fn response(outcome: ReplyResult) -> Response<ResponseBody> {
    match outcome {
        Ok(reply) => {
            let mut response = Response::new(ResponseBody::Reply(reply));
            response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
            response
        }
        Err(error) => refusal(&error),
    }
}

/// The answer of a service of tonic, which is not ours.
pub fn passed_on<S>(mut service: S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible>,
    S::Future: Send + 'static,
{
    // Services of tonic are always ready.
    let response = service.call(request).map(|response| match response {
        Ok(response) => response.map(ResponseBody::Passed),
        Err(never) => match never {},
    });
    Answer::aside(response, refusal)
}

/// The refusal of a request of gRPC with another method than POST.
fn not_post() -> Response<ResponseBody> {
    let mut refused = refusal(&Unreadable::NotGrpc.into());
    *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    refused
}
