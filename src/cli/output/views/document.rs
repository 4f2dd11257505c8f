//! Views of documents and of findings about them. Knows the wire only.

use serde::Serialize;
use serde_json::Value;

use super::{embedded, list, time};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct DocumentView {
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub view: &'static str,
    pub version: u64,
    pub revision: u64,
    pub digest: String,
    /// The value if it is JSON, else the text.
    pub content: Value,
    pub format: &'static str,
    pub update_time: Option<String>,
    pub layers: Vec<LayerRefView>,
    pub hidden_pointers: Vec<String>,
    pub revealed_pointers: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct LayerRefView {
    pub scope: String,
    pub kind: &'static str,
    pub version: u64,
    pub expire_time: Option<String>,
    pub digest: String,
    pub format: &'static str,
}

#[derive(Debug, Serialize)]
pub struct FindingView {
    pub severity: &'static str,
    pub code: String,
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub pointer: String,
    pub message: String,
    pub suggestion: String,
}

#[derive(Debug, Serialize)]
pub struct ReportView {
    pub valid: bool,
    pub findings: Vec<FindingView>,
    pub omitted: u64,
}

#[derive(Debug, Serialize)]
pub struct ValueChangeView {
    pub pointer: String,
    pub r#type: &'static str,
    pub old_value: Value,
    pub new_value: Value,
}

#[derive(Debug, Serialize)]
pub struct DiffView {
    pub from: Option<DocumentView>,
    pub to: Option<DocumentView>,
    pub changes: Vec<ValueChangeView>,
    pub unified: String,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct ExplainView {
    pub document: Option<DocumentView>,
    pub values: Vec<ValueOriginView>,
    /// Layers that the caller may not read.
    pub withheld: Vec<LayerRefView>,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct BlameView {
    pub document: Option<DocumentView>,
    pub values: Vec<BlamedValueView>,
    /// Layers that the caller may not read.
    pub withheld: Vec<LayerRefView>,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct BlamedValueView {
    pub pointer: String,
    pub value: Value,
    pub layer: Option<LayerRefView>,
    pub removed: bool,
    pub version: u64,
    pub revision: u64,
    pub time: Option<String>,
    pub actor: String,
    pub source: &'static str,
    pub reason: String,
}

impl From<&v1::BlameResponse> for BlameView {
    fn from(response: &v1::BlameResponse) -> BlameView {
        BlameView {
            document: response.document.as_ref().map(Into::into),
            values: list(&response.values),
            withheld: list(&response.withheld),
            store_revision: response.store_revision,
        }
    }
}

impl From<&v1::BlamedValue> for BlamedValueView {
    fn from(value: &v1::BlamedValue) -> BlamedValueView {
        BlamedValueView {
            pointer: value.pointer.clone(),
            value: embedded(&value.value),
            layer: value.layer.as_ref().map(Into::into),
            removed: value.removed,
            version: value.version,
            revision: value.revision,
            time: time(value.time.as_ref()),
            actor: value.actor.clone(),
            source: value.source().as_str_name(),
            reason: value.reason.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct ValueOriginView {
    pub pointer: String,
    pub value: Value,
    pub layer: Option<LayerRefView>,
    pub removed: bool,
    pub shadowed: Vec<ShadowedValueView>,
}

#[derive(Debug, Serialize)]
pub struct ShadowedValueView {
    pub layer: Option<LayerRefView>,
    pub value: Value,
    pub removed: bool,
}

/// One update of a watch, on one line.
#[derive(Debug, Serialize)]
pub struct TargetStateView {
    pub revision: u64,
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub state: &'static str,
    pub document: Option<DocumentView>,
}

impl From<&v1::Document> for DocumentView {
    fn from(document: &v1::Document) -> DocumentView {
        let content = match (document.format(), document.content.as_str()) {
            (_, "") => Value::Null,
            (v1::Format::Json, text) => embedded(text),
            (v1::Format::Yaml | v1::Format::Toml | v1::Format::Unspecified, text) => text.into(),
        };
        DocumentView {
            namespace: document.namespace.clone(),
            config: document.config.clone(),
            scope: document.scope.clone(),
            view: document.view().as_str_name(),
            version: document.version,
            revision: document.revision,
            digest: document.digest.clone(),
            content,
            format: document.format().as_str_name(),
            update_time: time(document.update_time.as_ref()),
            layers: list(&document.layers),
            hidden_pointers: document.hidden_pointers.clone(),
            revealed_pointers: document.revealed_pointers.clone(),
        }
    }
}

impl From<&v1::LayerRef> for LayerRefView {
    fn from(layer: &v1::LayerRef) -> LayerRefView {
        LayerRefView {
            scope: layer.scope.clone(),
            kind: layer.kind().as_str_name(),
            version: layer.version,
            expire_time: time(layer.expire_time.as_ref()),
            digest: layer.digest.clone(),
            format: layer.format().as_str_name(),
        }
    }
}

impl From<&v1::Finding> for FindingView {
    fn from(finding: &v1::Finding) -> FindingView {
        FindingView {
            severity: finding.severity().as_str_name(),
            code: finding.code.clone(),
            namespace: finding.namespace.clone(),
            config: finding.config.clone(),
            scope: finding.scope.clone(),
            pointer: finding.pointer.clone(),
            message: finding.message.clone(),
            suggestion: finding.suggestion.clone(),
        }
    }
}

impl From<&v1::ValidationReport> for ReportView {
    fn from(report: &v1::ValidationReport) -> ReportView {
        ReportView { valid: report.valid, findings: list(&report.findings), omitted: report.omitted }
    }
}

impl From<&v1::ValueChange> for ValueChangeView {
    fn from(change: &v1::ValueChange) -> ValueChangeView {
        ValueChangeView {
            pointer: change.pointer.clone(),
            r#type: change.r#type().as_str_name(),
            old_value: embedded(&change.old_value),
            new_value: embedded(&change.new_value),
        }
    }
}

impl From<&v1::DiffResponse> for DiffView {
    fn from(diff: &v1::DiffResponse) -> DiffView {
        DiffView {
            from: diff.older.as_ref().map(Into::into),
            to: diff.newer.as_ref().map(Into::into),
            changes: list(&diff.changes),
            unified: diff.unified.clone(),
            store_revision: diff.store_revision,
        }
    }
}

impl From<&v1::ExplainResponse> for ExplainView {
    fn from(explained: &v1::ExplainResponse) -> ExplainView {
        ExplainView {
            document: explained.document.as_ref().map(Into::into),
            values: list(&explained.values),
            withheld: list(&explained.withheld),
            store_revision: explained.store_revision,
        }
    }
}

impl From<&v1::ValueOrigin> for ValueOriginView {
    fn from(origin: &v1::ValueOrigin) -> ValueOriginView {
        ValueOriginView {
            pointer: origin.pointer.clone(),
            value: embedded(&origin.value),
            layer: origin.layer.as_ref().map(Into::into),
            removed: origin.removed,
            shadowed: list(&origin.shadowed),
        }
    }
}

impl From<&v1::ShadowedValue> for ShadowedValueView {
    fn from(shadowed: &v1::ShadowedValue) -> ShadowedValueView {
        ShadowedValueView {
            layer: shadowed.layer.as_ref().map(Into::into),
            value: embedded(&shadowed.value),
            removed: shadowed.removed,
        }
    }
}

impl TargetStateView {
    pub fn new(revision: u64, state: &v1::TargetState) -> TargetStateView {
        let target = state.target.clone().unwrap_or_default();
        TargetStateView {
            revision,
            namespace: target.namespace,
            config: target.config,
            scope: target.scope,
            state: state.state().as_str_name(),
            document: state.document.as_ref().map(Into::into),
        }
    }
}
