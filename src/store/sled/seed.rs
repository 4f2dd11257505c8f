//! A new store that begins where another one was compacted: with the versions that no journal has, from before the oldest commit, or from before
//! the oldest revision of their namespace. Knows the trees and the order of their entries; not where the versions come from.
//!
//! The store takes commits from the oldest revision on. Until it has those of the oldest revisions of all namespaces, nothing else may be read
//! from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::database;
use super::index::compact::Pins;
use super::index::record::{About, CurrentRecord, LayerRecord};
use super::index::retained::{Oldest, PinReason, Retained};
use super::index::trees::Trees;
use super::index::{chunk, keys, record};
use super::{Importing, SledOptions, guarded};
use crate::model::{ConfigId, Layer, LayerKey, Version};
use crate::store::codec::format_code;
use crate::store::{ConfigRecord, Forgotten, Head, StoreError};

/// What a store has of one config from before its oldest commit.
struct Seeds {
    id: ConfigId,
    /// In order. The last one is the version that the config had at the oldest revision of its namespace.
    versions: Vec<ConfigRecord>,
}

/// Makes the store of a directory begin with what another one has kept. Dropped before `finish`, it leaves a directory that is of no use.
pub struct Seeding {
    trees: Trees,
    options: SledOptions,
    directory: database::open::Directory,
    retained: Retained,
    before: Head,
    seeds: Option<Seeds>,
    pins: Pins,
}

impl Seeding {
    /// Begins with an empty directory. `before` is the commit before the oldest one that will be there, and `forgotten` what is not in the
    /// commits after it.
    pub fn begin(
        dir: &Path,
        options: SledOptions,
        before: Head,
        forgotten: Forgotten,
    ) -> Result<Seeding, StoreError> {
        guarded(|| {
            let directory = database::open::prepare(dir, &options)?;
            let trees = database::open::open_database(dir, &options)?;
            let oldest = Oldest { revision: before.revision.next(), anchor: before.hash };
            let retained = Retained { oldest, forgotten };
            Ok(Seeding { trees, options, directory, retained, before, seeds: None, pins: Vec::new() })
        })
    }

    /// Adds a config at a version: in the order of configs, and of each config in the order of versions.
    pub fn add(&mut self, config: ConfigRecord) -> Result<(), StoreError> {
        match &mut self.seeds {
            Some(seeds) if seeds.id == config.id => {
                seeds.versions.push(config);
                Ok(())
            }
            Some(_) | None => {
                let next = Seeds { id: config.id.clone(), versions: vec![config] };
                let complete = self.seeds.replace(next);
                complete.map_or(Ok(()), |seeds| self.write(seeds))
            }
        }
    }

    /// Begins to import the commits from the oldest revision on.
    pub fn finish(mut self) -> Result<Importing, StoreError> {
        if let Some(seeds) = self.seeds.take() {
            self.write(seeds)?;
        }
        let Seeding { trees, options, directory, retained, before, pins, .. } = self;
        guarded(|| {
            if !retained.forgotten.is_empty() {
                trees.journal.note_forgotten()?;
            }
            trees.begin_at(&retained, before, &pins)?;
            trees.db.flush()?;
            Ok(())
        })?;
        drop(trees);
        guarded(|| Importing::go_on(directory, &options))
    }

    fn write(&mut self, seeds: Seeds) -> Result<(), StoreError> {
        guarded(|| {
            let config = keys::config(&seeds.id);
            let Some((kept, earlier)) = seeds.versions.split_last() else { return Ok(()) };
            let reason = |version: Version| match kept.tags.values().any(|tagged| *tagged == version) {
                true => PinReason::Tag,
                false => PinReason::Newest,
            };
            let pin = |version| (keys::at_version(&config, version), reason(version));
            self.pins.extend(earlier.iter().map(|pinned| pin(pinned.at.version)));
            for (key, changes) in changes(&seeds.versions) {
                let key = keys::layer(&seeds.id, key);
                let changes: Vec<(Version, LayerRecord<'_>)> = changes
                    .iter()
                    .map(|(version, layer)| (*version, layer.map_or(LayerRecord::Gone, inline)))
                    .collect();
                self.trees.write_changes(&key, &changes)?;
            }
            for (key, layer) in &kept.layers {
                let content = layer.content.as_str();
                let current = CurrentRecord { about: about(layer), version: layer.version.0, content };
                let key = keys::layer(&seeds.id, key);
                chunk::write(&self.trees.current, &key, &record::encode(&current))?;
            }
            let versions: Vec<_> = seeds.versions.iter().map(|version| version.at).collect();
            self.trees.write_versions(&config, &versions)?;
            self.trees.configs.insert(&config, record::encode_config(kept.at))?;
            for (tag, version) in &kept.tags {
                self.trees.tags.insert(keys::tag_of(&config, tag.as_str()), &version.0.to_be_bytes())?;
            }
            Ok(())
        })
    }
}

/// What the layers of a config were at some of its versions, as changes: each layer at the version at which it changed, and where it was no
/// more. When exactly it ended between two of the versions is not known, and makes no difference to either.
fn changes(versions: &[ConfigRecord]) -> BTreeMap<&LayerKey, Vec<(Version, Option<&Layer>)>> {
    let mut changes: BTreeMap<&LayerKey, Vec<(Version, Option<&Layer>)>> = BTreeMap::new();
    let mut before: BTreeSet<&LayerKey> = BTreeSet::new();
    for version in versions {
        let present: BTreeSet<&LayerKey> = version.layers.iter().map(|(key, _)| key).collect();
        for (key, layer) in &version.layers {
            let of_layer = changes.entry(key).or_default();
            if of_layer.last().is_none_or(|(last, _)| *last < layer.version) {
                of_layer.push((layer.version, Some(layer)));
            }
        }
        for gone in before.difference(&present) {
            changes.entry(gone).or_default().push((version.at.version, None));
        }
        before = present;
    }
    changes
}

fn inline(layer: &Layer) -> LayerRecord<'_> {
    LayerRecord::Inline { about: about(layer), content: layer.content.as_str() }
}

fn about(layer: &Layer) -> About {
    About {
        digest: layer.digest().0,
        expires_us: layer.expires.map(|time| time.0),
        format: layer.format.map(format_code),
    }
}
