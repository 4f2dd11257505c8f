//! The reply to a call: one message or a stream of messages, each encoded, whose end is audited. Knows no transport.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use prost::Message;
use tokio_stream::{Stream, StreamExt};

use super::codec::Encoded;
use super::context::CallContext;
use super::denials::ended;
use super::error::ApiError;
use super::failures::FailureLog;
use super::guard::{Guard, Standing};
use super::operations::Operations;
use super::operations::watch::WatchStream;
use crate::audit::Recorder;

/// How a call ends, or how its stream begins.
pub type ReplyResult = Result<Reply, ApiError>;

/// The responses of a stream that few clients open.
pub type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, ApiError>> + Send>>;

/// The reply to a call that was not refused.
#[derive(Default)]
pub enum Reply {
    /// One message, and the end.
    Message(Encoded),
    Watch(WatchStream),
    Messages(Responses<Encoded>),
    /// Messages of work that waits for its client, and holds what others wait for.
    Transfer(Responses<Encoded>),
    /// A stream whose end is recorded and logged if it is an error.
    Audited(Box<Audited>),
    /// All of it has been taken.
    #[default]
    Ended,
}

impl Reply {
    /// One message.
    pub fn of(message: &impl Message) -> Reply {
        Reply::Message(Encoded::of(message))
    }

    /// A stream of messages.
    pub fn of_stream<T: Message + 'static>(stream: Responses<T>) -> Reply {
        Reply::Messages(Box::pin(stream.map(|message| message.map(|message| Encoded::of(&message)))))
    }

    /// The same, for work that waits for its client.
    pub fn of_transfer<T: Message + 'static>(stream: Responses<T>) -> Reply {
        Reply::Transfer(Box::pin(stream.map(|message| message.map(|message| Encoded::of(&message)))))
    }

    /// Whether the client must go on taking messages: the reply ends otherwise, however much room there is.
    pub fn is_transfer(&self) -> bool {
        match self {
            Reply::Transfer(_) => true,
            Reply::Audited(audited) => audited.reply.is_transfer(),
            Reply::Watch(_) | Reply::Messages(_) | Reply::Message(_) | Reply::Ended => false,
        }
    }

    /// Whether it lasts as long as its client wants.
    pub fn is_stream(&self) -> bool {
        match self {
            Reply::Watch(_) | Reply::Messages(_) | Reply::Transfer(_) | Reply::Audited(_) => true,
            Reply::Message(_) | Reply::Ended => false,
        }
    }

    /// Whether a message of a stream is being sent in parts. The stream keeps the state that the parts are made of.
    pub fn is_within_parts(&self) -> bool {
        match self {
            Reply::Watch(stream) => stream.is_within_parts(),
            Reply::Audited(audited) => audited.reply.is_within_parts(),
            Reply::Messages(_) | Reply::Transfer(_) | Reply::Message(_) | Reply::Ended => false,
        }
    }

    /// The client makes no room for the last message, until the next one is asked for.
    pub fn waits(&mut self) {
        match self {
            Reply::Watch(stream) => stream.waits(),
            Reply::Audited(audited) => audited.reply.waits(),
            // The lag of watches alone is measured.
            Reply::Messages(_) | Reply::Transfer(_) | Reply::Message(_) | Reply::Ended => {}
        }
    }

    /// Ready when the credential of the caller has ended while the client makes no room for the last message. Until the client makes room, the
    /// stream itself is not asked for a message, and so does not notice.
    pub fn poll_shut_out(&mut self, context: &mut Context<'_>) -> Poll<ApiError> {
        match self {
            Reply::Audited(audited) => audited.poll_shut_out(context),
            Reply::Watch(_) | Reply::Messages(_) | Reply::Transfer(_) | Reply::Message(_) | Reply::Ended => {
                Poll::Pending
            }
        }
    }

    /// The next message. An error is the last item.
    pub fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Encoded, ApiError>>> {
        let next = match self {
            Reply::Message(message) => {
                let message = std::mem::take(message);
                *self = Reply::Ended;
                return Poll::Ready(Some(Ok(message)));
            }
            Reply::Watch(stream) => ready!(Pin::new(stream).poll_next(context)),
            Reply::Messages(stream) | Reply::Transfer(stream) => ready!(stream.as_mut().poll_next(context)),
            Reply::Audited(audited) => ready!(audited.poll_message(context)),
            Reply::Ended => return Poll::Ready(None),
        };
        if !matches!(next, Some(Ok(_))) {
            *self = Reply::Ended;
        }
        Poll::Ready(next)
    }
}

/// The end of one call: a denial is recorded in the audit log, and the cause of a failure is logged.
pub struct Audit {
    context: CallContext,
    failures: Arc<FailureLog>,
    /// `None`: every caller is believed, and no call is denied.
    recorder: Option<Recorder>,
    guard: Guard,
}

impl Audit {
    pub(super) fn of(operations: &Operations, context: &CallContext) -> Audit {
        let recorder = operations.guard.is_on().then(|| operations.recorder.clone());
        let (failures, guard) = (operations.failures.clone(), operations.guard.clone());
        Audit { context: context.clone(), failures, recorder, guard }
    }

    /// Records and logs the error that ends a call, and audits the stream of a call until it ends.
    pub fn ended(self, outcome: ReplyResult) -> ReplyResult {
        match outcome {
            // A watch of which no end is recorded reads memory alone, and there may be very many: no place of its own is taken for its audit.
            Ok(reply @ Reply::Watch(_)) if self.recorder.is_none() => Ok(reply),
            Ok(reply) if reply.is_stream() => {
                Ok(Reply::Audited(Box::new(Audited { reply, audit: self, standing: None })))
            }
            Ok(Reply::Message(message)) if self.recorder.is_some() && self.context.shows_secrets() => {
                Ok(Reply::Message(message.showing_secrets()))
            }
            Ok(reply) => Ok(reply),
            Err(error) => {
                self.note(&error);
                Err(error)
            }
        }
    }

    fn note(&self, error: &ApiError) {
        self.failures.note(&self.context, error);
        if let Some(recorder) = &self.recorder {
            ended(recorder, &self.context, error);
        }
    }
}

/// A stream whose end is recorded and logged if it is an error.
pub struct Audited {
    reply: Reply,
    audit: Audit,
    /// While the client makes no room for a message.
    standing: Option<Standing>,
}

impl Audited {
    fn poll_shut_out(&mut self, context: &mut Context<'_>) -> Poll<ApiError> {
        let Audit { guard, context: call, .. } = &self.audit;
        let standing = self.standing.get_or_insert_with(|| guard.standing(call));
        loop {
            if let Err(error) = ready!(standing.poll_changed(context)) {
                self.audit.note(&error);
                return Poll::Ready(error);
            }
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Encoded, ApiError>>> {
        self.standing = None;
        let next = ready!(self.reply.poll_message(context));
        if let Some(Err(error)) = &next {
            self.audit.note(error);
        }
        Poll::Ready(next)
    }
}
