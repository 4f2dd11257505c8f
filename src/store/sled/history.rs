//! Reading the indexes: versions, snapshots and the current state. Knows trees; not whether they are up to date.
//!
//! A version is retained if it had not ended at the oldest revision, or is pinned. Whatever else is still in the trees has been
//! forgotten and waits for the sweep of a compaction.

use super::super::codec::decode_content;
use super::record::{self, CurrentRecord, LayerRecord};
use super::trees::Trees;
use super::{chunk, corrupt, keys, place};
use crate::model::{ConfigId, Content, Digest, Layer, LayerKey, Revision, TagName, Timestamp, Version};
use crate::store::{ConfigRecord, Snapshot, StoreError, VersionRef};

impl Trees {
    /// The retained versions below `before`, newest first, at most `limit`.
    pub fn versions(
        &self,
        id: &ConfigId,
        before: Version,
        limit: usize,
        oldest: Revision,
    ) -> Result<Vec<VersionRef>, StoreError> {
        let prefix = keys::config(id);
        let mut found = Vec::new();
        let range = prefix.clone()..keys::at_version(&prefix, before);
        for entry in self.versions.range(range).rev() {
            if found.len() == limit {
                break;
            }
            let (key, value) = entry?;
            let at = self.parse_version(&prefix, &key, &value)?;
            if self.is_retained(id, at, oldest)? {
                found.push(at);
            }
        }
        Ok(found)
    }

