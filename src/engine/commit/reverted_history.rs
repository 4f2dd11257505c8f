//! Looks up the history of commits that are to be taken back. Knows the store; not the current state.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::read_intent::ReadIntent;
use super::reverting::{LayerState, Reverting, Step, check_bytes};
use crate::engine::Engine;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::read::history::commit_of;
use crate::model::{ConfigChange, Layer, LayerKey, Revision, Version};
use crate::store::{History, Sealed, Snapshot};

impl Engine {
    /// A commit as it is stored, with secrets sealed and all of its changes. Read when the actor has a turn.
    pub async fn commit(&self, revision: Revision, actor: &str) -> Result<Arc<Sealed>, Error> {
        let newest = self.state().revision;
        if revision > newest {
            return Err(Error::RevisionInFuture { asked: revision, store: newest });
        }
        let store = self.store.clone();
        let found = self.work(actor, move |_| {
            let found = commit_of(&*store, revision)?;
            let found = found.ok_or_else(|| Error::Compacted { asked: revision, oldest: store.oldest() })?;
            match found.commit.forgotten.first() {
                None => Ok(found),
                Some(part) => {
                    Err(Error::Compacted { asked: revision, oldest: store.oldest_of(&part.namespace) })
                }
            }
        });
        Ok(Arc::new(found.await?))
    }

    /// Looks up the layers before each commit.
    pub(in crate::engine) async fn look_up_reverted(
        &self,
        reverting: Reverting,
        actor: &str,
    ) -> Result<ReadIntent, Error> {
        let store = self.store.clone();
        self.work(actor, move |cancelled: &Cancelled| {
            let steps = steps(&*store, &reverting, cancelled)?;
            let revisions = reverting.revisions().collect();
            Ok(ReadIntent::Revert { revisions, steps, _large: reverting.large })
        })
        .await
    }
}

fn steps(store: &dyn History, reverting: &Reverting, cancelled: &Cancelled) -> Result<Vec<Step>, Error> {
    let (mut steps, mut bytes) = (vec![], reverting.bytes);
    for sealed in &reverting.commits {
        for change in sealed.commit.changes.iter().filter(|change| !change.layers.is_empty()) {
            cancelled.check()?;
            let mut before = layers_before(store, change)?;
            for layer in &change.layers {
                let before = before.remove(&layer.key);
                bytes += before.as_ref().map_or(0, |layer| layer.content.as_str().len());
                steps.push(Step {
                    revision: sealed.commit.revision,
                    id: change.id.clone(),
                    key: layer.key.clone(),
                    before: before.as_ref().map(LayerState::of),
                    after: LayerState::left_by(layer),
                });
            }
            check_bytes(bytes)?;
        }
    }
    Ok(steps)
}

/// The layers of a config before a commit changed it.
fn layers_before(store: &dyn History, change: &ConfigChange) -> Result<BTreeMap<LayerKey, Layer>, Error> {
    let before = Version(change.version.0.saturating_sub(1));
    if before == Version::ZERO {
        return Ok(BTreeMap::new());
    }
    let snapshot: Option<Snapshot> = store.snapshot(&change.id, before)?;
    Ok(snapshot.map(|snapshot| snapshot.layers).unwrap_or_default())
}
