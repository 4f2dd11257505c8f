//! Entries of the journal that the indexes do not have yet. Knows trees and their entries; not the readers.
//!
//! sled is by far the most expensive part of a commit, and many commits say something of the same layers. So what they say is gathered
//! here, and written to sled when it comes to `BYTES_MAX` of the journal. Before somebody reads the history of a config, what is here of it is
//! written: `show`. A start folds the end of the journal anew, from `settled` on, and writes over what was there already.

use std::collections::BTreeMap;
use std::mem::take;
use std::thread;

use super::record::{self, About, CurrentRecord, LayerRecord};
use super::trees::Trees;
use super::{chunk, keys, runs};
use crate::model::{ConfigId, Digest, Revision, Timestamp, Version};
use crate::store::codec;
use crate::store::codec::{CommitRecord, DecodeError};
use crate::store::sled::batch::Pending;
use crate::store::sled::journal::JournalPosition;
use crate::store::sled::{Fsync, guarded};
use crate::store::{StoreError, VersionRef};

/// How much of the journal a start may have to fold. As much again may come while this is written.
const BYTES_MAX: usize = 64 << 20;
/// Entries that are written at once, while whoever wants to read waits: some milliseconds.
const SLICE: usize = 128;

/// How far behind items are written to pages that are filled: behind a page that has not been split yet, which is of 17 items, and those between
/// them. Even.
const FILLED_BEHIND: usize = 36;

/// What is to be written to the indexes.
pub struct Unsettled {
    fsync: Fsync,
    /// What is added to.
    fresh: Entries,
    /// What is being written, all of it up to `frozen_to`.
    frozen: Entries,
    frozen_to: Revision,
    /// Up to where the journal was added, and how much of it since `frozen` was.
    to: Revision,
    bytes: usize,
    /// The checkpoint, as far as it is known here.
    checkpoint: Revision,
    /// Something was not written, and is not known any more.
    is_broken: bool,
}

#[derive(Default)]
struct Entries {
    /// By their keys in `current`.
    layers: BTreeMap<Vec<u8>, LayerEntries>,
    /// By their keys in `configs`.
    configs: BTreeMap<Vec<u8>, ConfigEntries>,
    /// `None`: it is gone.
    tags: BTreeMap<Vec<u8>, Option<Version>>,
}

struct LayerEntries {
    changes: Vec<(Version, LayerRecord<'static>)>,
    /// The value in `current`. `None`: it is gone.
    current: Option<Vec<u8>>,
}

struct ConfigEntries {
    versions: Vec<VersionRef>,
    current: VersionRef,
}

impl Unsettled {
    pub fn new(fsync: Fsync) -> Unsettled {
        Unsettled {
            fsync,
            fresh: Entries::default(),
            frozen: Entries::default(),
            frozen_to: Revision::ZERO,
            to: Revision::ZERO,
            bytes: 0,
            checkpoint: Revision::ZERO,
            is_broken: false,
        }
    }

    /// Adds a batch that is in the journal at `place`.
    pub fn add(&mut self, batch: &Pending, place: JournalPosition) -> Result<(), DecodeError> {
        let (stored, digests) = batch.stored()?;
        let mut digests = digests.iter().copied();
        for commit in &stored.commits {
            self.fresh.add(commit, &mut digests, |content| place.of_part(&batch.bytes, content));
        }
        (self.bytes, self.to) = (self.bytes + batch.bytes.len(), batch.head.revision);
        Ok(())
    }

    /// Writes the history of a config, as far as it is known here.
    pub fn show(&mut self, trees: &Trees, id: &ConfigId) -> Result<(), StoreError> {
        let config = keys::config(id);
        self.writing(trees, |unsettled, before| {
            for entries in [&mut unsettled.frozen, &mut unsettled.fresh] {
                entries.show(trees, &config, before)?;
            }
            Ok(())
        })
    }

