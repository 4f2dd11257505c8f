//! Reads the outcome of a repeated request from the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::{Commit, ConfigId, LayerKey, Revision, Scope, Source};
use crate::store::{History, Store, VersionRef};
use crate::validate::{Finding, Found, Report, Severity};

use super::outcome::{LayerOutcome, Outcome};
use super::put_schema::{SchemaOutcome, schema_of};
use super::read_write::{RESTORES, RESTORES_REVISION_OF_BACKUP};
use super::request_ids::{First, Nothing};
use super::schemas::registry;
use crate::engine::error::Error;
use crate::engine::read::history::commit_of;
use crate::engine::secrets::secret_places::SecretPlaces;
use crate::engine::state::tags::{tags_id, tags_of};
use crate::engine::state::{ConfigState, State};
use crate::engine::state_backups::STATE_BEFORE;

/// The first outcome of a request, with the layers that the request names, if it names any. `ids` are the configs that the request concerns. Blocks.
pub(in crate::engine) fn outcome(
    store: &dyn Store,
    state: &State,
    first: First,
    asked: Option<Vec<(ConfigId, LayerKey)>>,
    ids: &[ConfigId],
) -> Result<Outcome, Error> {
    let (revision, changed) = (first.revision(), matches!(first, First::Commit(_)));
    let found = match first {
        First::Commit(revision) => of_commit(store, revision, asked),
        First::Nothing(nothing) => of_nothing(store, state, *nothing, asked.unwrap_or_default()),
    };
    match found {
        // The request is not repeated, and did not fail: only the content that it wrote is no longer retained.
        Err(Error::Compacted { .. }) => {
            let report = compacted(revision, ids);
            Ok(Outcome { changed, report, ..Outcome::nothing(revision) })
        }
        found => found,
    }
}

/// Says that nothing more is known of the first request.
fn compacted(revision: Revision, ids: &[ConfigId]) -> Report {
    let mut report = Report::default();
    if let Some(id) = ids.first() {
        let found = Found {
            severity: Severity::Warning,
            code: "OUTCOME_COMPACTED".into(),
            pointer: String::new(),
            message: format!(
                "the request was made before, in revision {revision}, and nothing was written now; what it wrote then was compacted"
            ),
            suggestion: "read the config to learn what it has now".into(),
        };
        report.add(Finding::at(id, &Scope::global(), found));
    }
    report
}

/// The outcome of a request that changed nothing: its layers were then as they had been.
fn of_nothing(
    store: &dyn Store,
    state: &State,
    nothing: Nothing,
    asked: Vec<(ConfigId, LayerKey)>,
) -> Result<Outcome, Error> {
    let Nothing { revision, at, restored, restored_revision, tag, namespace_tag, schema } = nothing;
    let mut configs: BTreeMap<ConfigId, Arc<ConfigState>> = BTreeMap::new();
    for (id, _) in &asked {
        if !configs.contains_key(id) {
            let is_as_then = |config: &&Arc<ConfigState>| config.at.revision <= revision;
            let config = match state.config(id).filter(is_as_then) {
                Some(config) => Some(config.clone()),
                None => config_as_of(store, id, revision)?,
            };
            configs.insert(id.clone(), config.unwrap_or_else(|| Arc::new(ConfigState::unborn(id.clone()))));
        }
    }
    let layers = asked.into_iter().map(|(id, key)| {
        let config = &configs[&id];
        let before = config.layer(&key).cloned();
        let after = before.as_ref().map(|entry| entry.layer.clone());
        let secrets = SecretPlaces::default();
        LayerOutcome {
            before,
            after,
            secrets,
            changed: false,
            at: config.at,
            is_shown: true,
            id,
            key,
            proposed: vec![],
        }
    });
    let layers = layers.collect();
    Ok(Outcome {
        layers,
        at,
        restored,
        restored_revision,
        tag,
        namespace_tag,
        schema,
        ..Outcome::nothing(revision)
    })
}

/// The outcome of the commit of `revision`, with the layers that the request names, or else the layers that the commit changed.
fn of_commit(
    store: &dyn Store,
    revision: Revision,
    asked: Option<Vec<(ConfigId, LayerKey)>>,
) -> Result<Outcome, Error> {
    let compacted = || Error::Compacted { asked: revision, oldest: store.oldest() };
    let commit = commit_of(store, revision)?.ok_or_else(compacted)?.commit;
    if !commit.forgotten.is_empty() {
        return Err(compacted());
    }
    let changed = || {
        let changes = commit.changes.iter();
        changes
            .flat_map(|change| change.layers.iter().map(|layer| (change.id.clone(), layer.key.clone())))
            .collect()
    };
    let keys: Vec<_> = asked.unwrap_or_else(changed);
    let mut around: BTreeMap<ConfigId, Around> = BTreeMap::new();
    for (id, _) in &keys {
        if !around.contains_key(id) {
            around.insert(id.clone(), Around::of(store, id, revision)?);
        }
    }
    let layers = keys.into_iter().map(|(id, key)| layer_outcome(&commit, &around[&id], id, key)).collect();
    let about = commit.changes.first();
    let namespace_tag = namespace_tag(&around);
    // The tags of configs follow the tag of their namespace.
    let of_config = namespace_tag == (None, None);
    let tag = about.and_then(|change| change.tags.first()).filter(|_| of_config);
    Ok(Outcome {
        changed: true,
        revision,
        layers,
        at: about.map(|change| VersionRef { version: change.version, revision, time: commit.time }),
        restored: about.and_then(|change| change.restored),
        restored_revision: restored_revision(&commit),
        tag: tag.map_or((None, None), |tag| (tag.version, tag.previous)),
        namespace_tag,
        schema: schema_outcome(&around),
        configs: vec![],
        overwritten: vec![],
        report: Report::default(),
        state_backups: state_backups(&commit),
        large: None,
    })
}

