//! Verifies a backup: every byte, every item, the chain of the commits, and the counts of the manifest. Knows files by what they
//! read; not where they come from.

use std::collections::BTreeMap;
use std::io::Read;

use super::error::BackupError;
use super::format::PartKind;
use super::manifest::{Counts, Kind, Manifest, Selection};
use super::read::{Items, Next, Reader};
use super::record::StoredConfig;
use crate::model::{ConfigId, Digest, Namespace, Revision, Timestamp, Version};
use crate::secret::sealed_count;
use crate::store::codec::{self, DecodeError, ProvedBatch, prove_batch};

/// A backup that is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub manifest: Manifest,
    pub bytes: u64,
    /// The SHA-256 at the end of the file.
    pub sha256: Digest,
}

/// What a backup holds, in the order of the file.
pub enum Content<'a> {
    /// A config at a version from before the first commit.
    History(StoredConfig<'a>),
    /// Commits that follow each other.
    Commits(ProvedBatch<'a>),
    /// A config as of the last revision.
    State(StoredConfig<'a>),
}

/// Verifies a backup to its end.
pub fn verify<R: Read>(input: R) -> Result<Verified, BackupError> {
    visit(input, u64::MAX, &mut |_| Ok(()))
}

/// Verifies a backup to its end, and shows what it holds meanwhile. What is shown may be that of a damaged file until this has returned. Refuses
/// parts of more than `part_bytes_max`.
pub fn visit<R: Read>(
    input: R,
    part_bytes_max: u64,
    show: &mut dyn FnMut(Content<'_>) -> Result<(), BackupError>,
) -> Result<Verified, BackupError> {
    let mut reader = Reader::begin(input, part_bytes_max, |_| true)?;
    let mut check = Check::default();
    loop {
        match reader.next()? {
            Next::Part(kind, items) => check.part(kind, items, show)?,
            Next::End(manifest, finished) => {
                check.end(&manifest)?;
                return Ok(Verified { manifest: *manifest, bytes: finished.bytes, sha256: finished.sha256 });
            }
        }
    }
}

/// What was seen of a file.
#[derive(Default)]
struct Check {
    counts: Counts,
    /// The hash before the first commit, and the last commit.
    base: Option<Digest>,
    first: Option<Revision>,
    last: Option<(Revision, Digest)>,
    last_time: Option<Timestamp>,
    /// Whether each commit has the revision after the one before.
    is_gapless: bool,
    /// The last commit of which changes of a namespace are forgotten.
    forgotten: BTreeMap<Namespace, Revision>,
    earlier: Option<(ConfigId, Version)>,
    config: Option<ConfigId>,
}

impl Check {
    fn part(
        &mut self,
        kind: PartKind,
        mut items: Items,
        show: &mut dyn FnMut(Content<'_>) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        while let Some(item) = items.next()? {
            match kind {
                PartKind::History => {
                    let config = StoredConfig::decode(item)?;
                    let key = (config.id.clone(), config.version());
                    in_order(self.earlier.replace(key.clone()), &key)?;
                    show(Content::History(config))?;
                }
                PartKind::Commits => {
                    let batch = prove_batch(item).map_err(undecodable)?;
                    self.commits(&batch)?;
                    show(Content::Commits(batch))?;
                }
                PartKind::State => {
                    let config = StoredConfig::decode(item)?;
                    in_order(self.config.replace(config.id.clone()), &config.id)?;
                    let contents = config.contents();
                    self.counts.configs += u64::from(contents.len() > 0);
                    self.counts.layers += contents.len() as u64;
                    self.counts.secrets += contents.map(sealed_count).sum::<usize>() as u64;
                    show(Content::State(config))?;
                }
                PartKind::Manifest => unreachable!("the reader ends with the manifest"),
            }
        }
        Ok(())
    }

    fn commits(&mut self, batch: &ProvedBatch<'_>) -> Result<(), BackupError> {
        let previous = batch.previous;
        if self.base.is_none() {
            (self.base, self.is_gapless) = (Some(previous), true);
        }
        if self.last.is_some_and(|(_, hash)| hash != previous) {
            return Err(BackupError::damaged("its commits do not follow each other"));
        }
        for commit in &batch.commits {
            let revision = commit.revision();
            for namespace in commit.forgotten() {
                self.forgotten.insert(namespace.map_err(undecodable)?, revision);
            }
            let is_earlier = self.last_time.replace(commit.time()).is_some_and(|last| commit.time() < last);
            match self.last {
                Some((before, _)) if revision <= before || is_earlier => {
                    return Err(BackupError::damaged("its commits are in another order"));
                }
                Some((before, _)) => self.is_gapless &= revision == before.next(),
                None => self.first = Some(revision),
            }
            self.last = Some((revision, commit.hash));
            self.counts.commits += 1;
        }
        Ok(())
    }

    /// Compares what was seen with the manifest.
    fn end(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let wrong = |what: &str| Err(BackupError::damaged(format!("its {what} is not that of its manifest")));
        if self.counts != manifest.counts {
            return wrong("number of commits, configs, layers or secrets");
        }
        let is_chained = manifest.selection()? == Selection::All && manifest.kind != Kind::State;
        if !is_chained {
            return Ok(());
        }
        let is_known = |(namespace, last): (&Namespace, &Revision)| {
            manifest.forgotten.get(namespace).is_some_and(|oldest| last < oldest)
        };
        if !self.forgotten.iter().all(is_known) {
            return wrong("forgotten history");
        }
        let (Some(base), Some(first), Some((last, hash))) = (self.base, self.first, self.last) else {
            let is_empty = manifest.first_revision == manifest.last_revision + 1;
            return if is_empty { Ok(()) } else { wrong("number of commits") };
        };
        if !self.is_gapless || first.0 != manifest.first_revision || last.0 != manifest.last_revision {
            return wrong("range of revisions");
        }
        match base.to_string() == manifest.base_hash && hash.to_string() == manifest.last_hash {
            true => Ok(()),
            false => wrong("chain of commits"),
        }
    }
}

pub(super) fn undecodable(error: DecodeError) -> BackupError {
    match error {
        DecodeError::Format(found) => {
            BackupError::Format { of: "a commit of the backup", found, expected: codec::FORMAT }
        }
        DecodeError::Damaged(what) => BackupError::Damaged(what),
    }
}

fn in_order<T: Ord>(before: Option<T>, next: &T) -> Result<(), BackupError> {
    match before.is_none_or(|before| before < *next) {
        true => Ok(()),
        false => Err(BackupError::damaged("its configs are in another order")),
    }
}
