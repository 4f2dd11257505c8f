//! Forgetting: what a compaction keeps, and in which order it writes. Knows trees; the caller sees to it that nobody
//! writes meanwhile.
//!
//! The order makes a crash harmless at every point:
//! 1. `keep`: content of versions that stay is copied from segments that go into `layers`. Nothing that is read changes.
//! 2. `Trees::write_oldest`: one batch in `meta` moves the oldest revision with the hash before it, and the pins. From here on, what is to go is
//!    forgotten: every read asks these two what is retained, not what happens to be there.
//! 3. `sweep`: removes it. If it does not come to its end, the mark `sweep` in `meta` makes the next start do it again.
//!
//! A segment goes when all its commits do, so the oldest one may physically hold many that are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::super::codec::decode_content;
use super::journal::Place;
use super::layers::{Change, Item};
use super::record::{self, LayerRecord};
use super::trees::{Oldest, Trees};
use super::{chunk, corrupt, keys, place, runs};
use crate::model::{ConfigId, Revision, Version};
use crate::store::{StoreError, VersionRef};

/// Prepares to forget what is before `to`: the new oldest, and the keys of the versions to pin.
pub fn keep(trees: &Trees, oldest: Revision, to: Revision) -> Result<(Oldest, Vec<Vec<u8>>), StoreError> {
    let segment = segment_of(trees, to)?;
    let batch = trees.journal.read(to)?;
    let before = batch.commits.iter().map(|measured| &measured.sealed);
    let before = before.take_while(|sealed| sealed.commit.revision < to).last();
    let anchor = before.map_or(batch.previous, |before| before.hash);
    let mut pins = Vec::new();
    each_config(trees, &mut |id| {
        let Some(kept) = trees.last_version_at(id, to)? else { return Ok(()) };
        let mut pinned = Vec::new();
        for tagged in tagged_versions(trees, id)? {
            if tagged < kept.version && trees.retained_version(id, tagged, oldest)?.is_some() {
                pinned.push(tagged);
                pins.push(keys::at_version(&keys::config(id), tagged));
            }
        }
        trees.each_layer(id, |_, prefix| keep_layer(trees, prefix, kept.version, &pinned, segment))
    })?;
    Ok((Oldest { revision: to, anchor }, pins))
}

/// Removes all that is forgotten. May be repeated.
pub fn sweep(trees: &Trees, oldest: Revision) -> Result<(), StoreError> {
    each_config(trees, &mut |id| {
        let Some(kept) = trees.last_version_at(id, oldest)? else { return Ok(()) };
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
        trees.each_layer(id, |_, prefix| sweep_layer(trees, prefix, kept.version, &pins))
    })?;
    trees.journal.remove_before(segment_of(trees, oldest)?)?;
    trees.meta.remove("sweep")?;
    trees.db.flush()?;
    Ok(())
}

/// Does what a compaction left undone when the server ended.
pub fn resume(trees: &Trees) -> Result<(), StoreError> {
    match trees.meta.contains_key("sweep")? {
        true => sweep(trees, trees.oldest()?.revision),
        false => Ok(()),
    }
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
            let place = Place { segment: Revision(from), offset };
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

fn each_config(
    trees: &Trees,
    visit: &mut dyn FnMut(&ConfigId) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for key in trees.configs.iter().keys() {
        let key = key?;
        let (id, _) = keys::parse_config(&key)
            .ok_or_else(|| corrupt(place(&trees.configs, &key), "not the key of a config"))?;
        visit(&id)?;
    }
    Ok(())
}

/// The segment that holds `revision`.
fn segment_of(trees: &Trees, revision: Revision) -> Result<Revision, StoreError> {
    let missing =
        || corrupt(trees.journal.dir().display().to_string(), format!("revision {revision} is missing"));
    trees.journal.segment_of(revision).ok_or_else(missing)
}
