//! What a write came to, told once more from the journal: for a request that is repeated.

use std::sync::Arc;

use crate::model::{Commit, ConfigId, LayerKey, Revision};
use crate::store::{Store, VersionRef};
use crate::validate::Report;

use super::error::{Error, Missing};
use super::history::commit_of;
use super::state::ConfigState;
use super::write::{LayerOutcome, Outcome};

/// The outcome of the commit of `revision`: of the layers that were asked to be changed, if they were named, else of those that it
/// changed. Blocks.
pub(super) fn outcome(
    store: &dyn Store,
    revision: Revision,
    asked: Option<Vec<(ConfigId, LayerKey)>>,
) -> Result<Outcome, Error> {
    let compacted = || Error::Compacted { asked: revision, oldest: store.oldest() };
    let commit = commit_of(store, revision)?.ok_or_else(compacted)?.commit;
    let changed = || {
        let changes = commit.changes.iter();
        changes
            .flat_map(|change| change.layers.iter().map(|layer| (change.id.clone(), layer.key.clone())))
            .collect()
    };
    let keys = asked.unwrap_or_else(changed);
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
        tag: tag.map_or((None, None), |tag| (tag.version, tag.previous)),
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
