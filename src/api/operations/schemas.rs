//! The calls of `SchemaService`: each a read of the config that holds a schema, or a write through the one pipeline of the engine.

use std::sync::Arc;

use prost::Message;

use crate::auth::{Resource, Verb};
use crate::engine::{
    At, Cancelled, ConfigState, Error, Expected, Intent, LayerOutcome, Missing, Outcome, PutSchema, registry,
    schema_id, schema_of,
};
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::text::{Format as TextFormat, parse, render};
use crate::model::{ConfigId, Scope, Source, Version};
use crate::proto::v1::*;
use crate::validate::schema::SCHEMA_BYTES_MAX;
use crate::validate::{Registry, Report, SchemaVersion};

use super::size::PAGE_BYTES_MAX;
use super::write::{DIFF_BYTES_MAX, layer_diff, options};
use super::{Operations, page};
use crate::api::context::CallContext;
use crate::api::convert::bounded::fitting_items;
use crate::api::convert::request;
use crate::api::convert::response::{format_message, kind_message, report_message, time_message};
use crate::api::error::ApiError;

/// Layers that the answer of a migration names, with their differences: beside them, the findings fit.
const MIGRATED_BYTES_MAX: usize = 11 << 18;
/// Stored schemas that are read for one page of a list: a page that has read more ends, however few schemas it has.
const LIST_READ_BYTES_MAX: usize = 4 << 20;
/// Steps of a migration, as text.
const STEPS_BYTES_MAX: usize = 64 << 10;

impl Operations {
    pub async fn put_schema(
        &self,
        access: &CallContext,
        mut request: SchemaServicePutRequest,
    ) -> Result<SchemaServicePutResponse, ApiError> {
        let (options, identity) = options("SchemaService.Put", &mut request, |request| &mut request.options);
        let governed = request::governed("", &request.namespace, &request.config)?;
        let schema = request.schema.ok_or_else(|| request::invalid("schema", "must be set"))?;
        let format = request::format("schema.format", schema.format)?;
        let schema = parse(&schema.content, format, SCHEMA_BYTES_MAX)
            .map_err(|error| Error::Document { field: "schema".into(), error })?;
        if request.up.is_empty() && !request.down.is_empty() {
            return Err(request::invalid("down", "needs up: the steps that it takes back").into());
        }
        let put = PutSchema {
            schema,
            up: steps("up", &request.up)?,
            down: steps("down", &request.down)?,
            accept_existing: request.accept_existing,
            expected: request.expected_number,
        };
        let id = schema_id(&governed);
        let accepts_steps = put.up.is_some();
        let write = self.allow_write(access, &options, Intent::PutSchema { governed, put })?;
        // With steps, it comes after those that are there.
        let versions = match accepts_steps {
            true => registry(self.engine.state().config(&id))?.map_or(0, |stored| stored.versions.len()),
            false => 0,
        };
        let outcome = self.write(access, write, Source::Schema, options, identity).await;
        let mut outcome = outcome.map_err(|error| match error {
            Error::Refused(report) => Error::Refused(within_schema(&id, versions, report)),
            other => other,
        })?;
        outcome.report = within_schema(&id, versions, outcome.report);
        Ok(SchemaServicePutResponse {
            number: outcome.schema.number,
            active: outcome.schema.active == outcome.schema.number,
            changed: outcome.changed,
            report: Some(report_message(&outcome.report)),
            store_revision: outcome.revision.0,
        })
    }

    pub async fn get_schema(
        &self,
        access: &CallContext,
        request: SchemaServiceGetRequest,
    ) -> Result<SchemaServiceGetResponse, ApiError> {
        let governed = request::governed("", &request.namespace, &request.config)?;
        let format = request::format("format", request.format)?;
        let id = schema_id(&governed);
        access.permit(Verb::Read, Resource::Config { id: id.clone(), scope: Scope::global() })?;
        let state = self.engine.state();
        let current = state.config(&id).filter(|config| !config.is_deleted());
        let current = current.ok_or_else(|| Error::NotFound(Missing::Config(id.clone())))?;
        let stored = readable(current)?;
        let is_there = request.number == 0 || stored.position(request.number).is_some();
        let message = match is_there {
            true => schema_message(&governed, current, &stored, request.number, format)?,
            false => {
                let at = At::Version(Version(request.number));
                let past = self.engine.config_at(&state, &id, &at, access.access().caller().actor()).await?;
                let stored = readable(&past)?;
                let missing = || Missing::Version(id.clone(), Version(request.number), current.at.version);
                // Of a version that was made otherwise than by Put, as by a rollback.
                stored.position(request.number).ok_or_else(|| Error::NotFound(missing()))?;
                schema_message(&governed, &past, &stored, request.number, format)?
            }
        };
        Ok(SchemaServiceGetResponse { schema: Some(message), store_revision: state.revision.0 })
    }

