//! What a sealed value is written as, and the cipher that makes it and takes it apart. Knows bytes and what they are bound to; no
//! document.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::key::{Key, KeyId};

/// The format of what follows.
const FORMAT: &str = "v1:";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Something that was sealed, and the name of the key that opens it: `v1:KEY:BYTES`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedText {
    key: KeyId,
    /// The nonce, then what the cipher has made.
    bytes: Vec<u8>,
}

/// A key that seals and opens.
#[derive(Clone)]
pub(super) struct SealingKey {
    pub id: KeyId,
    cipher: Key,
    nonce: Key,
}

impl SealingKey {
    pub fn new(id: KeyId, root: &Key) -> SealingKey {
        SealingKey { id, cipher: root.derived("cipher"), nonce: root.derived("nonce") }
    }

    /// Seals a text, bound to parts that must be the same when it is opened. The same text with the same parts gives the same.
    pub fn seal(&self, bound_to: &[&[u8]], text: &[u8]) -> SealedText {
        let parts: Vec<&[u8]> = bound_to.iter().copied().chain([text]).collect();
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.nonce.mac(&parts)[..NONCE_BYTES]);
        let bound = self.bound(bound_to);
        let payload = Payload { msg: text, aad: &bound };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a document is far smaller than the cipher can take");
        SealedText { key: self.id, bytes: [nonce.as_slice(), &sealed].concat() }
    }

    /// The text. `None` if it was sealed by another key or bound to something else, or is damaged.
    pub fn open(&self, bound_to: &[&[u8]], sealed: &SealedText) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.bytes.split_first_chunk::<NONCE_BYTES>()?;
        let bound = self.bound(bound_to);
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: &bound });
        opened.ok().map(Zeroizing::new).filter(|_| sealed.key == self.id)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.cipher.bytes().into())
    }

    /// The format and the key are bound, too. Each part with its length before it.
    fn bound(&self, parts: &[&[u8]]) -> Vec<u8> {
        let parts = [FORMAT.as_bytes(), &self.id.0].into_iter().chain(parts.iter().copied());
        let with_length = |part: &[u8]| [&(part.len() as u64).to_be_bytes(), part].concat();
        parts.flat_map(with_length).collect()
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

impl SealedText {
    /// Of the key that has sealed it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Reads what `Display` writes. `None` if it is not that.
    pub fn parse(text: &str) -> Option<SealedText> {
        let (key, bytes) = text.strip_prefix(FORMAT)?.split_once(':')?;
        let bytes =
            URL_SAFE_NO_PAD.decode(bytes).ok().filter(|bytes| bytes.len() >= NONCE_BYTES + TAG_BYTES)?;
        Some(SealedText { key: KeyId::parse(key)?, bytes })
    }

    /// Whether a text begins as what is sealed does: it must be that then.
    pub fn is_begun_by(text: &str) -> bool {
        let rest = text.strip_prefix(FORMAT).and_then(|rest| rest.split_once(':'));
        rest.is_some_and(|(key, _)| KeyId::parse(key).is_some())
    }
}

impl fmt::Display for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT}{}:{}", self.key, URL_SAFE_NO_PAD.encode(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(KeyId([byte; 4]), &Key::from_bytes(&[byte; 32]).expect("as many bytes as a key has"))
    }

    fn opened(key: &SealingKey, bound_to: &[&[u8]], sealed: &SealedText) -> Option<Vec<u8>> {
        key.open(bound_to, sealed).map(|text| text.to_vec())
    }

    /// What is on disks must open for ever.
    #[test]
    fn the_format_stays_as_it_is() {
        let text = "v1:07070707:uDEDlHQriqMDGypTrY6xfSnv6184QCqdrKo6C5X3Dmccy1Ey0OIQv_clyZL_TafJ7w";
        let sealed = key(7).seal(&[b"payments", b"checkout", b"/password"], b"\"hunter2\"");
        assert_eq!(sealed.to_string(), text);
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_is_the_same_each_time(text: Vec<u8>, place: Vec<u8>) {
            let sealed = key(1).seal(&[&place], &text);
            prop_assert_eq!(&key(1).seal(&[&place], &text), &sealed);
            let read = SealedText::parse(&sealed.to_string());
            prop_assert_eq!(read.as_ref(), Some(&sealed));
            prop_assert!(SealedText::is_begun_by(&sealed.to_string()));
            prop_assert_eq!(opened(&key(1), &[&place], &sealed), Some(text));
        }

        #[test]
        fn nothing_opens_elsewhere_or_with_another_key(text: Vec<u8>, place: Vec<u8>, other: Vec<u8>) {
            prop_assume!(place != other);
            let sealed = key(1).seal(&[&place], &text);
            prop_assert_eq!(opened(&key(1), &[&other], &sealed), None);
            prop_assert_eq!(opened(&key(1), &[&place, b""], &sealed), None);
            prop_assert_eq!(opened(&key(2), &[&place], &sealed), None);
            prop_assert_ne!(key(1).seal(&[&other], &text).bytes, sealed.bytes);
        }

        #[test]
        fn any_flipped_bit_is_refused(text: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32) {
            let mut sealed = key(1).seal(&[b"place"], &text);
            let at = at.index(sealed.bytes.len());
            sealed.bytes[at] ^= 1 << bit;
            prop_assert_eq!(opened(&key(1), &[b"place"], &sealed), None);
        }

        #[test]
        fn other_texts_are_not_sealed_ones(text in "(v1:)?[0-9a-f]{0,9}:?[A-Za-z0-9_-]{0,60}") {
            if let Some(read) = SealedText::parse(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}
