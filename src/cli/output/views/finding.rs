//! What comparing, searching and looking for drift find in a namespace. Knows the wire only.

use serde::Serialize;
use serde_json::Value;

use super::{ValueChangeView, embedded, list, time};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct NamespaceDiffView {
    pub differences: Vec<DocumentDifferenceView>,
    pub older_revision: u64,
    pub newer_revision: u64,
}

/// Of a layer, or without a scope of effective documents.
#[derive(Debug, Serialize)]
pub struct DocumentDifferenceView {
    pub config: String,
    pub scope: String,
    pub kind: &'static str,
    pub only_older: bool,
    pub only_newer: bool,
    pub changes: Vec<ValueChangeView>,
    pub more: bool,
}

/// A value that a search has found.
#[derive(Debug, Serialize)]
pub struct SearchMatchView {
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub kind: &'static str,
    pub pointer: String,
    pub value: Value,
    pub is_cut: bool,
    pub secret: bool,
    pub version: u64,
    pub revision: u64,
    pub time: Option<String>,
    pub actor: String,
    pub reason: String,
}

/// An override, and what it changes of the document without overrides.
#[derive(Debug, Serialize)]
pub struct OverrideView {
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub changes: Vec<ValueChangeView>,
    pub more: bool,
    pub expire_time: Option<String>,
    pub revision: u64,
    pub time: Option<String>,
    pub actor: String,
    pub reason: String,
}

impl NamespaceDiffView {
    pub fn new(
        differences: &[v1::DocumentDifference],
        older_revision: u64,
        newer_revision: u64,
    ) -> NamespaceDiffView {
        NamespaceDiffView { differences: list(differences), older_revision, newer_revision }
    }
}

impl From<&v1::DocumentDifference> for DocumentDifferenceView {
    fn from(difference: &v1::DocumentDifference) -> DocumentDifferenceView {
        DocumentDifferenceView {
            config: difference.config.clone(),
            scope: difference.scope.clone(),
            kind: difference.kind().as_str_name(),
            only_older: difference.only_older,
            only_newer: difference.only_newer,
            changes: list(&difference.changes),
            more: difference.more,
        }
    }
}

impl From<&v1::SearchMatch> for SearchMatchView {
    fn from(found: &v1::SearchMatch) -> SearchMatchView {
        SearchMatchView {
            namespace: found.namespace.clone(),
            config: found.config.clone(),
            scope: found.scope.clone(),
            kind: found.kind().as_str_name(),
            pointer: found.pointer.clone(),
            value: if found.value_cut { found.value.clone().into() } else { embedded(&found.value) },
            is_cut: found.value_cut,
            secret: found.secret,
            version: found.version,
            revision: found.revision,
            time: time(found.time.as_ref()),
            actor: found.actor.clone(),
            reason: found.reason.clone(),
        }
    }
}

impl From<&v1::ListedOverride> for OverrideView {
    fn from(listed: &v1::ListedOverride) -> OverrideView {
        OverrideView {
            namespace: listed.namespace.clone(),
            config: listed.config.clone(),
            scope: listed.scope.clone(),
            changes: list(&listed.changes),
            more: listed.more,
            expire_time: time(listed.expire_time.as_ref()),
            revision: listed.revision,
            time: time(listed.time.as_ref()),
            actor: listed.actor.clone(),
            reason: listed.reason.clone(),
        }
    }
}
