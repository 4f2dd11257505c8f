//! Proving that a store is what it should be: the chain of the journal, every digest, and every index against a fold of the
//! journal. Knows trees; the caller sees to it that nobody writes meanwhile.
//!
//! What was compacted is in the indexes alone: there it can only be checked for being whole and fitting to what follows.

mod indexes;
mod journal;

use std::collections::BTreeMap;

use super::index::retained::Retained;
use super::index::trees::Trees;
use crate::model::{ConfigId, Digest, Layer, LayerKey, Revision, TagName, Timestamp, Version};
use crate::store::{Problem, StoreError, Verified, VersionRef};

/// Reads everything, calls `report` for each thing that is wrong.
pub fn verify(trees: &Trees, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError> {
    let retained = trees.retained()?;
    let mut verifier = Verifier {
        trees,
        report,
        retained,
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
    retained: Retained,
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
        LayerState { digest: layer.digest(), version: layer.version, expires: layer.expires }
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
}
