//! Makes a backup of a store: consistent at one revision, while commits go on. Knows stores by what they answer; not who keeps the
//! state in memory, nor where the bytes go.
//!
//! The caller sees to it that no compaction moves the oldest revision meanwhile.

use std::collections::BTreeMap;
use std::io::Write;

use super::error::BackupError;
use super::format::{FORMAT, PartKind};
use super::manifest::{Counts, Kind, Manifest, Selection};
use super::record;
use super::write::{Finished, Writer};
use crate::model::{Commit, Digest, Epoch, Namespace, Revision, Timestamp, Version};
use crate::secret::sealed_count;
use crate::store::codec::{CommitFormat, append_batch, encode_batch};
use crate::store::{ConfigRecord, Sealed, Store, StoredCommit, VersionRef};

/// Commits that are read at once, as they are stored.
const PAGE_BYTES: usize = 4 << 20;
/// An item has commits of about so many bytes.
const ITEM_BYTES: usize = 1 << 20;
/// Versions from before the oldest commit that are listed at once.
const VERSIONS_PAGE: usize = 1000;

/// What to make a backup of, and what the manifest says of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub selection: Selection,
    /// Of an incremental backup: the end of the backup before.
    pub since: Option<Position>,
    pub server: String,
    pub actor: String,
    pub created: Timestamp,
    pub note: String,
    pub labels: BTreeMap<String, String>,
}

/// A commit of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub epoch: Epoch,
    pub revision: Revision,
    pub hash: Digest,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes: u64,
    /// Commits and configs that are in the file, of those that will be.
    pub done: u64,
    pub total: u64,
}

/// Calls what it is given with each config as of one revision, deleted ones included, in the order of their ids.
pub type Configs<'a> =
    &'a dyn Fn(&mut dyn FnMut(ConfigRecord) -> Result<(), BackupError>) -> Result<(), BackupError>;

/// A state of the store that the caller keeps.
pub struct StateView<'a> {
    pub revision: Revision,
    pub configs: Configs<'a>,
    pub config_count: u64,
}

/// Writes a backup of the store as of the revision of the state. `observe` learns how far it is, and says whether to go on.
pub fn create<W: Write>(
    store: &dyn Store,
    state: &StateView<'_>,
    plan: &Plan,
    out: W,
    observe: &mut dyn FnMut(Progress) -> bool,
) -> Result<(Manifest, Finished, W), BackupError> {
    let mut making = Making { store, state, plan, writer: Writer::begin(out)?, observe, done: 0, total: 0 };
    let oldest = store.oldest();
    let before = making.before(oldest)?;
    let first = before.revision.next();
    let with_history = plan.kind != Kind::State;
    let commits = if with_history { (state.revision.0 + 1).saturating_sub(first.0) } else { 0 };
    let configs = if plan.kind == Kind::Incremental { 0 } else { state.config_count };
    making.total = commits + configs;
    let mut counts = Counts::default();
    let forgotten = making.forgotten(first);
    if plan.kind == Kind::Full && (oldest > Revision(1) || !forgotten.is_empty()) {
        making.earlier_history()?;
    }
    let last = match with_history {
        true => making.commits(first, before.hash, &mut counts)?,
        false => making.last()?,
    };
    if plan.kind != Kind::Incremental {
        making.state(&mut counts)?;
    }
    let manifest = Manifest {
        format: FORMAT,
        program: concat!("confwatch ", env!("CARGO_PKG_VERSION")).to_owned(),
        server: plan.server.clone(),
        epoch: store.epoch().to_string(),
        kind: plan.kind,
        selection: plan.selection.to_string(),
        first_revision: first.0,
        last_revision: state.revision.0,
        last_time_us: last.time.0,
        base_hash: before.hash.to_string(),
        last_hash: last.hash.to_string(),
        forgotten,
        counts,
        created_us: plan.created.0,
        actor: plan.actor.clone(),
        note: plan.note.clone(),
        labels: plan.labels.clone(),
        parts: Vec::new(),
    };
    making.writer.finish(manifest)
}

struct Making<'a, W> {
    store: &'a dyn Store,
    state: &'a StateView<'a>,
    plan: &'a Plan,
    writer: Writer<W>,
    observe: &'a mut dyn FnMut(Progress) -> bool,
    done: u64,
    total: u64,
}

/// The last commit of a backup.
struct Last {
    time: Timestamp,
    hash: Digest,
}

