//! The keys that seal secrets: which there are, and others in their place. Each step is a commit, so that what was begun is gone on with
//! by asking again. Knows the pipeline and the key store; no master key.

use std::collections::BTreeMap;

use crate::model::{Author, ConfigId, Content, Namespace, Source};
use crate::secret::{Census, KeyId, holds_sealed};

use super::key_store::KeyStore;
use crate::engine::Engine;
use crate::engine::blocking::blocking;
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::commit::read_write::ReadWrite;
use crate::engine::commit::submitted::WriteAnswer;
use crate::engine::commit::write::Origin;
use crate::engine::error::{Error, Missing};
use crate::engine::state::State;

/// Configs that are sealed anew before the caller is told how far it is.
const CONFIGS_MAX: usize = 200;

/// Which keys there are.
#[derive(Clone, Debug)]
pub struct KeysStatus {
    /// Where the master key is taken from.
    pub source: String,
    /// What wraps the data keys. `None`: there are none.
    pub master: Option<KeyId>,
    /// What the source has in its place, if it is another one.
    pub master_next: Option<KeyId>,
    pub namespaces: Vec<NamespaceKeys>,
}

/// The data keys of a namespace, and what they have sealed.
#[derive(Clone, Debug)]
pub struct NamespaceKeys {
    pub namespace: Namespace,
    /// Oldest first. The last one seals.
    pub keys: Vec<DataKey>,
    /// Of the current layers: history has more.
    pub census: Census,
}

/// A data key by its name.
#[derive(Clone, Debug)]
pub struct DataKey {
    pub id: KeyId,
    /// RFC 3339.
    pub created: String,
}

/// How far the rotation of the data key of a namespace is.
#[derive(Clone, Debug)]
pub struct DataRotation {
    /// What seals now.
    pub key: KeyId,
    /// It was made by this call; else an earlier rotation went on.
    pub is_new: bool,
    /// Configs that this call has sealed anew.
    pub resealed: usize,
    /// Configs that are left.
    pub left: usize,
}

/// What became of the master key.
#[derive(Clone, Debug)]
pub struct MasterRotation {
    pub from: KeyId,
    pub to: KeyId,
    /// It was made, and written to the source; else it was there already.
    pub is_made: bool,
    pub source: String,
    /// Whose data keys it wraps.
    pub namespaces: usize,
}

impl Engine {
    /// Whether the master key could not be read from its source when that was last checked.
    pub fn is_master_key_failing(&self) -> bool {
        self.key_store.is_source_failing()
    }

    /// Which keys there are. Opens every secret of the current layers.
    pub async fn keys_status(&self) -> Result<KeysStatus, Error> {
        let (key_store, state) = (self.key_store.clone(), self.state());
        let look = move || {
            let masters = key_store.masters_of(state.config(key_store.id()).map(AsRef::as_ref))?;
            let mut censuses: BTreeMap<&Namespace, Census> = BTreeMap::new();
            for config in state.configs_after(None) {
                let id = &config.id;
                let Some(ring) = key_store.ring(&id.namespace) else { continue };
                let sealed = config.layers().iter().map(|entry| &entry.layer.content);
                for content in sealed.filter(|content| holds_sealed(content.as_str())) {
                    censuses.entry(&id.namespace).or_default().count(id, content.to_value(), &ring);
                }
            }
            let namespaces = masters.keys.into_iter().map(|(namespace, keys)| NamespaceKeys {
                census: censuses.get(&namespace).copied().unwrap_or_default(),
                keys: keys.into_iter().map(|key| DataKey { id: key.id, created: key.created }).collect(),
                namespace,
            });
            let master_next = masters.first.filter(|first| masters.wrapping.is_some_and(|now| now != *first));
            let (source, master) = (masters.source, masters.wrapping);
            Ok(KeysStatus { source, master, master_next, namespaces: namespaces.collect() })
        };
        blocking(look).await?
    }

