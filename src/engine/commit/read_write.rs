//! A write whose texts have been read, on its way through the pipeline. Knows plans and requests; not the queue.

use crate::auth::Visibility;
use crate::model::commit::{commit_bytes, journal_bytes};
use crate::model::{Commit, ConfigChange, ConfigId, Namespace, Revision, Timestamp};

use super::put_schema::{SchemaOutcome, schema_id};
use super::read_intent::ReadIntent;
use super::read_set::ReadSet;
use super::request_ids::{Owner, Repeatable};
use super::restoring::{RestorePoint, Restored};
use super::tagging::is_tagged;
use super::write::Origin;
use crate::engine::check::look::Look;
use crate::engine::error::Error;
use crate::engine::state::State;

/// The annotation of a commit that takes others back, with their revisions.
const REVERTS: &str = "reverts";
/// The annotation of a commit that restores the past, with the revision.
pub(super) const RESTORES: &str = "restores";
/// The annotation of a commit that restores from a backup, with the name of the backup.
const RESTORES_BACKUP: &str = "restores_backup";
/// The annotation of a commit that restores from a backup whose history may be that of another store, with the revision of that history. This store may have
/// another commit with that number.
pub(super) const RESTORES_REVISION_OF_BACKUP: &str = "restores_revision_of_backup";

/// A write that is ready for the pipeline.
pub(in crate::engine) struct ReadWrite {
    pub(in crate::engine) origin: Origin,
    pub(in crate::engine) intent: ReadIntent,
    pub(in crate::engine) validate_only: bool,
    /// Whether lints are checked where no config governs.
    pub(in crate::engine) look: Look,
    /// The configs that the write concerns: sorted, each once.
    pub(in crate::engine) ids: Vec<ConfigId>,
    /// The namespaces of these: sorted, each once.
    pub(in crate::engine) namespaces: Vec<Namespace>,
    /// A caller makes the write, and states no reason.
    pub(in crate::engine) lacks_reason: bool,
    /// What the caller may read and reveal. `None`: the server writes for itself, and sees everything.
    pub(in crate::engine) visibility: Option<Visibility>,
}

impl ReadWrite {
    /// A write of a caller, who learns from its outcome no more than `visibility` allows.
    pub fn new(origin: Origin, intent: ReadIntent, validate_only: bool, visibility: Visibility) -> ReadWrite {
        let look = match intent {
            ReadIntent::Changes(_) | ReadIntent::Keys(_) if validate_only => Look::at_written(),
            _ => Look::default(),
        };
        let visibility = Some(visibility);
        ReadWrite { look, visibility, ..ReadWrite::of_server(origin, intent, validate_only) }
    }

    /// A write that the server makes for itself.
    pub fn of_server(origin: Origin, intent: ReadIntent, validate_only: bool) -> ReadWrite {
        let ids = intent.ids();
        let namespaces = namespaces_of(&ids);
        let lacks_reason = !intent.is_of_itself() && origin.reason.trim().is_empty();
        let look = Look::default();
        ReadWrite { origin, intent, validate_only, look, ids, namespaces, lacks_reason, visibility: None }
    }

    /// A write that is only validated, with all lints. A reason is not required yet.
    pub fn to_validate(origin: Origin, intent: ReadIntent, look: Look, visibility: Visibility) -> ReadWrite {
        ReadWrite { look, lacks_reason: false, ..ReadWrite::new(origin, intent, true, visibility) }
    }

    /// Checks what the namespaces of the write demand of every write. A dry run may find out the versions that the write is to expect.
    pub fn check_demands(&self, bases: &ReadSet) -> Result<(), Error> {
        if self.lacks_reason
            && let Some(namespace) = bases.demanding_reason()
        {
            return Err(Error::ReasonRequired(namespace.clone()));
        }
        let lacks_match = |namespace: &&Namespace| !self.validate_only && self.intent.lacks_match(namespace);
        match bases.demanding_match().find(lacks_match) {
            Some(namespace) => Err(Error::MatchRequired(namespace.clone())),
            None => Ok(()),
        }
    }

