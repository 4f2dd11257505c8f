//! Plans writes of every kind: pure, so that a plan is made beside the pipeline, and again if the state has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    ConfigChange, ConfigId, LayerChange, LayerKey, LayerKind, Scope, TagChange, TagName, Timestamp, Version,
};
use crate::secret;

use super::assignments::check_assignments;
use super::expected::Expected;
use super::layer_content::content_after;
use super::namespace_tags::{check_not_of_namespace, plan_namespace_tag};
use super::plan::{Plan, check_version, next_version, removal};
use super::planning::Planning;
use super::read_change::{ReadAction, ReadChange};
use super::read_intent::ReadIntent;
use super::read_set::ReadSet;
use super::restore::{plan_restore, restored_layers};
use super::restoring::Restored;
use super::revert::plan_revert;
use super::schemas::{plan_migration, plan_put};
use super::write::RollbackTo;
use crate::engine::error::{Error, Limit, Missing};
use crate::engine::secrets::redaction::Permissions;
use crate::engine::secrets::seal::plan_reseal;
use crate::engine::state::ConfigState;
use crate::engine::state::usage::Growth;
/// Makes the plan for a write at `now`. Fails as the write would. Reports contain nothing that the caller may not read.
pub(in crate::engine) fn plan(
    bases: &ReadSet,
    intent: &ReadIntent,
    now: Timestamp,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let permissions = Permissions::of(planning.visibility);
    match plan_all(bases, intent, now, planning) {
        Ok(mut plan) => {
            permissions.redact(&mut plan.report, || intent.named_places());
            Ok(plan)
        }
        Err(Error::Refused(mut report)) => {
            permissions.redact(&mut report, || intent.named_places());
            Err(Error::Refused(report))
        }
        Err(error) => Err(permissions.redact_error(error, intent)),
    }
}

fn plan_all(
    bases: &ReadSet,
    intent: &ReadIntent,
    now: Timestamp,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let limits = planning.limits;
    planning.cancelled.check()?;
    let mut plan = match intent {
        ReadIntent::Changes(changes) | ReadIntent::Keys(changes) => {
            plan_changes(bases, changes, now, planning)?
        }
        ReadIntent::Delete { id, key, expected } => plan_delete(bases, id, key.as_ref(), *expected)?,
        ReadIntent::Rollback { id, to, by, scope, expected, .. } => {
            check_still_meant(bases, id, by, to)?;
            plan_rollback(bases, id, to, scope.as_ref(), *expected, now, planning)?
        }
        ReadIntent::Revert { steps, .. } => plan_revert(bases, steps, now, planning)?,
        ReadIntent::Restore(restored) => plan_restore(bases, restored, now, planning)?,
        ReadIntent::Tag { id, tag, to, expected } => plan_tag(bases, id, tag, *to, *expected)?,
        ReadIntent::TagNamespace(read) => plan_namespace_tag(bases, read, planning)?,
        ReadIntent::Expire(due) => plan_expiry(bases, due, now),
        ReadIntent::Reseal(id) => plan_reseal(bases, id, planning)?,
        ReadIntent::PutSchema { governed, put } => plan_put(bases, governed, put)?,
        ReadIntent::Migrate { governed, to } => plan_migration(bases, governed, *to, planning)?,
    };
    planning.cancelled.check()?;
    // Before schemas are searched for marks of secrets.
    plan.check_proposed_schemas(bases, planning)?;
    // Before the content is used for a value that outlives the plan.
    if !matches!(intent, ReadIntent::Keys(_) | ReadIntent::Reseal(_)) {
        let origin = match intent {
            ReadIntent::Restore(restored) if !may_open_all(restored, planning) => secret::Origin::Written,
            ReadIntent::Rollback { .. } | ReadIntent::Revert { .. } | ReadIntent::Restore(_) => {
                secret::Origin::Restored
            }
            ReadIntent::Changes(_)
            | ReadIntent::Keys(_)
            | ReadIntent::Reseal(_)
            | ReadIntent::Delete { .. }
            | ReadIntent::Tag { .. }
            | ReadIntent::TagNamespace(_)
            | ReadIntent::Expire(_)
            | ReadIntent::PutSchema { .. }
            | ReadIntent::Migrate { .. } => secret::Origin::Written,
        };
        plan.seal(bases, origin, planning)?;
    }
    let layers = plan.changes.iter().flat_map(|change| &change.layers);
    let bytes = layers.filter_map(|layer| layer.content.as_ref()).map(|content| content.as_str().len()).sum();
    if bytes > limits.commit_bytes_max {
        if let Some(hidden) = Permissions::of(planning.visibility).hidden_size(intent, &plan.changes) {
            return Err(hidden);
        }
        return Err(Error::LimitReached {
            limit_name: Limit::CommitBytes,
            what: "bytes written by one commit".into(),
            found: bytes,
            limit: limits.commit_bytes_max,
        });
    }
    match intent {
        // That an override ends cannot be refused: what remains was checked when it was written, and only a limit that was
        // lowered since could object. The override would stay for ever, and keep others that are due.
        ReadIntent::Expire(_) => {}
        // A rule or schema for the config of the data keys must not prevent the sealing of secrets.
        ReadIntent::Keys(_) => {}
        // Nothing is another value.
        ReadIntent::Reseal(_) => {}
        ReadIntent::Changes(_)
        | ReadIntent::Delete { .. }
        | ReadIntent::Rollback { .. }
        | ReadIntent::Revert { .. }
        | ReadIntent::Restore(_)
        | ReadIntent::TagNamespace(_)
        | ReadIntent::Tag { .. }
        | ReadIntent::PutSchema { .. }
        | ReadIntent::Migrate { .. } => {
            plan.growths = Growth::of_all(&plan.changes, &plan.after, |id| bases.get(id));
            plan.check_counts(bases, limits)?;
            plan.validate(bases, intent, planning)?;
        }
    }
    // The governances share the configs, which are yet to be settled.
    plan.governances.take();
    Ok(plan)
}

