//! The documents of the configs that govern access, which have one layer. Knows what is stored; not what it means.

use std::sync::Arc;

use serde_json::Value;

use super::ConfigState;
use crate::model::LayerKind;

/// The document of a config that governs access: its base layer at `/`, as it is. `None`: there is none.
pub fn access_document(config: Option<&Arc<ConfigState>>) -> Option<Value> {
    config.and_then(|config| base_document(config))
}

/// The same of a config that is there.
pub(super) fn base_document(config: &ConfigState) -> Option<Value> {
    Some(config.layer_at(LayerKind::Base, "/")?.layer.content.to_value())
}
