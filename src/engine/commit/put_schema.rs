//! A version of a schema that a write puts, the outcome, and the config that holds the schema. Knows names; no state.

use serde_json::Value;

use crate::model::{ConfigId, ConfigName, Governs};

/// A version of a schema to be stored.
#[derive(Clone, Debug)]
pub struct PutSchema {
    pub schema: Value,
    /// The steps from the version before, and back. Without `up` the new version is active at once.
    pub up: Option<Value>,
    pub down: Option<Value>,
    pub accept_existing: bool,
    /// The number of the newest version, 0 for none.
    pub expected: Option<u64>,
}

/// What putting a schema, or a migration, came to: which version was active, and which is, and which one it was about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchemaOutcome {
    pub number: u64,
    pub active_before: u64,
    pub active: u64,
}

/// The config that holds the schema of this one.
pub fn schema_id(governed: &ConfigId) -> ConfigId {
    let config = Governs::Schema(governed.config.clone()).name();
    ConfigId { namespace: governed.namespace.clone(), config }
}

/// The name of the config of which a config of this name holds the schema.
pub fn schema_of(name: &ConfigName) -> Option<ConfigName> {
    match name.governs() {
        Some(Governs::Schema(governed)) => Some(governed),
        Some(Governs::Rules(_) | Governs::Settings(_)) | None => None,
    }
}