    /// `StoreError::Unavailable` if the database must be opened again.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.is_broken {
            true => Err(StoreError::Unavailable("the indexes could not be written".to_owned())),
            false => Ok(()),
        }
    }

    /// Whether there is enough that it should be written.
    pub fn is_due(&self) -> bool {
        !self.frozen.is_empty() || self.bytes > BYTES_MAX
    }

    /// Writes a little of what is due. After the last of it, nothing is.
    pub fn settle_some(&mut self, trees: &Trees) -> Result<(), StoreError> {
        if !self.freeze() {
            return Ok(());
        }
        self.writing(trees, |unsettled, before| {
            before()?;
            unsettled.frozen.write_some(trees)?;
            match unsettled.frozen.is_empty() {
                true => trees.write_settled(unsettled.frozen_to),
                false => Ok(()),
            }
        })
    }

    /// As `settle`, by two threads.
    pub fn settle_at_once(&mut self, trees: &Trees) -> Result<(), StoreError> {
        while self.freeze() {
            self.writing(trees, |unsettled, before| {
                before()?;
                take(&mut unsettled.frozen).write_all(trees)?;
                trees.write_settled(unsettled.frozen_to)
            })?;
        }
        Ok(())
    }

    /// Brings all of the indexes to where the journal is.
    pub fn settle(&mut self, trees: &Trees) -> Result<(), StoreError> {
        while !self.frozen.is_empty() || self.to != self.frozen_to {
            self.settle_some(trees)?;
        }
        Ok(())
    }

    /// Takes what was added for what is being written, if nothing is. Whether there is something to write, if only how far the indexes go.
    fn freeze(&mut self) -> bool {
        if !self.frozen.is_empty() {
            return true;
        }
        let is_behind = self.to != self.frozen_to;
        if is_behind {
            (self.frozen, self.frozen_to, self.bytes) = (take(&mut self.fresh), self.to, 0);
        }
        is_behind
    }

    /// Runs what writes to the indexes, and calls what it is given before the first write. If it fails, what it had taken is not known any
    /// more, and nobody may take the indexes for complete.
    fn writing(
        &mut self,
        trees: &Trees,
        write: impl FnOnce(&mut Unsettled, &mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.check()?;
        self.is_broken = true;
        let (fsync, to, mut checkpoint) = (self.fsync, self.to, self.checkpoint);
        let mut before = || {
            if checkpoint < to {
                match fsync {
                    // The log has what the journal loses.
                    Fsync::Always => {}
                    // It may have lost the same, and indexes must not tell of what is nowhere.
                    Fsync::Never => drop(trees.journal.sync()?),
                }
                trees.write_checkpoint(to)?;
                checkpoint = to;
            }
            Ok(())
        };
        write(self, &mut before)?;
        (self.checkpoint, self.is_broken) = (checkpoint, false);
        Ok(())
    }
}

impl Entries {
    fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.configs.is_empty() && self.tags.is_empty()
    }

    /// `digests` are those of the contents from this commit on.
    fn add(
        &mut self,
        commit: &CommitRecord<'_>,
        digests: &mut impl Iterator<Item = Digest>,
        place_of: impl Fn(&str) -> JournalPosition,
    ) {
        for change in &commit.changes {
            let config = keys::config_named(change.namespace, change.config);
            let version = Version(change.version);
            for layer in &change.layers {
                let digest = layer.content.and_then(|_| digests.next());
                let (past, current) = layer_records(layer, version, digest, &place_of);
                let key = keys::layer_of(&config, layer.kind, layer.scope);
                let empty = || LayerEntries { changes: Vec::new(), current: None };
                let entries = self.layers.entry(key).or_insert_with(empty);
                entries.changes.push((version, past));
                entries.current = current;
            }
            for tag in &change.tags {
                self.tags.insert(keys::tag_of(&config, tag.tag), tag.version.map(Version));
            }
            if !change.layers.is_empty() {
                let (revision, time) = (Revision(commit.revision), Timestamp(commit.time_us));
                let at = VersionRef { version, revision, time };
                let empty = || ConfigEntries { versions: Vec::new(), current: at };
                let entries = self.configs.entry(config).or_insert_with(empty);
                entries.versions.push(at);
                entries.current = at;
            }
        }
    }

    /// Writes what is read of the history of a config. `versions` after `layers`: a version that can be seen has all its layers.
    fn show(
        &mut self,
        trees: &Trees,
        config: &[u8],
        before: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(entries) = self.configs.get_mut(config).filter(|entries| !entries.versions.is_empty())
        else {
            return Ok(());
        };
        before()?;
        for (key, layer) in self.layers.range_mut(config.to_vec()..keys::after(config)) {
            trees.write_changes(key, &take(&mut layer.changes))?;
        }
        trees.write_versions(config, &take(&mut entries.versions))
    }

    fn write_some(&mut self, trees: &Trees) -> Result<(), StoreError> {
        for _ in 0..SLICE {
            if let Some((key, layer)) = self.layers.pop_first() {
                trees.write_changes(&key, &layer.changes)?;
                match layer.current {
                    Some(value) => chunk::write(&trees.current, &key, &value)?,
                    None => chunk::remove(&trees.current, &key)?,
                }
            } else if let Some((key, config)) = self.configs.pop_first() {
                trees.write_versions(&key, &config.versions)?;
                trees.configs.insert(key, record::encode_config(config.current))?;
            } else if let Some((key, version)) = self.tags.pop_first() {
                trees.write_tag(&key, version)?;
            } else {
                break;
            }
        }
        Ok(())
    }
}

