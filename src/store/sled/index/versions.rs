//! Reading `versions`: what a config was when, and whether that is still known. Knows trees; not whether they are up to date.
//!
//! An item holds versions in a row: `runs.rs`.
//!
//! A version is retained if it had not ended at the oldest revision, or is pinned. Whatever else is still in the trees has been
//! forgotten and waits for the sweep of a compaction.

use sled::IVec;

use super::trees::Trees;
use super::{keys, runs};
use crate::model::{ConfigId, Revision, Version};
use crate::store::sled::{corrupt, place};
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
        let mut below = before;
        let range = prefix.clone()..keys::at_version(&prefix, before);
        for entry in self.versions.range(range).rev() {
            let (first, versions) = self.parse_versions(&prefix, &entry?)?;
            for at in versions.into_iter().rev().skip_while(|at| at.version >= below) {
                if found.len() == limit {
                    return Ok(found);
                }
                if self.is_retained(id, at, oldest)? {
                    found.push(at);
                }
            }
            below = first;
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
            Some(entry) => Ok(self.parse_versions(&prefix, &entry?)?.1.pop()),
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
            let Some((_, versions)) = self.versions_from(&prefix, Version(middle))? else { break };
            let earlier = versions.partition_point(|at| at.revision <= revision);
            match earlier.checked_sub(1).map(|last| versions[last]) {
                // What comes first here is later, and may be far behind the middle.
                None => high = middle.min(versions[0].version.0),
                Some(at) => {
                    found = Some(at);
                    if earlier < versions.len() {
                        break;
                    }
                    low = at.version.0 + 1;
                }
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
        match self.item_at(&prefix, version)? {
            None => Ok(None),
            Some((first, value)) => Ok(runs::version_in(first, &value, version)),
        }
    }

    fn is_retained(&self, id: &ConfigId, at: VersionRef, oldest: Revision) -> Result<bool, StoreError> {
        if at.revision >= oldest {
            return Ok(true);
        }
        let next = at.version.next();
        let ended = self.versions_from(&keys::config(id), next)?.map(|(at, _)| at);
        // If the one found is not the next, it is later, and so was the end of this one earlier.
        match ended {
            None => Ok(true),
            Some(found) if found.version == next && found.revision > oldest => Ok(true),
            Some(_) => self.is_pinned(id, at.version),
        }
    }

    /// All versions of a config, in order.
    pub fn all_versions(&self, prefix: &[u8]) -> Result<Vec<VersionRef>, StoreError> {
        let mut all: Vec<VersionRef> = Vec::new();
        for entry in self.versions.scan_prefix(prefix) {
            let (first, versions) = self.parse_versions(prefix, &entry?)?;
            all.truncate(all.partition_point(|at| at.version < first));
            all.extend(versions);
        }
        Ok(all)
    }

    /// The first version from `version` on, and the item that has it. `None` if there is none.
    fn versions_from(
        &self,
        prefix: &[u8],
        version: Version,
    ) -> Result<Option<(VersionRef, Vec<VersionRef>)>, StoreError> {
        if let Some((first, value)) = self.item_at(prefix, version)?
            && let Some(at) = runs::version_in(first, &value, version)
        {
            let (_, versions) =
                self.parse_versions(prefix, &(keys::at_version(prefix, first).into(), value))?;
            return Ok(Some((at, versions)));
        }
        let after = keys::at_version(prefix, version.next())..keys::after(prefix);
        match self.versions.range(after).next() {
            None => Ok(None),
            Some(entry) => {
                let (_, versions) = self.parse_versions(prefix, &entry?)?;
                Ok(versions.first().copied().map(|at| (at, versions)))
            }
        }
    }

    /// The item that has `version`, if any has it, and its first version.
    fn item_at(&self, prefix: &[u8], version: Version) -> Result<Option<(Version, IVec)>, StoreError> {
        let range = prefix.to_vec()..=keys::at_version(prefix, version);
        let Some((key, value)) = self.versions.range(range).next_back().transpose()? else { return Ok(None) };
        let first = key.get(prefix.len()..).and_then(keys::parse_version);
        let first = first.ok_or_else(|| corrupt(place(&self.versions, &key), "not the key of versions"))?;
        Ok(Some((first, value)))
    }

    /// An item, and its first version.
    pub fn parse_versions(
        &self,
        prefix: &[u8],
        (key, value): &(IVec, IVec),
    ) -> Result<(Version, Vec<VersionRef>), StoreError> {
        key.get(prefix.len()..)
            .and_then(keys::parse_version)
            .and_then(|first| Some((first, runs::decode_versions(first, value)?)))
            .ok_or_else(|| corrupt(place(&self.versions, key), "not versions"))
    }
}
