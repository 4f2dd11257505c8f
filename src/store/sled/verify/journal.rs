//! Walking the journal: the files, the chain, and the fold that the indexes are compared with. Knows what a commit should have left in
//! the indexes.

use super::{LayerState, Verifier};
use crate::model::{Commit, Digest, Revision, Version};
use crate::store::codec::Measured;
use crate::store::sled::index::keys;
use crate::store::sled::journal::{Batch, Mark};
use crate::store::sled::place;
use crate::store::{Forgotten, StoreError, VersionRef};

impl Verifier<'_> {
    /// Walks the journal. Whether it is whole.
    pub(super) fn journal(&mut self) -> Result<bool, StoreError> {
        let journal = self.trees.journal.clone();
        let mut walk = journal.walk();
        let (mut whole, mut marks) = (true, 0);
        loop {
            let read = match walk.next() {
                Ok(None) => break,
                Ok(Some(found)) => {
                    let is_right = journal.is_marked_right(&found)?;
                    marks += usize::from(Mark::of(found.place, found.first, found.end).is_some());
                    journal.decode(&found, &Forgotten::default()).map(|batch| (found.first, batch, is_right))
                }
                Err(error @ StoreError::Corrupt { .. }) => {
                    self.error(error);
                    (whole, self.end) = (false, None);
                    match walk.pass_damage()? {
                        true => continue,
                        false => break,
                    }
                }
                Err(error) => return Err(error),
            };
            match read {
                Ok((first, batch, is_right)) => {
                    if !is_right {
                        self.wrong("places", format!("it is wrong about the batch of revision {first}"));
                    }
                    whole &= self.batch(first, &batch, whole)?;
                }
                Err(error) => {
                    self.error(error);
                    (whole, self.end) = (false, None);
                }
            }
        }
        let found = journal.marks();
        if whole && found != marks {
            self.wrong("places", format!("it should have {marks} batches, it has {found}"));
        }
        Ok(whole)
    }

    /// Folds a batch. Whether it follows what was read before, which was `whole` or not.
    fn batch(&mut self, first: Revision, batch: &Batch, whole: bool) -> Result<bool, StoreError> {
        // After a batch that cannot be read, the first one stands for itself.
        let follows = (!whole && self.end.is_none()) || self.link(first, batch.previous);
        let mut before = batch.previous;
        for Measured { sealed, .. } in &batch.commits {
            let (revision, time) = (sealed.commit.revision, sealed.commit.time);
            if revision == self.retained.oldest.revision && before != self.retained.oldest.anchor {
                let message = format!(
                    "the hash before it is {before}, {} was noted when it was compacted",
                    self.retained.oldest.anchor
                );
                self.wrong(format!("revision {revision}"), message);
            }
            if let Some((_, earlier, _)) = self.end
                && time < earlier
            {
                let message = format!("its time {time} is before {earlier}, that of the commit before");
                self.wrong(format!("revision {revision}"), message);
            }
            before = sealed.hash;
            self.end = Some((revision, time, before));
            if revision >= self.retained.oldest.revision {
                self.commit(&sealed.commit)?;
            }
        }
        Ok(follows)
    }

    /// Whether a batch follows what was read before.
    fn link(&mut self, first: Revision, previous: Digest) -> bool {
        let (expected, hash) = match self.end {
            Some((revision, _, hash)) => (revision.next(), hash),
            None if first <= self.retained.oldest.revision => return true,
            None => (self.retained.oldest.revision, self.retained.oldest.anchor),
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
    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        self.verified.commits += 1;
        for part in &commit.forgotten {
            if commit.revision >= self.retained.oldest_of(&part.namespace) {
                let namespace = &part.namespace;
                let message =
                    format!("its changes of namespace {namespace} are gone, but were not forgotten");
                self.wrong(format!("revision {}", commit.revision), message);
            }
        }
        for change in &commit.changes {
            let id = &change.id;
            let oldest = self.retained.oldest_of(&id.namespace);
            if commit.revision < oldest {
                continue;
            }
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
            match self.trees.retained_version(id, change.version, oldest) {
                Ok(Some(found)) if found == at => {}
                Ok(found) => self.wrong(
                    format!("versions, {id} version {}", change.version),
                    format!("the journal has {at:?} here, the index {found:?}"),
                ),
                Err(error) => self.error(error),
            }
            for (key, state) in states {
                self.change(commit.revision, &key, change.version, state);
            }
        }
        Ok(())
    }

    /// Compares an entry of `layers` with the journal.
    fn change(&mut self, revision: Revision, prefix: &[u8], version: Version, expected: Option<LayerState>) {
        match self.trees.layer_at(prefix, version) {
            Err(error) => self.error(error),
            Ok(last) => {
                let found = last.filter(|(changed, _)| *changed == version);
                let found = found.map(|(_, layer)| layer.as_ref().map(LayerState::of));
                if found != Some(expected) {
                    self.wrong(
                        place(&self.trees.layers, &keys::at_version(prefix, version)),
                        format!("revision {revision} has {expected:?} here, the index {found:?}"),
                    );
                }
            }
        }
    }
}
