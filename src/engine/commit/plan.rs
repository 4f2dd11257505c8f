//! The plan of a write: the configs that change, the governing configs after it, and the outcome. Made by `planner.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::model::limits::Limits;
use crate::model::{
    ConfigChange, ConfigId, ConfigName, LayerChange, LayerKey, LayerKind, Namespace, Revision, Scope,
    Timestamp, Version,
};
use crate::validate::{Finding, Report, check_proposed};

use super::outcome::{LayerOutcome, Outcome};
use super::planning::Planning;
use super::put_schema::{SchemaOutcome, schema_of};
use super::read_intent::ReadIntent;
use super::read_set::ReadSet;
use crate::engine::check::plan_check::check;
use crate::engine::error::{Error, Limit};
use crate::engine::secrets::guesses::UnseenWrites;
use crate::engine::secrets::secret_places::SecretPlaces;
use crate::engine::state::ConfigState;
use crate::engine::state::governance::Governance;
use crate::engine::state::usage::Growth;

/// The effect of a write on the configs from which it was planned.
pub(in crate::engine) struct Plan {
    /// Empty: nothing changes.
    pub changes: Vec<ConfigChange>,
    /// The configs after the changes, one for each.
    pub after: Vec<Arc<ConfigState>>,
    /// The layers to report on, in order.
    pub(super) layers: Vec<(ConfigId, LayerKey)>,
    /// The governances after the write, of the namespaces that were looked up: each is compiled once. No later change of the plan is to a config
    /// that governs others.
    pub(super) governances: RefCell<BTreeMap<Namespace, Option<Arc<Governance>>>>,
    /// The write has layers with secrets.
    pub(in crate::engine) has_secrets: bool,
    /// Secrets that the plan writes or removes for a caller who may not see them.
    pub(in crate::engine) unseen: UnseenWrites,
    /// Of the namespaces that get larger, unless nothing can be refused to them.
    pub growths: Vec<(Namespace, Growth)>,
    pub(super) restored: Option<Version>,
    pub(super) restored_revision: Option<Revision>,
    pub(super) tag: (Option<Version>, Option<Version>),
    pub(super) namespace_tag: (Option<Revision>, Option<Revision>),
    pub(in crate::engine) schema: SchemaOutcome,
    pub(super) report: Report,
}

impl Plan {
    pub(in crate::engine) fn new(layers: Vec<(ConfigId, LayerKey)>) -> Plan {
        let (changes, after) = (vec![], vec![]);
        let schema = SchemaOutcome::default();
        let (restored, tag, report) = (None, (None, None), Report::default());
        let (governances, has_secrets, growths) = (RefCell::default(), false, vec![]);
        let unseen = UnseenWrites::default();
        Plan {
            changes,
            after,
            layers,
            governances,
            has_secrets,
            unseen,
            growths,
            restored,
            restored_revision: None,
            tag,
            namespace_tag: (None, None),
            schema,
            report,
        }
    }

    /// Adds the change of a config, if the change is not empty. Configs are added in the order of their ids.
    pub(in crate::engine) fn add(&mut self, base: Option<&Arc<ConfigState>>, mut change: ConfigChange) {
        change.layers.sort_by(|a, b| a.key.cmp(&b.key));
        if !change.layers.is_empty() || !change.tags.is_empty() {
            self.after.push(Arc::new(ConfigState::after(base.map(Arc::as_ref), &change)));
            self.changes.push(change);
        }
    }

    /// Sets the revision and the time of the configs after the changes.
    pub fn settle(&mut self, revision: Revision, time: Timestamp) {
        for (change, config) in self.changes.iter().zip(&mut self.after) {
            let config = Arc::get_mut(config).expect("the plan is the only owner until it is settled");
            config.settle(change, revision, time);
        }
    }

    /// Refuses to add a layer or a tag to a config that has as many as it may have.
    pub(super) fn check_counts(&self, bases: &ReadSet, limits: &Limits) -> Result<(), Error> {
        for after in &self.after {
            let before = bases.get(&after.id);
            let layers = before.map_or(0, |config| config.layers().len());
            let tags = before.map_or(0, |config| config.tags().len());
            let counted = [
                (Limit::Layers, "layers", layers, after.layers().len(), limits.layers_max),
                (Limit::Tags, "tags", tags, after.tags().len(), limits.tags_max),
            ];
            for (limit_name, what, before, found, limit) in counted {
                // Of a config that is above a limit that was lowered, only what adds to it is refused.
                if found > limit && found > before {
                    let what = format!("{what} of config {}", after.id).into();
                    return Err(Error::LimitReached { limit_name, what, found, limit });
                }
            }
        }
        Ok(())
    }

    /// Refuses schemas that refer to others which their author may not read, as if those were not there.
    pub(super) fn check_proposed_schemas(
        &self,
        bases: &ReadSet,
        planning: &Planning<'_>,
    ) -> Result<(), Error> {
        let Some(visibility) = planning.visibility else { return Ok(()) };
        let mut report = planning.look.report([]);
        for (change, after) in
            self.changes.iter().zip(&self.after).filter(|(change, _)| !change.layers.is_empty())
        {
            let Some(governed) = schema_of(&change.id.config) else { continue };
            planning.cancelled.check()?;
            let namespace = &change.id.namespace;
            let governance = self.governance(bases, namespace);
            let documents = |name: &ConfigName| governance.as_ref()?.document(name);
            let may_refer = |of: &ConfigName| visibility.has_schema_of(namespace, of);
            let stored =
                |config: &ConfigState| Some(config.layer_at(LayerKind::Base, "/")?.layer.content.to_value());
            let before = bases.get(&change.id).and_then(|config| stored(config));
            let Some(after) = stored(after) else { continue };
            for found in check_proposed(&governed, (before.as_ref(), &after), &documents, &may_refer) {
                report.add(Finding::at(&change.id, &Scope::global(), found));
            }
        }
        match report.is_valid() {
            true => Ok(()),
            false => Err(Error::Refused(report)),
        }
    }