    pub async fn list_schemas(
        &self,
        access: &CallContext,
        mut request: SchemaServiceListRequest,
    ) -> Result<SchemaServiceListResponse, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(access.rpc(), &request);
        let cursor = page::cursor(&binding, self.engine.epoch(), &page_token)?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let namespace = request::namespace("namespace", &request.namespace)?;
        let (state, epoch, visibility) = (self.engine.state(), self.engine.epoch(), access.visibility());
        // A page reads up to LIST_READ_BYTES_MAX of schemas.
        let list = move |cancelled: &Cancelled| {
            let schemas = state.configs_of(&namespace).filter(|config| !config.is_deleted());
            let schemas = schemas.filter(|config| visibility.has_config(&namespace, &config.id.config));
            let schemas = schemas.filter_map(|config| Some((schema_of(&config.id.config)?, config)));
            let after = |name: &str| cursor.as_deref().is_none_or(|cursor| name > cursor);
            let (mut page, mut bytes, mut read_bytes): (Vec<Schema>, usize, usize) = (vec![], 0, 0);
            let mut next_page_token = String::new();
            for (name, config) in schemas.filter(|(name, _)| after(name.as_str())) {
                cancelled.check()?;
                if page.len() == size || bytes > PAGE_BYTES_MAX || read_bytes > LIST_READ_BYTES_MAX {
                    next_page_token = page
                        .last()
                        .map(|last| page::token(&binding, epoch, &last.config))
                        .unwrap_or_default();
                    break;
                }
                let governed = ConfigId { namespace: namespace.clone(), config: name };
                read_bytes +=
                    config.layers().iter().map(|entry| entry.layer.content.as_str().len()).sum::<usize>();
                let message = schema_head(&governed, config, &readable(config)?, 0);
                bytes += message.encoded_len();
                page.push(message);
            }
            Ok(SchemaServiceListResponse { schemas: page, next_page_token, store_revision: state.revision.0 })
        };
        Ok(self.engine.work(access.caller().actor(), list).await?)
    }

    pub async fn delete_schema(
        &self,
        access: &CallContext,
        mut request: SchemaServiceDeleteRequest,
    ) -> Result<SchemaServiceDeleteResponse, ApiError> {
        let (options, identity) =
            options("SchemaService.Delete", &mut request, |request| &mut request.options);
        let governed = request::governed("", &request.namespace, &request.config)?;
        let id = schema_id(&governed);
        let expected = request.expected_number.map(|number| Expected::Version(Version(number)));
        let intent = Intent::Delete { id, key: None, expected };
        let write = self.allow_write(access, &options, intent)?;
        let outcome = self.write(access, write, Source::Schema, options, identity).await?;
        Ok(SchemaServiceDeleteResponse { changed: outcome.changed, store_revision: outcome.revision.0 })
    }

    pub async fn migrate_layers(
        &self,
        access: &CallContext,
        mut request: MigrateRequest,
    ) -> Result<MigrateResponse, ApiError> {
        let (options, identity) =
            options("SchemaService.Migrate", &mut request, |request| &mut request.options);
        let governed = request::governed("", &request.namespace, &request.config)?;
        let to = (request.to_number != 0).then_some(request.to_number);
        let intent = Intent::Migrate { governed: governed.clone(), to };
        let write = self.allow_write(access, &options, intent)?;
        let outcome = self.write(access, write, Source::Migration, options, identity).await?;
        Ok(migrate_response(&governed, &outcome, self.engine.state().config(&governed)))
    }
}

