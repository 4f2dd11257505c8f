//! The data keys of one namespace: seal values at their places, open them, and compare them without revealing them. Knows values and
//! places; not the marks of a document.

use serde_json::Value;
use zeroize::Zeroizing;

use super::key::{Key, KeyId};
use super::sealed::{SealedText, SealingKey};
use crate::model::canonical::to_canonical;
use crate::model::{ConfigId, LayerKey, Pointer};

/// What stands before the fingerprint of a value that is hidden.
const HIDDEN: &str = "***:";
/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 4;
/// A value is filled up to a multiple of this before it is sealed: its length tells less.
const PADDED_BYTES: usize = 32;

/// Where a value is, in any layer of the config.
#[derive(Clone, Copy, Debug)]
pub struct SecretPlace<'a> {
    pub id: &'a ConfigId,
    pub pointer: &'a Pointer,
}

/// The data keys of a namespace: the newest seals, all open.
#[derive(Debug)]
pub struct Ring {
    /// Oldest first. At least one.
    keys: Vec<SealingKey>,
    /// Of the oldest, and so the same as long as there is a namespace: a rotation of its keys is no change of its secrets.
    fingerprints: Key,
}

impl Ring {
    /// Oldest first. `None` if there is no key.
    pub fn new(keys: &[(KeyId, Key)]) -> Option<Ring> {
        let fingerprints = keys.first()?.1.derived("fingerprint");
        Some(Ring { keys: keys.iter().map(|(id, key)| SealingKey::new(*id, key)).collect(), fingerprints })
    }

    /// The key that seals now.
    pub fn newest(&self) -> KeyId {
        self.last().id
    }

    /// Whether a value was sealed by a key of this ring, going by the name of the key.
    pub fn has_key_of(&self, sealed: &SealedText) -> bool {
        self.keys.iter().any(|key| key.id == sealed.key())
    }

    /// Seals a value. The same value at the same place gives the same text, as long as the key is the newest.
    pub fn seal(&self, place: SecretPlace<'_>, value: &Value) -> SealedText {
        let text = Zeroizing::new(to_canonical(value));
        let mut padded = Zeroizing::new(vec![b' '; text.len().next_multiple_of(PADDED_BYTES)]);
        padded[..text.len()].copy_from_slice(text.as_bytes());
        self.last().seal(&place.parts(&place.pointer.to_string()), &padded)
    }

    /// The value. `None` if it was not sealed by one of these keys for this place.
    pub fn open(&self, place: SecretPlace<'_>, sealed: &SealedText) -> Option<Value> {
        let key = self.keys.iter().find(|key| key.id == sealed.key())?;
        let text = key.open(&place.parts(&place.pointer.to_string()), sealed)?;
        serde_json::from_slice(&text).ok()
    }

    /// The fingerprint that replaces a value for callers who may not reveal it: another text for another value of the place in this layer. Equal
    /// values of two layers have different fingerprints, so that nobody finds a secret by comparing it with values in a layer of their own.
    pub fn hidden(&self, place: SecretPlace<'_>, layer: &LayerKey, value: &Value) -> String {
        let text = Zeroizing::new(to_canonical(value));
        let pointer = place.pointer.to_string();
        let [namespace, config, pointer] = place.parts(&pointer);
        let (kind, scope) = (layer.kind.to_string(), layer.scope.as_str().as_bytes());
        let mac =
            self.fingerprints.mac(&[namespace, config, kind.as_bytes(), scope, pointer, text.as_bytes()]);
        format!("{HIDDEN}{}", hex::encode(&mac[..FINGERPRINT_BYTES]))
    }

    fn last(&self) -> &SealingKey {
        self.keys.last().expect("there is at least one")
    }
}

impl<'a> SecretPlace<'a> {
    fn parts<'p>(&self, pointer: &'p str) -> [&'p [u8]; 3]
    where
        'a: 'p,
    {
        [self.id.namespace.as_str().as_bytes(), self.id.config.as_str().as_bytes(), pointer.as_bytes()]
    }
}

