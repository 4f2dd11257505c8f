//! A point in the history of a namespace, and its configs as they were. Knows the store and states; not what is read of them.

use std::sync::Arc;

use super::history::{At, historic, revision_as_of, version_as_of};
use crate::engine::error::Error;
use crate::engine::state::tags::tagged;
use crate::engine::state::{ConfigState, State};
use crate::model::{Namespace, Revision, TagName, Timestamp};
use crate::store::Store;

/// As of when to read all configs of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceAt {
    Latest,
    Revision(Revision),
    Time(Timestamp),
    /// Of the namespace.
    Tag(TagName),
}

/// The same once the revision is known.
#[derive(Clone, Debug)]
pub(in crate::engine) struct NamespacePoint {
    pub revision: Revision,
    /// The tag that names the revision. Each config that existed has the tag, and its version is kept whatever history is compacted.
    tag: Option<TagName>,
}

impl NamespacePoint {
    /// Fails if the point is not retained, is yet to come, or is before the first commit.
    pub fn of(
        store: &dyn Store,
        state: &State,
        namespace: &Namespace,
        at: &NamespaceAt,
    ) -> Result<NamespacePoint, Error> {
        let (revision, tag) = match at {
            NamespaceAt::Latest => (state.revision, None),
            NamespaceAt::Revision(revision) => (*revision, None),
            NamespaceAt::Time(time) => {
                let message = || format!("{time} is before the first commit");
                let before = || Error::Invalid { field: "time".into(), message: message() };
                (revision_as_of(store, *time)?.ok_or_else(before)?, None)
            }
            NamespaceAt::Tag(tag) => (tagged(state, namespace, tag)?, Some(tag.clone())),
        };
        if revision == Revision::ZERO && *at != NamespaceAt::Latest {
            let message = "must be 1 or more: revision 0 is the empty store".into();
            return Err(Error::Invalid { field: "revision".into(), message });
        }
        if revision > state.revision {
            return Err(Error::RevisionInFuture { asked: revision, store: state.revision });
        }
        let oldest = store.oldest_of(namespace);
        match &tag {
            None if revision < oldest && *at != NamespaceAt::Latest => {
                Err(Error::Compacted { asked: revision, oldest })
            }
            None | Some(_) => Ok(NamespacePoint { revision, tag }),
        }
    }

    /// Whether a config is now as it was then.
    pub fn is_now(&self, current: &ConfigState) -> bool {
        current.at.revision <= self.revision
    }

    /// A config as it was. `None`: it did not exist.
    pub fn config(
        &self,
        store: &dyn Store,
        current: &Arc<ConfigState>,
    ) -> Result<Option<Arc<ConfigState>>, Error> {
        if self.is_now(current) {
            return Ok(Some(current.clone()));
        }
        let version = match &self.tag {
            // System configs have no tag of their namespace.
            Some(tag) if current.id.system().is_none() => current.tags().get(tag).copied(),
            Some(_) | None => version_as_of(store, &current.id, self.revision)?,
        };
        version.map(|version| historic(store, current, &At::Version(version))).transpose()
    }
}
