//! One HTTP/2 connection: takes its calls, and sends their answers. Knows no call.
//!
//! All calls of a connection live in its one task: a call that is answered at once costs no task of its own and no second turn, and
//! what a commit tells to many streams of a connection goes out together. Whatever takes long is done elsewhere, see `Answer`.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Code;

use super::busy_turns::{BusyTurn, BusyTurns};
use super::call::{BegunCall, ConnectionCalls, panicked};
use super::connection_age::{Age, Due};
use super::connection_context::ConnectionContext;
use super::frame_budget::Credit;
use super::idle::Idle;
use super::keepalive::{Keepalive, Silence};
use super::poll_turn::Turn;
use super::response::{Sending, Telling, send};
use super::write_coalescing::Gather;
use crate::api::answer::{Answer, Later, Refuse};
use crate::api::codec::Encoded;
use crate::api::guard::peer::Peer;
use crate::server::router::Called;
use crate::server::telemetry::calls::Ongoing;

/// HTTP/2 closes a connection on which more small frames wait than a share of this window allows, and thousands of
/// calls that begin at once are such frames.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A request of the usual size is sent without waiting.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// That a client does not read of one stream.
const UNREAD_BYTES_MAX: usize = 400 << 10;
/// Streams that the client was told are over, while it may still send for them.
const RESET_STREAMS_MAX: usize = 1024;
/// Calls under way on one connection, beside streams.
const CALLS_PER_CONNECTION: usize = 1000;
/// A turn is over after so many looks at what there is, so many new calls, or so many that have ended, or so many bytes that were read: other
/// connections want their turn, too. A connection that has used up a turn is busy: it waits for its turns, which are longer.
const LOOKS_PER_TURN: usize = 8;
const FIRST_TURN: TurnMax = TurnMax { calls: 16, read_bytes: 16 << 10 };
const BUSY_TURN: TurnMax = TurnMax { calls: 32, read_bytes: 32 << 10 };

