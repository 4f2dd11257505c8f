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

use super::super::codec::decode_content;
use super::journal::Place;
use super::record::{self, LayerRecord};
use super::trees::{Oldest, Trees};
use super::{chunk, corrupt, keys, place};
use crate::model::{ConfigId, Revision, Version};
use crate::store::StoreError;

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
        trees.each_layer(id, |_, prefix| {
            for version in needed(&changes(trees, prefix)?, kept.version, &pinned) {
                inline(trees, &keys::at_version(prefix, version), segment)?;
            }
            Ok(())
        })
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
            let (key, _) = entry?;
            let version = keys::parse_version(&key[prefix.len()..])
                .ok_or_else(|| corrupt(place(&trees.versions, &key), "not the key of a version"))?;
            if !pins.contains(&version) {
                trees.versions.remove(key)?;
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
    let changes = changes(trees, prefix)?;
    let needed = needed(&changes, kept, pins);
    let mut before_any_content = true;
    for version in changes {
        // That a layer ended need not be known once nothing is known of it before.
        before_any_content &= version < kept
            && (!needed.contains(&version)
                || trees.layer_record_is_gone(&keys::at_version(prefix, version))?);
        if before_any_content || !needed.contains(&version) {
            chunk::remove(&trees.layers, &keys::at_version(prefix, version))?;
        }
    }
    Ok(())
}

/// Of the versions at which a layer changed: those that say what it was at the kept version, at later ones and at pinned ones.
fn needed(changes: &[Version], kept: Version, pins: &[Version]) -> Vec<Version> {
    let last = |version: &Version| changes.iter().rev().find(|change| *change <= version).copied();
    let mut needed: Vec<Version> = pins.iter().chain([&kept]).filter_map(last).collect();
    needed.extend(changes.iter().filter(|change| **change > kept));
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// The versions at which a layer changed, in order.
fn changes(trees: &Trees, prefix: &[u8]) -> Result<Vec<Version>, StoreError> {
    let mut changes = Vec::new();
    for part in trees.layers.scan_prefix(prefix).keys() {
        changes.push(trees.parse_change(prefix, &part?)?);
    }
    changes.dedup();
    Ok(changes)
}

/// Copies content from a segment before `kept` into the index.
fn inline(trees: &Trees, key: &[u8], kept: Revision) -> Result<(), StoreError> {
    let value = chunk::read(&trees.layers, key)?;
    let damaged = || corrupt(place(&trees.layers, key), "not a layer");
    let (about, place, bytes) = match value.as_deref().and_then(record::decode).ok_or_else(damaged)? {
        LayerRecord::Journal { about, segment, offset, bytes } if segment < kept.0 => {
            (about, Place { segment: Revision(segment), offset }, bytes)
        }
        LayerRecord::Gone | LayerRecord::Journal { .. } | LayerRecord::Inline { .. } => return Ok(()),
    };
    let content = decode_content(&trees.journal.read_text(place, bytes)?);
    if content.digest().0 != about.digest {
        return Err(trees.wrong_content(key, place));
    }
    let record = LayerRecord::Inline { about, content: content.as_str() };
    chunk::write(&trees.layers, key, &record::encode(&record))
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
