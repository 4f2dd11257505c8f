//! The messages of a watch stream, encoded by hand so that streams share the encoded documents. Knows no caller.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{bool as bool_field, int32 as enum_field};
use tokio_stream::Stream;

use crate::api::codec::{Encoded, field_head};
use crate::api::convert::response::{document_bytes, target_message};
use crate::api::error::ApiError;
use crate::engine::watch::{Event, ResumeToken, Subscription, TargetState, TargetStatus};
use crate::model::{Epoch, Revision};
use crate::proto::v1;

use super::watched::Watched;

// Fields of WatchResponse, Snapshot, Update and TargetState.
const SNAPSHOT: u32 = 4;
const UPDATE: u32 = 5;
const STATES: u32 = 1;
const MORE: u32 = 2;
const RESET: u32 = 3;
const TARGET: u32 = 1;
const STATE: u32 = 2;
const DOCUMENT: u32 = 3;

/// The messages of a watch stream.
///
/// It outlives the server if its client does not read: what it holds must not keep the store open.
pub struct WatchStream {
    epoch: Epoch,
    subscription: Subscription,
    /// The client knows its id, from the first message.
    id_is_told: bool,
    /// `None`: everybody may read everything.
    watched: Option<Box<Watched>>,
}

impl Stream for WatchStream {
    type Item = Result<Encoded, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let WatchStream { subscription, watched, .. } = &mut *self;
        let event = match watched {
            Some(watched) => ready!(watched.poll_event(subscription, context)),
            None => {
                ready!(Pin::new(subscription).poll_next(context)).map(|event| event.map_err(ApiError::from))
            }
        };
        Poll::Ready(event.map(|event| Ok(self.encode(event?))))
    }
}

impl WatchStream {
    pub(super) fn new(
        epoch: Epoch,
        subscription: Subscription,
        watched: Option<Box<Watched>>,
    ) -> WatchStream {
        WatchStream { epoch, subscription, id_is_told: false, watched }
    }

    /// The client makes no room for the last message.
    pub fn waits(&mut self) {
        self.subscription.waits();
    }

    /// A message is being told in parts, which keeps the state that it is made of.
    pub fn is_within_parts(&self) -> bool {
        self.subscription.is_within_parts()
    }

    fn encode(&mut self, event: Event) -> Encoded {
        match event {
            Event::Changed { revision, state, shared } => {
                let message = || update_frame(self.epoch, revision, &state).into_frame();
                Encoded::of_frame(shared.of(state.format, message))
            }
            Event::Update { revision, states, more } => {
                let body = states_message(&states, more, false);
                self.joined(revision, more, Some((UPDATE, body)))
            }
            Event::Snapshot { revision, states, more, reset } => {
                let body = states_message(&states, more, reset);
                self.joined(revision, more, Some((SNAPSHOT, body)))
            }
            Event::Progress { revision } => self.joined(revision, false, None),
        }
    }

    /// A message with its own head. Without a body it says that nothing changed.
    fn joined(&mut self, revision: Revision, more: bool, body: Option<(u32, Vec<Bytes>)>) -> Encoded {
        let watch_id = match std::mem::replace(&mut self.id_is_told, true) {
            true => String::new(),
            false => self.subscription.watch_id(),
        };
        let head = v1::WatchResponse {
            revision: revision.0,
            resume_token: if more { String::new() } else { resume_token(self.epoch, revision) },
            watch_id,
            event: match body {
                Some(_) => None,
                None => Some(v1::watch_response::Event::Progress(v1::Progress {})),
            },
        };
        let mut pieces = vec![head.encode_to_vec().into()];
        if let Some((field, body)) = body {
            pieces.push(field_head(field, body.iter().map(Bytes::len).sum()));
            pieces.extend(body);
        }
        Encoded::joined(pieces)
    }
}

/// The message that tells every stream of one target of its change.
fn update_frame(epoch: Epoch, revision: Revision, state: &TargetState) -> Encoded {
    let states = states_message(std::slice::from_ref(state), false, false);
    let head = v1::WatchResponse {
        revision: revision.0,
        resume_token: resume_token(epoch, revision),
        ..Default::default()
    };
    let update = field_head(UPDATE, states.iter().map(Bytes::len).sum());
    let pieces = [head.encode_to_vec().into(), update].into_iter().chain(states);
    Encoded::joined(pieces.collect())
}

fn resume_token(epoch: Epoch, revision: Revision) -> String {
    ResumeToken { epoch, revision }.to_string()
}

/// The pieces of a Snapshot or Update.
fn states_message(states: &[TargetState], more: bool, reset: bool) -> Vec<Bytes> {
    let mut flags = BytesMut::new();
    if more {
        bool_field::encode(MORE, &true, &mut flags);
    }
    if reset {
        bool_field::encode(RESET, &true, &mut flags);
    }
    // The flags first: what is last can be shared.
    let mut pieces = vec![flags.freeze()];
    for state in states {
        let state = state_message(state);
        pieces.push(field_head(STATES, state.iter().map(Bytes::len).sum()));
        pieces.extend(state);
    }
    pieces
}

/// The pieces of a TargetState.
fn state_message(state: &TargetState) -> Vec<Bytes> {
    let target = target_message(state.target(), state.format).encode_to_vec();
    let mut head = BytesMut::from(&*field_head(TARGET, target.len()));
    head.extend_from_slice(&target);
    let (status, document) = match &state.status {
        TargetStatus::Present(resolved) => (v1::State::Present, Some(document_bytes(resolved, state.format))),
        TargetStatus::Current(_) => (v1::State::Current, None),
        TargetStatus::Absent(_) => (v1::State::Absent, None),
    };
    enum_field::encode(STATE, &status.into(), &mut head);
    if let Some(document) = &document {
        head.extend_from_slice(&field_head(DOCUMENT, document.len()));
    }
    std::iter::once(head.freeze()).chain(document).collect()
}

#[cfg(test)]
mod tests;
