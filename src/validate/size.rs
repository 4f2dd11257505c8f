//! Effective documents stay below their size limit, at every scope that a change reaches.

use crate::model::content::Content;
use crate::model::merge::fold;
use crate::model::{ConfigId, LayerKey, LayerKind, Scope};

use super::{Finding, Place, Severity};

/// Checks the effective documents of `scopes` of a config, given its layers sorted by key.
///
/// The sizes of the layers bound that of their merge, so the merge is only made where the bound is not enough.
pub fn check_size(
    id: &ConfigId,
    layers: &[(&LayerKey, &Content)],
    scopes: &[Scope],
    document_bytes_max: usize,
) -> Vec<Finding> {
    if layers.iter().map(|(_, content)| content.as_str().len()).sum::<usize>() <= document_bytes_max {
        return vec![];
    }
    scopes.iter().filter_map(|scope| check_scope(id, layers, scope, document_bytes_max)).collect()
}

fn check_scope(
    id: &ConfigId,
    layers: &[(&LayerKey, &Content)],
    scope: &Scope,
    document_bytes_max: usize,
) -> Option<Finding> {
    let of_kind =
        |kind: LayerKind| layers.iter().filter(move |(key, _)| key.kind == kind && key.scope.contains(scope));
    let merged: Vec<&Content> =
        of_kind(LayerKind::Base).chain(of_kind(LayerKind::Override)).map(|(_, content)| *content).collect();
    if merged.iter().map(|content| content.as_str().len()).sum::<usize>() <= document_bytes_max {
        return None;
    }
    let values: Vec<_> = merged.iter().map(|content| content.to_value()).collect();
    let bytes = Content::of(&fold(&values)).as_str().len();
    (bytes > document_bytes_max).then(|| Finding {
        severity: Severity::Error,
        code: "DOCUMENT_TOO_LARGE",
        place: Place { id: id.clone(), scope: scope.clone(), pointer: String::new() },
        message: format!(
            "the effective document has {bytes} bytes, at most {document_bytes_max} are allowed"
        ),
        suggestion: "split the config in two".into(),
    })
}