struct TurnMax {
    calls: usize,
    read_bytes: usize,
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum Failed {
    #[error(transparent)]
    Http(#[from] h2::Error),
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    #[error("the client did not begin HTTP in time")]
    NotBegun,
}

/// Serves a connection until its client leaves, or after `stop` or its `age` until its calls have ended.
pub(in crate::server) async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    peer: Arc<Peer>,
    service: Arc<ConnectionContext>,
    age: Option<Age>,
    stop: CancellationToken,
) -> Result<(), Failed> {
    let turn = Arc::new(Turn::default());
    let settings = &service.settings;
    let for_all = settings.limits.watchers_max.saturating_mul(2).saturating_add(CALLS_PER_CONNECTION);
    let streams_max = settings.streams_per_connection_max.unwrap_or(for_all);
    let mut http = h2::server::Builder::new();
    http.initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        // What is more, but not much, is answered with an error that says so.
        .max_header_list_size(settings.header_bytes_max.saturating_mul(2))
        .max_send_buffer_size(UNREAD_BYTES_MAX)
        .max_local_error_reset_streams(Some(RESET_STREAMS_MAX))
        // A client may hold all its streams, of both kinds, on one connection, and must be able to call beside them: what
        // exceeds this number waits within the client, and is not even told that there are too many: the default is for them.
        .max_concurrent_streams(u32::try_from(streams_max).unwrap_or(u32::MAX));
    // In a box, so that its memory is not kept for as long as the connection.
    let handshake = Box::pin(http.handshake(Gather::new(socket, turn.clone())));
    let mut http = tokio::select! {
        http = timeout(settings.handshake_timeout, handshake) => http.map_err(|_| Failed::NotBegun)??,
        () = stop.cancelled() => return Ok(()),
    };
    let pings = http.ping_pong().expect("nobody has taken it");
    let keepalive = Keepalive::new(pings, settings.keepalive_interval, settings.keepalive_timeout);
    let sending = Sending { unread: peer.unread.clone(), patience: settings.response_timeout };
    let connection = Connection {
        http,
        sending,
        in_all: ConnectionCalls::new(service.clone(), peer.unread.clone()),
        peer,
        calls: FuturesUnordered::new(),
        keepalive,
        age,
        idle: settings.connection_idle_max.map(|max| Idle::new(max, settings.drain_timeout)),
        was_busy: false,
        busy_turns: service.busy_turns.clone(),
        has_more: false,
        busy_turn: None,
        credit: Credit::new(Instant::now()),
        is_over: false,
        is_leaving: false,
        is_holding_back: false,
        stop: Some(Box::pin(stop.cancelled_owned())),
        service,
        waker: Waker::from(turn.clone()),
        turn,
    };
    Ok(connection.await?)
}

struct Connection<S> {
    http: h2::server::Connection<Gather<S>, Encoded>,
    peer: Arc<Peer>,
    service: Arc<ConnectionContext>,
    sending: Sending,
    /// Those that were not answered at once.
    calls: FuturesUnordered<Call>,
    keepalive: Keepalive,
    /// `None`: it may last for ever.
    age: Option<Age>,
    /// `None`: it may be without a call for ever.
    idle: Option<Idle>,
    /// There was a call since this was last looked at.
    was_busy: bool,
    busy_turns: BusyTurns,
    /// It has used up its last turn.
    has_more: bool,
    /// Until the events that came meanwhile were looked at.
    busy_turn: Option<BusyTurn>,
    /// What all calls share.
    in_all: ConnectionCalls,
    /// For what leads to nothing.
    credit: Credit,
    /// It is given up, whether its client hears of it or not.
    is_over: bool,
    /// Its streams are told to come back on another.
    is_leaving: bool,
    /// Calls wait until the client has taken more of what it was answered.
    is_holding_back: bool,
    /// Until it came.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    turn: Arc<Turn>,
    /// Of the turn.
    waker: Waker,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = self.waker.clone();
        let turn = self.turn.clone();
        let inside = &mut Context::from_waker(&waker);
        let max = if self.has_more { BUSY_TURN } else { FIRST_TURN };
        // Others may wait for it.
        self.busy_turn = None;
        if self.has_more {
            self.busy_turn = Some(ready!(self.busy_turns.poll(context)));
            self.has_more = false;
        }
        turn.begin(context.waker(), max.read_bytes);
        self.poll_stop(inside);
        let (mut looks, mut calls_left, mut ends_left) = (0, max.calls, max.calls);
        loop {
            looks += 1;
            if let Poll::Ready(ended) = self.poll_accept(inside, &mut calls_left) {
                return Poll::Ready(ended);
            }
            while ends_left > 0
                && let Poll::Ready(Some(())) = Pin::new(&mut self.calls).poll_next(inside)
            {
                ends_left -= 1;
            }
            self.look_at_noise();
            if self.is_over {
                turn.stop_gathering();
                // So that the client hears why, if it listens.
                let _ = self.http.poll_closed(inside);
                return Poll::Ready(Ok(()));
            }
            let goes_on = turn.goes_on();
            let is_at_end = calls_left == 0 || ends_left == 0 || turn.has_read_enough();
            if goes_on && looks < LOOKS_PER_TURN && !is_at_end {
                continue;
            }
            if turn.is_unsent() {
                turn.stop_gathering();
                if let Poll::Ready(ended) = self.http.poll_closed(inside) {
                    return Poll::Ready(ended);
                }
            }
            self.sending.unread.report();
            if self.is_holding_back && self.sending.unread.takes_calls() {
                turn.pause(context);
                return Poll::Pending;
            }
            if goes_on || is_at_end {
                self.has_more = is_at_end;
                turn.pause(context);
                return Poll::Pending;
            }
            if turn.rest() {
                self.busy_turn = None;
                return Poll::Pending;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn poll_stop(&mut self, context: &mut Context<'_>) {
        if let Some(stop) = &mut self.stop
            && stop.as_mut().poll(context).is_ready()
        {
            self.stop = None;
            self.http.graceful_shutdown();
        }
        if let Poll::Ready(Silence) = self.keepalive.poll(context, &self.turn) {
            self.http.abrupt_shutdown(Reason::NO_ERROR);
        }
        self.poll_idle(context);
        while let Some(age) = &mut self.age
            && let Poll::Ready(due) = age.poll(context)
        {
            match due {
                Due::Leave => self.leave(),
                Due::End => {
                    self.age = None;
                    self.http.abrupt_shutdown(Reason::NO_ERROR);
                }
            }
        }
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) {
        let Connection { idle: Some(idle), calls, was_busy, .. } = self else { return };
        let is_busy = || std::mem::take(was_busy) || !calls.is_empty();
        match idle.poll(context, is_busy) {
            Poll::Ready(Due::Leave) => {
                self.service.connections.counts.idle.fetch_add(1, Relaxed);
                self.http.graceful_shutdown();
                // A call may come that was on its way; then for the end of those who do not go.
                self.poll_idle(context);
            }
            Poll::Ready(Due::End) if self.calls.is_empty() => {
                self.http.abrupt_shutdown(Reason::NO_ERROR);
                self.is_over = true;
            }
            // Calls that were on their way when it was told to leave: they are told to come back, and end.
            Poll::Ready(Due::End) => {
                self.idle = None;
                self.age = Some(Age::new(Duration::ZERO, self.service.settings.drain_timeout, 0.5));
            }
            Poll::Pending => {}
        }
    }

    fn look_at_noise(&mut self) {
        let said = self.turn.take_said();
        if self.credit.is_used_up(said, Instant::now) {
            self.service.connections.counts.noisy.fetch_add(1, Relaxed);
            self.http.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            self.is_over = true;
        }
    }

    /// Takes no new calls, and ends the streams that there are.
    fn leave(&mut self) {
        self.service.connections.counts.aged.fetch_add(1, Relaxed);
        self.is_leaving = true;
        self.http.graceful_shutdown();
        // What is new there is looked at once.
        let calls = std::mem::take(&mut self.calls);
        self.calls = calls.into_iter().map(Call::leaving).collect();
    }

    /// Takes what the client sent, and begins its calls. Ready when the connection has ended.
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
        calls_left: &mut usize,
    ) -> Poll<Result<(), h2::Error>> {
        while *calls_left > 0 {
            self.is_holding_back = !self.sending.unread.takes_calls();
            if self.is_holding_back {
                return self.http.poll_closed(context);
            }
            let Some(accepted) = ready!(pin!(self.http.accept()).poll(context)) else {
                return Poll::Ready(Ok(()));
            };
            let (mut request, respond) = accepted?;
            *calls_left -= 1;
            self.was_busy = true;
            request.extensions_mut().insert(Arc::clone(&self.peer));
            if let Some(call) = begin(&self.in_all, &self.sending, request, respond) {
                // The client may not have heard yet that there is no point in coming.
                self.calls.push(if self.is_leaving { call.leaving() } else { call });
            }
        }
        Poll::Pending
    }
}

/// A call that was not answered at once.
struct Call {
    stage: ResponseStage,
    ongoing: Ongoing,
    /// Makes the response of its transport that has nothing but an error.
    refuse: Refuse,
    /// Of a service that is open to all: they are counted.
    _open: Option<Arc<()>>,
}

enum ResponseStage {
    Answering { answer: Later, respond: SendResponse<Encoded>, sending: Sending, is_leaving: bool },
    Telling(Telling),
}

impl Call {
    /// The same call, on a connection that leaves.
    fn leaving(mut self) -> Call {
        match &mut self.stage {
            ResponseStage::Answering { is_leaving, .. } => *is_leaving = true,
            ResponseStage::Telling(telling) => telling.leave(),
        }
        self
    }
}

/// Begins a call. `None`: it has ended already.
fn begin(
    in_all: &ConnectionCalls,
    sending: &Sending,
    request: Request<RecvStream>,
    mut respond: SendResponse<Encoded>,
) -> Option<Call> {
    let calls = &in_all.service.calls;
    let BegunCall { mut begun, answer, refuse, open } = in_all.begin(Called::of(&request), request);
    let code = match answer {
        Answer::Now(response) => match send(response, &begun, &mut respond, sending) {
            ControlFlow::Continue(telling) => {
                calls.opened(&mut begun);
                let ongoing = begun.ongoing(calls);
                return Some(Call { stage: ResponseStage::Telling(telling), ongoing, refuse, _open: open });
            }
            ControlFlow::Break(code) => code,
        },
        Answer::Later(answer) => {
            let stage =
                ResponseStage::Answering { answer, respond, sending: sending.clone(), is_leaving: false };
            return Some(Call { stage, ongoing: begun.ongoing(calls), refuse, _open: open });
        }
    };
    calls.end(&mut begun, code);
    None
}

impl Future for Call {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let Call { stage, ongoing, .. } = &mut *self;
            loop {
                match stage {
                    ResponseStage::Telling(telling) => return telling.poll(context),
                    ResponseStage::Answering { answer, respond, sending, is_leaving } => {
                        match Pin::new(answer).poll(context) {
                            Poll::Ready(response) => {
                                match send(response, ongoing.begun(), respond, sending) {
                                    ControlFlow::Continue(telling) => {
                                        ongoing.opened();
                                        let is_leaving = *is_leaving;
                                        *stage = ResponseStage::Telling(if is_leaving {
                                            telling.leaving()
                                        } else {
                                            telling
                                        });
                                    }
                                    ControlFlow::Break(code) => return Poll::Ready(code),
                                }
                            }
                            Poll::Pending => return respond.poll_reset(context).map(|_| Code::Cancelled),
                        }
                    }
                }
            }
        }));
        let polled = polled.unwrap_or_else(|panic| Poll::Ready(self.fail(&*panic)));
        polled.map(|code| self.ongoing.end(code))
    }
}

impl Call {
    /// Ends a call whose handler has panicked, as far as its client has not been answered.
    fn fail(&mut self, panic: &(dyn Any + Send)) -> Code {
        self.ongoing.count_panic(panic);
        match &mut self.stage {
            ResponseStage::Answering { respond, sending, .. } => {
                match send((self.refuse)(&panicked()), self.ongoing.begun(), respond, sending) {
                    ControlFlow::Continue(_) => Code::Internal,
                    ControlFlow::Break(code) => code,
                }
            }
            ResponseStage::Telling(telling) => {
                telling.break_off(&panicked());
                Code::Internal
            }
        }
    }
}
