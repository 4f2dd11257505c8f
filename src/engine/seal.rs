//! Sealing what a plan would store: a part of `plan.rs`, as pure. Knows which layers are to be sealed, by their schemas and by what
//! they inherit; how is known to secret.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::model::{ConfigChange, ConfigId, Content, Governs, LayerChange, Scope};
use crate::secret::{KeysError, Known, Refusal, Sealing, holds_sealed, known_in, mentions_mark};
use crate::validate::{Finding, Found, Report, Schema, Severity};

use super::bases::Bases;
use super::error::Error;
use super::plan::{Plan, Planning, next_version};
use super::resolve::{View, layers_of};
use super::sight::marked_pointers;
use super::state::ConfigState;
use super::write::bounded;

impl Plan {
    /// Seals every secret of the layers that the plan would store. What is as before then, is no change.
    pub(super) fn seal(&mut self, bases: &Bases, planning: &Planning<'_>) -> Result<(), Error> {
        self.add_newly_marked(bases);
        let mut report = Report::default();
        for at in 0..self.changes.len() {
            let change = &self.changes[at];
            if change.layers.is_empty() || !change.id.config.is_ordinary() {
                continue;
            }
            let schema = self.marking_schema(bases, &change.id);
            let base = bases.get(&change.id);
            if let Some(layers) = seal_layers(base, change, schema.as_deref(), planning, &mut report)? {
                self.has_secrets |= layers.iter().filter_map(|layer| layer.content.as_ref()).any(has_secrets);
                let change = &mut self.changes[at];
                change.layers = layers;
                change.version = next_version(&change.id, base, change.layers.clone()).version;
                self.after[at] = Arc::new(ConfigState::after(base.map(Arc::as_ref), change));
            }
        }
        if !report.is_valid() {
            return Err(Error::Refused(report));
        }
        let is_change = |change: &ConfigChange| !change.layers.is_empty() || !change.tags.is_empty();
        let mut kept = self.changes.iter().map(is_change);
        self.after.retain(|_| kept.next().expect("there is a change for each"));
        self.changes.retain(is_change);
        Ok(())
    }

    /// Adds the layers of configs whose schema changes: it may mark what they have in plain text.
    fn add_newly_marked(&mut self, bases: &Bases) {
        let is_schema = |change: &ConfigChange| {
            !change.layers.is_empty() && matches!(change.id.config.governs(), Some(Governs::Schema(_)))
        };
        if !self.changes.iter().any(is_schema) {
            return;
        }
        for config in bases.governed() {
            if self.marking_schema(bases, &config.id).is_none() {
                continue;
            }
            let at = self.changes.binary_search_by(|change| change.id.cmp(&config.id));
            let as_is = |state: &ConfigState, besides: &[LayerChange]| -> Vec<LayerChange> {
                let entries = state.layers().iter();
                let rest = entries.filter(|entry| besides.iter().all(|layer| layer.key != entry.key));
                let change = rest.map(|entry| LayerChange {
                    key: entry.key.clone(),
                    content: Some(entry.layer.content.clone()),
                    expires: entry.layer.expires,
                    format: entry.layer.format,
                });
                change.collect()
            };
            match at {
                Ok(at) => {
                    let more = as_is(&self.after[at], &self.changes[at].layers);
                    let layers = &mut self.changes[at].layers;
                    layers.extend(more);
                    layers.sort_by(|a, b| a.key.cmp(&b.key));
                }
                Err(at) => {
                    let change = next_version(&config.id, Some(config), as_is(config, &[]));
                    self.changes.insert(at, change);
                    self.after.insert(at, config.clone());
                }
            }
        }
    }

    /// The schema that a config has after the plan, if it marks anything as secret.
    fn marking_schema(&self, bases: &Bases, id: &ConfigId) -> Option<Arc<Schema>> {
        let schema = self.governance(bases, &id.namespace)?.schema(&id.config)?;
        schema.marks_secrets().then_some(schema)
    }
}

/// Seals all secrets of a config by the newest key, and makes sure that they are the same.
pub(super) fn plan_reseal(bases: &Bases, id: &ConfigId, planning: &Planning<'_>) -> Result<Plan, Error> {
    let base = bases.get(id).filter(|config| !config.is_deleted());
    let mut layers = vec![];
    for entry in base.iter().flat_map(|config| config.layers()) {
        let content = &entry.layer.content;
        if !has_secrets(content) {
            continue;
        }
        let ring = planning.vault.sealing_ring(&id.namespace, planning.validate_only)?;
        let mut value = content.to_value();
        let before = Value::Null;
        let sealing = Sealing { id, ring: &ring, marked: &BTreeSet::new(), known: &[], before: &before };
        let unreadable = |refused: Vec<Refusal>| {
            let mut report = Report::default();
            refused
                .into_iter()
                .for_each(|refusal| report.add(Finding::at(id, &entry.key.scope, found_of(refusal))));
            Error::Refused(report)
        };
        sealing.seal(&mut value).map_err(unreadable)?;
        let sealed = Content::of(&value);
        if planning.vault.opened(id, &sealed) != planning.vault.opened(id, content) {
            return Err(KeysError::Damaged(ring.newest()).into());
        }
        if sealed != *content {
            let (expires, format) = (entry.layer.expires, entry.layer.format);
            layers.push(LayerChange { key: entry.key.clone(), content: Some(sealed), expires, format });
        }
    }
    let mut plan = Plan::new(vec![]);
    plan.add(base, next_version(id, base, layers));
    Ok(plan)
}

