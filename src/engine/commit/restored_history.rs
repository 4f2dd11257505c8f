//! Looks up what configs were at a point in the past. Knows the store and the current state; not how a restore is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::read_intent::ReadIntent;
use super::restoring::{RestorePoint, Restored, Restoring, is_restored};
use crate::engine::Engine;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::{Error, Limit, Missing};
use crate::engine::read::history::{At, historic, revision_as_of, version_as_of};
use crate::engine::state::tags::tagged;
use crate::engine::state::{ConfigState, State};
use crate::model::{ConfigId, Revision, TagName, Timestamp};
use crate::store::Store;

/// Content of layers of the past that is not the content of the same layer now.
const BYTES_MAX: usize = 64 << 20;
/// Layers of the past that are read.
const LAYERS_MAX: usize = 1_000_000;

impl Engine {
    /// Looks up the configs that have changed since the point in the past, as they were then.
    pub(in crate::engine) async fn look_up_restored(
        &self,
        restoring: Restoring,
        actor: &str,
    ) -> Result<ReadIntent, Error> {
        // A commit may be queued but not in the journal yet.
        self.pipeline.barrier().answered().await?;
        let (store, pipeline) = (self.store.clone(), self.pipeline.clone());
        self.work(actor, move |cancelled| {
            let mut state = pipeline.published();
            let point = Point::of(&*store, &state, &restoring)?;
            let mut look_up =
                LookUp { store: &*store, cancelled, configs: BTreeMap::new(), bytes: 0, layers: 0 };
            // Others may change while these are read. The planner looks again for those that change afterwards.
            while look_up.add_changed(&state, &restoring, &point)? {
                state = pipeline.published();
            }
            let (revision, looked_up, configs) = (point.revision(), state.revision, look_up.configs);
            Ok(ReadIntent::Restore(Restored { restoring, revision, configs, looked_up }))
        })
        .await
    }
}

/// A point in the past that was found in history.
enum Point {
    Revision(Revision),
    /// The version that a tag of the one config names.
    Tag(TagName),
    /// The versions that a tag of the namespace names. They are kept whatever history was compacted.
    NamespaceTag(TagName, Revision),
}

impl Point {
    fn of(store: &dyn Store, state: &State, restoring: &Restoring) -> Result<Point, Error> {
        let revision = match (&restoring.to, &restoring.config) {
            (RestorePoint::Revision(revision), _) => *revision,
            (RestorePoint::Time(time), _) => {
                revision_as_of(store, *time)?.ok_or_else(|| before_history(*time))?
            }
            (RestorePoint::Tag(tag), Some(_)) => return Ok(Point::Tag(tag.clone())),
            (RestorePoint::Tag(tag), None) => {
                let revision = tagged(state, &restoring.namespace, tag)?;
                return Ok(Point::NamespaceTag(tag.clone(), revision));
            }
        };
        if revision == Revision::ZERO {
            let message = "must be 1 or more: revision 0 is the empty store".into();
            return Err(Error::Invalid { field: "revision".into(), message });
        }
        if revision > state.revision {
            return Err(Error::RevisionInFuture { asked: revision, store: state.revision });
        }
        match store.oldest() {
            oldest if revision < oldest => Err(Error::Compacted { asked: revision, oldest }),
            _ => Ok(Point::Revision(revision)),
        }
    }

    fn revision(&self) -> Option<Revision> {
        match self {
            Point::Revision(revision) | Point::NamespaceTag(_, revision) => Some(*revision),
            Point::Tag(_) => None,
        }
    }

    /// A config as it was. `None`: it did not exist.
    fn config(&self, store: &dyn Store, current: &ConfigState) -> Result<Option<Arc<ConfigState>>, Error> {
        let version = match self {
            Point::Revision(revision) => version_as_of(store, &current.id, *revision)?,
            Point::Tag(tag) | Point::NamespaceTag(tag, _) => current.tags().get(tag).copied(),
        };
        version.map(|version| historic(store, current, &At::Version(version))).transpose()
    }
}

fn before_history(time: Timestamp) -> Error {
    Error::Invalid { field: "time".into(), message: format!("{time} is before the first commit") }
}

/// Reads configs of the past, within limits.
struct LookUp<'a> {
    store: &'a dyn Store,
    cancelled: &'a Cancelled,
    configs: BTreeMap<ConfigId, Option<Arc<ConfigState>>>,
    bytes: usize,
    layers: usize,
}

impl LookUp<'_> {
    /// Adds the configs that have changed since the point. Returns whether there were any that had not been added before.
    fn add_changed(&mut self, state: &State, restoring: &Restoring, point: &Point) -> Result<bool, Error> {
        if let Some(id) = restoring.id() {
            let current = state.config(&id).ok_or_else(|| Missing::Config(id.clone()))?;
            let config = point.config(self.store, current)?;
            let config = config.ok_or_else(|| match point {
                Point::Tag(tag) | Point::NamespaceTag(tag, _) => Missing::Tag(id.clone(), tag.clone()),
                Point::Revision(revision) => Missing::VersionAtRevision(id.clone(), *revision),
            })?;
            self.add(current, Some(config))?;
            return Ok(false);
        }
        let since = point.revision().unwrap_or(Revision::ZERO);
        let mut has_added = false;
        for current in state.configs_of(&restoring.namespace) {
            let is_looked_up = self.configs.contains_key(&current.id);
            if current.at.revision > since && is_restored(&current.id) && !is_looked_up {
                let config = point.config(self.store, current)?;
                self.add(current, config)?;
                has_added = true;
            }
        }
        Ok(has_added)
    }

    fn add(&mut self, current: &Arc<ConfigState>, config: Option<Arc<ConfigState>>) -> Result<(), Error> {
        self.cancelled.check()?;
        let config = config.map(|config| {
            self.layers += config.layers().len();
            let bytes = &mut self.bytes;
            // Content that is the same now is kept once.
            config.with_contents(|entry| {
                let now = current.layer(&entry.key).map(|now| &now.layer.content);
                let shared = now.filter(|now| **now == entry.layer.content).cloned();
                *bytes += if shared.is_some() { 0 } else { entry.layer.content.as_str().len() };
                shared
            })
        });
        self.configs.insert(current.id.clone(), config);
        for (what, found, limit) in [
            ("layers of the past", self.layers, LAYERS_MAX),
            ("bytes of layers of the past", self.bytes, BYTES_MAX),
        ] {
            if found > limit {
                return Err(Error::LimitReached { limit_name: Limit::CommitBytes, what, found, limit });
            }
        }
        Ok(())
    }
}
