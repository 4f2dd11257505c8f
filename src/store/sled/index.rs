//! Writing what batches change to the indexes. Knows trees; not when it is called.
//!
//! Writing the same batches again changes nothing, so a start replays without asking what was already there. sled recovers a
//! prefix of what one thread wrote, so a checkpoint, written last, vouches for all before it.

use std::collections::BTreeMap;

use super::super::codec::{self, CommitRecord, DecodeError};
use super::batch::{Pending, head_of};
use super::journal::Place;
use super::record::{self, About, CurrentRecord, LayerRecord};
use super::trees::Trees;
use super::{chunk, corrupt, keys};
use crate::model::{Digest, Revision, Timestamp, Version};
use crate::store::{Head, StoreError, VersionRef};

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
/// So much of it is folded at once.
const REPLAY_BYTES: usize = 4 << 20;

/// Writes what batches change, which are in the journal at `places`, and returns the head they lead to. `None` if there are none.
/// `versions` after `layers`: a version that can be seen has all its layers.
pub fn write(
    trees: &Trees,
    unsettled: &mut Unsettled,
    batches: &[Pending],
    places: &[Place],
) -> Result<Option<Head>, StoreError> {
    let mut changed = Changed::default();
    let mut head = None;
    for (pending, place) in batches.iter().zip(places) {
        let damaged = |error: DecodeError| {
            let what = format!("revision {} at byte {}: {error}", pending.first, place.offset);
            corrupt(trees.journal.place(place.segment), what)
        };
        let (batch, digests) = pending.stored().map_err(damaged)?;
        let mut digests = digests.iter().copied();
        for commit in &batch.commits {
            changed.add(unsettled, commit, &mut digests, |content| place.of_part(&pending.bytes, content));
        }
        head = head_of(&batch);
        (unsettled.bytes, unsettled.to) = (unsettled.bytes + pending.bytes.len(), pending.head.revision);
    }
    changed.write(trees)?;
    if let Some(head) = head {
        trees.write_checkpoint(head.revision)?;
    }
    if unsettled.bytes > UNSETTLED_BYTES_MAX {
        unsettled.settle(trees)?;
    }
    Ok(head)
}

/// Writes what the indexes lack of the journal. Not what is before: that may have been compacted.
pub fn replay(trees: &Trees, unsettled: &mut Unsettled, end: Revision) -> Result<(), StoreError> {
    let next = trees.settled()?.next();
    if next > end {
        return Ok(());
    }
    let mut walk = trees.journal.walk_from(next)?;
    let (mut batches, mut places, mut bytes) = (Vec::new(), Vec::new(), 0);
    while let Some(found) = walk.next()? {
        bytes += found.batch.len();
        places.push(found.place);
        batches.push(trees.journal.decode_pending(&found)?);
        if bytes >= REPLAY_BYTES {
            write(trees, unsettled, &batches, &places)?;
            (bytes, _, _) = (0, batches.clear(), places.clear());
        }
    }
    write(trees, unsettled, &batches, &places)?;
    Ok(())
}

/// What a group of batches changes in the indexes that are always written.
#[derive(Default)]
struct Changed {
    layers: BTreeMap<Vec<u8>, Vec<u8>>,
    versions: BTreeMap<Vec<u8>, Vec<u8>>,
    tags: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Changed {
    /// `digests` are those of the contents from this commit on.
    fn add(
        &mut self,
        unsettled: &mut Unsettled,
        commit: &CommitRecord<'_>,
        digests: &mut impl Iterator<Item = Digest>,
        place_of: impl Fn(&str) -> Place,
    ) {
        for change in &commit.changes {
            let config = keys::config_named(change.namespace, change.config);
            let version = Version(change.version);
            for layer in &change.layers {
                let key = keys::layer_of(&config, layer.kind, layer.scope);
                let past_key = keys::at_version(&key, version);
                let Some(content) = layer.content else {
                    self.layers.insert(past_key, record::encode(&LayerRecord::Gone));
                    unsettled.current.insert(key, None);
                    continue;
                };
                let digest = digests.next().expect("there is a digest for each content");
                let about = about(layer, digest);
                let Place { segment, offset } = place_of(content);
                let past =
                    LayerRecord::Journal { about, segment: segment.0, offset, bytes: content.len() as u64 };
                self.layers.insert(past_key, record::encode(&past));
                let current = CurrentRecord { about, version: version.0, content };
                unsettled.current.insert(key, Some(record::encode(&current)));
            }
            for tag in &change.tags {
                let version = tag.version.map(|version| version.to_be_bytes().to_vec());
                self.tags.insert(keys::tag_of(&config, tag.tag), version);
            }
            if !change.layers.is_empty() {
                let (revision, time) = (Revision(commit.revision), Timestamp(commit.time_us));
                let at = VersionRef { version, revision, time };
                self.versions.insert(keys::at_version(&config, version), record::encode_version(at));
                unsettled.configs.insert(config, record::encode_config(at));
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

fn about(layer: &codec::LayerRecord<'_>, digest: Digest) -> About {
    About { digest: digest.0, expires_us: layer.expires_us, format: layer.format }
}
