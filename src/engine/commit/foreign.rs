//! Commits that another process made, on their way into this engine: whether they follow the journal, and what they leave of the state. Knows
//! the hashes of commits; never the queue, nor who made the commits.
//!
//! The process that makes the commits has planned and validated them. This file checks the conditions that keep the two journals equal: the epoch, the
//! revisions, the hashes, and that the commits can be folded.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Commit, ConfigChange, ConfigId, Digest, Epoch, Namespace, Revision, Version};
use crate::store::codec::{CommitFormat, commit_format};
use crate::store::{Journal, Sealed};

use crate::engine::Engine;
use crate::engine::error::Error;
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::state::{ConfigState, State};

/// The bytes of the own journal that are read at once.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Why commits of another process were not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The engine was opened to make commits itself.
    #[error("this engine makes its own commits: open it as a replica to apply those of another process")]
    NotAReplica,
    /// The commits are of another history. A replica has the epoch of the journal that it follows from the start.
    #[error("the commits are of epoch {found}, this journal has epoch {expected}")]
    OtherEpoch { expected: Epoch, found: Epoch },
    /// Commits are missing: apply those from `expected` on first.
    #[error("revision {expected} must come next, not {found}")]
    Gap { expected: Revision, found: Revision },
    /// The two journals have different commits at this revision. What follows can never be applied here.
    #[error(
        "revision {revision} has the hash {theirs}, in this journal it has {ours}: the histories have parted"
    )]
    Fork { revision: Revision, ours: Digest, theirs: Digest },
    /// The hash of a commit is not that of its content after the commit before: the commit is damaged, or a commit before it is another
    /// one than here. Applying the commits before it again tells the two apart.
    #[error("revision {revision} does not have the hash of its content after revision {previous}")]
    Unchained { revision: Revision, previous: Revision },
    /// The other journal has forgotten changes that the replica lacks: it must begin with a copy of the store.
    #[error(
        "the changes of namespace {namespace} at revision {revision} were compacted before they were applied here: \
         begin with a backup of the other store"
    )]
    Forgotten { revision: Revision, namespace: Namespace },
    /// The chain holds, but the commit is none that an engine makes.
    #[error("revision {revision} cannot be applied: {what}")]
    Impossible { revision: Revision, what: String },
    /// As for a write of this engine. With `Error::NotWritten` the same commits may be applied later; `Error::MasterKey` and
    /// `Error::DataKeys`: they may once the replica has the master key.
    #[error(transparent)]
    Engine(#[from] Error),
}

/// Commits that become durable at once, since all of them are stored in one format.
pub(in crate::engine) struct ForeignRun {
    pub format: CommitFormat,
    /// Each with the configs that it leaves. Never empty.
    pub commits: Vec<(Commit, Vec<Arc<ConfigState>>)>,
}

impl Engine {
    /// Applies commits that another process made: the next ones, in order, as `Journal::commits` of the other process gives them. They are
    /// appended to the journal as they are, with their hashes, and then become visible to reads, watches and the stream of changes, as commits
    /// of this engine do. Returns the head once they are durable and visible.
    ///
    /// Only an engine that was opened as `Role::Replica` does it; one call at a time does its work. Commits that the journal has already are
    /// skipped. After an error, commits before the one that is named may have been applied, and all of them may be sent again.
    ///
    /// To catch up, send pages of some MiB: all commits of a page become durable with one sync, and are held in memory meanwhile.
    pub async fn apply_commits(&self, epoch: Epoch, commits: Vec<Sealed>) -> Result<Revision, ApplyError> {
        // The requests of before the start are known before those of the commits are added.
        self.recalled().await?;
        self.pipeline.apply(epoch, commits).await
    }
}

/// The new commits among these, after `state`, the state of the head of the journal. Blocks.
pub(in crate::engine) fn runs(
    journal: &dyn Journal,
    state: &State,
    key_store: &KeyStore,
    epoch: Epoch,
    mut commits: Vec<Sealed>,
) -> Result<Vec<ForeignRun>, ApplyError> {
    if epoch != state.epoch {
        return Err(ApplyError::OtherEpoch { expected: state.epoch, found: epoch });
    }
    check_revisions(state.revision, &commits)?;
    let known = commits.partition_point(|sealed| sealed.commit.revision <= state.revision);
    let new = commits.split_off(known);
    check_known(journal, &commits)?;
    let mut folding = Folding { state, changed: HashMap::new(), previous: state.revision, time: state.time };
    let (mut hash, mut runs) = (journal.head().hash, Vec::<ForeignRun>::new());
    for sealed in new {
        let (revision, previous) = (sealed.commit.revision, folding.previous);
        let format = commit_format(hash, &sealed).ok_or(ApplyError::Unchained { revision, previous })?;
        if let Some(part) = sealed.commit.forgotten.first() {
            return Err(ApplyError::Forgotten { revision, namespace: part.namespace.clone() });
        }
        hash = sealed.hash;
        let after = folding.fold(&sealed.commit)?;
        let commit = (sealed.commit, after);
        match runs.last_mut() {
            Some(run) if run.format == format => run.commits.push(commit),
            Some(_) | None => runs.push(ForeignRun { format, commits: vec![commit] }),
        }
    }
    // Before anything is written: an engine does not open either without the master key that its data keys need.
    if let Some(keys) = folding.changed.get(key_store.id()) {
        key_store.prepare(keys)?;
    }
    Ok(runs)
}