    /// The actor whose budget for guesses the write takes. Empty: the server.
    pub fn actor(&self) -> &str {
        self.visibility.as_ref().map_or("", |visibility| visibility.caller().actor())
    }

    /// Whether the write changes configs that govern others.
    pub(in crate::engine) fn governs(&self) -> bool {
        self.ids.iter().any(|id| !id.config.is_ordinary())
    }

    /// The configs from which the write is planned in a state.
    pub(in crate::engine) fn bases(&self, state: &State) -> ReadSet {
        match self.intent.namespace() {
            Some((namespace, looked_up)) => {
                ReadSet::of_namespace(&self.ids, state, namespace, looked_up, is_tagged)
            }
            None => ReadSet::of(&self.ids, state),
        }
    }

    /// The ids of the locks of its namespaces.
    pub(in crate::engine) fn namespace_turns(&self) -> Vec<ConfigId> {
        self.namespaces.iter().map(ConfigId::first_of).collect()
    }

    /// The request that is to be made once, if it has a request id.
    pub(in crate::engine) fn repeatable(&self) -> Option<Repeatable<'_>> {
        let request = self.origin.request.as_ref().filter(|_| !self.validate_only)?;
        let owner = Owner { caller: &self.origin.author.actor, namespaces: &self.namespaces };
        Some(Repeatable { owner, request })
    }

    /// The bytes that its commit adds to the journal, without the metadata of the commit.
    pub(in crate::engine) fn journal_bytes(&self, changes: &[ConfigChange]) -> Vec<(Namespace, u64)> {
        let Origin { author, reason, request, annotations, .. } = &self.origin;
        let annotations = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let id = request.as_ref().map_or("", |request| &request.id);
        let origin = commit_bytes(&author.actor, reason, id, annotations);
        journal_bytes(origin, changes.iter().map(ConfigChange::journal_bytes))
    }

    /// Makes the commit of the write. The origin moves into the commit.
    pub(in crate::engine) fn commit(
        &mut self,
        revision: Revision,
        time: Timestamp,
        changes: Vec<ConfigChange>,
        schema: SchemaOutcome,
    ) -> Commit {
        let Origin { author, source, reason, request, annotations } = &mut self.origin;
        if let ReadIntent::Migrate { governed, .. } = &self.intent {
            let way = format!("{} {} -> {}", schema_id(governed).config, schema.active_before, schema.active);
            annotations.insert("migration".to_owned(), way);
        }
        if let ReadIntent::Revert { revisions, .. } = &self.intent {
            let revisions: Vec<String> = revisions.iter().map(Revision::to_string).collect();
            annotations.insert(REVERTS.to_owned(), revisions.join(","));
        }
        if let ReadIntent::Restore(Restored { revision: Some(revision), is_own, restoring, .. }) =
            &self.intent
        {
            let name = if *is_own { RESTORES } else { RESTORES_REVISION_OF_BACKUP };
            annotations.insert(name.to_owned(), revision.to_string());
            if let RestorePoint::Backup(source) = &restoring.to {
                annotations.insert(RESTORES_BACKUP.to_owned(), source.name());
            }
        }
        Commit {
            revision,
            time,
            author: std::mem::take(author),
            source: *source,
            reason: std::mem::take(reason),
            request: request.take(),
            annotations: std::mem::take(annotations),
            changes,
            forgotten: vec![],
        }
    }
}

/// The namespaces of configs that are sorted.
pub(in crate::engine) fn namespaces_of(ids: &[ConfigId]) -> Vec<Namespace> {
    let mut namespaces: Vec<Namespace> = ids.iter().map(|id| id.namespace.clone()).collect();
    namespaces.dedup();
    namespaces
}