impl<W: Write> Making<'_, W> {
    /// The commit before the first one of the backup.
    fn before(&self, oldest: Revision) -> Result<Position, BackupError> {
        let epoch = self.store.epoch();
        match (self.plan.kind, self.plan.since) {
            (Kind::State, _) => Ok(Position { epoch, revision: self.state.revision, hash: Digest::ZERO }),
            (Kind::Incremental, Some(since)) => self.check_since(since, oldest),
            (Kind::Full, _) | (Kind::Incremental, None) => {
                Ok(Position { epoch, revision: Revision(oldest.0 - 1), hash: self.store.anchor() })
            }
        }
    }

    /// Refuses an incremental backup that would not follow the one before.
    fn check_since(&self, since: Position, oldest: Revision) -> Result<Position, BackupError> {
        let Position { epoch, revision, hash } = since;
        if epoch != self.store.epoch() {
            return Err(BackupError::Mismatch(format!(
                "the backup before is of epoch {epoch}, this store has epoch {}: make a full backup",
                self.store.epoch()
            )));
        }
        if revision > self.state.revision {
            return Err(BackupError::Mismatch(format!(
                "the backup before ends with revision {revision}, this store with {}",
                self.state.revision
            )));
        }
        if revision.next() < oldest {
            return Err(BackupError::Mismatch(format!(
                "the commits after revision {revision} were compacted, the oldest is {oldest}: make a full backup"
            )));
        }
        let forgotten = self.store.forgotten();
        let is_lacking = |(namespace, oldest): &(&Namespace, Revision)| {
            revision.next() < *oldest && self.plan.selection.has_of(namespace)
        };
        if let Some((namespace, oldest)) = forgotten.iter().find(is_lacking) {
            return Err(BackupError::Mismatch(format!(
                "the changes of namespace {namespace} after revision {revision} were compacted, the oldest is {oldest}: \
                 make a full backup"
            )));
        }
        let ours = match revision.next() == oldest {
            true => self.store.anchor(),
            false => self.one(revision)?.hash,
        };
        match ours == hash {
            true => Ok(since),
            false => Err(BackupError::Mismatch(format!(
                "revision {revision} has the hash {hash} in the backup before, and {ours} here: make a full backup"
            ))),
        }
    }

    /// The namespaces of which a full backup lacks changes that its commits made.
    fn forgotten(&self, first: Revision) -> BTreeMap<Namespace, Revision> {
        if self.plan.kind != Kind::Full {
            return BTreeMap::new();
        }
        let forgotten = self.store.forgotten();
        let is_lacking = |(namespace, oldest): &(&Namespace, Revision)| {
            *oldest > first && self.plan.selection.has_of(namespace)
        };
        forgotten.iter().filter(is_lacking).map(|(namespace, oldest)| (namespace.clone(), oldest)).collect()
    }

    fn one(&self, revision: Revision) -> Result<Sealed, BackupError> {
        let found = self.store.commits(revision, 0)?.into_iter().next();
        found.ok_or_else(|| missing(revision))
    }

    /// The last commit, where no commits are written.
    fn last(&self) -> Result<Last, BackupError> {
        match self.state.revision {
            Revision::ZERO => Ok(Last { time: Timestamp(0), hash: Digest::ZERO }),
            revision => {
                let sealed = self.one(revision)?;
                Ok(Last { time: sealed.commit.time, hash: sealed.hash })
            }
        }
    }

    /// The versions that compactions have kept from before the oldest revision of their namespace, and those of that revision.
    fn earlier_history(&mut self) -> Result<(), BackupError> {
        let configs = self.state.configs;
        configs(&mut |config| {
            if !self.plan.selection.has(&config.id) {
                return Ok(());
            }
            let oldest = self.store.oldest_of(&config.id.namespace);
            if oldest <= Revision(1) {
                return Ok(());
            }
            let Some(kept) = self.store.version_at(&config.id, oldest)? else { return Ok(()) };
            let mut retained = vec![kept];
            loop {
                let before = retained.last().map_or(Version::ZERO, |at| at.version);
                let page = self.store.versions(&config.id, before, VERSIONS_PAGE)?;
                if page.is_empty() {
                    break;
                }
                retained.extend(page);
            }
            for at in retained.into_iter().rev() {
                let tags = if at == kept { config.tags.clone() } else { BTreeMap::new() };
                self.version(&config, at, tags)?;
            }
            self.observed(0)
        })
    }

    fn version(
        &mut self,
        config: &ConfigRecord,
        at: VersionRef,
        tags: BTreeMap<crate::model::TagName, Version>,
    ) -> Result<(), BackupError> {
        let Some(snapshot) = self.store.snapshot(&config.id, at.version)? else { return Ok(()) };
        let layers = snapshot.layers.into_iter().collect();
        let record = ConfigRecord { id: config.id.clone(), at, layers, tags };
        self.writer.item(PartKind::History, |bytes| record::append(bytes, &record))
    }

    /// The commits from `first` on. Those of a selection have the selected changes alone, and so a chain of their own.
    fn commits(&mut self, first: Revision, before: Digest, counts: &mut Counts) -> Result<Last, BackupError> {
        let is_all = self.plan.selection == Selection::All;
        let (mut next, mut previous, mut time) = (first, before, Timestamp(0));
        let mut selected_hash = Digest::ZERO;
        while next <= self.state.revision {
            let read = match is_all {
                true => {
                    let page = self.store.stored_commits(next, PAGE_BYTES)?;
                    let page = self.until_the_state(page, |commit| commit.revision);
                    let Some(last) = page.last() else { return Err(missing(next)) };
                    (next, time) = (last.revision.next(), last.time);
                    counts.commits += page.len() as u64;
                    previous = self.chained(&page, previous)?;
                    page.len() as u64
                }
                false => {
                    let page = self.store.commits(next, PAGE_BYTES)?;
                    let page = self.until_the_state(page, |sealed| sealed.commit.revision);
                    let Some(last) = page.last() else { return Err(missing(next)) };
                    (next, time, previous) = (last.commit.revision.next(), last.commit.time, last.hash);
                    let read = page.len() as u64;
                    let selected: Vec<Commit> =
                        page.into_iter().filter_map(|sealed| self.selected(sealed.commit)).collect();
                    counts.commits += selected.len() as u64;
                    if !selected.is_empty() {
                        let format = CommitFormat::default();
                        let (batch, hash) = encode_batch(format, selected_hash, &selected);
                        self.writer.item(PartKind::Commits, |bytes| bytes.extend_from_slice(&batch))?;
                        selected_hash = hash;
                    }
                    read
                }
            };
            self.observed(read)?;
        }
        if next == first && first > Revision(1) {
            // Nothing has changed since the backup before.
            time = self.last().map_or(time, |last| last.time);
        }
        Ok(Last { time, hash: previous })
    }

    /// The commits of a page that are not newer than the state.
    fn until_the_state<T>(&self, page: Vec<T>, revision: impl Fn(&T) -> Revision) -> Vec<T> {
        page.into_iter().take_while(|commit| revision(commit) <= self.state.revision).collect()
    }

    /// Writes commits with the bytes that they have in the journal, after a comparison of each hash. Returns the last hash.
    fn chained(&mut self, page: &[StoredCommit], mut previous: Digest) -> Result<Digest, BackupError> {
        let mut bytes = 0;
        let is_with_the_one_before = |before: &StoredCommit, next: &StoredCommit| {
            bytes += before.bytes.len();
            let is_with = before.format == next.format && bytes < ITEM_BYTES;
            bytes = if is_with { bytes } else { 0 };
            is_with
        };
        for run in page.chunk_by(is_with_the_one_before) {
            let before = previous;
            for commit in run {
                if !commit.follows(previous) {
                    return Err(BackupError::damaged(format!(
                        "revision {} of the store does not have the hash of its content",
                        commit.revision
                    )));
                }
                previous = commit.hash;
            }
            self.writer.item(PartKind::Commits, |bytes| append_batch(bytes, run[0].format, before, run))?;
        }
        Ok(previous)
    }

    /// What a commit changed of the selection.
    fn selected(&self, mut commit: Commit) -> Option<Commit> {
        commit.changes.retain(|change| self.plan.selection.has(&change.id));
        commit.forgotten.clear();
        (!commit.changes.is_empty()).then_some(commit)
    }

    fn state(&mut self, counts: &mut Counts) -> Result<(), BackupError> {
        let configs = self.state.configs;
        configs(&mut |config| {
            if self.plan.selection.has(&config.id) {
                counts.configs += u64::from(!config.layers.is_empty());
                counts.layers += config.layers.len() as u64;
                let secrets = config.layers.iter().map(|(_, layer)| sealed_count(layer.content.as_str()));
                counts.secrets += secrets.sum::<usize>() as u64;
                self.writer.item(PartKind::State, |bytes| record::append(bytes, &config))?;
            }
            self.observed(1)
        })
    }

    fn observed(&mut self, done: u64) -> Result<(), BackupError> {
        self.done += done;
        let progress = Progress { bytes: self.writer.written(), done: self.done, total: self.total };
        match (self.observe)(progress) {
            true => Ok(()),
            false => Err(BackupError::Stopped),
        }
    }
}

fn missing(revision: Revision) -> BackupError {
    BackupError::damaged(format!("revision {revision} is missing in the store"))
}
