//! The documents that a change of layers reaches, and whether they are small enough. Knows validate and the state of a config;
//! never the pipeline.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::scope::SCOPE_SEGMENTS_MAX;
use crate::model::{ConfigChange, LayerKind, Scope};
use crate::secret::is_sealed;
use crate::validate::{Finding, check_size};

use crate::engine::read::resolve::{View, layers_of};
use crate::engine::state::{ConfigState, LayerEntry};

/// The layers of most configs are fewer, and together smaller than a document may be: adding up their sizes is the cheapest check.
const FEW_LAYERS: usize = 16;
const KINDS: [LayerKind; 2] = [LayerKind::Base, LayerKind::Override];

/// The scopes whose documents a change of layers reaches: those of the layers, and every layer below them.
pub(in crate::engine) fn reached<'a>(
    change: &'a ConfigChange,
    after: &'a ConfigState,
) -> BTreeSet<&'a Scope> {
    let changed: BTreeSet<&Scope> = change.layers.iter().map(|layer| &layer.key.scope).collect();
    let below =
        topmost(&changed).into_iter().flat_map(|scope| within(after, scope)).map(|entry| &entry.key.scope);
    let below: Vec<&Scope> = below.collect();
    changed.into_iter().chain(below).collect()
}

/// Checks the sizes of the documents at the changed scopes of a config, and at every layer below them.
pub(in crate::engine) fn check_sizes(
    change: &ConfigChange,
    after: &ConfigState,
    bytes_max: usize,
) -> Vec<Finding> {
    if after.layers().len() <= FEW_LAYERS && bytes_of(after) <= bytes_max {
        return vec![];
    }
    let changed: BTreeSet<&Scope> = change.layers.iter().map(|layer| &layer.key.scope).collect();
    if bytes_bound(&topmost(&changed), after) <= bytes_max {
        return vec![];
    }
    let check = |scope| {
        let merged = layers_of(after, scope, View::Effective);
        let merged: Vec<_> = merged.into_iter().map(|entry| (&entry.key, &entry.layer)).collect();
        check_size(&change.id, scope, &merged, is_sealed, bytes_max)
    };
    reached(change, after).into_iter().filter_map(check).collect()
}

/// Those that are not below another.
fn topmost<'a>(scopes: &BTreeSet<&'a Scope>) -> Vec<&'a Scope> {
    let paths: BTreeSet<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let is_topmost =
        |scope: &&&Scope| !scope.lineage_paths().any(|path| path != scope.as_str() && paths.contains(path));
    scopes.iter().filter(is_topmost).copied().collect()
}

/// At least the size of any document of a config: no merge of layers is larger than they are together.
fn bytes_of(config: &ConfigState) -> usize {
    config.layers().iter().map(|entry| entry.layer.content.as_str().len()).sum()
}

/// At least the size of any document at or below these scopes, found without looking at each: the merge of some layers is not
/// larger than they are together, and there is at most one of each kind at each depth.
fn bytes_bound(scopes: &[&Scope], config: &ConfigState) -> usize {
    let mut largest = [[0; SCOPE_SEGMENTS_MAX + 1]; KINDS.len()];
    let mut consider = |entry: &LayerEntry| {
        let largest = &mut largest[entry.key.kind as usize][entry.key.scope.segments().count()];
        *largest = entry.layer.content.as_str().len().max(*largest);
    };
    for scope in scopes {
        within(config, scope).for_each(|entry| consider(entry));
        layers_of(config, scope, View::Effective).into_iter().for_each(|entry| consider(entry));
    }
    largest.as_flattened().iter().sum()
}

fn within<'a>(config: &'a ConfigState, scope: &Scope) -> impl Iterator<Item = &'a Arc<LayerEntry>> {
    KINDS.into_iter().flat_map(|kind| config.layers_within(kind, scope))
}
