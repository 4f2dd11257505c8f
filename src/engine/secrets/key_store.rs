//! The keys that seal and open what this engine stores: from the config that holds them, wrapped, and a master key from outside. Knows
//! states; what is sealed and how is known to secret.
//!
//! The keys are a config like any other, `confwatch/keys`, so that they are durable, backed up, and have a history, together with
//! what they seal. Only the engine writes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::model::{ConfigId, Content, Digest, LayerKey, Namespace, Scope, SystemConfig, Timestamp};
use crate::secret::{
    Holder, Key, KeyId, Keyring, KnownSecret, MasterKeySource, MasterKeys, Opened, Ring, StoredKey,
    StoredKeys, holds_sealed, known_in, load_masters, open,
};

use crate::engine::error::{Error, Limit};
use crate::engine::state::{ConfigState, State};

/// The keys of an engine.
pub(in crate::engine) struct KeyStore {
    source: MasterKeySource,
    keyring: ArcSwap<Keyring>,
    /// `None`: no key has been made yet.
    masters: Mutex<Option<MasterKeys>>,
    /// For what is only validated, in namespaces that have no key yet. Nothing is stored that it has sealed.
    provisional: OnceLock<Arc<Ring>>,
    /// The last check could not read the master key from its source.
    is_source_failing: AtomicBool,
}

/// Data keys of one namespace: a new one each week for nearly twenty years.
const DATA_KEYS_MAX: usize = 1000;
/// Those of them that are made within a day.
const DATA_KEYS_A_DAY: usize = 24;

/// Which master key wraps the data keys.
pub(in crate::engine) struct Masters {
    pub source: String,
    pub wrapping: Option<KeyId>,
    /// What the source has first: what would wrap them.
    pub first: Option<KeyId>,
    pub keys: BTreeMap<Namespace, Vec<StoredKey>>,
}

/// All data keys, wrapped by another master key.
pub(in crate::engine) struct Rewrapped {
    pub layers: BTreeMap<LayerKey, Content>,
    pub from: KeyId,
    pub to: KeyId,
    /// The master key was made for it.
    pub is_made: bool,
    pub source: String,
}

impl KeyStore {
    /// Opens all keys that are stored. Fails if the master key is not the one that has wrapped them.
    pub fn open(source: MasterKeySource, state: &State) -> Result<KeyStore, Error> {
        if source.is_exposed() {
            tracing::warn!(file = %source, "others than its owner can read the master key");
        }
        let stored = stored(state.config(SystemConfig::Keys.id()).map(Arc::as_ref))?;
        let masters = load_masters(&source, stored.as_ref())?;
        let keyring = match (&stored, &masters) {
            (Some(stored), Some(masters)) => stored.open(masters)?,
            (None, _) | (Some(_), None) => Keyring::default(),
        };
        if let (Some(stored), Some(masters)) = (&stored, &masters)
            && stored.master.id != masters.wrapping()
        {
            let (old, new) = (stored.master.id, masters.wrapping());
            tracing::warn!(%old, %new, "the data keys are wrapped by an old master key: confwatch secrets rotate-master");
        }
        let (masters, keyring) = (Mutex::new(masters), ArcSwap::from_pointee(keyring));
        let is_source_failing = AtomicBool::new(false);
        Ok(KeyStore { source, keyring, masters, provisional: OnceLock::new(), is_source_failing })
    }

    /// Checks that the master key of this state can still be read from its source. Logs when that changes. Blocks.
    pub fn check_source(&self, state: &State) {
        let stored = stored(state.config(SystemConfig::Keys.id()).map(Arc::as_ref));
        let found = stored.and_then(|stored| Ok(self.source.check(stored.map(|stored| stored.master.id))?));
        let was_failing = self.is_source_failing.swap(found.is_err(), Ordering::Relaxed);
        match found {
            Err(error) if !was_failing => tracing::warn!(
                %error,
                "the master key cannot be read from its source any more: this server goes on with the key in memory, but does not \
                 start again without it; restore the key from its copy"
            ),
            Ok(()) if was_failing => {
                tracing::info!(source = %self.source, "the master key can be read again")
            }
            Err(_) | Ok(()) => {}
        }
    }

    /// Whether the last check could not read the master key from its source.
    pub fn is_source_failing(&self) -> bool {
        self.is_source_failing.load(Ordering::Relaxed)
    }

    /// Whether this is the config that holds the keys.
    pub fn is_keys(&self, id: &ConfigId) -> bool {
        id.system() == Some(SystemConfig::Keys)
    }

