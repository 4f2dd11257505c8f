//! Plans putting a schema and migrating to one. Pure, as `plan.rs` of which it is a part.

use std::sync::Arc;

use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::text::{DocumentError, Format};
use crate::model::{ConfigId, Content, LayerChange, LayerKey, LayerKind, Scope, Version};
use crate::secret::{is_sealed, mentions_mark};
use crate::validate::NotMigrated;
use crate::validate::{Finding, Found, Migration, Registry, Report, SchemaVersion, Severity, migrate_layers};

use super::document_error::bounded;
use super::plan::{Plan, check_version, next_version};
use super::planning::Planning;
use super::put_schema::{PutSchema, SchemaOutcome, schema_id};
use super::read_set::ReadSet;
use crate::engine::error::{Error, Missing};
use crate::engine::state::ConfigState;

/// The layer that holds the schema.
fn schema_key() -> LayerKey {
    LayerKey { kind: LayerKind::Base, scope: Scope::global() }
}

/// The versions of a schema as a config holds them. `None`: there is no schema. `Error::Refused` tells why it cannot be read.
pub fn registry(config: Option<&Arc<ConfigState>>) -> Result<Option<Registry>, Error> {
    let Some((config, entry)) = config.and_then(|config| Some((config, config.layer(&schema_key())?))) else {
        return Ok(None);
    };
    let registry = Registry::parse(&entry.layer.content.to_value());
    registry.map(Some).map_err(|found| refused(&config.id, &Scope::global(), found))
}

pub(in crate::engine) fn plan_put(
    bases: &ReadSet,
    governed: &ConfigId,
    put: &PutSchema,
) -> Result<Plan, Error> {
    let id = schema_id(governed);
    let base = bases.get(&id);
    let stored = registry(base)?;
    let newest = stored.as_ref().and_then(|registry| registry.versions.last());
    let newest_number = newest.map_or(0, |version| version.number);
    for (field, steps) in [("up", &put.up), ("down", &put.down)] {
        if steps.as_ref().is_some_and(|steps| mentions_mark(Content::of(steps).as_str())) {
            let message = "a step cannot have a secret: schemas are stored in clear text. Write the secret to the config itself";
            return Err(Error::Invalid { field: field.into(), message: message.into() });
        }
    }
    let place = || format!("the schema of {governed}");
    check_version(put.expected.map(Version), Version(newest_number), place)?;
    let number = base.map_or(Version::ZERO, |config| config.at.version).next().0;
    let mut version =
        SchemaVersion { number, schema: put.schema.clone(), up: put.up.clone(), down: put.down.clone() };
    let registry = match (&put.up, stored.clone()) {
        (Some(_), None) => {
            let message = "there is no version before this one to come from";
            return Err(Error::Invalid { field: "up".into(), message: message.into() });
        }
        (Some(_), Some(mut registry)) => {
            let same = newest.is_some_and(|newest| {
                (&newest.schema, &newest.up, &newest.down) == (&version.schema, &version.up, &version.down)
            });
            registry.accept_existing = put.accept_existing;
            if !same {
                registry.versions.push(version);
                // No layer exists that has to be migrated.
                if bases.get(governed).is_none_or(|config| config.is_deleted()) {
                    registry.active = number;
                }
            }
            registry
        }
        (None, stored) => {
            let same = stored.as_ref().filter(|registry| {
                registry.active == newest_number && registry.active().schema == version.schema
            });
            match same {
                Some(registry) => Registry { accept_existing: put.accept_existing, ..registry.clone() },
                None => {
                    version.down = None;
                    Registry { active: number, accept_existing: put.accept_existing, versions: vec![version] }
                }
            }
        }
    };
    let mut plan = Plan::new(vec![(id.clone(), schema_key())]);
    plan.schema = SchemaOutcome {
        number: registry.versions.last().expect("a version was put").number,
        active_before: stored.as_ref().map_or(0, |registry| registry.active),
        active: registry.active,
    };
    let layers = if Some(&registry) == stored.as_ref() { vec![] } else { vec![schema_layer(&registry)] };
    plan.add(base, next_version(&id, base, layers));
    Ok(plan)
}

