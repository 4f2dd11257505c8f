//! Schemas and what becomes of them. Knows the wire only.

use serde::Serialize;
use serde_json::Value;

use super::{ReportView, ValueChangeView, embedded, list, time};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct SchemaView {
    pub namespace: String,
    pub config: String,
    pub number: u64,
    pub active_number: u64,
    pub numbers: Vec<u64>,
    pub accept_existing: bool,
    /// The schema if it is JSON, else the text. Null in lists.
    pub content: Value,
    pub format: &'static str,
    pub up: Value,
    pub down: Value,
    pub update_time: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct SchemasView {
    pub schemas: Vec<SchemaView>,
}

#[derive(Debug, Serialize)]
pub struct SchemaPutView {
    pub number: u64,
    pub active: bool,
    pub changed: bool,
    pub report: Option<ReportView>,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct SchemaDeletedView {
    pub changed: bool,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct MigrationView {
    pub from_number: u64,
    pub to_number: u64,
    pub changed: bool,
    pub path: Vec<HopView>,
    pub layers: Vec<MigratedLayerView>,
    pub layers_omitted: u64,
    pub layer_count: u32,
    pub bytes: u64,
    pub report: Option<ReportView>,
    pub store_revision: u64,
    pub state_backups: Vec<String>,
}

/// One version to the next on the way of a migration.
#[derive(Clone, Debug, Serialize)]
pub struct HopView {
    pub from_number: u64,
    pub to_number: u64,
    /// There are steps for it.
    pub has_steps: bool,
    /// There are steps back.
    pub has_steps_back: bool,
}

#[derive(Debug, Serialize)]
pub struct MigratedLayerView {
    pub scope: String,
    pub kind: &'static str,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub diff: Vec<ValueChangeView>,
}

impl From<&v1::Schema> for SchemaView {
    fn from(schema: &v1::Schema) -> SchemaView {
        SchemaView {
            namespace: schema.namespace.clone(),
            config: schema.config.clone(),
            number: schema.number,
            active_number: schema.active_number,
            numbers: schema.numbers.clone(),
            accept_existing: schema.accept_existing,
            content: match schema.format() {
                v1::Format::Json | v1::Format::Unspecified => embedded(&schema.content),
                v1::Format::Yaml | v1::Format::Toml => schema.content.as_str().into(),
            },
            format: schema.format().as_str_name(),
            up: embedded(&schema.up),
            down: embedded(&schema.down),
            update_time: time(schema.update_time.as_ref()),
        }
    }
}

impl From<&v1::SchemaServicePutResponse> for SchemaPutView {
    fn from(response: &v1::SchemaServicePutResponse) -> SchemaPutView {
        SchemaPutView {
            number: response.number,
            active: response.active,
            changed: response.changed,
            report: response.report.as_ref().map(Into::into),
            store_revision: response.store_revision,
        }
    }
}

impl From<&v1::SchemaServiceDeleteResponse> for SchemaDeletedView {
    fn from(response: &v1::SchemaServiceDeleteResponse) -> SchemaDeletedView {
        SchemaDeletedView { changed: response.changed, store_revision: response.store_revision }
    }
}

impl MigrationView {
    pub fn new(response: &v1::MigrateResponse, path: &[HopView]) -> MigrationView {
        MigrationView {
            from_number: response.from_number,
            to_number: response.to_number,
            changed: response.changed,
            path: path.to_vec(),
            layers: list(&response.layers),
            layers_omitted: response.layers_omitted,
            layer_count: response.layer_count,
            bytes: response.bytes,
            report: response.report.as_ref().map(Into::into),
            store_revision: response.store_revision,
            state_backups: response.state_backups.clone(),
        }
    }
}

impl From<&v1::MigratedLayer> for MigratedLayerView {
    fn from(layer: &v1::MigratedLayer) -> MigratedLayerView {
        MigratedLayerView {
            scope: layer.scope.clone(),
            kind: layer.kind().as_str_name(),
            bytes_before: layer.bytes_before,
            bytes_after: layer.bytes_after,
            diff: list(&layer.diff),
        }
    }
}
