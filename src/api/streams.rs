//! Streams: Watch and StreamChanges.

mod watched;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{bool as bool_field, int32 as enum_field};
use tokio_stream::Stream;
use tonic::Status;

use crate::auth::{Access, Denied, Resource, Verb};
use crate::engine::watch::{Event, ResumeToken, Subscription, TargetState, TargetStatus};
use crate::engine::{ChangeEvent, Changes, Sealed, Viewer};
use crate::model::{ConfigChange, ConfigName, Epoch, Namespace, Revision, Scope};
use crate::proto::v1;

use super::codec::{Encoded, field_head};
use super::context::CallContext;
use super::convert::request;
use super::convert::response::{commit_message, document_bytes, target_message};
use super::guard::Standing;
use super::{Api, MESSAGE_BYTES_MAX};
use watched::Watched;

// Fields of WatchResponse, Snapshot, Update and TargetState.
const SNAPSHOT: u32 = 4;
const UPDATE: u32 = 5;
const STATES: u32 = 1;
const MORE: u32 = 2;
const RESET: u32 = 3;
const TARGET: u32 = 1;
const STATE: u32 = 2;
const DOCUMENT: u32 = 3;

pub(super) type ChangesStream =
    Pin<Box<dyn Stream<Item = Result<v1::StreamChangesResponse, Status>> + Send + 'static>>;

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

impl Api {
    pub(super) async fn open_watch(
        &self,
        access: &CallContext,
        request: v1::WatchRequest,
    ) -> Result<WatchStream, Status> {
        let options = request::watch(access.sight(), request, self.engine.limits().targets_max)?;
        let watched = Watched::open(access, self.guard.standing(access), self.reveals(), &options.targets)?;
        let subscription = self.engine.watch(options).await?;
        if watched.is_some() {
            subscription.set_owner(access.caller().shared_actor().clone());
        }
        let epoch = self.engine.epoch();
        Ok(WatchStream { epoch, subscription, id_is_told: false, watched })
    }

    pub(super) fn open_changes(
        &self,
        access: &CallContext,
        request: &v1::StreamChangesRequest,
    ) -> Result<ChangesStream, Status> {
        let standing = self.guard.standing(access);
        let viewer = match request.include_content {
            true => self.viewer(access),
            false => Viewer::new(access.sight()),
        };
        let options = request::stream_changes(viewer, self.engine.epoch(), request)?;
        let filter = options.filter.clone();
        may_follow(access, filter.as_ref())?;
        let changes = self.engine.changes(options)?;
        let epoch = self.engine.epoch();
        let responses = ChangesResponses::new(epoch, changes, request.include_content, standing, filter);
        Ok(Box::pin(responses.into_stream()))
    }
}

impl Stream for WatchStream {
    type Item = Result<Encoded, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let WatchStream { subscription, watched, .. } = &mut *self;
        let event = match watched {
            Some(watched) => ready!(watched.poll_event(subscription, context)),
            None => {
                ready!(Pin::new(subscription).poll_next(context)).map(|event| event.map_err(Status::from))
            }
        };
        Poll::Ready(event.map(|event| Ok(self.encode(event?))))
    }
}

impl WatchStream {
    /// The client makes no room for the last message.
    pub(super) fn waits(&mut self) {
        self.subscription.waits();
    }

