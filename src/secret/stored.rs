//! Data keys as they are stored: wrapped by a master key, in the layers of a config. Knows the form of those; not where they are.
//!
//! The layer at `/`, which tells the master key and holds the key of the fingerprints of requests; `derivation` only if the master key
//! is made of a passphrase:
//! ```json
//! {"format": 1, "requests": "v1:MASTER:BYTES",
//!  "master": {"id": "MASTER", "derivation": {"salt": "BASE64", "memory_kib": 65536, "passes": 3, "lanes": 1}}}
//! ```
//! The layer at `/NAMESPACE`, with its data keys, oldest first:
//! ```json
//! {"keys": [{"id": "KEY", "created": "2026-11-21T08:46:30Z", "key": "v1:MASTER:BYTES"}]}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::key::{Key, KeyId};
use super::keyring::Keyring;
use super::ring::Ring;
use super::sealed::{SealedText, SealingKey};
use super::source::{Derivation, MasterKeySource, MasterKeys, SourceError};
use crate::model::{Content, LayerKey, LayerKind, Namespace, Timestamp};

/// Of what this program writes and reads.
const FORMAT: u64 = 1;

/// All keys that are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredKeys {
    pub master: StoredMaster,
    requests: SealedText,
    pub namespaces: BTreeMap<Namespace, Vec<StoredKey>>,
}

/// Which master key has wrapped them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMaster {
    pub id: KeyId,
    pub derivation: Option<Derivation>,
}

/// A data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub id: KeyId,
    /// RFC 3339.
    pub created: String,
    wrapped: SealedText,
}

/// Why stored keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("the stored data keys are not in the form of format {FORMAT}: {0}")]
    Malformed(&'static str),
    #[error("the data keys are wrapped by master key {expected}, but {found}")]
    OtherMaster { expected: KeyId, found: String },
    #[error("data key {0} cannot be unwrapped by its master key: it is damaged")]
    Damaged(KeyId),
}

impl StoredKeys {
    /// With no data key yet.
    pub fn new(masters: &MasterKeys, derivation: Option<Derivation>) -> StoredKeys {
        let master = masters.first();
        let requests = wrap(master, &REQUESTS, &Key::random());
        StoredKeys {
            master: StoredMaster { id: master.id, derivation },
            requests,
            namespaces: BTreeMap::new(),
        }
    }

    /// Adds a new data key to a namespace, by which it seals from then on. The master keys must be those that open the others.
    pub fn add_key(
        &mut self,
        namespace: &Namespace,
        masters: &MasterKeys,
        now: Timestamp,
    ) -> Result<KeyId, KeysError> {
        let master = self.wrapping(masters)?;
        let keys = self.namespaces.entry(namespace.clone()).or_default();
        let id = std::iter::repeat_with(KeyId::random).find(|id| keys.iter().all(|key| key.id != *id));
        let id = id.expect("there are more names than keys");
        let wrapped = wrap(master, &data_key(namespace, &id), &Key::random());
        keys.push(StoredKey { id, created: now.to_string(), wrapped });
        Ok(id)
    }

    /// The same keys, wrapped by the first of the master keys. Each is unwrapped again, to be sure.
    pub fn rewrapped(
        &self,
        masters: &MasterKeys,
        derivation: Option<Derivation>,
    ) -> Result<StoredKeys, KeysError> {
        let (old, new) = (self.wrapping(masters)?, masters.first());
        let again = |bound_to: &[&[u8]], wrapped: &SealedText, id| {
            let key = unwrap(old, bound_to, wrapped).ok_or(KeysError::Damaged(id))?;
            let wrapped = wrap(new, bound_to, &key);
            let same = unwrap(new, bound_to, &wrapped).filter(|again| again.bytes() == key.bytes());
            same.map(|_| wrapped).ok_or(KeysError::Damaged(id))
        };
        let mut rewrapped = self.clone();
        rewrapped.master = StoredMaster { id: new.id, derivation };
        rewrapped.requests = again(&REQUESTS, &self.requests, old.id)?;
        for (namespace, keys) in &mut rewrapped.namespaces {
            for key in keys {
                key.wrapped = again(&data_key(namespace, &key.id), &key.wrapped, key.id)?;
            }
        }
        Ok(rewrapped)
    }