fn steps(field: &str, text: &str) -> Result<Option<serde_json::Value>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let steps = parse(text, TextFormat::Json, STEPS_BYTES_MAX);
    steps.map(Some).map_err(|error| Error::Document { field: field.into(), error })
}

fn readable(config: &Arc<ConfigState>) -> Result<Registry, Error> {
    registry(Some(config))?.ok_or_else(|| Error::NotFound(Missing::Config(config.id.clone())))
}

/// Names places in the schema that was put, rather than in the list that stores it after so many others.
fn within_schema(id: &ConfigId, versions: usize, mut report: Report) -> Report {
    let place = format!("/versions/{versions}/schema");
    for finding in report.findings.iter_mut().filter(|finding| finding.place.id == *id) {
        if let Some(rest) = finding.place.pointer.strip_prefix(&place) {
            finding.place.pointer = rest.to_owned();
        }
    }
    report
}

fn schema_message(
    governed: &ConfigId,
    config: &ConfigState,
    stored: &Registry,
    number: u64,
    format: TextFormat,
) -> Result<Schema, Error> {
    let version = version_of(stored, number);
    let content =
        render(&version.schema, format).map_err(|error| Error::Document { field: "format".into(), error })?;
    if content.len() > TEXT_BYTES_MAX {
        return Err(request::invalid("format", "makes the schema too large for a message"));
    }
    let steps =
        |steps: &Option<serde_json::Value>| steps.as_ref().map(|steps| steps.to_string()).unwrap_or_default();
    Ok(Schema {
        content,
        format: format_message(format).into(),
        up: steps(&version.up),
        down: steps(&version.down),
        ..schema_head(governed, config, stored, number)
    })
}

/// A schema without its content.
fn schema_head(governed: &ConfigId, config: &ConfigState, stored: &Registry, number: u64) -> Schema {
    Schema {
        namespace: governed.namespace.to_string(),
        config: governed.config.to_string(),
        number: version_of(stored, number).number,
        active_number: stored.active,
        numbers: stored.versions.iter().map(|version| version.number).collect(),
        accept_existing: stored.accept_existing,
        format: format_message(TextFormat::Json).into(),
        update_time: Some(time_message(config.at.time)),
        ..Schema::default()
    }
}

/// The version of a number that is there; 0 for the active one.
fn version_of(stored: &Registry, number: u64) -> &SchemaVersion {
    let at = if number == 0 { stored.position(stored.active) } else { stored.position(number) };
    &stored.versions[at.expect("it was looked for")]
}

fn migrate_response(
    governed: &ConfigId,
    outcome: &Outcome,
    config: Option<&Arc<ConfigState>>,
) -> MigrateResponse {
    let (mut bytes_left, mut pointer_bytes_left) = (DIFF_BYTES_MAX, DIFF_BYTES_MAX);
    let of_config = outcome.layers.iter().filter(|layer| layer.id == *governed && layer.is_shown);
    let bytes =
        |layer: &LayerOutcome| layer.after.as_ref().map_or(0, |layer| layer.content.as_str().len()) as u64;
    let bytes_written = of_config.clone().map(bytes).sum();
    let migrated = of_config.map(|layer: &LayerOutcome| MigratedLayer {
        scope: layer.key.scope.to_string(),
        kind: kind_message(layer.key.kind).into(),
        bytes_before: layer.before.as_ref().map_or(0, |entry| entry.layer.content.as_str().len()) as u64,
        bytes_after: bytes(layer),
        diff: layer_diff(layer, &mut bytes_left, &mut pointer_bytes_left),
    });
    let (layers, layers_omitted) = fitting_items(migrated, MIGRATED_BYTES_MAX);
    MigrateResponse {
        from_number: outcome.schema.active_before,
        to_number: outcome.schema.active,
        changed: outcome.changed,
        bytes: bytes_written,
        layers,
        layer_count: config.map_or(0, |config| config.layers().len()) as u32,
        report: Some(report_message(&outcome.report)),
        store_revision: outcome.revision.0,
        layers_omitted,
        state_backups: outcome.state_backups.clone(),
    }
}