/// Refuses commits that leave a gap, after the head or between them.
fn check_revisions(head: Revision, commits: &[Sealed]) -> Result<(), ApplyError> {
    let mut before: Option<Revision> = None;
    for found in commits.iter().map(|sealed| sealed.commit.revision) {
        let expected = before.map_or(head, |before| before).next();
        let follows = match before {
            Some(_) => found == expected,
            None => Revision::ZERO < found && found <= expected,
        };
        if !follows {
            return Err(ApplyError::Gap { expected, found });
        }
        before = Some(found);
    }
    Ok(())
}

/// Refuses commits that are others than the journal has. Those that the journal no longer has are proved by a later one: they are before it
/// in the same chain.
fn check_known(journal: &dyn Journal, known: &[Sealed]) -> Result<(), ApplyError> {
    let Some(last) = known.last().map(|sealed| sealed.commit.revision) else { return Ok(()) };
    let oldest = journal.oldest();
    if last < oldest {
        return Err(Error::Compacted { asked: last, oldest }.into());
    }
    let mut theirs = known.iter().skip_while(|sealed| sealed.commit.revision < oldest).peekable();
    while let Some(next) = theirs.peek() {
        let page = journal.commits(next.commit.revision, PAGE_BYTES_MAX).map_err(Error::from)?;
        for (ours, theirs) in page.iter().zip(&mut theirs) {
            let revision = ours.commit.revision;
            let (ours, theirs) = (ours.hash, theirs.hash);
            if ours != theirs {
                return Err(ApplyError::Fork { revision, ours, theirs });
            }
        }
    }
    Ok(())
}

/// A state, and the configs that commits after it have left.
struct Folding<'a> {
    state: &'a State,
    changed: HashMap<ConfigId, Arc<ConfigState>>,
    previous: Revision,
    time: crate::model::Timestamp,
}

impl Folding<'_> {
    /// The configs that the next commit leaves.
    fn fold(&mut self, commit: &Commit) -> Result<Vec<Arc<ConfigState>>, ApplyError> {
        let impossible = |what: String| ApplyError::Impossible { revision: commit.revision, what };
        if self.previous > Revision::ZERO && commit.time < self.time {
            return Err(impossible(format!("its time is before that of revision {}", self.previous)));
        }
        if commit.changes.is_empty() || !commit.changes.is_sorted_by(|a, b| a.id < b.id) {
            return Err(impossible("its changes are not in the order of their configs".to_owned()));
        }
        let mut after = Vec::with_capacity(commit.changes.len());
        for change in &commit.changes {
            let before = self.changed.get(&change.id).or_else(|| self.state.config(&change.id));
            let before = before.map(Arc::as_ref);
            check_change(before, change).map_err(|what| impossible(format!("{}: {what}", change.id)))?;
            let mut config = ConfigState::after(before, change);
            config.settle(change, commit.revision, commit.time);
            after.push(Arc::new(config));
        }
        self.changed.extend(after.iter().map(|config| (config.id.clone(), config.clone())));
        (self.previous, self.time) = (commit.revision, commit.time);
        Ok(after)
    }
}

/// Refuses a change that would make a store panic.
fn check_change(before: Option<&ConfigState>, change: &ConfigChange) -> Result<(), String> {
    let version = before.map_or(Version::ZERO, |config| config.at.version);
    let expected = if change.layers.is_empty() { version } else { version.next() };
    if change.version != expected {
        return Err(format!("version {expected} must come next, not {}", change.version));
    }
    if change.layers.is_empty() && (before.is_none() || change.tags.is_empty()) {
        return Err("it changes nothing".to_owned());
    }
    if !change.layers.is_sorted_by(|a, b| a.key < b.key) {
        return Err("its layers are not in the order of their keys".to_owned());
    }
    let contents = change.layers.iter().filter_map(|layer| layer.content.as_ref());
    match contents.into_iter().all(|content| content.as_str().starts_with('{')) {
        true => Ok(()),
        false => Err("a layer is no JSON object".to_owned()),
    }
}