    /// Seals the secrets of a namespace by a new data key; or goes on with that, where an earlier call was interrupted or had too much to
    /// do. The old keys stay, for history.
    pub async fn rotate_data_key(&self, namespace: Namespace, author: Author) -> Result<DataRotation, Error> {
        self.pipeline.check_leads()?;
        let _alone = self.rotating.lock().await;
        let missing = || Error::Invalid {
            field: "namespace".into(),
            message: format!("namespace {namespace} has no secrets, and so no data key"),
        };
        self.key_store.sealing_ring(&namespace, false).map_err(|_| missing())?;
        let mut behind = self.behind(&namespace).await?;
        let is_new = behind.is_empty();
        if is_new {
            self.pipeline.clone().add_data_key(namespace.clone(), true, author.clone()).await?;
            behind = self.behind(&namespace).await?;
        }
        let key = self.key_store.sealing_ring(&namespace, false)?.newest();
        let (now, left) = behind.split_at(behind.len().min(CONFIGS_MAX));
        for id in now {
            self.reseal(id, key, &author).await?;
        }
        Ok(DataRotation { key, is_new, resealed: now.len(), left: left.len() })
    }

    async fn reseal(&self, id: &ConfigId, key: KeyId, author: &Author) -> Result<(), Error> {
        let origin = Origin {
            author: author.clone(),
            source: Source::Apply,
            reason: format!("secrets are sealed anew by data key {key}"),
            request: None,
            annotations: BTreeMap::new(),
        };
        let write = ReadWrite::of_server(origin, ReadIntent::Reseal(id.clone()), false);
        match self.pipeline.submit(write).await?.answered().await? {
            WriteAnswer::Outcome(outcome) => outcome.map(|_| ()),
            WriteAnswer::Replay(_) => Ok(()),
        }
    }

    /// The configs of a namespace with secrets that an older key has sealed.
    async fn behind(&self, namespace: &Namespace) -> Result<Vec<ConfigId>, Error> {
        let (key_store, state, namespace) = (self.key_store.clone(), self.state(), namespace.clone());
        blocking(move || behind(&key_store, &state, &namespace)).await
    }

    /// Wraps all data keys by another master key: by the one that was written before the old one in its source; without one, by a new
    /// one, which is written there.
    pub async fn rotate_master_key(&self, author: Author) -> Result<MasterRotation, Error> {
        self.pipeline.check_leads()?;
        let _alone = self.rotating.lock().await;
        loop {
            self.pipeline.barrier().answered().await?;
            let base = self.state().config(self.key_store.id()).cloned();
            let (key_store, keys) = (self.key_store.clone(), base.clone());
            let rewrapped = blocking(move || key_store.rewrap(keys.as_deref())).await??;
            let missing = || Error::NotFound(Missing::Config(self.key_store.id().clone()));
            let rewrapped = rewrapped.ok_or_else(missing)?;
            let reason = format!("data keys are wrapped by master key {}", rewrapped.to);
            // One is the layer that tells of the master key.
            let namespaces = rewrapped.layers.len() - 1;
            match self.pipeline.write_keys(base.as_deref(), rewrapped.layers, author.clone(), reason).await {
                // A namespace has got its first key meanwhile.
                Err(Error::VersionMismatch { .. }) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let (from, to, is_made) = (rewrapped.from, rewrapped.to, rewrapped.is_made);
                    return Ok(MasterRotation { from, to, is_made, source: rewrapped.source, namespaces });
                }
            }
        }
    }
}

fn behind(key_store: &KeyStore, state: &State, namespace: &Namespace) -> Vec<ConfigId> {
    let Some(ring) = key_store.ring(namespace) else { return vec![] };
    let is_behind = |id: &ConfigId, content: &Content| {
        let mut census = Census::default();
        if holds_sealed(content.as_str()) {
            census.count(id, content.to_value(), &ring);
        }
        census.behind > 0
    };
    let configs = state
        .configs_of(namespace)
        .filter(|config| config.layers().iter().any(|entry| is_behind(&config.id, &entry.layer.content)));
    configs.map(|config| config.id.clone()).collect()
}
