//! The way in for calls of gRPC: past the guard, all of them, and with the bytes of their message to the table of services. Knows headers
//! and bodies; no operation, and no connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tower::Service;

use super::answer::{Answer, EPOCH};
use super::body::ResponseBody;
use super::compression::{compressed, takes_gzip};
use super::deadline::deadline;
use super::request::{Again, Reading, RequestBody, any_message, encoding, is_plain, message_of};
use super::status::refusal;
use crate::api::call_errors::Unreadable;
use crate::api::convert::request::invalid;
use crate::api::denials::refused;
use crate::api::error::ApiError;
use crate::api::guard::peer::Peer;
use crate::api::guard::{Admission, asks_for_masks, shown};
use crate::api::operations::Operations;
use crate::api::rpc::Rpc;
use crate::api::services::Call;
use crate::api::task::aside;
use crate::auth::Access;
use crate::engine::Error;
use crate::model::Epoch;

/// All services of the contract, for any server of HTTP/2. Clones share the engine.
#[derive(Clone)]
pub struct Calls {
    operations: Operations,
    request_bytes_max: usize,
    too_large: Arc<AtomicU64>,
    epoch: HeaderValue,
}

/// A call that was let in.
struct Entered {
    rpc: Rpc,
    head: Parts,
    access: Access,
    deadline: Option<Duration>,
}

impl Calls {
    pub fn new(operations: Operations) -> Calls {
        let request_bytes_max = operations.engine.limits().request_bytes_max;
        let epoch = operations.engine.epoch().to_string().try_into().expect("hex digits are a header value");
        Calls { operations, request_bytes_max, too_large: Arc::default(), epoch }
    }

    /// How many messages were larger than they may be.
    pub fn too_large(&self) -> &Arc<AtomicU64> {
        &self.too_large
    }

    /// Answers a call. `None`: there is no such RPC, which only callers are told who are let in. Work that may take long is done in a task
    /// of its own; what remains is little, and can be polled among other calls of a connection.
    pub fn call<B: RequestBody>(&self, rpc: Option<Rpc>, request: Request<B>) -> Answer {
        if let Some(refused) = not_grpc(&request) {
            return Answer::Now(refused);
        }
        let takes_gzip = takes_gzip(request.headers());
        let answer = self.answered(rpc, request).in_epoch(&self.epoch);
        if takes_gzip { compressed(answer) } else { answer }
    }

    fn answered<B: RequestBody>(&self, rpc: Option<Rpc>, request: Request<B>) -> Answer {
        let deadline = deadline(request.headers());
        let answer = match self.operations.guard.admit(request.headers(), request.extensions()) {
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
        answer.within(deadline)
    }

    fn refused<B>(&self, request: &Request<B>, error: &ApiError) -> Response<ResponseBody> {
        let shown = || shown(request.headers(), request.extensions());
        refused(&self.operations.recorder, request, shown, error);
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
        let access = match asks_for_masks(request.headers()) {
            true => access.masking_secrets(),
            false => access,
        };
        if let Some(of) = request.headers().get(&EPOCH).filter(|of| **of != self.epoch) {
            return Answer::Now(refusal(&other_epoch(of, self.operations.engine.epoch())));
        }
        let Some(rpc) = rpc else {
            return Answer::Now(refusal(&Unreadable::UnknownMethod.into()));
        };
        let (head, mut rest) = request.into_parts();
        let entered = Entered { rpc, head, access, deadline };
        if !is_plain(&entered.head.headers) {
            return self.read_any(entered, rest);
        }
        let mut reading = Reading::up_to(self.request_bytes_max);
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
        match message_of(&read, self.request_bytes_max) {
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
        let (bytes_max, too_large) = (self.request_bytes_max, Arc::clone(&self.too_large));
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
        let Some(peer) = entered.peer().cloned() else { return self.begin(&entered, message) };
        match peer.in_progress.try_begin(message.len()) {
            Some(in_progress) => self.begin(&entered, message).holding(in_progress),
            None => {
                let calls = self.clone();
                Answer::later(async move {
                    match peer.in_progress.begin(message.len()).await {
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
        let Entered { rpc, head, access, deadline } = entered;
        self.operations.run(Call { rpc: *rpc, head, access, deadline: *deadline, message }).into()
    }
}

impl Entered {
    /// Whether the connection of the call takes calls. It took this one when the head came; responses to others may have come in between.
    fn has_room(&self) -> bool {
        self.peer().is_none_or(|peer| peer.unread.takes_calls())
    }

    async fn wait_for_room(&self) {
        if let Some(peer) = self.peer() {
            peer.unread.room_for_call().await;
        }
    }

    fn peer(&self) -> Option<&Arc<Peer>> {
        self.head.extensions.get()
    }
}

/// The answer of a service of tonic, which is not ours.
pub fn passed_on<S>(mut service: S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible>,
    S::Future: Send + 'static,
{
    // Services of tonic are always ready.
    Answer::aside(service.call(request).map(|response| match response {
        Ok(response) => response.map(ResponseBody::Passed),
        Err(never) => match never {},
    }))
}

/// The refusal of a request that is not of gRPC.
fn not_grpc<B>(request: &Request<B>) -> Option<Response<ResponseBody>> {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let status = match () {
        () if request.method() != Method::POST => StatusCode::METHOD_NOT_ALLOWED,
        () if !content_type.starts_with(b"application/grpc") => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        () => return None,
    };
    let mut refused = refusal(&Unreadable::NotGrpc.into());
    *refused.status_mut() = status;
    Some(refused)
}

/// The refusal of a request whose revisions and versions are of another epoch of the store.
fn other_epoch(asked: &HeaderValue, store: Epoch) -> ApiError {
    match asked.to_str().ok().and_then(Epoch::parse) {
        Some(asked) => Error::OtherEpoch { asked, store }.into(),
        None => invalid(EPOCH.as_str(), "must be the 16 hex digits that a response had").into(),
    }
}
