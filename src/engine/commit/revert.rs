//! Plans taking commits back: for each layer a three-way merge, which keeps what was changed since. Pure. Knows states; not the journal.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document_error::bounded;
use super::plan::{Plan, next_version};
use super::planning::Planning;
use super::read_set::ReadSet;
use super::revert_conflict::RevertConflict;
use super::reverting::{LayerState, Step};
use crate::engine::error::Error;
use crate::engine::secrets::redaction::Permissions;
use crate::engine::secrets::seal::comparable;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::secrets::shown::shown;
use crate::model::three_way::take_back;
use crate::model::{ConfigId, Content, LayerChange, LayerKey, Pointer, Timestamp};
use crate::secret::is_sealed;
use crate::validate::{Finding, Report, Schema};

/// Conflicts that an error has.
const CONFLICTS_MAX: usize = 20;
/// The longest text of a value in a conflict.
const VALUE_BYTES_MAX: usize = 256;

/// Takes steps back in their order, the newest first, each on what the steps before it have left. Steps of other layers do not touch each
/// other.
pub(in crate::engine) fn plan_revert(
    bases: &ReadSet,
    steps: &[Step],
    now: Timestamp,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let mut layers: BTreeMap<(&ConfigId, &LayerKey), Reverted> = BTreeMap::new();
    let mut conflicts = Conflicts::default();
    for step in steps {
        planning.cancelled.check()?;
        let (id, key) = (&step.id, &step.key);
        let schema = bases.governance(&id.namespace).and_then(|governance| governance.schema(&id.config));
        let schema = schema.filter(|schema| schema.marks_secrets());
        let sides = Sides { step, schema: schema.as_deref(), planning };
        let current = match layers.get(&(id, key)) {
            Some(reverted) => reverted.now.clone(),
            None => {
                let stored = bases.get(id).and_then(|config| config.layer(key));
                sides.comparable(stored.map(|entry| LayerState::of(&entry.layer)))?
            }
        };
        // An override that would have expired meanwhile is not restored.
        let is_live = |layer: &LayerState| layer.expires.is_none_or(|expires| expires > now);
        let before = sides.comparable(step.before.clone().filter(is_live))?;
        let after = sides.comparable(step.after.clone())?;
        let taken_back =
            sides.take_back(before.as_ref(), after.as_ref(), current.as_ref(), &mut conflicts)?;
        let reverted = layers.entry((id, key)).or_insert_with(|| Reverted { stored: current, now: None });
        reverted.now = taken_back;
    }
    if !conflicts.found.is_empty() {
        let Conflicts { found, omitted } = conflicts;
        return Err(Error::RevertConflict { conflicts: found, omitted });
    }
    let mut by_config: BTreeMap<&ConfigId, Vec<LayerChange>> = BTreeMap::new();
    let mut plan = Plan::new(vec![]);
    for ((id, key), Reverted { stored, now }) in layers {
        planning.cancelled.check()?;
        if stored == now {
            continue;
        }
        let change = match now {
            Some(LayerState { content, expires, format }) => {
                LayerChange { key: key.clone(), content: Some(content), expires, format }
            }
            None => LayerChange { key: key.clone(), content: None, expires: None, format: None },
        };
        plan.layers.push((id.clone(), key.clone()));
        by_config.entry(id).or_default().push(change);
    }
    for (id, layers) in by_config {
        planning.cancelled.check()?;
        let base = bases.get(id);
        plan.add(base, next_version(id, base, layers));
    }
    Ok(plan)
}

/// A layer while commits are taken back. Its secrets are sealed by the newest key, so that equal secrets are equal bytes.
struct Reverted {
    stored: Option<LayerState>,
    now: Option<LayerState>,
}

/// One step, with the values that the comparison of its layer needs.
struct Sides<'a> {
    step: &'a Step,
    /// The schema, if it marks secrets.
    schema: Option<&'a Schema>,
    planning: &'a Planning<'a>,
}

