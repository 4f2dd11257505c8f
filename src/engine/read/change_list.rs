//! Commits of the past that a query matches, with the differences that each made to effective documents. Knows the journal and resolution;
//! never messages.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::resolve::{Target, View, resolve};
use crate::engine::Engine;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::feed::changes::{keep_seen, shows};
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::secrets::shown::{Showing, Viewer, marking_schema};
use crate::engine::state::{ConfigState, State};
use crate::model::diff::{ValueChange, first_differences};
use crate::model::{Commit, ConfigChange, ConfigId, ConfigName, Namespace, Revision, Scope, Source, Version};
use crate::store::{Sealed, Store, StoreError};

/// Commits that are looked at for one page, whether the caller may read them or not.
const LOOKED_AT_MAX: usize = 1000;
/// Commits that are read at once, and their bytes beside the commit that exceeds them.
const READ_MAX: u64 = 250;
const READ_BYTES_MAX: usize = 4 << 20;
/// Commits that are read for one page, whether the caller may read them or not, in bytes beside the commit that exceeds them.
const PAGE_READ_BYTES_MAX: usize = 32 << 20;
/// Documents that are compared for one page, in bytes, beside the commit that exceeds them.
const COMPARED_BYTES_MAX: usize = 32 << 20;
/// The work that reading a layer of a past version is, in such bytes.
const LAYER_COST: usize = 64;
/// Scopes of one commit whose documents are compared.
const SCOPES_MAX: usize = 100;
/// Differences of one document, and the bytes of their pointers.
const DIFFERENCES_MAX: usize = 100;
const POINTER_BYTES_MAX: usize = 64 << 10;
/// Past states of configs that are kept for the next commit.
const STATES_KEPT: usize = 8;

/// Which commits to list.
#[derive(Clone, Debug)]
pub struct ChangeQuery {
    /// Only changes of this namespace, or of this config in it.
    pub filter: Option<(Namespace, Option<ConfigName>)>,
    /// Only changes of layers at or below this scope.
    pub within: Option<Scope>,
    pub actor: Option<String>,
    /// Empty: of any kind.
    pub sources: Vec<Source>,
    pub from: Revision,
    /// Inclusive.
    pub to: Revision,
    pub oldest_first: bool,
    pub with_differences: bool,
}

/// A commit with the changes that the query matches and the caller may read.
pub struct ListedCommit {
    pub sealed: Sealed,
    /// Of each scope at which a layer changed, in the order of the changes. Empty unless they were asked for.
    pub differences: Vec<ScopeDifference>,
    /// How many scopes are left out of `differences`.
    pub scopes_omitted: usize,
    /// The scopes with a layer at or below those that changed.
    pub scopes_reached: usize,
}

/// The difference of the effective document of a scope, with its secrets masked.
pub struct ScopeDifference {
    pub id: ConfigId,
    pub scope: Scope,
    /// `None`: the document before the commit is no longer retained.
    pub changes: Option<Vec<ValueChange>>,
    /// There are more.
    pub is_cut: bool,
}

impl Engine {
    /// Gives `take` one listed commit after the other, until it breaks or the page has cost enough. Where the list goes on; `None`: it has ended.
    pub async fn list_changes<P: Send + 'static>(
        &self,
        query: ChangeQuery,
        viewer: Viewer,
        mut page: P,
        take: impl Fn(&mut P, ListedCommit) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(P, Option<Revision>), Error> {
        let (store, key_store, state) = (self.store.clone(), self.key_store.clone(), self.state());
        let actor = viewer.visibility().caller().shared_actor().clone();
        let list = move |cancelled: &Cancelled| {
            let kept = VecDeque::new();
            let (store, key_store, state, viewer) = (&*store, &*key_store, &*state, &viewer);
            let mut lister = Lister {
                store,
                key_store,
                state,
                viewer,
                query: &query,
                cancelled,
                kept,
                compared_bytes: 0,
                read_together: READ_MAX,
            };
            let next = lister.page(|listed| take(&mut page, listed))?;
            Ok((page, next))
        };
        self.work(&actor, list).await
    }
}

struct Lister<'a> {
    store: &'a dyn Store,
    key_store: &'a KeyStore,
    state: &'a State,
    viewer: &'a Viewer,
    query: &'a ChangeQuery,
    cancelled: &'a Cancelled,
    kept: VecDeque<Arc<ConfigState>>,
    compared_bytes: usize,
    /// Commits to read at once when the list goes back: fewer after some were too large to be read together.
    read_together: u64,
}

