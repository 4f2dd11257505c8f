//! A store in memory: the shortest code that keeps the contract. The model against which other stores are tested. Knows
//! no files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::codec::{CommitFormat, append_commit, commit_format, encode_commit_as, forget_parts, hashes};
use super::{
    Compaction, ConfigRecord, Forgotten, Head, History, Journal, Problem, Sealed, Snapshot, StoreError,
    StoredCommit, Verified, VersionRef,
};
use crate::model::{
    Commit, ConfigId, Digest, Epoch, Layer, LayerKey, Namespace, Revision, TagName, Timestamp, Version,
};

/// Keeps everything in memory and nothing beyond the life of the process.
pub struct MemoryStore {
    epoch: Epoch,
    contents: RwLock<Contents>,
}

struct Contents {
    /// The hash before the oldest commit.
    anchor: Digest,
    /// Without a gap, the oldest retained first; with the size of their stored bytes.
    commits: VecDeque<(Sealed, usize)>,
    forgotten: Forgotten,
    configs: BTreeMap<ConfigId, ConfigHistory>,
}

#[derive(Default)]
struct ConfigHistory {
    /// Never empty; the last is the current one.
    versions: BTreeMap<Version, VersionHistory>,
    tags: BTreeMap<TagName, Version>,
    /// Versions that ended before the oldest revision of the namespace, and were among the newest then.
    newest: BTreeSet<Version>,
}

#[derive(Clone)]
struct VersionHistory {
    at: VersionRef,
    /// Shares what it has in common with other versions.
    layers: imbl::OrdMap<LayerKey, Layer>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(epoch: Epoch) -> MemoryStore {
        let contents = Contents {
            anchor: Digest::ZERO,
            commits: VecDeque::new(),
            forgotten: Forgotten::default(),
            configs: BTreeMap::new(),
        };
        MemoryStore { epoch, contents: RwLock::new(contents) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().expect("no append broke the contract")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().expect("no append broke the contract")
    }
}

impl Journal for MemoryStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> Head {
        self.read().head()
    }

    fn oldest(&self) -> Revision {
        self.read().oldest()
    }

    fn forgotten(&self) -> Forgotten {
        self.read().forgotten.clone()
    }

    fn anchor(&self) -> Digest {
        self.read().anchor
    }

    fn append_as(&self, format: CommitFormat, commits: &[Commit]) -> Result<Head, StoreError> {
        let mut contents = self.write();
        contents.head().check_followed_by(commits);
        commits.iter().for_each(|commit| contents.push(format, commit));
        Ok(contents.head())
    }

    fn commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<Sealed>, StoreError> {
        let contents = self.read();
        let start = contents.position(from)?;
        let mut bytes = 0;
        let page = contents.commits.iter().skip(start).enumerate().take_while(|(at, (_, size))| {
            bytes += size;
            *at == 0 || bytes <= bytes_max
        });
        Ok(page.map(|(_, (sealed, _))| sealed.clone()).collect())
    }

    fn stored_commits(&self, from: Revision, bytes_max: usize) -> Result<Vec<StoredCommit>, StoreError> {
        let page = self.commits(from, bytes_max)?;
        let contents = self.read();
        let stored = |sealed: Sealed| {
            let revision = sealed.commit.revision;
            let before = contents.position(revision)?.checked_sub(1);
            let previous = before.map_or(contents.anchor, |before| contents.commits[before].0.hash);
            let format = commit_format(previous, &sealed).expect("it was appended in this format");
            let bytes = encode_commit_as(format, &sealed.commit);
            Ok(StoredCommit { revision, time: sealed.commit.time, format, bytes, hash: sealed.hash })
        };
        page.into_iter().map(stored).collect()
    }

    fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError> {
        let contents = self.read();
        let after = contents.commits.partition_point(|(sealed, _)| sealed.commit.time <= time);
        Ok(after.checked_sub(1).map(|last| contents.commits[last].0.commit.revision))
    }
}