impl Sides<'_> {
    /// A layer whose secrets are sealed by the newest key. For a caller who may not reveal them, clear text stays clear text also where the schema
    /// marks it by now: that it equals the secret would be a guess that nobody counts.
    fn comparable(&self, layer: Option<LayerState>) -> Result<Option<LayerState>, Error> {
        let Some(layer) = layer else { return Ok(None) };
        let Step { id, key, .. } = self.step;
        let reveals = Permissions::of(self.planning.visibility).reveal(id, &key.scope);
        match comparable(id, &layer.content, self.schema.filter(|_| reveals), self.planning)? {
            Ok(content) => Ok(Some(LayerState { content, ..layer })),
            Err(found) => {
                let mut report = Report::default();
                found.into_iter().for_each(|found| report.add(Finding::at(id, &key.scope, found)));
                Err(Error::Refused(report))
            }
        }
    }

    /// The layer without the step.
    fn take_back(
        &self,
        before: Option<&LayerState>,
        after: Option<&LayerState>,
        current: Option<&LayerState>,
        conflicts: &mut Conflicts,
    ) -> Result<Option<LayerState>, Error> {
        let meaning = |layer: Option<&LayerState>| layer.map(|layer| (layer.content.clone(), layer.expires));
        let [was, left, is] = [before, after, current].map(meaning);
        if was == left || was == is {
            return Ok(current.cloned());
        }
        if left == is {
            return Ok(before.cloned());
        }
        let (Some(before), Some(after), Some(current)) = (before, after, current) else {
            conflicts.add(|| self.conflict(Pointer::root(), before, current));
            return Ok(current.cloned());
        };
        let expires = match (before.expires, after.expires, current.expires) {
            (was, left, is) if was == left || was == is => is,
            (was, left, is) if left == is => was,
            (was, _, is) => {
                conflicts.add(|| self.expiry_conflict(was, is));
                is
            }
        };
        let [was, left, is] = [before, after, current].map(|layer| layer.content.to_value());
        match take_back(&was, &left, &is, is_sealed) {
            Ok(value) => {
                let content = bounded(Content::of(&value), self.planning.limits.layer_bytes_max);
                let content =
                    content.map_err(|error| Error::Document { field: "revisions".into(), error })?;
                Ok(Some(LayerState { content, expires, format: current.format }))
            }
            Err(places) => {
                for pointer in places {
                    conflicts.add(|| self.conflict(pointer, Some(before), Some(current)));
                }
                Ok(Some(current.clone()))
            }
        }
    }

    fn conflict(
        &self,
        pointer: Pointer,
        before: Option<&LayerState>,
        current: Option<&LayerState>,
    ) -> RevertConflict {
        let text = |layer: Option<&LayerState>| {
            let value = self.masked(&layer?.content);
            Some(cut(Content::of(pointer.find(&value)?).as_str()))
        };
        let (current, restored) = (text(current), text(before));
        RevertConflict { current, restored, ..self.conflict_at(pointer) }
    }

    fn expiry_conflict(&self, before: Option<Timestamp>, current: Option<Timestamp>) -> RevertConflict {
        let text = |expires: Option<Timestamp>| expires.map(|expires| expires.to_string());
        let (current, restored) = (text(current), text(before));
        RevertConflict { current, restored, is_expiry: true, ..self.conflict_at(Pointer::root()) }
    }

    fn conflict_at(&self, pointer: Pointer) -> RevertConflict {
        let Step { revision, id, key, .. } = self.step;
        let (id, key) = (id.clone(), key.clone());
        let (current, restored, is_expiry) = (None, None, false);
        RevertConflict { revision: *revision, id, key, pointer, current, restored, is_expiry }
    }

    /// A content as a caller without `reveal-secret` sees it.
    fn masked(&self, content: &Content) -> Value {
        let key_store = self.planning.key_store;
        let shown = shown(key_store, &self.step.id, &self.step.key, content, Secrets::Hidden, self.schema);
        shown.as_ref().unwrap_or(content).to_value()
    }
}

#[derive(Default)]
struct Conflicts {
    found: Vec<RevertConflict>,
    omitted: usize,
}

impl Conflicts {
    fn add(&mut self, conflict: impl FnOnce() -> RevertConflict) {
        match self.found.len() < CONFLICTS_MAX {
            true => self.found.push(conflict()),
            false => self.omitted += 1,
        }
    }
}

/// A text without its end if it is long.
fn cut(text: &str) -> String {
    match text.char_indices().map(|(at, _)| at).find(|at| *at > VALUE_BYTES_MAX) {
        Some(end) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
