//! Forgetting: what a compaction keeps, and in which order it writes. Knows trees; the caller sees to it that nobody
//! writes during a slice, that all slices are of one open database, and that others get their turn between two slices.
//!
//! The order makes a crash harmless at every point:
//! 1. `Keeping`: content of versions that stay is copied from segments that go into `layers`. Nothing that is read changes.
//! 2. `Trees::write_oldest`: one batch in `meta` moves the oldest revision with the hash before it, and the pins. From here on, what is to go is
//!    forgotten: every read asks these two what is retained, not what happens to be there.
//! 3. `Sweeping`: removes it. If it does not come to its end, the mark `sweep` in `meta` makes the next start do it again.
//!
//! A segment goes when all its commits do, so the oldest one may physically hold many that are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::{Change, Item};
use super::record::{self, LayerRecord};
use super::trees::{Oldest, Trees};
use super::{chunk, keys, runs};
use crate::model::{ConfigId, Digest, Revision, Version};
use crate::store::codec::decode_content;
use crate::store::sled::journal::JournalPosition;
use crate::store::sled::{corrupt, place};
use crate::store::{StoreError, VersionRef};

/// Layers that one slice goes through: some milliseconds, in which nothing is archived.
const SLICE: usize = 128;
/// Commits that are read at once, as they are stored.
const PAGE_BYTES: usize = 4 << 20;

/// The first step, slice by slice. Commits may be archived between two slices.
pub struct Keeping {
    oldest: Revision,
    to: Revision,
    anchor: Digest,
    /// That of `to`.
    segment: Revision,
    cursor: Cursor,
    /// Keys of the versions to pin, by config.
    pins: BTreeMap<ConfigId, Vec<Vec<u8>>>,
    /// Tags may have moved in the commits after it.
    seen: Revision,
}

/// Where a walk over all layers of all configs is.
#[derive(Default)]
struct Cursor {
    /// The key of the config that was gone through last, and the place of the next layer of it, if there may be more.
    config: Vec<u8>,
    layer: Option<Vec<u8>>,
}

impl Keeping {
    /// Prepares to forget what is before `to`, in a store whose head is `head`.
    pub fn begin(
        trees: &Trees,
        oldest: Revision,
        to: Revision,
        head: Revision,
    ) -> Result<Keeping, StoreError> {
        let segment = segment_of(trees, to)?;
        let batch = trees.journal.read(to)?;
        let before = batch.commits.iter().map(|measured| &measured.sealed);
        let before = before.take_while(|sealed| sealed.commit.revision < to).last();
        let anchor = before.map_or(batch.previous, |before| before.hash);
        let (cursor, pins) = (Cursor::default(), BTreeMap::new());
        Ok(Keeping { oldest, to, anchor, segment, cursor, pins, seen: head })
    }

    /// One slice. Whether there is more.
    pub fn some(&mut self, trees: &Trees) -> Result<bool, StoreError> {
        let Keeping { oldest, to, segment, cursor, pins, .. } = self;
        cursor.advance(
            trees,
            |id| pinned(trees, id, *oldest, *to, pins),
            |(kept, pinned), prefix| keep_layer(trees, prefix, *kept, pinned, *segment),
        )
    }

    /// Does it again for the configs whose tags moved since, up to `head`. The cost grows with the commits since.
    pub fn catch_up(&mut self, trees: &Trees, head: Revision) -> Result<(), StoreError> {
        while self.seen < head {
            let commits = trees.journal.commits(self.seen.next(), head, PAGE_BYTES)?;
            let Some(last) = commits.last() else { return Ok(()) };
            self.seen = last.commit.revision;
            let changes = commits.iter().flat_map(|sealed| &sealed.commit.changes);
            let moved: BTreeSet<&ConfigId> =
                changes.filter(|change| !change.tags.is_empty()).map(|change| &change.id).collect();
            for id in moved {
                if let Some((kept, pinned)) = pinned(trees, id, self.oldest, self.to, &mut self.pins)? {
                    let keep = |prefix: &[u8]| keep_layer(trees, prefix, kept, &pinned, self.segment);
                    trees.each_layer(id, |_, prefix| keep(prefix))?;
                }
            }
        }
        Ok(())
    }

    /// How far it is behind a head.
    pub fn behind(&self, head: Revision) -> u64 {
        head.0.saturating_sub(self.seen.0)
    }

    /// The new oldest, and the keys of the versions to pin.
    pub fn done(self) -> (Oldest, Vec<Vec<u8>>) {
        let pins = self.pins.into_values().flatten().collect();
        (Oldest { revision: self.to, anchor: self.anchor }, pins)
    }
}

