//! Limits request bodies that are still being received: their duration, count and bytes. Knows no call.
//!
//! Who has sent the head of a call and not its message costs memory for as long as they like, and who sends nearly all of many messages a
//! great deal of it. Nearly always a request is there whole when it is looked at: that costs nothing here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::api::request_body::{BodyError, BodyRefusal};

/// Of the bytes that there may be of unfinished requests, one connection may hold a part in so many.
const CONNECTION_SHARE: u64 = 4;
/// So many requests, and so much of them, every connection may have, however many there are: whoever takes all the rest does not lock the
/// others out.
const CONNECTION_FLOOR: u64 = 8;
const CONNECTION_FLOOR_BYTES: u64 = 16 << 10;

/// What there is of unfinished requests, and what became of them.
#[derive(Debug, Default)]
pub struct RequestCounts {
    /// That there are now.
    pub unfinished: AtomicU64,
    /// Of what has come of them.
    pub unfinished_bytes: AtomicU64,
    /// Given up, since they took too long.
    pub too_slow: AtomicU64,
    /// Refused, since there were as many, or as much of them, as there may be.
    pub too_many: AtomicU64,
}

/// Limits of a server.
#[derive(Debug)]
pub(in crate::server) struct Requests {
    pub counts: RequestCounts,
    patience: Duration,
    max: u64,
    bytes_max: u64,
}

/// Those of one connection.
#[derive(Debug)]
pub(in crate::server) struct ConnectionRequests {
    all: Arc<Requests>,
    /// That have not come whole, and what has come of them.
    unfinished: AtomicU64,
    bytes: AtomicU64,
}

/// What a client sends of a request, by any protocol.
pub(in crate::server) trait Inbound: Send + Unpin + 'static {
    /// The next piece, or the trailers. What was taken makes room for more.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Whether nothing more comes.
    fn has_ended(&self) -> bool;
}

/// The body of a request.
pub(in crate::server) struct Received<I> {
    stream: I,
    /// `None`: it goes on for as long as its client likes.
    requests: Option<Arc<ConnectionRequests>>,
    /// Of what has come, with its head.
    bytes: u64,
    /// From the first time that somebody had to wait for more.
    waiting: Option<Box<Waiting>>,
    /// It was given up: whoever asks again is told again.
    refused: Option<BodyRefusal>,
}

/// A request that has not come whole.
struct Waiting {
    timer: Pin<Box<Sleep>>,
    requests: Arc<ConnectionRequests>,
    bytes: u64,
}

impl Requests {
    pub(in crate::server) fn new(patience: Duration, max: u64, bytes_max: u64) -> Requests {
        Requests { counts: RequestCounts::default(), patience, max, bytes_max }
    }
}

impl ConnectionRequests {
    pub(in crate::server) fn new(all: Arc<Requests>) -> Arc<ConnectionRequests> {
        Arc::new(ConnectionRequests { all, unfinished: AtomicU64::new(0), bytes: AtomicU64::new(0) })
    }
}

impl<I: Inbound> Received<I> {
    /// One message, which must come soon. Its head has taken so many bytes already.
    pub(in crate::server) fn whole(
        stream: I,
        requests: Arc<ConnectionRequests>,
        head_bytes: usize,
    ) -> Received<I> {
        let (requests, bytes) = (Some(requests), head_bytes as u64);
        Received { stream, requests, bytes, waiting: None, refused: None }
    }

    /// Messages, whenever the client has some.
    pub(in crate::server) fn open(stream: I) -> Received<I> {
        Received { stream, requests: None, bytes: 0, waiting: None, refused: None }
    }

    fn refuse(&mut self, refusal: BodyRefusal) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.waiting = None;
        self.refused = Some(refusal);
        Poll::Ready(Some(Err(refusal.into())))
    }

    /// Nothing more is there yet.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(requests) = &self.requests else { return Poll::Pending };
        if self.waiting.is_none() {
            match Waiting::begin(requests, self.bytes) {
                Some(waiting) => self.waiting = Some(Box::new(waiting)),
                None => return self.refuse(BodyRefusal::TooManyUnfinished),
            }
        }
        let patience = requests.all.patience;
        let waiting = self.waiting.as_mut().expect("it was just put there");
        ready!(waiting.timer.as_mut().poll(context));
        waiting.requests.all.counts.too_slow.fetch_add(1, Relaxed);
        self.refuse(BodyRefusal::TooSlow(patience))
    }
}

impl Waiting {
    /// `None`: there are too many.
    fn begin(requests: &Arc<ConnectionRequests>, bytes: u64) -> Option<Waiting> {
        let all = &requests.all;
        let everywhere = all.counts.unfinished.fetch_add(1, Relaxed);
        let here = requests.unfinished.fetch_add(1, Relaxed);
        let mut waiting =
            Waiting { timer: Box::pin(sleep(all.patience)), requests: requests.clone(), bytes: 0 };
        if everywhere >= all.max && here >= CONNECTION_FLOOR {
            all.counts.too_many.fetch_add(1, Relaxed);
            return None;
        }
        waiting.hold(bytes).then_some(waiting)
    }

    /// Whether there is room for so much more.
    fn hold(&mut self, bytes: u64) -> bool {
        let all = &self.requests.all;
        self.bytes += bytes;
        let here = self.requests.bytes.fetch_add(bytes, Relaxed) + bytes;
        let everywhere = all.counts.unfinished_bytes.fetch_add(bytes, Relaxed) + bytes;
        let has_room = here <= CONNECTION_FLOOR_BYTES
            || here <= all.bytes_max / CONNECTION_SHARE && everywhere <= all.bytes_max;
        all.counts.too_many.fetch_add((!has_room).into(), Relaxed);
        has_room
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let counts = &self.requests.all.counts;
        counts.unfinished.fetch_sub(1, Relaxed);
        self.requests.unfinished.fetch_sub(1, Relaxed);
        counts.unfinished_bytes.fetch_sub(self.bytes, Relaxed);
        self.requests.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

impl<I: Inbound> Body for Received<I> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(refusal) = self.refused {
            return Poll::Ready(Some(Err(refusal.into())));
        }
        match self.stream.poll_next(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.bytes += bytes;
                if let Some(waiting) = &mut self.waiting
                    && !waiting.hold(bytes)
                {
                    return self.refuse(BodyRefusal::TooManyUnfinished);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending => self.wait(context),
            ended => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.refused.is_none() && self.stream.has_ended()
    }
}

impl Inbound for RecvStream {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let broken = |error: h2::Error| Poll::Ready(Some(Err(BodyError::broken(Box::new(error)))));
        match ready!(self.poll_data(context)) {
            // It is taken as fast as it comes: who reads it has a limit.
            Some(Ok(data)) => match self.flow_control().release_capacity(data.len()) {
                Ok(()) => Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(error) => broken(error),
            },
            Some(Err(error)) => broken(error),
            None => match ready!(self.poll_trailers(context)) {
                Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                Err(error) => broken(error),
            },
        }
    }

    fn has_ended(&self) -> bool {
        self.is_end_stream()
    }
}

impl Inbound for Incoming {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(self).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError::broken(Box::new(error)))))
    }

    fn has_ended(&self) -> bool {
        self.is_end_stream()
    }
}