/// Whether the caller learns nothing from sealed values that they have chosen: these were stored here, or the caller may reveal all secrets of the
/// configs. A sealed value opens in every layer of its config, also in one that its caller may reveal.
fn may_open_all(restored: &Restored, planning: &Planning<'_>) -> bool {
    !restored.restoring.is_uploaded()
        || planning.visibility.is_none_or(|visibility| {
            restored.configs.keys().all(|id| visibility.reveals(id, &Scope::global()))
        })
}

fn plan_changes(
    bases: &ReadSet,
    changes: &[ReadChange],
    now: Timestamp,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let mut plan = Plan::new(changes.iter().map(|change| (change.id.clone(), change.key.clone())).collect());
    let mut by_config: BTreeMap<&ConfigId, Vec<&ReadChange>> = BTreeMap::new();
    for change in changes {
        by_config.entry(&change.id).or_default().push(change);
    }
    for (id, changes) in by_config {
        planning.cancelled.check()?;
        let base = bases.get(id);
        let blind = changes.iter().filter(|change| planning.is_blind(id, &change.key.scope));
        blind.for_each(|change| plan.unseen.keep(id, &change.key));
        let layers = changes.into_iter().map(|change| {
            planning.cancelled.check()?;
            plan_layer(base, change, now, planning)
        });
        let layers = layers.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        plan.add(base, next_version(id, base, layers));
    }
    Ok(plan)
}