    /// Unwraps all of them.
    pub fn open(&self, masters: &MasterKeys) -> Result<Keyring, KeysError> {
        let master = self.wrapping(masters)?;
        let requests = unwrap(master, &REQUESTS, &self.requests).ok_or(KeysError::Damaged(master.id))?;
        let mut rings = BTreeMap::new();
        for (namespace, stored) in &self.namespaces {
            let key = |stored: &StoredKey| {
                let key = unwrap(master, &data_key(namespace, &stored.id), &stored.wrapped);
                key.map(|key| (stored.id, key)).ok_or(KeysError::Damaged(stored.id))
            };
            let keys: Vec<_> = stored.iter().map(key).collect::<Result<_, _>>()?;
            rings.extend(Ring::new(&keys).map(|ring| (namespace.clone(), Arc::new(ring))));
        }
        Ok(Keyring { rings, requests: Some(requests) })
    }

    fn wrapping<'m>(&self, masters: &'m MasterKeys) -> Result<&'m SealingKey, KeysError> {
        let other = || KeysError::OtherMaster { expected: self.master.id, found: masters.to_string() };
        masters.get(self.master.id).ok_or_else(other)
    }

    /// The layer at `/`.
    pub fn root_layer(&self) -> Value {
        let mut master = Map::from_iter([("id".to_owned(), json!(self.master.id.to_string()))]);
        if let Some(derivation) = &self.master.derivation {
            master.insert("derivation".to_owned(), derivation.to_value());
        }
        json!({"format": FORMAT, "master": master, "requests": self.requests.to_string()})
    }

    /// The layer of a namespace.
    pub fn namespace_layer(&self, namespace: &Namespace) -> Value {
        let keys = self.namespaces.get(namespace).into_iter().flatten();
        let keys: Vec<Value> = keys
            .map(|key| json!({"id": key.id.to_string(), "created": key.created, "key": key.wrapped.to_string()}))
            .collect();
        json!({ "keys": keys })
    }

    /// Reads the config that holds the keys. `None` if the config has no layers.
    pub fn of_layers<'l>(
        layers: impl Iterator<Item = (&'l LayerKey, &'l Content)>,
    ) -> Result<Option<StoredKeys>, KeysError> {
        let (mut root_layer, mut namespaces, mut is_empty) = (Value::Null, vec![], true);
        for (key, content) in layers {
            is_empty = false;
            if key.kind == LayerKind::Base {
                match key.scope.segments().next().map(Namespace::parse) {
                    None => root_layer = content.to_value(),
                    Some(Ok(namespace)) => namespaces.push((namespace, content.to_value())),
                    Some(Err(_)) => {}
                }
            }
        }
        if is_empty {
            return Ok(None);
        }
        let layers = namespaces.iter().map(|(namespace, layer)| (namespace.clone(), layer));
        StoredKeys::parse(&root_layer, layers).map(Some)
    }

    /// Reads the layers.
    pub fn parse<'v>(
        root: &Value,
        namespaces: impl Iterator<Item = (Namespace, &'v Value)>,
    ) -> Result<StoredKeys, KeysError> {
        let malformed = |what| move || KeysError::Malformed(what);
        if root["format"].as_u64() != Some(FORMAT) {
            return Err(KeysError::Malformed("format"));
        }
        let master = &root["master"];
        let derivation = master.get("derivation").map(Derivation::parse);
        let master = StoredMaster {
            id: text_in(master, "id").and_then(KeyId::parse).ok_or_else(malformed("master.id"))?,
            derivation: derivation
                .map(|derivation| derivation.ok_or_else(malformed("master.derivation")))
                .transpose()?,
        };
        let requests = text_in(root, "requests").and_then(SealedText::parse);
        let key = |value: &Value| {
            Some(StoredKey {
                id: text_in(value, "id").and_then(KeyId::parse)?,
                created: text_in(value, "created")?.to_owned(),
                wrapped: text_in(value, "key").and_then(SealedText::parse)?,
            })
        };
        let keys = |(namespace, layer): (Namespace, &Value)| {
            let keys = layer["keys"].as_array().map(|keys| keys.iter().map(key).collect::<Option<Vec<_>>>());
            Ok((namespace, keys.flatten().ok_or_else(malformed("keys"))?))
        };
        Ok(StoredKeys {
            master,
            requests: requests.ok_or_else(malformed("requests"))?,
            namespaces: namespaces.map(keys).collect::<Result<_, _>>()?,
        })
    }
}

/// The master keys for data keys that are stored. `None` if none are stored, and no master key has been made yet.
pub fn load_masters(
    source: &MasterKeySource,
    stored: Option<&StoredKeys>,
) -> Result<Option<MasterKeys>, SourceError> {
    let masters = source.load(stored.and_then(|stored| stored.master.derivation.as_ref()))?;
    match stored.filter(|_| masters.is_none()) {
        Some(stored) => Err(source.gone(stored.master.id)),
        None => Ok(masters),
    }
}

