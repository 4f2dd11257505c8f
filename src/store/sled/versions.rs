//! Reading `versions`: what a config was when, and whether that is still known. Knows trees; not whether they are up to date.
//!
//! A version is retained if it had not ended at the oldest revision, or is pinned. Whatever else is still in the trees has been
//! forgotten and waits for the sweep of a compaction.

use super::trees::Trees;
use super::{corrupt, keys, place, record};
use crate::model::{ConfigId, Revision, Version};
use crate::store::{StoreError, VersionRef};

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