/// The revision that a restore has restored.
fn restored_revision(commit: &Commit) -> Option<Revision> {
    if commit.source != Source::Restore {
        return None;
    }
    let annotation = commit.annotations.get(RESTORES).or(commit.annotations.get(RESTORES_REVISION_OF_BACKUP));
    annotation?.parse().ok().map(Revision)
}

/// The backups of the state before the commit.
fn state_backups(commit: &Commit) -> Vec<String> {
    let is_large = matches!(commit.source, Source::Restore | Source::Migration | Source::Apply);
    let ids = commit.annotations.get(STATE_BEFORE).filter(|_| is_large);
    ids.map(|ids| ids.split(',').map(str::to_owned).collect()).unwrap_or_default()
}

/// What a commit did to a tag of a namespace: the revision that the tag names now, and the one before.
fn namespace_tag(around: &BTreeMap<ConfigId, Around>) -> (Option<Revision>, Option<Revision>) {
    let of_tags = around.iter().find(|(id, _)| **id == tags_id(&id.namespace));
    let changed = of_tags.and_then(|(_, Around { before, after })| {
        let before = before.as_deref().map(tags_of).unwrap_or_default();
        let after = tags_of(after);
        let revision =
            |tags: &Map<String, Value>, tag: &String| tags.get(tag).and_then(Value::as_u64).map(Revision);
        let mut tags = before.keys().chain(after.keys());
        let tag = tags.find(|tag| before.get(*tag) != after.get(*tag))?;
        Some((revision(&after, tag), revision(&before, tag)))
    });
    changed.unwrap_or_default()
}

/// What a commit did to the one schema that it was about, if there is one.
fn schema_outcome(around: &BTreeMap<ConfigId, Around>) -> SchemaOutcome {
    let of_schema = around.iter().find(|(id, _)| schema_of(&id.config).is_some());
    let outcome = of_schema.and_then(|(_, Around { before, after })| {
        let registry = |config| registry(config).ok().flatten();
        let now = registry(Some(after))?;
        Some(SchemaOutcome {
            number: now.versions.last()?.number,
            active_before: registry(before.as_ref()).map_or(0, |before| before.active),
            active: now.active,
        })
    });
    outcome.unwrap_or_default()
}

/// What a config was before a commit, and after it.
struct Around {
    before: Option<Arc<ConfigState>>,
    after: Arc<ConfigState>,
}

impl Around {
    fn of(history: &dyn History, id: &ConfigId, revision: Revision) -> Result<Around, Error> {
        // One of several configs may have had nothing to lose, and so never have come into being.
        let unborn = || Arc::new(ConfigState::unborn(id.clone()));
        let after = config_as_of(history, id, revision)?.unwrap_or_else(unborn);
        // The diff is missing where the content before is no longer retained; the rest of the outcome is complete.
        let before = match config_as_of(history, id, Revision(revision.0 - 1)) {
            Err(Error::Compacted { .. }) => None,
            before => before?,
        };
        Ok(Around { before, after })
    }
}

fn layer_outcome(commit: &Commit, around: &Around, id: ConfigId, key: LayerKey) -> LayerOutcome {
    let change = commit.changes.iter().find(|change| change.id == id);
    let Around { before, after } = around;
    LayerOutcome {
        before: before.as_ref().and_then(|config| config.layer(&key).cloned()),
        after: after.layer(&key).map(|entry| entry.layer.clone()),
        secrets: SecretPlaces::default(),
        changed: change.is_some_and(|change| change.layers.iter().any(|layer| layer.key == key)),
        is_shown: true,
        at: after.at,
        proposed: vec![],
        id,
        key,
    }
}

fn config_as_of(
    history: &dyn History,
    id: &ConfigId,
    revision: Revision,
) -> Result<Option<Arc<ConfigState>>, Error> {
    let Some(at) = history.version_at(id, revision)? else {
        return Ok(None);
    };
    let snapshot = history.snapshot(id, at.version)?;
    Ok(snapshot.map(|snapshot| Arc::new(ConfigState::historic(id.clone(), snapshot))))
}