    pub fn id(&self) -> &'static ConfigId {
        SystemConfig::Keys.id()
    }

    /// Makes sure that the keys of a state that will follow can be opened: loads the master key anew if another one has wrapped them.
    /// Blocks.
    pub fn prepare(&self, keys: &ConfigState) -> Result<(), Error> {
        let Some(stored) = stored(Some(keys))? else { return Ok(()) };
        let is_known = self.masters().as_ref().is_some_and(|masters| stored.open(masters).is_ok());
        if !is_known {
            let masters = load_masters(&self.source, Some(&stored))?;
            let masters = masters.ok_or_else(|| self.source.gone(stored.master.id))?;
            stored.open(&masters)?;
            *self.masters() = Some(masters);
        }
        Ok(())
    }

    /// Opens the keys of a new state, in which they may be others.
    pub fn follow(&self, state: &State) {
        let opened = stored(state.config(self.id()).map(Arc::as_ref)).and_then(|stored| match stored {
            Some(stored) => Ok(stored.open(self.masters().as_ref().expect("it has wrapped them"))?),
            None => Ok(Keyring::default()),
        });
        match opened {
            Ok(keyring) => self.keyring.store(Arc::new(keyring)),
            Err(error) => tracing::error!(%error, "the data keys cannot be opened"),
        }
    }

    /// The keys that open what a namespace has.
    pub fn ring(&self, namespace: &Namespace) -> Option<Arc<Ring>> {
        let ring = self.keyring.load().ring(namespace).cloned();
        ring.or_else(|| self.provisional.get().cloned())
    }

    /// The keys that fingerprints of a namespace are made by. `None`: it has none, and what is validated only has no fingerprint, since the
    /// first write would give it another one.
    pub fn fingerprinting_ring(&self, namespace: &Namespace) -> Option<Arc<Ring>> {
        self.keyring.load().ring(namespace).cloned()
    }

    /// The keys that seal what a write puts into a namespace; if it is only validated, perhaps some that nothing is stored with.
    pub fn sealing_ring(&self, namespace: &Namespace, validate_only: bool) -> Result<Arc<Ring>, Error> {
        if let Some(ring) = self.keyring.load().ring(namespace) {
            return Ok(ring.clone());
        }
        if !validate_only {
            return Err(Error::KeyMissing(namespace.clone()));
        }
        let new = || {
            let ring = Ring::new(&[(KeyId::random(), Key::random())]);
            Arc::new(ring.expect("a ring of one key"))
        };
        Ok(self.provisional.get_or_init(new).clone())
    }

    /// A stored layer with its secrets as they are.
    pub fn opened(&self, id: &ConfigId, content: &Content) -> Opened {
        let value = content.to_value();
        match self.ring(&id.namespace).filter(|_| holds_sealed(content.as_str())) {
            Some(ring) => open(id, value, &ring),
            None => Opened { value, secrets: vec![] },
        }
    }

    /// The secrets of a stored layer.
    pub fn known<'a>(&self, id: &ConfigId, content: &Content, holder: Holder<'a>) -> Vec<KnownSecret<'a>> {
        match self.ring(&id.namespace).filter(|_| holds_sealed(content.as_str())) {
            Some(ring) => known_in(id, content.to_value(), &ring, holder),
            None => vec![],
        }
    }

    /// The fingerprint of a request with secrets, as it is stored.
    pub fn keyed(&self, fingerprint: Digest) -> Option<Digest> {
        self.keyring.load().keyed(fingerprint)
    }

    /// Which master key wraps the data keys, and which one its source has first.
    pub fn masters_of(&self, keys: Option<&ConfigState>) -> Result<Masters, Error> {
        let stored = stored(keys)?;
        let loaded = load_masters(&self.source, stored.as_ref())?;
        Ok(Masters {
            source: self.source.to_string(),
            wrapping: stored.as_ref().map(|stored| stored.master.id),
            first: loaded.map(|masters| masters.wrapping()),
            keys: stored.map(|stored| stored.namespaces).unwrap_or_default(),
        })
    }

    /// The layers that wrap all data keys by another master key: the first one of its source, which is made if it is the one that wraps
    /// them now. `None`: there are no data keys. May take long, and blocks.
    pub fn rewrap(&self, keys: Option<&ConfigState>) -> Result<Option<Rewrapped>, Error> {
        let Some(before) = stored(keys)? else { return Ok(None) };
        let derivation = before.master.derivation.clone();
        let gone = || self.source.gone(before.master.id);
        let mut masters = self.source.load(derivation.as_ref())?.ok_or_else(gone)?;
        let is_made = masters.wrapping() == before.master.id;
        if is_made {
            masters = self.source.renew()?;
        }
        let after = before.rewrapped(&masters, derivation)?;
        let mut layers = BTreeMap::from([(root(), Content::of(&after.root_layer()))]);
        for namespace in after.namespaces.keys() {
            layers.insert(layer_of(namespace), Content::of(&after.namespace_layer(namespace)));
        }
        // It has the old one, too: whatever comes of the write, what is stored can be opened.
        *self.masters() = Some(masters);
        let (from, to, source) = (before.master.id, after.master.id, self.source.to_string());
        Ok(Some(Rewrapped { layers, from, to, is_made, source }))
    }

    /// The layers that add a data key to a namespace, given the config of the keys as it is. `None`: it has one, and a further one is
    /// not wanted. May take long, and blocks.
    pub fn add_key(
        &self,
        keys: Option<&ConfigState>,
        namespace: &Namespace,
        now: Timestamp,
        further: bool,
    ) -> Result<Option<BTreeMap<LayerKey, Content>>, Error> {
        let before = stored(keys)?;
        let mut masters = self.masters();
        let (mut after, masters) = match (&before, &*masters) {
            (Some(before), Some(masters)) => (before.clone(), masters.clone()),
            (Some(before), None) => return Err(self.source.gone(before.master.id).into()),
            (None, Some(found)) => (StoredKeys::new(found, None), found.clone()),
            (None, None) => {
                let (created, derivation) = self.source.create()?;
                tracing::info!(source = %self.source, "the data keys are wrapped by a master key: keep it, and a copy elsewhere");
                *masters = Some(created.clone());
                (StoredKeys::new(&created, derivation), created)
            }
        };
        if after.namespaces.contains_key(namespace) && !further {
            return Ok(None);
        }
        let created = after.namespaces.get(namespace).into_iter().flatten().map(|key| key.created.as_str());
        check_room(namespace, created, now)?;
        after.add_key(namespace, &masters, now)?;
        let mut layers =
            BTreeMap::from([(layer_of(namespace), Content::of(&after.namespace_layer(namespace)))]);
        if before.is_none() {
            layers.insert(root(), Content::of(&after.root_layer()));
        }
        Ok(Some(layers))
    }
}

