//! StreamChanges: every commit, in order.

use tokio_stream::Stream;

use crate::api::codec::MESSAGE_BYTES_MAX;
use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::commit_message;
use crate::api::error::ApiError;
use crate::api::guard::Standing;
use crate::api::reply::Responses;
use crate::auth::{Access, Denied, Resource, Verb};
use crate::engine::watch::ResumeToken;
use crate::engine::{ChangeEvent, Changes, Sealed, Viewer};
use crate::model::{ConfigChange, ConfigName, Epoch, Namespace, Revision, Scope};
use crate::proto::v1;

use super::Operations;

impl Operations {
    pub async fn stream_changes(
        &self,
        access: &CallContext,
        request: v1::StreamChangesRequest,
    ) -> Result<Responses<v1::StreamChangesResponse>, ApiError> {
        let standing = self.guard.standing(access);
        let viewer = match request.include_content {
            true => self.viewer(access),
            false => Viewer::new(access.visibility()),
        };
        let options = request::stream_changes(viewer, self.engine.epoch(), &request)?;
        let filter = options.filter.clone();
        may_follow(access, filter.as_ref())?;
        let changes = self.engine.changes(options)?;
        let epoch = self.engine.epoch();
        let responses = ChangesResponses::new(epoch, changes, request.include_content, standing, filter);
        Ok(Box::pin(responses.into_stream()))
    }
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

    fn into_stream(self) -> impl Stream<Item = Result<v1::StreamChangesResponse, ApiError>> {
        futures_util::stream::unfold(Some(self), |responses| async move {
            let mut responses = responses?;
            match responses.next().await {
                Ok(response) => Some((Ok(response), Some(responses))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<v1::StreamChangesResponse, ApiError> {
        while self.telling.is_none() {
            let event = tokio::select! {
                biased;
                access = self.standing.changed() => {
                    let access = access?;
                    may_follow(&access, self.filter.as_ref())?;
                    self.changes.see_as(access.visibility());
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
        let resume_token =
            if more { String::new() } else { ResumeToken { epoch: self.epoch, revision }.to_string() };
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

/// Refuses a caller who may read nothing of the namespace or the config, or nothing at all where neither is named. Others get what they may
/// read.
pub(super) fn may_follow(
    access: &Access,
    filter: Option<&(Namespace, Option<ConfigName>)>,
) -> Result<(), Denied> {
    let (visibility, everything) = (access.visibility(), Scope::global());
    match filter {
        Some((namespace, None)) if !visibility.has_namespace(namespace) => {
            access.permit(Verb::Read, Resource::Namespace(namespace.clone())).map(drop)
        }
        Some((namespace, Some(config))) if !visibility.has_config(namespace, config) => {
            let resource = Resource::config(namespace.clone(), config.clone(), everything);
            access.permit(Verb::Read, resource).map(drop)
        }
        // Whoever administers the namespace of the server reads its configs.
        None if ![Verb::Read, Verb::Admin].iter().any(|verb| access.grants().gives(*verb)) => {
            access.permit(Verb::Read, Resource::Any).map(drop)
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
