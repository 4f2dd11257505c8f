//! Writing batches to the journal, and what they change to the indexes. Knows trees; not when it is called.
//!
//! Writing the same batches again changes nothing, so a start replays without asking what was already there. sled recovers a
//! prefix of what one thread wrote, so a checkpoint, written last, vouches for all before it.

use std::collections::BTreeMap;

use super::super::codec::Located;
use super::record::{self, About, CurrentRecord, LayerRecord};
use super::trees::Trees;
use super::wal::Logged;
use super::{chunk, keys};
use crate::model::{LayerChange, Revision, Version};
use crate::store::{Head, StoreError, VersionRef};

/// A batch that is durable in the log.
pub struct Pending {
    pub first: Revision,
    pub last: Revision,
    pub bytes: Vec<u8>,
}

impl From<Logged> for Pending {
    fn from(Logged { first, last, bytes }: Logged) -> Pending {
        Pending { first, last, bytes }
    }
}

/// What `current` and `configs` still lack. They are read by starts alone and say the same of a layer again and again, so they are
/// written rarely: a start folds the end of the journal into them.
#[derive(Default)]
pub struct Unsettled {
    /// Key to value, `None` if it is gone.
    current: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    configs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of the journal.
    bytes: usize,
    to: Revision,
}

/// How much of the journal a start may have to fold.
const UNSETTLED_BYTES_MAX: usize = 64 << 20;

/// Writes batches to the journal and the indexes, and returns the head they lead to. `None` if there are none.
pub fn archive(
    trees: &Trees,
    unsettled: &mut Unsettled,
    batches: &[Pending],
) -> Result<Option<Head>, StoreError> {
    for batch in batches {
        trees.journal.write(batch.first, &batch.bytes)?;
    }
    let head = write(trees, unsettled, batches)?;
    if unsettled.bytes > UNSETTLED_BYTES_MAX {
        unsettled.settle(trees)?;
    }
    Ok(head)
}

/// Writes what the indexes lack of the journal. Not what is before: that may have been compacted.
pub fn replay(trees: &Trees, unsettled: &mut Unsettled) -> Result<(), StoreError> {
    let mut next = trees.settled()?.next();
    while let Some(first) = trees.journal.batch_from(next)? {
        let bytes = trees.journal.read_bytes(first)?;
        match write(trees, unsettled, &[Pending { first, last: first, bytes }])? {
            Some(head) => next = head.revision.next(),
            None => return Ok(()),
        }
        if unsettled.bytes > UNSETTLED_BYTES_MAX {
            unsettled.settle(trees)?;
        }
    }
    Ok(())
}

/// Brings the indexes to the end of `batches`, which the journal has, and returns that. `versions` after `layers`: a version that can be
/// seen has all its layers.
fn write(trees: &Trees, unsettled: &mut Unsettled, batches: &[Pending]) -> Result<Option<Head>, StoreError> {
    let mut changed = Changed::default();
    let mut head = None;
    for pending in batches {
        let batch = trees.journal.decode(pending.first, &pending.bytes)?;
        for located in &batch.commits {
            changed.add(unsettled, pending.first, located);
        }
        let last = batch.last().sealed.head();
        (unsettled.bytes, unsettled.to) = (unsettled.bytes + pending.bytes.len(), last.revision);
        head = Some(last);
    }
    changed.write(trees)?;
    if let Some(head) = head {
        trees.write_checkpoint(head.revision)?;
    }
    Ok(head)
}

/// What a group of batches changes in the indexes that are always written.
#[derive(Default)]
struct Changed {
    layers: BTreeMap<Vec<u8>, Vec<u8>>,
    versions: BTreeMap<Vec<u8>, Vec<u8>>,
    tags: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Changed {
    fn add(&mut self, unsettled: &mut Unsettled, batch: Revision, located: &Located) {
        let commit = &located.sealed.commit;
        let mut contents = located.contents.iter();
        for change in &commit.changes {
            let config = keys::config(&change.id);
            for layer in &change.layers {
                let offset = *contents.next().expect("a batch locates each layer change");
                let key = keys::layer(&change.id, &layer.key);
                let (past, current) = layer_records(layer, change.version, batch, offset);
                self.layers.insert(keys::at_version(&key, change.version), past);
                unsettled.current.insert(key, current);
            }
            if !change.layers.is_empty() {
                let at = VersionRef { version: change.version, revision: commit.revision, time: commit.time };
                self.versions.insert(keys::at_version(&config, change.version), record::encode_version(at));
                unsettled.configs.insert(config, record::encode_config(at));
            }
            for tag in &change.tags {
                let version = tag.version.map(|version| version.0.to_be_bytes().to_vec());
                self.tags.insert(keys::tag(&change.id, &tag.tag), version);
            }
        }
    }

    fn write(self, trees: &Trees) -> Result<(), StoreError> {
        for (key, value) in self.layers {
            chunk::write_new(&trees.layers, &key, &value)?;
        }
        for (key, value) in self.versions {
            trees.versions.insert(key, value)?;
        }
        for (key, value) in self.tags {
            match value {
                Some(value) => trees.tags.insert(key, value)?,
                None => trees.tags.remove(key)?,
            };
        }
        Ok(())
    }
}

impl Unsettled {
    /// Brings `current` and `configs` to where the other indexes are.
    pub fn settle(&mut self, trees: &Trees) -> Result<(), StoreError> {
        if self.to == Revision::ZERO {
            return Ok(());
        }
        for (key, value) in &self.current {
            match value {
                Some(value) => chunk::write(&trees.current, key, value)?,
                None => chunk::remove(&trees.current, key)?,
            }
        }
        for (key, value) in &self.configs {
            trees.configs.insert(key.as_slice(), value.as_slice())?;
        }
        trees.write_settled(self.to)?;
        *self = Unsettled::default();
        Ok(())
    }
}

/// The values of a layer in `layers` and in `current`.
fn layer_records(
    layer: &LayerChange,
    version: Version,
    batch: Revision,
    offset: usize,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let Some(content) = &layer.content else {
        return (record::encode(&LayerRecord::Gone), None);
    };
    let about = About::of(layer, content);
    let content = content.as_str();
    let past =
        LayerRecord::Journal { about, batch: batch.0, offset: offset as u64, bytes: content.len() as u64 };
    let current = CurrentRecord { about, version: version.0, content };
    (record::encode(&past), Some(record::encode(&current)))
}
