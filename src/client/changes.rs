//! The commits of a server, in order. Knows one stream; whoever reads it reconnects.

use tonic::Streaming;

use super::ClientError;
use crate::proto::v1::stream_changes_response::Event;
use crate::proto::v1::{Commit, StreamChangesResponse};

/// A stream of commits, with the parts of large ones put together.
#[derive(Debug)]
pub struct ChangeStream {
    messages: Streaming<StreamChangesResponse>,
    next_revision: u64,
    resume_token: String,
    parts: Option<Commit>,
}

/// What a `ChangeStream` brings.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every event is a commit")]
pub enum ChangeEvent {
    Commit(Commit),
    /// Nothing more up to this revision.
    Progress(u64),
}

impl ChangeStream {
    pub(super) fn new(messages: Streaming<StreamChangesResponse>, from_revision: u64) -> ChangeStream {
        ChangeStream { messages, next_revision: from_revision, resume_token: String::new(), parts: None }
    }

    /// Where to resume when the stream has ended: for `StreamChangesRequest.resume_token`. Empty as long as nothing came.
    pub fn resume_token(&self) -> &str {
        &self.resume_token
    }

    /// The first revision that did not come. 0 as long as nothing came of a stream that was to start now.
    pub fn next_revision(&self) -> u64 {
        self.next_revision
    }

    /// The next commit or sign of progress. `None`: the server ended the stream without an error.
    pub async fn next(&mut self) -> Result<Option<ChangeEvent>, ClientError> {
        while let Some(message) = self.messages.message().await? {
            let event = match message.event {
                Some(Event::Commit(part)) => {
                    let commit = append(self.parts.take(), part);
                    if message.more {
                        self.parts = Some(commit);
                        continue;
                    }
                    ChangeEvent::Commit(commit)
                }
                Some(Event::Progress(_)) => ChangeEvent::Progress(message.revision),
                // An event of a later version of the contract.
                None => continue,
            };
            self.next_revision = message.revision + 1;
            self.resume_token = message.resume_token;
            return Ok(Some(event));
        }
        Ok(None)
    }
}

/// A commit with one more part of its changes. What a part repeats of a config belongs to the entry that is there.
fn append(parts: Option<Commit>, part: Commit) -> Commit {
    let Some(mut commit) = parts else { return part };
    for change in part.changes {
        match commit.changes.last_mut() {
            Some(last) if last.namespace == change.namespace && last.config == change.config => {
                last.layers.extend(change.layers);
                last.tags.extend(change.tags);
            }
            Some(_) | None => commit.changes.push(change),
        }
    }
    commit
}
