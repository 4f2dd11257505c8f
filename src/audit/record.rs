//! The lines of a segment: its head, and records. Knows JSON; not where lines lie.
//!
//! Format 1. A segment begins with its head, and then has records, the oldest first:
//!
//! ```text
//! {"segment":1,"first":1,"time":"2026-11-21T09:00:00Z","previous":"sha256:00...","hash":"sha256:..."}
//! {"sequence":1,"time":"2026-11-21T09:00:00Z","kind":"denied",...,"count":1,"previous":"sha256:...","hash":"sha256:..."}
//! ```
//!
//! `segment` is the number of the format, `first` the sequence of the first record of the segment, `previous` the hash of the line before,
//! also across segments of the same room: of the very first line it is zero.

use serde::{Deserialize, Serialize};

use super::chain::{moment, seal};
use super::event::Event;
use crate::model::{Digest, Timestamp};

pub const FORMAT: u64 = 1;

/// What was recorded, and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Grows, from 1 on: by one, if the records between were not written to another room of the log.
    pub sequence: u64,
    #[serde(flatten)]
    pub event: Event,
    /// Of the line before.
    #[serde(with = "digest")]
    pub previous: Digest,
    #[serde(with = "digest")]
    pub hash: Digest,
}

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub segment: u64,
    pub first: u64,
    #[serde(with = "moment")]
    pub time: Timestamp,
    #[serde(with = "digest")]
    pub previous: Digest,
}

#[derive(Serialize)]
struct Unsealed<'a> {
    sequence: u64,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(with = "digest")]
    previous: Digest,
}

impl Record {
    /// The line of an event, without a newline, and its hash.
    pub fn line(sequence: u64, event: &Event, previous: Digest) -> (String, Digest) {
        let object = serde_json::to_string(&Unsealed { sequence, event, previous });
        seal(previous, &object.expect("texts and numbers"))
    }

    pub fn read(line: &[u8]) -> Option<Record> {
        serde_json::from_slice(line).ok()
    }
}

impl Head {
    pub fn line(self) -> (String, Digest) {
        seal(self.previous, &serde_json::to_string(&self).expect("texts and numbers"))
    }

    pub fn read(line: &[u8]) -> Option<Head> {
        serde_json::from_slice(line).ok()
    }
}

mod digest {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::model::Digest;

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::parse(&text).ok_or_else(|| de::Error::custom("no digest"))
    }
}
