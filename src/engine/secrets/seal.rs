//! Sealing what a plan would store: a part of `plan.rs`, as pure. Knows which layers are to be sealed, by their schemas and by what
//! they inherit; how is known to secret.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::model::{ConfigChange, ConfigId, Content, LayerChange, Pointer, Scope};
use crate::secret::{
    Holder, KeysError, Origin, SealRefusal, Sealing, holds_sealed, mentions_hidden, mentions_mark,
    refuse_hidden,
};
use crate::validate::{Finding, Found, Report, Schema, Severity};

use super::guesses::UnseenWrites;
use super::shown::marked_pointers;
use crate::engine::commit::document_error::bounded;
use crate::engine::commit::plan::{Plan, next_version};
use crate::engine::commit::planning::Planning;
use crate::engine::commit::read_set::ReadSet;
use crate::engine::error::Error;
use crate::engine::read::resolve::{View, layers_of};
use crate::engine::state::{ConfigState, system};

impl Plan {
    /// Seals every secret of the layers that the plan would store. What is as before then, is no change, unless a caller who may not
    /// reveal a secret has written it: whether its value is the same must not show.
    pub(in crate::engine) fn seal(
        &mut self,
        bases: &ReadSet,
        origin: Origin,
        planning: &Planning<'_>,
    ) -> Result<(), Error> {
        self.add_newly_marked(bases, planning)?;
        let mut report = Report::default();
        for at in 0..self.changes.len() {
            planning.cancelled.check()?;
            let change = &self.changes[at];
            if change.layers.is_empty() || !change.id.config.is_ordinary() {
                continue;
            }
            let schema = self.marking_schema(bases, &change.id);
            let base = bases.get(&change.id);
            let schema = schema.as_deref();
            if let Some(layers) =
                seal_layers(base, change, schema, origin, planning, &mut self.unseen, &mut report)?
            {
                self.has_secrets |= layers.iter().filter_map(|layer| layer.content.as_ref()).any(has_secrets);
                let change = &mut self.changes[at];
                change.layers = layers;
                change.version = next_version(&change.id, base, change.layers.clone()).version;
                self.after[at] = Arc::new(ConfigState::after(base.map(Arc::as_ref), change));
            }
            if let Some(base) = base {
                self.unseen.note_removed(base, &self.changes[at]);
            }
        }
        if !report.is_valid() {
            return Err(Error::Refused(report));
        }
        self.unseen.settle(planning.validate_only);
        let is_change = |change: &ConfigChange| !change.layers.is_empty() || !change.tags.is_empty();
        let mut kept = self.changes.iter().map(is_change);
        self.after.retain(|_| kept.next().expect("there is a change for each"));
        self.changes.retain(is_change);
        Ok(())
    }

