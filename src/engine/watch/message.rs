//! The messages of watch streams. Knows no time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use crate::model::text::Format;
use crate::model::{Digest, Revision};

use crate::engine::read::resolve::{Resolved, Target};

/// Allowances for what is around the text of a document: names, digests and times, of the document and of each layer;
/// scopes, which can be long, are counted as they are.
const STATE_BYTES: usize = 640;
const LAYER_BYTES: usize = 128;

/// A message for the client.
#[derive(Debug)]
pub enum Event {
    /// The state of every target. `reset`: the resume token is not valid for this history.
    Snapshot { revision: Revision, states: Vec<TargetState>, more: bool, reset: bool },
    /// The targets that changed, of a stream of several.
    Update { revision: Revision, states: Vec<TargetState>, more: bool },
    /// The one target of a stream changed: every such stream receives the same message. The revision is that of the state from which the
    /// document was made, which can be later than that of the config: a schema changes defaults.
    Changed { revision: Revision, state: TargetState, shared: Arc<SharedMessages> },
    /// Nothing changed.
    Progress { revision: Revision },
}

impl Event {
    /// The revision up to which the client is complete once it has the message, if no more parts follow.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Snapshot { revision, .. }
            | Event::Update { revision, .. }
            | Event::Changed { revision, .. }
            | Event::Progress { revision } => *revision,
        }
    }
}

/// The messages with the document of one target as of one state. Each format is encoded once, by the first stream
/// that needs it.
#[derive(Debug, Default)]
pub struct SharedMessages([Mutex<SharedMessage>; 3]);

/// A larger message is kept as long as it is on its way to a client, and no longer.
const KEPT_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Default)]
enum SharedMessage {
    #[default]
    NotMade,
    Kept(Bytes),
    OnItsWay(Weak<Bytes>),
}

/// Keeps a message as long as some of its bytes are used.
struct OnItsWay(Arc<Bytes>);

impl AsRef<[u8]> for OnItsWay {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl SharedMessages {
    /// The result of the first call of `encode` for this format. A large message may be encoded again once no stream uses it.
    pub fn of(&self, format: Format, encode: impl FnOnce() -> Bytes) -> Bytes {
        let mut shared = self.0[format as usize].lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            SharedMessage::Kept(message) => return message.clone(),
            SharedMessage::OnItsWay(weak) => {
                if let Some(message) = weak.upgrade() {
                    return Bytes::from_owner(OnItsWay(message));
                }
            }
            SharedMessage::NotMade => {}
        }
        let message = encode();
        if message.len() <= KEPT_BYTES_MAX {
            *shared = SharedMessage::Kept(message.clone());
            return message;
        }
        let message = Arc::new(message);
        *shared = SharedMessage::OnItsWay(Arc::downgrade(&message));
        Bytes::from_owner(OnItsWay(message))
    }
}

#[derive(Debug)]
pub struct TargetState {
    /// The target as requested.
    pub format: Format,
    pub status: TargetStatus,
}

#[derive(Debug)]
pub enum TargetStatus {
    Present(Arc<Resolved>),
    /// The client has the current document already.
    Current(Arc<Target>),
    Absent(Arc<Target>),
}

/// The knowledge that a client has of a target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    Absent,
    Document(Digest),
}

impl Known {
    pub fn of(document: Option<&Arc<Resolved>>) -> Known {
        document.map_or(Known::Absent, |document| Known::Document(document.digest))
    }
}

impl TargetStatus {
    pub(super) fn of(target: &Arc<Target>, document: Option<Arc<Resolved>>) -> TargetStatus {
        match document {
            Some(document) => TargetStatus::Present(document),
            None => TargetStatus::Absent(target.clone()),
        }
    }
}

impl TargetState {
    pub fn target(&self) -> &Target {
        match &self.status {
            TargetStatus::Present(resolved) => &resolved.target,
            TargetStatus::Current(target) | TargetStatus::Absent(target) => target,
        }
    }

    /// About as many bytes as a message of it has, or fewer.
    pub(super) fn bytes_max(&self) -> usize {
        // In the target, and in the document.
        let head = STATE_BYTES + 2 * self.target().scope.as_str().len();
        match &self.status {
            TargetStatus::Present(resolved) => {
                let layers = resolved.layers.iter().map(|entry| LAYER_BYTES + entry.key.scope.as_str().len());
                head + layers.sum::<usize>()
                    + resolved.secrets.bytes()
                    + resolved.deliverable_bytes(self.format)
            }
            TargetStatus::Current(_) | TargetStatus::Absent(_) => head,
        }
    }
}