/// The version that a config keeps as of `to`, and those before it that its tags name, which are noted in `pins`.
fn pinned(
    trees: &Trees,
    id: &ConfigId,
    oldest: Revision,
    to: Revision,
    pins: &mut BTreeMap<ConfigId, Vec<Vec<u8>>>,
) -> Result<Option<(Version, Vec<Version>)>, StoreError> {
    let Some(kept) = trees.last_version_at(id, to)? else { return Ok(None) };
    let mut pinned = Vec::new();
    for tagged in tagged_versions(trees, id)? {
        if tagged < kept.version && trees.retained_version(id, tagged, oldest)?.is_some() {
            pinned.push(tagged);
        }
    }
    let prefix = keys::config(id);
    let keys: Vec<_> = pinned.iter().map(|version| keys::at_version(&prefix, *version)).collect();
    match keys.is_empty() {
        true => pins.remove(id),
        false => pins.insert(id.clone(), keys),
    };
    Ok(Some((kept.version, pinned)))
}

/// The last step, slice by slice: removes all that is forgotten. May be begun again. Commits may be archived between two slices.
pub struct Sweeping {
    oldest: Revision,
    cursor: Cursor,
}

impl Sweeping {
    pub fn begin(oldest: Revision) -> Sweeping {
        Sweeping { oldest, cursor: Cursor::default() }
    }

    /// One slice. Whether there is more.
    pub fn some(&mut self, trees: &Trees) -> Result<bool, StoreError> {
        let Sweeping { oldest, cursor } = self;
        cursor.advance(
            trees,
            |id| sweep_versions(trees, id, *oldest),
            |(kept, pins), prefix| sweep_layer(trees, prefix, *kept, pins),
        )
    }

    /// Once there is no more.
    pub fn end(self, trees: &Trees) -> Result<(), StoreError> {
        trees.journal.remove_before(segment_of(trees, self.oldest)?)?;
        trees.meta.remove("sweep")?;
        trees.db.flush()?;
        Ok(())
    }
}

/// Removes the versions of a config that are forgotten. Returns the first that is kept, and those that are pinned.
fn sweep_versions(
    trees: &Trees,
    id: &ConfigId,
    oldest: Revision,
) -> Result<Option<(Version, Vec<Version>)>, StoreError> {
    let Some(kept) = trees.last_version_at(id, oldest)? else { return Ok(None) };
    let pins = trees.pins(id)?;
    let prefix = keys::config(id);
    for entry in trees.versions.range(prefix.clone()..keys::at_version(&prefix, kept.version)) {
        let entry = entry?;
        let (_, versions) = trees.parse_versions(&prefix, &entry)?;
        let is_kept = |at: &VersionRef| at.version >= kept.version || pins.contains(&at.version);
        let left: Vec<VersionRef> = versions.iter().copied().filter(is_kept).collect();
        if left.len() < versions.len() {
            let mut batch = sled::Batch::default();
            batch.remove(entry.0);
            for run in runs::split_versions(&left) {
                batch.insert(keys::at_version(&prefix, run[0].version), runs::encode_versions(run));
            }
            trees.versions.apply_batch(batch)?;
        }
    }
    Ok(Some((kept.version, pins)))
}

impl Cursor {
    /// Goes through the next layers. `begin` is called for each config, again if the slice before has ended within it, and says what
    /// `each` is to know; `None`: nothing is to be done for the config. Whether there is more.
    fn advance<T>(
        &mut self,
        trees: &Trees,
        mut begin: impl FnMut(&ConfigId) -> Result<Option<T>, StoreError>,
        mut each: impl FnMut(&T, &[u8]) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let mut left = SLICE;
        while left > 0 {
            left -= 1;
            let next = match self.layer.is_some() {
                true => Some(self.config.clone()),
                false => self.next_config(trees)?,
            };
            let Some(key) = next else { return Ok(false) };
            let (id, _) = keys::parse_config(&key)
                .ok_or_else(|| corrupt(place(&trees.configs, &key), "not the key of a config"))?;
            let mut layer = self.layer.take().unwrap_or_else(|| keys::config(&id));
            self.config = key;
            let Some(known) = begin(&id)? else { continue };
            while let Some(prefix) = trees.next_layer(&id, layer)? {
                if left == 0 {
                    self.layer = Some(prefix);
                    return Ok(true);
                }
                left -= 1;
                each(&known, &prefix)?;
                layer = keys::after(&prefix);
            }
        }
        Ok(true)
    }

    fn next_config(&self, trees: &Trees) -> Result<Option<Vec<u8>>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = match self.config.is_empty() {
            true => Unbounded,
            false => Excluded(self.config.as_slice()),
        };
        let next = trees.configs.range::<&[u8], _>((after, Unbounded)).keys().next();
        Ok(next.transpose()?.map(|key| key.to_vec()))
    }
}

