//! Refuses assignments whose effect would surprise their author: places within a value that the layer only inherits. Knows what a layer inherits; not how
//! values are assigned.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::Visibility;
use crate::model::LayerKind;
use crate::model::assign::check_inherited;
use crate::model::merge::fold_opaque;
use crate::secret::is_sealed;

use super::document_error::document_error;
use super::read_change::{ReadAction, ReadChange};
use crate::engine::error::Error;
use crate::engine::state::ConfigState;

/// Refuses assignments into an array, a scalar or a secret that the layer inherits: the layer would replace it with an object. Callers who may
/// not read the document are not told what it has, so nothing is refused to them.
pub(in crate::engine) fn check_assignments(
    base: Option<&Arc<ConfigState>>,
    change: &ReadChange,
    visibility: Option<&Visibility>,
) -> Result<(), Error> {
    let (ReadAction::Assign(values), Some(config)) = (&change.action, base) else { return Ok(()) };
    let (id, scope) = (&change.id, &change.key.scope);
    if visibility.is_some_and(|visibility| !visibility.has(&id.namespace, &id.config, scope)) {
        return Ok(());
    }
    let layer = config.layer(&change.key).map(|entry| entry.layer.content.to_value());
    let inherited = || {
        let of = |kind: LayerKind| {
            let paths =
                scope.lineage_paths().filter(move |path| kind != change.key.kind || *path != scope.as_str());
            paths.filter_map(move |path| config.layer_at(kind, path))
        };
        let overrides = of(LayerKind::Override).filter(|_| change.key.kind == LayerKind::Override);
        let layers: Vec<Value> =
            of(LayerKind::Base).chain(overrides).map(|entry| entry.layer.content.to_value()).collect();
        fold_opaque(&layers, is_sealed)
    };
    check_inherited(&layer.unwrap_or_default(), values, inherited, is_sealed)
        .map_err(|error| document_error(change.field.clone(), error))
}