impl History for MemoryStore {
    fn versions(&self, id: &ConfigId, before: Version, limit: usize) -> Result<Vec<VersionRef>, StoreError> {
        let contents = self.read();
        let Some(config) = contents.configs.get(id) else { return Ok(vec![]) };
        Ok(config.versions.range(..before).rev().take(limit).map(|(_, version)| version.at).collect())
    }

    fn version_at(&self, id: &ConfigId, revision: Revision) -> Result<Option<VersionRef>, StoreError> {
        let contents = self.read();
        let Some(config) = contents.configs.get(id) else { return Ok(None) };
        let (past, future): (Vec<VersionRef>, Vec<VersionRef>) =
            config.versions.values().map(|version| version.at).partition(|at| at.revision <= revision);
        let next = past.last().map_or(Version::ZERO, |at| at.version).next();
        // Between the two may have been others that are forgotten.
        match future.first() {
            Some(at) if at.version != next => {
                Err(StoreError::Compacted { asked: revision, oldest: contents.oldest_of(id) })
            }
            Some(_) | None => Ok(past.last().copied()),
        }
    }

    fn snapshot(&self, id: &ConfigId, version: Version) -> Result<Option<Snapshot>, StoreError> {
        let contents = self.read();
        let Some(config) = contents.configs.get(id) else { return Ok(None) };
        match config.versions.get(&version) {
            Some(found) => Ok(Some(found.to_snapshot())),
            None if version == Version::ZERO || version > config.current().at.version => Ok(None),
            None => Err(StoreError::forgotten_version(contents.oldest_of(id))),
        }
    }

    fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<Head, StoreError> {
        let contents = self.read();
        for (id, config) in &contents.configs {
            let VersionHistory { at, layers } = config.current().clone();
            let layers = layers.into_iter().collect();
            visit(ConfigRecord { id: id.clone(), at, layers, tags: config.tags.clone() });
        }
        Ok(contents.head())
    }

    fn compact_unless(
        &self,
        oldest: Revision,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        if is_stopped() {
            return Ok(Compaction::Stopped);
        }
        let mut contents = self.write();
        let oldest = oldest.min(contents.head().revision);
        if oldest <= contents.oldest() {
            return Ok(Compaction::Done);
        }
        while contents.oldest() < oldest {
            let (forgotten, _) =
                contents.commits.pop_front().expect("the head is retained, and at least `oldest`");
            contents.anchor = forgotten.hash;
        }
        let Contents { forgotten, configs, .. } = &mut *contents;
        for (id, config) in configs {
            let of_namespace = forgotten.oldest_of(id.namespace.as_str()).unwrap_or_default();
            if of_namespace < oldest {
                config.newest.clear();
            }
            config.forget(oldest.max(of_namespace));
        }
        Ok(Compaction::Done)
    }

    fn forget_unless(
        &self,
        namespace: &Namespace,
        oldest: Revision,
        versions_min: u64,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Compaction, StoreError> {
        if is_stopped() {
            return Ok(Compaction::Stopped);
        }
        let mut contents = self.write();
        let oldest = oldest.min(contents.head().revision);
        let before = contents.forgotten.oldest_of(namespace.as_str()).unwrap_or_default();
        if oldest <= before.max(contents.oldest()) {
            return Ok(Compaction::Done);
        }
        contents.forgotten = contents.forgotten.with(namespace, oldest);
        contents.forget_parts();
        let of_namespace = contents.configs.iter_mut().filter(|(id, _)| id.namespace == *namespace);
        for (_, config) in of_namespace {
            let first = config.current().at.version.0.saturating_sub(versions_min);
            config.newest = config.versions.keys().copied().filter(|version| version.0 > first).collect();
            config.forget(oldest);
        }
        Ok(Compaction::Done)
    }

    fn reclaim_unless(&self, _: &dyn Fn() -> bool) -> Result<Compaction, StoreError> {
        Ok(Compaction::Done)
    }

    fn verify(&self, report: &mut dyn FnMut(Problem)) -> Result<Verified, StoreError> {
        let contents = self.read();
        let mut verified = Verified::default();
        let mut hash = contents.anchor;
        for (sealed, _) in &contents.commits {
            if hashes(hash, &sealed.commit).all(|hash| hash != sealed.hash) {
                report(Problem {
                    place: format!("revision {}", sealed.commit.revision),
                    message: format!("the hash {} is not that of its bytes", sealed.hash),
                });
            }
            hash = sealed.hash;
            verified.commits += 1;
        }
        for config in contents.configs.values() {
            verified.configs += 1;
            verified.versions += config.versions.len() as u64;
            verified.layers += config.current().layers.len() as u64;
        }
        Ok(verified)
    }
}

impl Contents {
    fn head(&self) -> Head {
        self.commits.back().map_or(Head::EMPTY, |(sealed, _)| sealed.head())
    }