pub(in crate::engine) fn plan_migration(
    bases: &ReadSet,
    governed: &ConfigId,
    to: Option<u64>,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let id = schema_id(governed);
    let base = bases.get(&id);
    let mut registry = registry(base)?.ok_or_else(|| Missing::Config(id.clone()))?;
    let newest = registry.versions.last().expect("there is one at least").number;
    let missing = |number| {
        let numbers: Vec<String> =
            registry.versions.iter().map(|version| version.number.to_string()).collect();
        let message = format!("there is no version {number} to migrate to; there are {}", numbers.join(", "));
        Error::Invalid { field: "to_number".into(), message }
    };
    let number = to.unwrap_or(newest);
    let from = registry.position(registry.active).expect("the active one is there");
    let to = registry.position(number).ok_or_else(|| missing(number))?;
    let steps = path(&registry, from, to).map_err(|found| refused(&id, &Scope::global(), [found]))?;
    let migrated = bases.get(governed);
    let stored: Vec<_> = migrated.iter().flat_map(|config| config.layers()).collect();
    let values: Vec<_> =
        stored.iter().map(|entry| (entry.key.clone(), entry.layer.content.to_value())).collect();
    let effort = planning.effort(values.len());
    let pay = |steps: u64| {
        effort.spend(steps);
        !effort.is_over()
    };
    let values = migrate_layers(&steps, &values, is_sealed, &pay).map_err(|error| match error {
        NotMigrated::Refused(scope, found) => refused(governed, &scope, [found]),
        NotMigrated::Stopped => effort.check().expect_err("nobody else stops it"),
    })?;
    let mut layers = vec![];
    for (entry, value) in stored.into_iter().zip(values) {
        planning.cancelled.check()?;
        let content = bounded(Content::of(&value), TEXT_BYTES_MAX)
            .map_err(|error| refused_layer(governed, &entry.key.scope, &error))?;
        if content != entry.layer.content {
            let (expires, format) = (entry.layer.expires, entry.layer.format);
            layers.push(LayerChange { key: entry.key.clone(), content: Some(content), expires, format });
        }
    }
    let mut plan = Plan::new(layers.iter().map(|layer| (governed.clone(), layer.key.clone())).collect());
    plan.schema = SchemaOutcome { number, active_before: registry.active, active: number };
    let moved = registry.active != number;
    registry.active = number;
    let schema_layers = if moved { vec![schema_layer(&registry)] } else { vec![] };
    let mut changes = [
        (migrated, next_version(governed, migrated, layers)),
        (base, next_version(&id, base, schema_layers)),
    ];
    changes.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
    changes.into_iter().for_each(|(base, change)| plan.add(base, change));
    Ok(plan)
}

/// The steps on the way from one version to another, each of which must be there.
fn path(registry: &Registry, from: usize, to: usize) -> Result<Vec<Migration>, Found> {
    let versions = &registry.versions;
    let up = (from + 1..=to).map(|at| (versions[at - 1].number, versions[at].number, &versions[at].up));
    let down =
        (to + 1..=from).rev().map(|at| (versions[at].number, versions[at - 1].number, &versions[at].down));
    up.chain(down)
        .map(|(from, to, steps)| match steps {
            None => Err(format!("there are no steps from version {from} to {to}")),
            Some(steps) => Migration::parse(steps)
                .map_err(|_| format!("the steps from version {from} to {to} cannot be read")),
        })
        .collect::<Result<_, _>>()
        .map_err(|message| Found {
            severity: Severity::Error,
            code: "MIGRATION_FAILED".into(),
            pointer: String::new(),
            message,
            suggestion: "put a version with steps in this direction".into(),
        })
}

fn refused(id: &ConfigId, scope: &Scope, found: impl IntoIterator<Item = Found>) -> Error {
    let mut report = Report::default();
    found.into_iter().for_each(|found| report.add(Finding::at(id, scope, found)));
    Error::Refused(report)
}

/// The refusal of a layer that the steps make too large.
fn refused_layer(id: &ConfigId, scope: &Scope, error: &DocumentError) -> Error {
    let mut report = Report::default();
    report.add(Finding::of_document(id, scope, error));
    Error::Refused(report)
}

fn schema_layer(registry: &Registry) -> LayerChange {
    let content = Some(Content::of(&registry.to_value()));
    LayerChange { key: schema_key(), content, expires: None, format: Some(Format::Json) }
}
