//! Which history is retained, as `meta` keeps it. Knows trees; not who forgets what.
//!
//! | in `meta` | means |
//! | --- | --- |
//! | `oldest` | the oldest revision retained (u64 BE), and the hash before it (32 bytes); absent before the first compaction of all history |
//! | `forgotten` NUL, name of a namespace, NUL | the oldest revision of which the changes of the namespace are retained (u64 BE) |
//! | `pin` NUL, key of a version | this version is retained, though it ended before the oldest revision: empty, for its tag; 1, as one of the newest |
//! | `sweep` | present while what a compaction of all history forgot is not yet removed |
//! | `sweep` NUL, name of a namespace, NUL | the same, of that namespace |
//! | `reclaim` | the first revision of which bytes may be in the journal that were forgotten of a namespace alone (u64 BE); absent if none are |

use super::trees::Trees;
use super::{keys, record};
use crate::model::{ConfigId, Digest, Namespace, Revision, Version};
use crate::store::sled::corrupt;
use crate::store::sled::journal::End;
use crate::store::{Forgotten, Head, StoreError};

const FORGOTTEN: &[u8] = b"forgotten\0";
const PIN: &[u8] = b"pin\0";
const SWEEP: &[u8] = b"sweep";
const SWEEP_NAMESPACE: &[u8] = b"sweep\0";
const RECLAIM: &[u8] = b"reclaim";

/// Where the retained history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    pub revision: Revision,
    /// The hash of the commit before.
    pub anchor: Digest,
}

/// The same, of all and of each namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    pub oldest: Oldest,
    pub forgotten: Forgotten,
}

/// Why a version is retained though it ended before the oldest revision of its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinReason {
    Tag,
    /// It was among the newest when the history of the namespace was compacted.
    Newest,
}

impl Retained {
    /// The oldest revision of which the changes of a namespace are retained.
    pub fn oldest_of(&self, namespace: &Namespace) -> Revision {
        let of_namespace = self.forgotten.oldest_of(namespace.as_str());
        self.oldest.revision.max(of_namespace.unwrap_or_default())
    }
}

impl PinReason {
    fn encode(self) -> &'static [u8] {
        match self {
            PinReason::Tag => b"",
            PinReason::Newest => b"\x01",
        }
    }

    fn decode(value: &[u8]) -> Option<PinReason> {
        [PinReason::Tag, PinReason::Newest].into_iter().find(|reason| reason.encode() == value)
    }
}

impl Trees {
    pub fn retained(&self) -> Result<Retained, StoreError> {
        let mut found = Vec::new();
        for entry in self.meta.scan_prefix(FORGOTTEN) {
            let (key, value) = entry?;
            let namespace = parse_namespace(&key[FORGOTTEN.len()..]);
            let oldest = record::decode_number(&value).map(Revision);
            let entry = namespace.zip(oldest);
            found.push(entry.ok_or_else(|| corrupt("meta, forgotten", "not a namespace and a revision"))?);
        }
        Ok(Retained { oldest: self.oldest()?, forgotten: found.into_iter().collect() })
    }

    pub fn oldest(&self) -> Result<Oldest, StoreError> {
        let Some(value) = self.meta.get("oldest")? else {
            return Ok(Oldest { revision: Revision(1), anchor: Digest::ZERO });
        };
        let parse = || {
            let (revision, anchor) = value.split_at_checked(8)?;
            let revision = record::decode_number(revision).map(Revision)?;
            Some(Oldest { revision, anchor: Digest(anchor.try_into().ok()?) })
        };
        parse().ok_or_else(|| corrupt("meta, oldest", "not a revision and a hash"))
    }

    /// Forgets what was before `oldest`, except for the pinned versions, which are those of all namespaces. Nothing is removed yet.
    pub fn write_oldest(&self, oldest: Oldest, pins: &[(Vec<u8>, PinReason)]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        self.add_pins(&mut batch, PIN, pins)?;
        batch.insert("oldest", [&oldest.revision.0.to_be_bytes()[..], &oldest.anchor.0].concat());
        batch.insert(SWEEP, b"");
        Ok(self.meta.apply_batch(batch)?)
    }

    /// Forgets what was before `oldest` of a namespace, of which it was `from`, except for the pinned versions. Nothing is removed yet.
    pub fn write_forgotten(
        &self,
        namespace: &Namespace,
        oldest: Revision,
        from: Revision,
        pins: &[(Vec<u8>, PinReason)],
    ) -> Result<(), StoreError> {
        let name = keys::namespace(namespace);
        let mut batch = sled::Batch::default();
        self.add_pins(&mut batch, &[PIN, &name].concat(), pins)?;
        batch.insert([FORGOTTEN, &name].concat(), &oldest.0.to_be_bytes());
        batch.insert([SWEEP_NAMESPACE, &name].concat(), b"");
        let from = self.reclaim()?.map_or(from, |earlier| earlier.min(from));
        batch.insert(RECLAIM, &from.0.to_be_bytes());
        Ok(self.meta.apply_batch(batch)?)
    }

