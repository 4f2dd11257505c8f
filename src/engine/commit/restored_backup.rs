//! Looks up what configs were in a backup that the server keeps or that its caller has sent. Knows backups and the current state; not how a restore is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::read_intent::ReadIntent;
use super::restoring::{BackedUp, BackupFile, BackupSource, Restored, Restoring, is_restored};
use crate::backup::{BackupError, Catalog, Extracted, Kept, Selection, Upload, Wanted};
use crate::engine::Engine;
use crate::engine::check::workers::{Cancelled, LargeCall};
use crate::engine::error::{Error, Missing};
use crate::engine::state::{ConfigState, State};
use crate::model::{ConfigId, Content, LayerKey, Revision};

/// Content of layers of the backup that is not the content of the same layer now.
const BYTES_MAX: usize = 64 << 20;
/// Configs and layers that are read from the backup.
const ITEMS_MAX: usize = 1_000_000;

impl Engine {
    /// Looks up the configs that the backup has otherwise than the current state. The backup is read once for a write, however often the write
    /// is planned.
    pub(super) async fn look_up_backed_up(
        &self,
        restoring: Restoring,
        source: BackupSource,
        actor: &str,
    ) -> Result<ReadIntent, Error> {
        source.read.get_or_try_init(|| self.read_backup(&restoring, &source, actor)).await?;
        self.pipeline.barrier().answered().await?;
        let pipeline = self.pipeline.clone();
        self.work(actor, move |cancelled| {
            let read = source.read.get().expect("it was just read");
            let state = pipeline.published();
            let configs = different(&state, &restoring, read, cancelled)?;
            Ok(ReadIntent::Restore(Restored {
                restoring,
                revision: Some(read.revision),
                is_own: read.is_own,
                configs,
                looked_up: state.revision,
                _large: read.large.clone(),
            }))
        })
        .await
    }

    async fn read_backup(
        &self,
        restoring: &Restoring,
        source: &BackupSource,
        actor: &str,
    ) -> Result<BackedUp, Error> {
        let place = match (&source.file, self.backup_catalog()) {
            (BackupFile::Kept(_, Some(kept)), Some(catalog)) => Place::Catalog(catalog.clone(), kept.clone()),
            (BackupFile::Kept(id, _), _) => return Err(Missing::Backup(id.clone()).into()),
            (BackupFile::Uploaded(_, Some(upload)), _) => Place::Upload(upload.clone()),
            (BackupFile::Uploaded(id, None), _) => return Err(Missing::Upload(id.clone()).into()),
        };
        let running = self.backups.place(actor, Some(&restoring.namespace), false).await?;
        let large = self.begin_large(actor).await;
        let reading = Reading { place, restoring: restoring.clone(), state: self.state() };
        let closed = self.closed.clone();
        let revision = source.revision;
        self.work(actor, move |cancelled| {
            let _running = running;
            let is_stopped = || cancelled.is_set() || closed.is_cancelled();
            let extracted = reading.extract(revision, &is_stopped)?;
            Ok(reading.backed_up(extracted, large))
        })
        .await
    }
}

/// A backup that is being read.
struct Reading {
    place: Place,
    restoring: Restoring,
    /// Contents that the state has are kept once.
    state: Arc<State>,
}

enum Place {
    Catalog(Arc<Catalog>, Box<Kept>),
    Upload(Arc<Upload>),
}

impl Reading {
    fn extract(&self, at: Option<Revision>, is_stopped: &dyn Fn() -> bool) -> Result<Extracted, BackupError> {
        let Reading { restoring, state, .. } = self;
        let one = restoring.id();
        let wanted = Wanted {
            selection: match &one {
                Some(id) => Selection::Config(id.clone()),
                None => Selection::Namespace(restoring.namespace.clone()),
            },
            config: &|id: &ConfigId| match &one {
                Some(one) => id == one,
                None => id.namespace == restoring.namespace && is_restored(id),
            },
            layer: &|key: &LayerKey| restoring.scope.contains(&key.scope),
            at,
            shared: &|id: &ConfigId, key: &LayerKey, content: &Content| {
                let now = &state.config(id)?.layer(key)?.layer.content;
                (now == content).then(|| now.clone())
            },
            items_max: ITEMS_MAX,
            bytes_max: BYTES_MAX,
        };
        match &self.place {
            Place::Catalog(catalog, kept) => catalog.extract(kept, &wanted, is_stopped),
            Place::Upload(upload) => upload.extract(&wanted, is_stopped),
        }
    }

    fn backed_up(&self, extracted: Extracted, large: LargeCall) -> BackedUp {
        let configs = extracted.configs.into_iter();
        let configs = configs.map(|(id, record)| (id, Arc::new(ConfigState::from(record))));
        let epoch = match &self.place {
            Place::Catalog(_, kept) => Some(kept.manifest.epoch.clone()),
            // Who sends a file could send another epoch.
            Place::Upload(_) => None,
        };
        BackedUp {
            revision: extracted.revision,
            is_own: epoch.is_some_and(|epoch| epoch == self.state.epoch.to_string()),
            configs: configs.collect(),
            large,
        }
    }
}

/// The configs whose layers in the scope are others now, and those about which the request expects something.
fn different(
    state: &State,
    restoring: &Restoring,
    read: &BackedUp,
    cancelled: &Cancelled,
) -> Result<BTreeMap<ConfigId, Option<Arc<ConfigState>>>, Error> {
    if let Some(id) = restoring.id() {
        let then = read.configs.get(&id);
        let then = then.ok_or_else(|| Missing::VersionAtRevision(id.clone(), read.revision))?;
        return Ok(BTreeMap::from([(id, Some(then.clone()))]));
    }
    let mut configs = BTreeMap::new();
    for current in state.configs_of(&restoring.namespace).filter(|config| is_restored(&config.id)) {
        cancelled.check()?;
        let then = read.configs.get(&current.id);
        let is_expected = restoring.expected.is_none_or(|expected| current.at.revision <= expected);
        if !is_expected || !is_same(current, then, restoring) {
            configs.insert(current.id.clone(), then.cloned());
        }
    }
    let gone = read.configs.iter().filter(|(id, then)| state.config(id).is_none() && !then.is_deleted());
    configs.extend(gone.map(|(id, then)| (id.clone(), Some(then.clone()))));
    Ok(configs)
}

/// Whether a config has the same layers in the scope.
fn is_same(current: &ConfigState, then: Option<&Arc<ConfigState>>, restoring: &Restoring) -> bool {
    let now = current.layers().iter().filter(|entry| restoring.scope.contains(&entry.key.scope));
    let then = then.into_iter().flat_map(|then| then.layers());
    now.map(|entry| (&entry.key, &entry.layer.content, entry.layer.expires))
        .eq(then.map(|entry| (&entry.key, &entry.layer.content, entry.layer.expires)))
}