impl Entries {
    /// Writes all of it. A second thread writes the current layers, which are about half of the work.
    fn write_all(self, trees: &Trees) -> Result<(), StoreError> {
        let layers: Vec<(&Vec<u8>, &LayerEntries)> = self.layers.iter().collect();
        thread::scope(|scope| {
            let current = scope.spawn(|| guarded(|| write_current(trees, &layers)));
            let others = self.write_others(trees, &layers);
            current.join().expect("panics are caught within")?;
            others
        })
    }

    fn write_others(&self, trees: &Trees, layers: &[(&Vec<u8>, &LayerEntries)]) -> Result<(), StoreError> {
        filling_order(layers.len())
            .map(|at| layers[at])
            .try_for_each(|(key, layer)| trees.write_changes(key, &layer.changes))?;
        for (key, config) in &self.configs {
            trees.write_versions(key, &config.versions)?;
            trees.configs.insert(key, record::encode_config(config.current))?;
        }
        self.tags.iter().try_for_each(|(key, version)| trees.write_tag(key, *version))
    }
}

fn write_current(trees: &Trees, layers: &[(&Vec<u8>, &LayerEntries)]) -> Result<(), StoreError> {
    filling_order(layers.len()).map(|at| layers[at]).try_for_each(|(key, layer)| match &layer.current {
        Some(value) => chunk::write(&trees.current, key, value),
        None => chunk::remove(&trees.current, key),
    })
}

/// An order in which sled writes fewer bytes for so many items of which the keys are in order: every second one, and the others some way
/// behind them. Of items that come in the order of their keys, sled splits each page of 17, leaves its halves as they are, and moves them once more;
/// this way the halves are filled.
fn filling_order(count: usize) -> impl Iterator<Item = usize> {
    (0..count + FILLED_BEHIND).filter_map(move |at| match at % 2 {
        0 => Some(at).filter(|at| *at < count),
        _ => at.checked_sub(FILLED_BEHIND).filter(|at| *at < count),
    })
}

impl Trees {
    fn write_tag(&self, key: &[u8], version: Option<Version>) -> Result<(), StoreError> {
        match version {
            Some(version) => self.tags.insert(key, &version.0.to_be_bytes())?,
            None => self.tags.remove(key)?,
        };
        Ok(())
    }

    /// Writes changes of the layer that has the key `layer`, which are all there are in these versions.
    pub fn write_changes(
        &self,
        layer: &[u8],
        changes: &[(Version, LayerRecord<'_>)],
    ) -> Result<(), StoreError> {
        for run in runs::split_changes(changes) {
            let (first, last) = (run[0].0, run[run.len() - 1].0);
            chunk::write(&self.layers, &keys::at_version(layer, first), &runs::encode_changes(run))?;
            remove_between(&self.layers, layer, first, last)?;
        }
        Ok(())
    }

    /// Writes versions of the config that has the key `config`, which are all there are between the first and the last.
    pub fn write_versions(&self, config: &[u8], versions: &[VersionRef]) -> Result<(), StoreError> {
        for run in runs::split_versions(versions) {
            let (first, last) = (run[0].version, run[run.len() - 1].version);
            self.versions.insert(keys::at_version(config, first), runs::encode_versions(run))?;
            remove_between(&self.versions, config, first, last)?;
        }
        Ok(())
    }
}

/// Removes the items after that of `first` up to `last`, which it holds now. They are left from before a crash.
fn remove_between(tree: &sled::Tree, prefix: &[u8], first: Version, last: Version) -> Result<(), StoreError> {
    if first < last {
        let between = keys::at_version(prefix, first.next())..keys::at_version(prefix, last.next());
        for key in tree.range(between).keys() {
            tree.remove(key?)?;
        }
    }
    Ok(())
}

/// The values of a layer in `layers` and in `current`.
fn layer_records(
    layer: &codec::LayerRecord<'_>,
    version: Version,
    digest: Option<Digest>,
    place_of: impl Fn(&str) -> JournalPosition,
) -> (LayerRecord<'static>, Option<Vec<u8>>) {
    let (Some(content), Some(digest)) = (layer.content, digest) else { return (LayerRecord::Gone, None) };
    let about = About { digest: digest.0, expires_us: layer.expires_us, format: layer.format };
    let JournalPosition { segment, offset } = place_of(content);
    let past = LayerRecord::Journal { about, segment: segment.0, offset, bytes: content.len() as u64 };
    let current = CurrentRecord { about, version: version.0, content };
    (past, Some(record::encode(&current)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_that_fills_pages_has_each_item_once() {
        for count in [0, 1, 2, 35, 36, 37, 100, 1001] {
            let mut order: Vec<usize> = filling_order(count).collect();
            assert_eq!(order.first().copied(), (count > 0).then_some(0));
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>(), "{count}");
        }
    }
}
