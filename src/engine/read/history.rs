//! Reads at any point of history.

use std::sync::Arc;

use crate::model::{Author, ConfigId, Revision, Source, TagName, Timestamp, Version};
use crate::store::{History, Journal, Sealed, Store, StoreError, VersionRef};

use crate::engine::check::workers::{Cancelled, Workers};
use crate::engine::error::{Error, Missing};
use crate::engine::state::{ConfigState, State};

/// Content of versions that are read at once, beside the one that exceeds it.
const VERSIONS_BYTES_MAX: usize = 4 << 20;

/// As of when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Latest,
    Version(Version),
    Tag(TagName),
    Revision(Revision),
    Time(Timestamp),
}

/// A version, and the commit that made it.
#[derive(Clone, Debug)]
pub struct Made {
    pub at: VersionRef,
    /// `None`: the commit is no longer retained.
    pub by: Option<MadeBy>,
}

/// Who made a version, how and why.
#[derive(Clone, Debug)]
pub struct MadeBy {
    pub author: Author,
    pub source: Source,
    pub reason: String,
}

/// A config as of a point, given the state of now. A past one is read from the store when the actor has a turn.
pub(in crate::engine) async fn config_at(
    store: &Arc<dyn Store>,
    workers: &Workers,
    state: &State,
    id: &ConfigId,
    at: &At,
    actor: &str,
) -> Result<Arc<ConfigState>, Error> {
    let (current, is_current) = current_at(state, id, at)?;
    if is_current {
        return Ok(current);
    }
    let (store, at) = (store.clone(), at.clone());
    workers.run(actor, move |_| historic(&*store, &current, &at)).await
}

/// The config as it is now, and whether the point names it. Otherwise the point names an older version, or none.
pub(in crate::engine) fn current_at(
    state: &State,
    id: &ConfigId,
    at: &At,
) -> Result<(Arc<ConfigState>, bool), Error> {
    if let At::Revision(asked) = at
        && *asked > state.revision
    {
        return Err(Error::RevisionInFuture { asked: *asked, store: state.revision });
    }
    let current = state.config(id).ok_or_else(|| Missing::Config(id.clone()))?;
    let is_current = match at {
        At::Latest => true,
        At::Version(version) => *version == current.at.version,
        At::Tag(tag) => current.tags().get(tag) == Some(&current.at.version),
        At::Revision(revision) => *revision >= current.at.revision,
        At::Time(time) => *time >= current.at.time,
    };
    Ok((current.clone(), is_current))
}

/// A past version of a config, read from the store.
pub(in crate::engine) fn historic(
    store: &dyn Store,
    current: &ConfigState,
    at: &At,
) -> Result<Arc<ConfigState>, Error> {
    let id = &current.id;
    let version = match at {
        At::Latest => current.at.version,
        At::Version(version) => *version,
        At::Tag(tag) => *current.tags().get(tag).ok_or_else(|| Missing::Tag(id.clone(), tag.clone()))?,
        At::Revision(revision) => version_as_of(store, id, *revision)?
            .ok_or_else(|| Missing::VersionAtRevision(id.clone(), *revision))?,
        At::Time(time) => revision_as_of(store, *time)?
            .map(|revision| version_as_of(store, id, revision))
            .transpose()?
            .flatten()
            .ok_or_else(|| Missing::VersionAtTime(id.clone(), *time))?,
    };
    let missing = || Missing::Version(id.clone(), version, current.at.version);
    // A version beyond the state that was asked is none yet, though the store may have it by now.
    if version > current.at.version {
        return Err(missing().into());
    }
    let snapshot = match store.snapshot(id, version) {
        Err(StoreError::Compacted { .. }) => {
            let oldest = store.oldest_of(&id.namespace);
            return Err(Error::VersionCompacted { id: id.clone(), version, oldest });
        }
        snapshot => snapshot?.ok_or_else(missing)?,
    };
    Ok(Arc::new(ConfigState::historic(id.clone(), snapshot)))
}

/// The version that a config had as of a revision. `None`: the config did not exist.
pub(in crate::engine) fn version_as_of(
    history: &dyn History,
    id: &ConfigId,
    revision: Revision,
) -> Result<Option<Version>, Error> {
    Ok(history.version_at(id, revision)?.map(|found| found.version))
}

/// The last revision at or before `time`. `None` if history began later; an error if it is not known any more.
pub(in crate::engine) fn revision_as_of(
    journal: &dyn Journal,
    time: Timestamp,
) -> Result<Option<Revision>, Error> {
    match (journal.revision_at(time)?, journal.oldest()) {
        (None, oldest) if oldest > Revision(1) => {
            Err(Error::Compacted { asked: Revision(oldest.0 - 1), oldest })
        }
        (found, _) => Ok(found),
    }
}

/// Versions of a config below `before`, newest first, each with its commit: at most `limit`, fewer where their content is large.
/// Empty if there are no more.
pub(in crate::engine) fn versions(
    store: &dyn Store,
    id: &ConfigId,
    before: Version,
    limit: usize,
    cancelled: &Cancelled,
) -> Result<Vec<(VersionRef, Sealed)>, Error> {
    let (mut found, mut bytes) = (vec![], 0);
    for version in store.versions(id, before, limit)? {
        cancelled.check()?;
        if bytes > VERSIONS_BYTES_MAX {
            break;
        }
        // A version outlives its commit if the history before it was compacted.
        if let Some(sealed) = commit_of(store, version.revision)? {
            let layers = sealed.commit.changes.iter().flat_map(|change| &change.layers);
            let content = layers.filter_map(|layer| layer.content.as_ref());
            bytes += content.map(|content| content.as_str().len()).sum::<usize>();
            found.push((version, sealed));
        }
    }
    Ok(found)
}

/// A commit. `None` if it is not retained.
pub(in crate::engine) fn commit_of(
    journal: &dyn Journal,
    revision: Revision,
) -> Result<Option<Sealed>, StoreError> {
    match journal.commits(revision, 1) {
        Ok(commits) => Ok(commits.into_iter().next()),
        Err(StoreError::Compacted { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A version with the commit that made it. `None`: the version is not retained.
pub(in crate::engine) fn made_by(
    store: &dyn Store,
    id: &ConfigId,
    version: Version,
) -> Result<Option<Made>, Error> {
    let at = store.versions(id, version.next(), 1)?.into_iter().find(|at| at.version == version);
    let Some(at) = at else { return Ok(None) };
    let by = commit_of(store, at.revision)?.map(|sealed| MadeBy {
        author: sealed.commit.author,
        source: sealed.commit.source,
        reason: sealed.commit.reason,
    });
    Ok(Some(Made { at, by }))
}