impl Lister<'_> {
    fn page(
        &mut self,
        mut take: impl FnMut(ListedCommit) -> ControlFlow<()>,
    ) -> Result<Option<Revision>, Error> {
        let start = if self.query.oldest_first { self.query.from } else { self.query.to };
        let mut next =
            Some(start).filter(|_| self.query.from <= self.query.to && self.query.to > Revision::ZERO);
        let (mut looked_at, mut read_bytes, mut has_any) = (0, 0, false);
        while let Some(at) = next {
            let commits = if self.query.oldest_first { self.read_on(at)? } else { self.read_back(at)? };
            if commits.is_empty() {
                return Ok(None);
            }
            for sealed in commits {
                self.cancelled.check()?;
                let revision = sealed.commit.revision;
                read_bytes += sealed.memory_bytes();
                if let Some(matching) = self.matching(sealed) {
                    let listed = match self.listed(matching) {
                        // What was found so far is answered; the rest when the caller may be shown secrets again.
                        Err(Error::SecretsWithheld(_)) if has_any => return Ok(Some(revision)),
                        listed => listed?,
                    };
                    has_any = true;
                    next = self.following(revision);
                    if take(listed).is_break() || self.compared_bytes > COMPARED_BYTES_MAX {
                        return Ok(next);
                    }
                }
                next = self.following(revision);
                looked_at += 1;
                if looked_at == LOOKED_AT_MAX || read_bytes > PAGE_READ_BYTES_MAX {
                    return Ok(next);
                }
            }
        }
        Ok(None)
    }

    fn following(&self, revision: Revision) -> Option<Revision> {
        match self.query.oldest_first {
            true => Some(revision.next()).filter(|next| *next <= self.query.to),
            false => Some(Revision(revision.0 - 1))
                .filter(|next| *next >= self.query.from && *next > Revision::ZERO),
        }
    }

    fn read_on(&self, at: Revision) -> Result<Vec<Sealed>, Error> {
        let mut commits = self.store.commits(at, READ_BYTES_MAX)?;
        commits.retain(|sealed| sealed.commit.revision <= self.query.to);
        Ok(commits)
    }

    /// Commits up to `at`, the newest first. None if they are not retained any more.
    fn read_back(&mut self, at: Revision) -> Result<Vec<Sealed>, Error> {
        let lowest = self.query.from.max(self.store.oldest());
        let mut count = (at.0 + 1).saturating_sub(lowest.0).min(self.read_together);
        while count > 0 {
            let mut commits = match self.store.commits(Revision(at.0 + 1 - count), READ_BYTES_MAX) {
                Err(StoreError::Compacted { .. }) if count == 1 => return Ok(vec![]),
                // The history before was compacted meanwhile.
                Err(StoreError::Compacted { .. }) => vec![],
                commits => commits?,
            };
            if commits.last().is_some_and(|last| last.commit.revision >= at) {
                commits.retain(|sealed| sealed.commit.revision <= at);
                commits.reverse();
                self.read_together = (count * 2).min(READ_MAX);
                return Ok(commits);
            }
            // They are too large to be read together.
            count = if count == 1 { 0 } else { count / 2 };
        }
        Ok(vec![])
    }

    /// The commit with those of its changes that the query matches and the caller may read.
    fn matching(&self, mut sealed: Sealed) -> Option<Sealed> {
        let (query, visibility) = (self.query, self.viewer.visibility());
        let Commit { author, source, changes, forgotten, .. } = &mut sealed.commit;
        let is_asked_for = query.actor.as_ref().is_none_or(|actor| author.actor == *actor)
            && (query.sources.is_empty() || query.sources.contains(source));
        if !is_asked_for {
            return None;
        }
        changes.retain_mut(|change| {
            let ConfigId { namespace, config } = &change.id;
            let is_of = query
                .filter
                .as_ref()
                .is_none_or(|(of, only)| of == namespace && only.as_ref().is_none_or(|only| only == config));
            if !is_of || !shows(visibility, change) {
                return false;
            }
            keep_seen(visibility, change);
            match &query.within {
                None => true,
                Some(within) => {
                    change.layers.retain(|layer| within.contains(&layer.key.scope));
                    !change.layers.is_empty()
                }
            }
        });
        // Which layers were changed is not known any more.
        let is_of_all = query.filter.is_none() && query.within.is_none();
        forgotten.retain(|part| is_of_all && visibility.has_all_of(&part.namespace));
        (!changes.is_empty() || !forgotten.is_empty()).then_some(sealed)
    }

    fn listed(&mut self, sealed: Sealed) -> Result<ListedCommit, Error> {
        let sealed = Showing::new(self.key_store, self.viewer, self.state).commit(sealed)?;
        let mut listed = ListedCommit { sealed, differences: vec![], scopes_omitted: 0, scopes_reached: 0 };
        if self.query.with_differences {
            for at in 0..listed.sealed.commit.changes.len() {
                let change = listed.sealed.commit.changes[at].clone();
                self.add_differences(&change, &mut listed)?;
            }
        }
        Ok(listed)
    }

    fn add_differences(&mut self, change: &ConfigChange, listed: &mut ListedCommit) -> Result<(), Error> {
        let scopes: BTreeSet<&Scope> = change.layers.iter().map(|layer| &layer.key.scope).collect();
        if scopes.is_empty() {
            return Ok(());
        }
        let after = self.config_at(&change.id, change.version)?;
        let before = match change.version.0 {
            0 | 1 => Ok(None),
            version => self.config_at(&change.id, Version(version - 1))?.map(Some).ok_or(()),
        };
        let visibility = self.viewer.visibility();
        let (namespace, config) = (&change.id.namespace, &change.id.config);
        let layers = after.iter().flat_map(|after| after.layers()).map(|entry| &entry.key.scope);
        let reached: BTreeSet<&Scope> =
            layers.filter(|scope| visibility.has(namespace, config, scope)).collect();
        let is_below = |scope: &&&Scope| scope.lineage().any(|above| scopes.contains(&above));
        listed.scopes_reached += reached.iter().filter(is_below).count();
        for scope in scopes {
            self.cancelled.check()?;
            if listed.differences.len() == SCOPES_MAX || self.compared_bytes > COMPARED_BYTES_MAX {
                listed.scopes_omitted += 1;
                continue;
            }
            let differences = match (&before, &after) {
                (Ok(before), Some(after)) => {
                    let before = self.document(before.as_deref(), &change.id, scope);
                    let after = self.document(Some(after), &change.id, scope);
                    Some(first_differences(&before, &after, DIFFERENCES_MAX, POINTER_BYTES_MAX))
                }
                (Ok(_) | Err(()), _) => None,
            };
            let is_cut = differences.as_ref().is_some_and(|(_, is_all)| !is_all);
            let changes = differences.map(|(changes, _)| changes);
            let (id, scope) = (change.id.clone(), scope.clone());
            listed.differences.push(ScopeDifference { id, scope, changes, is_cut });
        }
        Ok(())
    }

    /// An effective document whose secrets are masked; an empty one where there is none.
    fn document(&mut self, config: Option<&ConfigState>, id: &ConfigId, scope: &Scope) -> serde_json::Value {
        let (id, scope) = (id.clone(), scope.clone());
        let target = Arc::new(Target { id, scope, view: View::Effective, secrets: Secrets::Hidden });
        let marking = marking_schema(&target.id, self.state);
        let resolved =
            config.and_then(|config| resolve(config, &target, None, self.key_store, marking.as_deref()));
        match resolved {
            Some(resolved) => {
                self.compared_bytes += resolved.content.as_str().len();
                resolved.content.to_value()
            }
            None => serde_json::json!({}),
        }
    }

    /// A config at a version. `None`: it is no longer retained.
    fn config_at(&mut self, id: &ConfigId, version: Version) -> Result<Option<Arc<ConfigState>>, Error> {
        let is_it = |config: &&Arc<ConfigState>| config.id == *id && config.at.version == version;
        if let Some(config) = self.state.config(id).filter(is_it).or_else(|| self.kept.iter().find(is_it)) {
            return Ok(Some(config.clone()));
        }
        let snapshot = match self.store.snapshot(id, version) {
            Err(StoreError::Compacted { .. }) => return Ok(None),
            snapshot => snapshot?,
        };
        let config = snapshot.map(|snapshot| Arc::new(ConfigState::historic(id.clone(), snapshot)));
        if let Some(config) = &config {
            self.compared_bytes += config.layers().len() * LAYER_COST;
            self.kept.push_back(config.clone());
            if self.kept.len() > STATES_KEPT {
                self.kept.pop_front();
            }
        }
        Ok(config)
    }
}