/// The layer after a change. `None`: unchanged.
fn plan_layer(
    base: Option<&Arc<ConfigState>>,
    change: &ReadChange,
    now: Timestamp,
    planning: &Planning<'_>,
) -> Result<Option<LayerChange>, Error> {
    check_assignments(base, change, planning.visibility)?;
    let content = content_after(base, change, planning.visibility, planning.key_store, planning.limits)?;
    let current = base.and_then(|config| config.layer(&change.key));
    let expires = match (&change.action, change.ttl) {
        (ReadAction::Delete, _) => None,
        (_, Some(ttl)) => Some(now.plus(ttl)),
        (ReadAction::Replace(..), None) => None,
        (ReadAction::MergePatch(_) | ReadAction::JsonPatch(_) | ReadAction::Assign(_), None) => {
            current.and_then(|entry| entry.layer.expires)
        }
    };
    let unchanged = match (current, &content) {
        (Some(entry), Some(content)) => {
            entry.layer.content == *content
                && entry.layer.expires == expires
                && !planning.is_blind(&change.id, &change.key.scope)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let format = match &change.action {
        ReadAction::Replace(_, format) => Some(*format),
        ReadAction::Delete => None,
        ReadAction::MergePatch(_) | ReadAction::JsonPatch(_) | ReadAction::Assign(_) => {
            current.and_then(|entry| entry.layer.format)
        }
    };
    Ok((!unchanged).then(|| LayerChange { key: change.key.clone(), content, expires, format }))
}

fn plan_delete(
    bases: &ReadSet,
    id: &ConfigId,
    key: Option<&LayerKey>,
    expected: Option<Expected>,
) -> Result<Plan, Error> {
    let base = bases.get(id).ok_or_else(|| Missing::Config(id.clone()))?;
    let (current, exists) = match key {
        Some(key) => {
            (base.layer(key).map_or(Version::ZERO, |entry| entry.layer.version), base.layer(key).is_some())
        }
        None => (base.at.version, !base.is_deleted()),
    };
    Expected::check(expected, current, exists, || match key {
        Some(key) => format!("the {} layer of {id} at {}", key.kind, key.scope),
        None => format!("config {id}"),
    })?;
    let gone = base.layers().iter().filter(|entry| key.is_none_or(|key| entry.key == *key));
    let gone: Vec<_> = gone.map(|entry| removal(&entry.key)).collect();
    let mut plan = Plan::new(gone.iter().map(|layer| (id.clone(), layer.key.clone())).collect());
    plan.add(Some(base), next_version(id, Some(base), gone));
    Ok(plan)
}

/// A tag that moved between its lookup and the rollback names another version now, and after another commit another version is the one before:
/// look again.
fn check_still_meant(bases: &ReadSet, id: &ConfigId, by: &RollbackTo, to: &ConfigState) -> Result<(), Error> {
    let config = bases.get(id);
    let meant = match by {
        RollbackTo::Version(version) => Some(*version),
        RollbackTo::Tag(tag) => config.and_then(|config| config.tags().get(tag)).copied(),
        RollbackTo::Previous => config.map(|config| Version(config.at.version.0.saturating_sub(1))),
    };
    match meant == Some(to.at.version) {
        true => Ok(()),
        false => Err(Error::TargetMoved),
    }
}

fn plan_rollback(
    bases: &ReadSet,
    id: &ConfigId,
    to: &ConfigState,
    scope: Option<&Scope>,
    expected: Option<Version>,
    now: Timestamp,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let base = bases.get(id).ok_or_else(|| Missing::Config(id.clone()))?;
    check_version(expected, base.at.version, || format!("config {id}"))?;
    let concerned = |key: &LayerKey| scope.is_none_or(|scope| key.scope == *scope);
    let layers = restored_layers(base, Some(to), concerned, now, planning);
    let mut plan = Plan::new(layers.iter().map(|layer| (id.clone(), layer.key.clone())).collect());
    let blind = to.layers().iter().filter(|entry| planning.is_blind(id, &entry.key.scope));
    blind.for_each(|entry| plan.unseen.keep(id, &entry.key));
    plan.restored = Some(to.at.version);
    plan.add(Some(base), ConfigChange { restored: plan.restored, ..next_version(id, Some(base), layers) });
    plan.layers.sort();
    Ok(plan)
}

fn plan_tag(
    bases: &ReadSet,
    id: &ConfigId,
    tag: &TagName,
    to: Option<Version>,
    expected: Option<Version>,
) -> Result<Plan, Error> {
    let base = bases.get(id).ok_or_else(|| Missing::Config(id.clone()))?;
    check_not_of_namespace(bases, id, tag)?;
    let before = base.tags().get(tag).copied();
    check_version(expected, before.unwrap_or(Version::ZERO), || format!("tag {tag} of {id}"))?;
    let to = to.map(|version| if version == Version::ZERO { base.at.version } else { version });
    if let Some(version) = to.filter(|version| *version > base.at.version) {
        return Err(Missing::Version(id.clone(), version, base.at.version).into());
    }
    let mut plan = Plan::new(vec![]);
    plan.tag = (to, before);
    let tags = match before == to {
        true => vec![],
        false => vec![TagChange { tag: tag.clone(), version: to, previous: before }],
    };
    let version = base.at.version;
    plan.add(Some(base), ConfigChange { id: id.clone(), version, layers: vec![], tags, restored: None });
    Ok(plan)
}

/// Only overrides that are still due: an override may have been renewed since the look-up.
fn plan_expiry(bases: &ReadSet, due: &[(ConfigId, LayerKey)], now: Timestamp) -> Plan {
    let mut plan = Plan::new(due.to_vec());
    let mut by_config: BTreeMap<&ConfigId, Vec<&LayerKey>> = BTreeMap::new();
    for (id, key) in due {
        by_config.entry(id).or_default().push(key);
    }
    for (id, keys) in by_config {
        let base = bases.get(id);
        let due = keys.into_iter().filter(|key| {
            let layer = base.and_then(|config| config.layer(key));
            layer.and_then(|entry| entry.layer.expires).is_some_and(|expires| expires <= now)
        });
        plan.add(base, next_version(id, base, due.map(removal).collect()));
    }
    plan
}

/// A base layer has no time to live, and the time to live of an override is not over at once.
pub(in crate::engine) fn check_ttl(field: &str, key: &LayerKey, ttl: Option<Duration>) -> Result<(), Error> {
    let wrong =
        |message: &str| Err(Error::Invalid { field: format!("{field}.ttl"), message: message.into() });
    match (key.kind, ttl) {
        (LayerKind::Base, Some(_)) => wrong("only an override can have a time to live"),
        (LayerKind::Override, Some(ttl)) if ttl.is_zero() => wrong("must be more than zero"),
        (LayerKind::Base | LayerKind::Override, _) => Ok(()),
    }
}