    /// A message is being told in parts, which keeps the state that it is made of.
    pub(super) fn is_within_parts(&self) -> bool {
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

/// The messages of a stream of commits.
struct ChangesResponses {
    epoch: Epoch,
    changes: Changes,
    include_content: bool,
    standing: Standing,
    /// What was asked for, which the caller must be allowed to follow.
    filter: Option<(Namespace, Option<ConfigName>)>,
    /// The commit that is being told, and those of its changes that are yet to be.
    telling: Option<(Sealed, std::vec::IntoIter<ConfigChange>)>,
}

impl ChangesResponses {
    fn new(
        epoch: Epoch,
        changes: Changes,
        include_content: bool,
        standing: Standing,
        filter: Option<(Namespace, Option<ConfigName>)>,
    ) -> ChangesResponses {
        ChangesResponses { epoch, changes, include_content, standing, filter, telling: None }
    }

    fn into_stream(self) -> impl Stream<Item = Result<v1::StreamChangesResponse, Status>> {
        futures_util::stream::unfold(Some(self), |responses| async move {
            let mut responses = responses?;
            match responses.next().await {
                Ok(response) => Some((Ok(response), Some(responses))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<v1::StreamChangesResponse, Status> {
        while self.telling.is_none() {
            let event = tokio::select! {
                biased;
                access = self.standing.changed() => {
                    let access = access?;
                    may_follow(&access, self.filter.as_ref())?;
                    self.changes.see_as(access.sight());
                    continue;
                }
                event = self.changes.next() => event?,
            };
            match event {
                ChangeEvent::Progress(revision) => {
                    let event = Some(v1::stream_changes_response::Event::Progress(v1::Progress {}));
                    return Ok(self.response(revision, false, event));
                }
                ChangeEvent::Commit(mut sealed) => {
                    let changes = split(std::mem::take(&mut sealed.commit.changes), self.include_content);
                    self.telling = Some((sealed, changes.into_iter()));
                }
            }
        }
        let (sealed, mut left) = self.telling.take().expect("a commit was just put there");
        let part = self.part_of(&mut left);
        let commit = commit_message(&sealed, &part, self.include_content);
        let (revision, more) = (sealed.commit.revision, !left.as_slice().is_empty());
        if more {
            self.telling = Some((sealed, left));
        }
        let event = Some(v1::stream_changes_response::Event::Commit(commit));
        Ok(self.response(revision, more, event))
    }

    fn response(
        &self,
        revision: Revision,
        more: bool,
        event: Option<v1::stream_changes_response::Event>,
    ) -> v1::StreamChangesResponse {
        let resume_token = if more { String::new() } else { resume_token(self.epoch, revision) };
        v1::StreamChangesResponse { revision: revision.0, more, event, resume_token }
    }

    /// As many changes as fit a message.
    fn part_of(&self, left: &mut std::vec::IntoIter<ConfigChange>) -> Vec<ConfigChange> {
        let (mut part, mut bytes) = (vec![], 0);
        while let Some(change) = left.as_slice().first() {
            bytes += change_bytes(change, self.include_content);
            if !part.is_empty() && bytes > MESSAGE_BYTES_MAX - (1 << 20) {
                break;
            }
            part.extend(left.next());
        }
        part
    }
}

/// Who asks for a namespace or a config is refused where they may read nothing of it; who asks for all gets what they may read.
fn may_follow(access: &Access, filter: Option<&(Namespace, Option<ConfigName>)>) -> Result<(), Denied> {
    let (sight, everything) = (access.sight(), Scope::global());
    match filter {
        Some((namespace, None)) if !sight.has_namespace(namespace) => {
            access.permit(Verb::Read, Resource::Namespace(namespace.clone())).map(drop)
        }
        Some((namespace, Some(config))) if !sight.has_config(namespace, config) => {
            let resource = Resource::config(namespace.clone(), config.clone(), everything);
            access.permit(Verb::Read, resource).map(drop)
        }
        Some(_) | None => Ok(()),
    }
}

/// Splits the changes of configs whose layers do not fit one message.
fn split(changes: Vec<ConfigChange>, include_content: bool) -> Vec<ConfigChange> {
    let limit = MESSAGE_BYTES_MAX - (2 << 20);
    changes
        .into_iter()
        .flat_map(|change| {
            if change_bytes(&change, include_content) <= limit {
                return vec![change];
            }
            let (id, version, restored) = (change.id, change.version, change.restored);
            let mut parts = vec![ConfigChange { id, version, layers: vec![], tags: change.tags, restored }];
            for layer in change.layers {
                let last = parts.last_mut().expect("there is one");
                last.layers.push(layer);
                if change_bytes(last, include_content) > limit {
                    let layer = last.layers.pop().expect("it was just pushed");
                    let next = ConfigChange { layers: vec![layer], tags: vec![], ..last.clone() };
                    match last.layers.is_empty() {
                        true => last.layers = next.layers,
                        false => parts.push(next),
                    }
                }
            }
            parts
        })
        .collect()
}

fn change_bytes(change: &ConfigChange, include_content: bool) -> usize {
    let layers = change.layers.iter().map(|layer| {
        let content = layer.content.as_ref().filter(|_| include_content);
        512 + content.map_or(0, |content| content.as_str().len())
    });
    512 + layers.sum::<usize>() + 128 * change.tags.len()
}

#[cfg(test)]
mod tests;