    fn oldest(&self) -> Revision {
        self.commits.front().map_or(Revision(1), |(sealed, _)| sealed.commit.revision)
    }

    fn oldest_of(&self, id: &ConfigId) -> Revision {
        self.oldest().max(self.forgotten.oldest_of(id.namespace.as_str()).unwrap_or_default())
    }

    /// Drops the parts of commits that are forgotten.
    fn forget_parts(&mut self) {
        let mut previous = self.anchor;
        for (sealed, size) in &mut self.commits {
            let format = commit_format(previous, sealed).expect("it was appended in this format");
            forget_parts(format, &mut sealed.commit, &self.forgotten);
            *size = encode_commit_as(format, &sealed.commit).len();
            previous = sealed.hash;
        }
    }

    /// Where the commit is, or would be.
    fn position(&self, revision: Revision) -> Result<usize, StoreError> {
        let (revision, oldest) = (revision.max(Revision(1)), self.oldest());
        match revision.0.checked_sub(oldest.0) {
            Some(position) => Ok(position as usize),
            None => Err(StoreError::Compacted { asked: revision, oldest }),
        }
    }

    fn push(&mut self, format: CommitFormat, commit: &Commit) {
        let mut bytes = Vec::new();
        let hash = append_commit(&mut bytes, format, self.head().hash, commit);
        for change in &commit.changes {
            let config = self.configs.entry(change.id.clone()).or_default();
            if !change.layers.is_empty() {
                let (last, mut layers) = match config.versions.last_key_value() {
                    Some((version, last)) => (*version, last.layers.clone()),
                    None => (Version::ZERO, imbl::OrdMap::new()),
                };
                assert_eq!(change.version, last.next(), "the version of {} must follow", change.id);
                for layer in &change.layers {
                    match &layer.content {
                        Some(content) => layers.insert(
                            layer.key.clone(),
                            Layer {
                                content: content.clone(),
                                version: change.version,
                                expires: layer.expires,
                                format: layer.format,
                            },
                        ),
                        None => layers.remove(&layer.key),
                    };
                }
                let at = VersionRef { version: change.version, revision: commit.revision, time: commit.time };
                config.versions.insert(change.version, VersionHistory { at, layers });
            }
            for tag in &change.tags {
                match tag.version {
                    Some(version) => config.tags.insert(tag.tag.clone(), version),
                    None => config.tags.remove(&tag.tag),
                };
            }
        }
        self.commits.push_back((Sealed { commit: commit.clone(), hash }, bytes.len()));
    }
}

impl ConfigHistory {
    fn current(&self) -> &VersionHistory {
        self.versions.values().next_back().expect("a config comes into being with its first version")
    }

    /// Forgets the versions that ended before `oldest`, except those that have a tag or are kept as the newest.
    fn forget(&mut self, oldest: Revision) {
        let kept = self.versions.values().rev().find(|version| version.at.revision <= oldest);
        let kept = kept.map_or(Version::ZERO, |version| version.at.version);
        let tagged: Vec<Version> = self.tags.values().copied().collect();
        let newest = &self.newest;
        self.versions
            .retain(|version, _| *version >= kept || tagged.contains(version) || newest.contains(version));
    }
}

impl VersionHistory {
    fn to_snapshot(&self) -> Snapshot {
        Snapshot {
            at: self.at,
            layers: self.layers.iter().map(|(key, layer)| (key.clone(), layer.clone())).collect(),
        }
    }
}
