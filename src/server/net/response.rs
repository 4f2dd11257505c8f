//! Sends a response on its stream of HTTP/2, as fast as the client takes it, and gives it up if the client takes nothing. Knows no call.
//!
//! HTTP/2 is given no more of a response than its windows have room for, so that what waits for the client can be given up here, with
//! an error that says why.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tonic::Code;

use super::connection_age::farewell;
use super::pace::{MESSAGE_PATIENCE, Pace, ROOM_INTERVAL, TAKEN_BYTES_MIN, TRANSFER_BYTES_MIN};
use crate::api::answer::Outcome;
use crate::api::body::{ResponseBody, trailers};
use crate::api::call_errors::response_not_taken;
use crate::api::codec::Encoded;
use crate::api::error::ApiError;
use crate::api::grpc::status::trailers_of;
use crate::api::reply::Reply;
use crate::api::unread::{Unread, UnreadBytes};
use crate::server::telemetry::calls::{Begun, code_in, code_of};

/// What a stream costs, besides its message, while its client makes no room.
const STALLED_BYTES: usize = 2 << 10;
/// Sends the body of a response.
pub(in crate::server) struct Telling {
    body: ResponseBody,
    send: SendStream<Encoded>,
    /// What the client has no room for yet. In a box, as this is rare.
    held: Option<Box<Encoded>>,
    /// `None`: the client takes what there is.
    stalled: Option<Box<Stalled>>,
    /// Since when a message is being sent in parts.
    in_parts_since: Option<Instant>,
    /// Ends a stream with an error that has its client connect again.
    is_leaving: bool,
    /// The end of the call, of a response whose trailers do not have it. Such a response can only be broken off.
    outcome: Option<Code>,
    unread: Arc<Unread>,
    /// How long the client may take nothing.
    patience: Duration,
}

/// A response whose client makes no room for it, or which waits for room on the server.
struct Stalled {
    /// Ends when `pace` may do.
    timer: Pin<Box<Sleep>>,
    pace: Pace,
    /// The beginning of a message was sent, and its end was not.
    is_within_message: bool,
    /// Ends when there may be room for the next message.
    room: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _held: UnreadBytes,
}

/// How responses of a connection are sent.
#[derive(Clone)]
pub(in crate::server) struct Sending {
    pub unread: Arc<Unread>,
    /// How long the client may take nothing.
    pub patience: Duration,
}

/// Sends as much of a response as there is. Breaks with what the call has come to, if it has ended. An error of HTTP/2 is the end of the
/// stream: its client has gone.
pub(in crate::server) fn send(
    response: Response<ResponseBody>,
    begun: &Begun,
    respond: &mut SendResponse<Encoded>,
    sending: &Sending,
) -> ControlFlow<Code, Telling> {
    let gone = ControlFlow::Break(Code::Cancelled);
    let (mut head, body) = response.into_parts();
    begun.add_request_id(&mut head.headers);
    let ends = body.is_end_stream();
    let outcome = head.extensions.remove::<Outcome>().map(code_of);
    let code = outcome.unwrap_or_else(|| if ends { code_in(&head.headers) } else { Code::Ok });
    let Ok(mut send) = respond.send_response(Response::from_parts(head, ()), ends) else { return gone };
    if ends {
        return ControlFlow::Break(code);
    }
    let (body, held) = match body {
        ResponseBody::Reply(Reply::Message(message)) => {
            let message = message.counted(&sending.unread, true);
            let bytes = message.remaining();
            send.reserve_capacity(bytes);
            if send.capacity() >= bytes {
                return match send.send_data(message, false).and_then(|()| send.send_trailers(trailers())) {
                    Ok(()) => ControlFlow::Break(code),
                    Err(_) => gone,
                };
            }
            (ResponseBody::Reply(Reply::Ended), Some(Box::new(message)))
        }
        ResponseBody::Content(content) => {
            let content = content.counted(&sending.unread, true);
            let bytes = content.remaining();
            send.reserve_capacity(bytes);
            if send.capacity() >= bytes {
                let sent = send.send_data(content, true);
                return sent.map_or(gone, |()| ControlFlow::Break(code));
            }
            (ResponseBody::Ended, Some(Box::new(content)))
        }
        body => (body, None),
    };
    let Sending { unread, patience } = sending.clone();
    ControlFlow::Continue(Telling {
        body,
        send,
        held,
        stalled: None,
        in_parts_since: None,
        is_leaving: false,
        outcome,
        unread,
        patience,
    })
}