/// Does what a compaction left undone when the server ended.
pub fn resume(trees: &Trees) -> Result<(), StoreError> {
    if !trees.meta.contains_key("sweep")? {
        return Ok(());
    }
    let mut sweeping = Sweeping::begin(trees.oldest()?.revision);
    while sweeping.some(trees)? {}
    sweeping.end(trees)
}

fn sweep_layer(trees: &Trees, prefix: &[u8], kept: Version, pins: &[Version]) -> Result<(), StoreError> {
    let items = trees.layer_items(prefix)?;
    let mut changes = trees.layer_changes(prefix, &items)?;
    let needed = needed(&changes, kept, pins);
    let mut before_any_content = true;
    let mut touched = BTreeSet::new();
    changes.retain(|change| {
        let is_needed = needed.binary_search(&change.version).is_ok();
        // That a layer ended need not be known once nothing is known of it before.
        let is_gone = matches!(change.record, LayerRecord::Gone);
        before_any_content &= change.version < kept && (!is_needed || is_gone);
        let is_kept = is_needed && !before_any_content;
        if !is_kept {
            touched.insert(change.item);
        }
        is_kept
    });
    rewrite(trees, prefix, &items, &touched, changes)
}

/// Of the versions at which a layer changed: those that say what it was at the kept version, at later ones and at pinned ones.
fn needed(changes: &[Change<'_>], kept: Version, pins: &[Version]) -> Vec<Version> {
    let until = |version: Version| changes.partition_point(|change| change.version <= version);
    let last = |version: &Version| Some(changes[until(*version).checked_sub(1)?].version);
    let mut needed: Vec<Version> = pins.iter().chain([&kept]).filter_map(last).collect();
    needed.extend(changes[until(kept)..].iter().map(|change| change.version));
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// Copies content that stays, from segments before `segment`, into the index.
fn keep_layer(
    trees: &Trees,
    prefix: &[u8],
    kept: Version,
    pins: &[Version],
    segment: Revision,
) -> Result<(), StoreError> {
    let items = trees.layer_items(prefix)?;
    let mut changes = trees.layer_changes(prefix, &items)?;
    let needed = needed(&changes, kept, pins);
    let mut contents = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let LayerRecord::Journal { about, segment: from, offset, bytes } = change.record else { continue };
        if from < segment.0 && needed.binary_search(&change.version).is_ok() {
            let place = JournalPosition { segment: Revision(from), offset };
            let content = decode_content(&trees.journal.read_text(place, bytes)?);
            if content.digest().0 != about.digest {
                return Err(trees.wrong_content(&items[change.item].key, place));
            }
            contents.push((at, about, content));
        }
    }
    let mut touched = BTreeSet::new();
    for (at, about, content) in &contents {
        changes[*at].record = LayerRecord::Inline { about: *about, content: content.as_str() };
        touched.insert(changes[*at].item);
    }
    rewrite(trees, prefix, &items, &touched, changes)
}

/// Writes the items of a layer that were touched anew, with what is left of them. Each of them all at once.
fn rewrite(
    trees: &Trees,
    prefix: &[u8],
    items: &[Item],
    touched: &BTreeSet<usize>,
    changes: Vec<Change<'_>>,
) -> Result<(), StoreError> {
    let mut left: BTreeMap<usize, Vec<(Version, LayerRecord<'_>)>> = BTreeMap::new();
    for Change { version, record, item } in changes {
        if touched.contains(&item) {
            left.entry(item).or_default().push((version, record));
        }
    }
    for item in touched {
        let mut batch = sled::Batch::default();
        chunk::add_removal(&trees.layers, &mut batch, &items[*item].key)?;
        for run in runs::split_changes(left.get(item).map_or(&[], Vec::as_slice)) {
            chunk::add(&mut batch, &keys::at_version(prefix, run[0].0), &runs::encode_changes(run));
        }
        trees.layers.apply_batch(batch)?;
    }
    Ok(())
}

fn tagged_versions(trees: &Trees, id: &ConfigId) -> Result<Vec<Version>, StoreError> {
    let mut versions = Vec::new();
    for entry in trees.tags.scan_prefix(keys::config(id)) {
        let (key, value) = entry?;
        let version = record::decode_number(&value)
            .ok_or_else(|| corrupt(place(&trees.tags, &key), "not a tag of a version"))?;
        versions.push(Version(version));
    }
    versions.sort_unstable();
    versions.dedup();
    Ok(versions)
}

/// The segment that holds `revision`.
fn segment_of(trees: &Trees, revision: Revision) -> Result<Revision, StoreError> {
    let missing =
        || corrupt(trees.journal.dir().display().to_string(), format!("revision {revision} is missing"));
    trees.journal.segment_of(revision).ok_or_else(missing)
}