    /// Checks the effective documents at the changed scopes and at every layer below them, and where a schema, rules or settings change,
    /// those of all configs that they govern.
    pub(super) fn validate(
        &mut self,
        bases: &ReadSet,
        intent: &ReadIntent,
        planning: &Planning<'_>,
    ) -> Result<(), Error> {
        let governing = |namespace: &Namespace| self.governance(bases, namespace);
        let base = |id: &ConfigId| bases.get(id);
        let written = |id: &ConfigId, key: &LayerKey| match intent.written(id, key) {
            Some(written) => written,
            // A value that was stored in clear text before it was marked as a secret is known to its readers.
            None => bases
                .get(id)
                .and_then(|base| base.layer(key))
                .map_or(Value::Null, |entry| entry.layer.content.to_value()),
        };
        self.report =
            check(&self.changes, &self.after, base, bases.governed(), governing, &written, planning)?;
        match self.report.is_valid() {
            true => Ok(()),
            false => Err(Error::Refused(std::mem::take(&mut self.report))),
        }
    }

    /// The governance of a namespace after the write.
    pub(in crate::engine) fn governance(
        &self,
        bases: &ReadSet,
        namespace: &Namespace,
    ) -> Option<Arc<Governance>> {
        // Once for each namespace: it is asked for with each of very many configs.
        if let Some(known) = self.governances.borrow().get(namespace) {
            return known.clone();
        }
        let after = bases.governance_after(namespace, &self.after);
        self.governances.borrow_mut().insert(namespace.clone(), after.clone());
        after
    }

    /// Takes the outcome at `revision`, for a write about these configs. Called once, after the plan was settled.
    pub fn take_outcome(&mut self, about: &[ConfigId], bases: &ReadSet, revision: Revision) -> Outcome {
        let after = |id: &ConfigId| match self.after.binary_search_by(|config| config.id.cmp(id)) {
            Ok(at) => Some(&self.after[at]),
            Err(_) => bases.get(id),
        };
        let layers = std::mem::take(&mut self.layers).into_iter().map(|(id, key)| {
            let was = bases.get(&id).and_then(|config| config.layer(&key)).cloned();
            let is = after(&id);
            let now = is.and_then(|config| config.layer(&key));
            let changed = match (&was, now) {
                (Some(was), Some(now)) => !Arc::ptr_eq(was, now),
                (None, None) => false,
                (Some(_), None) | (None, Some(_)) => true,
            };
            let after = now.map(|entry| entry.layer.clone());
            let at = is.map_or_else(|| ConfigState::unborn(id.clone()).at, |config| config.at);
            let secrets = SecretPlaces::default();
            let proposed = self.unseen.proposed.get(&id).and_then(|layers| layers.get(&key));
            let proposed = proposed.cloned().unwrap_or_default();
            LayerOutcome { id, key, before: was, after, secrets, changed, is_shown: true, at, proposed }
        });
        let layers = layers.collect();
        let configs = self
            .after
            .iter()
            .map(|after| (bases.get(&after.id).cloned(), self.unseen.without_proposed(after)));
        Outcome {
            changed: !self.after.is_empty(),
            revision,
            layers,
            at: about.first().and_then(after).map(|config| config.at),
            restored: self.restored,
            restored_revision: self.restored_revision,
            tag: self.tag,
            namespace_tag: self.namespace_tag,
            schema: self.schema,
            configs: configs.collect(),
            overwritten: vec![],
            report: std::mem::take(&mut self.report),
            state_backups: vec![],
            large: None,
        }
    }
}

/// The bytes of changes that wait for the disk. Names count as well: a thousand small layers of long scopes have little content.
pub(super) fn content_bytes(changes: &[ConfigChange]) -> usize {
    let layers = changes.iter().flat_map(|change| &change.layers);
    let bytes = layers.map(|layer| {
        layer.key.scope.as_str().len() + layer.content.as_ref().map_or(0, |content| content.as_str().len())
    });
    bytes.sum()
}

pub(in crate::engine) fn next_version(
    id: &ConfigId,
    base: Option<&Arc<ConfigState>>,
    layers: Vec<LayerChange>,
) -> ConfigChange {
    let version = base.map_or(Version::ZERO, |config| config.at.version);
    let version = if layers.is_empty() { version } else { version.next() };
    ConfigChange { id: id.clone(), version, layers, tags: vec![], restored: None }
}

/// The change that removes a layer.
pub(super) fn removal(key: &LayerKey) -> LayerChange {
    LayerChange { key: key.clone(), content: None, expires: None, format: None }
}

pub(in crate::engine) fn check_version(
    expected: Option<Version>,
    current: Version,
    place: impl FnOnce() -> String,
) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != current => {
            Err(Error::VersionMismatch { place: place(), expected, current })
        }
        Some(_) | None => Ok(()),
    }
}
