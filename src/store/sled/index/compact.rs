//! Forgetting: what a compaction keeps, of all history or of that of one namespace, and in which order it writes. Knows trees; the caller
//! sees to it that nobody writes during a slice, that all slices are of one open database, and that others get their turn between two slices.
//!
//! The order makes a crash harmless at every point:
//! 1. `Keeping`: content of versions that stay is copied from what goes of the journal into `layers`. Nothing that is read changes.
//! 2. `Trees::write_oldest` or `write_forgotten`: one batch in `meta` moves the oldest revision, with the hash before it if it is that of all,
//!    and the pins. From here on, what is to go is forgotten: every read asks these two what is retained, not what happens to be there.
//! 3. `Sweeping`: removes it from the indexes. If it does not come to its end, the mark `sweep` in `meta` makes the next start do it again.
//!
//! A segment goes when all its commits do, so the oldest one may physically hold many that are forgotten. What is forgotten of a namespace
//! alone goes when segments are rewritten: `journal/rewrite.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::{Change, Item};
use super::record::{self, LayerRecord};
use super::retained::{Oldest, PinReason, Retained};
use super::trees::Trees;
use super::{chunk, keys, runs};
use crate::model::{ConfigId, Digest, Namespace, Revision, Version};
use crate::store::codec::decode_content;
use crate::store::sled::journal::JournalPosition;
use crate::store::sled::{corrupt, place};
use crate::store::{Forgotten, StoreError, VersionRef};

/// Layers that one slice goes through: some milliseconds, in which nothing is archived.
const SLICE: usize = 128;
/// Commits that are read at once, as they are stored.
const PAGE_BYTES: usize = 4 << 20;

/// Keys of versions that are retained though they ended before the oldest revision of their namespace.
pub type Pins = Vec<(Vec<u8>, PinReason)>;

/// The first step, slice by slice. Commits may be archived between two slices.
pub struct Keeping {
    plan: Plan,
    cursor: Cursor,
    pins: BTreeMap<ConfigId, Pins>,
    /// Tags may have moved in the commits after it.
    seen: Revision,
}

/// What is to be forgotten.
struct Plan {
    before: Retained,
    goal: Goal,
}

enum Goal {
    /// All commits before a revision, of which `anchor` is the hash before it, and `segment` the segment that has it.
    All { to: Revision, anchor: Digest, segment: Revision },
    /// What commits before a revision changed of a namespace.
    Namespace { namespace: Namespace, to: Revision, versions_min: u64 },
}

/// What a config keeps.
struct Kept {
    /// The version that it had at the oldest revision.
    first: VersionRef,
    /// Earlier ones.
    pins: Vec<(Version, PinReason)>,
}

/// Where a walk over all layers of all configs of a namespace, or of all of them, is.
struct Cursor {
    /// That of the keys of the namespace; empty: all of them.
    prefix: Vec<u8>,
    /// The key of the config that was gone through last, and the place of the next layer of it, if there may be more.
    config: Vec<u8>,
    layer: Option<Vec<u8>>,
}

impl Keeping {
    /// Prepares to forget what is before `to`, in a store whose head is `head`.
    pub fn of_all(
        trees: &Trees,
        before: Retained,
        to: Revision,
        head: Revision,
    ) -> Result<Keeping, StoreError> {
        let segment = segment_of(trees, to)?;
        let batch = trees.journal.read(to)?;
        let earlier = batch.commits.iter().map(|measured| &measured.sealed);
        let earlier = earlier.take_while(|sealed| sealed.commit.revision < to).last();
        let anchor = earlier.map_or(batch.previous, |earlier| earlier.hash);
        let plan = Plan { before, goal: Goal::All { to, anchor, segment } };
        Ok(Keeping { plan, cursor: Cursor::of(None), pins: BTreeMap::new(), seen: head })
    }

    /// Prepares to forget what is before `to` of a namespace. The newest versions of its configs are kept, so many of each.
    pub fn of_namespace(
        before: Retained,
        namespace: &Namespace,
        to: Revision,
        versions_min: u64,
        head: Revision,
    ) -> Keeping {
        let (cursor, namespace) = (Cursor::of(Some(namespace)), namespace.clone());
        let plan = Plan { before, goal: Goal::Namespace { namespace, to, versions_min } };
        Keeping { plan, cursor, pins: BTreeMap::new(), seen: head }
    }

