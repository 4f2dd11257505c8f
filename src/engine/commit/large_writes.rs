//! Writes that keep much in memory: the layers that they change, as they are and as they will be. Such writes are bounded for each actor, as other
//! large calls are. Knows the sizes of layers; not how a write is planned.

use super::read_intent::ReadIntent;
use crate::engine::Engine;
use crate::engine::check::workers::LargeCall;
use crate::engine::state::State;
use crate::model::{ConfigId, LayerKey};

/// A write that changes layers with more bytes than this is large. The request of a write is counted by itself, as a request in progress.
const LARGE_WRITE_BYTES: usize = 1 << 20;

impl Engine {
    /// Waits until a call of an actor may keep large contents in memory between pieces of work. To be held until the call keeps them no longer.
    pub async fn begin_large(&self, actor: &str) -> LargeCall {
        self.workers.begin_large(actor).await
    }

    /// Waits until a write may begin that keeps much in memory. To be held until the outcome of the write is dropped. `None`: the write keeps
    /// little, or is part of a large call that began before it read what it writes. Its future is small, as nearly all writes are.
    pub(in crate::engine) async fn begin_write(&self, intent: &ReadIntent, actor: &str) -> Option<LargeCall> {
        match changed_bytes(intent, &self.state()) > LARGE_WRITE_BYTES {
            true => Some(Box::pin(self.begin_large(actor)).await),
            false => None,
        }
    }
}

/// The bytes of the layers that a write changes, as they are now.
fn changed_bytes(intent: &ReadIntent, state: &State) -> usize {
    match intent {
        ReadIntent::Changes(changes) | ReadIntent::Keys(changes) => {
            changes.iter().map(|change| layer_bytes(state, &change.id, Some(&change.key))).sum()
        }
        ReadIntent::Delete { id, key, .. } => layer_bytes(state, id, key.as_ref()),
        ReadIntent::Reseal(id) | ReadIntent::Migrate { governed: id, .. } => layer_bytes(state, id, None),
        ReadIntent::Rollback { .. }
        | ReadIntent::Revert { .. }
        | ReadIntent::Restore(_)
        | ReadIntent::Tag { .. }
        | ReadIntent::TagNamespace(_)
        | ReadIntent::Expire(_)
        | ReadIntent::PutSchema { .. } => 0,
    }
}

/// The bytes of a layer of a config, or of all its layers.
fn layer_bytes(state: &State, id: &ConfigId, key: Option<&LayerKey>) -> usize {
    let Some(config) = state.config(id) else { return 0 };
    let layers = config.layers();
    let layers = match key {
        None => layers,
        Some(key) => match layers.binary_search_by(|entry| entry.key.cmp(key)) {
            Ok(at) => &layers[at..=at],
            Err(_) => &[],
        },
    };
    layers.iter().map(|entry| entry.layer.content.as_str().len()).sum()
}
