//! Streams over HTTP: the messages of a reply as server-sent events, or as JSON line by line. The reply is that of gRPC, with its checks of
//! permissions and its pace; only the framing is another. Knows replies and JSON; no operation, and no connection.

mod event_id;
mod json_frames;
pub mod requests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::time::{Instant, Sleep, sleep};

use super::content::add_headers;
use super::headers::accepted;
use super::problem;
use crate::api::answer::Outcome;
use crate::api::body::{FramedStream, ResponseBody};
use crate::api::codec::Encoded;
use crate::api::error::ApiError;
use crate::api::reply::Reply;
use crate::api::rpc::Rpc;
use crate::proto::v1;

use event_id::Held;
use json_frames::JsonFrame;

pub use json_frames::JsonFrames;

/// A stream of events without an event for so long has a comment, so that no proxy takes the connection for dead.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
const COMMENT: &[u8] = b":\n\n";
/// After a connection that broke, browsers come back within this time, each at another moment.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_SPREAD: Duration = Duration::from_secs(2);
/// The reason of the error by which a server that stops ends a stream.
const DRAINING: &str = "DRAINING";

/// Tells nginx to pass each event on at once.
static ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How the messages of a stream are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events, as HTML has them.
    Events,
    /// A JSON text on each line.
    Lines,
}

impl Framing {
    /// What the client of a request prefers.
    pub fn of(headers: &HeaderMap, default: Framing) -> Result<Framing, ApiError> {
        let other = match default {
            Framing::Events => Framing::Lines,
            Framing::Lines => Framing::Events,
        };
        let accepted = accepted(headers, &[default.content_type(), other.content_type()])?;
        Ok(if accepted == default.content_type() { default } else { other })
    }

    fn content_type(self) -> &'static str {
        match self {
            Framing::Events => "text/event-stream",
            Framing::Lines => "application/x-ndjson",
        }
    }
}

/// The response with a stream. `watch`: its request, of a watch.
pub fn response(
    frames: Arc<JsonFrames>,
    rpc: Rpc,
    reply: Reply,
    framing: Framing,
    watch: Option<&v1::WatchRequest>,
) -> Response<ResponseBody> {
    let stream = Streamed::new(frames, rpc, reply, framing, watch);
    let mut response = Response::new(ResponseBody::Streamed(Box::new(stream)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(framing.content_type()));
    response.headers_mut().insert(&ACCEL_BUFFERING, HeaderValue::from_static("no"));
    add_headers(response.headers_mut());
    response.extensions_mut().insert(Outcome(None));
    response
}

/// The body of a stream.
pub struct Streamed {
    frames: Arc<JsonFrames>,
    rpc: Rpc,
    reply: Reply,
    framing: Framing,
    /// Of a watch whose events have ids.
    held: Option<Held>,
    /// When the next comment is due. Lines have none.
    comment: Option<Pin<Box<Sleep>>>,
    has_begun: bool,
}

impl FramedStream for Streamed {
    fn reply(&self) -> &Reply {
        &self.reply
    }

    fn reply_mut(&mut self) -> &mut Reply {
        &mut self.reply
    }

    /// The next event or line, or a comment.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Encoded, ApiError>>> {
        if let Poll::Ready(next) = self.reply.poll_message(context) {
            self.put_comment_off();
            return Poll::Ready(next.map(|message| self.framed(message?)));
        }
        let Some(comment) = &mut self.comment else { return Poll::Pending };
        ready!(comment.as_mut().poll(context));
        self.put_comment_off();
        Poll::Ready(Some(Ok(Encoded::of_body(Bytes::from_static(COMMENT)))))
    }

    fn last_words(&self, error: &ApiError) -> Encoded {
        let problem = problem::json(error, None);
        let mut text = Vec::with_capacity(problem.len() + 64);
        match self.framing {
            Framing::Events => {
                let name = if error.reason == DRAINING { "drain" } else { "error" };
                text.extend_from_slice(format!("event: {name}\n").as_bytes());
                if let Some(delay) = error.retry {
                    text.extend_from_slice(format!("retry: {}\n", delay.as_millis()).as_bytes());
                }
                text.extend_from_slice(b"data: ");
                text.extend_from_slice(&problem);
                text.extend_from_slice(b"\n\n");
            }
            Framing::Lines => {
                text.extend_from_slice(b"{\"error\":");
                text.extend_from_slice(&problem);
                text.extend_from_slice(b"}\n");
            }
        }
        Encoded::of_body(text.into())
    }
}

impl Streamed {
    fn new(
        frames: Arc<JsonFrames>,
        rpc: Rpc,
        reply: Reply,
        framing: Framing,
        watch: Option<&v1::WatchRequest>,
    ) -> Streamed {
        let held = watch.filter(|_| framing == Framing::Events).map(Held::new);
        let comment = (framing == Framing::Events).then(|| Box::pin(sleep(COMMENT_INTERVAL)));
        Streamed { frames, rpc, reply, framing, held, comment, has_begun: false }
    }

    fn put_comment_off(&mut self) {
        if let Some(comment) = &mut self.comment {
            comment.as_mut().reset(Instant::now() + COMMENT_INTERVAL);
        }
    }

    fn framed(&mut self, message: Encoded) -> Result<Encoded, ApiError> {
        let frame = self.frames.of(self.rpc, message)?;
        let (head, text) = match self.framing {
            Framing::Events => (self.event_head(&frame), frame.data()),
            Framing::Lines => (String::new(), frame.line()),
        };
        Ok(match frame.is_shared {
            true => Encoded::of_parts(head.into(), text),
            false => Encoded::of_body([head.as_bytes(), &text].concat().into()),
        })
    }

    /// What goes before the data of an event.
    fn event_head(&mut self, frame: &JsonFrame) -> String {
        let mut head = String::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            let retry = RETRY_MIN + RETRY_SPREAD.mul_f64(fastrand::f64());
            head.push_str(&format!("retry: {}\n", retry.as_millis()));
        }
        if let Some(event) = &frame.event {
            head.push_str(&format!("event: {event}\n"));
        }
        let id = match (&mut self.held, &frame.watch) {
            (Some(held), Some(message)) => held.take(message),
            _ => (!frame.token.is_empty()).then(|| frame.token.clone()),
        };
        if let Some(id) = id {
            head.push_str(&format!("id: {id}\n"));
        }
        head
    }
}

#[cfg(test)]
mod tests;
