//! What a write came to, told once more from the journal: for a request that is repeated.

use std::sync::Arc;

use crate::model::{Commit, ConfigId, LayerKey, Revision};
use crate::store::{Store, VersionRef};
use crate::validate::Report;

use super::error::{Error, Missing};
use super::history::commit_of;
use super::state::ConfigState;
use super::write::{Intent, LayerOutcome, Outcome};

/// The outcome of the commit of `revision`, which was made for `intent`. Blocks.
pub(super) fn outcome(store: &dyn Store, revision: Revision, intent: &Intent) -> Result<Outcome, Error> {
    let compacted = || Error::Compacted { asked: revision, oldest: store.oldest() };
    let commit = commit_of(store, revision)?.ok_or_else(compacted)?.commit;
    let keys: Vec<(ConfigId, LayerKey)> = match intent {
        Intent::Changes(changes) => {
            changes.iter().map(|change| (change.id.clone(), change.key.clone())).collect()
        }
        Intent::Delete { .. } | Intent::Rollback { .. } | Intent::Tag { .. } | Intent::Expire(_) => {
            let changes = commit.changes.iter();
            let keys = changes
                .flat_map(|change| change.layers.iter().map(|layer| (change.id.clone(), layer.key.clone())));
            keys.collect()
        }
    };
    let layers = keys.into_iter().map(|(id, key)| layer_outcome(store, &commit, id, key));
    let layers = layers.collect::<Result<Vec<_>, Error>>()?;
    let about = commit.changes.first();
    let tag = about.and_then(|change| change.tags.first());
    Ok(Outcome {
        changed: true,
        revision,
        layers,
        at: about.map(|change| VersionRef { version: change.version, revision, time: commit.time }),
        restored: about.and_then(|change| change.restored),
        tag: tag.map_or((None, None), |tag| (tag.version, None)),
        report: Report::default(),
    })
}

fn layer_outcome(
    store: &dyn Store,
    commit: &Commit,
    id: ConfigId,
    key: LayerKey,
) -> Result<LayerOutcome, Error> {
    let after = config_as_of(store, &id, commit.revision)?
        .ok_or_else(|| Missing::VersionAtRevision(id.clone(), commit.revision))?;
    // The diff is lost where what was before is no longer known; the rest is told as it was.
    let before = match config_as_of(store, &id, Revision(commit.revision.0 - 1)) {
        Err(Error::Compacted { .. }) => None,
        before => before?,
    };
    let changed = commit
        .changes
        .iter()
        .any(|change| change.id == id && change.layers.iter().any(|layer| layer.key == key));
    Ok(LayerOutcome {
        before: before.and_then(|config| config.layer(&key).cloned()),
        after: after.layer(&key).map(|entry| entry.layer.clone()),
        changed,
        at: after.at,
        id,
        key,
    })
}

fn config_as_of(
    store: &dyn Store,
    id: &ConfigId,
    revision: Revision,
) -> Result<Option<Arc<ConfigState>>, Error> {
    let Some(at) = store.version_at(id, revision)? else {
        return Ok(None);
    };
    let snapshot = store.snapshot(id, at.version)?;
    Ok(snapshot.map(|snapshot| Arc::new(ConfigState::historic(id.clone(), snapshot))))
}
