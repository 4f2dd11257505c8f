//! Values in parts, so that no item becomes large: step 6 of `durable.rs`. Knows trees and bytes; not what they mean.
//!
//! A value with the key `K` is stored under `K` and the number of the part (u16 BE). `K` is never a prefix of another key with more than
//! those two bytes behind it.

use std::iter::Peekable;

use crate::store::StoreError;
use crate::store::sled::{corrupt, place};

/// The most that one item holds. With the longest key an item stays below 64 KiB, and sled makes blobs of items above 93 KiB.
pub const CHUNK_BYTES: usize = 60 << 10;

const PART_BYTES: usize = 2;

/// Writes a value in the place of whatever was there, all or none of it.
pub fn write(tree: &sled::Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let count = value.len().div_ceil(CHUNK_BYTES).max(1);
    // Nearly always: one part in the place of one that has no others behind it, or of none.
    if count == 1 && tree.get(part_key(key, 0))?.is_none_or(|old| old.len() < CHUNK_BYTES) {
        tree.insert(part_key(key, 0), value)?;
        return Ok(());
    }
    let mut batch = sled::Batch::default();
    let mut is_shorter = false;
    for old in tree.range(part_key(key, count)..=last_part_key(key)).keys() {
        batch.remove(old?);
        is_shorter = true;
    }
    if !is_shorter {
        return write_new(tree, key, value);
    }
    add(&mut batch, key, value);
    Ok(tree.apply_batch(batch)?)
}

/// Writes a value where there was none, all or none of it: one item, or one batch, which costs a log write, and so a sync, more.
fn write_new(tree: &sled::Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    if value.len() <= CHUNK_BYTES {
        tree.insert(part_key(key, 0), value)?;
        return Ok(());
    }
    let mut batch = sled::Batch::default();
    add(&mut batch, key, value);
    Ok(tree.apply_batch(batch)?)
}

/// Adds the parts of a value that is new.
pub fn add(batch: &mut sled::Batch, key: &[u8], value: &[u8]) {
    if value.is_empty() {
        batch.insert(part_key(key, 0), value);
    }
    for (part, chunk) in value.chunks(CHUNK_BYTES).enumerate() {
        batch.insert(part_key(key, part), chunk);
    }
}

/// Adds the removal of a value, before others are added.
pub fn add_removal(tree: &sled::Tree, batch: &mut sled::Batch, key: &[u8]) -> Result<(), StoreError> {
    for part in tree.range(part_key(key, 0)..=last_part_key(key)).keys() {
        batch.remove(part?);
    }
    Ok(())
}

/// Removes a value, if there is one.
pub fn remove(tree: &sled::Tree, key: &[u8]) -> Result<(), StoreError> {
    for part in tree.range(part_key(key, 0)..=last_part_key(key)).keys() {
        tree.remove(part?)?;
    }
    Ok(())
}

/// Reads a value. Whether it is complete, its own form must tell.
pub fn read(tree: &sled::Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut value: Option<Vec<u8>> = None;
    for (part, entry) in tree.range(part_key(key, 0)..=last_part_key(key)).enumerate() {
        let (found, chunk) = entry?;
        if *found != part_key(key, part) {
            return Err(corrupt(place(tree, key), format!("part {part} is missing")));
        }
        value.get_or_insert_default().extend_from_slice(&chunk);
    }
    Ok(value)
}

/// Reads the value that begins with the next of the items of a tree, which are all of it in order.
pub fn next(
    tree: &sled::Tree,
    items: &mut Peekable<sled::Iter>,
) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
    let Some(first) = items.next().transpose()? else { return Ok(None) };
    let (first, value) = first;
    let (key, part) = first.split_at(whole_key(&first).len());
    let missing = |part: usize| corrupt(place(tree, key), format!("part {part} is missing"));
    if part != 0_u16.to_be_bytes() {
        return Err(missing(0));
    }
    let is_next = |item: &sled::Result<(sled::IVec, sled::IVec)>| {
        item.as_ref().map_or(true, |(next, _)| whole_key(next) == key)
    };
    let mut joined: Option<Vec<u8>> = None;
    let mut count = 1;
    while let Some(item) = items.next_if(is_next) {
        let (found, chunk) = item?;
        if *found != part_key(key, count) {
            return Err(missing(count));
        }
        joined.get_or_insert_with(|| value.to_vec()).extend_from_slice(&chunk);
        count += 1;
    }
    let value = joined.map_or(value, sled::IVec::from);
    Ok(Some((first.subslice(0, key.len()), value)))
}

/// The key of a value, from that of one of its parts.
pub fn whole_key(part_key: &[u8]) -> &[u8] {
    &part_key[..part_key.len().saturating_sub(PART_BYTES)]
}

/// The key of the first part of a value.
pub fn first_part_key(key: &[u8]) -> Vec<u8> {
    part_key(key, 0)
}

fn part_key(key: &[u8], part: usize) -> Vec<u8> {
    let part = u16::try_from(part).expect("a layer has less than 3.7 GiB");
    [key, &part.to_be_bytes()].concat()
}

/// The last key that a part of the value can have.
pub fn last_part_key(key: &[u8]) -> Vec<u8> {
    part_key(key, usize::from(u16::MAX))
}
