//! The values of the indexes. Knows the model and bytes; no trees.
//!
//! | tree | value |
//! | --- | --- |
//! | `layers` | postcard of `LayerRecord` |
//! | `current` | postcard of `CurrentRecord` |
//! | `versions` | revision (u64 BE), time in microseconds since the Unix epoch (i64 BE) |
//! | `configs` | version (u64 BE), then as in `versions` |
//! | `tags` | version (u64 BE) |
//!
//! They share the format number of the store.

use serde::{Deserialize, Serialize};

use super::super::VersionRef;
use super::super::codec::format_code;
use crate::model::{Content, LayerChange, Revision, Timestamp, Version};

/// A layer as of a version.
#[derive(Serialize, Deserialize)]
pub enum LayerRecord<'a> {
    /// It ended with this version.
    Gone,
    /// Its content is in the journal.
    Journal {
        about: About,
        /// The first revision of the batch, and where the content is in it.
        batch: u64,
        offset: u64,
        bytes: u64,
    },
    /// Its content was in a part of the journal that is gone.
    Inline { about: About, content: &'a str },
}

/// A layer as it is now.
#[derive(Serialize, Deserialize)]
pub struct CurrentRecord<'a> {
    pub about: About,
    pub version: u64,
    pub content: &'a str,
}

/// What there is to say of a layer besides its content.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct About {
    pub digest: [u8; 32],
    pub expires_us: Option<i64>,
    pub format: Option<u8>,
}

impl About {
    /// Of a layer that has this content.
    pub fn of(layer: &LayerChange, content: &Content) -> About {
        About {
            digest: content.digest().0,
            expires_us: layer.expires.map(|time| time.0),
            format: layer.format.map(format_code),
        }
    }
}

/// The bytes of a `LayerRecord` or `CurrentRecord`.
pub fn encode(record: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(record).expect("records hold nothing that postcard refuses")
}

/// Reads what `encode` wrote. `None` if it is not that.
pub fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Option<T> {
    let (record, rest) = postcard::take_from_bytes(value).ok()?;
    rest.is_empty().then_some(record)
}

/// A value of `versions`.
pub fn encode_version(at: VersionRef) -> Vec<u8> {
    [at.revision.0.to_be_bytes(), at.time.0.to_be_bytes()].concat()
}

/// Reads a value of `versions`. `None` if it is not that.
pub fn decode_version(version: Version, value: &[u8]) -> Option<VersionRef> {
    let (revision, time) = value.split_at_checked(8)?;
    Some(VersionRef {
        version,
        revision: Revision(u64::from_be_bytes(revision.try_into().ok()?)),
        time: Timestamp(i64::from_be_bytes(time.try_into().ok()?)),
    })
}

/// A value of `configs`.
pub fn encode_config(at: VersionRef) -> Vec<u8> {
    [&at.version.0.to_be_bytes()[..], &encode_version(at)].concat()
}

/// Reads a value of `configs`. `None` if it is not that.
pub fn decode_config(value: &[u8]) -> Option<VersionRef> {
    let (version, rest) = value.split_at_checked(8)?;
    decode_version(decode_number(version).map(Version)?, rest)
}

/// Reads a u64 BE. `None` if it is not that.
pub fn decode_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}
