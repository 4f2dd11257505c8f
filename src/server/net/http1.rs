//! One connection of HTTP/1.1: takes its requests one after the other, and sends their responses. Knows no call.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::call::{BegunCall, ConnectionCalls, panicked};
use super::connection::Failed;
use super::connection_age::{Age, Due, farewell};
use super::connection_context::ConnectionContext;
use super::pace::{MESSAGE_PATIENCE, ROOM_INTERVAL, TAKEN_BYTES_MIN, TRANSFER_BYTES_MIN};
use super::timed_socket::{CurrentCall, TimedOut, TimedSocket};
use crate::api::answer::{Answer, Outcome};
use crate::api::body::ResponseBody;
use crate::api::call_errors::response_not_taken;
use crate::api::codec::Encoded;
use crate::api::error::ApiError;
use crate::api::guard::peer::Peer;
use crate::api::http::{http2_required, problem};
use crate::api::unread::Unread;
use crate::server::router::Called;
use crate::server::telemetry::calls::{Ongoing, code_of};

/// Fields of the head of a request.
const HEADERS_MAX: usize = 100;
/// What hyper needs to read at least.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// Serves a connection until its client leaves, or after `stop` or its `age` until its call has ended.
pub(in crate::server) async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    peer: Arc<Peer>,
    service: Arc<ConnectionContext>,
    age: Option<Age>,
    stop: CancellationToken,
) -> Result<(), Failed> {
    let settings = &service.settings;
    let current = Arc::new(CurrentCall::default());
    let has_called = Arc::new(AtomicBool::new(false));
    let streams_leave = Arc::new(AtomicBool::new(false));
    let socket =
        TimedSocket::new(socket, current.clone(), settings.request_timeout, settings.response_timeout);
    let unread = peer.unread.clone();
    let calls = Arc::new(ConnectionCalls::new(service.clone(), unread.clone()));
    let head_bytes_max = (settings.header_bytes_max as usize).saturating_mul(2);
    let answer = {
        let (has_called, is_leaving) = (has_called.clone(), streams_leave.clone());
        service_fn(move |request| {
            current.is_busy.store(true, Relaxed);
            has_called.store(true, Relaxed);
            let (calls, peer) = (calls.clone(), peer.clone());
            let (busy, is_leaving) = (Busy(current.clone()), is_leaving.clone());
            async move { Ok::<_, Infallible>(answer(&calls, peer, busy, is_leaving, request).await) }
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // From the end of a call to the head of the next one.
        .header_read_timeout(settings.connection_idle_max)
        .max_headers(HEADERS_MAX)
        .max_header_size(head_bytes_max)
        .max_buf_size(head_bytes_max.max(BUFFER_BYTES_MIN))
        // Content is not copied, and counts as unread until it is sent.
        .writev(true)
        .serve_connection(TokioIo::new(socket), answer);
    let mut connection = pin!(connection);
    let mut stopped = pin!(stop.cancelled());
    let (mut is_leaving, mut age) = (false, age);
    let served = poll_fn(|context| {
        if !is_leaving && stopped.as_mut().poll(context).is_ready() {
            is_leaving = true;
            connection.as_mut().graceful_shutdown();
        }
        while let Some(of) = &mut age
            && let Poll::Ready(due) = of.poll(context)
        {
            match due {
                Due::Leave => {
                    service.connections.counts.aged.fetch_add(1, Relaxed);
                    is_leaving = true;
                    streams_leave.store(true, Relaxed);
                    connection.as_mut().graceful_shutdown();
                }
                Due::End => return Poll::Ready(Ok(())),
            }
        }
        let served = connection.as_mut().poll(context);
        unread.report();
        // Without a call before, hyper would wait for the first one.
        match served.is_pending() && is_leaving && !has_called.load(Relaxed) {
            true => Poll::Ready(Ok(())),
            false => served,
        }
    });
    let served = served.await;
    if let Err(error) = &served {
        note_end(&service, error);
    }
    Ok(served?)
}

/// Counts why the server ended a connection.
fn note_end(service: &ConnectionContext, error: &hyper::Error) {
    let timed_out = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let timed_out = timed_out.and_then(|error| error.get_ref()?.downcast_ref::<TimedOut>());
    match timed_out {
        Some(TimedOut::NothingTaken) => _ = service.unread.counts.given_up.fetch_add(1, Relaxed),
        Some(TimedOut::HeadTooSlow) => _ = service.requests.counts.too_slow.fetch_add(1, Relaxed),
        None if error.is_timeout() => _ = service.connections.counts.idle.fetch_add(1, Relaxed),
        None => {}
    }
}

/// Answers one request.
async fn answer(
    calls: &ConnectionCalls,
    peer: Arc<Peer>,
    busy: Busy,
    is_leaving: Arc<AtomicBool>,
    mut request: Request<Incoming>,
) -> Response<SentBody> {
    let patience = calls.service.settings.response_timeout;
    // Earlier responses may wait for the client.
    peer.unread.room_for_call().await;
    let called = Called::of(&request);
    if let Called::Grpc(_) = called {
        let refused = problem::refusal(&http2_required());
        return refused.map(|body| SentBody {
            body,
            ongoing: None,
            code: Code::Unimplemented,
            unread: peer.unread.clone(),
            is_leaving,
            in_parts_since: None,
            patience,
            room: None,
            busy,
        });
    }
    request.extensions_mut().insert(peer.clone());
    let BegunCall { begun, answer, refuse, open: _ } = calls.begin(called, request);
    let mut ongoing = begun.ongoing(&calls.service.calls);
    let response = match answer {
        Answer::Now(response) => response,
        Answer::Later(answer) => match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                ongoing.count_panic(&*panic);
                refuse(&panicked())
            }
        },
    };
    let (mut head, body) = response.into_parts();
    ongoing.begun().add_request_id(&mut head.headers);
    let code = head.extensions.remove::<Outcome>().map_or(Code::Ok, code_of);
    if body.is_end_stream() {
        ongoing.end(code);
    } else {
        ongoing.opened();
    }
    let unread = peer.unread.clone();
    let (in_parts_since, room, ongoing) = (None, None, Some(ongoing));
    let body = SentBody { body, ongoing, code, unread, is_leaving, in_parts_since, patience, room, busy };
    Response::from_parts(head, body)
}

/// A call is under way until this is dropped.
struct Busy(Arc<CurrentCall>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The body of a response, whose end is the end of its call.
struct SentBody {
    body: ResponseBody,
    /// `None`: the call is not counted.
    ongoing: Option<Ongoing>,
    /// How the call ends if the client takes the body.
    code: Code,
    unread: Arc<Unread>,
    /// Ends a stream with an error that has its client connect again.
    is_leaving: Arc<AtomicBool>,
    /// Since when a message is being sent in parts.
    in_parts_since: Option<Instant>,
    /// How long the client may take nothing.
    patience: Duration,
    /// Ends when there may be room for the next message.
    room: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    busy: Busy,
}

impl SentBody {
    /// Why the stream ends, although it goes on.
    fn cut_short(&self) -> Option<ApiError> {
        if self.is_leaving.load(Relaxed) {
            return Some(farewell());
        }
        let is_too_slow =
            self.in_parts_since.is_some_and(|since| since.elapsed() > self.patience * MESSAGE_PATIENCE);
        is_too_slow.then(|| {
            self.unread.counts().given_up.fetch_add(1, Relaxed);
            response_not_taken(self.patience)
        })
    }

    /// The next message of a stream is not made before there is room for it.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.body.makes_messages() && !self.unread.has_room() {
            let unread = self.unread.clone();
            let less = self.room.get_or_insert_with(|| {
                Box::pin(async move {
                    // Room that others make on the server is looked for.
                    let _ = timeout(ROOM_INTERVAL, unread.less()).await;
                })
            });
            ready!(less.as_mut().poll(context));
            self.room = None;
        }
        Poll::Ready(())
    }

    /// Notes how fast the client must take what was just made.
    fn note_pace(&mut self) {
        let is_within_parts = self.body.is_within_parts();
        match is_within_parts {
            true => _ = self.in_parts_since.get_or_insert_with(Instant::now),
            false => self.in_parts_since = None,
        }
        let is_at_pace = is_within_parts || self.body.is_transfer();
        self.busy.0.require(if is_at_pace { TRANSFER_BYTES_MIN } else { TAKEN_BYTES_MIN });
    }
}

impl Body for SentBody {
    type Data = Encoded;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Encoded>, Status>>> {
        let cut_short = self.cut_short();
        let last_words = cut_short.and_then(|error| self.body.last_words(&error));
        let next = match last_words {
            Some(words) => Some(Ok(Frame::data(words))),
            None => {
                ready!(self.poll_room(context));
                ready!(Pin::new(&mut self.body).poll_frame(context))
            }
        };
        self.note_pace();
        let has_ended = self.body.is_end_stream();
        let code = self.body.failed_by().map_or(self.code, |code| code_of(Outcome(Some(code))));
        if let Some(ongoing) = self.ongoing.as_mut().filter(|_| has_ended) {
            ongoing.end(code);
        }
        let unread = self.unread.clone();
        // What streams share is in memory once.
        let with_shared = !self.body.is_streamed();
        Poll::Ready(next.map(|frame| Ok(frame?.map_data(|data| data.counted(&unread, with_shared)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
