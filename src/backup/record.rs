//! The bytes of a config in a backup. Knows the model and bytes; no parts.
//!
//! An item of the parts `h` and `s` is the [postcard](https://postcard.jamesmunns.com/wire-format) encoding of `ConfigItem`: fields in order,
//! integers as varints (signed ones zigzag), texts and lists as length and items, options as 0 or 1 and the item. Codes of kinds and formats
//! are those of `store/codec.rs`. A config that was deleted has no layers. Tags are in the last item of a config.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::BackupError;
use crate::model::text::Format;
use crate::model::{ConfigId, Layer, LayerKey, Revision, TagName, Timestamp, Version};
use crate::store::codec::{
    check_layer_key, config_id, decode_content, format_code, format_of, kind_code, layer_key,
};
use crate::store::{ConfigRecord, VersionRef};

/// A config at one of its versions.
#[derive(Serialize, Deserialize)]
struct ConfigItem<'a> {
    namespace: &'a str,
    config: &'a str,
    version: u64,
    revision: u64,
    time_us: i64,
    #[serde(borrow)]
    layers: Vec<LayerItem<'a>>,
    #[serde(borrow)]
    tags: Vec<(&'a str, u64)>,
}

#[derive(Serialize, Deserialize)]
struct LayerItem<'a> {
    kind: u8,
    scope: &'a str,
    /// The version of the config at which the layer last changed.
    version: u64,
    /// Canonical JSON.
    content: &'a str,
    expires_us: Option<i64>,
    format: Option<u8>,
}

/// Appends the bytes of a config.
pub fn append(bytes: &mut Vec<u8>, config: &ConfigRecord) {
    let layers = config.layers.iter().map(|(key, layer)| LayerItem {
        kind: kind_code(key.kind),
        scope: key.scope.as_str(),
        version: layer.version.0,
        content: layer.content.as_str(),
        expires_us: layer.expires.map(|time| time.0),
        format: layer.format.map(format_code),
    });
    let item = ConfigItem {
        namespace: config.id.namespace.as_str(),
        config: config.id.config.as_str(),
        version: config.at.version.0,
        revision: config.at.revision.0,
        time_us: config.at.time.0,
        layers: layers.collect(),
        tags: config.tags.iter().map(|(tag, version)| (tag.as_str(), version.0)).collect(),
    };
    let appended = postcard::to_extend(&item, std::mem::take(bytes));
    *bytes = appended.expect("records hold nothing that postcard refuses");
}

/// A config as it is stored, its texts where they lie. All names are right.
pub struct StoredConfig<'a> {
    pub id: ConfigId,
    item: ConfigItem<'a>,
}

impl<'a> StoredConfig<'a> {
    /// Reads what `append` wrote.
    pub fn decode(bytes: &'a [u8]) -> Result<StoredConfig<'a>, BackupError> {
        let (item, rest) = postcard::take_from_bytes::<ConfigItem>(bytes).map_err(unreadable)?;
        if !rest.is_empty() {
            return Err(unreadable(format!("{} bytes too many", rest.len())));
        }
        let id = config_id(item.namespace, item.config).map_err(unreadable)?;
        for layer in &item.layers {
            check_layer_key(layer.kind, layer.scope).map_err(unreadable)?;
            layer.text_format()?;
        }
        item.tags.iter().try_for_each(|(tag, _)| tag_name(tag).map(drop))?;
        Ok(StoredConfig { id, item })
    }

    pub fn version(&self) -> Version {
        Version(self.item.version)
    }

    pub fn revision(&self) -> Revision {
        Revision(self.item.revision)
    }

    /// The contents of its layers, of which there are none if the config was deleted.
    pub fn contents(&self) -> impl ExactSizeIterator<Item = &'a str> + '_ {
        self.item.layers.iter().map(|layer| layer.content)
    }

    pub fn into_record(self) -> Result<ConfigRecord, BackupError> {
        let StoredConfig { id, item } = self;
        let layer = |layer: LayerItem<'_>| {
            let read = Layer {
                content: decode_content(layer.content),
                version: Version(layer.version),
                expires: layer.expires_us.map(Timestamp),
                format: layer.text_format()?,
            };
            Ok((layer.key()?, read))
        };
        let tag = |(tag, version): (&str, u64)| Ok((tag_name(tag)?, Version(version)));
        Ok(ConfigRecord {
            id,
            at: VersionRef {
                version: Version(item.version),
                revision: Revision(item.revision),
                time: Timestamp(item.time_us),
            },
            layers: item.layers.into_iter().map(layer).collect::<Result<_, BackupError>>()?,
            tags: item.tags.into_iter().map(tag).collect::<Result<BTreeMap<_, _>, BackupError>>()?,
        })
    }
}

impl LayerItem<'_> {
    fn key(&self) -> Result<LayerKey, BackupError> {
        layer_key(self.kind, self.scope).map_err(unreadable)
    }

    fn text_format(&self) -> Result<Option<Format>, BackupError> {
        self.format.map(format_of).transpose().map_err(unreadable)
    }
}

fn tag_name(tag: &str) -> Result<TagName, BackupError> {
    TagName::parse(tag).map_err(unreadable)
}

fn unreadable(what: impl std::fmt::Display) -> BackupError {
    BackupError::damaged(format!("a config cannot be read: {what}"))
}