/// To what the key of the fingerprints of requests is bound.
const REQUESTS: [&[u8]; 1] = [b"confwatch requests"];

/// To what a data key is bound.
fn data_key<'a>(namespace: &'a Namespace, id: &'a KeyId) -> [&'a [u8]; 3] {
    [b"confwatch data key", namespace.as_str().as_bytes(), &id.0]
}

fn wrap(master: &SealingKey, bound_to: &[&[u8]], key: &Key) -> SealedText {
    master.seal(bound_to, key.bytes())
}

fn unwrap(master: &SealingKey, bound_to: &[&[u8]], wrapped: &SealedText) -> Option<Key> {
    Key::from_bytes(&master.open(bound_to, wrapped)?)
}

fn text_in<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretPlace;
    use crate::secret::example::{id, pointer};

    fn namespace(name: &str) -> Namespace {
        Namespace::parse(name).expect("a name")
    }

    fn masters(text: &str) -> MasterKeys {
        MasterKeys::parse(text).expect("keys")
    }

    fn hex(byte: u8) -> String {
        hex::encode([byte; 32])
    }

    /// Two namespaces, one of which has two keys.
    fn stored(masters: &MasterKeys) -> StoredKeys {
        let mut stored = StoredKeys::new(masters, None);
        for name in ["payments", "orders", "payments"] {
            stored.add_key(&namespace(name), masters, Timestamp(0)).expect("it is added");
        }
        stored
    }

    fn reread(stored: &StoredKeys) -> Result<StoredKeys, KeysError> {
        let layers = stored.namespaces.keys().map(|name| (name.clone(), stored.namespace_layer(name)));
        let layers: Vec<_> = layers.collect();
        StoredKeys::parse(&stored.root_layer(), layers.iter().map(|(name, layer)| (name.clone(), layer)))
    }

    #[test]
    fn keys_are_written_read_and_opened_by_their_master_key_only() {
        let master = masters(&hex(1));
        let stored = stored(&master);
        assert_eq!(reread(&stored), Ok(stored.clone()));
        let keyring = stored.open(&master).expect("they open");
        let newest = stored.namespaces[&namespace("payments")].last().expect("there are two").id;
        assert_eq!(keyring.ring(&namespace("payments")).map(|ring| ring.newest()), Some(newest));
        assert!(keyring.ring(&namespace("other")).is_none());
        let error = stored.open(&masters(&hex(2))).map(|_| ()).expect_err("another master key");
        assert!(matches!(error, KeysError::OtherMaster { .. }), "{error}");
        // Wrapped keys do not stand for one another.
        let mut swapped = stored.clone();
        let other = swapped.namespaces[&namespace("orders")].clone();
        swapped.namespaces.insert(namespace("payments"), other);
        assert!(matches!(swapped.open(&master), Err(KeysError::Damaged(_))));
    }

    #[test]
    fn a_new_master_key_wraps_the_same_keys() {
        let old = masters(&hex(1));
        let stored = stored(&old);
        let both = masters(&format!("{}\n{}\n", hex(2), hex(1)));
        let rewrapped = stored.rewrapped(&both, None).expect("they are wrapped again");
        assert_eq!(reread(&rewrapped), Ok(rewrapped.clone()));
        assert!(rewrapped.open(&old).is_err());
        let new = rewrapped.open(&masters(&hex(2))).expect("the new one suffices");
        let (id, at) = (id("payments/checkout"), pointer("/a"));
        let place = SecretPlace { id: &id, pointer: &at };
        let before = stored.open(&old).expect("they open");
        let ring = |keyring: &Keyring| keyring.ring(&id.namespace).expect("a ring").clone();
        let sealed = ring(&before).seal(place, &json!("hunter2"));
        assert_eq!(ring(&new).open(place, &sealed), Some(json!("hunter2")));
        assert!(stored.rewrapped(&masters(&hex(2)), None).is_err(), "the old one is needed");
    }

    #[test]
    fn what_is_not_in_the_form_is_refused() {
        let stored = stored(&masters(&hex(1)));
        for (at, value) in [
            ("/format", json!(2)),
            ("/master/id", json!("x")),
            ("/requests", json!("x")),
            ("/master", json!({})),
        ] {
            let mut root = stored.root_layer();
            *root.pointer_mut(at).expect("it is there") = value;
            let parsed = StoredKeys::parse(&root, std::iter::empty());
            assert!(matches!(parsed, Err(KeysError::Malformed(_))), "{at}");
        }
        let broken = json!({"keys": [{"id": "x"}]});
        let layers = [(namespace("payments"), &broken)];
        assert!(StoredKeys::parse(&stored.root_layer(), layers.into_iter()).is_err());
    }
}
