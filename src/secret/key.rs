//! Keys: 256 bits that are wiped when they go, and never shown. Knows nothing of what they are for.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// How many bytes a key has.
const BYTES: usize = 32;

/// A secret of 256 bits.
#[derive(Clone)]
pub struct Key([u8; BYTES]);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The name of a key, which tells nothing of it: 32 bits, written as 8 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl Key {
    /// A new one, from the system's source of randomness.
    pub fn random() -> Key {
        let mut key = Key([0; BYTES]);
        fill(&mut key.0);
        key
    }

    /// `None`: there are not as many bytes as a key has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Key> {
        bytes.try_into().ok().map(Key)
    }

    /// Reads a key written as 64 hex digits or in base64. `None` if the text is neither.
    pub fn parse(text: &str) -> Option<Key> {
        let mut key = Key([0; BYTES]);
        if hex::decode_to_slice(text, &mut key.0).is_ok() {
            return Some(key);
        }
        let engines = [STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD];
        let decoded = engines.iter().find_map(|engine| engine.decode(text).ok()).map(Zeroizing::new)?;
        Key::from_bytes(&decoded)
    }

    /// As `parse` reads it: hex digits.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    pub(super) fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// HMAC-SHA256 of parts, each with its length before it, so that no two lists of parts are the same bytes.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A key for one purpose, of which none of the others can be told.
    pub(super) fn derived(&self, purpose: &str) -> Key {
        Key(self.mac(&[b"confwatch key", purpose.as_bytes()]))
    }

    /// The name that follows from the key itself.
    pub(super) fn own_id(&self) -> KeyId {
        let mac = self.mac(&[b"confwatch key id"]);
        KeyId([mac[0], mac[1], mac[2], mac[3]])
    }
}

impl KeyId {
    pub fn random() -> KeyId {
        let mut id = [0; 4];
        fill(&mut id);
        KeyId(id)
    }

    /// Reads what `Display` writes. `None` if it is not that.
    pub fn parse(text: &str) -> Option<KeyId> {
        let mut id = [0; 4];
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        (is_lower && hex::decode_to_slice(text, &mut id).is_ok()).then_some(KeyId(id))
    }
}

/// Random bytes.
pub(super) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has a source of randomness");
}

/// Nothing of it.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_hex_and_as_base64_and_never_shown() {
        let key = Key([7; BYTES]);
        let hex = key.to_hex();
        let texts = [hex.as_str(), &STANDARD.encode(key.0), &URL_SAFE_NO_PAD.encode(key.0)];
        for text in texts {
            assert_eq!(Key::parse(text).map(|read| read.0), Some(key.0), "{text}");
        }
        for text in ["", "07", "password", &hex[2..], &STANDARD.encode([7; 33])] {
            assert!(Key::parse(text).is_none(), "{text}");
        }
        assert_eq!(format!("{key:?}"), "Key(***)");
    }

    #[test]
    fn parts_that_are_cut_elsewhere_have_another_mac() {
        let key = Key([7; BYTES]);
        assert_ne!(key.mac(&[b"ab", b"c"]), key.mac(&[b"a", b"bc"]));
        assert_ne!(key.mac(&[b"ab"]), key.mac(&[b"ab", b""]));
        assert_ne!(key.derived("a").0, key.derived("b").0);
    }

    #[test]
    fn names_of_keys_are_written_and_read() {
        let id = KeyId([0, 1, 0xab, 0xff]);
        assert_eq!(id.to_string(), "0001abff");
        assert_eq!(KeyId::parse("0001abff"), Some(id));
        for text in ["", "0001abf", "0001ABFF", "0001abff0", "0001abfg"] {
            assert_eq!(KeyId::parse(text), None, "{text}");
        }
    }
}
