//! Proving that a store is what it should be: the chain of the journal, every digest, and every index against a fold of the
//! journal. Knows trees; the caller sees to it that nobody writes meanwhile.
//!
//! What was compacted is in the indexes alone: there it can only be checked for being whole and fitting to what follows.

use std::collections::BTreeMap;

use super::super::codec::Located;
use super::trees::{Oldest, Trees};
use super::{chunk, history, keys, place, record};
use crate::model::{Commit, ConfigId, Digest, Layer, LayerKey, Revision, TagName, Timestamp, Version};
use crate::store::{Problem, StoreError, Verified, VersionRef};

/// Reads everything, calls `report` for each thing that is wrong.
pub fn verify(trees: &Trees, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError> {
    let oldest = trees.oldest()?;
    let mut verifier = Verifier {
        trees,
        report,
        oldest,
        verified: Verified::default(),
        configs: BTreeMap::new(),
        end: None,
    };
    if verifier.journal()? {
        verifier.layers()?;
        verifier.current()?;
        verifier.versions()?;
        verifier.tags()?;
        verifier.missing();
    } else {
        verifier.wrong("indexes", "they were not compared, because the journal is damaged");
    }
    Ok(verifier.verified)
}

struct Verifier<'a> {
    trees: &'a Trees,
    report: &'a mut dyn FnMut(Problem),
    oldest: Oldest,
    verified: Verified,
    configs: BTreeMap<ConfigId, Expected>,
    /// The commit that was read last: revision, time, hash.
    end: Option<(Revision, Timestamp, Digest)>,
}

/// What the indexes should say of a config.
#[derive(Default)]
struct Expected {
    /// The first version that the retained journal made. Earlier ones are only in the indexes.
    first: Option<Version>,
    /// How many layers these versions changed.
    changes: u64,
    /// The current version, once the journal or `versions` has told.
    current: Option<VersionRef>,
    /// What the journal made of each layer that it changed; `None`: ended.
    layers: BTreeMap<LayerKey, Option<LayerState>>,
    tags: BTreeMap<TagName, Option<Version>>,
}

/// All of a layer but its content, for which the digest stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LayerState {
    digest: Digest,
    version: Version,
    expires: Option<Timestamp>,
}

impl Expected {
    /// Whether the retained journal says nothing of this version.
    fn is_before_journal(&self, version: Version) -> bool {
        self.first.is_none_or(|first| version < first)
    }
}

impl LayerState {
    fn of(layer: &Layer) -> LayerState {
        LayerState { digest: layer.digest, version: layer.version, expires: layer.expires }
    }
}