    /// One slice. Whether there is more.
    pub fn some(&mut self, trees: &Trees) -> Result<bool, StoreError> {
        let Keeping { plan, cursor, pins, .. } = self;
        cursor.advance(
            trees,
            |id| plan.kept(trees, id, pins),
            |kept, prefix| plan.keep_layer(trees, prefix, kept),
        )
    }

    /// Does it again for the configs whose tags moved since, up to `head`. The cost grows with the commits since.
    pub fn catch_up(&mut self, trees: &Trees, head: Revision) -> Result<(), StoreError> {
        while self.seen < head {
            let commits = trees.journal.commits(self.seen.next(), head, PAGE_BYTES, &Forgotten::default())?;
            let Some(last) = commits.last() else { return Ok(()) };
            self.seen = last.commit.revision;
            let changes = commits.iter().flat_map(|sealed| &sealed.commit.changes);
            let moved: BTreeSet<&ConfigId> =
                changes.filter(|change| !change.tags.is_empty()).map(|change| &change.id).collect();
            for id in moved.into_iter().filter(|id| self.plan.concerns(id)) {
                if let Some(kept) = self.plan.kept(trees, id, &mut self.pins)? {
                    trees.each_layer(id, |_, prefix| self.plan.keep_layer(trees, prefix, &kept))?;
                }
            }
        }
        Ok(())
    }

    /// How far it is behind a head.
    pub fn behind(&self, head: Revision) -> u64 {
        head.0.saturating_sub(self.seen.0)
    }

    /// Moves the oldest revision. From here on the rest is forgotten. Returns what is retained then.
    pub fn forget(self, trees: &Trees) -> Result<Retained, StoreError> {
        let pins: Pins = self.pins.into_values().flatten().collect();
        let before = self.plan.before;
        match self.plan.goal {
            Goal::All { to, anchor, .. } => {
                let oldest = Oldest { revision: to, anchor };
                trees.write_oldest(oldest, &pins)?;
                Ok(Retained { oldest, ..before })
            }
            Goal::Namespace { namespace, to, .. } => {
                let from = before.oldest_of(&namespace);
                trees.write_forgotten(&namespace, to, from, &pins)?;
                let forgotten = before.forgotten.with(&namespace, to);
                Ok(Retained { forgotten, ..before })
            }
        }
    }
}

impl Plan {
    fn concerns(&self, id: &ConfigId) -> bool {
        match &self.goal {
            Goal::All { .. } => true,
            Goal::Namespace { namespace, .. } => id.namespace == *namespace,
        }
    }

    /// What a config keeps. The versions before the first one are noted in `pins`. `None`: the config did not exist.
    fn kept(
        &self,
        trees: &Trees,
        id: &ConfigId,
        pins: &mut BTreeMap<ConfigId, Pins>,
    ) -> Result<Option<Kept>, StoreError> {
        let before = self.before.oldest_of(&id.namespace);
        let (Goal::All { to, .. } | Goal::Namespace { to, .. }) = &self.goal;
        let Some(first) = trees.last_version_at(id, before.max(*to))? else { return Ok(None) };
        let mut reasons: BTreeMap<Version, PinReason> = BTreeMap::new();
        for newest in self.newest(trees, id, before)?.into_iter().filter(|version| *version < first.version) {
            reasons.insert(newest, PinReason::Newest);
        }
        for tagged in tagged_versions(trees, id)?.into_iter().filter(|version| *version < first.version) {
            if !reasons.contains_key(&tagged) && trees.retained_version(id, tagged, before)?.is_some() {
                reasons.insert(tagged, PinReason::Tag);
            }
        }
        let prefix = keys::config(id);
        let keys: Pins =
            reasons.iter().map(|(version, reason)| (keys::at_version(&prefix, *version), *reason)).collect();
        match keys.is_empty() {
            true => pins.remove(id),
            false => pins.insert(id.clone(), keys),
        };
        Ok(Some(Kept { first, pins: reasons.into_iter().collect() }))
    }

    /// The retained versions that are kept because they are among the newest.
    fn newest(&self, trees: &Trees, id: &ConfigId, before: Revision) -> Result<Vec<Version>, StoreError> {
        match self.goal {
            Goal::Namespace { versions_min, .. } => {
                let limit = usize::try_from(versions_min).unwrap_or(usize::MAX);
                let current = trees.current_version(id)?.map_or(Version::ZERO, |current| current.version);
                let versions = trees.versions(id, current.next(), limit, before)?.into_iter();
                let first = current.0.saturating_sub(versions_min);
                Ok(versions.map(|at| at.version).filter(|version| version.0 > first).collect())
            }
            // The history of the namespace goes less far back than all history is to go.
            Goal::All { to, .. } if before >= to => {
                let pins = trees.pins(id)?.into_iter();
                Ok(pins
                    .filter(|(_, reason)| *reason == PinReason::Newest)
                    .map(|(version, _)| version)
                    .collect())
            }
            Goal::All { .. } => Ok(vec![]),
        }
    }

