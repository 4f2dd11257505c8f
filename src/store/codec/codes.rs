//! Names, scopes and codes, as commits and indexes hold them. Knows the model; no records.

use super::{DecodeError, damaged};
use crate::model::text::Format;
use crate::model::{ConfigId, ConfigName, LayerKey, LayerKind, Namespace, Scope, Source};

/// A name or scope that is not one.
pub(super) fn invalid(what: &str, error: impl std::fmt::Display) -> DecodeError {
    damaged(format!("a {what} {error}"))
}

/// Reads the name of a namespace.
pub(super) fn namespace_of(name: &str) -> Result<Namespace, DecodeError> {
    Namespace::parse(name).map_err(|error| invalid("namespace", error))
}

/// Reads the names of a config, as commits and keys of indexes hold them.
pub fn config_id(namespace: &str, config: &str) -> Result<ConfigId, DecodeError> {
    Ok(ConfigId {
        namespace: namespace_of(namespace)?,
        config: ConfigName::parse(config).map_err(|error| invalid("name of a config", error))?,
    })
}

/// Reads the key of a layer, as commits and keys of indexes hold it.
pub fn layer_key(kind: u8, scope: &str) -> Result<LayerKey, DecodeError> {
    Ok(LayerKey {
        kind: kind_of(kind)?,
        scope: Scope::parse(scope).map_err(|error| invalid("scope", error))?,
    })
}

/// Finds whatever `layer_key` would refuse.
pub fn check_layer_key(kind: u8, scope: &str) -> Result<(), DecodeError> {
    kind_of(kind)?;
    Scope::check(scope).map_err(|error| invalid("scope", error))
}

/// Reads what `kind_code` gives.
pub fn kind_of(code: u8) -> Result<LayerKind, DecodeError> {
    match code {
        0 => Ok(LayerKind::Base),
        1 => Ok(LayerKind::Override),
        other => Err(damaged(format!("a layer of kind {other}"))),
    }
}

/// The number a kind is stored as, in commits and in keys of indexes.
pub fn kind_code(kind: LayerKind) -> u8 {
    match kind {
        LayerKind::Base => 0,
        LayerKind::Override => 1,
    }
}

/// The code of a format, as commits and values of indexes hold it.
pub fn format_code(format: Format) -> u8 {
    match format {
        Format::Json => 0,
        Format::Yaml => 1,
        Format::Toml => 2,
    }
}

/// Reads what `format_code` gives.
pub fn format_of(code: u8) -> Result<Format, DecodeError> {
    match code {
        0 => Ok(Format::Json),
        1 => Ok(Format::Yaml),
        2 => Ok(Format::Toml),
        other => Err(damaged(format!("text of format {other}"))),
    }
}

pub(super) fn source_code(source: Source) -> u8 {
    match source {
        Source::Set => 0,
        Source::Apply => 1,
        Source::Delete => 2,
        Source::Rollback => 3,
        Source::Expiry => 4,
        Source::Tag => 5,
        Source::Schema => 6,
        Source::Migration => 7,
        Source::Revert => 8,
        Source::Restore => 9,
    }
}

pub(super) fn source_of(code: u8) -> Result<Source, DecodeError> {
    match code {
        0 => Ok(Source::Set),
        1 => Ok(Source::Apply),
        2 => Ok(Source::Delete),
        3 => Ok(Source::Rollback),
        4 => Ok(Source::Expiry),
        5 => Ok(Source::Tag),
        6 => Ok(Source::Schema),
        7 => Ok(Source::Migration),
        8 => Ok(Source::Revert),
        9 => Ok(Source::Restore),
        other => Err(damaged(format!("a commit of source {other}"))),
    }
}
