//! The keys of the indexes. Knows the model and bytes; no trees.
//!
//! Texts end with NUL, which occurs in no name and in no scope, and numbers have a fixed width, big endian: no key is a prefix of another
//! config's or layer's, and the order of keys is the order of the model (NUL sorts before every character).

use crate::model::{ConfigId, LayerKey, Namespace, Version};
use crate::store::codec::{config_id, kind_code, layer_key};

/// The prefix of the keys of a namespace in all indexes.
pub fn namespace(namespace: &Namespace) -> Vec<u8> {
    [namespace.as_str().as_bytes(), b"\0"].concat()
}

/// Of a config in `configs`; the prefix of its keys in all other indexes.
pub fn config(id: &ConfigId) -> Vec<u8> {
    config_named(id.namespace.as_str(), id.config.as_str())
}

/// As `config`, from its names.
pub fn config_named(namespace: &str, config: &str) -> Vec<u8> {
    [namespace.as_bytes(), b"\0", config.as_bytes(), b"\0"].concat()
}

/// Of a layer in `current`; the prefix of its keys in `layers`.
pub fn layer(id: &ConfigId, key: &LayerKey) -> Vec<u8> {
    layer_of(&config(id), kind_code(key.kind), key.scope.as_str())
}

/// As `layer`, from the key of the config, and what commits hold.
pub fn layer_of(config: &[u8], kind: u8, scope: &str) -> Vec<u8> {
    [config, &[kind], scope.as_bytes(), b"\0"].concat()
}

/// In `layers`, from the key of the layer; in `versions`, from that of the config.
pub fn at_version(prefix: &[u8], version: Version) -> Vec<u8> {
    [prefix, &version.0.to_be_bytes()].concat()
}

/// In `tags`, from the key of the config.
pub fn tag_of(config: &[u8], tag: &str) -> Vec<u8> {
    [config, tag.as_bytes()].concat()
}

/// The first key that does not start with `prefix`, which ends with NUL.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    if let Some(last) = key.last_mut() {
        *last = 1;
    }
    key
}

/// Reads what `config` writes, and returns the rest. `None` if it is not that.
pub fn parse_config(key: &[u8]) -> Option<(ConfigId, &[u8])> {
    let (namespace, rest) = take_text(key)?;
    let (config, rest) = take_text(rest)?;
    Some((config_id(namespace, config).ok()?, rest))
}

/// Reads what `layer` writes, and returns the rest. `None` if it is not that.
pub fn parse_layer(key: &[u8]) -> Option<(ConfigId, LayerKey, &[u8])> {
    let (id, rest) = parse_config(key)?;
    let (kind, rest) = rest.split_first()?;
    let (scope, rest) = take_text(rest)?;
    Some((id, layer_key(*kind, scope).ok()?, rest))
}

/// The kind and the scope in the key of a layer, of which the rest is not looked at. `None` if it is none.
pub fn split_layer(key: &[u8]) -> Option<(u8, &str)> {
    let (_, rest) = take_text(key)?;
    let (_, rest) = take_text(rest)?;
    let (kind, rest) = rest.split_first()?;
    let (scope, _) = take_text(rest)?;
    Some((*kind, scope))
}

/// Reads the version that ends a key. `None` if it is not that.
pub fn parse_version(rest: &[u8]) -> Option<Version> {
    Some(Version(u64::from_be_bytes(rest.try_into().ok()?)))
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}