impl KeyStore {
    fn masters(&self) -> MutexGuard<'_, Option<MasterKeys>> {
        self.masters.lock().expect("nobody panics under this lock")
    }
}

/// Refuses a further data key to a namespace which has these, by when they were made: none ever goes, since history is sealed by them.
fn check_room<'a>(
    namespace: &Namespace,
    created: impl Iterator<Item = &'a str>,
    now: Timestamp,
) -> Result<(), Error> {
    let day = Duration::from_secs(24 * 60 * 60).as_micros() as i64;
    // The texts are in the order of the times.
    let since = Timestamp(now.0.saturating_sub(day)).to_string();
    let (mut all, mut of_a_day) = (0, 0);
    for created in created {
        all += 1;
        of_a_day += usize::from(created > since.as_str());
    }
    let refused = |made: &str, found, limit| {
        let what = format!("data keys of namespace {namespace}{made}").into();
        Err(Error::LimitReached { limit_name: Limit::DataKeys, what, found, limit })
    };
    match () {
        () if all >= DATA_KEYS_MAX => refused("", all + 1, DATA_KEYS_MAX),
        () if of_a_day >= DATA_KEYS_A_DAY => {
            refused(" that are made within a day", of_a_day + 1, DATA_KEYS_A_DAY)
        }
        () => Ok(()),
    }
}

fn root() -> LayerKey {
    LayerKey::base(Scope::global())
}

/// The layer with the data keys of a namespace.
fn layer_of(namespace: &Namespace) -> LayerKey {
    LayerKey::base(Scope::parse(&format!("/{namespace}")).expect("the name of a namespace is a segment"))
}

/// The keys that a config has. `None`: there are none.
fn stored(config: Option<&ConfigState>) -> Result<Option<StoredKeys>, Error> {
    let layers = config.map_or(&[][..], ConfigState::layers);
    Ok(StoredKeys::of_layers(layers.iter().map(|entry| (&entry.key, &entry.layer.content)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_gets_so_many_data_keys_a_day_and_so_many_in_all() {
        let now = Timestamp(1_800_000_000_000_000);
        let before = |hours: usize| now.0 - Duration::from_secs(hours as u64 * 60 * 60).as_micros() as i64;
        let check = |hours: &mut dyn Iterator<Item = usize>| {
            let created: Vec<String> = hours.map(|hours| Timestamp(before(hours)).to_string()).collect();
            let namespace = Namespace::parse("shop").expect("a name");
            check_room(&namespace, created.iter().map(String::as_str), now).map_err(|error| error.to_string())
        };
        assert_eq!(check(&mut (0..23)), Ok(()));
        let refused = check(&mut (0..24)).expect_err("too many in a day");
        assert!(refused.contains("within a day: 25, at most 24"), "{refused}");
        assert_eq!(check(&mut (25..1000)), Ok(()), "those of earlier days");
        let refused = check(&mut (100..1100)).expect_err("too many");
        assert!(refused.contains("namespace shop: 1001, at most 1000"), "{refused}");
    }
}
