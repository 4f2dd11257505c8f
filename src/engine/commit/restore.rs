//! Plans making configs what they were at a point in the past. Pure. Knows states; not the journal.

use std::sync::Arc;

use super::plan::{Plan, next_version, removal};
use super::planning::Planning;
use super::read_set::ReadSet;
use super::restoring::{RestorePoint, Restored};
use crate::engine::error::{Error, Limit};
use crate::engine::state::{ConfigState, LayerEntry};
use crate::model::{ConfigChange, LayerChange, LayerKey, Timestamp, Version};

/// Layers that one restore changes.
const LAYERS_MAX: usize = 200_000;

/// Plans the layers of each config as they were; tags stay.
pub(in crate::engine) fn plan_restore(
    bases: &ReadSet,
    restored: &Restored,
    now: Timestamp,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let Restored { restoring, configs, .. } = restored;
    if bases.has_others() {
        return Err(Error::TargetMoved);
    }
    let mut plan = Plan::new(vec![]);
    plan.restored_revision = restored.revision;
    for (id, then) in configs {
        planning.cancelled.check()?;
        let base = bases.get(id);
        if base.is_none() && !restoring.to.may_create() {
            return Err(Error::TargetMoved);
        }
        let current = base.cloned().unwrap_or_else(|| Arc::new(ConfigState::unborn(id.clone())));
        check_still_meant(&current, then.as_deref(), &restoring.to)?;
        if let Some(expected) = restoring.expected.filter(|expected| current.at.revision > *expected) {
            return Err(Error::RevisionMismatch { id: id.clone(), expected, current: current.at.revision });
        }
        let concerned = |key: &LayerKey| restoring.scope.contains(&key.scope);
        let layers = restored_layers(&current, then.as_deref(), concerned, now, planning);
        plan.layers.extend(layers.iter().map(|layer| (id.clone(), layer.key.clone())));
        check_count(plan.layers.len())?;
        let version = then.as_ref().filter(|_| restored.is_own).map(|then| then.at.version);
        plan.add(base, ConfigChange { restored: version, ..next_version(id, base, layers) });
    }
    plan.layers.sort();
    Ok(plan)
}

/// The changes that restore the concerned layers of a config. `None`: the config did not exist then. An expired override is not restored.
pub(super) fn restored_layers(
    base: &ConfigState,
    then: Option<&ConfigState>,
    concerned: impl Fn(&LayerKey) -> bool,
    now: Timestamp,
    planning: &Planning<'_>,
) -> Vec<LayerChange> {
    let is_live = |entry: &Arc<LayerEntry>| entry.layer.expires.is_none_or(|expires| expires > now);
    let wanted = then.into_iter().flat_map(ConfigState::layers);
    let wanted = wanted.filter(|entry| concerned(&entry.key) && is_live(entry));
    let changed = wanted.filter(|entry| {
        base.layer(&entry.key).is_none_or(|current| {
            current.layer.content != entry.layer.content
                || current.layer.expires != entry.layer.expires
                || planning.is_blind(&base.id, &entry.key.scope)
        })
    });
    let changed = changed.map(|entry| LayerChange {
        key: entry.key.clone(),
        content: Some(entry.layer.content.clone()),
        expires: entry.layer.expires,
        format: entry.layer.format,
    });
    let is_wanted = |key: &LayerKey| then.and_then(|then| then.layer(key)).is_some_and(is_live);
    let gone = base.layers().iter().filter(|entry| concerned(&entry.key) && !is_wanted(&entry.key));
    changed.chain(gone.map(|entry| removal(&entry.key))).collect()
}

/// A tag that moved since the version was looked up names another version.
fn check_still_meant(base: &ConfigState, then: Option<&ConfigState>, to: &RestorePoint) -> Result<(), Error> {
    let version: Option<Version> = then.map(|then| then.at.version);
    match to {
        RestorePoint::Tag(tag) if base.tags().get(tag).copied() != version => Err(Error::TargetMoved),
        RestorePoint::Tag(_)
        | RestorePoint::Revision(_)
        | RestorePoint::Time(_)
        | RestorePoint::Backup(_) => Ok(()),
    }
}

fn check_count(found: usize) -> Result<(), Error> {
    match found > LAYERS_MAX {
        true => Err(Error::LimitReached {
            limit_name: Limit::CommitBytes,
            what: "layers that one restore changes".into(),
            found,
            limit: LAYERS_MAX,
        }),
        false => Ok(()),
    }
}
