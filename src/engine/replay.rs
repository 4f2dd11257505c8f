//! What a write came to, told once more from the journal: for a request that is repeated.

use std::sync::Arc;

use crate::model::{Commit, ConfigId, LayerKey, Revision, TagName, Version};
use crate::store::{Store, VersionRef};
use crate::validate::Report;

use super::error::{Error, Missing};
use super::history::commit_of;
use super::state::ConfigState;
use super::write::{Intent, LayerOutcome, Outcome};

/// How far the journal is read back at once, and in pages of how many bytes.
const REVISIONS_AT_ONCE: u64 = 1000;
const PAGE_BYTES: usize = 1 << 20;

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
    let moved = about.and_then(|change| change.tags.first().map(|tag| (&change.id, tag)));
    let tag = match moved {
        Some((id, tag)) => (tag.version, tag_before(store, id, &tag.tag, revision)?),
        None => (None, None),
    };
    Ok(Outcome {
        changed: true,
        revision,
        layers,
        at: about.map(|change| VersionRef { version: change.version, revision, time: commit.time }),
        restored: about.and_then(|change| change.restored),
        tag,
        report: Report::default(),
    })
}

/// The version that a tag named before a revision. The journal is the only one to know, and is read back until it says so; what was
/// compacted is told as no version.
fn tag_before(
    store: &dyn Store,
    id: &ConfigId,
    tag: &TagName,
    revision: Revision,
) -> Result<Option<Version>, Error> {
    let mut end = revision;
    while end > store.oldest() {
        let start = Revision(end.0.saturating_sub(REVISIONS_AT_ONCE)).max(store.oldest());
        let (mut next, mut found) = (start, None);
        while next < end {
            let page = store.commits(next, PAGE_BYTES)?;
            let before = page.iter().filter(|sealed| sealed.commit.revision < end);
            let changes = before.flat_map(|sealed| &sealed.commit.changes).filter(|change| change.id == *id);
            let mut moves = changes.flat_map(|change| &change.tags).filter(|change| change.tag == *tag);
            found = moves.next_back().map(|change| change.version).or(found);
            next = page.last().map_or(end, |last| last.commit.revision.next());
        }
        if let Some(version) = found {
            return Ok(version);
        }
        end = start;
    }
    Ok(None)
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
