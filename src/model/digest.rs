//! Digests: SHA-256 (FIPS 180-4), written as `sha256:` and 64 hex digits.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 sum. Of a document: over its canonical JSON, so that equal digests mean equal content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What the chain of commits starts from.
    pub const ZERO: Digest = Digest([0; 32]);

    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The link of a hash chain: SHA-256 over the hash before and the bytes of this link.
    pub fn chained(previous: Digest, bytes: &[u8]) -> Digest {
        Digest(Sha256::new().chain_update(previous.0).chain_update(bytes).finalize().into())
    }

    /// Reads what `Display` writes. `None` if it is not that.
    pub fn parse(text: &str) -> Option<Digest> {
        let mut sum = [0; 32];
        hex::decode_to_slice(text.strip_prefix("sha256:")?, &mut sum).ok()?;
        Some(Digest(sum))
    }
}

impl Digest {
    /// Passes on the digest as text.
    fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        let mut text = *b"sha256:0000000000000000000000000000000000000000000000000000000000000000";
        hex::encode_to_slice(self.0, &mut text[7..]).expect("two digits for each byte");
        take(str::from_utf8(&text).expect("hex digits are ASCII"))
    }

    /// The text that `Display` writes, without a formatter: every response has one.
    pub fn to_text(&self) -> String {
        self.with_text(str::to_owned)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_and_read() {
        let digest = Digest::of(b"{}");
        assert_eq!(
            digest.to_string(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("sha256:44"), None);
        assert_eq!(Digest::parse("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"), None);
    }
}