impl Verifier<'_> {
    fn wrong(&mut self, place: impl Into<String>, message: impl Into<String>) {
        (self.report)(Problem { place: place.into(), message: message.into() });
    }

    fn error(&mut self, error: StoreError) {
        match error {
            StoreError::Corrupt { place, what } => self.wrong(place, what),
            other => self.wrong("the database", other.to_string()),
        }
    }

    /// Walks the journal. Whether it is whole.
    fn journal(&mut self) -> Result<bool, StoreError> {
        let mut whole = true;
        let mut from = Revision::ZERO;
        while let Some(first) = self.trees.journal.batch_from(from)? {
            let batch = match self.trees.journal.read(first) {
                Ok(batch) => batch,
                Err(error) => {
                    self.error(error);
                    (whole, from, self.end) = (false, first.next(), None);
                    continue;
                }
            };
            // After a batch that cannot be read, the first one stands for itself.
            whole &= (!whole && self.end.is_none()) || self.link(first, batch.previous);
            let mut before = batch.previous;
            for located in &batch.commits {
                let commit = &located.sealed.commit;
                let revision = commit.revision;
                if revision == self.oldest.revision && before != self.oldest.anchor {
                    let message = format!(
                        "the hash before it is {before}, {} was noted when it was compacted",
                        self.oldest.anchor
                    );
                    self.wrong(format!("revision {revision}"), message);
                }
                if let Some((_, time, _)) = self.end
                    && commit.time < time
                {
                    let message =
                        format!("its time {} is before {time}, that of the commit before", commit.time);
                    self.wrong(format!("revision {revision}"), message);
                }
                before = located.sealed.hash;
                self.end = Some((revision, commit.time, before));
                if revision >= self.oldest.revision {
                    self.commit(first, located)?;
                }
            }
            from = batch.last().sealed.commit.revision.next();
        }
        Ok(whole)
    }

    /// Whether a batch follows what was read before.
    fn link(&mut self, first: Revision, previous: Digest) -> bool {
        let (expected, hash) = match self.end {
            Some((revision, _, hash)) => (revision.next(), hash),
            None if first <= self.oldest.revision => return true,
            None => (self.oldest.revision, self.oldest.anchor),
        };
        if first != expected {
            self.wrong(format!("revision {expected}"), format!("it is missing, the next one is {first}"));
            return false;
        }
        if previous != hash {
            let message = format!("the commit before has the hash {hash}, it follows {previous}");
            self.wrong(format!("revision {first}"), message);
            return false;
        }
        true
    }

    /// Folds a commit, and looks for what the indexes should have of it.
    fn commit(&mut self, batch: Revision, located: &Located) -> Result<(), StoreError> {
        let commit: &Commit = &located.sealed.commit;
        self.verified.commits += 1;
        for change in &commit.changes {
            let id = &change.id;
            let place = || format!("revision {}, {id}", commit.revision);
            let expected = self.configs.entry(id.clone()).or_default();
            let follows = expected.current.map(|current| current.version);
            for tag in &change.tags {
                expected.tags.insert(tag.tag.clone(), tag.version);
            }
            if change.layers.is_empty() {
                continue;
            }
            let at = VersionRef { version: change.version, revision: commit.revision, time: commit.time };
            expected.current = Some(at);
            expected.first.get_or_insert(change.version);
            expected.changes += change.layers.len() as u64;
            let mut states = Vec::new();
            for layer in &change.layers {
                let state = layer.content.as_ref().map(|content| LayerState {
                    digest: content.digest(),
                    version: change.version,
                    expires: layer.expires,
                });
                expected.layers.insert(layer.key.clone(), state);
                states.push((keys::layer(id, &layer.key), state));
            }
            if follows.is_some_and(|version| version.next() != change.version) {
                let message =
                    format!("it makes version {}, after {}", change.version, follows.unwrap_or_default());
                self.wrong(place(), message);
            }
            match self.trees.retained_version(id, change.version, self.oldest.revision) {
                Ok(Some(found)) if found == at => {}
                Ok(found) => self.wrong(
                    format!("versions, {id} version {}", change.version),
                    format!("the journal has {at:?} here, the index {found:?}"),
                ),
                Err(error) => self.error(error),
            }
            for (key, state) in states {
                self.change(batch, &key, change.version, state);
            }
        }
        Ok(())
    }

    /// Compares an entry of `layers` with the journal.
    fn change(&mut self, batch: Revision, prefix: &[u8], version: Version, expected: Option<LayerState>) {
        match self.trees.layer(prefix, version) {
            Err(error) => self.error(error),
            Ok(layer) => {
                let found = layer.as_ref().map(LayerState::of);
                if found != expected {
                    self.wrong(
                        place(&self.trees.layers, &keys::at_version(prefix, version)),
                        format!("the batch of revision {batch} has {expected:?} here, the index {found:?}"),
                    );
                }
            }
        }
    }

    /// Reads all of `layers`: adds what is from before the journal to the fold, and finds what nothing explains.
    fn layers(&mut self) -> Result<(), StoreError> {
        let mut counts: BTreeMap<ConfigId, u64> = BTreeMap::new();
        let mut earlier: BTreeMap<(ConfigId, LayerKey), Option<LayerState>> = BTreeMap::new();
        let mut start = Vec::new();
        while let Some(entry) = self.trees.layers.range(start..).next() {
            let (part, _) = entry?;
            let key = chunk::whole_key(&part);
            // All parts of this entry are passed over.
            start = [&chunk::last_part_key(key)[..], b"\0"].concat();
            let parsed = keys::parse_layer(key)
                .and_then(|(id, layer, rest)| Some((id, layer, keys::parse_version(rest)?)));
            let Some((id, layer_key, version)) = parsed else {
                self.wrong(place(&self.trees.layers, &part), "not the key of a version of a layer");
                continue;
            };
            if !self.configs.entry(id.clone()).or_default().is_before_journal(version) {
                *counts.entry(id).or_default() += 1;
                continue;
            }
            match self.trees.layer(&keys::layer(&id, &layer_key), version) {
                Ok(layer) => {
                    earlier.insert((id, layer_key), layer.as_ref().map(LayerState::of));
                }
                Err(error) => self.error(error),
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
    fn current(&mut self) -> Result<(), StoreError> {
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
    fn versions(&mut self) -> Result<(), StoreError> {
        let mut last: BTreeMap<ConfigId, VersionRef> = BTreeMap::new();
        for entry in &self.trees.versions {
            let (key, value) = entry?;
            let parsed = keys::parse_config(&key).and_then(|(id, rest)| {
                let version = keys::parse_version(rest)?;
                Some((id, record::decode_version(version, &value)?))
            });
            let Some((id, at)) = parsed else {
                self.wrong(place(&self.trees.versions, &key), "not a version");
                continue;
            };
            match self.trees.retained_version(&id, at.version, self.oldest.revision)? {
                Some(_) => self.verified.versions += 1,
                None => self.wrong(place(&self.trees.versions, &key), "it was compacted, but is still there"),
            }
            if let Some(before) = last.insert(id.clone(), at) {
                if before.revision >= at.revision || before.time > at.time {
                    let message = format!("{at:?} cannot follow {before:?}");
                    self.wrong(place(&self.trees.versions, &key), message);
                }
                let gap = before.version.next() != at.version;
                if gap && !self.trees.is_pinned(&id, before.version)? {
                    let message = format!("the version before it is {}", before.version);
                    self.wrong(place(&self.trees.versions, &key), message);
                }
            }
            let expected = self.configs.entry(id).or_default();
            if expected.is_before_journal(at.version) && at.revision >= self.oldest.revision {
                self.wrong(place(&self.trees.versions, &key), "no commit made it");
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

    /// Compares `tags` with the fold.
    fn tags(&mut self) -> Result<(), StoreError> {
        for entry in &self.trees.tags {
            let (key, value) = entry?;
            let parsed = keys::parse_config(&key).and_then(|(id, rest)| {
                let prefix = &key[..key.len() - rest.len()];
                Some((id, history::parse_tag(prefix, &key, &value)?))
            });
            let Some((id, (tag, found))) = parsed else {
                self.wrong(place(&self.trees.tags, &key), "not a tag of a version");
                continue;
            };
            let compacted = self.oldest.revision > Revision(1);
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
    fn missing(&mut self) {
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
