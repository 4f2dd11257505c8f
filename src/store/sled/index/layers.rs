//! Reading `layers` and `current`: what the layers of a config were at a version, and what they are now. Knows trees; not whether they
//! are up to date.

use super::record::{self, About, CurrentRecord, LayerRecord};
use super::trees::Trees;
use super::{chunk, keys, runs};
use crate::model::{ConfigId, Content, Digest, Layer, LayerKey, Revision, TagName, Timestamp, Version};
use crate::store::codec::{decode_content, format_of};
use crate::store::sled::journal::JournalPosition;
use crate::store::sled::{corrupt, place};
use crate::store::{Snapshot, StoreError};

/// An item of `layers`, put together from its parts.
pub struct Item {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// A change of a layer.
pub struct Change<'a> {
    pub version: Version,
    pub record: LayerRecord<'a>,
    /// Which of the items of the layer has it.
    pub item: usize,
}

impl Trees {
    /// A version with its layers: for each layer there ever was, one seek to its last change up to then.
    pub fn snapshot(
        &self,
        id: &ConfigId,
        version: Version,
        oldest: Revision,
    ) -> Result<Option<Snapshot>, StoreError> {
        let Some(current) = self.current_version(id)? else { return Ok(None) };
        if version == Version::ZERO || version > current.version {
            return Ok(None);
        }
        let Some(at) = self.retained_version(id, version, oldest)? else {
            return Err(StoreError::forgotten_version(oldest));
        };
        let mut snapshot = Snapshot { at, layers: Default::default() };
        self.each_layer(id, |key, prefix| {
            if let Some((_, Some(layer))) = self.layer_at(prefix, version)? {
                snapshot.layers.insert(key, layer);
            }
            Ok(())
        })?;
        Ok(Some(snapshot))
    }

    /// Calls `visit` with each layer there is a trace of, and its key in `layers`.
    pub fn each_layer(
        &self,
        id: &ConfigId,
        mut visit: impl FnMut(LayerKey, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut start = keys::config(id);
        while let Some(prefix) = self.next_layer(id, start)? {
            let (_, key, _) = self.parse_layer(&prefix)?;
            visit(key, &prefix)?;
            start = keys::after(&prefix);
        }
        Ok(())
    }

    /// The key in `layers` of the first layer of a config from `start` on.
    pub fn next_layer(&self, id: &ConfigId, start: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(entry) = self.layers.range(start..).next() else { return Ok(None) };
        let (part, _) = entry?;
        if !part.starts_with(&keys::config(id)) {
            return Ok(None);
        }
        let (_, _, rest) = self.parse_layer(&part)?;
        Ok(Some(part[..part.len() - rest.len()].to_vec()))
    }

    fn parse_layer<'k>(&self, key: &'k [u8]) -> Result<(ConfigId, LayerKey, &'k [u8]), StoreError> {
        keys::parse_layer(key).ok_or_else(|| corrupt(place(&self.layers, key), "not the key of a layer"))
    }

    /// The last change of a layer up to `version`: when, and what it was from then on. `None` within: it ended.
    pub fn layer_at(
        &self,
        prefix: &[u8],
        version: Version,
    ) -> Result<Option<(Version, Option<Layer>)>, StoreError> {
        let last = chunk::last_part_key(&keys::at_version(prefix, version));
        let Some(entry) = self.layers.range(prefix.to_vec()..=last).next_back() else { return Ok(None) };
        let (part, value) = entry?;
        let key = chunk::whole_key(&part);
        // Most are one part, which is at hand.
        let value = match *part == *chunk::first_part_key(key) {
            true => value,
            false => chunk::read(&self.layers, key)?.unwrap_or_default().into(),
        };
        let changes = self.parse_changes(prefix, key, &value)?;
        let before = changes.into_iter().take_while(|(changed, _)| *changed <= version);
        let Some((changed, record)) = before.last() else { return Ok(None) };
        Ok(Some((changed, self.layer_of(key, changed, record)?)))
    }