    /// Copies content that stays, from what is going to be removed of the journal, into the index.
    fn keep_layer(&self, trees: &Trees, prefix: &[u8], kept: &Kept) -> Result<(), StoreError> {
        let items = trees.layer_items(prefix)?;
        let mut changes = trees.layer_changes(prefix, &items)?;
        let needed = needed(&changes, kept.first.version, kept.pins.iter().map(|(version, _)| *version));
        let mut contents = Vec::new();
        for (at, change) in changes.iter().enumerate() {
            let LayerRecord::Journal { about, segment: from, offset, bytes } = change.record else {
                continue;
            };
            let goes = match &self.goal {
                Goal::All { segment, .. } => from < segment.0,
                Goal::Namespace { to, .. } => {
                    let is_first = change.version == kept.first.version;
                    change.version < kept.first.version || (is_first && kept.first.revision < *to)
                }
            };
            if goes && needed.binary_search(&change.version).is_ok() {
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
}

/// The last step, slice by slice: removes all that is forgotten of a namespace, or of all of them. May be begun again. Commits may be archived
/// between two slices.
pub struct Sweeping {
    retained: Retained,
    namespace: Option<Namespace>,
    cursor: Cursor,
}

impl Sweeping {
    pub fn begin(retained: Retained, namespace: Option<Namespace>) -> Sweeping {
        let cursor = Cursor::of(namespace.as_ref());
        Sweeping { retained, namespace, cursor }
    }

    /// One slice. Whether there is more.
    pub fn some(&mut self, trees: &Trees) -> Result<bool, StoreError> {
        let Sweeping { retained, cursor, .. } = self;
        cursor.advance(
            trees,
            |id| sweep_versions(trees, id, retained.oldest_of(&id.namespace)),
            |(kept, pins), prefix| sweep_layer(trees, prefix, *kept, pins),
        )
    }

    /// Once there is no more.
    pub fn end(self, trees: &Trees) -> Result<(), StoreError> {
        match &self.namespace {
            None => {
                trees.journal.remove_before(segment_of(trees, self.retained.oldest.revision)?)?;
                trees.remove_sweep_marks()?;
            }
            Some(namespace) => trees.remove_sweep_mark(namespace)?,
        }
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
    let pins: Vec<Version> = trees.pins(id)?.into_iter().map(|(version, _)| version).collect();
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
    fn of(namespace: Option<&Namespace>) -> Cursor {
        let prefix = namespace.map(keys::namespace).unwrap_or_default();
        Cursor { prefix, config: Vec::new(), layer: None }
    }

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
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let after = match self.config.is_empty() {
            true => Included(self.prefix.as_slice()),
            false => Excluded(self.config.as_slice()),
        };
        let next = trees.configs.range::<&[u8], _>((after, Unbounded)).keys().next();
        Ok(next.transpose()?.filter(|key| key.starts_with(&self.prefix)).map(|key| key.to_vec()))
    }
}

/// Does what a compaction left undone when the server ended.
pub fn resume(trees: &Trees) -> Result<(), StoreError> {
    let retained = trees.retained()?;
    for namespace in trees.unswept()? {
        let mut sweeping = Sweeping::begin(retained.clone(), namespace);
        while sweeping.some(trees)? {}
        sweeping.end(trees)?;
    }
    Ok(())
}

fn sweep_layer(trees: &Trees, prefix: &[u8], kept: Version, pins: &[Version]) -> Result<(), StoreError> {
    let items = trees.layer_items(prefix)?;
    let mut changes = trees.layer_changes(prefix, &items)?;
    let needed = needed(&changes, kept, pins.iter().copied());
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
fn needed(changes: &[Change<'_>], kept: Version, pins: impl Iterator<Item = Version>) -> Vec<Version> {
    let until = |version: Version| changes.partition_point(|change| change.version <= version);
    let last = |version: Version| Some(changes[until(version).checked_sub(1)?].version);
    let mut needed: Vec<Version> = pins.chain([kept]).filter_map(last).collect();
    needed.extend(changes[until(kept)..].iter().map(|change| change.version));
    needed.sort_unstable();
    needed.dedup();
    needed
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