    /// The version as of `revision`.
    pub fn version_at(
        &self,
        id: &ConfigId,
        revision: Revision,
        oldest: Revision,
    ) -> Result<Option<VersionRef>, StoreError> {
        let compacted = StoreError::Compacted { asked: revision, oldest };
        let Some(current) = self.current_version(id)? else { return Ok(None) };
        match self.last_version_at(id, revision)? {
            None => match self.retained_version(id, Version(1), oldest)? {
                Some(_) => Ok(None),
                None => Err(compacted),
            },
            Some(at) if at == current => Ok(Some(at)),
            // It is known when it ended only if the next one is known.
            Some(at) => {
                let next = self.retained_version(id, at.version.next(), oldest)?;
                match self.is_retained(id, at, oldest)? && next.is_some() {
                    true => Ok(Some(at)),
                    false => Err(compacted),
                }
            }
        }
    }

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
            if let Some(changed) = self.last_change(prefix, version)?
                && let Some(layer) = self.layer(prefix, changed)?
            {
                snapshot.layers.insert(key, layer);
            }
            Ok(())
        })?;
        Ok(Some(snapshot))
    }

    /// The current state of every config, in the order of their ids.
    pub fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<(), StoreError> {
        for entry in &self.configs {
            let (key, value) = entry?;
            let damaged = || corrupt(place(&self.configs, &key), "not the version of a config");
            let (id, _) = keys::parse_config(&key).ok_or_else(damaged)?;
            let at = record::decode_config(&value).ok_or_else(damaged)?;
            let mut record = ConfigRecord { id, at, layers: Vec::new(), tags: Default::default() };
            let mut start = key.to_vec();
            while let Some(part) = self.current.range(start..).next() {
                let (part, _) = part?;
                if !part.starts_with(&key) {
                    break;
                }
                let (layer_key, layer) = self.current_layer(chunk::whole_key(&part))?;
                record.layers.push((layer_key, layer));
                start = keys::after(chunk::whole_key(&part));
            }
            for tag in self.tags.scan_prefix(&key) {
                let (tag_key, value) = tag?;
                let (name, version) = parse_tag(&key, &tag_key, &value)
                    .ok_or_else(|| corrupt(place(&self.tags, &tag_key), "not a tag of a version"))?;
                record.tags.insert(name, version);
            }
            visit(record);
        }
        Ok(())
    }

    /// The newest version of a config. `None` if there is no such config.
    pub fn current_version(&self, id: &ConfigId) -> Result<Option<VersionRef>, StoreError> {
        let prefix = keys::config(id);
        match self.versions.scan_prefix(&prefix).next_back() {
            None => Ok(None),
            Some(entry) => {
                let (key, value) = entry?;
                self.parse_version(&prefix, &key, &value).map(Some)
            }
        }
    }

    /// The newest version made at or before `revision`, retained or not. Revisions grow with versions, so halving finds it; there
    /// are gaps in a history that was compacted.
    pub fn last_version_at(
        &self,
        id: &ConfigId,
        revision: Revision,
    ) -> Result<Option<VersionRef>, StoreError> {
        let Some(current) = self.current_version(id)? else { return Ok(None) };
        if current.revision <= revision {
            return Ok(Some(current));
        }
        let prefix = keys::config(id);
        let (mut low, mut high) = (0, current.version.0);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let range = keys::at_version(&prefix, Version(middle))..;
            let (key, value) = self
                .versions
                .range(range)
                .next()
                .ok_or_else(|| corrupt(place(&self.versions, &prefix), "versions vanish"))??;
            let at = self.parse_version(&prefix, &key, &value)?;
            if at.revision <= revision {
                low = at.version.0 + 1;
                found = Some(at);
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    /// A version, if it is retained.
    pub fn retained_version(
        &self,
        id: &ConfigId,
        version: Version,
        oldest: Revision,
    ) -> Result<Option<VersionRef>, StoreError> {
        match self.version(id, version)? {
            Some(at) if self.is_retained(id, at, oldest)? => Ok(Some(at)),
            Some(_) | None => Ok(None),
        }
    }

    /// Calls `visit` with each layer there is a trace of, and its key in `layers`.
    pub fn each_layer(
        &self,
        id: &ConfigId,
        mut visit: impl FnMut(LayerKey, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let prefix = keys::config(id);
        let mut start = prefix.clone();
        while let Some(entry) = self.layers.range(start..).next() {
            let (part, _) = entry?;
            if !part.starts_with(&prefix) {
                break;
            }
            let (_, key, rest) = keys::parse_layer(&part)
                .ok_or_else(|| corrupt(place(&self.layers, &part), "not the key of a layer"))?;
            let layer_prefix = &part[..part.len() - rest.len()];
            visit(key, layer_prefix)?;
            start = keys::after(layer_prefix);
        }
        Ok(())
    }

    /// The version at which a layer last changed, up to `version`.
    pub fn last_change(&self, prefix: &[u8], version: Version) -> Result<Option<Version>, StoreError> {
        let last = chunk::last_part_key(&keys::at_version(prefix, version));
        match self.layers.range(prefix.to_vec()..=last).next_back() {
            None => Ok(None),
            Some(entry) => self.parse_change(prefix, &entry?.0).map(Some),
        }
    }

    /// The version in the key of a part of a layer's value.
    pub fn parse_change(&self, prefix: &[u8], part: &[u8]) -> Result<Version, StoreError> {
        chunk::whole_key(part)
            .get(prefix.len()..)
            .and_then(keys::parse_version)
            .ok_or_else(|| corrupt(place(&self.layers, part), "not the key of a version of a layer"))
    }

    /// The layer as of the version at which it changed. `None` if it ended then.
    pub fn layer(&self, prefix: &[u8], changed: Version) -> Result<Option<Layer>, StoreError> {
        let key = keys::at_version(prefix, changed);
        let damaged = |what: &str| corrupt(place(&self.layers, &key), what);
        let value = chunk::read(&self.layers, &key)?.ok_or_else(|| damaged("it is missing"))?;
        let record = record::decode(&value).ok_or_else(|| damaged("not a layer"))?;
        let (digest, expires_us, content) = match record {
            LayerRecord::Gone => return Ok(None),
            LayerRecord::Inline { digest, expires_us, content } => {
                (digest, expires_us, decode_content(content))
            }
            LayerRecord::Journal { digest, expires_us, batch, offset, bytes } => {
                (digest, expires_us, self.journal_content(Revision(batch), offset, bytes)?)
            }
        };
        checked_layer(content, digest, changed, expires_us).map(Some).map_err(|what| damaged(&what))
    }

    /// Whether the value of a layer says that it ended.
    pub fn layer_record_is_gone(&self, key: &[u8]) -> Result<bool, StoreError> {
        let value = chunk::read(&self.layers, key)?;
        match value.as_deref().and_then(record::decode) {
            Some(LayerRecord::Gone) => Ok(true),
            Some(LayerRecord::Journal { .. } | LayerRecord::Inline { .. }) => Ok(false),
            None => Err(corrupt(place(&self.layers, key), "not a layer")),
        }
    }

    /// Content that lies in a batch of the journal.
    pub fn journal_content(&self, batch: Revision, offset: u64, bytes: u64) -> Result<Content, StoreError> {
        let content = self.journal.read_range(batch, offset, bytes)?;
        str::from_utf8(&content)
            .map(decode_content)
            .map_err(|_| corrupt(self.journal.place(batch), "content is not UTF-8"))
    }

    /// The layer that has the key `key` in `current`.
    pub fn current_layer(&self, key: &[u8]) -> Result<(LayerKey, Layer), StoreError> {
        let damaged = |what: &str| corrupt(place(&self.current, key), what);
        let (_, layer_key, _) = keys::parse_layer(key).ok_or_else(|| damaged("not the key of a layer"))?;
        let value = chunk::read(&self.current, key)?.ok_or_else(|| damaged("it is missing"))?;
        let record: CurrentRecord = record::decode(&value).ok_or_else(|| damaged("not a layer"))?;
        let CurrentRecord { digest, expires_us, version, content } = record;
        let layer = checked_layer(decode_content(content), digest, Version(version), expires_us)
            .map_err(|what| damaged(&what))?;
        Ok((layer_key, layer))
    }

    fn version(&self, id: &ConfigId, version: Version) -> Result<Option<VersionRef>, StoreError> {
        let prefix = keys::config(id);
        let key = keys::at_version(&prefix, version);
        match self.versions.get(&key)? {
            None => Ok(None),
            Some(value) => self.parse_version(&prefix, &key, &value).map(Some),
        }
    }

    fn is_retained(&self, id: &ConfigId, at: VersionRef, oldest: Revision) -> Result<bool, StoreError> {
        if at.revision >= oldest {
            return Ok(true);
        }
        let prefix = keys::config(id);
        let after = keys::at_version(&prefix, at.version.next())..keys::after(&prefix);
        let ended = match self.versions.range(after).next() {
            None => None,
            Some(entry) => {
                let (key, value) = entry?;
                Some(self.parse_version(&prefix, &key, &value)?)
            }
        };
        // If the one found is not the next, it is later, and so was the end of this one earlier.
        match ended {
            None => Ok(true),
            Some(next) if next.version == at.version.next() && next.revision > oldest => Ok(true),
            Some(_) => self.is_pinned(id, at.version),
        }
    }

    fn parse_version(&self, prefix: &[u8], key: &[u8], value: &[u8]) -> Result<VersionRef, StoreError> {
        key.get(prefix.len()..)
            .and_then(keys::parse_version)
            .and_then(|version| record::decode_version(version, value))
            .ok_or_else(|| corrupt(place(&self.versions, key), "not a version"))
    }
}

/// Reads an entry of `tags`. `None` if it is none.
pub fn parse_tag(prefix: &[u8], key: &[u8], value: &[u8]) -> Option<(TagName, Version)> {
    let name = str::from_utf8(key.get(prefix.len()..)?).ok()?;
    Some((TagName::parse(name).ok()?, Version(record::decode_number(value)?)))
}

/// Content is what its digest says, or the reason why not.
fn checked_layer(
    content: Content,
    digest: [u8; 32],
    version: Version,
    expires_us: Option<i64>,
) -> Result<Layer, String> {
    let found = content.digest();
    match found == Digest(digest) {
        true => Ok(Layer { content, digest: found, version, expires: expires_us.map(Timestamp) }),
        false => Err(format!("the content has the digest {found}, {} was stored", Digest(digest))),
    }
}
