//! Keys and places for tests.

use serde_json::{Value, json};

use super::key::{Key, KeyId};
use super::ring::{Ring, SecretPlace};
use crate::model::{ConfigId, ConfigName, LayerKey, LayerKind, Namespace, Pointer, Scope};

pub fn id(text: &str) -> ConfigId {
    let (namespace, config) = text.split_once('/').expect("a config");
    ConfigId {
        namespace: Namespace::parse(namespace).expect("a name"),
        config: ConfigName::parse(config).expect("a name"),
    }
}

pub fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect("a pointer")
}

pub fn key(byte: u8) -> (KeyId, Key) {
    (KeyId([byte; 4]), Key::from_bytes(&[byte; 32]).expect("as many bytes as a key has"))
}

/// Of keys that are told by a byte each, oldest first.
pub fn ring(keys: &[u8]) -> Ring {
    let keys: Vec<_> = keys.iter().copied().map(key).collect();
    Ring::new(&keys).expect("there is a key")
}

/// A value as it is stored.
pub fn sealed(ring: &Ring, id: &ConfigId, at: &str, value: &Value) -> Value {
    let pointer = pointer(at);
    json!({"$secret": ring.seal(SecretPlace { id, pointer: &pointer }, value).to_string()})
}

/// The base layer at a scope.
pub fn base(scope: &str) -> LayerKey {
    LayerKey { kind: LayerKind::Base, scope: Scope::parse(scope).expect("a scope") }
}
