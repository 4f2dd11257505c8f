//! The targets that a stream follows, and the documents that its client holds of them. Knows no message.

use std::sync::Arc;

use super::delivered::HeldConfigs;
use super::shared_target::SharedTarget;
use crate::engine::read::resolve::View;
use crate::engine::secrets::secret_places::Secrets;
use crate::model::text::Format;
use crate::model::{Namespace, Scope};

/// A followed target. Its subscriber has the knowledge of the client about it.
pub(super) enum Followed {
    One(FollowedOne),
    Many(Box<FollowedMany>),
}

pub(super) struct FollowedOne {
    pub shared_target: Arc<SharedTarget>,
    pub format: Format,
    /// The place of the target in the request, by which the subscriber has the knowledge of the client.
    pub place: u32,
}

/// Every config of a namespace.
pub(super) struct FollowedMany {
    pub namespace: Namespace,
    pub scope: Scope,
    pub view: View,
    /// How they stand for most of them: what is told of these is made once for many streams.
    pub secrets: Secrets,
    pub format: Format,
    pub known: Arc<HeldConfigs>,
    /// The number of targets that followed the namespace when this one was added, with it.
    pub rank: u64,
}
