//! Comparing the indexes with the fold of the journal. Knows nothing of how the fold came about.

use std::collections::BTreeMap;

use super::{LayerState, Verifier};
use crate::model::{ConfigId, LayerKey, Revision, Version};
use crate::store::sled::index::{chunk, keys, layers, record};
use crate::store::sled::place;
use crate::store::{StoreError, VersionRef};

impl Verifier<'_> {
    /// Reads all of `layers`: adds what is from before the journal to the fold, and finds what nothing explains.
    pub(super) fn layers(&mut self) -> Result<(), StoreError> {
        let mut counts: BTreeMap<ConfigId, u64> = BTreeMap::new();
        let mut earlier: BTreeMap<(ConfigId, LayerKey), Option<LayerState>> = BTreeMap::new();
        let mut start = Vec::new();
        while let Some(entry) = self.trees.layers.range(start..).next() {
            let (part, _) = entry?;
            let Some((id, layer_key, rest)) = keys::parse_layer(&part) else {
                self.wrong(place(&self.trees.layers, &part), "not the key of a version of a layer");
                start = [&part, &b"\0"[..]].concat();
                continue;
            };
            let prefix = &part[..part.len() - rest.len()];
            start = keys::after(prefix);
            let items = self.trees.layer_items(prefix)?;
            let versions: Vec<Version> = match self.trees.layer_changes(prefix, &items) {
                Ok(changes) => changes.iter().map(|change| change.version).collect(),
                Err(error) => {
                    self.error(error);
                    continue;
                }
            };
            let expected = self.configs.entry(id.clone()).or_default();
            let before = versions.partition_point(|version| expected.is_before_journal(*version));
            *counts.entry(id.clone()).or_default() += (versions.len() - before) as u64;
            for version in &versions[..before] {
                match self.trees.layer_at(prefix, *version) {
                    Ok(Some((_, layer))) => {
                        let state = layer.as_ref().map(LayerState::of);
                        earlier.insert((id.clone(), layer_key.clone()), state);
                    }
                    Ok(None) => {}
                    Err(error) => self.error(error),
                }
            }
        }
        for ((id, key), state) in earlier {
            self.configs.entry(id).or_default().layers.entry(key).or_insert(state);
        }
        let expected: Vec<(ConfigId, u64)> =
            self.configs.iter().map(|(id, expected)| (id.clone(), expected.changes)).collect();
        for (id, changes) in expected {
            let found = counts.get(&id).copied().unwrap_or(0);
            if found != changes {
                let message = format!("the journal changed layers {changes} times, the index has {found}");
                self.wrong(format!("layers, {id}"), message);
            }
        }
        Ok(())
    }

    /// Compares `current` with the fold.
    pub(super) fn current(&mut self) -> Result<(), StoreError> {
        let mut start = Vec::new();
        while let Some(entry) = self.trees.current.range(start..).next() {
            let (part, _) = entry?;
            let key = chunk::whole_key(&part);
            start = [&chunk::last_part_key(key)[..], b"\0"].concat();
            self.verified.layers += 1;
            let found = match self.trees.current_layer(key) {
                Ok((layer_key, layer)) => {
                    keys::parse_config(key).map(|(id, _)| (id, layer_key, LayerState::of(&layer)))
                }
                Err(error) => {
                    self.error(error);
                    // It is there, if not whole: to report it as missing too would mislead.
                    if let Some((id, layer_key, _)) = keys::parse_layer(key) {
                        self.configs.entry(id).or_default().layers.insert(layer_key, None);
                    }
                    continue;
                }
            };
            let Some((id, layer_key, found)) = found else { continue };
            // What is left in the fold at the end is missing in the index.
            let expected = self.configs.entry(id).or_default().layers.insert(layer_key, None).flatten();
            if expected != Some(found) {
                let message = format!("the journal makes it {expected:?}, the index has {found:?}");
                self.wrong(place(&self.trees.current, key), message);
            }
        }
        let mut missing = Vec::new();
        for (id, expected) in &self.configs {
            let left = expected.layers.iter().filter(|(_, state)| state.is_some());
            missing.extend(left.map(|(key, _)| format!("current, {id} {} {}", key.kind, key.scope)));
        }
        for layer in missing {
            self.wrong(layer, "the journal has this layer, the index does not");
        }
        Ok(())
    }

    /// Checks `versions`, which `commit` has found to hold all that the journal made, for gaps and for what nothing explains; and
    /// `configs`.
    pub(super) fn versions(&mut self) -> Result<(), StoreError> {
        let mut last: BTreeMap<ConfigId, VersionRef> = BTreeMap::new();
        let mut start = Vec::new();
        while let Some(entry) = self.trees.versions.range(start..).next() {
            let (key, _) = entry?;
            let Some((id, rest)) = keys::parse_config(&key) else {
                self.wrong(place(&self.trees.versions, &key), "not the key of versions");
                start = [&key, &b"\0"[..]].concat();
                continue;
            };
            let prefix = &key[..key.len() - rest.len()];
            start = keys::after(prefix);
            match self.trees.all_versions(prefix) {
                Ok(versions) => {
                    for at in versions {
                        self.version(&id, at, last.insert(id.clone(), at))?;
                    }
                }
                Err(error) => self.error(error),
            }
        }
        for (id, at) in &last {
            let expected = self.configs.entry(id.clone()).or_default();
            let journal = *expected.current.get_or_insert(*at);
            if journal != *at {
                let message = format!("the journal ends with {journal:?}, the index with {at:?}");
                self.wrong(format!("versions, {id}"), message);
            }
        }
        for entry in &self.trees.configs {
            let (key, value) = entry?;
            self.verified.configs += 1;
            let Some((id, _)) = keys::parse_config(&key) else {
                self.wrong(place(&self.trees.configs, &key), "not the key of a config");
                continue;
            };
            let (found, expected) = (record::decode_config(&value), last.get(&id).copied());
            if found != expected {
                let message = format!("the last version is {expected:?}, the index has {found:?}");
                self.wrong(place(&self.trees.configs, &key), message);
            }
        }
        Ok(())
    }

    /// Checks a version, which follows another one in the index.
    fn version(
        &mut self,
        id: &ConfigId,
        at: VersionRef,
        before: Option<VersionRef>,
    ) -> Result<(), StoreError> {
        let place = format!("versions, {id} version {}", at.version);
        let oldest = self.retained.oldest_of(&id.namespace);
        match self.trees.retained_version(id, at.version, oldest)? {
            Some(_) => self.verified.versions += 1,
            None => self.wrong(&place, "it was compacted, but is still there"),
        }
        if let Some(before) = before {
            if before.revision >= at.revision || before.time > at.time {
                self.wrong(&place, format!("{at:?} cannot follow {before:?}"));
            }
            let gap = before.version.next() != at.version;
            if gap && !self.trees.is_pinned(id, before.version)? {
                self.wrong(&place, format!("the version before it is {}", before.version));
            }
        }
        let expected = self.configs.entry(id.clone()).or_default();
        if expected.is_before_journal(at.version) && at.revision >= oldest {
            self.wrong(&place, "no commit made it");
        }
        Ok(())
    }

    /// Compares `tags` with the fold.
    pub(super) fn tags(&mut self) -> Result<(), StoreError> {
        for entry in &self.trees.tags {
            let (key, value) = entry?;
            let parsed = keys::parse_config(&key).and_then(|(id, rest)| {
                let prefix = &key[..key.len() - rest.len()];
                Some((id, layers::parse_tag(prefix, &key, &value)?))
            });
            let Some((id, (tag, found))) = parsed else {
                self.wrong(place(&self.trees.tags, &key), "not a tag of a version");
                continue;
            };
            let compacted = self.retained.oldest_of(&id.namespace) > Revision(1);
            let expected = self.configs.entry(id).or_default();
            let current = expected.current.map_or(Version::ZERO, |current| current.version);
            // What is left in the fold at the end is missing in the index.
            match expected.tags.insert(tag, None) {
                Some(Some(version)) if version == found => {}
                None if compacted && found <= current => {}
                other => {
                    let message = format!("the journal has {:?} for it, the index {found}", other.flatten());
                    self.wrong(place(&self.trees.tags, &key), message);
                }
            }
        }
        let mut missing = Vec::new();
        for (id, expected) in &self.configs {
            let left = expected.tags.iter().filter(|(_, version)| version.is_some());
            missing.extend(left.map(|(tag, _)| format!("tags, {id} {}", tag.as_str())));
        }
        for tag in missing {
            self.wrong(tag, "the journal has this tag, the index does not");
        }
        Ok(())
    }

    /// Finds configs that an index has lost.
    pub(super) fn missing(&mut self) {
        let ids: Vec<ConfigId> = self.configs.keys().cloned().collect();
        for id in ids {
            match self.trees.configs.contains_key(keys::config(&id)) {
                Ok(true) => {}
                Ok(false) => {
                    self.wrong(format!("configs, {id}"), "the journal has this config, the index does not")
                }
                Err(error) => self.error(error.into()),
            }
            if let Err(error) = self.trees.current_version(&id) {
                self.error(error);
            }
        }
    }
}