/// The layers of a change, sealed, without those that are as before. `None`: there is nothing to seal.
fn seal_layers(
    base: Option<&Arc<ConfigState>>,
    change: &ConfigChange,
    schema: Option<&Schema>,
    planning: &Planning<'_>,
    report: &mut Report,
) -> Result<Option<Vec<LayerChange>>, Error> {
    let merged = |scope: &Scope| base.map(|base| layers_of(base, scope, View::Effective)).unwrap_or_default();
    // Of most writes: this is all that those pay for which have no secret.
    let may_have = |layer: &LayerChange| match &layer.content {
        Some(content) => {
            schema.is_some()
                || mentions_mark(content.as_str())
                || merged(&layer.key.scope).iter().any(|entry| has_secrets(&entry.layer.content))
                || base
                    .and_then(|base| base.layer(&layer.key))
                    .is_some_and(|own| has_secrets(&own.layer.content))
        }
        None => false,
    };
    if !change.layers.iter().any(may_have) {
        return Ok(None);
    }
    let mut sealed: Vec<LayerChange> = Vec::with_capacity(change.layers.len());
    // In the order of their keys, so that what a layer inherits comes before it.
    for layer in &change.layers {
        let Some(content) = &layer.content else {
            sealed.push(layer.clone());
            continue;
        };
        let others = merged(&layer.key.scope).into_iter().filter(|entry| entry.key != layer.key);
        let above = sealed.iter().filter(|above| above.key.scope.contains(&layer.key.scope));
        let above = above.filter_map(|above| above.content.as_ref());
        let inherited = others.map(|entry| &entry.layer.content).chain(above);
        let inherited: Vec<&Content> = inherited.filter(|content| has_secrets(content)).collect();
        let own = base.and_then(|base| base.layer(&layer.key)).map(|own| &own.layer.content);
        match seal_content(&change.id, content, own, &inherited, schema, planning)? {
            Ok(content) => sealed.push(LayerChange { content: Some(content), ..layer.clone() }),
            Err(refused) => {
                for refusal in refused {
                    report.add(Finding::at(&change.id, &layer.key.scope, refusal));
                }
            }
        }
    }
    sealed.retain(|layer| {
        let current = base.and_then(|base| base.layer(&layer.key)).map(|entry| &entry.layer);
        current.is_none_or(|current| {
            Some(&current.content) != layer.content.as_ref() || current.expires != layer.expires
        })
    });
    Ok(Some(sealed))
}

/// A layer with its secrets sealed, or why that cannot be.
fn seal_content(
    id: &ConfigId,
    content: &Content,
    own: Option<&Content>,
    inherited: &[&Content],
    schema: Option<&Schema>,
    planning: &Planning<'_>,
) -> Result<Result<Content, Vec<Found>>, Error> {
    let mut value = content.to_value();
    let marked: BTreeSet<String> = schema
        .map(|schema| marked_pointers(schema, &value).iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let may_have = |content: &&Content| has_secrets(content);
    if marked.is_empty()
        && inherited.is_empty()
        && !own.iter().any(may_have)
        && !mentions_mark(content.as_str())
    {
        return Ok(Ok(content.clone()));
    }
    let ring = planning.vault.sealing_ring(&id.namespace, planning.validate_only)?;
    let mut known: Vec<Known> = vec![];
    for (content, is_own) in
        own.into_iter().map(|own| (own, true)).chain(inherited.iter().map(|&it| (it, false)))
    {
        known.extend(known_in(id, content.to_value(), &ring, is_own));
    }
    let before = own.map(|own| planning.vault.opened(id, own).value).unwrap_or_default();
    let sealing = Sealing { id, ring: &ring, marked: &marked, known: &known, before: &before };
    if let Err(refused) = sealing.seal(&mut value) {
        return Ok(Err(refused.into_iter().map(found_of).collect()));
    }
    let sealed = bounded(Content::of(&value), planning.limits.layer_bytes_max);
    Ok(sealed.map_err(|error| {
        vec![Found {
            severity: Severity::Error,
            code: error.code.as_str().into(),
            pointer: String::new(),
            message: format!("with its secrets sealed, {}", error.message),
            suggestion: String::new(),
        }]
    }))
}

fn found_of(refusal: Refusal) -> Found {
    Found {
        severity: Severity::Error,
        code: refusal.code.into(),
        pointer: refusal.pointer.to_string(),
        message: refusal.message.to_owned(),
        suggestion: refusal.suggestion.to_owned(),
    }
}

fn has_secrets(content: &Content) -> bool {
    holds_sealed(content.as_str())
}
