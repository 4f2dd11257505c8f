//! Looks up what configs were at a point in the past. Knows the store and the current state; not how a restore is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::read_intent::ReadIntent;
use super::restoring::{BackupSource, RestorePoint, Restored, Restoring, is_restored};
use crate::engine::Engine;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::{Error, Limit, Missing};
use crate::engine::read::history::{At, historic};
use crate::engine::read::namespace_point::{NamespaceAt, NamespacePoint};
use crate::engine::state::{ConfigState, State};
use crate::model::{ConfigId, Revision, TagName};
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
        if let RestorePoint::Backup(source) = &restoring.to {
            let source = BackupSource::clone(source);
            return Box::pin(self.look_up_backed_up(restoring, source, actor)).await;
        }
        // A commit may be queued but not in the journal yet.
        self.pipeline.barrier().answered().await?;
        let (store, pipeline) = (self.store.clone(), self.pipeline.clone());
        let large = self.begin_large(actor).await;
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
            let is_own = true;
            Ok(ReadIntent::Restore(Restored {
                restoring,
                revision,
                is_own,
                configs,
                looked_up,
                _large: large,
            }))
        })
        .await
    }
}

/// A point in the past that was found in history.
enum Point {
    Namespace(NamespacePoint),
    /// The version that a tag of the one config names.
    Tag(TagName),
}

impl Point {
    fn of(store: &dyn Store, state: &State, restoring: &Restoring) -> Result<Point, Error> {
        let at = match (&restoring.to, &restoring.config) {
            (RestorePoint::Tag(tag), Some(_)) => return Ok(Point::Tag(tag.clone())),
            (RestorePoint::Tag(tag), None) => NamespaceAt::Tag(tag.clone()),
            (RestorePoint::Revision(revision), _) => NamespaceAt::Revision(*revision),
            (RestorePoint::Time(time), _) => NamespaceAt::Time(*time),
            (RestorePoint::Backup(_), _) => unreachable!("a backup is looked up elsewhere"),
        };
        NamespacePoint::of(store, state, &restoring.namespace, &at).map(Point::Namespace)
    }

    fn revision(&self) -> Option<Revision> {
        match self {
            Point::Namespace(point) => Some(point.revision),
            Point::Tag(_) => None,
        }
    }

    /// A config as it was. `None`: it did not exist.
    fn config(
        &self,
        store: &dyn Store,
        current: &Arc<ConfigState>,
    ) -> Result<Option<Arc<ConfigState>>, Error> {
        match self {
            Point::Namespace(point) => point.config(store, current),
            Point::Tag(tag) => {
                let version = current.tags().get(tag).copied();
                version.map(|version| historic(store, current, &At::Version(version))).transpose()
            }
        }
    }
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
                Point::Tag(tag) => Missing::Tag(id.clone(), tag.clone()),
                Point::Namespace(point) => Missing::VersionAtRevision(id.clone(), point.revision),
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
                let what = what.into();
                return Err(Error::LimitReached { limit_name: Limit::CommitBytes, what, found, limit });
            }
        }
        Ok(())
    }
}