/// Whether a text is one that `Ring::hidden` writes.
pub(super) fn is_hidden(text: &str) -> bool {
    let fingerprint = text.strip_prefix(HIDDEN).map(str::as_bytes);
    fingerprint.is_some_and(|digits| {
        digits.len() == 2 * FINGERPRINT_BYTES && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::{LayerKind, arbitrary};
    use crate::secret::example::{base, id, pointer, ring};

    proptest! {
        #[test]
        fn every_value_opens_as_it_was(value in arbitrary::value(), at in "(/[a-z~0-9]{0,4}){0,3}") {
            let Ok(pointer) = Pointer::parse(&at) else { return Ok(()) };
            let (ring, id) = (ring(&[1, 2]), id("payments/checkout"));
            let place = SecretPlace { id: &id, pointer: &pointer };
            let sealed = ring.seal(place, &value);
            prop_assert_eq!(ring.open(place, &sealed), Some(value.clone()));
            prop_assert_eq!(ring.seal(place, &value), sealed);
            prop_assert!(is_hidden(&ring.hidden(place, &base("/"), &value)));
        }
    }

    #[test]
    fn a_place_is_namespace_config_and_pointer() {
        let ring = ring(&[1]);
        let (here, at) = (id("payments/checkout"), pointer("/a/b"));
        let place = SecretPlace { id: &here, pointer: &at };
        let sealed = ring.seal(place, &json!("hunter2"));
        for (other, at) in
            [("payments/other", "/a/b"), ("other/checkout", "/a/b"), ("payments/checkout", "/a/c")]
        {
            let (other, at) = (id(other), pointer(at));
            let elsewhere = SecretPlace { id: &other, pointer: &at };
            assert_eq!(ring.open(elsewhere, &sealed), None, "{other} {at}");
            assert_ne!(ring.seal(elsewhere, &json!("hunter2")), sealed);
            let hidden = |place| ring.hidden(place, &base("/"), &json!("hunter2"));
            assert_ne!(hidden(elsewhere), hidden(place));
        }
    }

    #[test]
    fn a_new_key_seals_and_the_old_ones_open_and_fingerprints_stay() {
        let (old, new) = (ring(&[1]), ring(&[1, 2]));
        let (here, at) = (id("payments/checkout"), pointer("/password"));
        let place = SecretPlace { id: &here, pointer: &at };
        let sealed = old.seal(place, &json!("hunter2"));
        assert_eq!(new.open(place, &sealed), Some(json!("hunter2")));
        let again = new.seal(place, &json!("hunter2"));
        assert_eq!((again.key(), again == sealed), (new.newest(), false));
        assert_eq!(old.open(place, &again), None);
        let hidden = |ring: &Ring, value| ring.hidden(place, &base("/"), &json!(value));
        assert_eq!(hidden(&new, "hunter2"), hidden(&old, "hunter2"));
        assert_ne!(hidden(&new, "hunter3"), hidden(&new, "hunter2"));
    }

    #[test]
    fn equal_values_of_two_layers_have_different_fingerprints() {
        let (ring, here, at) = (ring(&[1]), id("payments/checkout"), pointer("/password"));
        let place = SecretPlace { id: &here, pointer: &at };
        let over = LayerKey { kind: LayerKind::Override, ..base("/") };
        let layers = [base("/"), base("/staging"), over];
        let fingerprints: BTreeSet<String> =
            layers.iter().map(|layer| ring.hidden(place, layer, &json!("hunter2"))).collect();
        assert_eq!(fingerprints.len(), layers.len());
    }

    #[test]
    fn the_length_of_what_is_sealed_tells_little() {
        let (ring, here, at) = (ring(&[1]), id("payments/checkout"), pointer("/password"));
        let length =
            |text: &str| ring.seal(SecretPlace { id: &here, pointer: &at }, &json!(text)).to_string().len();
        assert_eq!(length(""), length(&"x".repeat(30)));
        assert_ne!(length(""), length(&"x".repeat(31)));
    }
}