    fn layer_of(
        &self,
        key: &[u8],
        changed: Version,
        record: LayerRecord<'_>,
    ) -> Result<Option<Layer>, StoreError> {
        let (about, content) = match record {
            LayerRecord::Gone => return Ok(None),
            LayerRecord::Inline { about, content } => (about, decode_content(content)),
            LayerRecord::Journal { about, segment, offset, bytes } => {
                let place = JournalPosition { segment: Revision(segment), offset };
                let content = decode_content(&self.journal.read_text(place, bytes)?);
                if content.digest().0 != about.digest {
                    return Err(self.wrong_content(key, place));
                }
                (about, content)
            }
        };
        checked_layer(content, about, changed)
            .map(Some)
            .map_err(|what| corrupt(place(&self.layers, key), what))
    }

    /// The items of a layer, in order.
    pub fn layer_items(&self, prefix: &[u8]) -> Result<Vec<Item>, StoreError> {
        let mut items: Vec<Item> = Vec::new();
        for entry in self.layers.scan_prefix(prefix) {
            let (part, chunk) = entry?;
            let key = chunk::whole_key(&part);
            match items.last_mut().filter(|last| last.key == key) {
                Some(item) => item.value.extend_from_slice(&chunk),
                None => items.push(Item { key: key.to_vec(), value: chunk.to_vec() }),
            }
        }
        Ok(items)
    }

    /// What the items of a layer say, each of its changes once, in order, with the item that says so.
    pub fn layer_changes<'a>(&self, prefix: &[u8], items: &'a [Item]) -> Result<Vec<Change<'a>>, StoreError> {
        let mut changes: Vec<Change<'a>> = Vec::new();
        for (item, Item { key, value }) in items.iter().enumerate() {
            let found = self.parse_changes(prefix, key, value)?;
            let first = found[0].0;
            changes.truncate(changes.partition_point(|change| change.version < first));
            changes.extend(found.into_iter().map(|(version, record)| Change { version, record, item }));
        }
        Ok(changes)
    }

    /// An item of a layer: never empty, and as its key says.
    fn parse_changes<'a>(
        &self,
        prefix: &[u8],
        key: &[u8],
        value: &'a [u8],
    ) -> Result<Vec<(Version, LayerRecord<'a>)>, StoreError> {
        let first = key.get(prefix.len()..).and_then(keys::parse_version);
        let changes = runs::decode_changes(value).filter(|changes| Some(changes[0].0) == first);
        changes.ok_or_else(|| corrupt(place(&self.layers, key), "not the changes of a layer"))
    }

    /// Of content in the journal that does not have the digest that the index, at `key`, has for it. Which of the two is wrong, only
    /// reading all of it tells.
    pub fn wrong_content(&self, key: &[u8], found: JournalPosition) -> StoreError {
        let (file, at) = (self.journal.place(found.segment), found.offset);
        let what = format!("it has another digest than the content at byte {at} of {file}");
        corrupt(place(&self.layers, key), what)
    }

    /// The layer that has the key `key` in `current`.
    pub fn current_layer(&self, key: &[u8]) -> Result<(LayerKey, Layer), StoreError> {
        let damaged = |what: &str| corrupt(place(&self.current, key), what);
        let (_, layer_key, _) = keys::parse_layer(key).ok_or_else(|| damaged("not the key of a layer"))?;
        let value = chunk::read(&self.current, key)?.ok_or_else(|| damaged("it is missing"))?;
        let layer = parse_current(&value).map_err(|what| damaged(&what))?;
        Ok((layer_key, layer))
    }
}

/// Reads a value of `current`, or says what is wrong with it.
pub fn parse_current(value: &[u8]) -> Result<Layer, String> {
    let record: CurrentRecord = record::decode(value).ok_or("not a layer")?;
    let CurrentRecord { about, version, content } = record;
    checked_layer(decode_content(content), about, Version(version))
}

/// Reads an entry of `tags`. `None` if it is none.
pub fn parse_tag(prefix: &[u8], key: &[u8], value: &[u8]) -> Option<(TagName, Version)> {
    let name = str::from_utf8(key.get(prefix.len()..)?).ok()?;
    Some((TagName::parse(name).ok()?, Version(record::decode_number(value)?)))
}

/// Content is what its digest says, or the reason why not.
fn checked_layer(content: Content, about: About, version: Version) -> Result<Layer, String> {
    let (found, stored) = (content.digest(), Digest(about.digest));
    if found != stored {
        return Err(format!("the content has the digest {found}, {stored} was stored"));
    }
    let format = about.format.map(format_of).transpose().map_err(|error| error.to_string())?;
    Ok(Layer { content, version, expires: about.expires_us.map(Timestamp), format })
}
