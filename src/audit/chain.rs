//! Hashes the lines of the audit log, each with the hash of the line before, and formats times. Knows lines; not their members.
//!
//! A line is a JSON object without spaces whose last member is `"hash"`, and ends with a newline. The hash is SHA-256 over the 32 bytes of
//! the hash of the line before, and the text of the line up to `,"hash":`. So every byte of a file is covered by it, and it can be computed
//! without reading JSON.

use crate::model::{Digest, Timestamp};

/// What goes before the hash of a line, and what follows it.
const BEFORE: &str = ",\"hash\":\"";
const AFTER: &str = "\"}";
/// `sha256:` and 64 digits.
const HASH_CHARS: usize = 71;
const TAIL_BYTES: usize = BEFORE.len() + HASH_CHARS + AFTER.len();

/// The line of a JSON object, without a newline, and its hash.
pub fn seal(previous: Digest, object: &str) -> (String, Digest) {
    let body = object.strip_suffix('}').expect("an object ends so");
    let hash = Digest::chained(previous, body.as_bytes());
    (format!("{body}{BEFORE}{hash}{AFTER}"), hash)
}

/// The hash that a line must have after `previous`, and whether it has that one. `None`: it has none at all.
pub fn check(previous: Digest, line: &[u8]) -> Option<(Digest, bool)> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL_BYTES)?)?;
    let hash = Digest::chained(previous, body);
    Some((hash, tail == format!("{BEFORE}{hash}{AFTER}").as_bytes()))
}

/// The hash that a line says it has.
pub fn stated(line: &[u8]) -> Option<Digest> {
    let tail = str::from_utf8(line.get(line.len().checked_sub(TAIL_BYTES)?..)?).ok()?;
    Digest::parse(tail.strip_prefix(BEFORE)?.strip_suffix(AFTER)?)
}

/// Moments as RFC 3339.
pub mod moment {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Timestamp;

    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no moment")))
    }

    /// Reads what `Display` of a timestamp writes.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(Timestamp(time.as_microsecond()))
    }
}

/// The same where there may be none.
pub mod optional_moment {
    use serde::{Deserializer, Serializer};

    use super::{Timestamp, moment};

    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => moment::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        moment::deserialize(deserializer).map(Some)
    }
}