    /// Adds the replacement of the pins that have this prefix.
    fn add_pins(
        &self,
        batch: &mut sled::Batch,
        prefix: &[u8],
        pins: &[(Vec<u8>, PinReason)],
    ) -> Result<(), StoreError> {
        for pin in self.meta.scan_prefix(prefix).keys() {
            batch.remove(pin?);
        }
        for (pin, reason) in pins {
            batch.insert([PIN, pin].concat(), reason.encode());
        }
        Ok(())
    }

    /// Makes the trees of an empty store those of one whose journal begins with what is retained, after the commit `before`.
    pub fn begin_at(
        &self,
        retained: &Retained,
        before: Head,
        pins: &[(Vec<u8>, PinReason)],
    ) -> Result<(), StoreError> {
        self.write_oldest(retained.oldest, pins)?;
        for (namespace, oldest) in retained.forgotten.iter() {
            let key = [FORGOTTEN, &keys::namespace(namespace)].concat();
            self.meta.insert(key, &oldest.0.to_be_bytes())?;
        }
        // There are no files yet from which anything is to be removed.
        self.meta.remove(SWEEP)?;
        self.write_checkpoint(before.revision)?;
        self.write_settled(before.revision)?;
        self.meta.insert("synced", record::encode_end(End { head: before, ..End::EMPTY }))?;
        Ok(())
    }

    pub fn is_pinned(&self, id: &ConfigId, version: Version) -> Result<bool, StoreError> {
        Ok(self.meta.contains_key([PIN, &keys::at_version(&keys::config(id), version)].concat())?)
    }

    /// The pinned versions of a config, in order.
    pub fn pins(&self, id: &ConfigId) -> Result<Vec<(Version, PinReason)>, StoreError> {
        let prefix = [PIN, &keys::config(id)].concat();
        let mut pins = Vec::new();
        for entry in self.meta.scan_prefix(&prefix) {
            let (key, value) = entry?;
            let pin = keys::parse_version(&key[prefix.len()..]).zip(PinReason::decode(&value));
            let place = || crate::store::sled::place(&self.meta, &key);
            pins.push(pin.ok_or_else(|| corrupt(place(), "not the key of a version that is kept"))?);
        }
        Ok(pins)
    }

    /// What was forgotten and is not yet removed from the indexes: of all namespaces, which is `None`, or of these.
    pub fn unswept(&self) -> Result<Vec<Option<Namespace>>, StoreError> {
        if self.meta.contains_key(SWEEP)? {
            return Ok(vec![None]);
        }
        let mut namespaces = Vec::new();
        for key in self.meta.scan_prefix(SWEEP_NAMESPACE).keys() {
            let namespace = parse_namespace(&key?[SWEEP_NAMESPACE.len()..]);
            namespaces.push(Some(namespace.ok_or_else(|| corrupt("meta, sweep", "not a namespace"))?));
        }
        Ok(namespaces)
    }

    pub fn remove_sweep_mark(&self, namespace: &Namespace) -> Result<(), StoreError> {
        self.meta.remove([SWEEP_NAMESPACE, &keys::namespace(namespace)].concat())?;
        Ok(())
    }

    /// After a sweep of all namespaces.
    pub fn remove_sweep_marks(&self) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for key in self.meta.scan_prefix(SWEEP).keys() {
            batch.remove(key?);
        }
        Ok(self.meta.apply_batch(batch)?)
    }

    /// From where on segments are to be looked at for bytes that are forgotten. `None`: there are none.
    pub fn reclaim(&self) -> Result<Option<Revision>, StoreError> {
        let Some(value) = self.meta.get(RECLAIM)? else { return Ok(None) };
        let revision = record::decode_number(&value).map(Revision);
        revision.map(Some).ok_or_else(|| corrupt("meta, reclaim", "not a revision"))
    }

    pub fn write_reclaim(&self, from: Option<Revision>) -> Result<(), StoreError> {
        match from {
            Some(from) => self.meta.insert(RECLAIM, &from.0.to_be_bytes())?,
            None => self.meta.remove(RECLAIM)?,
        };
        Ok(())
    }
}

fn parse_namespace(key: &[u8]) -> Option<Namespace> {
    Namespace::parse(str::from_utf8(key.strip_suffix(b"\0")?).ok()?).ok()
}