    /// Adds the layers of configs whose schema changes: it may mark what they have in plain text.
    fn add_newly_marked(&mut self, bases: &ReadSet, planning: &Planning<'_>) -> Result<(), Error> {
        let is_schema =
            |change: &ConfigChange| !change.layers.is_empty() && system::reshapes(&change.id.config);
        if !self.changes.iter().any(is_schema) {
            return Ok(());
        }
        // The keys are what seals: whatever a schema says of them, they are not sealed.
        for config in bases.governed().iter().filter(|config| !planning.key_store.is_keys(&config.id)) {
            planning.cancelled.check()?;
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
        Ok(())
    }

    /// The schema that a config has after the plan, if it marks anything as secret.
    fn marking_schema(&self, bases: &ReadSet, id: &ConfigId) -> Option<Arc<Schema>> {
        let schema = self.governance(bases, &id.namespace)?.schema(&id.config)?;
        schema.marks_secrets().then_some(schema)
    }
}

/// A stored content with its secrets, and what the schema marks now, sealed by the newest key: then equal secrets are equal bytes, whenever
/// they were stored. Or why it cannot be sealed.
pub(in crate::engine) fn comparable(
    id: &ConfigId,
    content: &Content,
    schema: Option<&Schema>,
    planning: &Planning<'_>,
) -> Result<Result<Content, Vec<Found>>, Error> {
    if !id.config.is_ordinary() || (schema.is_none() && !has_secrets(content)) {
        return Ok(Ok(content.clone()));
    }
    let mut value = content.to_value();
    let marked: BTreeSet<String> = schema
        .map(|schema| marked_pointers(schema, &value).iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    if marked.is_empty() && !has_secrets(content) {
        return Ok(Ok(content.clone()));
    }
    let ring = planning.key_store.sealing_ring(&id.namespace, planning.validate_only)?;
    let before = Value::Null;
    let sealing =
        Sealing { id, ring: &ring, marked: &marked, known: &[], before: &before, origin: Origin::Stored };
    Ok(match sealing.seal(&mut value) {
        Ok(_) => Ok(Content::of(&value)),
        Err(refused) => Err(refused.into_iter().map(found_of).collect()),
    })
}

/// Seals all secrets of a config by the newest key, and makes sure that they are the same.
pub(in crate::engine) fn plan_reseal(
    bases: &ReadSet,
    id: &ConfigId,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let base = bases.get(id).filter(|config| !config.is_deleted());
    let mut layers = vec![];
    for entry in base.iter().flat_map(|config| config.layers()) {
        planning.cancelled.check()?;
        let content = &entry.layer.content;
        if !has_secrets(content) {
            continue;
        }
        let ring = planning.key_store.sealing_ring(&id.namespace, planning.validate_only)?;
        let mut value = content.to_value();
        let (before, marked) = (Value::Null, BTreeSet::new());
        let origin = Origin::Stored;
        let sealing = Sealing { id, ring: &ring, marked: &marked, known: &[], before: &before, origin };
        let unreadable = |refused: Vec<SealRefusal>| {
            let mut report = Report::default();
            refused
                .into_iter()
                .for_each(|refusal| report.add(Finding::at(id, &entry.key.scope, found_of(refusal))));
            Error::Refused(report)
        };
        sealing.seal(&mut value).map_err(unreadable)?;
        let sealed = Content::of(&value);
        if planning.key_store.opened(id, &sealed) != planning.key_store.opened(id, content) {
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
    origin: Origin,
    planning: &Planning<'_>,
    unseen: &mut UnseenWrites,
    report: &mut Report,
) -> Result<Option<Vec<LayerChange>>, Error> {
    let merged = |scope: &Scope| base.map(|base| layers_of(base, scope, View::Effective)).unwrap_or_default();
    // Of most writes: this is all that those pay for which have no secret.
    let may_have = |layer: &LayerChange| match &layer.content {
        Some(content) => {
            schema.is_some()
                || mentions_mark(content.as_str())
                || mentions_hidden(content.as_str())
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
        planning.cancelled.check()?;
        let Some(content) = &layer.content else {
            sealed.push(layer.clone());
            continue;
        };
        let is_revealed = |scope: &Scope| {
            planning.visibility.is_none_or(|visibility| visibility.reveals(&change.id, scope))
        };
        let others = merged(&layer.key.scope).into_iter().filter(|entry| entry.key != layer.key);
        let others = others.map(|entry| (&entry.key, &entry.layer.content));
        let above = sealed.iter().filter(|above| above.key.scope.contains(&layer.key.scope));
        let above = above.filter_map(|above| Some((&above.key, above.content.as_ref()?)));
        let inherited = others.chain(above).filter(|(_, content)| has_secrets(content));
        let inherited = inherited.map(|(key, content)| {
            (content, Holder { layer: key, is_own: false, is_revealed: is_revealed(&key.scope) })
        });
        let reveals = is_revealed(&layer.key.scope);
        let own = base.and_then(|base| base.layer(&layer.key)).map(|own| &own.layer.content);
        let own_held = own.map(|own| (own, Holder { layer: &layer.key, is_own: true, is_revealed: reveals }));
        let drafted = Drafted {
            id: &change.id,
            content,
            own,
            held: own_held.into_iter().chain(inherited).filter(|(content, _)| has_secrets(content)).collect(),
            origin: if own == Some(content) { Origin::Stored } else { origin },
        };
        match drafted.sealed(schema, planning)? {
            Ok((content, proposed)) => {
                if let Some(visibility) = planning.visibility.filter(|_| !proposed.is_empty()) {
                    let base = base.map(Arc::as_ref);
                    let is_kept = drafted.origin == Origin::Stored;
                    unseen.note_written(
                        visibility,
                        base,
                        (&change.id, &layer.key),
                        &content,
                        is_kept,
                        proposed,
                    );
                }
                sealed.push(LayerChange { content: Some(content), ..layer.clone() });
            }
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
            Some(&current.content) != layer.content.as_ref()
                || current.expires != layer.expires
                || unseen.is_change(&change.id, &layer.key)
        })
    });
    Ok(Some(sealed))
}

/// A layer that is to be stored, with what it may refer to.
struct Drafted<'a> {
    id: &'a ConfigId,
    content: &'a Content,
    /// The layer as it is.
    own: Option<&'a Content>,
    /// The layer as it is and those that it is merged with, as far as they have secrets.
    held: Vec<(&'a Content, Holder<'a>)>,
    origin: Origin,
}

/// A sealed layer, and where the client has written a secret in it; or why it cannot be sealed.
type SealedContent = Result<(Content, Vec<Pointer>), Vec<Found>>;

impl Drafted<'_> {
    fn sealed(&self, schema: Option<&Schema>, planning: &Planning<'_>) -> Result<SealedContent, Error> {
        let Drafted { id, content, own, ref held, origin } = *self;
        let refused = |refused: Vec<SealRefusal>| Ok(Err(refused.into_iter().map(found_of).collect()));
        let mut value = content.to_value();
        let marked: BTreeSet<String> = schema
            .map(|schema| marked_pointers(schema, &value).iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        if marked.is_empty() && held.is_empty() && !mentions_mark(content.as_str()) {
            let has_hidden = origin == Origin::Written && mentions_hidden(content.as_str());
            if has_hidden
                && let Err(found) = refuse_hidden(&value, &own.map(Content::to_value).unwrap_or_default())
            {
                return refused(found);
            }
            return Ok(Ok((content.clone(), vec![])));
        }
        let ring = planning.key_store.sealing_ring(&id.namespace, planning.validate_only)?;
        let known = held.iter().flat_map(|(content, holder)| planning.key_store.known(id, content, *holder));
        let known: Vec<_> = known.collect();
        let before = own.map(|own| planning.key_store.opened(id, own).value).unwrap_or_default();
        let sealing = Sealing { id, ring: &ring, marked: &marked, known: &known, before: &before, origin };
        let proposed = match sealing.seal(&mut value) {
            Ok(proposed) => proposed,
            Err(found) => return refused(found),
        };
        let sealed = bounded(Content::of(&value), planning.limits.layer_bytes_max);
        Ok(sealed.map(|sealed| (sealed, proposed)).map_err(|error| {
            vec![Found {
                severity: Severity::Error,
                code: error.code.as_str().into(),
                pointer: String::new(),
                message: format!("with its secrets sealed, {}", error.message),
                suggestion: String::new(),
            }]
        }))
    }
}

fn found_of(refusal: SealRefusal) -> Found {
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