impl Telling {
    /// The same, on a connection that leaves.
    pub(in crate::server) fn leaving(mut self) -> Telling {
        self.leave();
        self
    }

    pub(in crate::server) fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Ready with what the call has come to.
    pub(in crate::server) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Code> {
        loop {
            if let Some(message) = self.held.take() {
                match self.send.poll_capacity(context) {
                    _ if self.send.capacity() > 0 => {
                        if self.offer(*message).is_err() {
                            return Poll::Ready(Code::Cancelled);
                        }
                        continue;
                    }
                    Poll::Ready(Some(Ok(_))) => {
                        self.held = Some(message);
                        continue;
                    }
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Code::Cancelled),
                    Poll::Pending => {
                        self.held = Some(message);
                        self.body.waits();
                        return self.wait_for_client(context);
                    }
                }
            }
            if self.is_leaving && self.body.is_stream() {
                return self.end_by(&farewell());
            }
            if self.body.makes_messages() && !self.unread.has_room() {
                return self.wait_for_room(context);
            }
            self.stalled = None;
            if self.takes_too_long() {
                return self.give_up();
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(message) => {
                        match self.body.is_within_parts() {
                            true => _ = self.in_parts_since.get_or_insert_with(Instant::now),
                            false => self.in_parts_since = None,
                        }
                        let message = message.counted(&self.unread, !self.body.is_stream());
                        if self.offer(message).is_err() {
                            return Poll::Ready(Code::Cancelled);
                        }
                    }
                    Err(frame) => return self.end(frame.into_trailers().ok()),
                },
                Poll::Ready(None) => return self.end(None),
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(%error, "a response broke off");
                    self.send.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Code::Internal);
                }
                // A stream as well: other answers are there whole.
                Poll::Pending if self.is_leaving => return self.end_by(&farewell()),
                // The client may go away meanwhile.
                Poll::Pending => return self.send.poll_reset(context).map(|_| Code::Cancelled),
            }
        }
    }

    /// Sends as much of a message as the client has room for, and holds the rest.
    fn offer(&mut self, mut message: Encoded) -> Result<(), h2::Error> {
        let bytes = message.remaining();
        // Asking for room only when there is something to send: idle streams take none from the others.
        self.send.reserve_capacity(bytes);
        let room = self.send.capacity();
        if room >= bytes {
            if let Some(stalled) = &mut self.stalled {
                stalled.is_within_message = false;
            }
            return self.send.send_data(message, false);
        }
        if room > 0 {
            let stalled = self.stalled();
            stalled.is_within_message = true;
            stalled.pace.take(room, Instant::now());
            self.send.send_data(message.split_to(room), false)?;
        }
        self.held = Some(Box::new(message));
        Ok(())
    }

    /// The client makes no room. Ready when it has gone, or has taken nothing for too long.
    fn wait_for_client(&mut self, context: &mut Context<'_>) -> Poll<Code> {
        if self.send.poll_reset(context).is_ready() {
            return Poll::Ready(Code::Cancelled);
        }
        if let Poll::Ready(error) = self.body.poll_shut_out(context) {
            self.break_off(&error);
            return Poll::Ready(code_in(&trailers_of(&error)));
        }
        while self.stalled().timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let is_stream = self.body.is_stream() && !self.body.is_transfer();
            // What is not read of a stream costs one message, unless it is a part of more. It may stay until there is too much of everything.
            let may_stay = is_stream && !self.body.is_within_parts() && !self.unread.is_short();
            let is_late = self.takes_too_long();
            let stalled = self.stalled();
            let takes_nothing = stalled.pace.ends() <= now;
            if is_late || takes_nothing && !may_stay {
                return self.give_up();
            }
            if takes_nothing {
                stalled.pace.forgive(now);
            }
            stalled.timer.as_mut().reset(stalled.pace.ends());
        }
        Poll::Pending
    }

    /// Whether the client has not taken a message in the time that there is for all its parts together.
    fn takes_too_long(&self) -> bool {
        self.in_parts_since.is_some_and(|since| since.elapsed() > self.patience * MESSAGE_PATIENCE)
    }

    /// The next message of a stream is not built before there is room for it.
    fn wait_for_room(&mut self, context: &mut Context<'_>) -> Poll<Code> {
        if self.send.poll_reset(context).is_ready() {
            return Poll::Ready(Code::Cancelled);
        }
        self.body.waits();
        let unread = self.unread.clone();
        let room = &mut self.stalled().room;
        loop {
            let less = room.get_or_insert_with(|| {
                let unread = unread.clone();
                Box::pin(async move {
                    // Room that others make on the server is looked for.
                    let _ = timeout(ROOM_INTERVAL, unread.less()).await;
                })
            });
            ready!(less.as_mut().poll(context));
            *room = None;
            if unread.has_room() {
                // To be polled again.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn stalled(&mut self) -> &mut Stalled {
        let Telling { stalled, unread, patience, body, .. } = self;
        stalled.get_or_insert_with(|| {
            let bytes_min = if body.is_transfer() { TRANSFER_BYTES_MIN } else { TAKEN_BYTES_MIN };
            let pace = Pace::begin(bytes_min, *patience, Instant::now());
            let timer = Box::pin(sleep_until(pace.ends()));
            let _held = unread.hold(STALLED_BYTES);
            Box::new(Stalled { timer, pace, is_within_message: false, room: None, _held })
        })
    }

    fn give_up(&mut self) -> Poll<Code> {
        self.unread.counts().given_up.fetch_add(1, Relaxed);
        self.held = None;
        if self.stalled().is_within_message {
            // Clients of gRPC take this for RESOURCE_EXHAUSTED.
            self.send.send_reset(Reason::ENHANCE_YOUR_CALM);
            return Poll::Ready(Code::ResourceExhausted);
        }
        self.end_by(&response_not_taken(self.patience))
    }

    /// Ends the response with an error.
    fn end_by(&mut self, error: &ApiError) -> Poll<Code> {
        if let Some(words) = self.body.last_words(error) {
            let sent = self.send.send_data(words, true);
            return Poll::Ready(sent.map_or(Code::Cancelled, |()| code_of(Outcome(Some(error.code)))));
        }
        if self.outcome.is_some() {
            self.send.send_reset(Reason::INTERNAL_ERROR);
            return Poll::Ready(code_of(Outcome(Some(error.code))));
        }
        self.end(Some(trailers_of(error)))
    }

    /// Ends the response with an error, as far as the client has not got all of it.
    pub(in crate::server) fn break_off(&mut self, error: &ApiError) {
        self.held = None;
        match &self.stalled {
            Some(stalled) if stalled.is_within_message => self.send.send_reset(Reason::INTERNAL_ERROR),
            _ if self.body.is_streamed() => _ = self.end_by(error),
            _ if self.outcome.is_some() => self.send.send_reset(Reason::INTERNAL_ERROR),
            // If it fails, the client has gone.
            Some(_) | None => _ = self.send.send_trailers(trailers_of(error)),
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Poll<Code> {
        let failed = self.body.failed_by().map(|code| code_of(Outcome(Some(code))));
        let without_trailers = failed.or(self.outcome).unwrap_or(Code::Unknown);
        let code = trailers.as_ref().map_or(without_trailers, code_in);
        let sent = match trailers {
            Some(trailers) => self.send.send_trailers(trailers),
            None => self.send.send_data(Encoded::default(), true),
        };
        Poll::Ready(if sent.is_ok() { code } else { Code::Cancelled })
    }
}
