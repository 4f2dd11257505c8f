//! Several entries of an index in one item: what a config or a layer went through in a row. Knows bytes; no trees.
//!
//! sled needs as long for an item of 10 entries as for one of a single entry. An item has the version of its first entry in its key; it
//! ends at the latest where the next one begins: after a crash two may overlap, and say the same.
//!
//! | tree | value |
//! | --- | --- |
//! | `versions` | of each version from the first one on, without a gap: revision (u64 BE), time in microseconds since the Unix epoch (i64 BE) |
//! | `layers` | postcard of a list of versions with their `LayerRecord`, in order |

use super::record::{self, LayerRecord};
use crate::model::{Revision, Timestamp, Version};
use crate::store::VersionRef;

/// Entries of one item of `versions`, at most.
pub const VERSIONS_MAX: usize = 256;
/// Entries of one item of `layers`, at most. They are read one after the other.
pub const CHANGES_MAX: usize = 64;

const VERSION_BYTES: usize = 16;

/// A value of `versions`.
pub fn encode_versions(versions: &[VersionRef]) -> Vec<u8> {
    let mut value = Vec::with_capacity(versions.len() * VERSION_BYTES);
    for at in versions {
        value.extend_from_slice(&at.revision.0.to_be_bytes());
        value.extend_from_slice(&at.time.0.to_be_bytes());
    }
    value
}

/// Reads a value of `versions`. `None` if it is not that.
pub fn decode_versions(first: Version, value: &[u8]) -> Option<Vec<VersionRef>> {
    let is_whole = !value.is_empty() && value.len().is_multiple_of(VERSION_BYTES);
    let numbers = (first.0..).map(Version).zip(value.chunks_exact(VERSION_BYTES));
    is_whole.then(|| numbers.map(|(version, entry)| version_of(version, entry)).collect())
}

/// One entry of a value of `versions`. `None` if it has no such entry.
pub fn version_in(first: Version, value: &[u8], version: Version) -> Option<VersionRef> {
    let start = usize::try_from(version.0.checked_sub(first.0)?).ok()?.checked_mul(VERSION_BYTES)?;
    let entry = value.get(start..)?.get(..VERSION_BYTES)?;
    Some(version_of(version, entry))
}

/// The runs without a gap.
pub fn split_versions(versions: &[VersionRef]) -> impl Iterator<Item = &[VersionRef]> {
    let runs = versions.chunk_by(|one, other| one.version.next() == other.version);
    runs.flat_map(|run| run.chunks(VERSIONS_MAX))
}

/// A value of `layers`.
pub fn encode_changes(changes: &[(Version, LayerRecord<'_>)]) -> Vec<u8> {
    record::encode(&changes.iter().map(|(version, record)| (version.0, record)).collect::<Vec<_>>())
}

/// Reads a value of `layers`. `None` if it is not that.
pub fn decode_changes(value: &[u8]) -> Option<Vec<(Version, LayerRecord<'_>)>> {
    let changes: Vec<(u64, LayerRecord<'_>)> = record::decode(value)?;
    let is_ordered = changes.windows(2).all(|pair| pair[0].0 < pair[1].0);
    (is_ordered && !changes.is_empty())
        .then(|| changes.into_iter().map(|(version, record)| (Version(version), record)).collect())
}

/// The changes of each item. Content makes an item of its own.
pub fn split_changes<'a, 'b>(
    changes: &'a [(Version, LayerRecord<'b>)],
) -> impl Iterator<Item = &'a [(Version, LayerRecord<'b>)]> {
    let is_inline = |change: &(Version, LayerRecord<'_>)| matches!(change.1, LayerRecord::Inline { .. });
    let runs = changes.chunk_by(move |one, other| !is_inline(one) && !is_inline(other));
    runs.flat_map(|run| run.chunks(CHANGES_MAX))
}

fn version_of(version: Version, entry: &[u8]) -> VersionRef {
    let number = |at: usize| entry[at..at + 8].try_into().map_or(0, u64::from_be_bytes);
    VersionRef { version, revision: Revision(number(0)), time: Timestamp(number(8).cast_signed()) }
}
